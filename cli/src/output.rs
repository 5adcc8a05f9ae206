//! Outputs that appear whole or not at all: written beside their target, synced, renamed.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::failure::{Failure, Result};
use crate::names;
use crate::signals::Unfinished;

/// Where a command writes its bytes.
#[derive(Debug)]
pub struct Output {
    file: File,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Standard output.
    Stdout,
    /// A device, a pipe: written as it is, as there is nothing to rename.
    Device(PathBuf),
    /// A new file beside the target.
    Beside {
        temporary: TempPath,
        target: PathBuf,
        force: bool,
        unfinished: Unfinished,
    },
}

impl Output {
    /// Opens the output: `-` is standard output, a path is a file that must not exist unless
    /// `force` is set.
    ///
    /// # Errors
    /// The target exists, its folder cannot be written, or standard output is a terminal.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        if names::is_dash(path) {
            return Self::stdout();
        }
        if path.as_os_str().is_empty() {
            return Err(Failure::usage("the name of the output is empty"));
        }
        let target = match fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                let message = format!("{} is a folder", names::path(path));
                return Err(Failure::usage(message).hint("Name a file in it as the output."));
            }
            Ok(found) if !found.is_file() => {
                let file = File::options()
                    .write(true)
                    .open(path)
                    .map_err(|e| Failure::io("opening", path, &e))?;
                let place = Place::Device(path.to_path_buf());
                return Ok(Output { file, place });
            }
            Ok(_) if !force => return Err(exists(path)),
            // The file that a link leads to is replaced, not the link.
            Ok(_) => fs::canonicalize(path).map_err(|e| Failure::io("opening", path, &e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // A link that leads nowhere is not followed, nor replaced unasked.
                if !force && path.symlink_metadata().is_ok() {
                    return Err(exists(path));
                }
                path.to_path_buf()
            }
            Err(e) => return Err(Failure::io("opening", path, &e)),
        };
        Self::beside(target, force)
    }

    fn stdout() -> Result<Self> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(
                Failure::usage("standard output is a terminal, and this is binary")
                    .hint("Redirect it (> FILE, or | COMMAND), or name a file with -o FILE."),
            );
        }
        let owned = stdout.as_fd().try_clone_to_owned();
        let file = File::from(owned.map_err(|e| Failure::stdout(&e))?);
        Ok(Output {
            file,
            place: Place::Stdout,
        })
    }

    fn beside(target: PathBuf, force: bool) -> Result<Self> {
        let folder = folder_of(&target);
        let named = tempfile::Builder::new()
            .prefix(".dbs-unfinished-")
            // Narrowed by the umask, as for any new file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| {
                let failure = Failure::io("writing a file in", folder, &e);
                match e.kind() {
                    io::ErrorKind::NotFound => failure.hint(format!(
                        "Make the folder first: mkdir -p {}",
                        names::path(folder)
                    )),
                    _ => failure,
                }
            })?;
        let unfinished = Unfinished::new(named.path());
        let (file, temporary) = named.into_parts();
        Ok(Output {
            file,
            place: Place::Beside {
                temporary,
                target,
                force,
                unfinished,
            },
        })
    }

    /// The open file. Its position is that of every clone of it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path where the bytes can be read back before they have their name; none if they cannot.
    pub fn readable(&self) -> Option<&Path> {
        match &self.place {
            Place::Beside { temporary, .. } => Some(temporary),
            _ => None,
        }
    }

    /// Whether this is standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// An error of writing here, with its place.
    pub fn failure(&self, error: &io::Error) -> Failure {
        match &self.place {
            Place::Stdout => Failure::stdout(error),
            Place::Device(path) => Failure::io("writing", path, error),
            Place::Beside { target, .. } => Failure::io("writing", target, error),
        }
    }

    /// Brings the bytes to the disk.
    ///
    /// # Errors
    /// What the operating system says; a full disk may show only here.
    pub fn sync(&self) -> Result<()> {
        match self.place {
            Place::Beside { .. } => self.file.sync_all().map_err(|e| self.failure(&e)),
            // Pipes and terminals cannot be synced, and most devices need not.
            _ => Ok(()),
        }
    }

    /// Gives the permissions of another file, before [`Output::commit`].
    ///
    /// # Errors
    /// What the operating system says.
    pub fn permissions_like(&self, path: &Path) -> Result<()> {
        let like = fs::metadata(path).map_err(|e| Failure::io("reading", path, &e))?;
        self.file
            .set_permissions(like.permissions())
            .map_err(|e| self.failure(&e))
    }

    /// Syncs the file, gives it its name and syncs the folder. Without this nothing stays.
    ///
    /// # Errors
    /// What the operating system says, or the target has come into being meanwhile.
    pub fn commit(self) -> Result<()> {
        self.sync()?;
        let Output { file, place } = self;
        let Place::Beside {
            temporary,
            target,
            force,
            unfinished,
        } = place
        else {
            return Ok(());
        };
        let named = NamedTempFile::from_parts(file, temporary);
        let done = if force {
            named.persist(&target)
        } else {
            named.persist_noclobber(&target)
        };
        drop(unfinished);
        done.map_err(|e| match e.error.kind() {
            io::ErrorKind::AlreadyExists => exists(&target),
            _ => Failure::io("renaming to", &target, &e.error),
        })?;
        sync_folder(folder_of(&target))
    }
}

