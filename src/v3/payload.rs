//! The payload of an unlocked container: read it whole, in ranges, or what is left of it.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use super::container::Container;
use super::heal::{Findings, Rung, Tools};
use super::keys::Keys;
use super::manifest::{Entry, MEDIA_TAR, Manifest};
use super::table;
use crate::error::{Damage, FailedBlock};
use crate::report::Report;
use crate::version::Version;
use crate::{Error, Result};

/// An unlocked payload. All bytes that it returns are authentic.
#[derive(Clone)]
pub struct Payload {
    container: Arc<Container>,
    keys: Arc<Keys>,
    manifest: Option<Arc<Manifest>>,
    len: u64,
}

/// The raw bytes of one block, and how they were had.
struct Opened {
    /// Memory of the healer's; who is done with it gives it back.
    raw: Vec<u8>,
    rung: Rung,
    findings: Findings,
}

/// What a worker reads blocks with.
struct Worker {
    payload: Payload,
    tools: Tools,
}

impl Payload {
    pub(super) fn new(container: Arc<Container>, keys: Keys) -> Result<Self> {
        let mut payload = Payload {
            container,
            keys: Arc::new(keys),
            manifest: None,
            len: 0,
        };
        let structure = payload.container.structure();
        let census = structure.census;
        let mut worker = Worker::new(payload.clone())?;
        let Some(opened) = worker.open(census.manifest())? else {
            let failed = payload.container.failed(census.manifest());
            return Err(Error::Damaged(Damage {
                what: "the manifest; without it nothing proves that the archive is complete".into(),
                blocks: vec![failed],
            }));
        };
        let manifest = Manifest::from_bytes(&opened.raw)?;
        let capacity = structure.page.geometry.capacity() as u64;
        let sum = manifest
            .data_blocks
            .checked_add(manifest.index_blocks.into());
        if manifest.payload_len.div_ceil(capacity) != manifest.data_blocks
            || sum != Some(census.manifest())
        {
            return Err(Error::Unsupported(
                "the manifest is authentic, but its numbers of blocks contradict each other".into(),
            ));
        }
        if manifest.data_blocks != census.data || manifest.index_blocks != census.index {
            return Err(Error::Authentication(
                "the block table and the manifest disagree about the number of blocks".into(),
            ));
        }
        let entries: Option<Vec<_>> = structure.entries[..census.manifest() as usize]
            .iter()
            .copied()
            .collect();
        if let Some(entries) = entries
            && table::root(&structure.healer.loom.archive, &entries) != manifest.table_root
        {
            return Err(Error::Authentication(
                "the block table is not the one that the manifest names: it was altered".into(),
            ));
        }
        payload.len = manifest.payload_len;
        payload.manifest = Some(Arc::new(manifest));
        Ok(payload)
    }

    pub(super) fn for_salvage(container: Arc<Container>, keys: Keys) -> Result<Self> {
        match Self::new(Arc::clone(&container), keys.clone()) {
            Err(Error::Damaged(_) | Error::Authentication(_)) => {
                let mut payload = Payload {
                    container,
                    keys: Arc::new(keys),
                    manifest: None,
                    len: 0,
                };
                payload.len = payload.salvageable()?;
                Ok(payload)
            }
            other => other,
        }
    }

