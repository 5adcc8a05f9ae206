//! Random damage of every kind, over containers of versions 1 and 2.
//!
//! The test knows what every stored byte was and which of them are left, and so what must be
//! healed: a block of which every row can be corrected in one copy, or with both as erasures.
//! What cannot be had must be refused; nothing wrong may ever be returned, and nothing damaged be
//! called clean.
//!
//! `DBS_ROUNDS` asks for more than the usual number of rounds, `DBS_SEED` for others, and
//! `DBS_DAMAGE` for the kinds of damage whose names contain it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod legacy;

use std::time::Duration;

use common::Random;
use dbs::{Archive, Passphrase, Status};
use legacy::{Base, Damaged, bases, corpus_bases, spent};

/// Even in a debug build, a small file takes no longer.
const PATIENCE: Duration = Duration::from_secs(60);

type Kind = (&'static str, u8, fn(&mut Random, &Base) -> Option<Damaged>);

/// Name of the damage, the only version that has it (0 for both), and how it is done.
const KINDS: &[Kind] = &[
    ("an area", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let at = r.below(base.bytes.len() as u64) as usize;
        let len = base.area(r);
        damaged.fill(r, at..at + len);
        Some(damaged)
    }),
    ("areas in both copies", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        for _ in 0..1 + r.below(3) {
            for copy in 0..2 {
                let unit = base.unit(r, copy);
                let at = unit.start + r.below(unit.len() as u64) as usize;
                let len = base.area(r).min(unit.end - at);
                damaged.fill(r, at..at + len);
            }
        }
        Some(damaged)
    }),
    ("other code words of one block", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let block = r.below(base.blocks()) as usize;
        let (a, b) = (base.copies[0][block].clone(), base.copies[1][block].clone());
        let rows = a.len().div_ceil(255);
        if rows < 2 {
            return None;
        }
        // Copy A loses the rows in front of a place, copy B those behind it.
        let cut = 1 + r.below(rows as u64 - 1) as usize;
        let front = r.below(cut as u64) as usize;
        let rear = cut + r.below((rows - cut) as u64) as usize + 1;
        damaged.fill(r, a.start + front * 255..a.start + cut * 255);
        damaged.fill(r, b.start + cut * 255..(b.start + rear * 255).min(b.end));
        Some(damaged)
    }),
    ("both headers wiped", 1, |r, base| {
        let mut damaged = Damaged::new(base);
        for header in &base.headers {
            damaged.fill(r, header.clone());
        }
        Some(damaged)
    }),
    ("a bit in each header", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        for header in &base.headers {
            damaged.flip(r, header.clone());
        }
        damaged.assured = true;
        Some(damaged)
    }),
    ("the same bit in each header", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let (byte, mask) = (
            r.below(base.headers[0].len() as u64) as usize,
            1 << r.below(8),
        );
        for header in &base.headers {
            damaged.xor(header.start + byte, mask);
        }
        damaged.assured = true;
        Some(damaged)
    }),
    ("a bit in each manifest", 1, |r, base| {
        let mut damaged = Damaged::new(base);
        for manifest in &base.metadata {
            damaged.flip(r, manifest.clone());
        }
        damaged.assured = true;
        Some(damaged)
    }),
    ("a bit in each manifest and in one header", 1, |r, base| {
        let mut damaged = Damaged::new(base);
        for manifest in &base.metadata {
            damaged.flip(r, manifest.clone());
        }
        let one = r.below(2) as usize;
        damaged.flip(r, base.headers[one].clone());
        damaged.assured = true;
        Some(damaged)
    }),
    ("an area in each manifest", 1, |r, base| {
        let mut damaged = Damaged::new(base);
        let len = base.metadata[0].len();
        let cut = 1 + r.below(len as u64 - 1) as usize;
        let from = r.below(cut as u64) as usize;
        let to = cut + 1 + r.below((len - cut) as u64) as usize;
        damaged.fill(
            r,
            base.metadata[0].start + from..base.metadata[0].start + cut,
        );
        damaged.fill(r, base.metadata[1].start + cut..base.metadata[1].start + to);
        damaged.assured = true;
        Some(damaged)
    }),
    ("bytes cut out", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let at = base.place(r);
        damaged.cut(at, base.few(r));
        Some(damaged)
    }),
    ("bytes pushed in", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let at = base.place(r);
        let bytes = common::Random(r.next()).bytes(base.few(r));
        damaged.insert(at, &bytes);
        Some(damaged)
    }),
    ("cut out of A, pushed into B", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let (a, b) = (base.unit(r, 0), base.unit(r, 1));
        let (a, b) = (a.start + 5, b.start + r.below(b.len() as u64) as usize);
        // From the rear, so that the places in front stay.
        if a < b {
            damaged.insert(b, &[7]);
            damaged.cut(a, 1);
        } else {
            damaged.cut(a, 1);
            damaged.insert(b, &[7]);
        }
        Some(damaged)
    }),
    (
        "whole rows cut out, and pushed in elsewhere",
        0,
        |r, base| {
            let mut damaged = Damaged::new(base);
            let copy = r.below(2) as usize;
            let out = r.below(base.blocks()) as usize;
            let into = (out as u64 + 1 + r.below(base.blocks().max(2) - 1)) % base.blocks();
            let (out_of, into) = (
                &base.copies[copy][out],
                &base.copies[1 - copy][into as usize],
            );
            let len = 255 * (1 + r.below(4) as usize);
            // A unit of one whole row at least is left of it.
            if base.blocks() < 2 || out_of.len() < len + 255 {
                return None;
            }
            let out_of = out_of.start + r.below((out_of.len() - len) as u64) as usize;
            let into = into.start + r.below(into.len() as u64) as usize;
            let noise = common::Random(r.next()).bytes(len);
            // From the rear, so that the places in front stay.
            if into > out_of {
                damaged.insert(into, &noise);
                damaged.cut(out_of, len);
            } else {
                damaged.cut(out_of, len);
                damaged.insert(into, &noise);
            }
            Some(damaged)
        },
    ),
    ("cut out and pushed in at several places", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let mut places: Vec<usize> = (0..2 + r.below(4)).map(|_| base.place(r)).collect();
        places.sort_unstable();
        // From the rear, so that the places in front stay.
        for at in places.into_iter().rev() {
            let len = 1 + r.below(5) as usize;
            if r.below(2) == 0 {
                damaged.cut(at, len);
            } else {
                damaged.insert(at, &common::Random(r.next()).bytes(len));
            }
        }
        Some(damaged)
    }),
    (
        "a byte of one manifest missing, a bit of the other wrong",
        1,
        |r, base| {
            let mut damaged = Damaged::new(base);
            let one = r.below(2) as usize;
            damaged.flip(r, base.metadata[1 - one].clone());
            let cut = base.metadata[one].clone();
            damaged.cut(cut.start + r.below(cut.len() as u64) as usize, 1);
            damaged.assured = true;
            Some(damaged)
        },
    ),
    ("a byte pushed in, and full budget", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        for unit in base.copies.iter().flatten() {
            for row in unit.clone().step_by(255) {
                let row = row..(row + 255).min(unit.end);
                for _ in 0..base.nsym / 2 {
                    damaged.flip(r, row.clone());
                }
            }
        }
        let front = base.copies[0][0].start;
        damaged.insert(front - 1 - r.below(40) as usize, b"!");
        Some(damaged)
    }),
    ("two pieces exchanged", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let len = base.bytes.len();
        let size = 1 + r.below((len as u64 / 3).min(5000)) as usize;
        let a = r.below((len - 2 * size) as u64) as usize;
        let b = a + size + r.below((len - 2 * size - a) as u64 + 1) as usize;
        damaged.copy(b, a, size);
        damaged.set(b, &base.bytes[a..a + size]);
        damaged.hard = true;
        Some(damaged)
    }),
    ("cut out, and rot", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        for _ in 0..1 + r.below(6) {
            let copy = r.below(2) as usize;
            let unit = base.unit(r, copy);
            damaged.flip(r, unit);
        }
        let at = base.place(r);
        damaged.cut(at, 1);
        Some(damaged)
    }),
    ("full budget in both copies", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        for copy in &base.copies {
            for unit in copy {
                for row in (unit.start..unit.end).step_by(255) {
                    let row = row..(row + 255).min(unit.end);
                    for _ in 0..base.nsym / 2 {
                        damaged.flip(r, row.clone());
                    }
                }
            }
        }
        Some(damaged)
    }),
    ("all slot tags", 2, |r, base| {
        let mut damaged = Damaged::new(base);
        for unit in base.copies.iter().flatten() {
            damaged.fill(r, unit.end..unit.end + 16);
        }
        Some(damaged)
    }),
    ("tags of a block, and a bit in each copy", 2, |r, base| {
        let mut damaged = Damaged::new(base);
        let block = r.below(base.blocks()) as usize;
        for copy in &base.copies {
            let unit = copy[block].clone();
            damaged.fill(r, unit.end..unit.end + 16);
            damaged.flip(r, unit);
        }
        Some(damaged)
    }),
    ("a bit in each slot and tag", 2, |r, base| {
        let mut damaged = Damaged::new(base);
        for unit in base.copies.iter().flatten() {
            damaged.flip(r, unit.clone());
            damaged.flip(r, unit.end..unit.end + 16);
        }
        Some(damaged)
    }),
    ("both trailers", 2, |r, base| {
        let mut damaged = Damaged::new(base);
        for trailer in &base.metadata {
            damaged.fill(r, trailer.clone());
        }
        if r.below(3) == 0 {
            let unit = base.unit(r, 0);
            damaged.flip(r, unit);
        }
        Some(damaged)
    }),
    ("trailers and all tags", 2, |r, base| {
        let mut damaged = Damaged::new(base);
        for trailer in &base.metadata {
            damaged.fill(r, trailer.clone());
        }
        for unit in base.copies.iter().flatten() {
            damaged.fill(r, unit.end..unit.end + 16);
        }
        Some(damaged)
    }),
    ("sectors swapped", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let (a, b, size) = base.sectors(r)?;
        damaged.copy(b, a, size);
        damaged.set(b, &base.bytes[a..a + size]);
        Some(damaged)
    }),
    ("a sector in the place of another", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let (a, b, size) = base.sectors(r)?;
        damaged.copy(a, b, size);
        Some(damaged)
    }),
    ("a sector twice, the rest behind", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let (a, _, size) = base.sectors(r)?;
        damaged.insert(a, &base.bytes[a..a + size]);
        Some(damaged)
    }),
    ("tail cut off", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let share = [200, 4000, base.bytes.len() as u64 / 2][r.below(3) as usize];
        let len = 1 + r.below(share) as usize;
        damaged.cut(base.bytes.len().checked_sub(len)?, len);
        Some(damaged)
    }),
    ("head cut off", 0, |r, base| {
        let mut damaged = Damaged::new(base);
        let share = [70, 2000, base.bytes.len() as u64 / 2][r.below(3) as usize];
        let len = 1 + r.below(share) as usize;
        damaged.cut(0, len.min(base.bytes.len()));
        Some(damaged)
    }),
];

