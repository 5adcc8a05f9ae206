//! What a file survives, computed from the shape of its blocks ("Survival bounds").
//!
//! Three kinds of damage are judged. *Burst*: sectors that follow each other, anywhere; exact.
//! *Loss*: every sector is lost with the same probability; exact, from the distribution of the lost
//! symbols of every block. *Rot*: every bit is flipped with the same probability, so many that no
//! sector is left intact; the distribution of errors and erasures in every byte column of every
//! block, the vote of blocks of one data sector, and the vote over header pages. Where some sectors
//! are still intact a file survives more than rot says here.

use std::collections::BTreeMap;

use super::geometry::{Copy, CopyB, Geometry};
use super::layout::CODE_LEN;
use super::order::Order;

/// Other values that a wrong byte can have.
const WRONG_VALUES: f64 = 255.0;
/// Header pages that are reckoned with in a vote; more of them only help.
const VOTERS: u64 = 100;
/// Bits of a narrow vote that are tried both ways.
const TRIED_BITS: usize = 12;

/// The shape of an archive: how many blocks there are of which number of data sectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    geometry: Geometry,
    /// Number of blocks for every number of data sectors, but for those of the table.
    blocks: BTreeMap<u8, u64>,
    /// Number of table blocks. Restoring goes without them: what they say can be had from the frames,
    /// and the key judges the others. Only their header pages count.
    tables: u64,
    /// Bits of the header page's record and of the archive id that are 1, and that are 0.
    page_bits: (u32, u32),
}

/// The longest run of sectors that may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// So many sectors that follow each other may be lost, wherever they lie.
    pub sectors: u64,
    /// One more is too many from this sector of the file on.
    pub fatal_from: u64,
    /// The block that is lost then.
    pub block: u64,
}

impl Burst {
    /// The longest range of bytes that never touches more sectors than may be lost.
    #[must_use]
    pub fn bytes(&self, geometry: &Geometry) -> u64 {
        match self.sectors {
            0 => 0,
            n => (n - 1) * geometry.sector_size() as u64 + 1,
        }
    }
}

/// The worst burst that the archive survives; `None` without blocks.
///
/// Where it is a block of the table that is lost first, the archive survives more: a table can be
/// made again from the other blocks.
#[must_use]
pub fn worst_burst(order: &Order) -> Option<Burst> {
    let geometry = order.geometry();
    // The farther apart its copies are, the more a block survives: of all blocks with the same
    // number of data sectors, the one with the smallest distance decides.
    let mut nearest: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for block in 0..order.blocks() {
        let distance = match geometry.copy_b() {
            CopyB::None => 0,
            _ => sector_of(order, Copy::B, block) - sector_of(order, Copy::A, block),
        };
        let least = nearest.entry(order.k(block)).or_insert((distance, block));
        *least = (*least).min((distance, block));
    }
    let bursts = nearest.into_iter().map(|(k, (distance, block))| {
        let (from, sectors) = shortest_fatal(geometry, k, distance);
        Burst {
            sectors: sectors - 1,
            fatal_from: sector_of(order, Copy::A, block) + from,
            block,
        }
    });
    bursts.min_by_key(|burst| (burst.sectors, burst.block))
}

fn sector_of(order: &Order, copy: Copy, block: u64) -> u64 {
    order.offset(copy, block) >> order.geometry().sector_shift()
}

/// The shortest range of sectors whose loss is too much for a block, whose copy B begins `distance`
/// sectors behind copy A: where it begins, counted from the begin of copy A, and its length.
fn shortest_fatal(geometry: &Geometry, k: u8, distance: u64) -> (u64, u64) {
    // Where the sectors of the code lie, in the order of the file.
    let mut places: Vec<(u64, u8)> = Vec::new();
    for &copy in geometry.copies() {
        let start = if copy == Copy::A { 0 } else { distance };
        let slots = geometry.slots(copy, k).enumerate().skip(1);
        places.extend(slots.map(|(position, slot)| (start + position as u64, slot)));
    }
    let mut alive = [0u8; CODE_LEN];
    for &(_, slot) in &places {
        alive[usize::from(slot)] += 1;
    }
    let parity = parity(geometry, k);
    let (mut lost, mut first) = (0, 0);
    let mut best = (0, u64::MAX);
    for &(to, slot) in &places {
        alive[usize::from(slot)] -= 1;
        lost += usize::from(alive[usize::from(slot)] == 0);
        while lost > parity {
            let (from, slot) = places[first];
            if to - from + 1 < best.1 {
                best = (from, to - from + 1);
            }
            lost -= usize::from(alive[usize::from(slot)] == 0);
            alive[usize::from(slot)] += 1;
            first += 1;
        }
    }
    best
}

