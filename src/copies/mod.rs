//! What versions 1 and 2 have in common: everything is stored twice.
//!
//! Blocks are encoded in Reed-Solomon rows ([`rows`]) and stored twice, headers and manifests are
//! stored twice without parity ([`records`]). After bytes were cut out or pushed in, [`locate`]
//! finds the blocks again by their hashes; [`heal`] rebuilds a block from whatever is left of its
//! copies, and a hash decides whether the result is right.

pub(crate) mod blocks;
mod candidates;
pub(crate) mod heal;
pub(crate) mod inflate;
pub(crate) mod kdf;
pub(crate) mod locate;
pub(crate) mod records;
pub(crate) mod rows;
pub(crate) mod salvage;
#[cfg(test)]
mod tests;
