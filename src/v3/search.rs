//! Finding the header page: where it should be, or wherever else one proves itself.

use std::ops::ControlFlow;

use super::layout::{FRAME_LEN, PAGE_RECORD_MAX, SECTOR_OVERHEAD, SECTOR_SHIFTS};
use super::majority::elect;
use super::page::Page;
use super::scan::{PAGES_MAX, Survey, frames};
use super::sector::{ArchiveId, is_intact, is_page};
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

/// A page that proves itself, whether or not this version knows what it asks for.
pub(super) struct Candidate {
    archive: ArchiveId,
    sector_shift: u8,
    generation: u32,
    page: Result<Page>,
}

impl Candidate {
    /// The page in a frame and the record behind it, in a sector of this size.
    fn sized(bytes: &[u8], sector_shift: u8) -> Option<Self> {
        let payload_size = (1usize << sector_shift) - SECTOR_OVERHEAD;
        let record = bytes
            .get(FRAME_LEN..)?
            .get(..payload_size.min(PAGE_RECORD_MAX))?;
        // Behind the record there are zeros.
        let mut payload = record.to_vec();
        payload.resize(payload_size, 0);
        let archive = bytes[16..FRAME_LEN].try_into().ok()?;
        let page = match Page::from_payload(&archive, &payload) {
            Err(Error::NotDbs(_)) => return None,
            page => page,
        };
        Some(Candidate {
            archive,
            sector_shift,
            // Where the generation stands in every minor version.
            generation: u32::from_le_bytes(record[12..16].try_into().ok()?),
            page,
        })
    }

    /// The page in a frame and the record behind it. How long the record is follows from the sector
    /// size, which the record itself states; but what a page that is not supported states is not judged.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let (least, most) = SECTOR_SHIFTS.into_inner();
        let stated = *bytes.get(FRAME_LEN + 2)?;
        // All sectors but the smallest have records of one length.
        [least, stated.clamp(least + 1, most)]
            .into_iter()
            .find_map(|shift| Self::sized(bytes, shift))
    }

    /// The page whose sector begins at an offset, whether or not the sector's tag holds.
    fn at(source: &dyn Source, offset: u64) -> Result<Option<Self>> {
        let bytes = read_page(source, offset)?;
        Ok(Self::new(&bytes))
    }

    /// The page in the file's first or last sector, which must be `intact` or may be damaged.
    fn at_end(source: &dyn Source, last: bool, intact: bool) -> Result<Option<Self>> {
        let len = source.size()?;
        for shift in SECTOR_SHIFTS {
            let offset = match last {
                true => len.checked_sub(1 << shift),
                false => Some(0),
            };
            let Some(offset) = offset else { continue };
            let bytes = read_page(source, offset)?;
            if let Some(candidate) = Self::sized(&bytes, shift)
                && (!intact || candidate.is_in_intact_sector(source, offset)?)
            {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    /// Whether the sector at this offset, in which it was found, is intact.
    pub(super) fn is_in_intact_sector(&self, source: &dyn Source, offset: u64) -> Result<bool> {
        let mut sector = vec![0; 1 << self.sector_shift];
        let read = source.read_full_at(&mut sector, offset)?;
        Ok(read == sector.len() && is_intact(&sector))
    }

    /// Whether it is of the generation that was asked for, if one was.
    pub(super) fn is_wanted(&self, generation: Option<u32>) -> bool {
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

    /// Whether it counts and not the other one, which comes before it in the order in which pages are
    /// looked at.
    pub(super) fn is_newer_than(&self, other: &Candidate) -> bool {
        self.generation > other.generation && self.is_kin(&other.archive, other.page.as_ref().ok())
    }

    /// The page, if this version knows what it asks for.
    pub(super) fn into_found(self) -> Result<Found> {
        let archive = self.archive;
        self.page.map(|page| Found { archive, page })
    }
}

/// Frame and record of the sector of a header page that begins at an offset; nothing if none does.
fn read_page(source: &dyn Source, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; FRAME_LEN + PAGE_RECORD_MAX];
    let read = source.read_full_at(&mut bytes, offset)?;
    bytes.truncate(if is_page(&bytes) { read } else { 0 });
    Ok(bytes)
}

/// The header page that stands in the first and in the last sector, if both are intact and hold the
/// same one: then no change of passphrases is under way, and no other page counts. One of another
/// generation than the `wanted` one is not looked at.
pub(super) fn find_page(source: &dyn Source, wanted: Option<u32>) -> Result<Option<Found>> {
    let end = |last| -> Result<_> {
        let candidate = Candidate::at_end(source, last, true)?;
        Ok(candidate.filter(|candidate| candidate.is_wanted(wanted)))
    };
    let Some(first) = end(false)? else {
        return Ok(None);
    };
    let Some(last) = end(true)? else {
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
) -> impl Iterator<Item = Result<Candidate>> + 'a {
    let pages = survey.pages.iter();
    pages.filter_map(|&offset| {
        let candidate = Candidate::at(source, offset).transpose()?;
        let own = |candidate: &Candidate| candidate.archive == *archive;
        candidate.as_ref().map_or(true, own).then_some(candidate)
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
    let archive = found.archive;
    let mut older = None;
    for other in pages_of(source, survey, &archive) {
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
    for other in pages_of(source, survey, archive) {
        if other?.page.ok().as_ref() != Some(page) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first header page of a file: of its first sector, of its last, or else the first one that proves itself
/// between them. (If that is not the newest, [`newest_page`] finds the newest.) Where all are damaged, one
/// in a damaged frame, or a bitwise majority of all.
///
/// The record ends in its own hash, so a result that holds proves itself.
pub(super) fn first_page(source: &dyn Source, wanted: Option<u32>) -> Result<Found> {
    let mut best: Option<Candidate> = None;
    // One that is not supported counts only if none that is newer can be used.
    let mut is_settled = |candidate: Option<Candidate>| {
        let candidate = candidate.filter(|candidate| candidate.is_wanted(wanted));
        if let Some(candidate) = candidate
            && best
                .as_ref()
                .is_none_or(|best| candidate.is_newer_than(best))
        {
            best = Some(candidate);
        }
        best.as_ref().is_some_and(|best| best.page.is_ok())
    };
    let mut settled = false;
    for last in [false, true] {
        settled = settled || is_settled(Candidate::at_end(source, last, false)?);
    }
    let mut places = Vec::new();
    if !settled {
        frames(source, |offset, frame| {
            if !is_page(frame) || places.len() == PAGES_MAX {
                return Ok(ControlFlow::Continue(()));
            }
            places.push(offset);
            Ok(match is_settled(Candidate::at(source, offset)?) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
    }
    match best {
        Some(best) => best.into_found(),
        None => elect(source, places, wanted),
    }
}
