//! Errors at unknown places, column by column.
//!
//! The rows in hand are a generalised Reed-Solomon code of their own, whose multipliers account for
//! the slots that are missing and for those known to be zero; so a missing row costs a column nothing.

use super::code::log_products;
use super::solver::Solver;
use super::{Code, Error};
use crate::gf::field::{EXP, LOG, div, mul};
use crate::gf::{Kernel, LinearMap};

/// Columns that are worked on at a time, which bounds the memory.
const TILE: usize = 4096;
/// Row length of the syndromes of a tile. Not a power of two, whose rows would share cache sets.
const STRIDE: usize = TILE + 64;

/// A row of a block for [`Code::correct`].
#[derive(Debug)]
pub struct Row<'a> {
    /// The slot of the code: 1..=k, or a parity slot.
    pub slot: u8,
    /// How far the bytes are to be believed.
    pub trust: Trust<'a>,
    /// The payload, corrected in place.
    pub bytes: &'a mut [u8],
}

/// How far the bytes of a [`Row`] are to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Not at all: the row is not in hand, its bytes are to be made. Rows that are neither in hand
    /// nor wanted need not be given.
    Missing,
    /// Some bytes may be wrong.
    Doubtful,
    /// Some bytes may be wrong, and those whose byte in this mask (as long as the row) is not zero
    /// are as good as missing.
    Masked(&'a [u8]),
    /// All bytes are right. A correction that changes one of them is refused.
    Certain,
}

/// What [`Code::correct`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correction {
    /// The columns (byte offsets in the rows, ascending) that could not be decoded. The rows in hand
    /// are unchanged there, the bytes of missing rows mean nothing.
    pub failed: Vec<usize>,
    /// Number of bytes of rows in hand that were changed.
    pub changed: usize,
}