/// Parity sectors of a block in both copies together.
fn parity(geometry: &Geometry, k: u8) -> usize {
    let copies = geometry.copies().iter();
    copies
        .map(|&copy| usize::from(geometry.parity_of(copy, k)))
        .sum()
}

impl Shape {
    /// The shape of blocks with these numbers of data sectors, those of the table left out, of so
    /// many table blocks, and of a header page with this payload, in an archive of this id.
    #[must_use]
    pub fn new(
        geometry: Geometry,
        ks: impl IntoIterator<Item = u8>,
        tables: u64,
        page: &[u8],
        archive: &[u8; 16],
    ) -> Self {
        let mut blocks = BTreeMap::new();
        for k in ks {
            *blocks.entry(k).or_insert(0) += 1;
        }
        let record = &page[..page.len().min(geometry.page_record())];
        let ones = record.iter().chain(archive).map(|byte| byte.count_ones());
        let ones: u32 = ones.sum();
        // A record has at most 768 bytes.
        let bits = 8 * (record.len() + archive.len()) as u32;
        Shape {
            geometry,
            blocks,
            tables,
            page_bits: (ones, bits - ones),
        }
    }

    /// How likely the whole payload can be restored when every sector is lost with probability
    /// `share`.
    #[must_use]
    pub fn survives_loss(&self, share: f64) -> f64 {
        let log = self.each_block(|k| (-self.block_lost_to_loss(k, share)).ln_1p());
        let pages_lost = share.powf(self.pages() as f64);
        (log + (-pages_lost).ln_1p()).exp()
    }

    /// How likely the whole payload can be restored when every bit is flipped with probability
    /// `rate`.
    #[must_use]
    pub fn survives_rot(&self, rate: f64) -> f64 {
        let log = self.each_block(|k| self.log_block_survives_rot(k, rate));
        (log + (-self.pages_lost_to_rot(rate)).ln_1p()).exp()
    }

    /// The largest share of lost sectors that the whole archive survives with probability `chance`.
    #[must_use]
    pub fn loss_survived(&self, chance: f64) -> f64 {
        largest(1.0, |share| self.survives_loss(share) >= chance)
    }

    /// The largest share of flipped bits that the whole archive survives with probability `chance`.
    #[must_use]
    pub fn rot_survived(&self, chance: f64) -> f64 {
        largest(0.5, |rate| self.survives_rot(rate) >= chance)
    }

    /// How likely a block of `k` data sectors is lost when every sector is with probability `share`.
    #[must_use]
    pub fn block_lost_to_loss(&self, k: u8, share: f64) -> f64 {
        let parity = parity(&self.geometry, k);
        // Data slots that are there twice are lost where both of their sectors are.
        let data = if self.geometry.copy_b() == CopyB::Mirrored {
            share * share
        } else {
            share
        };
        beyond(
            parity,
            &[
                (usize::from(k), [1.0 - data, data, 0.0]),
                (parity, [1.0 - share, share, 0.0]),
            ],
        )
    }

    /// How likely a block of `k` data sectors is lost when every bit is flipped with probability
    /// `rate`.
    #[must_use]
    pub fn block_lost_to_rot(&self, k: u8, rate: f64) -> f64 {
        -self.log_block_survives_rot(k, rate).exp_m1()
    }

    /// The logarithm of the probability that all byte columns of a block decode.
    fn log_block_survives_rot(&self, k: u8, rate: f64) -> f64 {
        let lost = if k == 1 {
            self.vote_lost(rate)
        } else {
            self.column_lost(k, rate)
        };
        self.geometry.payload_size() as f64 * (-lost).ln_1p()
    }

