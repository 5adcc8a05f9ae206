//! Damage of every kind, and crafted files: the right bytes or an error, no panic, no hang.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod legacy;

use std::sync::Arc;
use std::time::Duration;

use dbs::{Limits, Passphrase, Status, v1, v2};
use legacy::{spent, write_v1, write_v2};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = Random(0x1234_5678_9ABC_DEF1);
    (0..len).map(|_| random.next().to_le_bytes()[3]).collect()
}

fn file_v1(payload: &[u8], block_size: usize, nsym: usize) -> Vec<u8> {
    write_v1(payload, "p", (block_size, nsym), false, None)
}

fn file_v2(payload: &[u8], block_size: usize, nsym: usize, interleave: u64) -> Vec<u8> {
    let geometry = v2::Geometry {
        block_size,
        nsym,
        interleave,
    };
    write_v2(payload, "p", geometry, false, None)
}

/// Reads whatever it is; checks that nothing wrong comes out, and that the findings agree.
fn check(file: Vec<u8>, payload: &[u8], original: &[u8], what: &str) -> bool {
    let source = Arc::new(file);
    let passphrase = Passphrase::new("p");
    let mut read = Vec::new();
    let mut salvaged = Vec::new();
    let mut repaired = Vec::new();
    let opened = v2::Container::open(source.clone(), Limits::default());
    let (result, status, fixed) = if let Ok(Some(container)) = opened {
        let Ok(unlocked) = container.unlock(&passphrase) else {
            return false;
        };
        let result = unlocked.copy_to(&mut read);
        unlocked.salvage_to(&mut salvaged).unwrap();
        let status = container.validate(Some(&passphrase)).map(|r| r.status());
        let fixed = container.repair(Some(&passphrase), &mut repaired);
        (result, status, fixed)
    } else {
        let Ok(Some(container)) = v1::Container::open(source, Limits::default()) else {
            return false;
        };
        let Ok(unlocked) = container.unlock(&passphrase) else {
            return false;
        };
        let result = unlocked.copy_to(&mut read);
        unlocked.salvage_to(&mut salvaged).unwrap();
        let status = container.validate(Some(&passphrase)).map(|r| r.status());
        let fixed = container.repair(None, &mut repaired);
        (result, status, fixed)
    };
    assert!(
        read.len() <= payload.len() && payload.starts_with(&read),
        "{what}: wrong bytes"
    );
    let whole = result.is_ok();
    if whole {
        assert!(read == payload, "{what}: too few bytes");
        assert!(salvaged == payload, "{what}: salvage");
        assert_ne!(status.ok(), Some(Status::Unrecoverable), "{what}");
        assert!(fixed.is_ok(), "{what}: repair: {fixed:?}");
        assert!(repaired == original, "{what}: repair gives another file");
    }
    whole
}

fn damage(file: &mut Vec<u8>, random: &mut Random) -> String {
    let at = random.below(file.len());
    let len = 1 + random.below(600);
    let end = (at + len).min(file.len());
    match random.below(7) {
        0 => file[at..end].fill(0),
        1 => file[at..end].fill(0xFF),
        2 => (0..1 + len / 20).for_each(|_| {
            let p = random.below(file.len());
            file[p] ^= 1 << random.below(8);
        }),
        3 => drop(file.drain(at..(at + len % 5 + 1).min(end))),
        4 => drop(file.splice(at..at, noise(len % 7))),
        5 => file.truncate(file.len() - random.below(file.len() / 4)),
        _ => file[at..end].iter_mut().for_each(|b| *b ^= 0xA5),
    }
    format!("at {at} length {len}")
}

