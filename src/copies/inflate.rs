//! From decrypted chunks to payload bytes: zlib (RFC 1950) undone where it was done.

use std::io::{self, Read, Write};

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::Damage;
use crate::{Error, Result};

/// Payload bytes made at a time.
const PIECE: usize = 128 << 10;

/// Chunks of the body, decrypted and authenticated, in order.
pub(crate) trait Chunks: Send + Sync {
    /// Replaces `chunk` by the next one; `false` at the end of the body.
    fn next(&mut self, chunk: &mut Vec<u8>) -> Result<bool>;

    /// Is shown the payload that the chunks gave, piece by piece; an empty one at its end.
    fn payload(&mut self, _piece: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// How the body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// One zlib stream (version 1).
    Stream,
    /// Zlib streams one after the other (version 2).
    Members,
}

/// The payload as a stream of authenticated bytes.
pub struct Reader {
    chunks: Box<dyn Chunks>,
    compression: Compression,
    chunk: Vec<u8>,
    at: usize,
    inflater: Decompress,
    /// Whether the inflater is inside of a stream.
    inside: bool,
    /// Whether a stream has ended.
    ended: bool,
    out: Vec<u8>,
    given: usize,
    done: bool,
    /// Why the body is no payload, once that is known.
    broken: Option<&'static str>,
}

impl Reader {
    pub(crate) fn new(chunks: impl Chunks + 'static, compression: Compression) -> Self {
        Reader {
            chunks: Box::new(chunks),
            compression,
            chunk: Vec::new(),
            at: 0,
            inflater: Decompress::new(true),
            inside: false,
            ended: false,
            out: Vec::new(),
            given: 0,
            done: false,
            broken: None,
        }
    }

    /// The next bytes; none at the end. Keeps failing after an error.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Authentication`], or what reading says.
    pub fn piece(&mut self) -> Result<&[u8]> {
        self.refill()?;
        let from = std::mem::replace(&mut self.given, self.out.len());
        Ok(&self.out[from..])
    }

    /// Writes all that follows, and says how many bytes that is.
    pub(crate) fn copy_to(&mut self, out: &mut dyn Write) -> Result<u64> {
        let mut written = 0;
        loop {
            let piece = self.piece()?;
            if piece.is_empty() {
                out.flush()?;
                return Ok(written);
            }
            written += piece.len() as u64;
            out.write_all(piece)?;
        }
    }

    /// Makes the next bytes where all were given.
    fn refill(&mut self) -> Result<()> {
        if self.given < self.out.len() {
            return Ok(());
        }
        self.given = 0;
        let filled = match self.broken {
            Some(what) => Err(self.broken(what)),
            None => self.fill().and_then(|()| self.chunks.payload(&self.out)),
        };
        if filled.is_err() {
            // Nobody vouches for what is in there, and somebody may go on reading.
            self.out.clear();
            self.chunk.clear();
            self.at = 0;
        }
        filled
    }

    fn fill(&mut self) -> Result<()> {
        self.out.clear();
        while !self.done && self.out.is_empty() {
            if self.compression == Compression::None {
                self.done = !self.chunks.next(&mut self.out)?;
                if self.done {
                    self.out.clear();
                }
                continue;
            }
            if self.at == self.chunk.len() {
                if !self.chunks.next(&mut self.chunk)? {
                    if self.inside || (self.compression == Compression::Stream && !self.ended) {
                        return Err(self.broken("the compressed payload ends early"));
                    }
                    self.done = true;
                    return Ok(());
                }
                self.at = 0;
                continue;
            }
            if self.ended {
                if self.compression == Compression::Stream {
                    return Err(self.broken("bytes follow the compressed payload"));
                }
                self.inflater.reset(true);
                self.ended = false;
            }
            self.inflate()?;
        }
        Ok(())
    }

    fn inflate(&mut self) -> Result<()> {
        self.inside = true;
        self.out.resize(PIECE, 0);
        let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
        let chunk = &self.chunk[self.at..];
        let status = self
            .inflater
            .decompress(chunk, &mut self.out, FlushDecompress::None);
        let Ok(status) = status else {
            return Err(self.broken("the compressed payload is not a zlib stream"));
        };
        let read = self.inflater.total_in() - before_in;
        let written = self.inflater.total_out() - before_out;
        self.at += usize::try_from(read).unwrap_or(usize::MAX);
        self.out.truncate(usize::try_from(written).unwrap_or(0));
        if status == Status::StreamEnd {
            self.inside = false;
            self.ended = true;
        } else if read == 0 && written == 0 {
            return Err(self.broken("the compressed payload does not go on"));
        }
        Ok(())
    }

    /// An authentic body whose contents make no sense: the fault lies before the encryption.
    fn broken(&mut self, what: &'static str) -> Error {
        self.broken = Some(what);
        Error::Damaged(Damage {
            what: what.into(),
            blocks: Vec::new(),
        })
    }
}

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.refill().map_err(into_io)?;
        let n = buf.len().min(self.out.len() - self.given);
        buf[..n].copy_from_slice(&self.out[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}

/// Wraps an error for `std::io::Read`.
pub(crate) fn into_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Unwraps what [`into_io`] wrapped.
pub(crate) fn from_io(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::Io(error),
    }
}