    /// How likely one byte column of a block does not decode: 2e + s is more than its parity.
    fn column_lost(&self, k: u8, rate: f64) -> f64 {
        let parity = parity(&self.geometry, k);
        let right = (1.0 - rate).powi(8);
        let single = [right, 0.0, 1.0 - right];
        let data = if self.geometry.copy_b() == CopyB::Mirrored {
            // Each bit agrees in both copies if it was flipped in both or in neither.
            let agree = (rate * rate + (1.0 - rate) * (1.0 - rate)).powi(8);
            [right * right, 1.0 - agree, agree - right * right]
        } else {
            single
        };
        beyond(parity, &[(usize::from(k), data), (parity, single)])
    }

    /// How likely the vote on one byte of a block of one data sector does not name the right value.
    fn vote_lost(&self, rate: f64) -> f64 {
        let data = if self.geometry.copy_b() == CopyB::Mirrored {
            2
        } else {
            1
        };
        let votes = data + parity(&self.geometry, 1);
        let right = (1.0 - rate).powi(8);
        binomial(votes, 1.0 - right)
            .iter()
            .enumerate()
            .map(|(wrong, chance)| {
                // It is lost where any wrong value has as many votes as the right one.
                let needed = votes - wrong;
                let one_value = at_least(needed, &binomial(wrong, 1.0 / WRONG_VALUES));
                chance * (WRONG_VALUES * one_value).min(1.0)
            })
            .sum()
    }

    /// How likely the vote over all header pages does not give a page.
    ///
    /// Only those are heard whose slot is intact, and with them some other sectors whose slot
    /// became 0. Bits on which the vote is a tie or off it by one are tried both ways, if they are
    /// few; otherwise a tie counts as 0.
    fn pages_lost_to_rot(&self, rate: f64) -> f64 {
        let heard = (1.0 - rate).powi(8);
        let mistaken: f64 = self
            .blocks
            .iter()
            .map(|(&k, &count)| {
                let copies = self.geometry.copies().iter();
                let near = copies
                    .flat_map(|&copy| self.geometry.slots(copy, k))
                    .filter(|slot| slot.is_power_of_two());
                count as f64 * near.count() as f64
            })
            .sum();
        let pages = self.pages();
        let genuine = pages as f64 * heard;
        let mistaken = mistaken * heard * rate;
        let wrong = (genuine * rate + mistaken * 0.5) / (genuine + mistaken).max(f64::MIN_POSITIVE);
        let turnout = ((genuine + mistaken) / pages as f64).min(1.0);

        let (ones, zeros) = (f64::from(self.page_bits.0), f64::from(self.page_bits.1));
        let alone = (1.0 - rate).powf(ones + zeros);
        let by_voters = binomial(pages.min(VOTERS) as usize, turnout);
        by_voters
            .iter()
            .enumerate()
            .map(|(voters, chance)| {
                let flipped = binomial(voters, wrong);
                let one = at_least(voters.div_ceil(2), &flipped);
                let zero = at_least(voters / 2 + 1, &flipped);
                let right = (ones * (-one).ln_1p() + zeros * (-zero).ln_1p()).exp();
                let narrow = at_least(voters.saturating_sub(1).div_ceil(2), &flipped);
                let clear = at_least((voters + 2).div_ceil(2), &flipped);
                let few = poisson_at_most(TRIED_BITS, (ones + zeros) * (narrow - clear));
                let none_clear = ((ones + zeros) * (-clear).ln_1p()).exp();
                let lost = 1.0 - right.max(few * none_clear);
                // A page that is right all by itself needs no vote.
                chance * lost * (1.0 - alone).powf(voters as f64)
            })
            .sum()
    }

    /// Header pages in the file.
    fn pages(&self) -> u64 {
        let blocks: u64 = self.tables + self.blocks.values().sum::<u64>();
        blocks * self.geometry.copies().len() as u64 + 1
    }

    /// The sum of a logarithm over all blocks.
    fn each_block(&self, log: impl Fn(u8) -> f64) -> f64 {
        self.blocks
            .iter()
            .map(|(&k, &count)| count as f64 * log(k))
            .sum()
    }
}

/// How likely the costs of independent symbols sum up to more than `budget`. Each group is a number
/// of symbols with the probabilities that one costs 0, 1 or 2.
///
/// Only positive numbers are added, so that small results are as exact as large ones.
fn beyond(budget: usize, groups: &[(usize, [f64; 3])]) -> f64 {
    let mut exact = vec![0.0; budget + 1];
    exact[0] = 1.0;
    let mut beyond = 0.0;
    for &(symbols, [none, one, two]) in groups {
        for _ in 0..symbols {
            beyond += exact[budget] * (one + two);
            if budget > 0 {
                beyond += exact[budget - 1] * two;
            }
            for cost in (0..=budget).rev() {
                exact[cost] = exact[cost] * none
                    + if cost >= 1 {
                        exact[cost - 1] * one
                    } else {
                        0.0
                    }
                    + if cost >= 2 {
                        exact[cost - 2] * two
                    } else {
                        0.0
                    };
            }
        }
    }
    beyond.min(1.0)
}

