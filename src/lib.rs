//! The backup file that heals itself.
//!
//! A `.dbs` file is one encrypted, redundant container. This crate reads, heals, validates,
//! repairs and writes it. The layout is specified in `spec/`, which says what every error means.
//!
//! ```
//! # fn main() -> dbs::Result<()> {
//! use std::io::{Cursor, Write};
//!
//! let passphrase = dbs::Passphrase::new("choose a better one");
//! let mut writer = dbs::Writer::create(Cursor::new(Vec::new()), &passphrase, dbs::WriterOptions::default())?;
//! writer.write_all(b"what must not be lost")?;
//! let mut file = writer.finish()?.into_inner();
//!
//! file[5000..6000].fill(0);                                    // the disk rots
//! let archive = dbs::Archive::open(file)?;
//! assert_eq!(archive.validate(None)?.status(), dbs::Status::Recoverable);
//! let payload = archive.unlock(&passphrase)?.into_v3()?;
//! assert_eq!(payload.read_range(0..payload.len())?, b"what must not be lost");
//! # Ok(())
//! # }
//! ```
//!
//! # Writing
//!
//! A [`Writer`] takes bytes and gives the output back when it is finished; [`Writer::on_disk`] is the fast way to
//! a file, [`Writer::stream`] the way to a pipe.
//!
//! ```
//! use std::io::Write;
//! use std::sync::Arc;
//! use dbs::{Compression, Disk, DiskStream, KdfParams, Passphrase, Profile, Writer, WriterOptions};
//!
//! # fn main() -> dbs::Result<()> {
//! # let folder = std::env::temp_dir();
//! # let path = folder.join(format!("dbs-example-{}", std::process::id()));
//! # struct Gone(std::path::PathBuf);
//! # impl Drop for Gone { fn drop(&mut self) { let _ = std::fs::remove_file(&self.0); } }
//! # let _gone = Gone(path.clone());
//! let mut options = WriterOptions::default();
//! options.profile = Profile::Coded;
//! options.compression = Compression::Zstd(9);
//! options.kdf = KdfParams { passes: 3, memory_kib: 65_536, lanes: 4 };
//! # options.kdf = KdfParams { passes: 1, memory_kib: 64, lanes: 1 };
//!
//! let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
//! let out = DiskStream::new(Arc::new(Disk::new(file)), 0);
//! let mut writer = Writer::on_disk(out, &Passphrase::new("correct horse battery staple"), options)?;
//! writer.write_all(&[42; 100_000])?;
//! // Without this the file is not whole, and no reader accepts it.
//! let out = writer.finish()?;
//! out.disk().file().sync_all()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Validating and repairing, with no passphrase
//!
//! ```
//! # use std::io::{Cursor, Write};
//! # let passphrase = dbs::Passphrase::new("correct horse battery staple");
//! # let mut options = dbs::WriterOptions::default();
//! # options.kdf = dbs::KdfParams { passes: 1, memory_kib: 64, lanes: 1 };
//! # let mut writer = dbs::Writer::create(Cursor::new(Vec::new()), &passphrase, options)?;
//! # writer.write_all(&[42; 100_000])?;
//! # let original = writer.finish()?.into_inner();
//! # let mut file = original.clone();
//! file[3000..7000].fill(0); // the disk rots
//! file.remove(9000);
//!
//! let archive = dbs::Archive::open(file)?;
//! let report = archive.validate(None)?;
//! assert_eq!(report.status(), dbs::Status::Recoverable);
//!
//! let mut repaired = Cursor::new(Vec::new());
//! archive.repair(None, &mut repaired)?;
//! assert_eq!(repaired.into_inner(), original); // bit for bit
//! # Ok::<(), dbs::Error>(())
//! ```
//!
//! Damage beyond repair is [`Error::Damaged`], which names the blocks and the bytes that they held. Several damaged replicas of
//! one backup are merged by [`Archive::open_with`].
//!
//! # Reading
//!
//! Any range of the payload can be read by itself; what is damaged is healed on the way.
//!
//! ```
//! # use std::io::{Cursor, Read, Write};
//! # let passphrase = dbs::Passphrase::new("correct horse battery staple");
//! # let mut options = dbs::WriterOptions::default();
//! # options.kdf = dbs::KdfParams { passes: 1, memory_kib: 64, lanes: 1 };
//! # let mut writer = dbs::Writer::create(Cursor::new(Vec::new()), &passphrase, options)?;
//! # writer.write_all(&[42; 100_000])?;
//! # let file = writer.finish()?.into_inner();
//! let archive = dbs::Archive::open(file)?;
//! let unlocked = archive.unlock(&passphrase)?; // of any version
//! let mut everything = Vec::new();
//! unlocked.reader()?.read_to_end(&mut everything)?;
//!
//! let payload = unlocked.into_v3()?;
//! assert_eq!(payload.read_range(500..600)?, everything[500..600]);
//! # Ok::<(), dbs::Error>(())
//! ```
//!
//! # Salvaging
//!
//! Where blocks are lost for good, the rest comes back, and the report names what is missing.
//!
//! ```
//! # use std::io::{Cursor, Write};
//! # let passphrase = dbs::Passphrase::new("correct horse battery staple");
//! # let mut options = dbs::WriterOptions::default();
//! # options.kdf = dbs::KdfParams { passes: 1, memory_kib: 64, lanes: 1 };
//! # options.profile = dbs::Profile::Light;
//! # options.compression = dbs::Compression::None;
//! # options.sector_shift = Some(9);
//! # let mut writer = dbs::Writer::create(Cursor::new(Vec::new()), &passphrase, options)?;
//! # writer.write_all(&[42; 300_000])?;
//! # let mut file = writer.finish()?.into_inner();
//! file[10_000..60_000].fill(0); // more than `light` survives
//!
//! let archive = dbs::Archive::open(file)?;
//! let payload = archive.unlock_for_salvage(&passphrase)?.into_v3()?;
//! let mut left = Vec::new();
//! let report = payload.salvage_to(&mut left)?;
//! assert_eq!(left.len() as u64, payload.len());
//! for lost in &report.failed_blocks {
//!     let range = lost.payload.clone().unwrap_or_default();
//!     assert!(left[range.start as usize..range.end as usize].iter().all(|byte| *byte == 0));
//! }
//! assert!(!report.failed_blocks.is_empty());
//! # Ok::<(), dbs::Error>(())
//! ```
//!
//! # What is stable
//!
//! What stands below is the interface. The modules are the rooms that it is made of, public for the command, the test vectors and
//! the fuzzers; they change without notice.

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
mod unreadable;
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
