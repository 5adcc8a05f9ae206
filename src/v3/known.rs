//! The known answers of `testvectors/v3/known` for layers that are not public: keys and sealed blocks.
//! The others are in `tests/v3_known.rs`.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use serde_json::Value;
use zeroize::Zeroizing;

use super::geometry::{CopyB, Geometry};
use super::keys::{Keys, derive, derive_kek, wrap_context};
use super::layout::{PERSON_BLOCK_KEY, PERSON_PAGE_KEY};
use super::page::{KdfParams, KeySlot, Page};
use super::sealed::{Opener, Place};
use super::sector::Kind;
use crate::{Limits, Passphrase};

#[path = "../../tests/common/known.rs"]
mod cases;
use cases::{array, bytes, cases};

fn number<T: TryFrom<u64, Error: std::fmt::Debug>>(case: &Value, key: &str) -> T {
    case[key].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn keys_of_passphrases() {
    for case in cases("argon2id", 6) {
        let passphrase = Passphrase::new(bytes(&case, "passphrase"));
        let kdf = KdfParams {
            passes: number(&case, "t"),
            memory_kib: number(&case, "m"),
            lanes: number(&case, "p"),
        };
        let kek = derive_kek(&passphrase, kdf, &array(&case, "salt")).unwrap();
        assert_eq!(*kek, array(&case, "kek"), "{case}");
    }
}

/// The key slots belong to the passphrases of `argon2id`, one to one.
#[test]
fn data_keys_wrapped() {
    let passphrases = cases("argon2id", 6);
    for (case, argon) in cases("key_slot", 6).iter().zip(&passphrases) {
        assert_eq!(case["kek"], argon["kek"]);
        let passphrase = Passphrase::new(bytes(argon, "passphrase"));
        let archive = array(case, "archive_id");
        let keys = Keys::new(Zeroizing::new(array(case, "data_key")));
        let slot = KeySlot::from_bytes(&array(case, "key_slot")).unwrap();
        assert_eq!(wrap_context(&archive, &slot), bytes(case, "aad"));
        let wrapped = keys
            .wrap(
                &passphrase,
                &archive,
                slot.kdf,
                slot.salt,
                array(case, "nonce"),
            )
            .unwrap();
        assert_eq!(wrapped.to_bytes()[..], bytes(case, "key_slot"), "{case}");
    }
}

#[test]
fn keys_of_data_keys() {
    for case in cases("derived_keys", 3) {
        let data = Zeroizing::new(array(&case, "data_key"));
        for (person, key) in [
            (PERSON_BLOCK_KEY, "block_key"),
            (PERSON_PAGE_KEY, "page_key"),
        ] {
            assert_eq!(*derive(&data, person), array(&case, key), "{case}");
        }
    }
}

#[test]
fn commitments_and_unlocking() {
    for case in cases("header_page", 5) {
        let archive = array(&case, "archive_id");
        let size: usize = number(&case, "sector_size");
        let mut payload = bytes(&case, "record");
        payload.resize(size - super::layout::SECTOR_OVERHEAD, 0);
        let page = Page::from_payload(&archive, &payload).unwrap();
        let keys = Keys::new(Zeroizing::new(array(&case, "data_key")));
        assert_eq!(keys.commitment(&archive, &page), array(&case, "commitment"));
        let passphrase = Passphrase::new("passphrase");
        let (unlocked, slot) =
            Keys::unlock(&page, &archive, &passphrase, &Limits::default()).unwrap();
        assert_eq!(slot, 0);
        // The same data key: it makes the same commitment.
        assert_eq!(unlocked.commitment(&archive, &page), page.commitment);
    }
}

#[test]
fn sealed_blocks() {
    let geometry = Geometry::new(9, 3, 2, 2, CopyB::Mirrored).unwrap();
    for case in cases("sealed_block", 6) {
        let place = Place {
            archive: array(&case, "archive_id"),
            block: number(&case, "block"),
            kind: Kind::from_byte(number(&case, "kind")).unwrap(),
        };
        let k = number(&case, "k");
        assert_eq!(place.nonce(), array(&case, "nonce"));
        assert_eq!(place.associated_data(k)[..], bytes(&case, "aad"));
        let keys = Keys::new(Zeroizing::new(array(&case, "data_key")));
        let plain = bytes(&case, "plaintext");
        let sealed = bytes(&case, "sealed");
        assert_eq!(sealed.len(), usize::from(k) * geometry.payload_size());
        // What the library's cipher makes of the plaintext, and another of the same key.
        let block_key = derive(&Zeroizing::new(array(&case, "data_key")), PERSON_BLOCK_KEY);
        for cipher in [keys.cipher(), &Aes256Gcm::new((&*block_key).into())] {
            let mut message = plain.clone();
            let tag = cipher
                .encrypt_inout_detached(
                    &Nonce::from(place.nonce()),
                    &place.associated_data(k),
                    message.as_mut_slice().into(),
                )
                .unwrap();
            message.extend_from_slice(&tag);
            assert_eq!(message, sealed, "{case}");
        }
        // The header of the plaintext says what comes out: codec, stored length, raw length, CRC-32.
        let field = |at: usize| u32::from_le_bytes(plain[at..at + 4].try_into().unwrap());
        let mut message = sealed.clone();
        let mut opener = Opener::new().unwrap();
        let raw = opener.open(&keys, &geometry, place, &mut message).unwrap();
        assert_eq!(raw.len(), field(8) as usize);
        assert_eq!(crc32fast::hash(raw), field(12));
        match plain[0] {
            0 => assert_eq!(raw, &plain[16..16 + field(4) as usize]),
            _ => assert_eq!(raw, b"compressible, ".repeat(60)),
        }
    }
}
