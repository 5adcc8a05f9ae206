//! A container of version 3: open, heal, validate, unlock.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::geometry::Geometry;
use super::heal::{Findings, Healer, Outcome, Rung, Tools};
use super::keys::Keys;
use super::open::Structure;
use super::page::Page;
use super::payload::Payload;
use super::replica::{all_regions, regions};
use super::sector::{Kind, is_intact};
use super::segments::Segments;
use crate::error::{Damage, FailedBlock, older_page};
use crate::options::OpenOptions;
use crate::pipeline::{Pipeline, default_threads};
use crate::report::Report;
use crate::source::Source;
use crate::version::Version;
use crate::{Error, Passphrase, Result};

/// An open container of version 3.
pub struct Container {
    pub(super) structure: Structure,
    /// The healer that knows where all sectors lie, once a block could not be had without it.
    scanned: OnceLock<Healer>,
    pub(super) options: OpenOptions,
    pub(super) len: u64,
}

/// A block as far as it could be had.
pub(super) struct Found {
    pub(super) data: Option<Vec<u8>>,
    pub(super) rung: Rung,
    pub(super) findings: Findings,
    /// The raw bytes inside, where the block was opened.
    pub(super) raw: Option<Vec<u8>>,
}

impl Container {
    /// Opens a container of which `sources` are replicas.
    ///
    /// # Errors
    /// As those of [`Archive::open`](crate::Archive::open).
    pub fn open(sources: &[Arc<dyn Source>], options: OpenOptions) -> Result<Self> {
        let structure = Structure::open(sources, &options)?;
        let len = sources.first().map_or(Ok(0), |source| source.size())?;
        Ok(Container {
            structure,
            scanned: OnceLock::new(),
            options,
            len,
        })
    }

    /// The valid header page.
    #[must_use]
    pub fn page(&self) -> &Page {
        &self.structure.page
    }

