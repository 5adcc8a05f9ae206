//! GFNI: a product with a constant is one instruction. Thirty-two bytes at a time.

use std::arch::x86_64::*;

use super::{kernel, kernel8};
use crate::gf::field::AFFINE;

kernel8!("gfni,avx2", 32, super::gfni128::apply);

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn zero() -> __m256i {
    _mm256_setzero_si256()
}

/// # Safety
/// 32 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx2")]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// 32 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx2")]
unsafe fn store(to: *mut u8, vector: __m256i) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_storeu_si256(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn prepare(x: __m256i) -> __m256i {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx2")]
fn add_product(sum: __m256i, x: __m256i, constant: u8) -> __m256i {
    let matrix = _mm256_set1_epi64x(AFFINE[usize::from(constant)] as i64);
    _mm256_xor_si256(sum, _mm256_gf2p8affine_epi64_epi8::<0>(x, matrix))
}
