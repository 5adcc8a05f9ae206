//! Rebuilds an encoded block from whatever is left of its copies.
//!
//! Candidates are gathered row by row ([`candidates`](super::candidates)); the proof that the caller brings, a
//! hash or an authentication, decides for the block as a whole.

use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use super::candidates::{
    CANDIDATES, Candidate, Word, Workshop, alone, expensive, ordinary, push, runs, word,
};
use super::rows::{Code, ROW, rows};

/// Most combinations of candidates tried for a block.
const COMBINATIONS: usize = 1024;
/// Rows of one block for which the expensive attempts are made.
const DEEP_ROWS: usize = 64;

/// Work that one container may cost beyond the ordinary, in row decodings.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

impl Budget {
    /// For a file of this size: some seconds, and a little more than reading it takes.
    pub(crate) fn new(size: u64) -> Self {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Budget(AtomicI64::new((1 << 20) + size / 32))
    }

    pub(crate) fn take(&self, decodings: usize) -> bool {
        let cost = i64::try_from(decodings).unwrap_or(i64::MAX);
        self.0.fetch_sub(cost, Ordering::Relaxed) >= cost
    }
}

/// One copy of an encoded block as it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// As many bytes as the encoded block has; those that the file lacks are zero.
    pub(crate) bytes: Vec<u8>,
    /// The part that the file has.
    pub(crate) present: Range<usize>,
    /// How far from its place it stands.
    pub(crate) shift: i64,
}

impl Stored {
    fn whole(&self) -> bool {
        self.present == (0..self.bytes.len())
    }
}

/// What became of a block.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The proof holds.
    Proven(Vec<u8>),
    /// Every row is a row of the code, the proof is missing.
    Unproven(Vec<u8>),
    /// Nothing that the copies hold gives a block.
    Lost,
}

/// Rebuilds the block from its copies. `prove` says whether an encoded block is the right one.
pub(crate) fn heal(
    code: &Code,
    sources: &[Stored],
    budget: &Budget,
    prove: &mut dyn FnMut(&[u8]) -> bool,
) -> Outcome {
    let mut unproven: Option<Vec<u8>> = None;
    for source in sources.iter().filter(|s| s.whole()) {
        if prove(&source.bytes) {
            return Outcome::Proven(source.bytes.clone());
        }
    }
    for source in sources.iter().filter(|s| s.whole()) {
        let mut encoded = source.bytes.clone();
        if code.correct(&mut encoded) {
            if prove(&encoded) {
                return Outcome::Proven(encoded);
            }
            if encoded == source.bytes && encoded.iter().any(|&b| b != 0) {
                unproven.get_or_insert(encoded);
            }
        }
    }
    match combine(code, sources, budget, prove) {
        Outcome::Proven(encoded) => Outcome::Proven(encoded),
        other => match unproven {
            Some(encoded) => Outcome::Unproven(encoded),
            None => other,
        },
    }
}

