//! GFNI: a product with a constant is one instruction. Sixteen bytes, for short rows.

use std::arch::x86_64::*;

use super::{kernel, kernel8};
use crate::gf::field::AFFINE;
use crate::gf::portable::bytes;

kernel8!("gfni,avx", 16, bytes);

#[inline]
#[target_feature(enable = "gfni,avx")]
fn zero() -> __m128i {
    _mm_setzero_si128()
}

/// # Safety
/// 16 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx")]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// 16 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx")]
unsafe fn store(to: *mut u8, vector: __m128i) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_storeu_si128(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx")]
fn prepare(x: __m128i) -> __m128i {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx")]
fn add_product(sum: __m128i, x: __m128i, constant: u8) -> __m128i {
    let matrix = _mm_set1_epi64x(AFFINE[usize::from(constant)] as i64);
    _mm_xor_si128(sum, _mm_gf2p8affine_epi64_epi8::<0>(x, matrix))
}
