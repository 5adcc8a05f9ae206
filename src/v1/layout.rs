//! Where the blocks of version 1 lie, and how they prove themselves.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use memchr::memmem;

use super::format::{HEADER, MAGIC, MANIFEST_START, hash};
use super::manifest::Manifest;
use super::metadata::NEAR;
use crate::copies::heal::Stored;
use crate::copies::rows::{Code, ROW};
use crate::copies::{blocks, read};
use crate::hash::blake2b_128_many;
use crate::source::Source;
use crate::{Error, Result};

/// Most traces of one kind at an end of the file.
const TRACES: usize = 8;
/// What checking a row costs, in bytes hashed.
const CHECK: u64 = 128;

/// The layout that a manifest of a certain length states.
pub(crate) struct Layout {
    pub(crate) manifest: Manifest,
    code: Code,
    /// Where copy A begins.
    start: u64,
    by_hash: OnceLock<HashMap<[u8; 16], u64>>,
}

impl Layout {
    pub(crate) fn new(manifest: Manifest, manifest_len: u64) -> Result<Self> {
        let code = Code::new(manifest.nsym)
            .ok_or_else(|| Error::Misuse("nsym must be 1 to 254".into()))?;
        Ok(Layout {
            manifest,
            code,
            start: HEADER as u64 + 2 * manifest_len,
            by_hash: OnceLock::new(),
        })
    }

    /// Whether the encoded block has the hash that the manifest states.
    pub(crate) fn proven(&self, block: u64, encoded: &[u8]) -> bool {
        let index = usize::try_from(block).unwrap_or(usize::MAX);
        self.manifest.encoded_hashes.get(index) == Some(&hash(encoded))
    }

    fn encoded(&self, block: u64) -> usize {
        self.manifest.encoded_len(block)
    }
}

impl blocks::Layout for Layout {
    fn code(&self) -> &Code {
        &self.code
    }

    fn blocks(&self) -> u64 {
        self.manifest.blocks()
    }

    fn size(&self) -> u64 {
        self.start + 2 * self.manifest.copy_len + HEADER as u64
    }

    fn unit(&self, copy: u8, block: u64) -> u64 {
        u64::from(copy) * self.blocks() + block
    }

    fn block_of(&self, unit: u64) -> u64 {
        unit % self.blocks()
    }

    fn offset(&self, unit: u64) -> u64 {
        let copy = unit / self.blocks();
        self.start + copy * self.manifest.copy_len + self.block_of(unit) * self.encoded(0) as u64
    }

    fn encoded_len(&self, block: u64) -> usize {
        self.encoded(block)
    }

    fn least(&self, block: u64) -> u64 {
        self.manifest.data_len(block) as u64
    }

    fn trailing(&self) -> usize {
        0
    }

    fn verify(&self, unit: u64, stored: &[u8]) -> bool {
        self.proven(self.block_of(unit), stored)
    }

    fn tells(&self, _unit: u64, _stored: &[u8]) -> Option<bool> {
        None
    }

    fn verify_run(&self, unit: u64, stored: &[&[u8]]) -> usize {
        let mut right = vec![false; stored.len()];
        blake2b_128_many(b"", stored.iter().copied(), |i, digest| {
            let block = self.block_of(unit + i as u64);
            let index = usize::try_from(block).unwrap_or(usize::MAX);
            right[i] = self.manifest.encoded_hashes.get(index) == Some(&digest);
        });
        right.iter().take_while(|&&right| right).count()
    }

    fn known(&self, _block: u64, _encoded: &mut Stored) {}

    /// Headers and manifests tell by how much something moved; where two pieces were exchanged, the other one moved the
    /// other way.
    fn traces(&self, source: &dyn Source) -> Result<Vec<(Range<u64>, i64)>> {
        let size = source.size()?;
        let places = |offset: u64| i64::try_from(offset).unwrap_or(i64::MAX);
        let manifest = places((self.start - HEADER as u64) / 2);
        let header = places(HEADER as u64);
        let back = places(blocks::Layout::size(self)) - header;
        let mut shifts: Vec<i64> = Vec::new();
        for start in [0, size.saturating_sub(NEAR)] {
            let bytes = read(source, start, NEAR)?;
            let at = |hit: usize| places(start) + hit as i64;
            for hit in memmem::find_iter(&bytes, MANIFEST_START).take(TRACES) {
                shifts.extend([at(hit) - header, at(hit) - header - manifest]);
            }
            for hit in memmem::find_iter(&bytes, MAGIC).take(TRACES) {
                shifts.extend([at(hit), at(hit) - back]);
            }
        }
        let mut traces: Vec<(Range<u64>, i64)> = Vec::new();
        for shift in shifts.into_iter().flat_map(|shift| [shift, -shift]) {
            if shift != 0 && traces.iter().all(|trace| trace.1 != shift) {
                traces.push((0..2 * self.blocks(), shift));
            }
        }
        Ok(traces)
    }

    /// A place where rows begin to be rows of the code may be the beginning of a block. (At any
    /// other place the bytes of two rows are mixed.) Its hash tells which block. Where blocks are made of
    /// rows of one length, each row may be the first.
    fn find(&self, window: &[u8], starts: Range<usize>, work: &mut u64) -> Option<(usize, u64)> {
        let by_hash = self.by_hash.get_or_init(|| {
            let hashes = self.manifest.encoded_hashes.iter();
            hashes.copied().zip(0..).collect()
        });
        let last = self.blocks() - 1;
        let (long, short) = (self.encoded(0), self.encoded(last));
        let row = long.min(ROW);
        let uniform = long.is_multiple_of(row);
        // The first syndrome is the sum of all bytes, which rolls along.
        let mut sum = window
            .get(starts.start..starts.start + row)?
            .iter()
            .fold(0, |s, b| s ^ b);
        for at in starts {
            let word = window.get(at..at + row)?;
            if sum == 0 {
                // As much as hashing so many bytes.
                *work = work.saturating_sub(CHECK);
                if *work == 0 {
                    return None;
                }
            }
            if sum == 0 && word.iter().any(|&b| b != 0) && self.code.valid(word) {
                let before = at.checked_sub(row).filter(|_| !uniform);
                let goes_on = before.is_some_and(|p| self.code.valid(&window[p..at]));
                for len in [long, short] {
                    if goes_on || at + len > window.len() {
                        continue;
                    }
                    *work = work.saturating_sub(len as u64);
                    if *work == 0 {
                        return None;
                    }
                    let block = by_hash.get(&hash(&window[at..at + len]));
                    if let Some(&block) = block.filter(|&&b| self.encoded(b) == len) {
                        return Some((at, block));
                    }
                }
            }
            sum ^= window[at] ^ window.get(at + row).copied().unwrap_or(0);
        }
        None
    }
}
