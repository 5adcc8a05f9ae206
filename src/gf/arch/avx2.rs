//! AVX2: as SSSE3, with thirty-two bytes at a time.

use std::arch::x86_64::*;

use super::{kernel, kernel8};
use crate::gf::field::NIBBLES;

kernel8!("avx2", 32, super::ssse3::apply);

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> __m256i {
    _mm256_setzero_si256()
}

/// # Safety
/// 32 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// 32 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut u8, vector: __m256i) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_storeu_si256(to.cast(), vector) }
}

/// The low and the high halves of the bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn prepare(x: __m256i) -> (__m256i, __m256i) {
    let mask = _mm256_set1_epi8(15);
    (
        _mm256_and_si256(x, mask),
        _mm256_and_si256(_mm256_srli_epi64::<4>(x), mask),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_product(sum: __m256i, (low, high): (__m256i, __m256i), constant: u8) -> __m256i {
    let tables: *const __m128i = NIBBLES[usize::from(constant)].as_ptr().cast();
    // SAFETY: the two tables are 32 bytes together; no alignment is needed.
    let (table_low, table_high) =
        unsafe { (_mm_loadu_si128(tables), _mm_loadu_si128(tables.add(1))) };
    let low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table_low), low);
    let high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table_high), high);
    _mm256_xor_si256(sum, _mm256_xor_si256(low, high))
}
