//! Where the slots of version 2 lie, and how they prove themselves.

use std::ops::Range;

use memchr::memmem;

use super::format::{DESCRIPTOR, Descriptor, HEADER, Header, TAG, TRAILER};
use super::metadata;
use crate::copies::blocks;
use crate::copies::heal::Stored;
use crate::copies::rows::{Code, ROW, extract};
use crate::source::Source;
use crate::{Error, Result};

/// Bits of a stored tag that may be wrong while it still proves a block: a tag of something else
/// agrees so well once in 2^61.
const TAG_BITS: u32 = 16;

/// Most places where damaged slots may be that are remembered.
const TRACES: usize = 1 << 14;

/// The layout of a container with a known number of blocks.
pub(crate) struct Layout {
    pub(crate) header: Header,
    code: Code,
    blocks: u64,
    /// Bytes of the last block's ciphertext, where they are known.
    last: Option<u32>,
}

impl Layout {
    pub(crate) fn new(header: Header, blocks: u64, last: Option<u32>) -> Result<Self> {
        let code = Code::new(header.geometry.nsym)
            .ok_or_else(|| Error::Misuse("nsym must be 1 to 254".into()))?;
        Ok(Layout {
            header,
            code,
            blocks,
            last,
        })
    }

    /// The descriptor that a block must have, where that is known.
    pub(crate) fn descriptor(&self, block: u64) -> Option<Descriptor> {
        let last = block + 1 == self.blocks;
        let full = self.header.geometry.capacity() + TAG;
        let len = if last {
            self.last?
        } else {
            u32::try_from(full).ok()?
        };
        Some(Descriptor {
            index: block,
            len,
            last,
        })
    }

    /// Whether the data of a block begins with the right descriptor.
    pub(crate) fn described(&self, block: u64, data: &[u8]) -> Option<Descriptor> {
        let found = Descriptor::parse(data, &self.header.geometry)?;
        let right = match self.descriptor(block) {
            Some(expected) => found == expected,
            None => found.index == block && found.last,
        };
        right.then_some(found)
    }

    /// Whether there are only zeros behind the ciphertext.
    pub(crate) fn filled(&self, descriptor: &Descriptor, data: &[u8]) -> bool {
        let end = DESCRIPTOR + usize::try_from(descriptor.len).unwrap_or(usize::MAX);
        data.get(end..)
            .is_some_and(|fill| fill.iter().all(|&b| b == 0))
    }

    /// Whether an encoded block agrees with one of the tags that are stored for it, a few bits of
    /// which may be wrong.
    pub(crate) fn tagged(&self, block: u64, encoded: &[u8], tags: &[Vec<u8>]) -> bool {
        if self.described(block, encoded).is_none() {
            return false;
        }
        let tag = self.header.slot_tag(encoded);
        tags.iter().any(|stored| {
            let bits = tag.iter().zip(stored).map(|(a, b)| (a ^ b).count_ones());
            stored.len() == TAG && bits.sum::<u32>() <= TAG_BITS
        })
    }

    /// The data of an encoded block.
    pub(crate) fn data(&self, encoded: &[u8], data: &mut Vec<u8>) {
        data.clear();
        let encoded = &encoded[..encoded.len().min(self.header.geometry.encoded())];
        extract(encoded, self.header.geometry.nsym, data);
    }
}

