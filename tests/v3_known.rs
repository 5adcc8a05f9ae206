//! The known answers of `testvectors/v3/known`, layer by layer, as far as the layer is public. What is
//! not (keys, sealed blocks) is in `src/v3/known.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/known.rs"]
mod known;

use std::collections::BTreeMap;
use std::path::Path;

use dbs::gf::{Kernel, Level, LinearMap};
use dbs::rs::{Code, Row, Trust};
use dbs::v3::geometry::{Copy, CopyB, Geometry};
use dbs::v3::order::Order;
use dbs::v3::page::Page;
use dbs::v3::sector::{Frame, Sector, is_intact, write_tags};
use dbs::v3::table::{self, Census, Entry, TableBlock};
use known::{array, bytes, unhex};
use serde_json::Value;

/// Cases by file. A file that is not counted here is not tested; those marked are tested within the library.
const COUNTS: [(&str, usize); 15] = [
    ("argon2id", 6), // src/v3/known.rs
    ("block_hash", 6),
    ("counts", 56),
    ("derived_keys", 3), // src/v3/known.rs
    ("erasures", 128),
    ("errors", 274),
    ("geometry", 28),
    ("header_page", 5), // and src/v3/known.rs: the commitment
    ("key_slot", 6),    // src/v3/known.rs
    ("matrix", 674),
    ("order", 31),
    ("parity", 6),
    ("sealed_block", 6), // src/v3/known.rs
    ("sector", 7),
    ("table", 4),
];

/// The cases of a file, of which there must be as many as above.
fn cases(name: &str) -> Vec<Value> {
    let (_, count) = COUNTS.iter().find(|(known, _)| *known == name).unwrap();
    known::cases(name, *count)
}

fn number(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap()
}

fn byte(case: &Value, key: &str) -> u8 {
    number(case, key).try_into().unwrap()
}

/// A list of slots or of numbers of sectors.
fn small(case: &Value, key: &str) -> Vec<u8> {
    let list = case[key].as_array().unwrap().iter();
    list.map(|n| n.as_u64().unwrap().try_into().unwrap())
        .collect()
}

fn geometry(case: &Value, sector_size: u64) -> Geometry {
    let copy_b = match number(case, "copy_b") {
        0 => CopyB::None,
        1 => CopyB::Mirrored,
        _ => CopyB::Coded,
    };
    let (k, m_a, m_b) = (byte(case, "k"), byte(case, "m_a"), byte(case, "m_b"));
    Geometry::new(sector_size.ilog2() as u8, k, m_a, m_b, copy_b).unwrap()
}

#[test]
fn every_file_is_counted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testvectors/v3/known");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let counted: Vec<String> = COUNTS.map(|(name, _)| format!("{name}.json")).to_vec();
    assert_eq!(names, counted);
}

#[test]
fn sizes_and_slots() {
    for case in cases("geometry") {
        let geometry = geometry(&case, number(&case, "sector_size"));
        let sizes = [
            geometry.payload_size(),
            geometry.capacity(),
            geometry.table_entries(),
            geometry.page_record(),
        ];
        let expected = ["p", "c", "e", "r"].map(|key| number(&case, key) as usize);
        assert_eq!(sizes, expected, "{case}");
        let k = byte(&case, "block_k");
        for (copy, key) in [(Copy::A, "slots_a"), (Copy::B, "slots_b")] {
            let slots: Vec<u8> = match geometry.copies().contains(&copy) {
                true => geometry.slots(copy, k).collect(),
                false => Vec::new(),
            };
            assert_eq!(slots, small(&case, key), "{case}");
        }
    }
}

#[test]
fn places_in_the_file() {
    for case in cases("order") {
        let geometry = geometry(&case, 512);
        let lag = number(&case, "lag").try_into().unwrap();
        let order = Order::new(geometry, lag, small(&case, "block_ks"));
        let walked: Vec<Value> = order
            .walk()
            .map(|(copy, block)| {
                let name = if copy == Copy::A { "A" } else { "B" };
                Value::from(vec![
                    Value::from(name),
                    Value::from(block),
                    Value::from(order.offset(copy, block) / 512),
                ])
            })
            .collect();
        assert_eq!(Value::from(walked), case["starts"], "{case}");
        assert_eq!(order.sectors(), number(&case, "end_sector") + 1, "{case}");
    }
}

