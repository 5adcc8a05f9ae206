//! Damage that must be healed, up to the bounds of section 23.

use super::damage::*;
use super::forge::*;
use super::{Expect, Set};

pub fn add(set: &mut Set) {
    heal_all(set, BLOCKS, SECTORS);
    bits(set);
    erasures(set);
    errors(set);
    rot(set);
    pages(set);
    tables(set);
    forged(set);
    replicas(set);
}

const SECTORS: &str = "
sector-first    | zero A0.0 | The first sector of the file, a header page.
sector-data     | zero A1.2 | A data sector of copy A.
sector-data-b   | zero B1.2 | A data sector of copy B.
sector-parity   | zero A1.4 | A parity sector: nothing needs it to read, but the file is not clean.
sector-page     | zero B2.0 | A header page in the middle of the file.
sector-manifest | zero AM.1 | The data sector of the manifest, copy A.
sector-table    | zero BT.1 | The data sector of the table in the copy at the end of the file.
sector-end      | zero E    | The end sector.
";

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
        let name = format!("bit-{name}");
        let comment = "One bit of a data sector.";
        heal(set, &name, comment, BLOCKS, |h| h.flip(0, 2, 1, &[bit]));
    }
    heal_all(
        set,
        BLOCKS,
        "
bit-in-copy-b | flip B2.3@1000 | One bit in copy B: the payload reads as if nothing had happened.
bit-in-end    | flip E@65      | One bit of N in the end sector.
",
    );
}

fn erasures(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
erasures-bound         | zero A1.1,2,4,5 B1.1,2 | G2, exactly at the bound: 3 intact slots of 7 are left of a block with k = 3, one data sector among them.
erasures-no-data       | zero A1.1,2,3,4 B1.1,2,3 | G2: no data sector is left, 3 of the 4 parity sectors are.
erasures-five-sectors  | zero A1.3,4,5 B1.3,7 | G4: any 5 stored sectors of a full block.
erasures-across-copies | zero A0.1,2 B0.2,3 | Each copy lacks other data sectors.
short-block-bound      | zero AM.1,4,5 BM.1,6 | A block of one data sector: 1 of 5 slots is left, a parity sector of copy B.
errors-erased-zeros-are-no-data | zero A2.1,2,3 B2.1 | Zeroed sectors are not believed: the all-zero word would be a code word.
",
    );
    heal_all(
        set,
        "open/coded.vec",
        "
coded-bound      | zero A1.1,2,3,4,5 B1.6 | Coded: 3 of 9 slots are left, all parity.
coded-bound-data | zero A1.4,5 B1.6,7,8,9 | Coded: the data sectors alone are left.
",
    );
    heal_all(
        set,
        "open/light.vec",
        "light-bound | zero A1.1,2,6 | No copy B: 3 of 6 slots are left.",
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
        "largest-slot-alone",
        "Of a block of one data sector only the sector of slot 255 is left.",
        "open/largest-slot.vec",
        |h| {
            let manifest = h.base.forge.n() - 2;
            let (a, b) = (h.base.forge.geo.slots(0, 1), h.base.forge.geo.slots(1, 1));
            h.zero(0, manifest, &a).zero(1, manifest, &b[..b.len() - 1])
        },
    );
    heal(
        set,
        "standard-32-slots",
        "G2 with a full block of `standard`: 32 slots are lost, half of them data in both copies.",
        "open/profile-standard-full.vec",
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
}

/// Errors at unknown places. Bit 872 is the first of byte 77 of a payload.
fn errors(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
errors-tags-only       | untag 0 | Every tag of a block is wrong, nothing else: all its sectors are believed.
errors-two             | untag 0; flip A0.1@872,875; flip B0.1@872,875; flip A0.3@879; flip B0.3@879 | G3 at the bound: no tag holds, two wrong bytes in one column, the same in both copies.
errors-two-in-parity   | untag 0; flip A0.5@872; flip B0.6@873 | G3 at the bound: two wrong bytes in one column, in parity sectors.
errors-and-erasures    | untag 0; zero A0.2 B0.2,6; flip A0.4@872 | G3 at the bound: 2e + s = 4 with one wrong byte and two slots erased.
errors-copies-disagree | untag 0; flip A0.1@872; flip B0.2@872; flip A0.3@872; zero B0.7 | Where two believed copies of a byte differ, it is an erasure: three of them and one lost slot.
errors-vote            | untag M; flip AM.4@872; flip AM.5@873 | A block of one data sector: two of five slots are wrong in one column, with other values; three agree.
",
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
                    let bits = [16 * 8 + usize::from(slot), 25 * 8, 14 * 8 + 3];
                    h = h.flip(copy, 1, slot, &bits);
                }
            }
            h
        },
    );
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
        let name = format!("rot-{name}");
        heal(set, &name, &comment, base, |h| h.rot(every));
    }
}

