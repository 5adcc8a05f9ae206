//! A file in a payload.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A file, as the payload lists it.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct FileEntry {
    /// Where the file belongs.
    pub kind: Kind,
    /// Bytes of the file when it was listed.
    pub size: u64,
    /// SHA-256 in hexadecimal; empty in version 2, where it comes after the bytes.
    #[serde(default)]
    pub sha256: String,
    /// Label of the model whose field names the file.
    pub model: Option<String>,
    /// Primary key of the row whose field names the file.
    #[serde(default)]
    pub pk: Value,
    /// The field that names the file.
    pub field: Option<String>,
    /// Name in the storage, absolute path, or path below `root`.
    pub name: String,
    /// The root, for files below one.
    pub root: Option<String>,
    /// Where the bytes begin, counted from the end of the document (version 1).
    #[serde(default)]
    pub offset: u64,
    /// How many bytes there are (version 1).
    #[serde(default)]
    pub length: u64,
}

/// Where a file belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In the storage of a field, under its name.
    Storage,
    /// At the absolute path that stands in a column.
    Path,
    /// Below a root directory.
    Root,
}

impl FileEntry {
    /// A relative path for the file that stays below any directory it is joined to, and differs
    /// for different files: `storage/NAME`, `path/PATH`, `root/ROOT/NAME`. `None` if the name is
    /// one that leads elsewhere (`..`, a drive, a NUL).
    #[must_use]
    pub fn safe_path(&self) -> Option<PathBuf> {
        let mut path = PathBuf::from(match self.kind {
            Kind::Storage => "storage",
            Kind::Path => "path",
            Kind::Root => "root",
        });
        let absolute = |name: &str| match self.kind {
            Kind::Storage => None,
            _ => Some(name.trim_start_matches(['/', '\\']).to_owned()),
        };
        if let (Kind::Root, Some(root)) = (self.kind, &self.root) {
            append(&mut path, &absolute(root)?)?;
        }
        match self.kind {
            Kind::Path => append(&mut path, &absolute(&self.name)?)?,
            _ => append(&mut path, &self.name)?,
        }
        Some(path)
    }
}

fn append(path: &mut PathBuf, name: &str) -> Option<()> {
    if name.is_empty() || name.contains(['\0', '\\']) {
        return None;
    }
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => {
                // `C:` is a drive where the file may be restored, though not here.
                if part
                    .to_str()
                    .is_none_or(|p| p.contains(':') && p.len() == 2)
                {
                    return None;
                }
                path.push(part);
            }
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(())
}
