//! The library's errors as Python exceptions, one to one.

use std::io;
use std::path::Path;

use dbs::error::{Error, FailedBlock};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

create_exception!(dbs, Error_, PyException, "An error of a .dbs file.");
create_exception!(dbs, NotDbs, Error_, "The bytes are not a .dbs file.");
create_exception!(
    dbs,
    Unsupported,
    Error_,
    "A version or a feature that this library does not know."
);
create_exception!(
    dbs,
    Damaged,
    Error_,
    "Damaged beyond repair; `failed_blocks` says what is lost."
);
create_exception!(
    dbs,
    WrongPassphrase,
    Error_,
    "The passphrase opens no key slot."
);
create_exception!(
    dbs,
    AuthenticationFailed,
    Error_,
    "The bytes are intact and were altered by somebody."
);
create_exception!(dbs, LimitExceeded, Error_, "The file asks for too much.");
create_exception!(dbs, Misuse, Error_, "The caller asked for what cannot be.");

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let named = [
        ("Error", py.get_type::<Error_>()),
        ("NotDbs", py.get_type::<NotDbs>()),
        ("Unsupported", py.get_type::<Unsupported>()),
        ("Damaged", py.get_type::<Damaged>()),
        ("WrongPassphrase", py.get_type::<WrongPassphrase>()),
        (
            "AuthenticationFailed",
            py.get_type::<AuthenticationFailed>(),
        ),
        ("LimitExceeded", py.get_type::<LimitExceeded>()),
        ("Misuse", py.get_type::<Misuse>()),
    ];
    for (name, class) in named {
        class.setattr("__name__", name)?;
        class.setattr("__qualname__", name)?;
        class.setattr("__module__", "dbs")?;
        module.add(name, class)?;
    }
    Ok(())
}

/// The exception for an error.
pub(crate) fn exception(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Io(error) => os_error(error, None),
        Error::NotDbs(_) => NotDbs::new_err(text),
        Error::Unsupported(_) => Unsupported::new_err(text),
        Error::Damaged(damage) => Python::attach(|py| {
            let exception = Damaged::new_err(text);
            match failed_blocks(py, &damage.blocks)
                .and_then(|list| exception.value(py).setattr("failed_blocks", list))
            {
                Ok(()) => exception,
                Err(error) => error,
            }
        }),
        Error::WrongPassphrase { .. } => WrongPassphrase::new_err(text),
        Error::Authentication(_) => AuthenticationFailed::new_err(text),
        Error::Limit { .. } => LimitExceeded::new_err(text),
        Error::Misuse(_) => Misuse::new_err(text),
        _ => Error_::new_err(text),
    }
}

/// The exception for an error that came through `Read` or `Write`.
pub(crate) fn io_exception(error: io::Error) -> PyErr {
    match error.downcast::<Error>() {
        Ok(error) => exception(error),
        Err(error) => os_error(error, None),
    }
}

/// An error of the operating system as Python has it (`FileNotFoundError`, ...), with its number and
/// its path; an exception of a Python file as it was.
pub(crate) fn os_error(error: io::Error, path: Option<&Path>) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return error.into();
    };
    let text = error.to_string();
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_string();
    // `OSError` itself picks the subclass that belongs to the number.
    match path {
        Some(path) => PyOSError::new_err((number, text, path.as_os_str().to_os_string())),
        None => PyOSError::new_err((number, text)),
    }
}

/// Lost blocks in the shape that the command's JSON has.
pub(crate) fn failed_blocks<'py>(
    py: Python<'py>,
    blocks: &[FailedBlock],
) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for block in blocks {
        let item = PyDict::new(py);
        item.set_item("block", block.block)?;
        item.set_item("kind", block.kind)?;
        match &block.payload {
            Some(range) => {
                let payload = PyDict::new(py);
                payload.set_item("start", range.start)?;
                payload.set_item("end", range.end)?;
                item.set_item("payload", payload)?;
            }
            None => item.set_item("payload", py.None())?,
        }
        list.append(item)?;
    }
    Ok(list)
}
