//! The field GF(2^8) = GF(2)\[x\] / (x^8 + x^4 + x^3 + x^2 + 1), one element at a time.
//!
//! An element is a byte; bit i is the coefficient of x^i. Addition and subtraction are XOR. The
//! element 2 generates the multiplicative group, whose order is 255.

/// The reduction polynomial, x^8 + x^4 + x^3 + x^2 + 1.
pub const POLYNOMIAL: u16 = 0x11D;

/// `EXP[i]` = 2^i. Twice the order of the group and more, so that a sum of two logarithms needs no reduction.
pub static EXP: [u8; 512] = EXP_LOG.0;

/// `LOG[a]` is the i in 0..255 with 2^i = a. `LOG[0]` is 0 and means nothing.
pub static LOG: [u8; 256] = EXP_LOG.1;

const EXP_LOG: ([u8; 512], [u8; 256]) = {
    let mut exp = [0; 512];
    let mut log = [0; 256];
    let mut power = 1;
    let mut i = 0;
    while i < 512 {
        exp[i] = power as u8;
        if i < 255 {
            log[power as usize] = i as u8;
        }
        power <<= 1;
        if power > 0xFF {
            power ^= POLYNOMIAL;
        }
        i += 1;
    }
    (exp, log)
};

/// The product a·b.
#[inline]
#[must_use]
pub fn mul(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        0
    } else {
        EXP[LOG[a as usize] as usize + LOG[b as usize] as usize]
    }
}

/// The inverse of `a`; 0 for 0, which has none.
#[inline]
#[must_use]
pub fn inv(a: u8) -> u8 {
    if a == 0 {
        0
    } else {
        EXP[255 - LOG[a as usize] as usize]
    }
}

/// The quotient a/b; 0 if `b` is 0.
#[inline]
#[must_use]
pub fn div(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        0
    } else {
        EXP[255 + LOG[a as usize] as usize - LOG[b as usize] as usize]
    }
}

/// The power a^n, with 0^0 = 1.
#[inline]
#[must_use]
pub fn pow(a: u8, n: usize) -> u8 {
    if n == 0 {
        1
    } else if a == 0 {
        0
    } else {
        EXP[(LOG[a as usize] as usize * (n % 255)) % 255]
    }
}

/// 2^n.
#[inline]
#[must_use]
pub fn exp(n: usize) -> u8 {
    EXP[n % 255]
}

/// a·2, in constant code.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code)
)]
const fn double(a: u8) -> u8 {
    (a << 1) ^ if a & 0x80 != 0 { POLYNOMIAL as u8 } else { 0 }
}

/// `NIBBLES[c]`: the products of c with 0..=15, then with 0, 16, .. 240. Two look-ups multiply a byte by c.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64")),
    allow(dead_code)
)]
pub(super) static NIBBLES: [[u8; 32]; 256] = {
    let mut table = [[0; 32]; 256];
    let mut c = 0;
    while c < 256 {
        // c·2^bit for the eight bits of a byte.
        let mut bits = [0; 8];
        bits[0] = c as u8;
        let mut bit = 1;
        while bit < 8 {
            bits[bit] = double(bits[bit - 1]);
            bit += 1;
        }
        let mut n: usize = 1;
        while n < 16 {
            // The product with n is that with n less its lowest bit, plus that bit's own.
            let rest = n & (n - 1);
            let low = n.trailing_zeros() as usize;
            table[c][n] = table[c][rest] ^ bits[low];
            table[c][16 + n] = table[c][16 + rest] ^ bits[4 + low];
            n += 1;
        }
        c += 1;
    }
    table
};

/// `AFFINE[c]`: the product with c as an 8 by 8 matrix over GF(2), as the GFNI instructions take it: the byte 7 - i is
/// the row that makes bit i, and its bit j says whether bit j of the factor goes in.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) static AFFINE: [u64; 256] = {
    let mut table = [0; 256];
    let mut c = 0;
    while c < 256 {
        let mut column = c as u8;
        let mut j = 0;
        while j < 8 {
            let mut i = 0;
            while i < 8 {
                table[c] |= ((column >> i & 1) as u64) << (8 * (7 - i) + j);
                i += 1;
            }
            column = double(column);
            j += 1;
        }
        c += 1;
    }
    table
};
