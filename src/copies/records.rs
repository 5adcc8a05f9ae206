//! Small records that are stored twice, with a checksum and without parity.
//!
//! Two damaged copies differ in few places; the right combination proves itself by the checksum.

use std::ops::Range;

/// Most places that are tried in all combinations.
const PLACES: usize = 16;
/// Equal bytes between two differing ones that still count as one stretch.
const GAP: usize = 8;
/// Equal bytes in a row that count as wiped.
const WIPED: usize = 8;
/// Bytes around an illegal one that are not trusted either: of overwritten text, most bytes are
/// illegal.
const NEAR: usize = 16;

/// Bytes by which two texts must agree to be in step again.
const AGAIN: usize = 12;
/// Most bytes that were cut out of one place, or pushed in.
const FURTHEST: usize = 1024;

/// Finds the record of which `copies` are damaged copies of one length.
///
/// `legal` says what bytes a record can have. `right` says whether a record is the one; it is
/// called at most `tries` times.
pub(crate) fn recover(
    copies: &[&[u8]],
    legal: fn(u8) -> bool,
    tries: usize,
    mut right: impl FnMut(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut left = tries;
    let mut attempt = |record: &[u8]| {
        if left == 0 {
            return None;
        }
        left -= 1;
        Some(right(record))
    };
    for copy in copies {
        if attempt(copy)? {
            return Some(copy.to_vec());
        }
    }
    // What is cheap is tried with every copy before anything that is dear.
    let bits: usize = copies.iter().map(|copy| copy.len() * 8).sum();
    let cheap = bits <= tries / 4;
    for copy in copies.iter().filter(|_| cheap) {
        if let Some(found) = flip_bit(copy, &mut attempt) {
            return found;
        }
    }
    for (i, a) in copies.iter().enumerate() {
        for b in copies[..i].iter().filter(|b| b.len() == a.len()) {
            if let Some(found) = combine(a, b, legal, &mut attempt) {
                return Some(found);
            }
        }
    }
    for copy in copies.iter().filter(|_| !cheap) {
        if let Some(found) = flip_bit(copy, &mut attempt) {
            return found;
        }
    }
    for copy in copies {
        if let Some(found) = change_byte(copy, &mut attempt) {
            return found;
        }
    }
    for copy in copies {
        if let Some(found) = flip_two_bits(copy, &mut attempt) {
            return found;
        }
    }
    None
}

/// Finds a record of `len` bytes of which `a` and `b` begin with damaged copies, from which bytes were cut out and into which
/// others were pushed. Where the two differ, one of them is right.
pub(crate) fn realign(
    a: &[u8],
    b: &[u8],
    len: usize,
    tries: usize,
    mut right: impl FnMut(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let hunks = hunks(a, b, len);
    if hunks.len() > PLACES {
        return None;
    }
    let mut record = Vec::with_capacity(len);
    for choice in 0..(1_usize << hunks.len()).min(tries) {
        record.clear();
        let mut at = 0;
        for (bit, (in_a, in_b)) in hunks.iter().enumerate() {
            record.extend_from_slice(&a[at..in_a.start]);
            record.extend_from_slice(match choice >> bit & 1 {
                0 => &a[in_a.clone()],
                _ => &b[in_b.clone()],
            });
            at = in_a.end;
        }
        record.extend_from_slice(&a[at..]);
        if record.len() >= len {
            record.truncate(len);
            if right(&record) {
                return Some(record);
            }
        }
    }
    None
}

/// Where two texts differ: what stands in one of them, and in the other.
fn hunks(a: &[u8], b: &[u8], len: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let mut hunks = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() && i.min(j) < len {
        if a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        let again = (1..2 * FURTHEST).find_map(|total| {
            let least = total.saturating_sub(FURTHEST);
            (least..=total.min(FURTHEST))
                .map(|x| (i + x, j + total - x))
                .find(|&(x, y)| {
                    let same = a.get(x..x + AGAIN).zip(b.get(y..y + AGAIN));
                    same.is_some_and(|(a, b)| a == b)
                })
        });
        let (x, y) = again.unwrap_or((a.len(), b.len()));
        hunks.push((i..x, j..y));
        (i, j) = (x, y);
        if hunks.len() > PLACES {
            break;
        }
    }
    // One of them may end early.
    if i.min(j) < len {
        hunks.push((i..a.len(), j..b.len()));
    }
    hunks
}

/// Takes what is not trusted in one of two copies from the other, and where they still differ tries
/// to take each stretch, byte and bit from either.
fn combine(
    a: &[u8],
    b: &[u8],
    legal: fn(u8) -> bool,
    attempt: &mut impl FnMut(&[u8]) -> Option<bool>,
) -> Option<Vec<u8>> {
    let mut before = None;
    for distrust in [NEAR, 0, usize::MAX] {
        let (no_a, no_b) = (doubtful(a, legal, distrust), doubtful(b, legal, distrust));
        let pair = (clean(a, &no_a, b, &no_b), clean(b, &no_b, a, &no_a));
        if before.as_ref() == Some(&pair) {
            continue;
        }
        if let Some(found) = choose(&pair.0, &pair.1, attempt) {
            return Some(found);
        }
        before = Some(pair);
    }
    None
}

/// The bytes that are not trusted: wiped ones, and those no further than `distance` from an illegal
/// one. All are trusted at the greatest distance.
fn doubtful(bytes: &[u8], legal: fn(u8) -> bool, distance: usize) -> Vec<bool> {
    let mut doubtful = vec![false; bytes.len()];
    if distance == usize::MAX {
        return doubtful;
    }
    let mut start = 0;
    for p in 1..=bytes.len() {
        if bytes.get(p) != Some(&bytes[start]) {
            if p - start >= WIPED {
                doubtful[start..p].fill(true);
            }
            start = p;
        }
    }
    for (p, _) in bytes.iter().enumerate().filter(|&(_, &b)| !legal(b)) {
        let end = bytes.len().min(p + distance + 1);
        doubtful[p.saturating_sub(distance)..end].fill(true);
    }
    doubtful
}

fn clean(bytes: &[u8], doubtful: &[bool], other: &[u8], other_doubtful: &[bool]) -> Vec<u8> {
    let doubts = doubtful.iter().zip(other_doubtful);
    let pairs = bytes.iter().zip(other).zip(doubts);
    pairs
        .map(|((&one, &two), (&no_one, &no_two))| if no_one && !no_two { two } else { one })
        .collect()
}

/// Tries the choices between two copies.
fn choose(a: &[u8], b: &[u8], attempt: &mut impl FnMut(&[u8]) -> Option<bool>) -> Option<Vec<u8>> {
    let mut try_one = |record: Vec<u8>| attempt(&record).map(|right| right.then_some(record));
    for copy in [a, b] {
        if let Some(found) = try_one(copy.to_vec())? {
            return Some(found);
        }
    }
    let differing: Vec<usize> = (0..a.len()).filter(|&p| a[p] != b[p]).collect();
    let bytes: Vec<Range<usize>> = differing.iter().map(|&p| p..p + 1).collect();
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for &p in &differing {
        match stretches.last_mut() {
            Some(last) if p <= last.end + GAP => last.end = p + 1,
            _ => stretches.push(p..p + 1),
        }
    }
    for pieces in [&stretches, &bytes] {
        if pieces.len() > PLACES {
            continue;
        }
        for choice in 1..1_u32 << pieces.len() {
            let mut record = a.to_vec();
            for (bit, piece) in pieces.iter().enumerate() {
                if choice >> bit & 1 == 1 {
                    record[piece.clone()].copy_from_slice(&b[piece.clone()]);
                }
            }
            if let Some(found) = try_one(record)? {
                return Some(found);
            }
        }
    }
    // The rear of one was overwritten, and the front of the other.
    for &p in differing.iter().skip(1) {
        for (front, rear) in [(a, b), (b, a)] {
            if let Some(found) = try_one([&front[..p], &rear[p..]].concat())? {
                return Some(found);
            }
        }
    }
    let bits: Vec<(usize, u8)> = differing
        .iter()
        .flat_map(|&p| (0..8).map(move |bit| (p, 1 << bit)))
        .filter(|&(p, mask)| (a[p] ^ b[p]) & mask != 0)
        .collect();
    if bits.len() > differing.len() && bits.len() <= PLACES {
        for choice in 1..1_u32 << bits.len() {
            let mut record = a.to_vec();
            for (i, &(p, mask)) in bits.iter().enumerate() {
                if choice >> i & 1 == 1 {
                    record[p] ^= mask;
                }
            }
            if let Some(found) = try_one(record)? {
                return Some(found);
            }
        }
    }
    None
}

/// Tries every single bit. `Some(None)` if no more may be tried.
fn flip_bit(
    copy: &[u8],
    attempt: &mut impl FnMut(&[u8]) -> Option<bool>,
) -> Option<Option<Vec<u8>>> {
    let mut record = copy.to_vec();
    for bit in 0..copy.len() * 8 {
        record[bit / 8] ^= 1 << (bit % 8);
        match attempt(&record) {
            None => return Some(None),
            Some(true) => return Some(Some(record)),
            Some(false) => record[bit / 8] ^= 1 << (bit % 8),
        }
    }
    None
}

/// Tries every value of every single byte.
fn change_byte(
    copy: &[u8],
    attempt: &mut impl FnMut(&[u8]) -> Option<bool>,
) -> Option<Option<Vec<u8>>> {
    let mut record = copy.to_vec();
    for p in 0..copy.len() {
        for value in 1..=255 {
            record[p] = copy[p] ^ value;
            match attempt(&record) {
                None => return Some(None),
                Some(true) => return Some(Some(record)),
                Some(false) => {}
            }
        }
        record[p] = copy[p];
    }
    None
}

/// Tries every pair of bits.
fn flip_two_bits(
    copy: &[u8],
    attempt: &mut impl FnMut(&[u8]) -> Option<bool>,
) -> Option<Option<Vec<u8>>> {
    let mut record = copy.to_vec();
    let bits = copy.len() * 8;
    for one in 0..bits {
        record[one / 8] ^= 1 << (one % 8);
        for two in one + 1..bits {
            record[two / 8] ^= 1 << (two % 8);
            match attempt(&record) {
                None => return Some(None),
                Some(true) => return Some(Some(record)),
                Some(false) => record[two / 8] ^= 1 << (two % 8),
            }
        }
        record[one / 8] ^= 1 << (one % 8);
    }
    None
}
