//! Versions 1 and 2 through the same commands, and into version 3.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Ended, Place, noise};

/// A payload as django-dbs 0.7.0 writes it, with two models and a file.
fn payload() -> Vec<u8> {
    use serde_json::value::RawValue;
    let content = noise(200_000, 9);
    let mut entry = dbs::payload::FileEntry {
        kind: dbs::payload::Kind::Storage,
        size: content.len() as u64,
        sha256: String::new(),
        model: Some("shop.item".into()),
        pk: 1.into(),
        field: Some("photo".into()),
        name: "photos/one.jpg".into(),
        root: None,
        offset: 0,
        length: 0,
    };
    let hostile = dbs::payload::FileEntry {
        name: "../../etc/passwd".into(),
        size: 3,
        ..entry.clone()
    };
    entry.pk = 2.into();
    let mut header = dbs::payload::Header::default();
    header.version = 2;
    header.order = vec!["shop.item".into(), "shop.tag".into()];
    let mut writer =
        dbs::payload::FramesWriter::new(Vec::new(), &header, vec![entry, hostile]).expect("begin");
    writer.data(&content).expect("data");
    writer.file_end(None).expect("end");
    writer.data(b"bad").expect("data");
    writer.file_end(None).expect("end");
    for (model, pk) in [("shop.item", 1), ("shop.item", 2), ("shop.tag", 1)] {
        let row = format!(r#"{{"model": "{model}", "pk": {pk}, "fields": {{"name": "x"}}}}"#);
        writer
            .record(RawValue::from_string(row).expect("json"))
            .expect("record");
    }
    writer.finish().expect("finish")
}

/// Writes a backup of an older version, in the place of one that is there.
fn backup(place: &Place, format: &str, file: &str, payload: &[u8]) {
    let head = ["backup", "-", "-o", file, "--format", format];
    let tail = ["--kdf", "t=1,m=8,p=1", "--force"];
    place.feed(&[&head[..], &tail].concat(), payload).code(0);
}

fn rows_and_files(place: &Place, out: &str) {
    let rows = String::from_utf8(place.read(&format!("{out}/rows/shop.item.jsonl")));
    let rows = rows.expect("utf-8");
    assert_eq!(rows.lines().count(), 2, "{rows}");
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("json");
        assert_eq!(row["model"], "shop.item");
    }
    let photo = place.read(&format!("{out}/files/storage/photos/one.jpg"));
    assert!(photo == noise(200_000, 9));
    assert!(!place.path("etc").exists());
}

#[test]
fn every_version_holds_rows_and_files() {
    let place = Place::new();
    let payload = payload();
    for format in ["1", "2", "3"] {
        let file = format!("v{format}.dbs");
        backup(&place, format, &file, &payload);
        let found = place.run(&["validate", &file, "--json"]).code(0).json();
        assert_eq!(found["format_version"].to_string(), format);
        assert_eq!(
            place.run(&["restore", &file, "-o", "-"]).code(0).stdout,
            payload
        );
        let out = format!("out{format}");
        place
            .run(&["restore", &file, "-C", &out])
            .code(3)
            .says("refused ../../etc/passwd");
        rows_and_files(&place, &out);
        let list = place.run(&["list", &file]).code(0).text();
        assert!(list.contains("2 rows  rows/shop.item.jsonl"), "{list}");
        assert!(
            list.contains("200000 bytes files/storage/photos/one.jpg"),
            "{list}"
        );
        let info = place.run(&["info", &file, "--json"]).code(0).json();
        assert_eq!(info["format_version"].to_string(), format);
        assert!(info["survives"]["burst_bytes"].as_u64() > Some(0));
        place.run(&["info", &file]).code(0);

        let new = format!("new{format}.dbs");
        let args = ["convert", &file, "-o", &new, "--kdf", "t=1,m=8,p=1"];
        place
            .run(&args)
            .code(0)
            .says(&format!("from version {format}"));
        assert_eq!(
            place.run(&["restore", &new, "-o", "-"]).code(0).stdout,
            payload
        );
        let found = place.run(&["validate", &new, "--json"]).code(0).json();
        assert_eq!(found["format_version"], 3);
        let part = format!("part{format}");
        let args = [
            "restore",
            &new,
            "-C",
            &part,
            "--only",
            "rows/shop.tag.jsonl",
        ];
        place.run(&args).code(3);
        assert!(place.path(&format!("{part}/rows/shop.tag.jsonl")).exists());
        assert!(!place.path(&format!("{part}/files")).exists());
    }
}

