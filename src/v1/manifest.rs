//! The manifest of version 1: JSON (`spec/dbs-v1.md`, section 6).

use base64ct::{Base64, Encoding};
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::copies::kdf::Kdf;
use crate::copies::rows::encoded_len;
use crate::error::Damage;
use crate::{Error, Limits, Result};

/// A manifest whose numbers agree with each other.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) created: String,
    pub(crate) compressed: bool,
    pub(crate) payload_sha256: [u8; 32],
    pub(crate) block_size: u64,
    pub(crate) nsym: usize,
    /// Body and tag.
    pub(crate) ciphertext_len: u64,
    pub(crate) copy_len: u64,
    /// BLAKE2b-128 of each block, encoded.
    pub(crate) encoded_hashes: Vec<[u8; 16]>,
    /// BLAKE2b-128 of each block before it was encoded; a reader needs only the other.
    pub(crate) data_hashes: Vec<[u8; 16]>,
    pub(crate) kdf: Kdf,
    pub(crate) salt: Vec<u8>,
    pub(crate) wrapped_key: [u8; 48],
    pub(crate) key_nonce: [u8; 12],
    pub(crate) body_nonce: [u8; 12],
}

#[derive(Deserialize)]
struct Raw {
    format: Option<String>,
    version: Option<u64>,
    #[serde(default)]
    created: String,
    compression: Option<String>,
    payload_sha256: Hex<32>,
    copy_len: u64,
    blocks: RawBlocks,
    crypto: RawCrypto,
}

#[derive(Deserialize)]
struct RawBlocks {
    block_size: u64,
    nsym: u64,
    ciphertext_len: u64,
    enc_lens: Vec<u64>,
    enc_hashes: Vec<Hex<16>>,
    data_hashes: Vec<Hex<16>>,
}

#[derive(Deserialize)]
struct RawCrypto {
    kdf: Option<String>,
    salt: Base64Bytes,
    params: Kdf,
    wrapped_dek: Base64Bytes,
    dek_nonce: Base64Bytes,
    data_nonce: Base64Bytes,
}

/// Bytes as hexadecimal digits.
struct Hex<const N: usize>([u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        let mut bytes = [0; N];
        if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(D::Error::custom(format!("{} hex digits expected", 2 * N)));
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(D::Error::custom)?;
        }
        Ok(Hex(bytes))
    }
}

/// Bytes as standard base64 with padding.
struct Base64Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Base64::decode_vec(&text)
            .map(Base64Bytes)
            .map_err(D::Error::custom)
    }
}

fn illegal(what: impl Into<String>) -> Error {
    Error::Damaged(Damage {
        what: format!("the manifest is not one of version 1: {}", what.into()),
        blocks: Vec::new(),
    })
}

fn array<const N: usize>(bytes: &[u8], name: &str) -> Result<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| illegal(format!("{name} has {} bytes, not {N}", bytes.len())))
}

