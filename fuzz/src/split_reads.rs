//! The same bytes read whole, one at a time, in short pieces and with interruptions: the same result.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::{Arbitrary, Unstructured};
use dbs::Source;

use crate::damage::Step;
use crate::heal::Shape;
use crate::{class, open, passphrase, repair, restore};

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    shape: Shape,
    step: Option<Step>,
    manner: u8,
    seed: u64,
}

/// Reads in short pieces, and is interrupted now and then.
struct Halting {
    bytes: Vec<u8>,
    manner: u8,
    calls: AtomicU64,
}

impl Source for Halting {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let most = match self.manner % 4 {
            0 => 7,
            1 => 1 + (call.wrapping_mul(0x9e37_79b9) >> 7) as usize % 600,
            2 if call.is_multiple_of(2) => return Err(io::ErrorKind::Interrupted.into()),
            2 => 511,
            _ if buf.len() < 600 => 1,
            _ => 97,
        };
        let most = most.min(buf.len());
        self.bytes.read_at(&mut buf[..most], offset)
    }
}

pub fn run(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let truth = plan.shape.truth();
    let mut file = truth.file.clone();
    if let Some(step) = &plan.step {
        let other = step.is_foreign().then(|| plan.shape.other());
        step.apply(&truth, other.as_deref(), &mut file);
    }
    let halting = Halting {
        bytes: file.clone(),
        manner: plan.manner,
        calls: AtomicU64::new(plan.seed),
    };
    let (whole, pieces) = match (open(file), open(halting)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(a), Err(b)) => return assert_eq!(class(&a), class(&b), "{plan:?}"),
        (a, b) => panic!("{plan:?}: {:?} and {:?}", a.err(), b.err()),
    };
    same(&plan, whole.validate(None), pieces.validate(None));
    same(
        &plan,
        whole.validate(Some(&passphrase())),
        pieces.validate(Some(&passphrase())),
    );
    same(&plan, repair(&whole), repair(&pieces));
    same(&plan, restore(&whole), restore(&pieces));
}

fn same<T: PartialEq>(plan: &Plan, a: dbs::Result<T>, b: dbs::Result<T>) {
    match (a, b) {
        (Ok(a), Ok(b)) => assert!(a == b, "{plan:?}"),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "{plan:?}"),
        (a, b) => panic!("{plan:?}: {:?} and {:?}", a.err(), b.err()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("split_reads", 60, super::run);
    }
}
