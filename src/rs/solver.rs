//! The key equation: from the syndromes of one code word to the places and values of its errors.
//!
//! Shared by all the codes here. The syndromes are S_l = sum over the errors of Y·X^l for l = 0..r,
//! where X is the element that stands for the place of an error and Y its value (times whatever
//! factor the code gives to the place). Berlekamp and Massey's algorithm without inversions, in the
//! form of Sarwate and Shanbhag ("High-speed architectures for Reed-Solomon decoders", 2001): the
//! locator Λ and the product Λ·S stand in one row of cells, so a step is one sum of multiples of two
//! rows, erasures are steps too, and the kernels do it. Then Chien's search and Forney's formula.

use std::sync::LazyLock;

use crate::gf::Kernel;
use crate::gf::field::{EXP, LOG, div, mul};

/// `INVERSE_POWERS[l][x]` = x^-l, and 0 at x = 0 but for l = 0.
static INVERSE_POWERS: LazyLock<Box<[[u8; 256]]>> = LazyLock::new(|| {
    let row = |l: usize| {
        let mut row = [u8::from(l == 0); 256];
        for x in 1..256 {
            row[x] = EXP[(255 - usize::from(LOG[x])) * l % 255];
        }
        row
    };
    (0..256).map(row).collect()
});

/// More than the largest number of syndromes.
const WIDTH: usize = 256;
/// Room for the widest row (2·255 + 1 cells), read from up to 255 cells behind its beginning.
const ROOM: usize = 3 * WIDTH;

/// After n of r steps: from the cell `first` on the coefficients of Λ·S from x^n up, of which the first is the
/// discrepancy, and from the cell `first` + r - n + (the longest register) on those of Λ.
struct Cells {
    cells: [u8; ROOM],
    first: usize,
}

impl Cells {
    fn new() -> Box<Self> {
        Box::new(Self {
            cells: [0; ROOM],
            first: 0,
        })
    }

    fn from(&self, cell: usize) -> &[u8] {
        &self.cells[self.first + cell..]
    }
}

/// One error: the element X of its place, and the value Y.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) x: u8,
    pub(super) y: u8,
}

/// Solves the key equation for many code words with no allocation in between.
pub(super) struct Solver {
    kernel: Kernel,
    powers: Vec<&'static [u8]>,
    current: Box<Cells>,
    /// The cells before the last change of length.
    before: Box<Cells>,
    next: Box<Cells>,
    coefficients: [u8; 3 * WIDTH],
    values: [[u8; WIDTH]; 3],
    found: Vec<Found>,
}

impl Solver {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            powers: INVERSE_POWERS.iter().map(|row| &row[..]).collect(),
            current: Cells::new(),
            before: Cells::new(),
            next: Cells::new(),
            coefficients: [0; 3 * WIDTH],
            values: [[0; WIDTH]; 3],
            found: Vec::with_capacity(WIDTH),
        }
    }

    /// The errors that explain the syndromes: at most (r - s) / 2 of them outside of the s `erasures`
    /// (distinct nonzero elements), where r is the number of syndromes, at most 255. `None` if there are none
    /// such. The erasures are all in the answer, those that were right all along with the value 0.
    ///
    /// An answer explains all r syndromes: Λ has as many roots as the register is long.
    pub(super) fn solve(&mut self, syndromes: &[u8], erasures: &[u8]) -> Option<&[Found]> {
        let (r, s) = (syndromes.len(), erasures.len());
        if s > r || r >= WIDTH {
            return None;
        }
        let longest = (r + s) / 2;
        let length = self.register(syndromes, erasures, longest);
        if length > longest {
            return None;
        }
        self.evaluate(length, longest);
        self.found.clear();
        let [locator, odd, evaluator] = &self.values;
        for x in memchr::memchr_iter(0, &locator[1..]).map(|i| i + 1) {
            // Forney: Y = X·Ω(1/X) / Λ'(1/X) with Ω = Λ·S mod x^r, where Λ'(1/X) is X times the odd part of
            // Λ(1/X). Λ·S is zero there, so that Ω(1/X) is X^-r times the value of what lies above x^r.
            let value = mul(INVERSE_POWERS[r][x], evaluator[x]);
            self.found.push(Found {
                x: x as u8,
                y: div(value, odd[x]),
            });
        }
        (self.found.len() == length).then_some(&self.found[..])
    }

    /// Berlekamp and Massey. Returns the length of the register; if that is at most `longest`, Λ and Λ·S
    /// above x^r are left in `current`. (If not, one ran into the other, which makes it no shorter.)
    fn register(&mut self, syndromes: &[u8], erasures: &[u8], longest: usize) -> usize {
        let (r, s) = (syndromes.len(), erasures.len());
        // Whole vectors.
        let width = (r + longest + 1).next_multiple_of(64);
        for state in [&mut self.current, &mut self.next] {
            state.cells.fill(0);
            state.first = 0;
        }
        self.current.cells[..r].copy_from_slice(syndromes);
        self.current.cells[r + longest] = 1;
        for &x in erasures {
            // Times 1 - X·x.
            combine(
                self.kernel,
                width,
                &mut self.next,
                (1, &self.current),
                (x, &self.current),
            );
            std::mem::swap(&mut self.current, &mut self.next);
        }
        self.before.cells.copy_from_slice(&self.current.cells);
        self.before.first = self.current.first;
        let (mut length, mut scale) = (s, 1);
        for step in s..r {
            let discrepancy = self.current.from(0)[0];
            if discrepancy == 0 {
                self.current.first += 1;
                continue;
            }
            combine(
                self.kernel,
                width,
                &mut self.next,
                (scale, &self.current),
                (discrepancy, &self.before),
            );
            if 2 * length <= step + s {
                length = step + s + 1 - length;
                scale = discrepancy;
                self.current.first += 1;
                std::mem::swap(&mut self.before, &mut self.current);
            }
            std::mem::swap(&mut self.current, &mut self.next);
        }
        length
    }

    /// The values of Λ, of its odd part and of what Λ·S has above x^r at 1/x, for every element x.
    fn evaluate(&mut self, length: usize, longest: usize) {
        let locator = &self.current.from(longest)[..=length];
        let product = &self.current.from(0)[..length];
        let columns = self.coefficients.chunks_exact_mut(3);
        for (degree, (column, &coefficient)) in columns.zip(locator).enumerate() {
            column[0] = coefficient;
            column[1] = if degree % 2 == 1 { coefficient } else { 0 };
            column[2] = product.get(degree).copied().unwrap_or(0);
        }
        let [a, b, c] = &mut self.values;
        self.kernel.apply(
            &self.coefficients,
            3,
            0,
            &self.powers[..=length],
            &mut [a, b, c],
        );
    }
}

/// One step: `out` = a·(x without its first cell) + b·y, in the first `width` cells.
fn combine(
    kernel: Kernel,
    width: usize,
    out: &mut Cells,
    (a, x): (u8, &Cells),
    (b, y): (u8, &Cells),
) {
    out.first = 0;
    kernel.apply(
        &[a, b],
        1,
        0,
        &[&x.from(1)[..width], &y.from(0)[..width]],
        &mut [&mut out.cells[..width]],
    );
}
