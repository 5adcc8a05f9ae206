//! Real damage to real containers, as the guarantees of the specification have it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/forge/mod.rs"]
mod forge;

use common::{Random, assert_heals, options, passphrase, write};
use dbs::{Archive, Profile, Status};

const PROFILES: [Profile; 3] = [Profile::Standard, Profile::Coded, Profile::Light];

#[test]
fn boundary_sizes_round_trip() {
    for profile in PROFILES {
        for shift in [None, Some(9)] {
            let capacity = match profile {
                Profile::Coded => 119 * 464 - 32,
                _ => 223 * 464 - 32,
            };
            for len in [0, 1, capacity - 1, capacity, capacity + 1, 3 * capacity + 7] {
                let payload = Random(len as u64).bytes(len);
                let mut options = options(profile);
                options.sector_shift = shift;
                let file = write(&payload, options);
                let archive = Archive::open(file.clone()).unwrap();
                let report = archive.validate(Some(&passphrase())).unwrap();
                assert_eq!(
                    report.status(),
                    Status::Clean,
                    "{profile:?} {len} {report:?}"
                );
                assert_heals(file.clone(), &payload, &file, &format!("{profile:?} {len}"));
            }
        }
    }
}

#[test]
fn streamed_containers_round_trip() {
    use std::io::Write;
    for lag in [1, 2, 5, 100] {
        for profile in [Profile::Standard, Profile::Coded] {
            let payload = Random(7).bytes(400_000);
            let mut options = options(profile);
            options.sector_shift = Some(9);
            options.lag = Some(lag);
            let mut writer = dbs::Writer::stream(Vec::new(), &passphrase(), options).unwrap();
            for chunk in payload.chunks(12_345) {
                writer.write_all(chunk).unwrap();
            }
            let file = writer.finish().unwrap();
            let archive = Archive::open(file.clone()).unwrap();
            assert_eq!(archive.validate(None).unwrap().status(), Status::Clean);
            assert_heals(file.clone(), &payload, &file, &format!("lag {lag}"));
            let mut damaged = file.clone();
            Random(3).lose(&mut damaged, 512, 0.1);
            assert_heals(damaged, &payload, &file, &format!("lag {lag}, damaged"));
        }
    }
}

/// Every kind of damage that the issue names, on files of several blocks.
#[test]
fn damage_within_the_promise_is_healed() {
    for profile in [Profile::Standard, Profile::Coded] {
        let payload = Random(1).bytes(3_000_000);
        let file = write(&payload, options(profile));
        let heals = |what: &str, damage: &dyn Fn(&mut Vec<u8>)| {
            let mut damaged = file.clone();
            damage(&mut damaged);
            assert!(damaged != file, "{what}: no damage");
            let archive = Archive::open(damaged.clone());
            let archive = archive.unwrap_or_else(|e| panic!("{what}: open: {e}"));
            let report = archive
                .validate(None)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(
                report.status(),
                Status::Recoverable,
                "{profile:?} {what} {report:?}"
            );
            assert_heals(damaged, &payload, &file, &format!("{profile:?} {what}"));
        };
        let coded = profile == Profile::Coded;
        let len = file.len();
        let share = if coded { 0.4 } else { 0.2 };
        for seed in 0..3 {
            heals("sectors lost", &|f| Random(seed).lose(f, 4096, share));
            let rate = if coded { 1e-2 } else { 2e-3 };
            heals("bit rot", &|f| Random(seed).rot(f, rate));
        }
        for start in [0, len / 10, len / 3, len - len * 45 / 100] {
            heals("burst", &|f| f[start..start + len * 45 / 100].fill(0xff));
        }
        heals("tail cut", &|f| f.truncate(len - len * 45 / 100));
        heals("head cut", &|f| drop(f.drain(..len * 45 / 100)));
        for at in [1, len / 4 + 3, len / 2, len - 1] {
            heals("byte removed", &|f| {
                f.remove(at);
            });
            heals("byte inserted", &|f| f.insert(at, 0x42));
        }
        heals("4 KiB removed", &|f| {
            drop(f.drain(len / 3 + 5..len / 3 + 4101))
        });
        heals("ends zeroed", &|f| {
            f[..65536].fill(0);
            f[len - 65536..].fill(0);
        });
        heals("halves swapped", &|f| f.rotate_left(len / 2));
        heals("junk around", &|f| {
            *f = [Random(8).bytes(1000), f.clone(), Random(9).bytes(777)].concat();
        });
        heals("sectors shuffled", &|f| {
            let mut random = Random(5);
            for i in (1..f.len() / 4096).rev() {
                let j = random.below(i as u64 + 1) as usize;
                for b in 0..4096 {
                    f.swap(i * 4096 + b, j * 4096 + b);
                }
            }
        });
    }
}

