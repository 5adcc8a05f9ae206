//! Damage to a file. The same plan gives the same bytes at every reading.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use dbs::Source;

/// A small generator of random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Numbers that depend on all of `seeds`.
    pub fn new(seeds: &[u64]) -> Self {
        let mut random = Random(0);
        for seed in seeds {
            random.0 = random.next() ^ seed;
        }
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 up to 1, 1 excluded.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// What is done to a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Damage {
    /// Every bit is flipped with this probability.
    Rot(f64),
    /// Every sector is overwritten with this probability: with zeros, with ones or with noise.
    Loss(f64),
    /// A range of bytes is overwritten with noise.
    Burst(Range<u64>),
    /// A range of bytes is cut out, at the beginning or the end of the file too.
    Cut(Range<u64>),
    /// So many bytes of noise are pushed in at an offset.
    Insert(u64, u64),
}

/// A part of the damaged file.
#[derive(Debug, Clone)]
enum Piece {
    /// Bytes of the file.
    Base(Range<u64>),
    /// So many bytes of noise.
    Noise(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Base(range) => range.end - range.start,
            Piece::Noise(len) => *len,
        }
    }
}

/// A file with damage.
pub struct Damaged {
    base: Arc<dyn Source>,
    seed: u64,
    /// Bytes that are lost together.
    sector: u64,
    rot: f64,
    loss: f64,
    bursts: Vec<Range<u64>>,
    pieces: Vec<Piece>,
}

/// The unit in which damage is computed.
const CHUNK: u64 = 4096;

impl Damaged {
    /// Offsets in `damage` are those of the undamaged file.
    pub fn new(
        base: Arc<dyn Source>,
        sector: u64,
        damage: &[Damage],
        seed: u64,
    ) -> io::Result<Self> {
        let whole = Piece::Base(0..base.size()?);
        let mut damaged = Damaged {
            base,
            seed,
            sector,
            rot: 0.0,
            loss: 0.0,
            bursts: Vec::new(),
            pieces: vec![whole],
        };
        for damage in damage {
            match damage {
                Damage::Rot(rate) => damaged.rot = *rate,
                Damage::Loss(share) => damaged.loss = *share,
                Damage::Burst(range) => damaged.bursts.push(range.clone()),
                Damage::Cut(range) => damaged.splice(range.clone(), None),
                Damage::Insert(at, len) => damaged.splice(*at..*at, Some(*len)),
            }
        }
        Ok(damaged)
    }

    /// Takes a range of the undamaged file out, and puts noise into its place.
    fn splice(&mut self, out: Range<u64>, noise: Option<u64>) {
        let mut noise = noise.map(Piece::Noise);
        let mut pieces = Vec::new();
        for piece in self.pieces.drain(..) {
            match piece {
                Piece::Base(range) if range.start <= out.end && out.start <= range.end => {
                    pieces.push(Piece::Base(range.start..out.start.max(range.start)));
                    pieces.extend(noise.take());
                    pieces.push(Piece::Base(out.end.min(range.end)..range.end));
                }
                other => pieces.push(other),
            }
        }
        pieces.retain(|piece| piece.len() > 0);
        self.pieces = pieces;
    }

