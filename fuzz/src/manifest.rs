//! Manifests and index entries: written as the text says, read back the same, and no single byte
//! changes a meaning unseen by the rules of the encoding.

use arbitrary::{Arbitrary, Unstructured};
use dbs::v3::manifest::{Entry, Manifest};

use crate::entry_kind;
use crate::forge::{IndexEntry, Manifest as Forged};

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    media: String,
    producer: String,
    created: i64,
    numbers: [u64; 3],
    index_blocks: u32,
    root: [u8; 32],
    index: Vec<u8>,
    entries: Vec<RawEntry>,
    change: (u16, u8),
}

/// Path, kind, numbers, time in seconds and nanoseconds, mode, link.
type RawEntry = (Vec<u8>, u8, [u64; 3], i64, u32, u32, Vec<u8>);

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let [payload_len, data_blocks, entries] = plan.numbers;
    let manifest = Manifest {
        media_type: plan.media.clone(),
        producer: plan.producer.clone(),
        created: plan.created,
        payload_len,
        data_blocks,
        index_blocks: plan.index_blocks,
        table_root: plan.root,
        entries,
        inline_index: plan.index.clone(),
    };
    let forged = Forged {
        media_type: plan.media.clone(),
        producer: plan.producer.clone(),
        created: plan.created,
        payload_len,
        d: data_blocks,
        i: plan.index_blocks.into(),
        root: plan.root.to_vec(),
        entries,
        index: plan.index.clone(),
    };
    let bytes = manifest.to_bytes().expect("a manifest");
    assert_eq!(bytes, forged.to_bytes(), "section 13: {plan:?}");
    // Whether numbers and index agree with each other is judged elsewhere, or here: both will do.
    if let Ok(read) = Manifest::from_bytes(&bytes) {
        assert_eq!(read, manifest, "{plan:?}");
    }
    let mut changed = bytes.clone();
    let at = usize::from(plan.change.0) % changed.len();
    changed[at] = plan.change.1;
    if let Ok(read) = Manifest::from_bytes(&changed) {
        let again = read.to_bytes().expect("a manifest");
        assert_eq!(
            Manifest::from_bytes(&again).expect("what was written"),
            read,
            "{plan:?}"
        );
    }
    for len in 0..bytes.len().min(40) {
        assert!(
            Manifest::from_bytes(&bytes[..len]).is_err(),
            "cut off: {plan:?}"
        );
    }
    index(&plan);
}

fn index(plan: &Plan) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut entries = Vec::new();
    for (path, kind, [size, offset, length], mtime, nanos, mode, link) in
        plan.entries.iter().take(50)
    {
        let kind = kind % 5;
        let link = (kind == 2 || kind == 3).then(|| link.clone());
        let entry = Entry {
            path: path.clone(),
            kind: entry_kind(kind),
            size: *size,
            mtime: *mtime,
            mtime_nanos: nanos % 1_000_000_000,
            mode: *mode,
            offset: *offset,
            length: *length,
            link: link.clone(),
        };
        let forged = IndexEntry {
            path: path.clone(),
            kind: kind.into(),
            size: *size,
            mtime: *mtime,
            nanos: u64::from(nanos % 1_000_000_000),
            mode: (*mode).into(),
            offset: *offset,
            length: *length,
            link,
        };
        ours.extend(forged.to_bytes());
        theirs.extend(entry.to_bytes().expect("an entry"));
        // A reader uses the permission bits alone.
        entries.push(Entry {
            mode: mode & 0o7777,
            ..entry
        });
    }
    assert_eq!(ours, theirs, "section 12: {plan:?}");
    assert_eq!(Entry::sequence(&theirs).expect("what was written"), entries);
    if !theirs.is_empty() {
        assert!(Entry::sequence(&theirs[..theirs.len() - 1]).is_err());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("manifest", 1000, super::run);
    }
}
