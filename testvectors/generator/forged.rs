//! Tables that are lost, sectors and tables that somebody forged, and several replicas.

use super::damage::*;
use super::forge::*;
use super::pages::change;
use super::{Base, Expect, Set, table};

pub fn add(set: &mut Set) {
    tables(set);
    sectors(set);
    forged_tables(set);
    replicas(set);
}

fn tables(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
table-lost         | zero AT.1,4,5 BT.1,6,7 | The table is lost in both copies: it is rebuilt from the other blocks.
table-errors       | untag T; flip AT.1@800; flip BT.1@800 | The table can only be decoded column by column; its own hash is the judge.
table-lost-and-end | zero AT.1,4,5 BT.1,6,7; zero E | The table and the end sector are lost: N follows from the frames.
",
    );
    let of_two = "One of two table blocks is lost: it is rebuilt, and the other keeps its word.";
    for (name, comment, base, which) in [
        ("table-first-of-two-lost", of_two, "open/two-tables.vec", 2),
        ("table-second-of-two-lost", of_two, "open/two-tables.vec", 1),
        (
            "table-lost-of-index",
            "The table of an archive with an index block is lost.",
            "open/tar-index-blocks.vec",
            1,
        ),
    ] {
        heal(set, name, comment, base, |mut h| {
            let block = h.base.forge.n() - which;
            for copy in 0..2 {
                let slots = h.base.forge.geo.slots(copy, h.base.forge.k(block));
                h = h.zero(copy, block, &slots);
            }
            h
        });
    }
}