    /// A chunk of the file, with the damage that does not move anything.
    fn chunk(&self, index: u64, out: &mut Vec<u8>) -> io::Result<()> {
        let start = index * CHUNK;
        out.resize(CHUNK as usize, 0);
        let read = self.base.read_full_at(out, start)?;
        out.truncate(read);
        if self.loss > 0.0 {
            // A chunk holds several sectors, or a sector several chunks.
            for part in out.chunks_mut(self.sector.min(CHUNK) as usize).enumerate() {
                let (i, bytes) = part;
                let at = start + i as u64 * self.sector;
                let mut random = Random::new(&[self.seed, 1, at / self.sector]);
                if random.uniform() < self.loss {
                    match random.below(3) {
                        0 => bytes.fill(0),
                        1 => bytes.fill(0xff),
                        _ => Random::new(&[self.seed, 2, at]).fill(bytes),
                    }
                }
            }
        }
        for burst in &self.bursts {
            let from = burst.start.max(start);
            let to = burst.end.min(start + out.len() as u64);
            if from < to {
                let range = (from - start) as usize..(to - start) as usize;
                Random::new(&[self.seed, 3, index]).fill(&mut out[range]);
            }
        }
        if self.rot > 0.0 {
            let mut random = Random::new(&[self.seed, 4, index]);
            let scale = 1.0 / (-self.rot).ln_1p();
            let bits = out.len() as u64 * 8;
            let mut bit = 0u64;
            loop {
                // The distance to the next flipped bit has a geometric distribution.
                let skip = (1.0 - random.uniform()).ln() * scale;
                bit = bit.saturating_add(skip as u64);
                if bit >= bits {
                    break;
                }
                out[(bit / 8) as usize] ^= 1 << (bit % 8);
                bit += 1;
            }
        }
        Ok(())
    }

    /// The whole damaged file, into memory that was used before.
    pub fn fill(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.resize(self.size()? as usize, 0);
        self.read_full_at(out, 0).map(|_| ())
    }

    /// Which sectors of the undamaged file stand unharmed in `damaged`, wherever they came to lie.
    pub fn intact(&self, damaged: &[u8]) -> io::Result<Vec<bool>> {
        let size = self.sector;
        let mut intact = vec![false; (self.base.size()? / size) as usize];
        let mut sector = vec![0; size as usize];
        let mut start = 0;
        for piece in &self.pieces {
            if let Piece::Base(range) = piece {
                for index in range.start.div_ceil(size)..range.end / size {
                    let at = (start + index * size - range.start) as usize;
                    self.base.read_full_at(&mut sector, index * size)?;
                    intact[index as usize] = damaged[at..at + size as usize] == sector;
                }
            }
            start += piece.len();
        }
        Ok(intact)
    }

    /// Writes the damaged file out, for programs that read files.
    pub fn write_to(&self, out: &mut impl io::Write) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            let read = self.read_full_at(&mut buffer, at)?;
            if read == 0 {
                return Ok(());
            }
            out.write_all(&buffer[..read])?;
            at += read as u64;
        }
    }
}

impl Source for Damaged {
    fn size(&self) -> io::Result<u64> {
        Ok(self.pieces.iter().map(Piece::len).sum())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut start = 0;
        for (number, piece) in self.pieces.iter().enumerate() {
            let end = start + piece.len();
            if offset >= end {
                start = end;
                continue;
            }
            let len = (end - offset).min(buf.len() as u64) as usize;
            let buf = &mut buf[..len];
            match piece {
                Piece::Noise(_) => {
                    let (mut at, mut done) = (offset - start, 0);
                    while done < len {
                        let mut chunk = [0; CHUNK as usize];
                        let seeds = [self.seed, 5, number as u64, at / CHUNK];
                        Random::new(&seeds).fill(&mut chunk);
                        let bytes = &chunk[(at % CHUNK) as usize..];
                        let n = bytes.len().min(len - done);
                        buf[done..done + n].copy_from_slice(&bytes[..n]);
                        done += n;
                        at += n as u64;
                    }
                }
                Piece::Base(range) => {
                    let mut at = range.start + offset - start;
                    let mut chunk = Vec::new();
                    let mut done = 0;
                    while done < len {
                        self.chunk(at / CHUNK, &mut chunk)?;
                        let bytes = &chunk[(at % CHUNK) as usize..];
                        let n = bytes.len().min(len - done);
                        if n == 0 {
                            return Ok(done);
                        }
                        buf[done..done + n].copy_from_slice(&bytes[..n]);
                        done += n;
                        at += n as u64;
                    }
                }
            }
            return Ok(len);
        }
        Ok(0)
    }
}
