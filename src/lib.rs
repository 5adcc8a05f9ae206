//! The backup file that heals itself.
//!
//! A `.dbs` file is one encrypted, redundant container. This crate reads, heals, validates,
//! repairs and writes it. The layout is specified in `spec/`.

pub mod error;
pub mod gf;
pub mod limits;
pub mod rs;
pub mod secret;
pub mod source;
pub mod v1;
pub mod v2;
pub mod v3;

pub use error::{Error, Result};
pub use limits::Limits;
pub use secret::Passphrase;
pub use source::Source;
