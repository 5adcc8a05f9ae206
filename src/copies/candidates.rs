//! What a row of a block may have been, by all that is left of its copies.
//!
//! A copy's row as it is, corrected alone, both copies merged with the bytes in which they differ as
//! erasures, a piece of one copy set into the other. A source that decodes is only a candidate: an
//! all-zero row is a row of the code.

use std::collections::HashMap;
use std::ops::Range;

use super::heal::{Budget, Stored};
use super::rows::Code;
use crate::rs::ClassicDecoder;

/// Bytes in a row of one value that count as wiped. Ciphertext has such runs once in 2^56 bytes.
const WIPED_RUN: usize = 8;
/// Most candidates kept for a row.
pub(super) const CANDIDATES: usize = 1024;

/// A row as it may have been.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) bytes: Vec<u8>,
    /// Parity bytes left over as a check; the more, the likelier.
    pub(super) spare: i32,
}

/// A row as one source has it.
pub(super) struct Word<'a> {
    bytes: &'a [u8],
    /// How far from its place it stands.
    shift: i64,
    /// Places that the file lacks.
    missing: Vec<u8>,
    /// Those, and places that look wiped.
    wiped: Vec<u8>,
}

impl Word<'_> {
    /// Whether these bytes stand there.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }
}

/// The code, a decoder of single rows, and what may still be spent.
pub(super) struct Workshop<'a> {
    pub(super) code: &'a Code,
    pub(super) decoder: ClassicDecoder<'a>,
    pub(super) budget: &'a Budget,
}

/// Stretches of one repeated byte.
pub(super) fn runs(bytes: &[u8]) -> Vec<Range<usize>> {
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
pub(super) fn word<'a>(
    source: &'a Stored,
    wiped: &[Range<usize>],
    row: &Range<usize>,
) -> Option<Word<'a>> {
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

/// The attempts that cost a few decodings.
pub(super) fn ordinary(shop: &mut Workshop<'_>, words: &[Word<'_>]) -> Vec<Candidate> {
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

/// The attempts that cost hundreds or thousands of decodings, each with a guess.
pub(super) fn expensive(shop: &mut Workshop<'_>, words: &[Word<'_>]) -> Vec<Candidate> {
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

pub(super) fn push(candidates: &mut Vec<Candidate>, candidate: Candidate) {
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

/// The data as it stands, with parity of its own: as where nothing but parity is wrong.
fn anew(code: &Code, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
    let data = word.bytes.len().saturating_sub(code.nsym());
    let mut bytes = Vec::with_capacity(word.bytes.len());
    let lost = word.missing.iter().any(|&p| usize::from(p) < data);
    if data > 0 && !lost && code.encode(&word.bytes[..data], &mut bytes).is_ok() {
        push(candidates, Candidate { bytes, spare: -3 });
    }
}

/// What one copy of a row is, corrected by itself.
pub(super) fn alone(shop: &mut Workshop<'_>, word: &Word<'_>, candidates: &mut Vec<Candidate>) {
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
