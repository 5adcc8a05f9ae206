//! Archives that somebody without the key changed, and made all checksums right again.

use super::damage::noise;
use super::forge::*;
use super::pages::change;
use super::refuse::SMALL;
use super::{Base, Expect, Set};

type Change = fn(&mut Forge);

/// What was done to the blocks, before the table was made.
const CHANGES: [(&str, &str, Change); 11] = [
    (
        "data",
        "One bit of a sealed block was altered, and tags, parity and table were made anew: nothing is damaged, but the block does not open.",
        |f| f.blocks[1].data[77] ^= 1,
    ),
    ("manifest", "The same in the manifest.", |f| {
        f.blocks.last_mut().unwrap().data[33] ^= 1;
    }),
    (
        "gcm-tag",
        "The same in the last byte of a block, which is of the tag of AES-GCM.",
        |f| *f.blocks[0].data.last_mut().unwrap() ^= 0x80,
    ),
    (
        "blocks-swapped",
        "Two blocks changed places, and all else was made anew.",
        |f| f.blocks.swap(0, 1),
    ),
    (
        "block-repeated",
        "A block stands in the place of another.",
        |f| f.blocks[2] = f.blocks[1].clone(),
    ),
    (
        "block-dropped",
        "The last data block was taken out and all else was made anew: the manifest stands in another place and does not open.",
        |f| {
            f.blocks.remove(3);
            f.d -= 1;
        },
    ),
    (
        "block-added",
        "A data block was added before the manifest.",
        |f| {
            let data = noise(464);
            f.blocks.insert(4, Block { kind: 0, data });
            f.d += 1;
        },
    ),
    ("block-zeros", "A block of zeros.", |f| {
        f.blocks[0].data.fill(0);
    }),
    ("other-key", "A block sealed under another data key.", |f| {
        sealed_first(f, &[9; 32], &ARCHIVE, 0)
    }),
    (
        "other-archive",
        "A block of another archive with the same data key.",
        |f| sealed_first(f, &f.data_key.clone(), b"another archive!", 0),
    ),
    (
        "kind",
        "A block that was sealed as an index block stands in the place of a data block.",
        |f| sealed_first(f, &f.data_key.clone(), &ARCHIVE, 3),
    ),
];

/// Seals block 0 in another way.
fn sealed_first(forge: &mut Forge, data_key: &[u8; 32], archive: &[u8; 16], kind: u8) {
    let raw = painted(SMALL.c());
    let (nonce, aad) = seal_context(archive, 0, kind, 3);
    let plain = plain(&SMALL, 0, &raw, &raw);
    forge.blocks[0].data = aead(&block_key(data_key), &nonce, &aad, &plain);
}

pub fn add(set: &mut Set) {
    blocks(set);
    tables(set);
}

fn blocks(set: &mut Set) {
    for (name, comment, change) in CHANGES {
        let payload = painted(3 * SMALL.c() + 100);
        let mut forge = Forge::new(SMALL);
        forge.payload(&payload);
        let manifest = forge.manifest().to_bytes();
        forge.push_manifest(&manifest);
        change(&mut forge);
        forge.push_tables();
        forge.page = forge.build_page();
        let base = Base {
            bytes: forge.file(),
            forge,
            payload,
        };
        let path = format!("refuse/authentication-{name}.vec");
        set.body(&path, comment, &Expect::sealed("authentication"), base);
    }
}

/// Table blocks that are valid and not those of the archive: what a reader without the key believes.
fn tables(set: &mut Set) {
    let payload = painted(3 * SMALL.c() + 100);
    let whole = Forge::whole(SMALL, 0, &payload);
    // D and I are 4 and 0, so the entry of the manifest is the fifth.
    for (name, comment, changes, restore, failed) in [
        (
            "table-counts",
            "D and I of the table are others than those of the manifest, and their sum is the same.",
            "8=03 16=01",
            "",
            3,
        ),
        (
            "table-manifest",
            "The entry of the manifest in the table was altered. It is no part of the root.",
            "165^01",
            "success",
            4,
        ),
    ] {
        let mut forge = whole.clone();
        let number = forge.n() - 1;
        let mut data = forge.blocks.pop().unwrap().data;
        change(&mut data, changes);
        data.truncate(data.len() - 32);
        forge.table_hash(number, &mut data);
        forge.blocks.push(Block { kind: 2, data });
        let expect = Expect {
            restore,
            validate_unlocked: "authentication",
            ..Expect::lost(&[failed])
        };
        let base = Base {
            bytes: forge.file(),
            forge,
            payload: payload.clone(),
        };
        let path = format!("refuse/authentication-{name}.vec");
        set.body(&path, comment, &expect, base);
    }
}
