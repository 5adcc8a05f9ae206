//! The payload of a version 1 container.

use std::io::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::container::Inner;
use super::format::BODY_AAD;
use super::gcm::{Authenticator, Message};
use crate::copies::blocks::Layout as _;
use crate::copies::findings::lost;
use crate::copies::inflate::{Chunks, Compression, Reader};
use crate::copies::rows::extract;
use crate::copies::salvage::{Salvage, Salvager};
use crate::error::{Damage, FailedBlock};
use crate::report::Report;
use crate::secret::Key;
use crate::version::Version;
use crate::{Error, Result};

/// The payload of an unlocked container.
///
/// Version 1 seals the whole body as one message, so nothing can be released before all of it was
/// read: a reader reads the file twice, first to authenticate, then to decrypt.
pub struct Payload {
    inner: Arc<Inner>,
    message: Arc<Message>,
}

impl Payload {
    pub(super) fn new(inner: Arc<Inner>, key: &Key) -> Self {
        let message = Message::new(key, &inner.manifest().body_nonce, BODY_AAD);
        Payload {
            inner,
            message: Arc::new(message),
        }
    }

    /// Length of the payload, where it is known: it is not if the payload is compressed.
    #[must_use]
    pub fn len_hint(&self) -> Option<u64> {
        let manifest = self.inner.manifest();
        (!manifest.compressed).then_some(manifest.ciphertext_len - 16)
    }

    /// When the backup was made: ISO 8601, as the manifest says (not authenticated).
    #[must_use]
    pub fn created(&self) -> &str {
        &self.inner.manifest().created
    }

    /// The payload as a stream. Only authenticated bytes are released; its end checks the SHA-256
    /// that the manifest states.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the blocks that are lost, [`Error::Authentication`] if all blocks are
    /// as the manifest says and the whole is not what was sealed.
    pub fn reader(&self) -> Result<Reader> {
        let (states, source) = match self.authenticate(Blocks::AsTheyStand)? {
            Some(states) => (states, Blocks::AsTheyStand),
            None => match self.authenticate(Blocks::Healed)? {
                Some(states) => (states, Blocks::Healed),
                None => {
                    return Err(Error::Authentication(
                        "the blocks are as the manifest says, and not what was sealed".into(),
                    ));
                }
            },
        };
        let manifest = self.inner.manifest();
        let chunks = Body {
            inner: self.inner.clone(),
            message: self.message.clone(),
            source,
            states,
            authenticator: self.message.authenticator(),
            stored: Vec::new(),
            block: 0,
            failed: false,
            digest: Some(Sha256::new()),
            expected: manifest.payload_sha256,
        };
        Ok(Reader::new(chunks, compression(manifest.compressed)))
    }

    /// What reading has found so far: how many blocks were not as written in copy A, and whether the file is
    /// as long as it was. Nothing else is looked at; [`Container::validate`](super::Container::validate) looks
    /// at everything.
    #[must_use]
    pub fn report(&self) -> Report {
        self.inner.blocks.report(Version::V1)
    }

    /// Writes the whole payload, and says how many bytes it has.
    ///
    /// # Errors
    /// As [`Payload::reader`]. Bytes written before an error are authentic.
    pub fn copy_to(&self, out: &mut dyn Write) -> Result<u64> {
        self.reader()?.copy_to(out)
    }

    /// Writes what can be had of the payload although blocks are lost.
    ///
    /// What is written is **not authenticated**: with a part missing, the one tag over the whole
    /// proves nothing. Each block that is used has the hash that the manifest states, which
    /// anybody can forge. Of a compressed payload only what stands before the first lost block can
    /// be had; otherwise lost bytes are zeros.
    ///
    /// # Errors
    /// What reading and writing say.
    pub fn salvage_to(&self, out: &mut dyn Write) -> Result<Salvage> {
        let manifest = self.inner.manifest();
        let mut salvager = Salvager::new(out, compression(manifest.compressed));
        let body = manifest.ciphertext_len - 16;
        for block in 0..manifest.blocks() {
            let at = block * manifest.block_size;
            let len = (manifest.data_len(block) as u64).min(body.saturating_sub(at));
            match self.inner.data(block) {
                Ok(mut data) => {
                    data.truncate(usize::try_from(len).unwrap_or(usize::MAX));
                    self.message.apply(at, &mut data);
                    salvager.body(&data)?;
                    data.fill(0);
                }
                Err(Error::Damaged(_)) => salvager.lost(block, len)?,
                Err(other) => return Err(other),
            }
        }
        salvager.finish()
    }

