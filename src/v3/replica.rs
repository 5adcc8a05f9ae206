//! Where the sectors of a block may lie: in which file, at which offset.

use std::sync::Arc;

use super::geometry::Copy;
use super::order::Order;
use super::scan::{Piece, Survey};
use super::segments::Segments;
use crate::source::Source;

/// One file that holds sectors of the archive.
#[derive(Clone)]
pub struct Replica {
    /// Where its bytes come from.
    pub source: Arc<dyn Source>,
    /// Where in it the canonical order lies.
    pub segments: Arc<Segments>,
    /// The pieces that a scan found, by their blocks.
    pieces: Arc<Vec<Piece>>,
}

impl Replica {
    /// A file of which nothing else is known: everything lies where the canonical order says.
    pub fn canonical(source: Arc<dyn Source>) -> Self {
        Replica {
            source,
            segments: Arc::new(Segments::whole(0)),
            pieces: Arc::default(),
        }
    }

    /// Takes over what a scan found.
    pub fn place(&mut self, order: &Order, survey: Survey) {
        let mut pieces = survey.pieces;
        self.segments = Arc::new(Segments::new(order, &pieces));
        pieces.sort_by_key(|piece| piece.block);
        self.pieces = Arc::new(pieces);
    }

    /// The pieces of one block.
    fn pieces(&self, block: u64) -> &[Piece] {
        let from = self.pieces.partition_point(|piece| piece.block < block);
        let to = self.pieces.partition_point(|piece| piece.block <= block);
        &self.pieces[from..to]
    }
}

/// A range of sectors of one block copy to look at.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The replica.
    pub replica: usize,
    /// Offset in its source.
    pub offset: u64,
    /// The copy that the order expects there.
    pub copy: Copy,
    /// Position in the copy of the first sector.
    pub position: usize,
    /// Number of sectors.
    pub count: usize,
    /// Whether this is where a canonical file has them.
    pub canonical: bool,
}

/// Where the sectors of a block may lie, by the canonical order.
pub fn regions(replicas: &[Replica], order: &Order, block: u64) -> Vec<Region> {
    let geometry = order.geometry();
    let shift_bits = geometry.sector_shift();
    let mut regions = Vec::new();
    for (replica, Replica { segments, .. }) in replicas.iter().enumerate() {
        for &copy in geometry.copies() {
            let start = order.offset(copy, block);
            let count = geometry.sectors(copy, order.k(block)) as u64;
            for (from, to, shift) in segments.find(start, start + (count << shift_bits)) {
                // Ranges that do not begin on a sector begin with the next one.
                let position = (from - start).div_ceil(1 << shift_bits);
                // What would lie before the first byte of the source was cut off.
                let cut_off = (-(i128::from(start) + i128::from(shift))).max(0) as u64;
                let position = position.max(cut_off.div_ceil(1 << shift_bits));
                let end = (to - start) >> shift_bits;
                let at = start
                    .wrapping_add(position << shift_bits)
                    .wrapping_add_signed(shift);
                if position < end && at < i64::MAX as u64 {
                    regions.push(Region {
                        replica,
                        offset: at,
                        copy,
                        position: position as usize,
                        count: (end - position) as usize,
                        canonical: shift == 0,
                    });
                }
            }
        }
    }
    regions
}

/// All places where a scan saw a sector of a block, and those where the canonical order has them:
/// for blocks that are lost otherwise.
pub fn all_regions(replicas: &[Replica], order: &Order, block: u64) -> Vec<Region> {
    let geometry = order.geometry();
    let k = order.k(block);
    let mut all = regions(replicas, order, block);
    for (replica, own) in replicas.iter().enumerate() {
        for &copy in geometry.copies() {
            all.push(Region {
                replica,
                offset: order.offset(copy, block),
                copy,
                position: 0,
                count: geometry.sectors(copy, k),
                canonical: true,
            });
        }
        for piece in own.pieces(block).iter().filter(|piece| piece.k == k) {
            let copy = piece.copy.unwrap_or(Copy::A);
            let (from, to) = (piece.positions.0.into(), usize::from(piece.positions.1) + 1);
            let offset = piece.base + ((from as i64) << geometry.sector_shift());
            all.push(Region {
                replica,
                offset: offset.max(0) as u64,
                copy,
                position: from,
                count: to.min(geometry.sectors(copy, k)) - from,
                canonical: false,
            });
        }
    }
    all.sort_by_key(|r| {
        (
            r.replica,
            r.copy,
            r.offset,
            r.position,
            std::cmp::Reverse(r.count),
        )
    });
    all.dedup_by(|next, first| {
        (next.replica, next.copy) == (first.replica, first.copy)
            && next.offset >= first.offset
            && next.offset - first.offset
                == ((next.position.wrapping_sub(first.position)) << geometry.sector_shift()) as u64
            && next.position + next.count <= first.position + first.count
    });
    all
}
