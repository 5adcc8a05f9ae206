//! `dbs backup`: walk, write, sync, read back, rename.

use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dbs::{Passphrase, Status};

use crate::args::{Backup, Verify, WriteArgs};
use crate::codec;
use crate::console::{Bar, Console, bytes};
use crate::container::{self, Media, Writer};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::output::Output;
use crate::passphrase::Wanted;
use crate::report;
use crate::tree::member::Member;
use crate::tree::walk::{Identity, Missing, Sink, Walk, roots};
use crate::tree::write::Writer as TarWriter;

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &Backup, console: &Console) -> Result<Code> {
    let stream = args.paths.iter().any(|path| names::is_dash(path));
    if stream && args.paths.len() > 1 {
        return Err(Failure::usage(
            "\"-\" is standard input as one stream, and cannot stand beside other paths",
        )
        .hint("A file of that name is ./-"));
    }
    if stream && args.passphrase.passphrase_stdin {
        return Err(Failure::usage(
            "standard input cannot give both the passphrase and the stream",
        )
        .hint("Give the passphrase with --passphrase-file F or $DBS_PASSPHRASE."));
    }
    let roots = match stream {
        true => Vec::new(),
        false => roots(&args.paths)?,
    };
    codec::not_an_input(&args.output, &args.paths)?;
    let output = Output::create(&args.output, args.write.force)?;
    let passphrase = Wanted::fresh(&args.passphrase).obtain()?;

    let len = input_len().filter(|_| stream);
    let media = match stream {
        true => Media::Stream(len),
        false => Media::Tar,
    };
    let writer = Writer::new(args.format, &output, &passphrase, &args.write, media)?;
    let mut done = match stream {
        true => write_stream(writer, len, &output, console)?,
        false => write_tree(writer, &roots, &args.output, &output, console)?,
    };
    output.sync()?;
    verify(&args.write, &args.output, &output, &passphrase, console)?;
    let size = output.file().metadata().map_or(0, |found| found.len());
    let stdout = output.is_stdout();
    output.commit()?;

    if !stdout {
        done.summary += &format!(" into {}, {}", names::path(&args.output), bytes(size));
    }
    console.say(&done.summary);
    if done.unreadable > 0 {
        return Err(Failure::new(
            Code::Lost,
            format!(
                "{} could not be read; the backup was written without what is missing",
                match done.unreadable {
                    1 => "1 file or folder".into(),
                    n => format!("{n} files or folders"),
                }
            ),
        )
        .hint("The lines above name them. Back up again once they can be read."));
    }
    Ok(Code::Done)
}

struct Done {
    summary: String,
    unreadable: u64,
}

/// How many bytes standard input has still to give, if it is a file.
fn input_len() -> Option<u64> {
    let input = io::stdin();
    let found = rustix::fs::fstat(&input).ok()?;
    let size = u64::try_from(found.st_size).ok()?;
    let file = rustix::fs::FileType::from_raw_mode(found.st_mode).is_file();
    let read = rustix::fs::tell(&input).ok()?;
    size.checked_sub(read).filter(|_| file)
}

fn write_stream(
    mut writer: Writer,
    len: Option<u64>,
    output: &Output,
    console: &Console,
) -> Result<Done> {
    let bar = console.bytes("backup", len);
    let failure = |e: &io::Error| Failure::io("reading", Path::new("standard input"), e);
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failure(&e)),
        };
        writer
            .write_all(&buffer[..n])
            .map_err(|e| output.failure(&e))?;
        total += n as u64;
        bar.advance(n as u64);
    }
    if len.is_some_and(|len| total < len) {
        let shorter = "it became shorter while it was read";
        return Err(failure(&io::Error::new(
            io::ErrorKind::UnexpectedEof,
            shorter,
        )));
    }
    writer.finish(output)?;
    bar.clear();
    Ok(Done {
        summary: format!("backed up a stream of {}", bytes(total)),
        unreadable: 0,
    })
}

fn write_tree(
    writer: Writer,
    roots: &[(&Path, Vec<u8>)],
    target: &Path,
    output: &Output,
    console: &Console,
) -> Result<Done> {
    let bar = console.bytes("backup", None);
    let mut tree = Tree {
        tar: TarWriter::new(writer),
        output,
        bar: &bar,
        bytes: 0,
    };
    let mut walk = Walk::new(&mut tree, console, own_files(target, output));
    for (path, name) in roots {
        if !path.is_relative() || path.components().any(|part| part.as_os_str() == "..") {
            let name = match name.is_empty() {
                true => "its contents".into(),
                false => names::show(name),
            };
            console.note(&format!("{} is stored as {name}", names::path(path)));
        }
        walk.path(path, name)?;
    }
    let found = walk.found();
    let payload = tree.bytes;
    let writer = tree.tar.finish().map_err(|e| output.failure(&e))?;
    writer.finish(output)?;
    bar.clear();
    let entries = match found.entries {
        1 => "1 entry".into(),
        n => format!("{n} entries"),
    };
    Ok(Done {
        summary: format!("backed up {entries}, {}", bytes(payload)),
        unreadable: found.unreadable,
    })
}

/// The files that this backup writes, which it must not read.
fn own_files(target: &Path, output: &Output) -> Vec<Identity> {
    let mut own = Vec::new();
    for found in [output.file().metadata(), target.metadata()] {
        if let Ok(found) = found
            && found.is_file()
        {
            own.push((found.dev(), found.ino()));
        }
    }
    own
}

/// The tar stream and the index, side by side.
struct Tree<'a> {
    tar: TarWriter<Writer>,
    output: &'a Output,
    bar: &'a Bar,
    bytes: u64,
}

impl Sink for Tree<'_> {
    fn member(&mut self, member: &Member, data: &mut dyn Read) -> Result<Missing> {
        let watched = Watched(data, self.bar);
        let written = self
            .tar
            .member(member, watched)
            .map_err(|e| self.output.failure(&e))?;
        self.bytes += member.size;
        let entry = member.entry(written.offset, written.length);
        let pushed = self.tar.output().entry(&entry);
        pushed.map_err(|e| container::failure(e, self.output))?;
        Ok(Missing {
            bytes: written.missing,
            error: written.error,
        })
    }
}

struct Watched<'a>(&'a mut dyn Read, &'a Bar);

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buf)?;
        self.1.advance(n as u64);
        Ok(n)
    }
}

/// Reads the file back from the disk, before it has its name.
///
/// # Errors
/// It is not what was written.
pub fn verify(
    args: &WriteArgs,
    target: &Path,
    output: &Output,
    passphrase: &Passphrase,
    console: &Console,
) -> Result<()> {
    if args.verify == Verify::None {
        return Ok(());
    }
    let Some(path) = output.readable() else {
        console.note(
            "what goes through a pipe cannot be read back here; check it where it arrives: \
             dbs validate FILE",
        );
        return Ok(());
    };
    let passphrase = (args.verify == Verify::Full).then_some(passphrase);
    let bad = |what: String| {
        Failure::new(
            Code::System,
            format!(
                "{}: what was read back is not what was written ({what}); the file was deleted",
                names::path(target)
            ),
        )
        .hint(
            "The disk, its cable or the memory of this machine is failing. Back up to another \
             disk, and check this one.",
        )
    };
    let found = codec::read_back(path, passphrase, args.threads, console);
    let found = found.map_err(|failure| bad(failure.message))?;
    if found.status() == Status::Clean {
        Ok(())
    } else {
        Err(bad(report::sentence(&found)))
    }
}
