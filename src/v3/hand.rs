//! The sectors that were read for one block, sorted by how far they can be believed.

use std::cmp::Reverse;
use std::io;
use std::ops::Range;

use super::block::Loom;
use super::geometry::Copy;
use super::heal::{Findings, Target};
use super::layout::{BELIEVED_BITS, BELIEVED_SHARE, CODE_LEN};
use super::replica::{Region, Replica};
use super::sector::{Sector, intact, is_intact};
use super::segments::{LONG, STRAY};
use crate::Result;
use crate::pages::Pages;
use crate::pipeline::Pool;
use crate::source::Source;

/// Sectors that are read for one block at most, in each replica and once more.
const SECTORS_MAX: usize = 1024;

/// The sectors that were read for one block.
pub(super) struct Hand {
    bytes: Pages,
    sector_size: usize,
    /// For every slot, the sectors that are certain, by index in `bytes`: at most one.
    certain: [Option<usize>; CODE_LEN],
    /// Sectors whose tag fails and whose frame is near the expected one: slot and index.
    believed: Vec<(u8, usize)>,
    /// Where the bytes come from, and go back to.
    buffers: Pool<Pages>,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.bytes));
    }
}

/// A sector whose tag fails and whose frame is near the one expected at a place.
struct Near {
    /// Replica and offset.
    place: (usize, u64),
    /// Sectors of its region that are exactly the ones expected.
    support: usize,
    /// Whether its region is so short that a misread frame may have made it up.
    stray: bool,
    slot: u8,
    index: usize,
}

/// How the sectors of a block are read.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    /// Those that were read ahead are not read anew. Of the bad sectors of a region the first is read once
    /// more, and all of them if that differs.
    First(&'a Ahead),
    /// All of them, and the bad ones once more.
    Thorough,
}

/// A range of the first replica that was read in the hope that nothing else need be.
#[derive(Default)]
pub(super) struct Ahead {
    offset: u64,
    bytes: Pages,
}

impl Ahead {
    /// Reads a range; what is behind the end of the source is missing in what is returned.
    pub(super) fn read(
        &mut self,
        source: &dyn Source,
        offset: u64,
        len: usize,
    ) -> io::Result<&[u8]> {
        self.offset = offset;
        self.bytes.resize(len);
        let read = source.read_full_at(&mut self.bytes, offset);
        // Of a failed reading nothing is known.
        self.bytes.resize(*read.as_ref().unwrap_or(&0));
        read.map(|_| &*self.bytes)
    }

    /// Forgets what was read.
    pub(super) fn clear(&mut self) {
        self.bytes.resize(0);
    }

    /// As [`Source::read_full_at`], but what was read before is not read anew.
    fn read_full_at(&self, source: &dyn Source, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.offset + self.bytes.len() as u64;
        let inside = offset <= self.offset && end <= offset + buf.len() as u64;
        if self.bytes.is_empty() || !inside {
            return source.read_full_at(buf, offset);
        }
        let (before, rest) = buf.split_at_mut((self.offset - offset) as usize);
        let (known, behind) = rest.split_at_mut(self.bytes.len());
        known.copy_from_slice(&self.bytes);
        let read = source.read_full_at(before, offset)?;
        if read < before.len() {
            return Ok(read);
        }
        Ok(read + known.len() + source.read_full_at(behind, end)?)
    }
}

/// The sectors of one region as they were read: beginning with sector `first` of the hand.
struct Reading<'a> {
    region: &'a Region,
    first: usize,
    /// The slots that the region should hold.
    slots: Vec<u8>,
    /// Which of them are intact.
    good: Vec<bool>,
    /// Which of them equal an intact sector that was in hand before.
    twins: Vec<bool>,
    /// Bytes that the source had.
    read: usize,
}

