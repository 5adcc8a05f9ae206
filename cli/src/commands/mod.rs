//! The subcommands, one room each.

pub mod backup;
pub mod convert;
pub mod django;
pub mod info;
pub mod legacy;
pub mod list;
pub mod old_info;
pub mod only;
pub mod passphrase;
pub mod repair;
pub mod restore;
pub mod tree;
pub mod validate;
