//! The code of a version 3 block, and its encoder.

use std::sync::{Arc, OnceLock};

use super::Error;
use crate::gf::LinearMap;
use crate::gf::field::{EXP, LOG, exp, mul};

/// The systematic Reed-Solomon code of 256 positions for `K` data slots.
///
/// A code word is the list of the values that a polynomial of degree at most `K` takes at all the
/// elements of the field, where position i (the slot) is the element i. The polynomial is zero at 0, so
/// slot 0 holds nothing; slots 1..=K hold the data as they are, slots K+1..=255 the parity. The same
/// code as that of the matrix V·(V\[0..=K\])⁻¹ with V\[r\]\[c\] = r^c.
///
/// A short block has `k` < `K` data rows; the slots k+1..=K are zero then and not stored.
#[derive(Debug)]
pub struct Code {
    data: usize,
    /// Row r makes the slot K+1+r, column c takes the slot 1+c.
    parity: LinearMap,
}

impl Code {
    /// The code for `data` data slots, or `None` unless `data` is 1..=254.
    #[must_use]
    pub fn new(data: usize) -> Option<Self> {
        if !(1..=254).contains(&data) {
            return None;
        }
        let known: Vec<u8> = (0..=data as u8).collect();
        let targets: Vec<u8> = (data as u8 + 1..=255).collect();
        Some(Self {
            data,
            parity: lagrange(&known, &known[1..], &targets),
        })
    }

    /// As [`new`](Self::new), made once in a process for each size.
    #[must_use]
    pub fn shared(data: usize) -> Option<Arc<Self>> {
        static CODES: [OnceLock<Arc<Code>>; 255] = [const { OnceLock::new() }; 255];
        let cell = CODES.get(data)?;
        match cell.get() {
            Some(code) => Some(Arc::clone(code)),
            None => {
                let code = Arc::new(Self::new(data)?);
                Some(Arc::clone(cell.get_or_init(|| code)))
            }
        }
    }

    /// Number of data slots, `K`.
    #[must_use]
    pub fn data(&self) -> usize {
        self.data
    }

    /// Number of parity slots, 255 - `K`.
    #[must_use]
    pub fn parity(&self) -> usize {
        255 - self.data
    }

