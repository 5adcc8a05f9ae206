//! From the passphrase to the data key.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{AesGcm, aes};
use zeroize::Zeroizing;

use super::format::KEY_AAD;
use super::manifest::Manifest;
use super::writer::Fixed;
use crate::copies::kdf::Kdf;
use crate::secret::Key;
use crate::{Error, Limits, Passphrase, Result};

/// The data key of a container.
pub(crate) fn unwrap(manifest: &Manifest, passphrase: &Passphrase, limits: &Limits) -> Result<Key> {
    manifest.kdf.within(limits)?;
    let key = manifest.kdf.derive(passphrase, &manifest.salt)?;
    let (nonce, wrapped) = (&manifest.key_nonce, &manifest.wrapped_key[..]);
    let opened = match key.len() {
        16 => open::<aes::Aes128>(&key, nonce, wrapped),
        24 => open::<aes::Aes192>(&key, nonce, wrapped),
        _ => open::<aes::Aes256>(&key, nonce, wrapped),
    };
    let opened = opened.ok_or(Error::WrongPassphrase {
        slots: 1,
        older: None,
    })?;
    let mut data_key: Key = Zeroizing::new([0; 32]);
    data_key.copy_from_slice(&opened);
    Ok(data_key)
}

/// Wraps the data key.
pub(crate) fn wrap(passphrase: &Passphrase, kdf: &Kdf, fixed: &Fixed) -> Result<[u8; 48]> {
    let key = kdf.derive(passphrase, &fixed.salt)?;
    let sealed = match key.len() {
        16 => seal::<aes::Aes128>(&key, fixed),
        24 => seal::<aes::Aes192>(&key, fixed),
        _ => seal::<aes::Aes256>(&key, fixed),
    };
    sealed
        .and_then(|sealed| sealed.try_into().ok())
        .ok_or_else(|| Error::Misuse("the data key cannot be wrapped".into()))
}

fn seal<A>(key: &[u8], fixed: &Fixed) -> Option<Vec<u8>>
where
    AesGcm<A, U12>: KeyInit + Aead,
{
    let payload = Payload {
        msg: &fixed.data_key,
        aad: KEY_AAD,
    };
    let nonce = fixed.key_nonce.as_slice().try_into().ok()?;
    AesGcm::<A, U12>::new_from_slice(key)
        .ok()?
        .encrypt(nonce, payload)
        .ok()
}

fn open<A>(key: &[u8], nonce: &[u8; 12], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>>
where
    AesGcm<A, U12>: KeyInit + Aead,
{
    let cipher = AesGcm::<A, U12>::new_from_slice(key).ok()?;
    let payload = Payload {
        msg: wrapped,
        aad: KEY_AAD,
    };
    let nonce = nonce.as_slice().try_into().ok()?;
    cipher
        .decrypt(nonce, payload)
        .ok()
        .map(Zeroizing::new)
        .filter(|key| key.len() == 32)
}