#[test]
fn any_single_bit_is_healed() {
    for profile in PROFILES {
        let payload = b"every bit of this counts".repeat(9);
        let file = write(&payload, options(profile));
        // All bits of a few sectors, one bit of each byte elsewhere, would take long in this
        // profile; the exhaustive run is `cargo test --release -- --ignored every_single_bit`.
        for bit in (0..file.len() * 8).step_by(97) {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let archive = Archive::open(damaged).unwrap();
            let payload_again = archive.unlock(&passphrase()).unwrap().into_v3().unwrap();
            assert_eq!(
                payload_again.read_range(0..payload.len() as u64).unwrap(),
                payload
            );
            let mut repaired = std::io::Cursor::new(Vec::new());
            archive.repair(None, &mut repaired).unwrap();
            assert!(repaired.into_inner() == file, "bit {bit}");
        }
    }
}

#[test]
fn beyond_the_budget_it_is_refused() {
    let payload = Random(1).bytes(400_000);
    let mut options = options(Profile::Standard);
    options.sector_shift = Some(9);
    let file = write(&payload, options);
    // Block 1 wiped in both copies.
    let capacity = 223 * 464 - 32;
    let copy = 240 * 512;
    let mut damaged = file.clone();
    let copy_b = (file.len() - 512) / 2;
    for start in [copy, copy_b + copy] {
        damaged[start..start + copy].fill(0);
    }
    let archive = Archive::open(damaged).unwrap();
    let report = archive.validate(None).unwrap();
    assert_eq!(report.status(), Status::Unrecoverable);
    assert_eq!(report.failed_blocks.len(), 1);
    assert_eq!(
        report.failed_blocks[0].payload,
        Some(capacity..2 * capacity)
    );
    let unlocked = archive.unlock(&passphrase()).unwrap().into_v3().unwrap();
    assert!(matches!(
        unlocked.read_range(0..payload.len() as u64),
        Err(dbs::Error::Damaged(_))
    ));
    let mut salvaged = Vec::new();
    let report = unlocked.salvage_to(&mut salvaged).unwrap();
    assert_eq!(report.failed_blocks.len(), 1);
    let (from, to) = (capacity as usize, 2 * capacity as usize);
    assert_eq!(salvaged.len(), payload.len());
    assert!(salvaged[..from] == payload[..from] && salvaged[to..] == payload[to..]);
    assert!(salvaged[from..to].iter().all(|b| *b == 0));
    let mut out = std::io::Cursor::new(Vec::new());
    assert!(matches!(
        archive.repair(None, &mut out),
        Err(dbs::Error::Damaged(_))
    ));
}

#[test]
fn wrong_passphrases_and_other_files_are_told_apart() {
    let file = write(b"secret", options(Profile::Standard));
    let archive = Archive::open(file).unwrap();
    let wrong = archive.unlock(&dbs::Passphrase::new("other"));
    assert!(matches!(
        wrong,
        Err(dbs::Error::WrongPassphrase {
            slots: 1,
            older: None
        })
    ));
    for other in [
        vec![],
        vec![0; 10],
        Random(1).bytes(100_000),
        b"PK\x03\x04".to_vec(),
    ] {
        assert!(matches!(Archive::open(other), Err(dbs::Error::NotDbs(_))));
    }
}

