//! Version 2, as django-dbs 0.7.0 wrote it: `spec/dbs-v2.md`.

mod container;
mod format;
mod keys;
mod layout;
mod metadata;
mod payload;

pub use container::{Container, Info};
pub use format::Geometry;
pub use payload::{Payload, Reader};
