//! Every kernel against thirty lines that nobody can get wrong.

use super::field::{NIBBLES, div, inv, mul, pow};
use super::{Kernel, LinearMap};

/// The kernel that the environment variable `DBS_KERNEL` names, by its level in small letters: so the
/// unit tests of all layers run with each (`.ci/run`). Outside of them nothing reads it.
pub(super) fn forced() -> Option<Kernel> {
    let name = std::env::var("DBS_KERNEL").ok()?;
    let mut kernels = Kernel::available().into_iter();
    let named = kernels.find(|kernel| level(*kernel) == name);
    Some(named.unwrap_or_else(|| panic!("no kernel {name} on this machine")))
}

fn level(kernel: Kernel) -> String {
    format!("{:?}", kernel.level()).to_lowercase()
}

/// `.ci/run` reads the names from here.
#[test]
fn kernels_of_this_machine() {
    let levels: Vec<String> = Kernel::available().into_iter().map(level).collect();
    println!("kernels: {}", levels.join(" "));
    assert_eq!(levels[0], "portable");
    if std::env::var_os("DBS_KERNEL").is_none() {
        assert_eq!(Some(&level(Kernel::best())), levels.last());
    }
}

/// The product by the definition: shift, add, reduce.
fn naive_mul(a: u8, b: u8) -> u8 {
    let mut product: u16 = 0;
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            product ^= u16::from(a) << bit;
        }
    }
    for bit in (8..16).rev() {
        if product >> bit & 1 == 1 {
            product ^= 0x11D << (bit - 8);
        }
    }
    product as u8
}

fn naive_apply(rows: usize, coefficients: &[u8], inputs: &[&[u8]], length: usize) -> Vec<Vec<u8>> {
    let cols = coefficients.len() / rows.max(1);
    (0..rows)
        .map(|r| {
            (0..length)
                .map(|at| {
                    let products = inputs.iter().enumerate();
                    products.fold(0, |sum, (c, row)| {
                        sum ^ naive_mul(coefficients[r * cols + c], row[at])
                    })
                })
                .collect()
        })
        .collect()
}

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

#[test]
fn field_is_the_definition() {
    for a in 0..=255 {
        for b in 0..=255 {
            assert_eq!(mul(a, b), naive_mul(a, b));
            let nibbles = &NIBBLES[a as usize];
            assert_eq!(
                nibbles[b as usize & 15] ^ nibbles[16 + (b as usize >> 4)],
                mul(a, b)
            );
            if b != 0 {
                assert_eq!(mul(div(a, b), b), a);
            }
        }
        assert_eq!(mul(a, inv(a)), u8::from(a != 0));
        let mut power = 1;
        for n in 0..600 {
            assert_eq!(pow(a, n), power);
            power = mul(power, a);
        }
    }
}

#[test]
fn kernels_are_the_naive_sum() {
    let lengths = [
        0, 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 464, 4048,
    ];
    for kernel in Kernel::available() {
        for &length in &lengths {
            // Big matrices take their time without optimisation; the lengths matter more.
            let shapes = if length > 256 {
                &[(17, 5)][..]
            } else {
                &[(1, 1), (2, 3), (5, 9), (16, 4), (35, 7), (3, 0)]
            };
            for &(rows, cols) in shapes {
                for offset in [0, 1, 32] {
                    check(kernel, rows, cols, length, offset);
                }
            }
        }
        for rows in 1..=40 {
            check(kernel, rows, 4, 70, 3);
        }
    }
}

