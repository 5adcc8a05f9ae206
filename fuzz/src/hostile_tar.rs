//! Restoring a tree from any tar stream: nothing outside of the folder is touched, what is
//! well-formed comes back byte for byte, what fails leaves nothing behind, and memory stays bounded.

use std::ffi::OsString;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};
use dbs::{Compression, Entry, EntryKind, KdfParams, Profile, WriterOptions, v1, v2};
use dbs_cli::args::{Cli, Command, PassphraseArgs, Restore};
use dbs_cli::console::Console;
use dbs_cli::failure::{Code, Failure};

use crate::forge::PASSPHRASE;
use crate::memory::peak;
use crate::tar::{self, BLOCK, Item, Kind, Name};
use crate::tree::{self, Body, Node, Tree};
use crate::{entry_kind, passphrase};

/// What may be held beside the container: windows, buffers, tables, an extended header.
const MEMORY: usize = 24 << 20;

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    way: Way,
    /// What is in the folder before.
    before: Vec<(Vec<u8>, u8)>,
    fresh: bool,
    force: bool,
    items: Vec<Item>,
    /// Bytes of the stream that are changed.
    patches: Vec<(u16, u8)>,
    /// The stream ends early.
    cut: Option<u16>,
}

/// What the stream comes in, and what is asked for.
#[derive(Debug, Clone, Arbitrary)]
enum Way {
    V3 {
        index: bool,
    },
    V2,
    V1,
    /// Members by name, with an index that is right.
    Only(Name),
    /// An index that is not right.
    Index {
        entries: Vec<(Name, u8, u16, u16, u32)>,
        only: Option<Name>,
        salvage: bool,
    },
    /// What is left of a damaged container.
    Salvage {
        lost: Vec<u8>,
        index: bool,
    },
}

/// A folder to restore into, one beside it that must not be touched, and a container.
struct World {
    root: tempfile::TempDir,
    outside: PathBuf,
    target: PathBuf,
    file: PathBuf,
    key: PathBuf,
}

impl World {
    fn new(plan: &Plan) -> World {
        // In memory, where there is such a place: a restore waits for the disk twice.
        let memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("dbs-fuzz-");
        let root = match memory.is_dir() {
            true => builder.tempdir_in(memory),
            false => builder.tempdir(),
        };
        let root = root.expect("a folder");
        let path = root.path();
        let world = World {
            outside: path.join("outside"),
            target: path.join(if plan.fresh { "new/target" } else { "target" }),
            file: path.join("backup.dbs"),
            key: path.join("key"),
            root,
        };
        fs::create_dir(&world.outside).expect("a folder");
        fs::create_dir(world.outside.join("folder")).expect("a folder");
        fs::write(world.outside.join("victim"), "safe").expect("a file");
        fs::write(&world.key, PASSPHRASE).expect("a file");
        if !plan.fresh {
            fs::create_dir(&world.target).expect("a folder");
            world.fill(&plan.before);
        }
        world
    }

    /// Puts things into the target. What cannot be made is left out, and what would go through a link.
    fn fill(&self, things: &[(Vec<u8>, u8)]) {
        for (parts, kind) in things.iter().take(5) {
            let mut path = self.target.clone();
            for part in parts.iter().take(3) {
                path.push(["a", "b", "c", "l", "d"][usize::from(*part) % 5]);
            }
            let mut inside = path.ancestors().take_while(|path| **path != *self.target);
            if inside.any(Path::is_symlink) {
                continue;
            }
            let _ = match kind % 6 {
                0 => fs::create_dir_all(&path),
                1 => symlink(&self.outside, &path),
                2 => symlink("../outside/victim", &path),
                3 => symlink(".", &path),
                _ => fs::write(&path, [*kind]),
            };
        }
    }

    fn outside(&self) -> &[u8] {
        self.outside.as_os_str().as_bytes()
    }

    fn target(&self) -> Tree {
        match self.target.exists() {
            true => Tree::read(&self.target).expect("the target"),
            false => Tree::default(),
        }
    }

    /// Nothing but the target has changed.
    fn check(&self, plan: &Plan) {
        let mut names: Vec<_> = fs::read_dir(self.root.path())
            .expect("the root")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        let made = if self.target.exists() { 1 } else { 0 };
        assert_eq!(names.len(), 3 + made, "{names:?}: {plan:?}");
        let victim = self.outside.join("victim");
        assert_eq!(fs::read(&victim).expect("victim"), b"safe", "{plan:?}");
        let found = victim.symlink_metadata().expect("victim");
        assert!(found.is_file() && found.nlink() == 1, "{plan:?}");
        let folder = Tree::read(&self.outside).expect("outside");
        assert_eq!(folder.nodes.len(), 2, "{folder:?}: {plan:?}");
        if self.target.exists() {
            for entry in fs::read_dir(&self.target).expect("the target") {
                let name = entry.expect("an entry").file_name();
                let rest = name.as_bytes().strip_prefix(b".dbs-unfinished-");
                assert!(rest.is_none_or(<[u8]>::is_empty), "left behind: {plan:?}");
            }
        }
    }

