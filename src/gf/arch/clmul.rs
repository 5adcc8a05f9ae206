//! GHASH (NIST SP 800-38D) with VPCLMULQDQ: sixteen blocks at a time, four in a vector.
//!
//! In the field of POLYVAL (RFC 8452, section 3): with the bytes of a block turned round, GHASH is POLYVAL with the key times x
//! (its appendix A), which spares turning the bits of each byte.

use std::arch::x86_64::*;

/// Blocks that are worked on at a time.
const WIDE: usize = 16;
/// x^63 + x^62 + x^57: the polynomial of the field, but for its outer terms.
const POLY: u64 = 0xc200_0000_0000_0000;

/// The powers of a key, highest first. The only way to get them is to have the instructions detected.
#[derive(Clone)]
pub(in crate::gf) struct Powers([u128; WIDE]);

impl zeroize::Zeroize for Powers {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Powers {
    pub(in crate::gf) fn new(key: &[u8; 16]) -> Option<Self> {
        let detected = is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        if !detected {
            return None;
        }
        let key = u128::from_be_bytes(*key);
        let high = u128::from(POLY) << 64 | 1;
        let first = key << 1 ^ if key >> 127 == 1 { high } else { 0 };
        let mut powers = [first; WIDE];
        for i in (0..WIDE - 1).rev() {
            // SAFETY: the instructions were detected.
            powers[i] = unsafe { product(powers[i + 1], first) };
        }
        Some(Powers(powers))
    }

    /// The hash that had this value, of some more blocks; what is behind the last whole one is left out.
    pub(in crate::gf) fn update(&self, value: u128, bytes: &[u8]) -> u128 {
        // SAFETY: there are no powers unless the instructions were detected.
        unsafe { update(&self.0, value, bytes) }
    }
}

/// # Safety
/// The machine has the instructions.
#[target_feature(enable = "vpclmulqdq,pclmulqdq,avx512f,avx512bw")]
unsafe fn update(powers: &[u128; WIDE], mut value: u128, bytes: &[u8]) -> u128 {
    let (wide, rest) = bytes.split_at(bytes.len() / (16 * WIDE) * (16 * WIDE));
    // The bytes of each block, turned round.
    let turn = _mm512_broadcast_i32x4(_mm_setr_epi8(
        15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
    ));
    // SAFETY: four vectors are sixteen blocks, and as many powers. No alignment is needed.
    let load =
        |from: *const u8, i: usize| unsafe { _mm512_loadu_si512(from.wrapping_add(64 * i).cast()) };
    let power = [0, 1, 2, 3].map(|i| load(powers.as_ptr().cast(), i));
    for sixteen in wide.chunks_exact(16 * WIDE) {
        let x = [0, 1, 2, 3].map(|i| _mm512_shuffle_epi8(load(sixteen.as_ptr(), i), turn));
        let before = _mm512_zextsi128_si512(vector(value));
        let x = [_mm512_xor_si512(x[0], before), x[1], x[2], x[3]];
        let mut low = _mm512_setzero_si512();
        let (mut middle, mut high) = (low, low);
        for (x, p) in x.into_iter().zip(power) {
            low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(x, p));
            high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128::<0x11>(x, p));
            middle = _mm512_ternarylogic_epi64::<0x96>(
                middle,
                _mm512_clmulepi64_epi128::<0x01>(x, p),
                _mm512_clmulepi64_epi128::<0x10>(x, p),
            );
        }
        low = _mm512_xor_si512(low, _mm512_bslli_epi128::<8>(middle));
        high = _mm512_xor_si512(high, _mm512_bsrli_epi128::<8>(middle));
        value = number(reduce(fold(low), fold(high)));
    }
    for block in rest.as_chunks::<16>().0 {
        value = product(value ^ u128::from_be_bytes(*block), powers[WIDE - 1]);
    }
    value
}

/// The sum of the four elements of a vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold(v: __m512i) -> __m128i {
    let two = _mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64::<1>(v));
    _mm_xor_si128(
        _mm256_castsi256_si128(two),
        _mm256_extracti128_si256::<1>(two),
    )
}

/// The product of two elements, divided by x^128.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn product(a: u128, b: u128) -> u128 {
    let (a, b) = (vector(a), vector(b));
    let low = _mm_clmulepi64_si128::<0x00>(a, b);
    let high = _mm_clmulepi64_si128::<0x11>(a, b);
    let middle = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    );
    number(reduce(
        _mm_xor_si128(low, _mm_slli_si128::<8>(middle)),
        _mm_xor_si128(high, _mm_srli_si128::<8>(middle)),
    ))
}

/// Montgomery reduction of a product of 256 bits.
#[inline]
#[target_feature(enable = "pclmulqdq")]
fn reduce(low: __m128i, high: __m128i) -> __m128i {
    let poly = _mm_set1_epi64x(POLY as i64);
    let once = _mm_clmulepi64_si128::<0x00>(low, poly);
    let once = _mm_xor_si128(low, _mm_shuffle_epi32::<0x4e>(once));
    let twice = _mm_clmulepi64_si128::<0x11>(once, poly);
    _mm_xor_si128(_mm_xor_si128(high, once), twice)
}

#[inline]
#[target_feature(enable = "sse2")]
fn vector(n: u128) -> __m128i {
    _mm_set_epi64x((n >> 64) as i64, n as i64)
}

#[inline]
#[target_feature(enable = "sse2")]
fn number(v: __m128i) -> u128 {
    let low = _mm_cvtsi128_si64(v) as u64;
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v)) as u64;
    u128::from(high) << 64 | u128::from(low)
}
