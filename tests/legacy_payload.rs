//! The payloads of django-dbs: written, read, and refused where they break the format.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use dbs::payload::{self, FileEntry, FramesWriter, Header, Kind, Sink};
use dbs::{Error, Limits, Result};
use serde_json::value::RawValue;

#[derive(Default)]
struct Seen {
    header: Option<Header>,
    rows: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>, Option<String>)>,
    open: Vec<u8>,
}

impl Sink for Seen {
    fn header(&mut self, header: &Header) -> Result<()> {
        self.header = Some(header.clone());
        Ok(())
    }

    fn record(&mut self, model: &str, json: &RawValue) -> Result<()> {
        self.rows.push((model.into(), json.get().into()));
        Ok(())
    }

    fn python_record(&mut self, model: &str, text: &str) -> Result<()> {
        self.rows.push((model.into(), text.into()));
        Ok(())
    }

    fn file(&mut self, _index: u64, _entry: &FileEntry) -> Result<()> {
        self.open.clear();
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn file_end(&mut self, entry: &FileEntry, skipped: Option<&str>) -> Result<()> {
        let data = std::mem::take(&mut self.open);
        let path = entry.safe_path().map(|p| p.to_str().unwrap().to_owned());
        self.files
            .push((path.unwrap_or_default(), data, skipped.map(str::to_owned)));
        Ok(())
    }
}

fn header(version: u8) -> Header {
    let mut header = Header::default();
    header.version = version;
    header.created = Some("2024-02-29T23:59:59.000001+00:00".into());
    header.django_version = Some("5.2".into());
    header.migrations = vec![("shop".into(), "0001_initial".into())];
    header.order = vec!["shop.a".into(), "shop.b".into()];
    header
}

fn entry(kind: Kind, name: &str, root: Option<&str>, bytes: &[u8]) -> FileEntry {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    FileEntry {
        kind,
        size: bytes.len() as u64,
        sha256: digest.iter().map(|b| format!("{b:02x}")).collect(),
        model: Some("shop.a".into()),
        pk: 1.into(),
        field: Some("file".into()),
        name: name.into(),
        root: root.map(str::to_owned),
        offset: 0,
        length: 0,
    }
}

fn row_text(pk: u64) -> String {
    row("shop.a", pk).get().to_owned()
}

fn row(model: &str, pk: u64) -> Box<RawValue> {
    let text =
        format!(r#"{{"model": "{model}", "pk": {pk}, "fields": {{"x": 1.50, "t": "é\u2028"}}}}"#);
    RawValue::from_string(text).unwrap()
}

fn frames() -> Vec<u8> {
    let files = vec![
        entry(Kind::Storage, "a/ü.txt", None, b"one"),
        entry(Kind::Root, "x/empty", Some("/srv/data"), b""),
        entry(Kind::Path, "/etc/../gone", None, b"gone"),
    ];
    let mut writer = FramesWriter::new(Vec::new(), &header(2), files).unwrap();
    writer.data(b"on").unwrap();
    writer.data(b"e").unwrap();
    writer.file_end(None).unwrap();
    writer.file_end(None).unwrap();
    writer.file_end(Some("unreadable")).unwrap();
    for pk in 0..503 {
        writer.record(row("shop.a", pk)).unwrap();
    }
    writer.record(row("shop.b", 7)).unwrap();
    writer.finish().unwrap()
}

fn document() -> Vec<u8> {
    let mut files = vec![
        entry(Kind::Storage, "a/ü.txt", None, b"one"),
        entry(Kind::Root, "x/empty", Some("/srv/data"), b""),
    ];
    let rows: Vec<_> = (0..3).map(|pk| row("shop.a", pk)).collect();
    let mut out = Vec::new();
    payload::write_document(&mut out, &header(1), &rows, &mut files, &[]).unwrap();
    out.extend_from_slice(b"one");
    out
}

#[test]
fn frames_come_back() {
    let mut seen = Seen::default();
    let summary = payload::read(&frames()[..], &Limits::default(), &mut seen).unwrap();
    assert_eq!(seen.header, Some(header(2)));
    assert_eq!(
        summary.models,
        [("shop.a".into(), 503), ("shop.b".into(), 1)]
    );
    assert_eq!((summary.records, summary.files), (504, 2));
    assert_eq!(seen.rows[5].1, row("shop.a", 5).get());
    assert_eq!(
        seen.files[0],
        ("storage/a/ü.txt".into(), b"one".to_vec(), None)
    );
    assert_eq!(
        seen.files[1],
        ("root/srv/data/x/empty".into(), Vec::new(), None)
    );
    assert_eq!(
        seen.files[2],
        (String::new(), Vec::new(), Some("unreadable".into()))
    );
}

#[test]
fn documents_come_back() {
    let mut seen = Seen::default();
    let summary = payload::read(&document()[..], &Limits::default(), &mut seen).unwrap();
    assert_eq!(summary.header.created, header(1).created);
    assert_eq!((summary.records, summary.files), (3, 2));
    assert_eq!(seen.rows[2].1, row("shop.a", 2).get());
    assert_eq!(
        seen.files[0],
        ("storage/a/ü.txt".into(), b"one".to_vec(), None)
    );
    let text = document();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains(r#", "name": "a/\u00fc.txt", "root": null, "offset": 0, "length": 3}"#));
    assert!(text.contains(r#"{"version": 1, "created": "#));
}

/// What Python's `json.dumps` writes, and no other JSON has.
#[test]
fn what_only_python_writes() {
    let row = r#"{"model": "shop.a", "pk": 1, "fields": {"x": NaN, "y": [-Infinity], "z": "NaN"}}"#;
    let name = r#""name": "caf\udce9.txt""#;
    let mut document = document();
    let text = String::from_utf8(document.split_off(12)).unwrap();
    let text = text.replacen(row_text(0).as_str(), row, 1);
    let text = text.replace(r#""name": "a/\u00fc.txt""#, name);
    document[8..].copy_from_slice(&u32::try_from(text.len() - 3).unwrap().to_be_bytes());
    document.extend_from_slice(text.as_bytes());
    let frame = |kind: u8, body: &str| {
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind][..], &len, body.as_bytes()].concat()
    };
    let frames = [
        b"DBSPAY02".to_vec(),
        frame(
            b'H',
            r#"{"version":2,"created":null,"django_version":null,"migrations":null,"order":["shop.a"]}"#,
        ),
        frame(
            b'M',
            &format!(
                r#"[{{"kind":"storage","size":0,"model":null,"pk":null,"field":null,{name},"root":null}}]"#
            ),
        ),
        frame(b'E', r#"{"index":0,"skipped":"gone"}"#),
        frame(b'R', &format!("[{row}, {}]", row_text(2))),
        frame(
            b'T',
            r#"{"stats":{"models":[{"model":"shop.a","count":2}],"records":2,"files":0,"skipped_files":[]}}"#,
        ),
    ];
    for whole in [document, frames.concat()] {
        let mut seen = Seen::default();
        payload::read(&whole[..], &Limits::default(), &mut seen).unwrap();
        assert_eq!(seen.rows[0].1, row);
        assert_eq!(seen.rows[seen.rows.len() - 1].1, row_text(2));
        assert_eq!(seen.files[0].0, "storage/caf\u{fffd}.txt");
        // A sink that does not know such rows loses none of them unsaid.
        struct Plain;
        impl Sink for Plain {
            fn record(&mut self, _: &str, _: &RawValue) -> Result<()> {
                Ok(())
            }
            fn file(&mut self, _: u64, _: &FileEntry) -> Result<()> {
                Ok(())
            }
            fn data(&mut self, _: &[u8]) -> Result<()> {
                Ok(())
            }
            fn file_end(&mut self, _: &FileEntry, _: Option<&str>) -> Result<()> {
                Ok(())
            }
        }
        let refused = payload::read(&whole[..], &Limits::default(), &mut Plain);
        assert!(matches!(refused, Err(Error::Damaged(_))));
    }
}

#[test]
fn every_cut_is_refused() {
    for whole in [frames(), document()] {
        for len in (0..40).chain(whole.len() - 40..whole.len()) {
            let result = payload::read(&whole[..len], &Limits::default(), &mut Seen::default());
            assert!(
                matches!(result, Err(Error::Damaged(_) | Error::NotDbs(_))),
                "{len}"
            );
        }
        let more = [&whole[..], b"x"].concat();
        let result = payload::read(&more[..], &Limits::default(), &mut Seen::default());
        assert!(matches!(result, Err(Error::Damaged(_))));
    }
}

#[test]
fn changed_bytes_are_refused_or_harmless() {
    for whole in [frames(), document()] {
        for at in (0..whole.len()).step_by(211) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x41;
            // No panic, no hang; an error or another text.
            let _ = payload::read(&bytes[..], &Limits::default(), &mut Seen::default());
        }
    }
    let mut bytes = document();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let result = payload::read(&bytes[..], &Limits::default(), &mut Seen::default());
    assert!(matches!(result, Err(Error::Damaged(_))));
}

#[test]
fn a_length_alone_takes_no_memory() {
    let mut bytes = b"DBSPAY02H".to_vec();
    bytes.extend_from_slice(&(200_u32 << 20).to_be_bytes());
    let result = payload::read(&bytes[..], &Limits::default(), &mut Seen::default());
    assert!(matches!(result, Err(Error::Damaged(_))));
    bytes[9] = 0xFF;
    let result = payload::read(&bytes[..], &Limits::default(), &mut Seen::default());
    assert!(matches!(result, Err(Error::Limit { .. })));
}

#[test]
fn names_that_lead_elsewhere() {
    let path = |kind, name, root| entry(kind, name, root, b"").safe_path();
    for name in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "",
        "a\0b",
        "C:/x",
        "a\\..\\b",
    ] {
        assert_eq!(path(Kind::Storage, name, None), None, "{name:?}");
    }
    assert_eq!(path(Kind::Root, "../x", Some("/srv")), None);
    assert_eq!(path(Kind::Root, "x", Some("/srv/../etc")), None);
    let found = path(Kind::Path, "/srv/x", None).unwrap();
    assert_eq!(found.to_str(), Some("path/srv/x"));
}
