//! Restoring what is no tar stream of version 3: containers of versions 1 and 2, and payloads of
//! django-dbs in any container.

use std::io::{self, Read};
use std::path::Path;

use dbs::archive::Unlocked;
use dbs::error::FailedBlock;
use dbs::v1::Salvage;
use dbs::{Error, payload};

use super::only::Only;
use super::restore::{Restored, Target, failure, not_files};
use super::tree::{self, Missing};
use super::{django, restore};
use crate::args::Restore;
use crate::codec;
use crate::console::{Console, bytes, count};
use crate::failure::Result;
use crate::names;
use crate::output::Output;
use crate::tree::extract::Extractor;
use crate::tree::header::BLOCK;
use crate::tree::place::Stage;

/// Restores the payload of a container of version 1 or 2 as a stream.
///
/// # Errors
/// See [`crate::failure::Code`].
pub fn stream(args: &Restore, unlocked: &Unlocked, output: Output) -> Result<Restored> {
    let mut target = Target::new(output.file());
    let done = match args.salvage {
        true => salvage(unlocked, &mut target),
        false => unlocked.copy_to(&mut target).map(|written| Salvage {
            written,
            ..Salvage::default()
        }),
    };
    if let Some(error) = target.into_error() {
        return Err(output.failure(&error));
    }
    let done = done.map_err(|e| failure(e, &args.file))?;
    output.commit()?;
    let gaps = done.gaps.iter();
    let missing = gaps.map(|gap| Missing::of_stream(gap.at..gap.at + gap.filled.unwrap_or(0)));
    let mut report = report(unlocked);
    for block in done.lost_blocks {
        if !report
            .failed_blocks
            .iter()
            .any(|failed| failed.block == block)
        {
            report.failed_blocks.push(FailedBlock {
                block,
                kind: "data",
                payload: None,
            });
        }
    }
    Ok(Restored {
        missing: missing.collect(),
        summary: format!("restored {}", bytes(done.written)),
        report,
        refused: 0,
    })
}

fn salvage(unlocked: &Unlocked, target: &mut Target<'_>) -> dbs::Result<Salvage> {
    match unlocked {
        Unlocked::V1(payload) => payload.salvage_to(target),
        Unlocked::V2(payload) => payload.salvage_to(target),
        Unlocked::V3(_) => Err(Error::Misuse("not a container of version 1 or 2".into())),
    }
}

/// What was healed on the way.
fn report(unlocked: &Unlocked) -> dbs::Report {
    match unlocked {
        Unlocked::V1(payload) => payload.report(),
        Unlocked::V2(payload) => payload.report(),
        Unlocked::V3(_) => restore::empty_report(),
    }
}

/// Restores a tree from a container of version 1 or 2.
///
/// # Errors
/// See [`crate::failure::Code`].
pub fn tree(
    args: &Restore,
    directory: &Path,
    unlocked: &Unlocked,
    console: &Console,
) -> Result<Restored> {
    django::no_salvage(args.salvage, &args.file)?;
    let mut reader = unlocked.reader().map_err(|e| failure(e, &args.file))?;
    let mut head = Vec::new();
    (&mut reader)
        .take(BLOCK)
        .read_to_end(&mut head)
        .map_err(|e| failure(library(e), &args.file))?;
    let whole = io::Cursor::new(head.clone()).chain(reader);
    let mut restored = if payload::recognises(&head) {
        rows_and_files(args, directory, whole, console)?
    } else if codec::is_header(&head) {
        tree::restore_stream(args, directory, whole, console)?
    } else {
        return Err(not_files(&args.file, None));
    };
    restored.report = report(unlocked);
    Ok(restored)
}

/// Restores a payload of django-dbs; the report is not filled in.
///
/// # Errors
/// See [`crate::failure::Code`].
pub fn rows_and_files(
    args: &Restore,
    directory: &Path,
    reader: impl Read,
    console: &Console,
) -> Result<Restored> {
    let stage = Stage::new(directory)?;
    let mut extractor = Extractor::new(stage.root()?);
    let mut only = Only::new(&args.only);
    let done = django::restore(reader, &mut extractor, &mut only, &args.file, console)?;
    only.all_matched(&args.file)?;
    stage.place(&extractor.into_folders(), args.force, console)?;
    Ok(Restored {
        report: restore::empty_report(),
        missing: Vec::new(),
        summary: format!(
            "restored {} and {} into {}",
            count(done.rows, "row"),
            count(done.files, "file"),
            names::path(directory)
        ),
        refused: done.refused,
    })
}

/// An error of the library that came through `Read`.
pub fn library(error: io::Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(Error::Io)
}
