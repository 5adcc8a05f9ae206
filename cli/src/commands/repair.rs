//! `dbs repair`: the file as it was written, beside the damaged one or in its place.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::FileExt;

use dbs::{Archive, Error, Report, Status, Version};

use crate::args::Repair;
use crate::codec;
use crate::console::{Console, count};
use crate::container;
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::output::Output;
use crate::passphrase::Wanted;
use crate::report::{self, Extents};
use crate::signals;

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &Repair, console: &Console) -> Result<Code> {
    let bar = console.blocks("repair");
    let archive = codec::open_with(&args.file, &args.with, args.generation, args.threads, &bar)?;
    let done = match &args.output {
        Some(_) => beside(args, &archive, console),
        None => in_place(args, &archive, console),
    };
    bar.clear();
    let (report, what) = match done {
        Ok(done) => done,
        Err(Stopped::Failure(failure)) => return Err(*failure),
        Err(Stopped::Library(error)) => {
            codec::not_shrunk(&archive, &args.file)?;
            return Err(beyond_repair(args, &archive, error));
        }
    };
    if args.json {
        report::print_json(report::json(&report, &Extents::unknown()), false)?;
    }
    for note in &report.notes {
        console.note(note);
    }
    let shown = names::path(&args.file);
    console.say(&match report.status() {
        Status::Clean => format!("{shown} is not damaged; {what}"),
        _ => format!(
            "{shown}: {}, {} healed; {what}",
            report::bad(&report),
            count(report.blocks_healed, "block"),
        ),
    });
    Ok(Code::Done)
}

/// Why a repair stopped.
enum Stopped {
    /// The library found damage beyond repair, or cannot go on.
    Library(Error),
    /// Anything else.
    Failure(Box<Failure>),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped::Failure(Box::new(failure))
    }
}

type Done = Result<(Report, String), Stopped>;

/// Writes the healed file to another one.
fn beside(args: &Repair, archive: &Archive, console: &Console) -> Done {
    let path = args.output.as_deref().unwrap_or(&args.file);
    if names::is_dash(path) {
        return Err(Failure::usage(
            "the healed file cannot go through a pipe: both copies of a block are written at once",
        )
        .hint("Write it to a file with -o OUT.")
        .into());
    }
    codec::not_an_input(path, [&args.file].into_iter().chain(&args.with)).map_err(|failure| {
        let shown = names::path(&args.file);
        failure.hint(format!(
            "Name another file with -o OUT, or heal it where it is: dbs repair {shown} --in-place"
        ))
    })?;
    let output = Output::create(path, args.force)?;
    if output.readable().is_none() {
        return Err(Failure::usage(format!(
            "{} is not a file; the healed file must be one",
            names::path(path)
        ))
        .into());
    }
    let report = write(args, archive, output, console)?;
    Ok((report, format!("wrote {}", names::path(path))))
}

fn write(
    args: &Repair,
    archive: &Archive,
    output: Output,
    console: &Console,
) -> Result<Report, Stopped> {
    let file = output.file().try_clone().map_err(|e| output.failure(&e))?;
    let mut out = container::stream(file);
    let mut report = archive.repair(None, &mut out);
    // Where nothing stored proves a rebuilt block of version 2, decrypting it does.
    if let Err(Error::Damaged(_)) = report
        && archive.version() == Version::V2
        && let Some(passphrase) = Wanted::existing(&args.passphrase).given()?
    {
        out.rewind().map_err(|e| output.failure(&e))?;
        report = archive.repair(Some(&passphrase), &mut out);
    }
    let report = report.map_err(|e| stopped(e, &output))?;
    out.flush().map_err(|e| output.failure(&e))?;
    output.sync()?;
    if let Some(path) = output.readable() {
        let found = codec::read_back(path, None, args.threads, console)?;
        if found.status() != Status::Clean {
            return Err(Failure::new(
                Code::System,
                "what was read back is not what was written; the file was deleted",
            )
            .hint("The disk, its cable or the memory of this machine is failing.")
            .into());
        }
    }
    output.commit()?;
    Ok(report)
}