#[test]
fn passphrases_change_without_encrypting_again() {
    use dbs::{KdfParams, Passphrase, PassphraseChange};
    let kdf = KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    let payload = Random(2).bytes(300_000);
    let mut file = write(&payload, options(Profile::Standard));
    let original = file.clone();
    let other = Passphrase::new("another one");
    let change = |file: &mut Vec<u8>, current: &Passphrase, change, most: usize| {
        let archive = Archive::open(file.clone())?;
        let mut written = 0;
        archive
            .v3()
            .unwrap()
            .change_passphrase(current, change, |offset, sector| {
                if written < most {
                    file[offset as usize..offset as usize + sector.len()].copy_from_slice(sector);
                }
                written += 1;
                Ok(())
            })
    };
    let opens = |file: &[u8], passphrase: &Passphrase| {
        let unlocked = Archive::open(file.to_vec())?
            .unlock(passphrase)?
            .into_v3()?;
        unlocked
            .read_range(0..unlocked.len())
            .map(|bytes| assert!(bytes == payload))
    };
    let last = change(&mut file, &passphrase(), PassphraseChange::Remove, 999);
    assert!(matches!(last, Err(dbs::Error::Misuse(_))));
    change(
        &mut file,
        &passphrase(),
        PassphraseChange::Add(other.clone(), kdf),
        999,
    )
    .unwrap();
    opens(&file, &other).unwrap();
    opens(&file, &passphrase()).unwrap();
    change(&mut file, &passphrase(), PassphraseChange::Remove, 999).unwrap();
    opens(&file, &other).unwrap();
    assert!(matches!(
        opens(&file, &passphrase()),
        Err(dbs::Error::WrongPassphrase { .. })
    ));
    assert_eq!(
        Archive::open(file)
            .unwrap()
            .validate(None)
            .unwrap()
            .status(),
        Status::Clean
    );

    // Cut short: the newer pages are valid, and a repair completes the change.
    let mut file = original;
    let new = PassphraseChange::Replace(other.clone(), kdf);
    change(&mut file, &passphrase(), new, 2).unwrap();
    opens(&file, &other).unwrap();
    let older = opens(&file, &passphrase()).unwrap_err();
    assert!(matches!(
        older,
        dbs::Error::WrongPassphrase { older: Some(0), .. }
    ));
    let archive = Archive::open(file).unwrap();
    assert_eq!(
        archive.validate(None).unwrap().status(),
        Status::Recoverable
    );
    let mut repaired = std::io::Cursor::new(Vec::new());
    archive.repair(None, &mut repaired).unwrap();
    let repaired = repaired.into_inner();
    opens(&repaired, &other).unwrap();
    assert_eq!(
        Archive::open(repaired)
            .unwrap()
            .validate(None)
            .unwrap()
            .status(),
        Status::Clean
    );
}

#[test]
fn a_manifest_that_the_table_does_not_know_is_found_with_the_key() {
    use forge::{Block, Forge, PASSPHRASE, TINY};
    let mut forge = Forge::new(TINY);
    forge.payload(&forge::painted(300));
    let manifest = forge.manifest().to_bytes();
    forge.push_manifest(&manifest);
    let mut table = forge.table_block(0);
    // Its first entry is that of the data block; the hash of the second one is altered.
    table.truncate(table.len() - 32);
    table[32 + 33 + 1] ^= 1;
    forge.table_hash(2, &mut table);
    forge.blocks.push(Block {
        kind: 2,
        data: table,
    });
    forge.page = forge.build_page();
    let archive = Archive::open(forge.file()).unwrap();
    assert_eq!(
        archive.validate(None).unwrap().status(),
        Status::Unrecoverable
    );
    let key = dbs::Passphrase::new(PASSPHRASE);
    let report = archive.validate(Some(&key)).unwrap();
    assert_eq!(report.blocks_altered, 1);
    assert_eq!(report.failed_blocks[0].kind, "manifest");
    let payload = archive.unlock(&key).unwrap().into_v3().unwrap();
    assert!(payload.read_range(0..300).unwrap() == forge::painted(300));
}

