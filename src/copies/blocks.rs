//! The blocks of a container, each healed from its two copies as it is asked for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::heal::{Budget, Outcome, Stored, heal};
use super::locate::{Map, locate};
use super::rows::Code;
use crate::source::Source;
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
    /// Bytes that are stored with each copy behind the encoded block.
    fn trailing(&self) -> usize;
    /// Whether a unit, with its trailing bytes, is as it was written.
    fn verify(&self, unit: u64, stored: &[u8]) -> bool;
    /// Sets what must stand in an encoded block whatever its contents are.
    fn known(&self, block: u64, encoded: &mut Stored);
    /// The first intact unit that begins inside `starts` of the window, and the number of its block.
    /// `work` is what may still be spent, in bytes hashed.
    fn find(&self, window: &[u8], starts: Range<usize>, work: &mut u64) -> Option<(usize, u64)>;
}

/// What a damaged block can be proven by.
pub(crate) type Prove<'a> = &'a mut dyn FnMut(&[u8], &[Vec<u8>]) -> bool;

/// The blocks, with what is known about the damage.
pub(crate) struct Blocks<L> {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) layout: L,
    limits: Limits,
    map: OnceLock<Map>,
    budget: Budget,
}

impl<L: Layout> Blocks<L> {
    pub(crate) fn new(source: Arc<dyn Source>, layout: L, limits: Limits) -> Self {
        let source_size = layout.size();
        Blocks {
            source,
            layout,
            limits,
            map: OnceLock::new(),
            budget: Budget::new(source_size),
        }
    }

    /// Where the units are. The first call reads the whole file.
    pub(crate) fn map(&self) -> Result<&Map> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let map = locate(&*self.source, &self.layout, self.limits.memory)?;
        Ok(self.map.get_or_init(|| map))
    }

    /// Reads a unit where it should be, and says whether the file has all of it.
    pub(crate) fn read(&self, unit: u64, stored: &mut Vec<u8>) -> Result<bool> {
        let len = self.layout.encoded_len(self.layout.block_of(unit)) + self.layout.trailing();
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
        let end = self.layout.offset(unit).saturating_add_signed(shift)
            + self.layout.encoded_len(self.layout.block_of(unit)) as u64;
        let mut bytes = [0; N];
        self.source.read_full_at(&mut bytes, end)?;
        Ok(bytes)
    }

    /// The encoded block, from whichever copy is intact, or healed from both.
    ///
    /// `prove` is given an encoded block and the trailing bytes of the copies in hand.
    pub(crate) fn block(&self, block: u64, prove: Prove<'_>) -> Result<Outcome> {
        let units = [0, 1].map(|copy| self.layout.unit(copy, block));
        let len = self.layout.encoded_len(block);
        let mut stored = Vec::new();
        for unit in units {
            if self.read(unit, &mut stored)? && self.layout.verify(unit, &stored) {
                stored.truncate(len);
                return Ok(Outcome::Proven(stored));
            }
        }
        let map = self.map()?;
        let mut sources: Vec<Stored> = Vec::new();
        let mut trailing = Vec::new();
        for unit in units {
            for shift in map.shifts(unit) {
                let Some(mut found) = self.read_shifted(unit, shift)? else {
                    continue;
                };
                if found.whole() && self.layout.verify(unit, &found.0) {
                    found.0.truncate(len);
                    return Ok(Outcome::Proven(found.0));
                }
                trailing.push(found.0.split_off(len));
                let present = found.1.start.min(len)..found.1.end.min(len);
                let mut source = Stored {
                    bytes: found.0,
                    present,
                };
                self.layout.known(block, &mut source);
                if !source.present.is_empty() {
                    sources.push(source);
                }
            }
        }
        let mut prove = |encoded: &[u8]| prove(encoded, &trailing);
        Ok(heal(self.layout.code(), &sources, &self.budget, &mut prove))
    }

    fn read_shifted(&self, unit: u64, shift: i64) -> Result<Option<Found>> {
        let len = self.layout.encoded_len(self.layout.block_of(unit)) + self.layout.trailing();
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

/// Bytes of a unit, and which of them the file has.
struct Found(Vec<u8>, Range<usize>);

impl Found {
    fn whole(&self) -> bool {
        self.1 == (0..self.0.len())
    }
}
