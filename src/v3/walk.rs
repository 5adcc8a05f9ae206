//! The walk: what the blocks of a file are, read from its beginning, where every frame is damaged
//! and nothing was moved ("Dense bit rot").
//!
//! A block copy has ten frames or more, and they differ in their slots only. So a majority of them
//! tells what one of them no longer does: the kind of the block and its number of data sectors. These
//! say where the next block copy begins.

use std::collections::BTreeMap;

use super::geometry::{Copy, Geometry};
use super::layout::{BELIEVED_BITS, FRAME_LEN};
use super::scan::Vote;
use super::sector::{ArchiveId, Frame, Kind};
use crate::Result;
use crate::source::Source;

/// Of the frames of a block copy, one in so many may be no frame at all.
const BROKEN_SHARE: usize = 4;

/// Walks through copy A of all blocks. `None` where the file does not begin with them, or where they
/// do not end in a table block, or are not followed by what the canonical order has behind them.
pub(super) fn walk(
    source: &dyn Source,
    archive: ArchiveId,
    geometry: &Geometry,
    lag: u32,
) -> Result<Option<BTreeMap<u64, Vote>>> {
    let walker = Walker {
        source,
        archive,
        geometry,
    };
    let mut votes: BTreeMap<u64, Vote> = BTreeMap::new();
    let mut at = 0;
    for block in 0.. {
        let Some(vote) = walker.copy_a(at, block)? else {
            break;
        };
        at += walker.len(Copy::A, vote.k);
        votes.insert(block, vote);
        // With a lag, copy B of a block that is known already follows.
        if lag > 0
            && let Some(before) = block.checked_sub(lag.into())
            && let Some(vote) = votes.get(&before)
        {
            at += walker.len(Copy::B, vote.k);
        }
    }
    let blocks = votes.len() as u64;
    let behind = match lag {
        0 => 0,
        lag => blocks.saturating_sub(lag.into()),
    };
    let closed = match votes.get(&behind) {
        Some(vote) if geometry.copies().len() == 2 => {
            walker.is_copy(at, Copy::B, behind, vote.kind, vote.k)?
        }
        Some(_) => walker.is_end(at, blocks)?,
        None => false,
    };
    let whole = votes
        .last_key_value()
        .is_some_and(|(_, last)| last.kind == Kind::Table);
    Ok((closed && whole).then_some(votes))
}

struct Walker<'a> {
    source: &'a dyn Source,
    archive: ArchiveId,
    geometry: &'a Geometry,
}

impl Walker<'_> {
    fn len(&self, copy: Copy, k: u8) -> u64 {
        (self.geometry.sectors(copy, k) as u64) << self.geometry.sector_shift()
    }

    /// The frames of up to `count` sectors from an offset on.
    fn frames(&self, at: u64, count: usize) -> Result<Vec<u8>> {
        let size = self.geometry.sector_size();
        let mut sectors = vec![0; count * size];
        let read = self.source.read_full_at(&mut sectors, at)?;
        let whole = sectors[..read].chunks_exact(size);
        Ok(whole
            .flat_map(|sector| &sector[..FRAME_LEN])
            .copied()
            .collect())
    }

    /// Kind and number of data sectors of the block whose copy A begins at an offset.
    fn copy_a(&self, at: u64, block: u64) -> Result<Option<Vote>> {
        let geometry = self.geometry;
        let frames = self.frames(at, geometry.sectors(Copy::A, geometry.data()))?;
        let Some((kind, k)) = self.stated(&frames, Copy::A, block) else {
            return Ok(None);
        };
        let fits = kind != Kind::End
            && (1..=geometry.data()).contains(&k)
            && self.fits(&frames, Copy::A, block, kind, k);
        Ok(fits.then(|| Vote {
            kind,
            k,
            hits: geometry.sectors(Copy::A, k) as u32,
        }))
    }

    /// Kind and number of data sectors that most of the first frames state, if they are those of a
    /// copy of this block. As many of them take part as the shortest copy has.
    fn stated(&self, frames: &[u8], copy: Copy, block: u64) -> Option<(Kind, u8)> {
        let first = frames.get(..self.geometry.sectors(copy, 1) * FRAME_LEN)?;
        let number = std::array::from_fn(|i| majority(first, 8 + i));
        let kind = Kind::from_byte(majority(first, 5))?;
        (u64::from_le_bytes(number) == block).then(|| (kind, majority(first, 7)))
    }

    fn is_copy(&self, at: u64, copy: Copy, block: u64, kind: Kind, k: u8) -> Result<bool> {
        let frames = self.frames(at, self.geometry.sectors(copy, k))?;
        let stated = self.stated(&frames, copy, block) == Some((kind, k));
        Ok(stated && self.fits(&frames, copy, block, kind, k))
    }

    fn is_end(&self, at: u64, blocks: u64) -> Result<bool> {
        let end = Frame {
            kind: Kind::End,
            slot: 0,
            k: 0,
            block: blocks,
            archive: self.archive,
        };
        let frame = self.frames(at, 1)?;
        // A frame of a data block with a small number is near to that of the end too, but for its kind.
        Ok(frame.len() == FRAME_LEN
            && end.distance(&frame) <= BELIEVED_BITS
            && frame[5].count_ones() > 4)
    }

    /// Whether nearly all of the frames are those that a copy of such a block has.
    fn fits(&self, frames: &[u8], copy: Copy, block: u64, kind: Kind, k: u8) -> bool {
        let count = self.geometry.sectors(copy, k);
        let slots = self.geometry.slots(copy, k);
        let near = slots
            .zip(frames.chunks_exact(FRAME_LEN))
            .filter(|&(slot, stored)| {
                let expected = Frame {
                    kind,
                    slot,
                    k,
                    block,
                    archive: self.archive,
                };
                expected.distance(stored) <= BELIEVED_BITS
            })
            .count();
        frames.len() >= count * FRAME_LEN && near >= count - count / BROKEN_SHARE
    }
}

