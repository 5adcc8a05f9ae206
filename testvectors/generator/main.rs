//! Rewrites `testvectors/v3`, byte for byte: `cargo run --release --example vectors`.
//!
//! What a vector expects is said here by hand or counted from the layout, never taken from what the
//! library does; `tests/v3_vectors.rs` then asks the library.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod altered;
mod contents;
mod damage;
#[path = "../../tests/common/forge/mod.rs"]
mod forge;
mod forged;
mod generations;
mod heal;
mod indexes;
mod known;
mod moved;
mod open;
mod pages;
mod refuse;
#[path = "../../tests/common/vector.rs"]
mod vector;

use std::collections::BTreeMap;
use std::path::PathBuf;

use forge::{Forge, Geo, PASSPHRASE, digest};
use vector::Vector;

/// All vectors, by path below `testvectors/v3`.
#[derive(Default)]
pub struct Set {
    files: BTreeMap<String, Vec<u8>>,
    bases: BTreeMap<String, Base>,
}

/// A container that other vectors damage.
#[derive(Clone)]
pub struct Base {
    pub forge: Forge,
    pub bytes: Vec<u8>,
    pub payload: Vec<u8>,
}

/// What has to come out.
#[derive(Clone)]
pub struct Expect {
    pub passphrase: String,
    /// `success` or the class of the error when the payload is read.
    pub restore: &'static str,
    /// Status, or class of the error, without a passphrase.
    pub validate: &'static str,
    /// The same with the passphrase.
    pub validate_unlocked: &'static str,
    /// `base`, or the class of the error.
    pub repair: &'static str,
    pub failed: Vec<u64>,
    /// What salvage gives, if anything.
    pub salvage: Option<Vec<u8>>,
}

impl Expect {
    /// Everything as it was written.
    pub fn clean() -> Self {
        Expect {
            passphrase: PASSPHRASE.into(),
            restore: "success",
            validate: "clean",
            validate_unlocked: "clean",
            repair: "base",
            failed: Vec::new(),
            salvage: None,
        }
    }

    pub fn with_passphrase(self, passphrase: &str) -> Self {
        Expect {
            passphrase: passphrase.into(),
            ..self
        }
    }

    pub fn heals() -> Self {
        Expect {
            validate: "recoverable",
            validate_unlocked: "recoverable",
            ..Self::clean()
        }
    }

    /// One error whatever is asked.
    pub fn error(class: &'static str) -> Self {
        Expect {
            restore: class,
            validate: class,
            validate_unlocked: class,
            repair: class,
            ..Self::clean()
        }
    }

    /// Without a key nothing is found; with it, this error.
    pub fn sealed(class: &'static str) -> Self {
        Expect {
            restore: class,
            validate_unlocked: class,
            ..Self::clean()
        }
    }

    /// These blocks are beyond repair.
    pub fn lost(failed: &[u64]) -> Self {
        Expect {
            restore: "damaged",
            validate: "unrecoverable",
            validate_unlocked: "unrecoverable",
            repair: "damaged",
            failed: failed.to_vec(),
            ..Self::clean()
        }
    }
}

/// The lines of a text, cut at their bars.
pub fn table<const COLUMNS: usize>(text: &str) -> impl Iterator<Item = [&str; COLUMNS]> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let mut cells = line.splitn(COLUMNS, '|').map(str::trim);
        std::array::from_fn(|_| cells.next().unwrap_or_else(|| panic!("{line}")))
    })
}

impl Set {
    pub fn file(&mut self, path: &str, bytes: Vec<u8>) {
        let before = self.files.insert(path.into(), bytes);
        assert!(before.is_none(), "{path} twice");
    }

    fn add(&mut self, path: &str, comment: &str, expect: &Expect, source: Vector, payload: &[u8]) {
        let mut vector = Vector::default();
        vector.set("comment", comment);
        vector.set("expect", expect.restore);
        vector.set("passphrase", &expect.passphrase);
        vector.set("validate", expect.validate);
        vector.set("validate-unlocked", expect.validate_unlocked);
        vector.set("repair", expect.repair);
        if !expect.failed.is_empty() {
            let numbers: Vec<String> = expect.failed.iter().map(u64::to_string).collect();
            vector.set("failed-blocks", numbers.join(" "));
        }
        if expect.restore == "success" {
            vector.set("payload-length", payload.len());
            vector.set("payload-blake2b-256", digest(payload));
        }
        if let Some(salvage) = &expect.salvage {
            vector.set("salvage-blake2b-256", digest(salvage));
        }
        vector.fields.extend(source.fields);
        vector
            .fields
            .retain(|(key, value)| key == "passphrase" || !value.is_empty());
        vector.body = source.body;
        self.file(path, vector.to_bytes());
    }

    /// A container as bytes of its own.
    pub fn body(&mut self, path: &str, comment: &str, expect: &Expect, base: Base) {
        let mut source = Vector::default();
        source.set("file-length", base.bytes.len());
        source.set("file-blake2b-256", digest(&base.bytes));
        source.body.clone_from(&base.bytes);
        self.add(path, comment, expect, source, &base.payload);
        self.bases.insert(path.into(), base);
    }