    /// Writes the rows of the given parity slots (`K`+1..=255, any order) for the data rows of slots
    /// 1..=`data.len()`. All rows are of one length, in bytes.
    ///
    /// Runs of ascending slots are made together, up to 16 in one pass over the data.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::Slot`] or [`Error::Shape`] if the arguments do not fit; nothing is written then.
    pub fn encode(&self, data: &[&[u8]], slots: &[u8], out: &mut [&mut [u8]]) -> Result<(), Error> {
        self.check_size(data.len())?;
        if let Some(&slot) = slots.iter().find(|&&slot| usize::from(slot) <= self.data) {
            return Err(Error::Slot(slot));
        }
        let length = data.first().map_or(0, |row| row.len());
        if slots.len() != out.len()
            || data.iter().any(|row| row.len() != length)
            || out.iter().any(|row| row.len() != length)
        {
            return Err(Error::Shape);
        }
        let mut rest = out;
        for run in slots.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (now, later) = rest.split_at_mut(run.len());
            self.parity
                .apply_rows(usize::from(run[0]) - self.data - 1, data, now);
            rest = later;
        }
        Ok(())
    }

    /// The coefficient of the data slot `column` in the parity slot `slot`.
    pub(super) fn coefficient(&self, slot: u8, column: u8) -> u8 {
        self.parity
            .coefficient(usize::from(slot) - self.data - 1, usize::from(column) - 1)
    }

    /// Whether the parity rows in hand belong to the data rows in hand, all of which are given: a
    /// check of one combination of all parity rows, at a fraction of the cost of making them again.
    ///
    /// A single wrong byte in a column is always found; several hide with a chance of 1 in 256.
    ///
    /// # Errors
    /// [`Error::Slot`] where a parity slot is none, [`Error::Size`] and [`Error::Shape`] where the
    /// rows do not fit.
    pub fn is_consistent(&self, data: &[&[u8]], parity: &[(u8, &[u8])]) -> Result<bool, Error> {
        self.check_size(data.len())?;
        let length = data.first().map_or(0, |row| row.len());
        let parity_rows = parity.iter().map(|(_, row)| *row);
        let rows: Vec<&[u8]> = data.iter().copied().chain(parity_rows).collect();
        if rows.iter().any(|row| row.len() != length) {
            return Err(Error::Shape);
        }
        if let Some((slot, _)) = parity
            .iter()
            .find(|(slot, _)| usize::from(*slot) <= self.data)
        {
            return Err(Error::Slot(*slot));
        }
        // Every parity row has a weight of its own, none of them zero.
        let weight = |slot: u8| exp(usize::from(slot) * usize::from(slot) % 255);
        let column = |c: usize| {
            // At most 254 data rows.
            let of_slot =
                |(slot, _): &(u8, _)| mul(weight(*slot), self.coefficient(*slot, c as u8));
            parity.iter().map(of_slot).fold(0, |sum, term| sum ^ term)
        };
        let weights = parity.iter().map(|(slot, _)| weight(*slot));
        let row: Vec<u8> = (1..=data.len()).map(column).chain(weights).collect();
        let mut sum = vec![0; length];
        LinearMap::new(1, row.len(), &row).apply(&rows, &mut [&mut sum]);
        Ok(sum.iter().all(|byte| *byte == 0))
    }

    pub(super) fn check_size(&self, k: usize) -> Result<(), Error> {
        if (1..=self.data).contains(&k) {
            Ok(())
        } else {
            Err(Error::Size {
                got: k,
                limit: self.data,
            })
        }
    }

    /// Whether a block with `k` data rows has the slot, outside of slot 0.
    pub(super) fn has_slot(&self, k: usize, slot: u8) -> bool {
        let slot = usize::from(slot);
        (1..=k).contains(&slot) || slot > self.data
    }
}

/// The matrix that takes the values of a polynomial at the points `used`, and gives those at `targets`.
///
/// `known` are all the points at which the polynomial is known, `used` those of them where it is not
/// zero; its degree is below the number of known points. Row t, column u is Lagrange's
/// prod over j in known, j ≠ u of (t - j) / (u - j).
pub(super) fn lagrange(known: &[u8], used: &[u8], targets: &[u8]) -> LinearMap {
    let weights = log_products(known, used);
    let values = log_products(known, targets);
    let mut is_known = [false; 256];
    known
        .iter()
        .for_each(|&point| is_known[usize::from(point)] = true);
    LinearMap::from_fn(targets.len(), used.len(), |row, col| {
        let (t, u) = (targets[row], used[col]);
        if is_known[usize::from(t)] {
            u8::from(t == u)
        } else {
            // The product at t, over (t - u) times the product at u, by logarithms.
            let divisor = usize::from(LOG[usize::from(t ^ u)]) + weights[col];
            EXP[(values[row] + 510 - divisor) % 255]
        }
    })
}

/// For every point, the logarithm (below 255) of the product of (point - j) over the j in `set`
/// other than the point itself.
pub(super) fn log_products(set: &[u8], points: &[u8]) -> Vec<usize> {
    let mut in_set = [false; 256];
    set.iter()
        .for_each(|&point| in_set[usize::from(point)] = true);
    let others: Vec<u8> = (0..=255)
        .filter(|&point| !in_set[usize::from(point)])
        .collect();
    // LOG[0] is 0, so the point itself counts as a factor of 1.
    let product = |point: u8, set: &[u8]| {
        set.iter()
            .map(|&j| usize::from(LOG[usize::from(point ^ j)]))
            .sum::<usize>()
            % 255
    };
    // Over the whole field it is the product of all nonzero elements, which is 1. So the product over
    // the set is the inverse of that over the rest: take the shorter.
    match set.len() <= others.len() {
        true => points.iter().map(|&point| product(point, set)).collect(),
        false => points
            .iter()
            .map(|&point| (255 - product(point, &others)) % 255)
            .collect(),
    }
}
