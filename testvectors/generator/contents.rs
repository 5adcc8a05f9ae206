//! Blocks and manifests that are authentic and not what a writer makes.

use super::damage::noise;
use super::forge::*;
use super::open::tar;
use super::pages::change;
use super::refuse::SMALL;
use super::{Expect, Set, table};

pub fn add(set: &mut Set) {
    headers(set);
    frames(set);
    lengths(set);
    checksum(set);
    manifests(set);
}

/// A small archive made of these plaintexts.
fn plaintexts(set: &mut Set, name: &str, comment: &str, payload_len: u64, plaintexts: &[Vec<u8>]) {
    let mut forge = Forge::new(SMALL);
    forge.payload_len = payload_len;
    for plaintext in plaintexts {
        forge.push(0, plaintext.clone());
    }
    forge.finish();
    let path = format!("refuse/unsupported-{name}.vec");
    set.container(&path, comment, &Expect::sealed("unsupported"), &forge, b"");
}

/// Names, changes to the plaintext of a block with 300 bytes, comments.
const HEADERS: &str = "
codec             | 0=02       | Codec 2.
codec-255         | 0=ff       | Codec 255.
sealed-reserved-1 | 1=01       | A reserved byte of a sealed block's header is not zero.
sealed-reserved-2 | 2=01       | A reserved byte of a sealed block's header is not zero.
sealed-reserved-3 | 3=01       | A reserved byte of a sealed block's header is not zero.
padding           | 447=01     | The last byte of a sealed block's padding is not zero.
padding-first     | 316=01     | The first byte of the padding is not zero.
stored-length     | 4=88130000 | The stored length is larger than the block.
stored-length-highest | 4=ffffffff | The stored length is 2^32 - 1.
raw-length        | 8^01       | Codec 0 with a raw length that is not the stored length.
";

fn headers(set: &mut Set) {
    let raw = painted(300);
    let good = plain(&SMALL, 0, &raw, &raw);
    for [name, changes, comment] in table(HEADERS) {
        let mut plaintext = good.clone();
        change(&mut plaintext, changes);
        plaintexts(set, name, comment, 300, &[plaintext]);
    }
    let mut longer = good;
    longer.resize(2 * 464 - 16, 0);
    let comment = "Two data sectors where one would do.";
    plaintexts(set, "not-smallest", comment, 300, &[longer]);
}

fn frames(set: &mut Set) {
    let raw = painted(300);
    let long = b"abc".repeat(400);
    let frame = zstd::bulk::compress(&long, 3).unwrap();
    let million = vec![0; 1 << 20];
    let bomb = zstd::bulk::compress(&million, 19).unwrap();
    // The checksum is that of the bytes that the frame gives.
    let mut short = plain(&SMALL, 1, &frame, &[&long[..], b"x"].concat());
    short[12..16].copy_from_slice(&crc32fast::hash(&long).to_le_bytes());
    for (name, comment, payload_len, plaintext) in [
        (
            "short",
            "A frame that gives fewer bytes than the raw length.",
            1201,
            short,
        ),
        (
            "long",
            "A frame that gives more bytes than the raw length.",
            1199,
            plain(&SMALL, 1, &frame, &long[..1199]),
        ),
        (
            "broken",
            "Bytes that are no frame.",
            300,
            plain(&SMALL, 1, &noise(100), &raw),
        ),
        (
            "codec-2",
            "Codec 2, and what is stored is a frame that decompresses as it should.",
            1200,
            {
                let mut plain = plain(&SMALL, 1, &frame, &long);
                plain[0] = 2;
                plain
            },
        ),
        (
            "bomb",
            "A frame of 1 MiB that says so: the raw length is above C.",
            SMALL.c() as u64,
            plain(&SMALL, 1, &bomb, &million),
        ),
        (
            "bomb-hidden",
            "A frame of 1 MiB behind a raw length of 300.",
            300,
            plain(&SMALL, 1, &bomb, &raw),
        ),
    ] {
        let name = format!("zstd-{name}");
        plaintexts(set, &name, comment, payload_len, &[plaintext]);
    }
}

fn lengths(set: &mut Set) {
    let (raw, full) = (painted(300), painted(SMALL.c()));
    let good = plain(&SMALL, 0, &raw, &raw);
    let short = plain(&SMALL, 0, &full[1..], &full[1..]);
    let two = [short, plain(&SMALL, 0, &full, &full)];
    let comment = "A data block that is not the last holds C - 1 bytes.";
    plaintexts(set, "short-middle", comment, 2 * SMALL.c() as u64, &two);
    let comment = "The last block holds one byte less than the payload length says.";
    plaintexts(set, "short-last", comment, 301, std::slice::from_ref(&good));
    let comment = "The last block holds one byte more than the payload length says.";
    plaintexts(set, "long-last", comment, 299, &[good]);
}

