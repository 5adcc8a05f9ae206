//! What a writer can be told.

use super::super::geometry::Profile;
use super::super::manifest::MEDIA_STREAM;
use super::super::page::KdfParams;
use super::super::sealed::Compression;
use crate::Result;
use crate::pipeline::default_threads;
use crate::secret::random;

/// How a container is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterOptions {
    /// The geometry, by name.
    pub profile: Profile,
    /// Bytes of a sector as a power of two; `None` takes 512 bytes where the payload fits in one
    /// block of such sectors, and 4096 otherwise.
    pub sector_shift: Option<u8>,
    /// Whether blocks are compressed.
    pub compression: Compression,
    /// Costs of Argon2id.
    pub kdf: KdfParams,
    /// How many blocks copy B stands behind copy A. `None` takes 0 (half a file) where the output
    /// can be read back, and 32 where it cannot.
    pub lag: Option<u32>,
    /// Worker threads; 0 takes as many as there are cores.
    pub threads: usize,
    /// Media type of the payload.
    pub media_type: String,
    /// The program that writes.
    pub producer: String,
    /// When the archive is written, in seconds since 1970-01-01 UTC; `None` asks the clock.
    pub created: Option<i64>,
    /// Where the random values come from.
    pub randomness: Randomness,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            profile: Profile::default(),
            sector_shift: None,
            compression: Compression::default(),
            kdf: KdfParams::default(),
            lag: None,
            threads: 0,
            media_type: MEDIA_STREAM.into(),
            producer: concat!("dbs ", env!("CARGO_PKG_VERSION")).into(),
            created: None,
            randomness: Randomness::System,
        }
    }
}

impl WriterOptions {
    /// How many threads work.
    pub(super) fn workers(&self) -> usize {
        match self.threads {
            0 => default_threads(),
            threads => threads,
        }
    }
}

/// Where a writer takes its random values from.
#[derive(Debug, Clone, Default)]
pub enum Randomness {
    /// The operating system.
    #[default]
    System,
    /// A seed, so that the same input gives the same bytes. For test vectors alone: two containers
    /// of one seed share their data key, and who knows the seed needs no passphrase.
    #[doc(hidden)]
    Seed(u64),
}

impl Randomness {
    pub(super) fn fill(&self, label: &[u8], bytes: &mut [u8]) -> Result<()> {
        match self {
            Randomness::System => random(bytes),
            Randomness::Seed(seed) => {
                let hash =
                    crate::hash::blake2b_256(b"dbs3 vectors", None, &[&seed.to_le_bytes(), label]);
                bytes.copy_from_slice(&hash[..bytes.len()]);
                Ok(())
            }
        }
    }
}
