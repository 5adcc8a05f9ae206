//! One flipped bit in the smallest real backup, for every bit: validate says so and that it can be healed,
//! the payload comes back, and repair gives the file, bit for bit.
//!
//! `cargo test --release --test v3_bits -- --ignored` tries every bit of all profiles;
//! `BIT_STRIDE=7` every seventh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use common::{options, passphrase, write};
use dbs::{Archive, OpenOptions, Profile, Status, Unlocked};

const PAYLOAD: &[u8] = b"a small backup";

fn open(file: Vec<u8>) -> Archive {
    let mut options = OpenOptions::default();
    options.threads = 1;
    Archive::open_with(vec![Arc::new(file)], options).unwrap()
}

fn flip(file: &[u8], bit: usize) {
    let mut damaged = file.to_vec();
    damaged[bit / 8] ^= 1 << (bit % 8);
    let archive = open(damaged);
    let report = archive.validate(None).unwrap();
    assert_eq!(
        report.status(),
        Status::Recoverable,
        "bit {bit}: {report:?}"
    );
    let unlocked = archive.unlock(&passphrase()).and_then(Unlocked::into_v3);
    let payload = unlocked.unwrap_or_else(|e| panic!("bit {bit}: {e}"));
    assert_eq!(
        payload.read_range(0..payload.len()).unwrap(),
        PAYLOAD,
        "bit {bit}"
    );
    let mut repaired = Cursor::new(Vec::new());
    archive.repair(None, &mut repaired).unwrap();
    assert!(repaired.into_inner() == file, "bit {bit}");
}

/// Every `stride`th bit, on two threads; says how many there were.
fn bits(profile: Profile, stride: usize) -> usize {
    let file = write(PAYLOAD, options(profile));
    let count = (file.len() * 8).div_ceil(stride);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    flip(&file, n * stride);
                }
            });
        }
    });
    count
}

#[test]
fn some_bits_of_the_smallest_backup() {
    for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
        let file = write(PAYLOAD, options(profile));
        assert_eq!(open(file).validate(None).unwrap().status(), Status::Clean);
        assert!(bits(profile, 4999) > 20);
    }
}

#[test]
#[ignore = "some hundred thousand files; run in release"]
fn every_bit_of_the_smallest_backup() {
    let stride = std::env::var("BIT_STRIDE").map_or(1, |n| n.parse().unwrap());
    for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
        let start = Instant::now();
        let count = bits(profile, stride);
        println!("{profile:?}: {count} bits, {:.0?}", start.elapsed());
    }
}
