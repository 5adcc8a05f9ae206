//! One front for all versions.

use std::fmt;
use std::io::{Seek, Write};
use std::sync::Arc;

use crate::v3::container::Container;
use crate::v3::payload::Payload;
use crate::{Limits, Passphrase, Report, Result, Source};

/// The version of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// Written by django-dbs 0.1.0 to 0.6.0.
    V1,
    /// Written by django-dbs 0.7.0.
    V2,
    /// Our own.
    V3,
}

impl Version {
    /// The number as it stands in the file.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Version::V1 => 1,
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }
}

/// How a container is opened.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// What the file may cost.
    pub limits: Limits,
    /// Worker threads; 0 takes as many as there are cores.
    pub threads: usize,
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
            .finish_non_exhaustive()
    }
}

/// An open container. No passphrase is needed to validate or repair it.
pub struct Archive {
    container: Arc<Container>,
}

impl Archive {
    /// Opens a container.
    ///
    /// # Errors
    /// [`Error::NotDbs`](crate::Error::NotDbs), [`Error::Unsupported`](crate::Error::Unsupported),
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Limit`](crate::Error::Limit),
    /// [`Error::Io`](crate::Error::Io).
    pub fn open(source: impl Source + 'static) -> Result<Self> {
        Self::open_with(vec![Arc::new(source)], OpenOptions::default())
    }

    /// Opens a container of which there are several replicas, all of which may be damaged: what is
    /// lost in one is taken from the others. The first one decides which archive it is.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub fn open_with(sources: Vec<Arc<dyn Source>>, options: OpenOptions) -> Result<Self> {
        Ok(Archive {
            container: Arc::new(Container::open(&sources, options)?),
        })
    }

    /// The version of the container.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::V3
    }

    /// The container of version 3.
    #[must_use]
    pub fn container(&self) -> &Arc<Container> {
        &self.container
    }

    /// Checks the whole file; with a passphrase, decrypts all of it as well.
    ///
    /// # Errors
    /// [`Error::Authentication`](crate::Error::Authentication) where it was altered,
    /// [`Error::WrongPassphrase`](crate::Error::WrongPassphrase), [`Error::Io`](crate::Error::Io).
    /// Damage is not an error here: the report tells.
    pub fn validate(&self, passphrase: Option<&Passphrase>) -> Result<Report> {
        match passphrase {
            None => self.container.validate(None),
            Some(passphrase) => {
                let payload = self.container.unlock_for_salvage(passphrase)?;
                self.container.validate(Some(payload.keys()))
            }
        }
    }

    /// Writes the container as it was written, bit for bit, at the output's position.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) where a block is beyond repair: what was written
    /// until then is to be thrown away.
    pub fn repair(&self, out: &mut (impl Write + Seek)) -> Result<Report> {
        self.container.repair(out)
    }

    /// Opens the payload with a passphrase.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`](crate::Error::WrongPassphrase),
    /// [`Error::Authentication`](crate::Error::Authentication) where the file was altered,
    /// [`Error::Damaged`](crate::Error::Damaged) where the manifest is beyond repair.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Payload> {
        self.container.unlock(passphrase)
    }

    /// Opens what is left of a payload, with or without its manifest, to salvage it.
    ///
    /// # Errors
    /// As those of [`unlock`](Self::unlock), but for a lost manifest.
    pub fn unlock_for_salvage(&self, passphrase: &Passphrase) -> Result<Payload> {
        self.container.unlock_for_salvage(passphrase)
    }
}