/// What came of a damaged file.
#[derive(Default)]
struct Tally {
    healed: u32,
    /// Healed although the simple reasoning of the test did not ask for it.
    beyond: u32,
    lost: u32,
    slowest: Duration,
}

fn check(base: &Base, damaged: Damaged, tally: &mut Tally) -> Result<(), String> {
    let must = damaged.healable(base) && !damaged.hard;
    let passphrase = Passphrase::new(base.passphrase.as_str());
    let began = spent();
    let archive = Archive::open(damaged.bytes);
    let mut payload = Vec::new();
    let read = archive.as_ref().map_err(ToString::to_string).and_then(|a| {
        let unlocked = a.unlock(&passphrase).map_err(|e| e.to_string())?;
        unlocked.copy_to(&mut payload).map_err(|e| e.to_string())
    });
    if let Ok(archive) = &archive {
        for key in [None, Some(&passphrase)] {
            if let Ok(report) = archive.validate(key)
                && report.status() == Status::Clean
            {
                return Err("called clean".into());
            }
        }
    }
    let outcome = match read {
        Err(error) if must => Err(format!("not healed: {error}")),
        Err(_) => {
            tally.lost += 1;
            Ok(())
        }
        Ok(_) if payload != base.payload => Err("WRONG BYTES RETURNED".into()),
        Ok(_) => {
            tally.healed += u32::from(must);
            tally.beyond += u32::from(!must);
            whole(base, &archive.unwrap(), &passphrase)
        }
    };
    let took = spent() - began;
    tally.slowest = tally.slowest.max(took);
    if took > PATIENCE {
        return Err(format!("took {took:.1?}"));
    }
    outcome
}