/// Gathers candidates for every row, and tries their combinations.
fn combine(
    code: &Code,
    sources: &[Stored],
    budget: &Budget,
    prove: &mut dyn FnMut(&[u8]) -> bool,
) -> Outcome {
    let Some(len) = sources.iter().map(|s| s.bytes.len()).max() else {
        return Outcome::Lost;
    };
    let mut shop = Workshop {
        code,
        decoder: code.decoder(),
        budget,
    };
    let wiped: Vec<Vec<Range<usize>>> = sources.iter().map(|s| runs(&s.bytes)).collect();
    let words = |row: &Range<usize>| -> Vec<Word<'_>> {
        sources
            .iter()
            .zip(&wiped)
            .filter_map(|(source, wiped)| word(source, wiped, row))
            .collect()
    };
    let mut all: Vec<Vec<Candidate>> = Vec::with_capacity(len.div_ceil(ROW));
    let mut deep = 0;
    for row in rows(len) {
        let words = words(&row);
        let mut candidates = ordinary(&mut shop, &words);
        if candidates.is_empty() && deep < DEEP_ROWS {
            deep += 1;
            candidates = expensive(&mut shop, &words);
        }
        if candidates.is_empty() {
            return Outcome::Lost;
        }
        all.push(candidates);
    }
    if let Some(encoded) = explore(&all, budget, prove) {
        return Outcome::Proven(encoded);
    }
    // A row of the code may be that of another place, and the other copy's only needs correction.
    let mut more = false;
    for (i, row) in rows(len).enumerate() {
        let words = words(&row);
        let doubted = words.iter().any(|word| !word.holds(&all[i][0].bytes));
        if all[i][0].spare < i32::MAX || !doubted || !budget.take(words.len()) {
            continue;
        }
        let before = all[i].len();
        words
            .iter()
            .for_each(|word| alone(&mut shop, word, &mut all[i]));
        more |= all[i].len() > before;
    }
    if more && let Some(encoded) = explore(&all, budget, prove) {
        return Outcome::Proven(encoded);
    }
    // The rows that are right by the narrowest margin may be wrong.
    let mut doubtful: Vec<usize> = (0..all.len())
        .filter(|&i| all[i][0].spare < 2 && all[i].len() < CANDIDATES)
        .collect();
    doubtful.sort_by_key(|&i| all[i][0].spare);
    doubtful.truncate(DEEP_ROWS.saturating_sub(deep));
    let first: Vec<u8> = all
        .iter()
        .flat_map(|c| c[0].bytes.iter().copied())
        .collect();
    if !doubtful.is_empty() {
        for (i, row) in rows(len).enumerate().filter(|(i, _)| doubtful.contains(i)) {
            for candidate in expensive(&mut shop, &words(&row)) {
                push(&mut all[i], candidate);
            }
            all[i].sort_by_key(|c| std::cmp::Reverse(c.spare));
        }
        if let Some(encoded) = explore(&all, budget, prove) {
            return Outcome::Proven(encoded);
        }
    }
    if first.iter().all(|&b| b == 0) {
        return Outcome::Lost;
    }
    Outcome::Unproven(first)
}

/// Tries combinations, those with the fewest second choices first.
fn explore(
    all: &[Vec<Candidate>],
    budget: &Budget,
    prove: &mut dyn FnMut(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut block: Vec<u8> = all
        .iter()
        .flat_map(|c| c[0].bytes.iter().copied())
        .collect();
    if prove(&block) {
        return Some(block);
    }
    let ambiguous: Vec<usize> = (0..all.len()).filter(|&i| all[i].len() > 1).collect();
    let most: usize = ambiguous.iter().map(|&i| all[i].len() - 1).sum();
    let mut left = COMBINATIONS;
    for total in 1..=most {
        let found = choose(all, &ambiguous, total, &mut block, &mut left, budget, prove);
        if found {
            return Some(block);
        }
        if left == 0 {
            break;
        }
    }
    None
}

/// Spreads `total` steps away from the first choices over the ambiguous rows.
fn choose(
    all: &[Vec<Candidate>],
    ambiguous: &[usize],
    total: usize,
    block: &mut [u8],
    left: &mut usize,
    budget: &Budget,
    prove: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    if total == 0 {
        // Hashing a block of 4 KiB costs about as much as decoding a row.
        if *left == 0 || !budget.take(1 + block.len() / 4096) {
            *left = 0;
            return false;
        }
        *left -= 1;
        return prove(block);
    }
    let Some((&row, rest)) = ambiguous.split_first() else {
        return false;
    };
    for step in 0..=total.min(all[row].len() - 1) {
        let at = row * ROW;
        let bytes = &all[row][step].bytes;
        block[at..at + bytes.len()].copy_from_slice(bytes);
        if choose(all, rest, total - step, block, left, budget, prove) {
            return true;
        }
        if *left == 0 {
            break;
        }
    }
    let (at, bytes) = (row * ROW, &all[row][0].bytes);
    block[at..at + bytes.len()].copy_from_slice(bytes);
    false
}
