//! The key equation: from the syndromes of one code word to the places and values of its errors.
//!
//! Shared by all the codes here. The syndromes are S_l = sum over the errors of Y·X^l for l = 0..r,
//! where X is the element that stands for the place of an error and Y its value (times whatever
//! factor the code gives to the place). Berlekamp and Massey's algorithm in the form without
//! inversions, started with the locator of the erasures, Chien's search and Forney's formula; all of
//! it as sums of multiples of short rows, so that the kernels do it.

use std::sync::LazyLock;

use crate::gf::Kernel;
use crate::gf::field::{EXP, LOG, div};

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

/// Room for a polynomial of degree up to 255.
const WIDTH: usize = 256;
/// Zeros before it, so that a multiple by a power of x is a slice that starts earlier.
const PAD: usize = 256;

/// Λ(x), and Λ(x)·S(x) mod x^r.
struct Pair {
    locator: [u8; PAD + WIDTH],
    product: [u8; PAD + WIDTH],
}

impl Pair {
    fn new() -> Box<Self> {
        Box::new(Self {
            locator: [0; PAD + WIDTH],
            product: [0; PAD + WIDTH],
        })
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
    current: Box<Pair>,
    /// The pair before the last change of length.
    before: Box<Pair>,
    next: Box<Pair>,
    coefficients: [u8; 3 * WIDTH],
    values: [[u8; WIDTH]; 3],
    found: Vec<Found>,
}

impl Solver {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self {
            kernel,
            powers: INVERSE_POWERS.iter().map(|row| &row[..]).collect(),
            current: Pair::new(),
            before: Pair::new(),
            next: Pair::new(),
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
        let length = self.register(syndromes, erasures);
        if 2 * length > r + s {
            return None;
        }
        self.evaluate(length);
        self.found.clear();
        let [locator, odd, evaluator] = &self.values;
        for x in 1..=255_u8 {
            let at = usize::from(x);
            if locator[at] == 0 {
                // Forney: Y = X·Ω(1/X) / Λ'(1/X), where Λ'(1/X) is X times the odd part of Λ(1/X).
                self.found.push(Found {
                    x,
                    y: div(evaluator[at], odd[at]),
                });
            }
        }
        (self.found.len() == length).then_some(&self.found[..])
    }

    /// Berlekamp and Massey. Leaves Λ and Λ·S in `current`, and returns the length of the register.
    fn register(&mut self, syndromes: &[u8], erasures: &[u8]) -> usize {
        let (r, s) = (syndromes.len(), erasures.len());
        // Whole vectors: what lies above the degree r never comes down again.
        let width = (r + 1).next_multiple_of(64).min(WIDTH);
        let first = &mut *self.current;
        first.locator[PAD..].fill(0);
        first.product[PAD..].fill(0);
        first.locator[PAD] = 1;
        first.product[PAD..PAD + r].copy_from_slice(syndromes);
        for &x in erasures {
            // Times 1 - X·x.
            combine(
                self.kernel,
                width,
                &mut self.next,
                (1, &self.current),
                (x, &self.current, 1),
            );
            std::mem::swap(&mut self.current, &mut self.next);
        }
        self.before.locator.copy_from_slice(&self.current.locator);
        self.before.product.copy_from_slice(&self.current.product);
        let mut length = s;
        // `before` was made `shift` steps ago, with the discrepancy `scale`.
        let (mut scale, mut shift) = (1, 1);
        for step in s..r {
            let discrepancy = self.current.product[PAD + step];
            if discrepancy == 0 {
                shift += 1;
                continue;
            }
            combine(
                self.kernel,
                width,
                &mut self.next,
                (scale, &self.current),
                (discrepancy, &self.before, shift),
            );
            if 2 * length <= step + s {
                length = step + s + 1 - length;
                std::mem::swap(&mut self.before, &mut self.current);
                scale = discrepancy;
                shift = 1;
            } else {
                shift += 1;
            }
            std::mem::swap(&mut self.current, &mut self.next);
        }
        length
    }

    /// The values of Λ, of its odd part and of Ω = Λ·S mod x^length at 1/x, for every element x.
    fn evaluate(&mut self, length: usize) {
        let locator = &self.current.locator[PAD..=PAD + length];
        // Λ·S has no terms from x^length to x^(r-1): that is what the register generates.
        let product = &self.current.product[PAD..PAD + length];
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

/// `out` = a·x + b·y·x^shift, up to the degree `width` - 1.
fn combine(
    kernel: Kernel,
    width: usize,
    out: &mut Pair,
    (a, x): (u8, &Pair),
    (b, y, shift): (u8, &Pair, usize),
) {
    let (to, from) = (PAD..PAD + width, PAD - shift..PAD - shift + width);
    kernel.apply(
        &[a, b],
        1,
        0,
        &[&x.locator[to.clone()], &y.locator[from.clone()]],
        &mut [&mut out.locator[to.clone()]],
    );
    kernel.apply(
        &[a, b],
        1,
        0,
        &[&x.product[to.clone()], &y.product[from]],
        &mut [&mut out.product[to]],
    );
}
