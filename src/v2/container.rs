//! A container of version 2: opened, validated, repaired, unlocked.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use super::format::{HEADER, Header, TAG, TRAILER, Trailer, digest};
use super::keys::Cipher;
use super::layout::Layout;
use super::metadata::{self, Metadata};
use super::payload::Payload;
use crate::copies::blocks::{Blocks, Layout as _};
use crate::copies::findings::{compare, describe, lost};
use crate::copies::heal::Outcome;
use crate::copies::info::Info;
use crate::error::FailedBlock;
use crate::report::Report;
use crate::source::Source;
use crate::version::Version;
use crate::{Error, Limits, Passphrase, Result};

/// A container of version 2.
///
/// Opening it needs no key. All of it but the contents can be checked and repaired without one.
pub struct Container {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) blocks: Blocks<Layout>,
    pub(super) complete: bool,
    trailer: Option<Trailer>,
    limits: Limits,
}

impl Container {
    /// Opens a container, or says `None` if this is none of version 2.
    ///
    /// # Errors
    /// [`Error::Damaged`] if both headers are beyond repair, [`Error::Unsupported`] if they ask for
    /// something unknown.
    pub fn open(source: Arc<dyn Source>, limits: Limits) -> Result<Option<Self>> {
        let Some(found) = metadata::find(&*source)? else {
            return Ok(None);
        };
        let Metadata {
            header,
            trailer,
            blocks,
            complete,
        } = found;
        let last = trailer.map(|t| t.last);
        let layout = Layout::new(header, blocks, last)?;
        Ok(Some(Container {
            inner: Arc::new(Inner {
                blocks: Blocks::new(source, layout, limits),
                complete,
                trailer,
                limits,
            }),
        }))
    }

    /// What the container says about itself.
    #[must_use]
    pub fn info(&self) -> Info {
        let layout = &self.inner.blocks.layout;
        let header = &layout.header;
        let geometry = header.geometry;
        let distance = geometry.interleave.min(layout.blocks().saturating_sub(1));
        Info {
            compressed: header.compressed,
            blocks: layout.blocks(),
            block_size: geometry.block_size as u64,
            nsym: geometry.nsym,
            size: layout.size(),
            burst: distance * geometry.slot() as u64,
            kdf: header.kdf,
        }
    }

    /// The random id of the container.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.inner.header().id
    }

    /// Blocks between the two copies of one.
    #[must_use]
    pub fn interleave(&self) -> u64 {
        self.inner.header().geometry.interleave
    }

    /// Checks every byte. With the passphrase, the contents are decrypted and checked as well.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Limit`], or what reading says. Damage is no error here.
    pub fn validate(&self, passphrase: Option<&Passphrase>) -> Result<Report> {
        let payload = passphrase.map(|p| self.unlock(p)).transpose()?;
        let cipher = payload.as_ref().map(Payload::cipher);
        let mut report = self.inner.check(cipher)?.report;
        if let Some(payload) = payload.filter(|_| report.failed_blocks.is_empty()) {
            payload.copy_to(&mut std::io::sink())?;
            report.decrypted = true;
        }
        Ok(report)
    }

    /// Writes the container as it was before the damage, bit for bit. A passphrase is needed only
    /// where both slot tags of a block are lost as well as both trailers.
    ///
    /// # Errors
    /// [`Error::Damaged`] if blocks are beyond repair; nothing is written then.
    pub fn repair(&self, passphrase: Option<&Passphrase>, out: &mut dyn Write) -> Result<Report> {
        let inner = &*self.inner;
        let payload = passphrase.map(|p| self.unlock(p)).transpose()?;
        let cipher = payload.as_ref().map(Payload::cipher);
        let Checked {
            report,
            trailer,
            unproven,
        } = inner.check(cipher)?;
        let Some(trailer) = trailer.filter(|_| report.failed_blocks.is_empty()) else {
            let mut error = lost(report.failed_blocks, report.blocks);
            if let Error::Damaged(damage) = &mut error
                && unproven > 0
            {
                damage.what += &format!(
                    ", {unproven} of which can be rebuilt and need the passphrase as proof"
                );
            }
            return Err(error);
        };
        let (layout, header) = (&inner.blocks.layout, &inner.blocks.layout.header);
        out.write_all(&header.raw)?;
        for unit in 0..2 * layout.blocks() {
            let encoded = inner.encoded(layout.block_of(unit), cipher)?.encoded;
            out.write_all(&encoded)?;
            out.write_all(&header.slot_tag(&encoded))?;
        }
        out.write_all(&trailer.write())?;
        out.write_all(&trailer.write())?;
        out.write_all(&header.raw)?;
        out.flush()?;
        Ok(report)
    }

    /// Takes the passphrase and gives access to the payload.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Limit`].
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Payload> {
        let header = &self.inner.blocks.layout.header;
        let cipher = Cipher::unlock(header, passphrase, &self.inner.limits)?;
        Ok(Payload::new(self.inner.clone(), cipher))
    }
}

