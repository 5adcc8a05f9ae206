use std::io::{Read, Write};

use flate2::Compression as Level;
use flate2::write::ZlibEncoder;

use super::heal::{Budget, Outcome, Stored, heal};
use super::inflate::{Chunks, Compression, Reader};
use super::records;
use super::rows::{Code, ROW, encoded_len, extract};
use super::strands;
use crate::{Error, Result};

/// Painted input: a period of 251 shows every misplacement.
fn paint(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i % 251) as u8 ^ (i / 251) as u8)
        .collect()
}

fn encoded(nsym: usize, len: usize) -> (Code, Vec<u8>) {
    let code = Code::new(nsym).unwrap();
    let mut out = Vec::new();
    code.encode(&paint(len), &mut out).unwrap();
    (code, out)
}

fn healed(code: &Code, right: &[u8], copies: &[Vec<u8>]) -> bool {
    let sources: Vec<Stored> = copies
        .iter()
        .map(|c| Stored {
            bytes: c.clone(),
            present: 0..c.len(),
            shift: 0,
        })
        .collect();
    let mut prove = |block: &[u8]| block == right;
    match heal(code, &sources, &Budget::new(0), &mut prove) {
        Outcome::Proven(block) => block == right,
        _ => false,
    }
}

#[test]
fn lengths() {
    for nsym in [1, 2, 7, 16, 128, 254] {
        for len in [1, 2, 100, 238, 239, 240, 255, 1000, 4096] {
            let (_, block) = encoded(nsym, len);
            assert_eq!(block.len(), encoded_len(len, nsym));
            let mut data = Vec::new();
            extract(&block, nsym, &mut data);
            assert_eq!(data, paint(len));
        }
    }
}

#[test]
fn full_budget_in_both_copies() {
    let (code, right) = encoded(16, 3000);
    let mut a = right.clone();
    let mut b = right.clone();
    for row in 0..right.len() / ROW {
        for e in 0..8 {
            a[row * ROW + e * 11] ^= 0x55;
            b[row * ROW + e * 13 + 100] ^= 0x77;
        }
    }
    assert!(healed(&code, &right, &[a, b]));
}

#[test]
fn wiped_areas_are_no_rows() {
    let (code, right) = encoded(16, 20_000);
    let mut a = right.clone();
    let mut b = right.clone();
    a[1000..5096].fill(0);
    b[9000..13_096].fill(0);
    assert!(healed(&code, &right, &[a.clone(), b.clone()]));
    // The two areas meet inside of a row.
    b[5096..7000].fill(0xFF);
    assert!(healed(&code, &right, &[a, b]));
}

#[test]
fn a_row_of_another_place() {
    let (code, right) = encoded(16, 3000);
    let mut a = right.clone();
    let mut b = right.clone();
    // It is a row of the code, and not the one that belongs there.
    a.copy_within(2 * ROW..3 * ROW, 0);
    b[3] ^= 1;
    b[ROW..2 * ROW].fill(0xFF);
    assert!(healed(&code, &right, &[a, b]));
}

#[test]
fn one_more_than_half_the_distance() {
    for (nsym, errors) in [(7, 4), (16, 9)] {
        let (code, right) = encoded(nsym, 1000);
        let mut copy = right.clone();
        for e in 0..errors {
            copy[300 + e * 9] ^= 0xFF;
        }
        assert!(healed(&code, &right, &[copy.clone(), copy]), "{nsym}");
    }
}

#[test]
fn the_same_burst_in_both_copies() {
    let (code, right) = encoded(16, 1000);
    let mut copy = right.clone();
    for byte in &mut copy[300..314] {
        *byte ^= 0xA5;
    }
    assert!(healed(&code, &right, &[copy.clone(), copy]));
}

#[test]
fn more_differences_than_parity() {
    let (code, right) = encoded(16, 1000);
    let mut a = right.clone();
    let mut b = right.clone();
    for e in 0..11 {
        a[260 + e * 20] ^= 1 + e as u8;
        b[265 + e * 20] ^= 1 + e as u8;
    }
    assert!(healed(&code, &right, &[a, b]));
}

#[test]
fn a_byte_cut_out_inside() {
    let (code, right) = encoded(16, 2000);
    // One shift shows the front, the other the rear.
    let mut rear = right.clone();
    rear[..700].fill(0x3C);
    let mut front = right.clone();
    for (i, byte) in front.iter_mut().enumerate().skip(699) {
        *byte = right.get(i + 1).copied().unwrap_or(9);
    }
    assert!(healed(&code, &right, &[front, rear]));
}

#[test]
fn strands_between_breaks() {
    let (code, right) = encoded(16, 5000);
    // Bytes missing in one row, too many in another, and 20 before the piece.
    let mut piece = vec![0x77; 20];
    piece.extend_from_slice(&right);
    piece.splice(20 + 1000..20 + 1001, []);
    piece.splice(20 + 3000..20 + 3000, [1, 2, 3]);
    let strands = strands::find(&code, &piece);
    for from_rear in [false, true] {
        let nominal = if from_rear { 22 } else { 18 };
        let found = strands::sources(&piece, &strands, right.len(), nominal, from_rear);
        let mut shifts: Vec<i64> = found.iter().map(|part| part.shift).collect();
        shifts.sort_unstable();
        assert_eq!(shifts, [19, 20, 22]);
        let mut prove = |block: &[u8]| block == right;
        let outcome = heal(&code, &found, &Budget::new(0), &mut prove);
        assert!(matches!(outcome, Outcome::Proven(_)), "{from_rear}");
    }
    let last = strands::last_row(&code, &piece, right.len());
    assert_eq!(last, Some(22));
}

