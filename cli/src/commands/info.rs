//! `dbs info`: what a file is and what it survives, in a user's words.

use std::io::{self, Write};

use dbs::v3::container::Container;
use dbs::v3::geometry::{Copy, CopyB};
use dbs::v3::page::KeySlot;
use dbs::{KdfParams, Profile};
use serde_json::{Map, Value, json};

use crate::args;
use crate::codec;
use crate::console::{Console, bytes, count};
use crate::failure::{Code, Failure, Result};
use crate::names;
use crate::survival::{Group, Shape};

/// Runs the command.
///
/// # Errors
/// See [`Code`].
pub fn run(args: &args::Info, console: &Console) -> Result<Code> {
    let archive = codec::open(&args.file, &[], 0, &console.blocks("info"))?;
    let facts = Facts::of(archive.container());
    let text = match args.json {
        true => format!("{}\n", Value::Object(facts.json())),
        false => format!("{}\n{}", names::path(&args.file), facts.text()),
    };
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(|e| Failure::stdout(&e))?;
    Ok(Code::Done)
}

/// What is known of a file of version 3 without a passphrase.
struct Facts {
    profile: Option<Profile>,
    copy_b: CopyB,
    sector: u64,
    data: u8,
    parity: [u8; 2],
    lag: u32,
    generation: u32,
    kdfs: Vec<Option<KdfParams>>,
    archive: String,
    blocks: u64,
    most_data: u64,
    file: u64,
    /// The longest run of sectors whose loss is survived (specification, G5).
    run: u64,
    /// As many sectors of every block may be lost, wherever they lie (G4).
    of_each_block: u64,
    share: f64,
    bits: f64,
}

impl Facts {
    fn of(container: &Container) -> Self {
        let page = container.page();
        let structure = container.structure();
        let (order, geometry) = (&structure.order, &page.geometry);
        let sector = geometry.sector_size() as u64;
        let copy_b = geometry.copy_b();
        let mut run = u64::MAX;
        let mut of_each_block = u64::MAX;
        let mut sizes = [0u64; 256];
        for block in 0..order.blocks() {
            let k = order.k(block);
            sizes[usize::from(k)] += 1;
            let first = u64::from(geometry.parity_of(Copy::A, k));
            let second = match copy_b {
                CopyB::None => 0,
                _ => u64::from(geometry.parity_of(Copy::B, k)),
            };
            let k = u64::from(k);
            let apart = || (order.offset(Copy::B, block) - order.offset(Copy::A, block)) / sector;
            let survived = match copy_b {
                CopyB::Mirrored => apart() + second,
                CopyB::Coded if second >= k => apart() + second - k,
                _ => first + second,
            };
            run = run.min(survived);
            // With every data sector stored twice, one more must be lost for each.
            let spare = first + second + u64::from(copy_b == CopyB::Mirrored);
            of_each_block = of_each_block.min(spare);
        }
        let groups = (1..=255u8)
            .zip(&sizes[1..])
            .filter(|(_, blocks)| **blocks > 0);
        let shape = Shape {
            columns: geometry.payload_size() as u64,
            mirrored: copy_b == CopyB::Mirrored,
            groups: groups
                .map(|(k, &blocks)| Group {
                    data: k.into(),
                    parity: u32::from(geometry.parity_of(Copy::A, k))
                        + match copy_b {
                            CopyB::None => 0,
                            _ => u32::from(geometry.parity_of(Copy::B, k)),
                        },
                    blocks,
                })
                .collect(),
        };
        let id = structure.healer.loom.archive;
        Facts {
            profile: geometry.profile(),
            copy_b,
            sector,
            data: geometry.data(),
            parity: [geometry.parity(Copy::A), geometry.parity(Copy::B)],
            lag: page.lag,
            generation: page.generation,
            kdfs: page
                .key_slots
                .iter()
                .map(|slot| KeySlot::from_bytes(slot).map(|slot| slot.kdf))
                .collect(),
            archive: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            blocks: order.blocks(),
            most_data: structure.census.data * geometry.capacity() as u64,
            file: container.file_len(),
            run,
            of_each_block,
            share: shape.share_of_sectors(),
            bits: shape.bit_error_rate(),
        }
    }

