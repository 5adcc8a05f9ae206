//! The guarantees G1 to G8 of section 23, stated over small containers, and tested exhaustively
//! over the smallest. The long ones: `cargo test --release --test v3_properties -- --ignored`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/forge/mod.rs"]
mod forge;

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::Arc;

use dbs::{Archive, Error, OpenOptions, Passphrase, Status, Unlocked};
use forge::{Forge, Geo, PASSPHRASE, SINGLE, TINY, TINY_CODED, TINY_LIGHT, painted};
use proptest::collection::vec;
use proptest::prelude::*;

fn open(file: Vec<u8>) -> dbs::Result<Archive> {
    let mut options = OpenOptions::default();
    options.threads = 1;
    Archive::open_with(vec![Arc::new(file)], options)
}

fn restore(archive: &Archive) -> dbs::Result<Vec<u8>> {
    let unlocked = archive.unlock(&Passphrase::new(PASSPHRASE));
    let payload = unlocked.and_then(Unlocked::into_v3)?;
    payload.read_range(0..payload.len())
}

fn repair(archive: &Archive) -> dbs::Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    archive.repair(None, &mut out)?;
    Ok(out.into_inner())
}

/// Payload and file come back exactly.
fn heals(damaged: Vec<u8>, payload: &[u8], file: &[u8], what: &str) {
    let archive = open(damaged).unwrap_or_else(|e| panic!("{what}: {e}"));
    let restored = restore(&archive).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(restored == payload, "G1: {what}");
    let repaired = repair(&archive).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(repaired == file, "G7: {what}");
}

/// Whatever comes out is exact. Says whether the file came back.
fn sound(damaged: Vec<u8>, payload: &[u8], file: &[u8], what: &str) -> bool {
    let Ok(archive) = open(damaged) else {
        return false;
    };
    if let Ok(restored) = restore(&archive) {
        assert!(restored == payload, "G1: {what}");
    }
    match repair(&archive) {
        Ok(repaired) => {
            assert!(repaired == file, "G7: {what}");
            true
        }
        Err(error) => {
            assert!(matches!(error, Error::Damaged(_)), "{what}: {error}");
            false
        }
    }
}

fn geometries() -> impl Strategy<Value = (Geo, u32)> {
    let geo = prop_oneof![
        Just(TINY),
        Just(TINY_CODED),
        Just(TINY_LIGHT),
        Just(SINGLE),
        (1u8..=5, 1u8..=4, 0u8..=6, 1u8..=2).prop_map(|(k, ma, mb, copy_b)| Geo {
            shift: 9,
            k,
            ma,
            mb: if copy_b == 2 { mb.max(1) } else { mb },
            copy_b,
        }),
    ];
    (geo, prop_oneof![Just(0u32), 1u32..4])
        .prop_map(|(geo, lag)| (geo, if geo.copy_b == 0 { 0 } else { lag }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// G2, both directions: a block comes back exactly if k of its slots are left.
    #[test]
    fn erasures((geo, lag) in geometries(), len in 0usize..4000, lost in vec(any::<bool>(), 400)) {
        let payload = painted(len);
        let forge = Forge::whole(geo, lag, &payload);
        let file = forge.file();
        let (map, size) = (forge.map(), geo.size());
        let mut damaged = file.clone();
        let mut left: HashSet<(u64, u8)> = HashSet::new();
        let mut page = false;
        for (index, &(_, block, slot)) in map.iter().enumerate() {
            if lost[index % lost.len()] {
                damaged[index * size..(index + 1) * size].fill(0);
            } else if slot == 0 {
                page = true;
            } else {
                left.insert((block, slot));
            }
        }
        let whole = |block: u64| {
            let slots = geo.distinct(forge.k(block));
            slots.iter().filter(|slot| left.contains(&(block, **slot))).count() >= usize::from(forge.k(block))
        };
        let promised = page && (0..forge.n()).all(|b| forge.blocks[b as usize].kind == 2 || whole(b));
        let healed = sound(damaged, &payload, &file, "erasures");
        prop_assert_eq!(healed, promised, "G2");
    }

    /// G5: the longest burst, wherever it lies, and the same cut off from either end.
    #[test]
    fn bursts((geo, lag) in geometries(), len in 1usize..5000, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let payload = painted(len);
        let forge = Forge::whole(geo, lag, &payload);
        let file = forge.file();
        let size = geo.size();
        let longest = longest_burst(&forge);
        let all = file.len() / size;
        let first = at.index(all - longest + 1);
        let mut damaged = file.clone();
        damaged[first * size..(first + longest) * size].fill(byte);
        heals(damaged, &payload, &file, "burst");
        heals(file[longest * size..].to_vec(), &payload, &file, "head cut off");
        heals(file[..(all - longest) * size].to_vec(), &payload, &file, "tail cut off");
        if longest > 0 {
            let bytes = (longest - 1) * size + 1;
            let from = at.index(file.len() - bytes + 1);
            let mut damaged = file.clone();
            damaged.drain(from..from + bytes);
            heals(damaged, &payload, &file, "bytes removed");
        }
    }

    /// G6: the order of the sectors does not matter, nor what stands between them.
    #[test]
    fn order((geo, lag) in geometries(), len in 0usize..3000, keys in vec(any::<u32>(), 400), junk in vec(any::<u8>(), 0..40)) {
        let payload = painted(len);
        let file = Forge::whole(geo, lag, &payload).file();
        let mut sectors: Vec<(u32, &[u8])> =
            file.chunks(geo.size()).enumerate().map(|(i, s)| (keys[i % keys.len()], s)).collect();
        sectors.sort_by_key(|(key, _)| *key);
        let mut damaged = Vec::new();
        for (key, sector) in sectors {
            if key % 3 == 0 {
                damaged.extend_from_slice(&junk);
            }
            damaged.extend_from_slice(sector);
        }
        heals(damaged, &payload, &file, "order");
    }

    /// G1, G7, G8: bytes changed anywhere, and anything else never gives wrong bytes.
    #[test]
    fn anything((geo, lag) in geometries(), len in 0usize..3000, changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..300), cut in any::<prop::sample::Index>()) {
        let payload = painted(len);
        let file = Forge::whole(geo, lag, &payload).file();
        let mut damaged = file.clone();
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        sound(damaged.clone(), &payload, &file, "changes");
        damaged.truncate(cut.index(damaged.len() + 1));
        sound(damaged, &payload, &file, "changes and a cut");
    }
}

/// W of section 23, G5.
fn longest_burst(forge: &Forge) -> usize {
    let (map, geo) = (forge.map(), forge.geo);
    let place = |copy, block| map.iter().position(|at| *at == (copy, block, 0)).unwrap();
    let blocks = (0..forge.n()).map(|block| {
        let k = forge.k(block);
        let (ma, mb, k) = (geo.parity_a(k).len(), geo.parity_b(k).len(), usize::from(k));
        match geo.copy_b {
            1 => place(1, block) - place(0, block) + mb,
            2 if mb >= k => place(1, block) - place(0, block) + mb - k,
            _ => ma + mb,
        }
    });
    blocks.min().unwrap()
}

/// A container that is as small as can be.
fn small() -> (Forge, Vec<u8>, Vec<u8>) {
    let payload = painted(300);
    let forge = Forge::whole(SINGLE, 0, &payload);
    let file = forge.file();
    (forge, file, payload)
}

/// Every subset of the sectors of one block of a tiny geometry is lost.
#[test]
fn every_subset_of_a_block() {
    let payload = painted(1300);
    let forge = Forge::whole(TINY_LIGHT, 0, &payload);
    let (file, map) = (forge.file(), forge.map());
    let own: Vec<usize> = (0..map.len()).filter(|i| map[*i].1 == 0).collect();
    for subset in 0u32..1 << own.len() {
        let mut damaged = file.clone();
        let mut left = 0;
        for (bit, &index) in own.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                damaged[index * 512..(index + 1) * 512].fill(0);
            } else {
                left += usize::from(map[index].2 != 0);
            }
        }
        let healed = sound(damaged, &payload, &file, &format!("{subset:b}"));
        assert_eq!(healed, left >= 3, "G2: {subset:b}");
    }
}

