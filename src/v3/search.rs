//! Finding the header page: where it should be, wherever else one is intact, or by a vote.

use std::ops::Range;

use super::layout::{
    FRAME_LEN, KEY_SLOT_LEN, KEY_SLOTS_MAX, MAGIC, PAGE_FIXED_LEN, PAGE_HASH_LEN, PAGE_RECORD_MAX,
    SECTOR_OVERHEAD, SECTOR_SHIFTS, VERSION,
};
use super::page::Page;
use super::scan::{Survey, frames, read_past_errors};
use super::sector::{ArchiveId, Sector, frame, is_intact};
use crate::error::Damage;
use crate::source::Source;
use crate::{Error, Result};

/// A header page, and the archive it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) archive: ArchiveId,
    pub(super) page: Page,
}

/// Sectors that take part in a vote.
const VOTERS_MAX: usize = 4096;
/// Bits of magic and version that may be wrong in a sector that takes part.
const VOTER_BITS: u32 = 8;
/// The narrowest bits of a vote, of which up to [`FLIPS_MAX`] are taken to have lost.
const NARROW_BITS: usize = 48;
/// See [`NARROW_BITS`]; together they make some 18,000 combinations.
const FLIPS_MAX: usize = 3;

/// The header page in the first or the last sector. Where both are intact, they must agree.
pub(super) fn find_page(source: &dyn Source) -> Result<Option<Found>> {
    let len = source.size()?;
    let mut pages = Vec::new();
    for shift in SECTOR_SHIFTS {
        let size = 1u64 << shift;
        for offset in [Some(0), len.checked_sub(size)].into_iter().flatten() {
            let mut sector = vec![0; size as usize];
            if read_past_errors(source, &mut sector, offset)? == sector.len()
                && let Some(found) = intact_page(&sector)?
            {
                pages.push(found);
            }
        }
    }
    pages.dedup();
    // Two that differ are for the scan to settle.
    Ok(if pages.len() == 1 { pages.pop() } else { None })
}

/// The header page that an intact sector is, if it is one.
fn intact_page(sector: &[u8]) -> Result<Option<Found>> {
    match frame(sector) {
        Ok((_, frame)) if frame.slot == 0 && is_intact(sector) => {
            let payload = Sector::new(sector).payload();
            match Page::from_payload(&frame.archive, payload) {
                Ok(page) => Ok(Some(Found {
                    archive: frame.archive,
                    page,
                })),
                Err(Error::NotDbs(_)) => Ok(None),
                Err(error) => Err(error),
            }
        }
        _ => Ok(None),
    }
}

/// Puts the header page of the highest generation in a survey in the place of `found`. Returns the
/// highest generation of those that are older.
pub(super) fn newest_page(
    source: &dyn Source,
    survey: &Survey,
    found: &mut Found,
) -> Result<Option<u32>> {
    let mut sector = vec![0; found.page.geometry.sector_size()];
    let mut older = None;
    for &offset in &survey.pages {
        if read_past_errors(source, &mut sector, offset)? < sector.len() {
            continue;
        }
        let Some(mut other) = intact_page(&sector)? else {
            continue;
        };
        if other.archive != found.archive
            || other.page.geometry != found.page.geometry
            || other.page.lag != found.page.lag
            || other.page.generation == found.page.generation
        {
            continue;
        }
        if other.page.generation > found.page.generation {
            std::mem::swap(&mut other, found);
        }
        older = older.max(Some(other.page.generation));
    }
    Ok(older)
}

/// The header page among all sectors that look like one: an intact one of the highest generation,
/// or else a bitwise majority.
///
/// The record ends in its own hash, so a result that holds proves itself.
pub(super) fn vote(source: &dyn Source) -> Result<Found> {
    let offsets = candidates(source)?;
    let mut ballots: Vec<Vec<u8>> = Vec::new();
    let mut intact: Option<Found> = None;
    let mut unsupported = None;
    for offset in offsets {
        let mut ballot = vec![0; FRAME_LEN + PAGE_RECORD_MAX];
        let read = read_past_errors(source, &mut ballot, offset)?;
        ballot.truncate(read);
        if ballot.len() < FRAME_LEN + (512 - SECTOR_OVERHEAD) {
            continue;
        }
        match page_of(&ballot) {
            // An intact sector of another version is none of ours.
            Ok(Some(found)) if ballot[4] != VERSION && is_whole(source, offset, &found)? => {
                continue;
            }
            Ok(Some(found)) => {
                let newer = |f: &Found| {
                    f.archive == found.archive && f.page.generation < found.page.generation
                };
                if intact.as_ref().is_none_or(newer) {
                    intact = Some(found);
                }
            }
            Ok(None) => {}
            Err(error) => unsupported = Some(error),
        }
        ballots.push(ballot);
    }
    if let Some(found) = intact {
        return Ok(found);
    }
    if let Some(error) = unsupported {
        return Err(error);
    }
    match majority(&ballots)? {
        Some(found) => Ok(found),
        None => Err(reason(source, ballots.len())?),
    }
}

