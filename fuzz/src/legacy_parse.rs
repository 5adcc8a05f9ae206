//! Containers of versions 1 and 2 with changed fields whose checksums are made right again, any
//! bytes in their place, and the payloads of django-dbs: memory and work stay bounded, what is
//! clean is written back the same, and only what was sealed comes out.

use std::io::Cursor;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::{Arbitrary, Unstructured};
use dbs::payload::{self, FileEntry, FramesWriter, Header, Sink, Summary};
use dbs::{Limits, Status};
use serde_json::value::RawValue;

use crate::forge::{blake2b, gf_mul, hex};
use crate::legacy::Base;
use crate::legacy_heal::Shape;
use crate::memory::peak;
use crate::parse::Counted;
use crate::{open, passphrase};

#[derive(Debug, Clone, Arbitrary)]
enum Plan {
    /// Any bytes as a container.
    Container(Vec<u8>),
    /// Bytes of a header, a trailer or a manifest are changed.
    Metadata {
        version: bool,
        trailer: bool,
        changes: Vec<(u8, u8)>,
    },
    /// Numbers of a header or a trailer are others.
    Numbers {
        trailer: bool,
        field: u8,
        value: u64,
    },
    /// A manifest of any text, or one in which a value is another.
    Manifest {
        text: Vec<u8>,
    },
    Value {
        field: u8,
        value: Value,
    },
    /// Bytes of a block are changed before it is encoded.
    Block {
        version: bool,
        block: u8,
        changes: Vec<(u16, u8)>,
    },
    /// Any bytes as a payload.
    Payload {
        frames: bool,
        bytes: Vec<u8>,
    },
    /// A payload as it is written, perhaps with a change.
    Written {
        frames: bool,
        rows: Vec<(u8, u8, String)>,
        files: Vec<(u8, String, Vec<u8>, bool)>,
        change: Option<(u16, u8)>,
    },
}

#[derive(Debug, Clone, Arbitrary)]
enum Value {
    None,
    Number(i64),
    Large(u64),
    Text(String),
    List(Vec<u8>),
    Gone,
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    match &plan {
        Plan::Container(bytes) => container(bytes, None, &plan),
        Plan::Metadata {
            version,
            trailer,
            changes,
        } => {
            let base = base(*version);
            let mut file = base.bytes.clone();
            let header = !*trailer;
            let regions = if header {
                &base.headers
            } else {
                &base.metadata
            };
            for region in regions {
                for (at, value) in changes.iter().take(8) {
                    // The checksum of version 2 is made anew, the hash in version 1's header too.
                    let most = region.len() - if base.version == 2 { 16 } else { 0 };
                    file[region.start + usize::from(*at) % most] ^= value;
                }
            }
            seal(&base, &mut file);
            container(&file, Some(&base), &plan);
        }
        Plan::Numbers {
            trailer,
            field,
            value,
        } => {
            let base = base(true);
            let mut file = base.bytes.clone();
            let fields: &[(usize, usize)] = if *trailer {
                &[(28, 8), (36, 8), (44, 4), (8, 2), (10, 2), (48, 4)]
            } else {
                &[
                    (8, 2),
                    (12, 2),
                    (14, 2),
                    (16, 4),
                    (20, 4),
                    (24, 4),
                    (28, 4),
                    (32, 2),
                ]
            };
            let (at, len) = fields[usize::from(*field) % fields.len()];
            let regions = if *trailer {
                &base.metadata
            } else {
                &base.headers
            };
            for region in regions {
                let bytes = &value.to_be_bytes()[8 - len..];
                file[region.start + at..region.start + at + len].copy_from_slice(bytes);
            }
            seal(&base, &mut file);
            container(&file, Some(&base), &plan);
        }
        Plan::Manifest { text } => {
            let base = base(false);
            container(&with_manifest(&base, text), Some(&base), &plan);
        }
        Plan::Value { field, value } => {
            let base = base(false);
            let text = changed(&base, *field, value);
            container(&with_manifest(&base, text.as_bytes()), Some(&base), &plan);
        }
        Plan::Block {
            version,
            block,
            changes,
        } => {
            let base = base(*version);
            container(&with_block(&base, *block, changes), Some(&base), &plan);
        }
        Plan::Payload { frames, bytes } => {
            let magic: &[u8] = if *frames { b"DBSPAY02" } else { b"DBSPAY01" };
            documents(&[magic, bytes].concat(), false, &plan);
        }
        Plan::Written {
            frames,
            rows,
            files,
            change,
        } => {
            let mut bytes = written(*frames, rows, files);
            if let Some((at, value)) = change {
                let at = usize::from(*at) % bytes.len();
                bytes[at] ^= value;
            }
            let untouched = change.is_none_or(|(_, value)| value == 0);
            documents(&bytes, untouched, &plan);
        }
    }
}

