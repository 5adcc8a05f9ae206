//! Every file of `testvectors/v3` is what its header says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/forge/mod.rs"]
mod forge;
#[path = "common/vector.rs"]
mod vector;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dbs::{Archive, Error, OpenOptions, Passphrase, Report, Source};
use forge::digest;
use vector::Vector;

/// Vectors by folder. A file that is not counted here is not tested.
const COUNTS: [(&str, usize); 3] = [("open", 63), ("heal", 155), ("refuse", 189)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testvectors/v3")
}

/// Vectors that the library does not pass yet. Each is a bug; who mends one takes it out here.
const PENDING: &[&str] = &[];

/// The word that vectors have for an error.
fn class(error: &Error) -> String {
    match error {
        Error::Io(_) => "io",
        Error::NotDbs(_) => "not-dbs",
        Error::Unsupported(_) => "unsupported",
        Error::Damaged(_) => "damaged",
        Error::WrongPassphrase { .. } => "wrong-passphrase",
        Error::Authentication(_) => "authentication",
        Error::Limit { .. } => "limit",
        Error::Misuse(_) => "misuse",
        _ => "unknown",
    }
    .into()
}

/// The containers that a vector is about: one, or several replicas.
fn containers(vector: &Vector) -> Vec<Vec<u8>> {
    let body = |name: &str| read(&root().join(name)).body;
    let Some(base) = vector.get("base") else {
        return vec![vector.body.clone()];
    };
    assert!(vector.body.is_empty());
    let mut files = Vec::new();
    for replica in 1.. {
        let (lines, hash) = match replica {
            1 => ("damage".to_owned(), "file-blake2b-256".to_owned()),
            n => (format!("damage-{n}"), format!("file-{n}-blake2b-256")),
        };
        let Some(hash) = vector.get(&hash) else { break };
        let mut file = body(base);
        for line in vector.all(&lines) {
            vector::damage(&mut file, line, &body).expect("a damage line");
        }
        assert_eq!(digest(&file), hash, "the damage was not applied as meant");
        files.push(file);
    }
    files
}

fn read(path: &Path) -> Vector {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vector = Vector::from_bytes(&bytes).expect("a header");
    assert!(vector.to_bytes() == bytes);
    vector
}

fn open(files: &[Vec<u8>]) -> dbs::Result<Archive> {
    let sources = files.iter().map(|f| Arc::new(f.clone()) as Arc<dyn Source>);
    let mut options = OpenOptions::default();
    options.threads = 1;
    Archive::open_with(sources.collect(), options)
}

fn status(report: &dbs::Result<Report>) -> String {
    match report {
        // What the command ends with.
        Ok(report) if report.blocks_altered > 0 => "authentication".into(),
        Ok(report) => report.status().as_str().into(),
        Err(error) => class(error),
    }
}

