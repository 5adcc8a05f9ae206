//! What was found, for people and for programs.

use std::io::{self, Write};
use std::ops::Range;

use dbs::error::FailedBlock;
use dbs::{Report, Status};
use serde_json::{Map, Value, json};

use crate::console::count;
use crate::failure::{Failure, Result};
use crate::names;

/// More lines than this are cut for people; JSON has all of them.
const MOST_LINES: usize = 20;

/// A file in the backup and the bytes of the payload it takes.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Its name.
    pub path: Vec<u8>,
    /// Its headers, its content, its padding.
    pub payload: Range<u64>,
}

/// The files of a backup by their place in it, if its index can be read.
#[derive(Debug, Clone, Default)]
pub struct Extents(Option<Vec<Extent>>);

impl Extents {
    /// The files of a readable index.
    pub fn new(mut extents: Vec<Extent>) -> Self {
        extents.sort_by_key(|extent| extent.payload.start);
        Extents(Some(extents))
    }

    /// No index.
    pub fn unknown() -> Self {
        Extents(None)
    }

    /// The files that a failed block touches; none where that is not known.
    pub fn touched(&self, block: &FailedBlock) -> Option<&[Extent]> {
        let (extents, lost) = (self.0.as_ref()?, block.payload.as_ref()?);
        let from = extents.partition_point(|extent| extent.payload.end <= lost.start);
        let to = extents.partition_point(|extent| extent.payload.start < lost.end);
        Some(&extents[from..to.max(from)])
    }
}

/// The report as JSON.
pub fn json(report: &Report, extents: &Extents) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.into(), value);
    put("format_version", report.version.number().into());
    put("status", report.status().as_str().into());
    put("blocks", report.blocks.into());
    put("blocks_healed", report.blocks_healed.into());
    put("sectors", report.sectors.into());
    put("sectors_bad", report.sectors_bad.into());
    put(
        "failed_blocks",
        report
            .failed_blocks
            .iter()
            .map(|block| failed_json(block, extents))
            .collect(),
    );
    put("decrypted", report.decrypted.into());
    put("notes", report.notes.clone().into());
    object
}

/// Prints a JSON object to standard output or, where that carries the payload, to standard error.
///
/// # Errors
/// Standard output is closed.
pub fn print_json(object: Map<String, Value>, to_stderr: bool) -> Result<()> {
    let text = Value::Object(object).to_string();
    if to_stderr {
        let _ = writeln!(io::stderr().lock(), "{text}");
        return Ok(());
    }
    writeln!(io::stdout().lock(), "{text}").map_err(|e| Failure::stdout(&e))
}

fn failed_json(block: &FailedBlock, extents: &Extents) -> Value {
    let mut object = Map::new();
    object.insert("block".into(), block.block.into());
    object.insert("kind".into(), block.kind.into());
    let range = block.payload.as_ref();
    object.insert(
        "payload".into(),
        range.map_or(
            Value::Null,
            |range| json!({"start": range.start, "end": range.end}),
        ),
    );
    let files = extents.touched(block).map(|touched| {
        touched
            .iter()
            .map(|extent| {
                let mut file = Map::new();
                names::json(&mut file, "path", &extent.path);
                Value::Object(file)
            })
            .collect()
    });
    object.insert("files".into(), files.unwrap_or(Value::Null));
    Value::Object(object)
}

/// The failed blocks for people, a line for each run of them, and the files that it touches.
pub fn failed_lines(failed: &[FailedBlock], extents: &Extents) -> Vec<String> {
    let mut lines = Vec::new();
    let next_to = |a: &FailedBlock, b: &FailedBlock| a.block + 1 == b.block && a.kind == b.kind;
    for run in failed.chunk_by(next_to) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        let mut line = match run.len() {
            1 => format!("block {} ({})", first.block, first.kind),
            _ => format!("blocks {} to {} ({})", first.block, last.block, first.kind),
        };
        let mut whole = first.clone();
        if let (Some(from), Some(to)) = (&first.payload, &last.payload) {
            line += &format!(": bytes {} to {} of the payload", from.start, to.end);
            whole.payload = Some(from.start..to.end);
        }
        lines.push(line);
        for extent in extents.touched(&whole).unwrap_or_default() {
            lines.push(format!("  in {}", names::show(&extent.path)));
        }
    }
    shorten(&mut lines);
    lines
}