/// A block, and whether anything but its own rows says that it is right.
pub(super) struct Encoded {
    pub(super) encoded: Vec<u8>,
    pub(super) proven: bool,
}

struct Checked {
    report: Report,
    /// As it was written, or as the blocks say.
    trailer: Option<Trailer>,
    /// How many blocks are rebuilt and have no proof; they are among the failed ones.
    unproven: usize,
}

impl Inner {
    pub(super) fn header(&self) -> &Header {
        &self.blocks.layout.header
    }

    /// A block encoded, healed if need be.
    pub(super) fn encoded(&self, block: u64, cipher: Option<&Cipher>) -> Result<Encoded> {
        let layout = &self.blocks.layout;
        let mut data = Vec::new();
        let mut prove = |encoded: &[u8], tags: &[Vec<u8>]| {
            if layout.tagged(block, encoded, tags) {
                return true;
            }
            layout.data(encoded, &mut data);
            match (cipher, layout.described(block, &data)) {
                // AES-GCM says nothing about parity and fill.
                (Some(cipher), Some(descriptor)) => {
                    layout.filled(&descriptor, &data)
                        && layout.code().valid(encoded)
                        && cipher.open(&descriptor, &mut data)
                }
                _ => false,
            }
        };
        match self.blocks.block(block, cipher.is_some(), &mut prove)? {
            Outcome::Proven(encoded) => Ok(Encoded {
                encoded,
                proven: true,
            }),
            // With the key, a block that does not open is not the block.
            Outcome::Unproven(encoded)
                if cipher.is_none() && layout.described(block, &encoded).is_some() =>
            {
                Ok(Encoded {
                    encoded,
                    proven: false,
                })
            }
            _ => Err(lost(vec![self.failed(block)], layout.blocks())),
        }
    }

    pub(super) fn failed(&self, block: u64) -> FailedBlock {
        let capacity = self.header().geometry.capacity() as u64;
        let start = block * capacity;
        let end = start + capacity;
        let end = self.trailer.map_or(end, |t| end.min(t.bytes));
        FailedBlock {
            block,
            kind: "data",
            payload: (!self.header().compressed).then_some(start..end),
        }
    }

    /// Looks at every region of the file.
    fn check(&self, cipher: Option<&Cipher>) -> Result<Checked> {
        let layout = &self.blocks.layout;
        let map = self.blocks.map()?;
        let mut report = Report::new(Version::V2);
        report.blocks = layout.blocks();
        report.sectors = 2 * report.blocks + 4;
        report.sectors_bad = map.bad_units();
        let mut unproven = BTreeMap::new();
        for block in 0..report.blocks {
            let bad = [0, 1].map(|copy| map.is_bad(layout.unit(copy, block)));
            if bad == [true, true] {
                match self.encoded(block, cipher) {
                    Ok(found) => {
                        report.blocks_healed += 1;
                        if !found.proven {
                            unproven.insert(block, found);
                        }
                    }
                    Err(Error::Damaged(damage)) => report.failed_blocks.extend(damage.blocks),
                    Err(other) => return Err(other),
                }
            } else if bad != [false, false] {
                report.blocks_healed += 1;
            }
        }
        if !self.complete {
            report.failed_blocks.push(FailedBlock {
                block: report.blocks,
                kind: "data",
                payload: None,
            });
            report
                .notes
                .push("the end of the backup is missing, nobody knows how much".into());
        }
        let trailer = self.check_trailer(&mut report, cipher, &unproven)?;
        self.check_metadata(&mut report, trailer.as_ref())?;
        describe(&self.blocks, map, &mut report)?;
        // The digest of a trailer proves all of them or none.
        let unproven = match report.failed_blocks.is_empty() {
            true => 0,
            false => unproven.len(),
        };
        if unproven > 0 {
            report.notes.push(format!(
                "{unproven} blocks are rebuilt, and only the passphrase can prove that they are right"
            ));
        }
        Ok(Checked {
            report,
            trailer,
            unproven,
        })
    }

