//! Numbers of blocks, places in the file and table blocks, against the formulas of the text.

use arbitrary::{Arbitrary, Unstructured};
use dbs::v3::geometry::{Copy, CopyB, Geometry};
use dbs::v3::order::Order;
use dbs::v3::table::{Census, Entry, TableBlock, root, write};

use crate::Random;
use crate::forge::{ARCHIVE, Geo, blake2b, split, walk};

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    shift: u8,
    k: u8,
    ma: u8,
    mb: u8,
    copy_b: u8,
    n: u64,
    ks: Vec<u8>,
    lag: u32,
    data: u16,
    index: u8,
    flip: Option<u16>,
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let copy_b = [CopyB::None, CopyB::Mirrored, CopyB::Coded][usize::from(plan.copy_b % 3)];
    let geo = Geo {
        shift: plan.shift,
        k: plan.k,
        ma: plan.ma,
        mb: plan.mb,
        copy_b: plan.copy_b % 3,
    };
    let geometry = Geometry::new(plan.shift, plan.k, plan.ma, plan.mb, copy_b);
    let sum = 1 + u32::from(plan.k) + u32::from(plan.ma) + u32::from(plan.mb);
    let legal = (9..=16).contains(&plan.shift)
        && plan.k >= 1
        && sum <= 256
        && match geo.copy_b {
            0 => plan.mb == 0,
            2 => plan.mb >= 1,
            _ => true,
        };
    let Some(geometry) = geometry else {
        // The library has no geometry without any parity.
        assert!(
            !legal || (plan.ma, plan.mb) == (0, 0),
            "section 5: {plan:?}"
        );
        return;
    };
    assert!(legal, "section 5: {plan:?}");
    sizes(&plan, &geo, &geometry);
    counts(&plan, &geo, &geometry);
    order(&plan, &geo, geometry);
    tables(&plan, &geometry);
}

fn sizes(plan: &Plan, geo: &Geo, geometry: &Geometry) {
    assert_eq!(geometry.payload_size(), geo.p());
    assert_eq!(geometry.capacity(), geo.c());
    assert_eq!(geometry.table_entries(), geo.e());
    assert_eq!(geometry.page_record(), geo.r());
    for &k in plan.ks.iter().chain(&[1, geo.k]) {
        let k = 1 + k % geo.k;
        for (number, copy) in [Copy::A, Copy::B].into_iter().enumerate() {
            if !geometry.copies().contains(&copy) {
                continue;
            }
            let slots: Vec<u8> = geometry.slots(copy, k).collect();
            assert_eq!(slots, geo.slots(number, k), "k {k}, {plan:?}");
            assert_eq!(geometry.sectors(copy, k), slots.len());
            for (position, slot) in slots.iter().enumerate() {
                assert_eq!(geometry.position(copy, k, *slot), Some(position));
            }
        }
    }
}

fn counts(plan: &Plan, geo: &Geo, geometry: &Geometry) {
    let theirs = Census::split(geometry, plan.n);
    // T is a u32 in the file.
    let ours = split(geo, plan.n).filter(|(_, t)| u32::try_from(*t).is_ok());
    assert_eq!(
        theirs.map(|(x, t)| (x, u64::from(t))),
        ours,
        "section 14.4: {plan:?}"
    );
    let (data, index) = (u64::from(plan.data), u32::from(plan.index));
    let census = Census::new(geometry, data, index).expect("few blocks");
    let x = data + u64::from(index) + 1;
    assert_eq!(census.entries(), x);
    assert_eq!(
        split(geo, census.blocks()),
        Some((x, u64::from(census.table)))
    );
}

fn order(plan: &Plan, geo: &Geo, geometry: Geometry) {
    let ks: Vec<u8> = plan.ks.iter().take(60).map(|k| 1 + k % geo.k).collect();
    if ks.is_empty() {
        return;
    }
    let lag = if geo.copy_b == 0 { 0 } else { plan.lag % 70 };
    let order = Order::new(geometry, lag, ks.clone());
    let mut at = 0;
    for (copy, block) in walk(geo, lag.into(), ks.len() as u64) {
        let name = [Copy::A, Copy::B][copy];
        assert_eq!(order.offset(name, block), at, "section 15: {plan:?}");
        at += (geo.slots(copy, ks[block as usize]).len() * geo.size()) as u64;
    }
    assert_eq!(order.file_len(), at + geo.size() as u64);
    let theirs: Vec<(usize, u64)> = order
        .walk()
        .map(|(copy, block)| (usize::from(copy == Copy::B), block))
        .collect();
    assert_eq!(theirs, walk(geo, lag.into(), ks.len() as u64));
}

fn tables(plan: &Plan, geometry: &Geometry) {
    let (data, index) = (u64::from(plan.data % 300), u32::from(plan.index % 4));
    let census = Census::new(geometry, data, index).expect("few blocks");
    let mut random = Random(plan.n);
    let entries: Vec<Entry> = (0..census.entries())
        .map(|_| Entry {
            k: 1 + (random.below(255) as u8) % geometry.data(),
            hash: random.bytes(32).try_into().expect("32 bytes"),
        })
        .collect();
    let mut read = Vec::new();
    for t in 0..census.table {
        let mut bytes = write(geometry, &ARCHIVE, &census, &entries, t);
        let block = census.entries() + u64::from(t);
        let table = TableBlock::parse(geometry, &ARCHIVE, block, &bytes).expect("what was written");
        assert_eq!(table.census, census);
        read.extend(table.entries());
        assert!(TableBlock::parse(geometry, &ARCHIVE, block + 1, &bytes).is_err());
        // Any byte that differs: the hash sees it; made right, only entries may differ.
        if let Some(flip) = plan.flip {
            let (end, at) = (bytes.len() - 32, usize::from(flip) % bytes.len());
            bytes[at] ^= 1 + (flip >> 8) as u8 % 255;
            assert!(
                TableBlock::parse(geometry, &ARCHIVE, block, &bytes).is_err(),
                "{plan:?}"
            );
            let parts: [&[u8]; 3] = [&ARCHIVE, &block.to_le_bytes(), &bytes[..end]];
            let hash = blake2b(32, b"dbs3 table", b"", &parts);
            bytes[end..].copy_from_slice(&hash);
            if let Ok(table) = TableBlock::parse(geometry, &ARCHIVE, block, &bytes) {
                // The one value that D, I and the number allow (section 14.2).
                let (x, e) = (table.census.entries(), geometry.table_entries() as u64);
                assert_eq!(u64::from(table.census.table), x.div_ceil(e));
                assert_eq!(table.first, (block - x) * e);
                assert!(at >= 8 || at >= end, "first: {plan:?}");
            }
        }
    }
    assert_eq!(read, entries);
    let all: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
    assert_eq!(
        root(&ARCHIVE, &entries)[..],
        blake2b(32, b"dbs3 root", b"", &[&ARCHIVE, &all])[..]
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("table", 400, super::run);
    }
}
