//! Writes version 2, streamed.

use std::collections::VecDeque;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use zeroize::Zeroizing;

use super::format::{
    BINDING, COMPRESSED, DESCRIPTOR, Descriptor, Geometry, HEADER, Header, KEY_AAD, MAGIC,
    MOST_BLOCKS, TAG, Trailer, VERSION, digest, seal,
};
use super::keys::Cipher;
use crate::copies::kdf::Kdf;
use crate::copies::keys::Keys;
use crate::copies::rows::Code;
use crate::secret::random;
use crate::{Error, Passphrase, Result};

/// Payload bytes in a zlib stream.
const MEMBER: usize = 1 << 20;
/// Blocks encoded together.
const BATCH: usize = 8;

/// How a container of version 2 is written. The defaults are those of django-dbs.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Block size, parity and interleave.
    pub geometry: Geometry,
    /// Cost of the key derivation.
    pub kdf: Kdf,
    /// Whether the payload is compressed.
    pub compress: bool,
    /// All that is random, for test vectors. **Never** the same twice with different contents.
    pub fixed: Option<Fixed>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            geometry: Geometry::default(),
            kdf: Kdf::default(),
            compress: true,
            fixed: None,
        }
    }
}

/// The random values of a container.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The data key, and what wraps it.
    pub keys: Keys,
    /// The container's id.
    pub id: [u8; 16],
    /// First bytes of each block's nonce.
    pub nonce_prefix: [u8; 7],
}

impl Fixed {
    fn new() -> Result<Self> {
        let mut fixed = Fixed {
            keys: Keys::new()?,
            id: [0; 16],
            nonce_prefix: [0; 7],
        };
        random(&mut fixed.id)?;
        random(&mut fixed.nonce_prefix)?;
        Ok(fixed)
    }
}

/// Writes a container. [`Writer::finish`] must be called: without it the last blocks, the trailers
/// and the second header are missing.
pub struct Writer<W: Write> {
    out: W,
    header: Header,
    cipher: Cipher,
    code: Code,
    compressor: Option<ZlibEncoder<Vec<u8>>>,
    /// Bytes that went into the compressor since its stream began.
    member: usize,
    /// Payload bytes of the blocks to come.
    pending: Vec<u8>,
    /// Encoded slots whose second copy is still to be written.
    window: VecDeque<Vec<u8>>,
    /// Slots that were written twice, so that their room is used again.
    spare: Vec<Vec<u8>>,
    digest: blake2b_simd::State,
    index: u64,
    bytes: u64,
    failed: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a container: writes the header.
    ///
    /// # Errors
    /// [`Error::Misuse`] for parameters that the format does not have, or what `out` says.
    pub fn new(mut out: W, passphrase: &Passphrase, options: WriterOptions) -> Result<Self> {
        let WriterOptions {
            geometry,
            kdf,
            compress,
            fixed,
        } = options;
        if let Some(problem) = geometry.problem() {
            return Err(Error::Misuse(format!("version 2 has no {problem}")));
        }
        let legal = (1..=10).contains(&kdf.time_cost)
            && (8..=262_144).contains(&kdf.memory_cost)
            && (1..=16).contains(&kdf.parallelism)
            && kdf.memory_cost >= 8 * kdf.parallelism
            && kdf.key_length == 32;
        if !legal {
            return Err(Error::Misuse(format!("version 2 has no Argon2id {kdf:?}")));
        }
        let fixed = fixed.map_or_else(Fixed::new, Ok)?;
        let header = write_header(&geometry, &kdf, compress, &fixed, passphrase)?;
        let key = Zeroizing::new(fixed.keys.data_key);
        out.write_all(&header.raw)?;
        Ok(Writer {
            out,
            cipher: Cipher::new(&key, &header),
            code: Code::new(geometry.nsym).ok_or_else(|| Error::Misuse("nsym".into()))?,
            compressor: compress.then(|| ZlibEncoder::new(Vec::new(), Compression::new(6))),
            member: 0,
            pending: Vec::new(),
            window: VecDeque::new(),
            spare: Vec::new(),
            digest: digest(&header.id),
            header,
            index: 0,
            bytes: 0,
            failed: false,
        })
    }

    /// Writes the last blocks, the trailers and the second header, and gives the output back.
    ///
    /// # Errors
    /// What the output says, or [`Error::Misuse`] if writing failed before.
    pub fn finish(mut self) -> Result<W> {
        self.end_member()?;
        self.bytes += self.pending.len() as u64;
        let last = std::mem::take(&mut self.pending);
        let capacity = self.header.geometry.capacity();
        let mut chunks: Vec<&[u8]> = last.chunks(capacity).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let len = chunks.last().map_or(0, |c| c.len() + TAG);
        self.blocks(&chunks, true)?;
        while let Some(slot) = self.window.pop_front() {
            self.out.write_all(&slot)?;
        }
        let mut found = [0; 32];
        found.copy_from_slice(self.digest.finalize().as_bytes());
        let trailer = Trailer {
            id: self.header.id,
            blocks: self.index,
            bytes: self.bytes,
            last: u32::try_from(len).unwrap_or(u32::MAX),
            digest: found,
        };
        self.out.write_all(&trailer.write())?;
        self.out.write_all(&trailer.write())?;
        self.out.write_all(&self.header.raw)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, payload: &[u8]) -> Result<()> {
        let Some(compressor) = &mut self.compressor else {
            self.pending.extend_from_slice(payload);
            return self.full_blocks();
        };
        let room = MEMBER - self.member;
        let (now, later) = payload.split_at(room.min(payload.len()));
        compressor.write_all(now)?;
        self.member += now.len();
        if self.member == MEMBER {
            self.end_member()?;
        }
        if later.is_empty() {
            return Ok(());
        }
        self.put(later)
    }

