//! Writes payloads as django-dbs does.

use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::frames::{LONGEST, kind};
use super::{DOCUMENT_MAGIC, FRAMES_MAGIC, FileEntry, Header, json};
use crate::{Error, Result};

/// Bytes of a file in one frame.
const FILE_PIECE: usize = 1 << 20;
/// Files in one frame.
const FILES: usize = 1000;
/// Rows in one frame.
const ROWS: usize = 500;

fn migrations(header: &Header) -> Value {
    let entries = header.migrations.iter();
    let map: Map<String, Value> = entries
        .map(|(app, name)| (app.clone(), json!(name)))
        .collect();
    Value::Object(map)
}

/// Writes what stands before the bytes of the files in a `DBSPAY01` payload; the bytes of all files
/// must follow, in the order of `files`. Offsets and lengths are set here.
///
/// # Errors
/// [`Error::Misuse`] if the document is longer than 4 GiB, or what `out` says.
pub fn write_document(
    out: &mut dyn Write,
    header: &Header,
    records: &[Box<RawValue>],
    files: &mut [FileEntry],
    skipped: &[String],
) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        version: u8,
        created: &'a Option<String>,
        django_version: &'a Option<String>,
        migrations: Value,
        stats: Value,
        records: &'a [Box<RawValue>],
        files: &'a [FileEntry],
    }
    let mut offset = 0;
    for file in files.iter_mut() {
        (file.offset, file.length) = (offset, file.size);
        offset += file.size;
    }
    let mut counts: Vec<(String, u64)> = header.order.iter().map(|m| (m.clone(), 0)).collect();
    for record in records {
        let model = super::document::model(record)?;
        match counts.iter_mut().find(|(name, _)| *name == model) {
            Some((_, rows)) => *rows += 1,
            None => counts.push((model, 1)),
        }
    }
    let models: Vec<Value> = counts
        .iter()
        .map(|(model, count)| json!({"model": model, "count": count}))
        .collect();
    let document = Document {
        version: 1,
        created: &header.created,
        django_version: &header.django_version,
        migrations: migrations(header),
        stats: json!({
            "models": models,
            "records": records.len(),
            "files": files.len(),
            "skipped_files": skipped,
        }),
        records,
        files,
    };
    let text = json::to_vec(&document, true)?;
    let len = u32::try_from(text.len())
        .map_err(|_| Error::Misuse("the rows are too long for version 1".into()))?;
    out.write_all(DOCUMENT_MAGIC)?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(&text)?;
    Ok(())
}

/// Writes a `DBSPAY02` payload: the files in the order in which they are listed, then the rows.
pub struct FramesWriter<W: Write> {
    out: W,
    files: Vec<FileEntry>,
    /// The file whose bytes are being written.
    index: usize,
    digest: Sha256,
    size: u64,
    models: Vec<(String, u64)>,
    /// Rows of one model that wait for their frame.
    rows: Vec<Box<RawValue>>,
    model: Option<usize>,
    written: u64,
    skipped: Vec<String>,
}

