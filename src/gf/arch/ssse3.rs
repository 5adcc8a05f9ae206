//! SSSE3: two look-ups of sixteen bytes for a product, one for each half of the byte.

use std::arch::x86_64::*;

use super::{kernel, kernel8};
use crate::gf::field::NIBBLES;
use crate::gf::portable::bytes;

kernel8!("ssse3", 16, bytes);

#[inline]
#[target_feature(enable = "ssse3")]
fn zero() -> __m128i {
    _mm_setzero_si128()
}

/// # Safety
/// 16 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "ssse3")]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// 16 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "ssse3")]
unsafe fn store(to: *mut u8, vector: __m128i) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_storeu_si128(to.cast(), vector) }
}

/// The low and the high halves of the bytes.
#[inline]
#[target_feature(enable = "ssse3")]
fn prepare(x: __m128i) -> (__m128i, __m128i) {
    let mask = _mm_set1_epi8(15);
    (
        _mm_and_si128(x, mask),
        _mm_and_si128(_mm_srli_epi64::<4>(x), mask),
    )
}

#[inline]
#[target_feature(enable = "ssse3")]
fn add_product(sum: __m128i, (low, high): (__m128i, __m128i), constant: u8) -> __m128i {
    let tables = NIBBLES[usize::from(constant)].as_ptr();
    // SAFETY: the two tables are 32 bytes together.
    let (table_low, table_high) = unsafe { (load(tables), load(tables.add(16))) };
    let product = _mm_xor_si128(
        _mm_shuffle_epi8(table_low, low),
        _mm_shuffle_epi8(table_high, high),
    );
    _mm_xor_si128(sum, product)
}
