//! One front for all versions.

use std::io::{Read, Seek, Write};
use std::sync::Arc;

use crate::options::OpenOptions;
use crate::unreadable::past_errors;
use crate::version::Version;
use crate::{Error, Passphrase, Report, Result, Source, v1, v2, v3};

/// An open container of any version. No passphrase is needed to validate or repair it.
pub struct Archive {
    container: Container,
}

/// A container, by its version.
enum Container {
    V1(v1::Container),
    V2(v2::Container),
    V3(Arc<v3::Container>),
}

impl Archive {
    /// Opens a container.
    ///
    /// # Errors
    /// [`Error::NotDbs`], [`Error::Unsupported`], [`Error::Damaged`] where nothing can be located,
    /// [`Error::Limit`], [`Error::Io`].
    pub fn open(source: impl Source + 'static) -> Result<Self> {
        Self::open_with(vec![Arc::new(source)], OpenOptions::default())
    }

    /// Opens a container of which there are several replicas, all of which may be damaged: what is
    /// lost in one is taken from the others. Bytes that a disk cannot read count as damage.
    ///
    /// # Errors
    /// As those of [`open`](Self::open), and [`Error::Misuse`] for sources of different archives and
    /// for replicas of versions 1 and 2, whose sectors do not say where they belong.
    pub fn open_with(sources: Vec<Arc<dyn Source>>, options: OpenOptions) -> Result<Self> {
        let container = past_errors(sources, |sources| open_any(sources, options))?;
        Ok(Archive { container })
    }

    /// The version of the container.
    #[must_use]
    pub fn version(&self) -> Version {
        match &self.container {
            Container::V1(_) => Version::V1,
            Container::V2(_) => Version::V2,
            Container::V3(_) => Version::V3,
        }
    }

    /// The container of version 1, if it is one.
    #[must_use]
    pub fn v1(&self) -> Option<&v1::Container> {
        match &self.container {
            Container::V1(container) => Some(container),
            _ => None,
        }
    }

    /// The container of version 2, if it is one.
    #[must_use]
    pub fn v2(&self) -> Option<&v2::Container> {
        match &self.container {
            Container::V2(container) => Some(container),
            _ => None,
        }
    }

    /// The container of version 3.
    ///
    /// # Errors
    /// [`Error::Misuse`] where it is of another version.
    pub fn v3(&self) -> Result<&Arc<v3::Container>> {
        match &self.container {
            Container::V3(container) => Ok(container),
            _ => Err(older(self.version())),
        }
    }

    /// Checks the whole file; with a passphrase, decrypts all of it as well.
    ///
    /// # Errors
    /// [`Error::Authentication`] where it was altered, [`Error::WrongPassphrase`], [`Error::Io`].
    /// Damage is not an error here: the report tells.
    pub fn validate(&self, passphrase: Option<&Passphrase>) -> Result<Report> {
        match (&self.container, passphrase) {
            (Container::V1(container), passphrase) => container.validate(passphrase),
            (Container::V2(container), passphrase) => container.validate(passphrase),
            (Container::V3(container), None) => container.validate(None),
            (Container::V3(container), Some(passphrase)) => {
                let payload = match container.unlock(passphrase) {
                    // Without a manifest the blocks can be looked at all the same.
                    Err(Error::Damaged(_)) => container.unlock_for_salvage(passphrase),
                    payload => payload,
                };
                container.validate(Some(&payload?))
            }
        }
    }

    /// Writes the container as it was written, bit for bit, at the output's position.
    ///
    /// A passphrase is used for version 2 only, and only where the tags of a block are lost in both
    /// copies: then decrypting it is the proof that it was repaired.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a block is beyond repair: what was written until then is to be
    /// thrown away.
    pub fn repair(
        &self,
        passphrase: Option<&Passphrase>,
        out: &mut (impl Write + Seek),
    ) -> Result<Report> {
        match &self.container {
            Container::V1(container) => container.repair(passphrase, out),
            Container::V2(container) => container.repair(passphrase, out),
            Container::V3(container) => container.repair(out),
        }
    }

    /// Opens the payload with a passphrase.
    ///
    /// # Errors
    /// [`Error::WrongPassphrase`], [`Error::Authentication`] where the file was altered,
    /// [`Error::Damaged`] where the manifest is beyond repair.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<Unlocked> {
        match &self.container {
            Container::V1(container) => container.unlock(passphrase).map(Unlocked::V1),
            Container::V2(container) => container.unlock(passphrase).map(Unlocked::V2),
            Container::V3(container) => container.unlock(passphrase).map(Unlocked::V3),
        }
    }

    /// Opens what is left of a payload, with or without its manifest, to salvage it.
    ///
    /// # Errors
    /// As those of [`unlock`](Self::unlock), but for a lost manifest.
    pub fn unlock_for_salvage(&self, passphrase: &Passphrase) -> Result<Unlocked> {
        match &self.container {
            Container::V3(container) => container.unlock_for_salvage(passphrase).map(Unlocked::V3),
            _ => self.unlock(passphrase),
        }
    }
}

