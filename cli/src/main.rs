//! The command `dbs`.

mod args;
mod console;
mod failure;
mod names;
mod output;
mod passphrase;
mod signals;
mod tree;

fn main() {}
