//! The rooms of the library use only the rooms beneath them: see DESIGN.md.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up. A room may use itself and every room above it in this list.
const LAYERS: &[&[&str]] = &[
    &["error", "limits", "pages", "source", "version"],
    &["disk", "secret", "options", "gf", "hash"],
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

/// The rooms named in paths that begin with `crate::`.
fn uses(text: &str, rooms: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let list = rest
                .strip_prefix('{')
                .map_or(rest, |list| list.split('}').next().unwrap());
            for name in list.split([',', ' ']) {
                let word: String = name
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if rooms.contains(word.as_str()) {
                    named.insert(word);
                }
            }
        }
    }
    named
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
        for used in uses(&fs::read_to_string(&path).unwrap(), &rooms) {
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
