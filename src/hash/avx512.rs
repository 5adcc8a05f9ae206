//! BLAKE2b (RFC 7693) of eight messages at once in AVX-512: a vector holds one word of each.
//!
//! The second room beside `gf::arch` where `unsafe` is allowed: loads through pointers, and the call of code for
//! instructions that were detected.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Messages that are hashed at once.
pub(super) const LANES: usize = 8;
/// Bytes of a block of BLAKE2b.
const BLOCK: usize = 128;

/// Proof that this machine has the instructions. The only way to get one is to have them detected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// The first two words of the hash of each message.
    ///
    /// `state` is the initial state: the constants of BLAKE2b with the parameter block. With a key, `key` is the
    /// block in front of every message.
    ///
    /// # Panics
    /// If the messages are not all of one length, or there is a key and they are empty.
    pub(super) fn hash(
        self,
        state: &[u64; 8],
        key: Option<&[u8; BLOCK]>,
        messages: &[&[u8]; LANES],
    ) -> [[u64; LANES]; 2] {
        let length = messages[0].len();
        assert!(
            messages.iter().all(|message| message.len() == length),
            "messages of one length"
        );
        assert!(
            key.is_none() || length > 0,
            "a block behind that of the key"
        );
        // SAFETY: the instructions were detected, and the messages are of one length.
        unsafe { hash(state, key, messages) }
    }
}

/// # Safety
/// The machine has the instructions. All messages are of one length.
#[target_feature(enable = "avx512f")]
unsafe fn hash(
    state: &[u64; 8],
    key: Option<&[u8; BLOCK]>,
    messages: &[&[u8]; LANES],
) -> [[u64; LANES]; 2] {
    let length = messages[0].len();
    let mut h = state.map(|word| _mm512_set1_epi64(word as i64));
    let mut before = 0;
    if let Some(key) = key {
        before = BLOCK;
        // SAFETY: `key` is a block.
        let m = unsafe { load(&[key.as_ptr(); LANES]) };
        compress(&mut h, &m, BLOCK as u64, 0);
    }
    // The last block is never empty, unless the message is; it is padded with zeros.
    let whole = length.saturating_sub(1) / BLOCK;
    let mut at = messages.map(<[u8]>::as_ptr);
    for i in 1..=whole {
        // SAFETY: `whole` blocks lie within each message.
        let m = unsafe { load(&at) };
        compress(&mut h, &m, (before + i * BLOCK) as u64, 0);
        at = at.map(|from| from.wrapping_add(BLOCK));
    }
    let mut last = [[0; BLOCK]; LANES];
    for (block, message) in last.iter_mut().zip(messages) {
        let rest = &message[whole * BLOCK..];
        block[..rest.len()].copy_from_slice(rest);
    }
    // SAFETY: `last` holds a block for each lane.
    let m = unsafe { load(&last.each_ref().map(|block| block.as_ptr())) };
    compress(&mut h, &m, (before + length) as u64, !0);
    let mut words = [[0; LANES]; 2];
    for (words, vector) in words.iter_mut().zip(h) {
        // SAFETY: a vector has room for eight words; no alignment is needed.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    }
    words
}

/// The sixteen words of a block of each message, turned so that a vector holds one word of all.
///
/// # Safety
/// A block can be read at each of the pointers.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(from: &[*const u8; LANES]) -> [__m512i; 16] {
    let half = |offset: usize| {
        // SAFETY: as asked of the caller: two vectors are a block. No alignment is needed.
        turn(from.map(|at| unsafe { _mm512_loadu_si512(at.wrapping_add(offset).cast()) }))
    };
    let [a, b, c, d, e, f, g, h] = half(0);
    let [i, j, k, l, m, n, o, p] = half(64);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// Rows become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(r: [__m512i; 8]) -> [__m512i; 8] {
    // Words that lie side by side, then pairs of words, then halves of the vector.
    let low = |i: usize| _mm512_unpacklo_epi64(r[i], r[i + 1]);
    let high = |i: usize| _mm512_unpackhi_epi64(r[i], r[i + 1]);
    let even = [low(0), low(2), low(4), low(6)];
    let odd = [high(0), high(2), high(4), high(6)];
    let quarters = |x: [__m512i; 4]| {
        let a = _mm512_shuffle_i64x2::<0x88>(x[0], x[1]);
        let b = _mm512_shuffle_i64x2::<0xdd>(x[0], x[1]);
        let c = _mm512_shuffle_i64x2::<0x88>(x[2], x[3]);
        let d = _mm512_shuffle_i64x2::<0xdd>(x[2], x[3]);
        [
            _mm512_shuffle_i64x2::<0x88>(a, c),
            _mm512_shuffle_i64x2::<0x88>(b, d),
            _mm512_shuffle_i64x2::<0xdd>(a, c),
            _mm512_shuffle_i64x2::<0xdd>(b, d),
        ]
    };
    let ([a, c, e, g], [b, d, f, h]) = (quarters(even), quarters(odd));
    [a, b, c, d, e, f, g, h]
}

