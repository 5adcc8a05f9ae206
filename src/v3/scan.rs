//! Finding sectors by what they say of themselves, wherever they lie.
//!
//! A scan reads a source once, looks for frames of one archive, and keeps *pieces*: sectors of one
//! block copy that lie where they should relative to each other. With the numbers of data sectors
//! known, pieces become segments. So memory grows with the number of breaks.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use memchr::memmem;

use super::geometry::{Copy, Geometry};
use super::layout::{FRAME_LEN, MAGIC, VERSION};
use super::sector::{ArchiveId, Frame, Kind, is_page};
use crate::source::Source;
use crate::{Error, Limits, Result};

/// Bits of the archive id that may differ in a frame that is still taken for one of the archive.
const ID_BITS: u32 = 16;
/// Pieces made of misread frames that may lie between two sectors of one piece. Where half of the
/// frames have a bit flipped, there are often several.
const STRAYS_BETWEEN: usize = 32;
/// Bytes read at a time.
const WINDOW: usize = 1 << 20;

/// Sectors of one block copy that lie as they should relative to each other.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Where position 0 of the block copy lies or would lie.
    pub base: i64,
    /// The block.
    pub block: u64,
    /// The kind that the frames state.
    pub kind: Kind,
    /// The number of data sectors that the frames state.
    pub k: u8,
    /// The copy, where a parity sector told it.
    pub copy: Option<Copy>,
    /// First and last position that was seen.
    pub positions: (u16, u16),
    /// Number of sectors seen.
    pub hits: u32,
    /// By how much the frames that state this kind and number lead over those that do not.
    lead: u32,
    /// Parity sectors seen of copy A and of copy B.
    parity: [u32; 2],
}

/// What a scan of one source found.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// In the order of the file.
    pub pieces: Vec<Piece>,
    /// Where end sectors lie, and the number of blocks they state.
    pub ends: Vec<(u64, u64)>,
    /// Where header pages of the archive lie, valid or not.
    pub pages: Vec<u64>,
    /// Whether there are frames of other archives.
    foreign: bool,
}

/// What most frames of a block say of it.
#[derive(Debug, Clone, Copy)]
pub struct Vote {
    /// Its kind.
    pub kind: Kind,
    /// Its number of data sectors.
    pub k: u8,
    /// Frames that say so.
    pub hits: u32,
}

impl Piece {
    /// Counts one more sector. No single frame decides what the others say too: with one bit
    /// flipped it may name the other copy, another kind or another number of data sectors.
    fn add(&mut self, copy: Option<Copy>, position: u16, stated: (Kind, u8)) {
        self.positions.0 = self.positions.0.min(position);
        self.positions.1 = self.positions.1.max(position);
        self.hits += 1;
        match copy {
            Some(Copy::A) => self.parity[0] += 1,
            Some(Copy::B) => self.parity[1] += 1,
            None => {}
        }
        self.copy = match self.parity {
            [0, 0] => None,
            [a, b] if a >= b => Some(Copy::A),
            _ => Some(Copy::B),
        };
        if stated == (self.kind, self.k) {
            self.lead += 1;
        } else if self.lead == 0 {
            (self.kind, self.k) = stated;
            self.lead = 1;
        } else {
            self.lead -= 1;
        }
    }
}

/// Header pages that a survey remembers, which is plenty for a vote.
pub(super) const PAGES_MAX: usize = 1 << 16;

