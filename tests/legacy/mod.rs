//! Containers of versions 1 and 2 to be damaged, with all that is known about their bytes.
#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Cursor, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use dbs::{Limits, Passphrase, v1, v2};

use crate::common::Random;

/// An intact container.
pub struct Base {
    pub name: String,
    pub version: u8,
    pub bytes: Vec<u8>,
    pub passphrase: String,
    pub payload: Vec<u8>,
    pub nsym: usize,
    /// Copy A and B: where the encoded blocks stand.
    pub copies: [Vec<Range<usize>>; 2],
    pub headers: [Range<usize>; 2],
    /// The manifests of version 1, the trailers of version 2.
    pub metadata: [Range<usize>; 2],
}

fn encoded_len(len: usize, nsym: usize) -> usize {
    len + nsym * len.div_ceil(255 - nsym)
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, &b| n << 8 | usize::from(b))
}

impl Base {
    /// Finds out where everything stands, from nothing but the specification.
    pub fn new(name: String, bytes: Vec<u8>, passphrase: &str, payload: Vec<u8>) -> Base {
        let len = bytes.len();
        let version = bytes[9];
        let (nsym, copies, headers, metadata);
        if version == 1 {
            let m = be(&bytes[24..32]);
            let manifest: serde_json::Value = serde_json::from_slice(&bytes[64..64 + m]).unwrap();
            let number = |name: &str| manifest["blocks"][name].as_u64().unwrap() as usize;
            nsym = number("nsym");
            let (block, total) = (number("block_size"), number("ciphertext_len"));
            let mut at = 64 + 2 * m;
            copies = [0, 1].map(|_| {
                let starts = (0..total).step_by(block);
                let lens = starts.map(|s| encoded_len(block.min(total - s), nsym));
                lens.map(|n| {
                    at += n;
                    at - n..at
                })
                .collect()
            });
            headers = [0..64, len - 64..len];
            metadata = [64..64 + m, 64 + m..64 + 2 * m];
        } else {
            nsym = be(&bytes[14..16]);
            let (block, interleave) = (be(&bytes[16..20]), be(&bytes[20..24]));
            let encoded = encoded_len(block, nsym);
            let slot = encoded + 16;
            let blocks = (len - 504) / (2 * slot);
            let mut found = [Vec::new(), Vec::new()];
            let mut at = 152;
            for s in 0..blocks + interleave {
                if s < blocks {
                    found[0].push(at..at + encoded);
                    at += slot;
                }
                if s >= interleave {
                    found[1].push(at..at + encoded);
                    at += slot;
                }
                if found[1].len() == blocks {
                    break;
                }
            }
            copies = found;
            headers = [0..152, len - 152..len];
            metadata = [len - 352..len - 252, len - 252..len - 152];
        }
        Base {
            name,
            version,
            bytes,
            passphrase: passphrase.into(),
            payload,
            nsym,
            copies,
            headers,
            metadata,
        }
    }

    pub fn blocks(&self) -> u64 {
        self.copies[0].len() as u64
    }

    /// One of the encoded blocks of a copy.
    pub fn unit(&self, random: &mut Random, copy: usize) -> Range<usize> {
        self.copies[copy][random.below(self.blocks()) as usize].clone()
    }

    /// The length of an area: some bytes, a sector, several.
    pub fn area(&self, random: &mut Random) -> usize {
        let most = [16, 64, 512, 512, 4096, 4096, 20_000][random.below(7) as usize];
        if most == 512 || most == 4096 {
            return most;
        }
        1 + random.below(most as u64) as usize
    }

    /// Mostly one.
    pub fn few(&self, random: &mut Random) -> usize {
        match random.below(6) {
            0 => 1 + random.below(20) as usize,
            1 => 1 + random.below(700) as usize,
            _ => 1,
        }
    }

    /// A place: anywhere, at the edge of something, in copy B, in what is no block.
    pub fn place(&self, random: &mut Random) -> usize {
        let last = self.bytes.len() as u64 - 1;
        let near = |random: &mut Random, at: usize| {
            (at as u64 + random.below(7)).saturating_sub(3).min(last) as usize
        };
        match random.below(6) {
            0 => {
                let copy = random.below(2) as usize;
                let unit = self.unit(random, copy);
                near(random, unit.start)
            }
            1 => {
                let unit = self.unit(random, 1);
                unit.start + random.below(unit.len() as u64) as usize
            }
            2 => {
                let i = random.below(2) as usize;
                let region = [&self.headers[i], &self.metadata[i]][random.below(2) as usize];
                region.start + random.below(region.len() as u64) as usize
            }
            3 => {
                let i = random.below(2) as usize;
                let region = [&self.headers[i], &self.metadata[i]][random.below(2) as usize];
                near(random, region.start)
            }
            _ => random.below(last + 1) as usize,
        }
    }

