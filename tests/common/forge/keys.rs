//! Keys, key slots, and what is sealed with them.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};

use super::{Geo, blake2b};

/// Section 8.
pub fn kek(passphrase: &[u8], salt: &[u8; 16], t: u16, m: u32, p: u8) -> [u8; 32] {
    let params = Params::new(m, t.into(), p.into(), Some(32)).unwrap();
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key)
        .unwrap();
    key
}

/// AES-256-GCM: ciphertext and tag.
pub fn aead(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(*nonce), aad, bytes.as_mut_slice().into())
        .unwrap();
    bytes.extend_from_slice(&tag);
    bytes
}

/// How a key slot is made.
#[derive(Debug, Clone)]
pub struct Slot {
    pub kind: u8,
    pub passphrase: Vec<u8>,
    pub t: u16,
    pub m: u32,
    pub p: u8,
    pub salt: [u8; 16],
    pub nonce: [u8; 12],
}

impl Slot {
    /// Far too cheap for use.
    pub fn cheap(passphrase: &str, tag: u8) -> Self {
        Slot {
            kind: 1,
            passphrase: passphrase.as_bytes().to_vec(),
            t: 1,
            m: 8,
            p: 1,
            salt: std::array::from_fn(|i| 0x40 + tag * 16 + i as u8),
            nonce: std::array::from_fn(|i| 0x50 + tag * 16 + i as u8),
        }
    }

    pub fn bound(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.p];
        bytes.extend_from_slice(&self.t.to_le_bytes());
        bytes.extend_from_slice(&self.m.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    pub fn aad(&self, archive: &[u8; 16]) -> Vec<u8> {
        [b"dbs3 key slot", &archive[..], &self.bound()].concat()
    }

    pub fn wrap(&self, archive: &[u8; 16], data_key: &[u8; 32]) -> Vec<u8> {
        let kek = kek(&self.passphrase, &self.salt, self.t, self.m, self.p);
        self.wrap_with(&kek, archive, data_key)
    }

    pub fn wrap_with(&self, kek: &[u8; 32], archive: &[u8; 16], data_key: &[u8; 32]) -> Vec<u8> {
        let wrapped = aead(kek, &self.nonce, &self.aad(archive), data_key);
        [self.bound(), self.nonce.to_vec(), wrapped].concat()
    }
}

pub fn block_key(data_key: &[u8; 32]) -> [u8; 32] {
    blake2b(32, b"dbs3 block key", data_key, &[])
        .try_into()
        .unwrap()
}

pub fn page_key(data_key: &[u8; 32]) -> [u8; 32] {
    blake2b(32, b"dbs3 page key", data_key, &[])
        .try_into()
        .unwrap()
}

/// Section 10: nonce and associated data.
pub fn seal_context(archive: &[u8; 16], block: u64, kind: u8, k: u8) -> ([u8; 12], Vec<u8>) {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&block.to_le_bytes());
    nonce[8] = kind;
    let aad = [&archive[..], &block.to_le_bytes(), &[kind, k]].concat();
    (nonce, aad)
}

/// Section 10: the plaintext of a block, padded to whole sectors.
pub fn plain(geo: &Geo, codec: u8, stored: &[u8], raw: &[u8]) -> Vec<u8> {
    let mut bytes = vec![codec, 0, 0, 0];
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(raw).to_le_bytes());
    bytes.extend_from_slice(stored);
    let k = (stored.len() + 32).div_ceil(geo.p());
    bytes.resize(k * geo.p() - 16, 0);
    bytes
}
