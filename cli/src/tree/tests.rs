//! Trees out and back, and streams that try to break out.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::extract::{Extractor, Problem};
use super::member::{Kind, Member};
use super::place::Stage;
use super::read::Reader;
use super::walk::{Found, Missing, Sink, Walk, roots};
use super::write::Writer;
use crate::console::Console;
use crate::failure::Result;

struct Collected(Writer<Vec<u8>>);

impl Sink for Collected {
    fn member(&mut self, member: &Member, data: &mut dyn Read) -> Result<Missing> {
        let written = self.0.member(member, data).expect("write");
        Ok(Missing {
            bytes: written.missing,
            error: written.error,
        })
    }
}

fn back_up(paths: &[PathBuf]) -> (Vec<u8>, Found) {
    let console = Console::new(true);
    let mut sink = Collected(Writer::new(Vec::new()));
    let mut walk = Walk::new(&mut sink, &console, Vec::new());
    for (path, name) in roots(paths).expect("roots") {
        walk.path(path, &name).expect("walk");
    }
    let found = walk.found();
    (sink.0.finish().expect("finish"), found)
}

/// Restores a stream and says how many members were refused.
fn restore(stream: &[u8], directory: &Path, force: bool) -> Result<usize> {
    let stage = Stage::new(directory)?;
    let mut extractor = Extractor::new(stage.root()?);
    let mut reader = Reader::new(stream);
    let mut refused = 0;
    while let Some(member) = reader.advance().expect("stream") {
        match extractor.member(&member, &mut reader) {
            Ok(_) => {}
            Err(Problem::Refused(_)) => refused += 1,
            Err(problem) => panic!("{problem:?}"),
        }
    }
    stage.place(&extractor.into_folders(), force, &Console::new(true))?;
    Ok(refused)
}

/// Everything that is to be the same, a line for each file.
fn describe(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("list") {
            let path = entry.expect("entry").path();
            let found = path.symlink_metadata().expect("metadata");
            let content = if found.is_symlink() {
                format!("{:?}", fs::read_link(&path).expect("link"))
            } else if found.is_file() {
                let bytes = fs::read(&path).expect("read");
                let sum = bytes
                    .iter()
                    .fold(7u64, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
                format!("{} {sum}", bytes.len())
            } else {
                open.push(path.clone());
                String::new()
            };
            let name = path.strip_prefix(root).expect("prefix");
            lines.push(format!(
                "{:?} {:o} {}.{} {} {content}",
                name,
                found.mode(),
                found.mtime(),
                found.mtime_nsec(),
                if found.is_file() { found.nlink() } else { 0 },
            ));
        }
    }
    lines.sort();
    lines
}

fn sample(root: &Path) {
    fs::create_dir_all(root.join("a/b/empty")).expect("mkdir");
    fs::write(root.join("a/one"), "1").expect("write");
    fs::write(root.join("a/b/none"), "").expect("write");
    fs::write(root.join("a/b/big"), vec![7; 1_000_000]).expect("write");
    fs::hard_link(root.join("a/one"), root.join("a/b/same")).expect("link");
    symlink("../one", root.join("a/b/up")).expect("symlink");
    symlink("/nowhere/at/all", root.join("a/dangling")).expect("symlink");
    let foreign = std::ffi::OsStr::from_bytes(b"caf\xe9 \x01\n");
    fs::write(root.join(foreign), "latin").expect("write");
    let mut deep = root.to_path_buf();
    for _ in 0..12 {
        deep.push("d".repeat(200));
    }
    fs::create_dir_all(&deep).expect("mkdir");
    fs::write(deep.join("x".repeat(255)), "deep").expect("write");
    let holes = fs::File::create(root.join("holes")).expect("create");
    holes.set_len(50 << 20).expect("size");
    std::os::unix::fs::FileExt::write_all_at(&holes, b"in the middle", 20 << 20).expect("write");
    fs::set_permissions(root.join("a/one"), PermissionsExt::from_mode(0o4751)).expect("mode");
    fs::set_permissions(root.join("a/b/empty"), PermissionsExt::from_mode(0o1700)).expect("mode");
    for (name, seconds, nanos) in [("a/b/big", 1_000_000_000, 123_456_789), ("a/b", -77, 5)] {
        let time = filetime::FileTime::from_unix_time(seconds, nanos);
        filetime::set_file_mtime(root.join(name), time).expect("time");
    }
    fs::set_permissions(root.join("a/b"), PermissionsExt::from_mode(0o555)).expect("mode");
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("source");
    sample(&source);
    let (stream, found) = back_up(std::slice::from_ref(&source));
    assert_eq!(found.unreadable, 0);
    // The holes are not in the stream.
    assert!(stream.len() < 3_000_000, "{}", stream.len());
    let target = folder.path().join("new/target");
    restore(&stream, &target, false).expect("restore");
    let stored = source.strip_prefix("/").expect("absolute");
    let restored = target.join(stored);
    assert_eq!(describe(&restored), describe(&source));
    let holes = restored.join("holes").metadata().expect("metadata");
    assert!(holes.blocks() < 4096, "{} blocks", holes.blocks());
    assert_eq!(fs::read_dir(&target).expect("list").count(), 1);
}