    /// Two sectors of the file, and their size.
    pub fn sectors(&self, random: &mut Random) -> Option<(usize, usize, usize)> {
        let size = [512, 4096][random.below(2) as usize];
        let count = self.bytes.len() / size;
        let mut one = || random.below(count.max(1) as u64) as usize * size;
        (count >= 2).then(|| (one(), one(), size))
    }
}

/// A damaged container.
pub struct Damaged {
    pub bytes: Vec<u8>,
    /// What is left of every byte of the intact file, wherever it stands now.
    left: Vec<Option<u8>>,
    /// Header and manifest can be had although no copy of them is intact.
    pub assured: bool,
    /// Whether the simple reasoning about rows is too simple: it does not ask where they are.
    pub hard: bool,
}

impl Damaged {
    pub fn new(base: &Base) -> Self {
        Damaged {
            bytes: base.bytes.clone(),
            left: base.bytes.iter().copied().map(Some).collect(),
            assured: false,
            hard: false,
        }
    }

    /// Overwrites bytes. Only before anything is cut out or pushed in.
    pub fn set(&mut self, at: usize, bytes: &[u8]) {
        let end = (at + bytes.len()).min(self.bytes.len());
        for (p, &byte) in (at..end).zip(bytes) {
            self.bytes[p] = byte;
            self.left[p] = Some(byte);
        }
    }

    /// Zeros, ones, or noise.
    pub fn fill(&mut self, random: &mut Random, range: Range<usize>) {
        let bytes = match random.below(4) {
            0 | 1 => vec![0; range.len()],
            2 => vec![0xFF; range.len()],
            _ => Random(random.next()).bytes(range.len()),
        };
        self.set(range.start, &bytes);
    }

    pub fn xor(&mut self, at: usize, mask: u8) {
        let byte = self.bytes[at] ^ mask;
        self.set(at, &[byte]);
    }

    /// Flips one bit in the range.
    pub fn flip(&mut self, random: &mut Random, range: Range<usize>) {
        let at = range.start + random.below(range.len() as u64) as usize;
        self.xor(at, 1 << random.below(8));
    }

    pub fn copy(&mut self, from: usize, to: usize, len: usize) {
        let bytes = self.bytes[from..from + len].to_vec();
        self.set(to, &bytes);
    }

    /// Cuts bytes out. Several times only from the rear to the front.
    pub fn cut(&mut self, at: usize, len: usize) {
        let end = (at + len).min(self.left.len());
        self.bytes.drain(at..end.min(self.bytes.len()));
        self.left[at..end].fill(None);
    }

    /// Pushes bytes in. Several times only from the rear to the front.
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        self.bytes.splice(at..at, bytes.iter().copied());
    }

    /// Whether header and manifest are left in one copy, and every row can be corrected in one
    /// copy, or in both together.
    pub fn healable(&self, base: &Base) -> bool {
        let right =
            |range: &Range<usize>| range.clone().all(|p| self.left[p] == Some(base.bytes[p]));
        let needed = if base.version == 1 {
            &base.metadata
        } else {
            &base.headers
        };
        if !self.assured && !needed.iter().any(right) {
            return false;
        }
        let rows = |unit: &Range<usize>| {
            let end = unit.end;
            let starts = unit.clone().step_by(255);
            starts.map(move |start| start..(start + 255).min(end))
        };
        let [a, b] = &base.copies;
        a.iter().zip(b).all(|(a, b)| {
            rows(a).zip(rows(b)).all(|(a, b)| {
                let mut wrong = [0, 0];
                let (mut differing, mut alike) = (0, 0);
                for (p, q) in a.zip(b) {
                    let right = Some(base.bytes[p]);
                    let (one, two) = (self.left[p], self.left[q]);
                    wrong[0] += usize::from(one != right);
                    wrong[1] += usize::from(two != right);
                    differing += usize::from(one != two || one.is_none());
                    alike += usize::from(one == two && one.is_some() && one != right);
                }
                wrong.iter().any(|w| 2 * w <= base.nsym) || differing + 2 * alike <= base.nsym
            })
        })
    }
}

const KDF: v1::Kdf = v1::Kdf {
    time_cost: 1,
    memory_cost: 8,
    parallelism: 1,
    key_length: 32,
};

/// A container of version 1 with this size of blocks and this nsym.
pub fn write_v1(
    payload: &[u8],
    passphrase: &str,
    (block_size, nsym): (usize, usize),
    compress: bool,
    fixed: Option<v1::Fixed>,
) -> Vec<u8> {
    let options = v1::WriterOptions {
        block_size: block_size as u64,
        nsym,
        kdf: KDF,
        compress,
        created: "2024-02-29T23:59:59.123456+00:00".into(),
        payload_len: None,
        fixed,
    };
    let out = Cursor::new(Vec::new());
    let mut writer = v1::Writer::new(out, &Passphrase::new(passphrase), options).unwrap();
    writer.write_all(payload).unwrap();
    writer.finish().unwrap().into_inner()
}

