//! GFNI: a product with a constant is one instruction. Thirty-two bytes at a time.

use std::arch::x86_64::*;

use super::{double, kernel};
use crate::gf::field::AFFINE;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("gfni,avx2", 32, crate::gf::arch::gfni128::one::apply, up to 8);
}

/// Rows of at least two vectors.
pub(in crate::gf) mod two {
    use super::{double, kernel};

    double!("gfni,avx2", 32);
    kernel!("gfni,avx2", 64, super::one::apply, up to 6);
}

type Vector = __m256i;
type Prepared = __m256i;
/// The product as a matrix over GF(2), in every eight bytes.
type Constant = __m256i;

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn zero() -> Vector {
    _mm256_setzero_si256()
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx2")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx2")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_storeu_si256(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn prepare(x: Vector) -> Prepared {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn constant(constant: u8) -> Constant {
    _mm256_set1_epi64x(AFFINE[usize::from(constant)] as i64)
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = _mm256_gf2p8affine_epi64_epi8::<0>(x, a);
    let y = _mm256_gf2p8affine_epi64_epi8::<0>(y, b);
    _mm256_xor_si256(sum, _mm256_xor_si256(x, y))
}
