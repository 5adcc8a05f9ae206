//! The layout of version 2: every number of `spec/dbs-v2.md`, sections 4 to 7.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::combinator::verify;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};

use crate::copies::kdf::Kdf;
use crate::copies::rows::encoded_len;
use crate::hash::keyed_blake2b_128_many;
use crate::{Error, Result};

/// First bytes of the header, in version 1 too.
pub(crate) const MAGIC: &[u8; 8] = b"DBSCON01";
/// First bytes of the trailer.
pub(crate) const END: &[u8; 8] = b"DBSEND02";
/// The version.
pub(crate) const VERSION: u16 = 2;
/// Bytes of the header.
pub(crate) const HEADER: usize = 152;
/// Bytes of the trailer.
pub(crate) const TRAILER: usize = 100;
/// Bytes of the descriptor in front of a block's ciphertext.
pub(crate) const DESCRIPTOR: usize = 16;
/// Bytes of a tag: of AES-GCM, of a slot.
pub(crate) const TAG: usize = 16;
/// Header flag: the payload is compressed.
pub(crate) const COMPRESSED: u16 = 1;
/// Most blocks of a container.
pub(crate) const MOST_BLOCKS: u64 = (1 << 32) - 1;
/// The part of the header that the wrapped key is bound to.
pub(crate) const BINDING: std::ops::Range<usize> = 12..76;
/// Label of the wrapped key's associated data.
pub(crate) const KEY_AAD: &[u8; 16] = b"dbs/v2/key-wrap\0";

/// BLAKE2b-128, personalised and perhaps keyed.
pub(crate) fn hash(person: &[u8], key: &[u8], bytes: &[u8]) -> [u8; TAG] {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(TAG).personal(person).key(key);
    let mut out = [0; TAG];
    out.copy_from_slice(params.hash(bytes).as_bytes());
    out
}

/// The digest over all slot tags.
pub(crate) fn digest(id: &[u8; 16]) -> blake2b_simd::State {
    blake2b_simd::Params::new()
        .hash_length(32)
        .key(id)
        .personal(b"dbs/v2-blocks")
        .to_state()
}

/// Block size, parity and interleave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of a block before encoding: 512 to 16 MiB (65536).
    pub block_size: usize,
    /// Parity bytes for each 255 bytes: 2 to 128 (16).
    pub nsym: usize,
    /// Blocks between the two copies of one: 1 to 4096 (64).
    pub interleave: u64,
}

impl Default for Geometry {
    fn default() -> Self {
        Geometry {
            block_size: 65_536,
            nsym: 16,
            interleave: 64,
        }
    }
}

impl Geometry {
    /// Says what is wrong with it, if anything is.
    pub(crate) fn problem(&self) -> Option<String> {
        if !(512..=16 << 20).contains(&self.block_size) {
            return Some(format!("block size {}", self.block_size));
        }
        if !(2..=128).contains(&self.nsym) {
            return Some(format!("nsym {}", self.nsym));
        }
        if !(1..=4096).contains(&self.interleave) {
            return Some(format!("interleave {}", self.interleave));
        }
        let window = self.interleave * self.slot() as u64;
        (window > 64 << 20).then(|| format!("{window} bytes between the copies"))
    }

    /// Bytes of an encoded block.
    pub(crate) fn encoded(&self) -> usize {
        encoded_len(self.block_size, self.nsym)
    }

    /// Bytes of a slot.
    pub(crate) fn slot(&self) -> usize {
        self.encoded() + TAG
    }

    /// Most payload bytes of a block.
    pub(crate) fn capacity(&self) -> usize {
        self.block_size - DESCRIPTOR - TAG
    }
}

/// The sealed header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) raw: [u8; HEADER],
    pub(crate) compressed: bool,
    pub(crate) geometry: Geometry,
    pub(crate) kdf: Kdf,
    pub(crate) salt: [u8; 16],
    pub(crate) id: [u8; 16],
    pub(crate) nonce_prefix: [u8; 7],
    pub(crate) key_nonce: [u8; 12],
    pub(crate) wrapped_key: [u8; 48],
}

/// Whether the bytes are a sealed header whose checksum holds.
pub(crate) fn sealed(bytes: &[u8]) -> bool {
    bytes.len() == HEADER
        && bytes.starts_with(MAGIC)
        && hash(b"dbs/sealed-head", &[], &bytes[..HEADER - TAG]) == bytes[HEADER - TAG..]
}

