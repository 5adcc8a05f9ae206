//! The command `dbs`.

mod args;
mod console;
mod failure;
mod names;
mod output;
mod passphrase;
mod report;
mod signals;
mod survival;
mod tree;

fn main() {}
