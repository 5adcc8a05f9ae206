//! Valid containers with changed fields, whose checksums are made right again: what lies behind the
//! checks is reached. Whatever comes out is what was sealed, and repairing is idempotent.

use arbitrary::{Arbitrary, Unstructured};
use dbs::Status;

use crate::forge::{Forge, Geo, Slot, TINY, TINY_CODED, TINY_LIGHT, painted, plain};
use crate::{class, open, passphrase, repair, restore, unlock};

#[derive(Debug, Clone, Arbitrary)]
enum Change {
    /// A byte of the plaintext of a data block.
    Plaintext {
        block: u8,
        at: u16,
        value: u8,
    },
    /// A field of the sealed block's header.
    Header {
        block: u8,
        field: u8,
        value: u32,
    },
    /// A data block of any stored bytes, said to be of some codec.
    Stored {
        codec: u8,
        bytes: Vec<u8>,
        raw: u16,
    },
    /// A byte of the manifest.
    Manifest {
        at: u8,
        value: u8,
    },
    /// Numbers of the manifest.
    Numbers {
        length: u64,
        d: u64,
        i: u64,
        entries: u64,
    },
    /// An index of any bytes.
    Index {
        bytes: Vec<u8>,
        entries: u8,
    },
    /// An index block of any bytes.
    IndexBlock {
        bytes: Vec<u8>,
    },
    /// A byte of the header page.
    Page {
        at: u16,
        value: u8,
        commit: bool,
    },
    /// A key slot more.
    Slot {
        kind: u8,
        t: u8,
        m: u16,
        p: u8,
        first: bool,
    },
    /// A byte of the sealed bytes of a block.
    Sealed {
        block: u8,
        at: u16,
        value: u8,
    },
    /// A byte of a table block.
    Table {
        at: u16,
        value: u8,
    },
    /// N in the end sector.
    End {
        n: u64,
    },
    /// A byte of a stored sector.
    Sector {
        index: u16,
        at: u16,
        value: u8,
    },
    /// A sector says of itself what another is.
    Frame {
        index: u16,
        kind: u8,
        slot: u8,
        k: u8,
        block: u8,
    },
    /// A block is dropped, or stands there twice.
    Repeat {
        block: u8,
    },
    Drop {
        block: u8,
    },
}

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    geo: u8,
    lag: u8,
    payload: u16,
    changes: Vec<Change>,
}

