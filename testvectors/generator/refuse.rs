//! Containers that must be refused, each for one reason.

use super::forge::*;
use super::heal::{Harm, longest_burst};
use super::open::{blake2b_noise, tar};
use super::{Expect, Set};

const BLOCKS: &str = "open/blocks.vec";
/// Small files: one copy, one parity sector.
const SMALL: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 1,
    mb: 0,
    copy_b: 0,
};

pub fn add(set: &mut Set) {
    foreign(set);
    damaged(set);
    versions(set);
    pages(set);
    sealed(set);
    manifests(set);
    indexes(set);
    passphrases(set);
    altered(set);
}

fn foreign(set: &mut Set) {
    let mut tar_file = tar(1).0;
    tar_file.truncate(1024);
    let almost = [&[0x89, 0x44, 0x42, 0x53, 3][..], &blake2b_noise(2043)].concat();
    let files: [(&str, &str, Vec<u8>); 9] = [
        ("empty", "No bytes at all.", vec![]),
        ("one-byte", "The first byte of the magic.", vec![0x89]),
        ("text", "A text.", b"This is not a backup.\n".repeat(40)),
        (
            "zip",
            "A zip file.",
            [b"PK\x03\x04".to_vec(), blake2b_noise(600)].concat(),
        ),
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
            blake2b_noise(4096),
        ),
        (
            "magic-and-noise",
            "Magic and version, then noise: no sector is intact.",
            almost,
        ),
    ];
    for (name, comment, bytes) in files {
        set.raw(
            &format!("refuse/not-dbs-{name}.vec"),
            comment,
            &Expect::error("not-dbs"),
            bytes,
        );
    }
}

fn lost(
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
    set.damaged(
        &format!("refuse/{name}.vec"),
        comment,
        &expect,
        base,
        &[lines],
    );
}

