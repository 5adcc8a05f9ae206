//! `DBSPAY01`: one JSON document, then the bytes of the files.

use std::fmt;
use std::io::{BufRead, Read};

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::python::{Hiding, reveal, whole_pairs};
use super::{FileEntry, Sink, Summary, fill, malformed};
use crate::{Error, Limits, Result};

/// Reads what follows the magic.
pub(super) fn read(
    payload: &mut dyn BufRead,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Summary> {
    let mut len = [0; 4];
    fill(payload, &mut len)?;
    let json = payload.take(u64::from(u32::from_be_bytes(len)));
    let mut json = Hiding::new(json);
    let mut reading = Reading {
        sink,
        limits,
        summary: Summary::default(),
        files: Vec::new(),
        begun: false,
        failed: None,
    };
    reading.summary.header.version = 1;
    let mut deserializer = serde_json::Deserializer::from_reader(&mut json);
    let result = Document(&mut reading)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    if let Some(error) = reading.failed.take() {
        return Err(error);
    }
    if let Err(error) = result {
        return Err(if error.is_io() {
            crate::copies::inflate::from_io(error.into())
        } else {
            malformed(error.to_string())
        });
    }
    reading.begin()?;
    let Reading {
        sink,
        mut summary,
        files,
        ..
    } = reading;
    let mut position = 0;
    for (index, entry) in files.iter().enumerate() {
        let skip = entry
            .offset
            .checked_sub(position)
            .ok_or_else(|| malformed("files overlap, or are out of order"))?;
        let skipped = std::io::copy(&mut payload.take(skip), &mut std::io::sink());
        if skipped.map_err(crate::copies::inflate::from_io)? != skip {
            return Err(malformed("it ends early"));
        }
        sink.file(index as u64, entry)?;
        copy(payload, entry, sink)?;
        sink.file_end(entry, None)?;
        position = entry
            .offset
            .checked_add(entry.length)
            .ok_or_else(|| malformed("a file is too long"))?;
        summary.files += 1;
    }
    // The rest is read too, so that its digest is checked.
    let rest = std::io::copy(payload, &mut std::io::sink());
    if rest.map_err(crate::copies::inflate::from_io)? > 0 {
        return Err(malformed("bytes follow the last file"));
    }
    Ok(summary)
}

fn copy(payload: &mut dyn BufRead, entry: &FileEntry, sink: &mut dyn Sink) -> Result<()> {
    let mut digest = Sha256::new();
    let mut left = entry.length;
    while left > 0 {
        let piece = payload
            .fill_buf()
            .map_err(crate::copies::inflate::from_io)?;
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if n == 0 {
            return Err(malformed("it ends early"));
        }
        digest.update(&piece[..n]);
        sink.data(&piece[..n])?;
        payload.consume(n);
        left -= n as u64;
    }
    check(digest, entry, &entry.sha256)
}

/// Compares a file's digest with the one recorded.
pub(super) fn check(digest: Sha256, entry: &FileEntry, recorded: &str) -> Result<()> {
    let hex: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if hex == recorded {
        return Ok(());
    }
    Err(malformed(format!(
        "the file {:?} does not have its recorded SHA-256",
        entry.name
    )))
}

struct Reading<'a> {
    sink: &'a mut dyn Sink,
    limits: &'a Limits,
    summary: Summary,
    files: Vec<FileEntry>,
    begun: bool,
    /// What the sink said; JSON errors carry text only.
    failed: Option<Error>,
}

impl Reading<'_> {
    fn begin(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.sink.header(&self.summary.header)?;
        }
        Ok(())
    }

    fn record(&mut self, json: &RawValue) -> Result<()> {
        self.begin()?;
        let model = model(json)?;
        pass(self.sink, &model, json)?;
        count(&mut self.summary, &model);
        Ok(())
    }
}

/// Hands a row over as it was written.
pub(super) fn pass(sink: &mut dyn Sink, model: &str, json: &RawValue) -> Result<()> {
    match reveal(json.get()) {
        None => sink.record(model, json),
        Some(text) => sink.python_record(model, &text),
    }
}

/// An item of a list of files.
pub(super) fn entry(json: &str) -> serde_json::Result<FileEntry> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(&whole_pairs(json)))
}

/// The model of a row, which must be an object with fields and a primary key.
pub(super) fn model(json: &RawValue) -> Result<String> {
    #[derive(Deserialize)]
    struct Row {
        model: String,
        #[serde(rename = "fields")]
        _fields: std::collections::BTreeMap<String, IgnoredAny>,
    }
    let row: Row =
        serde_json::from_str(json.get()).map_err(|error| malformed(format!("a row: {error}")))?;
    Ok(row.model)
}

/// Counts a row.
pub(super) fn count(summary: &mut Summary, model: &str) {
    summary.records += 1;
    match summary
        .models
        .iter_mut()
        .rev()
        .find(|(name, _)| name == model)
    {
        Some((_, rows)) => *rows += 1,
        None => summary.models.push((model.to_owned(), 1)),
    }
}

/// What the writer says about what it skipped.
#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    skipped_files: Vec<String>,
}

struct Document<'a, 'b>(&'a mut Reading<'b>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the document of a payload")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => {
                    let version: u64 = map.next_value()?;
                    if version != 1 {
                        return Err(A::Error::custom(format!("version {version}")));
                    }
                }
                "created" => reading.summary.header.created = map.next_value()?,
                "django_version" => reading.summary.header.django_version = map.next_value()?,
                "migrations" => {
                    let found: Option<std::collections::BTreeMap<String, String>> =
                        map.next_value()?;
                    reading.summary.header.migrations =
                        found.unwrap_or_default().into_iter().collect();
                }
                "order" => {
                    let order: Option<Vec<String>> = map.next_value()?;
                    reading.summary.header.order = order.unwrap_or_default();
                }
                "stats" => {
                    let stats: Option<Stats> = map.next_value()?;
                    reading.summary.skipped = stats.map_or(Vec::new(), |s| s.skipped_files);
                }
                "records" => map.next_value_seed(Rows(reading))?,
                "files" => map.next_value_seed(Files(reading))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Rows<'a, 'b>(&'a mut Reading<'b>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Box<RawValue>>()? {
            if let Err(error) = self.0.record(&row) {
                self.0.failed = Some(error);
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

struct Files<'a, 'b>(&'a mut Reading<'b>);

impl<'de> DeserializeSeed<'de> for Files<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Files<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut files: A) -> Result<(), A::Error> {
        let mut memory = 0_u64;
        while let Some(json) = files.next_element::<Box<RawValue>>()? {
            let entry = entry(json.get()).map_err(A::Error::custom)?;
            memory += super::frames::cost(&entry);
            if memory > self.0.limits.memory {
                self.0.failed = Some(Error::Limit {
                    what: "list of files, in bytes",
                    got: memory,
                    limit: self.0.limits.memory,
                });
                return Err(A::Error::custom("stopped"));
            }
            self.0.files.push(entry);
        }
        Ok(())
    }
}
