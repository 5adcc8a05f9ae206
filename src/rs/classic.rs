//! The classical Reed-Solomon code of versions 1 and 2: RS(255, 255 - nsym), generator 2, first
//! consecutive root 1 = 2^0, systematic, data first.
//!
//! A byte of a code word multiplies a row of `nsym` constants, so that the sum over the bytes is the
//! parity (or the syndromes) of the word, all at once and with the ordinary kernels.

use super::Error;
use super::solver::Solver;
use crate::gf::Kernel;
use crate::gf::field::{LOG, exp, mul};

/// Length of a full code word in bytes.
const FULL: usize = 255;

/// Code words that are worked on at a time.
const GROUP: usize = 16;

/// The code with `nsym` parity bytes in a code word of up to 255 bytes.
///
/// A block of bytes is cut in runs of 255 - `nsym`, the last of which may be shorter; encoded, each
/// run is followed by its own `nsym` parity bytes. An empty block has no code words.
#[derive(Debug, Clone)]
pub struct ClassicCode {
    nsym: usize,
    kernel: Kernel,
    /// For each data byte of a full code word, the parity of a 1 there.
    parity: Table,
    /// For each byte of a full code word, the syndromes of a 1 there.
    syndromes: Table,
}

/// What [`ClassicCode::correct`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corrected {
    /// Number of bytes that were changed.
    pub changed: usize,
    /// The code words (numbered from 0) that could not be decoded, and were left as they were.
    pub failed: Vec<usize>,
}

impl ClassicCode {
    /// The code with `nsym` parity bytes, or `None` unless `nsym` is 1..=254.
    #[must_use]
    pub fn new(nsym: usize) -> Option<Self> {
        if !(1..FULL).contains(&nsym) {
            return None;
        }
        let mut syndromes = Table::new(nsym, FULL);
        for position in 0..FULL {
            for (j, value) in syndromes
                .row_mut(position)
                .iter_mut()
                .take(nsym)
                .enumerate()
            {
                *value = exp((FULL - 1 - position) * j);
            }
        }
        let generator = generator(nsym);
        let mut parity = Table::new(nsym, FULL - nsym);
        // x^nsym mod g for the last data byte, then x times that for the byte before, and so on.
        let mut remainder = generator.clone();
        for position in (0..FULL - nsym).rev() {
            parity.row_mut(position)[..nsym].copy_from_slice(&remainder);
            let top = remainder[0];
            remainder.rotate_left(1);
            remainder[nsym - 1] = 0;
            remainder
                .iter_mut()
                .zip(&generator)
                .for_each(|(r, &g)| *r ^= mul(top, g));
        }
        Some(Self {
            nsym,
            kernel: Kernel::best(),
            parity,
            syndromes,
        })
    }

    /// Number of parity bytes in a code word.
    #[must_use]
    pub fn nsym(&self) -> usize {
        self.nsym
    }

    /// Number of data bytes in a full code word.
    #[must_use]
    pub fn data(&self) -> usize {
        FULL - self.nsym
    }

    /// Encoded length of a block of `length` bytes; saturates.
    #[must_use]
    pub fn encoded_len(&self, length: usize) -> usize {
        length.saturating_add(length.div_ceil(self.data()).saturating_mul(self.nsym))
    }

    /// Length of the block that is encoded in `encoded` bytes, or `None` if no block is.
    #[must_use]
    pub fn decoded_len(&self, encoded: usize) -> Option<usize> {
        match encoded % FULL {
            0 => Some(encoded / FULL * self.data()),
            rest if rest > self.nsym => Some(encoded / FULL * self.data() + rest - self.nsym),
            _ => None,
        }
    }

    /// Encodes the block `data` into `out`.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `out` is [`encoded_len`](Self::encoded_len) long.
    pub fn encode(&self, data: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if out.len() != self.encoded_len(data.len()) {
            return Err(Error::Shape);
        }
        for (run, word) in data.chunks(self.data()).zip(out.chunks_mut(FULL)) {
            word[..run.len()].copy_from_slice(run);
        }
        let rows = self.parity.rows();
        let mut parity = [[0; 256]; GROUP];
        for words in out.chunks_mut(GROUP * FULL) {
            self.sums(words, self.nsym, &rows, &mut parity);
            for (word, parity) in words.chunks_mut(FULL).zip(&parity) {
                let data = word.len() - self.nsym;
                word[data..].copy_from_slice(&parity[..self.nsym]);
            }
        }
        Ok(())
    }

