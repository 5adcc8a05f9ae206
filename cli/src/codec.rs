//! Where the command meets the library: options translated, errors put into a user's words.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dbs::archive::{Unlocked, has_legacy_magic};
use dbs::error::FailedBlock;
use dbs::{Archive, Disk, Entry, Error, OpenOptions, Passphrase, Payload, Report, Source, Version};

use crate::args;
use crate::console::{Bar, Console};
use crate::failure::{Code, Failure, Result, reason};
use crate::names;
use crate::passphrase::Wanted;
use crate::report::{self, Extent, Extents};
use crate::tree::header::Block;

/// The costs of Argon2id.
pub fn kdf(kdf: args::Kdf) -> dbs::KdfParams {
    dbs::KdfParams {
        passes: kdf.passes,
        memory_kib: kdf.memory,
        lanes: kdf.lanes,
    }
}

/// Opens a container.
///
/// # Errors
/// It cannot be read, or is no container.
pub fn open(path: &Path, threads: usize, bar: &Bar) -> Result<Archive> {
    open_with(path, &[], None, threads, bar)
}

/// Opens a container, and other copies of it to take good parts from, with the header page of this
/// generation.
///
/// # Errors
/// It cannot be read, or is no container.
pub fn open_with(
    path: &Path,
    others: &[PathBuf],
    generation: Option<u32>,
    threads: usize,
    bar: &Bar,
) -> Result<Archive> {
    // What the disk holds is asked for, whatever the system remembers of it.
    let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(Disk::new(input(path)?))];
    for other in others {
        sources.push(Arc::new(Disk::new(input(other)?)));
    }
    open_sources(sources, generation, threads, bar).map_err(|e| failure(e, path))
}

fn open_sources(
    sources: Vec<Arc<dyn Source>>,
    generation: Option<u32>,
    threads: usize,
    bar: &Bar,
) -> Result<Archive, Error> {
    let bar = bar.clone();
    let mut options = OpenOptions::default();
    options.threads = threads;
    options.generation = generation;
    options.progress = Some(Arc::new(move |done, total| bar.set(done, total)));
    Archive::open_with(sources, options)
}

/// How often a wrong passphrase may be typed.
const TRIES: u32 = 3;

/// The container, where it is one of version 3.
///
/// # Errors
/// It is of an older version.
pub fn v3<'a>(archive: &'a Archive, path: &Path) -> Result<&'a Arc<dbs::v3::Container>> {
    archive.v3().map_err(|e| failure(e, path))
}

/// Opens the payload; with `salvage`, also one that has lost its manifest. A passphrase that was
/// typed wrong may be typed again.
///
/// # Errors
/// There is no passphrase, it is wrong, or the payload cannot be opened.
pub fn unlock(
    archive: &Archive,
    path: &Path,
    wanted: &Wanted<'_>,
    salvage: bool,
) -> Result<(Unlocked, Passphrase)> {
    let open = |passphrase: &Passphrase| match salvage {
        true => archive.unlock_for_salvage(passphrase),
        false => archive.unlock(passphrase),
    };
    let given = wanted.given()?;
    let typed = given.is_none();
    let mut passphrase = match given {
        Some(passphrase) => passphrase,
        None => wanted.obtain()?,
    };
    for _ in 1..TRIES {
        match open(&passphrase) {
            Err(Error::WrongPassphrase { .. }) if typed => {
                names::eprint_lossy("dbs: wrong passphrase, try again");
                passphrase = wanted.obtain()?;
            }
            Err(e) => return Err(failure(e, path)),
            Ok(payload) => return Ok((payload, passphrase)),
        }
    }
    let payload = open(&passphrase).map_err(|e| failure(e, path))?;
    Ok((payload, passphrase))
}

