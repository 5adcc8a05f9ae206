//! Where the canonical order lies in a source.
//!
//! *Segments* are ranges of the canonical order, with the distance between where they should lie and
//! where they do. They are made from the pieces that a scan found, once the order is known.

use super::geometry::Copy;
use super::order::Order;
use super::scan::Piece;

/// How many segments back a piece looks for the one that it continues.
const RECENT: usize = 8;
/// Sectors that make a segment beyond doubt.
pub(super) const LONG: usize = 16;
/// Segments with fewer sectors than this, within a long one, are strays.
pub(super) const STRAY: usize = 3;

/// Where one sector in so many or fewer seems to lie elsewhere, its frame was misread.
const MISREAD: u32 = 16;

/// A range of the canonical order, and how far from it its bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    /// Canonical offsets, in bytes.
    start: u64,
    end: u64,
    /// Offset in the source less the canonical offset.
    shift: i64,
    hits: u32,
}

/// Where the canonical order lies in a source.
#[derive(Debug, Clone, Default)]
pub struct Segments {
    /// By their starts.
    list: Vec<Segment>,
    /// The furthest end of this segment and all before it.
    reach: Vec<u64>,
}

impl Segments {
    /// A source in which everything lies `shift` bytes behind its canonical place.
    #[must_use]
    pub fn whole(shift: i64) -> Self {
        let end = i64::MAX as u64;
        Segments {
            list: vec![Segment {
                start: 0,
                end,
                shift,
                hits: u32::MAX,
            }],
            reach: vec![end],
        }
    }

    /// Whether everything lies where it belongs.
    #[must_use]
    pub fn is_canonical(&self) -> bool {
        self.list.iter().all(|segment| segment.shift == 0)
    }

    /// Whether some sectors lie elsewhere beyond doubt. Where bits have rotted densely, misread frames of a large
    /// file make segments too, of few sectors and with many more of the same range in their places.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        let (here, elsewhere): (Vec<&Segment>, Vec<&Segment>) =
            self.list.iter().partition(|segment| segment.shift == 0);
        elsewhere.iter().any(|moved| {
            let first = here.partition_point(|segment| segment.start <= moved.start);
            // The segment in which it begins, or the nearest, and those that begin in it.
            let around = (0..).zip(&here[first.saturating_sub(1)..]);
            let around = around.take_while(|(i, segment)| *i == 0 || segment.start < moved.end);
            let hits: u64 = around.map(|(_, segment)| u64::from(segment.hits)).sum();
            moved.hits >= LONG as u32 || u64::from(moved.hits) > hits / 16
        })
    }

    /// The segments that pieces make, once the order is known.
    #[must_use]
    pub fn new(order: &Order, pieces: &[Piece]) -> Self {
        let geometry = order.geometry();
        let shift_bits = geometry.sector_shift();
        let mut list: Vec<Segment> = Vec::new();
        let place = |piece: &Piece| {
            let at = |position: u16| piece.base + (i64::from(position) << shift_bits);
            (at(piece.positions.0), at(piece.positions.1))
        };
        let long = pieces.iter().filter(|piece| piece.hits >= LONG as u32);
        let mut long: Vec<(i64, i64)> = long.map(place).collect();
        long.sort_unstable();
        let mut joined_last = None;
        for piece in pieces {
            if piece.block >= order.blocks() || piece.k != order.k(piece.block) {
                continue;
            }
            // In the middle of a long piece only misread frames belong elsewhere.
            let (first, last) = place(piece);
            let before = long.partition_point(|long| long.0 <= first);
            let around = before.checked_sub(1).is_some_and(|i| long[i].1 >= last);
            if piece.hits < STRAY as u32 && around {
                continue;
            }
            let shift_of = |copy| piece.base - order.offset(copy, piece.block) as i64;
            let shift = match piece.copy {
                Some(copy) => shift_of(copy),
                None if geometry.copies().len() == 1 => shift_of(Copy::A),
                None => {
                    // In both copies: the one that continues what came before, else the nearer.
                    let (a, b) = (shift_of(Copy::A), shift_of(Copy::B));
                    let known = |shift| list.iter().rev().take(4).any(|s| s.shift == shift);
                    match (known(a), known(b)) {
                        (true, false) => a,
                        (false, true) => b,
                        _ if a.unsigned_abs() <= b.unsigned_abs() => a,
                        _ => b,
                    }
                }
            };
            let canonical = |position: u16| {
                (piece.base - shift + (i64::from(position) << shift_bits)).max(0) as u64
            };
            let (start, end) = (
                canonical(piece.positions.0),
                canonical(piece.positions.1 + 1),
            );
            // What continues a recent segment joins it. Where that is a long one, few sectors beside
            // many were frames misread: they belong to the long one. (If not, they are still among the
            // pieces, for blocks that are lost without them.)
            let recent = list.len().saturating_sub(RECENT);
            let joined = list[recent..]
                .iter()
                .rposition(|s| s.shift == shift && s.start <= start);
            if let Some(index) = joined.map(|index| recent + index) {
                let segment = &mut list[index];
                segment.end = segment.end.max(end);
                segment.hits = segment.hits.saturating_add(piece.hits);
                if segment.hits >= LONG as u32 {
                    drop_misread(&mut list, index, piece.hits);
                    joined_last = Some((index, piece.hits));
                }
            } else {
                list.push(Segment {
                    start,
                    end,
                    shift,
                    hits: piece.hits,
                });
            }
        }
        if let Some((index, hits)) = joined_last {
            drop_misread(&mut list, index, hits);
        }
        list.sort_by_key(|segment| segment.start);
        let mut furthest = 0;
        let reach = list
            .iter()
            .map(|segment| {
                furthest = segment.end.max(furthest);
                furthest
            })
            .collect();
        Segments { list, reach }
    }

    /// Where a range of the canonical order may lie: ranges of it, each with its shift.
    ///
    /// What lies between two segments may belong to either.
    #[must_use]
    pub fn find(&self, start: u64, end: u64) -> Vec<(u64, u64, i64)> {
        let mut found = Vec::new();
        let behind = self.list.partition_point(|segment| segment.start < end);
        // The first segment behind the range may reach back into it.
        for index in (0..self.list.len().min(behind + 1)).rev() {
            let segment = self.list[index];
            let reached = if index == 0 { 0 } else { self.reach[index - 1] };
            let from = segment.start.min(reached);
            let next = self.list.partition_point(|other| other.start < segment.end);
            // Where another segment goes on behind the end of this one, there is no gap.
            let to = match self.list.get(next) {
                _ if next > 0 && self.reach[next - 1] > segment.end => segment.end,
                Some(next) => next.start,
                None => u64::MAX,
            };
            let (from, to) = (from.max(start), to.min(end));
            if from < to {
                found.push((from, to, segment.shift));
            }
            if reached < start && segment.start <= start {
                break;
            }
        }
        found
    }
}

