//! `dbs validate`: read everything, change nothing.

use std::io::{self, Write};

use dbs::{Report, Status};

use crate::args::Validate;
use crate::codec;
use crate::console::{Console, count};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::passphrase::Wanted;
use crate::report::{self, Extents};

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &Validate, console: &Console) -> Result<Code> {
    let passphrase = Wanted::existing(&args.passphrase).given()?;
    let bar = console.blocks("validate");
    let archive = codec::open(&args.file, args.threads, &bar)?;
    let report = archive
        .validate(passphrase.as_ref())
        .map_err(|e| codec::failure(e, &args.file))?;
    bar.clear();
    if report.status() != Status::Clean {
        codec::not_shrunk(&archive, &args.file)?;
    }
    let mut extents = Extents::unknown();
    if !report.failed_blocks.is_empty()
        && let Some(passphrase) = &passphrase
        && let Ok(unlocked) = archive.unlock_for_salvage(passphrase)
        && let Ok(payload) = unlocked.into_v3()
        && let Ok((entries, _)) = codec::entries(&payload, &args.file)
        && !entries.is_empty()
    {
        extents = codec::extents(&entries);
    }
    let status = report.status();
    if args.json {
        report::print_json(report::json(&report, &extents), false)?;
    } else if !(console.is_quiet() && status == Status::Clean) {
        let text = text(args, &report, &extents, passphrase.is_some());
        io::stdout()
            .lock()
            .write_all(text.as_bytes())
            .map_err(|e| Failure::stdout(&e))?;
    }
    Ok(match status {
        Status::Clean => Code::Done,
        Status::Recoverable => Code::Recoverable,
        Status::Unrecoverable if report.blocks_altered > 0 => Code::Altered,
        Status::Unrecoverable => Code::Lost,
    })
}

fn text(args: &Validate, report: &Report, extents: &Extents, unlocked: bool) -> String {
    let shown = names::path(&args.file);
    let mut lines = vec![format!("{shown}: {}", report::headline(report))];
    if report.status() != Status::Clean {
        lines.push(format!(
            "  {}, {} to be healed",
            report::bad(report),
            count(report.blocks_healed, "block")
        ));
    }
    let failed = report::failed_lines(&report.failed_blocks, extents);
    lines.extend(failed.iter().map(|line| format!("  {line}")));
    lines.extend(report.notes.iter().map(|note| format!("  {note}")));
    if !unlocked {
        let advice = "  nothing was decrypted: give a passphrase to check the contents as well";
        lines.push(advice.into());
    }
    match report.status() {
        Status::Clean => {}
        Status::Recoverable => lines.push(format!(
            "Write the healed file: dbs repair {shown} -o NEW, or dbs repair {shown} --in-place"
        )),
        Status::Unrecoverable => lines.push(codec::lost_hint(&args.file, report.version)),
    }
    lines.push(String::new());
    lines.join("\n")
}
