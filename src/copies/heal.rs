//! Rebuilds an encoded block from whatever is left of its copies.
//!
//! Row by row, candidates are gathered: a copy's row as it is, corrected alone, both copies merged
//! with the bytes in which they differ as erasures, a piece of one copy set into the other. A
//! source that decodes is only a candidate (an all-zero row is a row of the code): the proof that
//! the caller brings, a hash or an authentication, decides for the block as a whole.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use super::rows::{Code, ROW, rows};
use crate::rs::ClassicDecoder;

/// Bytes in a row of one value that count as wiped. Ciphertext has such runs once in 2^56 bytes.
const WIPED_RUN: usize = 8;
/// Most candidates kept for a row.
const CANDIDATES: usize = 1024;
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

/// A row as it may have been.
#[derive(Debug, Clone)]
struct Candidate {
    bytes: Vec<u8>,
    /// Parity bytes left over as a check; the more, the likelier.
    spare: i32,
}

/// A row as one source has it.
struct Word<'a> {
    bytes: &'a [u8],
    /// How far from its place it stands.
    shift: i64,
    /// Places that the file lacks.
    missing: Vec<u8>,
    /// Those, and places that look wiped.
    wiped: Vec<u8>,
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

/// The code, a decoder of single rows, and what may still be spent.
struct Workshop<'a> {
    code: &'a Code,
    decoder: ClassicDecoder<'a>,
    budget: &'a Budget,
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
        let doubted = words.iter().any(|word| word.bytes != all[i][0].bytes);
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

/// Stretches of one repeated byte.
fn runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for i in 1..=bytes.len() {
        if i == bytes.len() || bytes[i] != bytes[start] {
            if i - start >= WIPED_RUN {
                found.push(start..i);
            }
            start = i;
        }
    }
    found
}

/// The row as a source has it, or `None` if it has nothing of it.
fn word<'a>(source: &'a Stored, wiped: &[Range<usize>], row: &Range<usize>) -> Option<Word<'a>> {
    let present = &source.present;
    if present.start >= row.end || present.end <= row.start || row.end > source.bytes.len() {
        return None;
    }
    let place = |p: usize| u8::try_from(p - row.start).unwrap_or(u8::MAX);
    let missing: Vec<u8> = row
        .clone()
        .filter(|p| !present.contains(p))
        .map(place)
        .collect();
    let first = wiped.partition_point(|run| run.end <= row.start);
    let mut all: Vec<u8> = missing.clone();
    for run in wiped[first..].iter().take_while(|run| run.start < row.end) {
        let inside = run.start.max(row.start)..run.end.min(row.end);
        all.extend(inside.filter(|p| present.contains(p)).map(place));
    }
    all.sort_unstable();
    Some(Word {
        bytes: &source.bytes[row.clone()],
        shift: source.shift,
        missing,
        wiped: all,
    })
}

fn push(candidates: &mut Vec<Candidate>, candidate: Candidate) {
    if candidates.len() < CANDIDATES && !candidates.iter().any(|c| c.bytes == candidate.bytes) {
        candidates.push(candidate);
    }
}

/// Decodes, and counts the parity bytes that were left over as a check.
fn decode(shop: &mut Workshop<'_>, bytes: &[u8], erasures: &[u8]) -> Option<Candidate> {
    if erasures.len() > shop.code.nsym() {
        return None;
    }
    let mut fixed = bytes.to_vec();
    shop.decoder.decode(&mut fixed, erasures)?;
    let errors = (0..bytes.len())
        .filter(|&p| fixed[p] != bytes[p] && !erasures.iter().any(|&e| usize::from(e) == p))
        .count();
    let used = erasures.len() + 2 * errors;
    Some(Candidate {
        bytes: fixed,
        spare: i32::try_from(shop.code.nsym()).ok()? - i32::try_from(used).ok()?,
    })
}

