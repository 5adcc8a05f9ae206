//! Keys: from the passphrase to the data key, and from the data key to the others.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use zeroize::Zeroizing;

use super::layout::{KEY_SLOT_CONTEXT, PERSON_BLOCK_KEY, PERSON_COMMIT, PERSON_PAGE_KEY};
use super::page::{KdfParams, KeySlot, Page};
use super::sector::ArchiveId;
use crate::hash::blake2b_256;
use crate::kdf::argon2id;
use crate::secret::Key;
use crate::{Error, Limits, Passphrase, Result};

/// The data key of an archive and what is derived from it.
#[derive(Clone)]
pub struct Keys {
    data: Key,
    page: Key,
    cipher: Aes256Gcm,
}

impl Keys {
    /// Derives all keys from the data key.
    pub(crate) fn new(data: Key) -> Self {
        let block = derive(&data, PERSON_BLOCK_KEY);
        let page = derive(&data, PERSON_PAGE_KEY);
        let cipher = Aes256Gcm::new((&*block).into());
        Keys { data, page, cipher }
    }

    /// The cipher that seals blocks.
    pub(crate) fn cipher(&self) -> &Aes256Gcm {
        &self.cipher
    }

    /// Wraps the data key under a passphrase.
    pub(crate) fn wrap(
        &self,
        passphrase: &Passphrase,
        archive: &ArchiveId,
        kdf: KdfParams,
        salt: [u8; 16],
        nonce: [u8; 12],
    ) -> Result<KeySlot> {
        if passphrase.as_bytes().is_empty() {
            return Err(Error::Misuse("the passphrase is empty".into()));
        }
        if !kdf.is_legal() {
            return Err(Error::Misuse(
                "Argon2id needs at least 1 pass, 1 lane, and 8 KiB of memory for each lane".into(),
            ));
        }
        let mut slot = KeySlot {
            kdf,
            salt,
            nonce,
            wrapped: [0; 48],
        };
        let kek = derive_kek(passphrase, kdf, &salt)?;
        slot.wrapped[..32].copy_from_slice(&*self.data);
        let tag = Aes256Gcm::new((&*kek).into())
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &wrap_context(archive, &slot),
                (&mut slot.wrapped[..32]).into(),
            )
            .map_err(|_| Error::Misuse("the data key could not be wrapped".into()))?;
        slot.wrapped[32..].copy_from_slice(&tag);
        Ok(slot)
    }

    /// The commitment of a page: nobody without the data key can make another page that holds.
    pub(crate) fn commitment(&self, archive: &ArchiveId, page: &Page) -> [u8; 32] {
        blake2b_256(
            PERSON_COMMIT,
            Some(&self.page),
            &[archive, &page.committed()],
        )
    }

    /// Finds the data key with a passphrase, and checks the page against it.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`] where no key slot opens, [`Error::Authentication`] where the page
    /// was altered, [`Error::Limit`] where a key slot asks for more than `limits` allow.
    pub(crate) fn unlock(
        page: &Page,
        archive: &ArchiveId,
        passphrase: &Passphrase,
        limits: &Limits,
    ) -> Result<(Self, usize)> {
        let mut too_costly = None;
        for (index, bytes) in page.key_slots.iter().enumerate() {
            let Some(slot) = KeySlot::from_bytes(bytes) else {
                continue;
            };
            if let Err(limit) = check_costs(slot.kdf, limits) {
                too_costly.get_or_insert(limit);
                continue;
            }
            let kek = derive_kek(passphrase, slot.kdf, &slot.salt)?;
            let mut data = Zeroizing::new([0; 32]);
            data.copy_from_slice(&slot.wrapped[..32]);
            let mut tag = Tag::default();
            tag.copy_from_slice(&slot.wrapped[32..]);
            let opened = Aes256Gcm::new((&*kek).into()).decrypt_inout_detached(
                &Nonce::from(slot.nonce),
                &wrap_context(archive, &slot),
                (&mut data[..]).into(),
                &tag,
            );
            if opened.is_ok() {
                let keys = Keys::new(data);
                let commitment = keys.commitment(archive, page);
                if !equal(&commitment, &page.commitment) {
                    return Err(Error::Authentication(
                        "the header page does not belong to its data key: it was altered".into(),
                    ));
                }
                return Ok((keys, index));
            }
        }
        let unknown = |slot| KeySlot::from_bytes(slot).is_none();
        match too_costly {
            Some(limit) => Err(limit),
            None if page.key_slots.iter().all(unknown) => Err(Error::Unsupported(
                "all key slots are of types that a newer dbs must read".into(),
            )),
            None => Err(Error::WrongPassphrase {
                slots: page.key_slots.len(),
                older: None,
            }),
        }
    }
}

/// Compares in a time that does not depend on where they differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn check_costs(kdf: KdfParams, limits: &Limits) -> Result<()> {
    for (what, got, limit) in [
        (
            "memory of Argon2id in KiB",
            kdf.memory_kib,
            limits.argon2_memory_kib,
        ),
        (
            "number of passes of Argon2id",
            u32::from(kdf.passes),
            limits.argon2_passes,
        ),
        (
            "number of lanes of Argon2id",
            u32::from(kdf.lanes),
            limits.argon2_lanes,
        ),
    ] {
        if got > limit {
            return Err(Error::Limit {
                what,
                got: got.into(),
                limit: limit.into(),
            });
        }
    }
    Ok(())
}

/// A key of its own for one use, from the data key.
pub(super) fn derive(data: &Key, person: &[u8]) -> Key {
    Zeroizing::new(blake2b_256(person, Some(data), &[]))
}

pub(super) fn derive_kek(passphrase: &Passphrase, kdf: KdfParams, salt: &[u8; 16]) -> Result<Key> {
    let (passes, lanes) = (kdf.passes.into(), kdf.lanes.into());
    let mut key = Zeroizing::new([0; 32]);
    argon2id(passphrase, salt, passes, kdf.memory_kib, lanes, &mut *key)?
        .map_err(|e| Error::Misuse(format!("Argon2id: {e}")))?;
    Ok(key)
}

pub(super) fn wrap_context(archive: &ArchiveId, slot: &KeySlot) -> Vec<u8> {
    [KEY_SLOT_CONTEXT, archive, &slot.bound()].concat()
}
