//! How a command ends when it does not end well: an exit code, what happened, what to do next.

use std::fmt::Display;
use std::io;
use std::path::Path;

use crate::names;
use crate::output::folder_of;

/// The result of a command's parts.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The exit codes, a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Done = 0,
    /// `validate`: damaged, and all of it recoverable.
    Recoverable = 1,
    /// The command line asks for something that cannot be.
    Usage = 2,
    /// Damage beyond repair, or something was left out.
    Lost = 3,
    /// Wrong passphrase.
    Passphrase = 4,
    /// Authentication failed: altered.
    Altered = 5,
    /// Not a `.dbs` file, or an unsupported version.
    Format = 6,
    /// Input/output, or a limit.
    System = 7,
}

/// What went wrong, in a user's words.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What happened, and where.
    pub message: String,
    /// What to do next; several lines are allowed.
    pub hint: Option<String>,
    /// Further lines, such as the blocks and files that are lost.
    pub details: Vec<String>,
}

impl Failure {
    /// A failure with no hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
            hint: None,
            details: Vec::new(),
        }
    }

    /// The command line asks for something that cannot be.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::new(Code::Usage, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An input or output error at a path.
    pub fn io(doing: impl Display, path: &Path, error: &io::Error) -> Self {
        let failure = Failure::new(
            Code::System,
            format!("{doing} {}: {}", names::path(path), reason(error)),
        );
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.hint(
                "Nothing was left behind. Free some space, or write to another disk, and run the \
                 same command again.",
            ),
            io::ErrorKind::NotFound => failure.hint(format!(
                "See what is there: ls -l {}",
                names::path(folder_of(path))
            )),
            io::ErrorKind::PermissionDenied => failure.hint(format!(
                "See who may do that: ls -ld {0} {1}",
                names::path(folder_of(path)),
                names::path(path)
            )),
            _ => failure,
        }
    }

    /// Writing to standard output failed.
    pub fn stdout(error: &io::Error) -> Self {
        let what = match error.kind() {
            io::ErrorKind::BrokenPipe => "the reader of standard output closed it early".into(),
            _ => format!("writing to standard output: {}", reason(error)),
        };
        Failure::new(Code::System, what)
    }

    /// Prints the failure to standard error.
    pub fn print(&self) {
        names::eprint_lossy(&format!("dbs: {}", self.message));
        for line in &self.details {
            names::eprint_lossy(&format!("  {line}"));
        }
        if let Some(hint) = &self.hint {
            names::eprint_lossy(hint);
        }
    }
}

/// An error of the operating system without the "(os error 28)" that says nothing to a user.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_names_place_and_next_step() {
        let full = io::Error::from_raw_os_error(28);
        let failure = Failure::io("writing", Path::new("/mnt/x.dbs"), &full);
        assert_eq!(failure.code, Code::System);
        assert_eq!(
            failure.message,
            "writing /mnt/x.dbs: No space left on device"
        );
        assert!(failure.hint.is_some());
    }
}