#[test]
fn records_in_step_again() {
    let mut x = 1_u32;
    let mut letter = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + (x >> 24) as u8 % 26
    };
    let right: Vec<u8> = (0..900).map(|_| letter()).collect();
    let (mut a, mut b) = (right.clone(), right.clone());
    a.splice(100..101, []);
    a.splice(500..500, *b"pushed in");
    a.extend_from_slice(b"what follows");
    b[300] = b'!';
    b.splice(700..720, []);
    b.extend_from_slice(b"something else");
    let realign = |tries| records::realign(&a, &b, right.len(), tries, |r| r == right);
    assert_eq!(realign(1 << 10), Some(right.clone()));
    assert_eq!(realign(1), None);
    // The head of one is left, and the tail of the other.
    let (head, tail) = (&right[..600], &right[300..]);
    for (a, b) in [(head, tail), (tail, head)] {
        let found = records::realign(a, b, right.len(), 16, |r| r == right);
        assert_eq!(found, Some(right.clone()));
    }
}

#[test]
fn records_from_two_damaged_copies() {
    let right = paint(152);
    let test = |a: &[u8], b: &[u8]| records::recover(&[a, b], |_| true, 1 << 20, |r| r == right);
    let mut a = right.clone();
    let mut b = right.clone();
    a[20] ^= 1;
    b[30] ^= 0x20;
    b[90] ^= 0x20;
    assert_eq!(test(&a, &b), Some(right.clone()));
    a[40..90].fill(0);
    assert_eq!(test(&a, &b), Some(right.clone()));
    // The same byte, with different bits.
    b[20] ^= 2;
    assert_eq!(test(&a, &b), Some(right.clone()));
    // One copy only, and two bits.
    a = right.clone();
    a[5] ^= 4;
    a[100] ^= 8;
    assert_eq!(test(&a, &a), Some(right.clone()));
    assert_eq!(test(&[0; 152], &[0xFF; 152]), None);
    // The front of one is overwritten, the rear of the other, and both touch.
    a = right.clone();
    b = right.clone();
    for p in 0..80 {
        a[p] ^= 1 + p as u8;
        b[80 + p / 2] ^= 0x55 + p as u8;
    }
    assert_eq!(test(&a, &b), Some(right.clone()));
}

#[test]
fn text_is_not_trusted_around_illegal_bytes() {
    let right: Vec<u8> = (0..3000_usize).map(|i| b'a' + (i * i % 23) as u8).collect();
    let (mut a, mut b) = (right.clone(), right.clone());
    for i in 0..700_usize {
        // Every other byte of the noise is legal.
        a[300 + i] = (i * i * 31 + i) as u8 | 0x80 >> (i % 2);
        b[1000 + i] = (i * i * 37 + i) as u8 | 0x80 >> (i % 2);
    }
    let found = records::recover(&[&a, &b], |b| b.is_ascii_lowercase(), 1000, |r| r == right);
    assert!(found == Some(right));
}

/// A body of which nothing follows these bytes but an error.
struct Failing(Vec<Vec<u8>>, bool);

impl Chunks for Failing {
    fn next(&mut self, chunk: &mut Vec<u8>) -> Result<bool> {
        chunk.clear();
        if !self.0.is_empty() {
            *chunk = self.0.remove(0);
            return Ok(true);
        }
        if self.1 {
            return Ok(false);
        }
        chunk.extend_from_slice(b"not authenticated");
        Err(Error::Authentication("not what was sealed".into()))
    }
}

/// Whoever goes on reading after an error gets neither bytes that nobody vouches for nor an end.
#[test]
fn a_payload_that_failed_keeps_failing() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Level::new(6));
    zlib.write_all(b"authentic").unwrap();
    let zlib = zlib.finish().unwrap();
    let (short, more) = (zlib[..12].to_vec(), [&zlib[..], b"more"].concat());
    let stored = [b"authentic".to_vec()];
    let noise = vec![0xFF; 100];
    let bodies = [
        (Compression::None, stored.to_vec(), false),
        (Compression::Stream, vec![zlib.clone()], false),
        (Compression::Stream, vec![noise.clone()], true),
        (Compression::Stream, vec![short.clone()], true),
        (Compression::Stream, vec![more.clone()], true),
        (Compression::Stream, Vec::new(), true),
        (Compression::Members, vec![zlib], false),
        (Compression::Members, vec![noise], true),
        (Compression::Members, vec![short], true),
        (Compression::Members, vec![more], true),
    ];
    for (compression, chunks, ends) in bodies {
        let name = format!("{compression:?} {chunks:?} {ends}");
        let mut reader = Reader::new(Failing(chunks, ends), compression);
        let mut right = Vec::new();
        assert!(reader.read_to_end(&mut right).is_err(), "{name}");
        assert!(b"authentic".starts_with(&right), "{name}");
        for _ in 0..3 {
            assert!(reader.read(&mut [0; 64]).is_err(), "{name}");
            assert!(reader.piece().is_err(), "{name}");
        }
    }
}