/// Calls `each` with the offset and the first [`FRAME_LEN`] bytes of everything that looks like a
/// sector of version 3, until it breaks off.
pub fn frames(
    source: &dyn Source,
    mut each: impl FnMut(u64, &[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let needle = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION];
    let finder = memmem::Finder::new(&needle);
    let mut window = vec![0; WINDOW + FRAME_LEN];
    let (mut at, mut kept) = (0u64, 0);
    loop {
        let read = source.read_full_at(&mut window[kept..], at + kept as u64)?;
        let filled = kept + read;
        let mut from = 0;
        while let Some(found) = finder.find(&window[from..filled]) {
            let start = from + found;
            if start + FRAME_LEN > filled {
                break;
            }
            let frame = &window[start..start + FRAME_LEN];
            if each(at + start as u64, frame)?.is_break() {
                return Ok(());
            }
            from = start + needle.len();
        }
        if read == 0 || filled < window.len() {
            return Ok(());
        }
        // A frame may begin in the last bytes of this window.
        let keep = FRAME_LEN - 1;
        window.copy_within(filled - keep..filled, 0);
        at += (filled - keep) as u64;
        kept = keep;
    }
}

impl Survey {
    /// Scans a source for sectors of an archive.
    ///
    /// # Errors
    /// [`Error::Limit`] where the sectors lie in more pieces than memory is allowed for.
    pub fn new(
        source: &dyn Source,
        archive: &ArchiveId,
        geometry: &Geometry,
        limits: &Limits,
    ) -> Result<Self> {
        let most = limits.memory / 8 / size_of::<Piece>() as u64;
        let mut survey = Survey::default();
        frames(source, |offset, bytes| {
            survey.note(archive, geometry, offset, bytes);
            let got = survey.pieces.len() as u64;
            if got > most {
                let what = "number of pieces that the sectors of the file lie in";
                return Err(Error::Limit {
                    what,
                    got,
                    limit: most,
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(survey)
    }

    /// Takes over what may be the frame of a sector.
    fn note(&mut self, archive: &ArchiveId, geometry: &Geometry, offset: u64, bytes: &[u8]) {
        if is_page(bytes) && bytes[16..FRAME_LEN] == archive[..] && self.pages.len() < PAGES_MAX {
            self.pages.push(offset);
        }
        let Ok((_, frame)) = super::sector::frame(bytes) else {
            return;
        };
        let distance = frame
            .archive
            .iter()
            .zip(archive)
            .map(|(a, b)| (a ^ b).count_ones());
        if distance.sum::<u32>() > ID_BITS {
            self.foreign = true;
        } else if frame.kind != Kind::End {
            self.add(geometry, offset, frame);
        } else if frame.slot == 0 && self.ends.len() < PAGES_MAX {
            self.ends.push((offset, frame.block));
        }
    }

    /// Whether all that was found is of other archives.
    #[must_use]
    pub fn is_of_another_archive(&self) -> bool {
        self.foreign && self.pieces.is_empty() && self.pages.is_empty() && self.ends.is_empty()
    }

    pub(super) fn add(&mut self, geometry: &Geometry, offset: u64, frame: Frame) {
        if frame.k == 0 || frame.k > geometry.data() {
            return;
        }
        let in_copy = |copy| {
            geometry
                .position(copy, frame.k, frame.slot)
                .map(|p| (copy, p))
        };
        let (copy, position) = match (in_copy(Copy::A), in_copy(Copy::B)) {
            // Header page or mirrored data: in both copies, at the same position.
            (Some((_, a)), Some(_)) => (None, a),
            (Some((copy, position)), None) | (None, Some((copy, position))) => {
                (Some(copy), position)
            }
            (None, None) => return,
        };
        let base = offset as i64 - ((position as i64) << geometry.sector_shift());
        let position = position as u16;
        // Frames with flipped bits may stand between two hits of one piece.
        let recent = self.pieces.iter_mut().rev().take(STRAYS_BETWEEN);
        for piece in recent {
            if piece.base == base && piece.block == frame.block {
                piece.add(copy, position, (frame.kind, frame.k));
                return;
            }
        }
        let mut piece = Piece {
            base,
            block: frame.block,
            kind: frame.kind,
            k: frame.k,
            copy: None,
            positions: (position, position),
            hits: 0,
            lead: 0,
            parity: [0; 2],
        };
        piece.add(copy, position, (frame.kind, frame.k));
        self.pieces.push(piece);
    }

    /// For every block, the kind and number of data sectors that most of its frames state, and how
    /// many do.
    #[must_use]
    pub fn votes<'a>(surveys: impl Iterator<Item = &'a Survey>) -> BTreeMap<u64, Vote> {
        // Sectors that are there twice count once.
        let mut distinct = BTreeMap::new();
        for piece in surveys.flat_map(|survey| &survey.pieces) {
            let key = (piece.block, piece.kind, piece.k);
            let hits: &mut u32 = distinct
                .entry((key, piece.copy, piece.positions))
                .or_default();
            *hits = piece.hits.max(*hits);
        }
        let mut counts: BTreeMap<(u64, Kind, u8), u32> = BTreeMap::new();
        for ((key, ..), hits) in distinct {
            *counts.entry(key).or_default() += hits;
        }
        let mut votes: BTreeMap<u64, Vote> = BTreeMap::new();
        for ((block, kind, k), hits) in counts {
            let vote = votes.entry(block).or_insert(Vote { kind, k, hits });
            if hits > vote.hits {
                *vote = Vote { kind, k, hits };
            }
        }
        votes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_single_frame_decides_what_a_piece_is() {
        let geometry = Geometry::of(super::super::geometry::Profile::Standard, 12).unwrap();
        let mut survey = Survey::default();
        for (position, slot) in geometry.slots(Copy::A, 223).enumerate() {
            let mut frame = Frame {
                kind: Kind::Data,
                slot,
                k: 223,
                block: 5,
                archive: [7; 16],
            };
            match slot {
                // Sectors with one bit flipped: another number, another kind, the other copy.
                0 => frame.k ^= 1,
                1 => frame.kind = Kind::Manifest,
                224 => frame.slot ^= 16,
                _ => {}
            }
            survey.add(&geometry, position as u64 * 4096, frame);
        }
        let [piece] = survey.pieces[..] else {
            panic!("one piece: {:?}", survey.pieces);
        };
        assert_eq!((piece.kind, piece.k), (Kind::Data, 223));
        assert_eq!((piece.copy, piece.hits), (Some(Copy::A), 240));
    }

    #[test]
    fn strays_do_not_take_a_piece_apart() {
        let geometry = Geometry::of(super::super::geometry::Profile::Standard, 12).unwrap();
        let mut survey = Survey::default();
        for position in 1..=40u64 {
            let frame = |block| Frame {
                kind: Kind::Data,
                slot: position as u8,
                k: 223,
                block,
                archive: [7; 16],
            };
            // Three sectors in four name a block that is none.
            let block = match position % 8 {
                0 | 7 => 5,
                _ => 1000 + position,
            };
            survey.add(&geometry, position * 4096, frame(block));
        }
        let hits = |block| {
            let pieces = survey.pieces.iter().filter(|piece| piece.block == block);
            pieces.map(|piece| piece.hits).collect::<Vec<_>>()
        };
        assert_eq!(hits(5), [10]);
        assert_eq!(hits(1001), [1]);
    }
}