    fn restore(&self, plan: &Plan) -> Result<Code, Failure> {
        let (only, salvage) = match &plan.way {
            Way::Only(only) => (Some(only), false),
            Way::Index { only, salvage, .. } => (only.as_ref(), *salvage),
            Way::Salvage { .. } => (None, true),
            _ => (None, false),
        };
        let only = only.map(|name| OsString::from_vec(name.bytes(self.outside())));
        let args = Restore {
            file: self.file.clone(),
            directory: Some(self.target.clone()),
            output: None,
            only: only.into_iter().collect(),
            salvage,
            generation: None,
            force: plan.force,
            json: false,
            threads: 1,
            passphrase: PassphraseArgs {
                passphrase_file: Some(self.key.clone()),
                passphrase_stdin: false,
            },
        };
        let command = Command::Restore(args);
        let quiet = true;
        dbs_cli::run(&Cli { command, quiet }, &Console::silent())
    }
}

pub fn run(data: &[u8]) {
    let Ok(mut plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    plan.items.truncate(12);
    let world = World::new(&plan);
    let before = world.target();
    let (mut headers, mut members) = (Vec::new(), Vec::new());
    let mut stream = Vec::new();
    for item in &plan.items {
        let start = stream.len();
        item.write(world.outside(), &mut stream, &mut headers);
        members.push(start..stream.len());
    }
    stream.resize(stream.len() + 2 * BLOCK, 0);
    for (at, value) in &plan.patches {
        let at = usize::from(*at) % stream.len();
        stream[at] = *value;
        let block = at / BLOCK * BLOCK;
        if headers.contains(&block) {
            tar::checksum(&mut stream[block..block + BLOCK]);
        }
    }
    if let Some(cut) = plan.cut {
        stream.truncate(usize::from(cut) % (stream.len() + 1));
    }
    let entries = match &plan.way {
        Way::V3 { index: true } | Way::Salvage { index: true, .. } | Way::Only(_) => {
            entries(&plan, &world, &members)
        }
        Way::Index { entries, .. } => wrong_entries(entries, &world, stream.len()),
        _ => Vec::new(),
    };
    write(&plan, &world, &stream, &entries);

    let (done, most) = peak(|| world.restore(&plan));
    assert!(
        most <= MEMORY + 64 * stream.len(),
        "{most} bytes of memory: {plan:?}"
    );
    world.check(&plan);
    let whole = plan.patches.is_empty()
        && plan.cut.is_none()
        && plan.items.iter().all(Item::is_well_formed);
    let after = world.target();
    let changed = match &done {
        Ok(_) => true,
        // Something was refused or lost, and all else is there.
        Err(failure) => failure.code == Code::Lost,
    };
    if !changed {
        before.assert_is(&after, &plan);
        let made = plan.fresh && world.target.parent().is_some_and(Path::exists);
        assert!(!made, "left behind: {plan:?}");
    }
    match plan.way {
        Way::V1 | Way::V2 if plan.items.is_empty() => {
            assert!(!whole || done.is_err(), "no stream of files: {plan:?}");
        }
        Way::V1 | Way::V2 | Way::V3 { .. } if whole => exact(&plan, &world, &before, &after, &done),
        _ if whole => genuine(&plan, &before, &after),
        _ => {}
    }
}

/// What came back is what the model of restoring says.
fn exact(plan: &Plan, world: &World, before: &Tree, after: &Tree, done: &Result<Code, Failure>) {
    let me = fs::metadata(&world.outside).expect("outside").uid();
    let mut tree = Tree::default();
    let mut refused = 0;
    for item in &plan.items {
        refused += usize::from(!tree.make(item, world.outside(), me));
    }
    // Where there is an index, what it names is looked for before the members are.
    let failed = matches!(done, Err(failure) if failure.code != Code::Lost);
    if failed && !plan.force && matches!(plan.way, Way::V3 { index: true }) {
        let named = plan.items.iter().any(|item| {
            !matches!(item.kind, Kind::Directory | Kind::Special(_))
                && tree::parts(&item.name.bytes(world.outside()))
                    .is_some_and(|parts| before.nodes.contains_key(&parts))
        });
        if named {
            return;
        }
    }
    let Some(expected) = tree.placed_into(before, plan.force) else {
        assert!(failed, "something is in the way: {plan:?}");
        return;
    };
    match done {
        Ok(code) => assert!(*code == Code::Done && refused == 0, "{code:?}: {plan:?}"),
        Err(failure) => {
            let expected = failure.code == Code::Lost && refused > 0;
            assert!(expected, "{refused} refused, {failure:?}: {plan:?}");
        }
    }
    expected.assert_is(after, plan);
}

/// Every file that came back has the content of a member, unless it is said to be damaged.
fn genuine(plan: &Plan, before: &Tree, after: &Tree) {
    let contents: Vec<Vec<u8>> = plan
        .items
        .iter()
        .filter(|item| item.is_file())
        .map(|item| item.content().whole())
        .collect();
    let old: Vec<&Body> = before.bodies.values().collect();
    for (parts, node) in &after.nodes {
        let Node::File(number) = node else { continue };
        let body = &after.bodies[number];
        let Body::File { bytes, .. } = body else {
            continue;
        };
        // With a wrong index, the bytes of one member may be called another's data.
        let free = matches!(plan.way, Way::Index { .. });
        let damaged = parts.last().is_some_and(|name| name.ends_with(b".damaged"));
        let known = bytes
            .as_ref()
            .is_none_or(|bytes| contents.contains(bytes) || bytes.is_empty());
        assert!(
            free || damaged || known || old.contains(&body),
            "{:?}: {plan:?}",
            parts.last().map(|name| String::from_utf8_lossy(name))
        );
    }
}

/// The index that belongs to the stream.
fn entries(plan: &Plan, world: &World, members: &[std::ops::Range<usize>]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (item, place) in plan.items.iter().zip(members) {
        let kind = match item.kind {
            Kind::File | Kind::OldFile => EntryKind::File,
            Kind::Directory => EntryKind::Directory,
            Kind::Symlink => EntryKind::Symlink,
            Kind::HardLink => EntryKind::HardLink,
            Kind::Special(_) => EntryKind::Other,
        };
        let link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        entries.push(Entry {
            path: item.name.bytes(world.outside()),
            kind,
            size: match kind {
                EntryKind::File => item.content().size as u64,
                _ => 0,
            },
            mtime: item.mtime.into(),
            mtime_nanos: 0,
            mode: u32::from(item.mode) & 0o7777,
            offset: place.start as u64,
            length: place.len() as u64,
            link: link.then(|| item.link.bytes(world.outside())),
        });
    }
    entries
}

/// An index that has little to do with the stream.
fn wrong_entries(given: &[(Name, u8, u16, u16, u32)], world: &World, len: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, kind, offset, length, size) in given.iter().take(12) {
        let kind = entry_kind(*kind);
        let link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        let last = entries.last().map_or(0, |entry| entry.offset);
        let offset = last
            .max(u64::from(*offset) / 16 * BLOCK as u64)
            .min(len as u64);
        entries.push(Entry {
            path: name.bytes(world.outside()),
            kind,
            size: (*size).into(),
            mtime: 0,
            mtime_nanos: 0,
            mode: *size & 0o7777,
            offset,
            length: u64::from(*length).min(len as u64 - offset),
            link: link.then(|| b"a/../../outside/victim"[usize::from(*length) % 12..].to_vec()),
        });
    }
    entries
}

