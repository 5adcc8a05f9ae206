//! Version 1, as django-dbs 0.1.0 to 0.6.0 wrote it: `spec/dbs-v1.md`.

mod container;
mod format;
mod gcm;
mod layout;
mod manifest;
mod metadata;
mod payload;
mod writer;

pub use crate::copies::inflate::Reader;
pub use crate::copies::info::Info;
pub use crate::copies::kdf::Kdf;
pub use crate::copies::keys::Keys;
pub use crate::copies::salvage::{Gap, Salvage};
pub use container::Container;
pub use payload::Payload;
pub use writer::{Fixed, Writer, WriterOptions};