fn damaged(set: &mut Set) {
    lost(
        set,
        "damaged-erasures",
        "G2, one beyond the bound: 2 intact slots of 7 are left of a block with k = 3.",
        BLOCKS,
        &[1],
        |h| h.zero(0, 1, &[1, 2, 4, 5]).zero(1, 1, &[1, 2, 6]),
    );
    lost(
        set,
        "damaged-six-sectors",
        "G4, one beyond the bound: 6 stored sectors of a full block, the worst choice.",
        BLOCKS,
        &[1],
        |h| h.zero(0, 1, &[1, 4, 5]).zero(1, 1, &[1, 6, 7]),
    );
    lost(
        set,
        "damaged-two-blocks",
        "Two blocks are beyond repair, the others are not.",
        BLOCKS,
        &[0, 3],
        |h| {
            h.zero(0, 0, &[1, 2, 3, 5])
                .zero(1, 0, &[1, 2, 3, 6])
                .zero(0, 3, &[1, 2, 4, 5])
                .zero(1, 3, &[1, 2, 6])
        },
    );
    lost(
        set,
        "damaged-last-block",
        "The last data block, which is short, is beyond repair.",
        BLOCKS,
        &[4],
        |h| h.zero(0, 4, &[1, 2, 4]).zero(1, 4, &[1, 2, 6, 7]),
    );
    lost(
        set,
        "damaged-coded",
        "Coded: 2 of 9 slots are left.",
        "open/coded.vec",
        &[1],
        |h| h.zero(0, 1, &[1, 2, 3, 4, 5]).zero(1, 1, &[6, 7]),
    );
    lost(
        set,
        "damaged-light",
        "No copy B: 2 of 6 slots are left.",
        "open/light.vec",
        &[1],
        |h| h.zero(0, 1, &[1, 2, 3, 6]),
    );
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
    lost(
        set,
        "damaged-single-all",
        "A block of one data sector: nothing is left of it.",
        "open/single.vec",
        &[1],
        |h| h.zero(0, 1, &[1, 2]).zero(1, 1, &[1, 3]),
    );
    let at = (32 + 77) * 8;
    lost(
        set,
        "damaged-errors-three",
        "G3, beyond the bound: no tag holds, three wrong bytes in one column. What may be decoded is refused by the block hash.",
        BLOCKS,
        &[0],
        |h| {
            h.untag(0)
                .flip(0, 0, 1, &[at])
                .flip(1, 0, 1, &[at])
                .flip(0, 0, 2, &[at + 1])
                .flip(1, 0, 2, &[at + 1])
                .flip(0, 0, 3, &[at + 2])
                .flip(1, 0, 3, &[at + 2])
        },
    );
    lost(
        set,
        "damaged-errors-and-erasures",
        "G3, beyond the bound: 2e + s = 5.",
        BLOCKS,
        &[0],
        |h| {
            h.untag(0)
                .zero(0, 0, &[2, 5])
                .zero(1, 0, &[2, 6])
                .flip(0, 0, 4, &[at])
        },
    );
    for (name, base) in [("mirrored", BLOCKS), ("light", "open/light.vec")] {
        let own = set.base(base);
        let longest = longest_burst(&own.forge);
        let comment = format!(
            "G5, one beyond the bound: {} sectors in a row are wiped.",
            longest + 1
        );
        lost(
            set,
            &format!("damaged-burst-{name}"),
            &comment,
            base,
            &[1],
            |h| {
                let first = h.at(0, 1, 1) / 512;
                h.burst(first, longest + 1)
            },
        );
    }

    let manifest = set.base(BLOCKS).forge.n() - 2;
    let own = set.base(BLOCKS);
    let lines = Harm::new(&own)
        .zero(0, manifest, &[1, 4, 5])
        .zero(1, manifest, &[1, 6, 7])
        .lines;
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
    let lines = harm.zero(0, own.forge.n(), &[0]).lines;
    set.damaged(
        "refuse/damaged-no-page.vec",
        "All other sectors are intact, but no header page is left: the key is gone.",
        &Expect::error("damaged"),
        BLOCKS,
        &[lines],
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

    let lines = Harm::new(&own)
        .untag(0)
        .zero(0, manifest + 1, &[1, 4, 5])
        .zero(1, manifest + 1, &[1, 6, 7])
        .lines;
    let expect = Expect {
        validate: "unrecoverable",
        validate_unlocked: "",
        repair: "damaged",
        ..Expect::heals()
    };
    set.damaged("refuse/damaged-no-judge.vec", "No tag of block 0 holds and the table is lost: without the key nothing confirms a decoded block, so repair is refused. With the key the payload is read.", &expect, BLOCKS, &[lines]);

    let mut forge = Forge::new(SMALL);
    let raw = painted(300);
    forge.payload_len = 300;
    let mut plaintext = plain(&SMALL, 0, &raw, &raw);
    plaintext[12] ^= 1;
    forge.push(0, plaintext);
    forge.finish();
    let expect = Expect {
        validate_unlocked: "",
        ..Expect::sealed("damaged")
    };
    set.container(
        "refuse/damaged-crc.vec",
        "The CRC-32 within an authentic block is wrong: memory failed when it was written.",
        &expect,
        &forge,
        b"",
    );
}

/// A small archive whose page was changed and whose page hash was made right.
fn page(
    set: &mut Set,
    name: &str,
    comment: &str,
    expect: &Expect,
    commit: bool,
    change: &dyn Fn(&mut Vec<u8>),
) {
    let payload = painted(300);
    let mut forge = Forge::whole(SMALL, 0, &payload);
    let mut page = forge.page.clone();
    change(&mut page);
    if commit {
        forge.commit(&mut page);
    }
    forge.page_hash(&mut page);
    forge.page = page;
    let base = super::Base {
        bytes: forge.file(),
        forge,
        payload,
    };
    set.body(&format!("refuse/{name}.vec"), comment, expect, base);
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

fn pages(set: &mut Set) {
    let unsupported = Expect::error("unsupported");
    page(
        set,
        "unsupported-critical-flag",
        "The header page sets a critical flag.",
        &unsupported,
        true,
        &|p| p[1] = 1,
    );
    page(
        set,
        "unsupported-critical-flag-high",
        "The header page sets the highest critical flag.",
        &unsupported,
        true,
        &|p| p[1] = 0x80,
    );
    page(
        set,
        "unsupported-suite",
        "Cipher suite 2.",
        &unsupported,
        true,
        &|p| p[7] = 2,
    );
    page(
        set,
        "unsupported-suite-zero",
        "Cipher suite 0.",
        &unsupported,
        true,
        &|p| p[7] = 0,
    );
    page(
        set,
        "unsupported-page-reserved",
        "A reserved byte of the header page is not zero.",
        &unsupported,
        true,
        &|p| p[31] = 1,
    );
    page(
        set,
        "unsupported-page-reserved-slots",
        "A byte behind the last key slot is not zero.",
        &unsupported,
        true,
        &|p| p[64 + 84] = 1,
    );

    let invalid = Expect::error("damaged");
    page(
        set,
        "invalid-page-no-slots",
        "A header page with no key slot is not valid, and there is no other.",
        &invalid,
        true,
        &|p| p[16] = 0,
    );
    page(
        set,
        "invalid-page-slots",
        "A header page with more key slots than there is room for is not valid.",
        &invalid,
        true,
        &|p| p[16] = 5,
    );
    page(set, "invalid-page-data", "K = 0.", &invalid, true, &|p| {
        p[3] = 0
    });
    page(
        set,
        "invalid-page-sum",
        "1 + K + M_A + M_B = 257.",
        &invalid,
        true,
        &|p| p[4] = 253,
    );
    page(
        set,
        "invalid-page-copy-b",
        "Copy B of kind 3.",
        &invalid,
        true,
        &|p| p[6] = 3,
    );
    page(
        set,
        "invalid-page-coded",
        "Copy B is coded and M_B = 0.",
        &invalid,
        true,
        &|p| p[6] = 2,
    );
    page(
        set,
        "invalid-page-none",
        "No copy B and M_B = 1.",
        &invalid,
        true,
        &|p| p[5] = 1,
    );
    page(
        set,
        "invalid-page-lag",
        "No copy B and a lag.",
        &invalid,
        true,
        &|p| p[8] = 1,
    );
    page(
        set,
        "invalid-page-sector-size",
        "The page says sectors of 1024 bytes.",
        &invalid,
        true,
        &|p| p[2] = 10,
    );
    page(
        set,
        "invalid-slot-passes",
        "A key slot with t = 0 makes the page invalid.",
        &invalid,
        true,
        &|p| p[66] = 0,
    );
    page(
        set,
        "invalid-slot-lanes",
        "A key slot with p = 0 makes the page invalid.",
        &invalid,
        true,
        &|p| p[65] = 0,
    );
    page(
        set,
        "invalid-slot-memory",
        "A key slot with m < 8 p makes the page invalid.",
        &invalid,
        true,
        &|p| p[68] = 7,
    );

    let altered = Expect::sealed("authentication");
    page(
        set,
        "authentication-commitment",
        "One bit of the commitment.",
        &altered,
        false,
        &|p| p[40] ^= 1,
    );
    page(
        set,
        "authentication-generation",
        "The generation was raised by somebody who does not know the data key.",
        &altered,
        false,
        &|p| p[12] = 1,
    );
    page(
        set,
        "authentication-minor",
        "The minor version was altered: informative, but committed to.",
        &altered,
        false,
        &|p| p[0] = 1,
    );
    page(
        set,
        "authentication-slot-added",
        "A second key slot was added by somebody who does not know the data key.",
        &altered,
        false,
        &|p| {
            let slot = Slot::cheap("attacker", 5).wrap(&ARCHIVE, &[9; 32]);
            p[16] = 2;
            p[64 + 84..64 + 168].copy_from_slice(&slot);
        },
    );
    let attacker = Expect {
        passphrase: "attacker".into(),
        ..Expect::sealed("authentication")
    };
    let payload = painted(300);
    let mut forge = Forge::whole(SMALL, 0, &payload);
    let data_key = std::mem::replace(&mut forge.data_key, [9; 32]);
    forge.key_slots(&[Slot::cheap("attacker", 5)]);
    forge.page = forge.build_page();
    forge.data_key = data_key;
    let base = super::Base {
        bytes: forge.file(),
        forge,
        payload,
    };
    set.body("refuse/authentication-page-replaced.vec", "A header page made with another data key throughout; the passphrase opens it, the blocks do not open.", &attacker, base);

    let mut forge = Forge::new(SMALL);
    forge.key_slots(&[Slot::cheap("first", 0), Slot::cheap("second", 1)]);
    forge.payload(&painted(300));
    forge.finish();
    let (a, b) = (forge.page[64..148].to_vec(), forge.page[148..232].to_vec());
    forge.page[64..148].copy_from_slice(&b);
    forge.page[148..232].copy_from_slice(&a);
    let mut page = forge.page.clone();
    forge.page_hash(&mut page);
    forge.page = page;
    let base = super::Base {
        bytes: forge.file(),
        forge,
        payload: Vec::new(),
    };
    let expect = Expect {
        passphrase: "first".into(),
        ..Expect::sealed("authentication")
    };
    set.body(
        "refuse/authentication-slots-swapped.vec",
        "Two key slots changed places.",
        &expect,
        base,
    );
}

/// A small archive made of these plaintexts.
fn plaintexts(set: &mut Set, name: &str, comment: &str, payload_len: u64, plaintexts: &[Vec<u8>]) {
    let mut forge = Forge::new(SMALL);
    forge.payload_len = payload_len;
    for plaintext in plaintexts {
        forge.push(0, plaintext.clone());
    }
    forge.finish();
    set.container(
        &format!("refuse/{name}.vec"),
        comment,
        &Expect::sealed("unsupported"),
        &forge,
        b"",
    );
}

fn sealed(set: &mut Set) {
    let raw = painted(300);
    let good = plain(&SMALL, 0, &raw, &raw);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut plaintext = good.clone();
        change(&mut plaintext);
        vec![plaintext]
    };
    plaintexts(
        set,
        "unsupported-codec",
        "Codec 2.",
        300,
        &with(&|p| p[0] = 2),
    );
    plaintexts(
        set,
        "unsupported-codec-255",
        "Codec 255.",
        300,
        &with(&|p| p[0] = 255),
    );
    for at in 1..4 {
        plaintexts(
            set,
            &format!("unsupported-sealed-reserved-{at}"),
            "A reserved byte of a sealed block's header is not zero.",
            300,
            &with(&|p| p[at] = 1),
        );
    }
    plaintexts(
        set,
        "unsupported-padding",
        "The last byte of a sealed block's padding is not zero.",
        300,
        &with(&|p| *p.last_mut().unwrap() = 1),
    );
    plaintexts(
        set,
        "unsupported-padding-first",
        "The first byte of the padding is not zero.",
        300,
        &with(&|p| p[316] = 1),
    );
    plaintexts(
        set,
        "unsupported-stored-length",
        "The stored length is larger than the block.",
        300,
        &with(&|p| p[4..8].copy_from_slice(&5000u32.to_le_bytes())),
    );
    plaintexts(
        set,
        "unsupported-stored-length-highest",
        "The stored length is 2^32 - 1.",
        300,
        &with(&|p| p[4..8].fill(0xff)),
    );
    plaintexts(
        set,
        "unsupported-not-smallest",
        "Two data sectors where one would do.",
        300,
        &with(&|p| p.resize(2 * 464 - 16, 0)),
    );
    plaintexts(
        set,
        "unsupported-raw-length",
        "Codec 0 with a raw length that is not the stored length.",
        300,
        &with(&|p| p[8] ^= 1),
    );
    let frame = zstd::bulk::compress(&b"abc".repeat(400), 3).unwrap();
    let long = b"abc".repeat(400);
    plaintexts(
        set,
        "unsupported-zstd-short",
        "A frame that gives fewer bytes than the raw length.",
        1201,
        &[{
            let mut p = plain(&SMALL, 1, &frame, &[&long[..], b"x"].concat());
            p[12..16].copy_from_slice(&crc32fast::hash(&long).to_le_bytes());
            p
        }],
    );
    plaintexts(
        set,
        "unsupported-zstd-long",
        "A frame that gives more bytes than the raw length.",
        1199,
        &[plain(&SMALL, 1, &frame, &long[..1199])],
    );
    plaintexts(
        set,
        "unsupported-zstd-broken",
        "Bytes that are no frame.",
        300,
        &[plain(&SMALL, 1, &blake2b_noise(100), &raw)],
    );
    let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 19).unwrap();
    plaintexts(
        set,
        "unsupported-zstd-bomb",
        "A frame of 1 MiB that says so: the raw length is above C.",
        SMALL.c() as u64,
        &[plain(&SMALL, 1, &bomb, &vec![0; 1 << 20])],
    );
    plaintexts(
        set,
        "unsupported-zstd-bomb-hidden",
        "A frame of 1 MiB behind a raw length of 300.",
        300,
        &[plain(&SMALL, 1, &bomb, &raw)],
    );
    let full = painted(SMALL.c());
    plaintexts(
        set,
        "unsupported-short-middle",
        "A data block that is not the last holds C - 1 bytes.",
        2 * SMALL.c() as u64,
        &[
            plain(&SMALL, 0, &full[1..], &full[1..]),
            plain(&SMALL, 0, &full, &full),
        ],
    );
    plaintexts(
        set,
        "unsupported-short-last",
        "The last block holds one byte less than the payload length says.",
        301,
        std::slice::from_ref(&good),
    );
    plaintexts(
        set,
        "unsupported-long-last",
        "The last block holds one byte more than the payload length says.",
        299,
        &[good],
    );
}