/// An unlocked payload, by the version of its container.
pub enum Unlocked {
    /// One document of rows and the bytes of files behind it.
    V1(v1::Payload),
    /// Frames of rows and files.
    V2(v2::Payload),
    /// A stream of bytes or a tar stream.
    V3(v3::payload::Payload),
}

impl Unlocked {
    /// The version of the container.
    #[must_use]
    pub fn version(&self) -> Version {
        match self {
            Unlocked::V1(_) => Version::V1,
            Unlocked::V2(_) => Version::V2,
            Unlocked::V3(_) => Version::V3,
        }
    }

    /// The payload of version 3, which can be read at any place.
    ///
    /// # Errors
    /// [`Error::Misuse`] where it is of another version.
    pub fn into_v3(self) -> Result<v3::payload::Payload> {
        match self {
            Unlocked::V3(payload) => Ok(payload),
            other => Err(older(other.version())),
        }
    }

    /// Writes the whole payload to `out`, and says how many bytes it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] with what is beyond repair, [`Error::Authentication`], [`Error::Io`].
    pub fn copy_to(&self, out: &mut impl Write) -> Result<u64> {
        match self {
            Unlocked::V1(payload) => payload.copy_to(out),
            Unlocked::V2(payload) => payload.copy_to(out),
            Unlocked::V3(payload) => payload.copy_to(out).map(|_| payload.len()),
        }
    }

    /// Reads the payload from its start. Only authentic bytes are released.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Authentication`], [`Error::Io`]; also on reading.
    pub fn reader(&self) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Unlocked::V1(payload) => Box::new(payload.reader()?),
            Unlocked::V2(payload) => Box::new(payload.reader()?),
            Unlocked::V3(payload) => Box::new(payload.reader()),
        })
    }
}

fn older(version: Version) -> Error {
    let number = version.number();
    Error::Misuse(format!(
        "this is a container of version {number}, which cannot do that; convert it to version 3 first"
    ))
}

fn open_any(sources: &[Arc<dyn Source>], options: OpenOptions) -> Result<Container> {
    let first = sources
        .first()
        .ok_or_else(|| Error::Misuse("no file to open".into()))?;
    // The magic of versions 1 and 2 stands at both ends. Where it does, they are tried first,
    // and where it does not, last: both know how to find themselves without it.
    if has_legacy_magic(&**first)? {
        return match open_legacy(sources, &options)? {
            Some(container) => Ok(container),
            None => open_v3(sources, options),
        };
    }
    match open_v3(sources, options.clone()) {
        Err(error @ Error::NotDbs(_)) => open_legacy(sources, &options)?.ok_or(error),
        // In a long file, a few bytes may look like sectors of version 3 by chance.
        Err(error @ Error::Damaged(_)) => match open_legacy(sources, &options) {
            Ok(Some(container)) => Ok(container),
            _ => Err(error),
        },
        other => other,
    }
}

fn open_v3(sources: &[Arc<dyn Source>], options: OpenOptions) -> Result<Container> {
    Ok(Container::V3(Arc::new(v3::Container::open(
        sources, options,
    )?)))
}

fn open_legacy(sources: &[Arc<dyn Source>], options: &OpenOptions) -> Result<Option<Container>> {
    let [source] = sources else {
        let Some(first) = sources.first() else {
            return Ok(None);
        };
        return match open_legacy(std::slice::from_ref(first), options)? {
            None => Ok(None),
            Some(_) => Err(Error::Misuse(
                "containers of version 1 and 2 cannot be merged with others".into(),
            )),
        };
    };
    if let Some(container) = v2::Container::open(Arc::clone(source), options.limits)? {
        return Ok(Some(Container::V2(container)));
    }
    let container = v1::Container::open(Arc::clone(source), options.limits)?;
    Ok(container.map(Container::V1))
}

/// Whether the magic of versions 1 and 2 stands where one of their headers begins, at either end.
///
/// # Errors
/// The length of the source cannot be had.
pub fn has_legacy_magic(source: &dyn Source) -> Result<bool> {
    const MAGIC: &[u8; 8] = b"DBSCON01";
    let len = source.size()?;
    for offset in [Some(0), len.checked_sub(64), len.checked_sub(152)]
        .into_iter()
        .flatten()
    {
        let mut magic = [0; 8];
        if source
            .read_full_at(&mut magic, offset)
            .is_ok_and(|n| n == 8)
            && &magic == MAGIC
        {
            return Ok(true);
        }
    }
    Ok(false)
}
