//! Writes version 1.
//!
//! The manifest stands before the blocks and holds their hashes, so it is written last, and its
//! length must be known before the blocks have a place. If the length of the payload is known (and
//! it is not compressed), the blocks go where they belong at once; otherwise they are written
//! one after the other and moved to their places at the end. Either way memory is bounded.

use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::format::{BODY_AAD, COMPRESSED, FLAGS, HEADER, Header, KEY_AAD, hash};
use super::gcm::{Authenticator, LONGEST, Message};
use super::manifest::Manifest;
use crate::copies::kdf::Kdf;
use crate::copies::keys::Keys;
use crate::copies::rows::Code;
use crate::hash::blake2b_128_many;
use crate::pages::Pages;
use crate::secret::random;
use crate::{Error, Passphrase, Result};

/// Blocks encoded together.
const BATCH: usize = 8;

/// Bytes of the payload that are worked on at a time.
const PIECE: usize = 128 << 10;

/// Bytes that are moved at a time, in whole pages.
const MOVED: u64 = 4 << 20;

/// How a container of version 1 is written. The defaults are those of django-dbs.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Bytes of a block before encoding (65536).
    pub block_size: u64,
    /// Parity bytes for each 255 bytes: 1 to 254 (16).
    pub nsym: usize,
    /// Cost of the key derivation.
    pub kdf: Kdf,
    /// Whether the payload is compressed.
    pub compress: bool,
    /// When the backup is made, as the manifest shall say it: `2024-02-29T23:59:59.123456+00:00`.
    pub created: String,
    /// Length of the payload, where it is known and not compressed: saves moving blocks at the end. If the payload is longer,
    /// they are moved nevertheless; if it is shorter, writing fails.
    pub payload_len: Option<u64>,
    /// All that is random, for test vectors. **Never** the same twice with different contents.
    pub fixed: Option<Fixed>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            block_size: 65_536,
            nsym: 16,
            kdf: Kdf::default(),
            compress: true,
            created: now(),
            payload_len: None,
            fixed: None,
        }
    }
}

/// The random values of a container.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The data key, and what wraps it.
    pub keys: Keys,
    /// Nonce of the body.
    pub body_nonce: [u8; 12],
}

impl Fixed {
    fn new() -> Result<Self> {
        let mut fixed = Fixed {
            keys: Keys::new()?,
            body_nonce: [0; 12],
        };
        random(&mut fixed.body_nonce)?;
        Ok(fixed)
    }
}

/// Writes a container. [`Writer::finish`] must be called: without it there is no header and no
/// manifest, and nothing can be restored.
pub struct Writer<W: Read + Write + Seek> {
    out: W,
    /// Where the container begins in the output.
    base: u64,
    code: Code,
    message: Message,
    authenticator: Option<Authenticator>,
    compressor: Option<ZlibEncoder<Vec<u8>>>,
    payload: Sha256,
    manifest: Manifest,
    /// Length of copies and manifest, if they are known beforehand.
    placed: Option<Placed>,
    /// Where copy A is being written.
    start: u64,
    /// Ciphertext of the blocks to come.
    pending: Vec<u8>,
    /// The blocks encoded last, so that their room is used again.
    buffer: Vec<u8>,
    /// Bytes of the body so far.
    body: u64,
    /// Encoded bytes so far.
    encoded: u64,
    failed: bool,
}

#[derive(Clone, Copy)]
struct Placed {
    payload_len: u64,
    start: u64,
    copy_len: u64,
}

