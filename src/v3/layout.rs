//! Every number of the layout of version 3, with the section of `spec/dbs-v3.md` it comes from.

/// "Sector": the first four bytes of every sector.
pub const MAGIC: [u8; 4] = [0x89, 0x44, 0x42, 0x53];
/// "Sector": the version byte.
pub const VERSION: u8 = 3;
/// "Sector": bytes before the payload.
pub const FRAME_LEN: usize = 32;
/// "Sector": bytes of the tag behind the payload.
pub const TAG_LEN: usize = 16;
/// "Sector": bytes of a sector that are not payload.
pub const SECTOR_OVERHEAD: usize = FRAME_LEN + TAG_LEN;
/// "Sector": the smallest and the largest sector, as powers of two.
pub const SECTOR_SHIFTS: std::ops::RangeInclusive<u8> = 9..=16;
/// "Sector": personalisation of the tag.
pub const PERSON_SECTOR: &[u8] = b"dbs3 sector";

/// "Reed-Solomon code": positions of the code, which are the elements of the field.
pub const CODE_LEN: usize = 256;
/// "Reed-Solomon code": parity sectors that even the shortest block has, if the geometry has them.
pub const MIN_PARITY: u8 = 8;

/// "Header page": the record ends here at the latest.
pub const PAGE_RECORD_MAX: usize = 768;
/// "Header page": bytes before the key slots.
pub const PAGE_FIXED_LEN: usize = 64;
/// "Header page": bytes of the page hash that ends the record.
pub const PAGE_HASH_LEN: usize = 32;
/// "Header page": personalisation of the page hash.
pub const PERSON_PAGE: &[u8] = b"dbs3 page";
/// "Header page": personalisation of the commitment.
pub const PERSON_COMMIT: &[u8] = b"dbs3 commit";
/// "Header page": cipher suite 1 is Argon2id, AES-256-GCM and BLAKE2b.
pub const SUITE: u8 = 1;

/// "Key slot": bytes of one.
pub const KEY_SLOT_LEN: usize = 84;
/// "Key slot": most of them in one page.
pub const KEY_SLOTS_MAX: usize = 8;
/// "Key slot": type 1 holds the data key wrapped under a passphrase.
pub const KEY_SLOT_PASSPHRASE: u8 = 1;
/// "Key slot": the associated data of the wrapping starts with this.
pub const KEY_SLOT_CONTEXT: &[u8] = b"dbs3 key slot";

/// "Keys": personalisation of the key that seals blocks.
pub const PERSON_BLOCK_KEY: &[u8] = b"dbs3 block key";
/// "Keys": personalisation of the key of the commitment.
pub const PERSON_PAGE_KEY: &[u8] = b"dbs3 page key";

/// "Sealed block": bytes of the header inside the encryption.
pub const SEALED_HEADER_LEN: usize = 16;
/// "Sealed block": bytes of the AES-GCM tag.
pub const GCM_TAG_LEN: usize = 16;

/// "Block table": bytes of one entry.
pub const ENTRY_LEN: usize = 33;
/// "Block table": bytes before the entries.
pub const TABLE_HEADER_LEN: usize = 32;
/// "Block table": bytes of the hash that ends a table block.
pub const TABLE_HASH_LEN: usize = 32;
/// "Block table": personalisation of an entry's hash.
pub const PERSON_BLOCK: &[u8] = b"dbs3 block";
/// "Block table": personalisation of a table block's own hash.
pub const PERSON_TABLE: &[u8] = b"dbs3 table";
/// "Block table": personalisation of the root hash.
pub const PERSON_ROOT: &[u8] = b"dbs3 root";

/// "Believed sectors": a frame this many bits away from the expected one still counts as its own.
pub const BELIEVED_BITS: u32 = 32;
/// "Believed sectors": one in so many of a region's near frames must name their slot and block.
pub const BELIEVED_SHARE: usize = 4;
