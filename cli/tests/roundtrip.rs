//! What goes in comes out: trees, streams, parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use common::{Place, noise};

fn tree(place: &Place) {
    place.write("tree/one", "1");
    place.write("tree/sub/big", noise(300_000, 1));
    place.write("tree/sub/text", "line\n".repeat(10_000));
    fs::create_dir(place.path("tree/empty")).expect("mkdir");
    symlink("../one", place.path("tree/sub/link")).expect("symlink");
    fs::hard_link(place.path("tree/one"), place.path("tree/sub/same")).expect("link");
    let mode = fs::Permissions::from_mode(0o750);
    fs::set_permissions(place.path("tree/sub"), mode).expect("mode");
}

fn same_tree(place: &Place, other: &str) {
    for name in ["one", "sub/big", "sub/text", "sub/same"] {
        let (was, is) = (format!("tree/{name}"), format!("{other}/{name}"));
        assert_eq!(place.read(&was), place.read(&is), "{name}");
        let (was, is) = (place.path(&was), place.path(&is));
        let (was, is) = (was.metadata().expect("was"), is.metadata().expect("is"));
        assert_eq!(was.mode(), is.mode(), "{name}");
        assert_eq!(
            (was.mtime(), was.mtime_nsec()),
            (is.mtime(), is.mtime_nsec())
        );
    }
    let sub = place.path(&format!("{other}/sub"));
    assert_eq!(sub.metadata().expect("sub").mode() & 0o7777, 0o750);
    assert!(place.path(&format!("{other}/empty")).is_dir());
    let link = fs::read_link(place.path(&format!("{other}/sub/link"))).expect("link");
    assert_eq!(link.to_str(), Some("../one"));
    let linked = place.path(&format!("{other}/one"));
    assert_eq!(linked.metadata().expect("one").nlink(), 2);
}

#[test]
fn a_tree_in_every_profile() {
    let place = Place::new();
    tree(&place);
    for (profile, compress) in [("standard", "zstd"), ("coded", "zstd=1"), ("light", "none")] {
        let file = format!("{profile}.dbs");
        let args = [
            "tree/",
            "-o",
            &file,
            "--profile",
            profile,
            "--compress",
            compress,
        ];
        place.backup(&args).code(0).says("backed up 8 entries");
        place.run(&["validate", &file]).code(0);
        let target = format!("out-{profile}");
        let ended = place.run(&["restore", &file, "-C", &target]).code(0);
        assert!(ended.stdout.is_empty());
        same_tree(&place, &format!("{target}/tree"));
    }
    assert!(place.names().iter().all(|name| !name.starts_with('.')));
}

#[test]
fn a_stream_through_pipes() {
    let place = Place::new();
    let input = noise(3_000_000, 2);
    let backup = ["backup", "-", "-o", "-", "--kdf", "t=1,m=8,p=1"];
    let piped = place
        .feed(&backup, &input)
        .code(0)
        .says("cannot be read back here");
    place.write("piped.dbs", &piped.stdout);
    let to_file = ["backup", "-", "-o", "file.dbs", "--kdf", "t=1,m=8,p=1"];
    place.feed(&to_file, &input).code(0);
    for file in ["piped.dbs", "file.dbs"] {
        place.run(&["validate", file]).code(0);
        assert_eq!(
            place.run(&["restore", file, "-o", "-"]).code(0).stdout,
            input
        );
        place.run(&["restore", file, "-o", "out"]).code(0);
        assert_eq!(place.read("out"), input);
        fs::remove_file(place.path("out")).expect("remove");
        place
            .run(&["restore", file, "-C", "dir"])
            .code(2)
            .says("-o OUT");
        place.run(&["list", file]).code(2).says("one stream");
    }
    assert!(!place.path("dir").exists());
}

