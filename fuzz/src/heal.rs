//! Any small container, any damage: it heals where the guarantees promise it, and never lies.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use dbs::Status;

use crate::forge::{CODED, Forge, Geo, LIGHT, STANDARD, painted};
use crate::oracle::{Promise, Truth};
use crate::{Random, open, repair, unlock, unlock_for_salvage};

/// A container, by few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    pub geo: Geo,
    pub lag: u32,
    pub payload: usize,
}

impl<'a> Arbitrary<'a> for Shape {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let geo = match u.int_in_range(0..=31u8)? {
            0 => STANDARD,
            1 => CODED,
            2 => LIGHT,
            _ => {
                let k = u.int_in_range(1..=6)?;
                let ma = u.int_in_range(0..=4)?;
                let mb = u.int_in_range(0..=8)?;
                let copy_b = u.int_in_range(0..=2)?;
                // The library has no geometry without any parity.
                let geo = Geo {
                    shift: 9,
                    k,
                    ma,
                    mb,
                    copy_b,
                };
                match copy_b {
                    0 => Geo {
                        ma: ma.max(1),
                        mb: 0,
                        ..geo
                    },
                    1 if ma + mb == 0 => Geo { ma: 1, ..geo },
                    2 => Geo {
                        mb: mb.max(1),
                        ..geo
                    },
                    _ => geo,
                }
            }
        };
        let lag = match geo.copy_b {
            0 => 0,
            _ => *u.choose(&[0, 0, 0, 1, 2, 5])?,
        };
        // Boundary sizes, and anything up to six blocks.
        let c = geo.c();
        let blocks = if geo.k > 100 { 1 } else { 6 };
        let payload = match u.int_in_range(0..=7u8)? {
            0 => 0,
            1 => 1,
            2 => c - 1,
            3 => c,
            4 => c + 1,
            _ => u.int_in_range(0..=blocks * c)?,
        };
        Ok(Shape { geo, lag, payload })
    }
}

impl Shape {
    /// The container, made once.
    pub fn truth(&self) -> Rc<Truth> {
        thread_local! {
            static MADE: RefCell<HashMap<Shape, Rc<Truth>>> = RefCell::default();
        }
        MADE.with_borrow_mut(|made| {
            if made.len() > 200 {
                made.clear();
            }
            let truth = made.entry(self.clone()).or_insert_with(|| {
                let payload = painted(self.payload);
                Rc::new(Truth::new(
                    Forge::whole(self.geo, self.lag, &payload),
                    payload,
                ))
            });
            Rc::clone(truth)
        })
    }
}

/// One step of damage. Places are shares of the file, so that a step means something in all of them.
#[derive(Debug, Clone, Arbitrary)]
pub enum Step {
    /// Sectors are zeroed, or filled.
    Fill { at: u16, count: u8, byte: u8 },
    /// Sectors are overwritten with noise.
    Noise { at: u16, count: u8, seed: u8 },
    /// Bytes are overwritten.
    Bytes {
        at: u16,
        fine: u8,
        len: u8,
        byte: u8,
    },
    /// Bits of one sector are flipped.
    Flip { at: u16, bits: [u16; 3] },
    /// The same byte of many sectors is changed.
    Column {
        at: u16,
        count: u8,
        stride: u8,
        column: u16,
        mask: u8,
    },
    /// Every tag of so many sectors is broken.
    Tags { at: u16, count: u8 },
    /// Bits are flipped all over the file.
    Rot { every: u16, seed: u8 },
    /// Sectors are overwritten with others of the same file.
    Copy { from: u16, to: u16, count: u8 },
    /// Sectors change places.
    Swap { a: u16, b: u16, count: u8 },
    /// Bytes are cut out.
    Remove {
        at: u16,
        fine: u16,
        sectors: u8,
        bytes: u16,
    },
    /// Noise is pushed in.
    Insert {
        at: u16,
        fine: u16,
        len: u16,
        seed: u8,
    },
    /// The end is cut off.
    Truncate { at: u16, fine: u16 },
    /// The beginning is cut off.
    Behead { at: u16, fine: u16 },
    /// The file follows itself, once more.
    Twice,
    /// The sectors from some place on come first.
    Rotate { at: u16 },
    /// The order of the sectors is mixed.
    Shuffle { seed: u8 },
    /// One slot of every block copy is zeroed.
    Slot { slot: u8 },
    /// One block copy is zeroed, but for a few sectors.
    Block { block: u8, copy: bool, spare: u8 },
}

