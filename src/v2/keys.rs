//! From the passphrase to the data key, and from there to the blocks.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};

use super::format::{BINDING, DESCRIPTOR, Descriptor, HEADER, Header, KEY_AAD, TAG};
use crate::copies::keys::Wrapped;
use crate::secret::Key;
use crate::{Error, Limits, Passphrase, Result};

/// Opens and seals the blocks of one container.
pub(crate) struct Cipher {
    cipher: Aes256Gcm,
    nonce_prefix: [u8; 7],
    header: [u8; HEADER],
}

impl Cipher {
    pub(crate) fn new(key: &Key, header: &Header) -> Self {
        Cipher {
            cipher: Aes256Gcm::new((&**key).into()),
            nonce_prefix: header.nonce_prefix,
            header: header.raw,
        }
    }

    /// Unwraps the data key.
    pub(crate) fn unlock(
        header: &Header,
        passphrase: &Passphrase,
        limits: &Limits,
    ) -> Result<Self> {
        let wrapped = Wrapped {
            kdf: &header.kdf,
            salt: &header.salt,
            nonce: &header.key_nonce,
            sealed: &header.wrapped_key,
            aad: &[KEY_AAD, &header.raw[BINDING]].concat(),
        };
        let data_key = wrapped.open(passphrase, limits)?;
        Ok(Cipher::new(&data_key, header))
    }

    fn nonce(&self, index: u64, last: bool) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..7].copy_from_slice(&self.nonce_prefix);
        // Fewer than 2^32 blocks.
        nonce[7..11].copy_from_slice(&(index as u32).to_be_bytes());
        nonce[11] = u8::from(last);
        nonce
    }

    /// Turns the data of a block (descriptor, ciphertext, tag, fill) into its plain bytes.
    pub(crate) fn open(&self, descriptor: &Descriptor, data: &mut Vec<u8>) -> bool {
        let end = DESCRIPTOR + usize::try_from(descriptor.len).unwrap_or(usize::MAX);
        let Some(sealed) = data.get_mut(DESCRIPTOR..end) else {
            return false;
        };
        let Some((bytes, tag)) = sealed.split_last_chunk_mut::<TAG>() else {
            return false;
        };
        let nonce = self.nonce(descriptor.index, descriptor.last);
        let tag = Tag::from(*tag);
        if self
            .cipher
            .decrypt_inout_detached(&nonce.into(), &self.header, bytes.into(), &tag)
            .is_err()
        {
            return false;
        }
        data.copy_within(DESCRIPTOR..end - TAG, 0);
        data.truncate(end - TAG - DESCRIPTOR);
        true
    }

    /// Encrypts in place, and gives the tag.
    pub(crate) fn seal(&self, index: u64, last: bool, bytes: &mut [u8]) -> Result<[u8; TAG]> {
        let nonce = self.nonce(index, last);
        self.cipher
            .encrypt_inout_detached(&nonce.into(), &self.header, bytes.into())
            .map(Into::into)
            .map_err(|_| Error::Misuse("a block is too long for AES-GCM".into()))
    }
}
