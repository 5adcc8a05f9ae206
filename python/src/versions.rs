//! The three versions behind one face.

use std::io::{self, Read};

use dbs::{Archive, Error, Report, Result, Unlocked, v2, v3};

/// What is found in a container without a passphrase, after its contents were read with one.
pub(crate) fn found(archive: &Archive) -> Result<Report> {
    let mut report = archive.validate(None)?;
    report.decrypted = true;
    Ok(report)
}

/// A payload from its start to its end.
pub(crate) enum Stream {
    /// Versions 1 and 2.
    Old(v2::Reader),
    V3(v3::payload::Reader),
}

impl Stream {
    pub(crate) fn of(payload: &Unlocked) -> Result<Self> {
        Ok(match payload {
            Unlocked::V1(payload) => Stream::Old(payload.reader()?),
            Unlocked::V2(payload) => Stream::Old(payload.reader()?),
            Unlocked::V3(payload) => Stream::V3(payload.reader()),
        })
    }

    /// Adds up to `limit` bytes to `data`; fewer only at the end.
    pub(crate) fn read(&mut self, limit: u64, data: &mut Vec<u8>) -> Result<()> {
        let outcome = match self {
            Stream::Old(reader) => reader.take(limit).read_to_end(data),
            Stream::V3(reader) => reader.take(limit).read_to_end(data),
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// The library's own error where there is one, else what the stream said.
    fn error(&mut self, error: io::Error) -> Error {
        if let Stream::V3(reader) = self
            && let Some(error) = reader.take_error()
        {
            return error;
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
