//! What django-dbs puts into its containers: rows and files.
//!
//! `DBSPAY01` (in version 1) is one JSON document with all rows, then the bytes of the files;
//! `DBSPAY02` (in version 2) is a stream of frames. Both are read as a stream of events, with
//! memory for one row and one batch of file entries: `spec/dbs-v1.md` and `spec/dbs-v2.md` have the
//! formats to the last key. Rows are passed on as the JSON that they were written as.

mod document;
mod entry;
mod frames;
mod json;
mod python;
mod write;

use std::io::Read;

use serde_json::value::RawValue;

use crate::error::Damage;
use crate::{Error, Limits, Result};

pub use entry::{FileEntry, Kind};
pub use write::{FramesWriter, write_document};

/// First bytes of the payload in version 1.
pub const DOCUMENT_MAGIC: &[u8; 8] = b"DBSPAY01";
/// First bytes of the payload in version 2.
pub const FRAMES_MAGIC: &[u8; 8] = b"DBSPAY02";

/// What a payload says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 1 or 2.
    pub version: u8,
    /// When the backup was made: ISO 8601.
    pub created: Option<String>,
    /// Version of Django.
    pub django_version: Option<String>,
    /// The last applied migration of each app.
    pub migrations: Vec<(String, String)>,
    /// Labels of the models, in the order of the rows.
    pub order: Vec<String>,
}

/// What a payload held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The header.
    pub header: Header,
    /// Rows of each model, in the order of their first row.
    pub models: Vec<(String, u64)>,
    /// Rows in all.
    pub records: u64,
    /// Files in all, without those skipped.
    pub files: u64,
    /// Files that the writer could not read, and why.
    pub skipped: Vec<String>,
}

/// Takes what a payload holds, as it comes: version 1 has the rows first, version 2 the files.
pub trait Sink {
    /// What the payload says about itself, as far as it is known before everything else.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn header(&mut self, header: &Header) -> Result<()> {
        let _ = header;
        Ok(())
    }

    /// A row: `{"model": …, "pk": …, "fields": {…}}`, as it was written.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn record(&mut self, model: &str, json: &RawValue) -> Result<()>;

    /// A row that no JSON of RFC 8259 can say: as Python writes it, with a `NaN`, `Infinity` or `-Infinity` in it. It is refused
    /// unless this is implemented.
    ///
    /// # Errors
    /// What the sink says.
    fn python_record(&mut self, model: &str, text: &str) -> Result<()> {
        let _ = text;
        Err(malformed(format!(
            "a row of {model:?} has a NaN or an infinity"
        )))
    }

    /// A file begins. Its digest is known here in version 1 only.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn file(&mut self, index: u64, entry: &FileEntry) -> Result<()>;

    /// The next bytes of the file.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn data(&mut self, bytes: &[u8]) -> Result<()>;

    /// The file ends, and its bytes have the recorded SHA-256; or it was skipped, and why.
    ///
    /// # Errors
    /// Any error stops the reading.
    fn file_end(&mut self, entry: &FileEntry, skipped: Option<&str>) -> Result<()>;
}

/// Whether a payload that begins with these bytes is one of django-dbs.
#[must_use]
pub fn recognises(first: &[u8]) -> bool {
    first.starts_with(DOCUMENT_MAGIC) || first.starts_with(FRAMES_MAGIC)
}

/// Reads a payload to its end.
///
/// # Errors
/// [`Error::NotDbs`] if it is no payload of django-dbs, [`Error::Damaged`] where it breaks the
/// format or a file does not have its digest, [`Error::Limit`], and what reading or the sink say.
pub fn read(payload: impl Read, limits: &Limits, sink: &mut dyn Sink) -> Result<Summary> {
    let mut payload = std::io::BufReader::with_capacity(256 << 10, payload);
    let mut magic = [0; 8];
    fill(&mut payload, &mut magic)?;
    match &magic {
        DOCUMENT_MAGIC => document::read(&mut payload, limits, sink),
        FRAMES_MAGIC => frames::read(&mut payload, limits, sink),
        _ => Err(Error::NotDbs("the payload is not one of django-dbs".into())),
    }
}

/// The payload breaks its format: what sealed it was not a django-dbs that works.
fn malformed(what: impl Into<String>) -> Error {
    Error::Damaged(Damage {
        what: format!("the payload is malformed: {}", what.into()),
        blocks: Vec::new(),
    })
}

/// Fills the buffer, and keeps errors of our own that came through `Read`.
fn fill(payload: &mut dyn Read, buf: &mut [u8]) -> Result<()> {
    payload.read_exact(buf).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => malformed("it ends early"),
        _ => crate::copies::inflate::from_io(error),
    })
}
