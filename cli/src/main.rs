//! The command `dbs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dbs_cli::main()
}
