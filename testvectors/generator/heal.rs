//! Damage that must be healed, up to the bounds of section 23.

use super::Set;
use super::damage::*;

pub fn add(set: &mut Set) {
    heal_all(set, BLOCKS, SECTORS);
    bits(set);
    erasures(set);
    errors(set);
    rot(set);
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
    heal_all(
        set,
        "open/single.vec",
        "errors-vote-tie | untag 1; flip A1.1@872; flip B1.1@872 | G3 at the bound for k = 1: both copies of the data sector are wrong in the same way, two against two. What whole slots say decides.",
    );
    frames(set);
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

/// Frames as far off as they may be, and one bit further.
fn frames(set: &mut Set) {
    fn rotten(mut harm: Harm<'_>, bits: usize) -> Harm<'_> {
        // Every second bit of the archive id.
        let bits: Vec<usize> = (0..bits).map(|bit| 128 + 2 * bit).collect();
        for copy in 0..2 {
            for slot in harm.base.forge.geo.slots(copy, 3) {
                harm = harm.flip(copy, 1, slot, &bits);
            }
        }
        harm
    }
    heal(
        set,
        "errors-frames-32-bits",
        "Every frame of a block differs in 32 bits of 256: believed.",
        BLOCKS,
        |h| rotten(h, 32),
    );
    lost(
        set,
        "damaged-frames-33-bits",
        "Every frame of a block differs in 33 bits of 256, and a byte of its data is wrong: all is erased.",
        BLOCKS,
        &[1],
        |h| rotten(h, 33).steps("flip A1.1@872; flip B1.1@872"),
    );
    // Of the six sectors of copy A one or two are the ones expected, the others name another slot.
    let others = "flip A1.2@54; flip A1.3@54; flip A1.4@54; flip A1.5@54; zero B1.1,2,3,6,7";
    heal(
        set,
        "errors-frames-quarter",
        "Of six sectors one is intact and one names its slot, four name another: all are believed.",
        BLOCKS,
        |h| h.steps(&format!("flip A1.1@4088; {others}")),
    );
    lost(
        set,
        "damaged-frames-quarter",
        "Of six sectors one is intact and five name another slot: less than one in four, so none is believed. One byte is wrong.",
        BLOCKS,
        &[1],
        |h| h.steps(&format!("flip A1.1@54,872; {others}")),
    );
    lost(
        set,
        "damaged-frames-quarter-block",
        "The same with five sectors that name another block, in the highest of its low 16 bits.",
        BLOCKS,
        &[1],
        |h| {
            h.steps(&format!(
                "flip A1.1@79,872; {}",
                others.replace("@54", "@79")
            ))
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
        ("light-1e-3", "open/profile-light.vec", 1000),
    ] {
        let comment = format!("Dense bit rot: one bit in {every} is flipped, all over the file.");
        let name = format!("rot-{name}");
        heal(set, &name, &comment, base, |h| h.rot(every));
    }
}