    /// What is known of the whole.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Bytes of the file as it is.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.len
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.structure.page.geometry
    }

    pub(super) fn threads(&self) -> usize {
        if self.options.threads == 0 {
            default_threads()
        } else {
            self.options.threads
        }
    }

    /// The bytes of the payload that a block holds, as far as that is known without a key.
    fn payload_range(&self, block: u64) -> Option<Range<u64>> {
        let capacity = self.geometry().capacity() as u64;
        (self.structure.census.kind(block) == Kind::Data)
            .then(|| block * capacity..(block + 1) * capacity)
    }

    pub(super) fn failed(&self, block: u64) -> FailedBlock {
        FailedBlock {
            block,
            kind: self.structure.census.kind(block).as_str(),
            payload: self.payload_range(block),
        }
    }

    /// Heals one block, if need be with a scan of the whole file.
    pub(super) fn heal(&self, block: u64, keys: Option<&Keys>, tools: &mut Tools) -> Result<Found> {
        let Structure {
            order,
            healer,
            scanned,
            ..
        } = &self.structure;
        let target = self.structure.target(block);
        let healer = self.scanned.get().unwrap_or(healer);
        let mut result = healer.heal(
            &regions(&healer.replicas, order, block),
            target,
            keys,
            tools,
        )?;
        if matches!(result.0, Outcome::Lost) {
            let healer = match self.scanned.get() {
                _ if *scanned => healer,
                Some(healer) => healer,
                None => {
                    let scanned = self.structure.scan(&self.options.limits)?;
                    self.scanned.get_or_init(|| scanned)
                }
            };
            let everywhere = all_regions(&healer.replicas, order, block);
            result = healer.heal(&everywhere, target, keys, tools)?;
            result.1.elsewhere = true;
        }
        let (outcome, findings) = result;
        Ok(match outcome {
            Outcome::Healed(healed) => Found {
                data: Some(healed.data),
                rung: healed.rung,
                findings,
                raw: healed.raw,
            },
            Outcome::Lost => Found {
                data: None,
                rung: Rung::Errors,
                findings,
                raw: None,
            },
        })
    }

    /// Checks every sector of the file; with an unlocked payload, opens every block as well.
    ///
    /// Blocks that are intact and do not open were altered: they count as failed, and the report
    /// says how many they are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the index is authentic and malformed, [`Error::Io`].
    pub fn validate(self: &Arc<Self>, unlocked: Option<&Payload>) -> Result<Report> {
        let mut report = self.report();
        let mut rebuilt = self.rebuild();
        self.each_block(
            || {
                let (this, unlocked) = (Arc::clone(self), unlocked.cloned());
                let mut tools = Tools::new()?;
                Ok(move |block: u64| {
                    let keys = unlocked.as_ref().map(Payload::keys);
                    let found = match this.heal(block, keys, &mut tools) {
                        Err(Error::Authentication(_)) => return Ok(None),
                        found => found?,
                    };
                    if let (Some(payload), Some(raw)) = (&unlocked, &found.raw) {
                        payload.check_raw_len(block, raw.len() as u64)?;
                    }
                    if unlocked.is_some() && this.disagrees_with_table(block, &found)? {
                        return Ok(None);
                    }
                    let entry = this.entry(block, &found)?;
                    let whole = found.data.is_some();
                    for spent in found.data.into_iter().chain(found.raw) {
                        this.structure.healer.buffers.give(spent);
                    }
                    Ok(Some((whole, found.rung, found.findings, entry)))
                })
            },
            |block, found| {
                match found {
                    Some((whole, rung, findings, entry)) => {
                        self.note(&mut report, block, whole, rung, &findings);
                        rebuilt.add(block, entry);
                    }
                    None => {
                        report.blocks_altered += 1;
                        report.failed_blocks.push(self.failed(block));
                    }
                }
                Ok(())
            },
        )?;
        if rebuilt.entries().is_some() {
            // The table can be made again from the blocks, so its own blocks are not lost.
            let before = report.failed_blocks.len();
            report
                .failed_blocks
                .retain(|failed| failed.kind != Kind::Table.as_str());
            report.blocks_healed += (before - report.failed_blocks.len()) as u64;
        }
        self.check_end(&mut report)?;
        if let Some(payload) = unlocked.filter(|_| report.failed_blocks.is_empty()) {
            payload.entries(|_| Ok(()))?;
            report.decrypted = true;
        }
        Ok(report)
    }

    /// Opens the container with a passphrase.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Authentication`] where page, table or manifest were
    /// altered, [`Error::Limit`], [`Error::Damaged`] where the manifest is beyond repair.
    pub fn unlock(self: &Arc<Self>, passphrase: &Passphrase) -> Result<Payload> {
        let keys = self.keys(passphrase)?;
        Payload::new(Arc::clone(self), keys)
    }

    /// Opens what is left without a manifest, to salvage it.
    ///
    /// # Errors
    /// As those of [`unlock`](Self::unlock), but for a manifest that is lost or altered.
    pub fn unlock_for_salvage(self: &Arc<Self>, passphrase: &Passphrase) -> Result<Payload> {
        let keys = self.keys(passphrase)?;
        Payload::for_salvage(Arc::clone(self), keys)
    }

    /// The keys that a passphrase opens.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Authentication`], [`Error::Limit`].
    pub fn keys(&self, passphrase: &Passphrase) -> Result<Keys> {
        self.keys_and_slot(passphrase).map(|(keys, _)| keys)
    }

    /// The keys that a passphrase opens, and the key slot that it opened.
    pub(super) fn keys_and_slot(&self, passphrase: &Passphrase) -> Result<(Keys, usize)> {
        let archive = &self.structure.healer.loom.archive;
        let unlocked = Keys::unlock(self.page(), archive, passphrase, &self.options.limits);
        let older = self.structure.older;
        unlocked.map_err(|error| match error {
            Error::WrongPassphrase { slots, .. } => Error::WrongPassphrase { slots, older },
            Error::Authentication(what) => Error::Authentication(what + &older_page(older)),
            other => other,
        })
    }

    /// Whether all sectors of the first file lie where they belong.
    pub(super) fn is_canonical(&self) -> bool {
        self.first_segments().is_some_and(Segments::is_canonical)
    }

    fn first_segments(&self) -> Option<&Segments> {
        let healer = self.scanned.get().unwrap_or(&self.structure.healer);
        healer.replicas.first().map(|replica| &*replica.segments)
    }

    pub(super) fn first_source(&self) -> Result<Arc<dyn Source>> {
        let replica = self.structure.healer.replicas.first();
        replica
            .map(|replica| Arc::clone(&replica.source))
            .ok_or_else(|| Error::Misuse("no file is open".into()))
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::new(Version::V3);
        (report.blocks, report.sectors) = self.structure.totals();
        report.notes.clone_from(&self.structure.notes);
        report
    }

    pub(super) fn note(
        &self,
        report: &mut Report,
        block: u64,
        whole: bool,
        rung: Rung,
        findings: &Findings,
    ) {
        report.sectors_bad += findings.bad;
        report.sectors_unstable += findings.unstable;
        report.misplaced |= whole && findings.elsewhere;
        if !whole {
            report.failed_blocks.push(self.failed(block));
        } else if rung > Rung::Clean {
            report.blocks_healed += 1;
        }
    }

    /// Looks at what stands around the blocks: the end sector, and bytes that belong to no sector.
    pub(super) fn check_end(&self, report: &mut Report) -> Result<()> {
        let order = &self.structure.order;
        let size = self.geometry().sector_size();
        let source = self.first_source()?;
        let mut stored = vec![0; size];
        let at = order.file_len() - size as u64;
        let read = source.read_full_at(&mut stored, at)?;
        let right = self.structure.healer.loom.end_sector(order.blocks());
        if read < size || !is_intact(&stored) || stored != right {
            report.sectors_bad += 1;
        }
        self.note_misplaced(report);
        if report.sectors_unstable > 0 {
            let n = report.sectors_unstable;
            report.notes.push(format!(
                "unstable reads: {n} sectors read differently a second time; suspect memory, \
                 cable or controller"
            ));
        }
        self.note_unreadable(report);
        Ok(())
    }

    /// Notes bytes that are missing, too many, or not in their places, as far as that is known.
    fn note_misplaced(&self, report: &mut Report) {
        let written = self.structure.order.file_len();
        report.misplaced |= self.first_segments().is_some_and(Segments::has_moved);
        if self.len == written && report.misplaced {
            report
                .notes
                .push("sectors lie in another order than they were written in".into());
        } else if self.structure.seen.is_none() {
            // Where the end is lost, how long the file was is a guess.
            report.note_length(self.len, written);
        }
    }

    /// Notes what is known of the file itself once its payload was read; nothing more is read for that.
    pub(super) fn note_file(&self, report: &mut Report) {
        self.note_misplaced(report);
        let Structure {
            scanned, healer, ..
        } = &self.structure;
        // A file whose ends are in order is opened without a scan, and several files never are.
        if *scanned && healer.replicas.len() == 1 && !report.misplaced {
            report.misplaced = true;
            report
                .notes
                .push("the ends of the file are not as they were written".into());
        }
        self.note_unreadable(report);
    }

    /// Notes what the disks could not read of the files.
    fn note_unreadable(&self, report: &mut Report) {
        for replica in &self.structure.healer.replicas {
            report.note_unreadable(&*replica.source);
        }
    }

    pub(super) fn damage(&self, blocks: Vec<FailedBlock>) -> Damage {
        let (failed, all) = (blocks.len(), self.structure.order.blocks());
        Damage {
            what: format!("{failed} of {all} blocks"),
            blocks,
        }
    }

    /// Does `work` for every block on all threads, and hands the results to `sink` in order.
    pub(super) fn each_block<R, W>(
        &self,
        make: impl FnMut() -> Result<W>,
        mut sink: impl FnMut(u64, R) -> Result<()>,
    ) -> Result<()>
    where
        R: Send + 'static,
        W: FnMut(u64) -> Result<R> + Send + 'static,
    {
        self.blocks_in_order(0..self.structure.order.blocks(), make, |block, result| {
            sink(block, result?)
        })
    }

    pub(super) fn blocks_in_order<R, W>(
        &self,
        blocks: Range<u64>,
        make: impl FnMut() -> Result<W>,
        mut sink: impl FnMut(u64, R) -> Result<()>,
    ) -> Result<()>
    where
        R: Send + 'static,
        W: FnMut(u64) -> R + Send + 'static,
    {
        let mut pipeline = Pipeline::new(self.threads(), make)?;
        let mut next = blocks.start;
        let total = blocks.end;
        for block in blocks {
            while next < total && !pipeline.is_full() {
                pipeline.push(next)?;
                next += 1;
            }
            if let Some(result) = pipeline.pop()? {
                sink(block, result)?;
            }
            self.options.report_progress(block + 1, total);
        }
        Ok(())
    }
}