fn check(kernel: Kernel, rows: usize, cols: usize, length: usize, offset: usize) {
    let stride = length + 13;
    let area = painted(7, offset + cols * stride);
    let inputs: Vec<&[u8]> = (0..cols)
        .map(|c| &area[offset + c * stride..][..length])
        .collect();
    let coefficients = painted(11 + rows as u32, rows * cols);
    let map = LinearMap::new(rows, cols, &coefficients).with_kernel(kernel);
    // Guards between the outputs: a kernel must not write past its rows.
    let mut out = vec![0xA5; offset + rows * stride];
    let mut slices = out[offset..]
        .chunks_mut(stride)
        .map(|row| &mut row[..length])
        .collect::<Vec<_>>();
    map.apply(&inputs, &mut slices);
    let expected = naive_apply(rows, &coefficients, &inputs, length);
    for (r, row) in expected.iter().enumerate() {
        let got = &out[offset + r * stride..][..stride];
        assert_eq!(
            &got[..length],
            &row[..],
            "{kernel:?} rows {rows} cols {cols} length {length} row {r}"
        );
        assert!(
            got[length..].iter().all(|&b| b == 0xA5),
            "{kernel:?} wrote past the row"
        );
    }
}

#[test]
fn every_coefficient_and_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    for kernel in Kernel::available() {
        for c in 0..=255 {
            let mut out = vec![1; 256];
            LinearMap::new(1, 1, &[c])
                .with_kernel(kernel)
                .apply(&[&bytes], &mut [&mut out]);
            assert!(
                out.iter().zip(&bytes).all(|(&got, &b)| got == mul(c, b)),
                "{kernel:?} {c}"
            );
        }
    }
}

#[test]
fn part_of_the_rows_and_columns() {
    let coefficients = painted(3, 40 * 9);
    let rows: Vec<Vec<u8>> = (0..9).map(|c| painted(c, 100)).collect();
    let inputs: Vec<&[u8]> = rows.iter().map(|row| &row[..]).collect();
    for kernel in Kernel::available() {
        let map = LinearMap::new(40, 9, &coefficients).with_kernel(kernel);
        for (first, count, cols) in [(0, 40, 9), (3, 20, 5), (39, 1, 1), (16, 16, 0), (20, 17, 8)] {
            let expected = naive_apply(40, &coefficients, &inputs[..cols], 100);
            let mut out = vec![vec![9; 100]; count];
            let mut slices: Vec<&mut [u8]> = out.iter_mut().map(|row| &mut row[..]).collect();
            map.apply_rows(first, &inputs[..cols], &mut slices);
            assert_eq!(out, expected[first..first + count]);
        }
    }
}

#[test]
fn words_are_rows_of_factors() {
    let words = painted(5, 19 * 255 - 3);
    for kernel in Kernel::available() {
        for length in [1, 16, 32, 48, 64, 128, 256] {
            let rows: Vec<Vec<u8>> = (0..252).map(|c| painted(c, length)).collect();
            let inputs: Vec<&[u8]> = rows.iter().map(|row| &row[..]).collect();
            for count in [1, 2, 7, 19] {
                let mut out = vec![vec![9; length]; count];
                let mut slices: Vec<&mut [u8]> = out.iter_mut().map(|row| &mut row[..]).collect();
                kernel.apply_words(&words, &inputs, &mut slices);
                for (word, row) in words.chunks(255).zip(&out) {
                    let one = naive_apply(1, &word[..252], &inputs, 1);
                    assert_eq!(row[0], one[0][0]);
                    let last = |row: &[u8]| row[length - 1];
                    let sum = word
                        .iter()
                        .zip(&inputs)
                        .fold(0, |sum, (&w, row)| sum ^ mul(w, last(row)));
                    assert_eq!(last(row), sum, "{kernel:?} length {length} count {count}");
                }
            }
        }
    }
}

#[test]
#[should_panic = "columns"]
fn too_few_coefficients() {
    let (input, mut out) = ([0; 64], [0; 64]);
    Kernel::best().apply_words(&[0; 10], &[&input[..]; 11], &mut [&mut out]);
}

#[test]
#[should_panic = "rows"]
fn too_many_rows() {
    let (input, mut out) = ([0; 64], [0; 64]);
    LinearMap::new(1, 2, &[1, 2]).apply_rows(usize::MAX, &[&input], &mut [&mut out]);
}

#[test]
#[should_panic = "one length"]
fn rows_of_two_lengths() {
    let (input, mut out) = ([0; 63], [0; 64]);
    LinearMap::new(1, 2, &[1, 2]).apply(&[&input], &mut [&mut out]);
}
