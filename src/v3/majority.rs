//! The header page of a file in which none proves itself in a sector whose magic and version are right: one in a
//! damaged frame, or a bitwise majority of all; or the reason why there is none.

use std::ops::Range;

use super::layout::{
    FRAME_LEN, KEY_SLOT_LEN, KEY_SLOTS_MAX, MAGIC, PAGE_FIXED_LEN, PAGE_HASH_LEN, PAGE_RECORD_MAX,
    SECTOR_OVERHEAD, SECTOR_SHIFTS, VERSION,
};
use super::search::{Candidate, Found};
use super::sector::is_intact;
use crate::error::Damage;
use crate::source::Source;
use crate::{Error, Result};

/// Sectors that take part in a vote.
const VOTERS_MAX: usize = 4096;
/// Bits of magic and version that may be wrong in a sector that takes part.
const VOTER_BITS: u32 = 8;
/// The narrowest bits of a vote, of which up to [`FLIPS_MAX`] are taken to have lost.
const NARROW_BITS: usize = 48;
/// See [`NARROW_BITS`]; together they make some 18,000 combinations.
const FLIPS_MAX: usize = 3;

/// The header page that damaged sectors speak for: those at `places`, whose magic and version are right, and others.
///
/// The record ends in its own hash, so a result that holds proves itself.
pub(super) fn elect(
    source: &dyn Source,
    mut places: Vec<u64>,
    wanted: Option<u32>,
) -> Result<Found> {
    places.truncate(VOTERS_MAX);
    add_damaged(source, &mut places)?;
    let mut ballots: Vec<Vec<u8>> = Vec::new();
    let mut best: Option<Candidate> = None;
    for offset in places {
        let mut ballot = vec![0; FRAME_LEN + PAGE_RECORD_MAX];
        let read = source.read_full_at(&mut ballot, offset)?;
        ballot.truncate(read);
        if ballot.len() < FRAME_LEN + (512 - SECTOR_OVERHEAD) {
            continue;
        }
        if let Some(candidate) = Candidate::new(&ballot) {
            // An intact sector of another version is none of ours.
            if ballot[4] != VERSION && candidate.is_in_intact_sector(source, offset)? {
                continue;
            }
            if !candidate.is_wanted(wanted) {
                continue;
            }
            if best
                .as_ref()
                .is_none_or(|best| candidate.is_newer_than(best))
            {
                best = Some(candidate);
            }
        }
        ballots.push(ballot);
    }
    if let Some(best) = best {
        return best.into_found();
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

/// Adds the offsets on the grid of the smallest sectors of what looks like the sector of a header page with
/// some bits of magic and version wrong.
fn add_damaged(source: &dyn Source, offsets: &mut Vec<u64>) -> Result<()> {
    let grid = 1u64 << SECTOR_SHIFTS.start();
    let mut window = vec![0; 1 << 20];
    let (mut at, mut ends) = (0, None);
    while offsets.len() < 2 * VOTERS_MAX {
        let read = source.read_full_at(&mut window, at)?;
        for (start, bytes) in (at..)
            .step_by(grid as usize)
            .zip(window[..read].chunks(grid as usize))
        {
            let wrong = wrong_bits(bytes);
            if bytes.len() < FRAME_LEN || wrong > VOTER_BITS {
                continue;
            }
            if bytes[6] == 0 && wrong > 0 {
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
    Ok(())
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
    if let Some(candidate) = Candidate::new(bytes) {
        return candidate.into_found().map(Some);
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

/// How many bits of magic and version are wrong at the beginning of these bytes.
fn wrong_bits(bytes: &[u8]) -> u32 {
    let expected = MAGIC.iter().chain(&[VERSION]);
    let wrong = expected.zip(bytes).map(|(a, b)| (a ^ b).count_ones());
    wrong.sum()
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
            if bytes.len() >= FRAME_LEN && wrong_bits(bytes) <= ROTTEN_BITS {
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
