//! The backup file that heals itself.
//!
//! A `.dbs` file is one encrypted, redundant container. This crate reads, heals, validates,
//! repairs and writes it. The layout is specified in `spec/`.

pub mod archive;
mod copies;
mod disk;
pub mod error;
pub mod gf;
mod hash;
mod kdf;
pub mod limits;
mod options;
mod pages;
pub mod payload;
mod pipeline;
pub mod report;
pub mod rs;
pub mod secret;
pub mod source;
pub mod v1;
pub mod v2;
pub mod v3;
mod version;

pub use archive::{Archive, Unlocked};
pub use disk::{Disk, DiskStream};
pub use error::{Error, Result};
pub use limits::Limits;
pub use options::OpenOptions;
pub use report::{Report, Status};
pub use secret::Passphrase;
pub use source::Source;
pub use v3::geometry::Profile;
pub use v3::manifest::{Entry, EntryKind};
pub use v3::page::KdfParams;
pub use v3::passphrase::PassphraseChange;
pub use v3::payload::Payload;
pub use v3::sealed::Compression;
pub use v3::writer::{Writer, WriterOptions};
pub use version::Version;
