//! A block as sectors: header page, data sectors, parity sectors, with frames and tags.

use std::sync::Arc;

use super::geometry::{Copy, Geometry};
use super::layout::{FRAME_LEN, TAG_LEN};
use super::page::Page;
use super::sector::{ArchiveId, Frame, Kind, Sector, write_tags, write_tags_of};
use super::table::Entry;
use crate::pages::Pages;
use crate::rs::Code;
use crate::{Error, Result};

/// Everything that the sectors of all blocks of an archive have in common.
#[derive(Debug, Clone)]
pub struct Loom {
    /// Shape of the blocks.
    pub geometry: Geometry,
    /// The archive.
    pub archive: ArchiveId,
    /// The Reed-Solomon code.
    pub code: Arc<Code>,
    page: Arc<Vec<u8>>,
}

/// The sectors of one block: header page, data, and the parity of the copies asked for, each once.
#[derive(Debug, Clone)]
pub struct Sectors {
    bytes: Pages,
    sector_size: usize,
    k: u8,
    parity_a: usize,
    mirrored: bool,
}

impl Loom {
    /// What is needed to make sectors of an archive with this header page.
    ///
    /// # Errors
    /// None for a legal geometry.
    pub fn new(archive: ArchiveId, page: &Page) -> Result<Self> {
        let geometry = page.geometry;
        let code = Code::shared(geometry.data().into())
            .ok_or_else(|| Error::Unsupported("no code for this geometry".into()))?;
        Ok(Loom {
            geometry,
            archive,
            code,
            page: Arc::new(page.to_payload(&archive)),
        })
    }

    /// The payload of the header page.
    #[must_use]
    pub fn page(&self) -> &[u8] {
        &self.page
    }

    /// Makes the sectors of a block from the payloads of its data sectors, one behind the other.
    ///
    /// Parity is computed for `copies` only; the bytes go to `buffer`, whose memory is reused.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `data` is not a whole number of payloads that a block can have.
    pub fn weave(
        &self,
        kind: Kind,
        block: u64,
        data: &[u8],
        copies: &[Copy],
        mut buffer: Pages,
    ) -> Result<Sectors> {
        let geometry = &self.geometry;
        let (size, payload_size) = (geometry.sector_size(), geometry.payload_size());
        let k = u8::try_from(data.len() / payload_size)
            .ok()
            .filter(|k| {
                (1..=geometry.data()).contains(k) && data.len().is_multiple_of(payload_size)
            })
            .ok_or_else(|| Error::Misuse("not a whole number of data sectors".into()))?;
        let slots = self.slots(k, copies);
        buffer.resize(slots.len() * size);
        self.write_frames(&mut buffer, kind, block, k, &slots, |_| true);
        let rows = data.chunks_exact(payload_size);
        for (sector, row) in buffer.chunks_exact_mut(size).skip(1).zip(rows) {
            sector[FRAME_LEN..size - TAG_LEN].copy_from_slice(row);
        }
        self.write_parity(&mut buffer, k, &slots)?;
        write_tags(&mut buffer, size);
        Ok(self.sectors(buffer, k, copies))
    }

    /// Makes the sectors of copy B of a block from the data sectors of copy A.
    ///
    /// `buffer` has room for a header page, then the data sectors. They are taken over as they are, with
    /// their tags; parity and header page are made.
    ///
    /// # Errors
    /// [`Error::Misuse`] where `buffer` is not a number of sectors that a block can have.
    pub fn weave_copy_b(&self, kind: Kind, block: u64, mut buffer: Pages) -> Result<Sectors> {
        let size = self.geometry.sector_size();
        let k = u8::try_from((buffer.len() / size).saturating_sub(1))
            .ok()
            .filter(|k| (1..=self.geometry.data()).contains(k))
            .ok_or_else(|| Error::Misuse("not a number of data sectors".into()))?;
        let made = |i: usize| i == 0 || i > usize::from(k);
        let slots = self.slots(k, &[Copy::B]);
        buffer.resize(slots.len() * size);
        self.write_frames(&mut buffer, kind, block, k, &slots, made);
        self.write_parity(&mut buffer, k, &slots)?;
        write_tags_of(&mut buffer, size, made);
        Ok(self.sectors(buffer, k, &[Copy::B]))
    }

    /// Slot 0, the slots of the data, and the parity slots of the copies.
    fn slots(&self, k: u8, copies: &[Copy]) -> Vec<u8> {
        let parity = copies
            .iter()
            .flat_map(|copy| self.geometry.parity_slots(*copy, k));
        (0..=k).chain(parity).collect()
    }

