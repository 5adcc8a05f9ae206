//! `dbs list`: the files in a backup, from its index.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Read, Write};

use dbs::archive::Unlocked;
use dbs::{Entry, EntryKind};
use serde_json::{Map, Number, Value};

use super::django;
use super::legacy::library;
use super::restore::not_files;
use crate::args::List;
use crate::codec;
use crate::console::{Console, count};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::passphrase::Wanted;
use crate::tree::member::Time;
use crate::tree::pax;
use crate::tree::read::Reader;

/// Runs the command.
///
/// # Errors
/// See [`crate::failure::Code`].
pub fn run(args: &List, console: &Console) -> Result<Code> {
    let bar = console.blocks("list");
    let archive = codec::open(&args.file, 0, &bar)?;
    let wanted = Wanted::existing(&args.passphrase);
    let (unlocked, _) = codec::unlock(&archive, &args.file, &wanted, false)?;
    let payload = match unlocked {
        Unlocked::V3(payload) if codec::holds_files(&payload) => payload,
        Unlocked::V3(payload) => {
            let head = payload.read_range(0..payload.len().min(8));
            let head = head.map_err(|e| codec::failure(e, &args.file))?;
            if !dbs::payload::recognises(&head) {
                return Err(not_files(&args.file, Some(payload.len())));
            }
            return rows_and_files(args, payload.reader());
        }
        older => {
            let mut reader = older.reader().map_err(|e| codec::failure(e, &args.file))?;
            let mut head = Vec::new();
            (&mut reader)
                .take(512)
                .read_to_end(&mut head)
                .map_err(|e| codec::failure(library(e), &args.file))?;
            let django = dbs::payload::recognises(&head);
            let tar = codec::is_header(&head);
            let whole = io::Cursor::new(head).chain(reader);
            return match (django, tar) {
                (true, _) => rows_and_files(args, whole),
                (_, true) => print(args, &members(whole, args)?),
                _ => Err(not_files(&args.file, None)),
            };
        }
    };
    let (mut entries, lost) = codec::entries(&payload, &args.file)?;
    if entries.is_empty() && lost.is_empty() {
        // Who wrote this made no index.
        entries = members(payload.reader(), args)?;
    }
    bar.clear();
    print(args, &entries)?;
    if lost.is_empty() {
        return Ok(Code::Done);
    }
    let message = format!(
        "{}: {} of the index are lost; the list is not complete",
        names::path(&args.file),
        count(lost.len() as u64, "block")
    );
    Err(Failure::new(Code::Lost, message).hint(codec::lost_hint(&args.file, dbs::Version::V3)))
}

fn print(args: &List, entries: &[Entry]) -> Result<Code> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.json {
        true => write_json(&mut out, entries),
        false => entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", line(entry))),
    };
    written
        .and_then(|()| out.flush())
        .map_err(|e| Failure::stdout(&e))?;
    Ok(Code::Done)
}

/// The members of a tar stream that has no index.
fn members(stream: impl Read, args: &List) -> Result<Vec<Entry>> {
    let mut reader = Reader::new(stream);
    let mut entries = Vec::new();
    loop {
        let member = match reader.advance() {
            Ok(Some(member)) => member,
            Ok(None) => return Ok(entries),
            Err(e) => return Err(codec::failure(library(e), &args.file)),
        };
        entries.push(member.entry(0, 0));
    }
}

/// Lists a payload of django-dbs.
fn rows_and_files(args: &List, reader: impl Read) -> Result<Code> {
    let listed = django::list(reader, &args.file)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.json {
        true => {
            let objects = listed.iter().map(|listed| {
                let mut object = Map::new();
                names::json(&mut object, "path", &listed.name);
                object.insert("type".into(), "file".into());
                let key = if listed.rows { "rows" } else { "size" };
                object.insert(key.into(), listed.size.into());
                object
            });
            write_objects(&mut out, objects)
        }
        false => listed.iter().try_for_each(|listed| {
            let what = if listed.rows { "rows" } else { "bytes" };
            let name = names::show(&listed.name);
            writeln!(out, "{:>12} {what:<5} {name}", listed.size)
        }),
    };
    written
        .and_then(|()| out.flush())
        .map_err(|e| Failure::stdout(&e))?;
    Ok(Code::Done)
}

/// An array with one entry a line, so that a long list needs no memory.
fn write_json(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    write_objects(out, entries.iter().map(json))
}

fn write_objects(
    out: &mut impl Write,
    objects: impl Iterator<Item = Map<String, Value>>,
) -> io::Result<()> {
    write!(out, "[")?;
    let mut before = "\n";
    for object in objects {
        write!(out, "{before}{}", Value::Object(object))?;
        before = ",\n";
    }
    writeln!(out, "\n]")
}

fn json(entry: &Entry) -> Map<String, Value> {
    let mut object = Map::new();
    names::json(&mut object, "path", &entry.path);
    object.insert("type".into(), kind(entry.kind).into());
    object.insert("size".into(), entry.size.into());
    object.insert("mode".into(), entry.mode.into());
    let mtime = pax::write_time(Time {
        seconds: entry.mtime,
        nanoseconds: entry.mtime_nanos,
    });
    // All digits of it: a float would lose the nanoseconds.
    let mtime = mtime.parse::<Number>().map_or(Value::Null, Value::Number);
    object.insert("mtime".into(), mtime);
    if let Some(link) = &entry.link {
        names::json(&mut object, "target", link);
    }
    object
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::HardLink => "hardlink",
        EntryKind::Other => "other",
    }
}

fn line(entry: &Entry) -> String {
    let mut line = String::new();
    line.push(match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::HardLink => 'h',
        EntryKind::Other => '?',
    });
    line += &permissions(entry.mode);
    let _ = write!(line, " {:>12} {} ", entry.size, time(entry.mtime));
    line += &names::show(&entry.path);
    if let Some(link) = &entry.link {
        let arrow = match entry.kind {
            EntryKind::Symlink => " -> ",
            _ => " = ",
        };
        line += arrow;
        line += &names::show(link);
    }
    line
}

fn permissions(mode: u32) -> String {
    let mut text = String::new();
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 > 0 { 'r' } else { '-' });
        text.push(if bits & 2 > 0 { 'w' } else { '-' });
        text.push(match (mode & special > 0, bits & 1 > 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// Seconds since 1970 as date and time in UTC.
pub fn time(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant, "chrono-Compatible Low-Level Date
    // Algorithms", civil_from_days).
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hours, minutes) = (rest / 3600, rest % 3600 / 60);
    format!("{year:04}-{month:02}-{date:02} {hours:02}:{minutes:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (1_700_000_000, "2023-11-14 22:13"),
            (4_107_542_399, "2100-02-28 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
        ] {
            assert_eq!(time(seconds), text);
        }
        // No time, however absurd, ends the program.
        assert!(!time(i64::MAX).is_empty() && !time(i64::MIN).is_empty());
    }

    #[test]
    fn permissions_are_those_of_ls() {
        assert_eq!(permissions(0o755), "rwxr-xr-x");
        assert_eq!(permissions(0o4644), "rwSr--r--");
        assert_eq!(permissions(0o1777), "rwxrwxrwt");
        assert_eq!(permissions(0o2750), "rwxr-s---");
    }
}
