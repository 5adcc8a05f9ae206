//! Finding the header page: where it should be, wherever else one is intact, or by a vote.

use std::ops::Range;

use super::layout::{
    FRAME_LEN, KEY_SLOT_LEN, KEY_SLOTS_MAX, MAGIC, PAGE_FIXED_LEN, PAGE_HASH_LEN, PAGE_RECORD_MAX,
    SECTOR_OVERHEAD, SECTOR_SHIFTS, VERSION,
};
use super::page::Page;
use super::scan::{Survey, frames};
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

impl Found {
    /// Whether the other page is a newer one of the same archive and the same shape.
    pub(super) fn is_older_than(&self, other: &Found) -> bool {
        self.archive == other.archive
            && (self.page.geometry, self.page.lag) == (other.page.geometry, other.page.lag)
            && self.page.generation < other.page.generation
    }
}

/// Sectors that take part in a vote.
const VOTERS_MAX: usize = 4096;
/// Bits of magic and version that may be wrong in a sector that takes part.
const VOTER_BITS: u32 = 8;
/// The narrowest bits of a vote, of which up to [`FLIPS_MAX`] are taken to have lost.
const NARROW_BITS: usize = 48;
/// See [`NARROW_BITS`]; together they make some 18,000 combinations.
const FLIPS_MAX: usize = 3;

/// A page that proves itself, whether or not this version knows what it asks for.
struct Candidate {
    archive: ArchiveId,
    generation: u32,
    page: Result<Page>,
}

impl Candidate {
    /// The page in a payload, if it proves itself and is not illegal.
    fn new(archive: ArchiveId, payload: &[u8]) -> Option<Self> {
        let page = match Page::from_payload(&archive, payload) {
            Err(Error::NotDbs(_)) => return None,
            page => page,
        };
        // Where the generation stands in every minor version.
        let generation = payload.get(12..16)?.try_into().map(u32::from_le_bytes);
        Some(Candidate {
            archive,
            generation: generation.ok()?,
            page,
        })
    }

    /// The page that an intact sector of the file's first or last bytes is, if it is of the generation
    /// that is `wanted`.
    fn at_end(source: &dyn Source, last: bool, wanted: Option<u32>) -> Result<Option<Self>> {
        let len = source.size()?;
        for shift in SECTOR_SHIFTS {
            let size = 1u64 << shift;
            let offset = match last {
                true => len.checked_sub(size),
                false => Some(0),
            };
            let Some(offset) = offset else { continue };
            let mut sector = vec![0; size as usize];
            if source.read_full_at(&mut sector, offset)? < sector.len() {
                continue;
            }
            let candidate = match frame(&sector) {
                Ok((_, frame)) if frame.slot == 0 && is_intact(&sector) => {
                    Candidate::new(frame.archive, Sector::new(&sector).payload())
                }
                _ => None,
            };
            if candidate.is_some() {
                return Ok(candidate.filter(|candidate| candidate.is_wanted(wanted)));
            }
        }
        Ok(None)
    }

    /// The page at one end of the file, where only one of its ends has one.
    fn at_one_end(source: &dyn Source, wanted: Option<u32>) -> Result<Option<Self>> {
        let first = Self::at_end(source, false, wanted)?;
        Ok(match (first, Self::at_end(source, true, wanted)?) {
            (Some(one), None) | (None, Some(one)) => Some(one),
            _ => None,
        })
    }

    /// Whether it is of the generation that was asked for, if one was.
    fn is_wanted(&self, generation: Option<u32>) -> bool {
        generation.is_none_or(|wanted| wanted == self.generation)
    }

    /// Whether it is of this archive, and of this page's shape, which no change of passphrases touches.
    fn is_kin(&self, archive: &ArchiveId, page: Option<&Page>) -> bool {
        let same = match (&self.page, page) {
            (Ok(own), Some(page)) => (own.geometry, own.lag) == (page.geometry, page.lag),
            _ => true,
        };
        self.archive == *archive && same
    }
}

/// The header page that stands in the first and in the last sector, if both are intact and hold the
/// same one: then no change of passphrases is under way, and no other page counts. One of another
/// generation than the `wanted` one is not looked at.
pub(super) fn find_page(source: &dyn Source, wanted: Option<u32>) -> Result<Option<Found>> {
    let Some(first) = Candidate::at_end(source, false, wanted)? else {
        return Ok(None);
    };
    let Some(last) = Candidate::at_end(source, true, wanted)? else {
        return Ok(None);
    };
    if (first.archive, first.generation) != (last.archive, last.generation) {
        return Ok(None);
    }
    let archive = first.archive;
    match (first.page, last.page) {
        (Ok(page), Ok(other)) if page == other => Ok(Some(Found { archive, page })),
        (Err(error), Err(_)) => Err(error),
        _ => Ok(None),
    }
}

/// The pages of an archive that a survey of the file saw, supported or not; one in hand at a time.
fn pages_of<'a>(
    source: &'a dyn Source,
    survey: &'a Survey,
    archive: &'a ArchiveId,
    sector_size: usize,
) -> impl Iterator<Item = Result<Candidate>> + 'a {
    let mut sector = vec![0; sector_size];
    survey.pages.iter().filter_map(move |&offset| {
        match source.read_full_at(&mut sector, offset) {
            Ok(read) if read == sector_size => {}
            Ok(_) => return None,
            Err(error) => return Some(Err(error.into())),
        }
        let mut own = ArchiveId::default();
        own.copy_from_slice(&sector[16..FRAME_LEN]);
        let candidate = Candidate::new(own, Sector::new(&sector).payload());
        candidate
            .filter(|candidate| candidate.archive == *archive)
            .map(Ok)
    })
}

