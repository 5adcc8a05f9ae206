//! Indexes that are authentic and not what a writer makes.

use super::forge::*;
use super::open::tar;
use super::refuse::SMALL;
use super::{Expect, Set, table};

/// Changes the two entries of an index.
type Reentered = fn(&mut [IndexEntry]);

const ENTRIES: [(&str, &str, Reentered); 6] = [
    ("type", "An entry of type 5.", |e| e[1].kind = 5),
    ("nanoseconds", "10^9 nanoseconds.", |e| {
        e[1].nanos = 1_000_000_000;
    }),
    ("beyond", "An entry that ends behind the payload.", |e| {
        e[1].length = 1 << 40;
    }),
    ("overflow", "Offset plus length is above 2^64.", |e| {
        (e[1].offset, e[1].length) = (512, u64::MAX);
    }),
    ("order", "Offsets do not ascend.", |e| e.swap(0, 1)),
    ("same-offset", "Two entries at one place.", |e| {
        e[1].offset = e[0].offset;
    }),
];

/// Makes the bytes of an index, and the number of entries that the manifest states.
type Indexed = fn(&[IndexEntry]) -> (Vec<u8>, u64);

const INDEXES: [(&str, &str, Indexed); 5] = [
    ("count", "Fewer entries than the manifest says.", |e| {
        (whole(&e[..1]), 2)
    }),
    ("missing", "An entry without a mode.", |e| {
        let bytes = e[0].to_bytes();
        // Key 6 with a value of three bytes stands before keys 7 and 8.
        let mode = [6, 0x19, 0x01, 0xa4];
        let at = bytes.windows(4).position(|w| w == mode).unwrap();
        let rest = [&bytes[1..at], &bytes[at + 4..]].concat();
        ([&[bytes[0] - 1], &rest[..]].concat(), 1)
    }),
    ("negative-key", "An entry with a negative key.", |e| {
        let bytes = e[0].to_bytes();
        ([&[bytes[0] + 1, 0x21, 0x00], &bytes[1..]].concat(), 1)
    }),
    ("not-cbor", "Bytes that are not CBOR.", |_| {
        (vec![0xff; 9], 1)
    }),
    ("cut", "The last entry is cut off.", |e| {
        let mut bytes = whole(e);
        bytes.pop();
        (bytes, 2)
    }),
];

/// Names, keys, how the pairs begin (behind the one before), what stands there instead, comments. The entry is
/// that of a file of 100 bytes at offset 0.
const PAIRS: &str = "
missing-path   | 01 46 66696c652d30 |          | An entry without a path.
missing-type   | 02 00         |               | An entry without a type.
missing-size   | 03 1864       |               | An entry without a size.
missing-mtime  | 04 1a5f5e1000 |               | An entry without a time.
missing-offset | 07 00         |               | An entry without an offset.
missing-length | 08 190400     |               | An entry without a length.
path-text      | 01 46 66696c652d30 | 01 66 66696c652d30 | The path is a text string.
type-text      | 02 00         | 02 6130       | The type is a text string.
size-negative  | 03 1864       | 03 20         | The size is -1.
mtime-beyond   | 04 1a5f5e1000 | 04 3b8000000000000000 | The time is -2^63 - 1.
nanoseconds-text | 06 1901a4   | 05 6130 06 1901a4 | The nanoseconds are a text string.
mode-negative  | 06 1901a4     | 06 20         | The mode is -1.
offset-negative | 07 00        | 07 20         | The offset is -1.
length-text    | 08 190400     | 08 6130       | The length is a text string.
target-text    | 08 190400     | 08 190400 09 6130 | The target is a text string.
target-cut     | 08 190400     | 08 190400 09 4361 | The target has three bytes, and the index ends behind the first.
";

/// The bytes of an entry with one pair more, less, or another one.
fn paired(entry: &IndexEntry, pair: &str, other: &str) -> Vec<u8> {
    let bytes = |text: &str| unhex(&text.replace(' ', "")).unwrap();
    let (pair, other, mut entry) = (bytes(pair), bytes(other), entry.to_bytes());
    let at = entry.windows(pair.len()).position(|w| w == pair).unwrap();
    if other.is_empty() {
        entry[0] -= 1;
    } else if other.len() > pair.len() && (other.starts_with(&pair) || other.ends_with(&pair)) {
        entry[0] += 1;
    }
    [&entry[..at], &other, &entry[at + pair.len()..]].concat()
}

