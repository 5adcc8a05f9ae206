//! The sector: frame, payload, tag. Each says by itself what it is.

use nom::bytes::complete::{tag, take};
use nom::number::complete::{le_u64, u8};
use nom::{IResult, Parser};

use super::layout::{FRAME_LEN, MAGIC, PERSON_SECTOR, TAG_LEN, VERSION};
use crate::hash::blake2b_128_many;

/// The random name of an archive, in every sector.
pub type ArchiveId = [u8; 16];

/// What a block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Payload bytes, encrypted.
    Data = 0,
    /// What the archive is, encrypted.
    Manifest = 1,
    /// Sizes and hashes of the other blocks, not encrypted.
    Table = 2,
    /// The entries of an archive of files, encrypted.
    Index = 3,
    /// The sector that closes the file.
    End = 255,
}

impl Kind {
    /// The kind that a byte stands for.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Kind::Data),
            1 => Some(Kind::Manifest),
            2 => Some(Kind::Table),
            3 => Some(Kind::Index),
            255 => Some(Kind::End),
            _ => None,
        }
    }

    /// The word for it in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Data => "data",
            Kind::Manifest => "manifest",
            Kind::Table => "table",
            Kind::Index => "index",
            Kind::End => "end",
        }
    }
}

/// The frame of a sector: which archive, which block, which slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// What the block holds.
    pub kind: Kind,
    /// The slot of this sector in its block.
    pub slot: u8,
    /// Data sectors of the block.
    pub k: u8,
    /// Number of the block in the archive.
    pub block: u64,
    /// The archive.
    pub archive: ArchiveId,
}

impl Frame {
    /// The 32 bytes that stand at the head of the sector.
    #[must_use]
    pub fn to_bytes(self) -> [u8; FRAME_LEN] {
        let mut bytes = [0; FRAME_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = self.kind as u8;
        bytes[6] = self.slot;
        bytes[7] = self.k;
        bytes[8..16].copy_from_slice(&self.block.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.archive);
        bytes
    }

    /// How many bits of a stored frame differ from this one.
    #[must_use]
    pub fn distance(self, stored: &[u8]) -> u32 {
        let expected = self.to_bytes();
        expected
            .iter()
            .zip(stored)
            .map(|(a, b)| (a ^ b).count_ones())
            .sum()
    }
}

impl Frame {
    /// Whether a stored frame names the slot, and in its low 16 bits the block, of this one.
    #[must_use]
    pub fn names(self, stored: &[u8]) -> bool {
        let expected = self.to_bytes();
        stored[6] == expected[6] && stored[8..10] == expected[8..10]
    }
}

/// Parses the frame of a sector of version 3.
///
/// # Errors
/// Where magic, version or kind are none that version 3 knows.
pub fn frame(input: &[u8]) -> IResult<&[u8], Frame> {
    let (input, _) = tag(&MAGIC[..]).parse(input)?;
    let (input, _) = tag(&[VERSION][..]).parse(input)?;
    let (input, kind) = nom::combinator::map_opt(u8, Kind::from_byte).parse(input)?;
    let (input, slot) = u8(input)?;
    let (input, k) = u8(input)?;
    let (input, block) = le_u64(input)?;
    let (input, id) = take(16usize).parse(input)?;
    let mut archive = ArchiveId::default();
    archive.copy_from_slice(id);
    Ok((
        input,
        Frame {
            kind,
            slot,
            k,
            block,
            archive,
        },
    ))
}

/// Whether these bytes begin like the sector of a header page: magic, version and slot say so.
#[must_use]
pub fn is_page(bytes: &[u8]) -> bool {
    bytes.len() >= FRAME_LEN && bytes[..4] == MAGIC && bytes[4] == VERSION && bytes[6] == 0
}

/// A sector as it was read: a view that borrows the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sector<'a> {
    bytes: &'a [u8],
}

