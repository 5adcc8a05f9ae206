//! AVX2: two look-ups of sixteen bytes for a product, in both halves of a vector.

use std::arch::x86_64::*;

use super::{double, kernel};
use crate::gf::field::NIBBLES;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("avx2", 32, crate::gf::arch::ssse3::one::apply, up to 8);
}

/// Rows of at least two vectors.
pub(in crate::gf) mod two {
    use super::{double, kernel};

    double!("avx2", 32);
    kernel!("avx2", 64, super::one::apply, up to 4);
}

type Vector = __m256i;
/// The low and the high halves of the bytes.
type Prepared = (__m256i, __m256i);
/// The products with the sixteen low halves, and with the sixteen high ones.
type Constant = (__m256i, __m256i);

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Vector {
    _mm256_setzero_si256()
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm256_storeu_si256(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn prepare(x: Vector) -> Prepared {
    let mask = _mm256_set1_epi8(15);
    (
        _mm256_and_si256(x, mask),
        _mm256_and_si256(_mm256_srli_epi64::<4>(x), mask),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn constant(constant: u8) -> Constant {
    let tables = NIBBLES[usize::from(constant)].as_ptr();
    // SAFETY: the two tables are 32 bytes together; no alignment is needed.
    unsafe {
        let (low, high) = (
            _mm_loadu_si128(tables.cast()),
            _mm_loadu_si128(tables.add(16).cast()),
        );
        (
            _mm256_broadcastsi128_si256(low),
            _mm256_broadcastsi128_si256(high),
        )
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = _mm256_xor_si256(_mm256_shuffle_epi8(a.0, x.0), _mm256_shuffle_epi8(a.1, x.1));
    let y = _mm256_xor_si256(_mm256_shuffle_epi8(b.0, y.0), _mm256_shuffle_epi8(b.1, y.1));
    _mm256_xor_si256(sum, _mm256_xor_si256(x, y))
}
