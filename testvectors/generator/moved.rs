//! Bursts, cuts, and bytes that stand elsewhere than they were written: G5 and G6.

use super::Set;
use super::damage::*;
use super::forge::*;

pub fn add(set: &mut Set) {
    bursts(set);
    bytes(set);
    sectors(set);
    junk(set);
}

fn bursts(set: &mut Set) {
    for (name, base) in [
        ("mirrored", BLOCKS),
        ("coded", "open/coded.vec"),
        ("light", "open/light.vec"),
        ("lag-2", "open/lag-2.vec"),
        ("lag-coded", "open/lag-coded.vec"),
        ("single", "open/single.vec"),
    ] {
        let own = set.base(base);
        let size = own.forge.geo.size();
        let (longest, all) = (longest_burst(&own.forge), own.bytes.len() / size);
        for (place, first) in [
            ("head", 0),
            ("middle", (all - longest) / 2),
            ("tail", all - longest),
        ] {
            let comment =
                format!("G5 at the bound: {longest} sectors of {all} in a row are wiped.");
            let name = format!("burst-{name}-{place}");
            heal(set, &name, &comment, base, |h| h.burst(first, longest));
        }
        if name == "lag-2" || name == "single" {
            continue;
        }
        for (end, which, line) in [
            ("head", "first", format!("delete 0 {}", longest * size)),
            (
                "tail",
                "last",
                format!("truncate {}", (all - longest) * size),
            ),
        ] {
            let comment =
                format!("G5 at the bound: the {which} {longest} of {all} sectors are cut off.");
            let name = format!("cut-{end}-{name}");
            heal(set, &name, &comment, base, |h| h.line(&line));
        }
    }
    let own = set.base(BLOCKS);
    let (longest, size, all) = (longest_burst(&own.forge), 512, own.bytes.len());
    let bytes = (longest - 1) * size + 1;
    let end = 1535 + bytes;
    let noise = hex(&noise(all / 2 - 800));
    heal_all(
        set,
        BLOCKS,
        &format!(
            "
burst-bytes   | fill 1535 {end} ff  | G5: (W - 1) S + 1 bytes of 0xFF that begin in the last byte of a sector.
removed-bytes | delete 3583 {bytes} | G5: (W - 1) S + 1 bytes are missing in the middle, so what follows lies off the grid.
burst-noise   | write 777 {noise}   | A burst of noise over half of the file.
"
        ),
    );
}

fn bytes(set: &mut Set) {
    let all = set.base(BLOCKS).bytes.len();
    let (last, quarter, three) = (all - 1, all / 4 + 3, all * 3 / 4);
    heal_all(
        set,
        BLOCKS,
        &format!(
            "
byte-removed-first   | delete 0 1         | The first byte is missing.
byte-removed-last    | truncate {last}    | The last byte is missing.
byte-removed-middle  | delete {quarter} 1 | One byte is missing in copy A.
byte-inserted-first  | insert 0 00        | One byte stands before the file.
byte-inserted-middle | insert {three} 89  | One byte too many in copy B.
byte-appended        | insert {all} 0a    | One byte stands behind the file.
"
        ),
    );
}

fn sectors(set: &mut Set) {
    let own = set.base(BLOCKS);
    let size = own.forge.geo.size();
    let count = own.bytes.len() / size;
    let half = count / 2 * size;
    heal_all(
        set,
        BLOCKS,
        &format!(
            "
sector-removed | delete 5120 512      | A sector is missing, the rest has moved up.
sector-twice   | repeat 5120 5120 512 | A sector stands there twice.
halves-swapped | swap 0 {half} {half} | Copy B stands before copy A.
"
        ),
    );
    heal(
        set,
        "sectors-swapped-two",
        "Two sectors of different blocks changed places (G6).",
        BLOCKS,
        |h| {
            let (a, b) = (h.at(0, 1, 2), h.at(1, 3, 3));
            h.line(format!("swap {a} {b} {size}"))
        },
    );
    heal(
        set,
        "sectors-swapped-all-spares",
        "Two sectors changed places, and of their blocks only so much is left that both are needed (G6).",
        BLOCKS,
        |h| {
            let (a, b) = (h.at(0, 1, 2), h.at(0, 3, 3));
            h.line(format!("swap {a} {b} {size}"))
                .steps("zero A1.1,4,5 B1.1,2; zero A3.1,4,5 B3.1,3")
        },
    );
    heal(
        set,
        "sectors-moved-table-lost",
        "No copy B, and the table is lost. Block 1 stands behind the end, but for its last sector: a walk from the beginning (20.4) must not take that for the end sector, whose frame is as near as 12 bits.",
        "open/light.vec",
        |h| {
            let (first, last) = (h.at(0, 1, 0), h.at(0, 1, 6));
            let (len, all) = (last - first, h.base.bytes.len());
            h.steps("zero AT.0,1,4,5,6")
                .line(format!("repeat {first} {all} {len}"))
                .line(format!("delete {first} {len}"))
        },
    );
    heal(
        set,
        "sectors-reversed",
        "All sectors in reverse order (G6).",
        BLOCKS,
        |mut h| {
            for i in 0..count / 2 {
                let (a, b) = (i * size, (count - 1 - i) * size);
                h = h.line(format!("swap {a} {b} {size}"));
            }
            h
        },
    );
    heal(
        set,
        "sectors-shuffled",
        "All sectors in random order (G6).",
        BLOCKS,
        |mut h| {
            let noise = noise(4 * count);
            for i in (1..count).rev() {
                let random = u32::from_le_bytes(noise[4 * i..4 * i + 4].try_into().unwrap());
                let j = random as usize % (i + 1);
                if i != j {
                    h = h.line(format!("swap {} {} {size}", i * size, j * size));
                }
            }
            h
        },
    );
}

fn junk(set: &mut Set) {
    let own = set.base(BLOCKS);
    let (all, size) = (own.bytes.len(), own.forge.geo.size());
    heal(
        set,
        "junk-between-sectors",
        "Seven bytes of junk before every sector.",
        BLOCKS,
        |mut h| {
            for i in (0..all / size).rev() {
                h = h.line(format!("insert {} 8944425303ff00", i * size));
            }
            h
        },
    );
    let (behind, before) = (hex(&noise(700)), hex(&noise(1001)));
    heal_all(
        set,
        BLOCKS,
        &format!(
            "
junk-around | insert {all} {behind}; insert 0 {before} | The file lies somewhere in an image.
file-twice  | include {all} {BLOCKS} | The file follows itself.
"
        ),
    );
}
