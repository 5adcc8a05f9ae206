//! Any bytes into every parser: what parses writes back to the same, and memory stays bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dbs::Source;
use dbs::v3::geometry::{CopyB, Geometry};
use dbs::v3::manifest::{Entry, Manifest};
use dbs::v3::page::Page;
use dbs::v3::sector;
use dbs::v3::table::TableBlock;

use crate::forge::{ARCHIVE, blake2b};
use crate::memory::peak;
use crate::{open, unlock};

/// A source that counts the bytes that are read from it.
pub struct Counted(pub Vec<u8>, pub Arc<AtomicU64>);

impl Source for Counted {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.0.read_at(buf, offset)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Bytes that a parser may hold for an input of so many bytes.
fn allowed(len: usize) -> usize {
    64 * 1024 + 256 * len
}

pub fn run(data: &[u8]) {
    let Some((&kind, bytes)) = data.split_first() else {
        return;
    };
    let (result, most) = peak(|| match kind % 8 {
        0 => frame(bytes),
        1 => page(bytes, false),
        2 => page(bytes, true),
        3 => table(bytes, false),
        4 => table(bytes, true),
        5 => manifest(bytes),
        6 => entries(bytes),
        _ => false,
    });
    if result {
        assert!(
            most <= allowed(bytes.len()),
            "{most} bytes for {}",
            bytes.len()
        );
    } else {
        container(bytes);
    }
}

fn frame(bytes: &[u8]) -> bool {
    if let Ok((rest, frame)) = sector::frame(bytes) {
        let used = bytes.len() - rest.len();
        assert_eq!(frame.to_bytes()[..], bytes[..used]);
    }
    true
}

/// With `right`, the page hash is made right first.
fn page(bytes: &[u8], right: bool) -> bool {
    let mut payload = bytes.to_vec();
    payload.resize(512 - 48, 0);
    if right {
        // A few fields that would nearly always be wrong.
        payload[1] = 0;
        payload[2] = 9;
        payload[7] = 1;
        payload[17..32].fill(0);
        let slots = usize::from(payload[16]).clamp(1, 4);
        payload[64 + 84 * slots..].fill(0);
        let hash = blake2b(32, b"dbs3 page", b"", &[&ARCHIVE, &payload[..432]]);
        payload[432..].copy_from_slice(&hash);
    }
    if let Ok(page) = Page::from_payload(&ARCHIVE, &payload) {
        assert_eq!(page.to_payload(&ARCHIVE), payload, "{page:?}");
    }
    true
}

fn table(bytes: &[u8], right: bool) -> bool {
    let Some(geometry) = Geometry::new(9, 2, 1, 1, CopyB::Mirrored) else {
        return true;
    };
    let mut payload = bytes.to_vec();
    payload.resize(if bytes.len() > 464 { 928 } else { 464 }, 0);
    let block = u64::from(bytes.first().copied().unwrap_or(0) % 40);
    let end = payload.len() - 32;
    if right {
        let parts: [&[u8]; 3] = [&ARCHIVE, &block.to_le_bytes(), &payload[..end]];
        let hash = blake2b(32, b"dbs3 table", b"", &parts);
        payload[end..].copy_from_slice(&hash);
    }
    if let Ok(table) = TableBlock::parse(&geometry, &ARCHIVE, block, &payload) {
        let entries: Vec<_> = table.entries().collect();
        assert!(table.census.entries() <= block);
        assert!(entries.len() <= 26 && entries.iter().all(|entry| (1..=2).contains(&entry.k)));
        if table.census.table == 1 {
            let written = dbs::v3::table::write(&geometry, &ARCHIVE, &table.census, &entries, 0);
            assert_eq!(written, payload);
        }
    }
    true
}

fn manifest(bytes: &[u8]) -> bool {
    if let Ok(manifest) = Manifest::from_bytes(bytes) {
        let written = manifest.to_bytes().expect("what was read");
        assert_eq!(
            Manifest::from_bytes(&written).expect("what was written"),
            manifest
        );
    }
    true
}

fn entries(bytes: &[u8]) -> bool {
    if let Ok(entries) = Entry::sequence(bytes) {
        let written: Vec<u8> = entries
            .iter()
            .flat_map(|entry| entry.to_bytes().expect("what was read"))
            .collect();
        assert_eq!(
            Entry::sequence(&written).expect("what was written"),
            entries
        );
    }
    true
}

/// The whole way in: open, validate, unlock. It ends, and neither memory nor reading run away.
fn container(bytes: &[u8]) {
    let read = Arc::new(AtomicU64::new(0));
    let source = Counted(bytes.to_vec(), Arc::clone(&read));
    let (archive, most) = peak(|| open(source));
    let len = bytes.len() as u64;
    // A window of 1 MiB, buffers of sectors of 64 KiB, and the pages that vote.
    assert!(
        most <= (16 << 20) + 256 * bytes.len(),
        "{most} bytes to open {len}"
    );
    let work = read.load(Ordering::Relaxed);
    assert!(
        work <= (64 << 20) + 1024 * len,
        "{work} bytes read to open {len}"
    );
    if let Ok(archive) = archive {
        let _ = archive.validate(None);
        let _ = unlock(&archive);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("parse", 3000, super::run);
    }
}
