//! Containers that open.

use super::damage::noise;
use super::forge::*;
use super::{Expect, Set, table};

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

/// Name, geometry, lag, bytes of the payload, comment. C of the small geometries is 1360.
const WHOLE: &str = "
empty           | TINY   | 0 |    0 | No payload: D = 0.
spec-section-28-shape | TINY | 0 | 1000 | The shape of the worked example of section 28: 1000 bytes, N = 3.
one-sector-full | TINY   | 0 |  432 | The sealed block fills one sector to the last byte.
one-sector-and-one-byte | TINY | 0 | 433 | One byte more than fits one sector: k = 2.
block-less-one  | TINY   | 0 | 1359 | C - 1 bytes.
block           | TINY   | 0 | 1360 | C bytes: one full block, no padding at all.
block-and-one   | TINY   | 0 | 1361 | C + 1 bytes: the second block has k = 1.
blocks          | TINY   | 0 | 5940 | Several full blocks and a short one.
coded           | CODED  | 0 | 4085 | Copy B is coded: parity alone.
light           | LIGHT  | 0 | 4085 | No copy B.
no-parity-b     | 9 3 2 0 1 | 0 | 1361 | Mirrored with M_B = 0: copy B is header page and data alone.
no-parity-a     | 9 3 0 4 2 | 0 | 1361 | Coded with M_A = 0: copy A is header page and data alone.
wide-parity     | 9 5 20 30 2 | 0 | 3000 | More parity than data: m(M, k) of short blocks is at least 8.
largest-slot    | 9 240 7 8 2 | 0 | 700 | The last parity slot is 255: 1 + K + M_A + M_B = 256.
single          | SINGLE | 0 |  873 | K = 1: a repetition code.
two-tables      | SINGLE | 0 | 5184 | X = E + 1: the second table block has one entry.
table-full      | SINGLE | 0 | 4752 | X = E: one full table block.
lag-1           | TINY   | 1 | 4085 | Copy B stands a lag of blocks behind copy A; with a lag of N or more the order is that of lag 0.
lag-2           | TINY   | 2 | 4085 | Copy B stands a lag of blocks behind copy A; with a lag of N or more the order is that of lag 0.
lag-3           | TINY   | 3 | 4085 | Copy B stands a lag of blocks behind copy A; with a lag of N or more the order is that of lag 0.
lag-100         | TINY | 100 | 4085 | Copy B stands a lag of blocks behind copy A; with a lag of N or more the order is that of lag 0.
lag-coded       | CODED  | 2 | 5440 | A lag with coded copies.
profile-standard      | standard | 0 | 1000 | The profile `standard`.
profile-coded         | coded    | 0 | 1000 | The profile `coded`.
profile-light         | light    | 0 | 1000 | The profile `light`.
profile-standard-full | standard | 0 | 103440 | A full block of `standard`, 223 data sectors.
profile-coded-full    | coded    | 0 | 55184 | A full block of `coded`, 119 data sectors.
profile-light-full    | light    | 0 | 103441 | A full block of `light` and one byte.
";

/// A geometry by its name, or by its numbers: sector size as a power of two, K, M_A, M_B, copy B.
fn geometry(name: &str) -> Geo {
    match name {
        "TINY" => TINY,
        "CODED" => TINY_CODED,
        "LIGHT" => TINY_LIGHT,
        "SINGLE" => SINGLE,
        "standard" => STANDARD,
        "coded" => CODED,
        "light" => LIGHT,
        numbers => {
            let numbers: Vec<u8> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
            let [shift, k, ma, mb, copy_b] = numbers[..].try_into().unwrap();
            Geo {
                shift,
                k,
                ma,
                mb,
                copy_b,
            }
        }
    }
}