#[test]
fn every_version_holds_a_tree() {
    let place = Place::new();
    place.write("tree/a", noise(300_000, 1));
    place.write("tree/b", "b");
    for format in ["1", "2", "3"] {
        let file = format!("v{format}.dbs");
        place
            .backup(&["tree", "-o", &file, "--format", format])
            .code(0);
        place
            .run(&["restore", &file, "-C", &format!("o{format}")])
            .code(0);
        assert_eq!(
            place.read(&format!("o{format}/tree/a")),
            place.read("tree/a")
        );
        let list = place.run(&["list", &file]).code(0).text();
        assert_eq!(list.lines().count(), 3, "{list}");
        let new = format!("n{format}.dbs");
        place
            .run(&["convert", &file, "-o", &new, "--kdf", "t=1,m=8,p=1"])
            .code(0);
        let out = format!("p{format}");
        place
            .run(&["restore", &new, "-C", &out, "--only", "tree/b"])
            .code(0);
        assert_eq!(place.read(&format!("{out}/tree/b")), b"b");
        assert!(!place.path(&format!("{out}/tree/a")).exists());
    }
    place
        .backup(&["tree", "-o", "x", "--format", "1", "--lag", "3"])
        .code(2);
    place.backup(&["tree", "-o", "-", "--format", "1"]).code(2);
    place
        .run(&["passphrase", "v1.dbs", "remove"])
        .code(2)
        .says("version 1");
}

#[test]
fn damage_in_older_versions() {
    let place = Place::new();
    let payload = payload();
    for format in ["1", "2"] {
        backup(&place, format, "x.dbs", &payload);
        let whole = place.read("x.dbs");
        let middle = whole.len() / 3;
        place.damage("x.dbs", |bytes| bytes[middle..middle + 2000].fill(0));
        place.run(&["validate", "x.dbs"]).code(1);
        let ended = place
            .run(&["restore", "x.dbs", "-o", "out", "--force"])
            .code(0);
        ended.says("damaged");
        assert!(place.read("out") == payload);
        place
            .run(&["repair", "x.dbs", "-o", "y.dbs", "--force"])
            .code(0);
        assert!(place.read("y.dbs") == whole, "{format}");
        place.run(&["repair", "x.dbs", "--in-place"]).code(0);
        assert!(place.read("x.dbs") == whole, "{format}");
        // Copy A is whole.
        place.damage("x.dbs", |bytes| bytes.truncate(bytes.len() * 2 / 3));
        let ended = place
            .run(&["restore", "x.dbs", "-o", "out", "--force"])
            .code(0);
        ended.says("it was written with").says("damaged");
        assert!(place.read("out") == payload);
    }
}

/// Version 2 keeps tags of blocks without parity. Where they and the trailers are lost, decrypting is
/// the only proof that a block is right.
#[test]
fn lost_tags_need_the_passphrase() {
    const SLOT: usize = 69_952;
    let place = Place::new();
    let payload = payload();
    backup(&place, "2", "x.dbs", &payload);
    let whole = place.read("x.dbs");
    place.damage("x.dbs", |bytes| {
        let end = bytes.len() - 152;
        bytes[end - 200..end].fill(0);
        for slot in bytes[152..end - 200].chunks_mut(SLOT) {
            slot[SLOT - 16..].fill(0);
        }
    });
    let keyless = |args: &[&str]| {
        let mut command = place.command(args);
        command.env_remove("DBS_PASSPHRASE");
        Ended::of(command.output().expect("run"))
    };
    let blocks = (whole.len() - 504) / SLOT / 2;
    keyless(&["validate", "x.dbs"]).code(3);
    keyless(&["repair", "x.dbs", "-o", "y.dbs"])
        .code(3)
        .says(&format!("{blocks} of which can be rebuilt"));
    assert!(!place.path("y.dbs").exists());
    place.write("wrong", "not this one\n");
    let with =
        |file: &str, out: &str| keyless(&["repair", "x.dbs", "-o", out, "--passphrase-file", file]);
    with("wrong", "y.dbs").code(4);
    place.write("right", common::PASSPHRASE);
    with("right", "y.dbs").code(0);
    assert!(place.read("y.dbs") == whole);
    place.run(&["validate", "x.dbs"]).code(1);
    place.run(&["restore", "x.dbs", "-o", "out"]).code(0);
    assert!(place.read("out") == payload);
    place.run(&["repair", "x.dbs", "--in-place"]).code(0);
    assert!(place.read("x.dbs") == whole);
    // A passphrase that is not needed is not read.
    keyless(&[
        "repair",
        "x.dbs",
        "-o",
        "z.dbs",
        "--passphrase-file",
        "none",
    ])
    .code(0);
}

/// Only copies of version 3 can be merged.
#[test]
fn what_to_do_about_an_older_file_that_cannot_be_opened() {
    let place = Place::new();
    for format in ["1", "2"] {
        let file = format!("v{format}.dbs");
        backup(&place, format, &file, &noise(2000, 1));
        place.damage(&file, |bytes| {
            let len = bytes.len();
            // All but the headers, or all that they say.
            match format {
                "1" => bytes[64..len - 64].fill(0),
                _ => {
                    bytes[20..152].fill(0);
                    bytes[len - 132..].fill(0);
                }
            }
        });
        let ended = place.run(&["validate", &file]).says("Take another copy");
        assert!(!ended.stderr.contains("--with"), "{}", ended.stderr);
    }
}
