//! What tells how many blocks there are, of which kind and how long: the block table, or without it what
//! most frames say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::geometry::Geometry;
use super::heal::{Healer, Outcome, Target, Tools};
use super::order::Order;
use super::replica::{Region, regions};
use super::scan::{Piece, Survey, Vote};
use super::sector::{ArchiveId, Kind};
use super::table::{Census, Entry, TableBlock};
use crate::error::Damage;
use crate::source::Source;
use crate::{Error, Result};

/// Entries in the `index`th table block of an archive with `with_entry` entries.
pub(super) fn table_entries(geometry: &Geometry, with_entry: u64, index: u32) -> usize {
    let capacity = geometry.table_entries() as u64;
    (with_entry - u64::from(index) * capacity).min(capacity) as usize
}

/// The order that the block table gives; where it is lost, what most frames of a block say of it.
pub(super) fn order_of(
    geometry: &Geometry,
    lag: u32,
    census: &Census,
    entries: &[Option<Entry>],
    votes: &BTreeMap<u64, Vote>,
) -> Order {
    let with_entry = census.entries();
    let own = (0u64..)
        .zip(entries)
        .map(|(block, entry)| match (entry, votes.get(&block)) {
            (Some(entry), _) => entry.k,
            (None, Some(vote)) => vote.k,
            // Nothing is left of this block. Nearly all blocks are full.
            (None, None) => geometry.data(),
        });
    let table = (0..census.table)
        .map(|index| geometry.table_sectors(table_entries(geometry, with_entry, index)) as u8);
    Order::new(*geometry, lag, own.chain(table).collect())
}

/// Puts together what there is of the block table. `None` if no table block is in hand, or if they
/// contradict each other.
pub(super) fn read_table(
    geometry: &Geometry,
    archive: &ArchiveId,
    blocks: &HashMap<u64, Vec<u8>>,
) -> Result<Option<(Census, Vec<Option<Entry>>)>> {
    let mut parsed: Vec<TableBlock<'_>> = Vec::new();
    for (&block, payload) in blocks {
        parsed.push(TableBlock::parse(geometry, archive, block, payload)?);
    }
    let Some(first) = parsed.first() else {
        return Ok(None);
    };
    let census = first.census;
    if parsed.iter().any(|table| table.census != census) {
        return Ok(None);
    }
    // A table block holds as many entries as its size says, so this is in proportion to the file
    // unless blocks are missing; and `Census` has bounded it.
    let mut entries = vec![None; census.entries() as usize];
    for table in parsed {
        for (entry, own) in entries[table.first as usize..]
            .iter_mut()
            .zip(table.entries())
        {
            *entry = Some(own);
        }
    }
    Ok(Some((census, entries)))
}

/// A table block that pieces speak of: how many sectors do, and where they lie.
#[derive(Default)]
struct Claim {
    hits: u64,
    pieces: Vec<(usize, Piece)>,
}

/// Heals the table blocks from the pieces that were found of them.
///
/// Blocks that a misread frame made up do not prove themselves, so none of them is in the result.
pub(super) fn healed_tables(healer: &Healer, surveys: &[Survey]) -> Result<HashMap<u64, Vec<u8>>> {
    let mut claims: BTreeMap<(u64, u8), Claim> = BTreeMap::new();
    for (replica, survey) in surveys.iter().enumerate() {
        for piece in survey.pieces.iter().filter(|p| p.kind == Kind::Table) {
            let claim = claims.entry((piece.block, piece.k)).or_default();
            claim.hits += u64::from(piece.hits);
            claim.pieces.push((replica, *piece));
        }
    }
    // Forged frames can claim any number of table blocks: what that may cost is bounded, and what
    // most sectors claim comes first.
    let mut budget = TABLE_BUDGET;
    for replica in &healer.replicas {
        budget += 4 * replica.source.size()?;
    }
    let mut claims: Vec<_> = claims.into_iter().collect();
    claims.sort_by_key(|(_, claim)| std::cmp::Reverse(claim.hits));
    let mut blocks = HashMap::new();
    let mut tools = Tools::new()?;
    for ((block, k), claim) in claims {
        let regions = claim.regions(healer);
        let sectors: usize = regions.iter().map(|region| region.count).sum();
        let cost = (sectors << healer.loom.geometry.sector_shift()) as u64;
        let Some(left) = budget.checked_sub(cost) else {
            break;
        };
        budget = left;
        let target = Target {
            block,
            kind: Kind::Table,
            k,
            entry: None,
        };
        if let (Outcome::Healed(healed), _) = healer.heal(&regions, target, None, &mut tools)? {
            blocks.entry(block).or_insert(healed.data);
        }
    }
    Ok(blocks)
}