/// Sectors whose tags are tried before it is said that there is none.
const TRIED_MAX: usize = 256;
/// Bits of magic and version that may be wrong where every sector is.
const ROTTEN_BITS: u32 = 4;

/// Why there is no header page: another version, a container without one, or no container.
fn reason(source: &dyn Source, ballots: usize) -> Result<Error> {
    let mut other_version = None;
    let mut sectors = false;
    let mut offsets = Vec::new();
    magics(source, |offset| {
        offsets.push(offset);
        offsets.len() < TRIED_MAX
    })?;
    for &offset in &offsets {
        for shift in SECTOR_SHIFTS {
            let mut sector = vec![0; 1 << shift];
            if read_past_errors(source, &mut sector, offset)? == sector.len() && is_intact(&sector)
            {
                match sector[4] {
                    VERSION => sectors = true,
                    version => other_version = Some(version),
                }
            }
        }
    }
    Ok(match other_version {
        Some(version) if !sectors => Error::Unsupported(format!(
            "a container of version {version}, which a newer dbs must read"
        )),
        _ if sectors || offsets.len() > 1 || is_rotten(source)? => Error::Damaged(Damage {
            what: format!(
                "the header page: none of {ballots} sectors that look like one proves itself"
            ),
            blocks: Vec::new(),
        }),
        _ => Error::NotDbs("it has no sector of a container of version 3".into()),
    })
}

/// Calls `each` with the offset of every magic, until it returns false.
fn magics(source: &dyn Source, mut each: impl FnMut(u64) -> bool) -> Result<()> {
    let finder = memchr::memmem::Finder::new(&MAGIC);
    let mut window = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = read_past_errors(source, &mut window, at)?;
        for found in finder.find_iter(&window[..read]) {
            if !each(at + found as u64) {
                return Ok(());
            }
        }
        if read < window.len() {
            return Ok(());
        }
        // A magic may begin in the last bytes of this window.
        at += (read - MAGIC.len() + 1) as u64;
    }
}

/// Whether on the grid of some sector size half of the places, two at least, are nearly magic.
fn is_rotten(source: &dyn Source) -> Result<bool> {
    let len = source.size()?;
    let grid = 1usize << SECTOR_SHIFTS.start();
    let mut near = [0u64; 17];
    let mut window = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = read_past_errors(source, &mut window, at)?;
        for (offset, bytes) in (at..).step_by(grid).zip(window[..read].chunks(grid)) {
            let wrong = MAGIC
                .iter()
                .chain(&[VERSION])
                .zip(bytes)
                .map(|(a, b)| (a ^ b).count_ones());
            if bytes.len() >= FRAME_LEN && wrong.sum::<u32>() <= ROTTEN_BITS {
                for shift in
                    SECTOR_SHIFTS.filter(|shift| offset.trailing_zeros() >= (*shift).into())
                {
                    near[usize::from(shift)] += 1;
                }
            }
        }
        if read < window.len() {
            break;
        }
        at += read as u64;
    }
    Ok(SECTOR_SHIFTS.into_iter().any(|shift| {
        let near = near[usize::from(shift)];
        near >= 2 && 2 * near >= len >> shift
    }))
}

/// Whether the sector that a page was found in is intact.
fn is_whole(source: &dyn Source, offset: u64, found: &Found) -> Result<bool> {
    let mut sector = vec![0; found.page.geometry.sector_size()];
    let read = read_past_errors(source, &mut sector, offset)?;
    Ok(read == sector.len() && is_intact(&sector))
}

