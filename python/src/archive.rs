//! Reading a container.

use std::io::Write;
use std::sync::{Arc, Mutex};

use dbs::{EntryKind, OpenOptions};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::{Misuse, exception};
use crate::files::{self, Output, lock};
use crate::report::Report;
use crate::versions::{Stream, found};

/// Opens a container of any version: a path, bytes, or a binary file. `uncached` asks the disk for it, whatever the
/// system remembers.
#[pyfunction]
#[pyo3(signature = (source, /, *replicas, threads=None, uncached=false))]
pub(crate) fn open(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    replicas: &Bound<'_, pyo3::types::PyTuple>,
    threads: Option<usize>,
    uncached: bool,
) -> PyResult<Archive> {
    let mut sources = vec![files::source(source, uncached)?];
    for replica in replicas {
        sources.push(files::source(&replica, uncached)?);
    }
    let mut options = OpenOptions::default();
    options.threads = threads.unwrap_or(0);
    let inner = py
        .detach(|| dbs::Archive::open_with(sources, options))
        .map_err(exception)?;
    Ok(Archive {
        inner: Arc::new(inner),
    })
}

/// An open container. Validating and repairing need no passphrase.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Archive {
    inner: Arc<dbs::Archive>,
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
        let inner = py
            .detach(|| self.inner.unlock(&passphrase))
            .map_err(exception)?;
        Ok(Payload {
            container: Arc::clone(&self.inner),
            inner,
            found: Found::default(),
        })
    }
}

/// What is known of the reading of a payload.
type Found = Arc<Mutex<Option<dbs::Report>>>;

/// An unlocked payload. All bytes that it returns are authentic.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Payload {
    container: Arc<dbs::Archive>,
    inner: dbs::Unlocked,
    found: Found,
}

impl Payload {
    fn v3(&self) -> PyResult<&dbs::Payload> {
        match &self.inner {
            dbs::Unlocked::V3(payload) => Ok(payload),
            _ => Err(Misuse::new_err(
                "a payload of version 1 or 2 can be read from its start only",
            )),
        }
    }

    fn manifest(&self) -> Option<&dbs::v3::manifest::Manifest> {
        match &self.inner {
            dbs::Unlocked::V3(payload) => payload.manifest(),
            _ => None,
        }
    }
}

#[pymethods]
impl Payload {
    fn __len__(&self) -> PyResult<usize> {
        Ok(usize::try_from(self.v3()?.len()).unwrap_or(usize::MAX))
    }

    /// Media type of the payload.
    #[getter]
    fn media_type(&self) -> Option<String> {
        Some(self.manifest()?.media_type.clone())
    }

    /// The program that wrote it.
    #[getter]
    fn producer(&self) -> Option<String> {
        Some(self.manifest()?.producer.clone())
    }

    /// When it was written, in seconds since 1970-01-01 UTC.
    #[getter]
    fn created(&self) -> Option<i64> {
        Some(self.manifest()?.created)
    }

    /// Whether any range can be read at once.
    #[getter]
    fn seekable(&self) -> bool {
        matches!(self.inner, dbs::Unlocked::V3(_))
    }

