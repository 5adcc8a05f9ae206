//! AES-256-GCM (NIST SP 800-38D) over a message that does not fit in memory.
//!
//! Version 1 seals the whole body as one message. The tag stands at its end, and nothing may be
//! released before it was checked; so the body is read twice. The first reading computes GHASH and
//! checks the tag, and keeps the state of GHASH after every block. The second reading computes it
//! again and compares after every block before anything of that block is released: what is
//! released is what was authenticated, even if the file changes in between.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher, StreamCipherSeek};
use ctr::{Ctr32BE, CtrCore, flavors};
use zeroize::{Zeroize, Zeroizing};

use crate::gf::ghash::Ghash;
use crate::secret::Key;

/// The longest message that GCM allows, in bytes.
pub(crate) const LONGEST: u64 = (1 << 36) - 32;

/// Key, nonce and associated data of one message.
pub(crate) struct Message {
    cipher: Aes256,
    first: [u8; 16],
    ghash: Ghash,
    mask: [u8; 16],
    associated: u64,
}

impl Message {
    pub(crate) fn new(key: &Key, nonce: &[u8; 12], associated: &[u8]) -> Self {
        let cipher = Aes256::new((&**key).into());
        let mut hash_key = [0; 16].into();
        cipher.encrypt_block(&mut hash_key);
        let mut ghash = Ghash::new(hash_key.as_ref());
        hash_key.as_mut_slice().zeroize();
        ghash.update_padded(associated);
        let mut first = [0; 16];
        first[..12].copy_from_slice(nonce);
        first[15] = 1;
        let mut mask = first.into();
        cipher.encrypt_block(&mut mask);
        Message {
            cipher,
            first,
            ghash,
            mask: mask.into(),
            associated: associated.len() as u64,
        }
    }

    /// Encrypts, or decrypts, the bytes at this position of the message.
    pub(crate) fn apply(&self, position: u64, bytes: &mut [u8]) {
        let core =
            CtrCore::<_, flavors::Ctr32BE>::inner_iv_init(self.cipher.clone(), &self.first.into());
        let mut stream: Ctr32BE<Aes256> = Ctr32BE::from_core(core);
        // The first block of the key stream masks the tag. Positions stay below 2^36.
        stream.seek(position + 16);
        stream.apply_keystream(bytes);
    }

    /// Begins to authenticate the ciphertext.
    pub(crate) fn authenticator(&self) -> Authenticator {
        Authenticator {
            ghash: self.ghash.clone(),
            mask: Zeroizing::new(self.mask),
            associated: self.associated,
            len: 0,
            carry: [0; 16],
        }
    }
}

/// GHASH of a ciphertext that comes in pieces of any length.
#[derive(Clone)]
pub(crate) struct Authenticator {
    ghash: Ghash,
    mask: Zeroizing<[u8; 16]>,
    associated: u64,
    len: u64,
    /// The bytes after the last whole block, zero padded.
    carry: [u8; 16],
}

impl Authenticator {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        let filled = (self.len % 16) as usize;
        self.len += bytes.len() as u64;
        if filled > 0 {
            let n = bytes.len().min(16 - filled);
            self.carry[filled..filled + n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            if filled + n < 16 {
                return;
            }
            self.ghash.update_padded(&self.carry);
        }
        let whole = bytes.len() / 16 * 16;
        self.ghash.update_padded(&bytes[..whole]);
        self.carry = [0; 16];
        self.carry[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
    }

    /// What stands for everything up to here; a secret, as it depends on the key.
    pub(crate) fn state(&self) -> [u8; 16] {
        if self.len.is_multiple_of(16) {
            return self.ghash.value();
        }
        let mut ghash = self.ghash.clone();
        ghash.update_padded(&self.carry);
        ghash.value()
    }

    /// The tag.
    pub(crate) fn tag(mut self) -> [u8; 16] {
        if !self.len.is_multiple_of(16) {
            self.ghash.update_padded(&self.carry);
        }
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&(self.associated * 8).to_be_bytes());
        lengths[8..].copy_from_slice(&(self.len * 8).to_be_bytes());
        self.ghash.update_padded(&lengths);
        let mut tag = self.ghash.value();
        for (t, m) in tag.iter_mut().zip(self.mask.iter()) {
            *t ^= m;
        }
        tag
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::Aes256Gcm;
    use aes_gcm::aead::{Aead, KeyInit, Payload};

    use super::*;

    #[test]
    fn equals_the_ordinary_implementation() {
        let key = Zeroizing::new([7; 32]);
        let message = Message::new(&key, &[9; 12], b"associated");
        for len in [0, 1, 15, 16, 17, 100, 4096, 70_001] {
            let plain: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let theirs = Aes256Gcm::new((&*key).into())
                .encrypt(
                    &[9; 12].into(),
                    Payload {
                        msg: &plain,
                        aad: b"associated",
                    },
                )
                .unwrap();
            let mut ours = plain.clone();
            let cut = len / 3;
            message.apply(0, &mut ours[..cut]);
            message.apply(cut as u64, &mut ours[cut..]);
            let mut authenticator = message.authenticator();
            for piece in ours.chunks(37) {
                authenticator.update(piece);
            }
            let mut whole = message.authenticator();
            whole.update(&ours);
            assert_eq!(whole.state(), authenticator.state());
            ours.extend_from_slice(&authenticator.tag());
            assert_eq!(ours, theirs);
        }
    }
}
