//! The subcommands, one room each.

pub mod backup;
pub mod list;
pub mod restore;
pub mod tree;
