//! Every kernel, the encoder and the decoders against a naive model and `reed-solomon-erasure`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use dbs::gf::{Kernel, LinearMap};
use dbs::rs::{Code, Row, Trust};
use reed_solomon_erasure::galois_8::ReedSolomon;

use crate::Random;
use crate::forge::gf_mul;

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    seed: u64,
    rows: u8,
    cols: u8,
    len: u8,
    /// The code: K, k, and which slots are lost or wrong.
    data: u8,
    k: u8,
    lost: u8,
    wrong: u8,
    certain: u8,
    masked: u8,
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    maps(&plan);
    code(&plan);
}

fn maps(plan: &Plan) {
    let mut random = Random(plan.seed);
    let (rows, cols, len) = (plan.rows % 40, plan.cols % 40, usize::from(plan.len) * 2);
    let (rows, cols) = (usize::from(rows), usize::from(cols));
    let coefficients = random.bytes(rows * cols);
    let inputs: Vec<Vec<u8>> = (0..cols).map(|_| random.bytes(len)).collect();
    let expected: Vec<Vec<u8>> = (0..rows)
        .map(|r| {
            (0..len)
                .map(|i| {
                    (0..cols).fold(0, |sum, c| {
                        sum ^ gf_mul(coefficients[r * cols + c], inputs[c][i])
                    })
                })
                .collect()
        })
        .collect();
    for kernel in Kernel::available() {
        let map = LinearMap::new(rows, cols, &coefficients).with_kernel(kernel);
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        // What stands in the outputs before must not matter.
        let mut outputs = vec![vec![0xa5; len]; rows];
        let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        map.apply(&inputs, &mut slices);
        assert_eq!(outputs, expected, "{kernel:?} {plan:?}");
    }
}

/// Codes are dear to make.
fn peer(k: usize) -> Rc<ReedSolomon> {
    thread_local! {
        static MADE: RefCell<HashMap<usize, Rc<ReedSolomon>>> = RefCell::default();
    }
    MADE.with_borrow_mut(|made| {
        let made = made
            .entry(k)
            .or_insert_with(|| Rc::new(ReedSolomon::new(1 + k, 255 - k).expect("a code")));
        Rc::clone(made)
    })
}

fn code(plan: &Plan) {
    let mut random = Random(plan.seed ^ 1);
    // Most often a small code, as the others are slow.
    let data = match plan.data {
        0..=199 => 1 + usize::from(plan.data % 12),
        200..=249 => 119,
        _ => 223,
    };
    let k = 1 + usize::from(plan.k) % data;
    let len = 1 + usize::from(plan.len % 40);
    let code = Code::shared(data).expect("a code");
    let parity: Vec<u8> = (data as u8 + 1..=255).collect();

    // Encoding, as the peer does it.
    let rows: Vec<Vec<u8>> = (0..k).map(|_| random.bytes(len)).collect();
    let mut made = vec![vec![0x5a; len]; parity.len()];
    {
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let mut slices: Vec<&mut [u8]> = made.iter_mut().map(Vec::as_mut_slice).collect();
        code.encode(&rows, &parity, &mut slices).expect("encode");
    }
    let mut shards = vec![vec![0; len]];
    shards.extend(rows.iter().cloned());
    shards.resize(256, vec![0; len]);
    peer(data).encode(&mut shards).expect("encode");
    for (slot, row) in parity.iter().zip(&made) {
        assert_eq!(*row, shards[usize::from(*slot)], "slot {slot}, {plan:?}");
    }

    // A block stores some of the parity slots.
    let stored = (usize::from(plan.rows) % 40).min(parity.len());
    let first = random.below(parity.len() - stored + 1);
    let slots: Vec<u8> = (1..=k as u8)
        .chain(parity[first..first + stored].iter().copied())
        .collect();
    let mut order = slots.clone();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i + 1));
    }
    erasures(plan, &code, k, &order, &shards);
    errors(plan, &code, k, &order, &shards, &mut random);
}

