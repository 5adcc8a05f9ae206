//! Healing one block: a ladder, cheapest rung first.

use std::sync::Arc;

use super::block::Loom;
use super::geometry::Copy;
use super::keys::Keys;
use super::layout::{BELIEVED_BITS, BELIEVED_SHARE, CODE_LEN, FRAME_LEN, TAG_LEN};
use super::order::Order;
use super::scan::{Piece, Segments, Survey, read_past_errors};
use super::sealed::{Opener, Place};
use super::sector::{Frame, Kind, Sector, intact, write_tags};
use super::table::Entry;
use crate::pipeline::Pool;
use crate::rs::{Row, Trust};
use crate::source::Source;
use crate::{Error, Result};

/// One file that holds sectors of the archive.
#[derive(Clone)]
pub struct Replica {
    /// Where its bytes come from.
    pub source: Arc<dyn Source>,
    /// Where in it the canonical order lies.
    pub segments: Arc<Segments>,
    /// The pieces that a scan found, by their blocks.
    pieces: Arc<Vec<Piece>>,
}

impl Replica {
    /// A file of which nothing else is known: everything lies where the canonical order says.
    pub fn canonical(source: Arc<dyn Source>) -> Self {
        Replica {
            source,
            segments: Arc::new(Segments::whole(0)),
            pieces: Arc::default(),
        }
    }

    /// Takes over what a scan found.
    pub fn place(&mut self, order: &Order, survey: Survey) {
        let mut pieces = survey.pieces;
        self.segments = Arc::new(Segments::new(order, &pieces));
        pieces.sort_by_key(|piece| piece.block);
        self.pieces = Arc::new(pieces);
    }

    /// The pieces of one block.
    fn pieces(&self, block: u64) -> &[Piece] {
        let from = self.pieces.partition_point(|piece| piece.block < block);
        let to = self.pieces.partition_point(|piece| piece.block <= block);
        &self.pieces[from..to]
    }
}

/// A range of sectors of one block copy to look at.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The replica.
    pub replica: usize,
    /// Offset in its source.
    pub offset: u64,
    /// The copy that the order expects there.
    pub copy: Copy,
    /// Position in the copy of the first sector.
    pub position: usize,
    /// Number of sectors.
    pub count: usize,
    /// Whether this is where a canonical file has them.
    pub canonical: bool,
}

/// The block to be healed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its number.
    pub block: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its number of data sectors.
    pub k: u8,
    /// What the block table says of it, where there is a table.
    pub entry: Option<Entry>,
}

/// How a block was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Nothing had to be healed.
    Clean,
    /// Some sectors were bad; the others sufficed.
    Erasures,
    /// Errors were corrected column by column.
    Errors,
}

/// What looking at a block found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// Sectors that the first replica should have, and that are missing, damaged or out of place.
    pub bad: u64,
    /// Sectors of which a second reading differed from the first.
    pub unstable: u64,
    /// Header pages that are intact, but not the one that is valid.
    pub stale_pages: u64,
}

/// A block whose data sectors are in hand.
pub struct Healed {
    /// The payloads of the data sectors, one behind the other.
    pub data: Vec<u8>,
    /// How they were had.
    pub rung: Rung,
    /// Length of the raw bytes inside, where the block was opened.
    pub raw_len: Option<u64>,
}

/// What can be done with a block.
pub enum Outcome {
    /// It is whole.
    Healed(Healed),
    /// It is beyond repair.
    Lost,
}

/// Sectors that are read for one block at most, in each replica and once more.
const SECTORS_MAX: usize = 1024;

/// Heals blocks of one archive.
#[derive(Clone)]
pub struct Healer {
    /// What the sectors of the archive have in common.
    pub loom: Loom,
    /// Where to look.
    pub replicas: Vec<Replica>,
    /// Memory that blocks pass on to later blocks.
    pub(super) buffers: Pool,
}

