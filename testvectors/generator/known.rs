//! Known answers, one JSON file for each layer.

use std::fmt::Write as _;

use super::Set;
use super::forge::*;

/// A list of cases, each a list of fields whose values are JSON already.
fn json(set: &mut Set, name: &str, comment: &str, cases: &[Vec<(&str, String)>]) {
    let mut text = format!("{{\n  \"comment\": {},\n  \"cases\": [\n", quoted(comment));
    for (i, case) in cases.iter().enumerate() {
        let fields: Vec<String> = case
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        let comma = if i + 1 < cases.len() { "," } else { "" };
        let _ = writeln!(text, "    {{{}}}{comma}", fields.join(", "));
    }
    text.push_str("  ]\n}\n");
    set.file(&format!("known/{name}.json"), text.into_bytes());
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Bytes as a string of hexadecimal digits.
fn h(bytes: &[u8]) -> String {
    quoted(&hex(bytes))
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

const KEY: [u8; 32] = [
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f,
];

pub fn add(set: &mut Set) {
    keys(set);
    blocks(set);
    shapes(set);
    code(set);
}

fn keys(set: &mut Set) {
    let mut argon = Vec::new();
    let mut slots = Vec::new();
    for (passphrase, t, m, p) in [
        (PASSPHRASE, 1, 64, 1),
        ("a", 1, 8, 1),
        ("größer λόγος 🗝", 2, 16, 2),
        ("cafe\u{301}", 1, 8, 1),
        ("many lanes", 1, 256, 32),
        ("odd memory", 3, 39, 1),
    ] {
        let slot = Slot {
            t,
            m,
            p,
            ..Slot::cheap(passphrase, 0)
        };
        let kek = kek(passphrase.as_bytes(), &slot.salt, t, m, p);
        argon.push(vec![
            ("passphrase", h(passphrase.as_bytes())),
            ("salt", h(&slot.salt)),
            ("t", t.to_string()),
            ("m", m.to_string()),
            ("p", p.to_string()),
            ("kek", h(&kek)),
        ]);
        slots.push(vec![
            ("kek", h(&kek)),
            ("archive_id", h(&ARCHIVE)),
            ("data_key", h(&KEY)),
            ("nonce", h(&slot.nonce)),
            ("aad", h(&slot.aad(&ARCHIVE))),
            ("key_slot", h(&slot.wrap_with(&kek, &ARCHIVE, &KEY))),
        ]);
    }
    json(
        set,
        "argon2id",
        "Section 8: the KEK of a passphrase. All byte strings are hexadecimal.",
        &argon,
    );
    json(
        set,
        "key_slot",
        "Section 8: the data key wrapped under the KEK, and the 84 bytes of the key slot.",
        &slots,
    );
    let derived: Vec<_> = [KEY, [0; 32], [0xff; 32]]
        .iter()
        .map(|key| {
            vec![
                ("data_key", h(key)),
                ("block_key", h(&block_key(key))),
                ("page_key", h(&page_key(key))),
            ]
        })
        .collect();
    json(
        set,
        "derived_keys",
        "Section 9.1: block key and page key of a data key.",
        &derived,
    );

    let mut pages = Vec::new();
    for (geo, lag, generation, slots) in [
        (TINY, 0, 0, 1),
        (TINY, 7, 3, 4),
        (STANDARD, 0, 0, 1),
        (CODED.with_shift(12), 0, u32::MAX, 8),
        (LIGHT.with_shift(16), 0, 1, 2),
    ] {
        let mut forge = Forge::new(geo);
        (forge.lag, forge.generation) = (lag, generation);
        let all: Vec<Slot> = (0..slots).map(|i| Slot::cheap("passphrase", i)).collect();
        forge.key_slots(&all);
        let page = forge.build_page();
        pages.push(vec![
            ("sector_size", geo.size().to_string()),
            ("k", geo.k.to_string()),
            ("m_a", geo.ma.to_string()),
            ("m_b", geo.mb.to_string()),
            ("copy_b", geo.copy_b.to_string()),
            ("lag", lag.to_string()),
            ("generation", generation.to_string()),
            ("archive_id", h(&ARCHIVE)),
            ("data_key", h(&forge.data_key)),
            ("key_slots", list(forge.slots.iter().map(|slot| h(slot)))),
            ("commitment", h(&page[32..64])),
            ("record", h(&page[..geo.r()])),
        ]);
    }
    json(
        set,
        "header_page",
        "Section 7: records with commitment and page hash.",
        &pages,
    );
}

fn blocks(set: &mut Set) {
    let mut sealed = Vec::new();
    let mut sectors = Vec::new();
    let mut entries = Vec::new();
    let text = b"compressible, ".repeat(60);
    let frame = zstd::bulk::compress(&text, 3).unwrap();
    let forge = Forge::new(TINY);
    for (block, kind, plaintext) in [
        (0, 0, plain(&TINY, 0, b"", b"")),
        (0, 0, plain(&TINY, 0, &painted(432), &painted(432))),
        (1, 0, plain(&TINY, 0, &painted(433), &painted(433))),
        (5, 1, plain(&TINY, 0, b"a manifest", b"a manifest")),
        (4, 3, plain(&TINY, 0, b"an index", b"an index")),
        (u64::MAX, 0, plain(&TINY, 1, &frame, &text)),
    ] {
        let k = ((plaintext.len() + 16) / TINY.p()) as u8;
        let (nonce, aad) = seal_context(&ARCHIVE, block, kind, k);
        let bytes = aead(&block_key(&KEY), &nonce, &aad, &plaintext);
        let mut tags = Vec::new();
        for (slot, payload) in (1..).zip(bytes.chunks(TINY.p())) {
            let sector = forge.sector(kind, slot, k, block, payload);
            tags.extend_from_slice(&sector[496..]);
            sectors.push(vec![("sector", h(&sector)), ("tag", h(&sector[496..]))]);
        }
        entries.push(vec![
            ("k", k.to_string()),
            ("tags", h(&tags)),
            ("block_hash", h(&blake2b(32, b"dbs3 block", b"", &[&tags]))),
        ]);
        sealed.push(vec![
            ("data_key", h(&KEY)),
            ("archive_id", h(&ARCHIVE)),
            ("block", block.to_string()),
            ("kind", kind.to_string()),
            ("k", k.to_string()),
            ("nonce", h(&nonce)),
            ("aad", h(&aad)),
            ("plaintext", h(&plaintext)),
            ("sealed", h(&bytes)),
        ]);
    }
    json(
        set,
        "sealed_block",
        "Section 10: plaintext with header and padding, nonce, associated data, sealed bytes; sectors of 512 bytes.",
        &sealed,
    );
    json(
        set,
        "sector",
        "Section 4: whole sectors and their tags.",
        &sectors,
    );
    json(
        set,
        "block_hash",
        "Section 14.1: the block hash over the tags of the data sectors.",
        &entries,
    );

    let mut tables = Vec::new();
    for len in [0, 1, 1000, 5000] {
        let forge = Forge::whole(SINGLE, 0, &painted(len));
        let x = forge.d + forge.i + 1;
        let entries: Vec<u8> = (0..x).flat_map(|b| forge.entry(b)).collect();
        let blocks = (x..forge.n()).map(|b| h(&forge.blocks[b as usize].data));
        tables.push(vec![
            ("archive_id", h(&ARCHIVE)),
            ("d", forge.d.to_string()),
            ("i", forge.i.to_string()),
            ("entries", h(&entries)),
            ("table_blocks", list(blocks)),
            ("root", h(&forge.root())),
        ]);
    }
    json(
        set,
        "table",
        "Section 14: table blocks and root from the entries; S = 512, K = 1, so E = 12.",
        &tables,
    );
}

fn shapes(set: &mut Set) {
    let mut geometries = Vec::new();
    let mut orders = Vec::new();
    for geo in [
        STANDARD,
        CODED,
        LIGHT,
        STANDARD.with_shift(12),
        CODED.with_shift(12),
        LIGHT.with_shift(16),
        TINY,
        TINY_CODED,
        TINY_LIGHT,
        SINGLE,
    ] {
        let mut ks = vec![1, geo.k / 2 + 1, geo.k];
        ks.dedup();
        for k in ks {
            geometries.push(vec![
                ("sector_size", geo.size().to_string()),
                ("k", geo.k.to_string()),
                ("m_a", geo.ma.to_string()),
                ("m_b", geo.mb.to_string()),
                ("copy_b", geo.copy_b.to_string()),
                ("p", geo.p().to_string()),
                ("c", geo.c().to_string()),
                ("e", geo.e().to_string()),
                ("r", geo.r().to_string()),
                ("block_k", k.to_string()),
                ("slots_a", list(geo.slots(0, k))),
                ("slots_b", list(geo.slots(1, k))),
            ]);
        }
        for lag in [0, 1, 2, 9] {
            if geo.copy_b == 0 && lag > 0 {
                continue;
            }
            let ks: Vec<u8> = (0..5u8).map(|i| 1 + (i * 7) % geo.k).collect();
            let mut at = 0u64;
            let mut starts = Vec::new();
            for (copy, block) in walk(&geo, lag, 5) {
                starts.push(format!("[\"{}\", {block}, {at}]", ["A", "B"][copy]));
                at += geo.slots(copy, ks[block as usize]).len() as u64;
            }
            orders.push(vec![
                ("k", geo.k.to_string()),
                ("m_a", geo.ma.to_string()),
                ("m_b", geo.mb.to_string()),
                ("copy_b", geo.copy_b.to_string()),
                ("lag", lag.to_string()),
                ("block_ks", list(ks)),
                ("starts", list(starts)),
                ("end_sector", at.to_string()),
            ]);
        }
    }
    json(
        set,
        "geometry",
        "Section 5: sizes, and the slots of a block with block_k data sectors in both copies.",
        &geometries,
    );
    json(
        set,
        "order",
        "Section 15: [copy, block, first sector] in the order of the file, for blocks with these numbers of data sectors.",
        &orders,
    );
    let mut counts = Vec::new();
    for geo in [SINGLE, TINY, STANDARD.with_shift(12), CODED] {
        let e = geo.e() as u64;
        for n in [
            0,
            1,
            2,
            3,
            e,
            e + 1,
            e + 2,
            e + 3,
            2 * e + 2,
            2 * e + 3,
            2 * e + 4,
            1 << 40,
            // T has four bytes.
            0xffff_ffff * (e + 1),
            0xffff_ffff * (e + 1) + 2,
        ] {
            let (x, t) = match split(&geo, n) {
                Some((x, t)) => (x.to_string(), t.to_string()),
                None => ("null".into(), "null".into()),
            };
            counts.push(vec![
                ("e", e.to_string()),
                ("n", n.to_string()),
                ("x", x),
                ("t", t),
            ]);
        }
    }
    json(
        set,
        "counts",
        "Section 14.4: X and T from N; null where N is illegal.",
        &counts,
    );
}

fn code(set: &mut Set) {
    let mut matrix = Vec::new();
    for (k, slots) in [
        (1, (2..=255).collect::<Vec<u8>>()),
        (3, (4..=255).collect()),
        (119, (120..=255).collect()),
        (223, (224..=255).collect()),
    ] {
        for slot in slots {
            matrix.push(vec![
                ("k", k.to_string()),
                ("slot", slot.to_string()),
                ("row", h(&row(k, slot, k))),
            ]);
        }
    }
    json(
        set,
        "matrix",
        "Section 6: columns 1 to K of the parity rows of G.",
        &matrix,
    );

    let mut rows = Rows::default();
    let mut parity = Vec::new();
    for (geo, k) in [
        (TINY, 3),
        (TINY, 1),
        (STANDARD, 223),
        (STANDARD, 5),
        (CODED, 119),
        (CODED, 1),
    ] {
        let data: Vec<u8> = (1..=k)
            .map(|c: u8| c.wrapping_mul(37).wrapping_add(11))
            .collect();
        let slots = geo.distinct(k)[usize::from(k)..].to_vec();
        let bytes: Vec<u8> = slots
            .iter()
            .map(|slot| {
                data.iter()
                    .zip(rows.get(geo.k, *slot))
                    .fold(0, |sum, (d, g)| sum ^ gf_mul(*d, *g))
            })
            .collect();
        parity.push(vec![
            ("k", geo.k.to_string()),
            ("data", h(&data)),
            ("slots", list(slots)),
            ("parity", h(&bytes)),
        ]);
    }
    json(
        set,
        "parity",
        "Section 6: one column; data bytes of slots 1 to k, and the parity bytes of the slots that a block of k stores.",
        &parity,
    );

    // K = 3, M_A = M_B = 2: slots 1 to 7.
    let data = [0x68, 0x65, 0x6c];
    let mut word = data.to_vec();
    for slot in 4..=7 {
        word.push(
            data.iter()
                .zip(rows.get(3, slot))
                .fold(0, |sum, (d, g)| sum ^ gf_mul(*d, *g)),
        );
    }
    let mut erasures = Vec::new();
    for subset in 0u32..128 {
        let have: Vec<usize> = (0..7).filter(|i| subset >> i & 1 == 1).collect();
        let bytes: Vec<u8> = have.iter().map(|i| word[*i]).collect();
        let result = if have.len() >= 3 {
            h(&data)
        } else {
            "null".into()
        };
        erasures.push(vec![
            ("slots", list(have.iter().map(|i| i + 1))),
            ("bytes", h(&bytes)),
            ("data", result),
        ]);
    }
    json(
        set,
        "erasures",
        "Section 6.4, K = k = 3, slots 1 to 7 stored: every set of slots that may be left; null where they are too few.",
        &erasures,
    );

    let mut errors = Vec::new();
    for erased in 0u32..128 {
        for wrong in 0u32..128 {
            let (s, e) = (erased.count_ones(), wrong.count_ones());
            if erased & wrong != 0 || 2 * e + s > 4 {
                continue;
            }
            let mut received = word.clone();
            for (i, symbol) in received.iter_mut().enumerate().take(7) {
                if wrong >> i & 1 == 1 {
                    *symbol ^= (i as u8 + 1) * 17 + (erased as u8);
                }
                if erased >> i & 1 == 1 {
                    *symbol = 0;
                }
            }
            let lost = (0..7).filter(|i| erased >> i & 1 == 1).map(|i| i + 1);
            errors.push(vec![
                ("received", h(&received)),
                ("erased", list(lost)),
                ("word", h(&word)),
            ]);
        }
    }
    json(
        set,
        "errors",
        "Section 6.4, K = k = 3, slots 1 to 7 stored: every pattern of erased and wrong bytes with 2e + s <= 4.",
        &errors,
    );
}