/// A small archive whose manifest was changed before it was sealed.
fn manifest(
    set: &mut Set,
    name: &str,
    comment: &str,
    class: &'static str,
    bytes: &dyn Fn(Manifest) -> Vec<u8>,
) {
    let mut forge = Forge::new(SMALL);
    forge.payload(&painted(300));
    let raw = bytes(forge.manifest());
    forge.push_manifest(&raw);
    forge.push_tables();
    forge.page = forge.build_page();
    set.container(
        &format!("refuse/{name}.vec"),
        comment,
        &Expect::sealed(class),
        &forge,
        b"",
    );
}

fn manifests(set: &mut Set) {
    let mut refuse = |name: &str, comment: &str, bytes: &dyn Fn(Manifest) -> Vec<u8>| {
        manifest(
            set,
            &format!("unsupported-manifest-{name}"),
            comment,
            "unsupported",
            bytes,
        );
    };
    // The map begins with its head; every key from 1 to 8 is one byte.
    refuse("negative-key", "A negative key is critical.", &|m| {
        let bytes = m.to_bytes();
        [&[bytes[0] + 1, 0x20, 0x00], &bytes[1..]].concat()
    });
    refuse("indefinite", "A map of indefinite length.", &|m| {
        let bytes = m.to_bytes();
        [&[0xbf], &bytes[1..], &[0xff]].concat()
    });
    refuse("order", "Keys 7 and 8 in the wrong order.", &|m| {
        let bytes = m.to_bytes();
        // Key 7 with its 34 bytes of value, then key 8 with one.
        let at = bytes.len() - 2 - 35;
        [
            &bytes[..at],
            &bytes[bytes.len() - 2..],
            &bytes[at..bytes.len() - 2],
        ]
        .concat()
    });
    refuse("twice", "Key 8 stands there twice.", &|m| {
        let bytes = m.to_bytes();
        [&[bytes[0] + 1], &bytes[1..], &[8, 0]].concat()
    });
    refuse("missing", "Key 8 is missing.", &|m| {
        let bytes = m.to_bytes();
        [&[bytes[0] - 1], &bytes[1..bytes.len() - 2]].concat()
    });
    refuse("trailing", "A byte follows the map.", &|m| {
        [m.to_bytes(), vec![0]].concat()
    });
    refuse("cut", "The map ends too early.", &|m| {
        let mut bytes = m.to_bytes();
        bytes.pop();
        bytes
    });
    refuse("empty", "An empty map.", &|_| vec![0xa0]);
    refuse("nothing", "No bytes.", &|_| Vec::new());
    refuse("type", "The media type is a byte string.", &|m| {
        let mut bytes = m.to_bytes();
        bytes[2] ^= 0x20;
        bytes
    });
    refuse("utf8", "The media type is not UTF-8.", &|m| {
        let mut bytes = m.to_bytes();
        bytes[5] = 0xff;
        bytes
    });
    refuse("root-length", "The table root has 31 bytes.", &|mut m| {
        m.root.pop();
        m.to_bytes()
    });
    refuse(
        "blocks",
        "D is not what the payload length demands.",
        &|mut m| {
            m.payload_len = 2000;
            m.to_bytes()
        },
    );
    refuse("index-blocks-highest", "I is 2^32.", &|mut m| {
        m.i = 1 << 32;
        m.to_bytes()
    });
    refuse(
        "length-highest",
        "A payload of 2^64 - 1 bytes.",
        &|mut m| {
            m.payload_len = u64::MAX;
            m.to_bytes()
        },
    );
    refuse(
        "index-of-stream",
        "An index, and the media type is not that of a tar stream.",
        &|mut m| {
            let (_, entries) = tar(1);
            m.entries = 1;
            m.index = entries[0].to_bytes();
            m.to_bytes()
        },
    );
    refuse(
        "nested",
        "Key 30 holds 300 arrays within each other.",
        &|m| {
            let bytes = m.to_bytes();
            [&[bytes[0] + 1], &bytes[1..], &[0x18, 30], &[0x81; 300][..]].concat()
        },
    );
    manifest(
        set,
        "authentication-table-root",
        "The table is not the one whose root stands in the manifest.",
        "authentication",
        &|mut m| {
            m.root[0] ^= 1;
            m.to_bytes()
        },
    );
    // A reader may go on without the table (17.1).
    let path = "refuse/authentication-table-root.vec".to_owned();
    set.without(&path, "expect");
    manifest(
        set,
        "unsupported-manifest-data-blocks",
        "D and I of the manifest are not those of the table.",
        "unsupported",
        &|mut m| {
            m.d = 2;
            m.payload_len = 2000;
            m.to_bytes()
        },
    );
}

