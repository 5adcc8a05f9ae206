//! Kernels in vector instructions. The only place where `unsafe` is allowed.
//!
//! `clmul` is GHASH, in another field. Every other module says what a vector is, and how products with constants are added to one. The macros make the loops
//! of that: the sums of so many outputs stay in registers, each vector of the inputs is loaded once for
//! them, and two inputs at a time. The loops over the outputs are unrolled by the macros,
//! because compilers keep arrays of vectors in memory.
//!
//! A module has these items, all for the same instructions: `zero()`; `load(*const u8)` and `store(*mut u8, vector)`,
//! which need no alignment; `prepare(vector)`, what is done once to an input; `constant(u8)`, what is fetched to
//! multiply by it; and `add_products(sum, x, a, y, b)`, which is sum + a·x + b·y.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod clmul;
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

/// Bytes of all the inputs that are worked on at a time: a multiple of every vector.
const TILE: usize = 1024;

/// Defines `apply`, for rows of at least `$width` bytes, of the items in scope. Shorter rows go to `$shorter`.
macro_rules! kernel {
    ($features:literal, $width:literal, $shorter:path, up to 4) => {
        $crate::gf::arch::kernel! {
            $features, $width, $shorter, 4;
            rows1 1: a 0;
            rows2 2: a 0 b 1;
            rows3 3: a 0 b 1 c 2;
            rows4 4: a 0 b 1 c 2 d 3;
        }
    };
    ($features:literal, $width:literal, $shorter:path, up to 6) => {
        $crate::gf::arch::kernel! {
            $features, $width, $shorter, 6;
            rows1 1: a 0;
            rows2 2: a 0 b 1;
            rows3 3: a 0 b 1 c 2;
            rows4 4: a 0 b 1 c 2 d 3;
            rows5 5: a 0 b 1 c 2 d 3 e 4;
            rows6 6: a 0 b 1 c 2 d 3 e 4 f 5;
        }
    };
    ($features:literal, $width:literal, $shorter:path, up to 8) => {
        $crate::gf::arch::kernel! {
            $features, $width, $shorter, 8;
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
    (
        $features:literal, $width:literal, $shorter:path, $most:literal;
        $($name:ident $count:literal: $($sum:ident $r:literal)*;)*
    ) => {
        /// `outputs[r]` = sum over c of the coefficient in row r and column c times `inputs[c]`, overwriting.
        ///
        /// # Safety
        /// The machine has the instructions. All inputs and outputs are of one length. The matrix has a
        /// row for every output and a column for every input.
        pub(in crate::gf) unsafe fn apply<const ROW: usize>(
            matrix: $crate::gf::matrix::Matrix<'_, ROW>,
            inputs: &[&[u8]],
            outputs: &mut [&mut [u8]],
        ) {
            if outputs.first().is_none_or(|row| row.len() < $width) {
                // SAFETY: a machine with these instructions has those of the shorter kernel, and the
                // rest is the same.
                #[allow(unused_unsafe)]
                unsafe { $shorter(matrix, inputs, outputs) };
                return;
            }
            // A tile of all the inputs stays in the cache while the groups of outputs take their turns.
            let length = outputs[0].len();
            for tile in (0..length).step_by($crate::gf::arch::TILE) {
                let tile = tile..length.min(tile + $crate::gf::arch::TILE);
                let (mut matrix, mut rest) = (matrix, &mut *outputs);
                for left in (1..=rest.len().div_ceil($most)).rev() {
                    let count = rest.len().div_ceil(left);
                    let (now, later) = rest.split_at_mut(count);
                    let tile = tile.clone();
                    match count {
                        // SAFETY: as asked of the caller. The outputs are `count` of the caller's with
                        // the rows for them, no shorter than a vector.
                        $($count => unsafe { $name(matrix, inputs, now, tile) },)*
                        _ => unreachable!("groups of at most {}", $most),
                    }
                    (matrix, rest) = (matrix.skip_rows(count), later);
                }
            }
        }

        $(
            /// As `apply`, for exactly so many outputs, no shorter than a vector, and a range of the bytes.
            /// Vectors that would end behind the rows begin earlier, and write once more what is there.
            #[target_feature(enable = $features)]
            unsafe fn $name<const ROW: usize>(
                matrix: $crate::gf::matrix::Matrix<'_, ROW>,
                inputs: &[&[u8]],
                outputs: &mut [&mut [u8]],
                range: std::ops::Range<usize>,
            ) {
                let last = outputs[0].len() - $width;
                let (pairs, odd) = inputs.as_chunks::<2>();
                for at in range.step_by($width) {
                    let at = at.min(last);
                    $(let mut $sum = zero();)*
                    let mut column = matrix.as_ptr();
                    for [x, y] in pairs {
                        let next = column.wrapping_add(matrix.column_step());
                        // SAFETY: `at` is at most the length of the rows less a vector, and the matrix
                        // has a column for every input with a row for every output.
                        unsafe {
                            let x = prepare(load(x.as_ptr().add(at)));
                            let y = prepare(load(y.as_ptr().add(at)));
                            $($sum = add_products(
                                $sum,
                                x,
                                constant(*column.add($r * ROW)),
                                y,
                                constant(*next.add($r * ROW)),
                            );)*
                        }
                        column = next.wrapping_add(matrix.column_step());
                    }
                    if let [x] = odd {
                        // SAFETY: as before.
                        unsafe {
                            let x = prepare(load(x.as_ptr().add(at)));
                            $($sum = add_products($sum, x, constant(*column.add($r * ROW)), x, constant(0));)*
                        }
                    }
                    // SAFETY: there are so many outputs, and each has a vector left at `at`.
                    unsafe { $(store(outputs.get_unchecked_mut($r).as_mut_ptr().add(at), $sum);)* }
                }
            }
        )*
    };
}

/// Defines the items of two vectors side by side, for which a constant is fetched once.
macro_rules! double {
    ($features:literal, $width:literal) => {
        type Two<T> = (T, T);

        #[inline]
        #[target_feature(enable = $features)]
        fn zero() -> Two<super::Vector> {
            (super::zero(), super::zero())
        }

        /// # Safety
        /// Two vectors can be read at `from`.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn load(from: *const u8) -> Two<super::Vector> {
            // SAFETY: as asked of the caller.
            unsafe { (super::load(from), super::load(from.add($width))) }
        }

        /// # Safety
        /// Two vectors can be written at `to`.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn store(to: *mut u8, vectors: Two<super::Vector>) {
            // SAFETY: as asked of the caller.
            unsafe {
                super::store(to, vectors.0);
                super::store(to.add($width), vectors.1);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn prepare(x: Two<super::Vector>) -> Two<super::Prepared> {
            (super::prepare(x.0), super::prepare(x.1))
        }

        use super::constant;

        #[inline]
        #[target_feature(enable = $features)]
        fn add_products(
            sum: Two<super::Vector>,
            x: Two<super::Prepared>,
            a: super::Constant,
            y: Two<super::Prepared>,
            b: super::Constant,
        ) -> Two<super::Vector> {
            (
                super::add_products(sum.0, x.0, a, y.0, b),
                super::add_products(sum.1, x.1, a, y.1, b),
            )
        }
    };
}

use {double, kernel};
