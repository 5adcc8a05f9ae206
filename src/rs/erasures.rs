//! Rows made from any `k` rows in hand.

use super::code::lagrange;
use super::{Code, Error};
use crate::gf::LinearMap;

/// How to make wanted rows from rows in hand: good for all blocks that lost the same slots.
#[derive(Debug, Clone)]
pub struct Recovery {
    map: LinearMap,
    used: Vec<u8>,
}

impl Recovery {
    /// The slots of the rows that [`apply`](Self::apply) takes, in its order. There are `k` of them.
    #[must_use]
    pub fn used(&self) -> &[u8] {
        &self.used
    }

    /// Makes the wanted rows from the rows of the slots [`used`](Self::used). All are of one length.
    ///
    /// # Errors
    /// [`Error::Shape`] if the numbers of rows or their lengths do not fit; nothing is written then.
    pub fn apply(&self, rows: &[&[u8]], out: &mut [&mut [u8]]) -> Result<(), Error> {
        let length = rows.first().map_or(0, |row| row.len());
        if rows.len() != self.map.cols()
            || out.len() != self.map.rows()
            || rows.iter().any(|row| row.len() != length)
            || out.iter().any(|row| row.len() != length)
        {
            return Err(Error::Shape);
        }
        self.map.apply(rows, out);
        Ok(())
    }
}

impl Code {
    /// Prepares to make the rows of the slots `wanted` from `k` of the slots `have` (data slots come
    /// first, then parity slots, each in the order given) of a block with `k` data rows. A slot may be given more
    /// than once; it counts once. What is wanted may be in hand already.
    ///
    /// # Errors
    /// [`Error::TooFew`] with less than `k` distinct slots; [`Error::Size`] and [`Error::Slot`] if the
    /// arguments do not fit.
    pub fn recovery(&self, k: usize, have: &[u8], wanted: &[u8]) -> Result<Recovery, Error> {
        self.check_size(k)?;
        if let Some(&slot) = have
            .iter()
            .chain(wanted)
            .find(|&&slot| !self.has_slot(k, slot))
        {
            return Err(Error::Slot(slot));
        }
        let is_data = |slot: u8| usize::from(slot) <= self.data();
        let data = have.iter().copied().filter(|&slot| is_data(slot));
        let parity = have.iter().copied().filter(|&slot| !is_data(slot));
        let mut seen = [false; 256];
        let mut used: Vec<u8> = data
            .chain(parity)
            .filter(|&slot| !std::mem::replace(&mut seen[usize::from(slot)], true))
            .collect();
        if used.len() < k {
            return Err(Error::TooFew {
                have: used.len(),
                need: k,
            });
        }
        used.truncate(k);
        // Slot 0 and the slots above the block's data are known to be zero.
        let mut known = used.clone();
        known.push(0);
        known.extend((k + 1..=self.data()).map(|slot| slot as u8));
        Ok(Recovery {
            map: lagrange(&known, &used, wanted),
            used,
        })
    }

    /// Makes the rows of the slots `wanted` of a block with `k` data rows from rows in hand, each with
    /// its slot. The rows in hand are taken to be right: any `k` distinct ones are used.
    ///
    /// # Errors
    /// As [`recovery`](Self::recovery) and [`Recovery::apply`]; nothing is written then.
    pub fn reconstruct(
        &self,
        k: usize,
        have: &[(u8, &[u8])],
        wanted: &[u8],
        out: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        let slots: Vec<u8> = have.iter().map(|&(slot, _)| slot).collect();
        let recovery = self.recovery(k, &slots, wanted)?;
        let mut by_slot: [Option<&[u8]>; 256] = [None; 256];
        for &(slot, row) in have {
            by_slot[usize::from(slot)].get_or_insert(row);
        }
        let rows: Vec<&[u8]> = recovery
            .used
            .iter()
            .filter_map(|&slot| by_slot[usize::from(slot)])
            .collect();
        recovery.apply(&rows, out)
    }
}
