//! The sealed block: header, stored bytes and zeros under AES-256-GCM.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Nonce, Tag};
use nom::Parser;
use nom::bytes::complete::tag;
use nom::number::complete::{le_u32, u8};

use super::geometry::Geometry;
use super::keys::Keys;
use super::layout::{GCM_TAG_LEN, SEALED_HEADER_LEN};
use super::sector::{ArchiveId, Kind};
use crate::error::{Damage, FailedBlock};
use crate::{Error, Result};

/// How the raw bytes of a block are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// One Zstandard frame at this level, where that saves a sector.
    Zstd(i32),
}

impl Default for Compression {
    fn default() -> Self {
        Compression::Zstd(3)
    }
}

/// Which block of which archive: what the nonce and the associated data are made of.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The archive.
    pub archive: ArchiveId,
    /// Number of the block.
    pub block: u64,
    /// Kind of the block.
    pub kind: Kind,
}

impl Place {
    pub(super) fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.block.to_le_bytes());
        nonce[8] = self.kind as u8;
        nonce
    }

    pub(super) fn associated_data(&self, k: u8) -> [u8; 26] {
        let mut data = [0; 26];
        data[..16].copy_from_slice(&self.archive);
        data[16..24].copy_from_slice(&self.block.to_le_bytes());
        data[24] = self.kind as u8;
        data[25] = k;
        data
    }
}

/// Blocks of at least this many bytes are probed before they are compressed.
const PROBED_LEN: usize = 1 << 18;
/// Pieces that a probe takes from all over a block, and their length in bytes.
const PROBE: (usize, usize) = (16, 1 << 12);

/// Compresses blocks; keeps zstd's memory from block to block.
pub struct Compressor {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    buffer: Vec<u8>,
}

impl Compressor {
    /// A compressor of the chosen kind.
    pub fn new(compression: Compression) -> Result<Self> {
        let zstd = match compression {
            Compression::None => None,
            Compression::Zstd(level) => Some(zstd::bulk::Compressor::new(level)?),
        };
        Ok(Compressor {
            zstd,
            buffer: Vec::new(),
        })
    }

    /// Whether a block looks like one that cannot be compressed, by pieces of it: what is compressed or
    /// encrypted already would cost as much time as its encryption, to no avail.
    ///
    /// Repetitions within a block that have no other pattern are not seen, and are stored as they are.
    fn is_noise(&mut self, raw: &[u8]) -> bool {
        let Some(zstd) = self.zstd.as_mut().filter(|_| raw.len() >= PROBED_LEN) else {
            return false;
        };
        let (count, len) = PROBE;
        let pieces = raw.chunks(raw.len() / count).take(count);
        let probe: Vec<&[u8]> = pieces.filter_map(|piece| piece.get(..len)).collect();
        let probe = probe.concat();
        // Less than one byte in 128 saved is too little: zstd gives up then.
        self.buffer.resize(probe.len() - probe.len() / 128, 0);
        zstd.compress_to_buffer(&probe, &mut self.buffer[..])
            .is_err()
    }

    /// Compresses `raw` into the buffer, behind the room for the header; false where that saves no sector.
    fn compress(&mut self, geometry: &Geometry, raw: &[u8]) -> bool {
        if self.is_noise(raw) {
            return false;
        }
        if let Some(zstd) = &mut self.zstd {
            let sectors = geometry.sealed_sectors(raw.len());
            // Where there is less room than would save a sector, zstd gives up, and rightly so.
            let room = (sectors.saturating_sub(1) * geometry.payload_size())
                .saturating_sub(SEALED_HEADER_LEN + GCM_TAG_LEN);
            self.buffer.resize(SEALED_HEADER_LEN + room, 0);
            let to = &mut self.buffer[SEALED_HEADER_LEN..];
            if let Ok(len) = zstd.compress_to_buffer(raw, to) {
                self.buffer.truncate(SEALED_HEADER_LEN + len);
                return true;
            }
        }
        false
    }

    /// Seals the raw bytes that stand in `plain` behind [`SEALED_HEADER_LEN`] bytes of room. The result
    /// is a whole number of payloads; it lives in `plain` or here.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `raw` does not fit a block.
    pub fn seal<'a>(
        &'a mut self,
        keys: &Keys,
        geometry: &Geometry,
        place: Place,
        plain: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        let raw = plain
            .get(SEALED_HEADER_LEN..)
            .filter(|raw| raw.len() <= geometry.capacity())
            .ok_or_else(|| Error::Misuse("more bytes than a block holds".into()))?;
        let (raw_len, crc) = (raw.len(), crc32fast::hash(raw));
        let compressed = self.compress(geometry, raw);
        let sealed = if compressed { &mut self.buffer } else { plain };
        let stored_len = sealed.len() - SEALED_HEADER_LEN;
        let k = geometry.sealed_sectors(stored_len);
        sealed[..4].copy_from_slice(&[compressed.into(), 0, 0, 0]);
        // Both lengths are at most the capacity of a block, which is below 2^32.
        sealed[4..8].copy_from_slice(&(stored_len as u32).to_le_bytes());
        sealed[8..12].copy_from_slice(&(raw_len as u32).to_le_bytes());
        sealed[12..SEALED_HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        sealed.resize(k * geometry.payload_size() - GCM_TAG_LEN, 0);
        let tag = keys
            .cipher()
            .encrypt_inout_detached(
                &Nonce::from(place.nonce()),
                // k is at most the geometry's, a u8: raw fits the capacity.
                &place.associated_data(k as u8),
                sealed.as_mut_slice().into(),
            )
            .map_err(|_| Error::Misuse("a block could not be encrypted".into()))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }
}

