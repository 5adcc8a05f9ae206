//! The files that are damaged, and a trial with one of them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dbs::v3::geometry::Geometry;
use dbs::v3::order::Order;
use dbs::v3::replica::regions;
use dbs::v3::survival::{Burst, Shape, worst_burst};
use dbs::{Archive, Compression, Error, KdfParams, Passphrase, Profile, Source, Writer};
use dbs::{WriterOptions, v3::writer::Randomness};

use crate::damage::{Damage, Damaged, Random};
use crate::results::{Kind, Row, Trial};

/// What the payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Random bytes: all blocks but the last ones are full.
    Plain,
    /// Random bytes, and in every block as many zeros behind them that compression gives blocks of
    /// all lengths.
    Mixed,
}

impl Content {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "plain" => Some(Content::Plain),
            "mixed" => Some(Content::Mixed),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Content::Plain => "plain",
            Content::Mixed => "mixed",
        }
    }
}

/// A bit error rate at which some sectors of 4 KiB stay intact.
const RARE: f64 = 2e-5;
/// Files above this are written to a disk.
const IN_MEMORY: u64 = 512 << 20;

/// One file.
pub struct Subject {
    pub profile: Profile,
    pub size: u64,
    pub content: Content,
    pub seed: u64,
    pub file_len: u64,
    pub sector: u64,
    pub geometry: Geometry,
    pub shape: Shape,
    pub burst: Burst,
    order: Order,
    pub base: Arc<dyn Source>,
    /// The damaged file of the trial: a reader goes through it several times.
    damaged: Mutex<Arc<Vec<u8>>>,
}

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse")
}

impl Subject {
    pub fn new(
        profile: Profile,
        size: u64,
        content: Content,
        seed: u64,
        scratch: &Path,
    ) -> Result<Self, String> {
        let capacity = Geometry::of(profile, 12).unwrap().capacity() as u64;
        let mut payload = Payload::new(seed, size, content, capacity);
        let mut options = WriterOptions::default();
        options.profile = profile;
        options.compression = match content {
            Content::Plain => Compression::None,
            Content::Mixed => Compression::Zstd(1),
        };
        options.kdf = KdfParams {
            passes: 1,
            memory_kib: 8,
            lanes: 1,
        };
        options.created = Some(1_700_000_000);
        options.randomness = Randomness::Seed(seed);
        let wrong = |e: &dyn std::fmt::Display| format!("writing the file: {e}");
        let base: Arc<dyn Source> = if size < IN_MEMORY {
            let mut writer = Writer::create(Cursor::new(Vec::new()), &passphrase(), options)
                .map_err(|e| wrong(&e))?;
            io::copy(&mut payload, &mut writer).map_err(|e| wrong(&e))?;
            Arc::new(writer.finish().map_err(|e| wrong(&e))?.into_inner())
        } else {
            let path = scratch.join(format!("dbs-survival-{}", std::process::id()));
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
                .map_err(|e| wrong(&e))?;
            // Nobody else needs the name.
            std::fs::remove_file(&path).map_err(|e| wrong(&e))?;
            let mut writer = Writer::create(file, &passphrase(), options).map_err(|e| wrong(&e))?;
            io::copy(&mut payload, &mut writer).map_err(|e| wrong(&e))?;
            Arc::new(writer.finish().map_err(|e| wrong(&e))?)
        };
        let archive = Archive::open(Arc::clone(&base)).map_err(|e| e.to_string())?;
        let container = archive.v3().map_err(|e| e.to_string())?;
        let structure = container.structure();
        let geometry = structure.page.geometry;
        Ok(Subject {
            profile,
            size,
            content,
            seed,
            file_len: container.file_len(),
            sector: geometry.sector_size() as u64,
            geometry,
            shape: container.shape(),
            burst: worst_burst(&structure.order).ok_or("no blocks")?,
            order: structure.order.clone(),
            base,
            damaged: Mutex::default(),
        })
    }