/// A container to change: four blocks, not compressed.
fn base(second: bool) -> Rc<Base> {
    let shape = Shape {
        version: if second { 2 } else { 1 },
        block_size: 520,
        nsym: 8,
        interleave: 2,
        payload: 1700,
        compress: false,
    };
    shape.base()
}

/// Makes the checksums of headers and trailers right.
fn seal(base: &Base, file: &mut [u8]) {
    if base.version == 1 {
        let hash = blake2b(16, b"", b"", &[&file[base.metadata[0].clone()]]);
        for header in &base.headers {
            file[header.start + 40..header.start + 56].copy_from_slice(&hash);
        }
        return;
    }
    let mut one = |region: &Range<usize>, person: &[u8]| {
        let end = region.end - 16;
        let sum = blake2b(16, person, b"", &[&file[region.start..end]]);
        file[end..region.end].copy_from_slice(&sum);
    };
    base.headers.iter().for_each(|r| one(r, b"dbs/sealed-head"));
    base.metadata.iter().for_each(|r| one(r, b"dbs/v2-trailer"));
}

/// The container of version 1 with another manifest.
fn with_manifest(base: &Base, text: &[u8]) -> Vec<u8> {
    let mut header = base.bytes[base.headers[0].clone()].to_vec();
    header[24..32].copy_from_slice(&(text.len() as u64).to_be_bytes());
    header[32..40].copy_from_slice(&(64 + text.len() as u64).to_be_bytes());
    header[40..56].copy_from_slice(&blake2b(16, b"", b"", &[text]));
    let blocks = &base.bytes[base.metadata[1].end..base.headers[1].start];
    [&header, text, text, blocks, &header].concat()
}

/// The manifest with one value changed, or left out.
fn changed(base: &Base, field: u8, value: &Value) -> String {
    let text = &base.bytes[base.metadata[0].clone()];
    let mut manifest: serde_json::Value = serde_json::from_slice(text).expect("a manifest");
    let paths = [
        "/format",
        "/version",
        "/created",
        "/compression",
        "/payload_sha256",
        "/copy_len",
        "/blocks",
        "/blocks/block_size",
        "/blocks/nsym",
        "/blocks/ciphertext_len",
        "/blocks/enc_lens",
        "/blocks/enc_lens/0",
        "/blocks/enc_hashes",
        "/blocks/enc_hashes/0",
        "/blocks/data_hashes",
        "/blocks/data_hashes/1",
        "/crypto",
        "/crypto/kdf",
        "/crypto/salt",
        "/crypto/params",
        "/crypto/params/time_cost",
        "/crypto/params/memory_cost",
        "/crypto/params/parallelism",
        "/crypto/params/key_length",
        "/crypto/wrapped_dek",
        "/crypto/dek_nonce",
        "/crypto/data_nonce",
    ];
    let path = paths[usize::from(field) % paths.len()];
    let new = match value {
        Value::None => serde_json::Value::Null,
        Value::Number(n) => (*n).into(),
        Value::Large(n) => (*n).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(list) => list.clone().into(),
        Value::Gone => {
            let (parent, key) = path.rsplit_once('/').expect("a path");
            if let Some(object) = manifest
                .pointer_mut(parent)
                .and_then(serde_json::Value::as_object_mut)
            {
                object.remove(key);
            }
            return manifest.to_string();
        }
    };
    if let Some(there) = manifest.pointer_mut(path) {
        *there = new;
    }
    manifest.to_string()
}

