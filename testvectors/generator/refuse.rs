//! What is no container, what is beyond repair, and who may not read.

use super::damage::*;
use super::forge::*;
use super::open::tar;
use super::{Expect, Set, table};

/// Small files: one copy, one parity sector.
pub const SMALL: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 1,
    mb: 0,
    copy_b: 0,
};

pub fn add(set: &mut Set) {
    foreign(set);
    blocks(set);
    incomplete(set);
    no_judge(set);
    versions(set);
    passphrases(set);
}

fn foreign(set: &mut Set) {
    let mut tar_file = tar(1).0;
    tar_file.truncate(1024);
    let almost = [&[0x89, 0x44, 0x42, 0x53, 3][..], &noise(2043)].concat();
    let zip = [b"PK\x03\x04".to_vec(), noise(600)].concat();
    let text = b"This is not a backup.\n".repeat(40);
    for (name, comment, bytes) in [
        ("empty", "No bytes at all.", vec![]),
        ("one-byte", "The first byte of the magic.", vec![0x89]),
        ("text", "A text.", text),
        ("zip", "A zip file.", zip),
        ("tar", "A tar stream that nobody sealed.", tar_file),
        ("zeros", "Zeros.", vec![0; 4096]),
        (
            "ones",
            "0xFF, as erased flash memory has it.",
            vec![0xff; 4096],
        ),
        (
            "noise",
            "Noise, as an encrypted file of another kind.",
            noise(4096),
        ),
        (
            "magic-and-noise",
            "Magic and version, then noise: no sector is intact.",
            almost,
        ),
    ] {
        let path = format!("refuse/not-dbs-{name}.vec");
        set.raw(&path, comment, &Expect::error("not-dbs"), bytes);
    }
}

/// Name, base, blocks that are lost, damage, comment.
const BLOCKS_LOST: &str = "
erasures    | open/blocks.vec | 1   | zero A1.1,2,4,5 B1.1,2,6 | G2, one beyond the bound: 2 intact slots of 7 are left of a block with k = 3.
six-sectors | open/blocks.vec | 1   | zero A1.1,4,5 B1.1,6,7 | G4, one beyond the bound: 6 stored sectors of a full block, the worst choice.
two-blocks  | open/blocks.vec | 0 3 | zero A0.1,2,3,5 B0.1,2,3,6 A3.1,2,4,5 B3.1,2,6 | Two blocks are beyond repair, the others are not.
last-block  | open/blocks.vec | 4   | zero A4.1,2,4 B4.1,2,6,7 | The last data block, which is short, is beyond repair.
coded       | open/coded.vec  | 1   | zero A1.1,2,3,4,5 B1.6,7 | Coded: 2 of 9 slots are left.
light       | open/light.vec  | 1   | zero A1.1,2,3,6 | No copy B: 2 of 6 slots are left.
single-all  | open/single.vec | 1   | zero A1.1,2 B1.1,3 | A block of one data sector: nothing is left of it.
errors-three | open/blocks.vec | 0  | untag 0; flip A0.1@872; flip B0.1@872; flip A0.2@873; flip B0.2@873; flip A0.3@874; flip B0.3@874 | G3, beyond the bound: no tag holds, three wrong bytes in one column. What may be decoded is refused by the block hash.
errors-and-erasures | open/blocks.vec | 0 | untag 0; zero A0.2,5 B0.2,6; flip A0.4@872 | G3, beyond the bound: 2e + s = 5.
";

fn blocks(set: &mut Set) {
    for [name, base, blocks, steps, comment] in table(BLOCKS_LOST) {
        let blocks: Vec<u64> = blocks.split(' ').map(|b| b.parse().unwrap()).collect();
        let name = format!("damaged-{name}");
        lost(set, &name, comment, base, &blocks, |h| h.steps(steps));
    }
    lost(
        set,
        "damaged-standard-33-slots",
        "A full block of `standard`: 33 slots are lost.",
        "open/profile-standard-full.vec",
        &[0],
        |h| {
            let data: Vec<u8> = (10..27).collect();
            let parity: Vec<u8> = (224..240).collect();
            h.zero(0, 0, &data).zero(0, 0, &parity).zero(1, 0, &data)
        },
    );
    for (name, base) in [("mirrored", BLOCKS), ("light", "open/light.vec")] {
        let longest = longest_burst(&set.base(base).forge);
        let count = longest + 1;
        let comment = format!("G5, one beyond the bound: {count} sectors in a row are wiped.");
        let name = format!("damaged-burst-{name}");
        lost(set, &name, &comment, base, &[1], |h| {
            let first = h.at(0, 1, 1) / 512;
            h.burst(first, count)
        });
    }
}

