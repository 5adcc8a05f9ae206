//! Errors at unknown places, up to the bound and beyond it.

use proptest::prelude::*;

use super::{block, painted};
use crate::rs::{Code, Correction, Error, Row, Trust};

/// A block of `k` data rows and the parity rows that are stored, with damage done to it.
struct Damaged {
    code: std::sync::Arc<Code>,
    k: usize,
    /// All 256 slots as they were written.
    good: Vec<Vec<u8>>,
    /// All 256 slots as they were read.
    read: Vec<Vec<u8>>,
    /// Which slots are given as what: missing ones are wanted, `None` are not given at all.
    masks: Vec<Vec<u8>>,
    trust: Vec<Option<Kind>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Missing,
    Doubtful,
    Masked,
    Certain,
}

impl Damaged {
    fn new(data: usize, k: usize, length: usize, seed: u32) -> Self {
        let code = Code::shared(data).unwrap();
        let good = block(&code, k, length, seed);
        let stored = |slot: usize| (1..=k).contains(&slot) || slot > data;
        let trust = (0..256)
            .map(|slot| stored(slot).then_some(Kind::Doubtful))
            .collect();
        let masks = vec![vec![0; length]; 256];
        Self {
            code,
            k,
            read: good.clone(),
            good,
            masks,
            trust,
        }
    }

    fn correct(&mut self) -> Result<Correction, Error> {
        let parts = self
            .read
            .iter_mut()
            .zip(&self.masks)
            .zip(&self.trust)
            .enumerate();
        let rows = parts.filter_map(|(slot, ((bytes, mask), kind))| {
            let trust = match (*kind)? {
                Kind::Missing => Trust::Missing,
                Kind::Doubtful => Trust::Doubtful,
                Kind::Masked => Trust::Masked(mask),
                Kind::Certain => Trust::Certain,
            };
            Some(Row {
                slot: slot as u8,
                trust,
                bytes,
            })
        });
        let mut rows: Vec<Row<'_>> = rows.collect();
        self.code.correct(self.k, &mut rows)
    }

    fn in_hand(&self) -> Vec<usize> {
        (0..256)
            .filter(|&slot| self.trust[slot].is_some_and(|kind| kind != Kind::Missing))
            .collect()
    }

    /// The given rows, all of which must be right.
    fn assert_whole(&self) {
        for slot in (0..256).filter(|&slot| self.trust[slot].is_some()) {
            assert!(self.read[slot] == self.good[slot], "slot {slot}");
        }
    }
}

#[test]
fn a_clean_block_stays_and_missing_rows_are_made() {
    let mut damaged = Damaged::new(223, 100, 70, 3);
    assert_eq!(damaged.correct(), Ok(Correction::default()));
    damaged.assert_whole();
    for slot in [1, 50, 100, 224, 250] {
        damaged.trust[slot] = Some(Kind::Missing);
        damaged.read[slot].fill(7);
    }
    damaged.trust[255] = None;
    assert_eq!(damaged.correct(), Ok(Correction::default()));
    damaged.assert_whole();
}

#[test]
fn every_single_error() {
    let mut damaged = Damaged::new(5, 3, 255, 3);
    damaged.trust[9..].fill(None);
    for slot in [1, 2, 3, 6, 7, 8] {
        for column in 0..255 {
            damaged.read[slot][column] ^= column as u8 + 1;
        }
        assert_eq!(
            damaged.correct(),
            Ok(Correction {
                failed: vec![],
                changed: 255
            })
        );
        damaged.assert_whole();
    }
}

#[test]
fn certain_rows() {
    // As many certain rows as data: the others do not matter, whatever they hold.
    let mut damaged = Damaged::new(10, 4, 20, 3);
    for slot in [2, 3, 11, 20] {
        damaged.trust[slot] = Some(Kind::Certain);
    }
    for slot in (1..=4)
        .chain(11..256)
        .filter(|slot| ![2, 3, 11, 20].contains(slot))
    {
        damaged.read[slot].fill(9);
    }
    assert!(damaged.correct().unwrap().changed > 4000);
    damaged.assert_whole();
    // A decoding that changes a certain row is refused, and changes nothing.
    let mut damaged = Damaged::new(10, 4, 20, 3);
    damaged.trust[3] = Some(Kind::Certain);
    damaged.read[3][5] ^= 1;
    damaged.read[2][6] ^= 1;
    assert_eq!(
        damaged.correct(),
        Ok(Correction {
            failed: vec![5],
            changed: 1
        })
    );
    damaged.read[3][5] ^= 1;
    damaged.assert_whole();
}