impl blocks::Layout for Layout {
    fn code(&self) -> &Code {
        &self.code
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn size(&self) -> u64 {
        2 * (HEADER + TRAILER) as u64 + 2 * self.blocks * self.header.geometry.slot() as u64
    }

    // For s = 0, 1, 2, …: copy A of block s, then copy B of block s - interleave.
    fn unit(&self, copy: u8, block: u64) -> u64 {
        let interleave = self.header.geometry.interleave;
        match copy {
            0 => block + block.saturating_sub(interleave),
            _ => block + self.blocks.min(block + interleave + 1),
        }
    }

    fn block_of(&self, unit: u64) -> u64 {
        let interleave = self.header.geometry.interleave;
        let (blocks, together) = (self.blocks, self.blocks.saturating_sub(interleave));
        if unit < interleave.min(blocks) {
            return unit;
        }
        match unit.checked_sub(interleave).filter(|m| *m < 2 * together) {
            Some(m) if m % 2 == 0 => interleave + m / 2,
            Some(m) => m / 2,
            None => unit.saturating_sub(blocks),
        }
    }

    fn offset(&self, unit: u64) -> u64 {
        HEADER as u64 + unit * self.header.geometry.slot() as u64
    }

    fn encoded_len(&self, _block: u64) -> usize {
        self.header.geometry.encoded()
    }

    /// Descriptor and fill are known.
    fn least(&self, block: u64) -> u64 {
        self.descriptor(block).map_or(0, |d| d.len.into())
    }

    fn trailing(&self) -> usize {
        TAG
    }

    fn verify(&self, unit: u64, stored: &[u8]) -> bool {
        let Some((encoded, tag)) = stored.split_last_chunk::<TAG>() else {
            return false;
        };
        self.described(self.block_of(unit), encoded).is_some()
            && self.header.slot_tag(encoded) == *tag
    }

    fn tells(&self, unit: u64, stored: &[u8]) -> Option<bool> {
        Some(self.described(self.block_of(unit), stored).is_some())
    }

    fn verify_run(&self, unit: u64, stored: &[&[u8]]) -> usize {
        let split = stored.iter().map_while(|slot| slot.split_last_chunk());
        let (encoded, tags): (Vec<&[u8]>, Vec<&[u8; TAG]>) = split.unzip();
        let computed = self.header.slot_tags(&encoded);
        let units = (unit..).zip(encoded.iter().zip(tags.iter().zip(&computed)));
        units
            .take_while(|(unit, (encoded, (tag, computed)))| {
                ***tag == **computed && self.described(self.block_of(*unit), encoded).is_some()
            })
            .count()
    }

    /// The descriptor is known, and so are the zeros behind the last ciphertext. Where the file was
    /// cut off inside of those zeros, the parity over them can be computed.
    fn known(&self, block: u64, stored: &mut Stored) {
        // Without a trailer, an intact first row tells how long the last ciphertext is.
        let stated = || {
            let row = stored.bytes.get(..ROW)?;
            let intact = stored.present.contains(&(ROW - 1)) && self.code.valid(row);
            self.described(block, row).filter(|_| intact)
        };
        let Some(descriptor) = self.descriptor(block).or_else(stated) else {
            return;
        };
        if stored.present.start > 0 {
            return;
        }
        let nsym = self.header.geometry.nsym;
        let k = ROW - nsym;
        let place = |data: usize| data / k * ROW + data % k;
        // A row of fewer than 16 bytes of data does not exist: blocks have 512 and more.
        for (i, &byte) in descriptor.write().iter().enumerate() {
            if place(i) < stored.present.end {
                stored.bytes[place(i)] = byte;
            }
        }
        let end = place(DESCRIPTOR + usize::try_from(descriptor.len).unwrap_or(usize::MAX));
        if !descriptor.last {
            return;
        }
        let len = stored.bytes.len();
        for row in crate::copies::rows::rows(len) {
            let parity = row.end - nsym;
            // The parity of nothing but zeros is zero, too.
            let zeros = if row.start >= end { row.end } else { parity };
            stored.bytes[row.start.max(end).min(zeros)..zeros].fill(0);
            let present = stored.present.end;
            if present < row.end && present >= end.min(parity).max(row.start.min(end)) {
                let mut encoded = Vec::new();
                let data = &stored.bytes[row.start..parity];
                if self.code.encode(data, &mut encoded).is_ok() && encoded.len() == row.len() {
                    let have = present.clamp(parity, row.end);
                    stored.bytes[have..row.end].copy_from_slice(&encoded[have - row.start..]);
                    stored.present.end = row.end;
                }
            }
        }
    }

    /// Descriptors tell where slots begin, and of which block, if the row that they begin can be corrected.
    fn traces(&self, source: &dyn Source) -> Result<Vec<(Range<u64>, i64)>> {
        let mut traces: Vec<(Range<u64>, i64)> = Vec::new();
        let mut decoder = self.code.decoder();
        let geometry = &self.header.geometry;
        metadata::descriptors(
            source,
            geometry,
            &self.code,
            |at, row, descriptor, valid| {
                let mut corrected = row.to_vec();
                let right = valid
                    || decoder.decode(&mut corrected, &[]).is_some()
                        && Descriptor::parse(&corrected, geometry) == Some(descriptor);
                if !right || descriptor.index >= self.blocks {
                    return;
                }
                for unit in [0, 1].map(|copy| self.unit(copy, descriptor.index)) {
                    let nominal = self.offset(unit);
                    let shift = i64::try_from(at).ok().zip(i64::try_from(nominal).ok());
                    if let Some((at, nominal)) = shift.filter(|(at, nominal)| at != nominal)
                        && traces.len() < TRACES
                    {
                        traces.push((unit..unit + 1, at - nominal));
                    }
                }
            },
        )?;
        Ok(traces)
    }

    /// Descriptors tell where slots begin, and of which block; the tag decides.
    fn find(&self, window: &[u8], starts: Range<usize>, work: &mut u64) -> Option<(usize, u64)> {
        let full = u32::try_from(self.header.geometry.capacity() + TAG).ok()?;
        let mut needles = vec![(full, 0)];
        needles.extend(self.last.map(|last| (last, 1)));
        let slot = self.header.geometry.slot();
        let mut found: Option<(usize, u64)> = None;
        for (len, last) in needles {
            let mut needle = [0; 8];
            needle[..4].copy_from_slice(&len.to_be_bytes());
            needle[4] = last;
            let end = found.map_or(starts.end, |f| f.0);
            let text = window.get(starts.start..(end + 16).min(window.len()))?;
            for hit in memmem::find_iter(text, &needle) {
                let Some(start) = (starts.start + hit).checked_sub(8) else {
                    continue;
                };
                let Some(stored) = window.get(start..start + slot) else {
                    break;
                };
                let Some(descriptor) = Descriptor::parse(stored, &self.header.geometry) else {
                    continue;
                };
                if start < starts.start || start >= end || descriptor.index >= self.blocks {
                    continue;
                }
                *work = work.saturating_sub(slot as u64);
                if *work == 0 {
                    return None;
                }
                if self.verify(self.unit(0, descriptor.index), stored) {
                    found = Some((start, descriptor.index));
                    break;
                }
            }
        }
        found
    }
}
