//! `dbs info`: what a file is and what it survives, in a user's words.

use std::io::{self, Write};

use dbs::KdfParams;
use dbs::v3::container::Container;
use dbs::v3::geometry::{Copy, CopyB};
use dbs::v3::info::Info;
use serde_json::{Map, Value, json};

use super::old_info;
use crate::args;
use crate::codec;
use crate::console::{Console, bytes, count};
use crate::failure::{Code, Failure, Result};
use crate::names;

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &args::Info, console: &Console) -> Result<Code> {
    let archive = codec::open(&args.file, 0, &console.blocks("info"))?;
    let old = archive.v1().map(old_info::Facts::v1);
    let old = old.or_else(|| archive.v2().map(old_info::Facts::v2));
    let (text, object) = match old {
        Some(old) => (old.text(), old.json()),
        None => {
            let facts = Facts::of(codec::v3(&archive, &args.file)?);
            (facts.text(), facts.json())
        }
    };
    let text = match args.json {
        true => format!("{}\n", Value::Object(object)),
        false => format!("{}\n{text}", names::path(&args.file)),
    };
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|e| Failure::stdout(&e))?;
    Ok(Code::Done)
}

/// What is known of a file of version 3 without a passphrase.
struct Facts {
    info: Info,
    /// As many sectors of every block may be lost, wherever they lie (specification, G4).
    of_each_block: u64,
}

impl Facts {
    fn of(container: &Container) -> Self {
        let info = container.info();
        let order = &container.structure().order;
        let geometry = &info.geometry;
        let mut of_each_block = u64::MAX;
        let mut seen = [false; 256];
        for block in 0..order.blocks() {
            let k = order.k(block);
            if std::mem::replace(&mut seen[usize::from(k)], true) {
                continue;
            }
            let copies = geometry.copies().iter();
            let parity: u64 = copies
                .map(|&copy| u64::from(geometry.parity_of(copy, k)))
                .sum();
            // With every data sector stored twice, one more must be lost for each.
            let mirrored = geometry.copy_b() == CopyB::Mirrored;
            of_each_block = of_each_block.min(parity + u64::from(mirrored));
        }
        Facts {
            info,
            of_each_block,
        }
    }

    fn text(&self) -> String {
        let info = &self.info;
        let copy_b = info.geometry.copy_b();
        let layout = match copy_b {
            CopyB::Mirrored => "two full copies with different parity",
            CopyB::Coded => "one copy, and as much parity again",
            CopyB::None => "one copy with parity",
        };
        let order = match (copy_b, info.lag) {
            (CopyB::None, _) => String::new(),
            (_, 0) => ", half a file apart".into(),
            (_, lag) => format!(", {} apart", count(lag.into(), "block")),
        };
        let mut lines = vec![
            format!(
                "  version 3, profile {}: {layout}{order}",
                info.geometry_name()
            ),
            format!(
                "  at most {} of data in {}; file {}, sectors of {} bytes",
                bytes(info.payload_len_max),
                count(info.blocks.all, "block"),
                bytes(info.file_len),
                info.geometry.sector_size()
            ),
            format!(
                "  opened by {}, changed {}",
                self.passphrases(),
                count(info.generation.into(), "time")
            ),
            format!("  archive {}", info.archive_id),
            String::new(),
            "This file survives, if it is undamaged now, each of these:".into(),
        ];
        let survival = &info.survival;
        let cut = match copy_b {
            CopyB::None => "",
            _ => ", its ends included; or as much cut off an end",
        };
        lines.push(format!(
            "  one burst of up to {} of any bytes, wherever it lies{cut}",
            bytes(survival.burst_bytes)
        ));
        lines.push(format!(
            "  the loss of any {} of each block",
            count(self.of_each_block, "sector")
        ));
        lines.push(format!(
            "  the loss of {} of 1000 sectors, at random places (*)",
            (survival.sectors_safe * 1000.0).floor()
        ));
        lines.push(format!(
            "  one flipped bit in every {}, at random places (*)",
            one_in(survival.bits_safe)
        ));
        lines.push("(*) such that 999 of 1000 files come back whole".into());
        for note in &info.notes {
            lines.push(format!("Note: {note}"));
        }
        lines.push("Whether it is undamaged now says: dbs validate FILE".into());
        lines.push(String::new());
        lines.join("\n")
    }

