//! A second writer, naive and written from `spec/dbs-v3.md` alone: it uses nothing of the library.
//!
//! It writes what the library's writer writes, byte for byte, and also what that one never would:
//! every stage can be changed before the next one is built upon it, so that all checksums hold.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};

/// Sections 2 and 9: BLAKE2b with a personalisation, perhaps a key.
pub fn blake2b(len: usize, person: &[u8], key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(len).personal(person).key(key);
    let mut state = params.to_state();
    for part in parts {
        state.update(part);
    }
    state.finalize().as_bytes().to_vec()
}

/// BLAKE2b-256 without a personalisation, for hashes that stand in vectors.
pub fn digest(bytes: &[u8]) -> String {
    hex(&blake2b(32, b"", b"", &[bytes]))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// Bytes that are painted with a period of 251, which no power of two divides.
pub fn painted(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// Section 6: the product in GF(2^8)/0x11D.
pub fn gf_mul(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

pub fn gf_inv(a: u8) -> u8 {
    INVERSES[usize::from(a)]
}

static PRODUCTS: LazyLock<Vec<[u8; 256]>> = LazyLock::new(|| {
    let row = |a| std::array::from_fn(|b| product(a, b as u8));
    (0..=u8::MAX).map(row).collect()
});

static INVERSES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    // a^254
    std::array::from_fn(|a| (0..254).fold(1, |power, _| gf_mul(power, a as u8)))
});

/// Bit by bit.
fn product(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (u16::from(a), 0);
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= 0x11d;
        }
    }
    product as u8
}

/// Section 6, "the same by interpolation": row `slot` of G, columns 1..=k.
pub fn row(data: u8, slot: u8, k: u8) -> Vec<u8> {
    (1..=k)
        .map(|c| {
            (0..=data).filter(|j| *j != c).fold(1, |product, j| {
                gf_mul(product, gf_mul(slot ^ j, gf_inv(c ^ j)))
            })
        })
        .collect()
}

/// Section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Geo {
    pub shift: u8,
    pub k: u8,
    pub ma: u8,
    pub mb: u8,
    /// 0 none, 1 mirrored, 2 coded.
    pub copy_b: u8,
}

pub const STANDARD: Geo = Geo {
    shift: 9,
    k: 223,
    ma: 16,
    mb: 16,
    copy_b: 1,
};
pub const CODED: Geo = Geo {
    shift: 9,
    k: 119,
    ma: 8,
    mb: 128,
    copy_b: 2,
};
pub const LIGHT: Geo = Geo {
    shift: 9,
    k: 223,
    ma: 32,
    mb: 0,
    copy_b: 0,
};
/// The geometry of the worked example of section 28.
pub const TINY: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 2,
    mb: 2,
    copy_b: 1,
};
pub const TINY_CODED: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 2,
    mb: 4,
    copy_b: 2,
};
pub const TINY_LIGHT: Geo = Geo {
    shift: 9,
    k: 3,
    ma: 3,
    mb: 0,
    copy_b: 0,
};
/// One data sector a block, so that few blocks need several table blocks.
pub const SINGLE: Geo = Geo {
    shift: 9,
    k: 1,
    ma: 1,
    mb: 1,
    copy_b: 1,
};

