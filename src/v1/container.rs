//! A container of version 1: opened, validated, repaired, unlocked.

use std::io::Write;
use std::sync::Arc;

use super::format::{HEADER, KEY_AAD};
use super::layout::Layout;
use super::metadata::{self, Metadata};
use super::payload::Payload;
use crate::copies::blocks::{Blocks, Layout as _};
use crate::copies::findings::{compare, describe, lost};
use crate::copies::heal::Outcome;
use crate::copies::info::Info;
use crate::copies::keys::Wrapped;
use crate::copies::rows::extract;
use crate::error::FailedBlock;
use crate::report::Report;
use crate::source::Source;
use crate::version::Version;
use crate::{Error, Limits, Passphrase, Result};

/// A container of version 1.
///
/// Opening it needs no key. All of it but the contents can be checked and repaired without one.
pub struct Container {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) blocks: Blocks<Layout>,
    metadata: Metadata,
    limits: Limits,
}

impl Container {
    /// Opens a container, or says `None` if this is none of version 1.
    ///
    /// # Errors
    /// [`Error::Damaged`] if header or manifest are beyond repair, or make no sense.
    pub fn open(source: Arc<dyn Source>, limits: Limits) -> Result<Option<Self>> {
        let Some(metadata) = metadata::find(&*source, &limits)? else {
            return Ok(None);
        };
        let layout = Layout::new(metadata.manifest.clone(), metadata.bytes.len() as u64)?;
        Ok(Some(Container {
            inner: Arc::new(Inner {
                blocks: Blocks::new(source, layout, limits),
                metadata,
                limits,
            }),
        }))
    }

    /// What the container says about itself.
    #[must_use]
    pub fn info(&self) -> Info {
        let manifest = &self.inner.metadata.manifest;
        Info {
            compressed: manifest.compressed,
            blocks: manifest.blocks(),
            block_size: manifest.block_size,
            nsym: manifest.nsym,
            size: self.inner.blocks.layout.size(),
            // The manifests stand side by side, and both are needed.
            burst: self.inner.metadata.bytes.len() as u64,
            kdf: manifest.kdf,
        }
    }

    /// When it was made: ISO 8601.
    #[must_use]
    pub fn created(&self) -> &str {
        &self.inner.manifest().created
    }

    /// Checks every byte. With the passphrase, the contents are decrypted and checked as well.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Limit`], or what reading says. Damage is no error here.
    pub fn validate(&self, passphrase: Option<&Passphrase>) -> Result<Report> {
        let payload = passphrase.map(|p| self.unlock(p)).transpose()?;
        let mut report = self.inner.check(&mut |_, _| Ok(()))?;
        if let Some(payload) = payload.filter(|_| report.failed_blocks.is_empty()) {
            payload.copy_to(&mut std::io::sink())?;
            report.decrypted = true;
        }
        Ok(report)
    }

    /// Writes the container as it was before the damage, bit for bit. No passphrase is needed.
    ///
    /// # Errors
    /// [`Error::Damaged`] if blocks are beyond repair; nothing is written then.
    pub fn repair(&self, _: Option<&Passphrase>, out: &mut dyn Write) -> Result<Report> {
        let inner = &self.inner;
        let report = inner.check(&mut |_, _| Ok(()))?;
        if !report.failed_blocks.is_empty() {
            return Err(lost(report.failed_blocks, report.blocks));
        }
        out.write_all(&inner.metadata.header)?;
        out.write_all(&inner.metadata.bytes)?;
        out.write_all(&inner.metadata.bytes)?;
        for _copy in 0..2 {
            for block in 0..inner.blocks.layout.blocks() {
                out.write_all(&inner.encoded(block)?)?;
            }
        }
        out.write_all(&inner.metadata.header)?;
        out.flush()?;
        Ok(report)
    }

    /// Takes the passphrase and gives access to the payload.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Limit`].
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Payload> {
        let manifest = &self.inner.metadata.manifest;
        let wrapped = Wrapped {
            kdf: &manifest.kdf,
            salt: &manifest.salt,
            nonce: &manifest.key_nonce,
            sealed: &manifest.wrapped_key,
            aad: KEY_AAD,
        };
        let key = wrapped.open(passphrase, &self.inner.limits)?;
        Ok(Payload::new(self.inner.clone(), &key))
    }
}

impl Inner {
    pub(super) fn manifest(&self) -> &super::manifest::Manifest {
        &self.metadata.manifest
    }

    /// A block encoded, healed if need be.
    fn encoded(&self, block: u64) -> Result<Vec<u8>> {
        let layout = &self.blocks.layout;
        let mut prove = |encoded: &[u8], _: &[Vec<u8>]| layout.proven(block, encoded);
        match self.blocks.block(block, false, &mut prove)? {
            Outcome::Proven(encoded) => Ok(encoded),
            _ => Err(lost(vec![self.failed(block)], layout.blocks())),
        }
    }

    /// The bytes of the ciphertext that a block holds.
    pub(super) fn data(&self, block: u64) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        extract(&self.encoded(block)?, self.manifest().nsym, &mut data);
        Ok(data)
    }

    pub(super) fn failed(&self, block: u64) -> FailedBlock {
        let manifest = self.manifest();
        let start = block * manifest.block_size;
        let body = manifest.ciphertext_len - 16;
        let end = (start + manifest.data_len(block) as u64).min(body);
        FailedBlock {
            block,
            kind: "data",
            payload: (!manifest.compressed).then_some(start.min(body)..end),
        }
    }

    /// Looks at every region of the file; `block` is called for each block that is whole.
    fn check(&self, whole: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<Report> {
        let layout = &self.blocks.layout;
        let map = self.blocks.map()?;
        let mut report = Report::new(Version::V1);
        report.blocks = layout.blocks();
        report.sectors = 2 * report.blocks + 4;
        report.sectors_bad = map.bad_units();
        self.check_metadata(&mut report)?;
        describe(&self.blocks, map, &mut report)?;
        let mut block = 0;
        while block < report.blocks {
            let bad = [0, 1].map(|copy| map.is_bad(layout.unit(copy, block)));
            if bad == [true, true] {
                match self.encoded(block) {
                    Ok(encoded) => {
                        report.blocks_healed += 1;
                        whole(block, &encoded)?;
                    }
                    Err(Error::Damaged(damage)) => report.failed_blocks.extend(damage.blocks),
                    Err(other) => return Err(other),
                }
            } else if bad != [false, false] {
                report.blocks_healed += 1;
            }
            block += 1;
        }
        Ok(report)
    }

    fn check_metadata(&self, report: &mut Report) -> Result<()> {
        let (source, meta) = (&self.blocks.source, &self.metadata);
        let len = meta.bytes.len() as u64;
        let size = self.blocks.layout.size();
        let regions: [(&str, u64, &[u8]); 4] = [
            ("front header", 0, &meta.header),
            ("first manifest", HEADER as u64, &meta.bytes),
            ("second manifest", HEADER as u64 + len, &meta.bytes),
            ("back header", size - HEADER as u64, &meta.header),
        ];
        compare(&**source, &regions, report)?;
        if !meta.confirmed {
            report
                .notes
                .push("no header's hash confirms the manifest".into());
        }
        Ok(())
    }
}