pub fn run(data: &[u8]) {
    let Ok(mut plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    plan.changes.truncate(4);
    let geo = [TINY, TINY_CODED, TINY_LIGHT, Geo { k: 1, ..TINY }][usize::from(plan.geo % 4)];
    let (file, raws) = build(&plan, geo);

    let Ok(archive) = open(file.clone()) else {
        return;
    };
    let mut restored = restore(&archive);
    if let Ok(bytes) = &restored {
        // Only what was sealed comes out, and no compressed block is checked here.
        let expected: Option<Vec<u8>> = raws
            .iter()
            .cloned()
            .collect::<Option<Vec<_>>>()
            .map(|r| r.concat());
        if let Some(expected) = expected {
            assert!(expected.starts_with(bytes), "G1: {plan:?}");
        }
    }
    if let Ok(payload) = unlock(&archive) {
        let _ = payload.entries(|_| Ok(()));
        let _ = payload.salvage_to(&mut Vec::new());
    }
    let report = archive.validate(None);
    let _ = archive.validate(Some(&passphrase()));
    if let Ok(repaired) = repair(&archive) {
        let again = open(repaired.clone()).unwrap_or_else(|e| panic!("G7: {plan:?}: {e}"));
        let status = again.validate(None).map(|report| report.status());
        assert!(
            matches!(status, Ok(Status::Clean)),
            "G7: {plan:?}: {status:?}"
        );
        let twice = repair(&again).unwrap_or_else(|e| panic!("G7: {plan:?}: {e}"));
        assert!(twice == repaired, "G7: {plan:?}");
        if report.is_ok_and(|report| report.status() == Status::Clean) && repaired == file {
            let second = restore(&again);
            match (&mut restored, &second) {
                (Ok(a), Ok(b)) => assert!(a == b, "{plan:?}"),
                (Err(a), Err(b)) => assert_eq!(class(a), class(b), "{plan:?}"),
                _ => panic!("{plan:?}: {restored:?} and {second:?}"),
            }
        }
    }
}

/// The file, and the raw bytes of its data blocks as far as they are stored.
fn build(plan: &Plan, geo: Geo) -> (Vec<u8>, Vec<Option<Vec<u8>>>) {
    let payload = painted(usize::from(plan.payload) % (4 * geo.c()));
    let mut forge = Forge::new(geo);
    forge.lag = if geo.copy_b == 0 {
        0
    } else {
        u32::from(plan.lag % 4)
    };
    forge.payload_len = payload.len() as u64;
    let mut plaintexts: Vec<Vec<u8>> = payload
        .chunks(geo.c())
        .map(|raw| plain(&geo, 0, raw, raw))
        .collect();
    for change in &plan.changes {
        match change {
            Change::Plaintext { block, at, value } if !plaintexts.is_empty() => {
                let count = plaintexts.len();
                let plaintext = &mut plaintexts[usize::from(*block) % count];
                let at = usize::from(*at) % plaintext.len();
                plaintext[at] = *value;
            }
            Change::Header {
                block,
                field,
                value,
            } if !plaintexts.is_empty() => {
                let count = plaintexts.len();
                let at = usize::from(field % 4) * 4;
                plaintexts[usize::from(*block) % count][at..at + 4]
                    .copy_from_slice(&value.to_le_bytes());
            }
            Change::Stored { codec, bytes, raw } => {
                let bytes = &bytes[..bytes.len().min(geo.c())];
                let mut plaintext = plain(&geo, codec % 4, bytes, bytes);
                plaintext[8..12].copy_from_slice(&u32::from(*raw).to_le_bytes());
                plaintexts.push(plaintext);
            }
            _ => {}
        }
    }
    let raws = plaintexts
        .iter()
        .map(|p| {
            let stored = u32::from_le_bytes([p[4], p[5], p[6], p[7]]) as usize;
            (p[0] == 0).then(|| {
                p.get(16..16usize.saturating_add(stored))
                    .unwrap_or(&[])
                    .to_vec()
            })
        })
        .collect();
    for plaintext in plaintexts {
        forge.push(0, plaintext);
    }
    for change in &plan.changes {
        if let Change::IndexBlock { bytes } = change {
            let bytes = &bytes[..bytes.len().min(geo.c())];
            forge.media_type = "application/x-tar".into();
            forge.push(3, plain(&geo, 0, bytes, bytes));
        }
    }
    let mut manifest = forge.manifest();
    for change in &plan.changes {
        match change {
            Change::Numbers {
                length,
                d,
                i,
                entries,
            } => {
                (
                    manifest.payload_len,
                    manifest.d,
                    manifest.i,
                    manifest.entries,
                ) = (*length, *d, *i, *entries);
            }
            Change::Index { bytes, entries } => {
                manifest.media_type = "application/x-tar".into();
                manifest.index = bytes[..bytes.len().min(geo.p() / 2)].to_vec();
                manifest.entries = (*entries).into();
            }
            _ => {}
        }
    }
    let mut raw = manifest.to_bytes();
    for change in &plan.changes {
        if let Change::Manifest { at, value } = change {
            let at = usize::from(*at) % raw.len();
            raw[at] = *value;
        }
    }
    raw.truncate(geo.c());
    forge.push_manifest(&raw);
    for change in &plan.changes {
        let count = forge.blocks.len();
        match change {
            Change::Sealed { block, at, value } => {
                let data = &mut forge.blocks[usize::from(*block) % count].data;
                let at = usize::from(*at) % data.len();
                data[at] ^= value;
            }
            Change::Repeat { block } if count < 20 => {
                let again = forge.blocks[usize::from(*block) % count].clone();
                forge.d += u64::from(again.kind == 0);
                forge.i += u64::from(again.kind == 3);
                forge.blocks.insert(0, again);
            }
            Change::Drop { block } if count > 1 => {
                let gone = forge.blocks.remove(usize::from(*block) % count);
                forge.d -= u64::from(gone.kind == 0);
                forge.i -= u64::from(gone.kind == 3);
            }
            _ => {}
        }
    }
    // The table needs as many blocks as it has entries for.
    while (forge.blocks.len() as u64) < forge.d + forge.i + 1 {
        forge.push(1, plain(&geo, 0, b"", b""));
        forge.blocks.truncate((forge.d + forge.i + 1) as usize);
    }
    forge.push_tables();
    for change in &plan.changes {
        if let Change::Table { at, value } = change {
            let last = forge.blocks.len() - 1;
            let data = &mut forge.blocks[last].data;
            let at = usize::from(*at) % (data.len() - 32);
            data[at] = *value;
            let mut bytes = data[..data.len() - 32].to_vec();
            forge.table_hash(last as u64, &mut bytes);
            forge.blocks[last].data = bytes;
        }
    }
    for change in &plan.changes {
        if let Change::Slot {
            kind,
            t,
            m,
            p,
            first,
        } = change
        {
            let slot = Slot {
                kind: kind % 3,
                t: u16::from(*t),
                m: u32::from(*m),
                p: *p,
                ..Slot::cheap("another", 3)
            };
            let bytes = slot.wrap_with(&[1; 32], &forge.archive, &forge.data_key);
            let at = if *first { 0 } else { forge.slots.len() };
            if forge.slots.len() < 4 {
                forge.slots.insert(at, bytes);
            }
        }
    }
    let mut page = forge.build_page();
    for change in &plan.changes {
        if let Change::Page { at, value, commit } = change {
            let at = usize::from(*at) % page.len();
            page[at] = *value;
            if *commit {
                forge.commit(&mut page);
            }
            forge.page_hash(&mut page);
        }
    }
    // Argon2 must stay cheap.
    forge.page = page;
    for change in &plan.changes {
        if let Change::End { n } = change {
            forge.end_n = Some(*n);
        }
    }
    let mut file = forge.file();
    let size = geo.size();
    for change in &plan.changes {
        let count = file.len() / size;
        match change {
            Change::Sector { index, at, value } => {
                let sector = &mut file[usize::from(*index) % count * size..][..size];
                sector[usize::from(*at) % (size - 16)] = *value;
                retag(sector);
            }
            Change::Frame {
                index,
                kind,
                slot,
                k,
                block,
            } => {
                let sector = &mut file[usize::from(*index) % count * size..][..size];
                sector[5..9].copy_from_slice(&[*kind, *slot, *k, *block]);
                retag(sector);
            }
            _ => {}
        }
    }
    (file, raws)
}

fn retag(sector: &mut [u8]) {
    let end = sector.len() - 16;
    let tag = crate::forge::blake2b(16, b"dbs3 sector", b"", &[&sector[..end]]);
    sector[end..].copy_from_slice(&tag);
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("mutate", 500, super::run);
    }
}