fn row<'a>(slot: u8, trust: Trust<'a>, bytes: &'a mut [u8]) -> Row<'a> {
    Row { slot, trust, bytes }
}

#[test]
fn refusals() {
    let code = Code::new(5).unwrap();
    let (mut a, mut b, mut c) = ([1, 2], [3, 4], [5]);
    assert_eq!(
        code.correct(
            2,
            &mut [
                row(1, Trust::Doubtful, &mut a),
                row(2, Trust::Missing, &mut b)
            ]
        ),
        Err(Error::TooFew { have: 1, need: 2 })
    );
    for slot in [0, 1, 3, 5] {
        assert_eq!(
            code.correct(
                2,
                &mut [
                    row(1, Trust::Doubtful, &mut a),
                    row(slot, Trust::Doubtful, &mut b)
                ]
            ),
            Err(Error::Slot(slot))
        );
    }
    assert_eq!(
        code.correct(
            2,
            &mut [
                row(1, Trust::Doubtful, &mut a),
                row(2, Trust::Doubtful, &mut c)
            ]
        ),
        Err(Error::Shape)
    );
    assert_eq!(
        code.correct(
            2,
            &mut [
                row(1, Trust::Doubtful, &mut a),
                row(2, Trust::Masked(&[1]), &mut b)
            ]
        ),
        Err(Error::Shape)
    );
    assert_eq!(
        code.correct(6, &mut []),
        Err(Error::Size { got: 6, limit: 5 })
    );
    assert_eq!(
        code.correct(1, &mut []),
        Err(Error::TooFew { have: 0, need: 1 })
    );
    // Without a parity row in hand nothing is found, and what is masked is lost.
    let mask = [0, 1];
    assert_eq!(
        code.correct(
            2,
            &mut [
                row(1, Trust::Masked(&mask), &mut a),
                row(2, Trust::Doubtful, &mut b)
            ]
        ),
        Ok(Correction {
            failed: vec![1],
            changed: 0
        })
    );
    assert_eq!((a, b), ([1, 2], [3, 4]));
}