    /// Without a manifest, the payload ends where the last data block does that opens.
    fn salvageable(&self) -> Result<u64> {
        let mut worker = Worker::new(self.clone())?;
        for block in (0..self.container.structure().census.data).rev() {
            match worker.open(block) {
                Ok(Some(opened)) => return Ok(block * self.capacity() + opened.raw.len() as u64),
                Ok(None)
                | Err(Error::Authentication(_) | Error::Damaged(_) | Error::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }

    /// The manifest; `None` when salvaging an archive that has lost it.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_deref()
    }

    /// Length of the payload in bytes; without a manifest, up to the last block that can be salvaged.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The container that this is the payload of.
    #[must_use]
    pub fn container(&self) -> &Arc<Container> {
        &self.container
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Every data block but the last is full, and the last one ends where the payload does.
    pub(super) fn check_raw_len(&self, block: u64, raw_len: u64) -> Result<()> {
        if block >= self.container.structure().census.data || self.manifest.is_none() {
            return Ok(());
        }
        let capacity = self.capacity();
        let expected = self.len.saturating_sub(block * capacity).min(capacity);
        if raw_len != expected {
            return Err(Error::Unsupported(format!(
                "block {block} is authentic, but not of the length that its place demands"
            )));
        }
        Ok(())
    }

    fn capacity(&self) -> u64 {
        self.container.page().geometry.capacity() as u64
    }

    /// Whether the payload is an archive of files.
    #[must_use]
    pub fn is_tar(&self) -> bool {
        self.manifest()
            .is_some_and(|manifest| manifest.media_type == MEDIA_TAR)
    }

    /// Calls `each` with every entry of the index, in the order of the payload.
    ///
    /// Returns the index blocks that are lost, whose entries are missing then.
    ///
    /// # Errors
    /// Those of `each`, and [`Error::Authentication`], [`Error::Unsupported`], [`Error::Io`].
    pub fn entries(&self, mut each: impl FnMut(Entry) -> Result<()>) -> Result<Vec<FailedBlock>> {
        let mut next = Some(0);
        let mut each = |entry: Entry| {
            let end = entry.offset.checked_add(entry.length);
            let placed = next.is_some_and(|next| entry.offset >= next);
            if !placed || (self.manifest.is_some() && end.is_none_or(|end| end > self.len)) {
                return Err(Error::Unsupported(
                    "the index is authentic, but names places that are not in the payload".into(),
                ));
            }
            next = entry.offset.checked_add(1);
            each(entry)
        };
        let mut lost = Vec::new();
        let mut count = 0;
        if let Some(manifest) = self.manifest() {
            for entry in Entry::sequence(&manifest.inline_index)? {
                count += 1;
                each(entry)?;
            }
        }
        let census = self.container.structure().census;
        let mut worker = Worker::new(self.clone())?;
        for block in census.data..census.manifest() {
            match worker.open(block)? {
                Some(opened) if opened.raw.is_empty() => {
                    return Err(Error::Unsupported(format!(
                        "index block {block} is authentic, but has no entry"
                    )));
                }
                Some(opened) => {
                    for entry in Entry::sequence(&opened.raw)? {
                        count += 1;
                        each(entry)?;
                    }
                }
                None => lost.push(self.container.failed(block)),
            }
        }
        match self.manifest() {
            Some(manifest) if lost.is_empty() && manifest.entries != count => Err(
                Error::Unsupported("the index does not have as many entries as stated".into()),
            ),
            _ => Ok(lost),
        }
    }

    /// The bytes of a range of the payload.
    ///
    /// # Errors
    /// [`Error::Misuse`] where the range reaches behind the end, [`Error::Damaged`] where a block
    /// of it is beyond repair.
    pub fn read_range(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.copy_range_to(range, &mut out)?;
        Ok(out)
    }

    /// Writes a range of the payload to `out`.
    ///
    /// # Errors
    /// As those of [`read_range`](Self::read_range), and [`Error::Io`] from `out`.
    pub fn copy_range_to(&self, range: Range<u64>, out: &mut impl Write) -> Result<Report> {
        self.copy(range, out, false)
    }

    /// Writes the whole payload to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] at the first block that is beyond repair, [`Error::Io`] from `out`.
    pub fn copy_to(&self, out: &mut impl Write) -> Result<Report> {
        self.copy(0..self.len, out, false)
    }

    /// Writes what is left of the payload to `out`; zeros stand for what is lost, and the report
    /// names it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Authentication`].
    pub fn salvage_to(&self, out: &mut impl Write) -> Result<Report> {
        self.copy(0..self.len, out, true)
    }

    fn copy(&self, range: Range<u64>, out: &mut impl Write, salvage: bool) -> Result<Report> {
        if range.start > range.end || range.end > self.len {
            let (Range { start, end }, len) = (range, self.len);
            return Err(Error::Misuse(format!(
                "bytes {start} to {end} of a payload of {len} bytes were asked for"
            )));
        }
        let mut report = Report::new(Version::V3);
        report.decrypted = true;
        report.notes.clone_from(&self.container.structure().notes);
        let capacity = self.capacity();
        let blocks = match range.is_empty() {
            true => 0..0,
            false => range.start / capacity..range.end.div_ceil(capacity),
        };
        let buffers = &self.container.structure().healer.buffers;
        self.container.blocks_in_order(
            blocks,
            || {
                let mut worker = Worker::new(self.clone())?;
                Ok(move |block: u64| worker.open(block))
            },
            |block, opened| {
                let first = block * capacity;
                let own = first..(first + capacity).min(self.len);
                report.blocks += 1;
                let opened = match opened {
                    // What does not open is as good as lost.
                    Err(Error::Authentication(_) | Error::Damaged(_) | Error::Unsupported(_))
                        if salvage =>
                    {
                        report.blocks_altered += 1;
                        None
                    }
                    opened => opened?,
                };
                let raw = match opened {
                    Some(opened) => {
                        report.blocks_healed += u64::from(opened.rung > Rung::Clean);
                        report.sectors_bad += opened.findings.bad;
                        report.misplaced |= opened.findings.elsewhere;
                        opened.raw
                    }
                    None => {
                        let mut failed = self.container.failed(block);
                        failed.payload = Some(own.clone());
                        if !salvage {
                            return Err(Error::Damaged(self.container.damage(vec![failed])));
                        }
                        report.failed_blocks.push(failed);
                        let mut zeros = buffers.take();
                        zeros.clear();
                        zeros.resize((own.end - own.start) as usize, 0);
                        zeros
                    }
                };
                // Without its manifest, a payload may be shorter than its blocks have room for.
                let to = (range.end.min(own.end) - first).min(raw.len() as u64);
                let from = (range.start.max(first) - first).min(to);
                out.write_all(&raw[from as usize..to as usize])?;
                buffers.give(raw);
                Ok(())
            },
        )?;
        self.container.note_file(&mut report);
        Ok(report)
    }

    /// Reads the payload from its start, on all threads.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let (send, receive) = std::sync::mpsc::sync_channel(4);
        let payload = self.clone();
        let thread = std::thread::spawn(move || {
            let mut out = ChannelWriter(send.clone());
            let result = payload.copy_to(&mut out);
            // Who reads may have stopped; then there is nobody to tell.
            let _ = send.send(match result {
                Ok(report) => Message::End(Box::new(report)),
                Err(error) => Message::Failed(error),
            });
        });
        Reader {
            receive,
            chunk: Vec::new(),
            at: 0,
            ended: None,
            failed: None,
            thread: Some(thread),
        }
    }
}

impl Worker {
    fn new(payload: Payload) -> Result<Self> {
        Ok(Worker {
            payload,
            tools: Tools::new()?,
        })
    }

    /// The raw bytes of a block: at once if it is clean, else by healing. `None` if it is lost.
    fn open(&mut self, block: u64) -> Result<Option<Opened>> {
        let Worker { payload, tools } = self;
        let structure = payload.container.structure();
        let buffers = &structure.healer.buffers;
        let (order, target) = (&structure.order, structure.target(block));
        let keys = &*payload.keys;
        let mut raw = buffers.take();
        raw.clear();
        let healer = &structure.healer;
        let at_once = healer.open_at_once(order, target, keys, tools, |bytes| {
            raw.extend_from_slice(bytes);
        })?;
        let (mut rung, mut findings) = (Rung::Clean, Findings::default());
        if !at_once {
            buffers.give(raw);
            let found = payload.container.heal(block, Some(keys), tools)?;
            if let Some(data) = found.data {
                buffers.give(data);
            }
            match found.raw {
                Some(healed) => raw = healed,
                None => return Ok(None),
            }
            (rung, findings) = (found.rung, found.findings);
        }
        payload.check_raw_len(block, raw.len() as u64)?;
        Ok(Some(Opened {
            raw,
            rung,
            findings,
        }))
    }
}

enum Message {
    Bytes(Vec<u8>),
    End(Box<Report>),
    Failed(Error),
}

struct ChannelWriter(std::sync::mpsc::SyncSender<Message>);

impl Write for ChannelWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Message::Bytes(buf.to_vec()));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a payload from its start. After an error it keeps failing.
pub struct Reader {
    receive: std::sync::mpsc::Receiver<Message>,
    chunk: Vec<u8>,
    at: usize,
    ended: Option<Report>,
    failed: Option<Error>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    /// What was found on the way, once the end was reached.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.ended.as_ref()
    }

    /// The error that reading ended with, in this crate's terms.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Takes the error that reading ended with; reading fails on all the same.
    pub fn take_error(&mut self) -> Option<Error> {
        let taken = self.failed.take();
        if taken.is_some() {
            self.failed = Some(Error::Misuse("reading has failed before".into()));
        }
        taken
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            if let Some(error) = &self.failed {
                return Err(io::Error::other(error.to_string()));
            }
            if self.ended.is_some() || buf.is_empty() {
                return Ok(0);
            }
            match self.receive.recv() {
                Ok(Message::Bytes(bytes)) => (self.chunk, self.at) = (bytes, 0),
                Ok(Message::End(report)) => self.ended = Some(*report),
                Ok(Message::Failed(error)) => self.failed = Some(error),
                Err(_) => self.failed = Some(Error::Misuse("a worker thread has died".into())),
            }
        }
        let n = buf.len().min(self.chunk.len() - self.at);
        buf[..n].copy_from_slice(&self.chunk[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // A closed channel ends the thread at its next block.
        let (_, closed) = std::sync::mpsc::sync_channel(0);
        self.receive = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
