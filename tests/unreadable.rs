//! Disks that cannot read some of their pages: what stood there is healed like any other damage, in every version.
//! And disks, cables or memory that sometimes read something else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use common::{Random, options, passphrase, write};
use dbs::{Archive, Error, OpenOptions, Profile, Source, Status, Unlocked, v1, v2};

const PAGE: usize = 4096;
/// EIO, as Linux, macOS and the BSDs number it.
const EIO: i32 = 5;

/// A file on a disk that cannot read some pages: a read that touches one of them fails as a whole.
struct Failing {
    file: Vec<u8>,
    pages: Vec<bool>,
    code: i32,
}

impl Source for Failing {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, offset)?;
        let pages = offset as usize / PAGE..(offset as usize + read).div_ceil(PAGE);
        if read > 0 && self.pages[pages].contains(&true) {
            return Err(io::Error::from_raw_os_error(self.code));
        }
        Ok(read)
    }
}

fn open(file: &[u8], code: i32, is_bad: impl FnMut(usize) -> bool) -> dbs::Result<Archive> {
    let pages = (0..file.len().div_ceil(PAGE)).map(is_bad).collect();
    let file = file.to_vec();
    let source = Failing { file, pages, code };
    Archive::open_with(vec![Arc::new(source)], OpenOptions::default())
}

/// Heals, restores and repairs; the report names the number of pages.
fn heals(file: &[u8], payload: &[u8], is_bad: impl Fn(usize) -> bool) {
    let archive = open(file, EIO, &is_bad).unwrap();
    let report = archive.validate(None).unwrap();
    assert_eq!(report.status(), Status::Recoverable, "{report:?}");
    let pages = (0..file.len().div_ceil(PAGE)).filter(|page| is_bad(*page));
    let note = format!("cannot read {} pages", pages.count());
    assert!(report.notes.iter().any(|n| n.contains(&note)), "{report:?}");
    let mut read = Vec::new();
    let unlocked = archive.unlock(&passphrase()).unwrap();
    unlocked.copy_to(&mut read).unwrap();
    assert!(read == payload);
    if let Unlocked::V3(payload) = &unlocked {
        let report = payload.copy_to(&mut io::sink()).unwrap();
        assert!(report.notes.iter().any(|n| n.contains("cannot read")));
    }
    let mut repaired = Cursor::new(Vec::new());
    archive.repair(None, &mut repaired).unwrap();
    assert!(repaired.into_inner() == file);
}

#[test]
fn version_3() {
    let payload = Random(1).bytes(3_000_000);
    for profile in [Profile::Standard, Profile::Coded] {
        let file = write(&payload, options(profile));
        let last = file.len().div_ceil(PAGE) - 1;
        heals(&file, &payload, |page| page == 7);
        // Both ends, so that the header page has to be found elsewhere, and every eighth page.
        heals(&file, &payload, |page| {
            page == 0 || page == last || page % 8 == 3
        });
        // A head crash.
        heals(&file, &payload, |page| (last / 5..last / 2).contains(&page));
    }
}

#[test]
fn versions_1_and_2() {
    const KDF: v1::Kdf = v1::Kdf {
        time_cost: 1,
        memory_cost: 8,
        parallelism: 1,
        key_length: 32,
    };
    let payload = Random(2).bytes(500_000);
    let mut first = v1::WriterOptions::default();
    (first.kdf, first.compress, first.block_size) = (KDF, false, 65_536);
    let mut writer = v1::Writer::new(Cursor::new(Vec::new()), &passphrase(), first).unwrap();
    writer.write_all(&payload).unwrap();
    let first = writer.finish().unwrap().into_inner();
    let mut second = v2::WriterOptions::default();
    (second.kdf, second.compress, second.geometry.block_size) = (KDF, false, 65_536);
    let mut writer = v2::Writer::new(Vec::new(), &passphrase(), second).unwrap();
    writer.write_all(&payload).unwrap();
    let second = writer.finish().unwrap();
    // Version 1 has both its manifests in its first page.
    for (file, start) in [(first, 20), (second, 0)] {
        let half = file.len() / PAGE / 2;
        heals(&file, &payload, |page| {
            page == start || (21..60).contains(&page)
        });
        // In copy B.
        heals(&file, &payload, |page| {
            (half + 20..half + 30).contains(&page)
        });
    }
}

#[test]
fn a_disk_that_reads_nothing_is_not_a_file_that_is_no_backup() {
    let file = write(b"payload", options(Profile::Standard));
    match open(&file, EIO, |_| true) {
        Err(Error::Io(error)) => assert_eq!(error.raw_os_error(), Some(EIO)),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// A file of which some pages are read wrong the first time.
struct Unstable {
    file: Vec<u8>,
    wrong: Mutex<Vec<bool>>,
}

impl Source for Unstable {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buf, offset)?;
        let mut wrong = self.wrong.lock().unwrap();
        for (i, byte) in buf[..read].iter_mut().enumerate() {
            let at = offset as usize + i;
            // One byte of each page.
            if at % PAGE == 99 {
                *byte ^= u8::from(std::mem::take(&mut wrong[at / PAGE]));
            }
        }
        Ok(read)
    }
}

#[test]
fn what_reads_differently_a_second_time_is_told_and_used() {
    let payload = Random(3).bytes(3_000_000);
    let file = write(&payload, options(Profile::Standard));
    let pages = file.len() / PAGE;
    let check = |file: Vec<u8>, is_wrong: &dyn Fn(usize) -> bool| {
        let wrong = Mutex::new((0..pages).map(is_wrong).collect());
        let source = Arc::new(Unstable { file, wrong });
        let archive = Archive::open_with(vec![source], OpenOptions::default()).unwrap();
        archive.validate(None).unwrap()
    };
    let report = check(file.clone(), &|page| page % 8 == 3);
    assert_eq!(report.status(), Status::Clean, "{report:?}");
    let wrong = (0..pages).filter(|page| page % 8 == 3).count() as u64;
    assert!(report.sectors_unstable >= wrong - 1, "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("unstable")));

    // Most of the sectors are read wrong at first, and others are lost for good: only all of them, read again, give
    // the blocks.
    let mut damaged = file;
    for page in damaged.chunks_mut(PAGE).skip(8).step_by(16) {
        page.fill(0);
    }
    let report = check(damaged, &|page| page % 8 != 0);
    assert_eq!(report.status(), Status::Recoverable, "{report:?}");
    assert!(report.sectors_unstable > wrong, "{report:?}");
}

/// A lost connection is no damage.
#[test]
fn other_errors_stay_errors() {
    let file = write(b"payload", options(Profile::Standard));
    let not_connected = 107;
    let opened = open(&file, not_connected, |page| page == 5);
    let error = match opened.and_then(|archive| archive.validate(None)) {
        Err(Error::Io(error)) => error,
        other => panic!("{:?}", other.map(|_| ())),
    };
    assert_eq!(error.raw_os_error(), Some(not_connected));
}