#[test]
fn numbers_of_blocks() {
    // A geometry for each E that the cases have.
    let of = |sector_shift, k| Geometry::new(sector_shift, k, 2, 2, CopyB::Mirrored).unwrap();
    let geometries = [of(9, 1), of(9, 3), of(12, 223), of(9, 119)];
    for case in cases("counts") {
        let (e, n) = (number(&case, "e"), number(&case, "n"));
        let geometry = geometries
            .iter()
            .find(|geometry| geometry.table_entries() as u64 == e)
            .unwrap_or_else(|| panic!("no geometry with E = {e}"));
        let expected = case["x"]
            .as_u64()
            .map(|x| (x, number(&case, "t").try_into().unwrap()));
        assert_eq!(Census::split(geometry, n), expected, "{case}");
    }
}

#[test]
fn frames_and_tags() {
    for case in cases("sector") {
        let sector = bytes(&case, "sector");
        assert!(is_intact(&sector));
        let view = Sector::new(&sector);
        assert_eq!(view.tag(), bytes(&case, "tag"));
        let frame: Frame = view.frame().unwrap();
        assert_eq!(frame.to_bytes(), view.frame_bytes());
        let mut again = sector.clone();
        again[sector.len() - 16..].fill(0);
        write_tags(&mut again, sector.len());
        assert_eq!(again, sector);
    }
}

#[test]
fn block_hashes() {
    for case in cases("block_hash") {
        let tags = bytes(&case, "tags");
        let tags: Vec<&[u8]> = tags.chunks_exact(16).collect();
        let entry = Entry::of(&tags);
        assert_eq!(entry.k, byte(&case, "k"));
        assert_eq!(entry.hash, array(&case, "block_hash"));
    }
}

