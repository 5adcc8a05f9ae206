//! Opening: from bytes to the header page, the block table and the canonical order.

use std::collections::HashMap;
use std::sync::Arc;

use super::block::Loom;
use super::geometry::{Copy, Geometry};
use super::heal::{Healer, Outcome, Region, Replica, Target};
use super::layout::{FRAME_LEN, PAGE_RECORD_MAX, SECTOR_OVERHEAD, SECTOR_SHIFTS};
use super::order::Order;
use super::page::Page;
use super::scan::{Segments, Survey, frames, read_past_errors};
use super::sealed::Opener;
use super::sector::{ArchiveId, Kind, is_intact};
use super::table::{Census, Entry, TableBlock};
use crate::error::Damage;
use crate::source::Source;
use crate::{Error, Limits, Result};

/// What is known of an archive once it is open.
pub struct Structure {
    /// The valid header page.
    pub page: Page,
    /// The canonical order of all blocks.
    pub order: Order,
    /// How many blocks of which kind there are.
    pub census: Census,
    /// The entries of the block table, if it could be had.
    pub entries: Option<Vec<Entry>>,
    /// Heals blocks where the sectors lie.
    pub healer: Healer,
    /// Whether a scan of the whole file was needed.
    pub scanned: bool,
    /// Findings worth a sentence.
    pub notes: Vec<String>,
}

/// A header page, and the archive it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    archive: ArchiveId,
    page: Page,
}

/// Header pages that take part in a vote.
const VOTERS_MAX: usize = 4096;

impl Structure {
    /// Opens an archive of which `sources` are replicas; the first one decides which archive it is.
    ///
    /// # Errors
    /// [`Error::NotDbs`] where there is no header page, [`Error::Unsupported`] where it asks for
    /// more than this version knows, [`Error::Damaged`] where no block could be located.
    pub fn open(sources: &[Arc<dyn Source>], limits: &Limits) -> Result<Self> {
        let first = sources
            .first()
            .ok_or_else(|| Error::Misuse("no file to open".into()))?;
        let mut notes = Vec::new();
        let found = find_page(&**first)?;
        if sources.len() == 1
            && let Some(found) = &found
            && let Some(structure) = Self::open_canonical(found, first, limits)?
        {
            return Ok(structure);
        }
        let found = match found {
            Some(found) => found,
            None => vote(&**first)?,
        };
        Self::open_scanned(found, sources, limits, &mut notes)
    }

    /// The fast way: the file ends in an intact end sector, the block table before it can be had,
    /// and the length is what the table says.
    fn open_canonical(
        found: &Found,
        source: &Arc<dyn Source>,
        limits: &Limits,
    ) -> Result<Option<Self>> {
        let geometry = found.page.geometry;
        let len = source.size()?;
        let size = geometry.sector_size() as u64;
        let mut end = vec![0; geometry.sector_size()];
        if len < size || read_past_errors(&**source, &mut end, len - size)? < end.len() {
            return Ok(None);
        }
        let Ok((_, frame)) = super::sector::frame(&end) else {
            return Ok(None);
        };
        if !is_intact(&end) || frame.kind != Kind::End || frame.archive != found.archive {
            return Ok(None);
        }
        let Some((with_entry, table)) = Census::split(&geometry, frame.block) else {
            return Ok(None);
        };
        if frame.block > len / size {
            return Ok(None);
        }
        check_memory(&geometry, frame.block, limits)?;
        let mut healer = Healer {
            loom: Loom::new(found.archive, &found.page)?,
            replicas: vec![Replica {
                source: Arc::clone(source),
                segments: Arc::new(Segments::whole(0)),
            }],
        };
        // The last copies before the end sector are those of the table blocks.
        let copy = *geometry.copies().last().unwrap_or(&Copy::A);
        let mut at = len - size;
        let mut blocks = HashMap::new();
        for index in (0..table).rev() {
            let own = table_entries(&geometry, with_entry, index);
            // At most the data sectors of a full block.
            let k = geometry.table_sectors(own) as u8;
            let count = geometry.sectors(copy, k);
            let Some(offset) = at.checked_sub(count as u64 * size) else {
                return Ok(None);
            };
            at = offset;
            let region = Region {
                replica: 0,
                offset,
                copy,
                position: 0,
                count,
                canonical: true,
            };
            let block = with_entry + u64::from(index);
            let target = Target {
                block,
                kind: Kind::Table,
                k,
                entry: None,
            };
            let healed = healer.heal(&[region], target, None, &mut Opener::new()?)?;
            let (Outcome::Healed(healed), _) = healed else {
                return Ok(None);
            };
            blocks.insert(block, healed.data);
        }
        let Some((census, entries)) = read_table(&geometry, &found.archive, &blocks)? else {
            return Ok(None);
        };
        let order = canonical(&geometry, found.page.lag, &census, &entries);
        if order.file_len() != len {
            return Ok(None);
        }
        healer.replicas[0].segments = Arc::new(Segments::whole(0));
        Ok(Some(Structure {
            page: found.page.clone(),
            order,
            census,
            entries: Some(entries),
            healer,
            scanned: false,
            notes: Vec::new(),
        }))
    }