impl Code {
    /// Corrects a block with `k` data rows in place, and makes the missing ones of the given rows.
    ///
    /// A column decodes if 2·(wrong bytes) + (masked bytes) <= (rows in hand) - `k` there, and may decode to something
    /// else beyond that, which a hash has to find out. With `k` certain rows in hand, nothing else
    /// is looked at. The code for `k` = 1 is a repetition: there the value that most rows speak for wins (all
    /// of the certain ones, if there are any), of several the one that more slots agree in, and a tie then
    /// fails; and the same slot may be given several times, once for every copy in hand.
    ///
    /// # Errors
    /// [`Error::TooFew`] with less than `k` rows in hand; [`Error::Size`], [`Error::Slot`] and
    /// [`Error::Shape`] if the arguments do not fit. Nothing is changed then.
    pub fn correct(&self, k: usize, rows: &mut [Row<'_>]) -> Result<Correction, Error> {
        self.check_rows(k, rows)?;
        if k == 1 {
            return Ok(self.vote(rows));
        }
        let certain = rows
            .iter()
            .filter(|row| row.trust == Trust::Certain)
            .count();
        if certain >= k {
            return self.fill(k, rows, |trust| trust == Trust::Certain);
        }
        let mut columns = Columns::new(self, k, rows);
        let length = rows.first().map_or(0, |row| row.bytes.len());
        for from in (0..length).step_by(TILE) {
            columns.correct(rows, from, TILE.min(length - from));
        }
        let Columns { correction, .. } = columns;
        self.fill(k, rows, |trust| trust != Trust::Missing)?;
        Ok(correction)
    }

    fn check_rows(&self, k: usize, rows: &[Row<'_>]) -> Result<(), Error> {
        self.check_size(k)?;
        let length = rows.first().map_or(0, |row| row.bytes.len());
        let mut seen = [false; 256];
        let mut have = 0;
        for row in rows {
            if !self.has_slot(k, row.slot) {
                return Err(Error::Slot(row.slot));
            }
            if std::mem::replace(&mut seen[usize::from(row.slot)], true) && k > 1 {
                return Err(Error::Slot(row.slot));
            }
            let masked = matches!(row.trust, Trust::Masked(mask) if mask.len() != length);
            if masked || row.bytes.len() != length {
                return Err(Error::Shape);
            }
            have += usize::from(row.trust != Trust::Missing);
        }
        if have < k {
            Err(Error::TooFew { have, need: k })
        } else {
            Ok(())
        }
    }

    /// Makes all rows that are not `good` from those that are, and counts what changed.
    fn fill(
        &self,
        k: usize,
        rows: &mut [Row<'_>],
        good: impl Fn(Trust<'_>) -> bool,
    ) -> Result<Correction, Error> {
        let (mut have, mut wanted, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = Vec::new();
        for row in rows {
            if good(row.trust) {
                have.push((row.slot, &*row.bytes));
            } else {
                if row.trust != Trust::Missing {
                    before.push((out.len(), row.bytes.to_vec()));
                }
                wanted.push(row.slot);
                out.push(&mut *row.bytes);
            }
        }
        if !wanted.is_empty() {
            self.reconstruct(k, &have, &wanted, &mut out)?;
        }
        let changed = before
            .iter()
            .map(|(i, old)| old.iter().zip(&*out[*i]).filter(|(a, b)| a != b).count());
        Ok(Correction {
            failed: Vec::new(),
            changed: changed.sum(),
        })
    }

    /// One data row: every row in hand speaks for a value of every byte of it.
    fn vote(&self, rows: &mut [Row<'_>]) -> Correction {
        let factors: Vec<u8> = rows
            .iter()
            .map(|row| {
                if row.slot == 1 {
                    1
                } else {
                    self.coefficient(row.slot, 1)
                }
            })
            .collect();
        let certain = rows.iter().any(|row| row.trust == Trust::Certain);
        let length = rows.first().map_or(0, |row| row.bytes.len());
        let mut correction = Correction::default();
        for column in 0..length {
            let mut votes = [0_u32; 256];
            // For every slot what it says: nothing, one value, or (its copies differ) several.
            let mut said = [Said::Nothing; 256];
            for (row, &factor) in rows.iter().zip(&factors) {
                let heard = match row.trust {
                    Trust::Missing => false,
                    Trust::Certain => true,
                    Trust::Doubtful => !certain,
                    Trust::Masked(mask) => !certain && mask[column] == 0,
                };
                if heard {
                    let value = div(row.bytes[column], factor);
                    votes[usize::from(value)] += 1;
                    let said = &mut said[usize::from(row.slot)];
                    *said = match *said {
                        Said::Nothing => Said::One(value),
                        Said::One(other) if other == value => Said::One(value),
                        _ => Said::Several,
                    };
                }
            }
            let most = votes.iter().copied().max().unwrap_or(0);
            let mut winners: Vec<u8> = (0..=255_u8)
                .filter(|&value| votes[usize::from(value)] == most)
                .collect();
            if winners.len() > 1 {
                // A slot whose copies are wrong in the same way must not outvote two slots that are right.
                let slots = |value| {
                    said.iter()
                        .filter(|&&said| said == Said::One(value))
                        .count()
                };
                let most = winners.iter().map(|&value| slots(value)).max();
                winners.retain(|&value| Some(slots(value)) == most);
            }
            let winner = winners.first().copied();
            let contested = match certain {
                true => votes.iter().filter(|&&count| count > 0).count() > 1,
                false => winners.len() > 1,
            };
            let Some(value) = winner.filter(|_| !contested) else {
                correction.failed.push(column);
                continue;
            };
            for (row, &factor) in rows.iter_mut().zip(&factors) {
                let right = mul(value, factor);
                correction.changed +=
                    usize::from(row.trust != Trust::Missing && row.bytes[column] != right);
                row.bytes[column] = right;
            }
        }
        correction
    }
}

/// What the rows of a slot say of a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    One(u8),
    Several,
}

/// What all columns of a block have in common, and room for a tile of them.
struct Columns {
    /// Number of syndromes: rows in hand beyond `k`.
    checks: usize,
    map: LinearMap,
    solver: Solver,
    /// For every slot in hand, the index of its row.
    row_of: [Option<u8>; 256],
    /// For every slot in hand, the factor between an error and what the syndromes show of it.
    multiplier: [u8; 256],
    /// `checks` rows of `STRIDE` bytes.
    syndromes: Vec<u8>,
    /// For every column of the tile, whether a syndrome is not zero.
    dirty: Vec<u8>,
    /// For every column of the tile, the number of masked bytes, and the first `checks` of their slots.
    masked: Vec<u16>,
    masked_slots: Vec<u8>,
    correction: Correction,
}

impl Columns {
    fn new(code: &Code, k: usize, rows: &[Row<'_>]) -> Self {
        let mut row_of = [None; 256];
        let mut slots = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            if row.trust != Trust::Missing {
                // At most 255 rows: their slots differ.
                row_of[usize::from(row.slot)] = Some(index as u8);
                slots.push(row.slot);
            }
        }
        // Positions where the polynomial is known, with errors or without: the rows, and the zeros.
        let mut known = slots.clone();
        known.push(0);
        known.extend((k + 1..=code.data()).map(|slot| slot as u8));
        // 1 / prod of (a - j) over the other known positions j: the dual code's multiplier.
        let mut multiplier = [0; 256];
        let logs = log_products(&known, &slots);
        for (&slot, log) in slots.iter().zip(logs) {
            multiplier[usize::from(slot)] = EXP[255 - log];
        }
        let checks = slots.len() - k;
        let map = LinearMap::from_fn(checks, slots.len(), |l, column| {
            let slot = usize::from(slots[column]);
            let log = usize::from(LOG[usize::from(multiplier[slot])]) + l * usize::from(LOG[slot]);
            EXP[log % 255]
        });
        let masked = rows.iter().any(|row| matches!(row.trust, Trust::Masked(_)));
        Self {
            checks,
            map,
            solver: Solver::new(Kernel::best()),
            row_of,
            multiplier,
            syndromes: vec![0; checks * STRIDE],
            dirty: vec![0; TILE],
            masked: vec![0; TILE],
            masked_slots: vec![0; if masked { checks * TILE } else { 0 }],
            correction: Correction::default(),
        }
    }

    /// Corrects the columns `from..from + count`, at most a tile.
    fn correct(&mut self, rows: &mut [Row<'_>], from: usize, count: usize) {
        self.look(rows, from, count);
        self.collect_masks(rows, from, count);
        let mut syndromes = [0; 256];
        for column in 0..count {
            let erased = usize::from(self.masked[column]);
            if self.dirty[column] == 0 && erased <= self.checks {
                continue;
            }
            for (value, row) in syndromes
                .iter_mut()
                .zip(self.syndromes.chunks_exact(STRIDE))
            {
                *value = row[column];
            }
            let erasures = self
                .masked_slots
                .get(column * self.checks..)
                .and_then(|slots| slots.get(..erased));
            let decoded = match erasures {
                _ if erased > self.checks => None,
                erasures => self
                    .solver
                    .solve(&syndromes[..self.checks], erasures.unwrap_or(&[])),
            };
            let row_of = &self.row_of;
            let possible = decoded.filter(|found| {
                found
                    .iter()
                    .all(|error| match row_of[usize::from(error.x)] {
                        Some(index) => {
                            error.y == 0 || rows[usize::from(index)].trust != Trust::Certain
                        }
                        None => false,
                    })
            });
            let Some(found) = possible else {
                self.correction.failed.push(from + column);
                continue;
            };
            for error in found.iter().filter(|error| error.y != 0) {
                if let Some(index) = row_of[usize::from(error.x)] {
                    let byte = &mut rows[usize::from(index)].bytes[from + column];
                    *byte ^= div(error.y, self.multiplier[usize::from(error.x)]);
                    self.correction.changed += 1;
                }
            }
        }
    }

    /// Computes the syndromes of the tile, and which columns are dirty.
    fn look(&mut self, rows: &[Row<'_>], from: usize, count: usize) {
        let in_hand = rows.iter().filter(|row| row.trust != Trust::Missing);
        let inputs: Vec<&[u8]> = in_hand.map(|row| &row.bytes[from..from + count]).collect();
        let mut outputs: Vec<&mut [u8]> = self
            .syndromes
            .chunks_exact_mut(STRIDE)
            .map(|row| &mut row[..count])
            .collect();
        self.map.apply(&inputs, &mut outputs);
        self.dirty.fill(0);
        for row in &outputs {
            self.dirty
                .iter_mut()
                .zip(&**row)
                .for_each(|(dirty, &value)| *dirty |= value);
        }
    }

    /// Turns the masks, row by row, into lists of slots, column by column.
    fn collect_masks(&mut self, rows: &[Row<'_>], from: usize, count: usize) {
        self.masked.fill(0);
        for row in rows {
            let Trust::Masked(mask) = row.trust else {
                continue;
            };
            for (chunk, bytes) in mask[from..from + count].chunks(16).enumerate() {
                if bytes.iter().fold(0, |any, &byte| any | byte) == 0 {
                    continue;
                }
                for column in (16 * chunk..)
                    .zip(bytes)
                    .filter(|&(_, &byte)| byte != 0)
                    .map(|(column, _)| column)
                {
                    let before = usize::from(self.masked[column]);
                    self.masked[column] += 1;
                    if before < self.checks {
                        self.masked_slots[column * self.checks + before] = row.slot;
                    }
                }
            }
        }
    }
}