    /// Reads everything, and gives the states after each block if the tag is right.
    fn authenticate(&self, source: Blocks) -> Result<Option<Vec<[u8; 16]>>> {
        let manifest = self.inner.manifest();
        let mut authenticator = self.message.authenticator();
        let mut states = Vec::with_capacity(usize::try_from(manifest.blocks()).unwrap_or(0));
        let mut tag = Vec::with_capacity(32);
        let (mut stored, mut data) = (Vec::new(), Vec::new());
        let mut failed: Vec<FailedBlock> = Vec::new();
        for block in 0..manifest.blocks() {
            match source.read(&self.inner, block, &mut stored, &mut data) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(Error::Damaged(damage)) => {
                    failed.extend(damage.blocks);
                    continue;
                }
                Err(other) => return Err(other),
            }
            let body = body_part(&self.inner, block).min(data.len());
            authenticator.update(&data[..body]);
            tag.extend_from_slice(&data[body..]);
            states.push(authenticator.state());
        }
        if !failed.is_empty() {
            return Err(lost(failed, manifest.blocks()));
        }
        let computed = Zeroizing::new(authenticator.tag());
        let differ = computed.iter().zip(&tag).fold(0, |d, (a, b)| d | (a ^ b));
        Ok((tag.len() == 16 && differ == 0).then_some(states))
    }
}

fn compression(compressed: bool) -> Compression {
    if compressed {
        Compression::Stream
    } else {
        Compression::None
    }
}

/// How many of a block's bytes belong to the body; the rest is the tag.
fn body_part(inner: &Inner, block: u64) -> usize {
    let manifest = inner.manifest();
    let body = manifest.ciphertext_len - 16;
    let left = body.saturating_sub(block * manifest.block_size);
    usize::try_from(left)
        .unwrap_or(usize::MAX)
        .min(manifest.data_len(block))
}

/// Where blocks come from.
#[derive(Debug, Clone, Copy)]
enum Blocks {
    /// Copy A as it stands: no hash is checked, the tag will tell.
    AsTheyStand,
    /// From either copy by hash, healed if need be.
    Healed,
}

impl Blocks {
    /// The ciphertext in a block; `false` if it is not all there.
    fn read(
        self,
        inner: &Inner,
        block: u64,
        stored: &mut Vec<u8>,
        data: &mut Vec<u8>,
    ) -> Result<bool> {
        match self {
            Blocks::AsTheyStand => {
                let unit = inner.blocks.layout.unit(0, block);
                let whole = inner.blocks.read(unit, stored)?;
                data.clear();
                extract(stored, inner.manifest().nsym, data);
                Ok(whole)
            }
            Blocks::Healed => {
                *data = inner.data(block)?;
                Ok(true)
            }
        }
    }
}

/// The decrypted body, block by block.
struct Body {
    inner: Arc<Inner>,
    message: Arc<Message>,
    source: Blocks,
    /// What the first reading came to after each block.
    states: Vec<[u8; 16]>,
    authenticator: Authenticator,
    stored: Vec<u8>,
    block: usize,
    failed: bool,
    /// Of the payload so far; `None` once the end was reached and it was right.
    digest: Option<Sha256>,
    expected: [u8; 32],
}

impl Chunks for Body {
    fn next(&mut self, chunk: &mut Vec<u8>) -> Result<bool> {
        let changed = || Error::Authentication("the file changed while it was read".into());
        if self.failed {
            return Err(changed());
        }
        let Some(state) = self.states.get(self.block) else {
            chunk.clear();
            return Ok(false);
        };
        let block = self.block as u64;
        self.failed = true;
        if !self
            .source
            .read(&self.inner, block, &mut self.stored, chunk)?
        {
            return Err(changed());
        }
        let body = body_part(&self.inner, block).min(chunk.len());
        chunk.truncate(body);
        self.authenticator.update(chunk);
        if self.authenticator.state() != *state {
            return Err(changed());
        }
        self.failed = false;
        let position = block * self.inner.manifest().block_size;
        self.message.apply(position, chunk);
        self.block += 1;
        Ok(true)
    }

    fn payload(&mut self, piece: &[u8]) -> Result<()> {
        if let Some(digest) = &mut self.digest {
            digest.update(piece);
            if piece.is_empty() {
                check(digest, &self.expected)?;
                self.digest = None;
            }
        }
        Ok(())
    }
}

fn check(digest: &Sha256, expected: &[u8; 32]) -> Result<()> {
    if <[u8; 32]>::from(digest.clone().finalize()) == *expected {
        return Ok(());
    }
    Err(Error::Damaged(Damage {
        what: "the payload is what was sealed, and not what the writer hashed before".into(),
        blocks: Vec::new(),
    }))
}
