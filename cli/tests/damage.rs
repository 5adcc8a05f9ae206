//! Damage: found, healed, repaired, salvaged, and told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use common::{Ended, Place, noise};

/// Sectors of a full block in the profile `light`: header page, data, parity.
const BLOCK: usize = 256 * 4096;

/// A name and what is done to the bytes.
type Damage = (&'static str, fn(&mut Vec<u8>));

/// The tar stream of a file of 2,000,000 bytes.
const TAR: usize = 1024 + 512 + 2_000_384 + 1024;

/// Payload bytes of a full block.
const CAPACITY: usize = 223 * 4048 - 32;

fn zero(bytes: &mut [u8], from: usize, to: usize) {
    bytes[from..to].fill(0);
}

/// Six files of 600 KiB, so that block 1 has the tail of the second and the head of the third.
fn six_files(place: &Place) {
    for n in 0..6 {
        place.write(&format!("tree/f{n}"), noise(600 << 10, n));
    }
    let args = [
        "tree",
        "-o",
        "x.dbs",
        "--profile",
        "light",
        "--compress",
        "none",
    ];
    place.backup(&args).code(0);
    place.run(&["validate", "x.dbs"]).code(0);
}

fn lose_block_1(place: &Place) {
    place.damage("x.dbs", |bytes| {
        zero(bytes, BLOCK + 4096, BLOCK + 4096 * 40);
    });
}

fn nothing_left_behind(place: &Place) {
    let names = place.names();
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}

#[test]
fn what_can_be_healed_comes_back_and_says_so() {
    let place = Place::new();
    let input = noise(2_000_000, 1);
    place.write("file", &input);
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    let whole = place.read("x.dbs");
    let half = whole.len() / 2;
    let damages: [Damage; 6] = [
        ("burst", |bytes| {
            let n = bytes.len();
            zero(bytes, n / 4, n / 4 + n * 45 / 100);
        }),
        ("ends", |bytes| {
            let n = bytes.len();
            zero(bytes, 0, 65536);
            zero(bytes, n - 65536, n);
        }),
        ("tail", |bytes| bytes.truncate(bytes.len() * 55 / 100)),
        ("head", |bytes| drop(bytes.drain(..bytes.len() * 45 / 100))),
        ("cut", |bytes| {
            let _ = bytes.remove(1_234_567);
        }),
        ("push", |bytes| bytes.insert(1_234_567, 7)),
    ];
    for (name, damage) in damages {
        place.write("d.dbs", &whole);
        place.damage("d.dbs", damage);
        let found = place.run(&["validate", "d.dbs", "--json"]).code(1).json();
        assert_eq!(found["status"], "recoverable", "{name}");
        assert_eq!(found["format_version"], 3);
        assert!(found["blocks"].as_u64() >= Some(4), "{name}");
        let ended = place
            .run(&["restore", "d.dbs", "-o", "out", "--force"])
            .code(0);
        ended.says("damaged").says("dbs repair d.dbs");
        // Reading member by member counts nothing twice.
        let told = place
            .run(&["restore", "d.dbs", "-C", name, "--json"])
            .code(0)
            .json();
        assert_eq!(told["status"], "recoverable", "{name}");
        assert!(
            told["sectors_bad"].as_u64() <= found["sectors_bad"].as_u64(),
            "{name}: {told}"
        );
        assert_eq!(
            place
                .run(&["restore", "d.dbs", "-o", "-"])
                .code(0)
                .stdout
                .len(),
            TAR
        );
        place
            .run(&["repair", "d.dbs", "-o", "r.dbs", "--force"])
            .code(0);
        assert!(place.read("r.dbs") == whole, "{name}");
        place.run(&["repair", "d.dbs", "--in-place"]).code(0);
        assert!(place.read("d.dbs") == whole, "{name}");
        place.run(&["validate", "r.dbs"]).code(0);
    }
    // Two halves that are each beyond repair alone.
    let mut swapped = whole[half..].to_vec();
    swapped.extend_from_slice(&whole[..half]);
    place.write("s.dbs", swapped);
    place.run(&["repair", "s.dbs", "-o", "t.dbs"]).code(0);
    assert!(place.read("t.dbs") == whole);
    nothing_left_behind(&place);
}

#[test]
fn beyond_repair_nothing_is_written_and_all_is_named() {
    let place = Place::new();
    six_files(&place);
    lose_block_1(&place);
    let found = place.run(&["validate", "x.dbs", "--json"]).code(3).json();
    assert_eq!(found["status"], "unrecoverable");
    let failed = &found["failed_blocks"][0];
    assert_eq!(failed["block"], 1);
    assert_eq!(failed["kind"], "data");
    assert_eq!(failed["payload"]["start"], CAPACITY);
    assert_eq!(failed["payload"]["end"], 2 * CAPACITY);
    let text = place.run(&["validate", "x.dbs"]).code(3).text();
    assert!(
        text.contains("in tree/f1") && text.contains("in tree/f2"),
        "{text}"
    );
    assert!(
        text.contains("--salvage") && text.contains("--with"),
        "{text}"
    );

    for target in [["-C", "out"], ["-o", "out"]] {
        let args = [&["restore", "x.dbs"], &target[..]].concat();
        let ended = place.run(&args).code(3);
        let ended = ended
            .says("block 1 (data)")
            .says("in tree/f1")
            .says("in tree/f2");
        ended.says("nothing was restored").says("--salvage");
        assert!(!place.path("out").exists());
        let json = place.run(&[&args[..], &["--json"]].concat()).code(3).json();
        assert_eq!(json["failed_blocks"][0]["files"][0]["path"], "tree/f1");
    }
    place
        .run(&["repair", "x.dbs", "-o", "y.dbs"])
        .code(3)
        .says("nothing was written")
        .says("--with");
    assert!(!place.path("y.dbs").exists());
    let before = place.read("x.dbs");
    place
        .run(&["repair", "x.dbs", "--in-place"])
        .code(3)
        .says("as it was");
    assert!(place.read("x.dbs") == before);
    nothing_left_behind(&place);

    // What does not touch the lost block comes back all the same.
    place
        .run(&["restore", "x.dbs", "-C", "part", "--only", "tree/f4"])
        .code(0);
    assert_eq!(place.read("part/tree/f4"), place.read("tree/f4"));
    place
        .run(&["restore", "x.dbs", "-C", "p2", "--only", "tree/f1"])
        .code(3);
    assert!(!place.path("p2").exists());
}

#[test]
fn salvage_brings_everything_else() {
    let place = Place::new();
    six_files(&place);
    let whole = place.read("x.dbs");
    lose_block_1(&place);
    let args = ["restore", "x.dbs", "-C", "out", "--salvage", "--json"];
    let ended = place.run(&args).code(3);
    let ended: Ended = ended.says("tree/f1: bytes ").says("tree/f2.damaged");
    let json = ended.json();
    assert_eq!(json["missing"].as_array().map(Vec::len), Some(2));
    for n in [0, 3, 4, 5] {
        let name = format!("tree/f{n}");
        assert_eq!(place.read(&format!("out/{name}")), place.read(&name));
    }
    for (at, name) in [(0, "tree/f1"), (1, "tree/f2")] {
        assert!(!place.path(&format!("out/{name}")).exists());
        let missing = &json["missing"][at];
        assert_eq!(missing["path"], name);
        let range = &missing["ranges"][0];
        let at = |key: &str| range[key].as_u64().expect("number") as usize;
        let mut expected = place.read(name);
        zero(&mut expected, at("start"), at("end"));
        let saved = missing["saved_as"].as_str().expect("name");
        assert!(place.read(&format!("out/{saved}")) == expected, "{name}");
    }

    let stream = ["restore", "x.dbs", "-o", "out.tar", "--salvage"];
    place
        .run(&stream)
        .code(3)
        .says(&format!("{CAPACITY}..{}", 2 * CAPACITY));
    let salvaged = place.read("out.tar");
    place.write("whole.dbs", whole);
    place
        .run(&["restore", "whole.dbs", "-o", "whole.tar"])
        .code(0);
    let mut expected = place.read("whole.tar");
    zero(&mut expected, CAPACITY, 2 * CAPACITY);
    assert!(salvaged == expected);
    // With nothing lost, salvage is a restore.
    place
        .run(&["restore", "whole.dbs", "-C", "all", "--salvage"])
        .code(0);
    assert_eq!(place.read("all/tree/f2"), place.read("tree/f2"));
}

/// Wipes all sectors of a block copy whose frames say this.
fn lose(bytes: &mut [u8], is_lost: impl Fn(u8, u64) -> bool) {
    for sector in bytes.chunks_exact_mut(4096) {
        let block = u64::from_le_bytes(sector[8..16].try_into().expect("8 bytes"));
        if is_lost(sector[5], block) {
            sector.fill(0);
        }
    }
}

#[test]
fn salvage_of_a_backup_without_its_end() {
    let place = Place::new();
    six_files(&place);
    let whole = place.read("x.dbs");
    let salvage = ["restore", "x.dbs", "-C", "out", "--salvage", "--json"];
    // Only the manifest: all of the payload is there, and nothing says so.
    place.damage("x.dbs", |bytes| lose(bytes, |kind, _| kind == 1));
    place.run(&["restore", "x.dbs", "-C", "none"]).code(3);
    let json = place.run(&salvage).code(3).says("its end is lost").json();
    assert_eq!(json["missing"].as_array().map(Vec::len), Some(0));
    for n in 0..6 {
        let name = format!("tree/f{n}");
        assert_eq!(place.read(&format!("out/{name}")), place.read(&name));
    }
    place
        .run(&["restore", "x.dbs", "-o", "out.tar", "--salvage"])
        .code(3)
        .says("its end is lost");

    // A backup that was stopped: data up to some block, and nothing that comes behind.
    place.write("x.dbs", &whole);
    place.damage("x.dbs", |bytes| {
        lose(bytes, |kind, block| kind != 0 || block > 2);
    });
    fs::remove_dir_all(place.path("out")).expect("remove");
    let json = place.run(&salvage).code(3).says("its end is lost").json();
    for n in 0..4 {
        let name = format!("tree/f{n}");
        assert_eq!(place.read(&format!("out/{name}")), place.read(&name));
    }
    let missing = &json["missing"][0];
    assert_eq!(missing["path"], "tree/f4");
    let saved = place.read(&format!(
        "out/{}",
        missing["saved_as"].as_str().expect("name")
    ));
    assert!(!saved.is_empty() && saved[..] == place.read("tree/f4")[..saved.len()]);
    let range = &missing["ranges"][0];
    assert_eq!(range["start"], saved.len());
    assert_eq!(range["end"], 600 << 10);
}

#[test]
fn two_damaged_copies_make_one_whole() {
    let place = Place::new();
    six_files(&place);
    let whole = place.read("x.dbs");
    place.write("other.dbs", &whole);
    lose_block_1(&place);
    place.damage("other.dbs", |bytes| zero(bytes, 0, 4096 * 60));
    place.run(&["repair", "other.dbs", "-o", "y.dbs"]).code(3);
    place
        .run(&["repair", "x.dbs", "--with", "other.dbs", "-o", "y.dbs"])
        .code(0);
    assert!(place.read("y.dbs") == whole);
}

#[test]
fn what_is_no_copy_is_not_merged() {
    let place = Place::new();
    six_files(&place);
    let whole = place.read("x.dbs");
    lose_block_1(&place);
    place.write("file", "x");
    place.backup(&["file", "-o", "foreign.dbs"]).code(0);
    let args = ["repair", "x.dbs", "--with", "foreign.dbs", "-o", "y.dbs"];
    place
        .run(&args)
        .code(2)
        .says("the 2. of the files to be merged is of another archive");

    // The first file has sectors of the archive, and no header page; the other one has one.
    let mut alone = whole[4096..4096 * 40].to_vec();
    place.write("alone.dbs", &alone);
    let args = ["repair", "alone.dbs", "-o", "y.dbs"];
    place
        .run(&args)
        .code(3)
        .says("no header page")
        .says("--with");
    place.write("other.dbs", &whole);
    let args = ["repair", "alone.dbs", "--with", "other.dbs", "-o", "y.dbs"];
    place.run(&args).code(0);
    assert!(place.read("y.dbs") == whole);
    // What shares nothing with the others is not replaced by them.
    alone = whole.clone();
    for (at, byte) in alone.iter_mut().enumerate() {
        *byte = match at % 4096 {
            0..4 => *byte,
            _ => 0x55,
        };
    }
    place.write("alone.dbs", &alone);
    let args = ["repair", "alone.dbs", "--with", "other.dbs", "--in-place"];
    place.run(&args).code(3);
    assert!(place.read("alone.dbs") == alone);
}

#[test]
fn a_tree_without_an_index_is_restored_and_salvaged() {
    use std::io::Write;
    let place = Place::new();
    let mut builder = tar::Builder::new(Vec::new());
    let contents: Vec<Vec<u8>> = (0..6).map(|n| noise(600 << 10, n)).collect();
    for (n, content) in contents.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let name = format!("{}f{n}", "long/".repeat(30));
        builder
            .append_data(&mut header, name, &content[..])
            .expect("append");
    }
    let tar = builder.into_inner().expect("tar");
    let mut options = dbs::WriterOptions::default();
    options.kdf = dbs::KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    options.media_type = "application/x-tar".into();
    options.profile = dbs::Profile::Light;
    let passphrase = dbs::Passphrase::new(common::PASSPHRASE);
    let out = std::io::Cursor::new(Vec::new());
    let mut writer = dbs::Writer::create(out, &passphrase, options).expect("create");
    writer.write_all(&tar).expect("write");
    let file = writer.finish().expect("finish").into_inner();
    place.write("x.dbs", &file);

    place.run(&["restore", "x.dbs", "-C", "all"]).code(0);
    let folder = "long/".repeat(30);
    let only = format!("{folder}f3");
    place
        .run(&["restore", "x.dbs", "-C", "part", "--only", &only])
        .code(0);
    assert_eq!(place.read(&format!("part/{only}")), contents[3]);
    lose_block_1(&place);
    place.run(&["restore", "x.dbs", "-C", "none"]).code(3);
    assert!(!place.path("none").exists());
    place
        .run(&["restore", "x.dbs", "-C", "out", "--salvage"])
        .code(3);
    for n in [0, 3, 4, 5] {
        assert_eq!(place.read(&format!("out/{folder}f{n}")), contents[n]);
    }
    assert!(place.path(&format!("out/{folder}f1.damaged")).exists());
}

#[test]
fn every_single_bit_of_a_header_page_matters_to_nobody() {
    let place = Place::new();
    place.write("file", "small");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    let whole = place.read("x.dbs");
    for bit in (0..512 * 8).step_by(311) {
        place.write("d.dbs", &whole);
        place.damage("d.dbs", |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        place.run(&["validate", "d.dbs"]).code(1);
        place
            .run(&["repair", "d.dbs", "-o", "r.dbs", "--force"])
            .code(0);
        assert!(place.read("r.dbs") == whole, "bit {bit}");
    }
}