    /// The slow way: every sector says where it belongs.
    fn open_scanned(
        mut found: Found,
        sources: &[Arc<dyn Source>],
        limits: &Limits,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let archive = found.archive;
        let geometry = found.page.geometry;
        let surveys: Vec<Survey> = sources
            .iter()
            .map(|source| Survey::new(&**source, &archive, &geometry, limits))
            .collect::<Result<_>>()?;
        for (source, survey) in sources.iter().zip(&surveys) {
            newest_page(&**source, survey, &mut found, notes)?;
        }
        let loom = Loom::new(archive, &found.page)?;
        let replicas = sources.iter().map(|source| Replica {
            source: Arc::clone(source),
            segments: Arc::new(Segments::default()),
        });
        let mut healer = Healer {
            loom,
            replicas: replicas.collect(),
        };

        let blocks = healed_tables(&healer, &surveys)?;
        let (order, census, entries) = match read_table(&geometry, &archive, &blocks)? {
            Some((census, entries)) => {
                check_memory(&geometry, census.blocks(), limits)?;
                (
                    canonical(&geometry, found.page.lag, &census, &entries),
                    census,
                    Some(entries),
                )
            }
            None => {
                let (order, census) = by_votes(&geometry, found.page.lag, &surveys, limits)?;
                notes.push(
                    "the block table is lost; it is made again from the blocks, if all of them \
                     can be had"
                        .into(),
                );
                (order, census, None)
            }
        };
        for (replica, survey) in healer.replicas.iter_mut().zip(&surveys) {
            replica.segments = Arc::new(Segments::new(&order, &survey.pieces));
        }
        Ok(Structure {
            page: found.page,
            order,
            census,
            entries,
            healer,
            scanned: true,
            notes: std::mem::take(notes),
        })
    }

    /// Scans the whole file, if that was not done yet: blocks may lie elsewhere than the canonical
    /// order says, although the ends of the file are where they belong.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn scan(&self, limits: &Limits) -> Result<Healer> {
        let mut healer = self.healer.clone();
        let geometry = &self.page.geometry;
        for replica in &mut healer.replicas {
            let survey = Survey::new(&*replica.source, &healer.loom.archive, geometry, limits)?;
            replica.segments = Arc::new(Segments::new(&self.order, &survey.pieces));
        }
        Ok(healer)
    }

    /// What is known of one block.
    #[must_use]
    pub fn target(&self, block: u64) -> Target {
        let entry = self
            .entries
            .as_ref()
            .and_then(|e| e.get(block as usize))
            .copied();
        Target {
            block,
            kind: self.census.kind(block),
            k: self.order.k(block),
            entry,
        }
    }
}