/// Brings the names in a folder to the disk.
///
/// # Errors
/// What the operating system says.
pub fn sync_folder(folder: &Path) -> Result<()> {
    match File::open(folder).and_then(|opened| opened.sync_all()) {
        // Some file systems cannot sync a folder, or need not.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(e) => Err(Failure::io("syncing the folder", folder, &e)),
        Ok(()) => Ok(()),
    }
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str() != OsStr::new("") => parent,
        _ => Path::new("."),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::usage(format!("{} exists already", names::path(path)))
        .hint("Choose another name, or replace it with --force.")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let target = folder.path().join("x.dbs");
        let output = Output::create(&target, false).expect("create");
        output.file().write_all(b"half").expect("write");
        assert_eq!(entries(folder.path()), 1);
        assert!(!target.exists());
        drop(output);
        assert_eq!(entries(folder.path()), 0);

        let output = Output::create(&target, false).expect("create");
        output.file().write_all(b"whole").expect("write");
        output.commit().expect("commit");
        assert_eq!(fs::read(&target).expect("read"), b"whole");
        assert_eq!(entries(folder.path()), 1);
    }

    #[test]
    fn nothing_is_replaced_unasked() {
        let folder = tempfile::tempdir().expect("folder");
        let target = folder.path().join("x");
        fs::write(&target, "old").expect("write");
        assert!(Output::create(&target, false).is_err());
        Output::create(&target, true)
            .expect("create")
            .commit()
            .expect("commit");
        assert_eq!(fs::read(&target).expect("read"), b"");

        // It came into being while the output was written.
        let late = folder.path().join("late");
        let output = Output::create(&late, false).expect("create");
        fs::write(&late, "theirs").expect("write");
        assert!(output.commit().is_err());
        assert_eq!(fs::read(&late).expect("read"), b"theirs");
        assert_eq!(entries(folder.path()), 2);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("folder");
        let (target, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&target, "old").expect("write");
        std::os::unix::fs::symlink("real", &link).expect("link");
        assert!(Output::create(&link, false).is_err());
        let output = Output::create(&link, true).expect("create");
        output.file().write_all(b"new").expect("write");
        output.commit().expect("commit");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&target).expect("read"), b"new");
    }

    #[test]
    fn devices_are_written_as_they_are() {
        let output = Output::create(Path::new("/dev/null"), false).expect("create");
        output.file().write_all(b"gone").expect("write");
        assert_eq!(output.readable(), None);
        output.commit().expect("commit");
    }

    #[test]
    fn folders_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(Output::create(folder.path(), true).is_err());
        assert!(Output::create(&folder.path().join("no/such"), true).is_err());
    }
}