/// Where the payload is had back, the report says so, and repairing gives the file back.
fn whole(base: &Base, archive: &Archive, passphrase: &Passphrase) -> Result<(), String> {
    let report = archive.validate(Some(passphrase));
    let report = report.map_err(|e| format!("validate: {e}"))?;
    // The payload may stand although the rest of a block does not: parity, fill, copy B.
    if report.status() != Status::Recoverable {
        return Err(format!("status {:?}: {:?}", report.status(), report.notes));
    }
    let mut repaired = std::io::Cursor::new(Vec::new());
    let done = archive.repair(Some(passphrase), &mut repaired);
    done.map_err(|e| format!("repair: {e}"))?;
    if repaired.into_inner() != base.bytes {
        return Err("repair gives another file".into());
    }
    Ok(())
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |n| n.parse().unwrap())
}

fn campaign(bases: &[Base], rounds: u64) {
    let seed = number("DBS_SEED", 1);
    let only = std::env::var("DBS_DAMAGE").unwrap_or_default();
    let mut failures = Vec::new();
    for (k, (kind, version, damage)) in KINDS.iter().enumerate() {
        if !kind.contains(&only) {
            continue;
        }
        let mut tally = Tally::default();
        for (b, base) in bases.iter().enumerate() {
            if *version != 0 && *version != base.version {
                continue;
            }
            for round in 0..rounds {
                let seed = seed << 40 | (k as u64) << 32 | (b as u64) << 20 | round;
                let Some(damaged) = damage(&mut Random(seed), base) else {
                    continue;
                };
                if damaged.bytes == base.bytes {
                    continue;
                }
                let kept = std::env::var("DBS_KEEP").map(|path| (path, damaged.bytes.clone()));
                if let Err(what) = check(base, damaged, &mut tally) {
                    if let Ok((path, bytes)) = kept {
                        std::fs::write(format!("{path}-{k}-{b}-{round}"), bytes).unwrap();
                    }
                    failures.push(format!("{kind}, {}, round {round}: {what}", base.name));
                }
            }
        }
        println!(
            "{kind}: {} healed, {} beyond what was asked, {} lost, slowest {:.1?}",
            tally.healed, tally.beyond, tally.lost, tally.slowest
        );
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn damage_of_every_kind() {
    campaign(&bases(), number("DBS_ROUNDS", 3));
}

/// The same over the files that the original package wrote, where they are at hand.
#[test]
fn damage_to_real_files() {
    campaign(&corpus_bases(), number("DBS_ROUNDS", 1));
}
