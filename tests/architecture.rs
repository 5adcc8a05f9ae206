//! The rooms of the library use only the rooms beneath them: see DESIGN.md.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A room may use itself and every room above it in this list.
const LAYERS: &[&[&str]] = &[
    &["error", "limits", "pages", "source", "version"],
    &["disk", "unreadable", "secret", "options", "gf", "hash"],
    &["rs", "report", "pipeline"],
    &["kdf"],
    &["copies"],
    &["v1", "v2", "v3", "payload"],
    &["archive"],
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// The rooms named in paths that begin with `crate::`, or with as many `super::` as lead out of the room: `depth`.
fn uses(text: &str, depth: usize, rooms: &BTreeSet<&str>) -> BTreeSet<String> {
    let lines = text.lines();
    let code: Vec<&str> = lines
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let out = "super::".repeat(depth);
    let paths = code
        .match_indices("crate::")
        .chain(code.match_indices(&out));
    let mut named = BTreeSet::new();
    for (at, root) in paths {
        let rest = &code[at + root.len()..];
        for name in first_names(rest) {
            if rooms.contains(name) {
                named.insert(name.to_owned());
            }
        }
    }
    named
}

/// The name that a path goes on with, or the first ones of all paths in its braces.
fn first_names(path: &str) -> Vec<&str> {
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        end.unwrap_or(text.len())
    };
    if !path.starts_with('{') {
        return vec![&path[..word(path)]];
    }
    let mut names = Vec::new();
    let (mut depth, mut begins) = (0, false);
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 1 && begins && !c.is_whitespace() => {
                names.push(&path[at..at + word(&path[at..])]);
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
        begins = depth == 1 && (matches!(c, '{' | ',') || begins && c.is_whitespace());
    }
    names
}

#[test]
fn names_are_seen() {
    let rooms = BTreeSet::from(["v1", "v2", "gf", "rs"]);
    let seen = |text, depth| Vec::from_iter(uses(text, depth, &rooms)).join(" ");
    assert_eq!(seen("use crate::v1::Writer;", 2), "v1");
    assert_eq!(
        seen("use crate::{\n    Error,\n    gf::{a, rs},\n    v2,\n};", 2),
        "gf v2"
    );
    assert_eq!(seen("// crate::v1\nlet x = crate::rs::new();", 2), "rs");
    assert_eq!(seen("use super::v1; use super::super::v2;", 2), "v2");
}

#[test]
fn rooms_use_only_what_is_beneath_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<&str> = LAYERS.iter().copied().flatten().copied().collect();
    let layer = |room: &str| LAYERS.iter().position(|layer| layer.contains(&room));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let room = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let room = room.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let own = layer(room).unwrap_or_else(|| panic!("{room} stands in no layer"));
        let text = fs::read_to_string(&path).unwrap();
        // A folder's `mod.rs` and a file beside it are the room itself.
        let below = relative.components().count() - usize::from(relative.ends_with("mod.rs"));
        for used in uses(&text, below, &rooms) {
            seen += 1;
            if used != room && layer(&used).unwrap() >= own {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
    }
    assert!(seen > 20, "the test does not see what rooms use");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The one in the documentation of the crate is compiled and run.
#[test]
fn the_example_of_the_readme_is_the_one_that_is_tested() {
    let readme = fs::read_to_string("README.md").unwrap();
    let example = readme
        .split("```")
        .find_map(|block| block.strip_prefix("rust\n"));
    let library = fs::read_to_string("src/lib.rs").unwrap();
    let documented: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert!(documented.join("\n").contains(example.unwrap().trim()));
}
