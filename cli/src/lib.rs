//! The command `dbs`, as a library for its `main` and for the fuzzer: `fuzz/`.

pub mod args;
mod codec;
mod commands;
pub mod console;
mod container;
pub mod failure;
mod names;
mod output;
mod passphrase;
mod report;
mod signals;
mod tree;
mod window;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::console::Console;
use crate::failure::{Code, Result};

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new(cli.quiet);
    if let Err(error) = signals::watch() {
        console.note(&format!("signals cannot be watched: {error}"));
    }
    raise_handle_limit();
    match run(&cli, &console) {
        Ok(code) => ExitCode::from(code as u8),
        Err(failure) => {
            signals::yield_to_handler();
            failure.print();
            ExitCode::from(failure.code as u8)
        }
    }
}

/// Runs one command.
///
/// # Errors
/// See [`Code`].
pub fn run(cli: &Cli, console: &Console) -> Result<Code> {
    match &cli.command {
        Command::Backup(args) => commands::backup::run(args, console),
        Command::Restore(args) => commands::restore::run(args, console),
        Command::List(args) => commands::list::run(args, console),
        Command::Validate(args) => commands::validate::run(args, console),
        Command::Repair(args) => commands::repair::run(args, console),
        Command::Info(args) => commands::info::run(args, console),
        Command::Convert(args) => commands::convert::run(args, console),
        Command::Passphrase(args) => commands::passphrase::run(args, console),
    }
}

/// Deep trees are walked with a handle for each level.
fn raise_handle_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    // The system may have no bound at all, which is more than it can give.
    limit.current = Some(limit.maximum.unwrap_or(u64::MAX).min(1 << 16));
    let _ = setrlimit(Resource::Nofile, limit);
}
