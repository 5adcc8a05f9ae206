//! `DBSPAY02`: frames. One H, any M, then the files (D… E), the rows (R), one T.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use nom::IResult;
use nom::Parser;
use nom::number::complete::{be_u8, be_u32};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::document::{check, count, entry, model, pass};
use super::python::Hide;
use super::{FileEntry, Header, Sink, Summary, fill, malformed};
use crate::{Error, Limits, Result};

/// Longest frame.
pub(super) const LONGEST: u32 = 256 << 20;
/// Bytes before a frame's body.
const PREFIX: usize = 5;

/// The kinds of frames.
pub(super) mod kind {
    pub(in super::super) const HEADER: u8 = b'H';
    pub(in super::super) const MANIFEST: u8 = b'M';
    pub(in super::super) const DATA: u8 = b'D';
    pub(in super::super) const END: u8 = b'E';
    pub(in super::super) const RECORDS: u8 = b'R';
    pub(in super::super) const TRAILER: u8 = b'T';
}

/// Memory that a file entry takes, about.
pub(super) fn cost(entry: &FileEntry) -> u64 {
    let texts = [&entry.model, &entry.field, &entry.root];
    let len: usize = texts
        .iter()
        .map(|t| t.as_ref().map_or(0, String::len))
        .sum();
    (256 + len + entry.name.len() + entry.sha256.len()) as u64
}

#[derive(Deserialize)]
struct RawHeader {
    version: u64,
    created: Option<String>,
    django_version: Option<String>,
    migrations: Option<BTreeMap<String, String>>,
    order: Vec<String>,
}

#[derive(Deserialize)]
struct RawEnd {
    index: u64,
    size: Option<u64>,
    sha256: Option<String>,
    skipped: Option<String>,
}

#[derive(Deserialize)]
struct RawTrailer {
    stats: RawStats,
}

#[derive(Deserialize)]
struct RawStats {
    models: Vec<RawCount>,
    records: u64,
    files: u64,
    skipped_files: Vec<String>,
}

#[derive(Deserialize)]
struct RawCount {
    model: String,
    count: u64,
}

struct Frames<'a> {
    payload: &'a mut dyn Read,
    limits: &'a Limits,
    kind: u8,
    body: Vec<u8>,
}

fn prefix(input: &[u8]) -> IResult<&[u8], (u8, u32)> {
    (be_u8, be_u32).parse(input)
}

impl Frames<'_> {
    /// Reads the next frame; `false` at the end of the payload.
    fn next(&mut self) -> Result<bool> {
        let mut raw = [0; PREFIX];
        let mut got = 0;
        while got < PREFIX {
            match self.payload.read(&mut raw[got..]) {
                Ok(0) if got == 0 => return Ok(false),
                Ok(0) => return Err(malformed("it ends inside of a frame")),
                Ok(n) => got += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(crate::copies::inflate::from_io(error)),
            }
        }
        let (_, (kind, len)) = prefix(&raw).map_err(|_| malformed("a frame"))?;
        if !b"HMDERT".contains(&kind) {
            return Err(malformed(format!("a frame has the unknown kind {kind}")));
        }
        let limit = u64::from(LONGEST).min(self.limits.memory / 2);
        if u64::from(len) > limit {
            return Err(Error::Limit {
                what: "frame in bytes",
                got: len.into(),
                limit,
            });
        }
        self.kind = kind;
        // Not more than what comes: a length alone allocates nothing.
        self.body.clear();
        let mut part = (&mut *self.payload).take(len.into());
        part.read_to_end(&mut self.body)
            .map_err(crate::copies::inflate::from_io)?;
        if self.body.len() as u64 != u64::from(len) {
            return Err(malformed("it ends inside of a frame"));
        }
        Ok(true)
    }

    fn parse<'b, T: Deserialize<'b>>(&'b self, what: &str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| malformed(format!("{what}: {error}")))
    }

    fn require(&mut self) -> Result<u8> {
        if self.next()? {
            return Ok(self.kind);
        }
        Err(malformed("it ends before its trailer"))
    }
}

