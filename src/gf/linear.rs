//! A matrix over the field, applied to rows of bytes.

use super::Kernel;

/// A matrix over GF(2^8) that is applied to rows of bytes, every byte column by itself.
#[derive(Debug, Clone)]
pub struct LinearMap {
    kernel: Kernel,
    rows: usize,
    cols: usize,
    /// Column by column, so that the first columns can be used alone.
    coefficients: Vec<u8>,
}

impl LinearMap {
    /// The matrix whose coefficients are given row by row, for the fastest kernel of this machine.
    ///
    /// # Panics
    /// If `coefficients` is not `rows * cols` long.
    #[must_use]
    pub fn new(rows: usize, cols: usize, coefficients: &[u8]) -> Self {
        assert_eq!(coefficients.len(), rows * cols, "rows times columns");
        Self::from_fn(rows, cols, |r, c| coefficients[r * cols + c])
    }

    /// The matrix with the coefficient `f(row, column)`, for the fastest kernel of this machine.
    #[must_use]
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> u8) -> Self {
        let mut coefficients = Vec::with_capacity(rows * cols);
        for c in 0..cols {
            coefficients.extend((0..rows).map(|r| f(r, c)));
        }
        Self {
            kernel: Kernel::best(),
            rows,
            cols,
            coefficients,
        }
    }

    /// The same matrix, for the given kernel.
    #[must_use]
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    /// Number of rows, that is of outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns, that is of inputs.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The coefficient in row `r` and column `c`.
    #[must_use]
    pub fn coefficient(&self, r: usize, c: usize) -> u8 {
        self.coefficients[c * self.rows + r]
    }

    /// `outputs[r]` = sum over c of coefficient (r, c) times `inputs[c]`, overwriting the outputs.
    ///
    /// Fewer inputs than columns mean that the others are zero; fewer outputs than rows, that only
    /// the first rows are wanted. No inputs give zeros.
    ///
    /// # Panics
    /// If the slices are not all of one length, or more than the matrix has rows or columns.
    pub fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        self.apply_rows(0, inputs, outputs);
    }

    /// As [`apply`](Self::apply), for the rows `first..first + outputs.len()` of the matrix.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
    pub fn apply_rows(&self, first: usize, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        self.kernel
            .apply(&self.coefficients, self.rows, first, inputs, outputs);
    }
}