/// Makes the bytes of an index, and the number of entries that the manifest states.
type Rewrite<'a> = dyn Fn(&[IndexEntry]) -> (Vec<u8>, u64) + 'a;

/// An archive with an index that was changed.
fn index(set: &mut Set, name: &str, comment: &str, bytes: &Rewrite) {
    let (stream, entries) = tar(2);
    let geo = Geo { k: 8, ..SMALL };
    let mut forge = Forge::new(geo);
    forge.media_type = "application/x-tar".into();
    forge.payload(&stream);
    let mut manifest = forge.manifest();
    (manifest.index, manifest.entries) = bytes(&entries);
    forge.push_manifest(&manifest.to_bytes());
    forge.push_tables();
    forge.page = forge.build_page();
    let path = format!("refuse/unsupported-index-{name}.vec");
    let expect = Expect::sealed("unsupported");
    set.container(&path, comment, &expect, &forge, b"");
    // What the payload is does not hang upon the index.
    set.without(&path, "expect");
    set.with(&path, "entries", "unsupported");
}

fn indexes(set: &mut Set) {
    let whole = |entries: &[IndexEntry]| -> Vec<u8> {
        entries.iter().flat_map(IndexEntry::to_bytes).collect()
    };
    let mut changed = |name: &str, comment: &str, change: &dyn Fn(&mut Vec<IndexEntry>)| {
        index(set, name, comment, &|entries| {
            let mut entries = entries.to_vec();
            change(&mut entries);
            (whole(&entries), 2)
        });
    };
    changed("type", "An entry of type 5.", &|e| e[1].kind = 5);
    changed("nanoseconds", "10^9 nanoseconds.", &|e| {
        e[1].nanos = 1_000_000_000
    });
    changed("beyond", "An entry that ends behind the payload.", &|e| {
        e[1].length = 1 << 40
    });
    changed("overflow", "Offset plus length is above 2^64.", &|e| {
        (e[1].offset, e[1].length) = (512, u64::MAX)
    });
    changed("order", "Offsets do not ascend.", &|e| e.swap(0, 1));
    index(
        set,
        "count",
        "Fewer entries than the manifest says.",
        &|e| (whole(&e[..1]), 2),
    );
    index(set, "missing", "An entry without a mode.", &|e| {
        let bytes = e[0].to_bytes();
        // Key 6 with a value of three bytes stands before keys 7 and 8.
        let at = bytes
            .windows(4)
            .position(|w| w == [6, 0x19, 0x01, 0xa4])
            .unwrap();
        (
            [&[bytes[0] - 1], &bytes[1..at], &bytes[at + 4..]].concat(),
            1,
        )
    });
    index(set, "negative-key", "An entry with a negative key.", &|e| {
        let bytes = e[0].to_bytes();
        ([&[bytes[0] + 1, 0x21, 0x00], &bytes[1..]].concat(), 1)
    });
    index(set, "not-cbor", "Bytes that are not CBOR.", &|_| {
        (vec![0xff; 9], 1)
    });
    index(set, "cut", "The last entry is cut off.", &|e| {
        let mut bytes = whole(e);
        bytes.pop();
        (bytes, 2)
    });
}