/// Offsets of what looks like the sector of a header page: at any place with magic and version
/// intact, and on the grid of the smallest sectors with some bits of them wrong.
fn candidates(source: &dyn Source) -> Result<Vec<u64>> {
    let mut offsets = Vec::new();
    // Byte 6 is the slot.
    frames(source, |offset, bytes| {
        if bytes[6] == 0 && offsets.len() < VOTERS_MAX {
            offsets.push(offset);
        }
        Ok(())
    })?;
    let grid = 1u64 << SECTOR_SHIFTS.start();
    let expected = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION];
    let mut window = vec![0; 1 << 20];
    let (mut at, mut ends) = (0, None);
    while offsets.len() < 2 * VOTERS_MAX {
        let read = read_past_errors(source, &mut window, at)?;
        for (start, bytes) in (at..)
            .step_by(grid as usize)
            .zip(window[..read].chunks(grid as usize))
        {
            let distance = || {
                expected
                    .iter()
                    .zip(bytes)
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum::<u32>()
            };
            if bytes.len() < FRAME_LEN || distance() > VOTER_BITS {
                continue;
            }
            if bytes[6] == 0 && distance() > 0 {
                offsets.push(start);
            } else if bytes[6] != 0 {
                // The first and the last sector are header pages, whatever their slot reads.
                ends = Some((ends.map_or(start, |(first, _)| first), start));
            }
        }
        if read < window.len() {
            break;
        }
        at += read as u64;
    }
    if let Some((first, last)) = ends {
        let before = offsets.iter().min().is_none_or(|&offset| first < offset);
        let behind = offsets.iter().max().is_none_or(|&offset| last > offset);
        offsets.extend(before.then_some(first));
        offsets.extend((behind && last != first).then_some(last));
    }
    Ok(offsets)
}

/// The page that most ballots speak for, bit by bit. Where the vote is narrow, the loser is tried
/// too.
fn majority(ballots: &[Vec<u8>]) -> Result<Option<Found>> {
    let Some(longest) = ballots.iter().map(Vec::len).max() else {
        return Ok(None);
    };
    // For every bit, the ayes less the noes.
    let mut margins = vec![0i32; longest * 8];
    for ballot in ballots {
        for (byte, margins) in ballot.iter().zip(margins.chunks_exact_mut(8)) {
            for (bit, margin) in margins.iter_mut().enumerate() {
                *margin += if byte >> bit & 1 == 1 { 1 } else { -1 };
            }
        }
    }
    let mut winner: Vec<u8> = margins
        .chunks_exact(8)
        .map(|margins| (0..8).fold(0, |byte, bit| byte | u8::from(margins[bit] > 0) << bit))
        .collect();
    // What must be zero was not voted on.
    let zeros = reserved(&winner);
    for range in zeros.clone() {
        winner[range].fill(0);
    }
    let mut narrow: Vec<usize> = (0..margins.len())
        .filter(|bit| !zeros.clone().any(|range| range.contains(&(bit / 8))))
        .collect();
    narrow.sort_by_key(|&bit| margins[bit].unsigned_abs());
    narrow.truncate(NARROW_BITS);
    flip_until(&mut winner, &narrow, FLIPS_MAX)
}

/// The ranges of a page's frame and record that are zero in version 3.0.
fn reserved(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + Clone + use<> {
    let field = |offset: usize| bytes.get(FRAME_LEN + offset).copied().unwrap_or(0);
    let payload_size = (1usize << field(2).clamp(9, 16)) - SECTOR_OVERHEAD;
    let hash = payload_size.min(PAGE_RECORD_MAX) - PAGE_HASH_LEN;
    let slots = usize::from(field(16)).clamp(1, KEY_SLOTS_MAX);
    let unused = (PAGE_FIXED_LEN + slots * KEY_SLOT_LEN).min(hash);
    let len = bytes.len();
    [17..32, unused..hash]
        .into_iter()
        .map(move |range| (FRAME_LEN + range.start).min(len)..(FRAME_LEN + range.end).min(len))
}

/// Flips up to `most` of the given bits until the page proves itself.
fn flip_until(bytes: &mut [u8], bits: &[usize], most: usize) -> Result<Option<Found>> {
    if let Some(found) = page_of(bytes)? {
        return Ok(Some(found));
    }
    if most > 0 {
        for (i, &bit) in bits.iter().enumerate() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(found) = flip_until(bytes, &bits[i + 1..], most - 1)? {
                return Ok(Some(found));
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
    Ok(None)
}

/// The page in a frame and the record behind it. How long the record is follows from the sector
/// size, which the record itself states.
fn page_of(bytes: &[u8]) -> Result<Option<Found>> {
    let mut archive = ArchiveId::default();
    archive.copy_from_slice(&bytes[16..32]);
    for shift in SECTOR_SHIFTS {
        let payload_size = (1usize << shift) - SECTOR_OVERHEAD;
        let record = payload_size.min(PAGE_RECORD_MAX);
        if bytes.len() < FRAME_LEN + record || bytes[FRAME_LEN + 2] != shift {
            continue;
        }
        // Behind the record there are zeros.
        let mut payload = bytes[FRAME_LEN..FRAME_LEN + record].to_vec();
        payload.resize(payload_size, 0);
        match Page::from_payload(&archive, &payload) {
            Ok(page) => return Ok(Some(Found { archive, page })),
            Err(Error::NotDbs(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
