//! What can be said of a container without a passphrase: how it is made, and what it survives.

use super::container::Container;
use super::geometry::{CopyB, Geometry, Profile};
use super::page::{KdfParams, KeySlot};
use super::sector::Kind;
use super::survival::{Shape, worst_burst};
use super::table::Census;

/// A description of a container of version 3. Nothing in it needs a passphrase, and nothing but
/// [`key_slots`](Self::key_slots) is bound to one: who can write to the file can change the rest,
/// which opening it with a passphrase would find out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// The shape of the blocks: sector size, data and parity sectors, what copy B holds.
    pub geometry: Geometry,
    /// The name of the geometry, if it has one.
    pub profile: Option<Profile>,
    /// How many blocks copy B of a block stands behind copy A; 0 for all of them.
    pub lag: u32,
    /// Bytes of the file as it is.
    pub file_len: u64,
    /// Bytes of the file as it was written.
    pub written_len: u64,
    /// The random id of the archive, in hexadecimal digits. Replicas have the same one.
    pub archive_id: String,
    /// Blocks of each kind.
    pub blocks: BlockCounts,
    /// Bytes of the payload, at most. The exact number is encrypted.
    pub payload_len_max: u64,
    /// How often the passphrases were changed.
    pub generation: u32,
    /// For each key slot the costs of Argon2id; `None` for one of a type that is not known here.
    pub key_slots: Vec<Option<KdfParams>>,
    /// Whether the file was searched for its sectors, as its beginning or end is damaged.
    pub scanned: bool,
    /// Whether all sectors that were looked at lie where they were written.
    pub canonical: bool,
    /// What was found on opening, a sentence each.
    pub notes: Vec<String>,
    /// What the file survives if it is whole now.
    pub survival: Survival,
}

/// How many blocks there are of each kind. There is one manifest block besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockCounts {
    /// Blocks of payload.
    pub data: u64,
    /// Blocks of the index; a short index lies in the manifest.
    pub index: u32,
    /// Blocks of the block table.
    pub table: u32,
    /// All blocks, the manifest included.
    pub all: u64,
}

/// What a file survives whole, if nothing of it is damaged yet.
///
/// Shares are probabilities between 0 and 1. Every sector is taken to be lost, and every bit to be
/// flipped, by chance, independently of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Survival {
    /// The longest range of bytes that may be overwritten or removed, wherever it lies. Exact.
    pub burst_bytes: u64,
    /// The most sectors that follow each other and may be lost, wherever they lie. Exact.
    pub burst_sectors: u64,
    /// Share of lost sectors that half of such files survive.
    pub sectors_half: f64,
    /// Share of lost sectors that 999 of 1000 such files survive.
    pub sectors_safe: f64,
    /// Share of flipped bits that half of such files survive.
    pub bits_half: f64,
    /// Share of flipped bits that 999 of 1000 such files survive.
    pub bits_safe: f64,
}

/// Survived 999 times of 1000 counts as safe.
const SAFE: f64 = 0.999;

impl Container {
    /// Describes the container. This reads nothing, and computes for some milliseconds.
    #[must_use]
    pub fn info(&self) -> Info {
        let structure = self.structure();
        let (page, order) = (&structure.page, &structure.order);
        let Census { data, index, table } = structure.census;
        let archive = &structure.healer.loom.archive;
        Info {
            geometry: page.geometry,
            profile: page.geometry.profile(),
            lag: page.lag,
            file_len: self.file_len(),
            written_len: order.file_len(),
            archive_id: archive.iter().map(|byte| format!("{byte:02x}")).collect(),
            blocks: BlockCounts {
                data,
                index,
                table,
                all: order.blocks(),
            },
            payload_len_max: data.saturating_mul(page.geometry.capacity() as u64),
            generation: page.generation,
            key_slots: page
                .key_slots
                .iter()
                .map(|slot| KeySlot::from_bytes(slot).map(|slot| slot.kdf))
                .collect(),
            scanned: structure.scanned,
            canonical: self.is_canonical() && self.file_len() == order.file_len(),
            notes: structure.notes.clone(),
            survival: self.survival(),
        }
    }

