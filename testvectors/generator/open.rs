//! Containers that open.

use super::forge::*;
use super::{Expect, Set};

fn whole(set: &mut Set, name: &str, comment: &str, geo: Geo, lag: u32, payload: &[u8]) {
    let forge = Forge::whole(geo, lag, payload);
    let path = format!("open/{name}.vec");
    set.container(&path, comment, &Expect::clean(), &forge, payload);
}

/// Entries of a small tar stream, and the stream itself.
pub fn tar(files: usize) -> (Vec<u8>, Vec<IndexEntry>) {
    let (mut stream, mut entries) = (Vec::new(), Vec::new());
    for i in 0..files {
        let (kind, size, link) = match i % 4 {
            1 => (1, 0, None),
            2 => (2, 0, Some(b"file-0".to_vec())),
            _ => (0, 100 + i as u64, None),
        };
        let path = match kind {
            0 => format!("file-{i}"),
            1 => format!("folder-{i}/"),
            _ => format!("link-{i}"),
        };
        let offset = stream.len() as u64;
        let mut header = [0u8; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        let mut field =
            |at: usize, text: String| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        field(
            100,
            format!("{:07o}", if kind == 1 { 0o755 } else { 0o644 }),
        );
        field(108, "0000000".into());
        field(116, "0000000".into());
        field(124, format!("{size:011o}"));
        field(136, format!("{:011o}", 1_600_000_000 + i));
        field(148, "        ".into());
        field(156, ["0", "5", "2"][kind].into());
        if kind == 2 {
            field(157, "file-0".into());
        }
        field(257, "ustar\u{0}00".into());
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        stream.extend_from_slice(&header);
        stream.extend_from_slice(&painted(size as usize));
        stream.resize(stream.len().next_multiple_of(512), 0);
        entries.push(IndexEntry {
            path: path.into_bytes(),
            kind: kind as u64,
            size,
            mtime: 1_600_000_000 + i as i64,
            nanos: if i == 3 { 5 } else { 0 },
            mode: if kind == 1 { 0o755 } else { 0o644 },
            offset,
            length: stream.len() as u64 - offset,
            link,
        });
    }
    stream.resize(stream.len() + 1024, 0);
    (stream, entries)
}

pub fn add(set: &mut Set) {
    let capacity = TINY.c();
    whole(set, "empty", "No payload: D = 0.", TINY, 0, b"");
    whole(set, "one-byte", "The smallest payload.", TINY, 0, b"A");
    whole(
        set,
        "spec-section-28-shape",
        "The shape of the worked example of section 28: 1000 bytes, N = 3.",
        TINY,
        0,
        &painted(1000),
    );
    whole(
        set,
        "one-sector-full",
        "The sealed block fills one sector to the last byte.",
        TINY,
        0,
        &painted(464 - 32),
    );
    whole(
        set,
        "one-sector-and-one-byte",
        "One byte more than fits one sector: k = 2.",
        TINY,
        0,
        &painted(464 - 32 + 1),
    );
    whole(
        set,
        "block-less-one",
        "C - 1 bytes.",
        TINY,
        0,
        &painted(capacity - 1),
    );
    whole(
        set,
        "block",
        "C bytes: one full block, no padding at all.",
        TINY,
        0,
        &painted(capacity),
    );
    whole(
        set,
        "block-and-one",
        "C + 1 bytes: the second block has k = 1.",
        TINY,
        0,
        &painted(capacity + 1),
    );
    whole(
        set,
        "blocks",
        "Several full blocks and a short one.",
        TINY,
        0,
        &painted(4 * capacity + 500),
    );
    whole(
        set,
        "zeros",
        "A payload of zeros: sealed, so no sector is zero.",
        TINY,
        0,
        &vec![0; 2 * capacity],
    );
    whole(
        set,
        "coded",
        "Copy B is coded: parity alone.",
        TINY_CODED,
        0,
        &painted(3 * capacity + 5),
    );
    whole(
        set,
        "light",
        "No copy B.",
        TINY_LIGHT,
        0,
        &painted(3 * capacity + 5),
    );
    whole(
        set,
        "no-parity-b",
        "Mirrored with M_B = 0: copy B is header page and data alone.",
        Geo { mb: 0, ..TINY },
        0,
        &painted(capacity + 1),
    );
    whole(
        set,
        "no-parity-a",
        "Coded with M_A = 0: copy A is header page and data alone.",
        Geo {
            ma: 0,
            ..TINY_CODED
        },
        0,
        &painted(capacity + 1),
    );
    whole(
        set,
        "wide-parity",
        "More parity than data: m(M, k) of short blocks is at least 8.",
        Geo {
            shift: 9,
            k: 5,
            ma: 20,
            mb: 30,
            copy_b: 2,
        },
        0,
        &painted(3000),
    );
    whole(
        set,
        "largest-slot",
        "The last parity slot is 255: 1 + K + M_A + M_B = 256.",
        Geo {
            shift: 9,
            k: 240,
            ma: 7,
            mb: 8,
            copy_b: 2,
        },
        0,
        &painted(700),
    );
    whole(
        set,
        "single",
        "K = 1: a repetition code.",
        SINGLE,
        0,
        &painted(2 * SINGLE.c() + 9),
    );
    whole(
        set,
        "two-tables",
        "X = E + 1: the second table block has one entry.",
        SINGLE,
        0,
        &painted(SINGLE.c() * SINGLE.e()),
    );
    whole(
        set,
        "table-full",
        "X = E: one full table block.",
        SINGLE,
        0,
        &painted(SINGLE.c() * (SINGLE.e() - 1)),
    );
    for lag in [1, 2, 3, 100] {
        whole(
            set,
            &format!("lag-{lag}"),
            "Copy B stands a lag of blocks behind copy A; with a lag of N or more the order is that of lag 0.",
            TINY,
            lag,
            &painted(3 * capacity + 5),
        );
    }
    whole(
        set,
        "lag-coded",
        "A lag with coded copies.",
        TINY_CODED,
        2,
        &painted(4 * capacity),
    );
    for (shift, name) in [
        (10, "sectors-1024"),
        (12, "sectors-4096"),
        (13, "sectors-8192"),
    ] {
        let geo = Geo {
            shift,
            k: 2,
            ma: 1,
            mb: 1,
            copy_b: 1,
        };
        let geo = if shift == 13 {
            Geo {
                copy_b: 0,
                k: 1,
                mb: 0,
                ..geo
            }
        } else {
            geo
        };
        whole(
            set,
            name,
            "Larger sectors: the record of the header page is 768 bytes, zeros behind it.",
            geo,
            0,
            b"larger sectors",
        );
    }
    whole(
        set,
        "profile-standard",
        "The profile `standard`.",
        STANDARD,
        0,
        &painted(1000),
    );
    whole(
        set,
        "profile-coded",
        "The profile `coded`.",
        CODED,
        0,
        &painted(1000),
    );
    whole(
        set,
        "profile-light",
        "The profile `light`.",
        LIGHT,
        0,
        &painted(1000),
    );
    whole(
        set,
        "profile-standard-full",
        "A full block of `standard`, 223 data sectors.",
        STANDARD,
        0,
        &painted(STANDARD.c()),
    );
    whole(
        set,
        "profile-coded-full",
        "A full block of `coded`, 119 data sectors.",
        CODED,
        0,
        &painted(CODED.c()),
    );
    whole(
        set,
        "profile-light-full",
        "A full block of `light` and one byte.",
        LIGHT,
        0,
        &painted(LIGHT.c() + 1),
    );

    keys(set);
    contents(set);
}

/// Key slots, passphrases, generations.
fn keys(set: &mut Set) {
    let payload = painted(300);
    let mut with = |name: &str,
                    comment: &str,
                    passphrase: &str,
                    slots: &[Slot],
                    change: &dyn Fn(&mut Forge)| {
        let mut forge = Forge::new(TINY);
        change(&mut forge);
        forge.key_slots(slots);
        forge.payload(&payload);
        forge.finish();
        let expect = Expect {
            passphrase: passphrase.into(),
            ..Expect::clean()
        };
        set.container(
            &format!("open/{name}.vec"),
            comment,
            &expect,
            &forge,
            &payload,
        );
    };
    let slots: Vec<Slot> = ["first", "second", "third", "fourth"]
        .iter()
        .enumerate()
        .map(|(i, p)| Slot::cheap(p, i as u8))
        .collect();
    with(
        "slots-first",
        "Four key slots, as many as 512-byte sectors have room for; the first opens.",
        "first",
        &slots,
        &|_| {},
    );
    with(
        "slots-last",
        "The last of four key slots opens.",
        "fourth",
        &slots,
        &|_| {},
    );
    with(
        "generation",
        "The key slots have been changed 7 times.",
        "second",
        &slots[..2],
        &|f| f.generation = 7,
    );
    with(
        "generation-highest",
        "Generation 2^32 - 1.",
        "second",
        &slots[..2],
        &|f| f.generation = u32::MAX,
    );
    with(
        "passphrase-utf8",
        "Umlauts (composed), Greek, and an emoji outside of the basic plane.",
        "Zürich größer λόγος 🗝",
        &[Slot::cheap("Zürich größer λόγος 🗝", 0)],
        &|f| {
            f.archive = *b"another archive!";
            f.data_key = [7; 32];
        },
    );
    with(
        "passphrase-decomposed",
        "The letter e and a combining acute accent: no normalisation.",
        "cafe\u{301}",
        &[Slot::cheap("cafe\u{301}", 0)],
        &|_| {},
    );
    with(
        "passphrase-spaces",
        "Spaces at both ends count (the value begins after one space).",
        "  spaces  ",
        &[Slot::cheap("  spaces  ", 0)],
        &|_| {},
    );
    let long = "long passphrase ".repeat(64);
    with(
        "passphrase-long",
        "1024 bytes, longer than a block of the hash.",
        &long,
        &[Slot::cheap(&long, 0)],
        &|_| {},
    );
    let costs = Slot {
        t: 3,
        m: 64,
        p: 4,
        ..Slot::cheap(PASSPHRASE, 0)
    };
    with(
        "argon2-lanes",
        "t = 3, m = 64 KiB, p = 4.",
        PASSPHRASE,
        &[costs],
        &|_| {},
    );
    let costs = Slot {
        t: 2,
        m: 39,
        p: 1,
        ..Slot::cheap(PASSPHRASE, 0)
    };
    with(
        "argon2-odd-memory",
        "m = 39 KiB is no multiple of 4 p.",
        PASSPHRASE,
        &[costs],
        &|_| {},
    );
    let unknown = Slot {
        kind: 2,
        ..Slot::cheap("other", 1)
    };
    with(
        "slot-type-unknown",
        "A key slot of a type that nobody knows yet stands first: skipped, and kept when healing.",
        PASSPHRASE,
        &[unknown, Slot::cheap(PASSPHRASE, 0)],
        &|_| {},
    );
    let costly = Slot {
        t: 65,
        ..Slot::cheap("other", 1)
    };
    with(
        "slot-costly-skipped",
        "The first key slot asks for 65 passes, more than a reader's limit: skipped, the second opens.",
        PASSPHRASE,
        &[costly, Slot::cheap(PASSPHRASE, 0)],
        &|_| {},
    );
}

/// Compression, indexes, and what a reader has to ignore.
fn contents(set: &mut Set) {
    let finish = |set: &mut Set, name: &str, comment: &str, forge: &Forge, payload: &[u8]| {
        set.container(
            &format!("open/{name}.vec"),
            comment,
            &Expect::clean(),
            forge,
            payload,
        );
    };
    let text = b"compressible, ".repeat(400);
    let mut forge = Forge::new(TINY);
    forge.compressed(&text, 3);
    forge.finish();
    finish(
        set,
        "zstd",
        "Every block is a Zstandard frame: k = 1 each.",
        &forge,
        &text,
    );

    let mut mixed = text[..2 * TINY.c()].to_vec();
    mixed.extend(blake2b_noise(TINY.c() + 9));
    let mut forge = Forge::new(TINY);
    forge.compressed(&mixed, 3);
    forge.finish();
    finish(
        set,
        "zstd-mixed",
        "Some blocks are compressed, some stored, as compression saves nothing.",
        &forge,
        &mixed,
    );

    let (stream, entries) = tar(6);
    let index: Vec<u8> = entries.iter().flat_map(IndexEntry::to_bytes).collect();
    let mut forge = Forge::new(Geo { k: 12, ..TINY });
    forge.media_type = "application/x-tar".into();
    forge.payload(&stream);
    let mut manifest = forge.manifest();
    manifest.entries = entries.len() as u64;
    manifest.index.clone_from(&index);
    forge.push_manifest(&manifest.to_bytes());
    forge.push_tables();
    forge.page = forge.build_page();
    finish(
        set,
        "tar-inline-index",
        "A tar stream whose index stands in the manifest.",
        &forge,
        &stream,
    );

    let (stream, entries) = tar(24);
    let mut forge = Forge::new(TINY);
    forge.media_type = "application/x-tar".into();
    forge.payload(&stream);
    let mut block = Vec::new();
    for entry in &entries {
        let bytes = entry.to_bytes();
        if block.len() + bytes.len() > TINY.c() {
            forge.push(3, plain(&TINY, 0, &block, &block));
            block.clear();
        }
        block.extend_from_slice(&bytes);
    }
    forge.push(3, plain(&TINY, 0, &block, &block));
    let mut manifest = forge.manifest();
    manifest.entries = entries.len() as u64;
    forge.push_manifest(&manifest.to_bytes());
    forge.push_tables();
    forge.page = forge.build_page();
    finish(
        set,
        "tar-index-blocks",
        "A tar stream with index blocks; entries do not straddle them.",
        &forge,
        &stream,
    );

    let (stream, _) = tar(3);
    let mut forge = Forge::new(TINY);
    forge.media_type = "application/x-tar".into();
    forge.payload(&stream);
    forge.finish();
    finish(
        set,
        "tar-no-index",
        "A tar stream without an index: a reader walks its headers.",
        &forge,
        &stream,
    );

    let payload = painted(100);
    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    let manifest = forge.manifest().to_bytes();
    // Nine keys: 30 holds an array, which a reader must pass over.
    let mut longer = manifest.clone();
    longer[0] += 1;
    longer.extend_from_slice(&[0x18, 30, 0x82, 0x01, 0x61, b'x']);
    forge.push_manifest(&longer);
    forge.push_tables();
    forge.page = forge.build_page();
    finish(
        set,
        "manifest-unknown-key",
        "The manifest has a key 30 with an array: ignored.",
        &forge,
        &payload,
    );

    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    let mut manifest = forge.manifest();
    manifest.created = -1_000_000;
    manifest.producer = String::new();
    forge.push_manifest(&manifest.to_bytes());
    forge.push_tables();
    forge.page = forge.build_page();
    finish(
        set,
        "manifest-negative-time",
        "Created before 1970, by a producer without a name.",
        &forge,
        &payload,
    );

    let mut forge = Forge::new(TINY);
    forge.media_type = "text/plain".into();
    forge.payload(&payload);
    forge.finish();
    finish(
        set,
        "media-type-unknown",
        "An unknown media type: a stream.",
        &forge,
        &payload,
    );

    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    forge.finish();
    let mut page = forge.page.clone();
    page[0] = 9;
    forge.commit(&mut page);
    forge.page_hash(&mut page);
    forge.page = page;
    finish(
        set,
        "minor-version",
        "Minor version 9: informative, and kept when healing.",
        &forge,
        &payload,
    );
}

/// Bytes that do not compress.
pub fn blake2b_noise(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut i = 0u64;
    while bytes.len() < len {
        bytes.extend(blake2b(64, b"noise", b"", &[&i.to_le_bytes()]));
        i += 1;
    }
    bytes.truncate(len);
    bytes
}