pub fn add(set: &mut Set) {
    for [name, geo, lag, len, comment] in table(WHOLE) {
        let payload = painted(len.parse().unwrap());
        let lag = lag.parse().unwrap();
        whole(set, name, comment, geometry(geo), lag, &payload);
    }
    whole(set, "one-byte", "The smallest payload.", TINY, 0, b"A");
    let comment = "A payload of zeros: sealed, so no sector is zero.";
    whole(set, "zeros", comment, TINY, 0, &vec![0; 2 * TINY.c()]);
    for (name, numbers) in [
        ("sectors-1024", "10 2 1 1 1"),
        ("sectors-2048", "11 2 1 1 2"),
        ("sectors-4096", "12 2 1 1 1"),
        ("sectors-8192", "13 1 1 0 0"),
    ] {
        let comment =
            "Larger sectors: the record of the header page is 768 bytes, zeros behind it.";
        let payload = b"larger sectors";
        whole(set, name, comment, geometry(numbers), 0, payload);
    }
    let comment = "The largest sectors, and no payload.";
    whole(
        set,
        "sectors-65536",
        comment,
        geometry("16 1 1 0 0"),
        0,
        b"",
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
    for (name, comment, t, m, p) in [
        ("argon2-lanes", "t = 3, m = 64 KiB, p = 4.", 3, 64, 4),
        (
            "slot-costs-most",
            "64 passes and 64 lanes: as many as a reader's limits allow.",
            64,
            512,
            64,
        ),
    ] {
        let costs = Slot {
            t,
            m,
            p,
            ..Slot::cheap(PASSPHRASE, 0)
        };
        with(name, comment, PASSPHRASE, &[costs], &|_| {});
    }
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
    let mut forge = Forge::new(TINY);
    let mut nothing = vec![0; 84];
    nothing[0] = 2;
    forge.slots.push(nothing);
    forge.payload(&payload);
    forge.finish();
    set.container(
        "open/slot-type-unknown-zeros.vec",
        "What stands in a key slot of an unknown type is not judged: zeros where type 1 has its costs.",
        &Expect::clean(),
        &forge,
        &payload,
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
    mixed.extend(noise(TINY.c() + 9));
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
    forge.finish_with(&manifest.to_bytes());
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
    forge.finish_with(&manifest.to_bytes());
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
    forge.finish_with(&longer);
    finish(
        set,
        "manifest-unknown-key",
        "The manifest has a key 30 with an array: ignored.",
        &forge,
        &payload,
    );

    // 100 arrays within each other; an array of indefinite length with 1.0, a tagged 0, null and -1; a map.
    let nested = [&[0x18, 30], &[0x81; 99][..], &[0x80]].concat();
    let mixed = [
        0x18, 31, 0x9f, 0xf9, 0x3c, 0x00, 0xc1, 0x00, 0xf6, 0x20, 0xff,
    ];
    let map = [0x18, 32, 0xa1, 0x61, b'x', 0x02];
    let mut highest = vec![0x1b];
    highest.extend([0xff; 8]);
    highest.push(0x00);
    let unknown = [&nested[..], &mixed, &map, &highest].concat();
    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    let mut longer = forge.manifest().to_bytes();
    longer[0] += 4;
    longer.extend_from_slice(&unknown);
    forge.finish_with(&longer);
    finish(
        set,
        "manifest-unknown-values",
        "Unknown keys, the highest of them 2^64 - 1, with values of every kind: ignored.",
        &forge,
        &payload,
    );

    // Strings of indefinite length, 100, simple value 255, a map and an array of indefinite length.
    let unknown = unhex("181e865f41004101ff7f61616162ff1864f8ffbf0102ff9fff").unwrap();
    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    let mut longer = forge.manifest().to_bytes();
    longer[0] += 1;
    longer.extend_from_slice(&unknown);
    forge.finish_with(&longer);
    finish(
        set,
        "manifest-unknown-indefinite",
        "The manifest has a key 30 with strings, a map and an array of indefinite length: ignored.",
        &forge,
        &payload,
    );

    let (stream, mut entries) = tar(1);
    entries[0].mode = 1 << 40 | 0o644;
    let mut entry = entries[0].to_bytes();
    entry[0] += 1;
    entry.extend([0x18, 99, 0x9f, 0xff]);
    let mut forge = Forge::new(Geo { k: 12, ..TINY });
    forge.media_type = "application/x-tar".into();
    forge.payload(&stream);
    let mut manifest = forge.manifest();
    (manifest.index, manifest.entries) = (entry, 1);
    forge.finish_with(&manifest.to_bytes());
    finish(
        set,
        "tar-index-unknown",
        "An entry with an unknown key, and with a mode of which only the low 12 bits are used.",
        &forge,
        &stream,
    );
    set.with("open/tar-index-unknown.vec", "entries", "1");

    let mut forge = Forge::new(TINY);
    forge.payload(&payload);
    let mut manifest = forge.manifest();
    manifest.created = -1_000_000;
    manifest.producer = String::new();
    forge.finish_with(&manifest.to_bytes());
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
