//! Any small container of version 1 or 2, any damage: what must be had back is, bit for bit, what
//! cannot be had is refused, and nothing wrong is returned.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use arbitrary::{Arbitrary, Unstructured};
use dbs::{Status, Unlocked, v1, v2};

use crate::forge::PASSPHRASE;
use crate::legacy::{Base, write_v1, write_v2};
use crate::legacy_truth::{Damaged, Left, Promise, judge};
use crate::{Random, open, passphrase};

/// A container, by few numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    pub version: u8,
    pub block_size: usize,
    pub nsym: usize,
    pub interleave: u64,
    pub payload: usize,
    pub compress: bool,
}

impl<'a> Arbitrary<'a> for Shape {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let version = u.int_in_range(1..=2)?;
        let nsym = *u.choose(&[16, 2, 3, 4, 7, 8, 16, 32, 64])?;
        let least = if version == 1 { 1 } else { 512 };
        // Blocks of whole rows, and any others.
        let block_size = match u.int_in_range(0..=3u8)? {
            0 => (255 - nsym) * u.int_in_range(3..=6)?,
            _ => u.int_in_range(least..=1600)?,
        };
        let capacity = if version == 1 {
            block_size
        } else {
            block_size - 32
        };
        let interleave = *u.choose(&[1, 2, 3, 5, 64])?;
        let payload = match u.int_in_range(0..=7u8)? {
            0 => 0,
            1 => capacity - 1,
            2 => capacity,
            3 => capacity + 1,
            _ => u.int_in_range(0..=7 * capacity)?,
        };
        Ok(Shape {
            version,
            // A manifest for each byte is no small container.
            block_size: block_size.max(1 + payload / 12),
            nsym,
            interleave,
            payload,
            compress: u.ratio(1, 4)?,
        })
    }
}

impl Shape {
    /// The container, made once.
    pub fn base(&self) -> Rc<Base> {
        thread_local! {
            static MADE: RefCell<HashMap<Shape, Rc<Base>>> = RefCell::default();
        }
        MADE.with_borrow_mut(|made| {
            if made.len() > 200 {
                made.clear();
            }
            let base = made
                .entry(self.clone())
                .or_insert_with(|| Rc::new(self.make()));
            Rc::clone(base)
        })
    }

    fn make(&self) -> Base {
        let mut payload = Random(self.payload as u64).bytes(self.payload);
        payload[..self.payload / 3].fill(b'x');
        let keys = v1::Keys {
            salt: [1; 16],
            data_key: [2; 32],
            key_nonce: [3; 12],
        };
        let bytes = if self.version == 1 {
            let fixed = v1::Fixed {
                keys,
                body_nonce: [4; 12],
            };
            let sizes = (self.block_size, self.nsym);
            write_v1(&payload, PASSPHRASE, sizes, self.compress, Some(fixed))
        } else {
            let fixed = v2::Fixed {
                keys,
                id: [5; 16],
                nonce_prefix: [6; 7],
            };
            let geometry = v2::Geometry {
                block_size: self.block_size,
                nsym: self.nsym,
                interleave: self.interleave,
            };
            write_v2(&payload, PASSPHRASE, geometry, self.compress, Some(fixed))
        };
        Base::new(format!("{self:?}"), bytes, PASSPHRASE, payload)
    }
}

/// What bytes are overwritten with.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum With {
    Zeros,
    Ones,
    Noise(u8),
}

impl With {
    fn fill(self, bytes: &mut [u8]) {
        match self {
            With::Zeros => bytes.fill(0),
            With::Ones => bytes.fill(0xFF),
            With::Noise(seed) => {
                let noise = Random(seed.into()).bytes(bytes.len());
                bytes.copy_from_slice(&noise);
            }
        }
    }
}