    /// Compares the digest over all slot tags with the trailer's, or computes the trailer.
    fn check_trailer(
        &self,
        report: &mut Report,
        cipher: Option<&Cipher>,
        unproven: &BTreeMap<u64, Encoded>,
    ) -> Result<Option<Trailer>> {
        if !report.failed_blocks.is_empty() {
            // What cannot be proven is not counted as whole.
            report
                .failed_blocks
                .extend(unproven.keys().map(|&b| self.failed(b)));
            report.blocks_healed -= unproven.len() as u64;
            report.failed_blocks.sort_by_key(|f| f.block);
            return Ok(self.trailer);
        }
        let layout = &self.blocks.layout;
        let map = self.blocks.map()?;
        let mut hash = digest(&self.header().id);
        let mut last = Vec::new();
        for block in 0..layout.blocks() {
            let intact = [0, 1].map(|copy| layout.unit(copy, block));
            let intact = intact.into_iter().find(|&unit| !map.is_bad(unit));
            let tag = match (unproven.get(&block), intact) {
                (Some(found), _) => {
                    last.clone_from(&found.encoded);
                    self.header().slot_tag(&found.encoded)
                }
                (None, Some(unit)) if block + 1 < layout.blocks() => self.blocks.trailing(unit)?,
                _ => {
                    last = self.encoded(block, cipher)?.encoded;
                    self.header().slot_tag(&last)
                }
            };
            hash.update(&tag);
        }
        let mut found = [0; 32];
        found.copy_from_slice(hash.finalize().as_bytes());
        let mut data = Vec::new();
        layout.data(&last, &mut data);
        let blocks = layout.blocks();
        let described = blocks
            .checked_sub(1)
            .and_then(|block| layout.described(block, &data));
        let Some(descriptor) = described else {
            report.notes.push("the last block is none".into());
            return Ok(None);
        };
        let computed = Trailer {
            id: self.header().id,
            blocks,
            bytes: (blocks - 1) * self.header().geometry.capacity() as u64
                + u64::from(descriptor.len).saturating_sub(TAG as u64),
            last: descriptor.len,
            digest: found,
        };
        let agrees = self.trailer.is_none_or(|t| t == computed);
        if !unproven.is_empty() && (self.trailer.is_none() || !agrees) {
            report
                .failed_blocks
                .extend(unproven.keys().map(|&b| self.failed(b)));
            report.blocks_healed -= unproven.len() as u64;
        } else if !agrees {
            report.sectors_bad += 2;
            report
                .notes
                .push("the trailers are intact, and their digest is not that of the blocks".into());
        }
        Ok(Some(computed))
    }

    fn check_metadata(&self, report: &mut Report, trailer: Option<&Trailer>) -> Result<()> {
        let source = &self.blocks.source;
        let size = self.blocks.layout.size();
        let trailer = trailer.map(Trailer::write);
        let trailer = trailer.as_ref().map_or(&[][..], |t| t);
        let back = size - HEADER as u64;
        let regions: [(&str, u64, &[u8]); 4] = [
            ("front header", 0, &self.header().raw),
            ("first trailer", back - 2 * TRAILER as u64, trailer),
            ("second trailer", back - TRAILER as u64, trailer),
            ("back header", back, &self.header().raw),
        ];
        compare(&**source, &regions, report)?;
        Ok(())
    }
}
