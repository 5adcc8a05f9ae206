//! The writer: payload bytes in, a whole container out.

mod copy_b;
mod index;
mod options;
mod outlet;

use std::collections::VecDeque;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use self::index::Index;
pub use self::options::{Randomness, WriterOptions};
use self::outlet::Outlet;
use super::block::{Loom, Sectors};
use super::geometry::{Copy, CopyB, Geometry};
use super::keys::Keys;
use super::layout::{GCM_TAG_LEN, SEALED_HEADER_LEN};
use super::manifest::{Entry, MEDIA_TAR, Manifest};
use super::page::Page;
use super::sealed::{Compressor, Place};
use super::sector::{ArchiveId, Kind};
use super::table::{self, Census};
use crate::disk::DiskStream;
use crate::pages::Pages;
use crate::pipeline::{Pipeline, Pool};
use crate::{Error, Passphrase, Result};

/// Writes one container. Bytes written to it are the payload.
///
/// A container is whole only after [`finish`](Self::finish): a writer that is dropped before leaves
/// an output that no reader accepts.
///
/// ```
/// use std::io::{Cursor, Write};
///
/// let passphrase = dbs::Passphrase::new("correct horse battery staple");
/// let mut options = dbs::WriterOptions::default();
/// # options.kdf = dbs::KdfParams { passes: 1, memory_kib: 64, lanes: 1 };
/// let mut writer = dbs::Writer::create(Cursor::new(Vec::new()), &passphrase, options)?;
/// writer.write_all(b"what must not be lost")?;
/// let file = writer.finish()?.into_inner();
///
/// let archive = dbs::Archive::open(file)?;
/// let payload = archive.unlock(&passphrase)?.into_v3()?;
/// assert_eq!(payload.read_range(0..payload.len())?, b"what must not be lost");
/// # Ok::<(), dbs::Error>(())
/// ```
pub struct Writer<W> {
    outlet: Outlet<W>,
    options: WriterOptions,
    archive: ArchiveId,
    keys: Keys,
    key_slot: super::page::KeySlot,
    /// Payload bytes that make no full block yet, behind the room that sealing needs.
    pending: Vec<u8>,
    buffers: Buffers,
    payload_len: u64,
    index: Index,
    /// Known once the first block is full, or the payload is complete.
    body: Option<Body>,
    failed: bool,
}

/// The part of a writer that exists once the geometry is decided.
struct Body {
    loom: Loom,
    lag: u32,
    pipeline: Pipeline<Job, Result<Woven>>,
    next_block: u64,
    entries: Vec<table::Entry>,
    /// What copy A is checked with when it is read back, for every block.
    checks: Vec<u32>,
    /// Blocks whose copy B is still to be written, with a lag.
    waiting: VecDeque<Arc<Sectors>>,
}

struct Job {
    block: u64,
    kind: Kind,
    /// Raw bytes behind the room that sealing needs.
    plain: Vec<u8>,
}

struct Woven {
    sectors: Sectors,
    check: u32,
}

/// Memory that blocks pass on to later blocks.
#[derive(Clone, Default)]
struct Buffers {
    plain: Pool,
    sectors: Pool<Pages>,
}

impl Buffers {
    /// An empty buffer with the room that sealing needs.
    fn pending(&self) -> Vec<u8> {
        let mut pending = self.plain.take();
        pending.clear();
        pending.resize(SEALED_HEADER_LEN, 0);
        pending
    }
}

impl<W: Write + Read + Seek> Writer<W> {
    /// A writer to an output that can be read back: copy B stands half a file behind copy A.
    ///
    /// The container begins at the output's position.
    ///
    /// # Errors
    /// [`Error::Misuse`] for options that cannot be, [`Error::Io`].
    pub fn create(out: W, passphrase: &Passphrase, options: WriterOptions) -> Result<Self> {
        let buffers = Buffers::default();
        let outlet = Outlet::seekable(out, buffers.sectors.clone())?;
        Self::new(outlet, buffers, passphrase, options)
    }
}

