//! Where the stored units are, after bytes were cut out or pushed in.
//!
//! A unit is one copy of one block. Units are numbered in the order of the file, and each has a
//! nominal offset. The map says by how many bytes they are shifted, in runs, so that its size grows
//! with the number of breaks and not with the file. Hashes decide; error correction is never asked.

use std::ops::Range;

use super::blocks::Layout;
use crate::source::Source;
use crate::{Error, Result};

/// Bytes searched at a time.
const WINDOW: usize = 4 << 20;
/// Bytes before the place of a bad unit where a search begins, if nothing intact lies there.
const BACK: u64 = 1 << 20;
/// Most units that are read and hashed together, and most bytes of them.
const TOGETHER: (u64, u64) = (16, 4 << 20);
/// Units after a bad one that are tried at the known shifts before a search begins.
const AHEAD: u64 = 3;

/// What was found out about the places of all units.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// From this unit on, units stand this many bytes behind (or before) their nominal offset.
    runs: Vec<(u64, i64)>,
    /// Units that are nowhere as they were written.
    pub(crate) bad: Vec<Range<u64>>,
    /// Units that are intact at another place than the nominal one.
    pub(crate) moved: u64,
    /// By how many bytes the file is longer or shorter than it should be.
    excess: i64,
}

impl Map {
    /// The shifts at which a unit may be found, likeliest first.
    pub(crate) fn shifts(&self, unit: u64) -> Vec<i64> {
        let next = self.runs.partition_point(|run| run.0 <= unit);
        let mut shifts = Vec::with_capacity(4);
        match next.checked_sub(1) {
            Some(last) => shifts.push(self.runs[last].1),
            None => shifts.push(0),
        }
        match self.runs.get(next) {
            Some(run) => shifts.push(run.1),
            None => shifts.push(self.excess),
        }
        if shifts[0] == shifts[1] {
            shifts.pop();
        }
        shifts
    }

    /// The number of bad units.
    pub(crate) fn bad_units(&self) -> u64 {
        self.bad.iter().map(|r| r.end - r.start).sum()
    }

    /// Whether a unit is bad.
    pub(crate) fn is_bad(&self, unit: u64) -> bool {
        let i = self.bad.partition_point(|r| r.end <= unit);
        self.bad.get(i).is_some_and(|r| r.contains(&unit))
    }

    fn add_bad(&mut self, units: Range<u64>) {
        if units.is_empty() {
            return;
        }
        match self.bad.last_mut() {
            Some(last) if last.end == units.start => last.end = units.end,
            _ => self.bad.push(units),
        }
    }

    /// The units from this one on are not bad after all.
    fn take_back(&mut self, unit: u64) {
        self.bad.retain(|r| r.start < unit);
        if let Some(last) = self.bad.last_mut() {
            last.end = last.end.min(unit);
        }
    }
}

/// Where a unit is that does not stand at a place as it was written, by what stands there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There, and damaged.
    Here,
    /// There and damaged, or some rows before or behind.
    Near,
    /// Something else stands there.
    Elsewhere,
}

struct Locator<'a, L: Layout> {
    source: &'a dyn Source,
    layout: &'a L,
    buf: Vec<u8>,
    /// Bytes that searching may still hash.
    work: u64,
    size: u64,
}