impl Hand {
    /// Reads the regions and sorts their sectors.
    pub(super) fn gather(
        loom: &Loom,
        replicas: &[Replica],
        regions: &[Region],
        target: Target,
        buffers: &Pool<Pages>,
        look: Look<'_>,
    ) -> Result<(Hand, Findings)> {
        let geometry = &loom.geometry;
        let regions = bounded(regions, replicas.len());
        let total: usize = regions.iter().map(|region| region.count).sum();
        let mut hand = Hand {
            bytes: buffers.take(),
            sector_size: geometry.sector_size(),
            certain: [None; CODE_LEN],
            believed: Vec::new(),
            buffers: buffers.clone(),
        };
        hand.bytes.resize(total * hand.sector_size);
        let mut findings = Findings::default();
        // Which sectors a canonical first replica has where they belong, copy by copy.
        let mut present: Vec<Vec<bool>> = geometry
            .copies()
            .iter()
            .map(|copy| vec![false; geometry.sectors(*copy, target.k)])
            .collect();
        let mut forged = [false; CODE_LEN];
        let mut near = Vec::new();
        let mut first = 0;
        for region in &regions {
            let slots = geometry.slots(region.copy, target.k);
            let slots = slots.skip(region.position).take(region.count).collect();
            let replica = &replicas[region.replica];
            let (reading, unstable) = hand.read(replica, region, first, slots, look)?;
            findings.unstable += unstable;
            let in_place = hand.sort(loom, target, &reading, &mut forged, &mut near);
            if region.canonical && region.replica == 0 {
                let copy = usize::from(region.copy == Copy::B);
                for i in in_place {
                    present[copy][region.position + i] = true;
                }
            }
            first += region.count;
        }
        hand.believe(near);
        // Sectors that contradict each other are certain no longer: what they agree in may be right.
        for (slot, forged) in (0..=u8::MAX).zip(forged) {
            if forged && let Some(index) = hand.certain[usize::from(slot)].take() {
                hand.believed.push((slot, index));
                findings.bad += 1;
            }
        }
        let present = present.iter().flatten();
        findings.bad += present.filter(|present| !**present).count() as u64;
        Ok((hand, findings))
    }

