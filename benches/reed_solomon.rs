//! Encoding, erasures and errors, with every kernel that the machine has.
//!
//! Throughput is in bytes of data rows (v3) or of decoded block (classic), for one thread.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use dbs::gf::{Kernel, LinearMap};
use dbs::rs::{ClassicCode, Code, Row, Trust};

const SECTOR: usize = 4096;
const PAYLOAD: usize = 4048;

fn painted(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..length).map(step).collect()
}

/// The payloads of a block of sectors.
fn payloads(area: &[u8]) -> Vec<&[u8]> {
    area.chunks_exact(SECTOR)
        .map(|sector| &sector[32..][..PAYLOAD])
        .collect()
}

fn payloads_mut(area: &mut [u8]) -> Vec<&mut [u8]> {
    area.chunks_exact_mut(SECTOR)
        .map(|sector| &mut sector[32..][..PAYLOAD])
        .collect()
}

fn kernels(c: &mut Criterion) {
    for (rows, cols) in [(16, 223), (32, 223), (136, 119), (1, 223), (4, 223)] {
        let mut group = c.benchmark_group(format!("linear_map/{rows}x{cols}"));
        let data = painted(cols * SECTOR);
        let mut out = vec![0; rows * SECTOR];
        let coefficients = painted(rows * cols);
        group.throughput(Throughput::Bytes((cols * PAYLOAD) as u64));
        for kernel in Kernel::available() {
            let map = LinearMap::new(rows, cols, &coefficients).with_kernel(kernel);
            group.bench_function(
                BenchmarkId::from_parameter(format!("{:?}", kernel.level())),
                |b| {
                    b.iter(|| map.apply(&payloads(&data), &mut payloads_mut(&mut out)));
                },
            );
        }
    }
}

fn set_up(c: &mut Criterion) {
    c.bench_function("code/new/223", |b| b.iter(|| Code::new(223)));
    let code = Code::new(223).unwrap();
    let have: Vec<u8> = (33..=255).collect();
    let lost: Vec<u8> = (1..=32).collect();
    c.bench_function("code/recovery/32_of_223", |b| {
        b.iter(|| code.recovery(223, &have, &lost))
    });
}

/// A whole block in memory: 256 sectors, as written.
fn block(code: &Code) -> Vec<u8> {
    let mut area = painted(256 * SECTOR);
    let (data, parity) = area.split_at_mut((1 + code.data()) * SECTOR);
    let slots: Vec<u8> = (1 + code.data() as u8..=255).collect();
    code.encode(
        &payloads(&data[SECTOR..]),
        &slots,
        &mut payloads_mut(parity),
    )
    .unwrap();
    area
}

fn erasures(c: &mut Criterion) {
    let mut group = c.benchmark_group("reconstruct");
    for (data, lost) in [(223, 1), (223, 16), (223, 32), (119, 119)] {
        let code = Code::new(data).unwrap();
        let area = block(&code);
        let have: Vec<(u8, &[u8])> = (0..).zip(payloads(&area)).skip(1 + lost).collect();
        let wanted: Vec<u8> = (1..=lost as u8).collect();
        let mut out = vec![0; lost * SECTOR];
        group.throughput(Throughput::Bytes((data * PAYLOAD) as u64));
        group.bench_function(BenchmarkId::new(format!("K{data}"), lost), |b| {
            b.iter(|| {
                code.reconstruct(data, &have, &wanted, &mut payloads_mut(&mut out))
                    .unwrap()
            });
        });
    }
}

fn errors(c: &mut Criterion) {
    // Data rows, and wrong bytes in every column. A bit error rate of 1e-3 makes two of 255.
    let cases = [
        (223, 0),
        (223, 1),
        (223, 2),
        (223, 8),
        (223, 16),
        (119, 0),
        (119, 20),
        (119, 68),
    ];
    let mut group = c.benchmark_group("correct");
    for (data, errors) in cases {
        let code = Code::new(data).unwrap();
        let good = block(&code);
        let mut bad = good.clone();
        for column in 0..PAYLOAD {
            for error in 0..errors {
                let slot = 1 + (column * 7 + error * (255 / errors)) % 255;
                bad[slot * SECTOR + 32 + column] ^= 1 + (column % 255) as u8;
            }
        }
        let mut work = bad.clone();
        group.throughput(Throughput::Elements(PAYLOAD as u64));
        group.bench_function(BenchmarkId::new(format!("K{data}"), errors), |b| {
            b.iter(|| {
                work.copy_from_slice(&bad);
                let bytes = payloads_mut(&mut work).into_iter().zip(0..).skip(1);
                let mut rows: Vec<Row<'_>> = bytes
                    .map(|(bytes, slot)| Row {
                        slot,
                        trust: Trust::Doubtful,
                        bytes,
                    })
                    .collect();
                assert!(code.correct(data, &mut rows).unwrap().failed.is_empty());
            });
        });
        assert!(payloads(&work)[1..] == payloads(&good)[1..]);
    }
}

fn classic(c: &mut Criterion) {
    for nsym in [16, 32] {
        let mut group = c.benchmark_group(format!("classic/{nsym}"));
        let code = ClassicCode::new(nsym).unwrap();
        let data = painted(65536);
        let mut encoded = vec![0; code.encoded_len(data.len())];
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function("encode", |b| b.iter(|| code.encode(&data, &mut encoded)));
        group.bench_function("check", |b| b.iter(|| code.check(&encoded)));
        for errors in [1, nsym / 2] {
            let mut bad = encoded.clone();
            for word in bad.chunks_mut(255) {
                (0..errors).for_each(|i| word[i * 3] ^= 0x5A);
            }
            let mut work = bad.clone();
            group.bench_function(BenchmarkId::new("correct", errors), |b| {
                b.iter(|| {
                    work.copy_from_slice(&bad);
                    assert!(code.correct(&mut work, None).unwrap().failed.is_empty());
                });
            });
        }
        // The full budget of erasures in every word.
        let mut bad = encoded.clone();
        let mut mask = vec![0; bad.len()];
        for (word, mask) in bad.chunks_mut(255).zip(mask.chunks_mut(255)) {
            (0..nsym).for_each(|i| (word[i * 3], mask[i * 3]) = (0, 1));
        }
        let mut work = bad.clone();
        group.bench_function(BenchmarkId::new("correct_erasures", nsym), |b| {
            b.iter(|| {
                work.copy_from_slice(&bad);
                assert!(
                    code.correct(&mut work, Some(&mask))
                        .unwrap()
                        .failed
                        .is_empty()
                );
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_millis(500));
    targets = kernels, set_up, erasures, errors, classic
}
criterion_main!(benches);