#[test]
fn one_data_row_is_a_vote() {
    let mut damaged = Damaged::new(223, 1, 40, 3);
    damaged.trust[240..].fill(None);
    let (good, parity) = (damaged.good[1].clone(), damaged.good[224].clone());
    // Seventeen symbols; thirteen are wrong, each in its own way.
    for slot in 224..237 {
        damaged.read[slot]
            .iter_mut()
            .zip(1..)
            .for_each(|(byte, i)| *byte ^= (slot as u8).wrapping_mul(i) | 1);
    }
    let correction = damaged.correct().unwrap();
    assert!(correction.failed.len() < 3, "{correction:?}");
    assert_eq!((1..=1).filter(|_| damaged.read[1] == good).count(), 1);
    // Two copies of the data against one of them and a wrong parity; then a tie.
    let code = Code::new(223).unwrap();
    let wrong = vec![0x55; 40];
    let run = |copies: &[(u8, Trust<'_>, &[u8])]| {
        let mut bytes: Vec<Vec<u8>> = copies.iter().map(|copy| copy.2.to_vec()).collect();
        let zipped = copies.iter().zip(&mut bytes);
        let mut rows: Vec<Row<'_>> = zipped
            .map(|(&(slot, trust, _), bytes)| Row { slot, trust, bytes })
            .collect();
        (code.correct(1, &mut rows).unwrap(), bytes)
    };
    let (correction, bytes) = run(&[
        (1, Trust::Doubtful, &good),
        (1, Trust::Doubtful, &good),
        (224, Trust::Doubtful, &wrong),
    ]);
    assert_eq!((correction.failed.len(), &bytes[2]), (0, &parity));
    let mask = [1; 40];
    let tie = [
        (1, Trust::Doubtful, &good[..]),
        (1, Trust::Masked(&mask), &good),
        (1, Trust::Doubtful, &wrong),
    ];
    assert_eq!(
        run(&tie).0.failed,
        Vec::from_iter((0..40).filter(|&i| good[i] != 0x55))
    );
    // Two copies that are wrong in the same way do not outvote two slots that are right.
    let second = damaged.good[225].clone();
    let (correction, bytes) = run(&[
        (1, Trust::Doubtful, &wrong),
        (1, Trust::Doubtful, &wrong),
        (224, Trust::Doubtful, &parity),
        (225, Trust::Doubtful, &second),
    ]);
    assert_eq!((correction.failed.len(), &bytes[0]), (0, &good));
    let (correction, bytes) = run(&[
        (1, Trust::Doubtful, &wrong),
        (1, Trust::Doubtful, &wrong),
        (224, Trust::Certain, &parity),
    ]);
    assert_eq!((correction.failed.len(), &bytes[1]), (0, &good));
}

proptest! {
    #[test]
    fn at_the_bound_and_beyond(
        (data, k) in prop_oneof![Just((223, 223)), Just((119, 119)), Just((223, 7)), Just((119, 60)), Just((20, 2))],
        lost in 0_usize..255,
        length in 1_usize..20,
        seed in any::<u32>(),
    ) {
        let mut damaged = Damaged::new(data, k, length, seed);
        let keys = painted(seed ^ 3, 256 * 3);
        let mut order = damaged.in_hand();
        order.sort_by_key(|&slot| (keys[slot], keys[256 + slot]));
        // Lose whole slots first, half of which are wanted back.
        let lost = lost % (order.len() - k + 1);
        for slot in order.drain(..lost) {
            damaged.trust[slot] = (keys[512 + slot] < 128).then_some(Kind::Missing);
            damaged.read[slot].fill(0xEE);
        }
        let checks = order.len() - k;
        order.iter().for_each(|&slot| {
            damaged.trust[slot] = Some(match keys[slot] % 8 { 0 => Kind::Certain, 1 => Kind::Doubtful, _ => Kind::Masked })
        });
        // Then in every column another number of masked and of wrong bytes.
        let mut expected = Vec::new();
        for column in 0..length {
            let keys = painted(seed ^ (column as u32 + 77), 600);
            order.sort_by_key(|&slot| (keys[slot], slot));
            let s = keys[599] as usize % (checks + 2);
            let masked: Vec<usize> = order.iter().copied().filter(|&i| damaged.trust[i] == Some(Kind::Masked)).take(s).collect();
            for &slot in &masked {
                damaged.masks[slot][column] = keys[300 + slot].max(1);
                damaged.read[slot][column] ^= keys[299 + slot];
            }
            let free = order.iter().copied().filter(|slot| damaged.trust[*slot] != Some(Kind::Certain) && !masked.contains(slot));
            let e = (checks.saturating_sub(masked.len())) / 2 + usize::from(keys[598] < 64);
            let wrong: Vec<usize> = free.take(e).collect();
            for &slot in &wrong {
                damaged.read[slot][column] ^= keys[301 + slot % 200].max(1);
            }
            expected.push(2 * wrong.len() + masked.len() <= checks);
        }
        let read = damaged.read.clone();
        let correction = damaged.correct().unwrap();
        for column in 0..length {
            let same = |slot: &usize| damaged.read[*slot][column] == damaged.good[*slot][column];
            let given: Vec<usize> = (0..256).filter(|&slot| damaged.trust[slot].is_some()).collect();
            if correction.failed.contains(&column) {
                prop_assert!(!expected[column]);
                prop_assert!(order.iter().all(|&slot| damaged.read[slot][column] == read[slot][column]));
            } else if expected[column] {
                prop_assert!(given.iter().all(same));
            } else {
                // Some code word, consistent with the certain rows.
                let rows: Vec<(u8, &[u8])> = order.iter().map(|&slot| (slot as u8, &damaged.read[slot][column..=column])).collect();
                let wanted: Vec<u8> = given.iter().map(|&slot| slot as u8).collect();
                let mut out = vec![vec![0]; wanted.len()];
                damaged.code.reconstruct(k, &rows, &wanted, &mut super::muts(&mut out)).unwrap();
                prop_assert!(given.iter().zip(&out).all(|(&slot, byte)| damaged.read[slot][column] == byte[0]));
                prop_assert!(order.iter().all(|&slot| damaged.trust[slot] != Some(Kind::Certain) || same(&slot)));
            }
        }
    }
}