impl<'a> Sector<'a> {
    /// A view of one whole sector.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        debug_assert!(bytes.len() > FRAME_LEN + TAG_LEN);
        Sector { bytes }
    }

    /// The stored frame, whether or not it can be parsed.
    #[must_use]
    pub fn frame_bytes(&self) -> &'a [u8] {
        &self.bytes[..FRAME_LEN]
    }

    /// The frame, if it parses.
    #[must_use]
    pub fn frame(&self) -> Option<Frame> {
        frame(self.bytes).ok().map(|(_, frame)| frame)
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[FRAME_LEN..self.bytes.len() - TAG_LEN]
    }

    /// The stored tag.
    #[must_use]
    pub fn tag(&self) -> &'a [u8] {
        &self.bytes[self.bytes.len() - TAG_LEN..]
    }

    /// What the tag covers: frame and payload.
    #[must_use]
    pub fn tagged(&self) -> &'a [u8] {
        &self.bytes[..self.bytes.len() - TAG_LEN]
    }
}

/// For each whole sector in `bytes`, whether its tag holds.
///
/// `wanted` chooses the sectors to hash; the others count as not intact.
pub fn intact(bytes: &[u8], sector_size: usize, wanted: impl Fn(usize) -> bool) -> Vec<bool> {
    let count = bytes.len() / sector_size;
    let mut result = vec![false; count];
    let chosen: Vec<usize> = (0..count).filter(|&i| wanted(i)).collect();
    let sector = |i: usize| Sector::new(&bytes[i * sector_size..(i + 1) * sector_size]);
    blake2b_128_many(
        PERSON_SECTOR,
        chosen.iter().map(|&i| sector(i).tagged()),
        |j, tag| {
            result[chosen[j]] = sector(chosen[j]).tag() == tag;
        },
    );
    result
}

/// Whether the tag of one sector holds.
#[must_use]
pub fn is_intact(sector: &[u8]) -> bool {
    intact(sector, sector.len(), |_| true) == [true]
}

/// Writes the tags into whole sectors whose frames and payloads are in place.
pub fn write_tags(sectors: &mut [u8], sector_size: usize) {
    write_tags_of(sectors, sector_size, |_| true);
}

/// As [`write_tags`], for the sectors that `wanted` chooses.
pub fn write_tags_of(sectors: &mut [u8], sector_size: usize, wanted: impl Fn(usize) -> bool) {
    let count = sectors.len() / sector_size;
    let chosen: Vec<usize> = (0..count).filter(|&i| wanted(i)).collect();
    let mut tags = vec![[0; TAG_LEN]; chosen.len()];
    blake2b_128_many(
        PERSON_SECTOR,
        chosen
            .iter()
            .map(|i| Sector::new(&sectors[i * sector_size..(i + 1) * sector_size]).tagged()),
        |j, tag| tags[j] = tag,
    );
    for (i, tag) in chosen.into_iter().zip(tags) {
        let end = (i + 1) * sector_size;
        sectors[end - TAG_LEN..end].copy_from_slice(&tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        kind: Kind::Index,
        slot: 200,
        k: 7,
        block: 0x0102_0304_0506_0708,
        archive: *b"0123456789abcdef",
    };

    #[test]
    fn frames_are_parsed_as_they_are_written() {
        let bytes = FRAME.to_bytes();
        assert_eq!(frame(&bytes), Ok((&[][..], FRAME)));
        assert_eq!(FRAME.distance(&bytes), 0);
        for (offset, value) in [(0, 0x88), (4, 2), (5, 9)] {
            let mut wrong = bytes;
            wrong[offset] = value;
            assert!(frame(&wrong).is_err());
        }
        for cut in 0..FRAME_LEN {
            assert!(frame(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn any_flipped_bit_breaks_the_tag() {
        let mut sector = vec![0x5a; 512];
        sector[..FRAME_LEN].copy_from_slice(&FRAME.to_bytes());
        write_tags(&mut sector, 512);
        assert!(is_intact(&sector));
        for bit in 0..512 * 8 {
            sector[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&sector));
            sector[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
