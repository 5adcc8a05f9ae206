//! Header pages that are damaged, older, or forged, and which of them counts.

use super::damage::*;
use super::forge::*;
use super::{Expect, Set};

pub fn add(set: &mut Set) {
    for (name, comment, bit) in [
        (
            "pages-one-left",
            "All header pages but one in the middle are wiped, the end sector too.",
            None,
        ),
        (
            "page-left-torn",
            "The only header page that is left stands in a sector whose tag does not hold: the page proves itself.",
            Some(511 * 8),
        ),
        (
            "page-left-magic",
            "The only header page that is left stands in a sector whose magic has a wrong bit.",
            Some(3),
        ),
    ] {
        heal(set, name, comment, BLOCKS, |mut h| {
            for block in 0..h.base.forge.n() {
                for copy in 0..2 {
                    if (copy, block) != (0, 3) {
                        h = h.zero(copy, block, &[0]);
                    }
                }
            }
            if let Some(bit) = bit {
                h = h.flip(0, 3, 0, &[bit]);
            }
            h.steps("zero E")
        });
    }
    heal_all(
        set,
        BLOCKS,
        "pages-ends-wiped | zero A0.0 E | The first and the last sector are wiped.",
    );
    heal(
        set,
        "pages-none-intact",
        "Every header page has a wrong bit, each at another place: the majority has none.",
        BLOCKS,
        |mut h| {
            for block in 0..h.base.forge.n() {
                let byte = 11 * block as usize;
                h = h
                    .flip(0, block, 0, &[(32 + byte) * 8])
                    .flip(1, block, 0, &[(40 + byte) * 8]);
            }
            h.steps("flip E@264")
        },
    );
    generations(set);
    forged_pages(set);
    heal_all(
        set,
        "open/sectors-4096.vec",
        "
page-behind-record       | forge A1.0+800=01  | A header page with a non-zero byte behind the record, its tag made right: a bad sector, but the page is valid.
page-behind-record-first | forge A0.0+4079=01 | The same in the first sector of the file.
",
    );
}

/// A change of passphrase that was interrupted: the older page stands in part of the file.
fn generations(set: &mut Set) {
    let payload = painted(2000);
    let made = |passphrase: &str, generation: u32| {
        let mut forge = Forge::new(TINY);
        forge.generation = generation;
        forge.key_slots(&[Slot::cheap(passphrase, generation as u8)]);
        forge.payload(&payload);
        forge.finish();
        forge
    };
    let (old, new) = (made("old", 0), made("new", 1));
    let base = "open/passphrase-changed.vec";
    let comment = "After one change of the passphrase.";
    let expect = Expect::clean().with_passphrase("new");
    set.container(base, comment, &expect, &new, &payload);
    let own = set.base(base);
    let n = new.n();
    let stale = |places: &[(usize, u64)]| {
        let mut harm = Harm::new(&own);
        for &(copy, block) in places {
            let (kind, k) = match block == n {
                true => (255, 0),
                false => (new.blocks[block as usize].kind, new.k(block)),
            };
            let sector = old.sector(kind, 0, k, block, &old.page);
            harm = harm.write(copy, block, 0, &sector);
        }
        harm.lines
    };
    let expect = Expect::heals().with_passphrase("new");
    let middle = stale(&(1..n).map(|b| (1, b)).chain([(0, n)]).collect::<Vec<_>>());
    let mut lines = Harm::new(&own).steps("zero A0.0").lines;
    lines.extend(middle);
    set.damaged(
        "heal/pages-new-first-lost.vec",
        "A change of passphrase reached the first pages, and the first sector is lost: the last page is old, newer ones stand in the middle.",
        &expect,
        base,
        &[lines],
    );
    let first_half: Vec<_> = (0..n).map(|b| (0, b)).collect();
    let second_half: Vec<_> = (0..n).map(|b| (1, b)).chain([(0, n)]).collect();
    set.damaged(
        "heal/replicas-generations.vec",
        "The first replica is older and whole, the second newer: the higher generation counts.",
        &expect,
        base,
        &[
            stale(&[&first_half[..], &second_half].concat()),
            vec!["zero 512 1024".into()],
        ],
    );
    for (name, comment, places) in [
        (
            "pages-old-behind",
            "A change of passphrase reached the first half of the pages: the higher generation counts.",
            second_half,
        ),
        (
            "pages-old-first",
            "The older page stands in the first half.",
            first_half.clone(),
        ),
        (
            "pages-old-middle",
            "First and last page are new, one in the middle is old.",
            vec![(1, 1)],
        ),
    ] {
        let path = format!("heal/{name}.vec");
        set.damaged(&path, comment, &expect, base, &[stale(&places)]);
    }
    let expect = Expect {
        restore: "wrong-passphrase",
        validate_unlocked: "wrong-passphrase",
        ..Expect::heals().with_passphrase("old")
    };
    set.damaged(
        "refuse/wrong-passphrase-rollback.vec",
        "A passphrase was changed and older header pages stand in half of the file: they must not bring it back.",
        &expect,
        base,
        &[stale(&first_half)],
    );
}

/// Header pages that somebody made who does not know the data key.
fn forged_pages(set: &mut Set) {
    let own = set.base(BLOCKS);
    let forge = &own.forge;
    let n = forge.n();
    let page = |change: &dyn Fn(&mut [u8])| {
        let mut page = forge.page.clone();
        change(&mut page);
        forge.page_hash(&mut page);
        page
    };
    let highest = page(&|p| p[12..16].fill(0xff));
    let flagged = page(&|p| p[1] = 1);
    let lagging = page(&|p| (p[8], p[12]) = (1, 5));
    for (name, comment, block, page) in [
        (
            "page-forged-middle",
            "A page of the highest generation stands in the middle: first and last sector agree on another one.",
            2,
            &highest,
        ),
        (
            "page-forged-flag",
            "The last page sets a critical flag, of the same generation: the first one counts.",
            n,
            &flagged,
        ),
        (
            "page-forged-lag",
            "The last page has a higher generation and another lag, which no change of key slots makes.",
            n,
            &lagging,
        ),
    ] {
        let (kind, k) = match block == n {
            true => (255, 0),
            false => (forge.blocks[block as usize].kind, forge.k(block)),
        };
        let sector = forge.sector(kind, 0, k, block, page);
        heal(set, name, comment, BLOCKS, |h| {
            h.write(0, block, 0, &sector)
        });
    }
    let newer = page(&|p| (p[1], p[8], p[12]) = (1, 1, 5));
    let sector = forge.sector(255, 0, 0, n, &newer);
    set.damaged(
        "refuse/unsupported-page-newer.vec",
        "The last page has a higher generation, a critical flag, and another lag, which is not judged in such a page.",
        &Expect::error("unsupported"),
        BLOCKS,
        &[Harm::new(&own).write(0, n, 0, &sector).lines],
    );
    // Of the same generation, as any other block has it.
    let lagging = page(&|p| p[8] = 1);
    let sector = forge.sector(forge.blocks[1].kind, 0, forge.k(1), 1, &lagging);
    heal(
        set,
        "page-forged-before-last",
        "The first sector is lost, and a page with another lag stands behind it: that of the last sector is looked at \
         before those between.",
        BLOCKS,
        |h| h.zero(0, 0, &[0]).write(0, 1, 0, &sector),
    );
}
