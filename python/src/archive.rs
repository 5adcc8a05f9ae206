//! Reading a container.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use dbs::{EntryKind, OpenOptions};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::{Misuse, exception};
use crate::files::{self, Output, lock};
use crate::report::Report;

/// Opens a container of any version: a path, bytes, or a binary file.
#[pyfunction]
#[pyo3(signature = (source, /, *replicas, threads=None))]
pub(crate) fn open(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    replicas: &Bound<'_, pyo3::types::PyTuple>,
    threads: Option<usize>,
) -> PyResult<Archive> {
    let mut sources = vec![files::source(source)?];
    for replica in replicas {
        sources.push(files::source(&replica)?);
    }
    let mut options = OpenOptions::default();
    options.threads = threads.unwrap_or(0);
    let inner = py
        .detach(|| dbs::Archive::open_with(sources, options))
        .map_err(exception)?;
    Ok(Archive { inner })
}

/// An open container. Validating and repairing need no passphrase.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Archive {
    inner: dbs::Archive,
}

#[pymethods]
impl Archive {
    /// The version: 1, 2 or 3.
    #[getter]
    fn version(&self) -> u8 {
        self.inner.version().number()
    }

    /// Checks everything; with a passphrase, decrypts everything as well.
    #[pyo3(signature = (passphrase=None))]
    fn validate(&self, py: Python<'_>, passphrase: Option<&Bound<'_, PyAny>>) -> PyResult<Report> {
        let passphrase = passphrase
            .filter(|value| !value.is_none())
            .map(files::passphrase)
            .transpose()?;
        py.detach(|| self.inner.validate(passphrase.as_ref()))
            .map(Report)
            .map_err(exception)
    }

    /// Writes the repaired container to a binary file that can seek.
    fn repair(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Report> {
        let (mut output, _) = Output::from(target)?;
        py.detach(|| self.inner.repair(None, &mut output))
            .map(Report)
            .map_err(exception)
    }

    /// Opens the payload.
    fn unlock(&self, py: Python<'_>, passphrase: &Bound<'_, PyAny>) -> PyResult<Payload> {
        let passphrase = files::passphrase(passphrase)?;
        py.detach(|| self.inner.unlock(&passphrase).and_then(dbs::Unlocked::into_v3))
            .map(Payload::new)
            .map_err(exception)
    }
}

/// What is known of the reading of a payload.
type Found = Arc<Mutex<Option<dbs::Report>>>;

/// An unlocked payload. All bytes that it returns are authentic.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Payload {
    inner: dbs::Payload,
    found: Found,
}

impl Payload {
    fn new(inner: dbs::Payload) -> Self {
        Payload {
            inner,
            found: Found::default(),
        }
    }
}

#[pymethods]
impl Payload {
    fn __len__(&self) -> usize {
        usize::try_from(self.inner.len()).unwrap_or(usize::MAX)
    }

    /// Media type of the payload.
    #[getter]
    fn media_type(&self) -> Option<String> {
        Some(self.inner.manifest()?.media_type.clone())
    }

    /// The program that wrote it.
    #[getter]
    fn producer(&self) -> Option<String> {
        Some(self.inner.manifest()?.producer.clone())
    }

    /// When it was written, in seconds since 1970-01-01 UTC.
    #[getter]
    fn created(&self) -> Option<i64> {
        Some(self.inner.manifest()?.created)
    }

    /// Whether any range can be read at once.
    #[getter]
    fn seekable(&self) -> bool {
        true
    }

