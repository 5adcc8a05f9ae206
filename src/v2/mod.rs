//! Version 2, as django-dbs 0.7.0 wrote it: `spec/dbs-v2.md`.

mod container;
mod format;
mod keys;
mod layout;
mod metadata;
mod payload;
mod writer;

pub use crate::copies::inflate::Reader;
pub use crate::copies::info::Info;
pub use crate::copies::kdf::Kdf;
pub use crate::copies::keys::Keys;
pub use crate::copies::salvage::{Gap, Salvage};
pub use container::Container;
pub use format::Geometry;
pub use payload::Payload;
pub use writer::{Fixed, Writer, WriterOptions};