fn erasures(plan: &Plan, code: &Code, k: usize, order: &[u8], shards: &[Vec<u8>]) {
    let lost = usize::from(plan.lost) % (order.len() + 1);
    let (lost, have) = order.split_at(lost);
    let len = shards[0].len();
    let have: Vec<(u8, &[u8])> = have
        .iter()
        .map(|slot| (*slot, shards[usize::from(*slot)].as_slice()))
        .collect();
    let mut out = vec![vec![0x33; len]; lost.len()];
    let mut slices: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let result = code.reconstruct(k, &have, lost, &mut slices);
    assert_eq!(result.is_ok(), have.len() >= k, "G2: {plan:?} {result:?}");
    if result.is_ok() {
        for (slot, row) in lost.iter().zip(&out) {
            assert_eq!(
                *row,
                shards[usize::from(*slot)],
                "G2: slot {slot}, {plan:?}"
            );
        }
    }
}

fn errors(
    plan: &Plan,
    code: &Code,
    k: usize,
    order: &[u8],
    shards: &[Vec<u8>],
    random: &mut Random,
) {
    let len = shards[0].len();
    let checks = order.len() - k;
    let lost = usize::from(plan.lost) % (order.len() + 1);
    let certain = usize::from(plan.certain) % (order.len() - lost + 1);
    let doubtful = order.len() - lost - certain;
    let mut bytes: Vec<Vec<u8>> = order
        .iter()
        .map(|slot| shards[usize::from(*slot)].clone())
        .collect();
    let mut masks = vec![vec![0u8; len]; order.len()];
    // In each column some of the doubtful rows are wrong, and some are masked.
    let mut within = vec![true; len];
    for column in 0..len {
        let wrong = if plan.wrong == 0 {
            0
        } else {
            random.below(usize::from(plan.wrong % 20) + 1)
        }
        .min(doubtful);
        let masked = if plan.masked == 0 {
            0
        } else {
            random.below(usize::from(plan.masked % 10) + 1)
        }
        .min(doubtful - wrong);
        let mut rows: Vec<usize> = (lost + certain..order.len()).collect();
        for i in (1..rows.len()).rev() {
            rows.swap(i, random.below(i + 1));
        }
        for row in &rows[..wrong] {
            bytes[*row][column] ^= 1 + random.below(255) as u8;
        }
        for row in &rows[wrong..wrong + masked] {
            masks[*row][column] = 1;
            bytes[*row][column] = random.number() as u8;
        }
        within[column] = 2 * wrong + masked + lost <= checks;
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (i, (slot, bytes)) in order.iter().zip(&mut bytes).enumerate() {
        let trust = match i {
            i if i < lost => Trust::Missing,
            i if i < lost + certain => Trust::Certain,
            _ if plan.masked > 0 => Trust::Masked(&masks[i]),
            _ => Trust::Doubtful,
        };
        rows.push(Row {
            slot: *slot,
            trust,
            bytes,
        });
    }
    let Ok(correction) = code.correct(k, &mut rows) else {
        assert!(order.len() - lost < k, "G3: {plan:?}");
        return;
    };
    for (column, within) in within.iter().enumerate() {
        // With k certain rows nothing else is looked at, and all is right.
        if *within || certain >= k {
            assert!(
                !correction.failed.contains(&column),
                "G3: column {column}, {plan:?}"
            );
            for row in &rows {
                let expected = shards[usize::from(row.slot)][column];
                assert_eq!(
                    row.bytes[column], expected,
                    "G3: slot {}, {plan:?}",
                    row.slot
                );
            }
        } else if !correction.failed.contains(&column) {
            // Whatever it is, it is a code word.
            let word: Vec<(u8, [u8; 1])> = rows
                .iter()
                .map(|row| (row.slot, [row.bytes[column]]))
                .collect();
            let have: Vec<(u8, &[u8])> = word[..k]
                .iter()
                .map(|(slot, byte)| (*slot, &byte[..]))
                .collect();
            for (slot, byte) in &word[k..] {
                let mut out = [0];
                code.reconstruct(k, &have, &[*slot], &mut [&mut out])
                    .expect("k rows");
                assert_eq!(out, *byte, "no code word: {plan:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("kernels", 400, super::run);
    }
}