    /// At most `size` bytes at `offset`.
    fn read_at<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        size: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let end = offset.saturating_add(size).min(self.inner.len());
        let data = py
            .detach(|| {
                let mut data = Vec::new();
                let report = self
                    .inner
                    .copy_range_to(offset.min(end)..end, &mut data)?;
                merge(&self.found, report);
                Ok(data)
            })
            .map_err(exception)?;
        Ok(PyBytes::new(py, &data))
    }

    /// A stream of the whole payload from its start.
    fn reader(&self) -> Reader {
        Reader {
            inner: Mutex::new(Some(self.inner.reader())),
            found: Arc::clone(&self.found),
        }
    }

    /// Writes the whole payload to a binary file.
    fn copy_to(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Report> {
        let (mut output, _) = Output::from(target)?;
        py.detach(|| {
            let report = self.inner.copy_to(&mut output)?;
            output.flush()?;
            Ok(report)
        })
        .map(Report)
        .map_err(exception)
    }

    /// Writes what is left of the payload, with zeros for what is lost; the report names it.
    fn salvage_to(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Report> {
        let (mut output, _) = Output::from(target)?;
        py.detach(|| {
            let report = self.inner.salvage_to(&mut output)?;
            output.flush()?;
            Ok(report)
        })
        .map(Report)
        .map_err(exception)
    }

    /// The index of a tar payload: dictionaries in the order of the payload.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let entries = py
            .detach(|| {
                let mut entries = Vec::new();
                self.inner.entries(|entry| {
                    entries.push(entry);
                    Ok(())
                })?;
                Ok(entries)
            })
            .map_err(exception)?;
        let list = PyList::empty(py);
        for entry in entries {
            let item = PyDict::new(py);
            item.set_item("path", PyBytes::new(py, &entry.path))?;
            item.set_item(
                "type",
                match entry.kind {
                    EntryKind::File => "file",
                    EntryKind::Directory => "directory",
                    EntryKind::Symlink => "symlink",
                    EntryKind::HardLink => "hardlink",
                    EntryKind::Other => "other",
                },
            )?;
            item.set_item("size", entry.size)?;
            item.set_item("mtime", entry.mtime)?;
            item.set_item("mtime_ns", entry.mtime_nanos)?;
            item.set_item("mode", entry.mode)?;
            item.set_item("offset", entry.offset)?;
            item.set_item("length", entry.length)?;
            item.set_item("target", entry.link.map(|link| PyBytes::new(py, &link)))?;
            list.append(item)?;
        }
        Ok(list)
    }

    /// What was found while this payload was read so far; a stream reports at its end.
    fn report(&self) -> Option<Report> {
        lock(&self.found).clone().map(Report)
    }
}

/// Adds what one reading found to what others found.
fn merge(found: &Found, report: dbs::Report) {
    let mut found = lock(found);
    match found.as_mut() {
        None => *found = Some(report),
        Some(sum) => {
            sum.blocks_healed = sum.blocks_healed.saturating_add(report.blocks_healed);
            sum.sectors_bad = sum.sectors_bad.saturating_add(report.sectors_bad);
        }
    }
}

/// A stream of a payload. After an error it keeps failing.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Reader {
    inner: Mutex<Option<dbs::v3::payload::Reader>>,
    found: Found,
}

#[pymethods]
impl Reader {
    /// At most `size` bytes; all that is left where it is negative. Empty at the end.
    #[pyo3(signature = (size=-1, /))]
    fn read<'py>(&self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyBytes>> {
        let data = py.detach(|| -> PyResult<Vec<u8>> {
            let mut inner = lock(&self.inner);
            let reader = inner
                .as_mut()
                .ok_or_else(|| Misuse::new_err("the stream is closed"))?;
            let mut data = Vec::new();
            let outcome = match u64::try_from(size) {
                Ok(size) => reader.by_ref().take(size).read_to_end(&mut data),
                Err(_) => reader.read_to_end(&mut data),
            };
            if let Err(error) = outcome {
                return Err(failure(reader, error));
            }
            if let Some(report) = reader.report() {
                let mut found = lock(&self.found);
                if found.is_none() {
                    *found = Some(report.clone());
                }
            }
            Ok(data)
        })?;
        Ok(PyBytes::new(py, &data))
    }

    /// Ends the reading.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock(&self.inner).take()));
    }
}

/// The library's own error where there is one, else what the stream said.
fn failure(reader: &mut dbs::v3::payload::Reader, error: io::Error) -> PyErr {
    match reader.take_error() {
        Some(error) => exception(error),
        None => error.into(),
    }
}
