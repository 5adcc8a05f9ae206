//! The block table: for every other block its number of data sectors and its hash.

use nom::Parser;
use nom::number::complete::{le_u32, le_u64};

use super::geometry::Geometry;
use super::layout::{ENTRY_LEN, PERSON_BLOCK, PERSON_ROOT, PERSON_TABLE, TABLE_HASH_LEN};
use super::sector::{ArchiveId, Kind};
use crate::hash::blake2b_256;
use crate::{Error, Result};

/// How many blocks of which kind an archive has, in the order of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Data blocks (D).
    pub data: u64,
    /// Index blocks (I).
    pub index: u32,
    /// Table blocks (T).
    pub table: u32,
}

impl Census {
    /// The census of an archive with `data` data blocks and `index` index blocks.
    #[must_use]
    pub fn new(geometry: &Geometry, data: u64, index: u32) -> Option<Self> {
        let entries = data.checked_add(u64::from(index))?.checked_add(1)?;
        let table = u32::try_from(entries.div_ceil(geometry.table_entries() as u64)).ok()?;
        entries.checked_add(table.into())?;
        Some(Census { data, index, table })
    }

    /// Splits a number of blocks into those that have an entry (X) and table blocks (T).
    #[must_use]
    pub fn split(geometry: &Geometry, blocks: u64) -> Option<(u64, u32)> {
        // N = X + ceil(X / E), so X is the integer part of N * E / (E + 1).
        let capacity = geometry.table_entries() as u128;
        let entries = (u128::from(blocks) * capacity / (capacity + 1)) as u64;
        let table = u32::try_from(blocks - entries).ok()?;
        let legal = entries >= 1 && entries.div_ceil(capacity as u64) == u64::from(table);
        legal.then_some((entries, table))
    }

    /// Blocks that have an entry in the table (X).
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.data + u64::from(self.index) + 1
    }

    /// All blocks (N).
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.entries() + u64::from(self.table)
    }

    /// The number of the manifest block.
    #[must_use]
    pub fn manifest(&self) -> u64 {
        self.data + u64::from(self.index)
    }

    /// The kind of a block.
    #[must_use]
    pub fn kind(&self, block: u64) -> Kind {
        match block {
            b if b < self.data => Kind::Data,
            b if b < self.manifest() => Kind::Index,
            b if b == self.manifest() => Kind::Manifest,
            b if b < self.blocks() => Kind::Table,
            _ => Kind::End,
        }
    }
}

/// What the table says of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Data sectors.
    pub k: u8,
    /// BLAKE2b-256 over the tags of the data sectors.
    pub hash: [u8; 32],
}

impl Entry {
    /// The bytes of the entry.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; ENTRY_LEN] {
        let mut bytes = [0; ENTRY_LEN];
        bytes[0] = self.k;
        bytes[1..].copy_from_slice(&self.hash);
        bytes
    }

    /// The entry of a block, from the tags of its data sectors in the order of their slots.
    #[must_use]
    pub fn of(tags: &[&[u8]]) -> Self {
        // A block has at most 254 data sectors.
        Entry {
            k: tags.len() as u8,
            hash: blake2b_256(PERSON_BLOCK, None, tags),
        }
    }
}

/// The root hash over the entries of the data and index blocks.
#[must_use]
pub fn root(archive: &ArchiveId, entries: &[Entry]) -> [u8; 32] {
    let bytes: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
    blake2b_256(PERSON_ROOT, None, &[archive, &bytes])
}

/// The payloads of one table block's data sectors, one behind the other.
///
/// `entries` are those of all blocks; the block is the `index`th table block.
#[must_use]
pub fn write(
    geometry: &Geometry,
    archive: &ArchiveId,
    census: &Census,
    entries: &[Entry],
    index: u32,
) -> Vec<u8> {
    let capacity = geometry.table_entries();
    let first = index as usize * capacity;
    let own = &entries[first..entries.len().min(first + capacity)];
    let sectors = geometry.table_sectors(own.len());
    let mut payload = Vec::with_capacity(sectors * geometry.payload_size());
    payload.extend_from_slice(&(first as u64).to_le_bytes());
    payload.extend_from_slice(&census.data.to_le_bytes());
    payload.extend_from_slice(&census.index.to_le_bytes());
    payload.extend_from_slice(&census.table.to_le_bytes());
    payload.extend_from_slice(&(own.len() as u32).to_le_bytes());
    payload.extend_from_slice(&[0; 4]);
    for entry in own {
        payload.extend_from_slice(&entry.to_bytes());
    }
    payload.resize(sectors * geometry.payload_size() - TABLE_HASH_LEN, 0);
    let block = census.entries() + u64::from(index);
    let hash = table_hash(archive, block, &payload);
    payload.extend_from_slice(&hash);
    payload
}

