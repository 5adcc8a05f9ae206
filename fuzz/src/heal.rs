//! Any small container, any damage: it heals where the guarantees promise it, and never lies.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use dbs::Status;

use crate::damage::Step;
use crate::forge::{CODED, Forge, Geo, LIGHT, STANDARD, Slot, painted};
use crate::oracle::{Promise, Truth};
use crate::{open, repair, restore, unlock, unlock_for_salvage};

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
        let blocks = if geo.k > 100 { 2 } else { 6 };
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
        self.made(false)
    }

    /// Another archive of the same shape and passphrase, with other contents.
    pub fn other(&self) -> Rc<Truth> {
        self.made(true)
    }

    fn made(&self, other: bool) -> Rc<Truth> {
        type Made = HashMap<(Shape, bool), Rc<Truth>>;
        thread_local! {
            static MADE: RefCell<Made> = RefCell::default();
        }
        MADE.with_borrow_mut(|made| {
            if made.len() > 200 {
                made.clear();
            }
            let truth = made
                .entry((self.clone(), other))
                .or_insert_with(|| Rc::new(self.make(other)));
            Rc::clone(truth)
        })
    }

    fn make(&self, other: bool) -> Truth {
        let mut payload = painted(self.payload);
        let mut forge = Forge::new(self.geo);
        forge.lag = self.lag;
        if other {
            payload.iter_mut().for_each(|byte| *byte ^= 0x55);
            forge.archive = [0xAA; 16];
            forge.data_key = [0xBB; 32];
            forge.key_slots(&[Slot::cheap(crate::forge::PASSPHRASE, 1)]);
        }
        forge.payload(&payload);
        forge.finish();
        Truth::new(forge, payload)
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
    let foreign = plan.steps.iter().any(Step::is_foreign);
    let other = foreign.then(|| plan.shape.other());
    for step in &plan.steps {
        step.apply(&truth, other.as_deref(), &mut damaged);
    }
    let in_place = plan.steps.iter().all(Step::in_place);
    let Some(other) = other else {
        return check(&truth, &damaged, in_place, &plan);
    };
    match first(&truth, &other, &damaged) {
        Some(true) => check(&truth, &damaged, false, &plan),
        Some(false) => check(&other, &damaged, false, &plan),
        // Whichever it is, it is one of the two.
        None => {
            if let Ok(archive) = open(damaged)
                && let Ok(payload) = restore(&archive)
            {
                assert!(
                    payload == truth.payload || payload == other.payload,
                    "G1: {plan:?}"
                );
            }
        }
    }
}

/// Which of two archives a file is read as (section 20.2): whether it is the first of them; none
/// where that is decided by votes.
fn first(ours: &Truth, theirs: &Truth, file: &[u8]) -> Option<bool> {
    let geo = ours.forge.geo;
    // Magic and version, slot, archive and the record of a page; what else stands in its sector says nothing.
    let parts = [0..5, 6..7, 16..32, 32..32 + geo.r()];
    let whose = |at: usize| -> Option<bool> {
        let found = file.get(at..at + parts[3].end)?;
        let page = |truth: &Truth| {
            let own = truth.sector(0);
            parts
                .iter()
                .all(|part| found[part.clone()] == own[part.clone()])
        };
        if page(ours) {
            return Some(true);
        }
        page(theirs).then_some(false)
    };
    whose(0)
        .or_else(|| whose(file.len().checked_sub(geo.size())?))
        .or_else(|| (0..file.len()).find_map(whose))
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