/// Reads what follows the magic.
pub(super) fn read(
    payload: &mut dyn Read,
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<Summary> {
    let mut frames = Frames {
        payload,
        limits,
        kind: 0,
        body: Vec::new(),
    };
    if frames.require()? != kind::HEADER {
        return Err(malformed("it does not begin with a header"));
    }
    let raw: RawHeader = frames.parse("its header")?;
    if raw.version != 2 {
        return Err(malformed(format!("version {}", raw.version)));
    }
    let mut summary = Summary {
        header: Header {
            version: 2,
            created: raw.created,
            django_version: raw.django_version,
            migrations: raw.migrations.unwrap_or_default().into_iter().collect(),
            order: raw.order,
        },
        ..Summary::default()
    };
    sink.header(&summary.header)?;
    let mut files: Vec<FileEntry> = Vec::new();
    let mut memory = 0;
    while frames.require()? == kind::MANIFEST {
        let batch: Vec<&RawValue> = frames.parse("its list of files")?;
        let batch = batch.iter().map(|json| entry(json.get()));
        let batch: Vec<FileEntry> = batch
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(format!("its list of files: {error}")))?;
        memory += batch.iter().map(cost).sum::<u64>();
        if memory > limits.memory {
            return Err(Error::Limit {
                what: "list of files, in bytes",
                got: memory,
                limit: limits.memory,
            });
        }
        files.extend(batch);
    }
    for (index, entry) in files.iter().enumerate() {
        summary.files += u64::from(file(&mut frames, index as u64, entry, sink)?);
        frames.require()?;
    }
    rows(&mut frames, &mut summary, sink)?;
    if frames.kind != kind::TRAILER {
        return Err(malformed("a frame stands where the trailer belongs"));
    }
    let trailer: RawTrailer = frames.parse("its trailer")?;
    compare(&mut summary, trailer.stats)?;
    if frames.next()? {
        return Err(malformed("data follows its trailer"));
    }
    Ok(summary)
}

/// Reads one file, the first frame of which is in hand. Says whether it was not skipped.
fn file(
    frames: &mut Frames<'_>,
    index: u64,
    entry: &FileEntry,
    sink: &mut dyn Sink,
) -> Result<bool> {
    sink.file(index, entry)?;
    let mut digest = Sha256::new();
    let mut size = 0;
    while frames.kind == kind::DATA {
        let mut number = [0; 4];
        fill(&mut &frames.body[..], &mut number)?;
        if u64::from(u32::from_be_bytes(number)) != index {
            return Err(malformed("file data out of order"));
        }
        let bytes = &frames.body[4..];
        digest.update(bytes);
        size += bytes.len() as u64;
        sink.data(bytes)?;
        frames.require()?;
    }
    if frames.kind != kind::END {
        return Err(malformed("a frame interrupts a file"));
    }
    let end: RawEnd = frames.parse("the end of a file")?;
    if end.index != index {
        return Err(malformed("the end of a file does not match its data"));
    }
    if let Some(reason) = end.skipped {
        sink.file_end(entry, Some(&reason))?;
        return Ok(false);
    }
    let (Some(recorded), Some(sha256)) = (end.size, end.sha256) else {
        return Err(malformed("the end of a file has no size or digest"));
    };
    if recorded != size {
        return Err(malformed(format!(
            "the file {:?} has {size} bytes, not {recorded}",
            entry.name
        )));
    }
    check(digest, entry, &sha256)?;
    let mut entry = entry.clone();
    (entry.size, entry.sha256) = (size, sha256);
    sink.file_end(&entry, None)?;
    Ok(true)
}

fn rows(frames: &mut Frames<'_>, summary: &mut Summary, sink: &mut dyn Sink) -> Result<()> {
    let order = summary.header.order.clone();
    let rank: HashMap<&str, usize> = order.iter().map(String::as_str).zip(0..).collect();
    let mut current = 0;
    while frames.kind == kind::RECORDS {
        Hide::default().apply(&mut frames.body);
        let batch: Vec<&RawValue> = frames.parse("its rows")?;
        for row in batch {
            let model = model(row)?;
            let Some(&position) = rank.get(model.as_str()) else {
                return Err(malformed(format!(
                    "a row of {model:?}, which is not in its order"
                )));
            };
            if position < current {
                return Err(malformed("rows out of order"));
            }
            current = position;
            pass(sink, &model, row)?;
            count(summary, &model);
        }
        frames.require()?;
    }
    Ok(())
}

/// The trailer's numbers must be those of what came.
fn compare(summary: &mut Summary, stats: RawStats) -> Result<()> {
    let recorded: BTreeMap<&str, u64> = stats
        .models
        .iter()
        .filter(|m| m.count > 0)
        .map(|m| (m.model.as_str(), m.count))
        .collect();
    let counted: BTreeMap<&str, u64> = summary
        .models
        .iter()
        .map(|(model, rows)| (model.as_str(), *rows))
        .collect();
    if recorded != counted || stats.records != summary.records || stats.files != summary.files {
        return Err(malformed("its trailer counts otherwise"));
    }
    summary.skipped = stats.skipped_files;
    Ok(())
}
