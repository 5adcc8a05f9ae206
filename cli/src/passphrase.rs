//! Where passphrases come from: a file, standard input, the environment, or a prompt; never the
//! command line, where every user of the machine can read them.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dbs::Passphrase;
use zeroize::{Zeroize, Zeroizing};

use crate::args::PassphraseArgs;
use crate::failure::{Code, Failure, Result};

/// The environment variable.
pub const VARIABLE: &str = "DBS_PASSPHRASE";

/// More than this is a wrong file, not a passphrase.
const LONGEST: usize = 64 * 1024;

/// Where to take one passphrase from.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// A file whose first line it is.
    pub file: Option<&'a PathBuf>,
    /// Whether the next line of standard input is it.
    pub stdin: bool,
    /// Whether `$DBS_PASSPHRASE` may hold it.
    pub environment: bool,
    /// What to ask on a terminal.
    pub prompt: &'a str,
    /// Ask twice, as nobody can tell a typing error later.
    pub confirm: bool,
    /// The options that give it, for the error that says it is missing.
    pub options: &'a str,
}

impl<'a> Wanted<'a> {
    /// The passphrase of an existing file.
    pub fn existing(args: &'a PassphraseArgs) -> Self {
        Wanted {
            file: args.passphrase_file.as_ref(),
            stdin: args.passphrase_stdin,
            environment: true,
            prompt: "Passphrase: ",
            confirm: false,
            options: "--passphrase-file F, --passphrase-stdin or $DBS_PASSPHRASE",
        }
    }

    /// The passphrase of a file that is about to be written.
    pub fn fresh(args: &'a PassphraseArgs) -> Self {
        Wanted {
            confirm: true,
            prompt: "Passphrase for the backup: ",
            ..Wanted::existing(args)
        }
    }

    /// Takes the passphrase from where the options or the environment have it, without a prompt.
    ///
    /// # Errors
    /// The file cannot be read, or what is there is not a passphrase.
    pub fn given(&self) -> Result<Option<Passphrase>> {
        if let Some(path) = self.file {
            return from_file(path).map(Some);
        }
        if self.stdin {
            let line = read_line(io::stdin().lock())
                .map_err(|e| Failure::io("reading the passphrase from", Path::new("-"), &e))?;
            return checked(line, "standard input").map(Some);
        }
        if self.environment
            && let Some(value) = std::env::var_os(VARIABLE)
        {
            let bytes = Zeroizing::new(value.into_vec());
            return checked(bytes, "$DBS_PASSPHRASE").map(Some);
        }
        Ok(None)
    }

    /// Takes the passphrase from the options, the environment, or a prompt on a terminal.
    ///
    /// # Errors
    /// There is none, or two different ones were typed.
    pub fn obtain(&self) -> Result<Passphrase> {
        if let Some(passphrase) = self.given()? {
            return Ok(passphrase);
        }
        if !io::stderr().is_terminal() && !io::stdin().is_terminal() {
            return Err(self.missing());
        }
        let first = self.ask(self.prompt)?;
        if self.confirm {
            let second = self.ask("Once more, to be sure: ")?;
            if first != second {
                return Err(Failure::usage("the two passphrases differ"));
            }
        }
        checked(first, "the prompt")
    }

    fn ask(&self, prompt: &str) -> Result<Zeroizing<Vec<u8>>> {
        let typed = rpassword::prompt_password(prompt).map_err(|e| {
            // At the prompt the terminal hands Ctrl-C over as a key.
            if e.kind() == io::ErrorKind::Interrupted {
                crate::signals::interrupt();
            }
            self.missing()
        })?;
        Ok(Zeroizing::new(typed.into_bytes()))
    }

    fn missing(&self) -> Failure {
        Failure::usage("a passphrase is needed, and there is no terminal to ask on")
            .hint(format!("Give it with {}.", self.options))
    }
}

fn from_file(path: &Path) -> Result<Passphrase> {
    let file = File::open(path).map_err(|e| Failure::io("opening", path, &e))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(LONGEST as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::io("reading", path, &e))?;
    if let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        bytes[end..].zeroize();
        bytes.truncate(end);
    }
    trim_return(&mut bytes);
    checked(bytes, &crate::names::path(path))
}

/// Reads one line byte by byte, so that the next line stays where it is for whoever reads next.
fn read_line(mut input: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    let mut byte = [0];
    while line.len() <= LONGEST {
        match input.read(&mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    byte.zeroize();
    trim_return(&mut line);
    Ok(line)
}

fn trim_return(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
}

fn checked(bytes: Zeroizing<Vec<u8>>, place: &str) -> Result<Passphrase> {
    if bytes.is_empty() {
        return Err(Failure::usage(format!(
            "the passphrase from {place} is empty"
        )));
    }
    if bytes.len() > LONGEST {
        let message = format!("the passphrase from {place} is longer than {LONGEST} bytes");
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(Passphrase::new(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_at_a_time() {
        let mut input = &b"first\r\nse cond \n\nlast"[..];
        let mut next = || read_line(&mut input).map(|line| line.to_vec()).ok();
        assert_eq!(next(), Some(b"first".to_vec()));
        assert_eq!(next(), Some(b"se cond ".to_vec()));
        assert_eq!(next(), Some(Vec::new()));
        assert_eq!(next(), Some(b"last".to_vec()));
    }

    #[test]
    fn empty_and_endless_ones_are_refused() {
        assert!(checked(Zeroizing::new(Vec::new()), "here").is_err());
        let endless = read_line(io::repeat(b'x')).ok();
        assert_eq!(endless.as_ref().map(|line| line.len()), Some(LONGEST + 1));
        assert!(checked(endless.unwrap_or_default(), "here").is_err());
    }

    #[test]
    fn files_give_their_first_line() {
        let file = tempfile::NamedTempFile::new().expect("temp file");
        std::fs::write(file.path(), "secret\nnote\n").expect("write");
        assert!(from_file(file.path()).is_ok());
        std::fs::write(file.path(), "\nsecret\n").expect("write");
        assert!(from_file(file.path()).is_err());
    }
}
