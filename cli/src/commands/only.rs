//! `--only`: the names that are wanted.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::names;
use crate::tree::path;

/// The names that are wanted.
#[derive(Debug)]
pub struct Only {
    names: Vec<Vec<u8>>,
    /// Those that something was found for.
    matched: HashSet<usize>,
}

impl Only {
    /// What the command line names; everything, if it names nothing.
    pub fn new(names: &[OsString]) -> Self {
        let names = names.iter();
        Only {
            names: names.map(|n| path::tidy(n.as_encoded_bytes())).collect(),
            matched: HashSet::new(),
        }
    }

    /// Whether a member is wanted.
    pub fn wants(&mut self, name: &[u8]) -> bool {
        let name = path::tidy(name);
        let mut wanted = self.names.is_empty();
        for (at, only) in self.names.iter().enumerate() {
            if path::within(&name, only) {
                self.matched.insert(at);
                wanted = true;
            }
        }
        wanted
    }

    /// Whether something was found for every name.
    ///
    /// # Errors
    /// There was nothing for one of them.
    pub fn all_matched(&self, file: &Path) -> Result<()> {
        let unmatched = (0..self.names.len()).find(|at| !self.matched.contains(at));
        let Some(at) = unmatched else {
            return Ok(());
        };
        let (file, name) = (names::path(file), names::show(&self.names[at]));
        Err(
            Failure::usage(format!("{file} has no file or folder {name}"))
                .hint(format!("See what it has: dbs list {file}")),
        )
    }
}
