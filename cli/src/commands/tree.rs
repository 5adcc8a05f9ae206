//! Restoring a tree: all of it as a stream; parts of it, or what is left of it, member by member.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use dbs::{Entry, EntryKind, Payload, Report};
use serde_json::{Map, Value, json};

use super::only::Only;
use super::restore::{Restored, empty_report, failure};
use crate::args::Restore;
use crate::codec;
use crate::console::{Console, bytes};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::tree::extract::{Extractor, Problem};
use crate::tree::header::{BLOCK, Block};
use crate::tree::member::{Kind, Member, Time};
use crate::tree::place::Stage;
use crate::tree::read::Reader;
use crate::window::{Ranged, Window};

/// What is added to the name of a file that has zeros where bytes are lost.
const DAMAGED: &[u8] = b".damaged";

/// Something that did not come back.
#[derive(Debug)]
pub struct Missing {
    /// The file; none if only the place in the payload is known.
    path: Option<Vec<u8>>,
    /// The bytes of the file, or of the payload, that are lost; none at all if all of it is.
    ranges: Vec<Range<u64>>,
    /// Where the rest of the file is.
    saved_as: Option<Vec<u8>>,
}

impl Missing {
    /// A lost range of a stream.
    pub fn of_stream(range: Range<u64>) -> Self {
        Missing {
            path: None,
            ranges: vec![range],
            saved_as: None,
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut object = Map::new();
        match &self.path {
            Some(path) => names::json(&mut object, "path", path),
            None => drop(object.insert("path".into(), Value::Null)),
        }
        let ranges = self.ranges.iter();
        let ranges = ranges.map(|range| json!({"start": range.start, "end": range.end}));
        object.insert("ranges".into(), ranges.collect());
        match &self.saved_as {
            Some(saved) => names::json(&mut object, "saved_as", saved),
            None => drop(object.insert("saved_as".into(), Value::Null)),
        }
        Value::Object(object)
    }

    /// For people.
    pub fn line(&self) -> String {
        let ranges: Vec<String> = self.ranges.iter().map(range_text).collect();
        let ranges = ranges.join(", ");
        match (&self.path, &self.saved_as) {
            (None, _) => format!("lost: bytes {ranges} of the payload"),
            (Some(path), None) => format!("lost: {}", names::show(path)),
            (Some(path), Some(saved)) => format!(
                "{}: bytes {ranges} are lost; the rest, with zeros for them, is {}",
                names::show(path),
                names::show(saved)
            ),
        }
    }
}

fn range_text(range: &Range<u64>) -> String {
    format!("{}..{}", range.start, range.end)
}

/// Restores into a folder.
///
/// # Errors
/// See [`Code`].
pub fn restore(
    args: &Restore,
    directory: &Path,
    payload: &Payload,
    console: &Console,
) -> Result<Restored> {
    let stage = Stage::new(directory)?;
    let mut tree = Tree::new(args, &stage, console)?;
    let report = if args.only.is_empty() && !args.salvage {
        tree.look_for_existing(&stage, payload)?;
        tree.stream(payload)?
    } else {
        let (entries, lost) = codec::entries(payload, &args.file)?;
        if entries.is_empty() || !lost.is_empty() {
            tree.search(payload)?
        } else {
            tree.pick(payload, &entries, &stage)?
        }
    };
    tree.finish(stage, directory, report)
}

/// Restores the tar stream of a container that has no index.
///
/// # Errors
/// See [`Code`].
pub fn restore_stream(
    args: &Restore,
    directory: &Path,
    reader: impl Read,
    console: &Console,
) -> Result<Restored> {
    let stage = Stage::new(directory)?;
    let mut tree = Tree::new(args, &stage, console)?;
    let mut reader = Reader::new(reader);
    loop {
        let member = match reader.advance() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            Err(e) => return Err(tree.source_failure(e)),
        };
        if tree.only.wants(&member.path) {
            tree.make(&member, &mut reader)?;
        }
    }
    // What proves that the stream is whole comes behind its last member.
    io::copy(&mut reader.into_input(), &mut io::sink()).map_err(|e| tree.source_failure(e))?;
    tree.finish(stage, directory, empty_report())
}

struct Tree<'a> {
    args: &'a Restore,
    console: &'a Console,
    extractor: Extractor,
    only: Only,
    missing: Vec<Missing>,
    members: u64,
    bytes: u64,
    refused: u64,
    /// Files that did not get all of their metadata.
    bare: u64,
}