    /// Ends the zlib stream, if there is anything in it.
    fn end_member(&mut self) -> Result<()> {
        if self.member == 0 {
            return Ok(());
        }
        if let Some(compressor) = &mut self.compressor {
            let done = compressor.reset(Vec::new())?;
            self.pending.extend_from_slice(&done);
        }
        self.member = 0;
        self.full_blocks()
    }

    /// Encodes what is certainly not the last block, a batch at a time.
    fn full_blocks(&mut self) -> Result<()> {
        let capacity = self.header.geometry.capacity();
        let batch = BATCH * capacity;
        if self.pending.len() <= batch {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        while rest.len() > batch {
            let (now, later) = rest.split_at(batch);
            let chunks: Vec<&[u8]> = now.chunks(capacity).collect();
            self.blocks(&chunks, false)?;
            self.bytes += now.len() as u64;
            rest = later;
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    fn blocks(&mut self, chunks: &[&[u8]], last: bool) -> Result<()> {
        let geometry = self.header.geometry;
        let mut slots = Vec::with_capacity(chunks.len());
        let mut block = Vec::with_capacity(geometry.block_size);
        for (i, chunk) in chunks.iter().enumerate() {
            let index = self.index + i as u64;
            if index >= MOST_BLOCKS {
                return Err(Error::Misuse(
                    "the payload is too long for version 2".into(),
                ));
            }
            let last = last && i + 1 == chunks.len();
            let descriptor = Descriptor {
                index,
                len: u32::try_from(chunk.len() + TAG).unwrap_or(u32::MAX),
                last,
            };
            block.clear();
            block.extend_from_slice(&descriptor.write());
            block.extend_from_slice(chunk);
            let tag = self.cipher.seal(index, last, &mut block[DESCRIPTOR..])?;
            block.extend_from_slice(&tag);
            block.resize(geometry.block_size, 0);
            // Room for the tag, too; what was in it before is overwritten.
            let mut slot = self.spare.pop().unwrap_or_default();
            slot.resize(geometry.slot(), 0);
            self.code
                .encode_into(&block, &mut slot[..geometry.encoded()])?;
            slots.push(slot);
        }
        let encoded: Vec<&[u8]> = slots.iter().map(|s| &s[..geometry.encoded()]).collect();
        let tags = self.header.slot_tags(&encoded);
        for (mut slot, tag) in slots.into_iter().zip(tags) {
            slot[geometry.encoded()..].copy_from_slice(&tag);
            self.digest.update(&tag);
            self.out.write_all(&slot)?;
            self.window.push_back(slot);
            if self.window.len() as u64 > geometry.interleave
                && let Some(second) = self.window.pop_front()
            {
                self.out.write_all(&second)?;
                self.spare.push(second);
            }
        }
        self.index += chunks.len() as u64;
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
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

fn write_header(
    geometry: &Geometry,
    kdf: &Kdf,
    compress: bool,
    fixed: &Fixed,
    passphrase: &Passphrase,
) -> Result<Header> {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut raw = [0; HEADER];
    raw[..8].copy_from_slice(MAGIC);
    raw[8..10].copy_from_slice(&VERSION.to_be_bytes());
    raw[10..12].copy_from_slice(&(HEADER as u16).to_be_bytes());
    raw[12..14].copy_from_slice(&if compress { COMPRESSED } else { 0 }.to_be_bytes());
    raw[14..16].copy_from_slice(&(geometry.nsym as u16).to_be_bytes());
    raw[16..20].copy_from_slice(&narrow(geometry.block_size).to_be_bytes());
    raw[20..24].copy_from_slice(&(geometry.interleave as u32).to_be_bytes());
    raw[24..28].copy_from_slice(&kdf.time_cost.to_be_bytes());
    raw[28..32].copy_from_slice(&kdf.memory_cost.to_be_bytes());
    raw[32..34].copy_from_slice(&(kdf.parallelism as u16).to_be_bytes());
    raw[36..52].copy_from_slice(&fixed.keys.salt);
    raw[52..68].copy_from_slice(&fixed.id);
    raw[68..75].copy_from_slice(&fixed.nonce_prefix);
    raw[76..88].copy_from_slice(&fixed.keys.key_nonce);
    let aad = [KEY_AAD, &raw[BINDING]].concat();
    let wrapped = fixed.keys.wrap(passphrase, kdf, &aad)?;
    raw[88..136].copy_from_slice(&wrapped);
    let checksum = seal(&raw[..HEADER - TAG]);
    raw[HEADER - TAG..].copy_from_slice(&checksum);
    Header::parse(&raw)
}