/// The block table and the order of so many blocks must fit the memory that is allowed.
fn check_memory(geometry: &Geometry, blocks: u64, limits: &Limits) -> Result<()> {
    // An entry, a number of data sectors and two sums for every block.
    let (each, limit) = (size_of::<Entry>() as u64 + 1 + 16, limits.memory / 2);
    let got = blocks.saturating_mul(each);
    if got > limit {
        return Err(Error::Limit {
            what: "memory for the block table in bytes",
            got,
            limit,
        });
    }
    let (got, limit) = (geometry.sector_size() as u64 * 256 * 8, limits.memory);
    if got > limit {
        return Err(Error::Limit {
            what: "memory for blocks in bytes",
            got,
            limit,
        });
    }
    Ok(())
}

/// Entries in the `index`th table block of an archive with `with_entry` entries.
fn table_entries(geometry: &Geometry, with_entry: u64, index: u32) -> usize {
    let capacity = geometry.table_entries() as u64;
    (with_entry - u64::from(index) * capacity).min(capacity) as usize
}

/// The order that a block table gives.
fn canonical(geometry: &Geometry, lag: u32, census: &Census, entries: &[Entry]) -> Order {
    let with_entry = census.entries();
    let table = (0..census.table)
        .map(|index| geometry.table_sectors(table_entries(geometry, with_entry, index)) as u8);
    Order::new(
        *geometry,
        lag,
        entries.iter().map(|entry| entry.k).chain(table).collect(),
    )
}

/// Puts the table blocks together, if all of them are in hand.
fn read_table(
    geometry: &Geometry,
    archive: &ArchiveId,
    blocks: &HashMap<u64, Vec<u8>>,
) -> Result<Option<(Census, Vec<Entry>)>> {
    let mut parsed: Vec<TableBlock<'_>> = Vec::new();
    for (&block, payload) in blocks {
        parsed.push(TableBlock::parse(geometry, archive, block, payload)?);
    }
    parsed.sort_by_key(|table| table.first);
    let Some(first) = parsed.first() else {
        return Ok(None);
    };
    let census = first.census;
    if parsed.len() as u64 != u64::from(census.table) || parsed.iter().any(|t| t.census != census) {
        return Ok(None);
    }
    Ok(Some((
        census,
        parsed.iter().flat_map(TableBlock::entries).collect(),
    )))
}

/// Heals the table blocks from the pieces that were found of them.
fn healed_tables(healer: &Healer, surveys: &[Survey]) -> Result<HashMap<u64, Vec<u8>>> {
    let geometry = &healer.loom.geometry;
    let mut regions: HashMap<(u64, u8), Vec<Region>> = HashMap::new();
    for (replica, survey) in surveys.iter().enumerate() {
        for piece in survey
            .pieces
            .iter()
            .filter(|piece| piece.kind == Kind::Table)
        {
            let copies = match &piece.copy {
                Some(copy) => std::slice::from_ref(copy),
                None => geometry.copies(),
            };
            for &copy in copies {
                let all = geometry.sectors(copy, piece.k);
                // Around a piece of some size, sectors with broken magic belong to it too.
                let (from, to) = if piece.hits >= 3 {
                    (0, all)
                } else {
                    (
                        piece.positions.0.into(),
                        all.min(usize::from(piece.positions.1) + 1),
                    )
                };
                let skipped = (from as i64) << geometry.sector_shift();
                if from < to && piece.base + skipped >= 0 {
                    regions
                        .entry((piece.block, piece.k))
                        .or_default()
                        .push(Region {
                            replica,
                            offset: (piece.base + skipped) as u64,
                            copy,
                            position: from,
                            count: to - from,
                            canonical: false,
                        });
                }
            }
        }
    }
    let mut blocks = HashMap::new();
    let mut opener = Opener::new()?;
    for ((block, k), mut regions) in regions {
        // A block copy may have come in several pieces, and must not be read for each of them.
        regions.sort_by_key(|r| (r.replica, r.copy, r.offset, std::cmp::Reverse(r.count)));
        regions.dedup_by_key(|r| (r.replica, r.offset, r.copy));
        let target = Target {
            block,
            kind: Kind::Table,
            k,
            entry: None,
        };
        if let (Outcome::Healed(healed), _) = healer.heal(&regions, target, None, &mut opener)? {
            blocks.insert(block, healed.data);
        }
    }
    // Blocks that a misread frame made up do not prove themselves, so none of them is here; but
    // table blocks of which the kind was forged do, and contradict each other.
    Ok(blocks)
}

