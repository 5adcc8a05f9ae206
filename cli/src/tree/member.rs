//! One member of a tar stream.

use dbs::{Entry, EntryKind};

use super::sparse::Map;

/// A point in time, as file systems keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970, which may be before.
    pub seconds: i64,
    /// Nanoseconds after that, below 1e9.
    pub nanoseconds: u32,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file that came earlier.
    HardLink,
    /// A device, a pipe, or something unknown: never made, never restored.
    Other,
}

/// One member of a tar stream, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, `/` between the parts, no `/` at the end.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Size of the file, holes included; 0 for all but files.
    pub size: u64,
    /// Permission bits, 12 of them.
    pub mode: u32,
    /// Last change of the content.
    pub mtime: Time,
    /// Number of the owner.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
    /// What a link leads to.
    pub link: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data of a sparse file is.
    pub sparse: Option<Map>,
}

impl Member {
    /// A member with nothing but a name and a kind.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Member {
            path: path.into(),
            kind,
            size: 0,
            mode: if kind == Kind::Directory {
                0o755
            } else {
                0o644
            },
            mtime: Time::default(),
            uid: 0,
            gid: 0,
            link: Vec::new(),
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    /// What the index of the container says of it, when its data stand at `offset` of the payload and take
    /// `length` bytes.
    pub fn entry(&self, offset: u64, length: u64) -> Entry {
        let (kind, is_link) = match self.kind {
            Kind::File => (EntryKind::File, false),
            Kind::Directory => (EntryKind::Directory, false),
            Kind::Symlink => (EntryKind::Symlink, true),
            Kind::HardLink => (EntryKind::HardLink, true),
            Kind::Other => (EntryKind::Other, false),
        };
        Entry {
            path: self.path.clone(),
            kind,
            size: self.size,
            mtime: self.mtime.seconds,
            mtime_nanos: self.mtime.nanoseconds,
            mode: self.mode,
            offset,
            length,
            link: is_link.then(|| self.link.clone()),
        }
    }
}
