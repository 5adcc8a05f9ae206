//! Writing a container of any version.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use dbs::v3::manifest::{MEDIA_STREAM, MEDIA_TAR};
use dbs::{Disk, DiskStream, Entry, Error, Passphrase, v1, v2};

use crate::args::{Compression, Profile, WriteArgs};
use crate::codec;
use crate::failure::{Code, Failure, Result};
use crate::output::Output;

/// A container under construction.
pub enum Writer {
    /// Of version 1.
    V1(Box<v1::Writer<DiskStream>>),
    /// Of version 2.
    V2(Box<v2::Writer<Box<dyn Write>>>),
    /// Of version 3.
    V3(Box<dbs::Writer<DiskStream>>),
    /// Of version 3, to a pipe.
    V3Pipe(Box<dbs::Writer<File>>),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// Bytes, and how many there are, where that is known.
    Stream(Option<u64>),
    /// A tar stream.
    Tar,
}

impl Writer {
    /// Begins a container in the output.
    ///
    /// # Errors
    /// The options cannot be met, or the output cannot be written.
    pub fn new(
        format: u8,
        output: &Output,
        passphrase: &Passphrase,
        args: &WriteArgs,
        media: Media,
    ) -> Result<Self> {
        let file = output.file().try_clone().map_err(|e| output.failure(&e))?;
        if format < 3 && (args.profile != Profile::Standard || args.lag.is_some()) {
            return Err(Failure::usage(
                "versions 1 and 2 have neither profiles nor a lag to choose",
            ));
        }
        let compress = args.compress != Compression::None;
        let on_disk = output.readable().is_some();
        let writer = match format {
            1 => {
                if !on_disk {
                    return Err(Failure::usage("version 1 cannot be written to a pipe")
                        .hint("Write it to a file with -o FILE."));
                }
                let options = v1::WriterOptions {
                    compress,
                    kdf: old_kdf(args),
                    payload_len: match media {
                        Media::Stream(len) => len,
                        Media::Tar => None,
                    },
                    ..v1::WriterOptions::default()
                };
                v1::Writer::new(stream(file), passphrase, options).map(|w| Writer::V1(Box::new(w)))
            }
            2 => {
                let options = v2::WriterOptions {
                    compress,
                    kdf: old_kdf(args),
                    ..v2::WriterOptions::default()
                };
                let out: Box<dyn Write> = match on_disk {
                    true => Box::new(stream(file)),
                    false => Box::new(file),
                };
                v2::Writer::new(out, passphrase, options).map(|w| Writer::V2(Box::new(w)))
            }
            _ => {
                let options = options(args, media);
                match on_disk {
                    true => dbs::Writer::on_disk(stream(file), passphrase, options)
                        .map(|w| Writer::V3(Box::new(w))),
                    false => dbs::Writer::stream(file, passphrase, options)
                        .map(|w| Writer::V3Pipe(Box::new(w))),
                }
            }
        };
        writer.map_err(|e| failure(e, output))
    }

    /// Adds an entry to the index, where there is one.
    ///
    /// # Errors
    /// The entry is too large.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        match self {
            Writer::V3(writer) => writer.entry(entry),
            Writer::V3Pipe(writer) => writer.entry(entry),
            _ => Ok(()),
        }
    }

    /// Writes all that is still to be written.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn finish(self, output: &Output) -> Result<()> {
        let done = match self {
            Writer::V1(writer) => writer.finish().map(drop),
            Writer::V2(writer) => writer.finish().map(drop),
            Writer::V3(writer) => writer.finish().map(drop),
            Writer::V3Pipe(writer) => writer.finish().map(drop),
        };
        done.map_err(|e| failure(e, output))
    }
}

impl Write for Writer {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Writer::V1(writer) => writer.write(buf),
            Writer::V2(writer) => writer.write(buf),
            Writer::V3(writer) => writer.write(buf),
            Writer::V3Pipe(writer) => writer.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Writer::V1(writer) => writer.flush(),
            Writer::V2(writer) => writer.flush(),
            Writer::V3(writer) => writer.flush(),
            Writer::V3Pipe(writer) => writer.flush(),
        }
    }
}

/// A new file, written past the page cache. It must be flushed at the end.
pub fn stream(file: File) -> DiskStream {
    DiskStream::new(Arc::new(Disk::new(file)), 0)
}

fn options(args: &WriteArgs, media: Media) -> dbs::WriterOptions {
    let mut options = dbs::WriterOptions::default();
    options.profile = match args.profile {
        Profile::Standard => dbs::Profile::Standard,
        Profile::Coded => dbs::Profile::Coded,
        Profile::Light => dbs::Profile::Light,
    };
    options.compression = match args.compress {
        Compression::None => dbs::Compression::None,
        Compression::Zstd(level) => dbs::Compression::Zstd(level),
    };
    options.kdf = codec::kdf(args.kdf);
    options.lag = args.lag;
    options.threads = args.threads;
    options.media_type = match media {
        Media::Stream(_) => MEDIA_STREAM.into(),
        Media::Tar => MEDIA_TAR.into(),
    };
    options
}

fn old_kdf(args: &WriteArgs) -> v1::Kdf {
    v1::Kdf {
        time_cost: args.kdf.passes.into(),
        memory_cost: args.kdf.memory,
        parallelism: args.kdf.lanes.into(),
        ..v1::Kdf::default()
    }
}

/// An error of writing a container.
pub fn failure(error: Error, output: &Output) -> Failure {
    match error {
        Error::Io(e) => output.failure(&e),
        Error::Misuse(what) => Failure::usage(what),
        other => Failure::new(Code::System, other.to_string()),
    }
}
