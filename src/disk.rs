//! Files that are written and read past the page cache.
//!
//! Writing two copies of everything through the cache costs more processor time than encrypting them and computing
//! parity: the kernel finds pages, copies into them, and copies them out. A backup is written once, and read back only to
//! see whether the disk has it, so the cache is of no use to it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use crate::pages::{PAGE, Pages};
use crate::source::Source;

/// A file whose whole pages pass between memory and the disk directly (`O_DIRECT` on Linux), and whose other
/// bytes go through the page cache. Where the file system cannot do that, all do.
///
/// Bytes are a whole page where their place in the file, their place in memory and their number are multiples of
/// 4096, as those of a [`Writer`](crate::Writer) are. Nothing is synced.
#[derive(Debug)]
pub struct Disk {
    cached: File,
    direct: Option<File>,
}

impl Disk {
    /// Takes a file that is open for reading, and perhaps for writing.
    #[must_use]
    pub fn new(cached: File) -> Self {
        let direct = open_again(&cached).ok();
        Disk { cached, direct }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.cached
    }

    /// Writes all of `bytes` at `offset`; any number of threads may.
    ///
    /// # Errors
    /// What the operating system says; interrupted writes are tried again.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_at(&bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = self.direct_for(bytes, offset) {
            match write_at(direct, bytes, offset) {
                // Some file systems, and disks of larger sectors, refuse only now.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
                written => return written,
            }
        }
        write_at(&self.cached, bytes, offset)
    }

    /// The direct way to these bytes, if they can go it.
    fn direct_for(&self, bytes: &[u8], offset: u64) -> Option<&File> {
        let whole = offset.is_multiple_of(PAGE as u64)
            && bytes.as_ptr().addr().is_multiple_of(PAGE)
            && bytes.len().is_multiple_of(PAGE);
        self.direct.as_ref().filter(|_| whole)
    }
}

impl Source for Disk {
    fn size(&self) -> io::Result<u64> {
        self.cached.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(direct) = self.direct_for(buf, offset) {
            match direct.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => {}
                read => return read,
            }
        }
        self.cached.read_at(buf, offset)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// The same file, opened once more for direct access.
#[cfg(target_os = "linux")]
fn open_again(file: &File) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, fcntl_getfl, open};
    use std::os::fd::AsRawFd;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // By its number, as the name may be another file's by now, or none.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let access = fcntl_getfl(file)? & OFlags::ACCMODE;
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

#[cfg(not(target_os = "linux"))]
fn open_again(_: &File) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bytes that are gathered before they are written.
const GATHERED: usize = 1 << 20;

/// A [`Disk`] that is written and read in one stream, with bytes gathered to whole pages.
///
/// [`flush`](Write::flush) must be called at the end: what is gathered is lost when this is dropped.
#[derive(Debug)]
pub struct DiskStream {
    disk: Arc<Disk>,
    /// Where the next byte goes.
    position: u64,
    /// The bytes before `position` that are still to be written, behind as many others as stand before
    /// them in their first page of the file.
    gathered: Pages,
    /// How many those are.
    before: usize,
}