fn sectors(set: &mut Set) {
    heal_all(
        set,
        BLOCKS,
        "
forged-end-absurd  | forge E+8=0000000000000010 | The end sector claims 2^60 blocks, its tag is right.
forged-end-illegal | forge E+8=0100000000000000 | The end sector claims one block, which no archive has.
forged-k           | forge A1.1+7=02 | A sector says k = 2 in a block of 3, its tag is right: ignored.
forged-slot        | forge A1.1+6=c8 | A sector says a slot that its block does not have, its tag is right: ignored.
forged-kind        | forge A1.1+5=07 | A sector says a kind that nobody knows, its tag is right: ignored.
forged-version     | forge A1.1+4=04 | A sector says version 4, its tag is right: ignored.
",
    );
    // Bit 480 is of byte 28 of a payload.
    fn altered(harm: Harm<'_>, copy: usize, slot: u8) -> Harm<'_> {
        harm.flip(copy, 1, slot, &[480]).tag(copy, 1, slot)
    }
    heal(
        set,
        "forged-data-one-copy",
        "A data sector of copy A was altered and its tag made right: the copies conflict.",
        BLOCKS,
        |h| altered(h, 0, 2),
    );
    heal(
        set,
        "forged-data-both-copies",
        "A data sector was altered in both copies, the tags made right: an error to be decoded, with the block hash as the judge.",
        BLOCKS,
        |h| altered(altered(h, 0, 2), 1, 2),
    );
    heal(
        set,
        "forged-parity",
        "A parity sector was altered and its tag made right: bad, although its tag holds.",
        BLOCKS,
        |h| altered(h, 0, 5),
    );
    heal_all(
        set,
        BLOCKS,
        "
forged-kinds-no-table | zero AT.1,4,5 BT.1,6,7 A1.0 B1.0; forge A1.4+5=07; forge A1.5+5=07; forge B1.6+5=07; forge B1.7+5=07 | The table is lost, and more sectors of a block say an unknown kind than the right one: ignored.
forged-ks-no-table    | zero AT.1,4,5 BT.1,6,7 A1.0 B1.0; forge A1.4+7=c8; forge A1.5+7=c8; forge B1.6+7=c8; forge B1.7+7=c8 | The same with a k above K.
forged-slots-no-table | zero AT.1,4,5 BT.1,6,7 A1.0 B1.0; forge A1.4+6=0802; forge A1.5+6=0902; forge B1.6+6=0a02; forge B1.7+6=0b02 | The same with slots that no block has, and k = 2.
",
    );
    heal(
        set,
        "forged-conflicts",
        "All data sectors of a block conflict, each in another column, and two parity sectors are lost: what copies agree in is right.",
        BLOCKS,
        |mut h| {
            for slot in 1..=3 {
                h = h
                    .flip(0, 1, slot, &[480 + 8 * usize::from(slot)])
                    .tag(0, 1, slot);
            }
            h.steps("zero A1.4,5")
        },
    );
    heal(
        set,
        "other-archive-behind",
        "Another archive follows in the same file; the first one counts.",
        BLOCKS,
        |h| {
            let all = h.base.bytes.len();
            h.line(format!("include {all} open/passphrase-utf8.vec"))
        },
    );
    heal(
        set,
        "other-archive-behind-torn",
        "Another archive follows, and the tag of the first sector does not hold: its page proves itself, and counts.",
        BLOCKS,
        |h| {
            let all = h.base.bytes.len();
            let bit = (h.size() - 1) * 8;
            h.flip(0, 0, 0, &[bit])
                .line(format!("include {all} open/passphrase-utf8.vec"))
        },
    );
    let other = set.base("open/sectors-4096.vec").forge;
    heal(
        set,
        "other-archive-before-larger",
        "An archive of larger sectors stands before this one, without its header pages, and the last sector of the \
         file is lost: the first header page says how large sectors are.",
        BLOCKS,
        |h| {
            let h = h.steps("zero E").line("include 0 open/sectors-4096.vec");
            let places = other.map();
            let pages = (0..places.len()).filter(|&place| places[place].2 == 0);
            let size = other.geo.size();
            pages.fold(h, |h, place| {
                h.line(format!("zero {} {}", place * size, (place + 1) * size))
            })
        },
    );
    heal(
        set,
        "other-archive-before-in-part",
        "The rest of another archive stands before this one, with the only header page at an end of the file \
         being this one's.",
        BLOCKS,
        |h| {
            h.line("include 0 open/passphrase-utf8.vec")
                .line("delete 0 700")
        },
    );
}

/// Names, changes to the first bytes of a table block, comments. Its hash is right, but for the last.
const TABLES: &str = "
first      | 0=01        | The first entry is said to be that of block 1.
data       | 8=06        | D is 6, so the block is none of the table's.
index      | 16=01       | I is 1, so the block is none of the table's.
number     | 20=02       | T is 2, and there is one table block.
entries    | 24=05       | Five entries where there are six.
reserved   | 28=01       | A reserved byte is not zero.
padding    | 300=01      | A byte behind the entries is not zero.
first-and-number | 0=01 24=05 197=000000000000000000000000000000000000000000000000000000000000000000 | The first entry is said to be that of block 1, and the others are as many as there are behind it.
fewer      | 24=05 197=000000000000000000000000000000000000000000000000000000000000000000 | Five entries where there are six, and zeros in the place of the sixth.
more       | 24=07 230=01 | Seven entries where there are six.
entry-zero | 32=00       | An entry with k = 0.
entry-high | 32=04       | An entry with k = 4 in a geometry with K = 3.
hash       | 40^01       | A bit of an entry was altered, and the table hash does not hold.
";

fn forged_tables(set: &mut Set) {
    let own = set.base(BLOCKS);
    for [name, changes, comment] in table(TABLES) {
        let mut forge = own.forge.clone();
        let n = forge.n();
        let mut data = forge.blocks.pop().unwrap().data;
        change(&mut data, changes);
        if name != "hash" {
            data.truncate(data.len() - 32);
            forge.table_hash(n - 1, &mut data);
        }
        forge.blocks.push(Block { kind: 2, data });
        let path = format!("heal/table-invalid-{name}.vec");
        let comment = format!("A table block that is not valid: rebuilt. {comment}");
        let forged = Base {
            bytes: forge.file(),
            forge,
            payload: own.payload.clone(),
        };
        set.body(&path, &comment, &Expect::heals(), forged);
        set.with(&path, "repaired-blake2b-256", &digest(&own.bytes));
    }
    let mut forge = own.forge.clone();
    let n = forge.n();
    let mut data = forge.blocks.pop().unwrap().data;
    data.truncate(data.len() - 32);
    data.resize(2 * forge.geo.p() - 32, 0);
    forge.table_hash(n - 1, &mut data);
    forge.blocks.push(Block { kind: 2, data });
    let path = "heal/table-invalid-length.vec";
    let forged = Base {
        bytes: forge.file(),
        forge,
        payload: own.payload.clone(),
    };
    let comment =
        "A table block that is not valid: rebuilt. It has two data sectors, where one would do.";
    set.body(path, comment, &Expect::heals(), forged);
    set.with(path, "repaired-blake2b-256", &digest(&own.bytes));
    let mut forge = own.forge.clone();
    forge.blocks.pop();
    (forge.d, forge.i) = (forge.d - 1, forge.i + 1);
    let data = forge.table_block(0);
    let sector = forge.sector(2, 1, 1, own.forge.n() - 1, &data);
    heal(
        set,
        "table-conflict",
        "Behind the file stands a valid table block that somebody made, with another D and I.",
        BLOCKS,
        |h| {
            let all = h.base.bytes.len();
            h.line(format!("insert {all} {}", hex(&sector)))
        },
    );
}

fn replicas(set: &mut Set) {
    let own = set.base(BLOCKS);
    let all = own.bytes.len();
    let mut merge = |name: &str, comment: &str, lists: &[Vec<String>]| {
        let path = format!("heal/{name}.vec");
        set.damaged(&path, comment, &Expect::heals(), BLOCKS, lists);
    };
    merge(
        "replicas-quarters",
        "Two replicas, each of which lost other parts beyond repair.",
        &[
            vec![format!("zero {} {}", all / 8, all - all / 8)],
            vec![
                format!("zero 0 {}", all / 4),
                format!("zero {} {all}", all * 3 / 4),
            ],
        ],
    );
    merge(
        "replicas-shifted",
        "The second replica has lost its first bytes and the first its second half, but for the end.",
        &[
            vec![format!("zero 2048 {}", all - 512)],
            vec!["delete 0 700".into()],
        ],
    );
    let mut pageless = Harm::new(&own);
    for block in 0..own.forge.n() {
        pageless = pageless.zero(0, block, &[0]).zero(1, block, &[0]);
    }
    merge(
        "replicas-page-in-second",
        "The first replica has no header page left, the second little else.",
        &[
            pageless.steps("zero E").lines,
            vec![format!("zero 512 {all}")],
        ],
    );
    // Block 1 at the bound in the second replica, with the sector in the first as one of three slots.
    let second = Harm::new(&own).steps("zero A1.1,2,4,5 B1.1,2,6").lines;
    merge(
        "replicas-first-one-sector",
        "The first replica is one sector of block 1 and nothing else; the second, which has the header pages, needs it.",
        &[one_sector(own.forge.place(0, 1, 2) * 512), second],
    );
    // Whatever stands in the first file, the second is whole.
    let other = "open/passphrase-utf8.vec";
    for (name, class, comment, first) in [
        (
            "damaged-replicas-first-foreign",
            "damaged",
            "The first file is one sector of another archive and has no header page; the second is a whole archive, which does not stand in for it.",
            [
                vec!["truncate 0".into(), format!("include 0 {other}")],
                one_sector(512),
            ]
            .concat(),
        ),
        (
            "not-dbs-replicas-first",
            "not-dbs",
            "The first file is a text; the second is a whole archive, which does not stand in for it.",
            vec![
                "truncate 0".into(),
                format!("insert 0 {}", hex(&b"This is not a backup.\n".repeat(40))),
            ],
        ),
    ] {
        let path = format!("refuse/{name}.vec");
        let lists = [first, Vec::new()];
        set.damaged(&path, comment, &Expect::error(class), BLOCKS, &lists);
    }
    let expect = Expect {
        validate: "",
        validate_unlocked: "",
        ..Expect::error("misuse")
    };
    set.damaged(
        "refuse/misuse-other-archive.vec",
        "The second file is another archive, not a replica.",
        &expect,
        BLOCKS,
        &[
            vec!["zero 512 1024".into()],
            vec![
                "truncate 0".into(),
                "include 0 open/passphrase-utf8.vec".into(),
            ],
        ],
    );
}

/// Nothing but the sector at an offset.
fn one_sector(at: usize) -> Vec<String> {
    vec![format!("truncate {}", at + 512), format!("delete 0 {at}")]
}
