//! Walking files and folders, with what can go wrong on a live file system: names that vanish,
//! files that change while they are read, things that cannot be backed up at all.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::member::{Kind, Member, Time};
use super::sparse::{MOST_SEGMENTS, Map, Segment};
use super::{path, xattr};
use crate::console::Console;
use crate::failure::{Failure, Result, reason};
use crate::names;

/// Takes the members as they are found.
pub trait Sink {
    /// Takes one member and its data, and says how many bytes of the data could not be had.
    ///
    /// # Errors
    /// The output cannot be written; the walk ends there.
    fn member(&mut self, member: &Member, data: &mut dyn Read) -> Result<Missing>;
}

/// What a sink could not have of a member's data.
#[derive(Debug, Default)]
pub struct Missing {
    /// How many bytes at the end are zeros now.
    pub bytes: u64,
    /// Why, unless the file was shorter than its size said.
    pub error: Option<io::Error>,
}

/// What identifies a file on this machine.
pub type Identity = (u64, u64);

/// What a walk found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Members of all kinds.
    pub entries: u64,
    /// Files and folders that could not be read, in whole or in part.
    pub unreadable: u64,
}

/// A walk through files and folders.
#[derive(Debug)]
pub struct Walk<'a, S> {
    sink: &'a mut S,
    console: &'a Console,
    skip: Vec<Identity>,
    links: HashMap<Identity, Vec<u8>>,
    found: Found,
}

struct Folder {
    fd: OwnedFd,
    names: std::vec::IntoIter<CString>,
    /// Length of the stored name and of the shown name of this folder.
    stored: usize,
    shown: usize,
}

impl<'a, S: Sink> Walk<'a, S> {
    /// A walk that passes over the files in `skip`, which are its own outputs.
    pub fn new(sink: &'a mut S, console: &'a Console, skip: Vec<Identity>) -> Self {
        Walk {
            sink,
            console,
            skip,
            links: HashMap::new(),
            found: Found::default(),
        }
    }

    /// What was found up to now.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Walks one path, which is stored under `name`.
    ///
    /// # Errors
    /// The path itself cannot be had, or the sink cannot write. Errors beneath it are notes.
    pub fn path(&mut self, root: &Path, name: &[u8]) -> Result<()> {
        let as_name = CString::new(root.as_os_str().as_bytes())
            .map_err(|_| Failure::usage("a path with a zero byte in it"))?;
        // The operating system itself must be asked first: an error here is an error of the user.
        sys::statat(sys::CWD, &*as_name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| Failure::io("reading", root, &e.into()))?;
        let mut stored = name.to_vec();
        let mut shown = root.as_os_str().as_bytes().to_vec();
        while shown.len() > 1 && shown.ends_with(b"/") {
            shown.pop();
        }

        let mut stack = Vec::new();
        if let Some(folder) = self.visit(sys::CWD, &as_name, &stored, &shown)? {
            stack.push(folder);
        }
        while let Some(folder) = stack.last_mut() {
            stored.truncate(folder.stored);
            shown.truncate(folder.shown);
            let Some(next) = folder.names.next() else {
                stack.pop();
                continue;
            };
            for whole in [&mut stored, &mut shown] {
                if !whole.is_empty() && !whole.ends_with(b"/") {
                    whole.push(b'/');
                }
                whole.extend_from_slice(next.as_bytes());
            }
            let deeper = self.visit(folder.fd.as_fd(), &next, &stored, &shown)?;
            stack.extend(deeper);
        }
        Ok(())
    }

