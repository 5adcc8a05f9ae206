//! Names on a terminal and in JSON. A name in a backup is bytes that somebody else chose: control
//! characters are escaped, so that no listing can drive a terminal.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Map, Value};

/// A name for people: control characters, bytes that are not UTF-8 and backslashes escaped.
pub fn show(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || is_directional(c) => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        out.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// A path of this machine for people.
pub fn path(path: &Path) -> String {
    show(path.as_os_str().as_bytes())
}

/// Puts a name into a JSON object: as text and, where that cannot hold it, as hexadecimal bytes too.
pub fn json(object: &mut Map<String, Value>, key: &str, name: &[u8]) {
    object.insert(key.into(), String::from_utf8_lossy(name).into());
    if std::str::from_utf8(name).is_err() {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        object.insert(format!("{key}_hex"), hex.into());
    }
}

/// Whether an argument is the lone dash that means a standard stream.
pub fn is_dash(name: &Path) -> bool {
    name.as_os_str() == OsStr::new("-")
}

/// Whether two paths lead to one file; not where one of them leads nowhere.
pub fn are_one_file(a: &Path, b: &Path) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Prints a line to standard error; one that is closed is no reason to stop.
pub fn eprint_lossy(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Characters that reorder the text around them, used to disguise names.
fn is_directional(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(show("plain name.txt".as_bytes()), "plain name.txt");
        assert_eq!(show("Größe 日本".as_bytes()), "Größe 日本");
        assert_eq!(show(b"a\x1b[2Jb\n\\"), "a\\x1b[2Jb\\n\\\\");
        assert_eq!(show(b"bad\xff\xc3"), "bad\\xff\\xc3");
        assert_eq!(show("x\u{202e}cod".as_bytes()), "x\\xe2\\x80\\xaecod");
    }

    #[test]
    fn json_keeps_every_byte() {
        let mut object = Map::new();
        json(&mut object, "path", b"caf\xe9");
        assert_eq!(object["path"], "caf\u{fffd}");
        assert_eq!(object["path_hex"], "636166e9");
        let mut object = Map::new();
        json(&mut object, "path", "café".as_bytes());
        assert_eq!(object.len(), 1);
    }
}
