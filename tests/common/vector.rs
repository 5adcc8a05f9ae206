//! The file format of `testvectors/v3/*/*.vec`, and the damage that such a file may list.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::forge::{blake2b, unhex};

/// A text header, and perhaps the bytes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vector {
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Vector {
    pub fn set(&mut self, key: &str, value: impl ToString) -> &mut Self {
        self.fields.push((key.into(), value.to_string()));
        self
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.fields.iter().filter(move |(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.fields {
            assert!(!value.contains('\n') && !key.contains(':'));
            bytes.extend_from_slice(format!("{key}: {value}\n").as_bytes());
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|w| w == b"\n\n")?;
        let header = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut fields = Vec::new();
        for line in header.lines() {
            let (key, value) = line.split_once(": ")?;
            fields.push((key.to_owned(), value.to_owned()));
        }
        let body = bytes[end + 2..].to_vec();
        Some(Vector { fields, body })
    }
}

/// Applies one line of a damage list. `other` gives the bytes of another vector's container.
pub fn damage(file: &mut Vec<u8>, line: &str, other: &dyn Fn(&str) -> Vec<u8>) -> Option<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |i: usize| -> Option<usize> { words.get(i)?.parse().ok() };
    match *words.first()? {
        "zero" => file.get_mut(number(1)?..number(2)?)?.fill(0),
        "fill" => {
            let byte = unhex(words.get(3)?)?[0];
            file.get_mut(number(1)?..number(2)?)?.fill(byte);
        }
        "write" => {
            let (at, bytes) = (number(1)?, unhex(words.get(2)?)?);
            file.get_mut(at..at + bytes.len())?.copy_from_slice(&bytes);
        }
        "flip" => {
            for i in 1..words.len() {
                let bit = number(i)?;
                *file.get_mut(bit / 8)? ^= 1 << (bit % 8);
            }
        }
        "delete" => drop(file.drain(number(1)?..number(1)? + number(2)?)),
        "insert" => {
            let (at, bytes) = (number(1)?, unhex(words.get(2)?)?);
            drop(file.splice(at..at, bytes));
        }
        "truncate" => file.truncate(number(1)?),
        "swap" => {
            let (a, b, n) = (number(1)?, number(2)?, number(3)?);
            for i in 0..n {
                file.swap(a + i, b + i);
            }
        }
        "copy" => {
            let (from, to, n) = (number(1)?, number(2)?, number(3)?);
            file.copy_within(from..from + n, to);
        }
        "repeat" => {
            let (from, at, n) = (number(1)?, number(2)?, number(3)?);
            let bytes = file.get(from..from + n)?.to_vec();
            drop(file.splice(at..at, bytes));
        }
        "tag" => {
            let (at, size) = (number(1)?, number(2)?);
            let tag = blake2b(16, b"dbs3 sector", b"", &[&file[at..at + size - 16]]);
            file.get_mut(at + size - 16..at + size)?
                .copy_from_slice(&tag);
        }
        "include" => {
            let (at, bytes) = (number(1)?, other(words.get(2)?));
            drop(file.splice(at..at, bytes));
        }
        _ => return None,
    }
    Some(())
}
