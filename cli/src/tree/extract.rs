//! Making files from members that are not trusted.
//!
//! Everything is made in a folder that belongs to this process alone (the stage), through handles:
//! each part of a name is opened from the handle of the part before, and never through a link. So
//! no member can leave the stage, whatever its name and whatever links came before it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{self as sys, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::member::{Kind, Member, Time};
use super::{path, xattr};

/// Why a member was not made.
#[derive(Debug)]
pub enum Problem {
    /// It would leave the folder, or it is of a kind that is not restored: the others may go on.
    Refused(&'static str),
    /// The data could not be read; nothing that comes after can be trusted to be in its place.
    Source(io::Error),
    /// The file could not be written.
    Target(io::Error),
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Problem::Target(error.into())
    }
}

/// What is kept of a file beside its content.
#[derive(Debug, Clone)]
pub struct Metadata {
    mode: u32,
    mtime: Time,
    uid: u32,
    gid: u32,
    xattrs: xattr::Xattrs,
}

impl Metadata {
    /// The metadata of a member.
    pub fn of(member: &Member) -> Self {
        Metadata {
            mode: member.mode & 0o7777,
            mtime: member.mtime,
            uid: member.uid,
            gid: member.gid,
            xattrs: member.xattrs.clone(),
        }
    }

    /// Gives it to an open file or folder. Owners are given by the superuser only; what cannot be
    /// given is named.
    ///
    /// # Errors
    /// Mode or time cannot be set.
    pub fn apply(&self, fd: BorrowedFd<'_>, folder: bool) -> io::Result<Option<&'static str>> {
        let me = rustix::process::geteuid();
        let mut lost = None;
        let mut owned = me.as_raw() == self.uid;
        if me.is_root() {
            // Before the mode: a change of owner takes away the bits that carry rights.
            owned = sys::fchown(fd, owner(self.uid), group(self.gid)).is_ok();
            if !owned {
                lost = Some("the owner");
            }
        }
        // A program that ran with the rights of its owner must not run with those of another.
        let mode = if owned || folder {
            self.mode
        } else {
            self.mode & !0o6000
        };
        sys::fchmod(fd, Mode::from_raw_mode(mode as _))?;
        if xattr::write(fd, &self.xattrs, owned).is_err() {
            lost = Some("extended attributes");
        }
        sys::futimens(fd, &times(self.mtime))?;
        Ok(lost)
    }
}

/// Makes files, folders and links in a stage.
#[derive(Debug)]
pub struct Extractor {
    stage: OwnedFd,
    /// The folders from the stage down to where the last member was made.
    chain: Vec<(OsString, OwnedFd)>,
    /// Every folder that was made, with its metadata if a member told of it. They are given to the
    /// folders only when everything is in its final place.
    folders: BTreeMap<Vec<u8>, Option<Metadata>>,
    buffer: Vec<u8>,
}

impl Extractor {
    /// An extractor into an open folder that nobody else can write to.
    pub fn new(stage: OwnedFd) -> Self {
        Extractor {
            stage,
            chain: Vec::new(),
            folders: BTreeMap::new(),
            buffer: vec![0; 256 * 1024],
        }
    }

    /// The folders that were made, and their metadata.
    pub fn into_folders(self) -> BTreeMap<Vec<u8>, Option<Metadata>> {
        self.folders
    }

