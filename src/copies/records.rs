//! Small records that are stored twice, with a checksum and without parity.
//!
//! Two damaged copies differ in few places; the right combination proves itself by the checksum.

/// Most places that are tried in all combinations.
const PLACES: usize = 16;
/// Equal bytes between two differing ones that still count as one stretch.
const GAP: usize = 8;

/// Finds the record of which `copies` are damaged copies of one length.
///
/// `right` says whether a record is the one; it is called at most `tries` times.
pub(crate) fn recover(
    copies: &[&[u8]],
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
    for (i, a) in copies.iter().enumerate() {
        for b in copies[..i].iter().filter(|b| b.len() == a.len()) {
            if let Some(found) = combine(a, b, &mut attempt) {
                return Some(found);
            }
        }
    }
    for copy in copies {
        if let Some(found) = flip(copy, &mut attempt) {
            return Some(found);
        }
    }
    None
}

/// Tries to take each differing stretch, then byte, then bit, from either of two copies.
fn combine(a: &[u8], b: &[u8], attempt: &mut impl FnMut(&[u8]) -> Option<bool>) -> Option<Vec<u8>> {
    let differing: Vec<usize> = (0..a.len()).filter(|&p| a[p] != b[p]).collect();
    let (first, last) = (*differing.first()?, *differing.last()?);
    // A wiped area in one copy: take the other's bytes there, and see what still differs.
    let mut base = a.to_vec();
    for (p, byte) in base.iter_mut().enumerate() {
        if wiped(a, p) && !wiped(b, p) {
            *byte = b[p];
        }
    }
    let mut other = b.to_vec();
    for (p, byte) in other.iter_mut().enumerate() {
        if wiped(b, p) && !wiped(a, p) {
            *byte = a[p];
        }
    }
    for record in [&base, &other] {
        if attempt(record)? {
            return Some(record.clone());
        }
    }
    for (a, b) in [(base.as_slice(), other.as_slice()), (a, b)] {
        let differing: Vec<usize> = (first..=last).filter(|&p| a[p] != b[p]).collect();
        let mut stretches: Vec<(usize, usize)> = Vec::new();
        for &p in &differing {
            match stretches.last_mut() {
                Some((_, end)) if p <= *end + GAP => *end = p + 1,
                _ => stretches.push((p, p + 1)),
            }
        }
        let bytes: Vec<(usize, usize)> = differing.iter().map(|&p| (p, p + 1)).collect();
        for pieces in [&stretches, &bytes] {
            if pieces.len() > PLACES {
                continue;
            }
            for choice in 1..1_u32 << pieces.len() {
                let mut record = a.to_vec();
                for (bit, &(start, end)) in pieces.iter().enumerate() {
                    if choice >> bit & 1 == 1 {
                        record[start..end].copy_from_slice(&b[start..end]);
                    }
                }
                if attempt(&record)? {
                    return Some(record);
                }
            }
        }
        let bits: Vec<(usize, u8)> = differing
            .iter()
            .flat_map(|&p| (0..8).map(move |bit| (p, 1 << bit)))
            .filter(|&(p, mask)| (a[p] ^ b[p]) & mask != 0)
            .collect();
        if bits.len() > bytes.len() && bits.len() <= PLACES {
            for choice in 1..1_u32 << bits.len() {
                let mut record = a.to_vec();
                for (i, &(p, mask)) in bits.iter().enumerate() {
                    if choice >> i & 1 == 1 {
                        record[p] ^= mask;
                    }
                }
                if attempt(&record)? {
                    return Some(record);
                }
            }
        }
    }
    None
}

/// Whether the byte at `p` stands in a run of eight equal bytes.
fn wiped(bytes: &[u8], p: usize) -> bool {
    let equal = |q: &usize| bytes[*q] == bytes[p];
    let after = (p..bytes.len()).take_while(equal).take(8).count();
    let before = (0..p).rev().take_while(equal).take(8).count();
    before + after >= 8
}

/// Tries every single bit, every single byte, and every pair of bits.
fn flip(copy: &[u8], attempt: &mut impl FnMut(&[u8]) -> Option<bool>) -> Option<Vec<u8>> {
    let mut record = copy.to_vec();
    let bits = copy.len() * 8;
    for bit in 0..bits {
        record[bit / 8] ^= 1 << (bit % 8);
        if attempt(&record)? {
            return Some(record);
        }
        record[bit / 8] ^= 1 << (bit % 8);
    }
    for p in 0..copy.len() {
        for value in 1..=255 {
            record[p] = copy[p] ^ value;
            if attempt(&record)? {
                return Some(record);
            }
        }
        record[p] = copy[p];
    }
    for one in 0..bits {
        record[one / 8] ^= 1 << (one % 8);
        for two in one + 1..bits {
            record[two / 8] ^= 1 << (two % 8);
            if attempt(&record)? {
                return Some(record);
            }
            record[two / 8] ^= 1 << (two % 8);
        }
        record[one / 8] ^= 1 << (one % 8);
    }
    None
}