/// The probabilities of exactly 0, 1, ... n successes.
fn binomial(n: usize, p: f64) -> Vec<f64> {
    // 0 successes of probability 0 are certain, though the logarithm of 0 is not a number.
    let power = |log: f64, times: usize| match times {
        0 => 0.0,
        times => times as f64 * log,
    };
    let (yes, no) = (p.ln(), (-p).ln_1p());
    let mut ways = 0.0;
    (0..=n)
        .map(|i| {
            if i > 0 {
                ways += ((n - i + 1) as f64 / i as f64).ln();
            }
            (ways + power(yes, i) + power(no, n - i)).exp()
        })
        .collect()
}

/// How likely there are at most so many of rare things of which `mean` are expected.
fn poisson_at_most(most: usize, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut sum = term;
    for i in 1..=most {
        term *= mean / i as f64;
        sum += term;
    }
    sum.min(1.0)
}

fn at_least(least: usize, exact: &[f64]) -> f64 {
    exact.iter().skip(least).rev().sum::<f64>().min(1.0)
}

/// The largest probability up to `most` for which a condition holds that holds for small ones.
fn largest(most: f64, holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (1e-12_f64, most);
    if holds(high) {
        return high;
    }
    if !holds(low) {
        return 0.0;
    }
    while high / low > 1.0005 {
        let middle = (low * high).sqrt();
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Profile;
    use super::*;

    fn geometry(profile: Profile) -> Geometry {
        Geometry::of(profile, 12).unwrap()
    }

    fn full(profile: Profile, bytes: u64) -> Shape {
        let geometry = geometry(profile);
        let blocks = bytes.div_ceil(geometry.capacity() as u64) as usize;
        let ks = std::iter::repeat_n(geometry.data(), blocks);
        Shape::new(geometry, ks, 1, &[0x55; 768], &[0x55; 16])
    }

    /// Whether all blocks survive the loss of a range of sectors, by counting.
    fn survives(order: &Order, from: u64, to: u64) -> bool {
        let geometry = order.geometry();
        (0..order.blocks()).all(|block| {
            let k = order.k(block);
            let mut alive = [false; CODE_LEN];
            for &copy in geometry.copies() {
                let start = sector_of(order, copy, block);
                for (position, slot) in geometry.slots(copy, k).enumerate() {
                    let at = start + position as u64;
                    alive[usize::from(slot)] |= slot != 0 && !(from..to).contains(&at);
                }
            }
            alive.iter().filter(|alive| **alive).count() >= k.into()
        })
    }

    #[test]
    fn the_worst_burst_is_exact() {
        let small = |a, b, copy_b| Geometry::new(9, 6, a, b, copy_b).unwrap();
        for geometry in [
            small(2, 2, CopyB::Mirrored),
            small(0, 3, CopyB::Mirrored),
            small(3, 0, CopyB::Mirrored),
            small(2, 7, CopyB::Coded),
            small(2, 3, CopyB::Coded),
            small(4, 0, CopyB::None),
        ] {
            for lag in [0, 1, 2, 5] {
                if lag > 0 && geometry.copy_b() == CopyB::None {
                    continue;
                }
                for ks in [vec![1, 1], vec![6, 6, 3, 1, 1], vec![2, 6, 1, 6, 4, 4, 1]] {
                    let order = Order::new(geometry, lag, ks);
                    let burst = worst_burst(&order).unwrap();
                    let all = order.sectors();
                    let sectors = burst.sectors;
                    for from in 0..=all - sectors {
                        assert!(survives(&order, from, from + sectors), "{order:?} {from}");
                    }
                    let from = burst.fatal_from;
                    assert!(!survives(&order, from, from + sectors + 1), "{order:?}");
                }
            }
        }
    }

    #[test]
    fn standard_survives_one_whole_copy() {
        let ks = [223, 223, 223, 40, 1, 1];
        let order = Order::new(geometry(Profile::Standard), 0, ks.to_vec());
        let burst = worst_burst(&order).unwrap();
        let copy = (order.sectors() - 1) / 2;
        let least = geometry(Profile::Standard).parity_of(Copy::B, 1);
        assert_eq!(burst.sectors, copy + u64::from(least));
        let bytes = burst.bytes(order.geometry());
        assert_eq!(bytes, (burst.sectors - 1) * 4096 + 1);
        let light = Order::new(geometry(Profile::Light), 0, ks.to_vec());
        assert_eq!(worst_burst(&light).unwrap().sectors, 8);
    }

    /// The figures of the specification's section on survival bounds.
    #[test]
    fn figures_are_those_of_the_specification() {
        let (mib64, gib) = (64 << 20, 1 << 30);
        for (profile, bytes, half, nearly) in [
            (Profile::Standard, mib64, 0.249, 0.213),
            (Profile::Standard, gib, 0.224, 0.196),
            (Profile::Coded, mib64, 0.455, 0.417),
            (Profile::Coded, gib, 0.429, 0.398),
            (Profile::Light, gib, 0.071, 0.056),
        ] {
            let shape = full(profile, bytes);
            assert!((shape.loss_survived(0.5) - half).abs() < 1e-3);
            assert!((shape.loss_survived(0.99) - nearly).abs() < 1e-3);
        }
        for (profile, bytes, half) in [
            (Profile::Standard, mib64, 3.1e-3),
            (Profile::Standard, gib, 2.7e-3),
            (Profile::Coded, mib64, 2.1e-2),
            (Profile::Coded, gib, 1.9e-2),
            (Profile::Light, gib, 1.7e-3),
        ] {
            let rate = full(profile, bytes).rot_survived(0.5);
            assert!((rate / half - 1.0).abs() < 0.03, "{profile:?} {rate}");
        }
    }

    #[test]
    fn inverses_are_inverse() {
        for profile in [Profile::Standard, Profile::Coded, Profile::Light] {
            let shape = full(profile, 1 << 30);
            for chance in [0.5, 0.999] {
                let share = shape.loss_survived(chance);
                assert!(shape.survives_loss(share) >= chance);
                assert!(shape.survives_loss(share * 1.001) < chance);
                let rate = shape.rot_survived(chance);
                assert!(shape.survives_rot(rate) >= chance);
                assert!(shape.survives_rot(rate * 1.001) < chance);
            }
        }
    }

    /// Sums over all outcomes of a tiny code, one by one.
    #[test]
    fn sums_agree_with_counting_all_outcomes() {
        let (k, parity, share) = (3, 2, 0.3_f64);
        let mut lost = 0.0;
        for outcome in 0..1u32 << (2 * k + parity) {
            let gone = |i: u32| outcome >> i & 1 == 1;
            let data = (0..k).filter(|i| gone(*i) && gone(i + k)).count();
            let spare = (0..parity).filter(|i| gone(2 * k + i)).count();
            let count = outcome.count_ones() as i32;
            let all = (2 * k + parity) as i32;
            if data + spare > parity as usize {
                lost += share.powi(count) * (1.0 - share).powi(all - count);
            }
        }
        let geometry = Geometry::new(9, 3, 1, 1, CopyB::Mirrored).unwrap();
        let shape = Shape::new(geometry, [3], 0, &[0; 464], &[0; 16]);
        assert!((shape.block_lost_to_loss(3, share) / lost - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tiny_probabilities_are_not_rounded_away() {
        let shape = full(Profile::Standard, 1 << 30);
        let lost = shape.block_lost_to_loss(223, 1e-3);
        assert!(lost > 0.0 && lost < 1e-60, "{lost}");
        let lost = shape.block_lost_to_rot(223, 1e-5);
        assert!(lost > 0.0 && lost < 1e-15, "{lost}");
        // A vote of 18 at a rate at which half of all bytes are wrong.
        let small = Shape::new(geometry(Profile::Standard), [1], 0, &[0; 768], &[0; 16]);
        assert!(small.block_lost_to_rot(1, 0.02) < 1e-6);
        assert!(small.survives_loss(0.0) == 1.0 && small.survives_rot(0.0) == 1.0);
        assert!(small.survives_loss(1.0) == 0.0);
        assert!(small.survives_rot(0.5) < 1e-9);
    }
}