/// What the library makes of a vector, in the words of its header.
fn outcome(vector: &Vector) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| fields.push((key.into(), value));
    let files = containers(vector);
    let passphrase = Passphrase::new(vector.get("passphrase").unwrap_or(""));
    let archive = match open(&files) {
        Ok(archive) => archive,
        Err(error) => {
            for key in ["expect", "validate", "validate-unlocked", "repair"] {
                add(key, class(&error));
            }
            return fields;
        }
    };
    let validated = archive.validate(None);
    add("validate", status(&validated));
    if let Ok(report) = &validated
        && !report.failed_blocks.is_empty()
    {
        let blocks = report.failed_blocks.iter();
        let numbers: Vec<String> = blocks.map(|failed| failed.block.to_string()).collect();
        add("failed-blocks", numbers.join(" "));
    }
    add(
        "validate-unlocked",
        status(&archive.validate(Some(&passphrase))),
    );
    let mut repaired = Cursor::new(Vec::new());
    match archive.repair(None, &mut repaired) {
        Ok(_) => {
            add("repair", "base".into());
            let repaired = repaired.into_inner();
            add("repaired-blake2b-256", digest(&repaired));
            // G7: healing what was healed changes nothing.
            let again = Archive::open(repaired.clone()).expect("repaired");
            assert_eq!(status(&again.validate(None)), "clean");
            // What repairing in place would write gives the same file.
            let mut patched = files[0].clone();
            let patches = archive.v3().unwrap().patches(|offset, sector| {
                let offset = offset as usize;
                patched[offset..offset + sector.len()].copy_from_slice(sector);
                Ok(())
            });
            match patches {
                Ok(_) => assert!(patched == repaired, "patches"),
                Err(Error::Misuse(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Err(error) => add("repair", class(&error)),
    }
    let payload = archive.unlock(&passphrase);
    let read = payload
        .and_then(dbs::Unlocked::into_v3)
        .and_then(|p| p.read_range(0..p.len()));
    match read {
        Ok(bytes) => {
            add("expect", "success".into());
            add("payload-length", bytes.len().to_string());
            add("payload-blake2b-256", digest(&bytes));
        }
        Err(error) => add("expect", class(&error)),
    }
    let mut salvaged = Vec::new();
    let salvage = archive
        .unlock_for_salvage(&passphrase)
        .and_then(dbs::Unlocked::into_v3)
        .and_then(|p| p.salvage_to(&mut salvaged));
    if salvage.is_ok() {
        add("salvage-blake2b-256", digest(&salvaged));
    }
    if vector.get("base").is_none() {
        add("file-length", files[0].len().to_string());
        add("file-blake2b-256", digest(&files[0]));
    }
    let page = archive.v3().unwrap().page();
    let geometry = page.geometry;
    let copy_b = match geometry.copy_b() {
        dbs::v3::geometry::CopyB::None => 0,
        dbs::v3::geometry::CopyB::Mirrored => 1,
        dbs::v3::geometry::CopyB::Coded => 2,
    };
    add(
        "geometry",
        format!(
            "S={} K={} M_A={} M_B={} copy-B={copy_b}",
            geometry.sector_size(),
            geometry.data(),
            geometry.parity(dbs::v3::geometry::Copy::A),
            geometry.parity(dbs::v3::geometry::Copy::B),
        ),
    );
    add("lag", page.lag.to_string());
    add("generation", page.generation.to_string());
    add("key-slots", page.key_slots.len().to_string());
    let census = archive.v3().unwrap().structure().census;
    let (n, dbs::v3::table::Census { data, index, table }) = (census.blocks(), census);
    add("blocks", format!("N={n} D={data} I={index} T={table}"));
    if let Ok(payload) = archive.unlock(&passphrase).and_then(dbs::Unlocked::into_v3)
        && let Some(manifest) = payload.manifest()
    {
        add("media-type", manifest.media_type.clone());
        let mut entries = 0;
        let listed = payload.entries(|_| {
            entries += 1;
            Ok(())
        });
        add(
            "entries",
            listed.map_or_else(|e| class(&e), |_| entries.to_string()),
        );
    }
    fields
}

/// Fields that say what the vector is made of, and not what comes out.
const INPUTS: [&str; 4] = ["comment", "passphrase", "base", "damage"];

#[test]
fn containers_are_what_their_headers_say() {
    let mut problems = Vec::new();
    for (folder, count) in COUNTS {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(root().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        assert_eq!(paths.len(), count, "files in {folder}");
        for path in paths {
            let vector = read(&path);
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let result = std::panic::catch_unwind(|| outcome(&vector));
            let Ok(found) = result else {
                problems.push(format!("{folder}/{name}: panic"));
                continue;
            };
            let found: BTreeMap<String, String> = found.into_iter().collect();
            for (key, expected) in &vector.fields {
                let input = INPUTS.contains(&key.as_str())
                    || key.starts_with("damage-")
                    || key.starts_with("file-");
                if input {
                    continue;
                }
                let got = found.get(key).map_or("nothing", String::as_str);
                if got != expected {
                    problems.push(format!(
                        "{folder}/{name}: {key}: {got}, expected {expected}"
                    ));
                }
            }
        }
    }
    let mut mended = Vec::new();
    for name in PENDING {
        let before = problems.len();
        problems.retain(|problem| !problem.starts_with(&format!("{name}: ")));
        if problems.len() == before {
            mended.push(name);
        }
    }
    assert!(
        mended.is_empty(),
        "they pass now, take them out of PENDING: {mended:?}"
    );
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
