//! The payload at any place, with what is lost left out: what restores single files, and salvages.

use std::io::{self, Read};
use std::ops::Range;

use dbs::error::FailedBlock;
use dbs::{Error, Payload, Report};

/// So much is read at once: some blocks for every thread.
const SIZE: u64 = 8 << 20;

/// A window on the payload that moves forward. Salvaging, it shows zeros where a block is lost.
pub struct Window<'a> {
    payload: &'a Payload,
    salvage: bool,
    buffer: Vec<u8>,
    /// Where in the payload the buffer begins.
    start: u64,
    gaps: Vec<Range<u64>>,
    report: Option<Report>,
    error: Option<Error>,
}

impl<'a> Window<'a> {
    /// A window at the start of a payload.
    pub fn new(payload: &'a Payload, salvage: bool) -> Self {
        Window {
            payload,
            salvage,
            buffer: Vec::new(),
            start: 0,
            gaps: Vec::new(),
            report: None,
            error: None,
        }
    }

    /// Reads a range of the payload, from its start.
    pub fn range(&mut self, range: Range<u64>) -> Ranged<'_, 'a> {
        Ranged {
            window: self,
            at: range.start,
            end: range.end,
        }
    }

    /// The lost parts of a range, as far as it was read.
    pub fn gaps_in(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let cut = |gap: &Range<u64>| gap.start.max(range.start)..gap.end.min(range.end);
        let parts = self.gaps.iter().map(cut);
        parts.filter(|part| part.start < part.end).collect()
    }

    /// Counts a range behind the end of what is left of the payload as lost.
    pub fn lacks(&mut self, range: Range<u64>) {
        self.gaps.push(range);
    }

    /// The error that reading ended with, in the library's terms.
    pub fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// What was found in all that was read; none if nothing was.
    pub fn into_report(self) -> Option<Report> {
        self.report
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        if !(self.start..self.start + self.buffer.len() as u64).contains(&at) {
            self.fill(at).map_err(|error| {
                let told = io::Error::other(error.to_string());
                self.error = Some(error);
                told
            })?;
        }
        let from = (at - self.start) as usize;
        let n = buf.len().min(self.buffer.len() - from);
        buf[..n].copy_from_slice(&self.buffer[from..from + n]);
        Ok(n)
    }

    /// Moves the window to a place: as many bytes as can be had, or the zeros of one lost block.
    fn fill(&mut self, at: u64) -> Result<(), Error> {
        let mut end = self.payload.len().min(at.saturating_add(SIZE));
        self.start = at;
        loop {
            self.buffer.clear();
            match self.payload.copy_range_to(at..end, &mut self.buffer) {
                Ok(report) => {
                    self.add(report);
                    return Ok(());
                }
                Err(Error::Damaged(damage)) if self.salvage => {
                    let lost = damage.blocks.iter().find_map(|block| {
                        let range = block.payload.clone()?;
                        (range.end > at && range.start < end).then_some((range, block))
                    });
                    let Some((range, block)) = lost else {
                        return Err(Error::Damaged(damage));
                    };
                    if range.start > at {
                        // What comes before it is there.
                        end = range.start;
                        continue;
                    }
                    let range = range.start..range.end.min(self.payload.len());
                    self.buffer.resize((range.end - at) as usize, 0);
                    self.lose(range, block);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn lose(&mut self, range: Range<u64>, block: &FailedBlock) {
        if !self.gaps.contains(&range) {
            self.gaps.push(range);
            if let Some(report) = &mut self.report {
                report.failed_blocks.push(block.clone());
            } else {
                // An empty range is always there, and says what the container is.
                self.report = self.payload.copy_range_to(0..0, &mut io::sink()).ok();
                if let Some(report) = &mut self.report {
                    report.failed_blocks.push(block.clone());
                }
            }
        }
    }

    fn add(&mut self, more: Report) {
        match &mut self.report {
            None => self.report = Some(more),
            Some(report) => report.merge(more),
        }
    }
}

/// A range of the payload.
pub struct Ranged<'w, 'a> {
    window: &'w mut Window<'a>,
    at: u64,
    end: u64,
}

impl Ranged<'_, '_> {
    /// The lost parts of a range, as far as it was read.
    pub fn gaps_in(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.window.gaps_in(range)
    }

    /// Where in the payload the next byte comes from.
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl Read for Ranged<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self
            .end
            .min(self.window.payload.len())
            .saturating_sub(self.at);
        let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = self.window.read_at(self.at, &mut buf[..most])?;
        self.at += n as u64;
        Ok(n)
    }
}
