//! GHASH (NIST SP 800-38D): the hash in the field GF(2^128) that authenticates AES-GCM.

use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use zeroize::Zeroizing;

#[cfg(target_arch = "x86_64")]
use super::arch::clmul::Powers;

/// The hash of what came so far. It depends on the key, and is a secret.
#[derive(Clone)]
pub(crate) struct Ghash(Inner);

#[derive(Clone)]
enum Inner {
    Portable(Box<GHash>),
    #[cfg(target_arch = "x86_64")]
    Wide(Box<Zeroizing<Powers>>, Zeroizing<u128>),
}

impl Ghash {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(powers) = Powers::new(key) {
            return Ghash(Inner::Wide(
                Box::new(Zeroizing::new(powers)),
                Zeroizing::new(0),
            ));
        }
        Self::portable(key)
    }

    fn portable(key: &[u8; 16]) -> Self {
        Ghash(Inner::Portable(Box::new(GHash::new(key.into()))))
    }

    /// Takes the bytes in, and zeros up to a whole block.
    pub(crate) fn update_padded(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Portable(hash) => hash.update_padded(bytes),
            #[cfg(target_arch = "x86_64")]
            Inner::Wide(powers, value) => {
                let (whole, rest) = bytes.split_at(bytes.len() / 16 * 16);
                **value = powers.update(**value, whole);
                if !rest.is_empty() {
                    let mut last = [0; 16];
                    last[..rest.len()].copy_from_slice(rest);
                    **value = powers.update(**value, &last);
                }
            }
        }
    }

    /// The hash of all blocks so far.
    pub(crate) fn value(&self) -> [u8; 16] {
        match &self.0 {
            Inner::Portable(hash) => hash.as_ref().clone().finalize().into(),
            #[cfg(target_arch = "x86_64")]
            Inner::Wide(_, value) => value.to_be_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_and_portable_agree() {
        let painted: Vec<u8> = (0..3000_u32).map(|i| (i * 7 % 251) as u8).collect();
        // With and without the highest bit, which decides how the key is doubled.
        for first in [0x00, 0x01, 0x80, 0xFF] {
            let mut key = [0x5A; 16];
            (key[0], key[15]) = (first, !first);
            for len in (0..300).chain([511, 512, 513, 2047, 2048, 3000]) {
                let (mut one, mut two) = (Ghash::new(&key), Ghash::portable(&key));
                for part in [&painted[..len], &painted[len / 2..len]] {
                    one.update_padded(part);
                    two.update_padded(part);
                }
                assert_eq!(one.value(), two.value(), "{len} bytes");
            }
        }
    }
}
