//! What happens to a container of version 3.

use arbitrary::Arbitrary;

use crate::Random;
use crate::oracle::Truth;

/// One step of damage. Places are shares of the file, so that a step means something in all of them.
#[derive(Debug, Clone, Arbitrary)]
pub enum Step {
    /// Sectors are zeroed, or filled.
    Fill { at: u16, count: u8, byte: u8 },
    /// Sectors are overwritten with noise.
    Noise { at: u16, count: u8, seed: u8 },
    /// Bytes are overwritten.
    Bytes {
        at: u16,
        fine: u8,
        len: u8,
        byte: u8,
    },
    /// Bits of one sector are flipped.
    Flip { at: u16, bits: [u16; 3] },
    /// The same byte of many sectors is changed.
    Column {
        at: u16,
        count: u8,
        stride: u8,
        column: u16,
        mask: u8,
    },
    /// Every tag of so many sectors is broken.
    Tags { at: u16, count: u8 },
    /// Bits are flipped all over the file.
    Rot { every: u16, seed: u8 },
    /// Sectors are overwritten with others of the same file.
    Copy { from: u16, to: u16, count: u8 },
    /// Sectors change places.
    Swap { a: u16, b: u16, count: u8 },
    /// Bytes are cut out.
    Remove {
        at: u16,
        fine: u16,
        sectors: u8,
        bytes: u16,
    },
    /// Noise is pushed in.
    Insert {
        at: u16,
        fine: u16,
        len: u16,
        seed: u8,
    },
    /// The end is cut off.
    Truncate { at: u16, fine: u16 },
    /// The beginning is cut off.
    Behead { at: u16, fine: u16 },
    /// The file follows itself, once more.
    Twice,
    /// The sectors from some place on come first.
    Rotate { at: u16 },
    /// The order of the sectors is mixed.
    Shuffle { seed: u8 },
    /// One slot of every block copy is zeroed.
    Slot { slot: u8 },
    /// One block copy is zeroed, but for a few sectors.
    Block { block: u8, copy: bool, spare: u8 },
    /// One block copy is cut out.
    Cut { block: u8, copy: bool },
    /// Sectors of the file are pushed in once more.
    Repeat { from: u16, to: u16, count: u8 },
    /// Another archive stands behind this one, or in front of it.
    Join { front: bool },
    /// Sectors are overwritten with those of another archive, or those are pushed in.
    Foreign {
        from: u16,
        to: u16,
        count: u8,
        push: bool,
    },
}

impl Step {
    /// Whether bytes stay where they are.
    pub fn in_place(&self) -> bool {
        !matches!(
            self,
            Step::Remove { .. }
                | Step::Insert { .. }
                | Step::Behead { .. }
                | Step::Twice
                | Step::Rotate { .. }
                | Step::Shuffle { .. }
                | Step::Copy { .. }
                | Step::Swap { .. }
                | Step::Cut { .. }
                | Step::Repeat { .. }
                | Step::Join { .. }
                | Step::Foreign { .. }
        )
    }

