//! Lines of damage, said in terms of blocks and slots.

use super::forge::*;
use super::{Base, Expect, Set, table};

/// The base of most vectors: D = 5, K = 3, mirrored.
pub const BLOCKS: &str = "open/blocks.vec";

/// Damage to a container, line by line.
pub struct Harm<'a> {
    pub base: &'a Base,
    pub lines: Vec<String>,
}

/// A sector: copy, block, slot.
type Place = (usize, u64, u8);

impl<'a> Harm<'a> {
    pub fn new(base: &'a Base) -> Self {
        let lines = Vec::new();
        Harm { base, lines }
    }

    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Offset of a sector.
    pub fn at(&self, copy: usize, block: u64, slot: u8) -> usize {
        self.base.forge.place(copy, block, slot) * self.size()
    }

    pub fn size(&self) -> usize {
        self.base.forge.geo.size()
    }

    /// Zeroes sectors.
    pub fn zero(self, copy: usize, block: u64, slots: &[u8]) -> Self {
        slots.iter().fold(self, |harm, &slot| {
            let at = harm.at(copy, block, slot);
            let end = at + harm.size();
            harm.line(format!("zero {at} {end}"))
        })
    }

    /// Zeroes whole sectors by number.
    pub fn burst(self, first: usize, count: usize) -> Self {
        let size = self.size();
        let line = format!("zero {} {}", first * size, (first + count) * size);
        self.line(line)
    }

    /// Flips bits of a sector, counted from its beginning.
    pub fn flip(self, copy: usize, block: u64, slot: u8, bits: &[usize]) -> Self {
        let at = self.at(copy, block, slot) * 8;
        let bits: Vec<String> = bits.iter().map(|bit| (at + bit).to_string()).collect();
        self.line(format!("flip {}", bits.join(" ")))
    }

    /// Breaks the tags of all sectors of a block, so that none of them is certain.
    pub fn untag(mut self, block: u64) -> Self {
        let bit = (self.size() - 1) * 8;
        for copy in 0..2 {
            for slot in self.base.forge.geo.slots(copy, self.base.forge.k(block)) {
                self = self.flip(copy, block, slot, &[bit]);
            }
        }
        self
    }

    /// Overwrites a sector.
    pub fn write(self, copy: usize, block: u64, slot: u8, sector: &[u8]) -> Self {
        let at = self.at(copy, block, slot);
        self.line(format!("write {at} {}", hex(sector)))
    }

    /// Makes the tag of a sector right.
    pub fn tag(self, copy: usize, block: u64, slot: u8) -> Self {
        let line = format!("tag {} {}", self.at(copy, block, slot), self.size());
        self.line(line)
    }

    /// Does what a text says, step by step behind semicolons:
    ///
    /// - `zero A1.2,3 B1.2`: slots 2 and 3 in copy A of block 1, and slot 2 in copy B. The manifest is `M`, the
    ///   last table block `T`, and `E` is the end sector;
    /// - `flip A1.2@800,801`: bits of a sector; `untag 1`: the tags of a whole block;
    /// - `write A1.2+7=02`: bytes of a sector; `forge` does the same and makes the tag right.
    ///
    /// Every other step is a line as it stands in a vector.
    pub fn steps(self, text: &str) -> Self {
        text.split(';')
            .fold(self, |harm, step| harm.step(step.trim()))
    }

    fn step(mut self, step: &str) -> Self {
        let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
        match word {
            "zero" if rest.starts_with(['A', 'B', 'E']) => {
                for part in rest.split(' ') {
                    for (copy, block, slot) in self.places(part) {
                        self = self.zero(copy, block, &[slot]);
                    }
                }
            }
            "flip" if rest.contains('@') => {
                let (place, bits) = rest.split_once('@').unwrap();
                let (copy, block, slot) = self.places(place)[0];
                let bits: Vec<usize> = bits.split(',').map(|bit| bit.parse().unwrap()).collect();
                self = self.flip(copy, block, slot, &bits);
            }
            "untag" => {
                let block = self.block(rest);
                self = self.untag(block);
            }
            "write" | "forge" if rest.contains('=') => {
                let (place, bytes) = rest.split_once('=').unwrap();
                let (place, offset) = place.split_once('+').unwrap();
                let (copy, block, slot) = self.places(place)[0];
                let at = self.at(copy, block, slot) + offset.parse::<usize>().unwrap();
                self = self.line(format!("write {at} {bytes}"));
                if word == "forge" {
                    self = self.tag(copy, block, slot);
                }
            }
            _ => self = self.line(step),
        }
        self
    }

