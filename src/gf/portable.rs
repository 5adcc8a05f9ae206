//! The kernel in plain Rust.
//!
//! No tables: an input strip is doubled seven times, and every output takes the doublings that its
//! coefficient has bits for. That is XOR of short arrays, which the compiler turns into whatever
//! vectors the target has as its baseline.

use super::field::{POLYNOMIAL, mul};
use super::matrix::Matrix;

/// Bytes of a row that are worked on at a time, in words of eight.
const WORDS: usize = 8;
const STRIP: usize = 8 * WORDS;
/// Outputs that are worked on at a time.
const ROWS: usize = 16;

type Strip = [u64; WORDS];

pub(super) fn apply<const ROW: usize>(
    matrix: Matrix<'_, ROW>,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
) {
    for (number, group) in outputs.chunks_mut(ROWS).enumerate() {
        apply_group(matrix.skip_rows(number * ROWS), inputs, group);
    }
}

fn apply_group<const ROW: usize>(
    matrix: Matrix<'_, ROW>,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
) {
    let length = outputs.first().map_or(0, |row| row.len());
    let whole = length - length % STRIP;
    for at in (0..whole).step_by(STRIP) {
        let mut sums = [[0; WORDS]; ROWS];
        for (input, column) in inputs.iter().zip(matrix.columns()) {
            let doublings = doublings(load(&input[at..at + STRIP]));
            let coefficients = column.iter().step_by(ROW);
            for (sum, &coefficient) in sums.iter_mut().zip(coefficients).take(outputs.len()) {
                let mut bits = coefficient;
                while bits != 0 {
                    let doubled = &doublings[bits.trailing_zeros() as usize];
                    sum.iter_mut().zip(doubled).for_each(|(s, d)| *s ^= d);
                    bits &= bits - 1;
                }
            }
        }
        for (output, sum) in outputs.iter_mut().zip(&sums) {
            for (bytes, word) in output[at..at + STRIP].chunks_exact_mut(8).zip(sum) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    bytes_from(matrix, inputs, outputs, whole);
}

/// Byte by byte: for rows that fill no vector.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code)
)]
pub(super) fn bytes<const ROW: usize>(
    matrix: Matrix<'_, ROW>,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
) {
    bytes_from(matrix, inputs, outputs, 0);
}

/// The bytes of the rows from `from` on.
fn bytes_from<const ROW: usize>(
    matrix: Matrix<'_, ROW>,
    inputs: &[&[u8]],
    outputs: &mut [&mut [u8]],
    from: usize,
) {
    for (r, output) in outputs.iter_mut().enumerate() {
        for (at, byte) in output.iter_mut().enumerate().skip(from) {
            let columns = inputs.iter().zip(matrix.columns());
            *byte = columns.fold(0, |sum, (input, column)| {
                sum ^ mul(column[r * ROW], input[at])
            });
        }
    }
}

fn load(bytes: &[u8]) -> Strip {
    let mut strip = [0; WORDS];
    for (word, bytes) in strip.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    strip
}

/// The strip times 1, 2, 4, .. 128.
fn doublings(strip: Strip) -> [Strip; 8] {
    const TOP: u64 = 0x8080_8080_8080_8080;
    let mut all = [strip; 8];
    let mut last = strip;
    for doubled in &mut all[1..] {
        for word in &mut last {
            // Bytes do not carry into each other: the carry is 0 or 1, the factor below 256.
            let carry = (*word & TOP) >> 7;
            *word = ((*word & !TOP) << 1) ^ (carry * u64::from(POLYNOMIAL as u8));
        }
        *doubled = last;
    }
    all
}