/// The sectors that were read for one block.
struct Hand {
    bytes: Vec<u8>,
    /// For every slot, the sectors that are certain, by index in `bytes`: at most one.
    certain: [Option<usize>; CODE_LEN],
    /// Sectors whose tag fails and whose frame is near the expected one: slot and index.
    believed: Vec<(u8, usize)>,
    /// Where the bytes come from, and go back to.
    buffers: Pool,
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.buffers.give(std::mem::take(&mut self.bytes));
    }
}

impl Healer {
    /// Where the sectors of a block may lie, by the canonical order.
    pub fn regions(&self, order: &Order, block: u64) -> Vec<Region> {
        let geometry = &self.loom.geometry;
        let shift_bits = geometry.sector_shift();
        let mut regions = Vec::new();
        for (replica, Replica { segments, .. }) in self.replicas.iter().enumerate() {
            for &copy in geometry.copies() {
                let start = order.offset(copy, block);
                let count = geometry.sectors(copy, order.k(block)) as u64;
                for (from, to, shift) in segments.find(start, start + (count << shift_bits)) {
                    // Ranges that do not begin on a sector begin with the next one.
                    let position = (from - start).div_ceil(1 << shift_bits);
                    // What would lie before the first byte of the source was cut off.
                    let cut_off = (-(i128::from(start) + i128::from(shift))).max(0) as u64;
                    let position = position.max(cut_off.div_ceil(1 << shift_bits));
                    let end = (to - start) >> shift_bits;
                    let at = start
                        .wrapping_add(position << shift_bits)
                        .wrapping_add_signed(shift);
                    if position < end && at < i64::MAX as u64 {
                        regions.push(Region {
                            replica,
                            offset: at,
                            copy,
                            position: position as usize,
                            count: (end - position) as usize,
                            canonical: shift == 0,
                        });
                    }
                }
            }
        }
        regions
    }

    /// All places where a scan saw a sector of a block, and those where the canonical order has them:
    /// for blocks that are lost otherwise.
    pub fn all_regions(&self, order: &Order, block: u64) -> Vec<Region> {
        let geometry = &self.loom.geometry;
        let k = order.k(block);
        let mut regions = self.regions(order, block);
        for (replica, own) in self.replicas.iter().enumerate() {
            for &copy in geometry.copies() {
                regions.push(Region {
                    replica,
                    offset: order.offset(copy, block),
                    copy,
                    position: 0,
                    count: geometry.sectors(copy, k),
                    canonical: true,
                });
            }
            for piece in own.pieces(block).iter().filter(|piece| piece.k == k) {
                let copy = piece.copy.unwrap_or(Copy::A);
                let (from, to) = (piece.positions.0.into(), usize::from(piece.positions.1) + 1);
                let offset = piece.base + ((from as i64) << geometry.sector_shift());
                regions.push(Region {
                    replica,
                    offset: offset.max(0) as u64,
                    copy,
                    position: from,
                    count: to.min(geometry.sectors(copy, k)) - from,
                    canonical: false,
                });
            }
        }
        regions.sort_by_key(|r| {
            (
                r.replica,
                r.copy,
                r.offset,
                r.position,
                std::cmp::Reverse(r.count),
            )
        });
        regions.dedup_by(|next, first| {
            (next.replica, next.copy) == (first.replica, first.copy)
                && next.offset >= first.offset
                && next.offset - first.offset
                    == ((next.position.wrapping_sub(first.position)) << geometry.sector_shift())
                        as u64
                && next.position + next.count <= first.position + first.count
        });
        regions
    }

