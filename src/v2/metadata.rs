//! Headers and trailers: found, and healed where they can be.

use memchr::memmem;

use super::format::{
    DESCRIPTOR, Descriptor, END, Geometry, HEADER, Header, MAGIC, MOST_BLOCKS, TAG, TRAILER,
    Trailer, VERSION, sealed, trailer_sealed,
};
use crate::copies::rows::{Code, ROW};
use crate::copies::{read, records};
use crate::error::Damage;
use crate::source::Source;
use crate::{Error, Result};

/// Bytes at either end of the file in which headers and trailers are looked for.
const NEAR: u64 = 1 << 20;
/// Of the twelve bytes with which every header begins, how many one of two damaged ones must have.
const ALIKE: usize = 6;
/// Most places where a damaged header may begin.
const BEGINS: usize = 6;
/// Bytes behind a damaged header that may belong to it.
const SLACK: usize = 1 << 10;
/// Combinations tried for a header or a trailer.
const TRIES: usize = 1 << 21;

/// Header and trailer as they were written.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) header: Header,
    /// `None` if it is lost: it can be computed again from the blocks.
    pub(crate) trailer: Option<Trailer>,
    /// Number of blocks.
    pub(crate) blocks: u64,
    /// Whether the number of blocks is certain: if not, the end is missing.
    pub(crate) complete: bool,
}

/// Finds header and trailer. `None` if nothing says that this is a version 2 container.
pub(crate) fn find(source: &dyn Source) -> Result<Option<Metadata>> {
    let size = source.size()?;
    let Some(header) = find_header(source, size)? else {
        return Ok(None);
    };
    let trailer = find_trailer(source, size, &header)?;
    let (blocks, complete) = match &trailer {
        Some(trailer) => (trailer.blocks, true),
        None => count(source, size, &header)?,
    };
    // Whatever a trailer says, time and memory follow the length of the file.
    let room = size / header.geometry.slot() as u64 + 1;
    if blocks > 64 * room + 1024 {
        return Err(Error::Damaged(Damage {
            what: format!("the file has room for {room} slots, and should have {blocks} blocks"),
            blocks: Vec::new(),
        }));
    }
    Ok(Some(Metadata {
        header,
        trailer,
        blocks,
        complete,
    }))
}

fn find_header(source: &dyn Source, size: u64) -> Result<Option<Header>> {
    let mut raw = Vec::new();
    for offset in [0, size.saturating_sub(HEADER as u64)] {
        let bytes = read(source, offset, HEADER as u64)?;
        if let Ok(bytes) = <[u8; HEADER]>::try_from(bytes) {
            if sealed(&bytes) {
                return Header::parse(&bytes).map(Some);
            }
            raw.push(bytes);
        }
    }
    // A container of version 1 has nothing to do with all that follows.
    let other = |b: &[u8; HEADER]| b.starts_with(MAGIC) && b[8..10] == [0, 1];
    if raw.iter().any(other) {
        return Ok(None);
    }
    let ends = [0, size.saturating_sub(NEAR)];
    let mut begins = vec![0, size.saturating_sub(HEADER as u64)];
    let mut traces = false;
    for start in ends {
        let bytes = read(source, start, NEAR)?;
        for at in memmem::find_iter(&bytes, MAGIC) {
            if let Some(header) = bytes.get(at..at + HEADER).filter(|h| sealed(h)) {
                let mut raw = [0; HEADER];
                raw.copy_from_slice(header);
                return Header::parse(&raw).map(Some);
            }
            traces |= bytes.get(at + 8..at + 10) == Some(&VERSION.to_be_bytes());
            let begin = start + at as u64;
            if begins.len() < BEGINS && !begins.contains(&begin) {
                begins.push(begin);
            }
        }
        traces |= memmem::find_iter(&bytes, END)
            .any(|at| bytes.get(at..at + TRAILER).is_some_and(trailer_sealed));
    }
    let texts = begins
        .into_iter()
        .map(|begin| read(source, begin, (HEADER + SLACK) as u64))
        .collect::<Result<Vec<_>>>()?;
    if let Some(found) = combine(&texts)
        && let Ok(bytes) = <[u8; HEADER]>::try_from(found)
    {
        return Header::parse(&bytes).map(Some);
    }
    if traces {
        return Err(Error::Damaged(Damage {
            what: "both headers, and with them the salt and the wrapped key".into(),
            blocks: Vec::new(),
        }));
    }
    Ok(None)
}