    /// Reads a region; the number of sectors that differed when they were read once more is returned too.
    fn read<'a>(
        &mut self,
        replica: &Replica,
        region: &'a Region,
        first: usize,
        slots: Vec<u8>,
        look: Look<'_>,
    ) -> Result<(Reading<'a>, u64)> {
        let size = self.sector_size;
        let source = &*replica.source;
        let (before, bytes) = self.bytes.split_at_mut(first * size);
        let bytes = &mut bytes[..region.count * size];
        let read = match look {
            Look::First(ahead) if region.replica == 0 => {
                ahead.read_full_at(source, bytes, region.offset)?
            }
            _ => source.read_full_at(bytes, region.offset)?,
        };
        // The buffer still holds the sectors of an earlier block.
        bytes[read..].fill(0);
        // A sector that equals an intact one is intact, and is not hashed.
        let is_twin = |slot: u8, sector: &[u8]| {
            let known = self.certain[usize::from(slot)];
            known.is_some_and(|index| *sector == before[index * size..(index + 1) * size])
        };
        let twins = |bytes: &[u8]| -> Vec<bool> {
            let sectors = slots.iter().zip(bytes.chunks_exact(size));
            sectors
                .map(|(&slot, sector)| is_twin(slot, sector))
                .collect()
        };
        let mut equal = twins(bytes);
        let mut good = intact(bytes, size, |i| !equal[i] && (i + 1) * size <= read);
        for (good, twin) in good.iter_mut().zip(&equal) {
            *good |= twin;
        }
        let bad = good.iter().position(|good| !good);
        let last = good.iter().rposition(|good| !good);
        let mut unstable = 0;
        if let (Some(bad), Some(last)) = (bad, last) {
            let mut again = |range| {
                reread(
                    source,
                    region.offset,
                    bytes,
                    &mut good,
                    range,
                    &self.buffers,
                )
            };
            unstable = again(bad..bad + 1)?;
            if matches!(look, Look::Thorough) || unstable > 0 {
                unstable += again(bad + 1..last + 1)?;
            }
        }
        if unstable > 0 {
            equal = twins(bytes);
        }
        let reading = Reading {
            region,
            first,
            slots,
            good,
            twins: equal,
            read,
        };
        Ok((reading, unstable))
    }

    /// Sorts the sectors of a reading; returns those that are what should stand in their place.
    fn sort(
        &mut self,
        loom: &Loom,
        target: Target,
        reading: &Reading<'_>,
        forged: &mut [bool; CODE_LEN],
        believed: &mut Vec<Near>,
    ) -> Vec<usize> {
        let size = self.sector_size;
        let (mut in_place, mut near) = (Vec::new(), Vec::new());
        // A range that is searched by mistake holds other sectors of the archive, whose frames
        // differ in few bits. So enough sectors must be the ones expected, or name exactly the
        // slot and block expected.
        let (mut exact, mut here) = (0, 0);
        let bytes = &self.bytes[reading.first * size..][..reading.region.count * size];
        for (i, (bytes, &slot)) in bytes.chunks_exact(size).zip(&reading.slots).enumerate() {
            let expected = target.frame(loom, slot);
            let sector = Sector::new(bytes);
            let index = reading.first + i;
            if reading.good[i] {
                if sector.frame() != Some(expected) {
                    continue;
                }
                here += 1;
                // A header page that is not the valid one is out of place everywhere.
                if slot == 0 && sector.payload() != loom.page() {
                    continue;
                }
                in_place.push(i);
                // Two intact sectors for one slot that differ were made on purpose.
                let certain = &mut self.certain[usize::from(slot)];
                if certain.is_some() && !reading.twins[i] && slot != 0 {
                    forged[usize::from(slot)] = true;
                    self.believed.push((slot, index));
                }
                certain.get_or_insert(index);
            } else if slot != 0 && (i + 1) * size <= reading.read {
                if expected.distance(sector.frame_bytes()) > BELIEVED_BITS {
                    continue;
                }
                near.push((slot, index, i));
                exact += usize::from(expected.names(sector.frame_bytes()));
            }
        }
        let support = exact + here;
        if support * BELIEVED_SHARE >= near.len() + here {
            let region = reading.region;
            believed.extend(near.into_iter().map(|(slot, index, i)| Near {
                place: (region.replica, region.offset + (i * size) as u64),
                support,
                stray: !region.canonical && region.count < STRAY,
                slot,
                index,
            }));
        }
        in_place
    }

    /// Takes over the sectors that are believed.
    ///
    /// One that several regions hold, for instance as a sector of copy A and as one of copy B, counts
    /// once: for the region that is right about most of its sectors. A frame with a flipped bit may
    /// name any slot and block, so a lone sector says nothing of a slot that a long region has.
    fn believe(&mut self, mut near: Vec<Near>) {
        near.sort_by_key(|near| (near.place, Reverse(near.support)));
        near.dedup_by_key(|near| near.place);
        let mut most = [0; CODE_LEN];
        for near in &near {
            let most = &mut most[usize::from(near.slot)];
            *most = near.support.max(*most);
        }
        let believed = near
            .iter()
            .filter(|near| !near.stray || most[usize::from(near.slot)] < LONG);
        self.believed
            .extend(believed.map(|near| (near.slot, near.index)));
    }

    /// The intact sector of a slot.
    pub(super) fn certain(&self, slot: u8) -> Option<Sector<'_>> {
        self.certain[usize::from(slot)].map(|index| self.sector(index))
    }

    /// The intact sectors of the code, by their slots.
    pub(super) fn all_certain(&self) -> impl Iterator<Item = (u8, Sector<'_>)> {
        (1..=u8::MAX).filter_map(|slot| Some((slot, self.certain(slot)?)))
    }

    /// The sectors whose tag fails and whose frame is near the expected one. A slot may have several.
    pub(super) fn believed(&self) -> impl Iterator<Item = (u8, Sector<'_>)> {
        let all = self.believed.iter();
        all.map(|&(slot, index)| (slot, self.sector(index)))
    }

    fn sector(&self, index: usize) -> Sector<'_> {
        Sector::new(&self.bytes[index * self.sector_size..][..self.sector_size])
    }
}