fn passphrases(set: &mut Set) {
    let mut wrong = |name: &str, comment: &str, base: &str, passphrase: &str| {
        let own = set.base(base);
        let path = format!("refuse/wrong-passphrase-{name}.vec");
        let expect = Expect {
            passphrase: passphrase.into(),
            ..Expect::sealed("wrong-passphrase")
        };
        set.same(&path, comment, &expect, base, &own.payload);
    };
    wrong(
        "other",
        "Another passphrase.",
        BLOCKS,
        "correct horse battery stable",
    );
    wrong(
        "case",
        "The first letter is a capital.",
        BLOCKS,
        "Correct horse battery staple",
    );
    wrong(
        "space",
        "A space too many.",
        BLOCKS,
        "correct horse battery staple ",
    );
    wrong("prefix", "A part of it.", BLOCKS, "correct horse battery");
    wrong("empty", "No passphrase.", BLOCKS, "");
    wrong(
        "normalised",
        "The composed letter instead of e and a combining accent.",
        "open/passphrase-decomposed.vec",
        "caf\u{e9}",
    );
    wrong(
        "slots",
        "None of four key slots opens.",
        "open/slots-first.vec",
        "fifth",
    );
    wrong(
        "removed",
        "A passphrase that was changed.",
        "open/passphrase-changed.vec",
        "old",
    );
    let lines = set.stale_pages.clone();
    let expect = Expect {
        passphrase: "old".into(),
        restore: "wrong-passphrase",
        validate_unlocked: "wrong-passphrase",
        ..Expect::heals()
    };
    set.damaged("refuse/wrong-passphrase-rollback.vec", "A passphrase was changed and older header pages stand in half of the file: they must not bring it back.", &expect, "open/passphrase-changed.vec", &[lines]);

    let mut slot = |name: &str, comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        page(
            set,
            &format!("wrong-passphrase-{name}"),
            comment,
            &Expect::sealed("wrong-passphrase"),
            false,
            change,
        );
    };
    slot(
        "salt",
        "One bit of the salt, the page hash made right.",
        &|p| p[64 + 8] ^= 1,
    );
    slot("nonce", "One bit of the nonce of the wrapping.", &|p| {
        p[64 + 24] ^= 1
    });
    slot("wrapped", "One bit of the wrapped key.", &|p| {
        p[64 + 40] ^= 1
    });
    slot("costs", "Another number of passes.", &|p| p[64 + 2] = 2);

    let mut limit = |name: &str, comment: &str, change: &dyn Fn(&mut Vec<u8>)| {
        page(
            set,
            &format!("limit-{name}"),
            comment,
            &Expect::sealed("limit"),
            true,
            change,
        );
    };
    limit(
        "passes",
        "65 passes of Argon2id: more than a reader's limit.",
        &|p| p[66] = 65,
    );
    limit("memory", "1 GiB and 1 KiB of memory for Argon2id.", &|p| {
        p[68..72].copy_from_slice(&((1u32 << 20) + 1).to_le_bytes())
    });
    limit(
        "memory-highest",
        "2^32 - 1 KiB of memory for Argon2id.",
        &|p| p[68..72].fill(0xff),
    );
    limit("lanes", "65 lanes of Argon2id.", &|p| {
        p[65] = 65;
        p[68..72].copy_from_slice(&1000u32.to_le_bytes());
    });
    page(
        set,
        "unsupported-slot-types",
        "The only key slot is of a type that nobody knows.",
        &Expect::sealed("unsupported"),
        true,
        &|p| p[64] = 2,
    );
}