/// The remainder of version 1, section 5: the parity of a row.
fn parity(data: &[u8], nsym: usize) -> Vec<u8> {
    // The generator polynomial without its first coefficient, which is one.
    let (mut generator, mut root) = (vec![1u8], 1);
    for _ in 0..nsym {
        let mut next = generator.clone();
        next.push(0);
        for (i, coefficient) in generator.iter().enumerate() {
            next[i + 1] ^= gf_mul(*coefficient, root);
        }
        (generator, root) = (next, gf_mul(root, 2));
    }
    let mut rest = vec![0; nsym];
    for byte in data {
        let first = rest[0] ^ byte;
        rest.rotate_left(1);
        rest[nsym - 1] = 0;
        for (r, g) in rest.iter_mut().zip(&generator[1..]) {
            *r ^= gf_mul(*g, first);
        }
    }
    rest
}

/// The container with a block of other contents: parity, tags, hashes and digest are right.
fn with_block(base: &Base, block: u8, changes: &[(u16, u8)]) -> Vec<u8> {
    let mut file = base.bytes.clone();
    let block = usize::from(block) % base.copies[0].len();
    let unit = base.copies[0][block].clone();
    let k = 255 - base.nsym;
    let rows = file[unit].chunks(255);
    let mut data: Vec<u8> = rows
        .flat_map(|row| row[..row.len() - base.nsym].to_vec())
        .collect();
    for (at, value) in changes.iter().take(6) {
        // Often the descriptor.
        let at = if *at < 0x8000 { at % 16 } else { *at };
        let at = usize::from(at) % data.len();
        data[at] ^= value;
    }
    let encoded: Vec<u8> = data
        .chunks(k)
        .flat_map(|run| [run, &parity(run, base.nsym)].concat())
        .collect();
    for copy in &base.copies {
        file[copy[block].clone()].copy_from_slice(&encoded);
    }
    if base.version == 1 {
        let manifest = &base.bytes[base.metadata[0].clone()];
        let mut manifest: serde_json::Value = serde_json::from_slice(manifest).expect("a manifest");
        manifest["blocks"]["enc_hashes"][block] = hex(&blake2b(16, b"", b"", &[&encoded])).into();
        manifest["blocks"]["data_hashes"][block] = hex(&blake2b(16, b"", b"", &[&data])).into();
        // Nothing but the tag of the body may tell.
        let text = manifest.to_string();
        for region in &base.metadata {
            file[region.clone()].copy_from_slice(text.as_bytes());
        }
    } else {
        let id = base.bytes[52..68].to_vec();
        let tag = blake2b(16, b"dbs/v2-slot", &id, &[&encoded]);
        for copy in &base.copies {
            let end = copy[block].end;
            file[end..end + 16].copy_from_slice(&tag);
        }
        let tags: Vec<u8> = base.copies[0]
            .iter()
            .flat_map(|unit| file[unit.end..unit.end + 16].to_vec())
            .collect();
        let digest = blake2b(32, b"dbs/v2-blocks", &id, &[&tags]);
        for trailer in &base.metadata {
            file[trailer.start + 52..trailer.start + 84].copy_from_slice(&digest);
        }
    }
    seal(base, &mut file);
    file
}