/// Reads these sectors of a region once more: memory, cable or controller may be at fault. Returns how many of
/// those that are not intact differ then; one that is intact takes the place of what was read first.
fn reread(
    source: &dyn Source,
    offset: u64,
    bytes: &mut [u8],
    good: &mut [bool],
    sectors: Range<usize>,
    buffers: &Pool<Pages>,
) -> Result<u64> {
    let size = bytes.len() / good.len();
    let mut again = buffers.take();
    again.resize(sectors.len() * size);
    let read = source.read_full_at(&mut again, offset + (sectors.start * size) as u64)?;
    let mut unstable = 0;
    let first = bytes.chunks_exact_mut(size).zip(good).skip(sectors.start);
    for ((sector, good), again) in first.zip(again[..read].chunks_exact(size)) {
        if !*good && again != sector {
            unstable += 1;
            if is_intact(again) {
                sector.copy_from_slice(again);
                *good = true;
            }
        }
    }
    buffers.give(again);
    Ok(unstable)
}

/// As many of the regions as a block may take memory for, the canonical ones first: forged and
/// misread frames can name any number.
fn bounded(regions: &[Region], replicas: usize) -> Vec<Region> {
    let mut regions = regions.to_vec();
    regions.sort_by_key(|region| !region.canonical);
    let mut room = SECTORS_MAX * (1 + replicas);
    let fits = |region: &Region| {
        room = room.saturating_sub(region.count);
        room > 0
    };
    let count = regions.iter().copied().take_while(fits).count();
    regions.truncate(count);
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_read_ahead_is_read() {
        struct Broken;
        impl Source for Broken {
            fn size(&self) -> io::Result<u64> {
                Ok(1 << 20)
            }
            fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
                Err(io::ErrorKind::TimedOut.into())
            }
        }
        let source: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut ahead = Ahead::default();
        for (offset, len) in [(0, 4096), (512, 2048), (9000, 4096), (700, 100)] {
            for broken in [false, true] {
                match broken {
                    true => assert!(ahead.read(&Broken, offset, len).is_err()),
                    false => assert!(ahead.read(&source, offset, len).is_ok()),
                }
                let mut found = vec![7; 8192];
                let read = ahead.read_full_at(&source, &mut found, 0).unwrap();
                assert_eq!((read, &found[..]), (8192, &source[..8192]));
                // A range that ends behind the file.
                let read = ahead.read_full_at(&source, &mut found, 8000).unwrap();
                assert_eq!((read, &found[..2000]), (2000, &source[8000..]));
            }
        }
    }

    #[test]
    fn a_sector_in_two_regions_counts_once() {
        let mut hand = Hand {
            bytes: Pages::new(),
            sector_size: 512,
            certain: [None; CODE_LEN],
            believed: Vec::new(),
            buffers: Pool::default(),
        };
        let near = |place, support, slot, index| Near {
            place,
            support,
            stray: support < STRAY,
            slot,
            index,
        };
        hand.believe(vec![
            // Slot 240 stands in copy B where copy A has slot 224.
            near((0, 512), 224, 224, 0),
            near((0, 512), 239, 240, 7),
            // The same place of two regions.
            near((0, 1024), 240, 5, 1),
            near((0, 1024), 240, 5, 8),
            // The same offset in another file.
            near((1, 512), 224, 224, 9),
            // A sector of another block whose frame was misread.
            near((0, 9216), 1, 5, 10),
            // A sector that nothing longer speaks for.
            near((0, 9728), 1, 6, 11),
        ]);
        assert_eq!(hand.believed, [(240, 7), (5, 1), (6, 11), (224, 9)]);
    }
}
