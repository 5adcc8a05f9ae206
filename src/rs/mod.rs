//! Reed-Solomon codes: the matrix, encoding, erasures, errors.
//!
//! [`Code`] is the code of a version 3 block: 256 positions, one for every element of the field, of
//! which position 0 is always zero. [`ClassicCode`] is the code of versions 1 and 2.

mod classic;
mod code;
mod erasures;
mod errors;
mod solver;
#[cfg(test)]
mod tests;

pub use classic::{ClassicCode, ClassicDecoder, Corrected};
pub use code::Code;
pub use erasures::Recovery;
pub use errors::{Correction, Row, Trust};

/// Why a code could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not enough distinct rows in hand.
    #[error("{have} distinct rows in hand, {need} needed")]
    TooFew {
        /// Distinct usable rows in hand.
        have: usize,
        /// Rows needed.
        need: usize,
    },
    /// A slot that a block with so many data rows does not have, or that was given twice.
    #[error("slot {0} does not belong there")]
    Slot(u8),
    /// The number of data rows is 0 or more than the code has.
    #[error("{got} data rows, the code has 1 to {limit}")]
    Size {
        /// What was given.
        got: usize,
        /// The most that the code has.
        limit: usize,
    },
    /// The rows are not all of one length, or the numbers of rows and slots differ.
    #[error("the rows do not fit together")]
    Shape,
}

impl From<Error> for crate::Error {
    fn from(error: Error) -> Self {
        Self::Misuse(format!("Reed-Solomon: {error}"))
    }
}
