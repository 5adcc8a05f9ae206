//! What we write in versions 1 and 2, we read; and the same twice where nothing is random.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Cursor, Read, Write};
use std::sync::Arc;

use dbs::{Limits, Passphrase, Status, v1, v2};

const KDF: v1::Kdf = v1::Kdf {
    time_cost: 1,
    memory_cost: 8,
    parallelism: 1,
    key_length: 32,
};

/// Bytes that do not compress.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x1234_5678_9ABC_DEF1_u64;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(&x.to_le_bytes());
    }
    out.truncate(len);
    out
}

fn write_v1(payload: &[u8], options: v1::WriterOptions) -> Vec<u8> {
    let passphrase = Passphrase::new("pass");
    let mut writer = v1::Writer::new(Cursor::new(Vec::new()), &passphrase, options).unwrap();
    for piece in payload.chunks(77_777) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn write_v2(payload: &[u8], options: v2::WriterOptions) -> Vec<u8> {
    let passphrase = Passphrase::new("pass");
    let mut writer = v2::Writer::new(Vec::new(), &passphrase, options).unwrap();
    for piece in payload.chunks(77_777) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap()
}

fn check_v1(file: Vec<u8>, payload: &[u8]) {
    let passphrase = Passphrase::new("pass");
    let container = v1::Container::open(Arc::new(file.clone()), Limits::default());
    let container = container.unwrap().unwrap();
    let report = container.validate(Some(&passphrase)).unwrap();
    assert_eq!((report.status(), report.decrypted), (Status::Clean, true));
    let mut read = Vec::new();
    let unlocked = container.unlock(&passphrase).unwrap();
    unlocked.reader().unwrap().read_to_end(&mut read).unwrap();
    assert!(read == payload);
    let mut repaired = Vec::new();
    container.repair(None, &mut repaired).unwrap();
    assert!(repaired == file);
}

fn check_v2(file: Vec<u8>, payload: &[u8]) {
    let passphrase = Passphrase::new("pass");
    let container = v2::Container::open(Arc::new(file.clone()), Limits::default());
    let container = container.unwrap().unwrap();
    let report = container.validate(Some(&passphrase)).unwrap();
    assert_eq!((report.status(), report.decrypted), (Status::Clean, true));
    let mut read = Vec::new();
    let unlocked = container.unlock(&passphrase).unwrap();
    unlocked.reader().unwrap().read_to_end(&mut read).unwrap();
    assert!(read == payload);
    let mut repaired = Vec::new();
    container.repair(None, &mut repaired).unwrap();
    assert!(repaired == file);
}

#[test]
fn version_1_of_all_sizes() {
    for (block_size, nsym) in [(1000, 7), (4096, 16), (512, 64), (300, 254), (65_536, 16)] {
        let block = usize::try_from(block_size).unwrap();
        for len in [
            0,
            1,
            block - 17,
            block - 16,
            block - 15,
            block,
            3 * block + 5,
        ] {
            for compress in [false, true] {
                for known in [false, true] {
                    let payload = noise(len);
                    let options = v1::WriterOptions {
                        block_size,
                        nsym,
                        kdf: KDF,
                        compress,
                        payload_len: known.then_some(len as u64),
                        ..Default::default()
                    };
                    check_v1(write_v1(&payload, options), &payload);
                }
            }
        }
    }
    for key_length in [16, 24] {
        let options = v1::WriterOptions {
            kdf: v1::Kdf { key_length, ..KDF },
            ..Default::default()
        };
        check_v1(write_v1(b"hello", options), b"hello");
    }
}

#[test]
fn version_2_of_all_sizes() {
    for (block_size, nsym, interleave) in
        [(1000, 7, 64), (512, 16, 2), (2048, 128, 1), (4096, 2, 3)]
    {
        let geometry = v2::Geometry {
            block_size,
            nsym,
            interleave,
        };
        let chunk = block_size - 32;
        for len in [0, 1, chunk - 1, chunk, chunk + 1, 9 * chunk, 20 * chunk + 3] {
            for compress in [false, true] {
                let payload = noise(len);
                let options = v2::WriterOptions {
                    geometry,
                    kdf: KDF,
                    compress,
                    fixed: None,
                };
                check_v2(write_v2(&payload, options), &payload);
            }
        }
    }
    // Several zlib streams.
    let mut payload = noise(1_500_000);
    payload.extend_from_slice(&[7; 3_000_000]);
    let options = v2::WriterOptions {
        kdf: KDF,
        ..Default::default()
    };
    check_v2(write_v2(&payload, options), &payload);
}

#[test]
fn parameters_that_the_formats_do_not_have() {
    let passphrase = Passphrase::new("pass");
    let v1 = |options| v1::Writer::new(Cursor::new(Vec::new()), &passphrase, options).is_err();
    let v2 = |options| v2::Writer::new(Vec::new(), &passphrase, options).is_err();
    let kdf = KDF;
    for nsym in [0, 255, 300] {
        assert!(v1(v1::WriterOptions {
            nsym,
            kdf,
            ..Default::default()
        }));
    }
    assert!(v1(v1::WriterOptions {
        block_size: 0,
        kdf,
        ..Default::default()
    }));
    let odd = v1::Kdf {
        key_length: 20,
        ..KDF
    };
    assert!(v1(v1::WriterOptions {
        kdf: odd,
        ..Default::default()
    }));
    let geometry = v2::Geometry::default();
    for geometry in [
        v2::Geometry {
            nsym: 1,
            ..geometry
        },
        v2::Geometry {
            nsym: 129,
            ..geometry
        },
        v2::Geometry {
            block_size: 511,
            ..geometry
        },
        v2::Geometry {
            block_size: (16 << 20) + 1,
            ..geometry
        },
        v2::Geometry {
            interleave: 0,
            ..geometry
        },
        v2::Geometry {
            interleave: 4097,
            ..geometry
        },
        v2::Geometry {
            interleave: 1000,
            ..geometry
        },
    ] {
        assert!(v2(v2::WriterOptions {
            geometry,
            kdf,
            ..Default::default()
        }));
    }
}

/// The length that was said decides where blocks are written first, and nothing else.
#[test]
fn a_payload_of_another_length_than_was_said() {
    let payload = noise(300_000);
    let options = |len| v1::WriterOptions {
        block_size: 1000,
        nsym: 16,
        kdf: KDF,
        compress: false,
        created: "2024-02-29T23:59:59.123456+00:00".into(),
        payload_len: len,
        fixed: Some(v1::Fixed {
            keys: v1::Keys {
                salt: [1; 16],
                data_key: [2; 32],
                key_nonce: [3; 12],
            },
            body_nonce: [4; 12],
        }),
    };
    let right = write_v1(&payload, options(None));
    for said in [0, 1, 983, 984, 985, 100_000, 299_999, 300_000] {
        assert!(write_v1(&payload, options(Some(said))) == right, "{said}");
    }
    let out = Cursor::new(Vec::new());
    let mut writer =
        v1::Writer::new(out, &Passphrase::new("pass"), options(Some(300_001))).unwrap();
    writer.write_all(&payload).unwrap();
    assert!(matches!(writer.finish(), Err(dbs::Error::Misuse(_))));
}
