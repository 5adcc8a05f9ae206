//! `dbs convert`: a backup of any version becomes one of version 3. The payload stays as it is, byte
//! for byte, and with it all rows and files.

use std::io::{self, Read, Write};

use dbs::archive::Unlocked;

use super::backup;
use super::legacy::library;
use super::restore::failure;
use crate::args::Convert;
use crate::codec;
use crate::console::{Console, bytes};
use crate::container::{Media, Writer};
use crate::failure::{Code, Result};
use crate::names;
use crate::output::Output;
use crate::passphrase::Wanted;

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &Convert, console: &Console) -> Result<Code> {
    let bar = console.blocks("convert");
    let archive = codec::open(&args.file, args.write.threads, &bar)?;
    codec::not_an_input(&args.output, [&args.file])?;
    let output = Output::create(&args.output, args.write.force)?;
    let wanted = Wanted::existing(&args.passphrase);
    let (unlocked, passphrase) = codec::unlock(&archive, &args.file, &wanted, false)?;
    let failed = |e| failure(e, &args.file);

    let mut reader = unlocked.reader().map_err(failed)?;
    let mut head = Vec::new();
    (&mut reader)
        .take(512)
        .read_to_end(&mut head)
        .map_err(|e| failed(library(e)))?;
    let tar = match &unlocked {
        Unlocked::V3(payload) => payload.is_tar(),
        _ => codec::is_header(&head),
    };
    let media = match tar {
        true => Media::Tar,
        false => Media::Stream(None),
    };
    let mut writer = Writer::new(3, &output, &passphrase, &args.write, media)?;
    let mut total = 0;
    let mut source = io::Cursor::new(head).chain(reader);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(library(e))),
        };
        writer
            .write_all(&buffer[..n])
            .map_err(|e| output.failure(&e))?;
        total += n as u64;
    }
    if let Unlocked::V3(payload) = &unlocked {
        let lost = payload
            .entries(|entry| writer.entry(&entry))
            .map_err(failed)?;
        if !lost.is_empty() {
            console.note("part of the index is lost; the new file lists what was left of it");
        }
    }
    writer.finish(&output)?;
    bar.clear();
    output.sync()?;
    backup::verify(&args.write, &args.output, &output, &passphrase, console)?;
    let stdout = output.is_stdout();
    output.commit()?;
    if !stdout {
        console.say(&format!(
            "converted {} from version {} into {}",
            bytes(total),
            archive.version().number(),
            names::path(&args.output)
        ));
    }
    Ok(Code::Done)
}
