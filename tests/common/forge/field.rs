//! Arithmetic in GF(2^8), and the rows of the matrix.

use std::sync::LazyLock;

/// Section 6: the product in GF(2^8)/0x11D.
pub fn gf_mul(a: u8, b: u8) -> u8 {
    PRODUCTS[usize::from(a)][usize::from(b)]
}

pub fn gf_inv(a: u8) -> u8 {
    INVERSES[usize::from(a)]
}

static PRODUCTS: LazyLock<Vec<[u8; 256]>> = LazyLock::new(|| {
    let row = |a| std::array::from_fn(|b| product(a, b as u8));
    (0..=u8::MAX).map(row).collect()
});

static INVERSES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    // a^254
    std::array::from_fn(|a| (0..254).fold(1, |power, _| gf_mul(power, a as u8)))
});

/// Bit by bit.
fn product(a: u8, b: u8) -> u8 {
    let (mut a, mut product) = (u16::from(a), 0);
    for bit in 0..8 {
        if b >> bit & 1 == 1 {
            product ^= a;
        }
        a <<= 1;
        if a & 0x100 != 0 {
            a ^= 0x11d;
        }
    }
    product as u8
}

/// Section 6, "the same by interpolation": row `slot` of G, columns 1..=k.
pub fn row(data: u8, slot: u8, k: u8) -> Vec<u8> {
    (1..=k)
        .map(|c| {
            (0..=data).filter(|j| *j != c).fold(1, |product, j| {
                gf_mul(product, gf_mul(slot ^ j, gf_inv(c ^ j)))
            })
        })
        .collect()
}

/// Rows of the matrix, each made once.
#[derive(Default)]
pub struct Rows(std::collections::HashMap<(u8, u8), Vec<u8>>);

impl Rows {
    pub fn get(&mut self, data: u8, slot: u8) -> &[u8] {
        self.0
            .entry((data, slot))
            .or_insert_with(|| row(data, slot, data))
    }
}