/// Nothing says any more what the archive consists of.
fn incomplete(set: &mut Set) {
    let own = set.base(BLOCKS);
    let manifest = own.forge.n() - 2;
    let lines = Harm::new(&own).steps("zero AM.1,4,5 BM.1,6,7").lines;
    set.damaged(
        "refuse/damaged-manifest.vec",
        "The manifest is beyond repair: the archive is incomplete.",
        &Expect::lost(&[manifest]),
        BLOCKS,
        &[lines],
    );
    // What no text says exactly is left out of the header: an empty word.
    let open = Expect {
        validate: "",
        validate_unlocked: "",
        ..Expect::error("damaged")
    };
    let cut = own.forge.place(0, 3, 2) * 512 + 100;
    set.damaged(
        "refuse/damaged-unfinished.vec",
        "The writer was stopped within copy A of block 3: no manifest, no table, no end sector.",
        &open,
        BLOCKS,
        &[vec![format!("truncate {cut}")]],
    );
    let mut harm = Harm::new(&own);
    for block in 0..own.forge.n() {
        harm = harm.zero(0, block, &[0]).zero(1, block, &[0]);
    }
    set.damaged(
        "refuse/damaged-no-page.vec",
        "All other sectors are intact, but no header page is left: the key is gone.",
        &Expect::error("damaged"),
        BLOCKS,
        &[harm.steps("zero E").lines],
    );
    let line = format!("zero 512 {}", own.bytes.len());
    set.damaged(
        "refuse/damaged-page-alone.vec",
        "Only the first sector of the file is left.",
        &open,
        BLOCKS,
        &[vec![line]],
    );
    let sector = own.bytes[512..1024].to_vec();
    set.raw(
        "refuse/damaged-sector-alone.vec",
        "One intact data sector.",
        &Expect::error("damaged"),
        sector,
    );
}

fn no_judge(set: &mut Set) {
    let own = set.base(BLOCKS);
    let steps = "untag 0; zero AT.1,4,5 BT.1,6,7";
    let expect = Expect {
        validate: "unrecoverable",
        validate_unlocked: "",
        repair: "damaged",
        ..Expect::heals()
    };
    set.damaged(
        "refuse/damaged-no-judge.vec",
        "No tag of block 0 holds and the table is lost: without the key nothing confirms a decoded block, so repair is refused. With the key the payload is read.",
        &expect,
        BLOCKS,
        &[Harm::new(&own).steps(steps).lines],
    );
}

fn versions(set: &mut Set) {
    let mut bytes = Forge::whole(SMALL, 0, &painted(300)).file();
    for sector in bytes.chunks_mut(512) {
        sector[4] = 4;
        let tag = blake2b(16, b"dbs3 sector", b"", &[&sector[..496]]);
        sector[496..].copy_from_slice(&tag);
    }
    set.raw(
        "refuse/unsupported-version.vec",
        "Every sector is of version 4.",
        &Expect::error("unsupported"),
        bytes,
    );
}

/// Name, base, passphrase, comment.
const PASSPHRASES: &str = "
other      | open/blocks.vec | correct horse battery stable | Another passphrase.
case       | open/blocks.vec | Correct horse battery staple | The first letter is a capital.
prefix     | open/blocks.vec | correct horse battery | A part of it.
empty      | open/blocks.vec | | No passphrase.
normalised | open/passphrase-decomposed.vec | caf\u{e9} | The composed letter instead of e and a combining accent.
slots      | open/slots-first.vec | fifth | None of four key slots opens.
removed    | open/passphrase-changed.vec | old | A passphrase that was changed.
";

fn passphrases(set: &mut Set) {
    let mut wrong = |name: &str, comment: &str, base: &str, passphrase: &str| {
        let own = set.base(base);
        let path = format!("refuse/wrong-passphrase-{name}.vec");
        let expect = Expect::sealed("wrong-passphrase").with_passphrase(passphrase);
        set.same(&path, comment, &expect, base, &own.payload);
    };
    for [name, base, passphrase, comment] in table(PASSPHRASES) {
        wrong(name, comment, base, passphrase);
    }
    let with_space = format!("{PASSPHRASE} ");
    wrong("space", "A space too many.", BLOCKS, &with_space);
}
