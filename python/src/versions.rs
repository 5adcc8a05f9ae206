//! The three versions behind one face.

use std::io::{self, Read, Seek, Write};
use std::sync::Arc;

use dbs::{Error, OpenOptions, Passphrase, Report, Result, Source, v1, v2, v3};

/// An open container.
pub(crate) enum Container {
    V1(v1::Container),
    V2(v2::Container),
    V3(dbs::Archive),
}

impl Container {
    /// Opens a container by what its bytes say.
    pub(crate) fn open(sources: Vec<Arc<dyn Source>>, options: OpenOptions) -> Result<Self> {
        let limits = options.limits;
        let first = sources.first().map(Arc::clone);
        let mut head = [0; 8];
        if let Some(source) = &first {
            source.read_full_at(&mut head, 0)?;
        }
        // A damaged old container may begin with anything; a new one never begins like this.
        let old_first = &head == b"DBSCON01";
        if old_first {
            if let Some(old) = Self::open_old(first.as_ref(), limits)? {
                return Ok(old);
            }
        }
        match dbs::Archive::open_with(sources, options) {
            Ok(archive) => Ok(Container::V3(archive)),
            Err(error @ Error::NotDbs(_)) if !old_first => {
                Self::open_old(first.as_ref(), limits)?.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    fn open_old(source: Option<&Arc<dyn Source>>, limits: dbs::Limits) -> Result<Option<Self>> {
        let Some(source) = source else {
            return Ok(None);
        };
        if let Some(container) = v2::Container::open(Arc::clone(source), limits)? {
            return Ok(Some(Container::V2(container)));
        }
        let container = v1::Container::open(Arc::clone(source), limits)?;
        Ok(container.map(Container::V1))
    }

    pub(crate) fn validate(&self, passphrase: Option<&Passphrase>) -> Result<Report> {
        match self {
            Container::V1(container) => container.validate(passphrase),
            Container::V2(container) => container.validate(passphrase),
            Container::V3(archive) => archive.validate(passphrase),
        }
    }

    /// What is found without a passphrase, after the contents were read with one.
    pub(crate) fn found(&self) -> Result<Report> {
        let mut report = self.validate(None)?;
        report.decrypted = true;
        Ok(report)
    }

    pub(crate) fn repair(&self, out: &mut (impl Write + Seek)) -> Result<Report> {
        match self {
            Container::V1(container) => container.repair(None, out),
            Container::V2(container) => container.repair(None, out),
            Container::V3(archive) => archive.repair(out),
        }
    }

    pub(crate) fn unlock(&self, passphrase: &Passphrase) -> Result<Contents> {
        Ok(match self {
            Container::V1(container) => Contents::V1(container.unlock(passphrase)?),
            Container::V2(container) => Contents::V2(container.unlock(passphrase)?),
            Container::V3(archive) => Contents::V3(archive.unlock(passphrase)?),
        })
    }
}

/// An unlocked payload.
pub(crate) enum Contents {
    V1(v1::Payload),
    V2(v2::Payload),
    V3(dbs::Payload),
}

impl Contents {
    pub(crate) fn stream(&self) -> Result<Stream> {
        Ok(match self {
            Contents::V1(payload) => Stream::V1(payload.reader()?),
            Contents::V2(payload) => Stream::V2(payload.reader()?),
            Contents::V3(payload) => Stream::V3(payload.reader()),
        })
    }
}

/// A payload from its start to its end.
pub(crate) enum Stream {
    V1(v1::Reader),
    V2(v2::Reader),
    V3(v3::payload::Reader),
}

impl Stream {
    /// Adds up to `limit` bytes to `data`; fewer only at the end.
    pub(crate) fn read(&mut self, limit: u64, data: &mut Vec<u8>) -> Result<()> {
        let outcome = match self {
            Stream::V1(reader) => reader.take(limit).read_to_end(data),
            Stream::V2(reader) => reader.take(limit).read_to_end(data),
            Stream::V3(reader) => reader.take(limit).read_to_end(data),
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// The library's own error where there is one, else what the stream said.
    fn error(&mut self, error: io::Error) -> Error {
        if let Stream::V3(reader) = self {
            if let Some(error) = reader.take_error() {
                return error;
            }
        }
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::Io(error),
        }
    }

    pub(crate) fn report(&self) -> Option<&Report> {
        match self {
            Stream::V3(reader) => reader.report(),
            _ => None,
        }
    }
}
