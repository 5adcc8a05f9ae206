//! The command line, as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Backups that heal themselves: encrypted, redundant, one file.
#[derive(Debug, Parser)]
#[command(name = "dbs", version, max_term_width = 100, propagate_version = true)]
#[command(after_help = "\
Passphrase: --passphrase-file, --passphrase-stdin, $DBS_PASSPHRASE, or a prompt on a terminal.
Exit codes: 0 done; 1 validate: damaged, all of it recoverable; 2 usage; 3 damaged beyond repair,
or something was left out; 4 wrong passphrase; 5 authentication failed; 6 not a .dbs file, or an
unsupported version; 7 input/output or a limit.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Print neither progress nor notes; errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Back up files and folders, or one stream, into a .dbs file
    Backup(Backup),
    /// Bring back what a .dbs file holds
    Restore(Restore),
    /// Check a .dbs file; needs no passphrase
    Validate(Validate),
    /// Write a .dbs file anew with all damage healed; needs no passphrase
    Repair(Repair),
    /// List the files in a .dbs file
    List(List),
    /// Say what a .dbs file is and what damage it survives; needs no passphrase
    Info(Info),
    /// Write a backup of any version anew as version 3, with the same passphrase
    Convert(Convert),
    /// Add, remove or change a passphrase without encrypting anew
    Passphrase(ChangePassphrase),
}

/// Where the passphrase comes from.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Passphrase (or $DBS_PASSPHRASE)")]
pub struct PassphraseArgs {
    /// Read the passphrase from the first line of this file
    #[arg(long, value_name = "F", conflicts_with = "passphrase_stdin")]
    pub passphrase_file: Option<PathBuf>,

    /// Read the passphrase from one line of standard input
    #[arg(long)]
    pub passphrase_stdin: bool,
}

/// `dbs backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Files and folders; "-" alone takes standard input as one stream
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// The backup file; "-" is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Version of the format; 1 and 2 are for django-dbs
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub format: u8,

    /// How the file is written.
    #[command(flatten)]
    pub write: WriteArgs,

    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// How a file is written.
#[derive(Debug, Args)]
pub struct WriteArgs {
    /// How the redundancy is laid out
    #[arg(long, value_enum, default_value_t = Profile::Standard)]
    pub profile: Profile,

    /// zstd[=LEVEL] or none
    #[arg(long, value_name = "HOW", default_value = "zstd=3", value_parser = parse_compression)]
    pub compress: Compression,

    /// How to check the file after it is written, by reading it back from the disk
    #[arg(long, value_enum, default_value_t = Verify::Full)]
    pub verify: Verify,

    /// Cost of guessing the passphrase: Argon2id passes, KiB of memory, lanes
    #[arg(long, value_name = "COST", default_value = "t=3,m=65536,p=4", value_parser = parse_kdf)]
    pub kdf: Kdf,

    /// Threads to work with; 0 takes one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Blocks between the two copies; 0 puts them half a file apart and needs a seekable output
    #[arg(long, value_name = "N")]
    pub lag: Option<u32>,

    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// `dbs convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// The backup file, of any version
    pub file: PathBuf,

    /// The new backup file; "-" is standard output
    #[arg(short, long, value_name = "NEW")]
    pub output: PathBuf,

    /// How the file is written.
    #[command(flatten)]
    pub write: WriteArgs,

    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `dbs restore`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["directory", "output"]))]
pub struct Restore {
    /// The backup file
    pub file: PathBuf,

    /// Restore the files and folders into this folder
    #[arg(short = 'C', long, value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// Write the stream (of files and folders: the tar) to this file; "-" is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Restore these files and folders only, named as `dbs list` names them
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "output")]
    pub only: Vec<OsString>,

    /// Go on past damage beyond repair, and say what is missing
    #[arg(long)]
    pub salvage: bool,

    /// Use the header page of this generation: passphrases that were removed later open it
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,

    /// Replace files that exist
    #[arg(long)]
    pub force: bool,

    /// Write a report as JSON to standard output
    #[arg(long)]
    pub json: bool,

    /// Threads to work with; 0 takes one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `dbs validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// The backup file
    pub file: PathBuf,

    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,

    /// Threads to work with; 0 takes one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `dbs repair`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["output", "in_place"]))]
pub struct Repair {
    /// The damaged backup file
    pub file: PathBuf,

    /// Write the healed file here
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,

    /// Replace FILE by the healed file, once that is complete
    #[arg(long)]
    pub in_place: bool,

    /// Other damaged copies of the same backup, to take good parts from
    #[arg(long, value_name = "OTHER", num_args = 1..)]
    pub with: Vec<PathBuf>,