fn altered(set: &mut Set) {
    let payload = painted(3 * SMALL.c() + 100);
    let mut with = |name: &str, comment: &str, expect: &Expect, change: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::new(SMALL);
        forge.payload(&payload);
        let manifest = forge.manifest().to_bytes();
        forge.push_manifest(&manifest);
        change(&mut forge);
        forge.push_tables();
        forge.page = forge.build_page();
        let base = super::Base {
            bytes: forge.file(),
            forge,
            payload: payload.clone(),
        };
        set.body(&format!("refuse/{name}.vec"), comment, expect, base);
    };
    let altered = Expect::sealed("authentication");
    with(
        "authentication-data",
        "One bit of a sealed block was altered, and tags, parity and table were made anew: nothing is damaged, but the block does not open.",
        &altered,
        &|f| f.blocks[1].data[77] ^= 1,
    );
    with(
        "authentication-manifest",
        "The same in the manifest.",
        &altered,
        &|f| {
            let last = f.blocks.len() - 1;
            f.blocks[last].data[33] ^= 1;
        },
    );
    with(
        "authentication-gcm-tag",
        "The same in the last byte of a block, which is of the tag of AES-GCM.",
        &altered,
        &|f| *f.blocks[0].data.last_mut().unwrap() ^= 0x80,
    );
    with(
        "authentication-blocks-swapped",
        "Two blocks changed places, and all else was made anew.",
        &altered,
        &|f| f.blocks.swap(0, 1),
    );
    with(
        "authentication-block-repeated",
        "A block stands in the place of another.",
        &altered,
        &|f| f.blocks[2] = f.blocks[1].clone(),
    );
    with(
        "authentication-block-dropped",
        "The last data block was taken out and all else was made anew: the manifest stands in another place and does not open.",
        &altered,
        &|f| {
            f.blocks.remove(3);
            f.d -= 1;
        },
    );
    with(
        "authentication-block-added",
        "A data block was added before the manifest.",
        &altered,
        &|f| {
            f.blocks.insert(
                4,
                Block {
                    kind: 0,
                    data: blake2b_noise(464),
                },
            );
            f.d += 1;
        },
    );
    with(
        "authentication-block-zeros",
        "A block of zeros.",
        &altered,
        &|f| f.blocks[0].data.fill(0),
    );
    with(
        "authentication-other-key",
        "A block sealed under another data key.",
        &altered,
        &|f| {
            let raw = painted(SMALL.c());
            let (nonce, aad) = seal_context(&ARCHIVE, 0, 0, 3);
            f.blocks[0].data = aead(
                &block_key(&[9; 32]),
                &nonce,
                &aad,
                &plain(&SMALL, 0, &raw, &raw),
            );
        },
    );
    with(
        "authentication-other-archive",
        "A block of another archive with the same data key.",
        &altered,
        &|f| {
            let raw = painted(SMALL.c());
            let (nonce, aad) = seal_context(b"another archive!", 0, 0, 3);
            f.blocks[0].data = aead(
                &block_key(&f.data_key),
                &nonce,
                &aad,
                &plain(&SMALL, 0, &raw, &raw),
            );
        },
    );
    with(
        "authentication-kind",
        "A block that was sealed as an index block stands in the place of a data block.",
        &altered,
        &|f| {
            let raw = painted(SMALL.c());
            let (nonce, aad) = seal_context(&ARCHIVE, 0, 3, 3);
            f.blocks[0].data = aead(
                &block_key(&f.data_key),
                &nonce,
                &aad,
                &plain(&SMALL, 0, &raw, &raw),
            );
        },
    );
}