/// A container of version 2.
pub fn write_v2(
    payload: &[u8],
    passphrase: &str,
    geometry: v2::Geometry,
    compress: bool,
    fixed: Option<v2::Fixed>,
) -> Vec<u8> {
    let options = v2::WriterOptions {
        geometry,
        kdf: KDF,
        compress,
        fixed,
    };
    let mut writer = v2::Writer::new(Vec::new(), &Passphrase::new(passphrase), options).unwrap();
    writer.write_all(payload).unwrap();
    writer.finish().unwrap()
}

/// Containers with several shapes, the same in every run.
pub fn bases() -> Vec<Base> {
    let pass = "pass";
    let mut bases = Vec::new();
    // block size, nsym, interleave (0 for version 1), payload, compressed
    let shapes = [
        (1000, 7, 0, 3500, false),
        (4096, 16, 0, 20_000, true),
        (65_536, 16, 0, 150_000, false),
        (300, 2, 0, 2000, true),
        (512, 64, 0, 3000, false),
        (512, 16, 5, 6000, true),
        (1000, 7, 1, 5000, false),
        (4096, 16, 64, 30_000, true),
        (65_536, 16, 64, 150_000, false),
        (2048, 64, 3, 12_000, false),
        // Blocks of whole rows, and of one row.
        (956, 16, 0, 6000, false),
        (200, 16, 0, 2000, false),
    ];
    for (i, (block_size, nsym, interleave, len, compress)) in shapes.into_iter().enumerate() {
        let mut payload = Random(i as u64).bytes(len);
        payload[..len / 3].fill(b'x');
        let keys = v1::Keys {
            salt: [1; 16],
            data_key: [2; 32],
            key_nonce: [3; 12],
        };
        let file = if interleave == 0 {
            let fixed = v1::Fixed {
                keys,
                body_nonce: [4; 12],
            };
            write_v1(&payload, pass, (block_size, nsym), compress, Some(fixed))
        } else {
            let fixed = v2::Fixed {
                keys,
                id: [5; 16],
                nonce_prefix: [6; 7],
            };
            let geometry = v2::Geometry {
                block_size,
                nsym,
                interleave,
            };
            write_v2(&payload, pass, geometry, compress, Some(fixed))
        };
        let version = if interleave == 0 { 1 } else { 2 };
        let name = format!("v{version} {block_size}/{nsym}/{interleave}");
        bases.push(Base::new(name, file, pass, payload));
    }
    bases
}

/// The intact files of the corpus, or none where it is not at hand.
pub fn corpus_bases() -> Vec<Base> {
    let Some(corpus) = corpus() else {
        return Vec::new();
    };
    let index = std::fs::read(corpus.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut bases = Vec::new();
    for entry in index["files"].as_array().unwrap() {
        // The same files with a dearer Argon2id have no other layout.
        if entry["params"]["kdf"]["memory_cost"].as_u64() > Some(20_000) {
            continue;
        }
        let name = entry["file"].as_str().unwrap();
        let passphrase = entry["passphrase"].as_str().unwrap();
        let bytes = std::fs::read(corpus.join(name)).unwrap();
        let source = Arc::new(bytes.clone());
        let key = Passphrase::new(passphrase);
        let mut payload = Vec::new();
        if let Some(v2) = v2::Container::open(source.clone(), Limits::default()).unwrap() {
            v2.unlock(&key).unwrap().copy_to(&mut payload).unwrap();
        } else {
            let v1 = v1::Container::open(source, Limits::default()).unwrap();
            let payload = &mut payload;
            v1.unwrap().unlock(&key).unwrap().copy_to(payload).unwrap();
        }
        bases.push(Base::new(name.into(), bytes, passphrase, payload));
    }
    bases
}

/// What this thread has cost so far: time of the processor where the system says it, which a busy machine does not make
/// longer, and else time of the clock.
pub fn spent() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: in user mode, in the kernel, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<u64> = ticks.filter_map(|n| n.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Duration::from_millis(10 * (user + system)),
        _ => BEGAN.elapsed(),
    }
}

/// The corpus lies beside the repository, or where `DBS_CORPUS` says.
pub fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = [
        std::env::var_os("DBS_CORPUS").map(PathBuf::from),
        Some(root.join("../shared/corpus")),
        Some(root.join("../../shared/corpus")),
    ];
    let found = places
        .into_iter()
        .flatten()
        .find(|p| p.join("index.json").is_file());
    if found.is_none() {
        println!("no corpus here: skipped");
    }
    found
}