    /// The shape of the archive's blocks, from which its survival follows.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let structure = self.structure();
        let order = &structure.order;
        let loom = &structure.healer.loom;
        let tables = structure.census.table;
        let ks = (0..order.blocks() - u64::from(tables)).map(|block| order.k(block));
        Shape::new(loom.geometry, ks, tables.into(), loom.page(), &loom.archive)
    }

    fn survival(&self) -> Survival {
        let geometry = &self.page().geometry;
        let burst = worst_burst(&self.structure().order);
        let shape = self.shape();
        Survival {
            burst_bytes: burst.map_or(0, |burst| burst.bytes(geometry)),
            burst_sectors: burst.map_or(0, |burst| burst.sectors),
            sectors_half: shape.loss_survived(0.5),
            sectors_safe: shape.loss_survived(SAFE),
            bits_half: shape.rot_survived(0.5),
            bits_safe: shape.rot_survived(SAFE),
        }
    }
}

impl Info {
    /// The name of the profile, or the numbers of a geometry that has no name: data sectors, parity
    /// of copy A and of copy B, and what copy B holds.
    #[must_use]
    pub fn geometry_name(&self) -> String {
        match self.profile {
            Some(Profile::Standard) => "standard".into(),
            Some(Profile::Coded) => "coded".into(),
            Some(Profile::Light) => "light".into(),
            None => {
                let geometry = &self.geometry;
                let (a, b) = (super::geometry::Copy::A, super::geometry::Copy::B);
                let (k, m_a, m_b) = (geometry.data(), geometry.parity(a), geometry.parity(b));
                let second = match geometry.copy_b() {
                    CopyB::None => "no second copy",
                    CopyB::Mirrored => "mirrored",
                    CopyB::Coded => "coded",
                };
                format!("{k} + {m_a} + {m_b}, {second}")
            }
        }
    }

    /// The kinds of blocks with their numbers, those that there are.
    #[must_use]
    pub fn blocks_by_kind(&self) -> Vec<(&'static str, u64)> {
        let BlockCounts {
            data, index, table, ..
        } = self.blocks;
        [
            (Kind::Data, data),
            (Kind::Index, index.into()),
            (Kind::Manifest, 1),
            (Kind::Table, table.into()),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| (kind.as_str(), count))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use crate::{Archive, Compression, KdfParams, Passphrase, Profile, Writer, WriterOptions};

    #[test]
    fn a_file_is_described_without_its_passphrase() {
        let kdf = KdfParams {
            passes: 1,
            memory_kib: 8,
            lanes: 1,
        };
        let options = WriterOptions {
            compression: Compression::None,
            kdf,
            ..WriterOptions::default()
        };
        let passphrase = Passphrase::new("correct horse");
        let mut writer = Writer::create(Cursor::new(Vec::new()), &passphrase, options).unwrap();
        writer.write_all(&[7; 1_000_000]).unwrap();
        let file = writer.finish().unwrap().into_inner();
        let len = file.len() as u64;
        let archive = Archive::open(file.clone()).unwrap();
        let info = archive.v3().unwrap().info();
        assert_eq!(info.profile, Some(Profile::Standard));
        assert_eq!(info.geometry_name(), "standard");
        assert_eq!((info.file_len, info.written_len), (len, len));
        assert_eq!(
            info.blocks_by_kind(),
            [("data", 2), ("manifest", 1), ("table", 1)]
        );
        assert!((1_000_000..2_000_000).contains(&info.payload_len_max));
        assert_eq!(info.key_slots, [Some(kdf)]);
        assert_eq!(info.archive_id.len(), 32);
        assert!(info.canonical && !info.scanned);
        let survival = info.survival;
        // One whole copy, and the shortest parity of copy B.
        assert!(survival.burst_bytes > len / 2);
        assert!(0.2 < survival.sectors_safe && survival.sectors_safe < survival.sectors_half);
        assert!(2e-3 < survival.bits_safe && survival.bits_safe < survival.bits_half);

        let cut = Archive::open(file[4096..].to_vec()).unwrap();
        let damaged = cut.v3().unwrap().info();
        assert!(damaged.scanned && !damaged.canonical);
        assert_eq!((damaged.file_len, damaged.written_len), (len - 4096, len));
        assert_eq!(damaged.survival, survival);
    }
}
