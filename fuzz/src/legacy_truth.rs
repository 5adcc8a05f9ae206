//! Containers of versions 1 and 2, the damage done to them, and what must be had back: counted from
//! the plan of the damage and `spec/dbs-v1.md` and `spec/dbs-v2.md`, with nothing of the library.

use std::collections::HashMap;
use std::ops::Range;

use crate::legacy::Base;

/// A byte of a damaged file comes from this byte of the file that was, or from nowhere.
const NOWHERE: u32 = u32::MAX;

/// A damaged file.
pub struct Damaged {
    pub bytes: Vec<u8>,
    origin: Vec<u32>,
    /// Whether parts of the file stand in other places than before, or twice.
    pub moved: bool,
}

impl Damaged {
    pub fn new(base: &Base) -> Self {
        Damaged {
            bytes: base.bytes.clone(),
            origin: (0..base.bytes.len() as u32).collect(),
            moved: false,
        }
    }

    pub fn range(&self, at: usize, len: usize) -> Range<usize> {
        let at = at.min(self.bytes.len());
        at..(at + len).min(self.bytes.len())
    }

    pub fn cut(&mut self, range: Range<usize>) {
        self.bytes.drain(range.clone());
        self.origin.drain(range);
    }

    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        let at = at.min(self.bytes.len());
        self.bytes.splice(at..at, bytes.iter().copied());
        self.origin.splice(at..at, bytes.iter().map(|_| NOWHERE));
    }
}

/// What must become of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// It must be had.
    Whole,
    /// It cannot be had, and must be refused.
    Hopeless,
    Open,
}

/// What must become of a file.
#[derive(Debug)]
pub struct Left {
    pub blocks: Vec<Promise>,
    /// Whether header and manifest, or trailer, can be had without guessing.
    pub metadata: bool,
}

impl Left {
    pub fn must_heal(&self) -> bool {
        self.metadata && self.blocks.iter().all(|block| *block == Promise::Whole)
    }
}

/// Where the bytes of a range are, if they are all there and nothing is between them.
fn find(places: &HashMap<u32, usize>, damaged: &Damaged, range: &Range<usize>) -> Option<usize> {
    let start = *places.get(&(range.start as u32))?;
    let found = damaged.origin.get(start..start + range.len())?;
    let whole = found.iter().zip(range.clone()).all(|(o, p)| *o == p as u32);
    whole.then_some(start)
}

pub fn judge(base: &Base, damaged: &Damaged) -> Left {
    let places: HashMap<u32, usize> = damaged
        .origin
        .iter()
        .enumerate()
        .filter(|(_, origin)| **origin != NOWHERE)
        .map(|(at, origin)| (*origin, at))
        .collect();
    let intact = |range: &Range<usize>| {
        find(&places, damaged, range)
            .is_some_and(|at| damaged.bytes[at..at + range.len()] == base.bytes[range.clone()])
    };
    let count = |ranges: &[Range<usize>; 2]| ranges.iter().filter(|range| intact(range)).count();
    let (headers, metadata) = (count(&base.headers), count(&base.metadata));
    let metadata = match base.version {
        // Without a header, another manifest that can be parsed may be taken for the right one.
        1 => (headers > 0 && metadata > 0) || metadata == 2,
        _ => headers > 0 && metadata > 0,
    };
    let still = damaged.origin.len() == base.bytes.len()
        && damaged
            .origin
            .iter()
            .enumerate()
            .all(|(at, o)| *o == at as u32);
    let blocks = base.copies[0].len();
    if damaged.moved {
        return Left {
            blocks: vec![Promise::Open; blocks],
            metadata,
        };
    }
    let tag = if base.version == 1 { 0 } else { 16 };
    let stored = |unit: &Range<usize>| unit.start..unit.end + tag;

    // Stretches of the file that stand at one distance from their places.
    let mut shifts: Vec<i64> = Vec::new();
    for (at, origin) in damaged.origin.iter().enumerate() {
        let shift = at as i64 - i64::from(*origin);
        if *origin != NOWHERE && shifts.last() != Some(&shift) {
            shifts.push(shift);
        }
    }
    // The further of two copies must not be taken for the nearer.
    let apart = (0..blocks)
        .map(|i| base.copies[1][i].start - base.copies[0][i].start)
        .min()
        .unwrap_or(0) as u64;
    let drift: u64 = shifts
        .iter()
        .zip(shifts.iter().skip(1))
        .map(|(a, b)| a.abs_diff(*b))
        .sum::<u64>()
        + shifts.first().map_or(0, |first| first.unsigned_abs());
    let near = 2 * drift < apart;
    let excess = damaged.bytes.len() as i64 - base.bytes.len() as i64;
    let simple = shifts.iter().all(|shift| *shift == 0 || *shift == excess);

    let mut promises = Vec::new();
    let mut guesses = false;
    for block in 0..blocks {
        let units = [&base.copies[0][block], &base.copies[1][block]];
        let promise = if still {
            in_place(base, damaged, units, block, &mut guesses)
        } else {
            let whole = near && units.iter().any(|unit| intact(&stored(unit)));
            let corrected = near
                && simple
                && units.iter().any(|unit| {
                    find(&places, damaged, &stored(unit)).is_some_and(|at| {
                        let found = &damaged.bytes[at..at + unit.len()];
                        let rows = found
                            .chunks(255)
                            .zip(base.bytes[(*unit).clone()].chunks(255));
                        rows.into_iter()
                            .all(|(a, b)| 2 * differing(a, b) <= base.nsym)
                    })
                });
            match whole || corrected {
                true => Promise::Whole,
                false => Promise::Open,
            }
        };
        promises.push(promise);
    }
    // What hopeless blocks cost is missing where others have to be guessed.
    if guesses && promises.iter().any(|promise| *promise != Promise::Whole) {
        promises.iter_mut().for_each(|promise| {
            if *promise == Promise::Whole {
                *promise = Promise::Open;
            }
        });
    }
    Left {
        blocks: promises,
        metadata,
    }
}

