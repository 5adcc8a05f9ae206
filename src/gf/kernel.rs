//! Which instructions do the work, found at run time.

use super::portable;

/// A set of machine instructions for which there is a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust, for every machine.
    Portable,
}

impl Level {
    /// Every level, slowest first.
    const ALL: &[Self] = &[Self::Portable];
}

/// A kernel that this machine can run. The only way to get one is to have it detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Level);

impl Kernel {
    /// The kernel of the level, or `None` if this machine lacks the instructions.
    #[must_use]
    pub fn new(level: Level) -> Option<Self> {
        match level {
            Level::Portable => Some(Self(level)),
        }
    }

    /// All the kernels that this machine can run, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Level::ALL
            .iter()
            .filter_map(|&level| Self::new(level))
            .collect()
    }

    /// The fastest kernel of this machine.
    #[must_use]
    pub fn best() -> Self {
        Level::ALL
            .iter()
            .rev()
            .find_map(|&level| Self::new(level))
            .unwrap_or(Self(Level::Portable))
    }

    /// The instructions that it uses.
    #[must_use]
    pub fn level(self) -> Level {
        self.0
    }

    /// `outputs[r]` = sum over c of `coefficients[c * stride + first + r] * inputs[c]`, overwriting.
    ///
    /// # Panics
    /// If the rows are not all of one length, or the coefficients too few. The kernels rely on it.
    pub(crate) fn apply(
        self,
        coefficients: &[u8],
        stride: usize,
        first: usize,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) {
        let Some(length) = outputs.first().map(|row| row.len()) else {
            return;
        };
        assert!(
            inputs.iter().all(|row| row.len() == length),
            "inputs and outputs of one length"
        );
        assert!(
            outputs.iter().all(|row| row.len() == length),
            "outputs of one length"
        );
        assert!(
            first + outputs.len() <= stride,
            "as many outputs as the matrix has rows"
        );
        assert!(
            inputs.len() * stride <= coefficients.len(),
            "as many inputs as the matrix has columns"
        );
        match self.0 {
            Level::Portable => portable::apply(coefficients, stride, first, inputs, outputs),
        }
    }
}