impl Writer<DiskStream> {
    /// As [`create`](Self::create), past the page cache, with several writes at a time: for large files.
    ///
    /// # Errors
    /// [`Error::Misuse`] for options that cannot be, [`Error::Io`].
    pub fn on_disk(
        out: DiskStream,
        passphrase: &Passphrase,
        options: WriterOptions,
    ) -> Result<Self> {
        let buffers = Buffers::default();
        let outlet = Outlet::on_disk(out, buffers.sectors.clone())?;
        Self::new(outlet, buffers, passphrase, options)
    }
}

impl<W: Write> Writer<W> {
    /// A writer to an output that cannot be read back, for instance a pipe: copy B stands a lag of
    /// blocks behind copy A, which are kept in memory.
    ///
    /// # Errors
    /// [`Error::Misuse`] for options that cannot be, [`Error::Io`].
    pub fn stream(out: W, passphrase: &Passphrase, options: WriterOptions) -> Result<Self> {
        let buffers = Buffers::default();
        let outlet = Outlet::stream(out, buffers.sectors.clone());
        Self::new(outlet, buffers, passphrase, options)
    }

    fn new(
        outlet: Outlet<W>,
        buffers: Buffers,
        passphrase: &Passphrase,
        options: WriterOptions,
    ) -> Result<Self> {
        let geometry = Geometry::of(options.profile, options.sector_shift.unwrap_or(9));
        let geometry = geometry
            .ok_or_else(|| Error::Misuse("sectors have 512 to 65536 bytes, a power of 2".into()))?;
        let without_b = geometry.copy_b() == CopyB::None;
        if without_b && options.lag.is_some_and(|lag| lag > 0) {
            return Err(Error::Misuse(
                "a lag needs a second copy; `light` has none".into(),
            ));
        }
        if !outlet.can_be_read() && options.lag == Some(0) && !without_b {
            return Err(Error::Misuse(
                "an output that cannot be read back, such as a pipe, needs a lag of 1 or more"
                    .into(),
            ));
        }
        let mut archive = ArchiveId::default();
        options.randomness.fill(b"archive id", &mut archive)?;
        let mut data_key = Zeroizing::new([0; 32]);
        options.randomness.fill(b"data key", &mut *data_key)?;
        let (mut salt, mut nonce) = ([0; 16], [0; 12]);
        options.randomness.fill(b"salt", &mut salt)?;
        options.randomness.fill(b"nonce", &mut nonce)?;
        let keys = Keys::new(data_key);
        let key_slot = keys.wrap(passphrase, &archive, options.kdf, salt, nonce)?;
        Ok(Writer {
            outlet,
            options,
            archive,
            keys,
            key_slot,
            pending: vec![0; SEALED_HEADER_LEN],
            buffers,
            payload_len: 0,
            index: Index::default(),
            body: None,
            failed: false,
        })
    }