impl<W: Read + Write + Seek> Writer<W> {
    /// Begins a container at the output's position.
    ///
    /// # Errors
    /// [`Error::Misuse`] for parameters that the format does not have, or what `out` says.
    pub fn new(mut out: W, passphrase: &Passphrase, options: WriterOptions) -> Result<Self> {
        let kdf = options.kdf;
        if !(1..=1 << 30).contains(&options.block_size) {
            return Err(Error::Misuse(format!(
                "version 1 has no block size {}",
                options.block_size
            )));
        }
        let code = Code::new(options.nsym)
            .ok_or_else(|| Error::Misuse(format!("version 1 has no nsym {}", options.nsym)))?;
        if !matches!(kdf.key_length, 16 | 24 | 32) {
            return Err(Error::Misuse(format!(
                "AES has no {} byte key",
                kdf.key_length
            )));
        }
        let fixed = options.fixed.map_or_else(Fixed::new, Ok)?;
        let key = Zeroizing::new(fixed.keys.data_key);
        let mut manifest = Manifest {
            created: options.created,
            compressed: options.compress,
            payload_sha256: [0; 32],
            block_size: options.block_size,
            nsym: options.nsym,
            ciphertext_len: 0,
            copy_len: 0,
            encoded_hashes: Vec::new(),
            data_hashes: Vec::new(),
            kdf,
            salt: fixed.keys.salt.to_vec(),
            wrapped_key: fixed.keys.wrap(passphrase, &kdf, KEY_AAD)?,
            key_nonce: fixed.keys.key_nonce,
            body_nonce: fixed.body_nonce,
        };
        let placed = options
            .payload_len
            .filter(|_| !options.compress)
            .map(|len| place(&mut manifest, len))
            .transpose()?;
        let message = Message::new(&key, &fixed.body_nonce, BODY_AAD);
        Ok(Writer {
            base: out.stream_position()?,
            out,
            code,
            authenticator: Some(message.authenticator()),
            message,
            compressor: options
                .compress
                .then(|| ZlibEncoder::new(Vec::new(), Compression::new(6))),
            payload: Sha256::new(),
            manifest,
            start: placed.map_or(0, |placed| placed.start),
            placed,
            pending: Vec::new(),
            buffer: Vec::new(),
            body: 0,
            encoded: 0,
            failed: false,
        })
    }