/// Tells errors of the output from those of the container, which the library cannot.
fn stopped(error: Error, output: &Output) -> Stopped {
    match error {
        Error::Io(e)
            if matches!(
                e.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            output.failure(&e).into()
        }
        error => Stopped::Library(error),
    }
}

/// Writes the bad sectors anew where they lie or, if that cannot be, the whole file.
fn in_place(args: &Repair, archive: &Archive, console: &Console) -> Done {
    let failure = |e: &io::Error| Failure::io("writing", &args.file, e);
    let file = File::options()
        .read(true)
        .write(true)
        .open(&args.file)
        .map_err(|e| failure(&e))?;
    codec::lock(&file, &args.file)?;
    let Ok(container) = archive.v3() else {
        // Versions 1 and 2 are written anew as a whole.
        return anew(args, archive, console);
    };
    if container.has_other_pages().map_err(Stopped::Library)? {
        prove_page(args, archive)?;
    }
    let mut written = 0u64;
    let shown = names::path(&args.file);
    let patched = container.patches(|offset, sector| {
        if written == 0 {
            signals::advise(format!(
                "{shown} is no worse than it was; go on with: dbs repair {shown} --in-place"
            ));
        }
        written += 1;
        file.write_all_at(sector, offset).map_err(Error::Io)
    });
    match patched {
        Ok(report) => {
            file.sync_all().map_err(|e| failure(&e))?;
            let what = match written {
                0 => "nothing was written".into(),
                n => format!("wrote {} in place", count(n, "sector")),
            };
            Ok((report, what))
        }
        Err(Error::Misuse(_)) if written == 0 => {
            // Sectors do not lie where they belong.
            anew(args, archive, console)
        }
        Err(e) => Err(Stopped::Library(e)),
    }
}

/// Of header pages that differ only the one that counts is kept, and with the others the passphrases that
/// open them are gone. So a passphrase must open it.
fn prove_page(args: &Repair, archive: &Archive) -> Result<()> {
    let wanted = Wanted::existing(&args.passphrase);
    let proved = codec::unlock(archive, &args.file, &wanted, true);
    proved.map(drop).map_err(|mut failure| {
        let shown = names::path(&args.file);
        failure.message = format!(
            "{shown} has header pages that differ, and repairing in place keeps one, so a passphrase must \
             open it: {}; the file is as it was",
            failure.message
        );
        failure.hint(format!(
            "Give a passphrase that opens it; or leave this file as it is: dbs repair {shown} -o NEW"
        ))
    })
}

/// Writes the whole file anew, beside the damaged one, and puts it in its place.
fn anew(args: &Repair, archive: &Archive, console: &Console) -> Done {
    let found = archive.validate(None).map_err(Stopped::Library)?;
    if found.status() == Status::Clean {
        return Ok((found, "nothing was written".into()));
    }
    let output = Output::create(&args.file, true)?;
    if output.readable().is_none() {
        return Err(Failure::usage(format!(
            "{}: bytes are missing, or too many; only a new file can be the healed one",
            names::path(&args.file)
        ))
        .hint("Write it with -o OUT.")
        .into());
    }
    output.permissions_like(&args.file)?;
    let report = write(args, archive, output, console)?;
    Ok((report, "wrote the whole file anew".into()))
}

/// Says what is lost. Nothing was decrypted, so the files that it touches are not known.
fn beyond_repair(args: &Repair, archive: &Archive, error: Error) -> Failure {
    if args.json
        && matches!(error, Error::Damaged(_))
        && let Ok(report) = archive.validate(None)
    {
        let _ = report::print_json(report::json(&report, &Extents::unknown()), false);
    }
    let damaged = matches!(error, Error::Damaged(_));
    let mut failure = codec::failure(error, &args.file);
    if damaged {
        failure.hint = Some(codec::lost_hint(&args.file, archive.version()));
        failure.message += match args.output {
            Some(_) => "; nothing was written",
            None => "; the file is as it was",
        };
    }
    failure
}
