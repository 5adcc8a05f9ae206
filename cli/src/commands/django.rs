//! Payloads of django-dbs, in a container of any version: rows as JSON Lines that `loaddata` takes,
//! files under their names.

use std::collections::HashMap;
use std::fs::{File, Permissions};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dbs::payload::{self, FileEntry};
use dbs::{Error, Limits};
use serde_json::value::RawValue;

use super::only::Only;
use crate::codec;
use crate::console::Console;
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::tree::extract::{Extractor, Problem};

/// What was restored.
#[derive(Debug, Default)]
pub struct Restored {
    /// Rows of all models.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Names that were refused.
    pub refused: u64,
}

/// Makes the files of a payload.
///
/// # Errors
/// See [`Code`].
pub fn restore(
    reader: impl Read,
    extractor: &mut Extractor,
    only: &mut Only,
    file: &Path,
    console: &Console,
) -> Result<Restored> {
    let mut sink = Maker {
        extractor,
        only,
        console,
        rows: HashMap::new(),
        present: None,
        failure: None,
        restored: Restored::default(),
    };
    let done = payload::read(reader, &Limits::default(), &mut sink);
    let rows = std::mem::take(&mut sink.rows);
    if let Some(failure) = sink.failure {
        return Err(failure);
    }
    done.map_err(|e| super::restore::failure(e, file))?;
    for (label, rows) in rows {
        if let Some(rows) = rows {
            let written = rows.into_inner().map_err(|e| e.into_error());
            written
                .and_then(|file| file.set_permissions(Permissions::from_mode(0o644)))
                .map_err(|e| writing(&label, &e))?;
        }
    }
    Ok(sink.restored)
}

/// The name of the file that the rows of a model are in; none if the label cannot be in a name.
fn rows_name(label: &str) -> Option<String> {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    let plain = !label.is_empty() && !label.starts_with('.') && label.chars().all(legal);
    (plain && label.len() <= 200).then(|| format!("rows/{label}.jsonl"))
}

/// The name of a file, below `files`; none if it leads elsewhere.
fn file_name(entry: &FileEntry) -> Option<Vec<u8>> {
    let path = entry.safe_path()?;
    Some([b"files/", path.as_os_str().as_encoded_bytes()].concat())
}

struct Maker<'a> {
    extractor: &'a mut Extractor,
    only: &'a mut Only,
    console: &'a Console,
    /// The files of rows by model; none where they are not wanted.
    rows: HashMap<String, Option<BufWriter<File>>>,
    /// The file whose bytes come now; none where it is not wanted.
    present: Option<(Vec<u8>, File)>,
    /// What went wrong here, which the library can only pass on.
    failure: Option<Failure>,
    restored: Restored,
}

impl Maker<'_> {
    fn stop<T>(&mut self, failure: Failure) -> dbs::Result<T> {
        self.failure = Some(failure);
        Err(Error::Misuse("stopped".into()))
    }

    fn begin(&mut self, name: &[u8]) -> dbs::Result<Option<File>> {
        match self.extractor.begin(name) {
            Ok(file) => Ok(Some(file)),
            Err(Problem::Refused(why)) => {
                self.refuse(&names::show(name), why);
                Ok(None)
            }
            Err(Problem::Source(e) | Problem::Target(e)) => {
                self.stop(writing(&names::show(name), &e))
            }
        }
    }

    fn row(&mut self, model: &str, text: &str) -> dbs::Result<()> {
        if !self.rows.contains_key(model) {
            let made = match rows_name(model) {
                Some(name) if self.only.wants(name.as_bytes()) => self.begin(name.as_bytes())?,
                Some(_) => None,
                None => {
                    self.refuse(&names::show(model.as_bytes()), "it is no name of a model");
                    None
                }
            };
            self.rows.insert(model.into(), made.map(BufWriter::new));
        }
        let Some(Some(rows)) = self.rows.get_mut(model) else {
            return Ok(());
        };
        self.restored.rows += 1;
        // A row is a line: a line break in JSON is white space, as strings have it escaped.
        let line = text.replace(['\n', '\r'], " ");
        match writeln!(rows, "{line}") {
            Ok(()) => Ok(()),
            Err(e) => self.stop(writing(model, &e)),
        }
    }

    fn refuse(&mut self, shown: &str, why: &str) {
        self.restored.refused += 1;
        self.console.warn(&format!("refused {shown}: {why}"));
    }
}

