//! Files and folders as a PAX tar stream (POSIX.1-2001), both ways.
//!
//! The framing is written here and not taken from a library, for four reasons: the index needs the
//! exact place of every member; a file that shrinks while it is read must not shift the ones behind
//! it; sparse files are kept in the form that GNU tar, libarchive and Python all read (PAX 1.0); and
//! a hostile stream must not make the reader take memory without bound.

pub mod extract;
pub mod header;
pub mod member;
pub mod path;
pub mod pax;
pub mod place;
pub mod read;
pub mod sparse;
pub mod walk;
pub mod write;
pub mod xattr;

#[cfg(test)]
mod tests;