#[test]
fn nothing_at_all() {
    let place = Place::new();
    let args = ["backup", "-", "-o", "x.dbs", "--kdf", "t=1,m=8,p=1"];
    place.feed(&args, b"").code(0);
    let size = place.read("x.dbs").len();
    assert!(size < 40_000, "{size}");
    assert!(
        place
            .run(&["restore", "x.dbs", "-o", "-"])
            .code(0)
            .stdout
            .is_empty()
    );
    fs::create_dir(place.path("void")).expect("mkdir");
    place.backup(&["void", "-o", "void.dbs"]).code(0);
    place.run(&["restore", "void.dbs", "-C", "out"]).code(0);
    assert!(place.path("out/void").is_dir());
}

#[test]
fn the_stream_of_a_tree_is_its_tar() {
    let place = Place::new();
    tree(&place);
    place.backup(&["tree", "-o", "x.dbs"]).code(0);
    let stream = place.run(&["restore", "x.dbs", "-o", "-"]).code(0).stdout;
    let mut archive = tar::Archive::new(&stream[..]);
    archive.set_preserve_mtime(true);
    archive.set_preserve_permissions(true);
    archive.unpack(place.path("unpacked")).expect("unpack");
    assert_eq!(
        place.read("unpacked/tree/sub/big"),
        place.read("tree/sub/big")
    );
}

#[test]
fn parts_of_a_tree() {
    let place = Place::new();
    tree(&place);
    place.backup(&["tree", "-o", "x.dbs"]).code(0);
    place
        .run(&[
            "restore",
            "x.dbs",
            "-C",
            "a",
            "--only",
            "tree/sub/text",
            "./tree/empty/",
        ])
        .code(0)
        .says("2 entries");
    assert_eq!(place.read("a/tree/sub/text"), place.read("tree/sub/text"));
    assert!(!place.path("a/tree/one").exists());
    // The second name of a file, without the first: it is the file then.
    place
        .run(&["restore", "x.dbs", "-C", "b", "--only", "tree/sub"])
        .code(0);
    assert_eq!(place.read("b/tree/sub/same"), b"1");
    let ended = place.run(&["restore", "x.dbs", "-C", "c", "--only", "tree/nothing"]);
    ended.code(2).says("dbs list x.dbs");
    assert!(!place.path("c").exists());
}

#[test]
fn paths_are_stored_relative() {
    let place = Place::new();
    tree(&place);
    place.write("here/x", "");
    let mut command = place.command(&[
        "backup",
        "--kdf",
        "t=1,m=8,p=1",
        "../tree/one",
        ".",
        "-o",
        "../x.dbs",
    ]);
    let output = command
        .current_dir(place.path("here"))
        .output()
        .expect("run");
    let notes = String::from_utf8(output.stderr).expect("utf-8");
    assert!(output.status.success(), "{notes}");
    assert!(
        notes.contains("../tree/one is stored as tree/one"),
        "{notes}"
    );
    let list = place.run(&["list", "x.dbs", "--json"]).code(0).json();
    let list = list.as_array().expect("array");
    let names: Vec<&str> = list
        .iter()
        .filter_map(|entry| entry["path"].as_str())
        .collect();
    assert_eq!(names, ["tree/one", "x"]);
}

