//! The header page: geometry, key slots, commitment. It stands in slot 0 of every block copy.

use nom::bytes::complete::take;
use nom::number::complete::{le_u16, le_u32, u8};
use nom::{IResult, Parser};

use super::geometry::{CopyB, Geometry};
use super::layout::{
    KEY_SLOT_LEN, KEY_SLOT_PASSPHRASE, KEY_SLOTS_MAX, PAGE_FIXED_LEN, PAGE_HASH_LEN, PERSON_PAGE,
    SUITE,
};
use super::sector::ArchiveId;
use crate::hash::blake2b_256;
use crate::{Error, Result};

/// Costs of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    /// Passes (t).
    pub passes: u16,
    /// Memory in KiB (m).
    pub memory_kib: u32,
    /// Lanes (p).
    pub lanes: u8,
}

impl Default for KdfParams {
    fn default() -> Self {
        KdfParams {
            passes: 3,
            memory_kib: 65_536,
            lanes: 4,
        }
    }
}

impl KdfParams {
    /// Whether Argon2id is defined for these costs.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        self.passes >= 1 && self.lanes >= 1 && self.memory_kib >= 8 * u32::from(self.lanes)
    }
}

/// A key slot: the data key, wrapped under a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySlot {
    /// Costs of Argon2id.
    pub kdf: KdfParams,
    /// Salt of Argon2id.
    pub salt: [u8; 16],
    /// Nonce of the wrapping.
    pub nonce: [u8; 12],
    /// The data key under AES-256-GCM, with its tag.
    pub wrapped: [u8; 48],
}

impl KeySlot {
    /// The key slot that these bytes are, if it is of a type that this version knows and its costs
    /// are possible. Others are passed over: another passphrase may still open the archive.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_SLOT_LEN]) -> Option<Self> {
        let (_, (kind, slot)) = key_slot(bytes).ok()?;
        (kind == KEY_SLOT_PASSPHRASE && slot.kdf.is_legal()).then_some(slot)
    }

    /// The bytes as they stand in the page.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; KEY_SLOT_LEN] {
        let mut bytes = [0; KEY_SLOT_LEN];
        bytes[0] = KEY_SLOT_PASSPHRASE;
        bytes[1] = self.kdf.lanes;
        bytes[2..4].copy_from_slice(&self.kdf.passes.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.kdf.memory_kib.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.salt);
        bytes[24..36].copy_from_slice(&self.nonce);
        bytes[36..84].copy_from_slice(&self.wrapped);
        bytes
    }

    /// What the associated data of the wrapping covers: type, costs and salt.
    #[must_use]
    pub fn bound(&self) -> [u8; 24] {
        let mut bound = [0; 24];
        bound.copy_from_slice(&self.to_bytes()[..24]);
        bound
    }
}

/// The contents of a header page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Minor version: informative.
    pub minor: u8,
    /// Shape of the blocks.
    pub geometry: Geometry,
    /// How many blocks copy B stands behind copy A; 0 for all of them.
    pub lag: u32,
    /// Counts the changes of passphrases.
    pub generation: u32,
    /// Binds the page to the data key.
    pub commitment: [u8; 32],
    /// The ways to the data key, one at least, as they stand in the page.
    pub key_slots: Vec<[u8; KEY_SLOT_LEN]>,
}

