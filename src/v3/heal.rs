//! Healing one block: a ladder, cheapest rung first.

use super::block::Loom;
use super::geometry::Copy;
use super::hand::{Ahead, Hand, Look};
use super::judge::Judge;
use super::keys::Keys;
use super::layout::{CODE_LEN, FRAME_LEN, TAG_LEN};
use super::order::Order;
use super::replica::{Region, Replica};
use super::sealed::{Opener, Place};
use super::sector::{Frame, Kind, Sector};
use super::table::Entry;
use crate::pages::Pages;
use crate::pipeline::Pool;
use crate::rs::{Row, Trust};
use crate::{Error, Result};

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
    /// Whether sectors were needed that lie where they do not belong.
    pub elsewhere: bool,
}

/// A block whose data sectors are in hand.
pub struct Healed {
    /// The payloads of the data sectors, one behind the other.
    pub data: Vec<u8>,
    /// How they were had.
    pub rung: Rung,
    /// The raw bytes inside, where the block was opened.
    pub raw: Option<Vec<u8>>,
}

/// What can be done with a block.
pub enum Outcome {
    /// It is whole.
    Healed(Healed),
    /// It is beyond repair.
    Lost,
}

/// Heals blocks of one archive.
#[derive(Clone)]
pub struct Healer {
    /// What the sectors of the archive have in common.
    pub loom: Loom,
    /// Where to look.
    pub replicas: Vec<Replica>,
    /// Memory that blocks pass on to later blocks: for data, and for sectors as they are read.
    pub(super) buffers: Pool,
    pages: Pool<Pages>,
}

impl Target {
    /// The frame of one of its sectors.
    pub(super) fn frame(&self, loom: &Loom, slot: u8) -> Frame {
        Frame {
            kind: self.kind,
            slot,
            k: self.k,
            block: self.block,
            archive: loom.archive,
        }
    }

    /// What its nonce and its associated data are made of.
    pub(super) fn place(&self, loom: &Loom) -> Place {
        Place {
            archive: loom.archive,
            block: self.block,
            kind: self.kind,
        }
    }
}

impl Healer {
    /// A healer of an archive that has no buffers yet.
    pub fn new(loom: Loom, replicas: Vec<Replica>) -> Self {
        Healer {
            loom,
            replicas,
            buffers: Pool::default(),
            pages: Pool::default(),
        }
    }

