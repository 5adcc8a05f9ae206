//! Rows of a block that lie together, wherever bytes that were cut out or pushed in have moved them.
//!
//! Where several bytes are missing or too many inside of one block, each stretch of it between two breaks has a
//! shift of its own. A stretch is found by its rows: rows of the code that follow each other.

use std::ops::Range;

use super::heal::Stored;
use super::rows::{Code, ROW};

/// Most strands that are used of one unit.
const MOST: usize = 64;

/// Rows of the code that follow each other in a piece of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strand {
    /// Where the first begins in the piece.
    start: usize,
    /// How many there are.
    rows: usize,
}

impl Strand {
    fn span(&self) -> Range<usize> {
        self.start..self.start + self.rows * ROW
    }
}

/// The strands in a piece of the file, in its order, none of which overlap.
pub(crate) fn find(code: &Code, piece: &[u8]) -> Vec<Strand> {
    let mut found: Vec<Strand> = Vec::new();
    let Some(first) = piece.get(..ROW) else {
        return found;
    };
    // The first syndrome is the sum of all bytes, which rolls along.
    let mut sum = first.iter().fold(0, |sum, byte| sum ^ byte);
    // What a row at each place modulo the length of a row continues.
    let mut open = [None; ROW];
    for at in 0..=piece.len() - ROW {
        if sum == 0 {
            let row = &piece[at..at + ROW];
            if row.iter().any(|&b| b != 0) && code.valid(row) {
                let continued: Option<usize> = open[at % ROW];
                match continued.filter(|&i| found[i].span().end == at) {
                    Some(i) => found[i].rows += 1,
                    None => {
                        open[at % ROW] = Some(found.len());
                        found.push(Strand { start: at, rows: 1 });
                    }
                }
            }
        }
        sum ^= piece[at] ^ piece.get(at + ROW).copied().unwrap_or(0);
    }
    // The code is cyclic: a row that is shifted by one byte is one once in 256 times. With little parity, any bytes
    // may be a row.
    let least = if code.nsym() < 4 { 2 } else { 1 };
    found.retain(|strand| strand.rows >= least);
    found.sort_by_key(|strand| (std::cmp::Reverse(strand.rows), strand.start));
    let mut kept: Vec<Strand> = Vec::new();
    for strand in found {
        let span = strand.span();
        let apart = |k: &Strand| k.span().end <= span.start || span.end <= k.span().start;
        if kept.len() < MOST && kept.iter().all(apart) {
            kept.push(strand);
        }
    }
    kept.sort_by_key(|strand| strand.start);
    kept
}

/// Where the last row of a block of `len` bytes, shorter than the others, begins in the piece. Bytes are only looked
/// for where the block would begin in the piece.
pub(crate) fn last_row(code: &Code, piece: &[u8], len: usize) -> Option<usize> {
    let short = len % ROW;
    let before = len - short;
    if short <= code.nsym() {
        return None;
    }
    let legal = before..(piece.len() + 1).saturating_sub(short);
    let mut starts = legal.filter(|&at| {
        let row = &piece[at..at + short];
        row.iter().fold(0, |sum, byte| sum ^ byte) == 0
            && row.iter().any(|&b| b != 0)
            && code.valid(row)
    });
    starts.next().map(|at| at - before)
}

/// The strands as sources of a block of `len` bytes, if its first byte would stand at `nominal` in the piece (which
/// may lie before it) but for small shifts that add up, from the front or from the rear. Each has a row more at
/// either end, where the break is.
pub(crate) fn sources(
    piece: &[u8],
    strands: &[Strand],
    len: usize,
    nominal: i64,
    from_rear: bool,
) -> Vec<Stored> {
    let row = ROW as i64;
    let rows = len.div_ceil(ROW) as i64;
    let mut nominal = nominal;
    let mut found = Vec::new();
    let mut place = |strand: &Strand| {
        let start = strand.start as i64 - nominal;
        let first = (start + row / 2).div_euclid(row);
        let last = first + strand.rows as i64;
        if first < 0 || last > rows {
            return;
        }
        let shift = start - first * row;
        nominal += shift;
        let wanted = ((first - 1).max(0) * row)..((last + 1) * row).min(len as i64);
        let from = (wanted.start + nominal).max(0);
        let to = (wanted.end + nominal).min(piece.len() as i64);
        let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else {
            return;
        };
        let Ok(at) = usize::try_from(from as i64 - nominal) else {
            return;
        };
        let mut bytes = vec![0; len];
        bytes[at..at + (to - from)].copy_from_slice(&piece[from..to]);
        found.push(Stored {
            bytes,
            present: at..at + (to - from),
            shift: nominal,
        });
    };
    if from_rear {
        strands.iter().rev().for_each(&mut place);
    } else {
        strands.iter().for_each(&mut place);
    }
    found
}
