//! GFNI: a product with a constant is one instruction. Sixteen bytes, for short rows.

use std::arch::x86_64::*;

use super::kernel;
use crate::gf::field::AFFINE;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("gfni,avx", 16, crate::gf::portable::bytes, up to 8);
}

type Vector = __m128i;
type Prepared = __m128i;
/// The product as a matrix over GF(2), in every eight bytes.
type Constant = __m128i;

#[inline]
#[target_feature(enable = "gfni,avx")]
fn zero() -> Vector {
    _mm_setzero_si128()
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_storeu_si128(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx")]
fn prepare(x: Vector) -> Prepared {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx")]
fn constant(constant: u8) -> Constant {
    _mm_set1_epi64x(AFFINE[usize::from(constant)] as i64)
}

#[inline]
#[target_feature(enable = "gfni,avx")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = _mm_gf2p8affine_epi64_epi8::<0>(x, a);
    let y = _mm_gf2p8affine_epi64_epi8::<0>(y, b);
    _mm_xor_si128(sum, _mm_xor_si128(x, y))
}
