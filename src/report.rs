//! What a validation, a repair or a restore found.

use crate::error::FailedBlock;
use crate::source::Source;
use crate::version::Version;

/// The state of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every stored byte is as it was written.
    Clean,
    /// There is damage, and the redundancy in the file repairs all of it.
    Recoverable,
    /// Some blocks are damaged beyond repair.
    Unrecoverable,
}

impl Status {
    /// The word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Clean => "clean",
            Status::Recoverable => "recoverable",
            Status::Unrecoverable => "unrecoverable",
        }
    }
}

/// What was found in a container, block by block.
///
/// Versions 1 and 2 have no sectors; there `sectors` counts stored regions (block copies, headers,
/// manifests, trailers).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The version of the container.
    pub version: Version,
    /// Blocks of the archive.
    pub blocks: u64,
    /// Blocks that were damaged and healed.
    pub blocks_healed: u64,
    /// Stored sectors that the archive should have.
    pub sectors: u64,
    /// Sectors that are missing, or whose contents are damaged.
    pub sectors_bad: u64,
    /// Sectors of which a second reading differed from the first.
    pub sectors_unstable: u64,
    /// Whether bytes lie where they do not belong, belong to nothing, or are missing at an end of the file.
    pub misplaced: bool,
    /// Blocks among the failed ones that are intact and do not open with the key: they were altered.
    pub blocks_altered: u64,
    /// Blocks that cannot be repaired.
    pub failed_blocks: Vec<FailedBlock>,
    /// Whether the contents were decrypted and authenticated as well.
    pub decrypted: bool,
    /// Further findings, a sentence each.
    pub notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(version: Version) -> Self {
        Report {
            version,
            blocks: 0,
            blocks_healed: 0,
            sectors: 0,
            sectors_bad: 0,
            sectors_unstable: 0,
            misplaced: false,
            blocks_altered: 0,
            failed_blocks: Vec::new(),
            decrypted: false,
            notes: Vec::new(),
        }
    }

    /// Adds what another reading of the same container found.
    pub fn merge(&mut self, more: Report) {
        self.blocks_healed = self.blocks_healed.saturating_add(more.blocks_healed);
        self.sectors_bad = self.sectors_bad.saturating_add(more.sectors_bad);
        self.blocks_altered = self.blocks_altered.saturating_add(more.blocks_altered);
        self.misplaced |= more.misplaced;
        self.failed_blocks.extend(more.failed_blocks);
        for note in more.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Notes a file that is longer or shorter than it was written.
    pub(crate) fn note_length(&mut self, len: u64, written: u64) {
        if len != written {
            self.misplaced = true;
            self.notes.push(format!(
                "the file has {len} bytes; it was written with {written}"
            ));
        }
    }

    /// Notes what the disk could not read.
    pub(crate) fn note_unreadable(&mut self, source: &dyn Source) {
        let pages = source.unreadable();
        if pages > 0 {
            self.notes.push(format!(
                "unreadable: the disk cannot read {pages} pages of 4096 bytes; what they held counts as lost"
            ));
        }
    }

    /// The state that the findings amount to.
    #[must_use]
    pub fn status(&self) -> Status {
        if !self.failed_blocks.is_empty() {
            Status::Unrecoverable
        } else if self.sectors_bad > 0 || self.blocks_healed > 0 || self.misplaced {
            Status::Recoverable
        } else {
            Status::Clean
        }
    }
}