#[test]
fn table_blocks_and_roots() {
    let geometry = Geometry::new(9, 1, 2, 2, CopyB::Mirrored).unwrap();
    assert_eq!(geometry.table_entries(), 12);
    for case in cases("table") {
        let archive = array(&case, "archive_id");
        let (d, i) = (number(&case, "d"), number(&case, "i"));
        let entries: Vec<Entry> = bytes(&case, "entries")
            .chunks_exact(33)
            .map(|entry| Entry {
                k: entry[0],
                hash: entry[1..].try_into().unwrap(),
            })
            .collect();
        let census = Census::new(&geometry, d, i.try_into().unwrap()).unwrap();
        assert_eq!(census.entries(), entries.len() as u64);
        let blocks = case["table_blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), census.table as usize);
        let mut read = Vec::new();
        for (index, block) in (0..).zip(blocks) {
            let expected = unhex(block.as_str().unwrap());
            let written = table::write(&geometry, &archive, &census, &entries, index);
            assert_eq!(written, expected);
            let number = census.entries() + u64::from(index);
            let parsed = TableBlock::parse(&geometry, &archive, number, &expected).unwrap();
            assert_eq!(parsed.census, census);
            read.extend(parsed.entries());
        }
        assert_eq!(read, entries);
        let hashed = &entries[..(d + i) as usize];
        assert_eq!(table::root(&archive, hashed), array(&case, "root"));
    }
}

#[test]
fn header_pages() {
    for case in cases("header_page") {
        let archive = array(&case, "archive_id");
        let geometry = geometry(&case, number(&case, "sector_size"));
        let slots = case["key_slots"].as_array().unwrap().iter();
        let page = Page {
            minor: 0,
            geometry,
            lag: number(&case, "lag").try_into().unwrap(),
            generation: number(&case, "generation").try_into().unwrap(),
            commitment: array(&case, "commitment"),
            key_slots: slots
                .map(|slot| unhex(slot.as_str().unwrap()).try_into().unwrap())
                .collect(),
        };
        let mut payload = bytes(&case, "record");
        assert_eq!(payload.len(), geometry.page_record());
        payload.resize(geometry.payload_size(), 0);
        assert_eq!(page.to_payload(&archive), payload);
        assert_eq!(Page::from_payload(&archive, &payload).unwrap(), page);
    }
}

/// Rows of the matrix as the vectors have them, by K and slot.
fn matrix() -> BTreeMap<(u8, u8), Vec<u8>> {
    let rows = cases("matrix");
    let rows = rows
        .iter()
        .map(|case| ((byte(case, "k"), byte(case, "slot")), bytes(case, "row")));
    rows.collect()
}

/// What the encoder makes of unit vectors is the matrix.
#[test]
fn rows_of_the_matrix() {
    for ((k, slot), row) in matrix() {
        let code = Code::new(k.into()).unwrap();
        let unit: Vec<Vec<u8>> = (0..k)
            .map(|i| (0..k).map(|j| u8::from(i == j)).collect())
            .collect();
        let inputs: Vec<&[u8]> = unit.iter().map(Vec::as_slice).collect();
        let mut out = vec![0; k.into()];
        code.encode(&inputs, &[slot], &mut [&mut out]).unwrap();
        assert_eq!(out, row, "K = {k}, slot {slot}");
    }
}

/// Every kernel that this machine can run, on the rows of the vectors. Lengths around the widths of
/// the registers: the column of a case is repeated, each time in another place of the register.
#[test]
fn parity_with_every_kernel() {
    let rows = matrix();
    let kernels = Kernel::available();
    assert!(kernels.iter().any(|k| k.level() == Level::Portable));
    for case in cases("parity") {
        let (k, data) = (byte(&case, "k"), bytes(&case, "data"));
        let (slots, parity) = (small(&case, "slots"), bytes(&case, "parity"));
        assert_eq!(slots.len(), parity.len());
        let map = LinearMap::from_fn(slots.len(), data.len(), |r, c| rows[&(k, slots[r])][c]);
        let code = Code::new(k.into()).unwrap();
        for length in [1, 15, 16, 31, 64, 65, 4048] {
            let inputs: Vec<Vec<u8>> = data.iter().map(|byte| vec![*byte; length]).collect();
            let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
            let check = |who: &str, apply: &dyn Fn(&mut [&mut [u8]])| {
                let mut outputs = vec![vec![0; length]; slots.len()];
                let mut views: Vec<&mut [u8]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                apply(&mut views);
                for ((output, expected), slot) in outputs.iter().zip(&parity).zip(&slots) {
                    let right = output.iter().all(|byte| byte == expected);
                    assert!(right, "{who}, K = {k}, slot {slot}, length {length}");
                }
            };
            for kernel in &kernels {
                let map = map.clone().with_kernel(*kernel);
                check(&format!("{:?}", kernel.level()), &|out| {
                    map.apply(&inputs, out);
                });
            }
            check("encode", &|out| code.encode(&inputs, &slots, out).unwrap());
        }
    }
    let levels: Vec<Level> = kernels.iter().map(|kernel| kernel.level()).collect();
    println!("kernels checked: {levels:?}");
}

#[test]
fn every_set_of_slots_left() {
    let code = Code::new(3).unwrap();
    let mut restored = 0;
    for case in cases("erasures") {
        let (slots, left) = (small(&case, "slots"), bytes(&case, "bytes"));
        let have: Vec<(u8, &[u8])> = slots.iter().copied().zip(left.chunks(1)).collect();
        let mut out = [[0u8; 1]; 3];
        let mut views: Vec<&mut [u8]> = out.iter_mut().map(|row| &mut row[..]).collect();
        let result = code.reconstruct(3, &have, &[1, 2, 3], &mut views);
        match case["data"].as_str() {
            Some(data) => {
                result.unwrap();
                assert_eq!(out.concat(), unhex(data), "{case}");
                restored += 1;
            }
            None => assert!(
                matches!(result, Err(dbs::rs::Error::TooFew { .. })),
                "{case}"
            ),
        }
    }
    assert_eq!(restored, 99, "sets of at least three of seven");
}

#[test]
fn every_pattern_of_errors_and_erasures() {
    let code = Code::new(3).unwrap();
    for case in cases("errors") {
        let (received, erased) = (bytes(&case, "received"), small(&case, "erased"));
        let word = bytes(&case, "word");
        // Erased as a missing row, and as a masked byte: both are the same to the code.
        for masked in [false, true] {
            let mut bytes: Vec<[u8; 1]> = received.iter().map(|byte| [*byte]).collect();
            let mut rows: Vec<Row<'_>> = (1..)
                .zip(&mut bytes)
                .map(|(slot, bytes)| Row {
                    slot,
                    trust: match erased.contains(&slot) {
                        true if masked => Trust::Masked(&[1]),
                        true => Trust::Missing,
                        false => Trust::Doubtful,
                    },
                    bytes,
                })
                .collect();
            let correction = code.correct(3, &mut rows).unwrap();
            assert!(correction.failed.is_empty(), "{case}");
            assert_eq!(bytes.concat(), word, "{case}");
        }
    }
}
