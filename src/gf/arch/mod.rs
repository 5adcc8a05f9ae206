//! Kernels in vector instructions. The only place where `unsafe` is allowed.
//!
//! Every module defines a vector, and how a product with a constant is added to one; [`kernel8!`] and
//! [`kernel16!`] make the loops of it. Each vector of the inputs is loaded once for up to so many outputs,
//! whose sums stay in registers. The loops over the outputs are unrolled by the macro, because compilers
//! keep arrays of vectors in memory.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod gfni128;
#[cfg(target_arch = "x86_64")]
pub(super) mod gfni256;
#[cfg(target_arch = "x86_64")]
pub(super) mod gfni512;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(target_arch = "x86_64")]
pub(super) mod ssse3;

/// Defines `apply` with the given loops, each for a number of outputs.
///
/// Expects in scope: `zero()`, `load(*const u8)`, `store(*mut u8, vector)`, `prepare(vector)`, and `add_product(sum,
/// prepared, constant)`. Rows shorter than a vector go to the kernel `$shorter`.
macro_rules! kernel {
    (
        $features:literal, $width:literal, $most:literal, $shorter:path;
        $($name:ident $count:literal: $($sum:ident $r:literal)*;)*
    ) => {
        /// `outputs[r]` = sum over c of `coefficients[c * stride + first + r] * inputs[c]`, overwriting.
        ///
        /// # Safety
        /// The machine has the instructions. All inputs and outputs are of one length;
        /// `first + outputs.len() <= stride` and `inputs.len() * stride <= coefficients.len()`.
        pub(in crate::gf) unsafe fn apply(
            coefficients: &[u8],
            stride: usize,
            first: usize,
            inputs: &[&[u8]],
            outputs: &mut [&mut [u8]],
        ) {
            if outputs.first().is_none_or(|row| row.len() < $width) {
                // SAFETY: this machine has the instructions of the shorter kernel too, and the rest is the same.
                #[allow(unused_unsafe)]
                unsafe { $shorter(coefficients, stride, first, inputs, outputs) };
                return;
            }
            let (mut first, mut rest) = (first, outputs);
            for left in (1..=rest.len().div_ceil($most)).rev() {
                let count = rest.len().div_ceil(left);
                let (now, later) = rest.split_at_mut(count);
                match count {
                    // SAFETY: as asked of the caller; the outputs are a part of the caller's, of which
                    // there are `count` from `first` on, no shorter than a vector.
                    $($count => unsafe { $name(coefficients, stride, first, inputs, now) },)*
                    _ => unreachable!("groups of at most {}", $most),
                }
                (first, rest) = (first + count, later);
            }
        }

        $(
            /// As `apply`, for exactly so many outputs, no shorter than a vector.
            #[target_feature(enable = $features)]
            unsafe fn $name(
                coefficients: &[u8],
                stride: usize,
                first: usize,
                inputs: &[&[u8]],
                outputs: &mut [&mut [u8]],
            ) {
                let length = outputs[0].len();
                let mut at = 0;
                loop {
                    $(let mut $sum = zero();)*
                    let mut column = coefficients.as_ptr().wrapping_add(first);
                    for input in inputs {
                        // SAFETY: `at` is at most `length` less a vector, and the input is of that length.
                        // Column c of the coefficients has `stride` of them from c * stride on, of
                        // which those from `first` on are at least as many as there are outputs.
                        unsafe {
                            let x = prepare(load(input.as_ptr().add(at)));
                            $($sum = add_product($sum, x, *column.add($r));)*
                        }
                        column = column.wrapping_add(stride);
                    }
                    // SAFETY: there are so many outputs, and each has a vector left at `at`.
                    unsafe { $(store(outputs.get_unchecked_mut($r).as_mut_ptr().add(at), $sum);)* }
                    at += $width;
                    if at + $width > length {
                        if at >= length {
                            break;
                        }
                        // The last vector overlaps the one before, and writes the same there once more.
                        at = length - $width;
                    }
                }
            }
        )*
    };
}

/// [`kernel!`] for up to eight outputs at a time: for machines with sixteen vector registers.
macro_rules! kernel8 {
    ($features:literal, $width:literal, $shorter:path) => {
        kernel! {
            $features, $width, 8, $shorter;
            rows1 1: a 0;
            rows2 2: a 0 b 1;
            rows3 3: a 0 b 1 c 2;
            rows4 4: a 0 b 1 c 2 d 3;
            rows5 5: a 0 b 1 c 2 d 3 e 4;
            rows6 6: a 0 b 1 c 2 d 3 e 4 f 5;
            rows7 7: a 0 b 1 c 2 d 3 e 4 f 5 g 6;
            rows8 8: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7;
        }
    };
}

/// [`kernel!`] for up to sixteen outputs at a time: for machines with thirty-two vector registers.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel16 {
    ($features:literal, $width:literal, $shorter:path) => {
        kernel! {
            $features, $width, 16, $shorter;
            rows1 1: a 0;
            rows2 2: a 0 b 1;
            rows3 3: a 0 b 1 c 2;
            rows4 4: a 0 b 1 c 2 d 3;
            rows5 5: a 0 b 1 c 2 d 3 e 4;
            rows6 6: a 0 b 1 c 2 d 3 e 4 f 5;
            rows7 7: a 0 b 1 c 2 d 3 e 4 f 5 g 6;
            rows8 8: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7;
            rows9 9: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8;
            rows10 10: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9;
            rows11 11: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10;
            rows12 12: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11;
            rows13 13: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12;
            rows14 14: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13;
            rows15 15: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14;
            rows16 16: a 0 b 1 c 2 d 3 e 4 f 5 g 6 h 7 i 8 j 9 k 10 l 11 m 12 n 13 o 14 p 15;
        }
    };
}

#[cfg(target_arch = "x86_64")]
use kernel16;
use {kernel, kernel8};
