//! Where the kernels find the coefficients.

/// Coefficients in memory: those of a column are `ROW` bytes apart, those of a row `column` bytes.
///
/// The step between rows is a constant, so that the kernels reach all their rows from one pointer.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, const ROW: usize> {
    bytes: &'a [u8],
    column: usize,
}

impl<'a, const ROW: usize> Matrix<'a, ROW> {
    /// The matrix whose coefficient in row r and column c is `bytes[r * ROW + c * column]`.
    pub(super) fn new(bytes: &'a [u8], column: usize) -> Self {
        Self { bytes, column }
    }

    /// Whether it has so many rows and columns.
    pub(super) fn has(&self, rows: usize, cols: usize) -> bool {
        if rows == 0 || cols == 0 {
            return true;
        }
        let last_row = (rows - 1).checked_mul(ROW);
        let last_column = (cols - 1).checked_mul(self.column);
        let last = last_row
            .zip(last_column)
            .and_then(|(row, column)| row.checked_add(column));
        last.is_some_and(|last| last < self.bytes.len())
    }

    /// The matrix without its first rows.
    pub(super) fn skip_rows(self, row: usize) -> Self {
        Self {
            bytes: self.bytes.get(row.saturating_mul(ROW)..).unwrap_or(&[]),
            ..self
        }
    }

    /// The bytes of the columns, one after the other: row r is at r * `ROW` of each.
    pub(super) fn columns(self) -> impl Iterator<Item = &'a [u8]> {
        (0..).map_while(move |c| self.bytes.get(c * self.column..))
    }

    /// The coefficient in the first row and column, from which the kernels reach the others.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code)
    )]
    pub(super) fn as_ptr(self) -> *const u8 {
        self.bytes.as_ptr()
    }

    /// Bytes between the coefficients of a row.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code)
    )]
    pub(super) fn column_step(self) -> usize {
        self.column
    }
}
