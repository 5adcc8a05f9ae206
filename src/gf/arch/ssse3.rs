//! SSSE3: two look-ups of sixteen bytes for a product, one for each half of the byte.

use std::arch::x86_64::*;

use super::{double, kernel};
use crate::gf::field::NIBBLES;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("ssse3", 16, crate::gf::portable::bytes, up to 8);
}

/// Rows of at least two vectors.
pub(in crate::gf) mod two {
    use super::{double, kernel};

    double!("ssse3", 16);
    kernel!("ssse3", 32, super::one::apply, up to 4);
}

type Vector = __m128i;
/// The low and the high halves of the bytes.
type Prepared = (__m128i, __m128i);
/// The products with the sixteen low halves, and with the sixteen high ones.
type Constant = (__m128i, __m128i);

#[inline]
#[target_feature(enable = "ssse3")]
fn zero() -> Vector {
    _mm_setzero_si128()
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "ssse3")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_loadu_si128(from.cast()) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "ssse3")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm_storeu_si128(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn prepare(x: Vector) -> Prepared {
    let mask = _mm_set1_epi8(15);
    (
        _mm_and_si128(x, mask),
        _mm_and_si128(_mm_srli_epi64::<4>(x), mask),
    )
}

#[inline]
#[target_feature(enable = "ssse3")]
fn constant(constant: u8) -> Constant {
    let tables = NIBBLES[usize::from(constant)].as_ptr();
    // SAFETY: the two tables are 32 bytes together; no alignment is needed.
    unsafe { (load(tables), load(tables.add(16))) }
}

#[inline]
#[target_feature(enable = "ssse3")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = _mm_xor_si128(_mm_shuffle_epi8(a.0, x.0), _mm_shuffle_epi8(a.1, x.1));
    let y = _mm_xor_si128(_mm_shuffle_epi8(b.0, y.0), _mm_shuffle_epi8(b.1, y.1));
    _mm_xor_si128(sum, _mm_xor_si128(x, y))
}