    /// Copies the data bytes of the encoded block into `out`, with no check.
    ///
    /// # Errors
    /// [`Error::Shape`] unless `out` is [`decoded_len`](Self::decoded_len) long.
    pub fn extract(&self, encoded: &[u8], out: &mut [u8]) -> Result<(), Error> {
        if self.decoded_len(encoded.len()) != Some(out.len()) {
            return Err(Error::Shape);
        }
        for (run, word) in out.chunks_mut(self.data()).zip(encoded.chunks(FULL)) {
            run.copy_from_slice(&word[..run.len()]);
        }
        Ok(())
    }

    /// The code words of the encoded block (numbered from 0) that are none: at least one byte is wrong.
    ///
    /// # Errors
    /// [`Error::Shape`] if no block has an encoding of that length.
    pub fn check(&self, encoded: &[u8]) -> Result<Vec<usize>, Error> {
        self.decoded_len(encoded.len()).ok_or(Error::Shape)?;
        let rows = self.syndromes.rows();
        let mut syndromes = [[0; 256]; GROUP];
        let mut dirty = Vec::new();
        for (group, words) in encoded.chunks(GROUP * FULL).enumerate() {
            self.sums(words, 0, &rows, &mut syndromes);
            let numbers = (group * GROUP..)
                .zip(&syndromes)
                .take(words.len().div_ceil(FULL));
            dirty.extend(
                numbers
                    .filter(|(_, s)| !is_zero(&s[..self.nsym]))
                    .map(|(number, _)| number),
            );
        }
        Ok(dirty)
    }

    /// Corrects the encoded block in place, every code word by itself. The bytes whose place in
    /// `erased` is not zero are not trusted. A word decodes if 2·(wrong bytes) + (erased bytes) <= `nsym`.
    ///
    /// # Errors
    /// [`Error::Shape`] if no block has an encoding of that length, or `erased` has another.
    pub fn correct(&self, encoded: &mut [u8], erased: Option<&[u8]>) -> Result<Corrected, Error> {
        self.decoded_len(encoded.len()).ok_or(Error::Shape)?;
        if erased.is_some_and(|mask| mask.len() != encoded.len()) {
            return Err(Error::Shape);
        }
        let mut decoder = self.decoder();
        let mut places = Vec::with_capacity(FULL);
        let mut syndromes = [[0; 256]; GROUP];
        let mut corrected = Corrected::default();
        for (group, words) in encoded.chunks_mut(GROUP * FULL).enumerate() {
            self.sums(words, 0, &decoder.rows, &mut syndromes);
            for ((number, word), syndromes) in (group * GROUP..)
                .zip(words.chunks_mut(FULL))
                .zip(&syndromes)
            {
                places.clear();
                if let Some(mask) = erased {
                    let mask = &mask[number * FULL..][..word.len()];
                    places.extend(
                        (0..=254)
                            .zip(mask)
                            .filter(|&(_, &m)| m != 0)
                            .map(|(place, _)| place),
                    );
                }
                match decoder.solve(word, &syndromes[..self.nsym], &places) {
                    Some(changed) => corrected.changed += changed,
                    None => corrected.failed.push(number),
                }
            }
        }
        Ok(corrected)
    }