fn whole(entries: &[IndexEntry]) -> Vec<u8> {
    entries.iter().flat_map(IndexEntry::to_bytes).collect()
}

pub fn add(set: &mut Set) {
    let (stream, entries) = tar(2);
    let mut with = |name: &str, comment: &str, (index, count): (Vec<u8>, u64)| {
        let mut forge = Forge::new(Geo { k: 8, ..SMALL });
        forge.media_type = "application/x-tar".into();
        forge.payload(&stream);
        let mut manifest = forge.manifest();
        (manifest.index, manifest.entries) = (index, count);
        forge.finish_with(&manifest.to_bytes());
        let path = format!("refuse/unsupported-index-{name}.vec");
        let expect = Expect::sealed("unsupported");
        set.container(&path, comment, &expect, &forge, b"");
        // What the payload is does not hang upon the index.
        set.without(&path, "expect");
        set.with(&path, "entries", "unsupported");
    };
    for (name, comment, change) in ENTRIES {
        let mut entries = entries.clone();
        change(&mut entries);
        with(name, comment, (whole(&entries), 2));
    }
    for (name, comment, bytes) in INDEXES {
        with(name, comment, bytes(&entries));
    }
    for [name, pair, other, comment] in table(PAIRS) {
        with(name, comment, (paired(&entries[0], pair, other), 1));
    }
    lowest(set, &stream, &entries);
    index_blocks(set);
}

/// What just is allowed: a mode of 0, 0 nanoseconds that are written out, and an entry that ends with the payload.
fn lowest(set: &mut Set, stream: &[u8], entries: &[IndexEntry]) {
    let mut last = entries[1].clone();
    last.length = stream.len() as u64 - last.offset;
    let mut first = paired(&entries[0], "06 1901a4", "05 00 06 00");
    first[0] += 1;
    let mut forge = Forge::new(Geo { k: 8, ..SMALL });
    forge.media_type = "application/x-tar".into();
    forge.payload(stream);
    let mut manifest = forge.manifest();
    (manifest.index, manifest.entries) = ([first, last.to_bytes()].concat(), 2);
    forge.finish_with(&manifest.to_bytes());
    let path = "open/tar-index-lowest.vec";
    let comment = "An index with a mode of 0, 0 nanoseconds that are written out, and an entry that ends with the payload.";
    set.container(path, comment, &Expect::clean(), &forge, stream);
    set.with(path, "entries", "2");
}

/// Archives with an index block, of which one holds what it must not.
fn index_blocks(set: &mut Set) {
    let (stream, entries) = tar(2);
    let index = whole(&entries);
    // As many entries with a long name as are more than a block holds.
    let long = entries[0].clone();
    let many: Vec<IndexEntry> = (0..12)
        .map(|i| IndexEntry {
            path: vec![b'a'; 400],
            offset: i,
            ..long.clone()
        })
        .collect();
    let many = whole(&many);
    let frame = zstd::bulk::compress(&many, 3).unwrap();
    let geo = Geo { k: 8, ..SMALL };
    assert!(many.len() > geo.c());
    for (name, comment, plaintexts, count, inline) in [
        (
            "block-empty",
            "An index block without an entry.",
            vec![plain(&geo, 0, &index, &index), plain(&geo, 0, b"", b"")],
            2,
            false,
        ),
        (
            "block-beyond",
            "The raw bytes of an index block are more than C, in a frame that fits one sector.",
            vec![plain(&geo, 1, &frame, &many)],
            12,
            false,
        ),
        (
            "twice",
            "The index stands in a block and in the manifest.",
            vec![plain(&geo, 0, &index, &index)],
            2,
            true,
        ),
    ] {
        let mut forge = Forge::new(geo);
        forge.media_type = "application/x-tar".into();
        forge.payload(&stream);
        for plaintext in plaintexts {
            forge.push(3, plaintext);
        }
        let mut manifest = forge.manifest();
        manifest.entries = count;
        if inline {
            manifest.index.clone_from(&index);
        }
        forge.finish_with(&manifest.to_bytes());
        let path = format!("refuse/unsupported-index-{name}.vec");
        let expect = Expect::sealed("unsupported");
        set.container(&path, comment, &expect, &forge, b"");
        if !inline {
            set.without(&path, "expect");
            set.with(&path, "entries", "unsupported");
        }
    }
}
