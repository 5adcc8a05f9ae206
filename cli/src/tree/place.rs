//! Restored trees, brought to their place in one go: made in a stage inside the target folder, moved
//! by renaming when all of it is there, so that a restore that fails leaves nothing behind.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self as sys, AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tempfile::TempDir;

use super::extract::{Metadata, Problem, open_folder};
use super::path;
use crate::console::Console;
use crate::failure::{Code, Failure, Result, reason};
use crate::names;
use crate::signals::{Unfinished, hold_off};

/// A stage inside the folder that is restored into.
#[derive(Debug)]
pub struct Stage {
    directory: PathBuf,
    /// The folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
    target: OwnedFd,
    root: OwnedFd,
    /// Dropped before `made` is looked at.
    temporary: Option<TempDir>,
    unfinished: Option<Unfinished>,
    umask: u32,
    placed: bool,
}

impl Stage {
    /// Makes the folder if it is not there, and a stage in it.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn new(directory: &Path) -> Result<Self> {
        let failure = |e: &io::Error| Failure::io("restoring into", directory, e);
        let mut made = Vec::new();
        for ancestor in directory.ancestors() {
            if ancestor.as_os_str().is_empty() || ancestor.exists() {
                break;
            }
            made.insert(0, ancestor.to_path_buf());
        }
        fs::create_dir_all(directory).map_err(|e| failure(&e))?;
        let folder = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            sys::open(path, flags, Mode::empty()).map_err(|e| failure(&e.into()))
        };
        let target = folder(directory)?;
        let temporary = tempfile::Builder::new()
            .prefix(".dbs-unfinished-")
            .tempdir_in(directory)
            .map_err(|e| failure(&e))?;
        let root = folder(temporary.path())?;
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Stage {
            directory: directory.to_path_buf(),
            made,
            target,
            root,
            unfinished: Some(Unfinished::new(temporary.path())),
            temporary: Some(temporary),
            umask: umask.as_raw_mode() as u32,
            placed: false,
        })
    }

    /// A handle of the stage, to make files in.
    ///
    /// # Errors
    /// The system has no handle left.
    pub fn root(&self) -> Result<OwnedFd> {
        self.root.try_clone().map_err(|e| self.failure(&e))
    }

    /// Refuses a name that exists already: asked before any work.
    ///
    /// # Errors
    /// Something has it.
    pub fn check(&self, name: &[u8]) -> Result<()> {
        // A name that leads outside will be refused, whatever is there.
        if path::parts(name).is_none() {
            return Ok(());
        }
        let name = path::tidy(name);
        match CString::new(name.clone()) {
            Ok(as_name)
                if !name.is_empty()
                    && sys::statat(&self.target, &*as_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() =>
            {
                Err(self.exists(&name))
            }
            _ => Ok(()),
        }
    }

    /// Moves everything from the stage into the folder and gives the folders their metadata.
    ///
    /// # Errors
    /// Something exists already and `force` is not set: nothing is moved then. Or what the operating
    /// system says.
    pub fn place(
        mut self,
        folders: &BTreeMap<Vec<u8>, Option<Metadata>>,
        force: bool,
        console: &Console,
    ) -> Result<()> {
        self.sync()?;
        self.clash(
            self.root.as_fd(),
            self.target.as_fd(),
            &mut Vec::new(),
            force,
        )?;
        let _held = hold_off();
        self.placed = true;
        let mut merged = HashSet::new();
        self.merge(
            self.root.as_fd(),
            self.target.as_fd(),
            &mut Vec::new(),
            force,
            &mut merged,
        )?;
        // Those within first: a folder that cannot be written must have all that belongs in it.
        let mut lost = 0u64;
        for (name, metadata) in folders.iter().rev() {
            let known = merged.contains(name);
            if known && !(force && metadata.is_some()) {
                continue;
            }
            match self.finish_folder(name, metadata.as_ref()) {
                Ok(None) => {}
                Ok(Some(_)) => lost += 1,
                Err(e) => return Err(self.failure_at(name, &e)),
            }
        }
        if lost > 0 {
            console.note(&format!(
                "{lost} folders did not get their owner or their extended attributes"
            ));
        }
        self.unfinished = None;
        if let Some(temporary) = self.temporary.take() {
            temporary.close().map_err(|e| self.failure(&e))?;
        }
        self.sync()
    }

    fn finish_folder(
        &self,
        name: &[u8],
        metadata: Option<&Metadata>,
    ) -> io::Result<Option<&'static str>> {
        let mut folder: Option<OwnedFd> = None;
        for part in path::parts(name).unwrap_or_default() {
            let from = folder.as_ref().map_or(self.target.as_fd(), AsFd::as_fd);
            folder = Some(open_folder(from, part).map_err(|problem| match problem {
                Problem::Refused(why) => io::Error::other(why),
                Problem::Source(e) | Problem::Target(e) => e,
            })?);
        }
        let Some(folder) = folder else {
            return Ok(None);
        };
        match metadata {
            Some(metadata) => metadata.apply(folder.as_fd(), true),
            None => {
                let mode = Mode::from_raw_mode((0o777 & !self.umask) as _);
                sys::fchmod(&folder, mode)?;
                Ok(None)
            }
        }
    }

    /// Looks for what is in the way, before anything is moved.
    fn clash(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        at: &mut Vec<u8>,
        force: bool,
    ) -> Result<()> {
        self.each(from, at, |name, at| {
            let Some((source, target)) = self.kinds(from, to, name, at)? else {
                return Ok(());
            };
            match (source, target) {
                (FileType::Directory, FileType::Directory) => {
                    let (from, to) = self.descend(from, to, name, at)?;
                    self.clash(from.as_fd(), to.as_fd(), at, force)
                }
                (_, FileType::Directory) => Err(Failure::new(
                    Code::System,
                    format!(
                        "{} is a folder, and the backup has a file of that name",
                        self.show(at)
                    ),
                )
                .hint("Move the folder away, or restore into another one with -C DIR.")),
                _ if force => Ok(()),
                _ => Err(self.exists(at)),
            }
        })
    }

    fn merge(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        at: &mut Vec<u8>,
        force: bool,
        merged: &mut HashSet<Vec<u8>>,
    ) -> Result<()> {
        self.each(from, at, |name, at| {
            let failure = |e: Errno| self.failure_at(at, &e.into());
            match rename_new(from, to, name) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(failure(e)),
            }
            let kinds = self.kinds(from, to, name, at)?;
            match kinds {
                Some((FileType::Directory, FileType::Directory)) => {
                    merged.insert(at.clone());
                    let (from, to) = self.descend(from, to, name, at)?;
                    return self.merge(from.as_fd(), to.as_fd(), at, force, merged);
                }
                // It came into being since it was looked for.
                Some(_) if !force => return Err(self.exists(at)),
                Some((FileType::Directory, _)) => {
                    sys::unlinkat(to, name, AtFlags::empty()).map_err(failure)?;
                }
                _ => {}
            }
            sys::renameat(from, name, to, name).map_err(failure)
        })
    }

    /// Calls for every name in a folder of the stage, with its path from the stage.
    fn each(
        &self,
        folder: BorrowedFd<'_>,
        at: &mut Vec<u8>,
        mut call: impl FnMut(&CStr, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut list = Vec::new();
        let entries = sys::Dir::read_from(folder).map_err(|e| self.failure_at(at, &e.into()))?;
        for entry in entries {
            let entry = entry.map_err(|e| self.failure_at(at, &e.into()))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                list.push(entry.file_name().to_owned());
            }
        }
        let length = at.len();
        for name in list {
            if length > 0 {
                at.push(b'/');
            }
            at.extend_from_slice(name.as_bytes());
            call(&name, at)?;
            at.truncate(length);
        }
        Ok(())
    }

    /// What has this name in the stage and in the target; none if the target has nothing.
    fn kinds(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        at: &[u8],
    ) -> Result<Option<(FileType, FileType)>> {
        let kind = |folder| {
            sys::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode))
        };
        match kind(to) {
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(self.failure_at(at, &e.into())),
            Ok(target) => {
                let source = kind(from).map_err(|e| self.failure_at(at, &e.into()))?;
                Ok(Some((source, target)))
            }
        }
    }

    fn descend(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        at: &[u8],
    ) -> Result<(OwnedFd, OwnedFd)> {
        let name = OsStr::from_bytes(name.to_bytes());
        let open = |folder| {
            open_folder(folder, name).map_err(|problem| match problem {
                Problem::Refused(why) => self.failure_at(at, &io::Error::other(why)),
                Problem::Source(e) | Problem::Target(e) => self.failure_at(at, &e),
            })
        };
        Ok((open(from)?, open(to)?))
    }

    /// Brings everything in the stage and the target to the disk, which is one file system.
    fn sync(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        return sys::syncfs(&self.target).map_err(|e| self.failure(&e.into()));
        #[cfg(not(target_os = "linux"))]
        {
            sys::sync();
            Ok(())
        }
    }

    fn show(&self, name: &[u8]) -> String {
        names::path(&self.directory.join(OsStr::from_bytes(name)))
    }

    fn exists(&self, name: &[u8]) -> Failure {
        Failure::usage(format!("{} exists already", self.show(name)))
            .hint("Restore into another folder with -C DIR, or replace files with --force.")
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::io("restoring into", &self.directory, error)
    }

    fn failure_at(&self, name: &[u8], error: &io::Error) -> Failure {
        Failure::new(
            Code::System,
            format!("restoring {}: {}", self.show(name), reason(error)),
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.temporary = None;
        if !self.placed {
            // Those that somebody has put something into meanwhile stay.
            for folder in self.made.iter().rev() {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

/// Renames unless something has the name.
fn rename_new(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    match sys::renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
        // Not every file system can do it in one step.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        other => return other,
    }
    match sys::statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(_) => sys::renameat(from, name, to, name),
    }
}