/// Cuts a list that nobody would read to its end.
pub fn shorten(lines: &mut Vec<String>) {
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("and {more} more; --json lists all of them"));
    }
}

/// The state in a sentence.
pub fn sentence(report: &Report) -> String {
    let blocks = count(report.blocks, "block");
    match report.status() {
        Status::Clean if report.decrypted => {
            format!("clean: {blocks}, all of them intact, decrypted and authentic")
        }
        Status::Clean => format!("clean: {blocks}, all of them intact"),
        Status::Recoverable => format!(
            "damaged, and all of it can be healed: {}; {} of {blocks} needed healing",
            bad(report),
            report.blocks_healed
        ),
        Status::Unrecoverable => format!(
            "damaged beyond repair: {} lost; {}",
            match is_known(report) {
                true => format!("{} of {blocks}", report.failed_blocks.len()),
                false => count(report.failed_blocks.len() as u64, "block"),
            },
            bad(report)
        ),
    }
}

/// What a healed restore says.
pub fn healed(report: &Report) -> String {
    let whole = "the backup is damaged, and everything came back";
    match report.sectors_bad + report.blocks_healed {
        // What is wrong stands in the notes.
        0 => whole.into(),
        _ => format!(
            "{whole}: {}; {} of {} healed",
            bad(report),
            report.blocks_healed,
            count(report.blocks, "block")
        ),
    }
}

/// How many sectors are bad.
pub fn bad(report: &Report) -> String {
    match is_known(report) {
        true => format!(
            "{} of {} bad",
            report.sectors_bad,
            count(report.sectors, part(report))
        ),
        false => format!("{} bad", count(report.sectors_bad, part(report))),
    }
}

/// Whether it is known how large the undamaged file was.
fn is_known(report: &Report) -> bool {
    report.sectors > 0
}

/// What the parts of a file are called that are bad or not.
pub fn part(report: &Report) -> &'static str {
    match report.version.number() {
        3 => "sector",
        _ => "part",
    }
}

/// What the file is and how it is, in a line.
pub fn headline(report: &Report) -> String {
    let state = match report.status() {
        Status::Clean => "clean".into(),
        Status::Recoverable => "damaged, all of it recoverable".into(),
        Status::Unrecoverable => format!(
            "damaged beyond repair, {} lost",
            count(report.failed_blocks.len() as u64, "block")
        ),
    };
    let size = match is_known(report) {
        true => format!(
            "{}, {}",
            count(report.blocks, "block"),
            count(report.sectors, part(report))
        ),
        false => format!("{} seen", count(report.blocks, "block")),
    };
    format!("version {}, {size}: {state}", report.version.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_name_the_files_they_touch() {
        let extent = |path: &str, payload| Extent {
            path: path.into(),
            payload,
        };
        let extents = Extents::new(vec![
            extent("c", 300..400),
            extent("a", 0..100),
            extent("b", 100..300),
        ]);
        let touched = |payload| {
            let block = FailedBlock {
                block: 1,
                kind: "data",
                payload,
            };
            extents.touched(&block).map(|touched| {
                touched
                    .iter()
                    .map(|extent| String::from_utf8_lossy(&extent.path).into_owned())
                    .collect::<String>()
            })
        };
        assert_eq!(touched(Some(0..100)).as_deref(), Some("a"));
        assert_eq!(touched(Some(99..101)).as_deref(), Some("ab"));
        assert_eq!(touched(Some(150..160)).as_deref(), Some("b"));
        assert_eq!(touched(Some(0..1000)).as_deref(), Some("abc"));
        assert_eq!(touched(Some(400..500)).as_deref(), Some(""));
        assert_eq!(touched(None), None);
    }
}