    pub fn name(&self) -> &'static str {
        match self.profile {
            Profile::Standard => "standard",
            Profile::Coded => "coded",
            Profile::Light => "light",
        }
    }

    pub fn description(&self) -> String {
        let Subject { size, file_len, .. } = self;
        let (name, content) = (self.name(), self.content.name());
        format!(
            "{name} {content}: {size} bytes in a file of {file_len}; half of all trials should \
             survive {:.4} of sectors lost, {:.3e} of bits flipped; burst of {} bytes",
            self.shape.loss_survived(0.5),
            self.shape.rot_survived(0.5),
            self.burst.bytes(&self.geometry),
        )
    }

    /// What the theory says of a data block, on average: the last one is shorter, and weaker.
    pub fn block_theory(&self, kind: Kind, value: f64) -> Option<f64> {
        let lost = |k| match kind {
            Kind::Rot => self.shape.block_lost_to_rot(k, value),
            _ => self.shape.block_lost_to_loss(k, value),
        };
        if self.content != Content::Plain || !matches!(kind, Kind::Rot | Kind::Loss) {
            return None;
        }
        let blocks = self.size.div_ceil(self.geometry.capacity() as u64);
        let last = self.order.k(blocks - 1);
        let full = (blocks - 1) as f64 * lost(self.geometry.data());
        Some((full + lost(last)) / blocks as f64)
    }

    /// The theory, for the plot.
    pub fn curves(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        let steps = 60;
        for step in 0..=steps {
            let part = f64::from(step) / f64::from(steps);
            // From nearly certain survival to nearly certain loss.
            let chance = 1.0 / (1.0 + ((part - 0.5) * 16.0).exp());
            for (kind, value) in [
                (Kind::LossCurve, self.shape.loss_survived(chance)),
                (Kind::RotCurve, self.shape.rot_survived(chance)),
            ] {
                let mut row = Row::new(self, kind, value, &format!("{step:02}"));
                row.theory = Some(chance);
                rows.push(row);
            }
        }
        rows
    }

    /// Whether the guarantees promise every block: a header page is intact, and of every block as
    /// many sectors of different slots as it has data sectors ("G2 Erasures").
    fn is_promised(&self, intact: &[bool]) -> bool {
        let mut page = intact.last() == Some(&true);
        let blocks_promised = (0..self.order.blocks()).all(|block| {
            let k = self.order.k(block);
            let mut slots = BTreeSet::new();
            for &copy in self.geometry.copies() {
                let first = (self.order.offset(copy, block) / self.sector) as usize;
                for (slot, intact) in self.geometry.slots(copy, k).zip(&intact[first..]) {
                    page |= slot == 0 && *intact;
                    if slot != 0 && *intact {
                        slots.insert(slot);
                    }
                }
            }
            slots.len() >= k.into()
        });
        page && blocks_promised
    }

    /// Damages the file, restores it, and compares every byte.
    pub fn trial(&self, damage: &[Damage], seed: u64) -> Trial {
        let damaged = Damaged::new(Arc::clone(&self.base), self.sector, damage, seed);
        let damaged = damaged.expect("the undamaged file can be read");
        let mut file = self.damaged.lock().expect("no trial panicked");
        let bytes = Arc::get_mut(&mut file).expect("the last trial has let go of it");
        damaged.fill(bytes).expect("the undamaged file can be read");
        let mut trial = Trial::default();
        // Rot leaves intact sectors only where it is rare.
        if !damage
            .iter()
            .any(|d| matches!(d, Damage::Rot(rate) if *rate > RARE))
        {
            let intact = damaged.intact(&file);
            trial.promised = self.is_promised(&intact.expect("the undamaged file can be read"));
        }
        match self.restore(Arc::clone(&file), &mut trial) {
            Ok(()) => {}
            Err(error) => {
                trial.whole = false;
                trial.error = Some(match error {
                    Error::NotDbs(_) => "header page",
                    Error::Damaged(_) => "structure",
                    Error::Authentication(_) => "authentication",
                    Error::WrongPassphrase { .. } => "passphrase",
                    _ => "other",
                });
                if std::env::var_os("SURVIVAL_TRACE").is_some() {
                    eprintln!("  {seed}: {error}");
                }
            }
        }
        trial
    }

    fn restore(&self, damaged: Arc<Vec<u8>>, trial: &mut Trial) -> dbs::Result<()> {
        let archive = Archive::open(damaged)?;
        let payload = archive.unlock(&passphrase())?.into_v3()?;
        let capacity = self.geometry.capacity() as u64;
        let mut sink = Compare {
            payload: Payload::new(self.seed, self.size, self.content, capacity),
            at: 0,
            capacity,
            differ: BTreeSet::new(),
            buffer: Vec::new(),
        };
        let report = payload.salvage_to(&mut sink)?;
        let lost: BTreeSet<u64> = report.failed_blocks.iter().map(|f| f.block).collect();
        trial.blocks = self.size.div_ceil(capacity);
        trial.lost = lost.len() as u64;
        trial.wrong = sink.at != self.size || sink.differ.iter().any(|b| !lost.contains(b));
        trial.whole = lost.is_empty() && !trial.wrong;
        if std::env::var_os("SURVIVAL_TRACE").is_some() && !lost.is_empty() {
            eprintln!("  lost: {lost:?} of {}; {:?}", trial.blocks, report.notes);
            let order = &archive.v3()?.structure().order;
            let ks: Vec<u8> = (0..order.blocks()).map(|block| order.k(block)).collect();
            let scanned = archive.v3()?.structure().scanned;
            eprintln!(
                "  written with {} bytes, scanned {scanned}, k {ks:?}",
                order.file_len()
            );
            let first = lost.first().copied().unwrap_or(0);
            let healer = archive.v3()?.structure().scan(&dbs::Limits::default())?;
            for block in first.saturating_sub(1)..first + 3 {
                eprintln!("  {block}: {:?}", regions(&healer.replicas, order, block));
            }
        }
        Ok(())
    }
}