/// Puts the header page of the highest generation in a survey in the place of `found`, unless that is
/// `settled`. Returns the highest generation of those that are older.
pub(super) fn newest_page(
    source: &dyn Source,
    survey: &Survey,
    settled: bool,
    found: &mut Found,
) -> Result<Option<u32>> {
    let (archive, size) = (found.archive, found.page.geometry.sector_size());
    let mut older = None;
    for other in pages_of(source, survey, &archive, size) {
        let other = other?;
        let (old, new) = (found.page.generation, other.generation);
        if new == old || !other.is_kin(&found.archive, Some(&found.page)) {
            continue;
        }
        if new < old {
            older = older.max(Some(new));
        } else if !settled {
            found.page = other.page?;
            older = older.max(Some(old));
        }
    }
    Ok(older)
}

/// Whether a survey of the file saw a page of the archive that is another than `page`.
pub(super) fn has_other_page(
    source: &dyn Source,
    survey: &Survey,
    archive: &ArchiveId,
    page: &Page,
) -> Result<bool> {
    for other in pages_of(source, survey, archive, page.geometry.sector_size()) {
        if other?.page.ok().as_ref() != Some(page) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The header page among all sectors that look like one: an intact one of the highest generation of the
/// archive that one end of the file is of, or else the first intact one; or else a bitwise majority.
///
/// The record ends in its own hash, so a result that holds proves itself.
pub(super) fn vote(source: &dyn Source, wanted: Option<u32>) -> Result<Found> {
    let offsets = candidates(source)?;
    let mut ballots: Vec<Vec<u8>> = Vec::new();
    let mut best = Candidate::at_one_end(source, wanted)?;
    for offset in offsets {
        let mut ballot = vec![0; FRAME_LEN + PAGE_RECORD_MAX];
        let read = source.read_full_at(&mut ballot, offset)?;
        ballot.truncate(read);
        if ballot.len() < FRAME_LEN + (512 - SECTOR_OVERHEAD) {
            continue;
        }
        if let Some(candidate) = page_of(&ballot) {
            // An intact sector of another version is none of ours.
            if ballot[4] != VERSION && is_whole(source, offset, &candidate)? {
                continue;
            }
            if !candidate.is_wanted(wanted) {
                continue;
            }
            let better = match &best {
                None => true,
                Some(Candidate {
                    archive,
                    generation,
                    page,
                }) => {
                    candidate.generation > *generation
                        && candidate.is_kin(archive, page.as_ref().ok())
                }
            };
            if better {
                best = Some(candidate);
            }
        }
        ballots.push(ballot);
    }
    if let Some(Candidate { archive, page, .. }) = best {
        return page.map(|page| Found { archive, page });
    }
    match (majority(&ballots)?, wanted) {
        (Some(found), None) => Ok(found),
        (Some(found), Some(wanted)) if found.page.generation == wanted => Ok(found),
        (_, Some(wanted)) => Err(Error::Misuse(format!(
            "no header page of generation {wanted} is in the file"
        ))),
        (None, None) => Err(reason(source, ballots.len())?),
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
            if source.read_full_at(&mut sector, offset)? == sector.len() && is_intact(&sector) {
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
        _ if sectors || is_rotten(source)? => Error::Damaged(Damage {
            what: format!(
                "no header page is left: none of {ballots} sectors that look like one proves itself"
            ),
            blocks: Vec::new(),
        }),
        _ if source.size()? == 0 => Error::NotDbs("it is empty".into()),
        _ => Error::NotDbs("nothing in it is part of a backup".into()),
    })
}

/// Calls `each` with the offset of every magic, until it returns false.
fn magics(source: &dyn Source, mut each: impl FnMut(u64) -> bool) -> Result<()> {
    let finder = memchr::memmem::Finder::new(&MAGIC);
    let mut window = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = source.read_full_at(&mut window, at)?;
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
        let read = source.read_full_at(&mut window, at)?;
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
fn is_whole(source: &dyn Source, offset: u64, candidate: &Candidate) -> Result<bool> {
    let Ok(page) = &candidate.page else {
        return Ok(false);
    };
    let mut sector = vec![0; page.geometry.sector_size()];
    let read = source.read_full_at(&mut sector, offset)?;
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
        let read = source.read_full_at(&mut window, at)?;
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
    if let Some(Candidate { archive, page, .. }) = page_of(bytes) {
        return page.map(|page| Some(Found { archive, page }));
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
fn page_of(bytes: &[u8]) -> Option<Candidate> {
    let mut archive = ArchiveId::default();
    archive.copy_from_slice(&bytes[16..32]);
    SECTOR_SHIFTS.into_iter().find_map(|shift| {
        let payload_size = (1usize << shift) - SECTOR_OVERHEAD;
        let record = payload_size.min(PAGE_RECORD_MAX);
        if bytes.len() < FRAME_LEN + record || bytes[FRAME_LEN + 2] != shift {
            return None;
        }
        // Behind the record there are zeros.
        let mut payload = bytes[FRAME_LEN..FRAME_LEN + record].to_vec();
        payload.resize(payload_size, 0);
        Candidate::new(archive, &payload)
    })
}
