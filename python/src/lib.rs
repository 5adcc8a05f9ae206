//! The codec as the Python module `dbs._native`.
//!
//! Everything that takes time runs without the interpreter's lock.

mod archive;
mod errors;
mod files;
mod report;
mod versions;
mod writer;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add_to(module)?;
    module.add_class::<archive::Archive>()?;
    module.add_class::<archive::Payload>()?;
    module.add_class::<archive::Reader>()?;
    module.add_class::<report::Report>()?;
    module.add_class::<writer::Writer>()?;
    module.add_function(wrap_pyfunction!(archive::open, module)?)
}