/// A table block that proved itself: a view that borrows the payload.
#[derive(Debug, Clone, Copy)]
pub struct TableBlock<'a> {
    /// How many blocks of which kind the archive has.
    pub census: Census,
    /// The block that the first entry here is of.
    pub first: u64,
    entries: &'a [u8],
}

impl<'a> TableBlock<'a> {
    /// Parses the payload of table block `block`.
    ///
    /// # Errors
    /// [`Error::NotDbs`] where the hash does not hold, or the table says what cannot be.
    pub fn parse(
        geometry: &Geometry,
        archive: &ArchiveId,
        block: u64,
        payload: &'a [u8],
    ) -> Result<Self> {
        let illegal = |what: &str| Error::NotDbs(format!("table block {block}: {what}"));
        let Some(end) = payload.len().checked_sub(TABLE_HASH_LEN) else {
            return Err(illegal("too short"));
        };
        let (body, hash) = payload.split_at(end);
        if table_hash(archive, block, body) != hash {
            return Err(illegal("its hash does not hold"));
        }
        let (rest, (first, data, index, table, count, zero)) =
            header(body).map_err(|_| illegal("too short"))?;
        let census = Census::new(geometry, data, index)
            .filter(|census| census.table == table)
            .ok_or_else(|| illegal("numbers of blocks that cannot be"))?;
        let capacity = geometry.table_entries() as u64;
        let own = block
            .checked_sub(census.entries())
            .filter(|own| *own < u64::from(table))
            .ok_or_else(|| illegal("is not among the table blocks it names"))?;
        let expected = capacity.min(census.entries() - own * capacity);
        let len = expected as usize * ENTRY_LEN;
        if first != own * capacity || u64::from(count) != expected || zero != 0 || rest.len() < len
        {
            return Err(illegal("entries that are not its own"));
        }
        let (entries, padding) = rest.split_at(len);
        let legal = |k: u8| k >= 1 && k <= geometry.data();
        if padding.iter().any(|b| *b != 0)
            || geometry.table_sectors(expected as usize) * geometry.payload_size() != payload.len()
            || !entries.chunks_exact(ENTRY_LEN).all(|entry| legal(entry[0]))
        {
            return Err(illegal("malformed"));
        }
        Ok(TableBlock {
            census,
            first,
            entries,
        })
    }

    /// The entries of the blocks from [`first`](Self::first) on.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + 'a {
        self.entries.chunks_exact(ENTRY_LEN).map(|bytes| {
            let mut hash = [0; 32];
            hash.copy_from_slice(&bytes[1..]);
            Entry { k: bytes[0], hash }
        })
    }
}

type Header = (u64, u64, u32, u32, u32, u32);

fn header(input: &[u8]) -> nom::IResult<&[u8], Header> {
    (le_u64, le_u64, le_u32, le_u32, le_u32, le_u32).parse(input)
}

fn table_hash(archive: &ArchiveId, block: u64, body: &[u8]) -> [u8; 32] {
    blake2b_256(PERSON_TABLE, None, &[archive, &block.to_le_bytes(), body])
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Profile;
    use super::*;

    #[test]
    fn the_number_of_blocks_gives_the_table() {
        let geometry = Geometry::of(Profile::Coded, 9).unwrap();
        let capacity = geometry.table_entries() as u64;
        for data in (0..10 * capacity).step_by(7) {
            let census = Census::new(&geometry, data, 3).unwrap();
            let split = Census::split(&geometry, census.blocks());
            assert_eq!(split, Some((census.entries(), census.table)));
        }
        assert_eq!(Census::split(&geometry, 0), None);
        assert_eq!(Census::split(&geometry, 1), None);
        assert!(Census::new(&geometry, u64::MAX, 0).is_none());
    }

    #[test]
    fn tables_are_parsed_as_they_are_written() {
        let geometry = Geometry::of(Profile::Coded, 9).unwrap();
        let entry = |i: u64| Entry {
            k: 1 + (i % 119) as u8,
            hash: [i as u8; 32],
        };
        let census = Census::new(&geometry, 5000, 2).unwrap();
        let entries: Vec<Entry> = (0..census.entries()).map(entry).collect();
        let mut found = Vec::new();
        for index in 0..census.table {
            let payload = write(&geometry, &[3; 16], &census, &entries, index);
            let block = census.entries() + u64::from(index);
            let table = TableBlock::parse(&geometry, &[3; 16], block, &payload).unwrap();
            assert_eq!(table.census, census);
            assert_eq!(table.first, found.len() as u64);
            found.extend(table.entries());
            assert!(TableBlock::parse(&geometry, &[3; 16], block + 1, &payload).is_err());
            assert!(TableBlock::parse(&geometry, &[3; 16], block, &payload[1..]).is_err());
        }
        assert_eq!(found, entries);
    }
}