    /// Whether it needs another archive.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Step::Join { .. } | Step::Foreign { .. })
    }

    /// Does it; steps that need another archive only where there is one.
    pub fn apply(&self, truth: &Truth, other: Option<&Truth>, file: &mut Vec<u8>) {
        let size = truth.forge.geo.size();
        let sectors = file.len() / size;
        if sectors == 0 {
            return;
        }
        let place = |at: u16| usize::from(at) * sectors / 65536;
        let range = |at: u16, count: u8| {
            let first = place(at);
            let last = (first + usize::from(count)).min(sectors);
            first * size..last * size
        };
        match *self {
            Step::Fill { at, count, byte } => file[range(at, count)].fill(byte),
            Step::Noise { at, count, seed } => {
                let range = range(at, count);
                let noise = Random(seed.into()).bytes(range.len());
                file[range].copy_from_slice(&noise);
            }
            Step::Bytes {
                at,
                fine,
                len,
                byte,
            } => {
                let from = place(at) * size + 2 * usize::from(fine);
                let to = (from + usize::from(len)).min(file.len());
                file[from.min(to)..to].fill(byte);
            }
            Step::Flip { at, bits } => {
                for bit in bits {
                    let bit = usize::from(bit) % (size * 8);
                    file[place(at) * size + bit / 8] ^= 1 << (bit % 8);
                }
            }
            Step::Column {
                at,
                count,
                stride,
                column,
                mask,
            } => {
                let column = usize::from(column) % size;
                let step = usize::from(stride).max(1);
                for i in 0..usize::from(count) {
                    if let Some(byte) = file.get_mut((place(at) + i * step) * size + column) {
                        *byte ^= mask;
                    }
                }
            }
            Step::Tags { at, count } => {
                for sector in file[range(at, count)].chunks_exact_mut(size) {
                    sector[size - 1] ^= 1;
                }
            }
            Step::Rot { every, seed } => {
                let mut random = Random(seed.into());
                let bits = file.len() * 8;
                for _ in 0..bits / usize::from(every).max(100) {
                    let bit = random.below(bits);
                    file[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Step::Copy { from, to, count } => {
                let (from, to) = (range(from, count), range(to, count));
                let len = from.len().min(to.len());
                file.copy_within(from.start..from.start + len, to.start);
            }
            Step::Swap { a, b, count } => {
                let (a, b) = (range(a, count), range(b, count));
                for i in 0..a.len().min(b.len()) {
                    file.swap(a.start + i, b.start + i);
                }
            }
            Step::Remove {
                at,
                fine,
                sectors,
                bytes,
            } => {
                let from = (place(at) * size + usize::from(fine) % size).min(file.len());
                let len = usize::from(sectors) * size + usize::from(bytes) % size;
                drop(file.drain(from..(from + len).min(file.len())));
            }
            Step::Insert {
                at,
                fine,
                len,
                seed,
            } => {
                let from = (place(at) * size + usize::from(fine) % size).min(file.len());
                let noise = Random(seed.into()).bytes(usize::from(len) % 3000);
                drop(file.splice(from..from, noise));
            }
            Step::Truncate { at, fine } => {
                file.truncate(place(at) * size + usize::from(fine) % size);
            }
            Step::Behead { at, fine } => {
                let to = (place(at) * size + usize::from(fine) % size).min(file.len());
                drop(file.drain(..to));
            }
            Step::Twice => {
                if file.len() <= 2 * truth.file.len() {
                    file.extend_from_within(..);
                }
            }
            Step::Rotate { at } => file.rotate_left(place(at) * size),
            Step::Shuffle { seed } => {
                let mut random = Random(seed.into());
                for i in (1..sectors).rev() {
                    let j = random.below(i + 1);
                    for byte in 0..size {
                        file.swap(i * size + byte, j * size + byte);
                    }
                }
            }
            Step::Slot { slot } => {
                for (index, at) in truth.map.iter().enumerate() {
                    if at.2 == slot && (index + 1) * size <= file.len() {
                        file[index * size..(index + 1) * size].fill(0);
                    }
                }
            }
            Step::Block { block, copy, spare } => {
                let block = u64::from(block) % truth.forge.n();
                let mut spare = spare;
                for (index, at) in truth.map.iter().enumerate() {
                    if (at.0, at.1) == (usize::from(copy), block)
                        && (index + 1) * size <= file.len()
                    {
                        if spare & 1 == 0 {
                            file[index * size..(index + 1) * size].fill(0);
                        }
                        spare = spare.rotate_right(1);
                    }
                }
            }
            Step::Cut { block, copy } => {
                let block = u64::from(block) % truth.forge.n();
                let own = |at: &&(usize, u64, u8)| (at.0, at.1) == (usize::from(copy), block);
                let first = truth.map.iter().position(|at| own(&at)).unwrap_or(0);
                let count = truth.map.iter().filter(own).count();
                let end = ((first + count) * size).min(file.len());
                drop(file.drain((first * size).min(end)..end));
            }
            Step::Repeat { from, to, count } => {
                let again = file[range(from, count)].to_vec();
                let at = place(to) * size;
                drop(file.splice(at..at, again));
            }
            Step::Join { front } => {
                let Some(other) = other else { return };
                if file.len() <= 2 * truth.file.len() {
                    let at = if front { 0 } else { file.len() };
                    drop(file.splice(at..at, other.file.iter().copied()));
                }
            }
            Step::Foreign {
                from,
                to,
                count,
                push,
            } => {
                let Some(other) = other else { return };
                let sectors = other.file.len() / size;
                let first = usize::from(from) * sectors / 65536;
                let last = (first + usize::from(count)).min(sectors);
                let strange = &other.file[first * size..last * size];
                let at = place(to) * size;
                let end = match push {
                    true => at,
                    false => (at + strange.len()).min(file.len()),
                };
                drop(file.splice(at..end, strange.iter().copied()));
            }
        }
    }
}
