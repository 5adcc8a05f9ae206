//! What versions 1 and 2 have in common: everything is stored twice.
//!
//! Blocks are encoded in Reed-Solomon rows ([`rows`]) and stored twice, headers and manifests are
//! stored twice without parity ([`records`]). After bytes were cut out or pushed in, [`locate`]
//! finds the blocks again by their hashes; [`heal`] rebuilds a block from whatever is left of its
//! copies, and a hash decides whether the result is right.

pub(crate) mod blocks;
mod candidates;
pub(crate) mod findings;
pub(crate) mod heal;
pub(crate) mod inflate;
pub(crate) mod info;
pub(crate) mod kdf;
pub(crate) mod keys;
pub(crate) mod locate;
pub(crate) mod records;
pub(crate) mod rows;
pub(crate) mod salvage;
mod strands;
#[cfg(test)]
mod tests;

use crate::Result;
use crate::source::Source;

/// The bytes from this offset, as many of them as the source has.
pub(crate) fn read(source: &dyn Source, offset: u64, len: u64) -> Result<Vec<u8>> {
    let size = source.size()?;
    let len = len.min(size.saturating_sub(offset));
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let got = source.read_full_at(&mut bytes, offset)?;
    bytes.truncate(got);
    Ok(bytes)
}
