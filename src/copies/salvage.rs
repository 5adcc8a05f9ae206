//! What is left of a body that lost blocks.

use std::io::Write;

use flate2::{Decompress, FlushDecompress, Status};

use super::inflate::Compression;
use crate::Result;

/// One hole in a salvaged payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where in the bytes written the hole is.
    pub at: u64,
    /// How many bytes of zeros stand for it. Where the lost length is not known, as behind
    /// compression, nothing stands for it and this is `None`.
    pub filled: Option<u64>,
}

/// What a salvage wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Bytes written, those that fill holes included.
    pub written: u64,
    /// The holes, in order.
    pub gaps: Vec<Gap>,
    /// The numbers of the lost blocks.
    pub lost_blocks: Vec<u64>,
}

/// Writes the payload of a body of which pieces are missing.
pub(crate) struct Salvager<'a> {
    out: &'a mut dyn Write,
    compression: Compression,
    inflater: Decompress,
    /// Compressed bytes of the stream that is being read, to search again where it breaks.
    held: Vec<u8>,
    /// Whether a stream is being read, or the next one must be found first.
    state: State,
    result: Salvage,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a stream, or inside of one.
    Inside,
    /// Bytes are missing: the beginning of the next stream must be found.
    Searching,
    /// Nothing more can be had.
    Stopped,
}

/// Bytes looked at to tell whether a zlib stream begins somewhere.
const PROBE: usize = 4096;

impl<'a> Salvager<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, compression: Compression) -> Self {
        Salvager {
            out,
            compression,
            inflater: Decompress::new(true),
            held: Vec::new(),
            state: State::Inside,
            result: Salvage::default(),
        }
    }

    /// A block whose `len` body bytes are lost.
    pub(crate) fn lost(&mut self, block: u64, len: u64) -> Result<()> {
        self.result.lost_blocks.push(block);
        if self.compression == Compression::None {
            self.gap(Some(len));
            let zeros = [0; 4096];
            let mut left = len;
            while left > 0 {
                let n = left.min(zeros.len() as u64);
                self.out
                    .write_all(&zeros[..usize::try_from(n).unwrap_or(0)])?;
                left -= n;
            }
            self.result.written += len;
            return Ok(());
        }
        if self.state == State::Searching {
            self.search(true)?;
        }
        self.held.clear();
        self.gap(None);
        self.state = match self.compression {
            Compression::Members => State::Searching,
            _ => State::Stopped,
        };
        Ok(())
    }

    /// The next bytes of the body.
    pub(crate) fn body(&mut self, bytes: &[u8]) -> Result<()> {
        match (self.compression, &self.state) {
            (Compression::None, _) => self.write(bytes),
            (_, State::Stopped) => Ok(()),
            (_, State::Inside) => self.inflate(bytes),
            (_, State::Searching) => {
                self.held.extend_from_slice(bytes);
                self.search(false)
            }
        }
    }

    /// The end of the body.
    pub(crate) fn finish(mut self) -> Result<Salvage> {
        if self.state == State::Searching {
            self.search(true)?;
        }
        self.out.flush()?;
        Ok(self.result)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.result.written += bytes.len() as u64;
        Ok(())
    }

    fn gap(&mut self, filled: Option<u64>) {
        let at = self.result.written;
        match self.result.gaps.last_mut() {
            Some(Gap {
                at: start,
                filled: Some(n),
            }) if filled.is_some() && *start + *n == at => *n += filled.unwrap_or(0),
            Some(last) if last.at == at && filled.is_none() => {}
            _ => self.result.gaps.push(Gap { at, filled }),
        }
    }

    fn inflate(&mut self, mut bytes: &[u8]) -> Result<()> {
        let mut out = vec![0; 64 << 10];
        while !bytes.is_empty() {
            let (total_in, total_out) = (self.inflater.total_in(), self.inflater.total_out());
            let status = self
                .inflater
                .decompress(bytes, &mut out, FlushDecompress::None);
            let written = usize::try_from(self.inflater.total_out() - total_out).unwrap_or(0);
            let read = usize::try_from(self.inflater.total_in() - total_in).unwrap_or(0);
            self.write(&out[..written])?;
            bytes = &bytes[read..];
            match status {
                Ok(Status::StreamEnd) => self.inflater.reset(true),
                Ok(_) if read > 0 || written > 0 => {}
                _ => {
                    // Not the stream that it seemed to be.
                    self.gap(None);
                    self.state = State::Searching;
                    self.held = bytes.get(1..).unwrap_or_default().to_vec();
                    return self.search(false);
                }
            }
        }
        Ok(())
    }

    /// Looks for the beginning of a stream in the bytes held.
    fn search(&mut self, last: bool) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at + 2 <= held.len() {
            if !last && held.len() - at < PROBE {
                break;
            }
            if begins(&held[at..]) {
                self.inflater.reset(true);
                self.state = State::Inside;
                return self.inflate(&held[at..]);
            }
            at += 1;
        }
        self.held = held[at..].to_vec();
        Ok(())
    }
}

/// Whether a zlib stream of level 6 seems to begin here: its two header bytes, then data that
/// inflates for as far as it is in hand.
fn begins(bytes: &[u8]) -> bool {
    if bytes.len() < 2 || bytes[..2] != [0x78, 0x9C] {
        return false;
    }
    let probe = &bytes[..bytes.len().min(PROBE)];
    let mut inflater = Decompress::new(true);
    let mut out = vec![0; 16 << 10];
    loop {
        let before = (inflater.total_in(), inflater.total_out());
        let from = usize::try_from(before.0).unwrap_or(usize::MAX);
        match inflater.decompress(&probe[from..], &mut out, FlushDecompress::None) {
            Ok(Status::StreamEnd) => return true,
            Err(_) => return false,
            Ok(_) if before == (inflater.total_in(), inflater.total_out()) => {
                return inflater.total_out() > 0;
            }
            Ok(_) => {}
        }
    }
}
