//! GFNI with AVX-512: sixty-four bytes at a time, and twice the registers.

use std::arch::x86_64::*;

use super::{kernel, kernel16};
use crate::gf::field::AFFINE;

kernel16!("gfni,avx512f,avx512bw", 64, super::gfni256::apply);

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn zero() -> __m512i {
    _mm512_setzero_si512()
}

/// # Safety
/// 64 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
unsafe fn load(from: *const u8) -> __m512i {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

/// # Safety
/// 64 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
unsafe fn store(to: *mut u8, vector: __m512i) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm512_storeu_si512(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn prepare(x: __m512i) -> __m512i {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_product(sum: __m512i, x: __m512i, constant: u8) -> __m512i {
    let matrix = _mm512_set1_epi64(AFFINE[usize::from(constant)] as i64);
    _mm512_xor_si512(sum, _mm512_gf2p8affine_epi64_epi8::<0>(x, matrix))
}