/// Opens, validates, unlocks, repairs. `base` is what the passphrase sealed, if it sealed anything.
fn container(bytes: &[u8], base: Option<&Base>, plan: &Plan) {
    let read = Arc::new(AtomicU64::new(0));
    let source = Counted(bytes.to_vec(), Arc::clone(&read));
    let (archive, most) = peak(|| open(source));
    let len = bytes.len();
    assert!(
        most <= (24 << 20) + 256 * len,
        "{most} bytes to open {len}: {plan:?}"
    );
    let work = read.load(Ordering::Relaxed);
    assert!(
        work <= (64 << 20) + 1024 * len as u64,
        "{work} bytes read to open {len}: {plan:?}"
    );
    let Ok(archive) = archive else { return };
    let (report, most) = peak(|| archive.validate(None));
    // A header may state blocks of 16 MiB, of which several candidates are in hand.
    assert!(
        most as u64 <= dbs::Limits::default().memory,
        "{most} bytes to validate {len}: {plan:?}"
    );
    let mut out = Vec::new();
    if let Ok(unlocked) = archive.unlock(&passphrase()) {
        let done = unlocked.copy_to(&mut out);
        match base {
            Some(base) => {
                assert!(base.payload.starts_with(&out), "G1: {plan:?}");
                assert!(done.is_err() || out == base.payload, "G1: {plan:?}");
            }
            None => assert!(out.is_empty(), "G1: {plan:?}"),
        }
    }
    let mut repaired = Cursor::new(Vec::new());
    let done = archive.repair(None, &mut repaired);
    let repaired = repaired.into_inner();
    if report.is_ok_and(|report| report.status() == Status::Clean) {
        assert!(done.is_ok(), "{:?}: {plan:?}", done.err());
        assert!(repaired == bytes, "repairing what is clean: {plan:?}");
    } else if done.is_ok() {
        let again = open(repaired.clone()).unwrap_or_else(|e| panic!("G7: {e}: {plan:?}"));
        let status = again.validate(None).map(|report| report.status());
        assert!(
            matches!(status, Ok(Status::Clean)),
            "G7: {status:?}: {plan:?}"
        );
        let mut twice = Cursor::new(Vec::new());
        let done = again.repair(None, &mut twice);
        assert!(
            done.is_ok() && twice.into_inner() == repaired,
            "G7: {plan:?}"
        );
    }
}

/// What a payload holds, in the order in which it came.
#[derive(Debug, Default, PartialEq)]
struct Held {
    header: Option<Header>,
    rows: Vec<String>,
    files: Vec<(FileEntry, Vec<u8>, Option<String>)>,
}

impl Sink for Held {
    fn header(&mut self, header: &Header) -> dbs::Result<()> {
        assert!(self.header.is_none(), "one header");
        self.header = Some(header.clone());
        Ok(())
    }

    fn record(&mut self, _: &str, json: &RawValue) -> dbs::Result<()> {
        self.rows.push(json.get().into());
        Ok(())
    }

