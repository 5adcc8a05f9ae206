//! NEON: two look-ups of sixteen bytes for a product, one for each half of the byte.

use std::arch::aarch64::*;

use super::{kernel, kernel8};
use crate::gf::field::NIBBLES;
use crate::gf::portable::bytes;

kernel8!("neon", 16, bytes);

#[inline]
#[target_feature(enable = "neon")]
fn zero() -> uint8x16_t {
    vdupq_n_u8(0)
}

/// # Safety
/// 16 bytes can be read at `from`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(from: *const u8) -> uint8x16_t {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { vld1q_u8(from) }
}

/// # Safety
/// 16 bytes can be written at `to`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(to: *mut u8, vector: uint8x16_t) {
    // SAFETY: as asked of the caller; no alignment is needed.
    unsafe { vst1q_u8(to, vector) }
}

/// The low and the high halves of the bytes.
#[inline]
#[target_feature(enable = "neon")]
fn prepare(x: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
    (vandq_u8(x, vdupq_n_u8(15)), vshrq_n_u8::<4>(x))
}

#[inline]
#[target_feature(enable = "neon")]
fn add_product(sum: uint8x16_t, (low, high): (uint8x16_t, uint8x16_t), constant: u8) -> uint8x16_t {
    let tables = NIBBLES[usize::from(constant)].as_ptr();
    // SAFETY: the two tables are 32 bytes together.
    let (table_low, table_high) = unsafe { (load(tables), load(tables.add(16))) };
    veorq_u8(
        sum,
        veorq_u8(vqtbl1q_u8(table_low, low), vqtbl1q_u8(table_high, high)),
    )
}
