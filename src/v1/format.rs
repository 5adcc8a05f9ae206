//! The layout of version 1: every number of `spec/dbs-v1.md`, sections 4 and 5.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take};
use nom::combinator::verify;
use nom::number::complete::{be_u16, be_u32, be_u64};

/// First bytes of the header, in version 2 too.
pub(crate) const MAGIC: &[u8; 8] = b"DBSCON01";
/// Bytes of the header.
pub(crate) const HEADER: usize = 64;
/// The version in the header and in the manifest.
pub(crate) const VERSION: u16 = 1;
/// Header flags that a writer sets: encrypted, with error correction.
pub(crate) const FLAGS: u16 = 6;
/// Header flag: the payload is compressed.
pub(crate) const COMPRESSED: u16 = 1;
/// Associated data of the wrapped key.
pub(crate) const KEY_AAD: &[u8] = b"dbs/dek-wrap/v1";
/// Associated data of the body.
pub(crate) const BODY_AAD: &[u8] = b"dbs/data/v1";
/// How a manifest of django-dbs begins.
pub(crate) const MANIFEST_START: &[u8] = b"{\"format\"";

/// BLAKE2b-128 of manifests and blocks.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(
        blake2b_simd::Params::new()
            .hash_length(16)
            .hash(bytes)
            .as_bytes(),
    );
    out
}

/// The header. It has no checksum: the manifest's hash in it proves both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Informative.
    pub(crate) flags: u16,
    /// Informative: the manifest says it again.
    pub(crate) block_size: u32,
    /// Bytes of the manifest.
    pub(crate) manifest_len: u64,
    /// BLAKE2b-128 of the manifest.
    pub(crate) manifest_hash: [u8; 16],
}

impl Header {
    /// Reads a header that agrees with itself.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Header> {
        header(bytes).ok().map(|(_, header)| header)
    }

    /// The 64 bytes.
    pub(crate) fn write(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_be_bytes());
        out[10..12].copy_from_slice(&self.flags.to_be_bytes());
        out[12..16].copy_from_slice(&self.block_size.to_be_bytes());
        out[16..24].copy_from_slice(&(HEADER as u64).to_be_bytes());
        out[24..32].copy_from_slice(&self.manifest_len.to_be_bytes());
        let second = (HEADER as u64).wrapping_add(self.manifest_len);
        out[32..40].copy_from_slice(&second.to_be_bytes());
        out[40..56].copy_from_slice(&self.manifest_hash);
        out
    }
}

fn header(input: &[u8]) -> IResult<&[u8], Header> {
    let (input, _) = tag(&MAGIC[..]).parse(input)?;
    let (input, _) = verify(be_u16, |&v| v == VERSION).parse(input)?;
    let (input, (flags, block_size)) = (be_u16, be_u32).parse(input)?;
    let (input, _) = verify(be_u64, |&o| o == HEADER as u64).parse(input)?;
    let (input, manifest_len) = verify(be_u64, |&n| n <= 1 << 40).parse(input)?;
    let (input, _) = verify(be_u64, |&o| o == HEADER as u64 + manifest_len).parse(input)?;
    let (input, hash) = take(16_usize).parse(input)?;
    let (input, _) = take(8_usize).parse(input)?;
    let mut manifest_hash = [0; 16];
    manifest_hash.copy_from_slice(hash);
    Ok((
        input,
        Header {
            flags,
            block_size,
            manifest_len,
            manifest_hash,
        },
    ))
}
