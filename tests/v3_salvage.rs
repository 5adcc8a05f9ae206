//! What is left of a container of version 3 whose manifest is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/forge.rs"]
mod forge;

use dbs::{Archive, Passphrase, Unlocked};
use forge::{Forge, PASSPHRASE, TINY, painted};

/// Nobody knows then where the last block ends: its room counts, and reading there ends early.
#[test]
fn reading_behind_the_end_that_nobody_knows() {
    let payload = painted(2 * TINY.c() + 100);
    let forge = Forge::whole(TINY, 0, &payload);
    let mut file = forge.file();
    for (index, (_, block, _)) in forge.map().into_iter().enumerate() {
        if block == forge.d {
            file[index * 512..(index + 1) * 512].fill(0);
        }
    }
    let archive = Archive::open(file).expect("open");
    let unlocked = archive.unlock_for_salvage(&Passphrase::new(PASSPHRASE));
    let left = unlocked.and_then(Unlocked::into_v3).expect("unlock");
    assert!(left.manifest().is_none());
    let (end, room) = (payload.len() as u64, left.len());
    assert_eq!(room, 3 * TINY.c() as u64);
    for at in [0, end - 1, end, end + 1, room - 1] {
        let expected = &payload[(at as usize).min(payload.len())..];
        let mut found = Vec::new();
        left.copy_range_to(at..room, &mut found).expect("copy");
        assert_eq!(found, expected, "from {at}");
        let read = left.read_range(at..room).expect("read");
        assert_eq!(read, expected, "from {at}");
    }
}