/// Length of the JSON value that the bytes begin with.
pub(crate) fn json_len(bytes: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

impl Manifest {
    /// Reads a manifest and checks that its numbers agree.
    pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Manifest> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|e| illegal(e.to_string()))?;
        if raw.format.as_deref().is_some_and(|f| f != "DBS") {
            return Err(illegal("its format is not DBS"));
        }
        if let Some(version) = raw.version.filter(|&v| v != 1) {
            return Err(Error::Unsupported(format!("manifest version {version}")));
        }
        let compressed = match raw.compression.as_deref() {
            None => false,
            Some("zlib") => true,
            Some(other) => {
                return Err(Error::Unsupported(format!("compression {other:?}")));
            }
        };
        if let Some(kdf) = raw.crypto.kdf.as_deref().filter(|&kdf| kdf != "argon2id") {
            return Err(Error::Unsupported(format!("key derivation {kdf:?}")));
        }
        let blocks = raw.blocks;
        let nsym = usize::try_from(blocks.nsym)
            .ok()
            .filter(|n| (1..=254).contains(n))
            .ok_or_else(|| illegal(format!("nsym is {}, not 1 to 254", blocks.nsym)))?;
        if blocks.block_size == 0 || blocks.ciphertext_len < 16 {
            return Err(illegal("a block or the ciphertext is too short"));
        }
        // A block is held in memory a few times over.
        let limit = limits.memory / 64;
        let longest = blocks.block_size.min(blocks.ciphertext_len);
        if longest > limit || longest > 1 << 30 {
            return Err(Error::Limit {
                what: "block size in bytes",
                got: longest,
                limit: limit.min(1 << 30),
            });
        }
        if blocks.ciphertext_len - 16 > super::gcm::LONGEST {
            return Err(illegal("the ciphertext is longer than AES-GCM allows"));
        }
        let count = blocks.ciphertext_len.div_ceil(blocks.block_size);
        let lists = [
            blocks.enc_lens.len(),
            blocks.enc_hashes.len(),
            blocks.data_hashes.len(),
        ];
        if lists.iter().any(|&n| n as u64 != count) {
            return Err(illegal(format!(
                "{count} blocks expected, its lists have {lists:?}"
            )));
        }
        let mut copy_len = 0_u64;
        for (i, &len) in blocks.enc_lens.iter().enumerate() {
            let data = (blocks.ciphertext_len - i as u64 * longest).min(longest);
            let expected = encoded_len(usize::try_from(data).unwrap_or(usize::MAX), nsym);
            if len != expected as u64 {
                return Err(illegal(format!(
                    "block {i} has {len} encoded bytes, not {expected}"
                )));
            }
            copy_len += len;
        }
        if raw.copy_len != copy_len {
            return Err(illegal(format!(
                "copy_len is {}, the blocks add up to {copy_len}",
                raw.copy_len
            )));
        }
        let crypto = raw.crypto;
        if !matches!(crypto.params.key_length, 16 | 24 | 32) {
            return Err(illegal("key_length is none of AES's"));
        }
        Ok(Manifest {
            created: raw.created,
            compressed,
            payload_sha256: raw.payload_sha256.0,
            block_size: blocks.block_size,
            nsym,
            ciphertext_len: blocks.ciphertext_len,
            copy_len,
            encoded_hashes: blocks.enc_hashes.into_iter().map(|h| h.0).collect(),
            data_hashes: blocks.data_hashes.into_iter().map(|h| h.0).collect(),
            kdf: crypto.params,
            salt: crypto.salt.0,
            wrapped_key: array(&crypto.wrapped_dek.0, "wrapped_dek")?,
            key_nonce: array(&crypto.dek_nonce.0, "dek_nonce")?,
            body_nonce: array(&crypto.data_nonce.0, "data_nonce")?,
        })
    }

    /// The manifest as django-dbs writes it: compact, its keys in this order.
    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        let text = |bytes: &[u8]| Base64::encode_string(bytes);
        let out = Out {
            format: "DBS",
            version: 1,
            created: &self.created,
            compression: self.compressed.then_some("zlib"),
            payload_sha256: HexOut(&self.payload_sha256),
            copy_len: self.copy_len,
            blocks: OutBlocks {
                block_size: self.block_size,
                nsym: self.nsym as u64,
                ciphertext_len: self.ciphertext_len,
                enc_lens: (0..self.encoded_hashes.len() as u64)
                    .map(|i| self.encoded_len(i) as u64)
                    .collect(),
                enc_hashes: self.encoded_hashes.iter().map(|h| HexOut(h)).collect(),
                data_hashes: self.data_hashes.iter().map(|h| HexOut(h)).collect(),
            },
            crypto: OutCrypto {
                kdf: "argon2id",
                salt: text(&self.salt),
                params: self.kdf,
                wrapped_dek: text(&self.wrapped_key),
                dek_nonce: text(&self.key_nonce),
                data_nonce: text(&self.body_nonce),
            },
        };
        serde_json::to_vec(&out).map_err(|e| Error::Misuse(e.to_string()))
    }

    /// Bytes of a block before it is encoded.
    pub(crate) fn data_len(&self, block: u64) -> usize {
        let start = block.saturating_mul(self.block_size);
        let left = self.ciphertext_len.saturating_sub(start);
        usize::try_from(left.min(self.block_size)).unwrap_or(usize::MAX)
    }

    /// Bytes of an encoded block.
    pub(crate) fn encoded_len(&self, block: u64) -> usize {
        encoded_len(self.data_len(block), self.nsym)
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> u64 {
        self.encoded_hashes.len() as u64
    }
}

#[derive(Serialize)]
struct Out<'a> {
    format: &'a str,
    version: u8,
    created: &'a str,
    compression: Option<&'a str>,
    payload_sha256: HexOut<'a>,
    copy_len: u64,
    blocks: OutBlocks<'a>,
    crypto: OutCrypto<'a>,
}

#[derive(Serialize)]
struct OutBlocks<'a> {
    block_size: u64,
    nsym: u64,
    ciphertext_len: u64,
    enc_lens: Vec<u64>,
    enc_hashes: Vec<HexOut<'a>>,
    data_hashes: Vec<HexOut<'a>>,
}

#[derive(Serialize)]
struct OutCrypto<'a> {
    kdf: &'a str,
    salt: String,
    params: Kdf,
    wrapped_dek: String,
    dek_nonce: String,
    data_nonce: String,
}

struct HexOut<'a>(&'a [u8]);

impl Serialize for HexOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self
            .0
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .map(|d| char::from(b"0123456789abcdef"[usize::from(d)]))
            .collect();
        serializer.serialize_str(&digits)
    }
}