/// The compression function F of RFC 7693, section 3.2.
#[inline]
#[target_feature(enable = "avx512f")]
fn compress(h: &mut [__m512i; 8], m: &[__m512i; 16], counter: u64, last: u64) {
    let word = |word: u64| _mm512_set1_epi64(word as i64);
    let iv = super::IV.map(|iv| _mm512_set1_epi64(iv as i64));
    let [
        mut v0,
        mut v1,
        mut v2,
        mut v3,
        mut v4,
        mut v5,
        mut v6,
        mut v7,
    ] = *h;
    let [
        mut v8,
        mut v9,
        mut va,
        mut vb,
        mut vc,
        mut vd,
        mut ve,
        mut vf,
    ] = iv;
    vc = _mm512_xor_si512(vc, word(counter));
    ve = _mm512_xor_si512(ve, word(last));

    macro_rules! mix {
        ($a:ident $b:ident $c:ident $d:ident, $x:literal $y:literal) => {
            $a = _mm512_add_epi64(_mm512_add_epi64($a, $b), m[$x]);
            $d = _mm512_ror_epi64::<32>(_mm512_xor_si512($d, $a));
            $c = _mm512_add_epi64($c, $d);
            $b = _mm512_ror_epi64::<24>(_mm512_xor_si512($b, $c));
            $a = _mm512_add_epi64(_mm512_add_epi64($a, $b), m[$y]);
            $d = _mm512_ror_epi64::<16>(_mm512_xor_si512($d, $a));
            $c = _mm512_add_epi64($c, $d);
            $b = _mm512_ror_epi64::<63>(_mm512_xor_si512($b, $c));
        };
    }
    // Written out, with the schedule as literals: the words of the message stay where they are.
    macro_rules! round {
        ($($s:literal)*) => { round!(@ $($s,)*) };
        (@ $s0:literal, $s1:literal, $s2:literal, $s3:literal, $s4:literal, $s5:literal,
           $s6:literal, $s7:literal, $s8:literal, $s9:literal, $sa:literal, $sb:literal,
           $sc:literal, $sd:literal, $se:literal, $sf:literal,) => {
            mix!(v0 v4 v8 vc, $s0 $s1);
            mix!(v1 v5 v9 vd, $s2 $s3);
            mix!(v2 v6 va ve, $s4 $s5);
            mix!(v3 v7 vb vf, $s6 $s7);
            mix!(v0 v5 va vf, $s8 $s9);
            mix!(v1 v6 vb vc, $sa $sb);
            mix!(v2 v7 v8 vd, $sc $sd);
            mix!(v3 v4 v9 ve, $se $sf);
        };
    }
    round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3);
    round!(11 8 12 0 5 2 15 13 10 14 3 6 7 1 9 4);
    round!(7 9 3 1 13 12 11 14 2 6 5 10 4 0 15 8);
    round!(9 0 5 7 2 4 10 15 14 1 11 12 6 8 3 13);
    round!(2 12 6 10 0 11 8 3 4 13 7 5 15 14 1 9);
    round!(12 5 1 15 14 13 4 10 0 7 6 3 9 2 8 11);
    round!(13 11 7 14 12 1 3 9 5 0 15 4 8 6 2 10);
    round!(6 15 14 9 11 3 0 8 12 2 13 7 1 4 10 5);
    round!(10 2 8 4 7 6 1 5 15 11 9 14 3 12 13 0);
    round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    round!(14 10 4 8 9 15 13 6 1 12 0 2 11 7 5 3);

    let rest = [v8, v9, va, vb, vc, vd, ve, vf];
    let first = [v0, v1, v2, v3, v4, v5, v6, v7];
    for ((h, a), b) in h.iter_mut().zip(first).zip(rest) {
        *h = _mm512_ternarylogic_epi64::<0x96>(*h, a, b);
    }
}
