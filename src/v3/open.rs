//! Opening: from bytes to the header page, the block table and the canonical order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::block::Loom;
use super::census::{
    census_by_votes, heal_walked_tables, healed_tables, order_of, read_table, table_entries,
};
use super::geometry::{Copy, Geometry};
use super::heal::{Healer, Outcome, Target, Tools};
use super::order::Order;
use super::page::Page;
use super::replica::{Region, Replica};
use super::scan::Survey;
use super::search::{Found, find_page, first_page, newest_page};
use super::sector::{Kind, is_intact};
use super::table::{Census, Entry};
use super::walk::walk;
use crate::options::OpenOptions;
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
    /// The entries of the block table, as far as they could be had.
    pub entries: Vec<Option<Entry>>,
    /// Heals blocks where the sectors lie.
    pub healer: Healer,
    /// The highest generation of a header page that is older than the valid one.
    pub older: Option<u32>,
    /// Where nothing tells how many blocks there are: how many were seen.
    pub seen: Option<u64>,
    /// Whether a scan of the whole file was needed.
    pub scanned: bool,
    /// Findings worth a sentence.
    pub notes: Vec<String>,
}

impl Structure {
    /// Opens an archive of which `sources` are replicas; the first one decides which archive it is.
    ///
    /// # Errors
    /// [`Error::NotDbs`] where there is no header page, [`Error::Unsupported`] where it asks for
    /// more than this version knows, [`Error::Damaged`] where no block could be located.
    pub fn open(sources: &[Arc<dyn Source>], options: &OpenOptions) -> Result<Self> {
        let (limits, wanted) = (&options.limits, options.generation);
        let first = sources
            .first()
            .ok_or_else(|| Error::Misuse("no file to open".into()))?;
        let mut notes = Vec::new();
        let found = find_page(&**first, wanted)?;
        if sources.len() == 1
            && let Some(found) = &found
            && let Some(structure) = Self::open_canonical(found, first, limits)?
        {
            return Ok(structure);
        }
        let found = match found {
            Some(found) => found,
            None => page_of_others(sources, options)?,
        };
        Self::open_scanned(found, sources, options, &mut notes)
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
        if len < size || source.read_full_at(&mut end, len - size)? < end.len() {
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
        let healer = Healer::new(
            Loom::new(found.archive, &found.page)?,
            vec![Replica::canonical(Arc::clone(source))],
        );
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
            let healed = healer.heal(&[region], target, None, &mut Tools::new()?)?;
            let (Outcome::Healed(healed), _) = healed else {
                return Ok(None);
            };
            blocks.insert(block, healed.data);
        }
        let Some((census, entries)) = read_table(&geometry, &found.archive, &blocks)? else {
            return Ok(None);
        };
        let order = order_of(
            &geometry,
            found.page.lag,
            &census,
            &entries,
            &BTreeMap::new(),
        );
        if order.file_len() != len {
            return Ok(None);
        }
        Ok(Some(Structure {
            page: found.page.clone(),
            order,
            census,
            entries,
            healer,
            older: None,
            seen: None,
            scanned: false,
            notes: Vec::new(),
        }))
    }

