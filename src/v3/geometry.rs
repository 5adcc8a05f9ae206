//! Geometry: how many sectors of which kind a block has, and where they stand in a copy.

use super::layout::{
    CODE_LEN, ENTRY_LEN, GCM_TAG_LEN, KEY_SLOT_LEN, KEY_SLOTS_MAX, MIN_PARITY, PAGE_FIXED_LEN,
    PAGE_HASH_LEN, PAGE_RECORD_MAX, SEALED_HEADER_LEN, SECTOR_OVERHEAD, SECTOR_SHIFTS,
    TABLE_HASH_LEN, TABLE_HEADER_LEN,
};

/// One of the two copies of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copy {
    /// The first copy: header page, data sectors, parity of copy A.
    A,
    /// The second copy: header page, data sectors if mirrored, parity of copy B.
    B,
}

/// What copy B holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyB {
    /// There is no copy B.
    None,
    /// The data sectors again, and other parity.
    Mirrored,
    /// Parity alone.
    Coded,
}

/// A named geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Two literal copies of the data, each with parity of its own.
    #[default]
    Standard,
    /// One copy of the data and as much parity: any 119 of 255 sectors give the block back.
    Coded,
    /// One copy of the data with parity.
    Light,
}

/// The shape of an archive's blocks. Only legal values can be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    sector_shift: u8,
    data: u8,
    parity_a: u8,
    parity_b: u8,
    copy_b: CopyB,
}

impl Geometry {
    /// Checks the numbers: sector size as a power of two, data sectors, parity sectors of both
    /// copies. `None` if they are not a legal geometry.
    #[must_use]
    pub fn new(
        sector_shift: u8,
        data: u8,
        parity_a: u8,
        parity_b: u8,
        copy_b: CopyB,
    ) -> Option<Self> {
        let sum = 1 + usize::from(data) + usize::from(parity_a) + usize::from(parity_b);
        let legal = SECTOR_SHIFTS.contains(&sector_shift)
            && data >= 1
            && sum <= CODE_LEN
            && (parity_a, parity_b) != (0, 0)
            && match copy_b {
                CopyB::None => parity_b == 0,
                CopyB::Mirrored => true,
                CopyB::Coded => parity_b >= 1,
            };
        legal.then_some(Geometry {
            sector_shift,
            data,
            parity_a,
            parity_b,
            copy_b,
        })
    }

    /// The geometry that a profile's name stands for, with sectors of 2^`sector_shift` bytes.
    #[must_use]
    pub fn of(profile: Profile, sector_shift: u8) -> Option<Self> {
        match profile {
            Profile::Standard => Self::new(sector_shift, 223, 16, 16, CopyB::Mirrored),
            Profile::Coded => Self::new(sector_shift, 119, 8, 128, CopyB::Coded),
            Profile::Light => Self::new(sector_shift, 223, 32, 0, CopyB::None),
        }
    }

    /// The profile that this geometry is, if it has a name.
    #[must_use]
    pub fn profile(&self) -> Option<Profile> {
        [Profile::Standard, Profile::Coded, Profile::Light]
            .into_iter()
            .find(|p| Self::of(*p, self.sector_shift).as_ref() == Some(self))
    }

    /// Bytes of a sector (S).
    #[must_use]
    pub fn sector_size(&self) -> usize {
        1 << self.sector_shift
    }

    /// The sector size as a power of two.
    #[must_use]
    pub fn sector_shift(&self) -> u8 {
        self.sector_shift
    }

    /// Bytes of payload in a sector (P).
    #[must_use]
    pub fn payload_size(&self) -> usize {
        self.sector_size() - SECTOR_OVERHEAD
    }

    /// Data sectors of a full block (K).
    #[must_use]
    pub fn data(&self) -> u8 {
        self.data
    }

    /// Parity sectors of a full block in one copy (`M_A` or `M_B`).
    #[must_use]
    pub fn parity(&self, copy: Copy) -> u8 {
        match copy {
            Copy::A => self.parity_a,
            Copy::B => self.parity_b,
        }
    }

    /// What copy B holds.
    #[must_use]
    pub fn copy_b(&self) -> CopyB {
        self.copy_b
    }

