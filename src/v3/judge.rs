//! Which candidate for a block is right: never the decoder decides, but the AEAD, the block table, or the tags.

use super::block::Loom;
use super::hand::Hand;
use super::heal::Target;
use super::keys::Keys;
use super::layout::TAG_LEN;
use super::sealed::Opener;
use super::sector::{Kind, Sector, write_tags};
use super::table::{Entry, TableBlock};
use crate::pipeline::Pool;
use crate::{Error, Result};

/// Says whether a candidate is right.
pub(super) struct Judge<'a> {
    pub(super) loom: &'a Loom,
    pub(super) target: Target,
    pub(super) keys: Option<&'a Keys>,
    pub(super) opener: &'a mut Opener,
    pub(super) buffers: &'a Pool,
    /// The raw bytes inside, once the block was opened.
    pub(super) raw: Option<Vec<u8>>,
    /// The refusal of a candidate of intact sectors.
    pub(super) altered: Option<Error>,
}

impl Judge<'_> {
    /// Whether the AEAD opens the candidate; without keys, whether the block table knows it; without
    /// either, whether it is `certain`: made of intact sectors alone.
    pub(super) fn confirms(&mut self, hand: &Hand, data: &[u8], certain: bool) -> Result<bool> {
        let Judge { loom, target, .. } = *self;
        if target.kind == Kind::Table {
            let block = TableBlock::parse(&loom.geometry, &loom.archive, target.block, data);
            return Ok(block.is_ok());
        }
        let Some(keys) = self.keys else {
            return match target.entry {
                Some(entry) => Ok(entry_of(loom, hand, target, data) == entry),
                None => Ok(certain),
            };
        };
        let place = target.place(loom);
        let mut copy = self.buffers.take();
        let mut open = || {
            // Opening decrypts in place.
            copy.clear();
            copy.extend_from_slice(data);
            let opened = self.opener.open(keys, &loom.geometry, place, &mut copy);
            opened.map(|bytes| {
                let mut raw = self.buffers.take();
                raw.clear();
                raw.extend_from_slice(bytes);
                raw
            })
        };
        let opened = match open() {
            // A checksum that fails is memory that erred, perhaps only now.
            Err(Error::Damaged(_)) => open(),
            opened => opened,
        };
        self.buffers.give(copy);
        match opened {
            Ok(raw) => {
                self.raw = Some(raw);
                Ok(true)
            }
            Err(error @ Error::Authentication(_)) => {
                if certain {
                    self.altered = Some(error);
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// The entry that the block table has for a block of these data.
fn entry_of(loom: &Loom, hand: &Hand, target: Target, data: &[u8]) -> Entry {
    let size = loom.geometry.sector_size();
    let rows = data.chunks_exact(loom.geometry.payload_size());
    let known = |slot: u8, row: &[u8]| hand.certain(slot).filter(|s| s.payload() == row);
    // Tags cover frame and payload, so those that are not in hand are made from both.
    let mut made = Vec::new();
    for (slot, row) in (1..=target.k).zip(rows.clone()) {
        if known(slot, row).is_none() {
            made.extend_from_slice(&target.frame(loom, slot).to_bytes());
            made.extend_from_slice(row);
            made.extend_from_slice(&[0; TAG_LEN]);
        }
    }
    write_tags(&mut made, size);
    let mut made = made
        .chunks_exact(size)
        .map(|sector| Sector::new(sector).tag());
    let tags: Vec<&[u8]> = (1..=target.k)
        .zip(rows)
        .filter_map(|(slot, row)| known(slot, row).map_or_else(|| made.next(), |s| Some(s.tag())))
        .collect();
    Entry::of(&tags)
}