    /// The slow way: every sector says where it belongs.
    fn open_scanned(
        mut found: Found,
        sources: &[Arc<dyn Source>],
        options: &OpenOptions,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let limits = &options.limits;
        let archive = found.archive;
        let geometry = found.page.geometry;
        let surveys: Vec<Survey> = sources
            .iter()
            .map(|source| Survey::new(&**source, &archive, &geometry, limits))
            .collect::<Result<_>>()?;
        if let Some(i) = surveys.iter().position(Survey::is_of_another_archive) {
            return Err(Error::Misuse(format!(
                "the {}. of the files to be merged is of another archive",
                i + 1
            )));
        }
        let mut older = None;
        for (i, (source, survey)) in sources.iter().zip(&surveys).enumerate() {
            let ends = match find_page(&**source, options.generation) {
                // It takes part by its generation, like all others.
                Err(Error::Unsupported(_)) => None,
                ends => ends?,
            };
            let settled = ends.is_some() || options.generation.is_some();
            if let Some(ends) = ends.filter(|ends| i > 0 && found.is_older_than(ends)) {
                older = older.max(Some(found.page.generation));
                found = ends;
            }
            older = newest_page(&**source, survey, settled, &mut found)?.max(older);
        }
        if let Some(generation) = options.generation {
            notes.push(format!(
                "the header page of generation {generation} is used, as was asked for: passphrases that \
                 were removed later open it, those that were added later do not"
            ));
        } else if older.is_some() {
            notes.push(
                "header pages of different generations: a change of passphrase was cut short, or an \
                 older replica is merged; the newest one is valid"
                    .into(),
            );
        }
        let loom = Loom::new(archive, &found.page)?;
        let replicas = sources
            .iter()
            .map(|source| Replica::canonical(Arc::clone(source)));
        let mut healer = Healer::new(loom, replicas.collect());

        let mut blocks = healed_tables(&healer, &surveys)?;
        let mut table = read_table(&geometry, &archive, &blocks)?;
        let is_whole =
            |(_, entries): &(Census, Vec<Option<Entry>>)| entries.iter().all(Option::is_some);
        // What the table does not say of a block, its frames do.
        let mut votes = BTreeMap::new();
        if !table.as_ref().is_some_and(is_whole) {
            let lag = found.page.lag;
            match walk(&*healer.replicas[0].source, archive, &geometry, lag)? {
                Some(walked) => {
                    votes = walked;
                    heal_walked_tables(&healer, lag, &votes, &mut blocks)?;
                    table = read_table(&geometry, &archive, &blocks)?;
                }
                None => votes = Survey::votes(surveys.iter()),
            }
        }
        let (census, entries, seen) = match table {
            Some((census, entries)) => (census, entries, None),
            None => {
                let (census, seen) = census_by_votes(&geometry, &votes, sources)?;
                check_memory(&geometry, census.blocks(), limits)?;
                (census, vec![None; census.entries() as usize], seen)
            }
        };
        check_memory(&geometry, census.blocks(), limits)?;
        if seen.is_some() {
            notes.push(
                "neither the block table nor the manifest is left: the backup may never have been \
                 finished; its data can be salvaged"
                    .into(),
            );
        }
        if entries.iter().any(Option::is_none) {
            notes.push(
                "the block table, or a part of it, is lost; it is made again from the blocks, if \
                 all of them can be had"
                    .into(),
            );
        }
        let order = order_of(&geometry, found.page.lag, &census, &entries, &votes);
        for (replica, survey) in healer.replicas.iter_mut().zip(surveys) {
            replica.place(&order, survey);
        }
        Ok(Structure {
            page: found.page,
            order,
            census,
            entries,
            healer,
            older,
            seen,
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
            replica.place(&self.order, survey);
        }
        Ok(healer)
    }

    /// Blocks and sectors of the archive; blocks seen and 0 where nothing tells how many there are.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        match self.seen {
            Some(seen) => (seen, 0),
            None => (self.order.blocks(), self.order.sectors()),
        }
    }

    /// What is known of one block.
    #[must_use]
    pub fn target(&self, block: u64) -> Target {
        let entry = self.entries.get(block as usize).copied().flatten();
        Target {
            block,
            kind: self.census.kind(block),
            k: self.order.k(block),
            entry,
        }
    }
}

/// The header page of the first file that has one, which decides what the archive is. The first file of all
/// has lost its own; it must hold some sector of that archive, or it is taken for something else.
fn page_of_others(sources: &[Arc<dyn Source>], options: &OpenOptions) -> Result<Found> {
    let mut lost = None;
    for source in sources {
        let found = match first_page(&**source, options.generation) {
            Err(error @ (Error::Damaged(_) | Error::NotDbs(_))) => {
                lost.get_or_insert(error);
                continue;
            }
            found => found?,
        };
        if let (Some(error), Some(first)) = (lost, sources.first()) {
            let survey = Survey::new(
                &**first,
                &found.archive,
                &found.page.geometry,
                &options.limits,
            )?;
            if survey.pieces.is_empty() {
                return Err(error);
            }
        }
        return Ok(found);
    }
    Err(lost.unwrap_or_else(|| Error::Misuse("no file to open".into())))
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