/// No frame of a short block is intact then, and no tag in the whole file.
#[test]
fn the_walk_finds_what_single_frames_no_longer_tell() {
    let payload = Random(8).bytes(3_000_000);
    let file = write(&payload, options(Profile::Coded));
    for seed in 0..6 {
        let mut damaged = file.clone();
        Random(100 + seed).rot(&mut damaged, 1.6e-2);
        assert_heals(damaged, &payload, &file, &format!("seed {seed}"));
    }
}

#[test]
fn replicas_heal_each_other() {
    use std::sync::Arc;
    let payload = Random(3).bytes(2_000_000);
    let file = write(&payload, options(Profile::Standard));
    let damaged: Vec<Arc<dyn dbs::Source>> = (0..3)
        .map(|seed| {
            let mut damaged = file.clone();
            Random(seed).lose(&mut damaged, 4096, 0.5);
            assert!(Archive::open(damaged.clone()).is_ok_and(|archive| {
                archive.validate(None).unwrap().status() == Status::Unrecoverable
            }));
            Arc::new(damaged) as _
        })
        .collect();
    let archive = Archive::open_with(damaged, dbs::OpenOptions::default()).unwrap();
    let mut repaired = std::io::Cursor::new(Vec::new());
    archive.repair(None, &mut repaired).unwrap();
    assert!(repaired.into_inner() == file);
}

#[test]
fn repair_in_place_writes_only_what_is_bad() {
    let payload = Random(4).bytes(2_000_000);
    let file = write(&payload, options(Profile::Coded));
    let mut damaged = file.clone();
    Random(1).lose(&mut damaged, 4096, 0.1);
    let bad = damaged
        .chunks(4096)
        .zip(file.chunks(4096))
        .filter(|(a, b)| a != b)
        .count();
    let archive = Archive::open(damaged.clone()).unwrap();
    let mut written = 0;
    let report = archive.v3().unwrap().patches(|offset, sector| {
        damaged[offset as usize..offset as usize + sector.len()].copy_from_slice(sector);
        written += 1;
        Ok(())
    });
    assert_eq!(report.unwrap().sectors_bad, bad as u64);
    assert_eq!(written, bad);
    assert!(damaged == file);
    let mut shifted = damaged;
    shifted.insert(0, 1);
    let archive = Archive::open(shifted).unwrap();
    assert!(matches!(
        archive.v3().unwrap().patches(|_, _| Ok(())),
        Err(dbs::Error::Misuse(_))
    ));
}

/// Small files have few header pages to vote and few frames to find: the hardest case of dense rot.
#[test]
fn dense_rot_in_small_files_is_healed() {
    for (profile, rate) in [(Profile::Standard, 2e-3), (Profile::Coded, 1e-2)] {
        for len in [0, 20_000, 300_000] {
            let payload = Random(9).bytes(len);
            let mut options = options(profile);
            options.sector_shift = Some(12);
            let file = write(&payload, options);
            for seed in 0..6 {
                let mut damaged = file.clone();
                Random(seed).rot(&mut damaged, rate);
                assert_heals(
                    damaged,
                    &payload,
                    &file,
                    &format!("{profile:?} {len} {seed}"),
                );
            }
        }
    }
}

#[test]
fn what_an_unfinished_backup_holds_is_salvaged() {
    use std::io::Write;
    let payload = Random(6).bytes(500_000);
    let mut options = options(Profile::Standard);
    options.sector_shift = Some(9);
    options.lag = Some(1);
    let file = {
        let mut writer = dbs::Writer::stream(Vec::new(), &passphrase(), options).unwrap();
        writer.write_all(&payload).unwrap();
        writer.finish().unwrap()
    };
    let capacity = 223 * 464 - 32;
    let cut = file[..3 * 2 * 240 * 512].to_vec();
    let archive = Archive::open(cut).unwrap();
    assert!(matches!(
        archive.unlock(&passphrase()),
        Err(dbs::Error::Damaged(_))
    ));
    let left = archive
        .unlock_for_salvage(&passphrase())
        .unwrap()
        .into_v3()
        .unwrap();
    let mut salvaged = Vec::new();
    left.salvage_to(&mut salvaged).unwrap();
    assert!(salvaged[..3 * capacity] == payload[..3 * capacity]);
}