    /// Use the header page of this generation: passphrases that were removed later open it
    #[arg(long, value_name = "N")]
    pub generation: Option<u32>,

    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,

    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,

    /// Threads to work with; 0 takes one for each processor
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// The passphrase: where the tags of a block of version 2 are lost, or header pages differ (in place).
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `dbs list`.
#[derive(Debug, Args)]
pub struct List {
    /// The backup file
    pub file: PathBuf,

    /// Write the list as JSON
    #[arg(long)]
    pub json: bool,

    /// The passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `dbs info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The backup file
    pub file: PathBuf,

    /// Write the facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// `dbs passphrase`.
#[derive(Debug, Args)]
pub struct ChangePassphrase {
    /// The backup file
    pub file: PathBuf,

    /// What to do with its passphrases
    #[arg(value_enum)]
    pub action: PassphraseAction,

    /// Read the new passphrase from the first line of this file
    #[arg(long, value_name = "F", conflicts_with = "new_passphrase_stdin")]
    pub new_passphrase_file: Option<PathBuf>,

    /// Read the new passphrase from one line of standard input
    #[arg(long)]
    pub new_passphrase_stdin: bool,

    /// Cost of guessing the new passphrase: Argon2id passes, KiB of memory, lanes
    #[arg(long, value_name = "COST", default_value = "t=3,m=65536,p=4", value_parser = parse_kdf)]
    pub kdf: Kdf,

    /// The present passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// What to do with the passphrases of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PassphraseAction {
    /// A second passphrase opens the file as well
    Add,
    /// The passphrase given opens the file no longer
    Remove,
    /// A new passphrase takes the place of the one given
    Change,
}

/// How the redundancy is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Two full copies with different parity; 2.2 times the size
    Standard,
    /// One copy and as much parity again; survives nearly twice as much, costs more time
    Coded,
    /// One copy with parity; 1.2 times the size
    Light,
}

/// How a backup is checked once it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Verify {
    /// Every sector, and everything decrypted
    Full,
    /// Every sector's checksum, with no decryption
    Tags,
    /// Not at all
    None,
}

/// How the payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard at this level.
    Zstd(i32),
}

/// The cost of Argon2id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kdf {
    /// Passes.
    pub passes: u16,
    /// Memory in KiB.
    pub memory: u32,
    /// Lanes.
    pub lanes: u8,
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    match text.split_once('=') {
        None if text == "none" => Ok(Compression::None),
        None if text == "zstd" => Ok(Compression::Zstd(3)),
        Some(("zstd", level)) => match level.parse() {
            Ok(level @ 1..=22) => Ok(Compression::Zstd(level)),
            _ => Err("the level is a number from 1 to 22".into()),
        },
        _ => Err("expected none, zstd or zstd=LEVEL".into()),
    }
}

fn parse_kdf(text: &str) -> Result<Kdf, String> {
    let mut kdf = Kdf {
        passes: 3,
        memory: 65536,
        lanes: 4,
    };
    for part in text.split(',') {
        let (name, value) = part
            .split_once('=')
            .ok_or("expected t=PASSES,m=KIB,p=LANES")?;
        let wrong = |_| format!("{value:?} is not a number that {name} can take");
        match name.trim() {
            "t" => kdf.passes = value.parse().map_err(wrong)?,
            "m" => kdf.memory = value.parse().map_err(wrong)?,
            "p" => kdf.lanes = value.parse().map_err(wrong)?,
            _ => return Err(format!("unknown parameter {name:?}; there are t, m and p")),
        }
    }
    if kdf.passes == 0 || kdf.lanes == 0 || kdf.memory < 8 * u32::from(kdf.lanes) {
        return Err("t and p are at least 1, m is at least 8 times p".into());
    }
    Ok(kdf)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn compression_is_parsed() {
        assert_eq!(parse_compression("none"), Ok(Compression::None));
        assert_eq!(parse_compression("zstd"), Ok(Compression::Zstd(3)));
        assert_eq!(parse_compression("zstd=19"), Ok(Compression::Zstd(19)));
        for bad in ["", "zstd=0", "zstd=23", "zstd=x", "lz4", "none=3"] {
            assert!(parse_compression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kdf_is_parsed() {
        let parsed = parse_kdf("t=1,m=64,p=2");
        assert_eq!(
            parsed,
            Ok(Kdf {
                passes: 1,
                memory: 64,
                lanes: 2
            })
        );
        assert_eq!(parse_kdf("t=4").map(|kdf| kdf.memory), Ok(65536));
        for bad in ["", "t", "t=0", "p=0", "m=31,p=4", "t=70000", "x=1", "t=-1"] {
            assert!(parse_kdf(bad).is_err(), "{bad}");
        }
    }
}