impl Geo {
    pub fn with_shift(self, shift: u8) -> Self {
        Geo { shift, ..self }
    }
    pub fn size(&self) -> usize {
        1 << self.shift
    }
    /// P
    pub fn p(&self) -> usize {
        self.size() - 48
    }
    /// C
    pub fn c(&self) -> usize {
        usize::from(self.k) * self.p() - 32
    }
    /// E
    pub fn e(&self) -> usize {
        (usize::from(self.k) * self.p() - 64) / 33
    }
    /// R
    pub fn r(&self) -> usize {
        self.p().min(768)
    }
    /// Parity sectors of a block with `k` data sectors, of `m` (section 5).
    pub fn m(&self, m: u8, k: u8) -> u8 {
        let base = m.min(8);
        base + (usize::from(m - base) * usize::from(k) / usize::from(self.k)) as u8
    }
    pub fn parity_a(&self, k: u8) -> Vec<u8> {
        (0..self.m(self.ma, k)).map(|i| self.k + 1 + i).collect()
    }
    pub fn parity_b(&self, k: u8) -> Vec<u8> {
        (0..self.m(self.mb, k))
            .map(|i| self.k + self.ma + 1 + i)
            .collect()
    }
    /// The slots of copy A (0) or B (1), in the order of the file.
    pub fn slots(&self, copy: usize, k: u8) -> Vec<u8> {
        let mut slots = vec![0];
        match (copy, self.copy_b) {
            (0, _) => {
                slots.extend(1..=k);
                slots.extend(self.parity_a(k));
            }
            (_, 0) => slots.clear(),
            (_, 1) => {
                slots.extend(1..=k);
                slots.extend(self.parity_b(k));
            }
            _ => slots.extend(self.parity_b(k)),
        }
        slots
    }
    /// Slots of a block but for the header page, each once.
    pub fn distinct(&self, k: u8) -> Vec<u8> {
        (1..=k)
            .chain(self.parity_a(k))
            .chain(self.parity_b(k))
            .collect()
    }
}

/// Section 14.4: X and T, if N is legal.
pub fn split(geo: &Geo, n: u64) -> Option<(u64, u64)> {
    let e = geo.e() as u64;
    let t = n.div_ceil(e + 1);
    let x = n.checked_sub(t)?;
    (x >= 1 && x.div_ceil(e) == t && t < 1 << 32).then_some((x, t))
}

/// Section 15: the copies of the blocks in the order of the file, (copy, block).
pub fn walk(geo: &Geo, lag: u64, n: u64) -> Vec<(usize, u64)> {
    let mut order = Vec::new();
    if geo.copy_b == 0 {
        order.extend((0..n).map(|b| (0, b)));
    } else if lag == 0 {
        order.extend((0..n).map(|b| (0, b)));
        order.extend((0..n).map(|b| (1, b)));
    } else {
        for i in 0..n.saturating_add(lag.min(n)) {
            if i < n {
                order.push((0, i));
            }
            if i >= lag.min(n) && i - lag.min(n) < n {
                order.push((1, i - lag.min(n)));
            }
        }
    }
    order
}

/// Section 8.
pub fn kek(passphrase: &[u8], salt: &[u8; 16], t: u16, m: u32, p: u8) -> [u8; 32] {
    let params = Params::new(m, t.into(), p.into(), Some(32)).unwrap();
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key)
        .unwrap();
    key
}

/// AES-256-GCM: ciphertext and tag.
pub fn aead(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(&Nonce::from(*nonce), aad, bytes.as_mut_slice().into())
        .unwrap();
    bytes.extend_from_slice(&tag);
    bytes
}

/// How a key slot is made.
#[derive(Debug, Clone)]
pub struct Slot {
    pub kind: u8,
    pub passphrase: Vec<u8>,
    pub t: u16,
    pub m: u32,
    pub p: u8,
    pub salt: [u8; 16],
    pub nonce: [u8; 12],
}

impl Slot {
    /// Far too cheap for use.
    pub fn cheap(passphrase: &str, tag: u8) -> Self {
        Slot {
            kind: 1,
            passphrase: passphrase.as_bytes().to_vec(),
            t: 1,
            m: 8,
            p: 1,
            salt: std::array::from_fn(|i| 0x40 + tag * 16 + i as u8),
            nonce: std::array::from_fn(|i| 0x50 + tag * 16 + i as u8),
        }
    }

    pub fn bound(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.p];
        bytes.extend_from_slice(&self.t.to_le_bytes());
        bytes.extend_from_slice(&self.m.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    pub fn aad(&self, archive: &[u8; 16]) -> Vec<u8> {
        [b"dbs3 key slot", &archive[..], &self.bound()].concat()
    }

    pub fn wrap(&self, archive: &[u8; 16], data_key: &[u8; 32]) -> Vec<u8> {
        let kek = kek(&self.passphrase, &self.salt, self.t, self.m, self.p);
        self.wrap_with(&kek, archive, data_key)
    }

    pub fn wrap_with(&self, kek: &[u8; 32], archive: &[u8; 16], data_key: &[u8; 32]) -> Vec<u8> {
        let wrapped = aead(kek, &self.nonce, &self.aad(archive), data_key);
        [self.bound(), self.nonce.to_vec(), wrapped].concat()
    }
}

pub fn block_key(data_key: &[u8; 32]) -> [u8; 32] {
    blake2b(32, b"dbs3 block key", data_key, &[])
        .try_into()
        .unwrap()
}

pub fn page_key(data_key: &[u8; 32]) -> [u8; 32] {
    blake2b(32, b"dbs3 page key", data_key, &[])
        .try_into()
        .unwrap()
}

/// Section 10: nonce and associated data.
pub fn seal_context(archive: &[u8; 16], block: u64, kind: u8, k: u8) -> ([u8; 12], Vec<u8>) {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&block.to_le_bytes());
    nonce[8] = kind;
    let aad = [&archive[..], &block.to_le_bytes(), &[kind, k]].concat();
    (nonce, aad)
}

