//! Files of which the disk cannot read all.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::Result;
use crate::pages::PAGE;
use crate::source::Source;

/// A source in which pages that the disk cannot read count as zeros, so that what they held is healed like any
/// other damage.
///
/// Other errors (a connection is lost, access is denied) say nothing about the bytes, and stay errors.
pub(crate) struct PastErrors {
    inner: Arc<dyn Source>,
    /// Where the pages begin that could not be read.
    pages: Mutex<BTreeSet<u64>>,
    /// What the system said of the first of them.
    error: OnceLock<i32>,
}

/// Pages that are counted; more are not told apart from these.
const COUNTED: usize = 1 << 16;

impl PastErrors {
    pub(crate) fn new(inner: Arc<dyn Source>) -> Self {
        PastErrors {
            inner,
            pages: Mutex::default(),
            error: OnceLock::new(),
        }
    }

    /// What the system said of the first page that could not be read.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.error
            .get()
            .map(|code| io::Error::from_raw_os_error(*code))
    }

    /// Reads page by page. Tried once for each, as a failing disk may take seconds.
    fn by_pages(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = self.inner.size()?;
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let Some(left) = size.checked_sub(at).filter(|left| *left > 0) else {
                break;
            };
            let page = PAGE - (at % PAGE as u64) as usize;
            let step = page.min(buf.len() - done);
            let step = usize::try_from(left).map_or(step, |left| step.min(left));
            let part = &mut buf[done..done + step];
            match self.inner.read_full_at(part, at) {
                Ok(read) if read < step => return Ok(done + read),
                Ok(_) => {}
                Err(error) => {
                    let code = medium(&error).ok_or(error)?;
                    part.fill(0);
                    self.error.get_or_init(|| code);
                    let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
                    if pages.len() < COUNTED {
                        pages.insert(at / PAGE as u64);
                    }
                }
            }
            done += step;
        }
        Ok(done)
    }
}

impl Source for PastErrors {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.inner.read_at(buf, offset) {
            Err(error) if medium(&error).is_some() => self.by_pages(buf, offset),
            read => read,
        }
    }

    fn unreadable(&self) -> usize {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.len()
    }
}

/// The sources of one archive, read past errors of their disks.
///
/// # Errors
/// Those of `open`; where it finds nothing and the disk could not read all, what the system said of that.
pub(crate) fn past_errors<T>(
    sources: Vec<Arc<dyn Source>>,
    open: impl FnOnce(&[Arc<dyn Source>]) -> Result<T>,
) -> Result<T> {
    let sources = sources.into_iter().map(PastErrors::new).map(Arc::new);
    let sources: Vec<_> = sources.collect();
    let all: Vec<Arc<dyn Source>> = sources
        .iter()
        .map(|source| Arc::clone(source) as Arc<dyn Source>)
        .collect();
    open(&all).map_err(|error| match error {
        crate::Error::NotDbs(_) => {
            let unreadable = sources.iter().find_map(|source| source.error());
            unreadable.map_or(error, crate::Error::Io)
        }
        error => error,
    })
}

/// The number of an error that says that the disk cannot read these bytes.
fn medium(error: &io::Error) -> Option<i32> {
    error.raw_os_error().filter(|code| MEDIUM.contains(code))
}

#[cfg(target_os = "linux")]
const MEDIUM: [i32; 6] = {
    use rustix::io::Errno;
    [
        Errno::IO.raw_os_error(),
        // What drivers and file systems make of unreadable sectors and of checksums that fail.
        Errno::NODATA.raw_os_error(),
        Errno::ILSEQ.raw_os_error(),
        Errno::BADMSG.raw_os_error(),
        Errno::UCLEAN.raw_os_error(),
        Errno::REMOTEIO.raw_os_error(),
    ]
};

/// EIO.
#[cfg(all(unix, not(target_os = "linux")))]
const MEDIUM: [i32; 1] = [5];

/// ERROR_CRC, ERROR_SECTOR_NOT_FOUND, ERROR_READ_FAULT and ERROR_IO_DEVICE.
#[cfg(windows)]
const MEDIUM: [i32; 4] = [23, 27, 30, 1117];
