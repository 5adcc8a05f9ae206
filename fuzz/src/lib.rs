//! The bodies of the fuzz targets: functions, so that `cargo test` keeps them alive.
//!
//! Each asserts a property that `fuzz/README.md` states; none only looks for crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../tests/common/mod.rs"]
#[allow(clippy::should_implement_trait)]
pub mod common;
pub mod damage;
#[path = "../../tests/common/forge/mod.rs"]
pub mod forge;
pub mod heal;
pub mod hostile_tar;
pub mod kernels;
#[path = "../../tests/legacy/mod.rs"]
pub mod legacy;
pub mod legacy_heal;
pub mod legacy_parse;
pub mod legacy_truth;
pub mod manifest;
pub mod memory;
pub mod mutate;
pub mod oracle;
pub mod parse;
pub mod roundtrip;
pub mod split_reads;
pub mod table;
pub mod tar;
pub mod tree;

use std::io::Cursor;
use std::sync::Arc;

use dbs::v3::payload::Payload;
use dbs::{Archive, EntryKind, OpenOptions, Passphrase, Source, Unlocked};

use forge::PASSPHRASE;

/// What the containers of the forge open with.
pub fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE)
}

/// What an entry of the index is, by its number in the text; numbers above go round.
pub fn entry_kind(number: u8) -> EntryKind {
    match number % 5 {
        0 => EntryKind::File,
        1 => EntryKind::Directory,
        2 => EntryKind::Symlink,
        3 => EntryKind::HardLink,
        _ => EntryKind::Other,
    }
}

/// Opens a container with one worker thread.
pub fn open(source: impl Source + 'static) -> dbs::Result<Archive> {
    let mut options = OpenOptions::default();
    options.threads = 1;
    // Argon2 has to stay cheap, whatever a page asks for.
    options.limits.argon2_memory_kib = 1024;
    options.limits.argon2_passes = 4;
    options.limits.argon2_lanes = 4;
    Archive::open_with(vec![Arc::new(source)], options)
}

/// The repaired file, or the error.
pub fn repair(archive: &Archive) -> dbs::Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    archive.repair(None, &mut out)?;
    Ok(out.into_inner())
}

/// The payload, or the error.
pub fn unlock(archive: &Archive) -> dbs::Result<Payload> {
    archive.unlock(&passphrase()).and_then(Unlocked::into_v3)
}

/// What is left of the payload, or the error.
pub fn unlock_for_salvage(archive: &Archive) -> dbs::Result<Payload> {
    let unlocked = archive.unlock_for_salvage(&passphrase());
    unlocked.and_then(Unlocked::into_v3)
}

/// The whole payload, or the error.
pub fn restore(archive: &Archive) -> dbs::Result<Vec<u8>> {
    let payload = unlock(archive)?;
    payload.read_range(0..payload.len())
}

/// The class of an error, to compare two of them.
pub fn class(error: &dbs::Error) -> &'static str {
    match error {
        dbs::Error::Io(_) => "io",
        dbs::Error::NotDbs(_) => "not a .dbs file",
        dbs::Error::Unsupported(_) => "unsupported",
        dbs::Error::Damaged(_) => "damaged",
        dbs::Error::WrongPassphrase { .. } => "wrong passphrase",
        dbs::Error::Authentication(_) => "authentication",
        dbs::Error::Limit { .. } => "limit",
        dbs::Error::Misuse(_) => "misuse",
        _ => "unknown",
    }
}

/// A small generator of random numbers (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Runs a target over its committed seeds, and over some random inputs: `random` times the number in
/// the environment variable `ROUNDS`.
#[cfg(test)]
pub fn smoke(target: &str, random: u64, run: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).expect("seeds") {
        let entry = entry.expect("a seed");
        // Beside them lies what was found and is not kept.
        if entry.file_name().as_encoded_bytes().starts_with(b"seed-") {
            run(&std::fs::read(entry.path()).expect("a seed"));
            seeds += 1;
        }
    }
    assert!(seeds > 0, "no seeds");
    let rounds = std::env::var("ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    for seed in 0..random * rounds {
        let mut generator = Random(seed);
        let len = generator.below(400);
        run(&generator.bytes(len));
    }
}
