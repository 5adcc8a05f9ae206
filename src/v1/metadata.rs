//! Header and manifest: found, checked, and healed where they can be.
//!
//! The header has no checksum, but it holds the hash of the manifest, and the manifest implies all
//! of the header but its flags. So one intact copy of either kind gives both back.

use memchr::memmem;

use super::format::{COMPRESSED, FLAGS, HEADER, Header, MAGIC, MANIFEST_START, hash};
use super::manifest::{Manifest, json_len};
use crate::copies::{read, records};
use crate::source::Source;
use crate::{Error, Limits, Result};

/// Bytes at either end of the file in which a header is looked for.
pub(super) const NEAR: u64 = 1 << 20;
/// Longest manifest looked for where no header tells its length.
const UNKNOWN: u64 = 16 << 20;
/// Bytes that may be hashed to find the right manifest among combinations.
const WORK: usize = 1 << 30;

/// Combinations tried for a manifest of which no header tells the hash.
const UNPROVEN: usize = 1 << 12;
/// Bytes behind a damaged manifest that may belong to it.
const SLACK: usize = 1 << 12;

/// Bits of a header's hash that may be wrong while it still proves a manifest: another one agrees so
/// well once in 2^61.
const HASH_BITS: u32 = 16;

/// Header and manifest as they were written.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) header: [u8; HEADER],
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    /// Whether a header's hash confirms the manifest.
    pub(crate) confirmed: bool,
}

/// Finds header and manifest. `None` if nothing says that this is a version 1 container.
pub(crate) fn find(source: &dyn Source, limits: &Limits) -> Result<Option<Metadata>> {
    let size = source.size()?;
    let headers = headers(source, size)?;
    let limit = limits.memory / 8;
    let mut too_long = None;
    for &(_, header) in &headers {
        if header.manifest_len > limit && header.manifest_len < size {
            too_long = Some(header.manifest_len);
            continue;
        }
        // The first copy, the second, and wherever else it may have been shifted to.
        let lens = [HEADER as u64, HEADER as u64 + header.manifest_len];
        for offset in lens {
            let bytes = read(source, offset, header.manifest_len.min(size))?;
            if bytes.len() as u64 == header.manifest_len && hash(&bytes) == header.manifest_hash {
                return done(bytes, true, limits).map(Some);
            }
        }
    }
    let longest = headers.iter().map(|h| h.1.manifest_len.min(limit)).max();
    let front = read(
        source,
        0,
        4 * NEAR + 2 * longest.unwrap_or(limit.min(UNKNOWN)),
    )?;
    let starts: Vec<usize> = memmem::find_iter(&front, MANIFEST_START).take(64).collect();
    for &(_, header) in &headers {
        let len = usize::try_from(header.manifest_len).unwrap_or(usize::MAX);
        for &start in &starts {
            let end = start.saturating_add(len).min(front.len());
            if hash(&front[start..end]) == header.manifest_hash {
                return done(front[start..end].to_vec(), true, limits).map(Some);
            }
        }
    }
    // No header fits: the manifest ends where its JSON ends, and stands there twice.
    let raw_headers = raw_headers(source, size)?;
    let mut unconfirmed = None;
    for &start in starts.iter().chain([&HEADER]) {
        let rest = front.get(start..).unwrap_or_default();
        let Some(len) = json_len(rest) else { continue };
        let bytes = &rest[..len];
        if Manifest::parse(bytes, limits).is_err() {
            continue;
        }
        let digest = hash(bytes);
        let near = |raw: &Vec<u8>| distance(&raw[40..56], &digest) <= HASH_BITS;
        let hashed = raw_headers.iter().any(near);
        let twice = memmem::find_iter(&front, bytes).nth(1).is_some();
        if hashed || twice {
            return done(bytes.to_vec(), true, limits).map(Some);
        }
        unconfirmed.get_or_insert(bytes);
    }
    // Both copies of the manifest are damaged, and perhaps the headers too.
    for header in fitting_headers(&headers, &raw_headers) {
        let Some(bytes) = combine(&front, &starts, &header, limit) else {
            continue;
        };
        return done(bytes, true, limits).map(Some);
    }
    // Its block hashes will prove themselves, one by one.
    if let Some(bytes) = unconfirmed {
        return done(bytes.to_vec(), false, limits).map(Some);
    }
    // No header tells a length or a hash, but two damaged copies the length.
    if headers.is_empty()
        && let [first, second, ..] = starts[..]
        && let Some(len) = Some(second - first).filter(|&len| len as u64 <= limit)
    {
        let end = (second + len).min(front.len());
        let copies = [&front[first..second], &front[second..end]];
        let sound = |bytes: &[u8]| Manifest::parse(bytes, limits).is_ok();
        if let Some(bytes) = records::recover(&copies, legal, UNPROVEN, sound) {
            return done(bytes, false, limits).map(Some);
        }
    }
    if let Some(got) = too_long {
        return Err(Error::Limit {
            what: "manifest in bytes",
            got,
            limit,
        });
    }
    if headers.is_empty() && starts.is_empty() {
        return Ok(None);
    }
    Err(Error::Damaged(crate::error::Damage {
        what: "both copies of the manifest, without which nothing can be decrypted".into(),
        blocks: Vec::new(),
    }))
}