#[test]
fn the_same_tree_gives_the_same_stream() {
    let folder = tempfile::tempdir().expect("folder");
    sample(&folder.path().join("s"));
    let paths = [folder.path().join("s")];
    assert_eq!(back_up(&paths).0, back_up(&paths).0);
}

#[test]
fn other_programs_read_the_stream() {
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("source");
    sample(&source);
    let (stream, _) = back_up(std::slice::from_ref(&source));
    let tar = folder.path().join("x.tar");
    fs::write(&tar, stream).expect("write");
    let target = folder.path().join("target");
    fs::create_dir(&target).expect("mkdir");
    let status = std::process::Command::new("tar")
        .args(["--warning=no-unknown-keyword", "-xpf"])
        .arg(&tar)
        .arg("-C")
        .arg(&target)
        .status();
    match status {
        Ok(status) if status.success() => {
            let restored = target.join(source.strip_prefix("/").expect("absolute"));
            assert_eq!(describe(&restored), describe(&source));
        }
        other => eprintln!("no GNU tar to compare with: {other:?}"),
    }
}

#[test]
fn what_exists_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("source");
    sample(&source);
    let (stream, _) = back_up(std::slice::from_ref(&source));
    let target = folder.path().join("target");
    let restored = target.join(source.strip_prefix("/").expect("absolute"));
    fs::create_dir_all(restored.join("a")).expect("mkdir");
    fs::write(restored.join("a/mine"), "stays").expect("write");
    restore(&stream, &target, false).expect("merges with folders");
    assert_eq!(fs::read(restored.join("a/mine")).expect("read"), b"stays");

    fs::write(restored.join("a/one"), "changed").expect("write");
    let before = describe(&target);
    assert!(restore(&stream, &target, false).is_err());
    assert_eq!(describe(&target), before);

    restore(&stream, &target, true).expect("force");
    assert_eq!(fs::read(restored.join("a/one")).expect("read"), b"1");
    fs::remove_file(restored.join("a/mine")).expect("remove");
    let time = filetime::FileTime::from_last_modification_time(
        &source.join("a").metadata().expect("metadata"),
    );
    filetime::set_file_mtime(restored.join("a"), time).expect("time");
    assert_eq!(describe(&restored), describe(&source));
}

#[test]
fn a_failed_restore_leaves_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let target = folder.path().join("new/target");
    let stage = Stage::new(&target).expect("stage");
    let mut extractor = Extractor::new(stage.root().expect("root"));
    let mut file = Member::new("a/b/file", Kind::File);
    file.size = 10;
    let broken = extractor.member(&file, &b"short"[..]);
    assert!(matches!(broken, Err(Problem::Source(_))));
    drop(stage);
    assert!(!folder.path().join("new").exists());
}