/// The order without a block table: what most frames of each block say of it.
fn by_votes(
    geometry: &Geometry,
    lag: u32,
    surveys: &[Survey],
    limits: &Limits,
) -> Result<(Order, Census)> {
    let lost = |what: &str| {
        Error::Damaged(Damage {
            what: what.into(),
            blocks: Vec::new(),
        })
    };
    let votes = Survey::votes(surveys.iter());
    let manifest = votes.iter().find(|(_, (kind, _))| *kind == Kind::Manifest);
    let Some((&manifest, _)) = manifest else {
        return Err(lost(
            "neither the block table nor a sector of the manifest is left",
        ));
    };
    check_memory(geometry, manifest, limits)?;
    let index = votes
        .range(..manifest)
        .rev()
        .take_while(|(_, (kind, _))| *kind == Kind::Index);
    let index = index.last().map_or(0, |(&first, _)| manifest - first);
    let census = u32::try_from(index)
        .ok()
        .and_then(|index| Census::new(geometry, manifest - u64::from(index), index))
        .ok_or_else(|| lost("the frames of its sectors contradict each other"))?;
    let with_entry = (0..=manifest).map(|block| match votes.get(&block) {
        Some((_, k)) => *k,
        // Nothing is left of this block. Nearly all blocks are full.
        None => geometry.data(),
    });
    let table = (0..census.table).map(|index| {
        geometry.table_sectors(table_entries(geometry, census.entries(), index)) as u8
    });
    Ok((
        Order::new(*geometry, lag, with_entry.chain(table).collect()),
        census,
    ))
}

/// The header page in the first or the last sector. Where both are intact, they must agree.
fn find_page(source: &dyn Source) -> Result<Option<Found>> {
    let len = source.size()?;
    let mut pages = Vec::new();
    for shift in SECTOR_SHIFTS {
        let size = 1u64 << shift;
        for offset in [Some(0), len.checked_sub(size)].into_iter().flatten() {
            let mut sector = vec![0; size as usize];
            if read_past_errors(source, &mut sector, offset)? == sector.len()
                && let Some(found) = intact_page(&sector)?
            {
                pages.push(found);
            }
        }
    }
    pages.dedup();
    // Two that differ are for the scan to settle.
    Ok(if pages.len() == 1 { pages.pop() } else { None })
}

/// The header page that an intact sector is, if it is one.
fn intact_page(sector: &[u8]) -> Result<Option<Found>> {
    match super::sector::frame(sector) {
        Ok((_, frame)) if frame.slot == 0 && is_intact(sector) => {
            let payload = super::sector::Sector::new(sector).payload();
            match Page::from_payload(&frame.archive, payload) {
                Ok(page) => Ok(Some(Found {
                    archive: frame.archive,
                    page,
                })),
                Err(Error::NotDbs(_)) => Ok(None),
                Err(error) => Err(error),
            }
        }
        _ => Ok(None),
    }
}

