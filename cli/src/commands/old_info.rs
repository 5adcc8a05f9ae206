//! What `dbs info` says of containers of versions 1 and 2.

use dbs::{v1, v2};
use serde_json::{Map, Value, json};

use crate::console::{bytes, count};
use crate::names;

/// The facts of a container, for people and for programs.
pub struct Facts {
    lines: Vec<String>,
    object: Value,
}

impl Facts {
    /// Of version 1.
    pub fn v1(info: &v1::Info) -> Self {
        let (passes, memory, lanes) = info.argon2;
        let created = names::show(info.created.as_bytes());
        let lines = vec![
            "  version 1, as django-dbs 0.1.0 to 0.6.0 wrote it".into(),
            format!("  made {created}{}", compressed(info.compressed)),
            blocks(info.blocks, info.block_size, info.nsym, info.size),
            kdf(passes, memory, lanes),
        ];
        let object = json!({
            "format_version": 1,
            "created": info.created,
            "compressed": info.compressed,
            "blocks": info.blocks,
            "block_size": info.block_size,
            "parity_bytes": info.nsym,
            "file_bytes": info.size,
            "argon2": {"passes": passes, "memory_kib": memory, "lanes": lanes},
            "survives": {"burst_bytes": info.burst},
        });
        Facts { lines, object }.survives(info.burst, info.nsym)
    }

    /// Of version 2.
    pub fn v2(info: &v2::Info) -> Self {
        let (passes, memory, lanes) = info.argon2;
        let id: String = info.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let lines = vec![
            "  version 2, as django-dbs 0.7.0 wrote it".into(),
            format!("  archive {id}{}", compressed(info.compressed)),
            blocks(info.blocks, info.block_size as u64, info.nsym, info.size),
            format!(
                "  the two copies of a block are {} apart",
                count(info.interleave, "block")
            ),
            kdf(passes, memory, lanes),
        ];
        let object = json!({
            "format_version": 2,
            "archive": id,
            "compressed": info.compressed,
            "blocks": info.blocks,
            "block_size": info.block_size,
            "parity_bytes": info.nsym,
            "interleave": info.interleave,
            "file_bytes": info.size,
            "argon2": {"passes": passes, "memory_kib": memory, "lanes": lanes},
            "survives": {"burst_bytes": info.burst},
        });
        Facts { lines, object }.survives(info.burst, info.nsym)
    }

    fn survives(mut self, burst: u64, nsym: usize) -> Self {
        self.lines.extend([
            String::new(),
            "This file survives, if it is undamaged now, each of these:".into(),
            format!(
                "  one burst of up to {} of any bytes, wherever it lies",
                bytes(burst)
            ),
            format!(
                "  {} in each 255 bytes of one of its two copies",
                count(nsym as u64 / 2, "wrong byte")
            ),
            "A version 3 file survives far more: dbs convert FILE -o NEW".into(),
            "Whether it is undamaged now says: dbs validate FILE".into(),
            String::new(),
        ]);
        self
    }

    /// For people.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// For programs.
    pub fn json(self) -> Map<String, Value> {
        match self.object {
            Value::Object(object) => object,
            _ => Map::new(),
        }
    }
}

fn compressed(compressed: bool) -> &'static str {
    if compressed { ", compressed" } else { "" }
}

fn blocks(number: u64, size: u64, nsym: usize, file: u64) -> String {
    format!(
        "  two copies of {} of {}, each 255 bytes with {} of parity; file {}",
        count(number, "block"),
        bytes(size),
        count(nsym as u64, "byte"),
        bytes(file)
    )
}

fn kdf(passes: u32, memory: u32, lanes: u32) -> String {
    format!(
        "  opened by 1 passphrase (Argon2id: {}, {}, {})",
        match passes {
            1 => "1 pass".into(),
            n => format!("{n} passes"),
        },
        bytes(u64::from(memory) * 1024),
        count(lanes.into(), "lane")
    )
}