/// What most frames have at one of their bytes, bit by bit.
fn majority(frames: &[u8], byte: usize) -> u8 {
    let count = frames.len() / FRAME_LEN;
    (0..8).fold(0, |value, bit| {
        let ones = frames
            .chunks_exact(FRAME_LEN)
            .filter(|frame| frame[byte] >> bit & 1 == 1)
            .count();
        value | u8::from(2 * ones > count) << bit
    })
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Profile;
    use super::super::order::Order;
    use super::*;

    const ARCHIVE: ArchiveId = [0xa7; 16];
    const KINDS: [Kind; 6] = [
        Kind::Data,
        Kind::Data,
        Kind::Data,
        Kind::Index,
        Kind::Manifest,
        Kind::Table,
    ];

    /// Found by a fuzzer: 13 bits of the frame of a sector that was moved differ from those of the end.
    #[test]
    fn a_data_sector_is_not_the_end() {
        let geometry = Geometry::of(Profile::Light, 9).unwrap();
        let file = file(&geometry, 0, &[6, 5, 1, 1, 1, 1]);
        assert!(walk(&file, ARCHIVE, &geometry, 0).unwrap().is_some());
        let first = geometry.sectors(Copy::A, 6) * 512;
        let end = geometry.sectors(Copy::A, 5) * 512;
        let mut moved = file[..first].to_vec();
        moved.extend_from_slice(&file[first + end - 512..first + end]);
        moved.extend_from_slice(&file[first + end..]);
        assert!(walk(&moved, ARCHIVE, &geometry, 0).unwrap().is_none());
    }

    /// The frames of a whole file, with nothing behind them.
    fn file(geometry: &Geometry, lag: u32, ks: &[u8]) -> Vec<u8> {
        let order = Order::new(*geometry, lag, ks.to_vec());
        let size = geometry.sector_size();
        let mut file = Vec::new();
        let mut push = |frame: Frame| {
            file.extend_from_slice(&frame.to_bytes());
            file.resize(file.len() + size - FRAME_LEN, 0);
        };
        for (copy, block) in order.walk() {
            let (kind, k) = (KINDS[block as usize], order.k(block));
            for slot in geometry.slots(copy, k) {
                push(Frame {
                    kind,
                    slot,
                    k,
                    block,
                    archive: ARCHIVE,
                });
            }
        }
        let blocks = order.blocks();
        push(Frame {
            kind: Kind::End,
            slot: 0,
            k: 0,
            block: blocks,
            archive: ARCHIVE,
        });
        file
    }

    /// Flips every bit with a probability of one in `one_in`.
    fn rot(file: &mut [u8], one_in: u32, mut seed: u64) {
        for byte in file {
            for bit in 0..8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                if ((seed >> 20) as u32).is_multiple_of(one_in) {
                    *byte ^= 1 << bit;
                }
            }
        }
    }

    #[test]
    fn blocks_are_found_where_every_thirtieth_bit_is_flipped() {
        for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
            let geometry = Geometry::of(profile, 9).unwrap();
            let ks = [geometry.data(), geometry.data(), 77, 1, 2, 1];
            let lags: &[u32] = if profile == Profile::Light {
                &[0]
            } else {
                &[0, 1, 2, 9]
            };
            for &lag in lags {
                let mut file = file(&geometry, lag, &ks);
                rot(&mut file, 30, 0x9e37_79b9_7f4a_7c15 + u64::from(lag));
                let votes = walk(&file, ARCHIVE, &geometry, lag).unwrap();
                let votes = votes.unwrap_or_else(|| panic!("{profile:?} lag {lag}"));
                let found: Vec<_> = votes.values().map(|vote| (vote.kind, vote.k)).collect();
                let right: Vec<_> = KINDS.into_iter().zip(ks).collect();
                assert_eq!(found, right, "{profile:?} lag {lag}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_not_walked() {
        let geometry = Geometry::of(Profile::Standard, 9).unwrap();
        let ks = [geometry.data(), geometry.data(), 77, 1, 2, 1];
        let whole = file(&geometry, 0, &ks);
        for (from, to) in [
            (1, whole.len()),
            (0, whole.len() / 2),
            (whole.len() / 2, whole.len()),
        ] {
            let part = whole[from..to].to_vec();
            assert!(walk(&part, ARCHIVE, &geometry, 0).unwrap().is_none());
        }
    }
}
