//! `dbs list`: the files in a backup, from its index.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use dbs::{Entry, EntryKind};
use serde_json::{Map, Number, Value};

use crate::args::List;
use crate::codec;
use crate::console::{Console, bytes, count};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::passphrase::Wanted;
use crate::tree::member::Time;
use crate::tree::pax;

/// Runs the command.
///
/// # Errors
/// See [`crate::failure::Code`].
pub fn run(args: &List, console: &Console) -> Result<Code> {
    let bar = console.blocks("list");
    let archive = codec::open(&args.file, &[], 0, &bar)?;
    let wanted = Wanted::existing(&args.passphrase);
    let (payload, _) = codec::unlock(&archive, &args.file, &wanted, false)?;
    if !codec::holds_files(&payload) {
        let message = format!(
            "{} holds one stream of {}, and no files",
            names::path(&args.file),
            bytes(payload.len())
        );
        let hint = format!(
            "Restore it with: dbs restore {} -o OUT",
            names::path(&args.file)
        );
        return Err(Failure::usage(message).hint(hint));
    }
    let (entries, lost) = codec::entries(&payload, &args.file)?;
    bar.clear();

    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.json {
        true => write_json(&mut out, &entries),
        false => entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", line(entry))),
    };
    written
        .and_then(|()| out.flush())
        .map_err(|e| Failure::stdout(&e))?;
    if lost.is_empty() {
        return Ok(Code::Done);
    }
    let message = format!(
        "{}: {} of the index are lost; the list is not complete",
        names::path(&args.file),
        count(lost.len() as u64, "block")
    );
    Err(Failure::new(Code::Lost, message).hint(codec::lost_hint(&args.file)))
}

/// An array with one entry a line, so that a long list needs no memory.
fn write_json(out: &mut impl Write, entries: &[Entry]) -> io::Result<()> {
    write!(out, "[")?;
    for (at, entry) in entries.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(out, "{comma}\n{}", Value::Object(json(entry)))?;
    }
    writeln!(out, "{}]", if entries.is_empty() { "" } else { "\n" })
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
