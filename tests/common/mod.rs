//! What several tests need: containers that are cheap to make, and ways to damage them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod hex;

use std::io::{Cursor, Write};

use dbs::{Archive, Compression, KdfParams, Passphrase, Profile, Writer, WriterOptions};

/// The passphrase of all test containers.
pub const PASSPHRASE: &str = "correct horse";

/// A small generator of random numbers, so that tests are the same every time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// Flips every bit with the given probability.
    pub fn rot(&mut self, bytes: &mut [u8], rate: f64) {
        let bits = bytes.len() as u64 * 8;
        let mut at = 0u64;
        loop {
            // The distance to the next flipped bit is geometric.
            let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
            at += ((1.0 - uniform).ln() / (1.0 - rate).ln()) as u64;
            if at >= bits {
                return;
            }
            bytes[(at / 8) as usize] ^= 1 << (at % 8);
            at += 1;
        }
    }

    /// Zeroes every run of `size` bytes with the given probability.
    pub fn lose(&mut self, bytes: &mut [u8], size: usize, share: f64) {
        for chunk in bytes.chunks_mut(size) {
            if ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < share {
                chunk.fill(0);
            }
        }
    }
}

pub fn options(profile: Profile) -> WriterOptions {
    let mut options = WriterOptions::default();
    options.profile = profile;
    options.compression = Compression::None;
    options.kdf = KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    options.created = Some(1_700_000_000);
    options.randomness = dbs::v3::writer::Randomness::Seed(1);
    options
}

pub fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE)
}

pub fn write(payload: &[u8], options: WriterOptions) -> Vec<u8> {
    let mut writer = Writer::create(Cursor::new(Vec::new()), &passphrase(), options).unwrap();
    writer.write_all(payload).unwrap();
    writer.finish().unwrap().into_inner()
}

/// Restores the payload and repairs the file; both must be exact.
pub fn assert_heals(damaged: Vec<u8>, payload: &[u8], original: &[u8], what: &str) {
    let archive = Archive::open(damaged).unwrap_or_else(|e| panic!("{what}: open: {e}"));
    let restored = archive
        .unlock(&passphrase())
        .and_then(dbs::Unlocked::into_v3)
        .and_then(|p| p.read_range(0..p.len()))
        .unwrap_or_else(|e| panic!("{what}: restore: {e}"));
    assert!(restored == payload, "{what}: wrong bytes");
    let mut repaired = Cursor::new(Vec::new());
    archive
        .repair(None, &mut repaired)
        .unwrap_or_else(|e| panic!("{what}: repair: {e}"));
    assert!(
        repaired.into_inner() == original,
        "{what}: the repaired file differs"
    );
}