impl Step {
    /// Whether bytes stay where they are.
    pub fn in_place(&self) -> bool {
        !matches!(
            self,
            Step::Remove { .. }
                | Step::Insert { .. }
                | Step::Behead { .. }
                | Step::Twice
                | Step::Rotate { .. }
                | Step::Shuffle { .. }
                | Step::Copy { .. }
                | Step::Swap { .. }
        )
    }

    /// Does it. `size` is that of a sector.
    pub fn apply(&self, truth: &Truth, file: &mut Vec<u8>) {
        let size = truth.forge.geo.size();
        let sectors = file.len() / size;
        if sectors == 0 {
            return;
        }
        let place = |at: u16| usize::from(at) * sectors / 65536;
        let range = |at: u16, count: u8| {
            let first = place(at);
            let last = (first + usize::from(count)).min(sectors);
            first * size..last * size
        };
        match *self {
            Step::Fill { at, count, byte } => file[range(at, count)].fill(byte),
            Step::Noise { at, count, seed } => {
                let range = range(at, count);
                let noise = Random(seed.into()).bytes(range.len());
                file[range].copy_from_slice(&noise);
            }
            Step::Bytes {
                at,
                fine,
                len,
                byte,
            } => {
                let from = place(at) * size + 2 * usize::from(fine);
                let to = (from + usize::from(len)).min(file.len());
                file[from.min(to)..to].fill(byte);
            }
            Step::Flip { at, bits } => {
                for bit in bits {
                    let bit = usize::from(bit) % (size * 8);
                    file[place(at) * size + bit / 8] ^= 1 << (bit % 8);
                }
            }
            Step::Column {
                at,
                count,
                stride,
                column,
                mask,
            } => {
                let column = usize::from(column) % size;
                let step = usize::from(stride).max(1);
                for i in 0..usize::from(count) {
                    if let Some(byte) = file.get_mut((place(at) + i * step) * size + column) {
                        *byte ^= mask;
                    }
                }
            }
            Step::Tags { at, count } => {
                for sector in file[range(at, count)].chunks_exact_mut(size) {
                    sector[size - 1] ^= 1;
                }
            }
            Step::Rot { every, seed } => {
                let mut random = Random(seed.into());
                let bits = file.len() * 8;
                for _ in 0..bits / usize::from(every).max(100) {
                    let bit = random.below(bits);
                    file[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Step::Copy { from, to, count } => {
                let (from, to) = (range(from, count), range(to, count));
                let len = from.len().min(to.len());
                file.copy_within(from.start..from.start + len, to.start);
            }
            Step::Swap { a, b, count } => {
                let (a, b) = (range(a, count), range(b, count));
                for i in 0..a.len().min(b.len()) {
                    file.swap(a.start + i, b.start + i);
                }
            }
            Step::Remove {
                at,
                fine,
                sectors,
                bytes,
            } => {
                let from = (place(at) * size + usize::from(fine) % size).min(file.len());
                let len = usize::from(sectors) * size + usize::from(bytes) % size;
                drop(file.drain(from..(from + len).min(file.len())));
            }
            Step::Insert {
                at,
                fine,
                len,
                seed,
            } => {
                let from = (place(at) * size + usize::from(fine) % size).min(file.len());
                let noise = Random(seed.into()).bytes(usize::from(len) % 3000);
                drop(file.splice(from..from, noise));
            }
            Step::Truncate { at, fine } => {
                file.truncate(place(at) * size + usize::from(fine) % size);
            }
            Step::Behead { at, fine } => {
                let to = (place(at) * size + usize::from(fine) % size).min(file.len());
                drop(file.drain(..to));
            }
            Step::Twice => {
                if file.len() <= 2 * truth.file.len() {
                    file.extend_from_within(..);
                }
            }
            Step::Rotate { at } => file.rotate_left(place(at) * size),
            Step::Shuffle { seed } => {
                let mut random = Random(seed.into());
                for i in (1..sectors).rev() {
                    let j = random.below(i + 1);
                    for byte in 0..size {
                        file.swap(i * size + byte, j * size + byte);
                    }
                }
            }
            Step::Slot { slot } => {
                for (index, at) in truth.map.iter().enumerate() {
                    if at.2 == slot && (index + 1) * size <= file.len() {
                        file[index * size..(index + 1) * size].fill(0);
                    }
                }
            }
            Step::Block { block, copy, spare } => {
                let block = u64::from(block) % truth.forge.n();
                let mut spare = spare;
                for (index, at) in truth.map.iter().enumerate() {
                    if (at.0, at.1) == (usize::from(copy), block)
                        && (index + 1) * size <= file.len()
                    {
                        if spare & 1 == 0 {
                            file[index * size..(index + 1) * size].fill(0);
                        }
                        spare = spare.rotate_right(1);
                    }
                }
            }
        }
    }
}

/// A container and what happens to it.
#[derive(Debug, Clone, Arbitrary)]
pub struct Plan {
    pub shape: Shape,
    pub steps: Vec<Step>,
}

pub fn run(data: &[u8]) {
    let Ok(mut plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    plan.steps.truncate(16);
    let truth = plan.shape.truth();
    let mut damaged = truth.file.clone();
    for step in &plan.steps {
        step.apply(&truth, &mut damaged);
    }
    let in_place = plan.steps.iter().all(Step::in_place);
    check(&truth, &damaged, in_place, &plan);
}

/// The guarantees, for one damaged file.
pub fn check(truth: &Truth, damaged: &[u8], in_place: bool, plan: &dyn std::fmt::Debug) {
    let left = truth.judge(damaged, in_place);
    let must_heal = left.must_heal(truth);
    let archive = match open(damaged.to_vec()) {
        Ok(archive) => archive,
        Err(error) => {
            assert!(!must_heal, "G2/G3: {plan:?} must open: {error}");
            return;
        }
    };

    // G1: exact bytes, or an error.
    let unlocked = unlock(&archive);
    match &unlocked {
        Ok(payload) => {
            assert_eq!(payload.len(), truth.payload.len() as u64, "G1: {plan:?}");
            let whole = payload.read_range(0..payload.len());
            if let Err(error) = &whole {
                assert!(!must_heal, "G2/G3: {plan:?} must be restored: {error}");
            }
            assert!(
                whole.is_err() || whole.is_ok_and(|w| w == truth.payload),
                "G1: {plan:?}"
            );
            // Block by block: what is promised for one does not hang upon the others.
            let c = truth.forge.geo.c() as u64;
            for block in 0..truth.forge.d {
                let range = block * c..((block + 1) * c).min(payload.len());
                match payload.read_range(range.clone()) {
                    Ok(bytes) => {
                        let expected = &truth.payload[range.start as usize..range.end as usize];
                        assert!(bytes == expected, "G1: block {block}, {plan:?}");
                        let hopeless = left.blocks[block as usize] == Promise::Hopeless;
                        assert!(!hopeless, "the bound is exact: block {block}, {plan:?}");
                    }
                    Err(error) => {
                        let promised = left.blocks[block as usize] == Promise::Erasures;
                        assert!(!promised, "G2: block {block}: {error}, {plan:?}");
                    }
                }
            }
        }
        Err(error) => assert!(!must_heal, "G2/G3: {plan:?} must be unlocked: {error}"),
    }
    salvage(truth, &archive, plan);

    // G7: the repaired file is the file that was written.
    let report = archive.validate(None);
    let repaired = repair(&archive);
    match &repaired {
        Ok(bytes) => assert!(*bytes == truth.file, "G7: {plan:?}"),
        Err(error) => assert!(!must_heal, "G2/G3: {plan:?} must be repaired: {error}"),
    }
    match report {
        Ok(report) => {
            let clean = report.status() == Status::Clean;
            assert_eq!(clean, damaged == truth.file, "status: {plan:?} {report:?}");
            let unrecoverable = report.status() == Status::Unrecoverable;
            assert_eq!(
                unrecoverable,
                repaired.is_err(),
                "status: {plan:?} {report:?}"
            );
        }
        Err(error) => assert!(!must_heal, "G2/G3: {plan:?} must be validated: {error}"),
    }
}

/// What is salvaged is exact, and what is missing is named.
fn salvage(truth: &Truth, archive: &dbs::Archive, plan: &dyn std::fmt::Debug) {
    let Ok(payload) = unlock_for_salvage(archive) else {
        return;
    };
    let mut bytes = Vec::new();
    let Ok(report) = payload.salvage_to(&mut bytes) else {
        return;
    };
    let mut expected = truth.payload.clone();
    if payload.manifest().is_none() {
        expected.resize(bytes.len(), 0);
    }
    assert_eq!(bytes.len(), expected.len(), "salvage: {plan:?}");
    for failed in &report.failed_blocks {
        let range = failed.payload.clone().expect("the bytes it held");
        let to = (range.end as usize).min(expected.len());
        let from = (range.start as usize).min(to);
        expected[from..to].fill(0);
    }
    assert!(bytes == expected, "salvage: {plan:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("heal", 300, super::run);
    }
}
