//! CBOR, index entries and manifest.

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
