//! The codes against the crate that defines them, and against their own bounds.

mod classic;
mod errors;

use reed_solomon_erasure::galois_8::ReedSolomon;

use super::{Code, Error};

/// Bytes that look random and are the same every time.
fn painted(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..length).map(step).collect()
}

fn refs(rows: &[Vec<u8>]) -> Vec<&[u8]> {
    rows.iter().map(|row| &row[..]).collect()
}

fn muts(rows: &mut [Vec<u8>]) -> Vec<&mut [u8]> {
    rows.iter_mut().map(|row| &mut row[..]).collect()
}

/// All 256 slots of a block with random data.
fn block(code: &Code, k: usize, length: usize, seed: u32) -> Vec<Vec<u8>> {
    let mut slots = vec![vec![0; length]; 256];
    for (i, slot) in slots[1..=k].iter_mut().enumerate() {
        *slot = painted(seed + i as u32, length);
    }
    let (data, parity) = slots.split_at_mut(code.data() + 1);
    let numbers: Vec<u8> = (code.data() as u8 + 1..=255).collect();
    code.encode(&refs(&data[1..=k]), &numbers, &mut muts(parity))
        .unwrap();
    slots
}

#[test]
fn equals_the_defining_crate() {
    for (data, k) in [
        (223, 223),
        (223, 5),
        (119, 119),
        (119, 118),
        (1, 1),
        (2, 2),
        (10, 3),
        (254, 254),
    ] {
        let code = Code::new(data).unwrap();
        let ours = block(&code, k, 3, 1);
        let oracle = ReedSolomon::new(1 + data, 255 - data).unwrap();
        let mut theirs = ours.clone();
        theirs[data + 1..].iter_mut().for_each(|row| row.fill(0));
        oracle.encode(&mut theirs).unwrap();
        assert!(ours == theirs, "K {data} k {k}");
    }
}

#[test]
fn sizes() {
    assert!(Code::new(0).is_none() && Code::new(255).is_none() && Code::shared(255).is_none());
    assert!(Code::shared(0).is_none() && Code::shared(usize::MAX).is_none());
    let code = Code::shared(223).unwrap();
    assert!(std::sync::Arc::ptr_eq(&code, &Code::shared(223).unwrap()));
    assert_eq!(
        code.encode(&[], &[224], &mut [&mut []]),
        Err(Error::Size { got: 0, limit: 223 })
    );
    assert_eq!(
        code.encode(&[&[1]], &[223], &mut [&mut [0]]),
        Err(Error::Slot(223))
    );
    assert_eq!(
        code.encode(&[&[1]], &[224], &mut [&mut [0, 0]]),
        Err(Error::Shape)
    );
    assert_eq!(
        code.encode(&[&[1]], &[224, 225], &mut [&mut [0]]),
        Err(Error::Shape)
    );
    assert_eq!(code.recovery(2, &[0], &[]).unwrap_err(), Error::Slot(0));
    assert_eq!(code.recovery(2, &[3], &[]).unwrap_err(), Error::Slot(3));
    assert_eq!(
        code.recovery(2, &[1, 1], &[2]).unwrap_err(),
        Error::TooFew { have: 1, need: 2 }
    );
}

#[test]
fn every_erasure_pattern_of_a_tiny_code() {
    let code = Code::new(5).unwrap();
    for k in 1..=5 {
        let slots = block(&code, k, 2, 40);
        // The data slots and the first parity slots that are stored.
        let stored: Vec<u8> = (1..=k as u8).chain(6..=10).collect();
        for pattern in 0..1_u32 << stored.len() {
            let have: Vec<(u8, &[u8])> = (0..stored.len())
                .filter(|i| pattern >> i & 1 == 1)
                .map(|i| (stored[i], &slots[stored[i] as usize][..]))
                .collect();
            let mut out = vec![vec![0; 2]; stored.len()];
            let result = code.reconstruct(k, &have, &stored, &mut muts(&mut out));
            if have.len() < k {
                assert_eq!(
                    result,
                    Err(Error::TooFew {
                        have: have.len(),
                        need: k
                    })
                );
            } else {
                assert_eq!(result, Ok(()));
                assert!(
                    stored
                        .iter()
                        .zip(&out)
                        .all(|(&slot, row)| *row == slots[slot as usize])
                );
            }
        }
    }
}

#[test]
fn erasures_up_to_the_bound_of_the_profiles() {
    for (data, k) in [(223, 223), (223, 100), (119, 119), (119, 1), (119, 77)] {
        let code = Code::new(data).unwrap();
        let slots = block(&code, k, 40, 9);
        for seed in 1..20 {
            let mut order: Vec<u8> = (1..=k as u8).chain(data as u8 + 1..=255).collect();
            let keys = painted(seed, 512);
            order.sort_by_key(|&slot| (keys[slot as usize], keys[256 + slot as usize]));
            let have: Vec<(u8, &[u8])> = order[..k]
                .iter()
                .map(|&s| (s, &slots[s as usize][..]))
                .collect();
            let mut out = vec![vec![0; 40]; order.len() - k];
            code.reconstruct(k, &have, &order[k..], &mut muts(&mut out))
                .unwrap();
            assert!(
                order[k..]
                    .iter()
                    .zip(&out)
                    .all(|(&slot, row)| *row == slots[slot as usize])
            );
        }
    }
}
