//! `dbs passphrase`: add, remove, change; only header pages are written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use dbs::v3::passphrase::PassphraseChange;
use dbs::{Error, Status};

use crate::args::{ChangePassphrase, PassphraseAction};
use crate::codec;
use crate::console::Console;
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::passphrase::Wanted;
use crate::report;
use crate::signals;

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &ChangePassphrase, console: &Console) -> Result<Code> {
    let removes = args.action == PassphraseAction::Remove;
    if removes && (args.new_passphrase_file.is_some() || args.new_passphrase_stdin) {
        return Err(Failure::usage(
            "to remove a passphrase, give that one and no new one",
        ));
    }
    let shown = names::path(&args.file);
    let bar = console.blocks("validate");
    let archive = codec::open(&args.file, 0, &bar)?;
    let failure = |e: &io::Error| Failure::io("writing", &args.file, e);
    let file = File::options()
        .read(true)
        .write(true)
        .open(&args.file)
        .map_err(|e| failure(&e))?;
    codec::lock(&file, &args.file)?;

    let mut present = Wanted::existing(&args.passphrase);
    present.prompt = match args.action {
        PassphraseAction::Add => "Present passphrase: ",
        PassphraseAction::Remove => "Passphrase to remove: ",
        PassphraseAction::Change => "Passphrase to change: ",
    };
    let (_, current) = codec::unlock(&archive, &args.file, &present, true)?;
    let new = Wanted {
        file: args.new_passphrase_file.as_ref(),
        stdin: args.new_passphrase_stdin,
        environment: false,
        prompt: "New passphrase: ",
        confirm: true,
        options: "--new-passphrase-file F or --new-passphrase-stdin",
    };
    let new = match removes {
        true => None,
        false => Some(new.obtain()?),
    };

    // Writing into a damaged file could take from it what its healing needs.
    let report = archive
        .validate(None)
        .map_err(|e| codec::failure(e, &args.file))?;
    bar.clear();
    let state = || format!("{shown} is {}", report::sentence(&report));
    match report.status() {
        Status::Clean => {}
        Status::Recoverable => {
            return Err(Failure::usage(state())
                .hint(format!("Heal it first: dbs repair {shown} --in-place")));
        }
        Status::Unrecoverable => {
            return Err(Failure::new(Code::Lost, state())
                .hint(codec::lost_hint(&args.file, archive.version())));
        }
    }

    let kdf = codec::kdf(args.kdf);
    let change = match (args.action, &new) {
        (PassphraseAction::Add, Some(new)) => PassphraseChange::Add(new.clone(), kdf),
        (PassphraseAction::Change, Some(new)) => PassphraseChange::Replace(new.clone(), kdf),
        _ => PassphraseChange::Remove,
    };
    signals::advise(format!(
        "if the change is half done, complete it: dbs repair {shown} --in-place"
    ));
    let mut broken = None;
    let changed =
        codec::v3(&archive, &args.file)?.change_passphrase(&current, change, |offset, sector| {
            file.write_all_at(sector, offset).map_err(|e| {
                let told = io::Error::from(e.kind());
                broken = Some(e);
                Error::Io(told)
            })
        });
    if let Some(e) = broken {
        return Err(failure(&e).hint(format!(
            "The change is half done. Complete it: dbs repair {shown} --in-place"
        )));
    }
    changed.map_err(|e| codec::failure(e, &args.file))?;
    file.sync_all().map_err(|e| failure(&e))?;

    if let Some(new) = &new {
        codec::open(&args.file, 0, &console.blocks("check"))?
            .unlock(new)
            .map_err(|e| codec::failure(e, &args.file))?;
    }
    console.say(&match args.action {
        PassphraseAction::Add => format!("{shown}: one more passphrase opens it now"),
        PassphraseAction::Remove => format!("{shown}: the passphrase opens it no longer"),
        PassphraseAction::Change => format!("{shown}: the passphrase is changed"),
    });
    if args.action != PassphraseAction::Add {
        console.say("The old passphrase still opens older copies of this file.");
    }
    Ok(Code::Done)
}
