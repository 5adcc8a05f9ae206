//! Writing a container.

use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex};

use dbs::{
    Compression, Disk, DiskStream, Entry, EntryKind, KdfParams, Passphrase, Profile, WriterOptions,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::errors::{Misuse, exception, io_exception};
use crate::files::{Output, lock, passphrase};

/// Writes one container to a binary file. What is written to it is the payload.
///
/// A container is whole only after `finish`.
#[pyclass(frozen, module = "dbs")]
pub(crate) struct Writer {
    // Locked only while the interpreter's lock is released: the output may be a Python file.
    inner: Mutex<Option<Inner>>,
}

/// A writer, by what it writes to.
enum Inner {
    /// A file of the operating system, past the page cache.
    Disk(Box<dbs::Writer<DiskStream>>),
    /// Anything else.
    Any(Box<dbs::Writer<Output>>),
}

impl Inner {
    fn new(
        output: Output,
        back: bool,
        passphrase: &Passphrase,
        options: WriterOptions,
    ) -> dbs::Result<Self> {
        Ok(match output {
            Output::File(mut file) if back => {
                let start = file.stream_position()?;
                let out = DiskStream::new(Arc::new(Disk::new(file)), start);
                Inner::Disk(Box::new(dbs::Writer::on_disk(out, passphrase, options)?))
            }
            output if back => {
                Inner::Any(Box::new(dbs::Writer::create(output, passphrase, options)?))
            }
            output => Inner::Any(Box::new(dbs::Writer::stream(output, passphrase, options)?)),
        })
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Inner::Disk(writer) => writer.write_all(data),
            Inner::Any(writer) => writer.write_all(data),
        }
    }

    fn entry(&mut self, entry: &Entry) -> dbs::Result<()> {
        match self {
            Inner::Disk(writer) => writer.entry(entry),
            Inner::Any(writer) => writer.entry(entry),
        }
    }

    /// Leaves the output's position behind the container.
    fn finish(self) -> dbs::Result<()> {
        match self {
            Inner::Disk(writer) => {
                let mut out = writer.finish()?;
                let end = out.stream_position()?;
                out.disk().file().seek(SeekFrom::Start(end))?;
            }
            Inner::Any(writer) => writer.finish()?.flush()?,
        }
        Ok(())
    }
}

fn finished() -> PyErr {
    Misuse::new_err("the writer is closed")
}

#[pymethods]
impl Writer {
    #[new]
    #[pyo3(signature = (target, passphrase, *, profile="standard", level=3, kdf=None, threads=None,
                        lag=None, media_type=None, producer=None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        passphrase: &Bound<'_, PyAny>,
        profile: &str,
        level: i32,
        kdf: Option<(u16, u32, u8)>,
        threads: Option<usize>,
        lag: Option<u32>,
        media_type: Option<String>,
        producer: Option<String>,
    ) -> PyResult<Self> {
        let passphrase = self::passphrase(passphrase)?;
        let mut options = WriterOptions::default();
        options.profile = match profile {
            "standard" => Profile::Standard,
            "coded" => Profile::Coded,
            "light" => Profile::Light,
            other => {
                return Err(PyValueError::new_err(format!(
                    "there is no profile {other:?}: standard, coded or light"
                )));
            }
        };
        options.compression = if level == 0 {
            Compression::None
        } else {
            Compression::Zstd(level)
        };
        if let Some((passes, memory_kib, lanes)) = kdf {
            options.kdf = KdfParams {
                passes,
                memory_kib,
                lanes,
            };
        }
        options.threads = threads.unwrap_or(0);
        options.lag = lag;
        if let Some(media_type) = media_type {
            options.media_type = media_type;
        }
        if let Some(producer) = producer {
            options.producer = producer;
        }
        let (output, back) = Output::from(target)?;
        let inner = py
            .detach(|| Inner::new(output, back, &passphrase, options))
            .map_err(exception)?;
        Ok(Writer {
            inner: Mutex::new(Some(inner)),
        })
    }

    /// Takes bytes of the payload.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let data: PyBackedBytes = match data.extract() {
            Ok(data) => data,
            // Other objects with a buffer, such as a memoryview.
            Err(_) => py
                .get_type::<pyo3::types::PyBytes>()
                .call1((data,))?
                .extract()?,
        };
        py.detach(|| -> PyResult<usize> {
            let mut inner = lock(&self.inner);
            let writer = inner.as_mut().ok_or_else(finished)?;
            writer.write_all(&data).map_err(io_exception)?;
            Ok(data.len())
        })
    }

    /// Adds an entry to the index of a tar payload.
    #[pyo3(signature = (path, kind, size, mtime, mtime_ns, mode, offset, length, target, /))]
    #[allow(clippy::too_many_arguments)]
    fn entry(
        &self,
        py: Python<'_>,
        path: Vec<u8>,
        kind: u8,
        size: u64,
        mtime: i64,
        mtime_ns: u32,
        mode: u32,
        offset: u64,
        length: u64,
        target: Option<Vec<u8>>,
    ) -> PyResult<()> {
        let kind = match kind {
            0 => EntryKind::File,
            1 => EntryKind::Directory,
            2 => EntryKind::Symlink,
            3 => EntryKind::HardLink,
            _ => EntryKind::Other,
        };
        let entry = Entry {
            path,
            kind,
            size,
            mtime,
            mtime_nanos: mtime_ns,
            mode,
            offset,
            length,
            link: target,
        };
        py.detach(|| {
            let mut inner = lock(&self.inner);
            inner
                .as_mut()
                .ok_or_else(finished)?
                .entry(&entry)
                .map_err(exception)
        })
    }

    /// Writes all that is still to be written.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| {
            let inner = lock(&self.inner).take().ok_or_else(finished)?;
            inner.finish().map_err(exception)
        })
    }

    /// Forgets the container if it is not finished; what was written so far is worthless then.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock(&self.inner).take()));
    }
}