/// Finds all units.
pub(crate) fn locate<L: Layout>(source: &dyn Source, layout: &L, memory: u64) -> Result<Map> {
    let size = source.size()?;
    let excess = i64::try_from(size)
        .ok()
        .zip(i64::try_from(layout.size()).ok())
        .map_or(0, |(a, b)| a - b);
    let mut map = Map {
        excess,
        ..Map::default()
    };
    let mut known = vec![0];
    if excess != 0 {
        known.push(excess);
    }
    let mut locator = Locator {
        source,
        layout,
        buf: Vec::new(),
        work: size.saturating_mul(4).saturating_add(64 << 20),
        size,
    };
    let units = layout.blocks() * 2;
    let (mut unit, mut shift) = (0, 0_i64);
    // Where the last intact unit ends, and the unit after it.
    let (mut end, mut next) = (0, 0);
    // How many units to read at once: more as long as all is well.
    let mut together = 1;
    'units: while unit < units {
        if (map.bad.len() as u64).saturating_mul(32) > memory {
            return Err(Error::Limit {
                what: "map of the damage, in bytes",
                got: map.bad.len() as u64 * 32,
                limit: memory,
            });
        }
        let good = locator.intact_run(unit, shift, together)?;
        if good > 0 {
            if map.runs.last().is_none_or(|run| run.1 != shift) {
                map.runs.push((unit, shift));
            }
            map.moved += if shift == 0 { 0 } else { good };
            together = (2 * good).min(TOGETHER.0);
            unit += good;
            next = unit;
            end =
                layout.offset(unit - 1).saturating_add_signed(shift) + locator.stored_len(unit - 1);
            continue;
        }
        together = 1;
        // What stands there is wanted in the buffer.
        locator.intact(unit, shift)?;
        let place = locator.place(unit);
        if place == Place::Here {
            map.add_bad(unit..unit + 1);
            unit += 1;
            continue;
        }
        for &other in known.iter().filter(|&&s| s != shift) {
            if locator.intact(unit, other)? {
                shift = other;
                continue 'units;
            }
        }
        // Neither the place before nor a known one: look ahead, and search up to what is there.
        let ahead = match place {
            Place::Elsewhere => locator.ahead(unit, shift, &known)?,
            _ => None,
        };
        let nominal = layout.offset(unit).saturating_add_signed(shift);
        let len = locator.stored_len(unit);
        let (back, limit) = match (place, ahead) {
            (Place::Elsewhere, None) => (BACK, u64::MAX),
            (Place::Elsewhere, Some((unit, shift))) => {
                let offset = layout.offset(unit).saturating_add_signed(shift);
                (BACK, offset)
            }
            _ => (len, nominal.saturating_add(len)),
        };
        let from = end.max(nominal.saturating_sub(back));
        let (offset, found) = match (locator.search(from..limit, next, shift)?, ahead) {
            (Some(found), _) => found,
            (None, Some((found, there))) => {
                map.add_bad(unit..found);
                (unit, shift) = (found, there);
                continue;
            }
            (None, None) if place == Place::Elsewhere => {
                map.add_bad(unit..units);
                break;
            }
            (None, None) => {
                map.add_bad(unit..unit + 1);
                unit += 1;
                continue;
            }
        };
        let there = i64::try_from(offset).unwrap_or(i64::MAX)
            - i64::try_from(layout.offset(found)).unwrap_or(i64::MAX);
        map.add_bad(unit..found);
        map.take_back(found);
        (unit, shift) = (found, there);
        if !known.contains(&there) && known.len() < 16 {
            known.push(there);
        }
    }
    Ok(map)
}