/// Every subset of the sectors of a mirrored block is lost.
#[test]
#[ignore = "4096 files; run in release"]
fn every_subset_of_a_mirrored_block() {
    let payload = painted(1300);
    let forge = Forge::whole(TINY, 0, &payload);
    let (file, map) = (forge.file(), forge.map());
    let own: Vec<usize> = (0..map.len()).filter(|i| map[*i].1 == 0).collect();
    for subset in 0u32..1 << own.len() {
        let mut damaged = file.clone();
        let mut left: HashSet<u8> = HashSet::new();
        for (bit, &index) in own.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                damaged[index * 512..(index + 1) * 512].fill(0);
            } else if map[index].2 != 0 {
                left.insert(map[index].2);
            }
        }
        let healed = sound(damaged, &payload, &file, &format!("{subset:b}"));
        assert_eq!(healed, left.len() >= 3, "G2: {subset:b}");
    }
}

fn bits(step: usize) {
    let (_, file, payload) = small();
    for bit in (0..file.len() * 8).step_by(step) {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let archive = open(damaged.clone()).unwrap();
        let status = archive.validate(None).unwrap().status();
        assert_eq!(status, Status::Recoverable, "bit {bit}");
        heals(damaged, &payload, &file, &format!("bit {bit}"));
    }
}

fn cuts(step: usize) {
    let (forge, file, payload) = small();
    let longest = longest_burst(&forge) * 512;
    for at in (0..=file.len()).step_by(step) {
        let healed = sound(
            file[..at].to_vec(),
            &payload,
            &file,
            &format!("prefix of {at}"),
        );
        assert!(healed || file.len() - at > longest, "G5: prefix of {at}");
        let healed = sound(
            file[at..].to_vec(),
            &payload,
            &file,
            &format!("suffix from {at}"),
        );
        assert!(healed || at > longest, "G5: suffix from {at}");
        let mut damaged = file.clone();
        damaged.insert(at, 0x89);
        heals(damaged, &payload, &file, &format!("byte inserted at {at}"));
        if at < file.len() {
            let mut damaged = file.clone();
            damaged.remove(at);
            heals(damaged, &payload, &file, &format!("byte removed at {at}"));
        }
    }
}

#[test]
fn bits_of_a_small_file() {
    bits(211);
}

#[test]
#[ignore = "every bit; run in release"]
fn every_bit_of_a_small_file() {
    bits(1);
}

#[test]
fn cuts_of_a_small_file() {
    cuts(173);
}

#[test]
#[ignore = "every cut point, prefix and suffix; run in release"]
fn every_cut_of_a_small_file() {
    cuts(1);
}
