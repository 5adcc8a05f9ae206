//! What a check of versions 1 and 2 says.

use super::blocks::{Blocks, Layout};
use super::locate::Map;
use crate::error::{Damage, FailedBlock};
use crate::report::Report;
use crate::source::Source;
use crate::{Error, Result};

/// Notes are not repeated for every one of a million blocks.
const NAMED: usize = 8;

/// These of so many blocks are beyond repair.
pub(crate) fn lost(blocks: Vec<FailedBlock>, of: u64) -> Error {
    Error::Damaged(Damage {
        what: format!("{} of {of} blocks", blocks.len()),
        blocks,
    })
}

/// Notes the regions (name, place, contents) that are not as they were written.
pub(crate) fn compare(
    source: &dyn Source,
    regions: &[(&str, u64, &[u8])],
    report: &mut Report,
) -> Result<()> {
    for &(name, offset, right) in regions {
        let mut found = vec![0; right.len()];
        let got = source.read_full_at(&mut found, offset)?;
        if right.is_empty() || got < right.len() || found != right {
            report.sectors_bad += 1;
            report.notes.push(format!("the {name} is damaged"));
        }
    }
    Ok(())
}

/// Notes which blocks are damaged in which copy, and what is not in its place.
pub(crate) fn describe<L: Layout>(
    blocks: &Blocks<L>,
    map: &Map,
    report: &mut Report,
) -> Result<()> {
    let layout = &blocks.layout;
    let mut copies = [("A", 0, Vec::new()), ("B", 0, Vec::new())];
    for unit in map.bad.iter().cloned().flatten() {
        let block = layout.block_of(unit);
        let (_, bad, named) = &mut copies[usize::from(layout.unit(0, block) != unit)];
        *bad += 1;
        if named.len() < NAMED {
            named.push(block.to_string());
        }
    }
    for (copy, bad, named) in copies.iter().filter(|copy| copy.1 > 0) {
        let more = if *bad > named.len() { ", …" } else { "" };
        report.notes.push(format!(
            "copy {copy}: {bad} of {} blocks damaged or missing ({}{more})",
            layout.blocks(),
            named.join(", ")
        ));
    }
    if map.moved > 0 {
        report.misplaced = true;
        report.notes.push(format!(
            "bytes were cut out or pushed in: {} block copies are not in their places",
            map.moved
        ));
    }
    report.note_length(blocks.source.size()?, layout.size());
    report.note_unreadable(&*blocks.source);
    Ok(())
}