impl DiskStream {
    /// A stream that begins at this byte of the disk.
    #[must_use]
    pub fn new(disk: Arc<Disk>, position: u64) -> Self {
        DiskStream {
            disk,
            position,
            gathered: Pages::new(),
            before: 0,
        }
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Writes what is gathered: whole pages at once, what is left at the ends by itself.
    fn settle(&mut self) -> io::Result<()> {
        let bytes = self.gathered.get(self.before..).unwrap_or_default();
        let start = self.position - bytes.len() as u64;
        let head = match self.before {
            0 => 0,
            before => bytes.len().min(PAGE - before),
        };
        let (head, rest) = bytes.split_at(head);
        let (pages, tail) = rest.split_at(rest.len() / PAGE * PAGE);
        let mut at = start;
        for part in [head, pages, tail] {
            self.disk.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        self.gathered.resize(0);
        Ok(())
    }
}

impl Write for DiskStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.gathered.is_empty() {
            self.before = (self.position % PAGE as u64) as usize;
            self.gathered.resize(self.before);
        }
        let at = self.gathered.len();
        let n = buf.len().min(GATHERED - at);
        self.gathered.resize(at + n);
        self.gathered[at..].copy_from_slice(&buf[..n]);
        self.position += n as u64;
        if self.gathered.len() == GATHERED {
            self.settle()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.settle()
    }
}

impl Read for DiskStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.settle()?;
        let n = self.disk.read_at(buf, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for DiskStream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.settle()?;
        let (base, by) = match to {
            SeekFrom::Start(n) => (n, 0),
            SeekFrom::Current(by) => (self.position, by),
            SeekFrom::End(by) => (self.disk.size()?, by),
        };
        self.position = base
            .checked_add_signed(by)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize),
        Seek(u64),
        Read(usize),
        Flush,
        /// Past the stream: so many bytes at this place, from a page of memory or not.
        Store(u64, usize, bool),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let len = prop_oneof![
            0..3 * PAGE,
            (0usize..4).prop_map(|n| n * PAGE),
            GATHERED - PAGE..GATHERED + PAGE,
        ];
        let place = prop_oneof![0..5 * PAGE as u64, (0u64..4).prop_map(|n| n * PAGE as u64)];
        let store = (place.clone(), len.clone(), any::<bool>());
        let step = prop_oneof![
            4 => len.clone().prop_map(Step::Write),
            1 => place.prop_map(Step::Seek),
            1 => len.prop_map(Step::Read),
            1 => Just(Step::Flush),
            1 => store.prop_map(|(at, len, paged)| Step::Store(at, len, paged)),
        ];
        prop::collection::vec(step, 1..12)
    }

    /// Bytes that begin at a page of memory, or one byte behind it.
    fn painted(len: usize, paged: bool, fill: &mut u8) -> (Pages, usize) {
        let from = usize::from(!paged);
        let mut bytes = Pages::new();
        bytes.resize(from + len);
        for byte in bytes.iter_mut() {
            *fill = fill.wrapping_mul(5).wrapping_add(3);
            *byte = *fill;
        }
        (bytes, from)
    }

    /// A file does not grow by bytes that are none; a cursor does.
    fn put(model: &mut Cursor<Vec<u8>>, bytes: &[u8]) {
        if !bytes.is_empty() {
            model.write_all(bytes).expect("memory");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// In the folder for temporary files, and in memory, where a file system may refuse direct access.
        #[test]
        fn it_is_a_file_like_any_other(steps in steps(), in_memory in any::<bool>()) {
            let folder = match in_memory && std::path::Path::new("/dev/shm").is_dir() {
                true => "/dev/shm".into(),
                false => std::env::temp_dir(),
            };
            let path = folder.join(format!("dbs-disk-{}", std::process::id()));
            let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
            std::fs::remove_file(&path)?;
            let disk = Arc::new(Disk::new(file.try_clone()?));
            let mut stream = DiskStream::new(Arc::clone(&disk), 0);
            let mut model = Cursor::new(Vec::new());
            let mut fill = 0u8;
            for step in steps {
                match step {
                    Step::Write(len) => {
                        let (bytes, _) = painted(len, true, &mut fill);
                        stream.write_all(&bytes)?;
                        put(&mut model, &bytes);
                    }
                    Step::Store(at, len, paged) => {
                        let (bytes, from) = painted(len, paged, &mut fill);
                        stream.flush()?;
                        disk.write_all_at(&bytes[from..], at)?;
                        let position = model.position();
                        model.set_position(at);
                        put(&mut model, &bytes[from..]);
                        model.set_position(position);
                    }
                    Step::Seek(to) => {
                        stream.seek(SeekFrom::Start(to))?;
                        model.set_position(to);
                    }
                    Step::Read(len) => {
                        let (mut got, mut expected) = (Pages::new(), vec![0; len]);
                        got.resize(len);
                        let wanted = model.read(&mut expected)?;
                        stream.read_exact(&mut got[..wanted])?;
                        prop_assert_eq!(&got[..wanted], &expected[..wanted]);
                    }
                    Step::Flush => stream.flush()?,
                }
                prop_assert_eq!(stream.stream_position()?, model.position());
            }
            stream.flush()?;
            let mut found = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut found)?;
            prop_assert_eq!(found, model.into_inner());
        }
    }
}