fn checksum(set: &mut Set) {
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

type Rewritten = fn(Manifest) -> Vec<u8>;

/// Names, comments, and the bytes of the manifest. The map begins with its head; every key from 1 to 8 is one byte.
const MANIFESTS: [(&str, &str, Rewritten); 33] = [
    ("negative-key", "A negative key is critical.", |m| {
        longer(&m, &[0x20, 0x00], &[])
    }),
    ("indefinite", "A map of indefinite length.", |m| {
        [&[0xbf], &m.to_bytes()[1..], &[0xff]].concat()
    }),
    ("array", "An array of the same items.", |m| {
        let mut bytes = m.to_bytes();
        bytes[0] ^= 0x20;
        bytes
    }),
    ("order", "Keys 7 and 8 in the wrong order.", |m| {
        let mut bytes = m.to_bytes();
        // Key 7 with its 34 bytes of value, then key 8 with one.
        let at = bytes.len() - 2 - 35;
        bytes[at..].rotate_right(2);
        bytes
    }),
    ("twice", "Key 8 stands there twice.", |m| {
        longer(&m, &[], &[8, 0])
    }),
    ("missing", "Key 8 is missing.", |m| {
        let bytes = m.to_bytes();
        [&[bytes[0] - 1], &bytes[1..bytes.len() - 2]].concat()
    }),
    ("trailing", "A byte follows the map.", |m| {
        [m.to_bytes(), vec![0]].concat()
    }),
    ("cut", "The map ends too early.", |m| {
        let mut bytes = m.to_bytes();
        bytes.pop();
        bytes
    }),
    ("empty", "An empty map.", |_| vec![0xa0]),
    ("nothing", "No bytes.", |_| Vec::new()),
    ("type", "The media type is a byte string.", |m| {
        let mut bytes = m.to_bytes();
        bytes[2] ^= 0x20;
        bytes
    }),
    ("utf8", "The media type is not UTF-8.", |m| {
        let mut bytes = m.to_bytes();
        bytes[5] = 0xff;
        bytes
    }),
    ("root-length", "The table root has 31 bytes.", |mut m| {
        m.root.pop();
        m.to_bytes()
    }),
    (
        "blocks",
        "D is not what the payload length demands.",
        |mut m| {
            m.payload_len = 2000;
            m.to_bytes()
        },
    ),
    ("index-blocks-highest", "I is 2^32.", |mut m| {
        m.i = 1 << 32;
        m.to_bytes()
    }),
    ("length-highest", "A payload of 2^64 - 1 bytes.", |mut m| {
        m.payload_len = u64::MAX;
        m.to_bytes()
    }),
    (
        "index-of-stream",
        "An index, and the media type is not that of a tar stream.",
        |mut m| {
            m.entries = 1;
            m.index = tar(1).1[0].to_bytes();
            m.to_bytes()
        },
    ),
    (
        "nested",
        "Key 30 holds 300 arrays within each other.",
        |m| longer(&m, &[], &[&[0x18, 30], &[0x81; 300][..]].concat()),
    ),
    ("text-key", "A key that is a text string.", |m| {
        longer(&m, &[], &[0x61, b'x', 0x00])
    }),
    ("break", "A break in the place of a value.", |m| {
        longer(&m, &[], &[0x18, 30, 0xff])
    }),
    (
        "reserved-head",
        "A value that begins with the reserved byte 0x1c.",
        |m| longer(&m, &[], &[0x18, 30, 0x1c]),
    ),
    (
        "indefinite-string",
        "The producer is a text string of indefinite length.",
        |m| instead(&m, b"\x02\x67vectors", b"\x02\x7f\x63vec\x64tors\xff"),
    ),
    ("producer-bytes", "The producer is a byte string.", |m| {
        instead(&m, b"\x02\x67vectors", b"\x02\x47vectors")
    }),
    (
        "created-text",
        "The time of creation is a text string.",
        |m| instead(&m, &CREATED, &[0x03, 0x61, b'x']),
    ),
    ("created-beyond", "The time of creation is 2^63.", |m| {
        instead(&m, &CREATED, &[0x03, 0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0])
    }),
    ("created-float", "The time of creation is a float.", |m| {
        instead(&m, &CREATED, &[0x03, 0xf9, 0x3c, 0x00])
    }),
    (
        "created-tagged",
        "The time of creation is tagged as a time.",
        |m| instead(&m, &CREATED, &[0x03, 0xc1, 0x1a, 0x65, 0x53, 0xf1, 0x00]),
    ),
    ("length-negative", "The payload length is -1.", |m| {
        instead(&m, &[0x04, 0x19, 0x01, 0x2c], &[0x04, 0x20])
    }),
    (
        "entries-of-nothing",
        "One entry is stated, and there is no index.",
        |mut m| {
            m.media_type = "application/x-tar".into();
            m.entries = 1;
            m.to_bytes()
        },
    ),
    (
        "index-empty",
        "Key 9 holds no bytes, and no entry is stated.",
        |mut m| {
            m.media_type = "application/x-tar".into();
            longer(&m, &[], &[9, 0x40])
        },
    ),
    ("index-text", "The index is a text string.", |mut m| {
        m.media_type = "application/x-tar".into();
        m.entries = 1;
        longer(&m, &[], &[9, 0x61, b'x'])
    }),
    (
        "entries-of-stream",
        "One entry of a stream is stated, and there is no index.",
        |mut m| {
            m.entries = 1;
            m.to_bytes()
        },
    ),
    (
        "data-blocks",
        "D and I of the manifest are not those of the table.",
        |mut m| {
            m.d = 2;
            m.payload_len = 2000;
            m.to_bytes()
        },
    ),
];

/// Names, values of key 30, which nobody knows, comments: a reader ignores it if it is well-formed.
const UNKNOWN: &str = "
break-in-array   | 8200ff         | A break in an array of two items.
odd-map          | bf01ff         | A map of indefinite length with a key and no value.
endless-integer  | 1f             | An integer of indefinite length.
reserved-string  | 5c4100ff       | A byte string whose head is reserved.
string-of-text   | 5f6178ff       | A byte string of indefinite length with a piece of text.
string-in-string | 5f5f4100ffff   | A string of indefinite length within another one.
nested-utf8      | 8161ff         | An array with a text string that is not UTF-8.
simple           | f810           | The simple value 16 in two bytes.
";

/// The manifest with other bytes in the place of the head of a key and its value.
fn instead(manifest: &Manifest, pair: &[u8], other: &[u8]) -> Vec<u8> {
    let bytes = manifest.to_bytes();
    let at = bytes.windows(pair.len()).position(|w| w == pair).unwrap();
    [&bytes[..at], other, &bytes[at + pair.len()..]].concat()
}

/// Key 3 and 1700000000, which every manifest here has.
const CREATED: [u8; 6] = [0x03, 0x1a, 0x65, 0x53, 0xf1, 0x00];

/// The manifest with one more pair, before the others or behind them.
fn longer(manifest: &Manifest, before: &[u8], behind: &[u8]) -> Vec<u8> {
    let bytes = manifest.to_bytes();
    [&[bytes[0] + 1], before, &bytes[1..], behind].concat()
}

/// A small archive with the manifest that these bytes are.
fn manifest(
    set: &mut Set,
    name: &str,
    comment: &str,
    class: &'static str,
    bytes: impl Fn(Manifest) -> Vec<u8>,
) {
    let mut forge = Forge::new(SMALL);
    forge.payload(&painted(300));
    let raw = bytes(forge.manifest());
    forge.finish_with(&raw);
    let path = format!("refuse/{name}.vec");
    set.container(&path, comment, &Expect::sealed(class), &forge, b"");
}

fn manifests(set: &mut Set) {
    for (name, comment, bytes) in MANIFESTS {
        let name = format!("unsupported-manifest-{name}");
        manifest(set, &name, comment, "unsupported", bytes);
    }
    for [name, value, comment] in table(UNKNOWN) {
        let name = format!("unsupported-manifest-{name}");
        let pair = [vec![0x18, 30], unhex(value).unwrap()].concat();
        manifest(set, &name, comment, "unsupported", |m| {
            longer(&m, &[], &pair)
        });
    }
    numbers(set);
    manifest(
        set,
        "authentication-table-root",
        "The table is not the one whose root stands in the manifest.",
        "authentication",
        |mut m| {
            m.root[0] ^= 1;
            m.to_bytes()
        },
    );
    // A reader may go on without the table (17.1).
    set.without("refuse/authentication-table-root.vec", "expect");
}

/// Blocks that nothing but the numbers of the manifest rules out.
fn numbers(set: &mut Set) {
    let empty = plain(&SMALL, 0, b"", b"");
    let comment = "A data block without a byte: D is 1 where the payload length demands 0.";
    plaintexts(set, "empty-block", comment, 0, &[empty]);
    let full = painted(SMALL.c());
    let mut forge = Forge::new(SMALL);
    forge.payload(&full);
    let manifest = forge.manifest();
    forge.push(0, plain(&SMALL, 0, &full, &full));
    forge.finish_with(&manifest.to_bytes());
    set.container(
        "refuse/unsupported-manifest-number.vec",
        "The manifest is right for one data block, and there are two: it is block 2, and D + I is 1.",
        &Expect::sealed("unsupported"),
        &forge,
        b"",
    );
}
