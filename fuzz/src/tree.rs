//! What a folder holds, as it is on the disk and as it ought to be: a model of restoring that uses
//! nothing of the command.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::tar::{Item, Kind};

/// Files larger than this are not read.
const READ: u64 = 1 << 20;

/// What has a name. Files and links have a number, the same for all names of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    File(u64),
    Link(u64),
    Folder(Option<u32>),
}

/// A file or a link. What is not known is not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    File {
        bytes: Option<Vec<u8>>,
        size: u64,
        mode: u32,
        mtime: Option<(i64, i64)>,
    },
    Link(Vec<u8>),
}

/// A folder with all that is in it, by the parts of the names.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    pub nodes: BTreeMap<Vec<Vec<u8>>, Node>,
    pub bodies: BTreeMap<u64, Body>,
}

type Parts = Vec<Vec<u8>>;

impl Tree {
    /// What is on the disk.
    pub fn read(root: &Path) -> io::Result<Tree> {
        let mut tree = Tree::default();
        tree.folder(root, &mut Vec::new())?;
        Ok(tree)
    }

    fn folder(&mut self, folder: &Path, at: &mut Parts) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, found) = (entry.path(), entry.path().symlink_metadata()?);
            at.push(entry.file_name().as_bytes().to_vec());
            if found.is_dir() {
                let mode = found.mode() & 0o7777;
                self.nodes.insert(at.clone(), Node::Folder(Some(mode)));
                readable(&path, mode, 0o500, || self.folder(&path, at))?;
            } else if found.is_symlink() {
                let target = fs::read_link(&path)?.as_os_str().as_bytes().to_vec();
                self.nodes.insert(at.clone(), Node::Link(found.ino()));
                self.bodies.insert(found.ino(), Body::Link(target));
            } else {
                assert!(found.is_file(), "neither file, folder nor link: {path:?}");
                let mode = found.mode() & 0o7777;
                let bytes = match found.len() {
                    0..READ => Some(readable(&path, mode, 0o400, || fs::read(&path))?),
                    _ => None,
                };
                self.nodes.insert(at.clone(), Node::File(found.ino()));
                self.bodies.insert(
                    found.ino(),
                    Body::File {
                        bytes,
                        size: found.len(),
                        mode,
                        mtime: Some((found.mtime(), found.mtime_nsec())),
                    },
                );
            }
            at.pop();
        }
        Ok(())
    }

    /// Makes a member as the behaviour of `dbs restore` says. False: it is refused, and what its
    /// name led to before is as it was.
    pub fn make(&mut self, item: &Item, outside: &[u8], me: u32) -> bool {
        let name = item.name.bytes(outside);
        let (Some(parts), link) = (parts(&name), item.link.bytes(outside)) else {
            // What is of no kind that is restored is left out, and not refused.
            return matches!(item.kind, Kind::Special(_));
        };
        // Before POSIX, a folder was a file whose name ends in a slash.
        let folder = item.is_file() && name.ends_with(b"/");
        let mode = u32::from(item.mode & 0o7777);
        // Some parent may not be made, and those in front of it are.
        let parents = &parts[..parts.len() - 1];
        match item.kind {
            Kind::Special(_) => true,
            Kind::Directory | Kind::File | Kind::OldFile if folder || !item.is_file() => {
                if !self.enter(&parts) {
                    return false;
                }
                self.nodes.insert(parts, Node::Folder(Some(mode)));
                true
            }
            Kind::HardLink => {
                if !self.enter(parents) {
                    return false;
                }
                let Some(target) = self::parts(&link) else {
                    return false;
                };
                // No part of it may be a link.
                let within = (1..target.len())
                    .all(|len| matches!(self.nodes.get(&target[..len]), Some(Node::Folder(_))));
                match self.nodes.get(&target).filter(|_| within).cloned() {
                    None | Some(Node::Folder(_)) => false,
                    Some(_) if target == parts => true,
                    Some(node) => self.put(parts, node),
                }
            }
            _ => {
                if !self.enter(parents) {
                    return false;
                }
                let number = self.bodies.keys().next_back().map_or(0, |last| last + 1);
                let (node, body) = if item.kind == Kind::Symlink {
                    if link.is_empty() || link.contains(&0) {
                        return false;
                    }
                    (Node::Link(number), Body::Link(link))
                } else {
                    let content = item.content();
                    // A program that ran with the rights of its owner must not run with another's.
                    let owned = me == 0 || me == u32::from(item.uid);
                    let body = Body::File {
                        size: content.size as u64,
                        bytes: Some(content.whole()),
                        mode: if owned { mode } else { mode & !0o6000 },
                        mtime: (item.mtime < u32::MAX / 2).then(|| {
                            let nanos = item.nanos.unwrap_or(0) % 1_000_000_000;
                            (item.mtime.into(), nanos.into())
                        }),
                    };
                    (Node::File(number), body)
                };
                if self.put(parts, node) {
                    self.bodies.insert(number, body);
                    return true;
                }
                false
            }
        }
    }

    /// Makes all these folders; false if one is something else.
    fn enter(&mut self, parts: &[Vec<u8>]) -> bool {
        for len in 1..=parts.len() {
            match self.nodes.get(&parts[..len]) {
                None => {
                    self.nodes.insert(parts[..len].to_vec(), Node::Folder(None));
                }
                Some(Node::Folder(_)) => {}
                Some(_) => return false,
            }
        }
        true
    }

    /// Gives something a name; what had it gives way, unless it is a folder.
    fn put(&mut self, parts: Parts, node: Node) -> bool {
        if matches!(self.nodes.get(&parts), Some(Node::Folder(_))) {
            return false;
        }
        self.nodes.insert(parts, node);
        true
    }

    /// Puts a restored tree into a folder that may have things in it. None if something is in the
    /// way: then nothing may be changed.
    pub fn placed_into(&self, before: &Tree, force: bool) -> Option<Tree> {
        let mut after = before.clone();
        let shift = 1 + before.bodies.keys().next_back().copied().unwrap_or(0);
        for (parts, node) in &self.nodes {
            let node = match (before.nodes.get(parts), node) {
                (Some(Node::Folder(mode)), Node::Folder(new)) => match (force, new) {
                    (true, Some(new)) => Node::Folder(Some(*new)),
                    _ => Node::Folder(*mode),
                },
                (Some(Node::Folder(_)), _) => return None,
                (Some(_), _) if !force => return None,
                (_, Node::Folder(mode)) => Node::Folder(*mode),
                (_, Node::File(n)) => Node::File(n + shift),
                (_, Node::Link(n)) => Node::Link(n + shift),
            };
            after.nodes.insert(parts.clone(), node);
        }
        let bodies = self.bodies.iter();
        after
            .bodies
            .extend(bodies.map(|(n, body)| (n + shift, body.clone())));
        Some(after)
    }

    /// Panics unless `found` is this tree.
    pub fn assert_is(&self, found: &Tree, plan: &dyn std::fmt::Debug) {
        let names = |tree: &Tree| tree.nodes.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(self), names(found), "names: {plan:?}");
        let mut numbers = BTreeMap::new();
        for ((parts, expected), found_node) in self.nodes.iter().zip(found.nodes.values()) {
            let shown: Vec<_> = parts.iter().map(|p| String::from_utf8_lossy(p)).collect();
            match (expected, found_node) {
                (Node::Folder(a), Node::Folder(b)) => {
                    assert!(
                        a.is_none() || a == b,
                        "mode of {shown:?}: {a:?} {b:?} {plan:?}"
                    );
                }
                (Node::File(a), Node::File(b)) | (Node::Link(a), Node::Link(b)) => {
                    // Names of one file are names of one file.
                    let known = numbers.insert(a, b);
                    assert!(known.is_none_or(|k| k == b), "links of {shown:?}: {plan:?}");
                    let (one, two) = (&self.bodies[a], &found.bodies[b]);
                    assert!(same(one, two), "{shown:?}: {one:?} {two:?} {plan:?}");
                }
                _ => panic!("{shown:?}: {expected:?} {found_node:?} {plan:?}"),
            }
        }
        let distinct: std::collections::BTreeSet<_> = numbers.values().collect();
        assert_eq!(distinct.len(), numbers.len(), "links: {plan:?}");
    }
}