/// Writes the container.
fn write(plan: &Plan, world: &World, stream: &[u8], entries: &[Entry]) {
    let kdf = v1::Kdf {
        time_cost: 1,
        memory_cost: 8,
        parallelism: 1,
        key_length: 32,
    };
    let bytes = match plan.way {
        Way::V1 => {
            let options = v1::WriterOptions {
                block_size: 4096,
                kdf,
                compress: false,
                ..v1::WriterOptions::default()
            };
            let out = Cursor::new(Vec::new());
            let mut writer = v1::Writer::new(out, &passphrase(), options).expect("options");
            writer.write_all(stream).expect("write");
            writer.finish().expect("finish").into_inner()
        }
        Way::V2 => {
            let options = v2::WriterOptions {
                geometry: v2::Geometry {
                    block_size: 4096,
                    ..v2::Geometry::default()
                },
                kdf,
                compress: false,
                ..v2::WriterOptions::default()
            };
            let mut writer = v2::Writer::new(Vec::new(), &passphrase(), options).expect("options");
            writer.write_all(stream).expect("write");
            writer.finish().expect("finish")
        }
        _ => {
            let mut options = WriterOptions::default();
            options.profile = Profile::Light;
            options.sector_shift = Some(9);
            options.compression = Compression::None;
            options.kdf = KdfParams {
                passes: 1,
                memory_kib: 8,
                lanes: 1,
            };
            options.threads = 1;
            options.media_type = "application/x-tar".into();
            let out = Cursor::new(Vec::new());
            let mut writer = dbs::Writer::create(out, &passphrase(), options).expect("options");
            writer.write_all(stream).expect("write");
            for entry in entries {
                // The writer refuses an entry that no reader would take.
                let _ = writer.entry(entry);
            }
            let mut file = writer.finish().expect("finish").into_inner();
            if let Way::Salvage { lost, .. } = &plan.way {
                // Blocks are lost where so many sectors in a row are.
                for at in lost.iter().take(3) {
                    let from = usize::from(*at) * file.len() / 256 / 512 * 512;
                    let to = (from + 60 * 512).min(file.len());
                    file[from..to].fill(0);
                }
            }
            file
        }
    };
    fs::write(&world.file, bytes).expect("a file");
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("hostile_tar", 150, super::run);
    }
}