    /// Adds an entry to the index of an archive of files.
    ///
    /// # Errors
    /// [`Error::Misuse`] where the entry is too large for a block, or the payload is no tar stream.
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        if self.options.media_type != MEDIA_TAR {
            return Err(Error::Misuse(
                "only an archive of files (media type application/x-tar) has an index".into(),
            ));
        }
        // Until the geometry is decided, an index block must fit the smallest sectors.
        let capacity = match &self.body {
            Some(body) => body.loom.geometry.capacity(),
            None => Geometry::of(self.options.profile, self.options.sector_shift.unwrap_or(9))
                .map_or(0, |geometry| geometry.capacity()),
        };
        self.index.push(entry, capacity)
    }

    /// Bytes of payload taken so far.
    pub fn payload_len(&self) -> u64 {
        self.payload_len
    }

    /// Writes all that is still to be written, and gives the output back.
    ///
    /// The output is flushed, not synced: that is for who opened it.
    ///
    /// # Errors
    /// [`Error::Io`]; also if an earlier write failed.
    pub fn finish(mut self) -> Result<W> {
        if self.failed {
            return Err(Error::Misuse(
                "an earlier write failed: the container is not whole".into(),
            ));
        }
        let shift = self.options.sector_shift.unwrap_or(9);
        let mut body = self.take_body(shift)?;
        // A block that is full was written at once, so this is at most one.
        let last = std::mem::take(&mut self.pending);
        if last.len() > SEALED_HEADER_LEN {
            self.push(&mut body, Kind::Data, last)?;
        }
        let data = body.next_block;
        let mut index = std::mem::take(&mut self.index);
        let entries = index.entries();
        let inline = index.take_short(body.loom.geometry.capacity() / 2);
        for chunk in index.chunks() {
            let plain = self.plain(&chunk?);
            self.push(&mut body, Kind::Index, plain)?;
        }
        while self.pop(&mut body)? {}
        let census = u32::try_from(body.next_block - data)
            .ok()
            .and_then(|index| Census::new(&body.loom.geometry, data, index))
            .ok_or_else(|| Error::Misuse("too many blocks".into()))?;

        let manifest = Manifest {
            media_type: self.options.media_type.clone(),
            producer: self.options.producer.clone(),
            created: self.options.created.unwrap_or_else(now),
            payload_len: self.payload_len,
            data_blocks: census.data,
            index_blocks: census.index,
            table_root: table::root(&self.archive, &body.entries),
            entries,
            inline_index: inline,
        };
        let plain = self.plain(&manifest.to_bytes()?);
        self.push(&mut body, Kind::Manifest, plain)?;
        while self.pop(&mut body)? {}

        let geometry = body.loom.geometry;
        let mut ks: Vec<u8> = body.entries.iter().map(|entry| entry.k).collect();
        for index in 0..census.table {
            let payload = table::write(&geometry, &self.archive, &census, &body.entries, index);
            let block = census.entries() + u64::from(index);
            let copies = copies_at_once(&geometry, body.lag);
            let sectors = body
                .loom
                .weave(Kind::Table, block, &payload, copies, Pages::new())?;
            ks.push(sectors.k());
            body.checks.push(crc32fast::hash(sectors.data()));
            self.write_block(&mut body, sectors)?;
        }
        while let Some(sectors) = body.waiting.pop_front() {
            self.outlet.append(sectors, Copy::B)?;
        }
        if body.lag == 0 && geometry.copy_b() != CopyB::None {
            self.write_copy_b(&body, &census, ks)?;
        }
        self.outlet.finish(&body.loom.end_sector(census.blocks()))
    }

    /// The body; where there is none yet, the geometry is decided here.
    fn take_body(&mut self, sector_shift: u8) -> Result<Body> {
        if let Some(body) = self.body.take() {
            return Ok(body);
        }
        let shift = self.options.sector_shift.unwrap_or(sector_shift);
        let geometry = Geometry::of(self.options.profile, shift)
            .ok_or_else(|| Error::Misuse("impossible sector size".into()))?;
        let lag = match (geometry.copy_b(), self.options.lag) {
            (CopyB::None, _) => 0,
            (_, Some(lag)) => lag,
            (_, None) if self.outlet.can_be_read() => 0,
            (_, None) => DEFAULT_STREAM_LAG,
        };
        let mut page = Page {
            minor: 0,
            geometry,
            lag,
            generation: 0,
            commitment: [0; 32],
            key_slots: vec![self.key_slot.to_bytes()],
        };
        page.commitment = self.keys.commitment(&self.archive, &page);
        let loom = Loom::new(self.archive, &page)?;
        let keys = Arc::new(self.keys.clone());
        let pipeline = Pipeline::new(self.options.workers(), || {
            let loom = loom.clone();
            let keys = Arc::clone(&keys);
            let mut compressor = Compressor::new(self.options.compression)?;
            let buffers = self.buffers.clone();
            let checked = lag == 0 && geometry.copy_b() != CopyB::None;
            Ok(move |mut job: Job| {
                let place = Place {
                    archive: loom.archive,
                    block: job.block,
                    kind: job.kind,
                };
                let sealed = compressor.seal(&keys, &geometry, place, &mut job.plain)?;
                let copies = copies_at_once(&geometry, lag);
                let buffer = buffers.sectors.take();
                let sectors = loom.weave(job.kind, job.block, sealed, copies, buffer)?;
                buffers.plain.give(job.plain);
                let check = if checked {
                    crc32fast::hash(sectors.data())
                } else {
                    0
                };
                Ok(Woven { sectors, check })
            })
        })?;
        Ok(Body {
            loom,
            lag,
            pipeline,
            next_block: 0,
            entries: Vec::new(),
            checks: Vec::new(),
            waiting: VecDeque::new(),
        })
    }

    /// A copy of the raw bytes of a block, behind the room that sealing needs.
    fn plain(&self, raw: &[u8]) -> Vec<u8> {
        let mut plain = self.buffers.pending();
        plain.extend_from_slice(raw);
        plain
    }

    fn push(&mut self, body: &mut Body, kind: Kind, plain: Vec<u8>) -> Result<()> {
        while body.pipeline.is_full() {
            self.pop(body)?;
        }
        body.pipeline.push(Job {
            block: body.next_block,
            kind,
            plain,
        })?;
        body.next_block += 1;
        Ok(())
    }

    /// Writes the next finished block; false when none is under way.
    fn pop(&mut self, body: &mut Body) -> Result<bool> {
        let Some(woven) = body.pipeline.pop()? else {
            return Ok(false);
        };
        let Woven { sectors, check } = woven?;
        body.entries.push(sectors.entry());
        body.checks.push(check);
        self.write_block(body, sectors)?;
        Ok(true)
    }

    fn write_block(&mut self, body: &mut Body, sectors: Sectors) -> Result<()> {
        let sectors = Arc::new(sectors);
        if body.lag > 0 {
            body.waiting.push_back(Arc::clone(&sectors));
        }
        self.outlet.append(sectors, Copy::A)?;
        if body.waiting.len() as u64 > body.lag.into()
            && let Some(first) = body.waiting.pop_front()
        {
            self.outlet.append(first, Copy::B)?;
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.payload_len += bytes.len() as u64;
        if self.body.is_none() {
            let small = Geometry::of(self.options.profile, 9).map_or(0, |g| g.capacity());
            if self.options.sector_shift.is_none()
                && self.pending.len() + bytes.len() <= SEALED_HEADER_LEN + small
            {
                self.pending.extend_from_slice(bytes);
                return Ok(());
            }
        }
        let mut body = self.take_body(DEFAULT_SECTOR_SHIFT)?;
        let full = SEALED_HEADER_LEN + body.loom.geometry.capacity();
        while !bytes.is_empty() {
            let room = full - self.pending.len();
            let (head, tail) = bytes.split_at(bytes.len().min(room));
            // What sealing adds behind the bytes must not move them.
            self.pending.reserve_exact(room + GCM_TAG_LEN);
            self.pending.extend_from_slice(head);
            bytes = tail;
            if self.pending.len() == full {
                let plain = std::mem::replace(&mut self.pending, self.buffers.pending());
                self.push(&mut body, Kind::Data, plain)?;
            }
        }
        self.body = Some(body);
        Ok(())
    }
}

/// Bytes of a sector where the payload is not small, as a power of two.
const DEFAULT_SECTOR_SHIFT: u8 = 12;
/// The lag of an output that cannot be read back.
const DEFAULT_STREAM_LAG: u32 = 32;

/// The copies whose parity is made when a block is sealed: with a lag of 0, copy B comes later.
fn copies_at_once(geometry: &Geometry, lag: u32) -> &'static [Copy] {
    if lag == 0 {
        &[Copy::A]
    } else {
        geometry.copies()
    }
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| i64::try_from(d.as_secs()).ok())
        .unwrap_or(0)
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed"));
        }
        match self.take(buf) {
            Ok(()) => Ok(buf.len()),
            Err(error) => {
                self.failed = true;
                Err(match error {
                    Error::Io(e) => e,
                    other => io::Error::other(other),
                })
            }
        }
    }

    /// Does nothing: blocks are written when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