    /// Makes one member, with `data` for a file's content. A member that was made before under the
    /// same name gives way. Metadata that could not be given is named.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn member(
        &mut self,
        member: &Member,
        data: impl Read,
    ) -> Result<Option<&'static str>, Problem> {
        let parts = path::parts(&member.path).ok_or(Problem::Refused("its name leads outside"))?;
        let Some((name, parents)) = parts.split_last() else {
            return Err(Problem::Refused("it has no name"));
        };
        match member.kind {
            Kind::Directory => {
                self.enter(&parts)?;
                let key = path::tidy(&member.path);
                self.folders.insert(key, Some(Metadata::of(member)));
                Ok(None)
            }
            Kind::File => {
                self.enter(parents)?;
                self.file(name, member, data)
            }
            Kind::Symlink => {
                self.enter(parents)?;
                self.symlink(name, member)
            }
            Kind::HardLink => {
                self.enter(parents)?;
                self.hard_link(name, member)
            }
            Kind::Other => Err(Problem::Refused("it is neither file, folder nor link")),
        }
    }

    /// Makes an empty file of this name, for somebody else to fill.
    ///
    /// # Errors
    /// See [`Problem`].
    pub fn begin(&mut self, name: &[u8]) -> Result<File, Problem> {
        let parts = path::parts(name).ok_or(Problem::Refused("its name leads outside"))?;
        let Some((name, parents)) = parts.split_last() else {
            return Err(Problem::Refused("it has no name"));
        };
        self.enter(parents)?;
        self.create(name)
    }

    /// Gives the file that was made last another name in its folder.
    ///
    /// # Errors
    /// The name is taken, or what the operating system says.
    pub fn rename_last(&self, from: &[u8], to: &[u8]) -> Result<(), Problem> {
        let (from, to) = (last_part(from)?, last_part(to)?);
        if sys::statat(self.parent(), to, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Err(Problem::Refused("its name is taken"));
        }
        Ok(sys::renameat(self.parent(), from, self.parent(), to)?)
    }

    /// Removes the file that was made last.
    pub fn remove_last(&self, name: &[u8]) {
        if let Ok(name) = last_part(name) {
            let _ = sys::unlinkat(self.parent(), name, AtFlags::empty());
        }
    }

    fn file(
        &mut self,
        name: &OsStr,
        member: &Member,
        mut data: impl Read,
    ) -> Result<Option<&'static str>, Problem> {
        let mut file = self.create(name)?;
        match &member.sparse {
            None => {
                let mut left = member.size;
                while left > 0 {
                    let piece = read_some(&mut data, &mut self.buffer, left)?;
                    file.write_all(piece).map_err(Problem::Target)?;
                    left -= piece.len() as u64;
                }
            }
            Some(map) => {
                file.set_len(member.size).map_err(Problem::Target)?;
                for segment in map.segments() {
                    let (mut at, mut left) = (segment.offset, segment.length);
                    while left > 0 {
                        let piece = read_some(&mut data, &mut self.buffer, left)?;
                        file.write_all_at(piece, at).map_err(Problem::Target)?;
                        at += piece.len() as u64;
                        left -= piece.len() as u64;
                    }
                }
            }
        }
        Metadata::of(member)
            .apply(file.as_fd(), false)
            .map_err(Problem::Target)
    }

    /// Makes an empty file, readable by nobody else until it has its metadata.
    fn create(&self, name: &OsStr) -> Result<File, Problem> {
        make_room(self.parent(), name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let flags = flags | OFlags::CLOEXEC;
        let fd = sys::openat(self.parent(), name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(fd))
    }

    fn symlink(&self, name: &OsStr, member: &Member) -> Result<Option<&'static str>, Problem> {
        let parent = self.parent();
        // Refused before anything gives way to it.
        if member.link.is_empty() || member.link.contains(&0) {
            return Err(Problem::Refused("it is a link to nowhere"));
        }
        make_room(parent, name)?;
        sys::symlinkat(&member.link[..], parent, name)?;
        let mut lost = None;
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (owner(member.uid), group(member.gid));
            if sys::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).is_err() {
                lost = Some("the owner");
            }
        }
        let times = times(member.mtime);
        if sys::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            lost = Some("the time");
        }
        Ok(lost)
    }

    fn hard_link(&self, name: &OsStr, member: &Member) -> Result<Option<&'static str>, Problem> {
        let target = path::parts(&member.link)
            .ok_or(Problem::Refused("it is a hard link that leads outside"))?;
        let Some((first, parents)) = target.split_last() else {
            return Err(Problem::Refused("it is a hard link to nowhere"));
        };
        let mut folder = None;
        for part in parents {
            let from = folder.as_ref().map_or(self.stage.as_fd(), AsFd::as_fd);
            folder = Some(open_folder(from, part)?);
        }
        let from = folder.as_ref().map_or(self.stage.as_fd(), AsFd::as_fd);
        // Refused before anything gives way to it.
        match sys::statat(from, *first, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
                return Err(Problem::Refused("it is a hard link to a folder"));
            }
            Ok(_) => {}
            Err(Errno::NOENT) => {
                return Err(Problem::Refused(
                    "it is a hard link to a file that is not there",
                ));
            }
            Err(e) => return Err(e.into()),
        }
        let linked = |to: BorrowedFd<'_>| sys::linkat(from, *first, to, name, AtFlags::empty());
        match linked(self.parent()) {
            Err(Errno::EXIST) => {
                // Two names of one file already: to remove one and link again changes nothing, but
                // the first must not be removed when it is the name itself.
                if path::tidy(&member.path) == path::tidy(&member.link) {
                    return Ok(None);
                }
                make_room(self.parent(), name)?;
                linked(self.parent())?;
            }
            other => other?,
        }
        Ok(None)
    }

    fn parent(&self) -> BorrowedFd<'_> {
        self.chain
            .last()
            .map_or(self.stage.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Opens the folder of these parts, making what is not there.
    fn enter(&mut self, parts: &[&OsStr]) -> Result<(), Problem> {
        let common = self
            .chain
            .iter()
            .zip(parts)
            .take_while(|((name, _), part)| name == *part)
            .count();
        self.chain.truncate(common);
        for part in &parts[common..] {
            match sys::mkdirat(self.parent(), *part, Mode::RWXU) {
                Ok(()) => {
                    let mut key = Vec::new();
                    for (name, _) in &self.chain {
                        key.extend_from_slice(name.as_encoded_bytes());
                        key.push(b'/');
                    }
                    key.extend_from_slice(part.as_encoded_bytes());
                    self.folders.insert(key, None);
                }
                Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            let fd = open_folder(self.parent(), part)?;
            self.chain.push(((*part).to_owned(), fd));
        }
        Ok(())
    }
}

/// Opens a folder in a folder, and nothing but a folder.
pub fn open_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Problem> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match sys::openat(parent, name, flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        // Which of the two a link gives depends on the system.
        Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => {
            Err(Problem::Refused("its name leads through a link or a file"))
        }
        Err(Errno::NOENT) => Err(Problem::Refused("its name leads through nothing")),
        Err(e) => Err(e.into()),
    }
}

fn last_part(name: &[u8]) -> Result<&OsStr, Problem> {
    let parts = path::parts(name).unwrap_or_default();
    let last = parts.last().copied();
    last.ok_or(Problem::Refused("it has no name"))
}

/// Removes what has the name already, unless that is a folder.
fn make_room(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Problem> {
    match sys::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {
            Err(Problem::Refused("a folder of the same name came before"))
        }
        Err(e) => Err(e.into()),
    }
}

fn read_some<'a>(
    data: &mut impl Read,
    buffer: &'a mut [u8],
    left: u64,
) -> Result<&'a [u8], Problem> {
    let most = buffer
        .len()
        .min(usize::try_from(left).unwrap_or(usize::MAX));
    loop {
        match data.read(&mut buffer[..most]) {
            Ok(0) => return Err(Problem::Source(io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => return Ok(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Problem::Source(e)),
        }
    }
}

fn times(mtime: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.seconds,
        tv_nsec: mtime.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// The number that the system takes for "no change" is no owner.
fn owner(uid: u32) -> Option<Uid> {
    (uid != u32::MAX).then(|| Uid::from_raw(uid))
}

fn group(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}
