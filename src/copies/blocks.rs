//! The blocks of a container, each healed from its two copies as it is asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::heal::{Budget, Outcome, Stored, heal};
use super::locate::{Map, locate};
use super::rows::{Code, ROW};
use super::strands;
use crate::report::Report;
use crate::source::Source;
use crate::version::Version;
use crate::{Error, Limits, Result};

/// How the blocks of one version lie in the file, and how they prove themselves.
pub(crate) trait Layout: Send + Sync {
    /// The code of the rows.
    fn code(&self) -> &Code;
    /// The number of blocks.
    fn blocks(&self) -> u64;
    /// The length that the file should have.
    fn size(&self) -> u64;
    /// The number, in the order of the file, of copy 0 or 1 of a block.
    fn unit(&self, copy: u8, block: u64) -> u64;
    /// The block of which a unit is a copy.
    fn block_of(&self, unit: u64) -> u64;
    /// Where a unit should begin.
    fn offset(&self, unit: u64) -> u64;
    /// Bytes of the encoded block.
    fn encoded_len(&self, block: u64) -> usize;
    /// Bytes of the file without which the block cannot be had.
    fn least(&self, block: u64) -> u64;
    /// Bytes that are stored with each copy behind the encoded block.
    fn trailing(&self) -> usize;
    /// Whether a unit, with its trailing bytes, is as it was written.
    fn verify(&self, unit: u64, stored: &[u8]) -> bool;
    /// Whether a block that begins with these bytes, the first row of which is intact, says that it is the block of this
    /// unit; `None` where blocks do not say which they are.
    fn tells(&self, unit: u64, stored: &[u8]) -> Option<bool>;
    /// How many of these units, the first of which has this number, are as they were written, up to the first that is
    /// not.
    fn verify_run(&self, unit: u64, stored: &[&[u8]]) -> usize;
    /// Sets what must stand in an encoded block whatever its contents are.
    fn known(&self, block: u64, encoded: &mut Stored);
    /// The first intact unit that begins inside `starts` of the window, and the number of its block.
    /// `work` is what may still be spent, in bytes hashed.
    fn find(&self, window: &[u8], starts: Range<usize>, work: &mut u64) -> Option<(usize, u64)>;
    /// Where units may stand that are damaged and moved: shifts of ranges of units, by what else stands in the file
    /// than intact units.
    fn traces(&self, source: &dyn Source) -> Result<Vec<(Range<u64>, i64)>>;
}

/// How far around the known shifts a damaged unit is looked for.
const NEARBY: i64 = 64;
/// Most shifts found so that are tried for a unit.
const MOST: usize = 4;
/// Most bytes between two shifts of a unit in which its parts are looked for.
const APART: i64 = 1 << 16;
/// Rows that must decode where not one is intact.
const TRIAL: usize = 4;

/// What a damaged block can be proven by.
pub(crate) type Prove<'a> = &'a mut dyn FnMut(&[u8], &[Vec<u8>]) -> bool;

/// The blocks, with what is known about the damage.
pub(crate) struct Blocks<L> {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) layout: L,
    limits: Limits,
    map: OnceLock<Map>,
    traces: OnceLock<Vec<(Range<u64>, i64)>>,
    budget: Budget,
    /// Blocks that were read from anything but an intact copy A.
    healed: Mutex<HashSet<u64>>,
    kept: Mutex<Kept>,
}

/// The blocks that were rebuilt last: repairing wants each of them several times. What was proven
/// with a key counts only where the key is at hand.
#[derive(Default)]
struct Kept {
    blocks: HashMap<(u64, bool), Vec<u8>>,
    order: VecDeque<(u64, bool)>,
    bytes: usize,
}

impl Kept {
    /// Most bytes kept.
    const MOST: usize = 16 << 20;

    fn get(&self, block: u64, keyed: bool) -> Option<&Vec<u8>> {
        let keyless = self.blocks.get(&(block, false));
        keyless.or_else(|| self.blocks.get(&(block, true)).filter(|_| keyed))
    }

    fn keep(&mut self, block: u64, keyed: bool, encoded: &[u8]) {
        let name = (block, keyed);
        if self.blocks.insert(name, encoded.to_vec()).is_none() {
            self.order.push_back(name);
            self.bytes += encoded.len();
        }
        while self.bytes > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.blocks.remove(&oldest).map_or(0, |old| old.len());
        }
    }
}

impl<L: Layout> Blocks<L> {
    pub(crate) fn new(source: Arc<dyn Source>, layout: L, limits: Limits) -> Self {
        let source_size = layout.size();
        Blocks {
            source,
            layout,
            limits,
            map: OnceLock::new(),
            traces: OnceLock::new(),
            budget: Budget::new(source_size),
            healed: Mutex::default(),
            kept: Mutex::default(),
        }
    }