/// Whether the payload is a tar stream. One that has lost its manifest is looked at.
pub fn holds_files(payload: &Payload) -> bool {
    if payload.manifest().is_some() {
        return payload.is_tar();
    }
    let head = payload.read_range(0..payload.len().min(512));
    head.is_ok_and(|head| is_header(&head))
}

/// Whether these bytes are a header of a tar stream.
pub fn is_header(head: &[u8]) -> bool {
    <&[u8; 512]>::try_from(head).is_ok_and(|block| Block::parse(block).is_some())
}

/// Refuses an output that is one of the inputs: with `--force` it would replace what it is made of.
///
/// # Errors
/// It is one of them.
pub fn not_an_input<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<()> {
    match inputs
        .into_iter()
        .find(|input| names::are_one_file(input, output))
    {
        None => Ok(()),
        Some(_) => Err(Failure::usage(format!(
            "{} is what this command reads, and cannot be its output as well",
            names::path(output)
        ))
        .hint("Name another file with -o FILE.")),
    }
}

/// Opens a file that must be readable at any place.
fn input(path: &Path) -> Result<File> {
    if names::is_dash(path) {
        let message = "a .dbs file cannot be read from standard input: all of it must be in reach";
        return Err(Failure::usage(message).hint("Save it to a file first."));
    }
    let failure = |e: io::Error| Failure::io("opening", path, &e);
    let found = path.metadata().map_err(failure)?;
    let kind = found.file_type();
    if found.is_dir()
        || !(found.is_file() || std::os::unix::fs::FileTypeExt::is_block_device(&kind))
    {
        let message = format!("{} is neither a file nor a disk", names::path(path));
        return Err(Failure::new(Code::System, message).hint("Name the .dbs file itself."));
    }
    File::open(path).map_err(failure)
}

/// Reads a file that was just written from the disk and checks all of it.
///
/// # Errors
/// It cannot be read.
pub fn read_back(
    path: &Path,
    passphrase: Option<&Passphrase>,
    threads: usize,
    console: &Console,
) -> Result<Report> {
    let file = File::open(path).map_err(|e| Failure::io("reading back", path, &e))?;
    // What the system remembers of the file says nothing about the disk. Dropping it is a request;
    // where it is not met the check is weaker, and no less right.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let bar = console.blocks("verify");
    let archive = open_sources(vec![Arc::new(Disk::new(file))], None, threads, &bar);
    let found = archive.and_then(|archive| archive.validate(passphrase));
    found.map_err(|e| failure(e, path))
}

/// The entries of the index, in the order of the payload, and the blocks of it that are lost.
///
/// # Errors
/// The index cannot be read at all.
pub fn entries(payload: &Payload, path: &Path) -> Result<(Vec<Entry>, Vec<FailedBlock>)> {
    let mut entries = Vec::new();
    let lost = payload.entries(|entry| {
        entries.push(entry);
        Ok(())
    });
    let lost = lost.map_err(|e| failure(e, path))?;
    Ok((entries, lost))
}

/// Where the files of a backup are in its payload.
pub fn extents(entries: &[Entry]) -> Extents {
    let extent = |entry: &Entry| Extent {
        path: entry.path.clone(),
        payload: entry.offset..entry.offset.saturating_add(entry.length),
    };
    Extents::new(entries.iter().map(extent).collect())
}

