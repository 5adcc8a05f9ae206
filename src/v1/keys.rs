//! From the passphrase to the data key.

use aes_gcm::aead::array::ArraySize;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{AesGcm, aes};
use zeroize::Zeroizing;

use super::format::KEY_AAD;
use super::manifest::Manifest;
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
    let opened = opened.ok_or(Error::WrongPassphrase { slots: 1 })?;
    let mut data_key: Key = Zeroizing::new([0; 32]);
    data_key.copy_from_slice(&opened);
    Ok(data_key)
}

fn open<A>(key: &[u8], nonce: &[u8; 12], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>>
where
    AesGcm<A, U12>: KeyInit + Aead,
    <AesGcm<A, U12> as aes_gcm::aead::AeadCore>::NonceSize: ArraySize,
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