/// The bytes of a payload, from its start.
pub struct Payload {
    seed: u64,
    size: u64,
    content: Content,
    capacity: u64,
    at: u64,
    chunk: Vec<u8>,
}

const CHUNK: u64 = 4096;

impl Payload {
    pub fn new(seed: u64, size: u64, content: Content, capacity: u64) -> Self {
        Payload {
            seed,
            size,
            content,
            capacity,
            at: 0,
            chunk: Vec::new(),
        }
    }
}

impl Read for Payload {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let within = self.at % CHUNK;
        if within == 0 {
            self.chunk.resize(CHUNK as usize, 0);
            Random::new(&[self.seed, 7, self.at / CHUNK]).fill(&mut self.chunk);
        }
        let n = (CHUNK - within)
            .min(self.size - self.at)
            .min(buf.len() as u64) as usize;
        let buf = &mut buf[..n];
        buf.copy_from_slice(&self.chunk[within as usize..within as usize + n]);
        if self.content == Content::Mixed {
            for (i, byte) in buf.iter_mut().enumerate() {
                let at = self.at + i as u64;
                let (block, place) = (at / self.capacity, at % self.capacity);
                // Steps of 37 go through all hundredths.
                if place >= self.capacity * (block * 37 % 100 + 1) / 100 {
                    *byte = 0;
                }
            }
        }
        self.at += n as u64;
        Ok(n)
    }
}

/// Compares what is restored with what was stored, block by block.
struct Compare {
    payload: Payload,
    at: u64,
    capacity: u64,
    differ: BTreeSet<u64>,
    buffer: Vec<u8>,
}

impl Write for Compare {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buffer.resize(buf.len(), 0);
        self.payload.read_exact(&mut self.buffer)?;
        if self.buffer != buf {
            for (i, (a, b)) in self.buffer.iter().zip(buf).enumerate() {
                if a != b {
                    self.differ.insert((self.at + i as u64) / self.capacity);
                }
            }
        }
        self.at += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