fn pages(set: &mut Set) {
    heal(
        set,
        "pages-one-left",
        "All header pages but one in the middle are wiped, the end sector too.",
        BLOCKS,
        |mut h| {
            for block in 0..h.base.forge.n() {
                for copy in 0..2 {
                    if (copy, block) != (0, 3) {
                        h = h.zero(copy, block, &[0]);
                    }
                }
            }
            h.steps("zero E")
        },
    );
    heal_all(
        set,
        BLOCKS,
        "pages-ends-wiped | zero A0.0 E | The first and the last sector are wiped.",
    );
    heal(
        set,
        "pages-none-intact",
        "Every header page has a wrong bit, each at another place: the majority has none.",
        BLOCKS,
        |mut h| {
            for block in 0..h.base.forge.n() {
                let byte = 11 * block as usize;
                h = h
                    .flip(0, block, 0, &[(32 + byte) * 8])
                    .flip(1, block, 0, &[(40 + byte) * 8]);
            }
            h.steps("flip E@264")
        },
    );
    generations(set);
    heal_all(
        set,
        "open/sectors-4096.vec",
        "
page-behind-record       | forge A1.0+800=01  | A header page with a non-zero byte behind the record, its tag made right: a bad sector, but the page is valid.
page-behind-record-first | forge A0.0+4079=01 | The same in the first sector of the file.
",
    );
}

/// A change of passphrase that was interrupted: the older page stands in part of the file.
fn generations(set: &mut Set) {
    let payload = painted(2000);
    let made = |passphrase: &str, generation: u32| {
        let mut forge = Forge::new(TINY);
        forge.generation = generation;
        forge.key_slots(&[Slot::cheap(passphrase, generation as u8)]);
        forge.payload(&payload);
        forge.finish();
        forge
    };
    let (old, new) = (made("old", 0), made("new", 1));
    let base = "open/passphrase-changed.vec";
    let comment = "After one change of the passphrase.";
    let expect = Expect::clean().with_passphrase("new");
    set.container(base, comment, &expect, &new, &payload);
    let own = set.base(base);
    let n = new.n();
    let stale = |places: &[(usize, u64)]| {
        let mut harm = Harm::new(&own);
        for &(copy, block) in places {
            let (kind, k) = match block == n {
                true => (255, 0),
                false => (new.blocks[block as usize].kind, new.k(block)),
            };
            let sector = old.sector(kind, 0, k, block, &old.page);
            harm = harm.write(copy, block, 0, &sector);
        }
        harm.lines
    };
    let expect = Expect::heals().with_passphrase("new");
    let first_half: Vec<_> = (0..n).map(|b| (0, b)).collect();
    let second_half: Vec<_> = (0..n).map(|b| (1, b)).chain([(0, n)]).collect();
    for (name, comment, places) in [
        (
            "pages-old-behind",
            "A change of passphrase reached the first half of the pages: the higher generation counts.",
            second_half,
        ),
        (
            "pages-old-first",
            "The older page stands in the first half.",
            first_half.clone(),
        ),
        (
            "pages-old-middle",
            "First and last page are new, one in the middle is old.",
            vec![(1, 1)],
        ),
    ] {
        let path = format!("heal/{name}.vec");
        set.damaged(&path, comment, &expect, base, &[stale(&places)]);
    }
    let expect = Expect {
        restore: "wrong-passphrase",
        validate_unlocked: "wrong-passphrase",
        ..Expect::heals().with_passphrase("old")
    };
    set.damaged(
        "refuse/wrong-passphrase-rollback.vec",
        "A passphrase was changed and older header pages stand in half of the file: they must not bring it back.",
        &expect,
        base,
        &[stale(&first_half)],
    );
}

fn tables(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
table-lost         | zero AT.1,4,5 BT.1,6,7 | The table is lost in both copies: it is rebuilt from the other blocks.
table-errors       | untag T; flip AT.1@800; flip BT.1@800 | The table can only be decoded column by column; its own hash is the judge.
table-lost-and-end | zero AT.1,4,5 BT.1,6,7; zero E | The table and the end sector are lost: N follows from the frames.
",
    );
    for (name, which) in [("first", 2), ("second", 1)] {
        heal(
            set,
            &format!("table-{name}-of-two-lost"),
            "One of two table blocks is lost: it is rebuilt, and the other keeps its word.",
            "open/two-tables.vec",
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
}

fn forged(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
forged-end-absurd  | forge E+8=0000000000000010 | The end sector claims 2^60 blocks, its tag is right.
forged-end-illegal | forge E+8=0100000000000000 | The end sector claims one block, which no archive has.
forged-k           | forge A1.1+7=02 | A sector says k = 2 in a block of 3, its tag is right: ignored.
forged-slot        | forge A1.1+6=c8 | A sector says a slot that its block does not have, its tag is right: ignored.
forged-kind        | forge A1.1+5=07 | A sector says a kind that nobody knows, its tag is right: ignored.
forged-version     | forge A1.1+4=04 | A sector says version 4, its tag is right: ignored.
",
    );
    // Bit 480 is of byte 28 of a payload.
    fn altered(harm: Harm<'_>, copy: usize, slot: u8) -> Harm<'_> {
        harm.flip(copy, 1, slot, &[480]).tag(copy, 1, slot)
    }
    heal(
        set,
        "forged-data-one-copy",
        "A data sector of copy A was altered and its tag made right: the copies conflict.",
        BLOCKS,
        |h| altered(h, 0, 2),
    );
    heal(
        set,
        "forged-data-both-copies",
        "A data sector was altered in both copies, the tags made right: an error to be decoded, with the block hash as the judge.",
        BLOCKS,
        |h| altered(altered(h, 0, 2), 1, 2),
    );
    heal(
        set,
        "forged-parity",
        "A parity sector was altered and its tag made right: bad, although its tag holds.",
        BLOCKS,
        |h| altered(h, 0, 5),
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
        let path = format!("heal/{name}.vec");
        set.damaged(&path, comment, &Expect::heals(), BLOCKS, lists);
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