    /// Remembers that copy A of a block was not what it was read from.
    pub(crate) fn note_healed(&self, block: u64) {
        lock(&self.healed).insert(block);
    }

    /// What reading the payload has found.
    pub(crate) fn report(&self, version: Version) -> Report {
        let healed = lock(&self.healed);
        let mut report = Report::new(version);
        report.blocks = self.layout.blocks();
        report.sectors = 2 * report.blocks + 4;
        report.blocks_healed = healed.len() as u64;
        report.sectors_bad = report.blocks_healed;
        report.decrypted = true;
        let size = self.layout.size();
        report.note_length(self.source.size().unwrap_or(size), size);
        report
    }

    /// Where the units are. The first call reads the whole file.
    pub(crate) fn map(&self) -> Result<&Map> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let map = locate(&*self.source, &self.layout, self.limits.memory)?;
        Ok(self.map.get_or_init(|| map))
    }

    /// Bytes of the encoded block of which a unit is a copy.
    fn encoded_len(&self, unit: u64) -> usize {
        self.layout.encoded_len(self.layout.block_of(unit))
    }

    /// Reads a unit where it should be, and says whether the file has all of it.
    pub(crate) fn read(&self, unit: u64, stored: &mut Vec<u8>) -> Result<bool> {
        let len = self.encoded_len(unit) + self.layout.trailing();
        stored.resize(len, 0);
        let got = self.source.read_full_at(stored, self.layout.offset(unit))?;
        // Beyond the end of the file there is nothing to clear, however many units should be there.
        if got > 0 {
            stored[got..].fill(0);
        }
        Ok(got == len)
    }

    /// The bytes stored behind an intact unit.
    pub(crate) fn trailing<const N: usize>(&self, unit: u64) -> Result<[u8; N]> {
        let shift = self.map()?.shifts(unit).first().copied().unwrap_or(0);
        let end =
            self.layout.offset(unit).saturating_add_signed(shift) + self.encoded_len(unit) as u64;
        let mut bytes = [0; N];
        self.source.read_full_at(&mut bytes, end)?;
        Ok(bytes)
    }

    /// The encoded block, from whichever copy is intact, or healed from both.
    ///
    /// `prove` is given an encoded block and the trailing bytes of the copies in hand, and uses a key if
    /// it is `keyed`.
    pub(crate) fn block(&self, block: u64, keyed: bool, prove: Prove<'_>) -> Result<Outcome> {
        let units = [0, 1].map(|copy| self.layout.unit(copy, block));
        let len = self.layout.encoded_len(block);
        let mut stored = Vec::new();
        for unit in units {
            if self.read(unit, &mut stored)? && self.layout.verify(unit, &stored) {
                stored.truncate(len);
                return Ok(Outcome::Proven(stored));
            }
            self.note_healed(block);
        }
        if let Some(encoded) = lock(&self.kept).get(block, keyed) {
            return Ok(Outcome::Proven(encoded.clone()));
        }
        let outcome = self.rebuild(block, prove)?;
        if let Outcome::Proven(encoded) = &outcome {
            lock(&self.kept).keep(block, keyed, encoded);
        }
        Ok(outcome)
    }

    /// The block from what its copies hold, wherever they stand.
    fn rebuild(&self, block: u64, prove: Prove<'_>) -> Result<Outcome> {
        // Whatever a header says of the blocks, what they cost follows the length of the file.
        if self.layout.least(block) > self.source.size()? {
            return Ok(Outcome::Lost);
        }
        let units = [0, 1].map(|copy| self.layout.unit(copy, block));
        let map = self.map()?;
        let mut found = Sources::default();
        for unit in units {
            for shift in map.shifts(unit) {
                if let Some(whole) = self.source(unit, shift, &mut found)? {
                    return Ok(Outcome::Proven(whole));
                }
            }
        }
        let mut outcome = self.heal(&mut found, prove);
        for search in [Self::nearby, Self::elsewhere, Self::strands, Self::trial] {
            if let Outcome::Proven(_) = outcome {
                break;
            }
            let before = found.copies.len();
            for unit in units {
                let mut known = map.shifts(unit);
                known.extend(found.shifts(unit));
                known.sort_unstable();
                known.dedup();
                if let Some(whole) = search(self, unit, &known, &mut found)? {
                    return Ok(Outcome::Proven(whole));
                }
            }
            // What moved one copy may have moved the other.
            for unit in units {
                let own: Vec<i64> = found.shifts(unit).collect();
                let other: Vec<i64> = found.whole.iter().map(|whole| whole.1).collect();
                let new = other.into_iter().filter(|shift| !own.contains(shift));
                if let Some(whole) = self.sources(unit, new, &mut found)? {
                    return Ok(Outcome::Proven(whole));
                }
            }
            if found.copies.len() > before {
                outcome = match (self.heal(&mut found, prove), outcome) {
                    (Outcome::Lost, before) => before,
                    (now, _) => now,
                };
            }
        }
        Ok(outcome)
    }

    fn heal(&self, found: &mut Sources, prove: Prove<'_>) -> Outcome {
        let mut prove = |encoded: &[u8]| prove(encoded, &found.trailing);
        heal(self.layout.code(), &found.copies, &self.budget, &mut prove)
    }

    /// Adds what stands at a shift to the sources of a block. An intact unit is given back.
    fn source(&self, unit: u64, shift: i64, found: &mut Sources) -> Result<Option<Vec<u8>>> {
        let block = self.layout.block_of(unit);
        let len = self.layout.encoded_len(block);
        let Some(Found(mut bytes, range)) = self.read_shifted(unit, shift)? else {
            return Ok(None);
        };
        let whole = range == (0..bytes.len());
        if whole && self.layout.verify(unit, &bytes) {
            bytes.truncate(len);
            return Ok(Some(bytes));
        }
        found.trailing.push(bytes.split_off(len));
        let mut source = Stored {
            bytes,
            present: range.start.min(len)..range.end.min(len),
            shift,
        };
        self.layout.known(block, &mut source);
        if !source.present.is_empty() {
            found.copies.push(source);
            found.whole.push((unit, shift));
        }
        Ok(None)
    }

    /// The same for several shifts.
    fn sources(
        &self,
        unit: u64,
        shifts: impl Iterator<Item = i64>,
        found: &mut Sources,
    ) -> Result<Option<Vec<u8>>> {
        for shift in shifts {
            if let Some(whole) = self.source(unit, shift, found)? {
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// Bytes may be missing or too many inside of the block, and back in step at its end: adds what stands at the shifts
    /// near the given ones at which more rows of a unit are rows of the code than can be by chance.
    fn nearby(&self, unit: u64, known: &[i64], sources: &mut Sources) -> Result<Option<Vec<u8>>> {
        let rows = self.encoded_len(unit).div_ceil(ROW);
        let found = self.best(unit, known, rows * NEARBY as usize / 4, |there| {
            let intact = there
                .chunks(ROW)
                .filter(|row| row.iter().fold(0, |sum, byte| sum ^ byte) == 0)
                .filter(|row| row.iter().any(|&b| b != 0) && self.layout.code().valid(row))
                .count();
            // The code is cyclic: near the right shift, one row in 256 seems intact.
            (intact >= 2 + rows / 64).then_some(std::cmp::Reverse(intact))
        })?;
        self.sources(unit, found.into_iter(), sources)
    }

    /// Adds what stands where anything else than intact units says that the unit may be.
    fn elsewhere(
        &self,
        unit: u64,
        known: &[i64],
        sources: &mut Sources,
    ) -> Result<Option<Vec<u8>>> {
        if self.traces.get().is_none() {
            let traces = self.layout.traces(&*self.source)?;
            self.traces.get_or_init(|| traces);
        }
        let traces = self.traces.get().into_iter().flatten();
        let new = traces
            .filter(|(units, shift)| units.contains(&unit) && !known.contains(shift))
            .map(|&(_, shift)| shift)
            .take(2 * MOST);
        self.sources(unit, new, sources)
    }

    /// Adds the parts of a unit between several breaks, by the rows that lie together in each.
    fn strands(&self, unit: u64, known: &[i64], sources: &mut Sources) -> Result<Option<Vec<u8>>> {
        let len = self.encoded_len(unit);
        let mut sorted = known.to_vec();
        sorted.sort_unstable();
        let mut windows: Vec<Vec<i64>> = Vec::new();
        for shift in sorted {
            match windows.last_mut() {
                Some(window) if window.last().is_some_and(|l| shift - l <= APART) => {
                    window.push(shift);
                }
                _ => windows.push(vec![shift]),
            }
        }
        for window in windows {
            let (Some(&low), Some(&high)) = (window.first(), window.last()) else {
                continue;
            };
            let start = low.saturating_sub(NEARBY);
            let width = usize::try_from(high - low + 2 * NEARBY).unwrap_or(0);
            // Looking for rows costs about as much as hashing.
            if !self.budget.take((len + width) / 4096 + 1) {
                break;
            }
            let Some(Found(piece, _)) = self.read_piece(unit, start, len + width)? else {
                continue;
            };
            let found = strands::find(self.layout.code(), &piece);
            let mut parts: Vec<Stored> = Vec::new();
            for (from_rear, first) in window
                .iter()
                .flat_map(|shift| [(false, shift), (true, shift)])
            {
                let placed = strands::sources(&piece, &found, len, first - start, from_rear);
                for mut part in placed {
                    part.shift += start;
                    let seen = |p: &Stored| p.shift == part.shift && p.present == part.present;
                    if !known.contains(&part.shift) && !parts.iter().any(seen) {
                        parts.push(part);
                    }
                }
            }
            // What is behind the block is in step with its last part, or with its last row.
            let last = parts.iter().max_by_key(|part| part.present.end);
            let last = last.map(|part| part.shift);
            let row = strands::last_row(self.layout.code(), &piece, len);
            let row = row.map(|at| start + at as i64);
            sources.copies.extend(parts);
            let new = last.into_iter().chain(row);
            let new = new.filter(|shift| !known.contains(shift));
            if let Some(whole) = self.sources(unit, new, sources)? {
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// Where no row is intact, adds what stands at the shifts near the given ones at which the first rows decode.
    fn trial(&self, unit: u64, known: &[i64], sources: &mut Sources) -> Result<Option<Vec<u8>>> {
        let mut decoder = self.layout.code().decoder();
        let found = self.best(unit, known, 2 * NEARBY as usize * TRIAL, |there| {
            // The right shift is the one at which the fewest bytes are wrong.
            there.chunks(ROW).take(TRIAL).try_fold(0, |wrong, row| {
                let mut row = row.to_vec();
                let filled = row.iter().any(|&b| b != 0);
                Some(wrong + decoder.decode(&mut row, &[]).filter(|_| filled)?)
            })
        })?;
        self.sources(unit, found.into_iter(), sources)
    }

    /// The new shifts near the given ones with the lowest ratings of what stands there as the encoded block of the
    /// unit. Rating all of those near one takes so much of the budget.
    fn best<R: Ord>(
        &self,
        unit: u64,
        known: &[i64],
        cost: usize,
        mut rate: impl FnMut(&[u8]) -> Option<R>,
    ) -> Result<Vec<i64>> {
        let len = self.encoded_len(unit);
        let mut found: Vec<(R, i64)> = Vec::new();
        for &shift in known {
            if !self.budget.take(cost) {
                break;
            }
            let Some(Found(bytes, _)) = self.read_around(unit, shift, NEARBY)? else {
                continue;
            };
            for (start, other) in (-NEARBY..=NEARBY).enumerate() {
                let there = bytes.get(start..start + len);
                found.extend(there.and_then(&mut rate).map(|r| (r, shift + other)));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.retain(|(_, shift)| !known.contains(shift));
        let shifts = found.into_iter().map(|(_, shift)| shift);
        Ok(shifts.take(MOST).collect())
    }

    fn read_shifted(&self, unit: u64, shift: i64) -> Result<Option<Found>> {
        self.read_around(unit, shift, 0)
    }

    /// Reads a unit at a shift, and so many bytes on either side. Bytes that the file lacks are zero.
    fn read_around(&self, unit: u64, shift: i64, margin: i64) -> Result<Option<Found>> {
        let len = self.encoded_len(unit) + self.layout.trailing();
        let len = len + 2 * usize::try_from(margin).unwrap_or(0);
        self.read_piece(unit, shift.saturating_sub(margin), len)
    }

    /// Reads so many bytes from the place of a unit at a shift. Bytes that the file lacks are zero.
    fn read_piece(&self, unit: u64, shift: i64, len: usize) -> Result<Option<Found>> {
        let wrong = || Error::Misuse("offset beyond 2^63".into());
        let start = i64::try_from(self.layout.offset(unit))
            .map_err(|_| wrong())?
            .checked_add(shift)
            .ok_or_else(wrong)?;
        let skip = usize::try_from(start.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        if skip >= len {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        let got = self
            .source
            .read_full_at(&mut bytes[skip..], start.max(0).unsigned_abs())?;
        Ok((got > 0).then_some(Found(bytes, skip..skip + got)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is left of the copies of one block.
#[derive(Default)]
struct Sources {
    copies: Vec<Stored>,
    /// The units of which all of it is among the copies, and their shifts.
    whole: Vec<(u64, i64)>,
    /// The bytes behind each.
    trailing: Vec<Vec<u8>>,
}

impl Sources {
    fn shifts(&self, unit: u64) -> impl Iterator<Item = i64> {
        let of_unit = self.whole.iter().filter(move |whole| whole.0 == unit);
        of_unit.map(|&(_, shift)| shift)
    }
}

/// Bytes of a unit, and which of them the file has.
struct Found(Vec<u8>, Range<usize>);