/// Section 10: the plaintext of a block, padded to whole sectors.
pub fn plain(geo: &Geo, codec: u8, stored: &[u8], raw: &[u8]) -> Vec<u8> {
    let mut bytes = vec![codec, 0, 0, 0];
    bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(raw).to_le_bytes());
    bytes.extend_from_slice(stored);
    let k = (stored.len() + 32).div_ceil(geo.p());
    bytes.resize(k * geo.p() - 16, 0);
    bytes
}

/// Just enough of CBOR (RFC 8949), deterministic.
#[derive(Debug, Clone, Default)]
pub struct Cbor(pub Vec<u8>);

impl Cbor {
    fn head(mut self, major: u8, n: u64) -> Self {
        let major = major << 5;
        match n {
            0..=23 => self.0.push(major | n as u8),
            24..=0xff => self.0.extend_from_slice(&[major | 24, n as u8]),
            0x100..=0xffff => {
                self.0.push(major | 25);
                self.0.extend_from_slice(&(n as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(major | 26);
                self.0.extend_from_slice(&(n as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend_from_slice(&n.to_be_bytes());
            }
        }
        self
    }
    pub fn map(self, pairs: u64) -> Self {
        self.head(5, pairs)
    }
    pub fn uint(self, n: u64) -> Self {
        self.head(0, n)
    }
    pub fn int(self, n: i64) -> Self {
        if n >= 0 {
            self.head(0, n as u64)
        } else {
            self.head(1, !(n as u64))
        }
    }
    pub fn text(self, text: &str) -> Self {
        let mut cbor = self.head(3, text.len() as u64);
        cbor.0.extend_from_slice(text.as_bytes());
        cbor
    }
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut cbor = self.head(2, bytes.len() as u64);
        cbor.0.extend_from_slice(bytes);
        cbor
    }
}

/// Section 12, keys 1 to 9.
#[derive(Debug, Clone)]
pub struct IndexEntry {
    pub path: Vec<u8>,
    pub kind: u64,
    pub size: u64,
    pub mtime: i64,
    pub nanos: u64,
    pub mode: u64,
    pub offset: u64,
    pub length: u64,
    pub link: Option<Vec<u8>>,
}

impl IndexEntry {
    pub fn to_bytes(&self) -> Vec<u8> {
        let keys = 7 + u64::from(self.nanos != 0) + u64::from(self.link.is_some());
        let mut cbor = Cbor::default()
            .map(keys)
            .uint(1)
            .bytes(&self.path)
            .uint(2)
            .uint(self.kind)
            .uint(3)
            .uint(self.size)
            .uint(4)
            .int(self.mtime);
        if self.nanos != 0 {
            cbor = cbor.uint(5).uint(self.nanos);
        }
        cbor = cbor
            .uint(6)
            .uint(self.mode)
            .uint(7)
            .uint(self.offset)
            .uint(8)
            .uint(self.length);
        if let Some(link) = &self.link {
            cbor = cbor.uint(9).bytes(link);
        }
        cbor.0
    }
}

/// Section 13.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub media_type: String,
    pub producer: String,
    pub created: i64,
    pub payload_len: u64,
    pub d: u64,
    pub i: u64,
    pub root: Vec<u8>,
    pub entries: u64,
    pub index: Vec<u8>,
}

impl Manifest {
    pub fn to_bytes(&self) -> Vec<u8> {
        let cbor = Cbor::default()
            .map(8 + u64::from(!self.index.is_empty()))
            .uint(1)
            .text(&self.media_type)
            .uint(2)
            .text(&self.producer)
            .uint(3)
            .int(self.created)
            .uint(4)
            .uint(self.payload_len)
            .uint(5)
            .uint(self.d)
            .uint(6)
            .uint(self.i)
            .uint(7)
            .bytes(&self.root)
            .uint(8)
            .uint(self.entries);
        if self.index.is_empty() {
            cbor.0
        } else {
            cbor.uint(9).bytes(&self.index).0
        }
    }
}

/// One block: its kind, and the payloads of its data sectors.
#[derive(Debug, Clone)]
pub struct Block {
    pub kind: u8,
    pub data: Vec<u8>,
}

/// A container in the making. The stages, each of which may be altered before the next:
/// `payload` or `push`, `manifest`, `finish_table`, `page`, then `file`.
#[derive(Debug, Clone)]
pub struct Forge {
    pub geo: Geo,
    pub lag: u32,
    pub generation: u32,
    pub archive: [u8; 16],
    pub data_key: [u8; 32],
    pub slots: Vec<Vec<u8>>,
    pub media_type: String,
    pub producer: String,
    pub created: i64,
    pub payload_len: u64,
    pub d: u64,
    pub i: u64,
    pub blocks: Vec<Block>,
    /// Payload of every sector of slot 0.
    pub page: Vec<u8>,
    /// N in the end sector, if it is to be another than the number of blocks.
    pub end_n: Option<u64>,
}

pub const ARCHIVE: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
pub const PASSPHRASE: &str = "correct horse battery staple";

impl Forge {
    pub fn new(geo: Geo) -> Self {
        let data_key = std::array::from_fn(|i| 0x20 + i as u8);
        Forge {
            geo,
            lag: 0,
            generation: 0,
            archive: ARCHIVE,
            data_key,
            slots: vec![Slot::cheap(PASSPHRASE, 0).wrap(&ARCHIVE, &data_key)],
            media_type: "application/octet-stream".into(),
            producer: "vectors".into(),
            created: 1_700_000_000,
            payload_len: 0,
            d: 0,
            i: 0,
            blocks: Vec::new(),
            page: Vec::new(),
            end_n: None,
        }
    }

    /// The whole container of a payload, stored.
    pub fn whole(geo: Geo, lag: u32, payload: &[u8]) -> Self {
        let mut forge = Forge::new(geo);
        forge.lag = lag;
        forge.payload(payload);
        forge.finish();
        forge
    }

    pub fn key_slots(&mut self, slots: &[Slot]) {
        self.slots = slots
            .iter()
            .map(|slot| slot.wrap(&self.archive, &self.data_key))
            .collect();
    }

    pub fn payload(&mut self, payload: &[u8]) {
        self.payload_len = payload.len() as u64;
        for raw in payload.chunks(self.geo.c()) {
            self.push(0, plain(&self.geo, 0, raw, raw));
        }
    }

    /// As `payload`, compressed where that saves a sector.
    pub fn compressed(&mut self, payload: &[u8], level: i32) {
        self.payload_len = payload.len() as u64;
        for raw in payload.chunks(self.geo.c()) {
            let frame = zstd::bulk::compress(raw, level).unwrap();
            let sectors = |len: usize| (len + 32).div_ceil(self.geo.p());
            if sectors(frame.len()) < sectors(raw.len()) {
                self.push(0, plain(&self.geo, 1, &frame, raw));
            } else {
                self.push(0, plain(&self.geo, 0, raw, raw));
            }
        }
    }

    /// Seals a plaintext as the next block.
    pub fn push(&mut self, kind: u8, plaintext: Vec<u8>) {
        let block = self.blocks.len() as u64;
        let k = ((plaintext.len() + 16) / self.geo.p()) as u8;
        let (nonce, aad) = seal_context(&self.archive, block, kind, k);
        let data = aead(&block_key(&self.data_key), &nonce, &aad, &plaintext);
        self.blocks.push(Block { kind, data });
        match kind {
            0 => self.d += 1,
            3 => self.i += 1,
            _ => {}
        }
    }

    /// Section 14.1.
    pub fn entry(&self, block: u64) -> Vec<u8> {
        let Block { kind, data } = &self.blocks[block as usize];
        let k = (data.len() / self.geo.p()) as u8;
        let mut tags = Vec::new();
        for (slot, payload) in (1..=k).zip(data.chunks(self.geo.p())) {
            let sector = self.sector(*kind, slot, k, block, payload);
            tags.extend_from_slice(&sector[self.geo.size() - 16..]);
        }
        [vec![k], blake2b(32, b"dbs3 block", b"", &[&tags])].concat()
    }

    /// Section 14.3, from the blocks that are there.
    pub fn root(&self) -> Vec<u8> {
        let entries: Vec<u8> = (0..self.d + self.i).flat_map(|b| self.entry(b)).collect();
        blake2b(32, b"dbs3 root", b"", &[&self.archive, &entries])
    }

    /// The manifest as it should be, to be changed or pushed.
    pub fn manifest(&self) -> Manifest {
        Manifest {
            media_type: self.media_type.clone(),
            producer: self.producer.clone(),
            created: self.created,
            payload_len: self.payload_len,
            d: self.d,
            i: self.i,
            root: self.root(),
            entries: 0,
            index: Vec::new(),
        }
    }

    pub fn push_manifest(&mut self, raw: &[u8]) {
        self.push(1, plain(&self.geo, 0, raw, raw));
    }

    /// Table block `t` (section 14.2) for the blocks that are there.
    pub fn table_block(&self, t: u64) -> Vec<u8> {
        let geo = &self.geo;
        let x = self.d + self.i + 1;
        let e = geo.e() as u64;
        let (from, to) = (t * e, x.min((t + 1) * e));
        let mut bytes = from.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.d.to_le_bytes());
        bytes.extend_from_slice(&(self.i as u32).to_le_bytes());
        bytes.extend_from_slice(&(x.div_ceil(e) as u32).to_le_bytes());
        bytes.extend_from_slice(&((to - from) as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for block in from..to {
            bytes.extend_from_slice(&self.entry(block));
        }
        let k = (bytes.len() + 32).div_ceil(geo.p());
        bytes.resize(k * geo.p() - 32, 0);
        self.table_hash(x + t, &mut bytes);
        bytes
    }

    /// Puts the table hash behind the bytes before it.
    pub fn table_hash(&self, block: u64, bytes: &mut Vec<u8>) {
        let hash = blake2b(
            32,
            b"dbs3 table",
            b"",
            &[&self.archive, &block.to_le_bytes(), bytes],
        );
        bytes.extend_from_slice(&hash);
    }

    pub fn push_tables(&mut self) {
        let x = self.d + self.i + 1;
        for t in 0..x.div_ceil(self.geo.e() as u64) {
            let data = self.table_block(t);
            self.blocks.push(Block { kind: 2, data });
        }
    }

    /// Section 7: the record with commitment and hash, and the zeros behind it.
    pub fn build_page(&self) -> Vec<u8> {
        let geo = &self.geo;
        let mut page = vec![0; geo.p()];
        page[2..8].copy_from_slice(&[geo.shift, geo.k, geo.ma, geo.mb, geo.copy_b, 1]);
        page[8..12].copy_from_slice(&self.lag.to_le_bytes());
        page[12..16].copy_from_slice(&self.generation.to_le_bytes());
        page[16] = self.slots.len() as u8;
        let slots = self.slots.concat();
        page[64..64 + slots.len()].copy_from_slice(&slots);
        self.commit(&mut page);
        self.page_hash(&mut page);
        page
    }

    /// Writes the commitment for what stands in the page.
    pub fn commit(&self, page: &mut [u8]) {
        let slots = usize::from(page[16]).min((self.geo.r() - 96) / 84) * 84;
        let parts: [&[u8]; 3] = [&self.archive, &page[..32], &page[64..64 + slots]];
        let commitment = blake2b(32, b"dbs3 commit", &page_key(&self.data_key), &parts);
        page[32..64].copy_from_slice(&commitment);
    }

    /// Writes the page hash for what stands in the page.
    pub fn page_hash(&self, page: &mut [u8]) {
        let r = self.geo.r();
        let hash = blake2b(32, b"dbs3 page", b"", &[&self.archive, &page[..r - 32]]);
        page[r - 32..r].copy_from_slice(&hash);
    }

    /// Manifest, tables and page as they should be, from the blocks that are there.
    pub fn finish(&mut self) {
        let manifest = self.manifest().to_bytes();
        self.finish_with(&manifest);
    }

    /// The same with these raw bytes as the manifest.
    pub fn finish_with(&mut self, manifest: &[u8]) {
        self.push_manifest(manifest);
        self.push_tables();
        self.page = self.build_page();
    }

    /// Sector with frame and tag (section 4).
    pub fn sector(&self, kind: u8, slot: u8, k: u8, block: u64, payload: &[u8]) -> Vec<u8> {
        let mut sector = vec![0x89, 0x44, 0x42, 0x53, 3, kind, slot, k];
        sector.extend_from_slice(&block.to_le_bytes());
        sector.extend_from_slice(&self.archive);
        sector.extend_from_slice(payload);
        let tag = blake2b(16, b"dbs3 sector", b"", &[&sector]);
        sector.extend_from_slice(&tag);
        sector
    }

    pub fn k(&self, block: u64) -> u8 {
        (self.blocks[block as usize].data.len() / self.geo.p()) as u8
    }

    pub fn n(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The payload of one slot of one block.
    pub fn slot_payload(&self, block: u64, slot: u8, rows: &mut Rows) -> Vec<u8> {
        let (p, k) = (self.geo.p(), self.k(block));
        let data = &self.blocks[block as usize].data;
        if slot == 0 {
            return self.page.clone();
        }
        if slot <= k {
            return data[(usize::from(slot) - 1) * p..usize::from(slot) * p].to_vec();
        }
        let mut parity = vec![0; p];
        let coefficients = rows.get(self.geo.k, slot);
        for (payload, &factor) in data.chunks(p).zip(coefficients) {
            let products: [u8; 256] = std::array::from_fn(|b| gf_mul(factor, b as u8));
            for (sum, byte) in parity.iter_mut().zip(payload) {
                *sum ^= products[usize::from(*byte)];
            }
        }
        parity
    }

    /// One copy of a block: 0 is A, 1 is B.
    pub fn copy(&self, block: u64, copy: usize, rows: &mut Rows) -> Vec<u8> {
        let (kind, k) = (self.blocks[block as usize].kind, self.k(block));
        let mut bytes = Vec::new();
        for slot in self.geo.slots(copy, k) {
            let payload = self.slot_payload(block, slot, rows);
            bytes.extend_from_slice(&self.sector(kind, slot, k, block, &payload));
        }
        bytes
    }

    pub fn end_sector(&self) -> Vec<u8> {
        self.sector(255, 0, 0, self.end_n.unwrap_or(self.n()), &self.page)
    }

    /// The file in canonical order.
    pub fn file(&self) -> Vec<u8> {
        let mut rows = Rows::default();
        let mut bytes = Vec::new();
        for (copy, block) in walk(&self.geo, self.lag.into(), self.n()) {
            bytes.extend_from_slice(&self.copy(block, copy, &mut rows));
        }
        bytes.extend_from_slice(&self.end_sector());
        bytes
    }

    /// What stands where: for every sector of the file, (copy, block, slot). The end sector is
    /// (0, N, 0).
    pub fn map(&self) -> Vec<(usize, u64, u8)> {
        let mut map = Vec::new();
        for (copy, block) in walk(&self.geo, self.lag.into(), self.n()) {
            for slot in self.geo.slots(copy, self.k(block)) {
                map.push((copy, block, slot));
            }
        }
        map.push((0, self.n(), 0));
        map
    }

    /// The number of the sector that holds a slot of a copy of a block.
    pub fn place(&self, copy: usize, block: u64, slot: u8) -> usize {
        self.map()
            .iter()
            .position(|at| *at == (copy, block, slot))
            .unwrap()
    }
}

/// Rows of the matrix, each made once.
#[derive(Default)]
pub struct Rows(std::collections::HashMap<(u8, u8), Vec<u8>>);

impl Rows {
    pub fn get(&mut self, data: u8, slot: u8) -> &[u8] {
        self.0
            .entry((data, slot))
            .or_insert_with(|| row(data, slot, data))
    }
}