    /// Hands one name to the sink, and opens it if it is a folder.
    fn visit(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        stored: &[u8],
        shown: &[u8],
    ) -> Result<Option<Folder>> {
        let stat = match sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(e) => {
                self.unreadable(shown, e.into());
                return Ok(None);
            }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(parent, name, &stat, stored, shown)?,
            FileType::Directory => return self.folder(parent, name, stored, shown),
            FileType::Symlink => self.symlink(parent, name, &stat, stored, shown)?,
            other => {
                let what = match other {
                    FileType::Fifo => "a named pipe",
                    FileType::Socket => "a socket",
                    FileType::CharacterDevice | FileType::BlockDevice => "a device",
                    _ => "neither file, folder nor link",
                };
                self.console
                    .note(&format!("passed over {}: {what}", names::show(shown)));
            }
        }
        Ok(None)
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        stored: &[u8],
        shown: &[u8],
    ) -> Result<()> {
        let identity = identity(stat);
        if self.skip.contains(&identity) {
            self.console.note(&format!(
                "passed over {}: it is the backup itself",
                names::show(shown)
            ));
            return Ok(());
        }
        if let Some(first) = self.links.get(&identity) {
            let mut link = member(stored, Kind::HardLink, stat);
            link.link = first.clone();
            return self.hand_over(&link, &mut io::empty(), shown);
        }
        // What was a file a moment ago may be a pipe or a link by now: neither may be waited for
        // or followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match sys::openat(parent, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(e) => {
                self.unreadable(shown, e.into());
                return Ok(());
            }
        };
        let stat = match sys::fstat(&file) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => stat,
            Ok(_) => {
                self.unreadable(shown, io::Error::other("it changed while it was read"));
                return Ok(());
            }
            Err(e) => {
                self.unreadable(shown, e.into());
                return Ok(());
            }
        };
        let mut member = member(stored, Kind::File, &stat);
        member.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.read_xattrs(&file, &mut member, shown);
        if (stat.st_blocks as u64).saturating_mul(512) < member.size {
            member.sparse = map(&file, member.size);
        }
        if stat.st_nlink > 1 {
            self.links.insert(identity, stored.to_vec());
        }
        match member.sparse.clone() {
            Some(map) => self.hand_over(&member, &mut Segments::new(&file, &map), shown),
            None => self.hand_over(&member, &mut &file, shown),
        }
    }

    fn folder(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        stored: &[u8],
        shown: &[u8],
    ) -> Result<Option<Folder>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = sys::openat(parent, name, flags, Mode::empty())
            .and_then(|fd| Ok((sys::fstat(&fd)?, fd)));
        let (stat, fd) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                self.unreadable(shown, e.into());
                // Its name and mode are had all the same.
                if let Ok(stat) = sys::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
                    && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                    && !stored.is_empty()
                {
                    let member = member(stored, Kind::Directory, &stat);
                    self.hand_over(&member, &mut io::empty(), shown)?;
                }
                return Ok(None);
            }
        };
        // The folder itself has no name when it is ".", and is not restored then.
        if !stored.is_empty() {
            let mut member = member(stored, Kind::Directory, &stat);
            self.read_xattrs(&fd, &mut member, shown);
            self.hand_over(&member, &mut io::empty(), shown)?;
        }
        let mut list = Vec::new();
        match sys::Dir::read_from(&fd) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                        Ok(entry) => list.push(entry.file_name().to_owned()),
                        Err(e) => {
                            self.unreadable(shown, e.into());
                            break;
                        }
                    }
                }
            }
            Err(e) => self.unreadable(shown, e.into()),
        }
        // The same tree gives the same stream.
        list.sort_unstable();
        Ok(Some(Folder {
            fd,
            names: list.into_iter(),
            stored: stored.len(),
            shown: shown.len(),
        }))
    }

    fn symlink(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
        stored: &[u8],
        shown: &[u8],
    ) -> Result<()> {
        match sys::readlinkat(parent, name, Vec::new()) {
            Ok(target) => {
                let mut link = member(stored, Kind::Symlink, stat);
                link.link = target.into_bytes();
                self.hand_over(&link, &mut io::empty(), shown)
            }
            Err(e) => {
                self.unreadable(shown, e.into());
                Ok(())
            }
        }
    }

    fn hand_over(&mut self, member: &Member, data: &mut dyn Read, shown: &[u8]) -> Result<()> {
        let missing = self.sink.member(member, data)?;
        self.found.entries += 1;
        if let Some(error) = missing.error {
            self.unreadable(shown, error);
        } else if missing.bytes > 0 {
            self.console.note(&format!(
                "{} shrank while it was read: its last {} bytes are zeros in the backup",
                names::show(shown),
                missing.bytes
            ));
        }
        Ok(())
    }

    fn read_xattrs(&self, fd: impl AsFd, member: &mut Member, shown: &[u8]) {
        match xattr::read(fd.as_fd()) {
            Ok(xattrs) => member.xattrs = xattrs,
            Err(e) => self.console.note(&format!(
                "extended attributes of {} are left out: {}",
                names::show(shown),
                reason(&e)
            )),
        }
    }

    fn unreadable(&mut self, shown: &[u8], error: io::Error) {
        if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) {
            let note = format!("{} vanished before it was read", names::show(shown));
            self.console.note(&note);
            return;
        }
        self.found.unreadable += 1;
        // Not a note: what is missing from a backup must be heard even with --quiet.
        self.console.warn(&format!(
            "cannot read {}: {}",
            names::show(shown),
            reason(&error)
        ));
    }
}

