//! Where the command meets the library: options translated, errors put into a user's words.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dbs::{Archive, Error, Passphrase, Payload, Report, Source, Writer, WriterOptions};

use crate::args::{self, Backup};
use crate::console::Console;
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::output::Output;
use crate::passphrase::Wanted;
use crate::report::{self, Extents};

/// Begins a container in the output.
///
/// # Errors
/// The options cannot be met, or the output cannot be written.
pub fn writer(
    output: &Output,
    passphrase: &Passphrase,
    args: &Backup,
    stream: bool,
) -> Result<Writer<File>> {
    let file = output.file().try_clone().map_err(|e| output.failure(&e))?;
    let mut options = WriterOptions::default();
    options.profile = match args.profile {
        args::Profile::Standard => dbs::Profile::Standard,
        args::Profile::Coded => dbs::Profile::Coded,
        args::Profile::Light => dbs::Profile::Light,
    };
    options.compression = match args.compress {
        args::Compression::None => dbs::Compression::None,
        args::Compression::Zstd(level) => dbs::Compression::Zstd(level),
    };
    options.kdf = kdf(args.kdf);
    options.lag = args.lag;
    options.threads = args.threads;
    options.media_type = match stream {
        true => dbs::MEDIA_STREAM.into(),
        false => dbs::MEDIA_TAR.into(),
    };
    let writer = match output.readable() {
        Some(_) => Writer::create(file, passphrase, options),
        None => Writer::stream(file, passphrase, options),
    };
    writer.map_err(|e| write_failure(e, output))
}

/// Writes all that is still to be written.
///
/// # Errors
/// The output cannot be written.
pub fn finish(writer: Writer<File>, output: &Output) -> Result<()> {
    writer
        .finish()
        .map(drop)
        .map_err(|e| write_failure(e, output))
}

/// The costs of Argon2id.
pub fn kdf(kdf: args::Kdf) -> dbs::KdfParams {
    dbs::KdfParams {
        passes: kdf.passes,
        memory_kib: kdf.memory,
        lanes: kdf.lanes,
    }
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
    #[cfg(target_os = "linux")]
    {
        // What the system remembers of the file says nothing about the disk. Dropping it is a
        // request; where it is not met the check is weaker, and no less right.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    }
    let bar = console.bytes("verify", file.metadata().ok().map(|found| found.len()));
    let archive = open_sources(vec![Box::new(file)], threads, &bar);
    let found = archive.and_then(|archive| archive.validate(passphrase));
    found.map_err(|e| failure(e, path))
}
