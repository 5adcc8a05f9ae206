//! The classical code against its definition.

use proptest::prelude::*;

use super::painted;
use crate::gf::field::{exp, mul};
use crate::rs::{ClassicCode, Corrected, Error};

/// Remainder by long division, one byte after the other.
fn naive_parity(data: &[u8], nsym: usize) -> Vec<u8> {
    let mut generator = vec![1];
    for i in 0..nsym {
        let mut next = [&generator[..], &[0]].concat();
        for (j, &g) in generator.iter().enumerate() {
            next[j + 1] ^= mul(g, exp(i));
        }
        generator = next;
    }
    let mut rest = [data, &vec![0; nsym]].concat();
    for i in 0..data.len() {
        let top = rest[i];
        for (j, &g) in generator.iter().enumerate() {
            rest[i + j] ^= mul(top, g);
        }
    }
    rest.split_off(data.len())
}

fn encode(code: &ClassicCode, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; code.encoded_len(data.len())];
    code.encode(data, &mut out).unwrap();
    out
}

#[test]
fn parity_is_the_remainder() {
    for nsym in [1, 2, 3, 15, 16, 17, 32, 64, 65, 128, 200, 254] {
        let code = ClassicCode::new(nsym).unwrap();
        let k = 255 - nsym;
        for length in [0, 1, k - 1, k, k + 1, 3 * k, 3 * k + 7] {
            let data = painted(length as u32, length);
            let expected: Vec<u8> = data
                .chunks(k)
                .flat_map(|run| [run, &naive_parity(run, nsym)].concat())
                .collect();
            let encoded = encode(&code, &data);
            assert_eq!(encoded, expected);
            assert_eq!(code.decoded_len(encoded.len()), Some(length));
            assert_eq!(code.check(&encoded), Ok(vec![]));
            let mut back = vec![0; length];
            code.extract(&encoded, &mut back).unwrap();
            assert_eq!(back, data);
        }
    }
}

#[test]
fn sizes() {
    assert!(ClassicCode::new(0).is_none() && ClassicCode::new(255).is_none());
    let code = ClassicCode::new(16).unwrap();
    assert_eq!(code.encoded_len(65536), 69936);
    assert_eq!(code.encoded_len(usize::MAX), usize::MAX);
    for bad in [1, 16, 255 + 1, 255 + 16] {
        assert_eq!(code.decoded_len(bad), None);
        assert_eq!(code.check(&vec![0; bad]), Err(Error::Shape));
        assert_eq!(code.correct(&mut vec![0; bad], None), Err(Error::Shape));
        assert_eq!(code.extract(&vec![0; bad], &mut []), Err(Error::Shape));
    }
    assert_eq!(code.correct(&mut [], None), Ok(Corrected::default()));
    assert_eq!(
        code.correct(&mut [0; 17], Some(&[0; 16])),
        Err(Error::Shape)
    );
    assert_eq!(code.encode(&[1], &mut [0; 16]), Err(Error::Shape));
    let mut decoder = code.decoder();
    assert_eq!(decoder.decode(&mut [1; 16], &[]), None);
    assert_eq!(decoder.decode(&mut [1; 20], &[20]), None);
    assert_eq!(decoder.decode(&mut [0; 256], &[]), None);
}

#[test]
fn every_single_error() {
    let code = ClassicCode::new(2).unwrap();
    let good = encode(&code, &painted(5, 9));
    let mut decoder = code.decoder();
    for place in 0..good.len() {
        for value in 1..=255 {
            let mut word = good.clone();
            word[place] ^= value;
            assert_eq!(code.check(&word), Ok(vec![0]));
            assert_eq!(decoder.decode(&mut word, &[]), Some(1));
            assert_eq!(word, good);
            word[place] ^= value;
            assert_eq!(decoder.decode(&mut word, &[place as u8]), Some(1));
            assert_eq!(word, good);
        }
    }
}

proptest! {
    #[test]
    fn errors_and_erasures(
        nsym in 1_usize..=254,
        short in 0_usize..255,
        erasures in 0_usize..255,
        beyond in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let code = ClassicCode::new(nsym).unwrap();
        let data = painted(seed, (255 - nsym - short % (255 - nsym)).max(1));
        let good = encode(&code, &data);
        let s = erasures % (nsym + 1);
        // Exactly at the bound, or one beyond it.
        let e = (((nsym - s) / 2) + usize::from(beyond)).min(good.len() - s);
        let keys = painted(!seed, 255);
        let mut order: Vec<u8> = (0..good.len() as u8).collect();
        order.sort_by_key(|&i| keys[i as usize]);
        let mut word = good.clone();
        let mut changes = painted(seed ^ 1, s + e);
        changes[s..].iter_mut().for_each(|c| *c = (*c).max(1));
        for (&place, &change) in order.iter().zip(&changes) {
            word[place as usize] ^= change;
        }
        let received = word.clone();
        let result = code.decoder().decode(&mut word, &order[..s]);
        if 2 * e + s <= nsym {
            prop_assert_eq!(&word, &good);
            prop_assert_eq!(result, Some(changes.iter().filter(|&&c| c != 0).count()));
        } else if result.is_some() {
            // Another code word, within the bound of what was received.
            prop_assert_eq!(code.check(&word), Ok(vec![]));
            let differ = (0..good.len()).filter(|&i| word[i] != received[i] && !order[..s].contains(&(i as u8)));
            prop_assert!(2 * differ.count() + s <= nsym);
        } else {
            prop_assert_eq!(&word, &received);
        }
    }
}

#[test]
fn blocks_with_a_mask() {
    let code = ClassicCode::new(16).unwrap();
    let good = encode(&code, &painted(3, 239 * 3 + 50));
    let mut block = good.clone();
    let mut mask = vec![0; block.len()];
    // Sixteen erasures in the first word, eight errors in the second, nine in the third, both in the last.
    for i in 0..16 {
        block[i * 3] ^= i as u8;
        mask[i * 3] = 1;
    }
    (0..8).for_each(|i| block[255 + i * 30] ^= 0x55);
    (0..9).for_each(|i| block[510 + i * 20] ^= 0x55);
    for i in 0..4 {
        block[765 + i] = 0;
        mask[765 + i] = 0xFF;
    }
    (10..16).for_each(|i| block[765 + i] ^= 9);
    let broken = block[510..765].to_vec();
    let corrected = code.correct(&mut block, Some(&mask)).unwrap();
    assert_eq!(corrected.failed, [2]);
    assert_eq!(block[..510], good[..510]);
    assert_eq!(block[510..765], broken);
    assert_eq!(block[765..], good[765..]);
}
