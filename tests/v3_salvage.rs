//! What is left of a container of version 3 whose manifest is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/forge/mod.rs"]
mod forge;

use dbs::{Archive, Passphrase, Unlocked};
use forge::{Forge, PASSPHRASE, TINY, painted};

/// The payload ends then where the last block does that opens, and nothing is read behind that.
#[test]
fn without_a_manifest_the_last_block_that_opens_is_the_end() {
    let payload = painted(2 * TINY.c() + 100);
    let forge = Forge::whole(TINY, 0, &payload);
    for (lost, end) in [(forge.d, payload.len()), (forge.d - 1, 2 * TINY.c())] {
        let mut file = forge.file();
        for (index, (_, block, _)) in forge.map().into_iter().enumerate() {
            if (lost..=forge.d).contains(&block) {
                file[index * 512..(index + 1) * 512].fill(0);
            }
        }
        let archive = Archive::open(file).expect("open");
        let unlocked = archive.unlock_for_salvage(&Passphrase::new(PASSPHRASE));
        let left = unlocked.and_then(Unlocked::into_v3).expect("unlock");
        assert!(left.manifest().is_none());
        assert_eq!(left.len(), end as u64, "lost from {lost}");
        for at in [0, 1, end - 1, end] {
            let range = at as u64..end as u64;
            let read = left.read_range(range).expect("read");
            assert_eq!(read, payload[at..end], "from {at}");
        }
        assert!(left.read_range(0..end as u64 + 1).is_err());
    }
}