// These fields have other types on other systems.
#[allow(clippy::unnecessary_cast)]
fn identity(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn member(stored: &[u8], kind: Kind, stat: &Stat) -> Member {
    let mut member = Member::new(stored, kind);
    member.mode = stat.st_mode & 0o7777;
    member.mtime = Time {
        seconds: stat.st_mtime,
        nanoseconds: stat.st_mtime_nsec as u32,
    };
    (member.uid, member.gid) = (stat.st_uid, stat.st_gid);
    member
}

/// Where the data of a file is; none if it has no holes, or the file system does not tell.
fn map(file: &File, size: u64) -> Option<Map> {
    let mut segments = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match sys::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = sys::seek(file, SeekFrom::Hole(start)).ok()?.min(size);
        if start >= end || segments.len() == MOST_SEGMENTS {
            break;
        }
        segments.push(Segment {
            offset: start,
            length: end - start,
        });
        at = end;
    }
    sys::seek(file, SeekFrom::Start(0)).ok()?;
    if segments.len() == MOST_SEGMENTS
        || segments.first().is_some_and(|s| s.length == size)
        || (segments.is_empty() && size == 0)
    {
        return None;
    }
    Map::new(segments, size)
}

/// The segments of a sparse file, one behind the other.
struct Segments<'a> {
    file: &'a File,
    rest: std::slice::Iter<'a, Segment>,
    present: Segment,
}

impl<'a> Segments<'a> {
    fn new(file: &'a File, map: &'a Map) -> Self {
        Segments {
            file,
            rest: map.segments().iter(),
            present: Segment {
                offset: 0,
                length: 0,
            },
        }
    }
}

impl Read for Segments<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.present.length == 0 {
            match self.rest.next() {
                Some(next) => self.present = *next,
                None => return Ok(0),
            }
        }
        let most = buf
            .len()
            .min(usize::try_from(self.present.length).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..most], self.present.offset)?;
        self.present.offset += n as u64;
        self.present.length -= n as u64;
        Ok(n)
    }
}

/// The paths of a command line with the names they are stored under; those that lie in another one
/// are left out.
///
/// # Errors
/// Two of them would be stored under one name, or cannot be resolved.
pub fn roots(paths: &[std::path::PathBuf]) -> Result<Vec<(&Path, Vec<u8>)>> {
    let mut roots: Vec<(&Path, Vec<u8>, std::path::PathBuf)> = Vec::new();
    for path in paths {
        let (name, real) = (path::stored(path), resolve(path)?);
        let mut covered = false;
        let mut covers = Vec::new();
        for (at, (other, other_name, other_real)) in roots.iter().enumerate() {
            let clash = || {
                Failure::usage(format!(
                    "{} and {} would get the same names in the backup",
                    names::path(other),
                    names::path(path)
                ))
                .hint("Back them up into two files, or name a folder that holds both.")
            };
            if path::within(&name, other_name) {
                let expected = other_real.join(OsStr::from_bytes(rest(&name, other_name)));
                match trimmed(&expected) == real {
                    true => covered = true,
                    // "." has no name of its own: what is in it meets what is beside it only by
                    // its first part.
                    false if other_name.is_empty() && expected.symlink_metadata().is_err() => {}
                    false => return Err(clash()),
                }
            } else if path::within(other_name, &name) {
                let expected = real.join(OsStr::from_bytes(rest(other_name, &name)));
                match trimmed(&expected) == *other_real {
                    true => covers.push(at),
                    false if name.is_empty() && expected.symlink_metadata().is_err() => {}
                    false => return Err(clash()),
                }
            }
        }
        if !covered {
            for at in covers.into_iter().rev() {
                roots.remove(at);
            }
            roots.push((path, name, real));
        }
    }
    Ok(roots
        .into_iter()
        .map(|(path, name, _)| (path, name))
        .collect())
}

fn rest<'a>(name: &'a [u8], folder: &[u8]) -> &'a [u8] {
    let rest = &name[folder.len()..];
    rest.strip_prefix(b"/").unwrap_or(rest)
}

fn trimmed(path: &Path) -> std::path::PathBuf {
    path.components().collect()
}

/// A path with its folder resolved, but not itself: a link that is named is backed up as a link.
fn resolve(path: &Path) -> Result<std::path::PathBuf> {
    let failure = |e: io::Error| Failure::io("reading", path, &e);
    let trailing = path.as_os_str().as_bytes().ends_with(b"/");
    let found = path.symlink_metadata().map_err(failure)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if found.is_symlink() && !trailing => {
            let parent = match parent.as_os_str().is_empty() {
                true => Path::new("."),
                false => parent,
            };
            Ok(parent.canonicalize().map_err(failure)?.join(name))
        }
        _ => path.canonicalize().map_err(failure),
    }
}
