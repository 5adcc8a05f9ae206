//! What a reader may spend on a file that it does not trust.

/// Upper bounds on what a file may ask a reader for. The defaults are safe for hostile input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most memory for Argon2id, in KiB (default 1 GiB).
    pub argon2_memory_kib: u32,
    /// Most passes of Argon2id (default 64).
    pub argon2_passes: u32,
    /// Most lanes of Argon2id (default 64).
    pub argon2_lanes: u32,
    /// Most memory for everything else, in bytes (default 1 GiB); buffers of blocks, block table,
    /// index and the map of a file whose sectors lie out of order are debited from it.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            argon2_memory_kib: 1 << 20,
            argon2_passes: 64,
            argon2_lanes: 64,
            memory: 1 << 30,
        }
    }
}
