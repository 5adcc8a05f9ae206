//! The command `dbs`.

fn main() {}