    /// Rung 1: reads the data sectors of copy A and opens them. No hash and no parity is touched.
    ///
    /// Returns whether the block opened; if so, the raw bytes are handed to `each`.
    pub fn open_at_once(
        &self,
        order: &Order,
        target: Target,
        keys: &Keys,
        opener: &mut Opener,
        scratch: &mut Scratch,
        each: impl FnOnce(&[u8]),
    ) -> Result<bool> {
        let geometry = &self.loom.geometry;
        let size = geometry.sector_size();
        let Some(Replica {
            source, segments, ..
        }) = self.replicas.first()
        else {
            return Ok(false);
        };
        let start = order.offset(Copy::A, target.block) + size as u64;
        let len = usize::from(target.k) * size;
        let [(from, to, shift)] = segments.find(start, start + len as u64)[..] else {
            return Ok(false);
        };
        let Some(at) = start.checked_add_signed(shift) else {
            return Ok(false);
        };
        if (from, to) != (start, start + len as u64) {
            return Ok(false);
        }
        scratch.sectors.resize(len, 0);
        match source.read_full_at(&mut scratch.sectors, at) {
            Ok(read) if read == len => {}
            _ => return Ok(false),
        }
        scratch.data.clear();
        for sector in scratch.sectors.chunks_exact(size) {
            scratch
                .data
                .extend_from_slice(&sector[FRAME_LEN..size - TAG_LEN]);
        }
        let place = Place {
            archive: self.loom.archive,
            block: target.block,
            kind: target.kind,
        };
        match opener.open(keys, geometry, place, &mut scratch.data) {
            Ok(raw) => {
                each(raw);
                Ok(true)
            }
            Err(Error::Authentication(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Rungs 2 to 4: reads all sectors of the block that can be found, and heals.
    ///
    /// With `keys`, opening the block decides; without them, the block table does; without either,
    /// the tags of the sectors.
    ///
    /// # Errors
    /// [`Error::Authentication`] where enough sectors are intact and the block does not open.
    pub fn heal(
        &self,
        regions: &[Region],
        target: Target,
        keys: Option<&Keys>,
        opener: &mut Opener,
    ) -> Result<(Outcome, Findings)> {
        let regions = self.bounded(regions);
        let (hand, mut findings) = self.gather(regions, target)?;
        let (mut altered, mut raw_len) = (None, None);
        let mut proves = |data: &[u8], certain: bool| -> Result<bool> {
            if let Some(keys) = keys.filter(|_| target.kind != Kind::Table) {
                let place = Place {
                    archive: self.loom.archive,
                    block: target.block,
                    kind: target.kind,
                };
                let mut copy = self.buffers.take();
                copy.clear();
                copy.extend_from_slice(data);
                let opened = opener
                    .open(keys, &self.loom.geometry, place, &mut copy)
                    .map(|raw| raw.len() as u64);
                self.buffers.give(copy);
                return match opened {
                    Ok(len) => {
                        raw_len = Some(len);
                        Ok(true)
                    }
                    Err(error @ Error::Authentication(_)) => {
                        if certain {
                            altered = Some(error);
                        }
                        Ok(false)
                    }
                    Err(error) => Err(error),
                };
            }
            if target.kind == Kind::Table {
                let (geometry, archive) = (&self.loom.geometry, &self.loom.archive);
                let block = super::table::TableBlock::parse(geometry, archive, target.block, data);
                return Ok(block.is_ok());
            }
            match target.entry {
                Some(entry) => Ok(self.entry_of(&hand, target, data) == entry),
                None => Ok(certain),
            }
        };

        if let Some(data) = self.fill(&hand, target)?
            && proves(&data, true)?
        {
            let k = usize::from(target.k);
            let whole = findings.bad == 0 && (1..=k).all(|slot| hand.certain[slot].is_some());
            let rung = if whole { Rung::Clean } else { Rung::Erasures };
            findings.bad += self.wrong_parity(&hand, target, &data)?;
            return Ok((
                Outcome::Healed(Healed {
                    data,
                    rung,
                    raw_len,
                }),
                findings,
            ));
        }
        for judge_certain in [true, false] {
            // Intact sectors that were forged count as doubtful in a second attempt.
            if !judge_certain && hand.certain.iter().all(Option::is_none) {
                break;
            }
            if let Some(data) = self.correct(&hand, target, judge_certain)?
                && proves(&data, false)?
            {
                let rung = Rung::Errors;
                return Ok((
                    Outcome::Healed(Healed {
                        data,
                        rung,
                        raw_len,
                    }),
                    findings,
                ));
            }
        }
        match altered {
            Some(error) => Err(error),
            None => Ok((Outcome::Lost, findings)),
        }
    }

    /// The entry that the block table has for a block of these data.
    fn entry_of(&self, hand: &Hand, target: Target, data: &[u8]) -> Entry {
        let size = self.loom.geometry.sector_size();
        let rows = data.chunks_exact(self.loom.geometry.payload_size());
        let known = |slot: u8, row: &[u8]| {
            hand.certain[usize::from(slot)]
                .map(|index| Sector::new(&hand.bytes[index * size..(index + 1) * size]))
                .filter(|sector| sector.payload() == row)
        };
        // Tags cover frame and payload, so those that are not in hand are made from both.
        let mut made = Vec::new();
        for (slot, row) in (1..=target.k).zip(rows.clone()) {
            if known(slot, row).is_none() {
                made.extend_from_slice(&self.frame(target, slot).to_bytes());
                made.extend_from_slice(row);
                made.extend_from_slice(&[0; TAG_LEN]);
            }
        }
        write_tags(&mut made, size);
        let mut made = made
            .chunks_exact(size)
            .map(|sector| Sector::new(sector).tag());
        let tags: Vec<&[u8]> = (1..=target.k)
            .zip(rows)
            .filter_map(|(slot, row)| {
                known(slot, row).map_or_else(|| made.next(), |s| Some(s.tag()))
            })
            .collect();
        Entry::of(&tags)
    }

    fn frame(&self, target: Target, slot: u8) -> Frame {
        let Target { block, kind, k, .. } = target;
        Frame {
            kind,
            slot,
            k,
            block,
            archive: self.loom.archive,
        }
    }

    /// As many of the regions as a block may take memory for: forged frames can name any number.
    fn bounded<'a>(&self, regions: &'a [Region]) -> &'a [Region] {
        let mut room = SECTORS_MAX * (1 + self.replicas.len());
        let fits = |region: &&Region| {
            room = room.saturating_sub(region.count);
            room > 0
        };
        &regions[..regions.iter().take_while(fits).count()]
    }

    /// Reads the regions and sorts their sectors.
    fn gather(&self, regions: &[Region], target: Target) -> Result<(Hand, Findings)> {
        let geometry = &self.loom.geometry;
        let size = geometry.sector_size();
        let total: usize = regions.iter().map(|region| region.count).sum();
        let mut hand = Hand {
            bytes: self.buffers.take(),
            certain: [None; CODE_LEN],
            believed: Vec::new(),
            buffers: self.buffers.clone(),
        };
        hand.bytes.resize(total * size, 0);
        let mut findings = Findings::default();
        // Which sectors a canonical first replica has where they belong, copy by copy.
        let mut present: Vec<Vec<bool>> = geometry
            .copies()
            .iter()
            .map(|copy| vec![false; geometry.sectors(*copy, target.k)])
            .collect();
        let mut forged = [false; CODE_LEN];
        let mut first = 0;
        for region in regions {
            let (before, bytes) = hand.bytes.split_at_mut(first * size);
            let bytes = &mut bytes[..region.count * size];
            let source = &*self.replicas[region.replica].source;
            let read = read_past_errors(source, bytes, region.offset)?;
            // The buffer still holds the sectors of an earlier block.
            bytes[read..].fill(0);
            let slots: Vec<u8> = geometry.slots(region.copy, target.k).collect();
            let slots = &slots[region.position..region.position + region.count];
            // A sector that equals an intact one is intact, and is not hashed.
            let twin = |i: usize, bytes: &[u8]| {
                hand.certain[usize::from(slots[i])].is_some_and(|index| {
                    bytes[i * size..(i + 1) * size] == before[index * size..(index + 1) * size]
                })
            };
            let twins: Vec<bool> = (0..region.count).map(|i| twin(i, bytes)).collect();
            let mut good = intact(bytes, size, |i| !twins[i] && (i + 1) * size <= read);
            for (good, twin) in good.iter_mut().zip(&twins) {
                *good |= twin;
            }
            findings.unstable += self.read_again(region, bytes, &mut good)?;

            // A range that is searched by mistake holds other sectors of the archive, whose frames
            // differ in few bits. So enough sectors must be the ones expected, or name exactly the
            // slot and block expected.
            let (mut near, mut exact, mut here) = (Vec::new(), 0, 0);
            for (i, (sector, &slot)) in bytes.chunks_exact(size).zip(slots).enumerate() {
                let expected = self.frame(target, slot);
                let sector = Sector::new(sector);
                let index = first + i;
                if good[i] {
                    if sector.frame() != Some(expected) {
                        continue;
                    }
                    here += 1;
                    if slot == 0 && sector.payload() != self.loom.page() {
                        findings.stale_pages += 1;
                        continue;
                    }
                    if region.canonical && region.replica == 0 {
                        let copy = usize::from(region.copy == Copy::B);
                        present[copy][region.position + i] = true;
                    }
                    // Two intact sectors for one slot that differ were made on purpose.
                    forged[usize::from(slot)] |=
                        hand.certain[usize::from(slot)].is_some() && !twins[i];
                    hand.certain[usize::from(slot)].get_or_insert(index);
                } else if slot != 0
                    && (i + 1) * size <= read
                    && expected.distance(sector.frame_bytes()) <= BELIEVED_BITS
                {
                    near.push((slot, index));
                    exact += usize::from(expected.names(sector.frame_bytes()));
                }
            }
            if (exact + here) * BELIEVED_SHARE >= near.len() + here {
                hand.believed.append(&mut near);
            }
            first += region.count;
        }
        for (certain, forged) in hand.certain.iter_mut().zip(forged) {
            if forged {
                *certain = None;
            }
        }
        findings.bad = present
            .iter()
            .flatten()
            .filter(|present| !**present)
            .count() as u64;
        Ok((hand, findings))
    }

    /// Reads sectors whose tag fails once more: memory, cable or controller may be at fault.
    fn read_again(&self, region: &Region, bytes: &mut [u8], good: &mut [bool]) -> Result<u64> {
        let size = self.loom.geometry.sector_size();
        let source = &*self.replicas[region.replica].source;
        let mut unstable = 0;
        let mut again = vec![0; size];
        for (i, sector) in bytes.chunks_exact_mut(size).enumerate() {
            if good[i] {
                continue;
            }
            let at = region.offset + (i * size) as u64;
            let read = read_past_errors(source, &mut again, at)?;
            if read == size && again != *sector {
                unstable += 1;
                if super::sector::is_intact(&again) {
                    sector.copy_from_slice(&again);
                    good[i] = true;
                }
            }
        }
        Ok(unstable)
    }

    /// Rungs 2 and 3: the data sectors from those that are certain, if there are k of them.
    fn fill(&self, hand: &Hand, target: Target) -> Result<Option<Vec<u8>>> {
        let geometry = &self.loom.geometry;
        let size = geometry.payload_size();
        let k = usize::from(target.k);
        let have: Vec<(u8, &[u8])> = hand
            .certain
            .iter()
            .enumerate()
            .skip(1)
            .filter_map(|(slot, index)| Some((slot as u8, self.payload(hand, (*index)?))))
            .collect();
        if have.len() < k {
            return Ok(None);
        }
        // Every row is overwritten.
        let mut data = self.buffers.take();
        data.resize(k * size, 0);
        let mut missing = Vec::new();
        let mut out = Vec::new();
        for (slot, row) in (1..=target.k).zip(data.chunks_exact_mut(size)) {
            match hand.certain[usize::from(slot)] {
                Some(index) => row.copy_from_slice(self.payload(hand, index)),
                None => {
                    missing.push(slot);
                    out.push(row);
                }
            }
        }
        if !missing.is_empty() {
            self.loom.code.reconstruct(k, &have, &missing, &mut out)?;
        }
        Ok(Some(data))
    }

    /// Parity sectors that are intact and do not belong to the data: memory failed before their tag
    /// was made, or somebody altered them.
    fn wrong_parity(&self, hand: &Hand, target: Target, data: &[u8]) -> Result<u64> {
        let geometry = &self.loom.geometry;
        let parity: Vec<(u8, &[u8])> = (geometry.data()..=u8::MAX)
            .skip(1)
            .filter_map(|slot| {
                let index = hand.certain[usize::from(slot)]?;
                Some((slot, self.payload(hand, index)))
            })
            .collect();
        let rows: Vec<&[u8]> = data.chunks_exact(geometry.payload_size()).collect();
        if parity.is_empty() || self.loom.code.is_consistent(&rows, &parity)? {
            return Ok(0);
        }
        let woven = self.loom.weave(
            target.kind,
            target.block,
            data,
            geometry.copies(),
            Vec::new(),
        )?;
        let mut wrong = 0;
        for &copy in geometry.copies() {
            for (slot, row) in &parity {
                if let Some(position) = geometry.position(copy, target.k, *slot) {
                    let right = Sector::new(woven.at(copy, position)).payload();
                    wrong += u64::from(right != *row);
                }
            }
        }
        Ok(wrong)
    }

    /// Rung 4: the data sectors from certain and believed ones, column by column.
    fn correct(&self, hand: &Hand, target: Target, trust_certain: bool) -> Result<Option<Vec<u8>>> {
        let size = self.loom.geometry.payload_size();
        let k = usize::from(target.k);
        // Believed copies of a slot; where two differ, the byte is an erasure.
        let mut rows: Vec<Believed> = Vec::new();
        let mut row_of: [Option<usize>; CODE_LEN] = [None; CODE_LEN];
        for (slot, index) in hand.certain.iter().enumerate().skip(1) {
            if let Some(index) = index {
                row_of[slot] = Some(rows.len());
                rows.push((
                    slot as u8,
                    self.payload(hand, *index).to_vec(),
                    None,
                    trust_certain,
                ));
            }
        }
        for &(slot, index) in &hand.believed {
            let payload = self.payload(hand, index);
            match row_of[usize::from(slot)] {
                // A repetition code counts every copy as a vote of its own.
                Some(_) if k == 1 => rows.push((slot, payload.to_vec(), None, false)),
                Some(row) => {
                    let (_, bytes, mask, certain) = &mut rows[row];
                    if *certain {
                        continue;
                    }
                    let mask = mask.get_or_insert_with(|| vec![0; size]);
                    for ((mask, a), b) in mask.iter_mut().zip(&*bytes).zip(payload) {
                        *mask |= a ^ b;
                    }
                }
                None => {
                    row_of[usize::from(slot)] = Some(rows.len());
                    rows.push((slot, payload.to_vec(), None, false));
                }
            }
        }
        if (1..CODE_LEN).filter(|slot| row_of[*slot].is_some()).count() < k {
            return Ok(None);
        }
        for slot in 1..=target.k {
            if row_of[usize::from(slot)].is_none() {
                row_of[usize::from(slot)] = Some(rows.len());
                rows.push((slot, Vec::new(), None, false));
            }
        }
        let mut received: Vec<Row<'_>> = rows
            .iter_mut()
            .map(|(slot, bytes, mask, certain)| {
                let missing = bytes.is_empty();
                bytes.resize(size, 0);
                let trust = match (missing, *certain, mask) {
                    (true, ..) => Trust::Missing,
                    (_, true, _) => Trust::Certain,
                    (_, _, Some(mask)) => Trust::Masked(mask),
                    _ => Trust::Doubtful,
                };
                Row {
                    slot: *slot,
                    trust,
                    bytes,
                }
            })
            .collect();
        let correction = self.loom.code.correct(k, &mut received)?;
        if !correction.failed.is_empty() {
            return Ok(None);
        }
        let mut data = Vec::with_capacity(k * size);
        for row in row_of.iter().skip(1).take(k).flatten() {
            data.extend_from_slice(&rows[*row].1);
        }
        Ok(Some(data))
    }

    fn payload<'a>(&self, hand: &'a Hand, index: usize) -> &'a [u8] {
        let size = self.loom.geometry.sector_size();
        Sector::new(&hand.bytes[index * size..(index + 1) * size]).payload()
    }
}

/// A row for the decoder: slot, bytes, where copies of it differ, and whether it is certain.
type Believed = (u8, Vec<u8>, Option<Vec<u8>>, bool);

/// Memory that rung 1 uses again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    sectors: Vec<u8>,
    data: Vec<u8>,
}
