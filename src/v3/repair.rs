//! Repairing a container: what was written, written again.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use super::block::Sectors;
use super::container::{Container, Found};
use super::heal::Tools;
use super::scan::Survey;
use super::search::has_other_page;
use super::sector::Kind;
use super::table::{self, Entry};
use crate::pages::Pages;
use crate::report::Report;
use crate::{Error, Result};

impl Container {
    /// Writes the container as it was written, bit for bit, at the output's position.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a block is beyond repair: what was written then is not whole.
    pub fn repair(self: &Arc<Self>, out: &mut (impl Write + Seek)) -> Result<Report> {
        let start = out.stream_position()?;
        let order = &self.structure.order;
        let mut report = self.report();
        let mut rebuilt = self.rebuild();
        self.each_block(
            || {
                let this = Arc::clone(self);
                let mut tools = Tools::new()?;
                Ok(move |block: u64| {
                    let found = this.heal(block, None, &mut tools)?;
                    let entry = this.entry(block, &found)?;
                    let sectors = match &found.data {
                        Some(data) => Some(this.weave(block, data)?),
                        None => None,
                    };
                    Ok((sectors, found.rung, found.findings, entry))
                })
            },
            |block, (sectors, rung, findings, entry)| {
                self.note(&mut report, block, sectors.is_some(), rung, &findings);
                rebuilt.add(block, entry);
                if let Some(sectors) = sectors {
                    self.write_block(out, start, block, &sectors)?;
                }
                Ok(())
            },
        )?;
        if let Some(entries) = rebuilt.entries() {
            self.write_table(out, start, entries, &mut report)?;
        }
        if !report.failed_blocks.is_empty() {
            return Err(Error::Damaged(self.damage(report.failed_blocks)));
        }
        self.check_end(&mut report)?;
        let size = self.geometry().sector_size() as u64;
        out.seek(SeekFrom::Start(start + order.file_len() - size))?;
        out.write_all(&self.structure.healer.loom.end_sector(order.blocks()))?;
        out.flush()?;
        Ok(report)
    }

    /// Whether the file holds header pages, whole in themselves, that are not the valid one: a change of
    /// passphrases did not come to its end, or somebody forged one. Repairing in place keeps the valid
    /// one alone, so a passphrase should open it first. Reads the whole file.
    ///
    /// # Errors
    /// As those of opening.
    pub fn has_other_pages(&self) -> Result<bool> {
        let source = self.first_source()?;
        let archive = &self.structure.healer.loom.archive;
        let survey = Survey::new(&*source, archive, self.geometry(), &self.options.limits)?;
        has_other_page(&*source, &survey, archive, self.page())
    }