    fn burst(&self) -> u64 {
        // A range that is not aligned touches one sector more than it is long.
        match self.run {
            0 => 0,
            run => (run - 1) * self.sector + 1,
        }
    }

    fn profile(&self) -> &'static str {
        match self.profile {
            Some(Profile::Standard) => "standard",
            Some(Profile::Coded) => "coded",
            Some(Profile::Light) => "light",
            None => "of its own",
        }
    }

    fn text(&self) -> String {
        let layout = match self.copy_b {
            CopyB::Mirrored => "two full copies with different parity",
            CopyB::Coded => "one copy, and as much parity again",
            CopyB::None => "one copy with parity",
        };
        let order = match (self.copy_b, self.lag) {
            (CopyB::None, _) => String::new(),
            (_, 0) => ", half a file apart".into(),
            (_, lag) => format!(", {} apart", count(lag.into(), "block")),
        };
        let mut lines = vec![
            format!("  version 3, profile {}: {layout}{order}", self.profile()),
            format!(
                "  at most {} of data in {}; file {}, sectors of {} bytes",
                bytes(self.most_data),
                count(self.blocks, "block"),
                bytes(self.file),
                self.sector
            ),
            format!(
                "  opened by {}, changed {}",
                self.passphrases(),
                count(self.generation.into(), "time")
            ),
            format!("  archive {}", self.archive),
            String::new(),
            "This file survives, if it is undamaged now, each of these:".into(),
        ];
        let cut = match self.copy_b {
            CopyB::None => "",
            _ => ", its ends included; or as much cut off an end",
        };
        lines.push(format!(
            "  one burst of up to {} of any bytes, wherever it lies{cut}",
            bytes(self.burst())
        ));
        lines.push(format!(
            "  the loss of any {} of each block",
            count(self.of_each_block, "sector")
        ));
        lines.push(format!(
            "  the loss of {} of 1000 sectors, at random places (*)",
            (self.share * 1000.0).floor()
        ));
        lines.push(format!(
            "  one flipped bit in every {}, at random places (*)",
            one_in(self.bits)
        ));
        lines.push("(*) such that 999 of 1000 files come back whole".into());
        lines.push("Whether it is undamaged now says: dbs validate FILE".into());
        lines.push(String::new());
        lines.join("\n")
    }

    fn passphrases(&self) -> String {
        let number = count(self.kdfs.len() as u64, "passphrase");
        match self.kdfs.first() {
            Some(Some(kdf)) if self.kdfs.iter().all(|other| other.as_ref() == Some(kdf)) => {
                format!("{number} (Argon2id: {})", cost(kdf))
            }
            _ => {
                let known = self.kdfs.iter();
                let known: Vec<String> = known
                    .map(|kdf| kdf.as_ref().map_or("unknown".into(), cost))
                    .collect();
                format!("{number} (Argon2id: {})", known.join("; "))
            }
        }
    }

    fn json(&self) -> Map<String, Value> {
        let copy_b = match self.copy_b {
            CopyB::None => "none",
            CopyB::Mirrored => "mirrored",
            CopyB::Coded => "coded",
        };
        let kdfs = self.kdfs.iter().map(|kdf| match kdf {
            Some(kdf) => json!({
                "kdf": "argon2id", "passes": kdf.passes, "memory_kib": kdf.memory_kib,
                "lanes": kdf.lanes,
            }),
            None => Value::Null,
        });
        let object = json!({
            "format_version": 3,
            "profile": self.profile.map(|_| self.profile()),
            "archive": self.archive,
            "sector_size": self.sector,
            "data_sectors": self.data,
            "parity_a": self.parity[0],
            "parity_b": self.parity[1],
            "copy_b": copy_b,
            "lag": self.lag,
            "generation": self.generation,
            "key_slots": kdfs.collect::<Vec<_>>(),
            "blocks": self.blocks,
            "file_bytes": self.file,
            "survives": {
                "burst_bytes": self.burst(),
                "sectors_of_each_block": self.of_each_block,
                "share_of_sectors": round(self.share),
                "bit_error_rate": round(self.bits),
            },
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