/// Reads what may not be readable; its mode is as it was then.
fn readable<T>(
    path: &Path,
    mode: u32,
    needed: u32,
    read: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    if mode & needed == needed {
        return read();
    }
    set(0o700)?;
    let done = read()?;
    set(mode)?;
    Ok(done)
}

fn same(expected: &Body, found: &Body) -> bool {
    match (expected, found) {
        (Body::Link(a), Body::Link(b)) => a == b,
        (
            Body::File {
                bytes: a,
                size: size_a,
                mode: mode_a,
                mtime: time_a,
            },
            Body::File {
                bytes: b,
                size: size_b,
                mode: mode_b,
                mtime: time_b,
            },
        ) => {
            a == b && size_a == size_b && mode_a == mode_b && (time_a.is_none() || time_a == time_b)
        }
        _ => false,
    }
}

/// The parts of a name that stays inside; none if it does not, or has none.
pub fn parts(name: &[u8]) -> Option<Parts> {
    let parts: Parts = name
        .split(|byte| *byte == b'/')
        .filter(|part| !matches!(part, [] | [b'.']))
        .map(<[u8]>::to_vec)
        .collect();
    let bad = |part: &Vec<u8>| part.as_slice() == b".." || part.contains(&0);
    (!parts.is_empty() && !parts.iter().any(bad)).then_some(parts)
}
