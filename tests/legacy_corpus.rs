//! Every file that the original package wrote, intact and damaged, opens and heals.
//!
//! The corpus lies beside the repository, or where `DBS_CORPUS` says; without it there is nothing to
//! test here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod legacy;

use std::io::Cursor;
use std::path::Path;

use common::hex::{hex, unhex};
use dbs::{Archive, Error, Passphrase, Status};
use legacy::corpus;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Damaged files that nobody can restore, and why.
const LOST: &[(&str, &str)] = &[
    (
        "block-wiped-both",
        "no byte of the block is left in either copy",
    ),
    ("trunc-60pct", "the cut took the last blocks in both copies"),
];

/// The same, where only one file is concerned.
const LOST_FILES: &[(&str, &str)] = &[
    (
        "v2-070-medium-cheapkdf--both-headers-wiped",
        "salt and wrapped key stand in the headers only",
    ),
    (
        "v2-070-small-bs1000-nsym7--both-headers-wiped",
        "salt and wrapped key stand in the headers only",
    ),
];

fn index(corpus: &Path) -> Value {
    let text = std::fs::read(corpus.join("index.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The bytes of an entry: the file, or its base with the damage done.
fn bytes(corpus: &Path, entry: &Value) -> Vec<u8> {
    let Some(recipe) = entry["recipe"].as_str() else {
        return std::fs::read(corpus.join(entry["file"].as_str().unwrap())).unwrap();
    };
    let mut bytes = std::fs::read(corpus.join(entry["base"].as_str().unwrap())).unwrap();
    let recipe = std::fs::read(corpus.join(recipe)).unwrap();
    let recipe: Value = serde_json::from_slice(&recipe).unwrap();
    let number = |v: &Value| usize::try_from(v.as_u64().unwrap()).unwrap();
    match recipe["op"].as_str().unwrap() {
        "patch" => {
            for run in recipe["runs"].as_array().unwrap() {
                let new = unhex(run[1].as_str().unwrap());
                let at = number(&run[0]);
                bytes[at..at + new.len()].copy_from_slice(&new);
            }
        }
        "truncate" => bytes.truncate(number(&recipe["length"])),
        "splice" => {
            let at = number(&recipe["at"]);
            let end = at + number(&recipe["remove"]);
            bytes.splice(at..end, unhex(recipe["insert"].as_str().unwrap()));
        }
        other => panic!("unknown recipe {other}"),
    }
    bytes
}

/// What became of a file: the payload's hash, and what validation and repair said.
struct Outcome {
    payload: Result<String, Error>,
    status: Option<Status>,
    keyless: Option<Status>,
    repaired: Option<Vec<u8>>,
    notes: Vec<String>,
}

fn run(bytes: Vec<u8>, passphrase: &str) -> Outcome {
    let passphrase = Passphrase::new(passphrase);
    let archive = match Archive::open(bytes) {
        Ok(archive) => archive,
        Err(error) => {
            return Outcome {
                payload: Err(error),
                status: None,
                keyless: None,
                repaired: None,
                notes: Vec::new(),
            };
        }
    };
    let mut payload = Vec::new();
    let outcome = archive
        .unlock(&passphrase)
        .and_then(|unlocked| unlocked.copy_to(&mut payload));
    let report = archive.validate(Some(&passphrase));
    let keyless = archive.validate(None).ok();
    let mut repaired = Cursor::new(Vec::new());
    let fixed = archive.repair(Some(&passphrase), &mut repaired);
    Outcome {
        payload: outcome.map(|_| hex(&Sha256::digest(&payload))),
        notes: report.as_ref().map_or(Vec::new(), |r| r.notes.clone()),
        status: report.map(|r| r.status()).ok(),
        keyless: keyless.map(|r| r.status()),
        repaired: fixed.is_ok().then(|| repaired.into_inner()),
    }
}

#[test]
fn intact_files_open() {
    let Some(corpus) = corpus() else { return };
    for entry in index(&corpus)["files"].as_array().unwrap() {
        let name = entry["file"].as_str().unwrap();
        let original = bytes(&corpus, entry);
        let outcome = run(original.clone(), entry["passphrase"].as_str().unwrap());
        let hash = outcome.payload.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(hash, entry["payload_sha256"].as_str().unwrap(), "{name}");
        assert_eq!(
            outcome.status,
            Some(Status::Clean),
            "{name}: {:?}",
            outcome.notes
        );
        assert_eq!(outcome.keyless, Some(Status::Clean), "{name}");
        assert!(
            outcome.repaired == Some(original),
            "{name}: repair changed it"
        );
    }
}

#[test]
fn damaged_files_heal() {
    let Some(corpus) = corpus() else { return };
    let index = index(&corpus);
    let base = |name: &Value| std::fs::read(corpus.join(name.as_str().unwrap())).unwrap();
    let mut failures = Vec::new();
    for entry in index["damaged"].as_array().unwrap() {
        let name = entry["file"].as_str().unwrap();
        let began = std::time::Instant::now();
        let outcome = run(bytes(&corpus, entry), entry["passphrase"].as_str().unwrap());
        println!(
            "{name}: {:?} keyless {:?} {:?} {:?} {:.2?}",
            outcome.status,
            outcome.keyless,
            outcome.notes,
            outcome.payload,
            began.elapsed()
        );
        let lost = LOST.iter().any(|(fault, _)| name.contains(fault))
            || LOST_FILES.iter().any(|(file, _)| name.contains(file));
        if lost {
            if outcome.payload.is_ok() || outcome.status.is_some_and(|s| s != Status::Unrecoverable)
            {
                failures.push(format!("{name}: listed as lost, and is not"));
            }
            continue;
        }
        match outcome.payload {
            Ok(hash) if hash == entry["expected_payload_sha256"].as_str().unwrap() => {}
            other => failures.push(format!("{name}: {other:?}")),
        }
        if outcome.status != Some(Status::Recoverable) {
            failures.push(format!("{name}: status {:?}", outcome.status));
        }
        if outcome.repaired != Some(base(&entry["base"])) {
            failures.push(format!("{name}: repair does not give the base back"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