fn differing(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// A block of a file in which nothing was moved (version 1, section 13).
fn in_place(
    base: &Base,
    damaged: &Damaged,
    [a, b]: [&Range<usize>; 2],
    block: usize,
    guesses: &mut bool,
) -> Promise {
    let rows = |bytes: &[u8], unit: &Range<usize>| -> Vec<Vec<u8>> {
        bytes[unit.clone()]
            .chunks(255)
            .map(<[u8]>::to_vec)
            .collect()
    };
    let truth = rows(&base.bytes, a);
    let (a, b) = (rows(&damaged.bytes, a), rows(&damaged.bytes, b));
    let nsym = base.nsym;
    let alone = |copy: &[Vec<u8>]| {
        copy.iter()
            .zip(&truth)
            .all(|(row, right)| 2 * differing(row, right) <= nsym)
    };
    if alone(&a) || alone(&b) {
        return Promise::Whole;
    }
    let last = block + 1 == base.copies[0].len();
    let mut promise = Promise::Whole;
    let (mut ambiguous, mut shadows) = (0, 0);
    for (i, right) in truth.iter().enumerate() {
        let (mut alike, mut unlike, mut have) = (0, 0, 0);
        for ((x, y), r) in a[i].iter().zip(&b[i]).zip(right) {
            unlike += usize::from(x != y);
            alike += usize::from(x == y && x != r);
            have += usize::from(x == r || y == r);
        }
        // Of version 2, the descriptor and the fill behind the last ciphertext are known.
        let known = match (base.version, i) {
            (1, _) => 0,
            _ if last => right.len(),
            (_, 0) => 16,
            _ => 0,
        };
        if have + known < right.len() - nsym.min(right.len()) {
            return Promise::Hopeless;
        }
        let intact = [&a[i], &b[i]].map(|row| row == right);
        if intact == [true, true] {
            continue;
        }
        // Zeros are a row of the code, and so may be what was copied over.
        let doubt = [&a[i], &b[i]]
            .into_iter()
            .any(|row| row != right && (row.iter().all(|byte| *byte == 0) || valid(row, nsym)));
        if intact == [false, false] {
            let one = [&a[i], &b[i]].map(|row| 2 * differing(row, right) <= nsym);
            if one == [false, false] && unlike + 2 * alike > nsym {
                promise = Promise::Open;
            }
            ambiguous += 1;
        } else if doubt {
            shadows += 1;
        }
    }
    if ambiguous > 3 || ambiguous > 0 && shadows > 0 || shadows > 0 && nsym < 4 {
        return Promise::Open;
    }
    *guesses |= ambiguous > 0;
    promise
}

/// Whether these bytes are a row of the code: all syndromes vanish.
pub fn valid(row: &[u8], nsym: usize) -> bool {
    let mut root = 1;
    (0..nsym).all(|_| {
        let sum = row
            .iter()
            .fold(0, |sum, byte| crate::forge::gf_mul(sum, root) ^ byte);
        root = crate::forge::gf_mul(root, 2);
        sum == 0
    })
}
