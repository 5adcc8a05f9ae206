//! Names as they stand in a backup: relative, without `..`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// The name under which a path of this machine is stored: what is left after the last `..` and
/// without `/` in front. Empty for `.`, `..` and `/`.
pub fn stored(path: &Path) -> Vec<u8> {
    let mut name: Vec<u8> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => {
                if !name.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(part.as_bytes());
            }
            Component::ParentDir => name.clear(),
            _ => {}
        }
    }
    name
}

/// A member's name without what does not count: `.`, doubled and trailing slashes. For comparing.
pub fn tidy(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for part in name.split(|&byte| byte == b'/') {
        if part.is_empty() || part == b"." {
            continue;
        }
        if !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(part);
    }
    out
}

/// The parts of a member's name, if it stays inside the folder that it is restored into.
///
/// A name that has `..` in it, or a zero byte, or no parts at all, has none. Slashes in front are
/// passed over: `/etc/passwd` is `etc/passwd` in the folder.
pub fn parts(name: &[u8]) -> Option<Vec<&OsStr>> {
    let mut parts = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part if part.contains(&0) => return None,
            part => parts.push(OsStr::from_bytes(part)),
        }
    }
    (!parts.is_empty()).then_some(parts)
}

/// Whether `name` is `folder`, or lies in it.
pub fn within(name: &[u8], folder: &[u8]) -> bool {
    name.strip_prefix(folder)
        .is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_stored_relative() {
        for (path, name) in [
            ("a/b", "a/b"),
            ("a/b/", "a/b"),
            ("./a//b/.", "a/b"),
            ("/etc/hosts", "etc/hosts"),
            ("../x", "x"),
            ("../../x/y", "x/y"),
            ("a/../b", "b"),
            (".", ""),
            ("..", ""),
            ("/", ""),
            ("a/..", ""),
        ] {
            assert_eq!(stored(Path::new(path)), name.as_bytes(), "{path}");
        }
    }

    #[test]
    fn hostile_names_have_no_parts() {
        for bad in ["", ".", "/", "..", "../x", "a/../b", "a/..", "/..", "a\0b"] {
            assert_eq!(parts(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(
            parts(b"/etc//./passwd/"),
            Some(vec![OsStr::new("etc"), OsStr::new("passwd")])
        );
        assert_eq!(parts(b"..."), Some(vec![OsStr::new("...")]));
    }

    #[test]
    fn folders_hold_what_is_in_them() {
        assert!(within(b"a/b", b"a"));
        assert!(within(b"a", b"a"));
        assert!(within(b"a", b""));
        assert!(!within(b"ab", b"a"));
        assert!(!within(b"a", b"a/b"));
        assert_eq!(tidy(b"./a//b/"), b"a/b");
    }
}
