//! What a container says about itself in the clear.

use super::kdf::Kdf;

/// What both versions say about themselves without a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Whether the payload is compressed.
    pub compressed: bool,
    /// Number of blocks.
    pub blocks: u64,
    /// Bytes of a block before encoding.
    pub block_size: u64,
    /// Parity bytes for each 255 bytes.
    pub nsym: usize,
    /// Bytes that the file should have.
    pub size: u64,
    /// Longest stretch of lost bytes that the file survives wherever it lies.
    pub burst: u64,
    /// Cost of the key derivation.
    pub kdf: Kdf,
}