/// The attempts that cost a few decodings.
fn ordinary(shop: &mut Workshop<'_>, words: &[Word<'_>]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut zero = None;
    for word in words.iter().filter(|w| w.missing.is_empty()) {
        if word.bytes.iter().all(|&b| b == 0) {
            zero = Some(Candidate {
                bytes: word.bytes.to_vec(),
                spare: -1,
            });
        } else if shop.code.valid(word.bytes) {
            push(
                &mut candidates,
                Candidate {
                    bytes: word.bytes.to_vec(),
                    spare: i32::MAX,
                },
            );
        }
    }
    if candidates.is_empty() {
        for (i, word) in words.iter().enumerate() {
            let wiped_only = word.wiped.len() == word.bytes.len();
            if !wiped_only {
                alone(shop, word, &mut candidates);
            }
            for other in &words[..i] {
                merged(shop, other, word, &mut candidates);
            }
        }
    }
    if !candidates.iter().any(|c| c.spare >= 2) {
        for (i, word) in words.iter().enumerate() {
            for other in &words[..i] {
                let spliced = splice(shop.code, other.bytes, word.bytes);
                // What is wiped in one copy makes a row of zeros of any other.
                if let Some(spliced) = spliced.filter(|row| row.iter().any(|&b| b != 0)) {
                    push(
                        &mut candidates,
                        Candidate {
                            bytes: spliced,
                            spare: 3,
                        },
                    );
                }
            }
        }
    }
    if !candidates.iter().any(|c| c.spare >= 2) {
        words
            .iter()
            .for_each(|word| anew(shop.code, word, &mut candidates));
    }
    candidates.sort_by_key(|c| std::cmp::Reverse(c.spare));
    if let Some(zero) = zero {
        push(&mut candidates, zero);
    }
    candidates
}

/// The data as it stands, with parity of its own: as where nothing but parity is wrong.
fn anew(code: &Code, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let data = word.bytes.len().saturating_sub(code.nsym());
    let mut bytes = Vec::with_capacity(word.bytes.len());
    let lost = word.missing.iter().any(|&p| usize::from(p) < data);
    if data > 0 && !lost && code.encode(&word.bytes[..data], &mut bytes).is_ok() {
        push(candidates, Candidate { bytes, spare: -3 });
    }
}

fn alone(shop: &mut Workshop<'_>, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
    for erasures in [&word.missing, &word.wiped] {
        if let Some(candidate) = decode(shop, word.bytes, erasures) {
            push(candidates, candidate);
        }
        if word.wiped.len() == word.missing.len() {
            break;
        }
    }
}

/// Bytes where both agree are believed, bytes where they differ are erasures; what one copy lacks
/// is taken from the other.
fn merged(shop: &mut Workshop<'_>, a: &Word<'_>, b: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let mut last = None;
    for (lost_a, lost_b) in [(&a.missing, &b.missing), (&a.wiped, &b.wiped)] {
        let (bytes, erasures) = merge(a.bytes, lost_a, b.bytes, lost_b);
        if last.as_ref() == Some(&(bytes.clone(), erasures.clone())) {
            continue;
        }
        if let Some(candidate) = decode(shop, &bytes, &erasures) {
            push(candidates, candidate);
        }
        last = Some((bytes, erasures));
    }
}

fn merge(a: &[u8], lost_a: &[u8], b: &[u8], lost_b: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = a.to_vec();
    let mut erasures = Vec::new();
    let (mut lost_a, mut lost_b) = (lost_a.iter().peekable(), lost_b.iter().peekable());
    for p in 0..a.len().min(b.len()) {
        let place = p as u8;
        let no_a = lost_a.next_if(|&&l| l == place).is_some();
        let no_b = lost_b.next_if(|&&l| l == place).is_some();
        if no_a && !no_b {
            bytes[p] = b[p];
        } else if no_a && no_b || (!no_b && a[p] != b[p]) {
            erasures.push(place);
        }
    }
    (bytes, erasures)
}

/// Sets one stretch of `b` into `a` so that the result is a row of the code.
///
/// The syndromes are linear: those of `a` must be the sum of what the changes in the stretch add,
/// so that a table of the running sums finds the stretch in one pass.
fn splice(code: &Code, a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    if code.nsym() < 4 || a.len() != b.len() || a == b {
        return None;
    }
    let want = code.syndromes(a);
    let mut sum = vec![0; code.nsym()];
    let mut starts: HashMap<Vec<u8>, usize> = HashMap::from([(sum.clone(), 0)]);
    for p in 0..a.len() {
        if a[p] == b[p] {
            continue;
        }
        code.add_syndromes(a.len(), p, a[p] ^ b[p], &mut sum);
        let from: Vec<u8> = sum.iter().zip(&want).map(|(s, w)| s ^ w).collect();
        if let Some(&start) = starts.get(&from) {
            let mut bytes = a.to_vec();
            bytes[start..=p].copy_from_slice(&b[start..=p]);
            return Some(bytes);
        }
        starts.entry(sum.clone()).or_insert(p + 1);
    }
    None
}

/// The attempts that cost hundreds or thousands of decodings, each with a guess.
fn expensive(shop: &mut Workshop<'_>, words: &[Word<'_>]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (i, a) in words.iter().enumerate() {
        for b in &words[..i] {
            mixtures(shop, a, b, &mut candidates);
            if !candidates.is_empty() && a.shift == b.shift {
                continue;
            }
            splits(shop, a, b, &mut candidates);
        }
    }
    for (i, word) in words.iter().enumerate() {
        if !candidates.is_empty() || words[..i].iter().any(|w| w.bytes == word.bytes) {
            continue;
        }
        bursts(shop, word, &mut candidates);
        if candidates.is_empty() {
            beyond(shop, word, &mut candidates);
        }
    }
    candidates.sort_by_key(|c| std::cmp::Reverse(c.spare));
    candidates
}

