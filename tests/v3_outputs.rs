//! The bytes of a container do not depend on what it is written to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use common::{Random, options, passphrase, write};
use dbs::{Archive, Disk, DiskStream, Profile, Status, Writer, WriterOptions};

/// A file without a name.
fn file() -> File {
    let name = format!("outputs-{}", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true);
    let file = options.open(&path).unwrap();
    fs::remove_file(path).unwrap();
    file
}

/// The bytes of a file behind `start`, written past the page cache.
fn write_on_disk(payload: &[u8], options: WriterOptions, start: u64) -> Vec<u8> {
    let mut file = file();
    let disk = Arc::new(Disk::new(file.try_clone().unwrap()));
    let out = DiskStream::new(disk, start);
    let mut writer = Writer::on_disk(out, &passphrase(), options).unwrap();
    for chunk in payload.chunks(100_000) {
        writer.write_all(chunk).unwrap();
    }
    let mut out = writer.finish().unwrap();
    assert_eq!(
        out.stream_position().unwrap(),
        file.metadata().unwrap().len()
    );
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_disk_holds_what_memory_holds() {
    for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
        for (len, lag, start) in [
            (0, None, 0),
            (5000, None, 0),
            (5_000_000, None, 0),
            (5_000_000, None, 3 * 4096),
            (5_000_000, None, 17),
            (5_000_000, Some(2), 0),
        ] {
            let payload = Random(len as u64).bytes(len);
            let mut options = options(profile);
            options.lag = lag.filter(|_| profile != Profile::Light);
            let expected = write(&payload, options.clone());
            let found = write_on_disk(&payload, options, start);
            assert!(
                found == expected,
                "{profile:?}, {len} bytes, lag {lag:?}, from {start}"
            );
        }
    }
}

#[test]
fn what_a_disk_holds_is_read_past_the_cache() {
    let payload = Random(5).bytes(3_000_000);
    let container = write(&payload, options(Profile::Standard));
    let file = file();
    let disk = Disk::new(file);
    disk.write_all_at(&container, 0).unwrap();
    let archive = Archive::open(disk).unwrap();
    let report = archive.validate(Some(&passphrase())).unwrap();
    assert_eq!(report.status(), Status::Clean);
}

#[test]
fn an_output_that_changes_what_it_holds_is_noticed() {
    /// Forgets a bit of what lies at one place.
    struct Forgetful(Cursor<Vec<u8>>, u8);
    impl Write for Forgetful {
        fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
            self.0.write(buf)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Read for Forgetful {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.0.get_mut()[1_500_000] ^= std::mem::take(&mut self.1);
            self.0.read(buf)
        }
    }
    impl Seek for Forgetful {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let payload = Random(6).bytes(3_000_000);
    let out = Forgetful(Cursor::new(Vec::new()), 4);
    let mut writer = Writer::create(out, &passphrase(), options(Profile::Standard)).unwrap();
    writer.write_all(&payload).unwrap();
    let Err(error) = writer.finish() else {
        panic!("nothing was noticed");
    };
    assert!(error.to_string().contains("block 1 reads back"), "{error}");
}

/// A sector that a block cannot do without stands in the place of another block's, which is written first.
#[test]
fn repairing_in_place_never_overwrites_what_it_needs() {
    let mut options = options(Profile::Standard);
    options.sector_shift = Some(9);
    let payload = Random(9).bytes(4_000_000);
    let original = write(&payload, options);
    let sectors = || original.chunks_exact(512).enumerate();
    let block_of = |sector: &[u8]| u64::from_le_bytes(sector[8..16].try_into().unwrap());
    let (needy, k) = sectors()
        .filter(|(_, sector)| sector[5] == 0)
        .map(|(_, sector)| (block_of(sector), sector[7]))
        .max()
        .unwrap();
    let of = |block: u64, slot: u8| {
        let found =
            sectors().filter(move |(_, s)| s[5] == 0 && block_of(s) == block && s[6] == slot);
        found.map(|(i, _)| 512 * i).collect::<Vec<_>>()
    };
    let mut damaged = original.clone();
    for slot in 1..=u8::MAX {
        // Of the data sectors of copy A all but the last are left, and no others.
        for &at in of(needy, slot).iter().skip(usize::from(slot < k)) {
            damaged[at..at + 512].fill(0);
        }
    }
    let (from, to) = (of(needy, k)[0], of(1, 5)[0]);
    damaged[to..to + 512].copy_from_slice(&original[from..from + 512]);

    let mut file = file();
    file.write_all(&damaged).unwrap();
    let archive = Archive::open(file.try_clone().unwrap()).unwrap();
    assert_eq!(
        archive.validate(None).unwrap().status(),
        Status::Recoverable
    );
    let repaired = archive.v3().unwrap().patches(|offset, sector| {
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.write_all(sector)?)
    });
    let mut found = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut found).unwrap();
    match repaired {
        Ok(_) => assert!(found == original),
        Err(dbs::Error::Misuse(_)) => assert!(found == damaged, "nothing is written"),
        Err(error) => panic!("{error}"),
    }
}