impl<W: Write> FramesWriter<W> {
    /// Writes the header and the list of files.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W, header: &Header, files: Vec<FileEntry>) -> Result<Self> {
        out.write_all(FRAMES_MAGIC)?;
        let head = json!({
            "version": 2,
            "created": header.created,
            "django_version": header.django_version,
            "migrations": migrations(header),
            "order": header.order,
        });
        frame(&mut out, kind::HEADER, &json::to_vec(&head, false)?)?;
        for batch in files.chunks(FILES) {
            let items: Vec<Value> = batch
                .iter()
                .map(|f| {
                    json!({
                        "kind": f.kind, "size": f.size, "model": f.model, "pk": f.pk,
                        "field": f.field, "name": f.name, "root": f.root,
                    })
                })
                .collect();
            frame(&mut out, kind::MANIFEST, &json::to_vec(&items, false)?)?;
        }
        Ok(FramesWriter {
            out,
            files,
            index: 0,
            digest: Sha256::new(),
            size: 0,
            models: header.order.iter().map(|m| (m.clone(), 0)).collect(),
            rows: Vec::new(),
            model: None,
            written: 0,
            skipped: Vec::new(),
        })
    }

    /// Writes the next bytes of the file whose turn it is.
    ///
    /// # Errors
    /// [`Error::Misuse`] if all files were written, or what the output says.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        if self.index >= self.files.len() {
            return Err(Error::Misuse("there are no more files".into()));
        }
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        let index = u32::try_from(self.index).unwrap_or(u32::MAX).to_be_bytes();
        for piece in bytes.chunks(FILE_PIECE) {
            let len = u32::try_from(piece.len() + 4).unwrap_or(u32::MAX);
            self.out.write_all(&[kind::DATA])?;
            self.out.write_all(&len.to_be_bytes())?;
            self.out.write_all(&index)?;
            self.out.write_all(piece)?;
        }
        Ok(())
    }

    /// Ends the file whose turn it is; `skipped` says why it could not be read.
    ///
    /// # Errors
    /// [`Error::Misuse`] if all files were written, or what the output says.
    pub fn file_end(&mut self, skipped: Option<&str>) -> Result<()> {
        let Some(entry) = self.files.get(self.index) else {
            return Err(Error::Misuse("there are no more files".into()));
        };
        let digest: String = self
            .digest
            .finalize_reset()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let end = match skipped {
            Some(reason) => {
                self.skipped.push(format!("{} ({reason})", entry.name));
                json!({"index": self.index, "skipped": reason})
            }
            None => {
                self.written += 1;
                json!({"index": self.index, "size": self.size, "sha256": digest})
            }
        };
        frame(&mut self.out, kind::END, &json::to_vec(&end, false)?)?;
        self.index += 1;
        self.size = 0;
        Ok(())
    }

    /// Writes a row; those of one model together, in the order that the header gives.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a row out of order, or what the output says.
    pub fn record(&mut self, row: Box<RawValue>) -> Result<()> {
        if self.index < self.files.len() {
            return Err(Error::Misuse("files come before rows".into()));
        }
        let model = super::document::model(&row)?;
        let position = self.models.iter().position(|(name, _)| *name == model);
        let Some(position) = position.filter(|&p| self.model.is_none_or(|m| m <= p)) else {
            return Err(Error::Misuse(format!("a row of {model:?} out of order")));
        };
        if self.model != Some(position) || self.rows.len() == ROWS {
            self.flush_rows()?;
        }
        self.model = Some(position);
        self.models[position].1 += 1;
        self.rows.push(row);
        Ok(())
    }

    fn flush_rows(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        frame(&mut self.out, kind::RECORDS, &json::to_vec(&rows, true)?)
    }

    /// Writes the trailer, and gives the output back.
    ///
    /// # Errors
    /// [`Error::Misuse`] if files are missing, or what the output says.
    pub fn finish(mut self) -> Result<W> {
        if self.index < self.files.len() {
            return Err(Error::Misuse("not all files were written".into()));
        }
        self.flush_rows()?;
        let models: Vec<Value> = self
            .models
            .iter()
            .map(|(model, count)| json!({"model": model, "count": count}))
            .collect();
        let records: u64 = self.models.iter().map(|m| m.1).sum();
        let trailer = json!({"stats": {
            "models": models,
            "records": records,
            "files": self.written,
            "skipped_files": self.skipped,
        }});
        frame(
            &mut self.out,
            kind::TRAILER,
            &json::to_vec(&trailer, false)?,
        )?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn frame(out: &mut dyn Write, kind: u8, body: &[u8]) -> Result<()> {
    let len = u32::try_from(body.len())
        .ok()
        .filter(|&len| len <= LONGEST)
        .ok_or_else(|| Error::Misuse("a frame is longer than 256 MiB".into()))?;
    out.write_all(&[kind])?;
    out.write_all(&len.to_be_bytes())?;
    out.write_all(body)?;
    Ok(())
}