/// Bytes taken from either copy at random: with luck, half of the errors are gone.
fn mixtures(shop: &mut Workshop<'_>, a: &Word<'_>, b: &Word<'_>, candidates: &mut Vec<Candidate>) {
    const TRIES: usize = 4096;
    let (base, differing) = merge(a.bytes, &a.missing, b.bytes, &b.missing);
    if differing.len() <= shop.code.nsym() || differing.len() > 2 * shop.code.nsym() {
        return;
    }
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..TRIES {
        if !shop.budget.take(1) {
            return;
        }
        let mut bytes = base.clone();
        for &p in &differing {
            // Xorshift: any sequence serves, as long as it is the same every time.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random & 1 == 1 {
                bytes[usize::from(p)] = b.bytes[usize::from(p)];
            }
        }
        if let Some(candidate) = decode(shop, &bytes, &[]) {
            push(candidates, candidate);
            if candidates.len() > 2 {
                break;
            }
        }
    }
}

/// The front of one copy and the rear of the other: where bytes were cut out, they are erasures, and
/// where none are missing, some may be wrong.
fn splits(shop: &mut Workshop<'_>, a: &Word<'_>, b: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let n = a.bytes.len();
    if n != b.bytes.len() || !shop.budget.take(2 * n) {
        return;
    }
    let before = candidates.len();
    for (front, rear) in [(a, b), (b, a)] {
        let cut = usize::try_from(front.shift - rear.shift).unwrap_or(0);
        if cut > 0 && cut <= shop.code.nsym() {
            for p in 0..n - cut {
                let bytes = [&front.bytes[..p], &rear.bytes[p..]].concat();
                let erasures: Vec<u8> = (p..p + cut).map(|p| p as u8).collect();
                let unique = i32::try_from(shop.code.nsym() - cut).unwrap_or(0);
                let found = decode(shop, &bytes, &erasures);
                // Nothing but the erasures may be wrong.
                if let Some(candidate) = found.filter(|c| c.spare == unique) {
                    push(candidates, candidate);
                }
            }
        }
        for p in 1..n {
            let bytes = [&front.bytes[..p], &rear.bytes[p..]].concat();
            if let Some(candidate) = decode(shop, &bytes, &[]).filter(|c| c.spare >= 2) {
                push(candidates, candidate);
                if candidates.len() - before >= 8 {
                    return;
                }
            }
        }
    }
}

/// One stretch of wrong bytes, wherever it lies: nearly twice as long as what decodes without
/// guessing.
fn bursts(shop: &mut Workshop<'_>, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let Some(width) = (shop.code.nsym() - word.missing.len().min(shop.code.nsym())).checked_sub(2)
    else {
        return;
    };
    let n = word.bytes.len();
    if width == 0 || n <= width || !shop.budget.take(n) {
        return;
    }
    for start in 0..=n - width {
        let mut erasures = word.missing.clone();
        erasures.extend((start..start + width).map(|p| p as u8));
        erasures.sort_unstable();
        erasures.dedup();
        // Both parity bytes that are left must agree: with one more error nearly every guess would do.
        if let Some(candidate) = decode(shop, word.bytes, &erasures).filter(|c| c.spare >= 2) {
            push(candidates, candidate);
        }
    }
}

/// One error more than half the distance: some of the wrong places are guessed as erasures. Many
/// guesses give the right row, a few give others; the proof will tell.
fn beyond(shop: &mut Workshop<'_>, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let n = word.bytes.len();
    let room = shop.code.nsym() - word.missing.len().min(shop.code.nsym());
    if room < 2 {
        return;
    }
    let budget = shop.budget;
    let mut attempt = |guess: &[u8], candidates: &mut Vec<Candidate>| {
        let mut erasures = word.missing.clone();
        erasures.extend_from_slice(guess);
        erasures.sort_unstable();
        erasures.dedup();
        if let Some(mut candidate) = decode(shop, word.bytes, &erasures) {
            candidate.spare = -2;
            push(candidates, candidate);
        }
    };
    if room % 2 == 1 {
        if budget.take(n) {
            for p in 0..n {
                attempt(&[p as u8], candidates);
            }
        }
    } else if room >= 12 && budget.take(n * n / 2) {
        // With less parity, wrong guesses that decode would be too many.
        for p in 0..n {
            for q in p + 1..n {
                attempt(&[p as u8, q as u8], candidates);
            }
        }
    }
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