impl<'a> Tree<'a> {
    fn new(args: &'a Restore, stage: &Stage, console: &'a Console) -> Result<Self> {
        Ok(Tree {
            args,
            console,
            extractor: Extractor::new(stage.root()?),
            only: Only::new(&args.only),
            missing: Vec::new(),
            members: 0,
            bytes: 0,
            refused: 0,
            bare: 0,
        })
    }

    /// Brings everything to its place.
    fn finish(self, stage: Stage, directory: &Path, report: Report) -> Result<Restored> {
        self.only.all_matched(&self.args.file)?;
        if self.bare > 0 {
            self.console.note(&format!(
                "{} files did not get their owner, their time or their extended attributes",
                self.bare
            ));
        }
        stage.place(
            &self.extractor.into_folders(),
            self.args.force,
            self.console,
        )?;
        let members = match self.members {
            1 => "1 entry".into(),
            n => format!("{n} entries"),
        };
        Ok(Restored {
            report,
            missing: self.missing,
            summary: format!(
                "restored {members}, {} into {}",
                bytes(self.bytes),
                names::path(directory)
            ),
            refused: self.refused,
        })
    }

    /// Refuses early what would be refused late, where the index can tell.
    fn look_for_existing(&self, stage: &Stage, payload: &Payload) -> Result<()> {
        if self.args.force {
            return Ok(());
        }
        let mut found = Ok(());
        let looked = payload.entries(|entry| {
            // A folder is merged with one, and what is of no kind that is restored is in nobody's way.
            let other = !matches!(entry.kind, EntryKind::Directory | EntryKind::Other);
            if found.is_ok() && other {
                found = stage.check(&entry.path);
            }
            Ok(())
        });
        found?;
        // A lost index is no reason to stop: the stream has all names in it.
        match looked {
            Err(dbs::Error::Damaged(_)) | Ok(_) => Ok(()),
            Err(e) => Err(failure(e, &self.args.file)),
        }
    }

    /// Restores everything, in one go.
    fn stream(&mut self, payload: &Payload) -> Result<Report> {
        let mut reader = Reader::new(payload.reader());
        let done = self.stream_members(&mut reader);
        let mut source = reader.into_input();
        // The report comes behind the last byte.
        let drained = done.and_then(|()| {
            io::copy(&mut source, &mut io::sink())
                .map(drop)
                .map_err(|e| self.not_tar(&e))
        });
        if let Some(error) = source.take_error() {
            return Err(failure(error, &self.args.file));
        }
        drained?;
        source.report().cloned().ok_or_else(|| {
            Failure::new(Code::System, "the payload ended before its end".to_string())
        })
    }

    fn stream_members(&mut self, reader: &mut Reader<impl Read>) -> Result<()> {
        while let Some(member) = reader.advance().map_err(|e| self.not_tar(&e))? {
            self.make(&member, &mut *reader)?;
        }
        Ok(())
    }

    /// Restores members by their places in the index.
    fn pick(&mut self, payload: &Payload, entries: &[Entry], stage: &Stage) -> Result<Report> {
        let chosen: Vec<&Entry> = entries
            .iter()
            .filter(|e| self.only.wants(&e.path))
            .collect();
        self.only.all_matched(&self.args.file)?;
        if !self.args.force {
            for entry in chosen.iter().filter(|e| e.kind != EntryKind::Directory) {
                stage.check(&entry.path)?;
            }
        }
        let targets = link_targets(entries, &chosen);
        let mut first_names: HashMap<&[u8], &[u8]> = HashMap::new();
        let mut window = Window::new(payload, self.args.salvage);
        for entry in chosen {
            let link = entry.link.as_deref().unwrap_or_default();
            match (entry.kind, targets.get(link)) {
                (EntryKind::HardLink, Some(target)) => match first_names.get(link) {
                    // The file itself was not asked for: its first name here stands for it.
                    Some(first) => {
                        let mut member = Member::new(&*entry.path, Kind::HardLink);
                        member.link = first.to_vec();
                        self.make(&member, io::empty())?;
                    }
                    None => {
                        first_names.insert(link, &entry.path);
                        self.pick_one(&mut window, target, &entry.path)?;
                    }
                },
                _ => self.pick_one(&mut window, entry, &entry.path)?,
            }
        }
        self.report_of(window, payload)
    }

