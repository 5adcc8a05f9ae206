//! Reading the known answers of `testvectors/v3/known`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use serde_json::Value;

/// The cases of a file, of which there must be so many.
pub fn cases(name: &str, count: usize) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testvectors/v3/known");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), count, "cases in {name}");
    cases
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

pub fn bytes(case: &Value, key: &str) -> Vec<u8> {
    unhex(case[key].as_str().unwrap())
}

pub fn array<const N: usize>(case: &Value, key: &str) -> [u8; N] {
    bytes(case, key).try_into().unwrap()
}