/// Drops the segments behind a long one that are of few sectors, measured by those that were just added to it.
fn drop_misread(list: &mut Vec<Segment>, long: usize, added: u32) {
    let least = (added / MISREAD).max(STRAY as u32);
    let behind = list.split_off(long + 1);
    list.extend(behind.into_iter().filter(|segment| segment.hits >= least));
}

#[cfg(test)]
mod tests {
    use super::super::geometry::{Geometry, Profile};
    use super::super::scan::Survey;
    use super::super::sector::{Frame, Kind};
    use super::*;

    fn segments(list: &[(u64, u64, i64)]) -> Segments {
        let list: Vec<Segment> = list
            .iter()
            .map(|&(start, end, shift)| Segment {
                start,
                end,
                shift,
                hits: 9,
            })
            .collect();
        let mut furthest = 0;
        let reach = list
            .iter()
            .map(|s| {
                furthest = s.end.max(furthest);
                furthest
            })
            .collect();
        Segments { list, reach }
    }

    #[test]
    fn misread_frames_in_a_long_piece_make_no_segment() {
        let geometry = Geometry::of(Profile::Standard, 12).unwrap();
        let order = Order::new(geometry, 0, vec![223; 4]);
        let mut survey = Survey::default();
        for (copy, block) in order.walk() {
            for (position, slot) in geometry.slots(copy, 223).enumerate() {
                let mut frame = Frame {
                    kind: Kind::Data,
                    slot,
                    k: 223,
                    block,
                    archive: [7; 16],
                };
                // Frames with one bit flipped: other blocks, and other slots of this one.
                match position {
                    20 | 90 => frame.block ^= 1,
                    70 | 150 => frame.slot ^= 1,
                    100 => frame.slot ^= 128,
                    // In one way in several sectors.
                    31 | 62 | 110 | 130 => frame.slot ^= 2,
                    _ => {}
                }
                let offset = order.offset(copy, block) + position as u64 * 4096;
                survey.add(&geometry, offset, frame);
            }
        }
        assert!(survey.pieces.len() > 8);
        let segments = Segments::new(&order, &survey.pieces);
        assert!(segments.is_canonical(), "{segments:?}");
    }

    #[test]
    fn a_short_segment_ends_where_a_longer_one_goes_on() {
        let s = segments(&[(0, 1000, 0), (100, 120, 7)]);
        assert_eq!(s.find(110, 130), [(110, 120, 7), (110, 130, 0)]);
        assert_eq!(s.find(150, 200), [(150, 200, 0)]);
        // Behind all segments there is a gap again.
        assert_eq!(s.find(1000, 1100), [(1000, 1100, 0)]);
    }

    #[test]
    fn misread_frames_move_nothing() {
        let mut rotten = segments(&[(0, 1000, 0), (200, 5000, -40), (1000, 9000, 0)]);
        assert!(rotten.has_moved() && !rotten.is_canonical());
        rotten.list[0].hits = 1000;
        assert!(!rotten.has_moved());
        rotten.list[1].hits = LONG as u32;
        assert!(rotten.has_moved());
        assert!(segments(&[(0, 100, 0), (100, 200, -1)]).has_moved());
        assert!(!segments(&[(0, 100, 0), (150, 200, 0)]).has_moved());
    }

    #[test]
    fn gaps_belong_to_both_neighbours() {
        let s = segments(&[(0, 100, 0), (200, 300, -5)]);
        assert_eq!(s.find(10, 20), [(10, 20, 0)]);
        assert_eq!(s.find(120, 150), [(120, 150, -5), (120, 150, 0)]);
        assert_eq!(s.find(90, 210), [(100, 210, -5), (90, 200, 0)]);
        assert_eq!(s.find(400, 500), [(400, 500, -5)]);
    }

    #[test]
    fn overlapping_segments_are_all_found() {
        let s = segments(&[(0, 1000, 7), (10, 20, 1), (30, 40, 2)]);
        let found = s.find(15, 35);
        assert!(found.contains(&(15, 35, 7)));
        assert!(found.contains(&(15, 20, 1)) || found.iter().any(|f| f.2 == 1));
        assert!(found.iter().any(|f| f.2 == 2));
    }
}