    /// Writes the frames that `made` chooses, and the header page.
    fn write_frames(
        &self,
        buffer: &mut [u8],
        kind: Kind,
        block: u64,
        k: u8,
        slots: &[u8],
        made: impl Fn(usize) -> bool,
    ) {
        let size = self.geometry.sector_size();
        for (i, (sector, &slot)) in buffer.chunks_exact_mut(size).zip(slots).enumerate() {
            if made(i) {
                let frame = Frame {
                    kind,
                    slot,
                    k,
                    block,
                    archive: self.archive,
                };
                sector[..FRAME_LEN].copy_from_slice(&frame.to_bytes());
            }
        }
        buffer[FRAME_LEN..size - TAG_LEN].copy_from_slice(&self.page);
    }

    /// Writes the payloads of the parity sectors, which stand behind the data sectors.
    fn write_parity(&self, buffer: &mut [u8], k: u8, slots: &[u8]) -> Result<()> {
        let size = self.geometry.sector_size();
        let (head, parity) = buffer.split_at_mut((1 + usize::from(k)) * size);
        let inputs: Vec<&[u8]> = head
            .chunks_exact(size)
            .skip(1)
            .map(|s| Sector::new(s).payload())
            .collect();
        let mut outputs: Vec<&mut [u8]> = parity
            .chunks_exact_mut(size)
            .map(|s| &mut s[FRAME_LEN..size - TAG_LEN])
            .collect();
        self.code
            .encode(&inputs, &slots[1 + usize::from(k)..], &mut outputs)
            .map_err(|e| Error::Misuse(format!("parity: {e:?}")))
    }

    fn sectors(&self, bytes: Pages, k: u8, copies: &[Copy]) -> Sectors {
        let parity_a = if copies.contains(&Copy::A) {
            self.geometry.parity_of(Copy::A, k).into()
        } else {
            0
        };
        Sectors {
            bytes,
            sector_size: self.geometry.sector_size(),
            k,
            parity_a,
            mirrored: self.geometry.holds_data(Copy::B),
        }
    }

    /// The sector that closes the file of an archive of `blocks` blocks.
    #[must_use]
    pub fn end_sector(&self, blocks: u64) -> Vec<u8> {
        let size = self.geometry.sector_size();
        let frame = Frame {
            kind: Kind::End,
            slot: 0,
            k: 0,
            block: blocks,
            archive: self.archive,
        };
        let mut sector = vec![0; size];
        sector[..FRAME_LEN].copy_from_slice(&frame.to_bytes());
        sector[FRAME_LEN..size - TAG_LEN].copy_from_slice(&self.page);
        write_tags(&mut sector, size);
        sector
    }
}

impl Sectors {
    /// Number of data sectors.
    #[must_use]
    pub fn k(&self) -> u8 {
        self.k
    }

    /// The data sectors.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.bytes[self.sector_size..(1 + usize::from(self.k)) * self.sector_size]
    }

    /// The sectors of one copy, as two runs of bytes that follow each other in the file.
    #[must_use]
    pub fn copy(&self, copy: Copy) -> [&[u8]; 2] {
        let data = (1 + usize::from(self.k)) * self.sector_size;
        let parity_b = data + self.parity_a * self.sector_size;
        match copy {
            Copy::A => [&self.bytes[..parity_b], &[]],
            Copy::B => {
                let head = if self.mirrored {
                    data
                } else {
                    self.sector_size
                };
                [&self.bytes[..head], &self.bytes[parity_b..]]
            }
        }
    }

    /// The sector of a slot of a copy, by its position in that copy.
    #[must_use]
    pub fn at(&self, copy: Copy, position: usize) -> &[u8] {
        let [head, tail] = self.copy(copy);
        let at = position * self.sector_size;
        if at < head.len() {
            &head[at..at + self.sector_size]
        } else {
            &tail[at - head.len()..at - head.len() + self.sector_size]
        }
    }

    /// The entry of this block in the block table.
    #[must_use]
    pub fn entry(&self) -> Entry {
        let tags: Vec<&[u8]> = self
            .bytes
            .chunks_exact(self.sector_size)
            .skip(1)
            .take(self.k.into())
            .map(|s| Sector::new(s).tag())
            .collect();
        Entry::of(&tags)
    }

    /// Gives the memory back.
    #[must_use]
    pub fn into_buffer(self) -> Pages {
        self.bytes
    }
}