    /// What repairing in place would write: calls `each` with the offset and the bytes of every
    /// sector that is not what it should be.
    ///
    /// # Errors
    /// [`Error::Misuse`] where sectors do not lie where they belong, so that a new file must be
    /// written; [`Error::Damaged`] where a block is beyond repair.
    pub fn patches(
        self: &Arc<Self>,
        mut each: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<Report> {
        let order = &self.structure.order;
        let moved = || {
            Error::Misuse(
                "sectors do not lie where they belong; repair to a new file instead".into(),
            )
        };
        if self.len != order.file_len() || !self.is_canonical() {
            return Err(moved());
        }
        let report = self.validate(None)?;
        if !report.failed_blocks.is_empty() {
            return Err(Error::Damaged(self.damage(report.failed_blocks)));
        }
        // What lies elsewhere and is needed would be written over.
        if report.misplaced {
            return Err(moved());
        }
        let source = self.first_source()?;
        let size = self.geometry().sector_size();
        let mut patch = |offset: u64, sector: &[u8]| -> Result<()> {
            let mut stored = vec![0; size];
            let read = source.read_full_at(&mut stored, offset)?;
            if read < size || stored != sector {
                each(offset, sector)
            } else {
                Ok(())
            }
        };
        let mut rebuilt = self.rebuild();
        let patch_block = |patch: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
                           block: u64,
                           sectors: &Sectors|
         -> Result<()> {
            for &copy in self.geometry().copies() {
                let mut at = order.offset(copy, block);
                for sector in sectors
                    .copy(copy)
                    .iter()
                    .flat_map(|run| run.chunks_exact(size))
                {
                    patch(at, sector)?;
                    at += size as u64;
                }
            }
            Ok(())
        };
        self.each_block(
            || {
                let this = Arc::clone(self);
                let mut tools = Tools::new()?;
                Ok(move |block: u64| {
                    let found = this.heal(block, None, &mut tools)?;
                    let entry = this.entry(block, &found)?;
                    match &found.data {
                        Some(data) if found.findings.bad > 0 => {
                            Ok((Some(this.weave(block, data)?), entry))
                        }
                        // The table is made again from the other blocks.
                        None if this.structure.census.kind(block) != Kind::Table => {
                            Err(Error::Damaged(this.damage(vec![this.failed(block)])))
                        }
                        _ => Ok((None, entry)),
                    }
                })
            },
            |block, (sectors, entry)| {
                rebuilt.add(block, entry);
                sectors.map_or(Ok(()), |sectors| patch_block(&mut patch, block, &sectors))
            },
        )?;
        if let Some(entries) = rebuilt.entries() {
            for (block, sectors) in self.woven_table(entries)? {
                patch_block(&mut patch, block, &sectors)?;
            }
        }
        patch(
            order.file_len() - size as u64,
            &self.structure.healer.loom.end_sector(order.blocks()),
        )?;
        Ok(report)
    }

    fn weave(&self, block: u64, data: &[u8]) -> Result<Sectors> {
        let kind = self.structure.census.kind(block);
        let loom = &self.structure.healer.loom;
        loom.weave(kind, block, data, self.geometry().copies(), Pages::new())
    }

    fn write_block(
        &self,
        out: &mut (impl Write + Seek),
        start: u64,
        block: u64,
        sectors: &Sectors,
    ) -> Result<()> {
        for &copy in self.geometry().copies() {
            out.seek(SeekFrom::Start(
                start + self.structure.order.offset(copy, block),
            ))?;
            for run in sectors.copy(copy) {
                out.write_all(run)?;
            }
        }
        Ok(())
    }

    /// Whether the manifest block is another than the table says. The entries of all other blocks are
    /// part of the root, which the manifest seals; its own cannot be.
    pub(super) fn disagrees_with_table(&self, block: u64, found: &Found) -> Result<bool> {
        match (self.structure.target(block).entry, &found.data) {
            (Some(entry), Some(data)) if block == self.structure.census.manifest() => {
                Ok(self.made_entry(block, data)? != entry)
            }
            _ => Ok(false),
        }
    }

    /// What the table must say of a block, where the table is lost.
    pub(super) fn entry(&self, block: u64, found: &Found) -> Result<Option<Entry>> {
        let known = self.structure.entries.get(block as usize).copied();
        match (known, &found.data) {
            (Some(Some(entry)), _) => Ok(Some(entry)),
            (Some(None), Some(data)) => self.made_entry(block, data).map(Some),
            _ => Ok(None),
        }
    }

    /// The entry of a block with these data. Tags are over frames and payloads, so the sectors are made
    /// again.
    fn made_entry(&self, block: u64, data: &[u8]) -> Result<Entry> {
        let kind = self.structure.census.kind(block);
        let loom = &self.structure.healer.loom;
        Ok(loom.weave(kind, block, data, &[], Pages::new())?.entry())
    }

    pub(super) fn rebuild(&self) -> Rebuild {
        let wanted = self.structure.entries.iter().any(Option::is_none);
        Rebuild {
            wanted: wanted.then(|| self.structure.census.entries()),
            entries: Vec::new(),
        }
    }

    fn woven_table(&self, entries: &[Entry]) -> Result<Vec<(u64, Sectors)>> {
        let census = &self.structure.census;
        let archive = &self.structure.healer.loom.archive;
        (0..census.table)
            .map(|index| {
                let payload = table::write(self.geometry(), archive, census, entries, index);
                let block = census.entries() + u64::from(index);
                Ok((block, self.weave(block, &payload)?))
            })
            .collect()
    }

    fn write_table(
        &self,
        out: &mut (impl Write + Seek),
        start: u64,
        entries: &[Entry],
        report: &mut Report,
    ) -> Result<()> {
        for (block, sectors) in self.woven_table(entries)? {
            self.write_block(out, start, block, &sectors)?;
            let before = report.failed_blocks.len();
            report.failed_blocks.retain(|failed| failed.block != block);
            report.blocks_healed += (before - report.failed_blocks.len()) as u64;
        }
        Ok(())
    }
}

/// Entries of a lost block table, collected from the blocks themselves.
pub(super) struct Rebuild {
    wanted: Option<u64>,
    entries: Vec<Entry>,
}

impl Rebuild {
    pub(super) fn add(&mut self, block: u64, entry: Option<Entry>) {
        if let Some(entry) = entry
            && self.wanted.is_some()
            && block == self.entries.len() as u64
        {
            self.entries.push(entry);
        }
    }

    /// All entries, if none is missing.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        (self.wanted == Some(self.entries.len() as u64)).then_some(&self.entries)
    }
}
