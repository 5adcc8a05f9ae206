//! What `dbs info` says of containers of versions 1 and 2.

use dbs::v1::{Info, Kdf};
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
    pub fn v1(container: &v1::Container) -> Self {
        let (info, created) = (container.info(), container.created());
        let lines = vec![
            "  version 1, as django-dbs 0.1.0 to 0.6.0 wrote it".into(),
            format!(
                "  made {}{}",
                names::show(created.as_bytes()),
                compressed(info.compressed)
            ),
            blocks(&info),
            kdf(&info.kdf),
        ];
        let object = json!({
            "format_version": 1,
            "created": created,
            "compressed": info.compressed,
            "blocks": info.blocks,
            "block_size": info.block_size,
            "parity_bytes": info.nsym,
            "file_bytes": info.size,
            "argon2": argon2(&info.kdf),
            "survives": {"burst_bytes": info.burst},
        });
        Facts { lines, object }.survives(&info)
    }

    /// Of version 2.
    pub fn v2(container: &v2::Container) -> Self {
        let (info, interleave) = (container.info(), container.interleave());
        let id: String = container
            .id()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let lines = vec![
            "  version 2, as django-dbs 0.7.0 wrote it".into(),
            format!("  archive {id}{}", compressed(info.compressed)),
            blocks(&info),
            format!(
                "  the two copies of a block are {} apart",
                count(interleave, "block")
            ),
            kdf(&info.kdf),
        ];
        let object = json!({
            "format_version": 2,
            "archive": id,
            "compressed": info.compressed,
            "blocks": info.blocks,
            "block_size": info.block_size,
            "parity_bytes": info.nsym,
            "interleave": interleave,
            "file_bytes": info.size,
            "argon2": argon2(&info.kdf),
            "survives": {"burst_bytes": info.burst},
        });
        Facts { lines, object }.survives(&info)
    }

    fn survives(mut self, info: &Info) -> Self {
        self.lines.extend([
            String::new(),
            "This file survives, if it is undamaged now, each of these:".into(),
            format!(
                "  one burst of up to {} of any bytes, wherever it lies",
                bytes(info.burst)
            ),
            format!(
                "  {} in each 255 bytes of one of its two copies",
                count(info.nsym as u64 / 2, "wrong byte")
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

fn blocks(info: &Info) -> String {
    format!(
        "  two copies of {} of {}, each 255 bytes with {} of parity; file {}",
        count(info.blocks, "block"),
        bytes(info.block_size),
        count(info.nsym as u64, "byte"),
        bytes(info.size)
    )
}

fn kdf(kdf: &Kdf) -> String {
    format!(
        "  opened by 1 passphrase (Argon2id: {}, {}, {})",
        match kdf.time_cost {
            1 => "1 pass".into(),
            n => format!("{n} passes"),
        },
        bytes(u64::from(kdf.memory_cost) * 1024),
        count(kdf.parallelism.into(), "lane")
    )
}

fn argon2(kdf: &Kdf) -> Value {
    json!({"passes": kdf.time_cost, "memory_kib": kdf.memory_cost, "lanes": kdf.parallelism})
}
