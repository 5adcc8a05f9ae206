//! What a validation, a repair or a restore found.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::errors::failed_blocks;

/// What was found in a container.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Report(pub(crate) dbs::Report);

#[pymethods]
impl Report {
    /// Version of the container: 1, 2 or 3.
    #[getter]
    fn version(&self) -> u8 {
        self.0.version.number()
    }

    /// ``clean``, ``recoverable`` or ``unrecoverable``.
    #[getter]
    fn status(&self) -> &'static str {
        self.0.status().as_str()
    }

    /// Blocks of the archive.
    #[getter]
    fn blocks(&self) -> u64 {
        self.0.blocks
    }

    /// Blocks that were damaged and healed.
    #[getter]
    fn blocks_healed(&self) -> u64 {
        self.0.blocks_healed
    }

    /// Stored sectors that the archive should have.
    #[getter]
    fn sectors(&self) -> u64 {
        self.0.sectors
    }

    /// Sectors that are missing or damaged.
    #[getter]
    fn sectors_bad(&self) -> u64 {
        self.0.sectors_bad
    }

    /// Blocks that cannot be repaired.
    #[getter]
    fn failed_blocks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        failed_blocks(py, &self.0.failed_blocks)
    }

    /// Whether the contents were decrypted and authenticated as well.
    #[getter]
    fn decrypted(&self) -> bool {
        self.0.decrypted
    }

    /// Further findings, a sentence each.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.0.notes.clone()
    }

    /// The same as plain values, named as in the JSON of the command ``dbs``.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        values.set_item("format_version", self.version())?;
        values.set_item("status", self.status())?;
        values.set_item("blocks", self.0.blocks)?;
        values.set_item("blocks_healed", self.0.blocks_healed)?;
        values.set_item("sectors", self.0.sectors)?;
        values.set_item("sectors_bad", self.0.sectors_bad)?;
        values.set_item("failed_blocks", self.failed_blocks(py)?)?;
        values.set_item("decrypted", self.0.decrypted)?;
        values.set_item("notes", self.0.notes.clone())?;
        Ok(values)
    }

    fn __repr__(&self) -> String {
        format!("<dbs.Report {}>", self.status())
    }
}
