//! NEON: two look-ups of sixteen bytes for a product, one for each half of the byte.

use std::arch::aarch64::*;

use super::{double, kernel};
use crate::gf::field::NIBBLES;

/// Rows of at least one vector.
pub(in crate::gf) mod one {
    use super::*;

    kernel!("neon", 16, crate::gf::portable::bytes, up to 8);
}

/// Rows of at least two vectors.
pub(in crate::gf) mod two {
    use super::{double, kernel};

    double!("neon", 16);
    kernel!("neon", 32, super::one::apply, up to 4);
}

type Vector = uint8x16_t;
/// The low and the high halves of the bytes.
type Prepared = (uint8x16_t, uint8x16_t);
/// The products with the sixteen low halves, and with the sixteen high ones.
type Constant = (uint8x16_t, uint8x16_t);

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> Vector {
    vdupq_n_u8(0)
}

/// # Safety
/// A vector can be read at `from`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const u8) -> Vector {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { vld1q_u8(from) }
}

/// # Safety
/// A vector can be written at `to`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut u8, vector: Vector) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { vst1q_u8(to, vector) }
}

#[inline]
#[target_feature(enable = "neon")]
fn prepare(x: Vector) -> Prepared {
    (vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x))
}

#[inline]
#[target_feature(enable = "neon")]
fn constant(constant: u8) -> Constant {
    let tables = NIBBLES[usize::from(constant)].as_ptr();
    // SAFETY: the two tables are 32 bytes together; no alignment is needed.
    unsafe { (load(tables), load(tables.add(16))) }
}

#[inline]
#[target_feature(enable = "neon")]
fn add_products(sum: Vector, x: Prepared, a: Constant, y: Prepared, b: Constant) -> Vector {
    let x = veorq_u8(vqtbl1q_u8(a.0, x.0), vqtbl1q_u8(a.1, x.1));
    let y = veorq_u8(vqtbl1q_u8(b.0, y.0), vqtbl1q_u8(b.1, y.1));
    veorq_u8(sum, veorq_u8(x, y))
}
