//! The vectors of versions 1 and 2, put to the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/hex.rs"]
mod hex;

use std::collections::HashMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use dbs::{Archive, Error, Passphrase, Report};
use hex::{hex, unhex};
use sha2::{Digest, Sha256};

struct Vector {
    name: String,
    keys: HashMap<String, String>,
    damage: Vec<String>,
    file: Vec<u8>,
    base: Vec<u8>,
}

fn parse(path: &Path) -> (HashMap<String, String>, Vec<String>, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let split = bytes.windows(2).position(|w| w == b"\n\n").unwrap();
    let header = std::str::from_utf8(&bytes[..split]).unwrap();
    let mut keys = HashMap::new();
    let mut damage = Vec::new();
    for line in header.lines() {
        let (key, value) = line.split_once(':').unwrap();
        let value = value.strip_prefix(' ').unwrap();
        if key == "damage" {
            damage.push(value.to_owned());
        } else {
            keys.insert(key.to_owned(), value.to_owned());
        }
    }
    (keys, damage, bytes[split + 2..].to_vec())
}

fn apply(file: &mut Vec<u8>, step: &str) {
    let words: Vec<&str> = step.split(' ').collect();
    let number = |i: usize| words[i].parse::<usize>().unwrap();
    match words[0] {
        "zero" => file[number(1)..number(2)].fill(0),
        "write" => {
            let bytes = unhex(words[2]);
            file[number(1)..number(1) + bytes.len()].copy_from_slice(&bytes);
        }
        "flip" => {
            for i in 1..words.len() {
                file[number(i) / 8] ^= 1 << (number(i) % 8);
            }
        }
        "delete" => drop(file.drain(number(1)..number(1) + number(2))),
        "insert" => drop(file.splice(number(1)..number(1), unhex(words[2]))),
        "truncate" => file.truncate(number(1)),
        other => panic!("unknown step {other}"),
    }
}

fn vectors(version: &str) -> Vec<Vector> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testvectors")
        .join(version);
    let mut paths: Vec<PathBuf> = ["open", "heal", "refuse"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let (keys, damage, mut file) = parse(path);
            if let Some(base) = keys.get("base") {
                file = parse(&root.join(base)).2;
            }
            let base = file.clone();
            damage.iter().for_each(|step| apply(&mut file, step));
            let digest = blake2b_simd::Params::new().hash_length(32).hash(&file);
            assert_eq!(
                digest.to_hex().as_str(),
                keys["file-blake2b-256"],
                "{path:?}"
            );
            Vector {
                name: path.display().to_string(),
                keys,
                damage,
                file,
                base,
            }
        })
        .collect()
}

fn class(error: &Error) -> &'static str {
    match error {
        Error::NotDbs(_) => "not-dbs",
        Error::Unsupported(_) => "unsupported",
        Error::Damaged(_) => "damaged",
        Error::WrongPassphrase { .. } => "wrong-passphrase",
        Error::Authentication(_) => "authentication",
        Error::Limit { .. } => "limit",
        _ => "other",
    }
}

/// What the library says about a container, in the words of the vectors.
struct Said {
    expect: String,
    validate: String,
    unlocked: String,
    repair: String,
    failed: String,
    payload: Vec<u8>,
}

fn said(
    payload: dbs::Result<Vec<u8>>,
    validate: dbs::Result<Report>,
    unlocked: dbs::Result<Report>,
    repair: dbs::Result<Vec<u8>>,
    base: &[u8],
) -> Said {
    let status = |r: &dbs::Result<Report>| match r {
        Ok(report) => report.status().as_str().to_owned(),
        Err(error) => class(error).to_owned(),
    };
    let failed = validate.as_ref().map_or(String::new(), |report| {
        let blocks: Vec<String> = report
            .failed_blocks
            .iter()
            .map(|f| f.block.to_string())
            .collect();
        blocks.join(" ")
    });
    Said {
        expect: match &payload {
            Ok(_) => "success".into(),
            Err(error) => class(error).into(),
        },
        validate: status(&validate),
        unlocked: status(&unlocked),
        repair: match repair {
            Ok(file) if file == base => "base".into(),
            Ok(_) => "another file".into(),
            Err(error) => class(&error).into(),
        },
        failed,
        payload: payload.unwrap_or_default(),
    }
}

fn open(vector: &Vector) -> dbs::Result<Said> {
    let passphrase = Passphrase::new(vector.keys["passphrase"].as_str());
    let archive = Archive::open(vector.file.clone())?;
    let mut payload = Vec::new();
    let read = archive
        .unlock(&passphrase)
        .and_then(|unlocked| unlocked.copy_to(&mut payload));
    let mut file = Cursor::new(Vec::new());
    let repair = archive.repair(None, &mut file);
    Ok(said(
        read.map(|_| payload),
        archive.validate(None),
        archive.validate(Some(&passphrase)),
        repair.map(|_| file.into_inner()),
        &vector.base,
    ))
}

fn run(version: &str, count: usize) {
    let vectors = vectors(version);
    assert_eq!(vectors.len(), count);
    let mut wrong = Vec::new();
    for vector in &vectors {
        let found = open(vector).unwrap_or_else(|error| {
            let word = class(&error).to_owned();
            Said {
                expect: word.clone(),
                validate: word.clone(),
                unlocked: word.clone(),
                repair: word,
                failed: String::new(),
                payload: Vec::new(),
            }
        });
        let mut compare = |key: &str, found: &str| {
            if let Some(expected) = vector.keys.get(key).filter(|e| *e != found) {
                wrong.push(format!(
                    "{} {key}: {expected} expected, {found} found",
                    vector.name
                ));
            }
        };
        compare("expect", &found.expect);
        compare("validate", &found.validate);
        compare("validate-unlocked", &found.unlocked);
        compare("repair", &found.repair);
        compare("failed-blocks", &found.failed);
        compare("payload-length", &found.payload.len().to_string());
        compare("payload-sha256", &hex(&Sha256::digest(&found.payload)));
        assert!(vector.damage.len() < 50);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn version_1() {
    run("v1", 32);
}

#[test]
fn version_2() {
    run("v2", 33);
}
