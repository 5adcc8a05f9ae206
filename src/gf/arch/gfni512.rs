//! GFNI with AVX-512: sixty-four bytes at a time, twice the registers, sums of three.

use std::arch::x86_64::*;

use super::{double, kernel};
use crate::gf::field::AFFINE;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("gfni,avx512f,avx512bw", 64, crate::gf::arch::gfni256::one::apply, up to 8);
}

/// Rows of at least two vectors.
pub(in crate::gf) mod two {
    use super::{double, kernel};

    double!("gfni,avx512f,avx512bw", 64);
    kernel!("gfni,avx512f,avx512bw", 128, super::one::apply, up to 8);
}

type Vector = __m512i;
type Prepared = __m512i;
/// The product as a matrix over GF(2), in every eight bytes.
type Constant = __m512i;

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn zero() -> Vector {
    _mm512_setzero_si512()
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm512_loadu_si512(from.cast()) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { _mm512_storeu_si512(to.cast(), vector) }
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn prepare(x: Vector) -> Prepared {
    x
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn constant(constant: u8) -> Constant {
    _mm512_set1_epi64(AFFINE[usize::from(constant)] as i64)
}

#[inline]
#[target_feature(enable = "gfni,avx512f,avx512bw")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = _mm512_gf2p8affine_epi64_epi8::<0>(x, a);
    let y = _mm512_gf2p8affine_epi64_epi8::<0>(y, b);
    _mm512_ternarylogic_epi64::<0x96>(sum, x, y)
}