    fn block(&self, name: &str) -> u64 {
        let n = self.base.forge.n();
        match name {
            "M" => self.base.forge.d + self.base.forge.i,
            "T" => n - 1,
            number => number.parse().unwrap(),
        }
    }

    fn places(&self, text: &str) -> Vec<Place> {
        if text == "E" {
            return vec![(0, self.base.forge.n(), 0)];
        }
        let (block, slots) = text[1..].split_once('.').unwrap();
        let (copy, block) = (usize::from(text.starts_with('B')), self.block(block));
        let slots = slots.split(',').map(|slot| slot.parse().unwrap());
        slots.map(|slot| (copy, block, slot)).collect()
    }

    /// Flips bits all over the file, one in `every` on average.
    pub fn rot(self, every: u64) -> Self {
        let bits = self.base.bytes.len() as u64 * 8;
        let noise = noise(16 * (bits / every) as usize);
        let mut chosen: Vec<u64> = noise
            .chunks_exact(16)
            .map(|n| u64::from_le_bytes(n[..8].try_into().unwrap()) % bits)
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        let chosen: Vec<String> = chosen.iter().map(u64::to_string).collect();
        self.line(format!("flip {}", chosen.join(" ")))
    }
}

/// A vector of `heal`: this damage to that container is mended.
pub fn heal(
    set: &mut Set,
    name: &str,
    comment: &str,
    base: &str,
    harm: impl Fn(Harm<'_>) -> Harm<'_>,
) {
    let own = set.base(base);
    let lines = harm(Harm::new(&own)).lines;
    let path = format!("heal/{name}.vec");
    set.damaged(&path, comment, &Expect::heals(), base, &[lines]);
}

/// Vectors of `heal` from lines of name, steps and comment.
pub fn heal_all(set: &mut Set, base: &str, text: &str) {
    for [name, steps, comment] in table(text) {
        heal(set, name, comment, base, |h| h.steps(steps));
    }
}

/// A vector of `refuse`: this damage loses these blocks, and salvage has zeros for them.
pub fn lost(
    set: &mut Set,
    name: &str,
    comment: &str,
    base: &str,
    failed: &[u64],
    harm: impl Fn(Harm<'_>) -> Harm<'_>,
) {
    let own = set.base(base);
    let lines = harm(Harm::new(&own)).lines;
    let capacity = own.forge.geo.c();
    let mut salvage = own.payload.clone();
    for &block in failed {
        let from = (block as usize * capacity).min(salvage.len());
        let to = (from + capacity).min(salvage.len());
        salvage[from..to].fill(0);
    }
    let expect = Expect {
        salvage: Some(salvage),
        ..Expect::lost(failed)
    };
    let path = format!("refuse/{name}.vec");
    set.damaged(&path, comment, &expect, base, &[lines]);
}

/// Section 23, G5: the longest burst, in sectors, that every block survives.
pub fn longest_burst(forge: &Forge) -> usize {
    let map = forge.map();
    let place = |copy, block| map.iter().position(|at| *at == (copy, block, 0)).unwrap();
    let geo = forge.geo;
    (0..forge.n())
        .map(|block| {
            let k = forge.k(block);
            let (ma, mb) = (geo.parity_a(k).len(), geo.parity_b(k).len());
            let k = usize::from(k);
            match geo.copy_b {
                1 => place(1, block) - place(0, block) + mb,
                2 if mb >= k => place(1, block) - place(0, block) + mb - k,
                _ => ma + mb,
            }
        })
        .min()
        .unwrap()
}

/// Bytes that do not compress.
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut i = 0u64;
    while bytes.len() < len {
        bytes.extend(blake2b(64, b"noise", b"", &[&i.to_le_bytes()]));
        i += 1;
    }
    bytes.truncate(len);
    bytes
}
