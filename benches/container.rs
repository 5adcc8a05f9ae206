//! The stages of a container of version 3, in memory and on one thread: tags, parity, writing, reading, validating, healing.
//!
//! Throughput is in bytes of the payload, but for *tags* (bytes of sectors).
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::io::{Write, sink};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use dbs::v3::block::Loom;
use dbs::v3::geometry::{Copy, Geometry};
use dbs::v3::page::Page;
use dbs::v3::sector::{Kind, intact, write_tags};
use dbs::{
    Archive, Compression, KdfParams, OpenOptions, Passphrase, Profile, Writer, WriterOptions,
};

const PAYLOAD: usize = 16 << 20;
const SECTOR: usize = 4096;
const PROFILES: [(&str, Profile); 3] = [
    ("standard", Profile::Standard),
    ("coded", Profile::Coded),
    ("light", Profile::Light),
];

/// SplitMix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1;
    (0..len / 8)
        .flat_map(|_| next(&mut state).to_le_bytes())
        .collect()
}

fn passphrase() -> Passphrase {
    Passphrase::new("bench")
}

fn options(profile: Profile, compression: Compression) -> WriterOptions {
    let mut options = WriterOptions::default();
    options.profile = profile;
    options.compression = compression;
    options.threads = 1;
    options.kdf = KdfParams {
        passes: 1,
        memory_kib: 8,
        lanes: 1,
    };
    options
}

fn write(payload: &[u8], profile: Profile) -> Vec<u8> {
    let out = std::io::Cursor::new(Vec::new());
    let mut writer =
        Writer::create(out, &passphrase(), options(profile, Compression::None)).unwrap();
    writer.write_all(payload).unwrap();
    writer.finish().unwrap().into_inner()
}

fn open(container: Vec<u8>) -> Archive {
    let mut options = OpenOptions::default();
    options.threads = 1;
    Archive::open_with(vec![std::sync::Arc::new(container)], options).unwrap()
}

fn blocks(c: &mut Criterion) {
    let mut sectors = noise(256 * SECTOR);
    let mut group = c.benchmark_group("tags");
    group.throughput(Throughput::Bytes(sectors.len() as u64));
    group.bench_function("write", |b| b.iter(|| write_tags(&mut sectors, SECTOR)));
    group.bench_function("check", |b| b.iter(|| intact(&sectors, SECTOR, |_| true)));
    group.finish();

    let mut group = c.benchmark_group("block");
    for (name, profile) in PROFILES {
        let geometry = Geometry::of(profile, 12).unwrap();
        let page = Page {
            minor: 0,
            geometry,
            lag: 0,
            generation: 0,
            commitment: [0; 32],
            key_slots: Vec::new(),
        };
        let loom = Loom::new([7; 16], &page).unwrap();
        let data = noise(usize::from(geometry.data()) * geometry.payload_size() / 8 * 8);
        group.throughput(Throughput::Bytes(data.len() as u64));
        let mut buffer = Default::default();
        group.bench_function(
            BenchmarkId::new("frames, parity and tags of copy A", name),
            |b| {
                b.iter(|| {
                    let copies = &[Copy::A];
                    let woven = loom
                        .weave(Kind::Data, 1, &data, copies, std::mem::take(&mut buffer))
                        .unwrap();
                    buffer = woven.into_buffer();
                });
            },
        );
    }
}

fn containers(c: &mut Criterion) {
    let payload = noise(PAYLOAD);
    // As much as source code, say: it shrinks to a third.
    let text: Vec<u8> = payload
        .iter()
        .map(|byte| b"etaoin shrdlu.\n "[usize::from(byte & 15).pow(2) / 15])
        .collect();
    let mut group = c.benchmark_group("container");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(PAYLOAD as u64));
    for (name, profile) in PROFILES {
        for (kind, payload, compression) in [
            ("write", &payload, Compression::None),
            (
                "write, found incompressible",
                &payload,
                Compression::default(),
            ),
            ("write, compressed", &text, Compression::default()),
        ] {
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter(|| {
                    let mut writer =
                        Writer::stream(sink(), &passphrase(), options(profile, compression))
                            .unwrap();
                    writer.write_all(payload).unwrap();
                    writer.finish().unwrap();
                });
            });
        }
        let whole = write(&payload, profile);
        let mut state = 3;
        let mut lossy = whole.clone();
        let share = match profile {
            Profile::Standard => 17,
            Profile::Coded => 38,
            _ => 6,
        };
        for sector in lossy.chunks_exact_mut(SECTOR) {
            if next(&mut state) % 100 < share {
                sector.fill(0);
            }
        }
        let mut rotten = whole.clone();
        let bits = rotten.len() as u64 * 8;
        let rate = if profile == Profile::Light {
            10_000
        } else {
            1000
        };
        for _ in 0..bits / rate {
            let bit = next(&mut state) % bits;
            rotten[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        group.bench_function(BenchmarkId::new("validate", name), |b| {
            let archive = open(whole.clone());
            b.iter(|| black_box(archive.validate(None).unwrap()));
        });
        for (kind, container) in [
            ("read", &whole),
            ("read, sectors lost", &lossy),
            ("read, bits flipped", &rotten),
        ] {
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter_batched(
                    || {
                        open(container.clone())
                            .unlock(&passphrase())
                            .unwrap()
                            .into_v3()
                            .unwrap()
                    },
                    |payload| {
                        payload
                            .copy_range_to(0..payload.len(), &mut sink())
                            .unwrap()
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
}

criterion_group!(benches, blocks, containers);
criterion_main!(benches);