/// The checksum of a header without it.
pub(crate) fn seal(unsealed: &[u8]) -> [u8; TAG] {
    hash(b"dbs/sealed-head", &[], unsealed)
}

struct Fields<'a> {
    version: u16,
    length: u16,
    flags: u16,
    nsym: u16,
    block_size: u32,
    interleave: u32,
    kdf: Kdf,
    reserved: u16,
    salt: &'a [u8],
    id: &'a [u8],
    nonce_prefix: &'a [u8],
    reserved_byte: u8,
    key_nonce: &'a [u8],
    wrapped_key: &'a [u8],
}

fn fields(input: &[u8]) -> IResult<&[u8], Fields<'_>> {
    let (input, _) = tag(&MAGIC[..]).parse(input)?;
    let (input, (version, length, flags, nsym)) = (be_u16, be_u16, be_u16, be_u16).parse(input)?;
    let (input, (block_size, interleave)) = (be_u32, be_u32).parse(input)?;
    let (input, (time_cost, memory_cost)) = (be_u32, be_u32).parse(input)?;
    let (input, (parallelism, reserved)) = (be_u16, be_u16).parse(input)?;
    let (input, salt) = take(16_usize).parse(input)?;
    let (input, id) = take(16_usize).parse(input)?;
    let (input, nonce_prefix) = take(7_usize).parse(input)?;
    let (input, reserved_byte) = be_u8.parse(input)?;
    let (input, key_nonce) = take(12_usize).parse(input)?;
    let (input, wrapped_key) = take(48_usize).parse(input)?;
    Ok((
        input,
        Fields {
            version,
            length,
            flags,
            nsym,
            block_size,
            interleave,
            kdf: Kdf {
                time_cost,
                memory_cost,
                parallelism: parallelism.into(),
                key_length: 32,
            },
            reserved,
            salt,
            id,
            nonce_prefix,
            reserved_byte,
            key_nonce,
            wrapped_key,
        },
    ))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

impl Header {
    /// Reads a header whose checksum holds.
    pub(crate) fn parse(raw: &[u8; HEADER]) -> Result<Header> {
        let unsupported = |what: String| Error::Unsupported(format!("header of version 2: {what}"));
        let (_, f) = fields(raw).map_err(|_| unsupported("it is too short".into()))?;
        if f.version != VERSION {
            return Err(Error::Unsupported(format!(
                "container version {}",
                f.version
            )));
        }
        if usize::from(f.length) != HEADER {
            return Err(unsupported(format!("length {}", f.length)));
        }
        if f.flags & !COMPRESSED != 0 || f.reserved != 0 || f.reserved_byte != 0 {
            return Err(unsupported("it has unknown fields set".into()));
        }
        let geometry = Geometry {
            block_size: usize::try_from(f.block_size).unwrap_or(usize::MAX),
            nsym: f.nsym.into(),
            interleave: f.interleave.into(),
        };
        if let Some(problem) = geometry.problem() {
            return Err(unsupported(problem));
        }
        Ok(Header {
            raw: *raw,
            compressed: f.flags & COMPRESSED != 0,
            geometry,
            kdf: f.kdf,
            salt: array(f.salt),
            id: array(f.id),
            nonce_prefix: array(f.nonce_prefix),
            key_nonce: array(f.key_nonce),
            wrapped_key: array(f.wrapped_key),
        })
    }

    /// The tag of a slot.
    pub(crate) fn slot_tag(&self, encoded: &[u8]) -> [u8; TAG] {
        hash(b"dbs/v2-slot", &self.id, encoded)
    }

    /// The tags of several slots at once, which takes less time.
    pub(crate) fn slot_tags(&self, encoded: &[&[u8]]) -> Vec<[u8; TAG]> {
        let mut tags = vec![[0; TAG]; encoded.len()];
        let messages = encoded.iter().copied();
        keyed_blake2b_128_many(b"dbs/v2-slot", &self.id, messages, |i, tag| tags[i] = tag);
        tags
    }
}

/// The trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) id: [u8; 16],
    /// Number of blocks.
    pub(crate) blocks: u64,
    /// Bytes of the payload, compressed if it is.
    pub(crate) bytes: u64,
    /// Bytes of the last block's ciphertext, with its tag.
    pub(crate) last: u32,
    /// Over all slot tags.
    pub(crate) digest: [u8; 32],
}