    fn pick_one(&mut self, window: &mut Window<'_>, entry: &Entry, name: &[u8]) -> Result<()> {
        let whole = entry.offset..entry.offset.saturating_add(entry.length);
        let mut reader = Reader::new(window.range(whole.clone()));
        let advanced = reader.advance();
        let headers = whole.start..reader.input().position();
        let torn = !reader.input().gaps_in(&headers).is_empty();
        let (data, made) = match advanced {
            Ok(Some(mut member)) if !torn => {
                member.path = name.to_vec();
                (headers.end..whole.end, self.make(&member, &mut reader)?)
            }
            _ if torn => {
                // The headers are lost, and the index knows nearly all that they said.
                let Some(data) = data_of(entry) else {
                    self.lose(name, Vec::new(), None);
                    return Ok(());
                };
                let member = member_of(entry, name);
                (data.clone(), self.make(&member, window.range(data))?)
            }
            other => {
                let error = other.err().unwrap_or_else(|| {
                    io::Error::other("the index names a member that is not there")
                });
                return Err(self.window_failure(window, &error));
            }
        };
        if made {
            self.set_damaged_aside(window, entry.kind, name, data);
        }
        Ok(())
    }

    /// Restores members by searching for them: what is left when the index is lost.
    fn search(&mut self, payload: &Payload) -> Result<Report> {
        let mut window = Window::new(payload, self.args.salvage);
        // Without a manifest, what is left of the payload may end in the middle of a member.
        let ends_early = self.args.salvage && payload.manifest().is_none();
        let mut at = 0;
        while at < payload.len() {
            let mut reader = Reader::new(window.range(at..payload.len()));
            let advanced = reader.advance();
            let headers = at..reader.input().position();
            let gaps = reader.input().gaps_in(&headers);
            match advanced {
                Ok(Some(member)) if gaps.is_empty() => {
                    let data = headers.end..headers.end.saturating_add(reader.remaining());
                    if ends_early && data.end > payload.len() {
                        self.make_beginning(&mut window, &member, data, payload.len())?;
                        break;
                    }
                    if self.only.wants(&member.path) && self.make(&member, &mut reader)? {
                        let kind = match member.kind {
                            Kind::File => EntryKind::File,
                            _ => EntryKind::Other,
                        };
                        self.set_damaged_aside(&window, kind, &member.path, data.clone());
                    }
                    // A length without end leads behind the end of the payload.
                    at = data.end.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
                }
                Ok(None) if gaps.is_empty() => break,
                Err(_) if ends_early && gaps.is_empty() && headers.end == payload.len() => {
                    self.missing.push(Missing::of_stream(headers));
                    break;
                }
                Err(e) if gaps.is_empty() => {
                    return Err(self.window_failure(&mut window, &e));
                }
                _ => {
                    let lost = gaps.iter().map(|gap| gap.end).max().unwrap_or(at);
                    self.missing.push(Missing {
                        path: None,
                        ranges: gaps,
                        saved_as: None,
                    });
                    at = next_header(&mut window, lost.next_multiple_of(BLOCK), payload.len());
                }
            }
        }
        self.report_of(window, payload)
    }

    /// Makes what is there of the member in which the payload ends.
    fn make_beginning(
        &mut self,
        window: &mut Window<'_>,
        member: &Member,
        data: Range<u64>,
        end: u64,
    ) -> Result<()> {
        if !self.only.wants(&member.path) {
            return Ok(());
        }
        let mut beginning = member.clone();
        beginning.size = end - data.start.min(end);
        // Of a sparse file it cannot be told where what is there belongs.
        if member.kind != Kind::File
            || member.sparse.is_some()
            || beginning.size == 0
            || !self.make(&beginning, window.range(data.start..end))?
        {
            self.lose(&member.path, Vec::new(), None);
            return Ok(());
        }
        window.lacks(end..data.end);
        self.set_damaged_aside(window, EntryKind::File, &member.path, data);
        Ok(())
    }

    /// Makes one member and says whether it is there now.
    fn make(&mut self, member: &Member, data: impl Read) -> Result<bool> {
        let shown = || names::show(&member.path);
        if member.kind == Kind::Other {
            let why = "it is neither file, folder nor link";
            self.console.note(&format!("left out {}: {why}", shown()));
            return Ok(false);
        }
        match self.extractor.member(member, data) {
            Ok(bare) => {
                self.members += 1;
                self.bytes += member.size;
                self.bare += u64::from(bare.is_some());
                Ok(true)
            }
            Err(Problem::Refused(why)) => {
                self.refused += 1;
                self.console.warn(&format!("refused {}: {why}", shown()));
                Ok(false)
            }
            Err(Problem::Target(e)) => {
                let name = Path::new(std::ffi::OsStr::new("")).join(shown());
                Err(Failure::io("restoring", &name, &e))
            }
            Err(Problem::Source(e)) => Err(self.source_failure(e)),
        }
    }