    /// At most `size` bytes at `offset`.
    fn read_at<'py>(
        &self,
        py: Python<'py>,
        offset: u64,
        size: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let payload = self.v3()?;
        let end = offset.saturating_add(size).min(payload.len());
        let data = py
            .detach(|| {
                let mut data = Vec::new();
                let report = payload.copy_range_to(offset.min(end)..end, &mut data)?;
                merge(&self.found, report);
                Ok(data)
            })
            .map_err(exception)?;
        Ok(PyBytes::new(py, &data))
    }

    /// A stream of the whole payload from its start.
    fn reader(&self, py: Python<'_>) -> PyResult<Reader> {
        let stream = py.detach(|| Stream::of(&self.inner)).map_err(exception)?;
        Ok(Reader {
            inner: Mutex::new(Some(stream)),
            found: Arc::clone(&self.found),
        })
    }

    /// Writes the whole payload to a binary file.
    fn copy_to(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Report> {
        let (mut output, _) = Output::from(target)?;
        py.detach(|| {
            let report = match &self.inner {
                dbs::Unlocked::V3(payload) => payload.copy_to(&mut output)?,
                dbs::Unlocked::V2(payload) => {
                    payload.copy_to(&mut output)?;
                    found(&self.container)?
                }
                dbs::Unlocked::V1(payload) => {
                    payload.copy_to(&mut output)?;
                    found(&self.container)?
                }
            };
            output.flush()?;
            Ok(report)
        })
        .map(Report)
        .map_err(exception)
    }

    /// Writes what is left of the payload, with zeros for what is lost; the report names it.
    fn salvage_to(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<Report> {
        let payload = self.v3()?;
        let (mut output, _) = Output::from(target)?;
        py.detach(|| {
            let report = payload.salvage_to(&mut output)?;
            output.flush()?;
            Ok(report)
        })
        .map(Report)
        .map_err(exception)
    }

    /// Versions 1 and 2: writes what is left of the payload, with zeros for what is lost where its
    /// length is known. Returns the holes in what was written as pairs of start and end, in order;
    /// where a length is not known (behind compression), nothing stands for it and the two are
    /// equal.
    fn salvage_stream(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<(u64, u64)>> {
        let (mut output, _) = Output::from(target)?;
        let salvage = py
            .detach(|| match &self.inner {
                dbs::Unlocked::V1(payload) => payload.salvage_to(&mut output),
                dbs::Unlocked::V2(payload) => payload.salvage_to(&mut output),
                dbs::Unlocked::V3(_) => Err(dbs::Error::Misuse(
                    "a payload of version 3 is salvaged with salvage_to".into(),
                )),
            })
            .map_err(exception)?;
        let holes = salvage.gaps.iter();
        Ok(holes
            .map(|gap| (gap.at, gap.at + gap.filled.unwrap_or(0)))
            .collect())
    }

    /// The index of a tar payload: dictionaries in the order of the payload.
    fn entries<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let payload = self.v3()?;
        let entries = py
            .detach(|| {
                let mut entries = Vec::new();
                payload.entries(|entry| {
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
    fn report(&self, py: Python<'_>) -> PyResult<Option<Report>> {
        if let Some(found) = lock(&self.found).clone() {
            return Ok(Some(Report(found)));
        }
        if self.seekable() {
            return Ok(None);
        }
        // Streams of versions 1 and 2 do not say what they healed: look through the container.
        let report = py.detach(|| found(&self.container)).map_err(exception)?;
        *lock(&self.found) = Some(report.clone());
        Ok(Some(Report(report)))
    }
}

/// Adds what one reading found to what others found.
fn merge(found: &Found, report: dbs::Report) {
    let mut found = lock(found);
    match found.as_mut() {
        None => *found = Some(report),
        Some(sum) => sum.merge(report),
    }
}

/// A stream of a payload. After an error it keeps failing.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Reader {
    inner: Mutex<Option<Stream>>,
    found: Found,
}

#[pymethods]
impl Reader {
    /// At most `size` bytes; all that is left where it is negative. Empty at the end.
    #[pyo3(signature = (size=-1, /))]
    fn read<'py>(&self, py: Python<'py>, size: i64) -> PyResult<Bound<'py, PyBytes>> {
        let data = py.detach(|| -> PyResult<Vec<u8>> {
            let mut inner = lock(&self.inner);
            let stream = inner
                .as_mut()
                .ok_or_else(|| Misuse::new_err("the stream is closed"))?;
            let mut data = Vec::new();
            let limit = u64::try_from(size).unwrap_or(u64::MAX);
            stream.read(limit, &mut data).map_err(exception)?;
            if let Some(report) = stream.report() {
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