    fn file(&mut self, index: u64, entry: &FileEntry) -> dbs::Result<()> {
        assert_eq!(index, self.files.len() as u64);
        // Wherever it leads, the name below a folder stays below it.
        if let Some(path) = entry.safe_path() {
            use std::path::Component::Normal;
            let inside = path.components().all(|part| matches!(part, Normal(_)));
            assert!(inside, "{path:?}");
        }
        self.files.push((entry.clone(), Vec::new(), None));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> dbs::Result<()> {
        let (_, data, _) = self.files.last_mut().expect("a file");
        data.extend(bytes);
        Ok(())
    }

    fn file_end(&mut self, entry: &FileEntry, skipped: Option<&str>) -> dbs::Result<()> {
        let (known, data, why) = self.files.last_mut().expect("a file");
        if skipped.is_none() {
            assert_eq!(entry.sha256, sha256(data), "the digest that was checked");
        }
        known.clone_from(entry);
        *why = skipped.map(str::to_owned);
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

fn read(bytes: &[u8]) -> (dbs::Result<(Summary, Held)>, usize) {
    peak(|| {
        let mut held = Held::default();
        let summary = payload::read(bytes, &Limits::default(), &mut held)?;
        Ok((summary, held))
    })
}

/// Writes what was read; none where the writer does not write such a thing.
fn write(frames: bool, summary: &Summary, held: &Held) -> Option<Vec<u8>> {
    let mut header = summary.header.clone();
    let raw = |row: &String| RawValue::from_string(row.clone()).expect("a row");
    let mut files: Vec<FileEntry> = held.files.iter().map(|(entry, ..)| entry.clone()).collect();
    if !frames {
        let rows: Vec<_> = held.rows.iter().map(raw).collect();
        // The writer of version 1 takes the order for the stats, and nobody writes it.
        header.order = Vec::new();
        for (entry, (_, data, _)) in files.iter_mut().zip(&held.files) {
            entry.size = data.len() as u64;
        }
        let mut out = Vec::new();
        payload::write_document(&mut out, &header, &rows, &mut files, &summary.skipped).ok()?;
        held.files.iter().for_each(|(_, data, _)| out.extend(data));
        return Some(out);
    }
    let mut writer = FramesWriter::new(Vec::new(), &header, files).ok()?;
    for (_, data, skipped) in &held.files {
        writer.data(data).ok()?;
        writer.file_end(skipped.as_deref()).ok()?;
    }
    for row in &held.rows {
        writer.record(raw(row)).ok()?;
    }
    writer.finish().ok()
}

/// What can be read can be written, and is read the same then. What we wrote is written the same.
fn documents(bytes: &[u8], ours: bool, plan: &Plan) {
    let (done, most) = read(bytes);
    assert!(
        most <= (1 << 20) + 512 * bytes.len(),
        "{most} bytes for {}: {plan:?}",
        bytes.len()
    );
    let frames = bytes.starts_with(b"DBSPAY02");
    let (summary, held) = match done {
        Ok(found) => found,
        Err(error) => {
            assert!(!ours, "{error}: {plan:?}");
            return;
        }
    };
    let Some(again) = write(frames, &summary, &held) else {
        // Two labels of one name, and the like.
        assert!(!ours, "cannot be written: {plan:?}");
        return;
    };
    if ours {
        assert!(again == bytes, "written otherwise: {plan:?}");
    }
    let (second, _) = read(&again);
    let (summary, second) = second.unwrap_or_else(|e| panic!("{e}: {plan:?}"));
    assert_eq!(second.rows, held.rows, "{plan:?}");
    let contents = |held: &Held| -> Vec<(String, Vec<u8>)> {
        let files = held.files.iter();
        files
            .map(|(e, data, _)| (e.name.clone(), data.clone()))
            .collect()
    };
    assert_eq!(contents(&second), contents(&held), "{plan:?}");
    let third = write(frames, &summary, &second).expect("what was written once");
    assert!(third == again, "written otherwise: {plan:?}");
}

/// A payload by the library's own writers.
fn written(
    frames: bool,
    rows: &[(u8, u8, String)],
    files: &[(u8, String, Vec<u8>, bool)],
) -> Vec<u8> {
    let models = ["shop.author", "shop.book", "auth.user"];
    let mut rows: Vec<_> = rows.iter().take(20).collect();
    rows.sort_by_key(|row| row.0 % 3);
    let header = serde_json::json!({
        "kind": "storage", "size": 0, "model": null, "pk": null, "field": null, "name": "",
        "root": null,
    });
    let mut summary = Summary::default();
    summary.header.version = if frames { 2 } else { 1 };
    summary.header.created = Some("2024-02-29T23:59:59.123456+00:00".into());
    summary.header.migrations = vec![("shop".into(), "0001_initial".into())];
    if frames {
        summary.header.order = models.map(String::from).to_vec();
    }
    let mut held = Held::default();
    for (model, pk, text) in rows {
        let model = models[usize::from(model % 3)];
        let row = serde_json::json!({"model": model, "pk": pk, "fields": {"t": text}});
        held.rows.push(row.to_string());
    }
    for (kind, name, data, skipped) in files.iter().take(10) {
        let mut entry: FileEntry = serde_json::from_value(header.clone()).expect("an entry");
        entry.kind = match kind % 3 {
            0 => payload::Kind::Storage,
            1 => payload::Kind::Path,
            _ => payload::Kind::Root,
        };
        entry.root = (kind % 3 == 2).then(|| "/srv/media".into());
        entry.name.clone_from(name);
        entry.size = data.len() as u64;
        entry.sha256 = if frames { String::new() } else { sha256(data) };
        let skipped = (*skipped && frames).then(|| "it is gone".to_owned());
        let data = if skipped.is_some() { &[][..] } else { data };
        held.files.push((entry, data.to_vec(), skipped));
    }
    write(frames, &summary, &held).expect("what can be written")
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("legacy_parse", 300, super::run);
    }
}
