//! The index of an archive of files, until its blocks are written behind the data.

use super::super::manifest::Entry;
use crate::{Error, Result};

/// The index of an archive of files, until its blocks are written behind the data.
#[derive(Default)]
pub(super) struct Index {
    /// Whole entries, as many as fill a block, compressed to spare memory; with their raw length.
    full: Vec<(usize, Vec<u8>)>,
    open: Vec<u8>,
    entries: u64,
}

impl Index {
    /// Adds an entry; a block holds at most `capacity` bytes.
    pub(super) fn push(&mut self, entry: &Entry, capacity: usize) -> Result<()> {
        let bytes = entry.to_bytes()?;
        if bytes.len() > capacity {
            return Err(Error::Misuse(
                "the name of an entry is too long for the index".into(),
            ));
        }
        if self.open.len() + bytes.len() > capacity {
            self.full
                .push((self.open.len(), zstd::bulk::compress(&self.open, 1)?));
            self.open.clear();
        }
        self.open.extend_from_slice(&bytes);
        self.entries += 1;
        Ok(())
    }

    /// How many entries were added.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes all of it out, where it is no longer than `most` bytes: a short index travels in the manifest,
    /// and spares a small backup the blocks of its own.
    pub(super) fn take_short(&mut self, most: usize) -> Vec<u8> {
        match self.full.is_empty() && self.open.len() <= most {
            true => std::mem::take(&mut self.open),
            false => Vec::new(),
        }
    }

    /// The raw bytes of the index blocks.
    pub(super) fn chunks(self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let full = self
            .full
            .into_iter()
            .map(|(len, c)| Ok(zstd::bulk::decompress(&c, len)?));
        full.chain((!self.open.is_empty()).then_some(Ok(self.open)))
    }
}