/// Heals the table blocks that are not in hand yet, where the walk found them.
pub(super) fn heal_walked_tables(
    healer: &Healer,
    lag: u32,
    walked: &BTreeMap<u64, Vote>,
    blocks: &mut HashMap<u64, Vec<u8>>,
) -> Result<()> {
    let ks = walked.values().map(|vote| vote.k).collect();
    let order = Order::new(healer.loom.geometry, lag, ks);
    let mut tools = Tools::new()?;
    for (&block, vote) in walked.iter().filter(|(_, vote)| vote.kind == Kind::Table) {
        if blocks.contains_key(&block) {
            continue;
        }
        let target = Target {
            block,
            kind: Kind::Table,
            k: vote.k,
            entry: None,
        };
        let regions = regions(&healer.replicas, &order, block);
        if let (Outcome::Healed(healed), _) = healer.heal(&regions, target, None, &mut tools)? {
            blocks.insert(block, healed.data);
        }
    }
    Ok(())
}

/// Bytes that may be read to find the block table, beyond four times the files themselves.
const TABLE_BUDGET: u64 = 64 << 20;
/// A block copy in more pieces than this was taken apart sector by sector.
const FEW_PIECES: usize = 64;

impl Claim {
    fn regions(&self, healer: &Healer) -> Vec<Region> {
        let geometry = &healer.loom.geometry;
        let mut regions = Vec::new();
        for (replica, piece) in &self.pieces {
            let copies = match &piece.copy {
                Some(copy) => std::slice::from_ref(copy),
                None => geometry.copies(),
            };
            for &copy in copies {
                let all = geometry.sectors(copy, piece.k);
                // Around the sectors that were seen, others with broken frames belong there too.
                let (from, to) = if self.pieces.len() <= FEW_PIECES {
                    (0, all)
                } else {
                    (
                        piece.positions.0.into(),
                        all.min(usize::from(piece.positions.1) + 1),
                    )
                };
                let offset = piece.base + ((from as i64) << geometry.sector_shift());
                if from < to && offset >= 0 {
                    regions.push(Region {
                        replica: *replica,
                        offset: offset as u64,
                        copy,
                        position: from,
                        count: to - from,
                        canonical: false,
                    });
                }
            }
        }
        // A block copy may have come in several pieces, and must not be read for each of them.
        regions.sort_by_key(|r| (r.replica, r.copy, r.offset, std::cmp::Reverse(r.count)));
        regions.dedup_by_key(|r| (r.replica, r.copy, r.offset));
        regions
    }
}

/// How many blocks there are, without a block table: the number of the manifest block tells. An
/// unfinished backup has none; then what was written of the data can be salvaged, and the number of
/// blocks that were seen is returned too.
pub(super) fn census_by_votes(
    geometry: &Geometry,
    votes: &BTreeMap<u64, Vote>,
    sources: &[Arc<dyn Source>],
) -> Result<(Census, Option<u64>)> {
    let lost = |what: &str| {
        Error::Damaged(Damage {
            what: what.into(),
            blocks: Vec::new(),
        })
    };
    // A misread number of a block must not make the archive larger than its files can be.
    let mut most = 0;
    for source in sources {
        most = source.size()?.max(most);
    }
    let most = most >> geometry.sector_shift();
    let mut known = votes.range(..most);
    // Frames with flipped bits name blocks and kinds that are none: most of them decide.
    let manifest = known
        .clone()
        .filter(|(_, vote)| vote.kind == Kind::Manifest)
        .max_by_key(|(_, vote)| vote.hits);
    let mut seen = None;
    let census = match manifest {
        Some((&manifest, _)) => {
            let index = votes.range(..manifest).rev();
            let index = index
                .take_while(|(_, vote)| vote.kind == Kind::Index)
                .last();
            let index = index.map_or(0, |(&first, _)| manifest - first);
            u32::try_from(index)
                .ok()
                .and_then(|index| Census::new(geometry, manifest - u64::from(index), index))
        }
        None => {
            let last = known
                .rfind(|(_, vote)| vote.kind == Kind::Data)
                .map(|(&block, _)| block);
            let last = last.ok_or_else(|| lost("no sector of any block is left"))?;
            seen = Some(votes.range(..=last).count() as u64);
            Census::new(geometry, last + 1, 0)
        }
    };
    let census = census.ok_or_else(|| lost("the frames of its sectors contradict each other"))?;
    Ok((census, seen))
}
