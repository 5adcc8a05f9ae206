//! The key of a container's contents, and how one that comes from the passphrase wraps it.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{AesGcm, aes};
use zeroize::{Zeroize, Zeroizing};

use super::kdf::Kdf;
use crate::secret::{Key, random};
use crate::{Error, Limits, Passphrase, Result};

/// The data key, and the random values that it is wrapped with.
#[derive(Clone)]
pub struct Keys {
    /// Salt of the key derivation.
    pub salt: [u8; 16],
    /// The key of the contents.
    pub data_key: [u8; 32],
    /// Nonce of the wrapped key.
    pub key_nonce: [u8; 12],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.data_key.zeroize();
    }
}

impl Keys {
    pub(crate) fn new() -> Result<Self> {
        let mut keys = Keys {
            salt: [0; 16],
            data_key: [0; 32],
            key_nonce: [0; 12],
        };
        random(&mut keys.salt)?;
        random(&mut keys.data_key)?;
        random(&mut keys.key_nonce)?;
        Ok(keys)
    }

    /// The data key as it stands in the file.
    pub(crate) fn wrap(&self, passphrase: &Passphrase, kdf: &Kdf, aad: &[u8]) -> Result<[u8; 48]> {
        let key = kdf.derive(passphrase, &self.salt)?;
        let payload = Payload {
            msg: &self.data_key,
            aad,
        };
        let sealed = match key.len() {
            16 => seal::<aes::Aes128>(&key, &self.key_nonce, payload),
            24 => seal::<aes::Aes192>(&key, &self.key_nonce, payload),
            _ => seal::<aes::Aes256>(&key, &self.key_nonce, payload),
        };
        sealed
            .and_then(|sealed| sealed.try_into().ok())
            .ok_or_else(|| Error::Misuse("the data key cannot be wrapped".into()))
    }
}

/// What a file holds of its data key.
pub(crate) struct Wrapped<'a> {
    pub(crate) kdf: &'a Kdf,
    pub(crate) salt: &'a [u8],
    pub(crate) nonce: &'a [u8; 12],
    pub(crate) sealed: &'a [u8; 48],
    pub(crate) aad: &'a [u8],
}

impl Wrapped<'_> {
    /// The data key.
    pub(crate) fn open(&self, passphrase: &Passphrase, limits: &Limits) -> Result<Key> {
        self.kdf.within(limits)?;
        let key = self.kdf.derive(passphrase, self.salt)?;
        let payload = Payload {
            msg: self.sealed,
            aad: self.aad,
        };
        let opened = match key.len() {
            16 => open::<aes::Aes128>(&key, self.nonce, payload),
            24 => open::<aes::Aes192>(&key, self.nonce, payload),
            _ => open::<aes::Aes256>(&key, self.nonce, payload),
        };
        let opened = opened.ok_or(Error::WrongPassphrase {
            slots: 1,
            older: None,
        })?;
        let mut data_key: Key = Zeroizing::new([0; 32]);
        data_key.copy_from_slice(&opened);
        Ok(data_key)
    }
}

fn seal<A>(key: &[u8], nonce: &[u8; 12], payload: Payload<'_, '_>) -> Option<Vec<u8>>
where
    AesGcm<A, U12>: KeyInit + Aead,
{
    let nonce = nonce.as_slice().try_into().ok()?;
    AesGcm::<A, U12>::new_from_slice(key)
        .ok()?
        .encrypt(nonce, payload)
        .ok()
}

fn open<A>(key: &[u8], nonce: &[u8; 12], payload: Payload<'_, '_>) -> Option<Zeroizing<Vec<u8>>>
where
    AesGcm<A, U12>: KeyInit + Aead,
{
    let nonce = nonce.as_slice().try_into().ok()?;
    AesGcm::<A, U12>::new_from_slice(key)
        .ok()?
        .decrypt(nonce, payload)
        .ok()
        .map(Zeroizing::new)
        .filter(|key| key.len() == 32)
}