/// The header of which these texts begin with damaged copies.
fn combine(texts: &[Vec<u8>]) -> Option<Vec<u8>> {
    // Of a file that is no container, nothing is combined.
    let begin = [&MAGIC[..], &[0, VERSION as u8, 0, HEADER as u8]].concat();
    let alike = |text: &Vec<u8>| begin.iter().zip(text).filter(|(a, b)| a == b).count();
    if texts.iter().map(alike).max() < Some(ALIKE) {
        return None;
    }
    for (i, a) in texts.iter().enumerate() {
        for b in &texts[..i] {
            let found = records::realign(a, b, HEADER, TRIES, sealed);
            if found.is_some() {
                return found;
            }
        }
    }
    let copies: Vec<&[u8]> = texts.iter().filter_map(|text| text.get(..HEADER)).collect();
    records::recover(&copies, |_| true, TRIES, sealed)
}

fn find_trailer(source: &dyn Source, size: u64, header: &Header) -> Result<Option<Trailer>> {
    let parse = |bytes: &[u8]| Trailer::parse(bytes, header);
    let end = size.saturating_sub(HEADER as u64);
    let mut raw = Vec::new();
    for back in [1, 2] {
        let offset = end.saturating_sub(back * TRAILER as u64);
        let bytes = read(source, offset, TRAILER as u64)?;
        if let Some(trailer) = parse(&bytes) {
            return Ok(Some(trailer));
        }
        raw.push(bytes);
    }
    let near = read(source, size.saturating_sub(NEAR), NEAR)?;
    for at in memmem::find_iter(&near, END) {
        if let Some(trailer) = near.get(at..at + TRAILER).and_then(parse) {
            return Ok(Some(trailer));
        }
    }
    let plausible = |b: &Vec<u8>| {
        let known = b.get(12..28).unwrap_or_default().iter().zip(&header.id);
        known.filter(|(a, b)| a == b).count() >= 8
    };
    let copies: Vec<&[u8]> = raw
        .iter()
        .filter(|b| plausible(b))
        .map(Vec::as_slice)
        .collect();
    let found = records::recover(&copies, |_| true, TRIES, |bytes| parse(bytes).is_some());
    Ok(found.as_deref().and_then(parse))
}

/// Descriptors at every place of the file that looks like one: where, and whether the row that it begins is one of the
/// code.
pub(super) fn descriptors(
    source: &dyn Source,
    geometry: &Geometry,
    code: &Code,
    mut each: impl FnMut(u64, &[u8], Descriptor, bool),
) -> Result<()> {
    const WINDOW: u64 = 4 << 20;
    let row = geometry.encoded().min(ROW);
    let full = u32::try_from(geometry.capacity() + TAG).unwrap_or(u32::MAX);
    let mut normal = [0; 8];
    normal[..4].copy_from_slice(&full.to_be_bytes());
    let size = source.size()?;
    let mut at = 0;
    while at < size {
        let window = read(source, at, WINDOW + ROW as u64 + DESCRIPTOR as u64)?;
        let hits = memmem::find_iter(&window, &normal).map(|hit| hit.checked_sub(8));
        let finals = memmem::find_iter(&window, &[1, 0, 0, 0]).map(|hit| hit.checked_sub(12));
        for start in hits.chain(finals).flatten() {
            let Some(bytes) = window.get(start..start + row) else {
                continue;
            };
            if let Some(descriptor) = Descriptor::parse(bytes, geometry) {
                each(at + start as u64, bytes, descriptor, code.valid(bytes));
            }
        }
        at += WINDOW;
    }
    Ok(())
}

/// The number of blocks where no trailer tells it, and whether it is certain.
fn count(source: &dyn Source, size: u64, header: &Header) -> Result<(u64, bool)> {
    let geometry = &header.geometry;
    let slot = geometry.slot() as u64;
    let code =
        Code::new(geometry.nsym).ok_or_else(|| Error::Misuse("nsym must be 1 to 254".into()))?;
    let (mut most, mut last) = (None, None);
    descriptors(source, geometry, &code, |_, _, descriptor, valid| {
        if valid {
            most = most.max(Some(descriptor.index));
        }
        if valid && descriptor.last {
            last = last.max(Some(descriptor.index));
        }
    })?;
    if let Some(last) = last {
        return Ok((last + 1, true));
    }
    let body = size.checked_sub(2 * (HEADER + TRAILER) as u64);
    if let Some(body) = body.filter(|b| *b > 0 && b % (2 * slot) == 0) {
        return Ok(((body / (2 * slot)).min(MOST_BLOCKS), true));
    }
    Ok((most.map_or(0, |m| m + 1), false))
}
