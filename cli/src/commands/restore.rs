//! `dbs restore`: the stream to a file, or the tree to a folder.

use std::io::{self, Write};
use std::path::Path;

use dbs::archive::Unlocked;
use dbs::error::FailedBlock;
use dbs::{Archive, Entry, Error, Passphrase, Payload, Report, Status, Version};
use serde_json::Value;

use super::tree::{self, Missing};
use super::{django, legacy};
use crate::args::Restore;
use crate::codec;
use crate::console::{Console, bytes, count};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::output::Output;
use crate::passphrase::Wanted;
use crate::report::{self, Extents};

/// What a restore found, beside the report of the library.
#[derive(Debug)]
pub struct Restored {
    /// Of the container.
    pub report: Report,
    /// What did not come back, in salvage.
    pub missing: Vec<Missing>,
    /// What was restored, in words.
    pub summary: String,
    /// Members that were refused, or of a kind that is not restored.
    pub refused: u64,
}

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &Restore, console: &Console) -> Result<Code> {
    let bar = console.blocks("restore");
    let archive = codec::open_with(&args.file, &[], args.generation, args.threads, &bar)?;
    // The target is looked at before the passphrase is asked for.
    let output = match &args.output {
        Some(path) => {
            codec::not_an_input(path, [&args.file])?;
            Some(Output::create(path, args.force)?)
        }
        None => None,
    };
    let wanted = Wanted::existing(&args.passphrase);
    let unlocked = codec::unlock(&archive, &args.file, &wanted, args.salvage);
    if unlocked.is_err() {
        codec::not_shrunk(&archive, &args.file)?;
    }
    let (unlocked, passphrase) = unlocked?;
    let to_stdout = output.as_ref().is_some_and(Output::is_stdout);
    let done = match (output, &args.directory, &unlocked) {
        (Some(output), _, Unlocked::V3(payload)) => stream(args, payload, output),
        (Some(output), _, older) => legacy::stream(args, older, output),
        (None, Some(directory), Unlocked::V3(payload)) => {
            self::directory(args, directory, payload, console)
        }
        (None, Some(directory), older) => legacy::tree(args, directory, older, console),
        // The command line has one of the two.
        (None, None, _) => Err(Failure::usage("give -C DIR or -o FILE")),
    };
    bar.clear();
    if !matches!(&done, Ok(done) if done.report.status() == Status::Clean) {
        codec::not_shrunk(&archive, &args.file)?;
    }
    let mut restored = match done {
        Ok(restored) => restored,
        Err(failure) if failure.code == Code::Lost && failure.details.is_empty() => {
            return Err(beyond_repair(
                args,
                &archive,
                &unlocked,
                &passphrase,
                failure,
            ));
        }
        Err(failure) => return Err(failure),
    };
    codec::fill_totals(&mut restored.report, &archive);
    conclude(args, &unlocked, &restored, to_stdout, console)
}

/// The payload is neither a tree nor anything that can be made one.
pub fn not_files(file: &Path, len: Option<u64>) -> Failure {
    let shown = names::path(file);
    let of = len.map_or(String::new(), |len| format!(" of {}", bytes(len)));
    Failure::usage(format!("{shown} holds one stream{of}, and no files"))
        .hint(format!("Restore it with: dbs restore {shown} -o OUT"))
}

/// Restores a tree from a container of version 3.
fn directory(
    args: &Restore,
    directory: &Path,
    payload: &Payload,
    console: &Console,
) -> Result<Restored> {
    if codec::holds_files(payload) {
        return tree::restore(args, directory, payload, console);
    }
    let head = payload.read_range(0..payload.len().min(8));
    let head = head.map_err(|e| failure(e, &args.file))?;
    if !dbs::payload::recognises(&head) {
        return Err(not_files(&args.file, Some(payload.len())));
    }
    django::no_salvage(args.salvage, &args.file)?;
    let mut reader = payload.reader();
    let done = legacy::rows_and_files(args, directory, &mut reader, console);
    if let Some(error) = reader.take_error() {
        return Err(failure(error, &args.file));
    }
    let mut restored = done?;
    if let Some(report) = reader.report() {
        restored.report = report.clone();
    }
    Ok(restored)
}

/// Restores the payload as the stream that it is.
fn stream(args: &Restore, payload: &Payload, output: Output) -> Result<Restored> {
    let mut target = Target::new(output.file());
    let done = match args.salvage {
        true => payload.salvage_to(&mut target),
        false => payload.copy_to(&mut target),
    };
    if let Some(error) = target.into_error() {
        return Err(output.failure(&error));
    }
    let report = done.map_err(|e| failure(e, &args.file))?;
    output.commit()?;
    let missing = report.failed_blocks.iter();
    let missing = missing.filter_map(|block| block.payload.clone());
    let missing: Vec<Missing> = missing.map(Missing::of_stream).collect();
    let summary = match missing.is_empty() {
        true => format!("restored {}", bytes(payload.len())),
        false => format!("wrote {}, zeros for what is lost", bytes(payload.len())),
    };
    Ok(Restored {
        missing,
        summary,
        report,
        refused: 0,
    })
}