    /// A file with zeros in it must not be taken for the file.
    fn set_damaged_aside(
        &mut self,
        window: &Window<'_>,
        kind: EntryKind,
        name: &[u8],
        data: Range<u64>,
    ) {
        let gaps = window.gaps_in(&data);
        if gaps.is_empty() || kind != EntryKind::File {
            return;
        }
        let saved = [name, DAMAGED].concat();
        let inside = gaps.iter();
        let inside = inside.map(|gap| gap.start - data.start..gap.end - data.start);
        let ranges = inside.collect();
        match self.extractor.rename_last(name, &saved) {
            Ok(()) => self.lose(name, ranges, Some(saved)),
            Err(_) => {
                self.extractor.remove_last(name);
                self.lose(name, ranges, None);
            }
        }
    }

    fn lose(&mut self, name: &[u8], ranges: Vec<Range<u64>>, saved_as: Option<Vec<u8>>) {
        self.missing.push(Missing {
            path: Some(name.to_vec()),
            ranges,
            saved_as,
        });
    }

    fn report_of(&self, window: Window<'_>, payload: &Payload) -> Result<Report> {
        match window.into_report() {
            Some(report) => Ok(report),
            // Nothing was read: the report of nothing says what the container is.
            None => payload
                .copy_range_to(0..0, &mut io::sink())
                .map_err(|e| failure(e, &self.args.file)),
        }
    }

    fn window_failure(&self, window: &mut Window<'_>, error: &io::Error) -> Failure {
        match window.take_error() {
            Some(error) => failure(error, &self.args.file),
            None => self.not_tar(error),
        }
    }

    /// An error of the library that came through `Read`, or of the stream itself.
    fn source_failure(&self, error: io::Error) -> Failure {
        match error.downcast::<dbs::Error>() {
            Ok(error) => failure(error, &self.args.file),
            Err(error) => self.not_tar(&error),
        }
    }

    fn not_tar(&self, error: &io::Error) -> Failure {
        let shown = names::path(&self.args.file);
        Failure::new(Code::Format, format!("{shown}: {error}")).hint(format!(
            "Restore the stream as it is: dbs restore {shown} -o OUT.tar"
        ))
    }
}

/// The files behind hard links that are wanted while the files themselves are not.
fn link_targets<'e>(entries: &'e [Entry], chosen: &[&'e Entry]) -> HashMap<&'e [u8], &'e Entry> {
    let mut wanted: HashSet<&[u8]> = chosen
        .iter()
        .filter(|entry| entry.kind == EntryKind::HardLink)
        .filter_map(|entry| entry.link.as_deref())
        .collect();
    for entry in chosen {
        wanted.remove(&*entry.path);
    }
    let targets = entries.iter().filter(|entry| wanted.contains(&*entry.path));
    targets.map(|entry| (&*entry.path, entry)).collect()
}

/// Where the content of a member is when its headers are lost; none if that cannot be told.
fn data_of(entry: &Entry) -> Option<Range<u64>> {
    let size = match entry.kind {
        EntryKind::File => entry.size,
        _ => 0,
    };
    let padded = size.checked_next_multiple_of(BLOCK)?;
    // A sparse file takes less than its size, and its map is lost with its headers.
    let headers = entry.length.checked_sub(padded)?;
    let start = entry.offset.checked_add(headers)?;
    (headers >= BLOCK).then_some(start..start.checked_add(size)?)
}

fn member_of(entry: &Entry, name: &[u8]) -> Member {
    let kind = match entry.kind {
        EntryKind::File => Kind::File,
        EntryKind::Directory => Kind::Directory,
        EntryKind::Symlink => Kind::Symlink,
        EntryKind::HardLink => Kind::HardLink,
        EntryKind::Other => Kind::Other,
    };
    let mut member = Member::new(name, kind);
    if kind == Kind::File {
        member.size = entry.size;
    }
    member.mode = entry.mode & 0o7777;
    member.mtime = Time {
        seconds: entry.mtime,
        nanoseconds: entry.mtime_nanos,
    };
    member.uid = rustix::process::geteuid().as_raw();
    member.gid = rustix::process::getegid().as_raw();
    member.link = entry.link.clone().unwrap_or_default();
    member
}

/// The next place where a header may begin.
fn next_header(window: &mut Window<'_>, mut at: u64, end: u64) -> u64 {
    while at < end {
        let mut block = [0; BLOCK as usize];
        let mut ranged: Ranged<'_, '_> = window.range(at..end);
        if ranged.read_exact(&mut block).is_err() {
            return end;
        }
        if Block::parse(&block).is_some() && block[257..].starts_with(b"ustar") {
            return at;
        }
        at += BLOCK;
    }
    end
}
