//! Files that Python hands over: as operating system files where they are, else through their
//! methods.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use dbs::{Disk, Source};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::PyBytes;

use crate::errors::os_error;

/// Locks; a panic elsewhere would leave values behind that are whole as they are.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A passphrase from a `str` or `bytes`.
pub(crate) fn passphrase(value: &Bound<'_, PyAny>) -> PyResult<dbs::Passphrase> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(dbs::Passphrase::new(bytes.as_bytes()));
    }
    let text: PyBackedStr = value
        .extract()
        .map_err(|_| PyTypeError::new_err("a passphrase is a str or bytes"))?;
    Ok(dbs::Passphrase::new(text.as_bytes()))
}

/// Bytes of Python, read where they are.
struct Bytes(PyBackedBytes);

impl Source for Bytes {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0[..].read_at(buf, offset)
    }
}

/// A source from a path, bytes, or a binary file; one of the operating system's is read past the page cache if
/// `uncached` is set.
pub(crate) fn source(value: &Bound<'_, PyAny>, uncached: bool) -> PyResult<Arc<dyn Source>> {
    let from_file = |file: File| -> Arc<dyn Source> {
        match uncached {
            true => Arc::new(Disk::new(file)),
            false => Arc::new(file),
        }
    };
    if let Ok(bytes) = value.extract::<PyBackedBytes>() {
        return Ok(Arc::new(Bytes(bytes)));
    }
    if value.hasattr("read")? {
        if let Some(file) = os_file(value)? {
            return Ok(from_file(file));
        }
        value.call_method1("seek", (0,))?;
        let bytes: PyBackedBytes = value.call_method0("read")?.extract()?;
        return Ok(Arc::new(Bytes(bytes)));
    }
    let path: PathBuf = value.extract().map_err(|_| {
        PyTypeError::new_err("a backup is a path, bytes, or a file opened in binary mode")
    })?;
    let py = value.py();
    let file = py
        .detach(|| {
            let file = File::open(&path)?;
            if file.metadata()?.is_dir() {
                // Its "size" would be without end.
                return Err(io::Error::from_raw_os_error(21));
            }
            Ok(file)
        })
        .map_err(|error| os_error(error, Some(&path)))?;
    Ok(from_file(file))
}

/// The operating system's file behind a Python file, with the same position.
fn os_file(value: &Bound<'_, PyAny>) -> PyResult<Option<File>> {
    #[cfg(unix)]
    {
        use std::os::fd::{BorrowedFd, OwnedFd};
        let Ok(number) = value.call_method0("fileno") else {
            return Ok(None);
        };
        let number: i32 = number.extract()?;
        if number < 0 {
            return Ok(None);
        }
        if value.hasattr("flush")? {
            value.call_method0("flush")?;
        }
        let owned: OwnedFd = borrow(number, |fd: BorrowedFd<'_>| fd.try_clone_to_owned())?;
        Ok(Some(File::from(owned)))
    }
    #[cfg(not(unix))]
    {
        let _ = value;
        Ok(None)
    }
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn borrow<T>(
    number: i32,
    work: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<T>,
) -> io::Result<T> {
    // SAFETY: the number comes from `fileno()` of a Python file that the caller keeps alive, and
    // the interpreter's lock is held, so that nobody closes it meanwhile.
    work(unsafe { std::os::fd::BorrowedFd::borrow_raw(number) })
}

/// A file of Python that is none of the operating system.
pub(crate) struct PyFile(Py<PyAny>);

impl Write for PyFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let written = self.0.call_method1(py, "write", (PyBytes::new(py, buf),))?;
            // Files without buffers may take less, and some writers return nothing.
            match written.extract::<Option<usize>>(py)? {
                Some(n) if n <= buf.len() => Ok(n),
                _ => Ok(buf.len()),
            }
        })
        .map_err(|error: PyErr| io::Error::other(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PyFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let data = self.0.call_method1(py, "read", (buf.len(),))?;
            let data: PyBackedBytes = data.extract(py)?;
            let n = data.len().min(buf.len());
            buf[..n].copy_from_slice(&data[..n]);
            Ok(n)
        })
        .map_err(|error: PyErr| io::Error::other(error))
    }
}

impl Seek for PyFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        Python::attach(|py| {
            let position = match to {
                SeekFrom::Start(n) => self.0.call_method1(py, "seek", (n, 0))?,
                SeekFrom::Current(n) => self.0.call_method1(py, "seek", (n, 1))?,
                SeekFrom::End(n) => self.0.call_method1(py, "seek", (n, 2))?,
            };
            position.extract(py)
        })
        .map_err(|error: PyErr| io::Error::other(error))
    }
}

/// Where a container is written to.
pub(crate) enum Output {
    /// A file of the operating system.
    File(File),
    /// An object with `write`, and perhaps `read` and `seek`.
    Python(PyFile),
}

impl Output {
    /// The output of a writer, and whether it can be read back.
    pub(crate) fn from(value: &Bound<'_, PyAny>) -> PyResult<(Self, bool)> {
        if !value.hasattr("write")? {
            return Err(PyTypeError::new_err(
                "a container is written to a file opened in binary mode",
            ));
        }
        let says = |name: &str| -> bool {
            value
                .call_method0(name)
                .and_then(|answer| answer.is_truthy())
                .unwrap_or(false)
        };
        let back = says("seekable") && says("readable");
        Ok(match os_file(value)? {
            Some(file) => (Output::File(file), back),
            None => (Output::Python(PyFile(value.clone().unbind())), back),
        })
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.write(buf),
            Output::Python(file) => file.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(file) => file.flush(),
            Output::Python(file) => file.flush(),
        }
    }
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Output::File(file) => file.read(buf),
            Output::Python(file) => file.read(buf),
        }
    }
}

impl Seek for Output {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Output::File(file) => file.seek(to),
            Output::Python(file) => file.seek(to),
        }
    }
}