/// Opens sealed blocks.
pub struct Opener {
    zstd: zstd::bulk::Decompressor<'static>,
    buffer: Vec<u8>,
}

impl Opener {
    /// An opener with its own decompression memory.
    pub fn new() -> Result<Self> {
        Ok(Opener {
            zstd: zstd::bulk::Decompressor::new()?,
            buffer: Vec::new(),
        })
    }

    /// Decrypts `sealed` in place, and returns the raw bytes, which live in `sealed` or here.
    ///
    /// # Errors
    /// [`Error::Authentication`] where the block does not open, [`Error::Unsupported`] where it is
    /// authentic and yet not what a writer makes, [`Error::Damaged`] where its checksum fails.
    pub fn open<'a>(
        &'a mut self,
        keys: &Keys,
        geometry: &Geometry,
        place: Place,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8]> {
        let altered = |what: &str| {
            let block = place.block;
            Error::Authentication(format!("block {block}: {what}"))
        };
        let foreign = |what: &str| {
            let block = place.block;
            Error::Unsupported(format!("block {block} is authentic, but {what}"))
        };
        let k = sealed.len() / geometry.payload_size();
        let Some(split) = sealed.len().checked_sub(GCM_TAG_LEN) else {
            return Err(altered("too short"));
        };
        let (message, stored_tag) = sealed.split_at_mut(split);
        let mut tag = Tag::default();
        tag.copy_from_slice(stored_tag);
        keys.cipher()
            .decrypt_inout_detached(
                &Nonce::from(place.nonce()),
                &place.associated_data(k as u8),
                (&mut *message).into(),
                &tag,
            )
            .map_err(|_| altered("its authentication tag does not hold"))?;
        let (body, header) = header(message).map_err(|_| foreign("malformed"))?;
        let stored_len = header.stored as usize;
        let raw_len = header.raw as usize;
        if stored_len > body.len() || raw_len > geometry.capacity() {
            return Err(foreign("states impossible lengths"));
        }
        let (stored, padding) = body.split_at(stored_len);
        if padding.iter().any(|b| *b != 0) || geometry.sealed_sectors(stored_len) != k {
            return Err(foreign("is not padded as it must be"));
        }
        let raw = match header.codec {
            0 => stored,
            1 => {
                self.buffer.resize(raw_len, 0);
                let len = self
                    .zstd
                    .decompress_to_buffer(stored, &mut self.buffer[..])
                    .map_err(|_| foreign("does not decompress"))?;
                &self.buffer[..len]
            }
            codec => return Err(foreign(&format!("of codec {codec}"))),
        };
        if raw.len() != raw_len {
            return Err(foreign("does not have the length it states"));
        }
        if crc32fast::hash(raw) != header.crc {
            return Err(Error::Damaged(Damage {
                what: format!(
                    "block {} is authentic, but its checksum fails: memory failed while it was \
                     written, or fails now",
                    place.block
                ),
                blocks: vec![FailedBlock {
                    block: place.block,
                    kind: place.kind.as_str(),
                    payload: None,
                }],
            }));
        }
        Ok(raw)
    }
}

/// The header inside the encryption.
struct Header {
    codec: u8,
    stored: u32,
    raw: u32,
    crc: u32,
}

fn header(input: &[u8]) -> nom::IResult<&[u8], Header> {
    let (input, (codec, _, stored, raw, crc)) =
        (u8, tag(&[0, 0, 0][..]), le_u32, le_u32, le_u32).parse(input)?;
    Ok((
        input,
        Header {
            codec,
            stored,
            raw,
            crc,
        },
    ))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::super::geometry::Profile;
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_nothing_else() {
        let geometry = Geometry::of(Profile::Standard, 9).unwrap();
        let keys = Keys::new(Zeroizing::new([5; 32]));
        let place = Place {
            archive: [1; 16],
            block: 7,
            kind: Kind::Data,
        };
        let mut noise = 1u32;
        let random: Vec<u8> = (0..geometry.capacity())
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        let mut opener = Opener::new().unwrap();
        for len in [0, 1, 431, 432, 433, 5000, geometry.capacity()] {
            for raw in [&vec![b'x'; len], &random[..len].to_vec()] {
                let mut plain = [&[0; SEALED_HEADER_LEN], &raw[..]].concat();
                let mut compressor = Compressor::new(Compression::default()).unwrap();
                let mut sealed = compressor
                    .seal(&keys, &geometry, place, &mut plain)
                    .unwrap()
                    .to_vec();
                assert_eq!(sealed.len() % geometry.payload_size(), 0);
                let mut wrong = sealed.clone();
                assert_eq!(
                    opener.open(&keys, &geometry, place, &mut sealed).unwrap(),
                    raw
                );
                wrong[len % 400] ^= 1;
                assert!(opener.open(&keys, &geometry, place, &mut wrong).is_err());
            }
        }
    }
}