impl payload::Sink for Maker<'_> {
    fn record(&mut self, model: &str, json: &RawValue) -> dbs::Result<()> {
        self.row(model, json.get())
    }

    fn python_record(&mut self, model: &str, text: &str) -> dbs::Result<()> {
        self.row(model, text)
    }

    fn file(&mut self, _index: u64, entry: &FileEntry) -> dbs::Result<()> {
        self.present = None;
        match file_name(entry) {
            None => self.refuse(
                &names::show(entry.name.as_bytes()),
                "its name leads outside",
            ),
            Some(name) if self.only.wants(&name) => {
                self.present = self.begin(&name)?.map(|file| (name, file));
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> dbs::Result<()> {
        if let Some((name, file)) = &mut self.present
            && let Err(e) = file.write_all(bytes)
        {
            let failure = writing(&names::show(name), &e);
            return self.stop(failure);
        }
        Ok(())
    }

    fn file_end(&mut self, entry: &FileEntry, skipped: Option<&str>) -> dbs::Result<()> {
        let Some((name, file)) = self.present.take() else {
            return Ok(());
        };
        if let Some(why) = skipped {
            self.extractor.remove_last(&name);
            self.console.note(&format!(
                "the backup was made without {}: {}",
                names::show(entry.name.as_bytes()),
                names::show(why.as_bytes())
            ));
            return Ok(());
        }
        self.restored.files += 1;
        match file.set_permissions(Permissions::from_mode(0o644)) {
            Ok(()) => Ok(()),
            Err(e) => self.stop(writing(&names::show(&name), &e)),
        }
    }
}

fn writing(name: &str, error: &std::io::Error) -> Failure {
    Failure::io("restoring", Path::new(name), error)
}

/// A line of the list of such a payload.
#[derive(Debug)]
pub struct Listed {
    /// The name it is restored under.
    pub name: Vec<u8>,
    /// Bytes of a file, or the number of rows.
    pub size: u64,
    /// Whether these are rows.
    pub rows: bool,
}

/// What a payload holds: rows first.
///
/// # Errors
/// See [`Code`].
pub fn list(reader: impl Read, file: &Path) -> Result<Vec<Listed>> {
    let mut sink = Lister::default();
    let done = payload::read(reader, &Limits::default(), &mut sink);
    let summary = done.map_err(|e| codec::failure(e, file))?;
    let rows = summary.models.into_iter().map(|(label, count)| Listed {
        name: rows_name(&label).unwrap_or(label).into_bytes(),
        size: count,
        rows: true,
    });
    Ok(rows.chain(sink.files).collect())
}

#[derive(Default)]
struct Lister {
    files: Vec<Listed>,
    size: u64,
}

impl payload::Sink for Lister {
    fn record(&mut self, _model: &str, _json: &RawValue) -> dbs::Result<()> {
        Ok(())
    }

    fn python_record(&mut self, _model: &str, _text: &str) -> dbs::Result<()> {
        Ok(())
    }

    fn file(&mut self, _index: u64, _entry: &FileEntry) -> dbs::Result<()> {
        self.size = 0;
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> dbs::Result<()> {
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn file_end(&mut self, entry: &FileEntry, skipped: Option<&str>) -> dbs::Result<()> {
        if skipped.is_none() {
            self.files.push(Listed {
                name: file_name(entry).unwrap_or_else(|| entry.name.clone().into_bytes()),
                size: self.size,
                rows: false,
            });
        }
        Ok(())
    }
}

/// Whether such a payload can be restored with these options.
///
/// # Errors
/// Salvage was asked for.
pub fn no_salvage(salvage: bool, file: &Path) -> Result<()> {
    if !salvage {
        return Ok(());
    }
    let shown = names::path(file);
    Err(Failure::new(
        Code::Usage,
        format!("{shown} holds a payload of django-dbs, of which no tree can be salvaged"),
    )
    .hint(format!(
        "Salvage the payload as it is: dbs restore {shown} --salvage -o OUT"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_cannot_name_files_elsewhere() {
        assert_eq!(
            rows_name("app.model").as_deref(),
            Some("rows/app.model.jsonl")
        );
        for bad in ["", "..", "../x", "a/b", "a\0", ".hidden", "a b"] {
            assert_eq!(rows_name(bad), None, "{bad}");
        }
    }
}