/// The header follows from the manifest.
fn done(bytes: Vec<u8>, confirmed: bool, limits: &Limits) -> Result<Metadata> {
    let manifest = Manifest::parse(&bytes, limits)?;
    let header = Header {
        flags: FLAGS | if manifest.compressed { COMPRESSED } else { 0 },
        block_size: u32::try_from(manifest.block_size).unwrap_or(u32::MAX),
        manifest_len: bytes.len() as u64,
        manifest_hash: hash(&bytes),
    };
    Ok(Metadata {
        header: header.write(),
        bytes,
        manifest,
        confirmed,
    })
}

/// Headers that agree with themselves, at both ends of the file first, then near them.
fn headers(source: &dyn Source, size: u64) -> Result<Vec<(u64, Header)>> {
    let mut found: Vec<(u64, Header)> = Vec::new();
    for offset in [0, size.saturating_sub(HEADER as u64)] {
        let bytes = read(source, offset, HEADER as u64)?;
        found.extend(Header::parse(&bytes).map(|h| (offset, h)));
    }
    if found.is_empty() {
        for start in [0, size.saturating_sub(NEAR)] {
            let bytes = read(source, start, NEAR)?;
            for at in memmem::find_iter(&bytes, MAGIC).take(64) {
                found.extend(Header::parse(&bytes[at..]).map(|h| (start + at as u64, h)));
            }
        }
    }
    found.dedup_by_key(|h| h.1);
    Ok(found)
}

/// The bytes where the headers should be, whatever they are.
fn raw_headers(source: &dyn Source, size: u64) -> Result<Vec<Vec<u8>>> {
    let mut raw = Vec::new();
    for offset in [0, size.saturating_sub(HEADER as u64)] {
        let bytes = read(source, offset, HEADER as u64)?;
        if bytes.len() == HEADER {
            raw.push(bytes);
        }
    }
    Ok(raw)
}

/// The headers in hand, and what two damaged ones combine to.
fn fitting_headers(headers: &[(u64, Header)], raw: &[Vec<u8>]) -> Vec<Header> {
    let mut all: Vec<Header> = headers.iter().map(|h| h.1).collect();
    if all.is_empty() {
        let raw: Vec<&[u8]> = raw.iter().map(Vec::as_slice).collect();
        let mut found = Vec::new();
        records::recover(
            &raw,
            |_| true,
            1 << 18,
            |bytes| {
                if let Some(header) = Header::parse(bytes) {
                    found.push(header);
                }
                found.len() >= 8
            },
        );
        all = found;
    }
    all
}

/// The manifest with the hash that the header states, out of two damaged copies.
fn combine(front: &[u8], starts: &[usize], header: &Header, limit: u64) -> Option<Vec<u8>> {
    if header.manifest_len > limit {
        return None;
    }
    let len = usize::try_from(header.manifest_len).ok()?;
    let copy = |start: usize| front.get(start..start.checked_add(len)?);
    let mut copies: Vec<&[u8]> = Vec::new();
    for start in [HEADER, HEADER + len].iter().chain(starts) {
        copies.extend(copy(*start).filter(|c| !copies.contains(c)));
    }
    copies.truncate(4);
    let tries = WORK / len.max(1);
    let right = |bytes: &[u8]| distance(&hash(bytes), &header.manifest_hash) <= HASH_BITS;
    // Bytes may be missing from one, or too many; then the other does not begin where it should.
    let mut begins: Vec<usize> = [HEADER, HEADER + len]
        .into_iter()
        .chain(starts.iter().copied())
        .collect();
    begins.dedup();
    begins.truncate(6);
    let rest = |start: usize| {
        let end = start.saturating_add(len + SLACK).min(front.len());
        front.get(start..end).unwrap_or_default()
    };
    for (i, &one) in begins.iter().enumerate() {
        for &other in &begins[..i] {
            let found = records::realign(rest(one), rest(other), len, tries / 16, right);
            if found.is_some() {
                return found;
            }
        }
    }
    records::recover(&copies, legal, tries, right)
}

/// Whether a manifest can have this byte.
fn legal(byte: u8) -> bool {
    (0x20..0x7F).contains(&byte)
}

fn distance(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}