/// Name, kind, and where it leads.
type Link<'a> = (&'a str, Kind, &'a str);

/// A stream of members, made as a hostile writer would.
fn stream(members: &[Link<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, kind, link) in members {
        let mut member = Member::new(*path, *kind);
        member.link = link.as_bytes().to_vec();
        member.mtime.nanoseconds = 1;
        if *kind == Kind::File {
            member.size = 5;
        }
        writer.member(&member, &b"pwned"[..]).expect("write");
    }
    writer.finish().expect("finish")
}

#[test]
fn hostile_members_stay_inside() {
    use Kind::{Directory, File, HardLink, Symlink};
    let folder = tempfile::tempdir().expect("folder");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).expect("mkdir");
    fs::write(outside.join("victim"), "safe").expect("write");
    let out = outside.to_str().expect("utf-8");
    let victim = format!("{out}/victim");
    let absolute = format!("{out}/absolute");
    let cases: &[(&[Link], usize)] = &[
        (&[("../outside/up", File, "")], 1),
        (&[("a/../../outside/up", File, "")], 1),
        (&[("..", Directory, "")], 1),
        (&[("", File, "")], 1),
        // A slash in front is passed over.
        (&[(&absolute, File, "")], 0),
        // Links made earlier, to folders and to files, directly and in steps.
        (&[("l", Symlink, out), ("l/through", File, "")], 1),
        (&[("l", Symlink, out), ("l/new/deep", File, "")], 1),
        (
            &[("l", Symlink, out), ("l/victim", HardLink, "l/victim")],
            1,
        ),
        (&[("l", Symlink, ".."), ("l/outside/x", File, "")], 1),
        (
            &[
                ("a", Directory, ""),
                ("a/l", Symlink, "../.."),
                ("a/l/outside", Directory, ""),
                ("a/l/outside/x", File, ""),
            ],
            2,
        ),
        // Writing to a link writes beside it, not through it.
        (&[("v", Symlink, &victim), ("v", File, "")], 0),
        // Hard links to what is outside.
        (&[("h", HardLink, &victim), ("h", File, "")], 1),
        (&[("h", HardLink, "../outside/victim")], 1),
        (&[("l", Symlink, out), ("h", HardLink, "l/victim")], 1),
        // A hard link to a link is the link itself, still not followed.
        (
            &[
                ("l", Symlink, &victim),
                ("h", HardLink, "l"),
                ("h", File, ""),
            ],
            0,
        ),
        (&[("f", File, ""), ("f/x", File, "")], 1),
        (&[("d", Directory, ""), ("d", File, "")], 1),
        (&[("d", Directory, ""), ("d", Symlink, out)], 1),
    ];
    for (at, (members, expected)) in cases.iter().enumerate() {
        let target = folder.path().join(format!("target{at}"));
        // An empty name is a folder's in tar's eyes; all others are what they say.
        let refused = restore(&stream(members), &target, false).expect("restore");
        assert_eq!(refused, *expected, "case {at}: {members:?}");
        assert_eq!(
            fs::read_dir(&outside).expect("list").count(),
            1,
            "case {at}"
        );
        assert_eq!(fs::read(&victim).expect("read"), b"safe", "case {at}");
        assert!(!folder.path().join("up").exists());
    }
}

#[test]
fn what_is_refused_takes_nothing_away() {
    use Kind::{Directory, File, HardLink, Symlink};
    let folder = tempfile::tempdir().expect("folder");
    let cases: &[&[Link]] = &[
        &[("f", File, ""), ("f", Symlink, "")],
        &[("f", File, ""), ("d", Directory, ""), ("f", HardLink, "d")],
        &[("f", File, ""), ("f", HardLink, "nothing")],
        &[("f", File, ""), ("f", HardLink, "../f")],
    ];
    for (at, members) in cases.iter().enumerate() {
        let target = folder.path().join(format!("target{at}"));
        let refused = restore(&stream(members), &target, false).expect("restore");
        assert_eq!(refused, 1, "case {at}: {members:?}");
        assert_eq!(fs::read(target.join("f")).expect("read"), b"pwned");
    }
}

