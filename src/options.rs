//! How a container is opened.

use std::fmt;
use std::sync::Arc;

use crate::Limits;

/// How a container is opened.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// What the file may cost.
    pub limits: Limits,
    /// Worker threads; 0 takes as many as there are cores.
    pub threads: usize,
    /// The generation of the header page to be used, where the file holds several: an older one than
    /// the one that counts brings removed passphrases back. Version 3 only.
    pub generation: Option<u32>,
    /// Is told how many blocks are done, of how many.
    pub progress: Option<Arc<dyn Fn(u64, u64) + Send + Sync>>,
}

impl OpenOptions {
    pub(crate) fn report_progress(&self, done: u64, total: u64) {
        if let Some(progress) = &self.progress {
            progress(done, total);
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("limits", &self.limits)
            .field("threads", &self.threads)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
