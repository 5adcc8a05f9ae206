//! Version 3, our own. The rooms are the nouns of `spec/dbs-v3.md`, in the order in which bytes
//! pass through them when they are written.

pub mod block;
mod census;
pub mod container;
pub mod geometry;
mod hand;
pub mod heal;
pub mod info;
mod judge;
pub mod keys;
#[cfg(test)]
mod known;
pub mod layout;
mod majority;
pub mod manifest;
pub mod open;
pub mod order;
pub mod page;
pub mod passphrase;
pub mod payload;
mod repair;
pub mod replica;
pub mod scan;
pub mod sealed;
mod search;
pub mod sector;
pub mod segments;
pub mod survival;
pub mod table;
mod walk;
pub mod writer;

pub use container::Container;