/// Remembers its own errors, to tell them from those of the source.
pub struct Target<'a> {
    file: &'a std::fs::File,
    error: Option<io::Error>,
}

impl<'a> Target<'a> {
    /// Writes to this file.
    pub fn new(file: &'a std::fs::File) -> Self {
        Target { file, error: None }
    }

    /// The error that writing ended with.
    pub fn into_error(self) -> Option<io::Error> {
        self.error
    }
}

impl Write for Target<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.file.write(buf) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => {
                let told = io::Error::from(e.kind());
                self.error = Some(e);
                Err(told)
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error of reading the payload; the lines about damage come later, when all of it is known.
pub fn failure(error: Error, file: &Path) -> Failure {
    let mut failure = codec::failure(error, file);
    failure.details.clear();
    failure
}

/// Reads on to the end, to name all that is lost and not only what was met first.
fn beyond_repair(
    args: &Restore,
    archive: &Archive,
    unlocked: &Unlocked,
    passphrase: &Passphrase,
    mut failure: Failure,
) -> Failure {
    let (entries, _) = entries(args, unlocked).unwrap_or_default();
    let extents = codec::extents(&entries);
    if let Ok(report) = archive.validate(Some(passphrase))
        && report.status() == Status::Unrecoverable
    {
        let shown = names::path(&args.file);
        failure.message = format!(
            "{shown}: {}; nothing was restored",
            report::sentence(&report)
        );
        failure.details = report::failed_lines(&report.failed_blocks, &extents);
        if args.json {
            let to_stdout = args.output.as_deref().is_some_and(names::is_dash);
            // The failure that is under way counts for more than one of telling about it.
            let _ = report::print_json(report::json(&report, &extents), to_stdout);
        }
    }
    failure.hint = Some(codec::lost_hint(&args.file, archive.version()));
    failure
}

/// The entries of the index, where there is one.
fn entries(args: &Restore, unlocked: &Unlocked) -> Result<(Vec<Entry>, Vec<FailedBlock>)> {
    match unlocked {
        Unlocked::V3(payload) => codec::entries(payload, &args.file),
        _ => Ok(Default::default()),
    }
}

/// Says how it went.
fn conclude(
    args: &Restore,
    unlocked: &Unlocked,
    restored: &Restored,
    to_stdout: bool,
    console: &Console,
) -> Result<Code> {
    let report = &restored.report;
    let listed: Vec<Entry> = match report.failed_blocks.is_empty() {
        true => Vec::new(),
        false => entries(args, unlocked)?.0,
    };
    let extents = match listed.is_empty() && !report.failed_blocks.is_empty() {
        true => Extents::unknown(),
        false => codec::extents(&listed),
    };
    if args.json {
        let mut object = report::json(report, &extents);
        let missing: Vec<Value> = restored.missing.iter().map(Missing::json).collect();
        object.insert("missing".into(), missing.into());
        report::print_json(object, to_stdout)?;
    }
    console.say(&restored.summary);
    for note in &report.notes {
        console.note(note);
    }
    let shown = names::path(&args.file);
    let ended = !matches!(unlocked, Unlocked::V3(payload) if payload.manifest().is_none());
    if restored.missing.is_empty() && report.failed_blocks.is_empty() && ended {
        if report.status() != Status::Clean {
            console.note(&report::healed(report));
            console.say(&format!("Write the healed file: dbs repair {shown} -o NEW"));
        }
        if restored.refused > 0 {
            return Err(Failure::new(
                Code::Lost,
                format!(
                    "{} refused, named above; everything else was restored",
                    count(restored.refused, "member")
                ),
            )
            .hint(format!(
                "To see them as they are: dbs restore {shown} -o OUT.tar"
            )));
        }
        return Ok(Code::Done);
    }
    let code = match report.blocks_altered {
        0 => Code::Lost,
        _ => Code::Altered,
    };
    let mut failure = Failure::new(
        code,
        match ended {
            true => format!(
                "{shown}: {} lost; everything else was restored",
                count(report.failed_blocks.len() as u64, "block")
            ),
            false => format!(
                "{shown}: its end is lost, or the backup was never finished; what there is of it was \
                 restored"
            ),
        },
    );
    failure.details = restored.missing.iter().map(Missing::line).collect();
    report::shorten(&mut failure.details);
    let other = match unlocked.version() {
        Version::V3 => format!(
            "Another copy of this backup, damaged or not, may have the rest: \
             dbs repair {shown} --with OTHER -o NEW"
        ),
        // Nothing in them tells where a part belongs that stands in another file.
        _ => "Another copy of this backup may have the rest.".into(),
    };
    Err(failure.hint(other))
}

/// A report to be filled in.
pub fn empty_report() -> Report {
    Report {
        version: dbs::Version::V3,
        blocks: 0,
        blocks_healed: 0,
        sectors: 0,
        sectors_bad: 0,
        sectors_unstable: 0,
        misplaced: false,
        blocks_altered: 0,
        failed_blocks: Vec::new(),
        decrypted: true,
        notes: Vec::new(),
    }
}