impl<L: Layout> Locator<'_, L> {
    fn stored_len(&self, unit: u64) -> u64 {
        (self.layout.encoded_len(self.layout.block_of(unit)) + self.layout.trailing()) as u64
    }

    /// The first of the next units that is intact at a known shift.
    fn ahead(&mut self, unit: u64, shift: i64, known: &[i64]) -> Result<Option<(u64, i64)>> {
        let units = self.layout.blocks() * 2;
        for next in unit + 1..(unit + 1 + AHEAD).min(units) {
            for &there in [shift].iter().chain(known) {
                if self.intact(next, there)? {
                    return Ok(Some((next, there)));
                }
            }
        }
        Ok(None)
    }

    /// How many of the next units, `most` at the most, stand as they were written at this shift, up to the
    /// first that does not.
    fn intact_run(&mut self, unit: u64, shift: i64, most: u64) -> Result<u64> {
        let units = self.layout.blocks() * 2;
        let Some(offset) = self.layout.offset(unit).checked_add_signed(shift) else {
            return Ok(0);
        };
        let mut lens = Vec::new();
        let mut total = 0;
        for next in unit..(unit + most).min(units) {
            let len = self.stored_len(next);
            let fits = lens.is_empty() || total + len <= TOGETHER.1;
            if !fits || offset + total + len > self.size {
                break;
            }
            lens.push(usize::try_from(len).unwrap_or(usize::MAX));
            total += len;
        }
        self.buf.resize(usize::try_from(total).unwrap_or(0), 0);
        let got = self.source.read_full_at(&mut self.buf, offset)?;
        let mut rest = &self.buf[..got];
        let mut stored = Vec::with_capacity(lens.len());
        for len in lens {
            let Some((one, later)) = rest.split_at_checked(len) else {
                break;
            };
            stored.push(one);
            rest = later;
        }
        Ok(self.layout.verify_run(unit, &stored) as u64)
    }

    /// Whether the unit stands as it was written at this shift; its bytes are left in the buffer.
    fn intact(&mut self, unit: u64, shift: i64) -> Result<bool> {
        let len = usize::try_from(self.stored_len(unit)).unwrap_or(usize::MAX);
        let offset = self.layout.offset(unit).checked_add_signed(shift);
        let Some(offset) = offset.filter(|&o| o < self.size) else {
            self.buf.clear();
            return Ok(false);
        };
        self.buf.resize(len, 0);
        let got = self.source.read_full_at(&mut self.buf, offset)?;
        if got < len {
            self.buf[got..].fill(0);
            return Ok(false);
        }
        Ok(self.layout.verify(unit, &self.buf))
    }

    /// Whether the bytes in the buffer are the unit with damage in it, rather than something else: some of its rows
    /// are intact, more than can be by chance. (The code is cyclic: of the rows of a unit that is shifted by one byte,
    /// one in 256 is still a row.) If the unit has moved by whole rows, most are: but then either the first or the last
    /// is not, or all of them are, unless the block itself tells.
    fn place(&self, unit: u64) -> Place {
        let len = self.layout.encoded_len(self.layout.block_of(unit));
        if self.buf.len() < len {
            return Place::Elsewhere;
        }
        let intact: Vec<bool> = super::rows::rows(len)
            .map(|row| {
                let row = &self.buf[row];
                row.iter().any(|&b| b != 0) && self.layout.code().valid(row)
            })
            .collect();
        let count = intact.iter().filter(|&&intact| intact).count();
        let all = count == intact.len();
        if !all && count < 2 + intact.len() / 32 {
            return Place::Elsewhere;
        }
        let [first, last] = [intact.first(), intact.last()].map(|row| row == Some(&true));
        let told = self.layout.tells(unit, &self.buf).filter(|_| first);
        match told.unwrap_or(first && last && !all) {
            true => Place::Here,
            false => Place::Near,
        }
    }

    /// The first intact unit that begins in the range, not before `least` in the order of the file.
    fn search(&mut self, range: Range<u64>, least: u64, shift: i64) -> Result<Option<(u64, u64)>> {
        let units = self.layout.blocks() * 2;
        let longest = usize::try_from(self.stored_len(0)).unwrap_or(usize::MAX);
        let mut at = range.start;
        while at < self.size.min(range.end) && self.work > 0 {
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            let room = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            self.buf.resize((WINDOW.min(room) + longest).min(left), 0);
            let got = self.source.read_full_at(&mut self.buf, at)?;
            self.buf.truncate(got);
            let last = at + got as u64 >= self.size;
            let end = if last { got } else { WINDOW.min(got) }.min(room);
            self.work = self.work.saturating_sub(end as u64 / 16);
            let mut start = 0;
            while start < end {
                let hit = self.layout.find(&self.buf, start..end, &mut self.work);
                let Some((position, block)) = hit else { break };
                let offset = at + position as u64;
                // Of the two copies, the one that is still to come and is shifted least.
                let best = [0, 1]
                    .map(|copy| self.layout.unit(copy, block))
                    .into_iter()
                    .filter(|&u| u >= least && u < units)
                    .min_by_key(|&u| {
                        let nominal = self.layout.offset(u).saturating_add_signed(shift);
                        nominal.abs_diff(offset)
                    });
                if let Some(found) = best {
                    return Ok(Some((offset, found)));
                }
                start = position + 1;
            }
            if last {
                return Ok(None);
            }
            at += end as u64;
        }
        Ok(None)
    }
}
