//! Header pages that were changed, and whose page hash was made right.

use super::forge::*;
use super::refuse::SMALL;
use super::{Base, Expect, Set, table};

/// Names, changes, comments. A change is `offset=bytes`, or `offset^bits` to flip.
const UNSUPPORTED: &str = "
unsupported-critical-flag       | 1=01   | The header page sets a critical flag.
unsupported-critical-flag-high  | 1=80   | The header page sets the highest critical flag.
unsupported-suite               | 7=02   | Cipher suite 2.
unsupported-suite-zero          | 7=00   | Cipher suite 0.
unsupported-page-reserved       | 31=01  | A reserved byte of the header page is not zero.
unsupported-page-reserved-slots | 148=01 | A byte behind the last key slot is not zero.
unsupported-page-reserved-full  | 16=04 401=01 | The same behind as many key slots as there is room for.
unsupported-page-judged-first   | 1=01 2=ff00 16=00 | A critical flag in a page whose sector size, K and number of key slots are illegal: the flag is looked at first.
";

const INVALID: &str = "
invalid-page-no-slots    | 16=00 | A header page with no key slot is not valid, and there is no other.
invalid-page-slots       | 16=05 | A header page with more key slots than there is room for is not valid.
invalid-page-data        | 3=00  | K = 0.
invalid-page-sum         | 4=fd  | 1 + K + M_A + M_B = 257.
invalid-page-sum-b       | 6=01 5=fc | The same sum with most of the parity in copy B.
invalid-page-copy-b      | 6=03  | Copy B of kind 3.
invalid-page-no-parity   | 4=00  | No parity sector at all.
invalid-page-coded       | 6=02  | Copy B is coded and M_B = 0.
invalid-page-none        | 5=01  | No copy B and M_B = 1.
invalid-page-lag         | 8=01  | No copy B and a lag.
invalid-page-sector-size | 2=0a  | The page says sectors of 1024 bytes.
invalid-slot-passes      | 66=00 | A key slot with t = 0 makes the page invalid.
invalid-slot-lanes       | 65=00 | A key slot with p = 0 makes the page invalid.
invalid-slot-memory      | 68=07 | A key slot with m < 8 p makes the page invalid.
";

/// The commitment is left as it is.
const ALTERED: &str = "
authentication-commitment | 40^01 | One bit of the commitment.
authentication-generation | 12=01 | The generation was raised by somebody who does not know the data key.
authentication-minor      | 0=01  | The minor version was altered: informative, but committed to.
";

const NOT_OPENED: &str = "
wrong-passphrase-salt    | 72^01  | One bit of the salt, the page hash made right.
wrong-passphrase-nonce   | 88^01  | One bit of the nonce of the wrapping.
wrong-passphrase-wrapped | 104^01 | One bit of the wrapped key.
wrong-passphrase-costs   | 66=02  | Another number of passes.
";

const LIMITS: &str = "
limit-passes         | 66=41             | 65 passes of Argon2id: more than a reader's limit.
limit-memory         | 68=01001000       | 1 GiB and 1 KiB of memory for Argon2id.
limit-memory-highest | 68=ffffffff       | 2^32 - 1 KiB of memory for Argon2id.
limit-lanes          | 65=41 68=e8030000 | 65 lanes of Argon2id.
";

const UNKNOWN_SLOT: &str = "
unsupported-slot-types | 64=02 | The only key slot is of a type that nobody knows.
";

pub fn add(set: &mut Set) {
    for (text, expect, commit) in [
        (UNSUPPORTED, Expect::error("unsupported"), true),
        (INVALID, Expect::error("damaged"), true),
        (ALTERED, Expect::sealed("authentication"), false),
        (NOT_OPENED, Expect::sealed("wrong-passphrase"), false),
        (LIMITS, Expect::sealed("limit"), true),
        (UNKNOWN_SLOT, Expect::sealed("unsupported"), true),
    ] {
        for [name, changes, comment] in table(text) {
            page(set, name, comment, &expect, commit, &|p| change(p, changes));
        }
    }
    key_slots(set);
    replaced(set);
}

pub fn change(page: &mut [u8], changes: &str) {
    for change in changes.split(' ') {
        let at = change.find(['=', '^']).unwrap();
        let offset: usize = change[..at].parse().unwrap();
        let bytes = unhex(&change[at + 1..]).unwrap();
        let flip = change.as_bytes()[at] == b'^';
        for (to, byte) in page[offset..].iter_mut().zip(bytes) {
            *to = if flip { *to ^ byte } else { byte };
        }
    }
}

/// A small archive whose page was changed, and its page hash made right; also its commitment, if `commit`.
fn page(
    set: &mut Set,
    name: &str,
    comment: &str,
    expect: &Expect,
    commit: bool,
    change: &dyn Fn(&mut Vec<u8>),
) {
    let payload = painted(300);
    let mut forge = Forge::whole(SMALL, 0, &payload);
    let mut page = forge.page.clone();
    change(&mut page);
    if commit {
        forge.commit(&mut page);
    }
    forge.page_hash(&mut page);
    forge.page = page;
    body(set, name, comment, expect, forge, payload);
}

fn body(set: &mut Set, name: &str, comment: &str, expect: &Expect, forge: Forge, payload: Vec<u8>) {
    let bytes = forge.file();
    let base = Base {
        forge,
        bytes,
        payload,
    };
    set.body(&format!("refuse/{name}.vec"), comment, expect, base);
}

fn key_slots(set: &mut Set) {
    page(
        set,
        "authentication-slot-added",
        "A second key slot was added by somebody who does not know the data key.",
        &Expect::sealed("authentication"),
        false,
        &|p| {
            let slot = Slot::cheap("attacker", 5).wrap(&ARCHIVE, &[9; 32]);
            p[16] = 2;
            p[64 + 84..64 + 168].copy_from_slice(&slot);
        },
    );
    let mut forge = Forge::new(SMALL);
    forge.key_slots(&[Slot::cheap("first", 0), Slot::cheap("second", 1)]);
    forge.payload(&painted(300));
    forge.finish();
    let mut page = forge.page.clone();
    page[64..232].rotate_left(84);
    forge.page_hash(&mut page);
    forge.page = page;
    let expect = Expect::sealed("authentication").with_passphrase("first");
    let name = "authentication-slots-swapped";
    let comment = "Two key slots changed places.";
    body(set, name, comment, &expect, forge, Vec::new());
}

fn replaced(set: &mut Set) {
    let payload = painted(300);
    let mut forge = Forge::whole(SMALL, 0, &payload);
    let data_key = std::mem::replace(&mut forge.data_key, [9; 32]);
    forge.key_slots(&[Slot::cheap("attacker", 5)]);
    forge.page = forge.build_page();
    forge.data_key = data_key;
    body(
        set,
        "authentication-page-replaced",
        "A header page made with another data key throughout; the passphrase opens it, the blocks do not open.",
        &Expect::sealed("authentication").with_passphrase("attacker"),
        forge,
        payload,
    );
}
