//! The subcommands, one room each.

pub mod backup;
pub mod django;
pub mod info;
pub mod list;
pub mod only;
pub mod passphrase;
pub mod repair;
pub mod restore;
pub mod tree;
pub mod validate;