#[test]
fn random_damage_gives_the_right_bytes_or_an_error() {
    let payload = noise(6000);
    let files = [
        file_v1(&payload, 1000, 16),
        file_v1(&payload, 700, 7),
        file_v2(&payload, 1000, 16, 2),
        file_v2(&payload, 600, 8, 64),
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut whole = 0;
    for round in 0..60 {
        for (i, original) in files.iter().enumerate() {
            let mut file = original.clone();
            let mut what = format!("file {i} round {round}");
            for _ in 0..=random.below(3) {
                what = format!("{what}, {}", damage(&mut file, &mut random));
            }
            whole += usize::from(check(file, &payload, original, &what));
        }
    }
    // Not an oracle, but if healing breaks, this falls.
    assert!(whole > 120, "{whole} of 240 healed");
}

#[test]
fn one_copy_is_enough() {
    let payload = noise(5000);
    let original = file_v2(&payload, 600, 8, 3);
    let slot = (original.len() - 504) / 18;
    assert_eq!(original.len(), 504 + 18 * slot);
    // All of copy A, then all of copy B, by the formula of the specification.
    for copy in 0..2 {
        let mut file = original.clone();
        for i in 0..9 {
            let a = if i < 3 { i } else { 2 * i - 3 };
            let b = i + (i + 4).min(9);
            let at = 152 + slot * if copy == 0 { a } else { b };
            file[at..at + slot].fill(0x11);
        }
        assert!(check(file, &payload, &original, "one copy"));
    }
    let original = file_v1(&payload, 600, 8);
    let copy = (original.len() - 128) / 2;
    for at in [
        original.len() - 64 - 2 * 5300,
        original.len() - 64 - copy / 3,
    ] {
        let mut file = original.clone();
        let end = (at + 2500).min(file.len());
        file[at..end].fill(0x22);
        assert!(check(file, &payload, &original, "a burst"));
    }
}

/// Makes the checksum right that the last 16 bytes of a header or trailer of version 2 are.
fn seal(record: &mut [u8], person: &[u8]) {
    let (sealed, sum) = record.split_at_mut(record.len() - 16);
    let mut params = blake2b_simd::Params::new();
    params.hash_length(16).personal(person);
    sum.copy_from_slice(params.hash(sealed).as_bytes());
}

/// Makes both trailers say that there are so many blocks of this capacity.
fn state_blocks(file: &mut [u8], blocks: u64, capacity: u64) {
    let end = file.len() - 152;
    for at in [end - 200, end - 100] {
        let trailer = &mut file[at..at + 100];
        let last = u64::from(u32::from_be_bytes(trailer[44..48].try_into().unwrap()));
        let bytes = (blocks - 1) * capacity + last - 16;
        trailer[28..36].copy_from_slice(&blocks.to_be_bytes());
        trailer[36..44].copy_from_slice(&bytes.to_be_bytes());
        seal(trailer, b"dbs/v2-trailer");
    }
}

#[test]
fn crafted_files_cost_little() {
    let began = spent();
    let payload = noise(3000);
    // A trailer, sealed, that says 2^32 - 1 blocks.
    let mut file = file_v2(&payload, 512, 2, 1);
    state_blocks(&mut file, (1 << 32) - 1, 480);
    assert!(!check(file, &payload, &[], "a trailer"));
    // Headers, sealed, that say blocks of 16 MiB, and a trailer with many of them.
    let mut file = file_v2(&payload, 512, 2, 1);
    let end = file.len() - 152;
    for at in [0, end] {
        file[at + 16..at + 20].copy_from_slice(&(16_u32 << 20).to_be_bytes());
        seal(&mut file[at..at + 152], b"dbs/sealed-head");
    }
    state_blocks(&mut file, 500, (16 << 20) - 32);
    assert!(!check(file, &payload, &[], "large blocks"));
    // Rows whose sum is zero wherever one looks, behind the metadata.
    let mut file = file_v1(&noise(200_000), 4096, 16);
    let start = file.len() - 300_000;
    let pattern = [1, 2, 4, 8, 15];
    for (i, byte) in file[start..].iter_mut().enumerate() {
        *byte = pattern[i % 5];
    }
    check(file, &payload, &[], "a pattern");
    // Nothing but magics and descriptors.
    let mut file = file_v2(&payload, 512, 2, 1);
    for piece in file[152..].chunks_mut(16) {
        let descriptor = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 240, 0, 0, 0, 0];
        piece.copy_from_slice(&descriptor[..piece.len()]);
    }
    check(file, &payload, &[], "descriptors");
    check(b"DBSCON01".repeat(10_000), &payload, &[], "magics");
    check(Vec::new(), &payload, &[], "nothing");
    for len in 0..200 {
        check(vec![0; len], &payload, &[], "zeros");
        check(
            file_v2(&[], 512, 2, 1)[..len].to_vec(),
            &payload,
            &[],
            "a beginning",
        );
    }
    let cost = spent() - began;
    assert!(cost < Duration::from_secs(60), "{cost:?}");
}

#[test]
fn a_shifted_file_takes_seconds() {
    let payload = noise(8 << 20);
    let began = spent();
    let original = file_v1(&payload, 65_536, 16);
    let mut file = original.clone();
    file.remove(3 << 20);
    file.insert(12 << 20, 7);
    assert!(check(file, &payload, &original, "version 1"));
    let original = file_v2(&payload, 65_536, 16, 64);
    let mut file = original.clone();
    file.remove(1 << 20);
    file.remove(14 << 20);
    assert!(check(file, &payload, &original, "version 2"));
    let cost = spent() - began;
    assert!(cost < Duration::from_secs(60), "{cost:?}");
}