/// An error of reading a container, in a user's words.
pub fn failure(error: Error, path: &Path) -> Failure {
    let shown = names::path(path);
    let fail = |code, what: String| Failure::new(code, format!("{shown}: {what}"));
    match error {
        Error::Io(e) => fail(Code::System, format!("reading: {}", reason(&e))),
        Error::NotDbs(_) => fail(Code::Format, error.to_string()).hint(
            "If it should be a backup, nothing of it is left in this file. Take another copy.",
        ),
        Error::Unsupported(_) => fail(Code::Format, error.to_string())
            .hint("A newer dbs may read it. Otherwise take another copy of the backup."),
        // Without a header page, or the headers of an older version, nothing can be had.
        Error::Damaged(ref damage) if damage.blocks.is_empty() => {
            let hint = match probable_version(path) {
                Version::V3 => format!(
                    "Take another copy of this backup. Copies of version 3 can be merged: \
                     dbs repair {shown} --with OTHER -o NEW"
                ),
                _ => "Take another copy of this backup.".into(),
            };
            fail(Code::Lost, error.to_string()).hint(hint)
        }
        Error::Damaged(ref damage) => {
            let lines = report::failed_lines(&damage.blocks, &Extents::unknown());
            let hint = lost_hint(path, probable_version(path));
            let mut failure = fail(Code::Lost, error.to_string()).hint(hint);
            failure.details = lines;
            failure
        }
        Error::WrongPassphrase { older, .. } => {
            let older = older.map(|generation| {
                format!(
                    "The older page is used by: dbs restore {shown} --generation {generation}\n"
                )
            });
            let older = older.unwrap_or_default();
            fail(Code::Passphrase, error.to_string()).hint(format!(
                "Try another one. What needs none: dbs info {shown}\n{older}"
            ))
        }
        Error::Authentication(_) => fail(Code::Altered, error.to_string()).hint(
            "This is not decay: somebody altered the file. Take a copy that nobody else could \
             write to.",
        ),
        Error::Limit { .. } => fail(Code::System, error.to_string()).hint(
            "No honest backup asks for that much. If this one does, the limits can be raised in \
             the library (dbs::Limits).",
        ),
        Error::Misuse(what) => fail(Code::Usage, what),
        other => fail(Code::System, other.to_string()),
    }
}

/// The version of a container that could not be opened, or of which something is lost: an older one (which of both makes
/// no difference here) where one of its headers still begins as they do.
fn probable_version(path: &Path) -> Version {
    let older = File::open(path).is_ok_and(|file| has_legacy_magic(&file).unwrap_or(false));
    match older {
        true => Version::V2,
        false => Version::V3,
    }
}

/// What to do about damage beyond repair.
pub fn lost_hint(path: &Path, version: Version) -> String {
    let shown = names::path(path);
    match version {
        Version::V3 => format!(
            "Another copy of this backup, damaged or not, may have the rest: \
             dbs repair {shown} --with OTHER -o NEW\n\
             What is left comes back with: dbs restore {shown} --salvage -C DIR"
        ),
        // Nothing in them tells where a part belongs that stands in another file, and their trees
        // cannot be made of part of their payload.
        _ => format!("What is left comes back with: dbs restore {shown} --salvage -o OUT"),
    }
}

/// Tells damage from a file that somebody else makes shorter while it is read.
///
/// # Errors
/// It has become shorter since it was opened.
pub fn not_shrunk(archive: &Archive, path: &Path) -> Result<()> {
    let (Ok(container), Ok(found)) = (archive.v3(), path.metadata()) else {
        return Ok(());
    };
    let (was, is) = (container.file_len(), found.len());
    if !found.is_file() || is >= was {
        return Ok(());
    }
    let shown = names::path(path);
    Err(Failure::new(
        Code::System,
        format!("{shown} became shorter while it was read: it had {was} bytes and has {is}"),
    )
    .hint("Let whatever writes to it come to its end, and run the same command again."))
}

/// Gives a report of part of a container the totals of the whole.
pub fn fill_totals(report: &mut Report, archive: &Archive) {
    if let Ok(container) = archive.v3() {
        (report.blocks, report.sectors) = container.structure().totals();
    }
}

/// Keeps other commands from writing to the same file at the same time.
///
/// # Errors
/// One of them does.
pub fn lock(file: &File, path: &Path) -> Result<()> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let message = format!("{} is being changed by another command", names::path(path));
            Err(Failure::new(Code::System, message).hint("Wait for it to end and try again."))
        }
        // Not every file system has locks.
        _ => Ok(()),
    }
}
