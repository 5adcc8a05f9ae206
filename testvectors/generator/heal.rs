//! Damage that must be healed, up to the bounds of section 23.

use super::forge::*;
use super::open::blake2b_noise;
use super::{Base, Expect, Set};

/// Writes lines of damage in terms of sectors.
pub struct Harm<'a> {
    base: &'a Base,
    pub lines: Vec<String>,
}

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
    /// Flips bits all over the file, one in `every` on average.
    pub fn rot(self, every: u64) -> Self {
        let bits = self.base.bytes.len() as u64 * 8;
        let noise = blake2b_noise(16 * (bits / every) as usize);
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

const BLOCKS: &str = "open/blocks.vec";

pub fn add(set: &mut Set) {
    sectors(set);
    bits(set);
    bounds(set);
    bursts(set);
    moved(set);
    rot(set);
    pages(set);
    tables(set);
    forged(set);
    replicas(set);
}

fn heal(set: &mut Set, name: &str, comment: &str, base: &str, harm: impl Fn(Harm<'_>) -> Harm<'_>) {
    let own = set.base(base);
    let lines = harm(Harm::new(&own)).lines;
    set.damaged(
        &format!("heal/{name}.vec"),
        comment,
        &Expect::heals(),
        base,
        &[lines],
    );
}

fn sectors(set: &mut Set) {
    let n = set.base(BLOCKS).forge.n();
    let lost = [
        (
            "first",
            "The first sector of the file, a header page.",
            (0, 0, 0),
        ),
        ("data", "A data sector of copy A.", (0, 1, 2)),
        ("data-b", "A data sector of copy B.", (1, 1, 2)),
        (
            "parity",
            "A parity sector: nothing needs it to read, but the file is not clean.",
            (0, 1, 4),
        ),
        (
            "page",
            "A header page in the middle of the file.",
            (1, 2, 0),
        ),
        (
            "manifest",
            "The data sector of the manifest, copy A.",
            (0, n - 2, 1),
        ),
        (
            "table",
            "The data sector of the table in the copy at the end of the file.",
            (1, n - 1, 1),
        ),
        ("end", "The end sector.", (0, n, 0)),
    ];
    for (name, comment, (copy, block, slot)) in lost {
        heal(set, &format!("sector-{name}"), comment, BLOCKS, |h| {
            h.zero(copy, block, &[slot])
        });
    }
}

fn bits(set: &mut Set) {
    let bits = [
        ("magic", 3),
        ("version", 4 * 8),
        ("kind", 5 * 8 + 1),
        ("slot", 6 * 8),
        ("k", 7 * 8),
        ("block", 8 * 8),
        ("block-high", 15 * 8 + 7),
        ("archive", 20 * 8),
        ("payload", 100 * 8 + 5),
        ("tag", 511 * 8 + 7),
    ];
    for (name, bit) in bits {
        heal(
            set,
            &format!("bit-{name}"),
            "One bit of a data sector.",
            BLOCKS,
            |h| h.flip(0, 2, 1, &[bit]),
        );
    }
    heal(
        set,
        "bit-in-copy-b",
        "One bit in copy B: the payload reads as if nothing had happened.",
        BLOCKS,
        |h| h.flip(1, 2, 3, &[1000]),
    );
    heal(
        set,
        "bit-in-end",
        "One bit of N in the end sector.",
        BLOCKS,
        |h| {
            let n = h.base.forge.n();
            h.flip(0, n, 0, &[8 * 8 + 1])
        },
    );
}

fn bounds(set: &mut Set) {
    heal(
        set,
        "erasures-bound",
        "G2, exactly at the bound: 3 intact slots of 7 are left of a block with k = 3, one data sector among them.",
        BLOCKS,
        |h| h.zero(0, 1, &[1, 2, 4, 5]).zero(1, 1, &[1, 2]),
    );
    heal(
        set,
        "erasures-no-data",
        "G2: no data sector is left, 3 of the 4 parity sectors are.",
        BLOCKS,
        |h| h.zero(0, 1, &[1, 2, 3, 4]).zero(1, 1, &[1, 2, 3]),
    );
    heal(
        set,
        "erasures-five-sectors",
        "G4: any 5 stored sectors of a full block.",
        BLOCKS,
        |h| h.zero(0, 1, &[3, 4, 5]).zero(1, 1, &[3, 7]),
    );
    heal(
        set,
        "erasures-across-copies",
        "Each copy lacks other data sectors.",
        BLOCKS,
        |h| h.zero(0, 0, &[1, 2]).zero(1, 0, &[2, 3]),
    );
    heal(
        set,
        "erasures-every-block",
        "Copy A of every odd block and copy B of every even block are lost.",
        BLOCKS,
        |mut h| {
            for block in 0..h.base.forge.n() {
                let k = h.base.forge.k(block);
                let copy = usize::from(block % 2 == 0);
                let slots = h.base.forge.geo.slots(copy, k);
                h = h.zero(copy, block, &slots);
            }
            h
        },
    );
    heal(
        set,
        "coded-bound",
        "Coded: 3 of 9 slots are left, all parity.",
        "open/coded.vec",
        |h| h.zero(0, 1, &[1, 2, 3, 4, 5]).zero(1, 1, &[6]),
    );
    heal(
        set,
        "coded-bound-data",
        "Coded: the data sectors alone are left.",
        "open/coded.vec",
        |h| h.zero(0, 1, &[4, 5]).zero(1, 1, &[6, 7, 8, 9]),
    );
    heal(
        set,
        "light-bound",
        "No copy B: 3 of 6 slots are left.",
        "open/light.vec",
        |h| h.zero(0, 1, &[1, 2, 6]),
    );
    heal(
        set,
        "short-block-bound",
        "A block of one data sector: 1 of 5 slots is left, a parity sector of copy B.",
        BLOCKS,
        |h| {
            let manifest = h.base.forge.n() - 2;
            h.zero(0, manifest, &[1, 4, 5]).zero(1, manifest, &[1, 6])
        },
    );
    heal(
        set,
        "largest-slot-alone",
        "Of a block of one data sector only the sector of slot 255 is left.",
        "open/largest-slot.vec",
        |h| {
            let manifest = h.base.forge.n() - 2;
            let (a, b) = (h.base.forge.geo.slots(0, 1), h.base.forge.geo.slots(1, 1));
            h.zero(0, manifest, &a).zero(1, manifest, &b[..b.len() - 1])
        },
    );
    let full = "open/profile-standard-full.vec";
    heal(
        set,
        "standard-32-slots",
        "G2 with a full block of `standard`: 32 slots are lost, half of them data in both copies.",
        full,
        |h| {
            let data: Vec<u8> = (1..=223).step_by(14).collect();
            assert_eq!(data.len(), 16);
            let parity: Vec<u8> = (224..240).collect();
            h.zero(0, 0, &data).zero(0, 0, &parity).zero(1, 0, &data)
        },
    );
    heal(
        set,
        "coded-136-sectors",
        "G4 with a full block of `coded`: all data sectors and 17 parity sectors are lost.",
        "open/profile-coded-full.vec",
        |h| {
            let data: Vec<u8> = (1..=119).collect();
            h.zero(0, 0, &data)
                .zero(0, 0, &[120, 121, 122, 123, 124, 125, 126, 127])
                .zero(1, 0, &[128, 130, 135, 140, 145, 150, 200, 250, 255])
        },
    );
    heal(
        set,
        "light-32-sectors",
        "G4 with a full block of `light`: 32 sectors are lost.",
        "open/profile-light-full.vec",
        |h| {
            let lost: Vec<u8> = (100..132).collect();
            h.zero(0, 0, &lost)
        },
    );

    // Errors at unknown places.
    let at = (32 + 77) * 8;
    heal(
        set,
        "errors-tags-only",
        "Every tag of a block is wrong, nothing else: all its sectors are believed.",
        BLOCKS,
        |h| h.untag(0),
    );
    heal(
        set,
        "errors-two",
        "G3 at the bound: no tag holds, two wrong bytes in one column, the same in both copies.",
        BLOCKS,
        |h| {
            h.untag(0)
                .flip(0, 0, 1, &[at, at + 3])
                .flip(1, 0, 1, &[at, at + 3])
                .flip(0, 0, 3, &[at + 7])
                .flip(1, 0, 3, &[at + 7])
        },
    );
    heal(
        set,
        "errors-two-in-parity",
        "G3 at the bound: two wrong bytes in one column, in parity sectors.",
        BLOCKS,
        |h| h.untag(0).flip(0, 0, 5, &[at]).flip(1, 0, 6, &[at + 1]),
    );
    heal(
        set,
        "errors-and-erasures",
        "G3 at the bound: 2e + s = 4 with one wrong byte and two slots erased.",
        BLOCKS,
        |h| {
            h.untag(0)
                .zero(0, 0, &[2])
                .zero(1, 0, &[2, 6])
                .flip(0, 0, 4, &[at])
        },
    );
    heal(
        set,
        "errors-copies-disagree",
        "Where two believed copies of a byte differ, it is an erasure: three of them and one lost slot.",
        BLOCKS,
        |h| {
            h.untag(0)
                .flip(0, 0, 1, &[at])
                .flip(1, 0, 2, &[at])
                .flip(0, 0, 3, &[at])
                .zero(1, 0, &[7])
        },
    );
    heal(
        set,
        "errors-many-columns",
        "Wrong bytes in other sectors column by column, within the bound in each.",
        BLOCKS,
        |mut h| {
            h = h.untag(1);
            for column in 0..200 {
                let bit = (32 + 2 * column) * 8 + column % 8;
                let slot = [4, 5][column % 2];
                h = h
                    .flip(0, 1, slot, &[bit])
                    .flip(1, 1, [6, 7][column / 2 % 2], &[bit]);
            }
            h
        },
    );
    heal(
        set,
        "errors-frames-rotten",
        "Every frame of a block differs in 3 bits of 256, in archive id and block number, and is believed all the same.",
        BLOCKS,
        |mut h| {
            for copy in 0..2 {
                for slot in h.base.forge.geo.slots(copy, 3) {
                    h = h.flip(
                        copy,
                        1,
                        slot,
                        &[16 * 8 + usize::from(slot), 25 * 8, 14 * 8 + 3],
                    );
                }
            }
            h
        },
    );
    heal(
        set,
        "errors-vote",
        "A block of one data sector: two of five slots are wrong in one column, with other values; three agree.",
        BLOCKS,
        |h| {
            let manifest = h.base.forge.n() - 2;
            h.untag(manifest)
                .flip(0, manifest, 4, &[at])
                .flip(0, manifest, 5, &[at + 1])
        },
    );
    heal(
        set,
        "errors-erased-zeros-are-no-data",
        "Zeroed sectors are not believed: the all-zero word would be a code word.",
        BLOCKS,
        |h| h.zero(0, 2, &[1, 2, 3]).zero(1, 2, &[1]),
    );
}

fn bursts(set: &mut Set) {
    for (name, base) in [
        ("mirrored", BLOCKS),
        ("coded", "open/coded.vec"),
        ("light", "open/light.vec"),
        ("lag-2", "open/lag-2.vec"),
        ("lag-coded", "open/lag-coded.vec"),
        ("single", "open/single.vec"),
    ] {
        let own = set.base(base);
        let (longest, all) = (
            longest_burst(&own.forge),
            own.bytes.len() / own.forge.geo.size(),
        );
        let size = own.forge.geo.size();
        let places = [
            ("head", 0),
            ("middle", (all - longest) / 2),
            ("tail", all - longest),
        ];
        for (place, first) in places {
            let comment =
                format!("G5 at the bound: {longest} sectors of {all} in a row are wiped.");
            heal(set, &format!("burst-{name}-{place}"), &comment, base, |h| {
                h.burst(first, longest)
            });
        }
        if name == "lag-2" || name == "single" {
            continue;
        }
        let comment = format!("G5 at the bound: the first {longest} of {all} sectors are cut off.");
        heal(set, &format!("cut-head-{name}"), &comment, base, |h| {
            h.line(format!("delete 0 {}", longest * size))
        });
        let comment = format!("G5 at the bound: the last {longest} of {all} sectors are cut off.");
        heal(set, &format!("cut-tail-{name}"), &comment, base, |h| {
            h.line(format!("truncate {}", (all - longest) * size))
        });
    }
    let own = set.base(BLOCKS);
    let (longest, size, all) = (longest_burst(&own.forge), 512, own.bytes.len());
    let bytes = (longest - 1) * size + 1;
    heal(
        set,
        "burst-bytes",
        "G5: (W - 1) S + 1 bytes of 0xFF that begin in the last byte of a sector.",
        BLOCKS,
        |h| h.line(format!("fill 1535 {} ff", 1535 + bytes)),
    );
    heal(
        set,
        "removed-bytes",
        "G5: (W - 1) S + 1 bytes are missing in the middle, so what follows lies off the grid.",
        BLOCKS,
        |h| h.line(format!("delete 3583 {bytes}")),
    );
    heal(
        set,
        "burst-noise",
        "A burst of noise over half of the file.",
        BLOCKS,
        |h| h.line(format!("write 777 {}", hex(&blake2b_noise(all / 2 - 800)))),
    );
}

fn moved(set: &mut Set) {
    let own = set.base(BLOCKS);
    let (all, size) = (own.bytes.len(), 512);
    let count = all / size;
    heal(
        set,
        "byte-removed-first",
        "The first byte is missing.",
        BLOCKS,
        |h| h.line("delete 0 1"),
    );
    heal(
        set,
        "byte-removed-last",
        "The last byte is missing.",
        BLOCKS,
        |h| h.line(format!("truncate {}", all - 1)),
    );
    heal(
        set,
        "byte-removed-middle",
        "One byte is missing in copy A.",
        BLOCKS,
        |h| h.line(format!("delete {} 1", all / 4 + 3)),
    );
    heal(
        set,
        "byte-inserted-first",
        "One byte stands before the file.",
        BLOCKS,
        |h| h.line("insert 0 00"),
    );
    heal(
        set,
        "byte-inserted-middle",
        "One byte too many in copy B.",
        BLOCKS,
        |h| h.line(format!("insert {} 89", all * 3 / 4)),
    );
    heal(
        set,
        "byte-appended",
        "One byte stands behind the file.",
        BLOCKS,
        |h| h.line(format!("insert {all} 0a")),
    );
    heal(
        set,
        "sector-removed",
        "A sector is missing, the rest has moved up.",
        BLOCKS,
        |h| h.line("delete 5120 512"),
    );
    heal(
        set,
        "sector-twice",
        "A sector stands there twice.",
        BLOCKS,
        |h| h.line("repeat 5120 5120 512"),
    );
    heal(
        set,
        "halves-swapped",
        "Copy B stands before copy A.",
        BLOCKS,
        |h| {
            let half = count / 2 * size;
            h.line(format!("swap 0 {half} {half}"))
        },
    );
    heal(
        set,
        "sectors-swapped-two",
        "Two sectors of different blocks changed places (G6).",
        BLOCKS,
        |h| {
            let (a, b) = (h.at(0, 1, 2), h.at(1, 3, 3));
            h.line(format!("swap {a} {b} {size}"))
        },
    );
    heal(
        set,
        "sectors-swapped-all-spares",
        "Two sectors changed places, and of their blocks only so much is left that both are needed (G6).",
        BLOCKS,
        |h| {
            let (a, b) = (h.at(0, 1, 2), h.at(0, 3, 3));
            h.line(format!("swap {a} {b} {size}"))
                .zero(0, 1, &[1, 4, 5])
                .zero(1, 1, &[1, 2])
                .zero(0, 3, &[1, 4, 5])
                .zero(1, 3, &[1, 3])
        },
    );
    heal(
        set,
        "sectors-reversed",
        "All sectors in reverse order (G6).",
        BLOCKS,
        |mut h| {
            for i in 0..count / 2 {
                h = h.line(format!(
                    "swap {} {} {size}",
                    i * size,
                    (count - 1 - i) * size
                ));
            }
            h
        },
    );
    heal(
        set,
        "sectors-shuffled",
        "All sectors in random order (G6).",
        BLOCKS,
        |mut h| {
            let noise = blake2b_noise(4 * count);
            for i in (1..count).rev() {
                let j = u32::from_le_bytes(noise[4 * i..4 * i + 4].try_into().unwrap()) as usize
                    % (i + 1);
                if i != j {
                    h = h.line(format!("swap {} {} {size}", i * size, j * size));
                }
            }
            h
        },
    );
    heal(
        set,
        "junk-between-sectors",
        "Seven bytes of junk before every sector.",
        BLOCKS,
        |mut h| {
            for i in (0..count).rev() {
                h = h.line(format!("insert {} 8944425303ff00", i * size));
            }
            h
        },
    );
    heal(
        set,
        "junk-around",
        "The file lies somewhere in an image.",
        BLOCKS,
        |h| {
            h.line(format!("insert {all} {}", hex(&blake2b_noise(700))))
                .line(format!("insert 0 {}", hex(&blake2b_noise(1001))))
        },
    );
    heal(set, "file-twice", "The file follows itself.", BLOCKS, |h| {
        h.line(format!("include {all} {BLOCKS}"))
    });
}

fn rot(set: &mut Set) {
    for (name, base, every) in [
        ("standard-1e-3", "open/profile-standard.vec", 1000),
        ("standard-2e-3", "open/profile-standard.vec", 500),
        ("coded-5e-3", "open/profile-coded.vec", 200),
        ("coded-full-1e-2", "open/profile-coded-full.vec", 100),
        ("light-1e-4", "open/profile-light.vec", 10_000),
    ] {
        let comment = format!("Dense bit rot: one bit in {every} is flipped, all over the file.");
        heal(set, &format!("rot-{name}"), &comment, base, |h| {
            h.rot(every)
        });
    }
}

fn pages(set: &mut Set) {
    heal(
        set,
        "pages-one-left",
        "All header pages but one in the middle are wiped, the end sector too.",
        BLOCKS,
        |mut h| {
            let n = h.base.forge.n();
            for block in 0..n {
                for copy in 0..2 {
                    if (copy, block) != (0, 3) {
                        h = h.zero(copy, block, &[0]);
                    }
                }
            }
            h.zero(0, n, &[0])
        },
    );
    heal(
        set,
        "pages-ends-wiped",
        "The first and the last sector are wiped.",
        BLOCKS,
        |h| {
            let n = h.base.forge.n();
            h.zero(0, 0, &[0]).zero(0, n, &[0])
        },
    );
    heal(
        set,
        "pages-none-intact",
        "Every header page has a wrong bit, each at another place: the majority has none.",
        BLOCKS,
        |mut h| {
            let n = h.base.forge.n();
            for block in 0..n {
                h = h.flip(0, block, 0, &[(32 + 11 * block as usize) * 8]).flip(
                    1,
                    block,
                    0,
                    &[(40 + 11 * block as usize) * 8],
                );
            }
            h.flip(0, n, 0, &[33 * 8])
        },
    );
    // A change of passphrase that was interrupted: the older page stands in part of the file.
    let payload = painted(2000);
    let mut old = Forge::new(TINY);
    old.key_slots(&[Slot::cheap("old", 0)]);
    old.payload(&payload);
    old.finish();
    let mut new = Forge::new(TINY);
    new.generation = 1;
    new.key_slots(&[Slot::cheap("new", 1)]);
    new.payload(&payload);
    new.finish();
    let base = "open/passphrase-changed.vec";
    let expect = Expect {
        passphrase: "new".into(),
        ..Expect::clean()
    };
    set.container(
        base,
        "After one change of the passphrase.",
        &expect,
        &new,
        &payload,
    );
    let own = set.base(base);
    let n = new.n();
    let stale = |mut h: Harm<'_>, places: &[(usize, u64)]| {
        for &(copy, block) in places {
            let kind = if block == n {
                255
            } else {
                new.blocks[block as usize].kind
            };
            let k = if block == n { 0 } else { new.k(block) };
            let sector = old.sector(kind, 0, k, block, &old.page);
            h = h.write(copy, block, 0, &sector);
        }
        h.lines
    };
    let expect = Expect {
        passphrase: "new".into(),
        ..Expect::heals()
    };
    for (name, comment, places) in [
        (
            "pages-old-behind",
            "A change of passphrase reached the first half of the pages: the higher generation counts.",
            (0..n).map(|b| (1, b)).chain([(0, n)]).collect::<Vec<_>>(),
        ),
        (
            "pages-old-first",
            "The older page stands in the first half.",
            (0..n).map(|b| (0, b)).collect(),
        ),
        (
            "pages-old-middle",
            "First and last page are new, one in the middle is old.",
            vec![(1, 1)],
        ),
    ] {
        let lines = stale(Harm::new(&own), &places);
        if name == "pages-old-first" {
            set.stale_pages.clone_from(&lines);
        }
        set.damaged(
            &format!("heal/{name}.vec"),
            comment,
            &expect,
            base,
            &[lines],
        );
    }
    heal(
        set,
        "page-behind-record",
        "A header page with a non-zero byte behind the record, its tag made right: a bad sector, but the page is valid.",
        "open/sectors-4096.vec",
        |h| {
            let at = h.at(0, 1, 0);
            h.line(format!("write {} 01", at + 32 + 768))
                .line(format!("tag {at} 4096"))
        },
    );
    heal(
        set,
        "page-behind-record-first",
        "The same in the first sector of the file.",
        "open/sectors-4096.vec",
        |h| h.line(format!("write {} 01", 4096 - 17)).line("tag 0 4096"),
    );
}

fn tables(set: &mut Set) {
    heal(
        set,
        "table-lost",
        "The table is lost in both copies: it is rebuilt from the other blocks.",
        BLOCKS,
        |h| {
            let table = h.base.forge.n() - 1;
            h.zero(0, table, &[1, 4, 5]).zero(1, table, &[1, 6, 7])
        },
    );
    heal(
        set,
        "table-errors",
        "The table can only be decoded column by column; its own hash is the judge.",
        BLOCKS,
        |h| {
            let table = h.base.forge.n() - 1;
            h.untag(table)
                .flip(0, table, 1, &[800])
                .flip(1, table, 1, &[800])
        },
    );
    let two = "open/two-tables.vec";
    for (name, which) in [("first", 2), ("second", 1)] {
        heal(
            set,
            &format!("table-{name}-of-two-lost"),
            "One of two table blocks is lost: it is rebuilt, and the other keeps its word.",
            two,
            |mut h| {
                let block = h.base.forge.n() - which;
                for copy in 0..2 {
                    let slots = h.base.forge.geo.slots(copy, h.base.forge.k(block));
                    h = h.zero(copy, block, &slots);
                }
                h
            },
        );
    }
    heal(
        set,
        "table-lost-and-end",
        "The table and the end sector are lost: N follows from the frames.",
        BLOCKS,
        |h| {
            let n = h.base.forge.n();
            h.zero(0, n - 1, &[1, 4, 5])
                .zero(1, n - 1, &[1, 6, 7])
                .zero(0, n, &[0])
        },
    );
}

fn forged(set: &mut Set) {
    heal(
        set,
        "forged-data-one-copy",
        "A data sector of copy A was altered and its tag made right: the copies conflict.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 2);
            h.line(format!("flip {}", (at + 60) * 8))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-data-both-copies",
        "A data sector was altered in both copies, the tags made right: an error to be decoded, with the block hash as the judge.",
        BLOCKS,
        |mut h| {
            for copy in 0..2 {
                let at = h.at(copy, 1, 2);
                h = h
                    .line(format!("flip {}", (at + 60) * 8))
                    .line(format!("tag {at} 512"));
            }
            h
        },
    );
    heal(
        set,
        "forged-parity",
        "A parity sector was altered and its tag made right: bad, although its tag holds.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 5);
            h.line(format!("flip {}", (at + 60) * 8))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-end-absurd",
        "The end sector claims 2^60 blocks, its tag is right.",
        BLOCKS,
        |h| {
            let n = h.base.forge.n();
            let at = h.at(0, n, 0);
            h.line(format!("write {} 0000000000000010", at + 8))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-end-illegal",
        "The end sector claims one block, which no archive has.",
        BLOCKS,
        |h| {
            let n = h.base.forge.n();
            let at = h.at(0, n, 0);
            h.line(format!("write {} 0100000000000000", at + 8))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-k",
        "A sector says k = 2 in a block of 3, its tag is right: ignored.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 1);
            h.line(format!("write {} 02", at + 7))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-slot",
        "A sector says a slot that its block does not have, its tag is right: ignored.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 1);
            h.line(format!("write {} c8", at + 6))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-kind",
        "A sector says a kind that nobody knows, its tag is right: ignored.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 1);
            h.line(format!("write {} 07", at + 5))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "forged-version",
        "A sector says version 4, its tag is right: ignored.",
        BLOCKS,
        |h| {
            let at = h.at(0, 1, 1);
            h.line(format!("write {} 04", at + 4))
                .line(format!("tag {at} 512"))
        },
    );
    heal(
        set,
        "other-archive-behind",
        "Another archive follows in the same file; the first one counts.",
        BLOCKS,
        |h| {
            let all = h.base.bytes.len();
            h.line(format!("include {all} open/passphrase-utf8.vec"))
        },
    );
}

fn replicas(set: &mut Set) {
    let own = set.base(BLOCKS);
    let all = own.bytes.len();
    let mut merge = |name: &str, comment: &str, lists: &[Vec<String>]| {
        set.damaged(
            &format!("heal/{name}.vec"),
            comment,
            &Expect::heals(),
            BLOCKS,
            lists,
        );
    };
    merge(
        "replicas-quarters",
        "Two replicas, each of which lost other parts beyond repair.",
        &[
            vec![format!("zero {} {}", all / 8, all - all / 8)],
            vec![
                format!("zero 0 {}", all / 4),
                format!("zero {} {all}", all * 3 / 4),
            ],
        ],
    );
    merge(
        "replicas-shifted",
        "The second replica has lost its first bytes and the first its second half, but for the end.",
        &[
            vec![format!("zero 2048 {}", all - 512)],
            vec!["delete 0 700".into()],
        ],
    );
}
