//! Errors, told apart by who is at fault.

use std::io;
use std::ops::Range;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, and who is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed in the operating system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The bytes are not a `.dbs` file.
    #[error("not a .dbs file: {0}")]
    NotDbs(String),
    /// A `.dbs` file of a version, or with a feature, that this library does not know.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Damage beyond what the redundancy in the file can repair.
    #[error("damaged beyond repair: {0}")]
    Damaged(Damage),
    /// No key slot opens with the passphrase.
    #[error("wrong passphrase: it opens none of the {slots} key slots{}", older_page(*older))]
    WrongPassphrase {
        /// How many key slots were tried.
        slots: usize,
        /// The generation of an older header page in the file, which a passphrase may open that was
        /// valid before it was changed.
        older: Option<u32>,
    },
    /// The bytes are intact and were altered by somebody: authentication failed.
    #[error("authentication failed: {0}")]
    Authentication(String),
    /// A limit of [`Limits`](crate::Limits) stands in the way.
    #[error("limit: {what} is {got}, more than the {limit} allowed")]
    Limit {
        /// The quantity, with its unit.
        what: &'static str,
        /// What the file asks for.
        got: u64,
        /// What the limits allow.
        limit: u64,
    },
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Misuse(String),
}

/// What an error says of an older header page, where there is one.
pub(crate) fn older_page(older: Option<u32>) -> String {
    older.map_or_else(String::new, |generation| {
        format!(
            "; an older header page exists, of generation {generation}: the passphrases were changed \
             since"
        )
    })
}

/// What was lost, exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// What is lost in a few words, for instance "the header page" or "3 of 120 blocks".
    pub what: String,
    /// The blocks that cannot be repaired.
    pub blocks: Vec<FailedBlock>,
}

/// One block that cannot be repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedBlock {
    /// Number of the block in the archive, from 0.
    pub block: u64,
    /// What the block holds, for instance "data", "index", "manifest", "table".
    pub kind: &'static str,
    /// The bytes of the payload that it held, where that is known.
    pub payload: Option<Range<u64>>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}