    /// A decoder of single code words.
    #[must_use]
    pub fn decoder(&self) -> ClassicDecoder<'_> {
        ClassicDecoder {
            code: self,
            rows: self.syndromes.rows(),
            solver: Solver::new(self.kernel),
            erasures: Vec::with_capacity(FULL),
        }
    }

    /// For each of up to `GROUP` words, the sum of the rows times the bytes of the word, but for its
    /// last `less` ones. The last row belongs to the last such byte, whatever the length of the word.
    fn sums(&self, words: &[u8], less: usize, rows: &[&[u8]], out: &mut [[u8; 256]]) {
        let width = self.syndromes.width;
        let whole = words.len() / FULL;
        let (full, short) = out.split_at_mut(whole);
        let mut full = full.iter_mut().map(|out| &mut out[..width]);
        let mut outputs: [&mut [u8]; GROUP] =
            std::array::from_fn(|_| full.next().unwrap_or_default());
        self.kernel.apply_words(words, rows, &mut outputs[..whole]);
        let rest = &words[whole * FULL..];
        if let Some(out) = short.first_mut().filter(|_| rest.len() > less) {
            let rows = &rows[rows.len() + less - rest.len()..];
            self.kernel
                .apply_words(rest, rows, &mut [&mut out[..width]]);
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |any, byte| any | byte) == 0
}

/// Decodes single code words, with no allocation in between.
pub struct ClassicDecoder<'a> {
    code: &'a ClassicCode,
    rows: Vec<&'a [u8]>,
    solver: Solver,
    erasures: Vec<u8>,
}

impl ClassicDecoder<'_> {
    /// Corrects one code word of `nsym`+1..=255 bytes in place, and returns the number of changed
    /// bytes. `erased` are the places (from 0, each once) of bytes that are not trusted.
    ///
    /// `None`, and no change, if no code word is so near that 2·(wrong bytes) + (erased bytes) <= `nsym`, or
    /// if the length or a place is impossible.
    pub fn decode(&mut self, word: &mut [u8], erased: &[u8]) -> Option<usize> {
        if word.len() <= self.code.nsym || word.len() > FULL {
            return None;
        }
        let mut syndromes = [[0; 256]];
        self.code.sums(word, 0, &self.rows, &mut syndromes);
        self.solve(word, &syndromes[0][..self.code.nsym], erased)
    }

    /// Corrects the word whose syndromes are given.
    fn solve(&mut self, word: &mut [u8], syndromes: &[u8], erased: &[u8]) -> Option<usize> {
        if erased.len() > self.code.nsym {
            return None;
        }
        if is_zero(syndromes) {
            return Some(0);
        }
        let length = word.len();
        self.erasures.clear();
        for &place in erased {
            // The place i stands for 2^(length - 1 - i).
            self.erasures
                .push(exp((length - 1).checked_sub(usize::from(place))?));
        }
        let found = self.solver.solve(syndromes, &self.erasures)?;
        let place = |x: u8| (length - 1).checked_sub(usize::from(LOG[usize::from(x)]));
        if found.iter().any(|error| place(error.x).is_none()) {
            // An error in the bytes that a shortened word does not have.
            return None;
        }
        let mut changed = 0;
        for error in found {
            if let Some(byte) = place(error.x).and_then(|i| word.get_mut(i)) {
                *byte ^= error.y;
                changed += usize::from(error.y != 0);
            }
        }
        Some(changed)
    }
}

impl std::fmt::Debug for ClassicDecoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClassicDecoder")
            .field("nsym", &self.code.nsym)
            .finish_non_exhaustive()
    }
}

/// Rows of constants, padded to whole vectors.
#[derive(Debug, Clone)]
struct Table {
    width: usize,
    bytes: Vec<u8>,
}

impl Table {
    fn new(length: usize, rows: usize) -> Self {
        let width = length.next_multiple_of(16);
        Self {
            width,
            bytes: vec![0; width * rows],
        }
    }

    fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.bytes[row * self.width..][..self.width]
    }

    fn rows(&self) -> Vec<&[u8]> {
        self.bytes.chunks_exact(self.width).collect()
    }
}

/// The product of (x - 2^i) for i in 0..nsym, from the second highest coefficient down; the highest is 1.
fn generator(nsym: usize) -> Vec<u8> {
    let mut coefficients = vec![1];
    for i in 0..nsym {
        coefficients.push(0);
        for at in (1..coefficients.len()).rev() {
            coefficients[at] ^= mul(coefficients[at - 1], exp(i));
        }
    }
    coefficients.split_off(1)
}