    fn passphrases(&self) -> String {
        let kdfs = &self.info.key_slots;
        let number = count(kdfs.len() as u64, "passphrase");
        match kdfs.first() {
            Some(Some(kdf)) if kdfs.iter().all(|other| other.as_ref() == Some(kdf)) => {
                format!("{number} (Argon2id: {})", cost(kdf))
            }
            _ => {
                let known = kdfs.iter();
                let known: Vec<String> = known
                    .map(|kdf| kdf.as_ref().map_or("unknown".into(), cost))
                    .collect();
                format!("{number} (Argon2id: {})", known.join("; "))
            }
        }
    }

    fn json(&self) -> Map<String, Value> {
        let info = &self.info;
        let geometry = &info.geometry;
        let survival = &info.survival;
        let copy_b = match geometry.copy_b() {
            CopyB::None => "none",
            CopyB::Mirrored => "mirrored",
            CopyB::Coded => "coded",
        };
        let kdfs = info.key_slots.iter().map(|kdf| match kdf {
            Some(kdf) => json!({
                "kdf": "argon2id", "passes": kdf.passes, "memory_kib": kdf.memory_kib,
                "lanes": kdf.lanes,
            }),
            None => Value::Null,
        });
        let object = json!({
            "format_version": 3,
            "profile": info.profile.map(|_| info.geometry_name()),
            "archive": info.archive_id,
            "sector_size": geometry.sector_size(),
            "data_sectors": geometry.data(),
            "parity_a": geometry.parity(Copy::A),
            "parity_b": geometry.parity(Copy::B),
            "copy_b": copy_b,
            "lag": info.lag,
            "generation": info.generation,
            "key_slots": kdfs.collect::<Vec<_>>(),
            "blocks": info.blocks.all,
            "payload_bytes_at_most": info.payload_len_max,
            "file_bytes": info.file_len,
            "written_bytes": info.written_len,
            "survives": {
                "burst_bytes": survival.burst_bytes,
                "sectors_of_each_block": self.of_each_block,
                "share_of_sectors": round(survival.sectors_safe),
                "bit_error_rate": round(survival.bits_safe),
            },
            "notes": info.notes,
        });
        match object {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }
}

fn cost(kdf: &KdfParams) -> String {
    format!(
        "{}, {}, {}",
        match kdf.passes {
            1 => "1 pass".into(),
            n => format!("{n} passes"),
        },
        bytes(u64::from(kdf.memory_kib) * 1024),
        count(kdf.lanes.into(), "lane")
    )
}

/// A rate as "one in so many", rounded up to two digits: what is promised is never too much.
fn one_in(rate: f64) -> u64 {
    if rate <= 0.0 {
        return u64::MAX;
    }
    let one_in = 1.0 / rate;
    let unit = 10f64.powf((one_in.log10() - 1.0).floor()).max(1.0);
    ((one_in / unit).ceil() * unit) as u64
}

/// Three digits, rounded down.
fn round(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    let rounded = (value / unit).floor() * unit;
    // What is left of the arithmetic behind the third digit is not part of the figure.
    format!("{rounded:.3e}").parse().unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_to_the_safe_side() {
        assert_eq!(one_in(1.0 / 455.2), 460);
        assert_eq!(one_in(1.0 / 460.0), 460);
        assert_eq!(one_in(0.3), 4);
        assert_eq!(round(0.199_96), 0.199);
        assert_eq!(round(0.002_178_9), 0.002_17);
    }
}
