//! The field GF(2^8) with the polynomial 0x11D, and the kernels that do arithmetic in bulk.
//!
//! [`field`] has the arithmetic of single elements. [`LinearMap`] multiplies a matrix by rows of
//! bytes, all columns at once, with the fastest [`Kernel`] that the machine has. `ghash` is of the field GF(2^128).

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[allow(unsafe_code)]
mod arch;
pub mod field;
pub(crate) mod ghash;
mod kernel;
mod linear;
mod matrix;
mod portable;
#[cfg(test)]
mod tests;

pub use kernel::{Kernel, Level};
pub use linear::LinearMap;