#[test]
fn links_that_exist_in_the_folder_are_not_followed() {
    let folder = tempfile::tempdir().expect("folder");
    let (outside, target) = (folder.path().join("outside"), folder.path().join("target"));
    fs::create_dir(&outside).expect("mkdir");
    fs::create_dir(&target).expect("mkdir");
    symlink(&outside, target.join("l")).expect("symlink");
    let members = stream(&[("l", Kind::Directory, ""), ("l/x", Kind::File, "")]);
    assert!(restore(&members, &target, false).is_err());
    assert!(target.join("l").is_symlink());
    restore(&members, &target, true).expect("force");
    assert!(!target.join("l").is_symlink());
    assert!(target.join("l/x").is_file());
    assert_eq!(fs::read_dir(&outside).expect("list").count(), 0);
}

#[test]
fn a_folder_is_never_replaced_by_a_file() {
    let folder = tempfile::tempdir().expect("folder");
    fs::create_dir_all(folder.path().join("x/precious")).expect("mkdir");
    let members = stream(&[("x", Kind::File, "")]);
    assert!(restore(&members, folder.path(), true).is_err());
    assert!(folder.path().join("x/precious").is_dir());
}

#[test]
fn special_files_and_outputs_are_passed_over() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).expect("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("socket");
    fs::write(root.join("file"), "x").expect("write");
    fs::write(root.join("output"), "x").expect("write");
    let own = root.join("output").metadata().expect("metadata");
    let console = Console::new(true);
    let mut sink = Collected(Writer::new(Vec::new()));
    let mut walk = Walk::new(&mut sink, &console, vec![(own.dev(), own.ino())]);
    walk.path(root, b"r").expect("walk");
    assert_eq!(walk.found().entries, 2);
    let stream = sink.0.finish().expect("finish");
    let mut reader = Reader::new(&stream[..]);
    let mut names = Vec::new();
    while let Some(member) = reader.advance().expect("read") {
        names.push(String::from_utf8(member.path).expect("utf-8"));
    }
    assert_eq!(names, ["r", "r/file"]);
}

#[test]
fn paths_in_paths_are_stored_once() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path();
    fs::create_dir_all(root.join("a/b")).expect("mkdir");
    fs::create_dir_all(root.join("c/a")).expect("mkdir");
    let of = |paths: &[&str]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        roots(&paths).map(|roots| roots.len())
    };
    assert_eq!(of(&["a", "a"]).ok(), Some(1));
    assert_eq!(of(&["a", "a/"]).ok(), Some(1));
    assert_eq!(of(&["a", "a/b"]).ok(), Some(1));
    assert_eq!(of(&["a/b", "a"]).ok(), Some(1));
    assert_eq!(of(&["a", "c"]).ok(), Some(2));
    // Both would be "a".
    assert!(of(&["a", "x/../c/../a"]).is_err());
    assert!(of(&["c/../a", "c/a/../../c/a/../a"]).is_err());
    assert!(of(&["missing"]).is_err());
}

#[test]
fn extended_attributes_come_back_where_the_file_system_has_them() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "x").expect("write");
    if xattr::set(&file, "user.note", b"\0binary\xff").is_err() {
        return;
    }
    let (stream, _) = back_up(std::slice::from_ref(&file));
    let target = folder.path().join("target");
    restore(&stream, &target, false).expect("restore");
    let restored = target.join(file.strip_prefix("/").expect("absolute"));
    let value = xattr::get(restored, "user.note").expect("get");
    assert_eq!(value.as_deref(), Some(&b"\0binary\xff"[..]));
}

#[test]
fn a_file_that_cannot_be_read_is_counted() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let mut writer = Writer::new(Vec::new());
    let mut file = Member::new("f", Kind::File);
    file.size = 10;
    let written = writer.member(&file, Broken).expect("write");
    assert_eq!(written.missing, 10);
    assert!(written.error.is_some());
}
