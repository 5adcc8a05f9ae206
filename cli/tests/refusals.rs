//! What cannot be, and how it is told: exit codes, and nothing left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, noise};

#[test]
fn files_that_are_none() {
    let place = Place::new();
    place.write("empty", "");
    place.write("short", "DBSCON");
    place.write("text", "not a backup at all\n".repeat(10_000));
    place.write("noise", noise(1_000_000, 3));
    fs::create_dir(place.path("folder")).expect("mkdir");
    for file in ["empty", "short", "text", "noise"] {
        for command in [
            vec!["validate", file],
            vec!["info", file],
            vec!["list", file],
            vec!["restore", file, "-o", "out"],
            vec!["repair", file, "-o", "out"],
            vec!["repair", file, "--in-place"],
            vec!["passphrase", file, "remove"],
        ] {
            place.run(&command).code(6).says(file);
        }
    }
    place
        .run(&["info", "folder"])
        .code(7)
        .says("neither a file");
    place.run(&["info", "missing"]).code(7).says("missing");
    place.run(&["info", "-"]).code(2).says("Save it to a file");
    assert_eq!(place.names(), ["empty", "folder", "noise", "short", "text"]);
}

#[test]
fn passphrases() {
    let place = Place::new();
    place.write("file", "x");
    place.write("wrong", "wrong");
    place.write("nothing", "\n");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    place
        .run(&[
            "restore",
            "x.dbs",
            "-C",
            "out",
            "--passphrase-file",
            "wrong",
        ])
        .code(4);
    place
        .run(&["list", "x.dbs", "--passphrase-file", "nothing"])
        .code(2)
        .says("empty");
    place
        .run(&["list", "x.dbs", "--passphrase-file", "none"])
        .code(7);
    let mut bare = place.command(&["list", "x.dbs"]);
    let output = bare.env_remove("DBS_PASSPHRASE").output().expect("run");
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--passphrase-file"), "{told}");
    // No passphrase, and none asked for.
    let mut bare = place.command(&["validate", "x.dbs"]);
    let output = bare.env_remove("DBS_PASSPHRASE").output().expect("run");
    assert_eq!(output.status.code(), Some(0));
    place
        .run(&["backup", "-", "-o", "y", "--passphrase-stdin"])
        .code(2);
    assert_eq!(place.names(), ["file", "nothing", "wrong", "x.dbs"]);
}

#[test]
fn what_exists_stays() {
    let place = Place::new();
    place.write("file", "x");
    place.write("there", "precious");
    place
        .backup(&["file", "-o", "there"])
        .code(2)
        .says("exists already");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    place
        .run(&["restore", "x.dbs", "-o", "there"])
        .code(2)
        .says("--force");
    place.run(&["repair", "x.dbs", "-o", "there"]).code(2);
    place.write("out/file", "mine");
    place
        .run(&["restore", "x.dbs", "-C", "out"])
        .code(2)
        .says("out/file exists");
    assert_eq!(place.read("there"), b"precious");
    assert_eq!(place.read("out/file"), b"mine");
    place
        .run(&["restore", "x.dbs", "-C", "out", "--force"])
        .code(0);
    assert_eq!(place.read("out/file"), b"x");
    place.run(&["restore", "x.dbs", "-C", "there"]).code(7);
    place
        .backup(&["file", "-o", "no/such/x.dbs"])
        .code(7)
        .says("mkdir -p");
}

/// With `--force` too: what is read must outlive the command that reads it.
#[test]
fn an_input_is_never_the_output() {
    let place = Place::new();
    place.write("file", "x");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    fs::copy(place.path("x.dbs"), place.path("other.dbs")).expect("copy");
    fs::hard_link(place.path("x.dbs"), place.path("second name")).expect("link");
    let whole = place.read("x.dbs");
    for command in [
        vec!["backup", "x.dbs", "-o", "x.dbs"],
        vec!["backup", "file", "x.dbs", "-o", "second name"],
        vec!["restore", "x.dbs", "-o", "x.dbs"],
        vec!["convert", "x.dbs", "-o", "x.dbs"],
        vec!["repair", "x.dbs", "-o", "x.dbs"],
        vec!["repair", "x.dbs", "--with", "other.dbs", "-o", "other.dbs"],
    ] {
        let output = command.last().copied().unwrap_or_default();
        let ended = place.run(&[&command[..], &["--force"]].concat());
        ended.code(2).says(output).says("Name another file");
        assert!(place.read("x.dbs") == whole && place.read("other.dbs") == whole);
    }
    assert_eq!(place.names(), ["file", "other.dbs", "second name", "x.dbs"]);
}

#[test]
fn combinations_that_cannot_be() {
    let place = Place::new();
    place.write("file", "x");
    place.backup(&["-", "file", "-o", "x.dbs"]).code(2);
    place.backup(&["file"]).code(2);
    place.backup(&["file", "-o", "x", "--kdf", "t=0"]).code(2);
    place
        .backup(&["file", "-o", "x", "--compress", "lz4"])
        .code(2);
    place.backup(&["file", "-o", "-", "--lag", "0"]).code(2);
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    place.run(&["restore", "x.dbs"]).code(2);
    place
        .run(&["restore", "x.dbs", "-C", "a", "-o", "b"])
        .code(2);
    place
        .run(&["restore", "x.dbs", "-o", "b", "--only", "file"])
        .code(2);
    place.run(&["repair", "x.dbs"]).code(2);
    place.run(&["repair", "x.dbs", "-o", "-"]).code(2);
    place
        .run(&["passphrase", "x.dbs", "remove", "--new-passphrase-stdin"])
        .code(2);
    assert_eq!(place.names(), ["file", "x.dbs"]);
}

