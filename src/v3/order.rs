//! The canonical order: where each copy of each block stands in the file.

use super::geometry::{Copy, Geometry};

/// The canonical order of an archive's sectors.
///
/// Copy A of block i stands behind copy A of all earlier blocks and copy B of all blocks before
/// i - L; copy B of block i behind copy A of all blocks up to i + L and copy B of all earlier ones.
/// A lag of 0 means that L is the number of blocks.
#[derive(Debug, Clone)]
pub struct Order {
    geometry: Geometry,
    lag: u64,
    ks: Vec<u8>,
    /// Sectors of one copy of all blocks before the block of this index.
    before_a: Vec<u64>,
    before_b: Vec<u64>,
}

impl Order {
    /// The order of blocks with these numbers of data sectors.
    #[must_use]
    pub fn new(geometry: Geometry, lag: u32, ks: Vec<u8>) -> Self {
        let sums = |copy: Copy| {
            let present = geometry.copies().contains(&copy);
            let mut sum = 0;
            let mut sums = Vec::with_capacity(ks.len() + 1);
            sums.push(0);
            for &k in &ks {
                sum += if present {
                    geometry.sectors(copy, k) as u64
                } else {
                    0
                };
                sums.push(sum);
            }
            sums
        };
        let lag = if lag == 0 {
            ks.len() as u64
        } else {
            lag.into()
        };
        let (before_a, before_b) = (sums(Copy::A), sums(Copy::B));
        Order {
            geometry,
            lag,
            ks,
            before_a,
            before_b,
        }
    }

    /// The shape of the blocks.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.ks.len() as u64
    }

    /// Data sectors of a block.
    #[must_use]
    pub fn k(&self, block: u64) -> u8 {
        self.ks[block as usize]
    }

    /// Where a copy of a block begins, in bytes from the start of the file.
    #[must_use]
    pub fn offset(&self, copy: Copy, block: u64) -> u64 {
        let blocks = self.blocks();
        let sectors = match copy {
            Copy::A => {
                let b = block.saturating_sub(self.lag);
                self.before_a[block as usize] + self.before_b[b as usize]
            }
            Copy::B => {
                let a = block.saturating_add(self.lag).saturating_add(1).min(blocks);
                self.before_a[a as usize] + self.before_b[block as usize]
            }
        };
        sectors << self.geometry.sector_shift()
    }

    /// Sectors of the whole file, the end sector included.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        let last = self.ks.len();
        self.before_a[last] + self.before_b[last] + 1
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.sectors() << self.geometry.sector_shift()
    }

    /// The copies of blocks in the order of the file.
    pub fn walk(&self) -> impl Iterator<Item = (Copy, u64)> + '_ {
        let blocks = self.blocks();
        let with_b = self.geometry.copies().contains(&Copy::B);
        let steps = if with_b {
            blocks.saturating_add(self.lag)
        } else {
            blocks
        };
        (0..steps).flat_map(move |step| {
            let a = (step < blocks).then_some((Copy::A, step));
            let b = (with_b && step >= self.lag).then(|| (Copy::B, step - self.lag));
            a.into_iter().chain(b)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Profile;
    use super::*;

    #[test]
    fn offsets_follow_the_walk() {
        for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
            let geometry = Geometry::of(profile, 9).unwrap();
            for lag in [0, 1, 2, 5, 100] {
                if profile == Profile::Light && lag > 0 {
                    continue;
                }
                for blocks in [1, 2, 7] {
                    let ks: Vec<u8> = (0..blocks).map(|i| 1 + i * 11).collect();
                    let order = Order::new(geometry, lag, ks);
                    let mut at = 0;
                    for (copy, block) in order.walk() {
                        assert_eq!(order.offset(copy, block), at, "{profile:?} {lag} {block}");
                        at += 512 * geometry.sectors(copy, order.k(block)) as u64;
                    }
                    assert_eq!(order.file_len(), at + 512);
                }
            }
        }
    }
}