/// Whether the bytes are a trailer whose checksum holds.
pub(crate) fn trailer_sealed(bytes: &[u8]) -> bool {
    bytes.len() == TRAILER
        && hash(b"dbs/v2-trailer", &[], &bytes[..TRAILER - TAG]) == bytes[TRAILER - TAG..]
}

fn trailer(input: &[u8]) -> IResult<&[u8], Trailer> {
    let (input, _) = tag(&END[..]).parse(input)?;
    let (input, _) = verify(be_u16, |&v| v == VERSION).parse(input)?;
    let (input, _) = verify(be_u16, |&n| usize::from(n) == TRAILER).parse(input)?;
    let (input, id) = take(16_usize).parse(input)?;
    let (input, (blocks, bytes, last)) = (be_u64, be_u64, be_u32).parse(input)?;
    let (input, _) = tag(&[0; 4][..]).parse(input)?;
    let (input, digest) = take(32_usize).parse(input)?;
    Ok((
        input,
        Trailer {
            id: array(id),
            blocks,
            bytes,
            last,
            digest: array(digest),
        },
    ))
}

impl Trailer {
    /// Reads a trailer whose checksum holds, and whose numbers agree with the header.
    pub(crate) fn parse(bytes: &[u8], header: &Header) -> Option<Trailer> {
        if !trailer_sealed(bytes) {
            return None;
        }
        let (_, trailer) = trailer(bytes).ok()?;
        let capacity = header.geometry.capacity() as u64;
        let last = u64::from(trailer.last).checked_sub(TAG as u64)?;
        let agrees = trailer.id == header.id
            && (1..=MOST_BLOCKS).contains(&trailer.blocks)
            && last <= capacity
            && trailer.bytes == (trailer.blocks - 1) * capacity + last;
        agrees.then_some(trailer)
    }

    /// The 100 bytes.
    pub(crate) fn write(&self) -> [u8; TRAILER] {
        let mut out = [0; TRAILER];
        out[..8].copy_from_slice(END);
        out[8..10].copy_from_slice(&VERSION.to_be_bytes());
        out[10..12].copy_from_slice(&(TRAILER as u16).to_be_bytes());
        out[12..28].copy_from_slice(&self.id);
        out[28..36].copy_from_slice(&self.blocks.to_be_bytes());
        out[36..44].copy_from_slice(&self.bytes.to_be_bytes());
        out[44..48].copy_from_slice(&self.last.to_be_bytes());
        out[52..84].copy_from_slice(&self.digest);
        let checksum = hash(b"dbs/v2-trailer", &[], &out[..TRAILER - TAG]);
        out[TRAILER - TAG..].copy_from_slice(&checksum);
        out
    }
}

/// What stands in front of a block's ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) index: u64,
    /// Bytes of the ciphertext, with its tag.
    pub(crate) len: u32,
    pub(crate) last: bool,
}

fn descriptor(input: &[u8]) -> IResult<&[u8], Descriptor> {
    let (input, (index, len)) = (be_u64, be_u32).parse(input)?;
    let (input, last) = verify(be_u8, |&f| f <= 1).parse(input)?;
    let (input, _) = tag(&[0; 3][..]).parse(input)?;
    Ok((
        input,
        Descriptor {
            index,
            len,
            last: last == 1,
        },
    ))
}

impl Descriptor {
    /// Reads the descriptor that a block begins with, if it can be one of such blocks.
    pub(crate) fn parse(block: &[u8], geometry: &Geometry) -> Option<Descriptor> {
        let (_, found) = descriptor(block).ok()?;
        let full = geometry.capacity() + TAG;
        let len = usize::try_from(found.len).ok()?;
        let legal =
            (TAG..=full).contains(&len) && (found.last || len == full) && found.index < MOST_BLOCKS;
        legal.then_some(found)
    }

    /// The 16 bytes.
    pub(crate) fn write(&self) -> [u8; DESCRIPTOR] {
        let mut out = [0; DESCRIPTOR];
        out[..8].copy_from_slice(&self.index.to_be_bytes());
        out[8..12].copy_from_slice(&self.len.to_be_bytes());
        out[12] = u8::from(self.last);
        out
    }
}