    /// A forged container as it is, with its shape in the header.
    pub fn container(
        &mut self,
        path: &str,
        comment: &str,
        expect: &Expect,
        forge: &Forge,
        payload: &[u8],
    ) {
        let bytes = forge.file();
        let mut source = Vector::default();
        let Geo {
            shift,
            k,
            ma,
            mb,
            copy_b,
        } = forge.geo;
        source.set(
            "geometry",
            format!(
                "S={} K={k} M_A={ma} M_B={mb} copy-B={copy_b}",
                1u32 << shift
            ),
        );
        source.set("lag", forge.lag);
        source.set("generation", forge.generation);
        source.set("key-slots", forge.slots.len());
        let n = forge.n();
        source.set(
            "blocks",
            format!(
                "N={n} D={} I={} T={}",
                forge.d,
                forge.i,
                n - forge.d - forge.i - 1
            ),
        );
        if expect.restore == "success" {
            source.set("media-type", &forge.media_type);
        }
        source.set("file-length", bytes.len());
        source.set("file-blake2b-256", digest(&bytes));
        source.body.clone_from(&bytes);
        self.add(path, comment, expect, source, payload);
        let base = Base {
            forge: forge.clone(),
            bytes,
            payload: payload.to_vec(),
        };
        self.bases.insert(path.into(), base);
    }

    /// Bytes that are no container.
    pub fn raw(&mut self, path: &str, comment: &str, expect: &Expect, bytes: Vec<u8>) {
        let forge = Forge::new(forge::TINY);
        let payload = Vec::new();
        self.body(
            path,
            comment,
            expect,
            Base {
                forge,
                bytes,
                payload,
            },
        );
    }

    /// An undamaged container, of which another passphrase is expected to do something else.
    pub fn same(&mut self, path: &str, comment: &str, expect: &Expect, base: &str, payload: &[u8]) {
        let mut source = Vector::default();
        source.set("base", base);
        source.set("file-blake2b-256", digest(&self.bases[base].bytes));
        self.add(path, comment, expect, source, payload);
    }

    /// Takes a field out of the header of a vector that was added.
    pub fn without(&mut self, path: &str, key: &str) {
        let mut vector = Vector::from_bytes(&self.files[path]).unwrap();
        vector.fields.retain(|(k, _)| k != key);
        self.files.insert(path.into(), vector.to_bytes());
    }

    /// Adds a field to the header of a vector that was added.
    pub fn with(&mut self, path: &str, key: &str, value: &str) {
        let mut vector = Vector::from_bytes(&self.files[path]).unwrap();
        vector.set(key, value);
        self.files.insert(path.into(), vector.to_bytes());
    }

    pub fn base(&self, path: &str) -> Base {
        self.bases[path].clone()
    }

    /// Damage to a container that stands in a vector of its own.
    pub fn damaged(
        &mut self,
        path: &str,
        comment: &str,
        expect: &Expect,
        base: &str,
        lists: &[Vec<String>],
    ) {
        let Base { bytes, payload, .. } = self.base(base);
        let mut source = Vector::default();
        source.set("base", base);
        let other = |name: &str| self.bases[name].bytes.clone();
        let mut damaged = Vec::new();
        for (replica, lines) in lists.iter().enumerate() {
            let key = if replica == 0 {
                "damage".to_owned()
            } else {
                format!("damage-{}", replica + 1)
            };
            let mut file = bytes.clone();
            for line in lines {
                vector::damage(&mut file, line, &other).unwrap_or_else(|| panic!("{path}: {line}"));
                source.set(&key, line);
            }
            let key = if replica == 0 {
                "file-blake2b-256".to_owned()
            } else {
                format!("file-{}-blake2b-256", replica + 1)
            };
            source.set(&key, digest(&file));
            damaged.push(file);
        }
        assert!(damaged[0] != bytes, "{path}: no damage");
        if expect.repair == "base" {
            source.set("repaired-blake2b-256", digest(&bytes));
        }
        self.add(path, comment, expect, source, &payload);
    }
}

fn main() -> std::io::Result<()> {
    let mut set = Set::default();
    known::add(&mut set);
    open::add(&mut set);
    heal::add(&mut set);
    generations::add(&mut set);
    forged::add(&mut set);
    moved::add(&mut set);
    refuse::add(&mut set);
    pages::add(&mut set);
    contents::add(&mut set);
    indexes::add(&mut set);
    altered::add(&mut set);

    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testvectors/v3");
    match std::fs::remove_dir_all(&root) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut bytes = 0;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, content) in &set.files {
        let path_of_file = root.join(path);
        std::fs::create_dir_all(path_of_file.parent().unwrap())?;
        std::fs::write(path_of_file, content)?;
        bytes += content.len();
        *counts.entry(path.split('/').next().unwrap()).or_default() += 1;
    }
    println!("{} files, {bytes} bytes: {counts:?}", set.files.len());
    Ok(())
}