impl Page {
    /// What the commitment covers, but for the archive id: the first 32 bytes and the key slots.
    #[must_use]
    pub fn committed(&self) -> Vec<u8> {
        let copy_b = match self.geometry.copy_b() {
            CopyB::None => 0,
            CopyB::Mirrored => 1,
            CopyB::Coded => 2,
        };
        let mut bytes = vec![0; 32];
        bytes[0] = self.minor;
        bytes[2] = self.geometry.sector_shift();
        bytes[3] = self.geometry.data();
        bytes[4] = self.geometry.parity(super::geometry::Copy::A);
        bytes[5] = self.geometry.parity(super::geometry::Copy::B);
        bytes[6] = copy_b;
        bytes[7] = SUITE;
        bytes[8..12].copy_from_slice(&self.lag.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        // At most eight.
        bytes[16] = self.key_slots.len() as u8;
        for slot in &self.key_slots {
            bytes.extend_from_slice(slot);
        }
        bytes
    }

    /// The payload of a header page's sector.
    #[must_use]
    pub fn to_payload(&self, archive: &ArchiveId) -> Vec<u8> {
        let record = self.geometry.page_record();
        let committed = self.committed();
        let mut payload = vec![0; self.geometry.payload_size()];
        payload[..32].copy_from_slice(&committed[..32]);
        payload[32..64].copy_from_slice(&self.commitment);
        payload[PAGE_FIXED_LEN..PAGE_FIXED_LEN + committed.len() - 32]
            .copy_from_slice(&committed[32..]);
        let hash = page_hash(archive, &payload[..record - PAGE_HASH_LEN]);
        payload[record - PAGE_HASH_LEN..record].copy_from_slice(&hash);
        payload
    }

    /// Parses the payload of a header page's sector.
    ///
    /// # Errors
    /// [`Error::NotDbs`] where the page hash fails or a field is illegal, [`Error::Unsupported`]
    /// where the page is intact and asks for what this version does not know.
    pub fn from_payload(archive: &ArchiveId, payload: &[u8]) -> Result<Self> {
        let illegal = |what: &str| Error::NotDbs(format!("header page: {what}"));
        let record = payload.len().min(super::layout::PAGE_RECORD_MAX);
        if record < PAGE_FIXED_LEN + KEY_SLOT_LEN + PAGE_HASH_LEN {
            return Err(illegal("too short"));
        }
        let (body, hash) = payload[..record].split_at(record - PAGE_HASH_LEN);
        if page_hash(archive, body) != hash {
            return Err(illegal("its hash does not hold"));
        }
        let (rest, fixed) = fixed(body).map_err(|_| illegal("too short"))?;
        if fixed.critical != 0 {
            let flags = fixed.critical;
            return Err(Error::Unsupported(format!(
                "the header page sets critical flags {flags:#04x}, which a newer dbs must read"
            )));
        }
        if fixed.suite != SUITE {
            let suite = fixed.suite;
            return Err(Error::Unsupported(format!(
                "cipher suite {suite}; this dbs knows {SUITE}"
            )));
        }
        // With an impossible number of key slots nothing says where the reserved bytes begin.
        let slots = usize::from(fixed.slots);
        let used = slots * KEY_SLOT_LEN;
        let unused = match slots {
            1..=KEY_SLOTS_MAX if used <= rest.len() => &rest[used..],
            _ => &[],
        };
        if fixed.reserved.iter().chain(unused).any(|b| *b != 0) {
            return Err(Error::Unsupported(
                "the header page uses bytes that version 3.0 reserves".into(),
            ));
        }
        let copy_b = match fixed.copy_b {
            0 => CopyB::None,
            1 => CopyB::Mirrored,
            2 => CopyB::Coded,
            _ => return Err(illegal("kind of copy B unknown")),
        };
        let geometry = Geometry::new(
            fixed.sector_shift,
            fixed.data,
            fixed.parity_a,
            fixed.parity_b,
            copy_b,
        )
        .ok_or_else(|| illegal("impossible geometry"))?;
        if geometry.payload_size() != payload.len() {
            return Err(illegal("states another sector size than it has"));
        }
        if copy_b == CopyB::None && fixed.lag != 0 {
            return Err(illegal("a lag without a copy B"));
        }
        if slots == 0 || slots > geometry.key_slots() {
            return Err(illegal("impossible number of key slots"));
        }
        let key_slots: Vec<[u8; KEY_SLOT_LEN]> = rest[..used]
            .chunks_exact(KEY_SLOT_LEN)
            .filter_map(|s| s.try_into().ok())
            .collect();
        let impossible = |slot: &[u8; KEY_SLOT_LEN]| {
            slot[0] == KEY_SLOT_PASSPHRASE && KeySlot::from_bytes(slot).is_none()
        };
        if key_slots.iter().any(impossible) {
            return Err(illegal("a key slot with impossible costs of Argon2id"));
        }
        Ok(Page {
            minor: fixed.minor,
            geometry,
            lag: fixed.lag,
            generation: fixed.generation,
            commitment: fixed.commitment,
            key_slots,
        })
    }
}

/// The first 64 bytes, before any judgement.
struct Fixed<'a> {
    minor: u8,
    critical: u8,
    sector_shift: u8,
    data: u8,
    parity_a: u8,
    parity_b: u8,
    copy_b: u8,
    suite: u8,
    lag: u32,
    generation: u32,
    slots: u8,
    reserved: &'a [u8],
    commitment: [u8; 32],
}