    /// Writes what is left, the manifests and the headers, and gives the output back.
    ///
    /// # Errors
    /// What the output says, or [`Error::Misuse`] if writing failed before, or if the payload was
    /// shorter than was said.
    pub fn finish(mut self) -> Result<W> {
        if self.failed {
            return Err(Error::Misuse("writing the container failed before".into()));
        }
        if let Some(compressor) = self.compressor.take() {
            let rest = compressor.finish()?;
            self.seal(&rest)?;
        }
        if self.placed.is_some_and(|p| p.payload_len > self.body) {
            return Err(Error::Misuse("the payload is shorter than was said".into()));
        }
        if let Some(authenticator) = self.authenticator.take() {
            self.pending.extend_from_slice(&authenticator.tag());
        }
        self.blocks(true)?;
        self.manifest.payload_sha256 = self.payload.finalize_reset().into();
        self.manifest.ciphertext_len = self.body + 16;
        self.manifest.copy_len = self.encoded;
        let manifest = self.manifest.write()?;
        let header = Header {
            flags: FLAGS
                | if self.manifest.compressed {
                    COMPRESSED
                } else {
                    0
                },
            block_size: u32::try_from(self.manifest.block_size).unwrap_or(u32::MAX),
            manifest_len: manifest.len() as u64,
            manifest_hash: hash(&manifest),
        }
        .write();
        let start = (HEADER + 2 * manifest.len()) as u64;
        match self.placed {
            Some(placed) if placed.start == start && placed.copy_len == self.encoded => {}
            Some(_) => {
                return Err(Error::Misuse(
                    "the manifest is not as long as planned".into(),
                ));
            }
            None => self.spread(start)?,
        }
        self.out.seek(SeekFrom::Start(self.base))?;
        self.out.write_all(&header)?;
        self.out.write_all(&manifest)?;
        self.out.write_all(&manifest)?;
        let end = self.base + start + 2 * self.encoded;
        self.out.seek(SeekFrom::Start(end))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Moves the encoded blocks to both their places, of which this is the first.
    fn spread(&mut self, start: u64) -> Result<()> {
        // From the last piece to the first, so that each is read before anything is written there: its places
        // lie behind it, as the manifest is at least as long as one for fewer blocks.
        let mut piece = Pages::new();
        let mut end = self.encoded;
        while let Some(last) = end.checked_sub(1) {
            let from = last / MOVED * MOVED;
            piece.resize(usize::try_from(end - from).unwrap_or(0));
            let read = self.base + self.start + from;
            self.out.seek(SeekFrom::Start(read))?;
            self.out.read_exact(&mut piece)?;
            for place in [start + self.encoded, start] {
                let at = self.base + place + from;
                self.out.seek(SeekFrom::Start(at))?;
                self.out.write_all(&piece)?;
            }
            end = from;
        }
        Ok(())
    }

    fn put(&mut self, payload: &[u8]) -> Result<()> {
        // In pieces that stay in the cache from one step to the next.
        payload
            .chunks(PIECE)
            .try_for_each(|piece| self.piece(piece))
    }

    fn piece(&mut self, payload: &[u8]) -> Result<()> {
        self.payload.update(payload);
        let Some(compressor) = &mut self.compressor else {
            return self.seal(payload);
        };
        compressor.write_all(payload)?;
        let done = std::mem::take(compressor.get_mut());
        self.seal(&done)
    }

    /// Encrypts the next bytes of the body.
    fn seal(&mut self, body: &[u8]) -> Result<()> {
        let start = self.pending.len();
        self.pending.extend_from_slice(body);
        let bytes = &mut self.pending[start..];
        if self.body + bytes.len() as u64 > LONGEST {
            return Err(Error::Misuse(
                "the payload is too long for version 1".into(),
            ));
        }
        self.message.apply(self.body, bytes);
        if let Some(authenticator) = &mut self.authenticator {
            authenticator.update(bytes);
        }
        self.body += bytes.len() as u64;
        self.blocks(false)
    }

    /// Encodes and writes whole batches; at the end, everything.
    fn blocks(&mut self, last: bool) -> Result<()> {
        let block = usize::try_from(self.manifest.block_size).unwrap_or(usize::MAX);
        let batch = block.saturating_mul(BATCH);
        if self.pending.len() < batch && !last {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while rest.len() >= batch || (last && !rest.is_empty()) {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            self.encode(now, block)?;
            rest = later;
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    fn encode(&mut self, data: &[u8], block: usize) -> Result<()> {
        let pieces = data.chunks(block);
        let lens: Vec<usize> = pieces
            .clone()
            .map(|p| self.code.encoded_len(p.len()))
            .collect();
        let mut encoded = std::mem::take(&mut self.buffer);
        encoded.resize(lens.iter().sum(), 0);
        let mut rest = &mut encoded[..];
        let mut messages: Vec<&[u8]> = pieces.clone().collect();
        for (piece, &len) in pieces.zip(&lens) {
            let (now, later) = rest.split_at_mut(len);
            self.code.encode_into(piece, now)?;
            messages.push(now);
            rest = later;
        }
        let manifest = &mut self.manifest;
        blake2b_128_many(b"", messages.into_iter(), |i, digest| {
            if i < lens.len() {
                manifest.data_hashes.push(digest);
            } else {
                manifest.encoded_hashes.push(digest);
            }
        });
        let end = self.encoded + encoded.len() as u64;
        // Where the payload is longer than was said, copy A grows into the place of copy B.
        self.placed = self.placed.filter(|placed| end <= placed.copy_len);
        let second = self.placed.map(|placed| self.start + placed.copy_len);
        for start in [Some(self.start), second].into_iter().flatten() {
            let at = self.base + start + self.encoded;
            self.out.seek(SeekFrom::Start(at))?;
            self.out.write_all(&encoded)?;
        }
        self.encoded += encoded.len() as u64;
        self.buffer = encoded;
        Ok(())
    }
}

/// Where the blocks go if the payload has this length.
fn place(manifest: &mut Manifest, payload_len: u64) -> Result<Placed> {
    if payload_len > LONGEST {
        return Err(Error::Misuse(
            "the payload is too long for version 1".into(),
        ));
    }
    manifest.ciphertext_len = payload_len + 16;
    let blocks = manifest.ciphertext_len.div_ceil(manifest.block_size);
    let count = usize::try_from(blocks).map_err(|_| Error::Misuse("too many blocks".into()))?;
    let last = blocks - 1;
    manifest.copy_len = last * manifest.encoded_len(0) as u64 + manifest.encoded_len(last) as u64;
    manifest.encoded_hashes = vec![[0; 16]; count];
    manifest.data_hashes = vec![[0; 16]; count];
    let placed = Placed {
        payload_len,
        start: (HEADER + 2 * manifest.write()?.len()) as u64,
        copy_len: manifest.copy_len,
    };
    manifest.encoded_hashes.clear();
    manifest.data_hashes.clear();
    Ok(placed)
}

impl<W: Read + Write + Seek> Write for Writer<W> {
    fn write(&mut self, payload: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("writing the container failed before"));
        }
        self.failed = true;
        self.put(payload).map_err(crate::copies::inflate::into_io)?;
        self.failed = false;
        Ok(payload.len())
    }

    /// Does nothing: what was written is on its way in whole blocks only.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The time now, as Python's `isoformat` writes it.
fn now() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1970 to a date, by counting from 1 March of the year 0 in cycles of 400 years.
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + cycle * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}+00:00",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}