    /// Rung 1: reads the data sectors of copy A and opens them. No hash and no parity is touched.
    ///
    /// Returns whether the block opened; if so, the raw bytes are handed to `each`. If not, [`heal`](Self::heal)
    /// does not read these sectors anew.
    pub fn open_at_once(
        &self,
        order: &Order,
        target: Target,
        keys: &Keys,
        tools: &mut Tools,
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
        let Tools {
            opener,
            ahead,
            data,
        } = tools;
        let Ok(sectors) = ahead.read(source, at, len) else {
            return Ok(false);
        };
        if sectors.len() < len {
            return Ok(false);
        }
        data.clear();
        for sector in sectors.chunks_exact(size) {
            data.extend_from_slice(&sector[FRAME_LEN..size - TAG_LEN]);
        }
        let place = target.place(&self.loom);
        match opener.open(keys, geometry, place, data) {
            Ok(raw) => {
                each(raw);
                ahead.clear();
                Ok(true)
            }
            // A checksum that fails is memory that erred, perhaps only now.
            Err(Error::Authentication(_) | Error::Damaged(_)) => Ok(false),
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
        tools: &mut Tools,
    ) -> Result<(Outcome, Findings)> {
        let (outcome, found) = self.attempt(regions, target, keys, tools, false)?;
        tools.ahead.clear();
        if let Outcome::Healed(_) = outcome {
            return Ok((outcome, found));
        }
        // A failing disk takes seconds for a sector, so all of them are tried again only now.
        let (outcome, mut findings) = self.attempt(regions, target, keys, tools, true)?;
        findings.unstable = findings.unstable.max(found.unstable);
        Ok((outcome, findings))
    }

    /// Climbs rungs 2 to 4 once. If it is `thorough`, all bad sectors are read again, and if that changes none
    /// of them, the rungs would find what they found before.
    fn attempt(
        &self,
        regions: &[Region],
        target: Target,
        keys: Option<&Keys>,
        tools: &mut Tools,
        thorough: bool,
    ) -> Result<(Outcome, Findings)> {
        let (loom, buffers) = (&self.loom, &self.buffers);
        let Tools { opener, ahead, .. } = tools;
        let look = match thorough {
            false => Look::First(ahead),
            true => Look::Thorough,
        };
        let (hand, mut findings) =
            Hand::gather(loom, &self.replicas, regions, target, &self.pages, look)?;
        if thorough && findings.unstable == 0 {
            return Ok((Outcome::Lost, findings));
        }
        let mut judge = Judge {
            loom,
            target,
            keys,
            opener,
            buffers,
            raw: None,
            altered: None,
        };
        let healed = |data, rung, raw| Outcome::Healed(Healed { data, rung, raw });
        if let Some(data) = self.fill(&hand, target)?
            && judge.confirms(&hand, &data, true)?
        {
            let whole = findings.bad == 0 && (1..=target.k).all(|s| hand.certain(s).is_some());
            let rung = if whole { Rung::Clean } else { Rung::Erasures };
            findings.bad += self.wrong_parity(&hand, target, &data)?;
            return Ok((healed(data, rung, judge.raw), findings));
        }
        for trust_certain in [true, false] {
            // Intact sectors that were forged count as doubtful in a second attempt.
            if !trust_certain && hand.all_certain().next().is_none() {
                break;
            }
            if let Some(data) = self.correct(&hand, target, trust_certain)?
                && judge.confirms(&hand, &data, false)?
            {
                findings.bad += self.wrong_data(&hand, target, &data);
                findings.bad += self.wrong_parity(&hand, target, &data)?;
                return Ok((healed(data, Rung::Errors, judge.raw), findings));
            }
        }
        match judge.altered {
            Some(error) => Err(error),
            None => Ok((Outcome::Lost, findings)),
        }
    }

    /// Rungs 2 and 3: the data sectors from those that are certain, if there are k of them.
    fn fill(&self, hand: &Hand, target: Target) -> Result<Option<Vec<u8>>> {
        let size = self.loom.geometry.payload_size();
        let k = usize::from(target.k);
        let have: Vec<(u8, &[u8])> = hand
            .all_certain()
            .map(|(slot, sector)| (slot, sector.payload()))
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
            match hand.certain(slot) {
                Some(sector) => row.copy_from_slice(sector.payload()),
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

    /// Data sectors that are intact and not what the block holds: somebody altered them.
    fn wrong_data(&self, hand: &Hand, target: Target, data: &[u8]) -> u64 {
        let rows = data.chunks_exact(self.loom.geometry.payload_size());
        let wrong = (1..=target.k).zip(rows).filter(|&(slot, row)| {
            hand.certain(slot)
                .is_some_and(|sector| sector.payload() != row)
        });
        wrong.count() as u64
    }

    /// Parity sectors that are intact and do not belong to the data: memory failed before their tag
    /// was made, or somebody altered them.
    fn wrong_parity(&self, hand: &Hand, target: Target, data: &[u8]) -> Result<u64> {
        let geometry = &self.loom.geometry;
        let parity: Vec<(u8, &[u8])> = hand
            .all_certain()
            .filter(|(slot, _)| *slot > geometry.data())
            .map(|(slot, sector)| (slot, sector.payload()))
            .collect();
        let rows: Vec<&[u8]> = data.chunks_exact(geometry.payload_size()).collect();
        if parity.is_empty() || self.loom.code.is_consistent(&rows, &parity)? {
            return Ok(0);
        }
        let Target { kind, block, .. } = target;
        let copies = geometry.copies();
        let woven = self.loom.weave(kind, block, data, copies, Pages::new())?;
        let mut wrong = 0;
        for &copy in copies {
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
        for (slot, sector) in hand.all_certain() {
            row_of[usize::from(slot)] = Some(rows.len());
            rows.push((slot, sector.payload().to_vec(), None, trust_certain));
        }
        for (slot, sector) in hand.believed() {
            let payload = sector.payload();
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
        let mut data = self.buffers.take();
        data.clear();
        for row in row_of.iter().skip(1).take(k).flatten() {
            data.extend_from_slice(&rows[*row].1);
        }
        Ok(Some(data))
    }
}

/// A row for the decoder: slot, bytes, where copies of it differ, and whether it is certain.
type Believed = (u8, Vec<u8>, Option<Vec<u8>>, bool);

/// What one thread opens and heals blocks with.
pub struct Tools {
    opener: Opener,
    /// The data sectors that rung 1 read.
    ahead: Ahead,
    data: Vec<u8>,
}

impl Tools {
    /// Tools with memory of their own.
    pub fn new() -> Result<Self> {
        Ok(Tools {
            opener: Opener::new()?,
            ahead: Ahead::default(),
            data: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use crate::{
        Archive, KdfParams, OpenOptions, Passphrase, Source, Status, Writer, WriterOptions,
    };

    /// Bytes that count how many of them were read.
    struct Counted(Vec<u8>, AtomicU64);

    impl Source for Counted {
        fn size(&self) -> std::io::Result<u64> {
            self.0.size()
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let read = self.0.read_at(buf, offset)?;
            self.1.fetch_add(read as u64, Ordering::Relaxed);
            Ok(read)
        }
    }

    /// A file of more than 20 blocks.
    fn file(passphrase: &Passphrase) -> Vec<u8> {
        let mut options = WriterOptions {
            sector_shift: Some(9),
            ..WriterOptions::default()
        };
        options.kdf = KdfParams {
            passes: 1,
            memory_kib: 8,
            lanes: 1,
        };
        let out = Cursor::new(Vec::new());
        let mut writer = Writer::create(out, passphrase, options).unwrap();
        let mut state = 1u64;
        for _ in 0..300_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            writer.write_all(&state.to_be_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn open(source: Arc<dyn Source>) -> Archive {
        let open = OpenOptions {
            threads: 2,
            ..OpenOptions::default()
        };
        Archive::open_with(vec![source], open).unwrap()
    }

    /// Or memory would grow with the number of blocks that are healed.
    #[test]
    fn no_more_buffers_come_back_than_were_taken() {
        let passphrase = Passphrase::new("correct horse");
        let mut file = file(&passphrase);
        // No tag holds, so every block is healed column by column.
        for (i, sector) in file.chunks_exact_mut(512).enumerate() {
            sector[40 + i % 400] ^= 1;
        }
        let archive = open(Arc::new(file));
        let report = archive.validate(None).unwrap();
        assert_eq!(report.status(), Status::Recoverable);
        assert!(report.blocks > 20 && report.blocks_healed == report.blocks);
        let mut payload = archive.unlock(&passphrase).unwrap().reader().unwrap();
        std::io::copy(&mut payload, &mut std::io::sink()).unwrap();
        let spare = archive.v3().unwrap().structure().healer.buffers.spare();
        assert!(spare <= 8, "{spare} buffers for 2 threads");
    }

    /// Reading again what was read takes a disk's time.
    #[test]
    fn a_block_that_is_healed_is_read_once() {
        let passphrase = Passphrase::new("correct horse");
        let mut file = file(&passphrase);
        let len = file.len();
        // Bad sectors in all blocks, and the ends are as they were.
        for sector in file[512..len - 512].chunks_exact_mut(512).step_by(50) {
            sector[100] ^= 1;
        }
        let source = Arc::new(Counted(file, AtomicU64::new(0)));
        let archive = open(source.clone());
        let payload = archive.unlock(&passphrase).unwrap().into_v3().unwrap();
        source.1.store(0, Ordering::Relaxed);
        let report = payload.copy_to(&mut std::io::sink()).unwrap();
        assert_eq!(report.blocks_healed, report.blocks);
        let read = source.1.load(Ordering::Relaxed);
        assert!(read < len as u64 * 21 / 20, "{read} bytes read of {len}");
    }
}
