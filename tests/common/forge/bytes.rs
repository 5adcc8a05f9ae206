//! Hashes, and bytes as text.

/// Sections 2 and 9: BLAKE2b with a personalisation, perhaps a key.
pub fn blake2b(len: usize, person: &[u8], key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(len).personal(person).key(key);
    let mut state = params.to_state();
    for part in parts {
        state.update(part);
    }
    state.finalize().as_bytes().to_vec()
}

/// BLAKE2b-256 without a personalisation, for hashes that stand in vectors.
pub fn digest(bytes: &[u8]) -> String {
    hex(&blake2b(32, b"", b"", &[bytes]))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect())
}

/// Bytes that are painted with a period of 251, which no power of two divides.
pub fn painted(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}