#[test]
fn the_backup_leaves_itself_out() {
    let place = Place::new();
    place.write("dir/file", "x");
    place.backup(&["dir", "-o", "dir/x.dbs"]).code(0);
    place
        .backup(&["dir", "-o", "dir/x.dbs"])
        .code(2)
        .says("--force");
    place
        .backup(&["dir", "-o", "dir/x.dbs", "--force"])
        .code(0)
        .says("it is the backup itself");
    let list = place.run(&["list", "dir/x.dbs"]).code(0).text();
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[test]
fn unreadable_files_are_told() {
    let place = Place::new();
    place.write("dir/file", "x");
    symlink("/proc/self/mem", place.path("dir/mem")).expect("symlink");
    // Reading the memory of a process at 0 fails for everybody, the superuser included.
    let args = ["/proc/self/mem", "dir", "-o", "x.dbs"];
    let ended = place.backup(&args);
    if ended.code == Some(3) {
        ended.says("cannot read").says("could not be read");
        place.run(&["validate", "x.dbs"]).code(0);
    }
    place
        .backup(&["missing", "-o", "y.dbs"])
        .code(7)
        .says("missing");
    assert!(!place.path("y.dbs").exists());
}

/// A change of passphrases that was cut short, or that somebody forged, must not cost the pages that it left.
#[test]
fn header_pages_that_differ_are_not_lost() {
    let place = Place::new();
    place.write("file", "x");
    place.write("new", "new");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    let old = place.read("x.dbs");
    let change = [
        "passphrase",
        "x.dbs",
        "change",
        "--new-passphrase-file",
        "new",
    ];
    let cheap = ["--kdf", "t=1,m=8,p=1"];
    place.run(&[&change[..], &cheap[..]].concat()).code(0);
    let new = place.read("x.dbs");

    let sector = 4096;
    let end = old.len() - sector;
    let first = [&new[..sector], &old[sector..]].concat();
    let ends = [&new[..sector], &old[sector..end], &new[end..]].concat();
    // Where both ends agree, no other page is looked for, and none is named.
    for (mixed, said) in [(first, "--generation 0"), (ends, "wrong passphrase")] {
        place.write("x.dbs", &mixed);
        place
            .run(&["restore", "x.dbs", "-C", "out"])
            .code(4)
            .says(said);
        place
            .run(&[
                "restore",
                "x.dbs",
                "-C",
                "out",
                "--generation",
                "0",
                "--force",
            ])
            .code(0)
            .says("generation 0");
        assert_eq!(place.read("out/file"), b"x");
        place
            .run(&["restore", "x.dbs", "-C", "none", "--generation", "7"])
            .code(2)
            .says("no header page of generation 7");

        // The passphrase at hand is the old one.
        place
            .run(&["repair", "x.dbs", "--in-place"])
            .code(4)
            .says("the file is as it was");
        assert_eq!(place.read("x.dbs"), mixed);
        let older = [
            "repair",
            "x.dbs",
            "-o",
            "older.dbs",
            "--generation",
            "0",
            "--force",
        ];
        place.run(&older).code(0);
        assert_eq!(place.read("older.dbs"), old);
        place
            .run(&["repair", "x.dbs", "--in-place", "--passphrase-file", "new"])
            .code(0);
        assert_eq!(place.read("x.dbs"), new);
    }
}

#[test]
fn passphrases_are_added_changed_and_removed() {
    let place = Place::new();
    place.write("file", "x");
    place.write("second", "other\n");
    place.write("third", "third");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    let cheap = ["--kdf", "t=1,m=8,p=1"];
    let run = |args: &[&str], code: i32| {
        place
            .run(&[&["passphrase", "x.dbs"], args].concat())
            .code(code)
    };
    let lists = |file: &str, code: i32| {
        place
            .run(&["list", "x.dbs", "--passphrase-file", file])
            .code(code);
    };
    run(&["remove"], 2).says("last passphrase");
    run(
        &["add", "--new-passphrase-file", "second", cheap[0], cheap[1]],
        0,
    );
    lists("second", 0);
    place.run(&["list", "x.dbs"]).code(0);
    run(
        &[
            "change",
            "--passphrase-file",
            "second",
            "--new-passphrase-file",
            "third",
            cheap[0],
            cheap[1],
        ],
        0,
    );
    lists("second", 4);
    lists("third", 0);
    run(&["remove"], 0).says("older copies");
    place
        .run(&["list", "x.dbs"])
        .code(4)
        .says("wrong passphrase");
    lists("third", 0);
    place
        .run(&["validate", "x.dbs", "--passphrase-file", "third"])
        .code(0);
    run(&["add"], 4);
    let info = place.run(&["info", "x.dbs", "--json"]).code(0).json();
    assert_eq!(info["generation"], 3);
    // Both from one pipe, a line each.
    let args = [
        "passphrase",
        "x.dbs",
        "change",
        "--passphrase-stdin",
        "--new-passphrase-stdin",
    ];
    place
        .feed(&[&args[..], &cheap[..]].concat(), b"third\nfourth\n")
        .code(0);
    place
        .feed(&["list", "x.dbs", "--passphrase-stdin"], b"fourth")
        .code(0);
}