fn fixed(input: &[u8]) -> IResult<&[u8], Fixed<'_>> {
    let (input, (minor, critical, sector_shift, data)) = (u8, u8, u8, u8).parse(input)?;
    let (input, (parity_a, parity_b, copy_b, suite)) = (u8, u8, u8, u8).parse(input)?;
    let (input, (lag, generation, slots)) = (le_u32, le_u32, u8).parse(input)?;
    let (input, reserved) = take(15usize).parse(input)?;
    let (input, commitment) = array(input)?;
    let fixed = Fixed {
        minor,
        critical,
        sector_shift,
        data,
        parity_a,
        parity_b,
        copy_b,
        suite,
        lag,
        generation,
        slots,
        reserved,
        commitment,
    };
    Ok((input, fixed))
}

fn key_slot(input: &[u8]) -> IResult<&[u8], (u8, KeySlot)> {
    let (input, (kind, lanes, passes, memory_kib)) = (u8, u8, le_u16, le_u32).parse(input)?;
    let (input, salt) = array(input)?;
    let (input, nonce) = array(input)?;
    let (input, wrapped) = array(input)?;
    let kdf = KdfParams {
        passes,
        memory_kib,
        lanes,
    };
    Ok((
        input,
        (
            kind,
            KeySlot {
                kdf,
                salt,
                nonce,
                wrapped,
            },
        ),
    ))
}

fn array<const N: usize>(input: &[u8]) -> IResult<&[u8], [u8; N]> {
    let (input, bytes) = take(N).parse(input)?;
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    Ok((input, array))
}

fn page_hash(archive: &ArchiveId, body: &[u8]) -> [u8; 32] {
    blake2b_256(PERSON_PAGE, None, &[archive, body])
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Profile;
    use super::*;

    fn page(shift: u8) -> Page {
        let slot = KeySlot {
            kdf: KdfParams::default(),
            salt: [1; 16],
            nonce: [2; 12],
            wrapped: [3; 48],
        };
        Page {
            minor: 0,
            geometry: Geometry::of(Profile::Coded, shift).unwrap(),
            lag: 5,
            generation: 9,
            commitment: [4; 32],
            key_slots: vec![slot.to_bytes(); 3],
        }
    }

    #[test]
    fn pages_are_parsed_as_they_are_written() {
        for shift in 9..=16 {
            let page = page(shift);
            let payload = page.to_payload(&[7; 16]);
            assert_eq!(Page::from_payload(&[7; 16], &payload).unwrap(), page);
            assert!(matches!(
                Page::from_payload(&[8; 16], &payload),
                Err(Error::NotDbs(_))
            ));
        }
    }

    #[test]
    fn an_intact_page_that_asks_for_more_is_unsupported() {
        for offset in [1, 7, 20, 400] {
            let mut payload = page(9).to_payload(&[7; 16]);
            payload[offset] = 0x80;
            let end = payload.len() - 32;
            let hash = page_hash(&[7; 16], &payload[..end]);
            payload[end..].copy_from_slice(&hash);
            assert!(matches!(
                Page::from_payload(&[7; 16], &payload),
                Err(Error::Unsupported(_))
            ));
        }
    }
}
