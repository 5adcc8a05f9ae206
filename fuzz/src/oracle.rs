//! What a damaged file must still give back, counted from the file that it was.
//!
//! The oracle knows the undamaged container, and uses nothing of the library.

use std::collections::{HashMap, HashSet};

use crate::forge::{Forge, Geo};

/// An undamaged container and what it holds.
pub struct Truth {
    pub forge: Forge,
    pub file: Vec<u8>,
    pub payload: Vec<u8>,
    /// For every sector of the file: copy, block, slot.
    pub map: Vec<(usize, u64, u8)>,
}

/// What the guarantees promise for one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// G2: so many intact sectors are left.
    Erasures,
    /// G3: every column is within the bound, and all lies where it belongs.
    Errors,
    /// Nothing that damage could leave says what the block was: it must be refused.
    Hopeless,
    /// The guarantees say nothing.
    Open,
}

/// What is left of a container.
pub struct Left {
    pub blocks: Vec<Promise>,
    /// Whether an intact header page is left.
    pub page: bool,
}

impl Truth {
    pub fn new(forge: Forge, payload: Vec<u8>) -> Self {
        let (file, map) = (forge.file(), forge.map());
        assert_eq!(file.len(), map.len() * forge.geo.size());
        Truth {
            forge,
            file,
            payload,
            map,
        }
    }

    pub(crate) fn sector(&self, index: usize) -> &[u8] {
        let size = self.forge.geo.size();
        &self.file[index * size..(index + 1) * size]
    }

    /// Looks at a damaged file. `in_place` says that no byte of it was moved.
    pub fn judge(&self, damaged: &[u8], in_place: bool) -> Left {
        let intact = self.intact(damaged);
        let mut page = intact.contains(&(self.forge.n(), 0));
        let mut blocks = Vec::new();
        for block in 0..self.forge.n() {
            let k = self.forge.k(block);
            page |= intact.contains(&(block, 0));
            let slots = self.forge.geo.distinct(k);
            let have = slots
                .iter()
                .filter(|slot| intact.contains(&(block, **slot)))
                .count();
            blocks.push(if have >= usize::from(k) {
                Promise::Erasures
            } else if !in_place {
                // Somewhere there may be a believed sector.
                Promise::Open
            } else {
                self.errors(damaged, block)
            });
        }
        Left { blocks, page }
    }

    /// The intact sectors, wherever they lie: block and slot.
    fn intact(&self, damaged: &[u8]) -> HashSet<(u64, u8)> {
        let size = self.forge.geo.size();
        let known: HashMap<&[u8], usize> = (0..self.map.len())
            .map(|index| (self.sector(index), index))
            .collect();
        let mut intact = HashSet::new();
        for at in 0..damaged.len().saturating_sub(size - 1) {
            if damaged[at..at + 4] == [0x89, 0x44, 0x42, 0x53]
                && let Some(&index) = known.get(&damaged[at..at + size])
            {
                let (_, block, slot) = self.map[index];
                intact.insert((block, slot));
            }
        }
        intact
    }

    /// G3 for a block of a file in which nothing was moved.
    fn errors(&self, damaged: &[u8], block: u64) -> Promise {
        let geo: Geo = self.forge.geo;
        let size = geo.size();
        // Every stored sector of the block: slot, certain or believed, place.
        let mut rows: HashMap<u8, Vec<(bool, usize)>> = HashMap::new();
        let mut clear = true;
        for copy in 0..2 {
            let (mut near, mut named, mut region) = (0, 0, Vec::new());
            for (index, &(own_copy, own_block, slot)) in self.map.iter().enumerate() {
                if (own_copy, own_block) != (copy, block) {
                    continue;
                }
                let truth = self.sector(index);
                let Some(found) = damaged.get(index * size..(index + 1) * size) else {
                    continue;
                };
                if found == truth {
                    if slot != 0 {
                        region.push((slot, true, index));
                    }
                    continue;
                }
                let distance: u32 = truth[..32]
                    .iter()
                    .zip(found)
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum();
                if distance <= 32 && slot != 0 {
                    near += 1;
                    named += usize::from(found[6] == truth[6] && found[8..10] == truth[8..10]);
                    region.push((slot, false, index));
                }
            }
            // Where frames do not say clearly what they are, nothing is promised (section 19.1).
            clear &= named * 4 >= near;
            for (slot, certain, index) in region {
                rows.entry(slot).or_default().push((certain, index));
            }
        }
        let k = self.forge.k(block);
        let slots = geo.distinct(k);
        if rows.len() < usize::from(k) {
            // A reader with the key looks at payloads alone first.
            let payloads = self
                .map
                .iter()
                .enumerate()
                .all(|(index, &(copy, own, slot))| {
                    (copy, own) != (0, block)
                        || !(1..=k).contains(&slot)
                        || damaged.get(index * size + 32..(index + 1) * size - 16)
                            == Some(&self.sector(index)[32..size - 16])
                });
            return if payloads {
                Promise::Open
            } else {
                Promise::Hopeless
            };
        }
        let bound = geo.parity_a(k).len() + geo.parity_b(k).len();
        for column in 32..size - 16 {
            let (mut wrong, mut erased) = (0, 0);
            for slot in &slots {
                let Some(found) = rows.get(slot) else {
                    erased += 1;
                    continue;
                };
                if found.iter().any(|(certain, _)| *certain) {
                    continue;
                }
                let byte = |index: usize| damaged[index * size + column];
                let first = byte(found[0].1);
                if found.iter().any(|(_, index)| byte(*index) != first) {
                    erased += 1;
                } else if first != self.sector(found[0].1)[column] {
                    wrong += 1;
                }
            }
            if 2 * wrong + erased > bound {
                return Promise::Open;
            }
        }
        if clear {
            Promise::Errors
        } else {
            Promise::Open
        }
    }

    pub fn is_table(&self, block: u64) -> bool {
        self.forge.blocks[block as usize].kind == 2
    }
}

impl Left {
    /// Whether the whole file must be restored and repaired.
    pub fn must_heal(&self, truth: &Truth) -> bool {
        let with_entry = (0..truth.forge.n()).filter(|b| !truth.is_table(*b));
        let promised = |block: u64| {
            matches!(
                self.blocks[block as usize],
                Promise::Erasures | Promise::Errors
            )
        };
        let all = (0..truth.forge.n()).all(promised);
        // A lost table is made again, where all other blocks can be had without it.
        let without_table = with_entry
            .into_iter()
            .all(|block| self.blocks[block as usize] == Promise::Erasures);
        self.page && (all || without_table)
    }
}
