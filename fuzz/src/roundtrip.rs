//! Any payload, any options, any way of writing it: it comes back, and the bytes of the file depend
//! on the payload and the options alone. Stored blocks are those that the forge makes.

use std::io::{Cursor, Write};

use arbitrary::{Arbitrary, Unstructured};
use dbs::v3::writer::Randomness;
use dbs::{Compression, Entry, EntryKind, KdfParams, Profile, Status, Writer, WriterOptions};

use crate::forge::{CODED, Forge, Geo, LIGHT, STANDARD, Slot, blake2b, painted};
use crate::{Random, entry_kind, open, passphrase, repair, unlock};

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    profile: u8,
    shift: Option<u8>,
    zstd: Option<i8>,
    lag: Option<u8>,
    stream: bool,
    threads: bool,
    seed: u64,
    payload: u32,
    noise: bool,
    splits: Vec<u16>,
    entries: Vec<(Vec<u8>, u8, u64, i64, u32)>,
    range: (u32, u16),
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let (profile, geo) = [
        (Profile::Standard, STANDARD),
        (Profile::Coded, CODED),
        (Profile::Light, LIGHT),
    ][usize::from(plan.profile % 3)];
    let mut options = WriterOptions::default();
    options.profile = profile;
    options.sector_shift = plan.shift.map(|shift| 9 + shift % 2);
    options.compression = match plan.zstd {
        Some(level) => Compression::Zstd(i32::from(level % 4)),
        None => Compression::None,
    };
    options.kdf = KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    options.lag = plan.lag.map(|lag| u32::from(lag % 5));
    options.threads = if plan.threads { 2 } else { 1 };
    options.created = Some(1_700_000_000);
    options.producer = "vectors".into();
    options.randomness = Randomness::Seed(plan.seed);
    let light = profile == Profile::Light;
    if light {
        options.lag = options.lag.map(|_| 0);
    } else if plan.stream {
        options.lag = options.lag.map(|lag| lag.max(1));
    }
    let len = plan.payload as usize % (3 * geo.c());
    let payload = if plan.noise {
        Random(plan.seed).bytes(len)
    } else {
        painted(len)
    };
    if !plan.entries.is_empty() {
        options.media_type = "application/x-tar".into();
    }

    let written = write(&plan, &options, &payload, plan.stream, true);
    let archive = open(written.clone()).expect("what was written opens");
    let report = archive
        .validate(Some(&passphrase()))
        .expect("what was written is valid");
    assert_eq!(report.status(), Status::Clean, "{plan:?}");
    assert!(repair(&archive).expect("repair") == written, "G7: {plan:?}");
    let unlocked = unlock(&archive).expect("unlock");
    assert_eq!(unlocked.len(), len as u64);
    assert!(
        unlocked.read_range(0..len as u64).expect("restore") == payload,
        "{plan:?}"
    );
    let from = u64::from(plan.range.0) % (len as u64 + 1);
    let to = (from + u64::from(plan.range.1)).min(len as u64);
    let part = unlocked.read_range(from..to).expect("a range");
    assert!(part == payload[from as usize..to as usize], "{plan:?}");
    let mut listed = Vec::new();
    unlocked
        .entries(|entry| {
            listed.push(entry);
            Ok(())
        })
        .expect("entries");
    assert_eq!(listed, entries(&plan, len as u64), "{plan:?}");

    // Neither splits nor threads matter.
    options.threads = 1;
    assert!(
        write(&plan, &options, &payload, plan.stream, false) == written,
        "splits: {plan:?}"
    );

    if options.compression == Compression::None && plan.entries.is_empty() {
        let small = len <= geo.c();
        let shift = options.sector_shift.unwrap_or(if small { 9 } else { 12 });
        let lag = if light {
            0
        } else {
            options.lag.unwrap_or(if plan.stream { 32 } else { 0 })
        };
        assert!(
            forged(&plan, geo.with_shift(shift), lag, &payload) == written,
            "forge: {plan:?}"
        );
    }
}

fn entries(plan: &Plan, len: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (i, (path, kind, size, mtime, nanos)) in plan.entries.iter().take(200).enumerate() {
        let kind = entry_kind(*kind);
        let link = matches!(kind, EntryKind::Symlink | EntryKind::HardLink);
        let mut path = path.clone();
        path.truncate(300);
        path.push(b'x');
        entries.push(Entry {
            link: link.then(|| path.clone()),
            path,
            kind,
            size: if kind == EntryKind::File { *size } else { 0 },
            mtime: *mtime,
            mtime_nanos: nanos % 1_000_000_000,
            mode: nanos % 4096,
            offset: (i as u64).min(len),
            length: 0,
        });
    }
    // Offsets ascend.
    entries.truncate(len as usize + 1);
    entries
}

fn write(
    plan: &Plan,
    options: &WriterOptions,
    payload: &[u8],
    stream: bool,
    split: bool,
) -> Vec<u8> {
    fn fill<W: Write>(writer: &mut Writer<W>, plan: &Plan, payload: &[u8], split: bool) {
        let mut rest = payload;
        for len in plan.splits.iter().take(if split { 50 } else { 0 }) {
            let (head, tail) = rest.split_at(usize::from(*len).min(rest.len()));
            writer.write_all(head).expect("write");
            rest = tail;
        }
        writer.write_all(rest).expect("write");
        for entry in entries(plan, payload.len() as u64) {
            writer.entry(&entry).expect("entry");
        }
    }
    if stream {
        let mut writer =
            Writer::stream(Vec::new(), &passphrase(), options.clone()).expect("options");
        fill(&mut writer, plan, payload, split);
        writer.finish().expect("finish")
    } else {
        let out = Cursor::new(Vec::new());
        let mut writer = Writer::create(out, &passphrase(), options.clone()).expect("options");
        fill(&mut writer, plan, payload, split);
        writer.finish().expect("finish").into_inner()
    }
}

/// The same container by the forge, with the writer's random values.
fn forged(plan: &Plan, geo: Geo, lag: u32, payload: &[u8]) -> Vec<u8> {
    let random =
        |label: &[u8]| blake2b(32, b"dbs3 vectors", b"", &[&plan.seed.to_le_bytes(), label]);
    let mut forge = Forge::new(geo);
    forge.lag = lag;
    forge.archive.copy_from_slice(&random(b"archive id")[..16]);
    forge.data_key.copy_from_slice(&random(b"data key"));
    let mut slot = Slot::cheap(crate::forge::PASSPHRASE, 0);
    slot.salt.copy_from_slice(&random(b"salt")[..16]);
    slot.nonce.copy_from_slice(&random(b"nonce")[..12]);
    forge.key_slots(&[slot]);
    forge.payload(payload);
    forge.finish();
    forge.file()
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("roundtrip", 25, super::run);
    }
}