    /// The copies that there are.
    #[must_use]
    pub fn copies(&self) -> &'static [Copy] {
        match self.copy_b {
            CopyB::None => &[Copy::A],
            _ => &[Copy::A, Copy::B],
        }
    }

    /// Whether a copy holds the data sectors themselves.
    #[must_use]
    pub fn holds_data(&self, copy: Copy) -> bool {
        copy == Copy::A || self.copy_b == CopyB::Mirrored
    }

    /// Parity sectors that a block of `k` data sectors has in one copy.
    #[must_use]
    pub fn parity_of(&self, copy: Copy, k: u8) -> u8 {
        let m = u32::from(self.parity(copy));
        let base = m.min(u32::from(MIN_PARITY));
        // At most m, which is a u8: k is at most the geometry's.
        (base + (m - base) * u32::from(k) / u32::from(self.data)) as u8
    }

    /// The slots of the parity sectors that a block of `k` data sectors has in one copy.
    pub fn parity_slots(&self, copy: Copy, k: u8) -> impl ExactSizeIterator<Item = u8> + use<> {
        let before = match copy {
            Copy::A => 0,
            Copy::B => self.parity_a,
        };
        // The sum is at most 255: the geometry was checked.
        let first = usize::from(self.data) + 1 + usize::from(before);
        (first..first + usize::from(self.parity_of(copy, k))).map(|slot| slot as u8)
    }

    /// All slots of one copy of a block of `k` data sectors, in the order of the file.
    pub fn slots(&self, copy: Copy, k: u8) -> impl Iterator<Item = u8> + use<> {
        let data = if self.holds_data(copy) { k } else { 0 };
        (0..=data).chain(self.parity_slots(copy, k))
    }

    /// Sectors of one copy of a block of `k` data sectors, the header page included.
    #[must_use]
    pub fn sectors(&self, copy: Copy, k: u8) -> usize {
        let data = if self.holds_data(copy) {
            usize::from(k)
        } else {
            0
        };
        1 + data + usize::from(self.parity_of(copy, k))
    }

    /// Where in a copy the sector of a slot stands, counted in sectors; `None` if it is not there.
    #[must_use]
    pub fn position(&self, copy: Copy, k: u8, slot: u8) -> Option<usize> {
        if slot == 0 {
            return Some(0);
        }
        let data = if self.holds_data(copy) {
            usize::from(k)
        } else {
            0
        };
        if slot <= k {
            return self.holds_data(copy).then_some(usize::from(slot));
        }
        let index = self.parity_slots(copy, k).position(|s| s == slot)?;
        Some(1 + data + index)
    }

    /// Raw bytes that a full sealed block holds (C).
    #[must_use]
    pub fn capacity(&self) -> usize {
        usize::from(self.data) * self.payload_size() - SEALED_HEADER_LEN - GCM_TAG_LEN
    }

    /// The smallest number of data sectors for a sealed block with `stored` bytes inside.
    #[must_use]
    pub fn sealed_sectors(&self, stored: usize) -> usize {
        (stored + SEALED_HEADER_LEN + GCM_TAG_LEN).div_ceil(self.payload_size())
    }

    /// Entries that a full table block holds (E).
    #[must_use]
    pub fn table_entries(&self) -> usize {
        let room = usize::from(self.data) * self.payload_size();
        (room - TABLE_HEADER_LEN - TABLE_HASH_LEN) / ENTRY_LEN
    }

    /// Data sectors of a table block with `entries` entries.
    #[must_use]
    pub fn table_sectors(&self, entries: usize) -> usize {
        (TABLE_HEADER_LEN + entries * ENTRY_LEN + TABLE_HASH_LEN).div_ceil(self.payload_size())
    }

    /// Bytes of the record of a header page (R).
    #[must_use]
    pub fn page_record(&self) -> usize {
        self.payload_size().min(PAGE_RECORD_MAX)
    }

    /// Key slots that a header page has room for.
    #[must_use]
    pub fn key_slots(&self) -> usize {
        ((self.page_record() - PAGE_FIXED_LEN - PAGE_HASH_LEN) / KEY_SLOT_LEN).min(KEY_SLOTS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standard() -> Geometry {
        Geometry::of(Profile::Standard, 12).unwrap()
    }

    #[test]
    fn the_profiles_have_the_numbers_of_the_specification() {
        assert_eq!(standard().capacity(), 902_672);
        assert_eq!(standard().table_entries(), 27_352);
        assert_eq!(standard().sectors(Copy::A, 223), 240);
        assert_eq!(standard().sectors(Copy::B, 223), 240);
        let coded = Geometry::of(Profile::Coded, 9).unwrap();
        assert_eq!(coded.sectors(Copy::A, 119), 128);
        assert_eq!(coded.sectors(Copy::B, 119), 129);
        assert_eq!(coded.key_slots(), 4);
        assert_eq!(standard().key_slots(), 8);
        assert_eq!(coded.profile(), Some(Profile::Coded));
    }

    #[test]
    fn short_blocks_keep_eight_parity_sectors() {
        assert_eq!(standard().parity_of(Copy::A, 1), 8);
        assert_eq!(standard().parity_of(Copy::A, 112), 12);
        assert_eq!(standard().parity_of(Copy::A, 223), 16);
        let small = Geometry::new(9, 10, 3, 2, CopyB::Mirrored).unwrap();
        assert_eq!(small.parity_of(Copy::A, 1), 3);
        assert_eq!(small.parity_of(Copy::B, 1), 2);
    }

    #[test]
    fn slots_and_positions_are_inverse() {
        for g in [standard(), Geometry::of(Profile::Coded, 9).unwrap()] {
            for k in [1, 2, 100, g.data()] {
                for &copy in g.copies() {
                    let slots: Vec<u8> = g.slots(copy, k).collect();
                    assert_eq!(slots.len(), g.sectors(copy, k));
                    for (position, slot) in slots.iter().enumerate() {
                        assert_eq!(g.position(copy, k, *slot), Some(position));
                    }
                }
            }
        }
    }

    #[test]
    fn illegal_numbers_make_no_geometry() {
        assert!(Geometry::new(8, 223, 16, 16, CopyB::Mirrored).is_none());
        assert!(Geometry::new(17, 223, 16, 16, CopyB::Mirrored).is_none());
        assert!(Geometry::new(12, 0, 16, 16, CopyB::Mirrored).is_none());
        assert!(Geometry::new(12, 224, 16, 16, CopyB::Mirrored).is_none());
        assert!(Geometry::new(12, 223, 16, 16, CopyB::None).is_none());
        assert!(Geometry::new(12, 223, 16, 0, CopyB::Coded).is_none());
    }
}