/// Not damage: the bytes are gone because somebody takes them away.
#[test]
fn a_backup_that_shrinks_while_it_is_read() {
    let place = Place::new();
    place.write("file", noise(3_000_000, 8));
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    let mut child = place
        .command(&["restore", "x.dbs", "-o", "out", "--passphrase-stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    // It is open once there is an output, and not read before there is a passphrase.
    while place.names().len() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let file = fs::File::options().write(true).open(place.path("x.dbs"));
    file.expect("open").set_len(100_000).expect("truncate");
    let mut stdin = child.stdin.take().expect("stdin");
    writeln!(stdin, "{}", common::PASSPHRASE).expect("feed");
    let ended = common::Ended::of(child.wait_with_output().expect("wait"));
    ended.code(7).says("became shorter while it was read");
    assert_eq!(place.names(), ["file", "x.dbs"]);
}

/// Whenever it comes: a tree is there as a whole, or not at all.
#[test]
fn a_signal_finds_no_half_of_a_tree() {
    const FILES: usize = 2000;
    let place = Place::new();
    for n in 0..FILES {
        place.write(&format!("tree/{n}"), "x");
    }
    place.backup(&["tree", "-o", "x.dbs"]).code(0);
    let begun = Instant::now();
    place.run(&["restore", "x.dbs", "-C", "out"]).code(0);
    let whole = begun.elapsed();
    for trial in 0..16 {
        let _ = fs::remove_dir_all(place.path("out"));
        let mut child = place.command(&["restore", "x.dbs", "-C", "out", "-q"]);
        let mut child = child.stderr(Stdio::piped()).spawn().expect("spawn");
        std::thread::sleep(whole * trial / 12);
        let id = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        child.wait().expect("wait");
        let restored = fs::read_dir(place.path("out/tree")).map_or(0, Iterator::count);
        assert!(restored == 0 || restored == FILES, "{restored} of {FILES}");
        let left = fs::read_dir(place.path("out"))
            .into_iter()
            .flatten()
            .flatten();
        for entry in left {
            assert_eq!(entry.file_name(), "tree");
        }
    }
}

#[test]
fn a_full_disk() {
    let place = Place::new();
    place.write("file", noise(300_000, 4));
    place
        .backup(&["file", "-o", "/dev/full"])
        .code(7)
        .says("No space left");
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    place
        .run(&["restore", "x.dbs", "-o", "/dev/full"])
        .code(7)
        .says("No space left");
    place.run(&["restore", "x.dbs", "-o", "/dev/null"]).code(0);
}

#[test]
fn a_reader_that_goes_away() {
    let place = Place::new();
    place.write("file", noise(3_000_000, 5));
    place.backup(&["file", "-o", "x.dbs"]).code(0);
    for args in [
        vec!["restore", "x.dbs", "-o", "-"],
        vec!["backup", "file", "-o", "-", "--kdf", "t=1,m=8,p=1"],
    ] {
        let mut child = place
            .command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("wait");
        assert_eq!(output.status.code(), Some(7), "{args:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("closed it early"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn a_signal_takes_unfinished_files_away() {
    let place = Place::new();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut child = place
            .command(&["backup", "-", "-o", "x.dbs", "--kdf", "t=1,m=8,p=1"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(&noise(100_000, 6)).expect("feed");
        let begun = Instant::now();
        while place.names().is_empty() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(place.names()[0].starts_with(".dbs-unfinished-"));
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, signal).expect("kill");
        let status = child.wait().expect("wait");
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(place.names().is_empty(), "{:?}", place.names());
        let mut told = String::new();
        let mut stderr = child.stderr.take().expect("stderr");
        stderr.read_to_string(&mut told).expect("utf-8");
        assert!(told.contains("nothing unfinished"), "{told}");
    }
}

#[test]
fn hostile_members_cannot_leave_the_folder() {
    let place = Place::new();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &[u8], kind: tar::EntryType, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        if !link.is_empty() {
            header.set_link_name_literal(link).expect("link");
        }
        header.set_cksum();
        builder.append(&header, content).expect("append");
    };
    add(b"good", tar::EntryType::Regular, "", b"good");
    add(b"../bad", tar::EntryType::Regular, "", b"bad");
    add(b"door", tar::EntryType::Symlink, "..", b"");
    add(b"door/bad", tar::EntryType::Regular, "", b"bad");
    add(b"hard", tar::EntryType::Link, "../precious", b"");
    add(b"pipe", tar::EntryType::Fifo, "", b"");
    let tar = builder.into_inner().expect("tar");
    place.write("precious", "untouched");
    let mut options = dbs::WriterOptions::default();
    options.kdf = dbs::KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    options.media_type = "application/x-tar".into();
    let passphrase = dbs::Passphrase::new(common::PASSPHRASE);
    let out = std::io::Cursor::new(Vec::new());
    let mut writer = dbs::Writer::create(out, &passphrase, options).expect("create");
    writer.write_all(&tar).expect("write");
    place.write("x.dbs", writer.finish().expect("finish").into_inner());

    let ended = place.run(&["restore", "x.dbs", "-C", "out"]).code(3);
    ended
        .says("refused ../bad")
        .says("refused door/bad")
        .says("refused hard")
        .says("pipe");
    assert_eq!(place.read("out/good"), b"good");
    assert_eq!(place.read("precious"), b"untouched");
    assert_eq!(place.names(), ["out", "precious", "x.dbs"]);
    let mut restored: Vec<_> = fs::read_dir(place.path("out"))
        .expect("list")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    restored.sort();
    assert_eq!(restored, ["door", "good"]);
}