/// One step of damage. Places are shares of the file.
#[derive(Debug, Clone, Arbitrary)]
enum Step {
    /// Bytes are overwritten.
    Fill {
        at: u16,
        len: u16,
        with: With,
    },
    /// Bits near a place are flipped.
    Flip {
        at: u16,
        bits: [u16; 3],
    },
    /// Bits are flipped all over the file.
    Rot {
        every: u16,
        seed: u8,
    },
    /// So many bytes of each row of a block's copy are wrong.
    Rows {
        block: u8,
        copy: bool,
        wrong: u8,
        seed: u8,
        only: u8,
    },
    /// A block's copy is overwritten, but for some rows.
    Unit {
        block: u8,
        copy: bool,
        spare: u8,
        with: With,
    },
    /// A row of a block is overwritten in both copies.
    Row {
        block: u8,
        row: u8,
        with: With,
    },
    /// A header, a manifest, a trailer is overwritten in part.
    Metadata {
        which: u8,
        from: u8,
        to: u8,
        with: With,
    },
    /// The tags of version 2, of one copy or both.
    Tags {
        block: u8,
        copies: u8,
        with: With,
    },
    /// Bytes are overwritten with others of the same file; aligned to rows or sectors, or not.
    Copy {
        from: u16,
        to: u16,
        len: u16,
        align: u8,
    },
    /// Stretches change places.
    Swap {
        a: u16,
        b: u16,
        len: u16,
    },
    /// A row of one block stands in the place of another.
    Row255 {
        from: (u8, u8),
        to: (u8, u8),
        copy: bool,
    },
    /// Bytes are cut out.
    Cut {
        at: u16,
        fine: u8,
        len: u16,
    },
    /// Bytes are pushed in.
    Insert {
        at: u16,
        fine: u8,
        len: u16,
        with: With,
    },
    /// A multiple of a row is cut out, or pushed in.
    Step255 {
        at: u16,
        fine: u8,
        rows: i8,
    },
    /// The end is cut off, or the beginning.
    Truncate {
        len: u16,
    },
    Behead {
        len: u16,
    },
    /// The file follows itself once more.
    Twice,
}

