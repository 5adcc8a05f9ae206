//! A second writer, naive and written from `spec/dbs-v3.md` alone: it uses nothing of the library.
//!
//! It writes what the library's writer writes, byte for byte, and also what that one never would:
//! every stage can be changed before the next one is built upon it, so that all checksums hold.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bytes;
mod cbor;
mod field;
mod geo;
mod keys;

pub use bytes::*;
pub use cbor::*;
pub use field::*;
pub use geo::*;
pub use keys::*;

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
