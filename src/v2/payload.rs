//! The payload of a version 2 container.

use std::io::Write;
use std::sync::Arc;

use super::container::Inner;
use super::keys::Cipher;
use crate::copies::blocks::Layout as _;
use crate::copies::findings::lost;
use crate::copies::inflate::{Chunks, Compression, Reader};
use crate::copies::salvage::{Salvage, Salvager};
use crate::error::FailedBlock;
use crate::report::Report;
use crate::version::Version;
use crate::{Error, Result};

/// The payload of an unlocked container: each block is authenticated by itself, in its place.
pub struct Payload {
    inner: Arc<Inner>,
    cipher: Arc<Cipher>,
}

impl Payload {
    pub(super) fn new(inner: Arc<Inner>, cipher: Cipher) -> Self {
        Payload {
            inner,
            cipher: Arc::new(cipher),
        }
    }

    pub(super) fn cipher(&self) -> &Cipher {
        &self.cipher
    }

    /// The payload as a stream. Only authenticated bytes are released.
    ///
    /// # Errors
    /// None here; reading fails with [`Error::Damaged`] at the first lost block.
    pub fn reader(&self) -> Result<Reader> {
        let compressed = self.inner.header().compressed;
        let body = Body {
            inner: self.inner.clone(),
            cipher: self.cipher.clone(),
            block: 0,
            failed: false,
            stored: Vec::new(),
        };
        Ok(Reader::new(body, compression(compressed)))
    }

    /// What reading has found so far: how many blocks were not as written in copy A, and whether the file is
    /// as long as it was. Nothing else is looked at; [`Container::validate`](super::Container::validate) looks
    /// at everything.
    #[must_use]
    pub fn report(&self) -> Report {
        self.inner.blocks.report(Version::V2)
    }

    /// Writes the whole payload, and says how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] with all the blocks that are lost, [`Error::Authentication`]. Bytes
    /// written before an error are authentic.
    pub fn copy_to(&self, out: &mut dyn Write) -> Result<u64> {
        match self.reader()?.copy_to(out) {
            Err(Error::Damaged(damage)) if !damage.blocks.is_empty() => {
                Err(self.all_lost(damage.blocks))
            }
            other => other,
        }
    }

    /// Writes what can be had of the payload although blocks are lost. All of it is authentic.
    ///
    /// Of a payload that is not compressed, lost bytes are zeros. Of a compressed one, what follows
    /// a lost block is left out up to the next beginning of a zlib stream.
    ///
    /// # Errors
    /// What reading and writing say.
    pub fn salvage_to(&self, out: &mut dyn Write) -> Result<Salvage> {
        let header = self.inner.header();
        let mut salvager = Salvager::new(out, compression(header.compressed));
        let (mut chunk, mut stored) = (Vec::new(), Vec::new());
        let blocks = self.inner.blocks.layout.blocks();
        for block in 0..blocks {
            match self.open(block, &mut stored, &mut chunk) {
                Ok(()) => salvager.body(&chunk)?,
                Err(Error::Damaged(_) | Error::Authentication(_)) => {
                    let payload = self.inner.failed(block).payload;
                    let len = payload.map_or(0, |p| p.end - p.start);
                    salvager.lost(block, len)?;
                }
                Err(other) => return Err(other),
            }
        }
        if !self.inner.complete {
            salvager.lost(blocks, 0)?;
        }
        salvager.finish()
    }

    fn open(&self, block: u64, stored: &mut Vec<u8>, chunk: &mut Vec<u8>) -> Result<()> {
        open(&self.inner, &self.cipher, block, stored, chunk)
    }

    /// After the first lost block, the others are looked for too, so that the error names all.
    fn all_lost(&self, first: Vec<FailedBlock>) -> Error {
        let blocks = self.inner.blocks.layout.blocks();
        let mut failed = first;
        let (mut stored, mut chunk) = (Vec::new(), Vec::new());
        let next = failed.last().map_or(0, |f| f.block + 1);
        for block in next..blocks {
            if let Err(Error::Damaged(damage)) = self.open(block, &mut stored, &mut chunk) {
                failed.extend(damage.blocks);
            }
        }
        lost(failed, blocks)
    }
}

fn compression(compressed: bool) -> Compression {
    if compressed {
        Compression::Members
    } else {
        Compression::None
    }
}

/// The plain bytes of a block: the first copy that opens as it stands, or what healing gives.
fn open(
    inner: &Inner,
    cipher: &Cipher,
    block: u64,
    stored: &mut Vec<u8>,
    chunk: &mut Vec<u8>,
) -> Result<()> {
    let layout = &inner.blocks.layout;
    for copy in [0, 1] {
        if !inner.blocks.read(layout.unit(copy, block), stored)? {
            continue;
        }
        layout.data(stored, chunk);
        if let Some(descriptor) = layout.described(block, chunk)
            && cipher.open(&descriptor, chunk)
        {
            if copy > 0 {
                inner.blocks.note_healed(block);
            }
            return Ok(());
        }
    }
    let encoded = inner.encoded(block, Some(cipher))?.encoded;
    layout.data(&encoded, chunk);
    let opened = layout
        .described(block, chunk)
        .is_some_and(|descriptor| cipher.open(&descriptor, chunk));
    if opened {
        return Ok(());
    }
    Err(Error::Authentication(format!(
        "block {block} is intact, and is not what was sealed"
    )))
}

/// The decrypted body, block by block.
struct Body {
    inner: Arc<Inner>,
    cipher: Arc<Cipher>,
    block: u64,
    failed: bool,
    stored: Vec<u8>,
}

impl Chunks for Body {
    fn next(&mut self, chunk: &mut Vec<u8>) -> Result<bool> {
        let blocks = self.inner.blocks.layout.blocks();
        if self.failed {
            return Err(lost(vec![self.inner.failed(self.block)], blocks));
        }
        if self.block == blocks && self.inner.complete {
            chunk.clear();
            return Ok(false);
        }
        self.failed = true;
        if self.block == blocks {
            return Err(lost(vec![self.inner.failed(self.block)], blocks));
        }
        open(
            &self.inner,
            &self.cipher,
            self.block,
            &mut self.stored,
            chunk,
        )?;
        self.failed = false;
        self.block += 1;
        Ok(true)
    }
}