impl Step {
    fn apply(&self, base: &Base, damaged: &mut Damaged) {
        let size = damaged.bytes.len();
        if size == 0 {
            return;
        }
        let place = |at: u16| usize::from(at) * size / 65536;
        let blocks = base.copies[0].len();
        // In the coordinates of the intact file; past its breaks these are other bytes.
        let unit = |copy: bool, block: u8| {
            let unit = base.copies[usize::from(copy)][usize::from(block) % blocks].clone();
            unit.start.min(size)..unit.end.min(size)
        };
        match *self {
            Step::Fill { at, len, with } => {
                let range = damaged.range(place(at), usize::from(len) % 2000);
                with.fill(&mut damaged.bytes[range]);
            }
            Step::Flip { at, bits } => {
                for bit in bits {
                    let bit = usize::from(bit) % 2048;
                    if let Some(byte) = damaged.bytes.get_mut(place(at) + bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            }
            Step::Rot { every, seed } => {
                let mut random = Random(seed.into());
                for _ in 0..size * 8 / usize::from(every).max(64) {
                    let bit = random.below(size * 8);
                    damaged.bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Step::Rows {
                block,
                copy,
                wrong,
                seed,
                only,
            } => {
                let mut random = Random(seed.into());
                let wrong = match wrong % 4 {
                    0 => base.nsym / 2,
                    1 => base.nsym / 2 + 1,
                    2 => base.nsym,
                    _ => 1 + usize::from(wrong) % (base.nsym + 4),
                };
                let rows = damaged.bytes[unit(copy, block)].chunks_mut(255);
                for (i, row) in rows.enumerate() {
                    if only != 0 && only >> (i % 8) & 1 == 0 {
                        continue;
                    }
                    for _ in 0..wrong {
                        let at = random.below(row.len());
                        row[at] ^= 1 + random.below(255) as u8;
                    }
                }
            }
            Step::Unit {
                block,
                copy,
                spare,
                with,
            } => {
                let rows = damaged.bytes[unit(copy, block)].chunks_mut(255);
                for (i, row) in rows.enumerate() {
                    if spare >> (i % 8) & 1 == 0 {
                        with.fill(row);
                    }
                }
            }
            Step::Row { block, row, with } => {
                for copy in [false, true] {
                    let mut rows = damaged.bytes[unit(copy, block)].chunks_mut(255);
                    if let Some(row) = rows.nth(usize::from(row) % 8) {
                        with.fill(row);
                    }
                }
            }
            Step::Metadata {
                which,
                from,
                to,
                with,
            } => {
                let [a, b, c, d] = [
                    &base.headers[0],
                    &base.headers[1],
                    &base.metadata[0],
                    &base.metadata[1],
                ];
                let region = [a, b, c, d][usize::from(which) % 4];
                let at = |share: u8| region.start + usize::from(share) * region.len() / 255;
                let range = damaged.range(at(from.min(to)), at(from.max(to)) - at(from.min(to)));
                with.fill(&mut damaged.bytes[range]);
            }
            Step::Tags {
                block,
                copies,
                with,
            } => {
                for copy in [false, true] {
                    if base.version == 2 && copies >> u8::from(copy) & 1 == 0 {
                        let end = unit(copy, block).end;
                        let range = damaged.range(end, 16);
                        with.fill(&mut damaged.bytes[range]);
                    }
                }
            }
            Step::Copy {
                from,
                to,
                len,
                align,
            } => {
                let unit = [1, 255, 512, 64][usize::from(align) % 4];
                let (from, to) = (place(from) / unit * unit, place(to) / unit * unit);
                let len = damaged.range(from, usize::from(len) % 2000).len();
                let len = damaged.range(to, len).len();
                damaged.bytes.copy_within(from..from + len, to);
            }
            Step::Swap { a, b, len } => {
                let (a, b) = (place(a), place(b));
                for i in 0..usize::from(len) % 2000 {
                    if a.max(b) + i < size {
                        damaged.bytes.swap(a + i, b + i);
                    }
                }
            }
            Step::Row255 { from, to, copy } => {
                let (source, target) = (unit(copy, from.0), unit(copy, to.0));
                let row = |unit: &std::ops::Range<usize>, row: u8| {
                    let rows = unit.len() / 255;
                    let start = unit.start + 255 * (usize::from(row) % rows.max(1));
                    (rows > 0).then_some(start..start + 255)
                };
                if let (Some(from), Some(to)) = (row(&source, from.1), row(&target, to.1)) {
                    damaged.bytes.copy_within(from, to.start);
                }
            }
            Step::Cut { at, fine, len } => {
                let len = 1 + usize::from(len) % 700;
                let range = damaged.range(place(at) + usize::from(fine), len);
                damaged.cut(range);
            }
            Step::Insert {
                at,
                fine,
                len,
                with,
            } => {
                let mut bytes = vec![0; 1 + usize::from(len) % 700];
                with.fill(&mut bytes);
                damaged.insert(place(at) + usize::from(fine), &bytes);
            }
            Step::Step255 { at, fine, rows } => {
                let len = 255 * usize::from(rows.unsigned_abs() % 4);
                let at = place(at) + usize::from(fine);
                if rows < 0 {
                    let range = damaged.range(at, len);
                    damaged.cut(range);
                } else {
                    damaged.insert(at, &Random(7).bytes(len));
                }
            }
            Step::Truncate { len } => {
                let range = size - usize::from(len).min(size)..size;
                damaged.cut(range);
            }
            Step::Behead { len } => {
                let range = damaged.range(0, len.into());
                damaged.cut(range);
            }
            Step::Twice => {
                damaged.moved = true;
                let again = base.bytes.clone();
                damaged.insert(size, &again);
            }
        }
    }

    /// Whether bytes are elsewhere too, or may be.
    fn repeats(&self) -> bool {
        matches!(
            self,
            Step::Copy { .. } | Step::Swap { .. } | Step::Row255 { .. } | Step::Twice
        )
    }
}

#[derive(Debug, Clone, Arbitrary)]
struct Plan {
    shape: Shape,
    steps: Vec<Step>,
}

pub fn run(data: &[u8]) {
    let Ok(mut plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    plan.steps.truncate(8);
    let base = plan.shape.base();
    let mut damaged = Damaged::new(&base);
    for step in &plan.steps {
        step.apply(&base, &mut damaged);
    }
    let mut left = judge(&base, &damaged);
    if plan.steps.iter().any(Step::repeats) {
        for block in &mut left.blocks {
            if *block == Promise::Hopeless {
                *block = Promise::Open;
            }
        }
    }
    check(&base, &damaged.bytes, &left, &plan);
}

fn check(base: &Base, damaged: &[u8], left: &Left, plan: &Plan) {
    let must = left.must_heal();
    let hopeless = left.blocks.contains(&Promise::Hopeless);
    let archive = match open(damaged.to_vec()) {
        Ok(archive) => archive,
        Err(error) => {
            assert!(!left.metadata, "must open: {error}: {plan:?}");
            return;
        }
    };
    let mut payload = Vec::new();
    let unlocked = archive.unlock(&passphrase());
    let read = match &unlocked {
        Ok(unlocked) => unlocked.copy_to(&mut payload).map(drop),
        Err(error) => {
            assert!(!left.metadata, "must be unlocked: {error}: {plan:?}");
            payload.clear();
            Ok(())
        }
    };
    // G1: what comes out is what went in, and not less of it.
    assert!(base.payload.starts_with(&payload), "wrong bytes: {plan:?}");
    match (&unlocked, &read) {
        (Ok(_), Ok(())) => {
            assert!(payload == base.payload, "too few bytes: {plan:?}");
            assert!(!hopeless, "cannot be had: {plan:?}");
        }
        (Ok(_), Err(error)) => assert!(!must, "must be restored: {error}: {plan:?}"),
        (Err(_), _) => {}
    }
    if let Ok(unlocked) = &unlocked {
        salvage(base, unlocked, left, plan);
    }

    for key in [None, Some(&passphrase())] {
        let report = archive.validate(key);
        let mut repaired = std::io::Cursor::new(Vec::new());
        let done = archive.repair(key, &mut repaired);
        let repaired = repaired.into_inner();
        // What only decrypting can prove needs the passphrase.
        let must = must && (base.version == 1 || key.is_some());
        match &done {
            Ok(_) if left.metadata => {
                assert!(
                    repaired == base.bytes,
                    "repair gives another file: {plan:?}"
                );
            }
            Ok(_) => {
                let again = open(repaired.clone()).unwrap_or_else(|e| panic!("{e}: {plan:?}"));
                let mut twice = std::io::Cursor::new(Vec::new());
                let done = again.repair(key, &mut twice);
                assert!(done.is_ok(), "repair: {:?}: {plan:?}", done.err());
                assert!(twice.into_inner() == repaired, "repair twice: {plan:?}");
            }
            Err(error) => assert!(!must, "must be repaired: {error}: {plan:?}"),
        }
        match &report {
            Ok(report) => {
                let clean = report.status() == Status::Clean;
                assert_eq!(clean, damaged == base.bytes, "{report:?}: {plan:?}");
                let lost = report.status() == Status::Unrecoverable;
                assert_eq!(lost, done.is_err(), "{report:?}: {plan:?}");
                assert!(lost || !hopeless, "{report:?}: {plan:?}");
            }
            Err(error) => {
                assert!(!must, "must be validated: {error}: {plan:?}");
            }
        }
    }
}

/// What is salvaged is exact, and blocks that can be had are not called lost.
fn salvage(base: &Base, unlocked: &Unlocked, left: &Left, plan: &Plan) {
    let mut bytes = Vec::new();
    let done = match unlocked {
        Unlocked::V1(payload) => payload.salvage_to(&mut bytes),
        Unlocked::V2(payload) => payload.salvage_to(&mut bytes),
        Unlocked::V3(_) => panic!("a container of version 3: {plan:?}"),
    };
    let Ok(done) = done else { return };
    for (block, promise) in left.blocks.iter().enumerate() {
        let lost = done.lost_blocks.contains(&(block as u64));
        let wrong = match promise {
            Promise::Whole => left.metadata && lost,
            Promise::Hopeless => left.metadata && !lost,
            Promise::Open => false,
        };
        assert!(!wrong, "block {block} {promise:?}, lost {lost}: {plan:?}");
    }
    assert_eq!(done.written, bytes.len() as u64, "{plan:?}");
    if plan.shape.compress {
        // Where a stream is cut, what comes behind is not known by its place.
        if done.gaps.is_empty() && done.lost_blocks.is_empty() {
            assert!(bytes == base.payload, "salvage: {plan:?}");
        }
        let first = done.gaps.first().map_or(bytes.len(), |gap| gap.at as usize);
        let head = &bytes[..first.min(bytes.len())];
        assert!(base.payload.starts_with(head), "salvage: {plan:?}");
        return;
    }
    let mut expected = base.payload.clone();
    expected.truncate(bytes.len());
    expected.resize(bytes.len(), 0);
    for gap in &done.gaps {
        let from = (gap.at as usize).min(bytes.len());
        let to = (from + gap.filled.unwrap_or(0) as usize).min(bytes.len());
        expected[from..to].fill(0);
    }
    assert!(bytes == expected, "salvage: {plan:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn smoke() {
        crate::smoke("legacy_heal", 60, super::run);
    }
}
