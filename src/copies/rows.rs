//! A block as rows of the Reed-Solomon code RS(255, 255 - nsym).
//!
//! A block of L bytes is cut in runs of 255 - nsym; each run is followed at once by its own nsym
//! parity bytes. The last run may be shorter.

use std::ops::Range;

use crate::Result;
use crate::gf::field::{exp, mul};
use crate::rs::{ClassicCode, ClassicDecoder};

/// Bytes of a full row.
pub(crate) const ROW: usize = 255;

/// Bytes that `len` bytes of data take once encoded.
pub(crate) fn encoded_len(len: usize, nsym: usize) -> usize {
    let k = ROW - nsym;
    len / k * ROW
        + if len.is_multiple_of(k) {
            0
        } else {
            len % k + nsym
        }
}

/// The rows of an encoded block.
pub(crate) fn rows(encoded_len: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..encoded_len.div_ceil(ROW)).map(move |i| i * ROW..(i * ROW + ROW).min(encoded_len))
}

/// Appends the data of the encoded block to `data`, leaving the parity out.
pub(crate) fn extract(encoded: &[u8], nsym: usize, data: &mut Vec<u8>) {
    data.reserve(encoded.len());
    for row in encoded.chunks(ROW) {
        data.extend_from_slice(&row[..row.len().saturating_sub(nsym)]);
    }
}

/// The code of the rows.
#[derive(Debug, Clone)]
pub(crate) struct Code(ClassicCode);

impl Code {
    /// The code with `nsym` parity bytes in a row, 1 to 254.
    pub(crate) fn new(nsym: usize) -> Option<Self> {
        ClassicCode::new(nsym).map(Code)
    }

    /// Parity bytes of a row.
    pub(crate) fn nsym(&self) -> usize {
        self.0.nsym()
    }

    /// Appends the encoded block to `out`.
    pub(crate) fn encode(&self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.resize(start + self.encoded_len(data.len()), 0);
        self.encode_into(data, &mut out[start..])
    }

    /// Bytes that `len` bytes of data take once encoded.
    pub(crate) fn encoded_len(&self, len: usize) -> usize {
        encoded_len(len, self.nsym())
    }

    /// Encodes the block into `out`, which has exactly the room for it.
    pub(crate) fn encode_into(&self, data: &[u8], out: &mut [u8]) -> Result<()> {
        Ok(self.0.encode(data, out)?)
    }

    /// Whether this is a row, or a block of rows, as an encoder makes it.
    pub(crate) fn valid(&self, rows: &[u8]) -> bool {
        self.0.check(rows).is_ok_and(|wrong| wrong.is_empty())
    }

    /// The syndromes of a row, lowest root first.
    pub(crate) fn syndromes(&self, row: &[u8]) -> Vec<u8> {
        let mut syndromes = vec![0; self.nsym()];
        for (place, &value) in row.iter().enumerate() {
            self.add_syndromes(row.len(), place, value, &mut syndromes);
        }
        syndromes
    }

    /// Adds to `syndromes` what a change by `value` of the byte at `place` in a row of `len` adds.
    pub(crate) fn add_syndromes(&self, len: usize, place: usize, value: u8, syndromes: &mut [u8]) {
        let power = len - 1 - place;
        for (j, syndrome) in syndromes.iter_mut().enumerate() {
            *syndrome ^= mul(value, exp(power * j));
        }
    }

    /// A decoder of single rows.
    pub(crate) fn decoder(&self) -> ClassicDecoder<'_> {
        self.0.decoder()
    }

    /// Corrects each row of a block in place, and says whether all of them are rows now.
    pub(crate) fn correct(&self, encoded: &mut [u8]) -> bool {
        let corrected = self.0.correct(encoded, None);
        corrected.is_ok_and(|c| c.failed.is_empty())
    }
}