/// Of the header pages in a survey, the one of the highest generation that proves itself.
fn newest_page(
    source: &dyn Source,
    survey: &Survey,
    found: &mut Found,
    notes: &mut Vec<String>,
) -> Result<()> {
    let mut sector = vec![0; found.page.geometry.sector_size()];
    for &offset in &survey.pages {
        if read_past_errors(source, &mut sector, offset)? < sector.len() {
            continue;
        }
        if let Some(other) = intact_page(&sector)?
            && other.archive == found.archive
            && other.page.geometry == found.page.geometry
            && other.page.lag == found.page.lag
            && other.page.generation != found.page.generation
        {
            let note = "header pages of different generations: a change of passphrase was cut \
                        short, or an older replica is merged; the newest one is valid";
            if !notes.iter().any(|n| n == note) {
                notes.push(note.into());
            }
            if other.page.generation > found.page.generation {
                *found = other;
            }
        }
    }
    Ok(())
}

/// The header page by a bitwise majority over all sectors that look like one.
///
/// The record ends in its own hash, so a result that holds proves itself.
fn vote(source: &dyn Source) -> Result<Found> {
    let mut ballots: Vec<Vec<u8>> = Vec::new();
    let mut intact: Option<Found> = None;
    let mut offsets = Vec::new();
    frames(source, |offset, bytes| {
        // Byte 6 is the slot.
        if bytes[6] == 0 && offsets.len() < VOTERS_MAX {
            offsets.push(offset);
        }
        Ok(())
    })?;
    for offset in offsets {
        let mut ballot = vec![0; FRAME_LEN + PAGE_RECORD_MAX];
        let read = read_past_errors(source, &mut ballot, offset)?;
        ballot.truncate(read);
        if ballot.len() < FRAME_LEN + (512 - SECTOR_OVERHEAD) {
            continue;
        }
        if let Some(found) = page_of(&ballot)? {
            let newer =
                |f: &Found| f.archive == found.archive && f.page.generation < found.page.generation;
            if intact.as_ref().is_none_or(newer) {
                intact = Some(found);
            }
        }
        ballots.push(ballot);
    }
    if let Some(found) = intact {
        return Ok(found);
    }
    if let Some(longest) = ballots.iter().map(Vec::len).max() {
        let mut ayes = vec![0u32; longest * 8];
        let mut voters = vec![0u32; longest];
        for ballot in &ballots {
            for (i, byte) in ballot.iter().enumerate() {
                voters[i] += 1;
                for bit in 0..8 {
                    ayes[i * 8 + bit] += u32::from(byte >> bit & 1);
                }
            }
        }
        let majority: Vec<u8> = (0..longest)
            .map(|i| {
                (0..8).fold(0, |byte, bit| {
                    byte | u8::from(2 * ayes[i * 8 + bit] > voters[i]) << bit
                })
            })
            .collect();
        if let Some(found) = page_of(&majority)? {
            return Ok(found);
        }
    }
    Err(Error::NotDbs(match ballots.len() {
        0 => "no sector of a .dbs container of version 3 was found in it".into(),
        n => format!("no header page is left that proves itself, among {n} that look like one"),
    }))
}

/// The page in a frame and the record behind it. How long the record is follows from the sector
/// size, which the record itself states.
fn page_of(bytes: &[u8]) -> Result<Option<Found>> {
    let mut archive = ArchiveId::default();
    archive.copy_from_slice(&bytes[16..32]);
    for shift in SECTOR_SHIFTS {
        let payload_size = (1usize << shift) - SECTOR_OVERHEAD;
        let record = payload_size.min(PAGE_RECORD_MAX);
        if bytes.len() < FRAME_LEN + record || bytes[FRAME_LEN + 2] != shift {
            continue;
        }
        // Behind the record there are zeros.
        let mut payload = bytes[FRAME_LEN..FRAME_LEN + record].to_vec();
        payload.resize(payload_size, 0);
        match Page::from_payload(&archive, &payload) {
            Ok(page) => return Ok(Some(Found { archive, page })),
            Err(Error::NotDbs(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
