//! BLAKE2b (RFC 7693) as version 3 uses it: personalised, sometimes keyed.

#[cfg(target_arch = "x86_64")]
mod avx512;

use blake2::Blake2bMac;
use blake2::digest::consts::U32;
use blake2::digest::{FixedOutput, Update};
use blake2b_simd::many::{HashManyJob, hash_many};

/// BLAKE2b-256 over the concatenation of `parts`.
///
/// `person` is at most 16 bytes and padded with zeros by the hash function itself.
pub(crate) fn blake2b_256(person: &[u8], key: Option<&[u8; 32]>, parts: &[&[u8]]) -> [u8; 32] {
    debug_assert!(person.len() <= 16);
    // The lengths of key, salt and personalisation are constants of this crate, within the bounds.
    let Ok(mut hash) =
        Blake2bMac::<U32>::new_with_salt_and_personal(key.map(|k| &k[..]), &[], person)
    else {
        unreachable!("key of 32 bytes, personalisation of at most 16")
    };
    for part in parts {
        hash.update(part);
    }
    hash.finalize_fixed().into()
}

/// The initialisation vector of BLAKE2b, RFC 7693, section 2.6.
#[cfg(target_arch = "x86_64")]
const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// BLAKE2b-128 of several messages at once, in as many lanes as the machine has. Messages of one length
/// are the fast case.
pub(crate) fn blake2b_128_many<'a>(
    person: &[u8],
    messages: impl Iterator<Item = &'a [u8]>,
    each: impl FnMut(usize, [u8; 16]),
) {
    keyed_blake2b_128_many(person, &[], messages, each);
}

/// The same with a key of up to 64 bytes; an empty one is none.
pub(crate) fn keyed_blake2b_128_many<'a>(
    person: &[u8],
    key: &[u8],
    messages: impl Iterator<Item = &'a [u8]>,
    each: impl FnMut(usize, [u8; 16]),
) {
    let messages: Vec<&[u8]> = messages.collect();
    #[cfg(target_arch = "x86_64")]
    if let Some(lanes) = avx512::Avx512::new().filter(|_| !tests_forbid_avx512()) {
        let mut each = each;
        let state = state(16, person, key);
        let key_block = (!key.is_empty()).then(|| padded(key));
        for (first, group) in (0..)
            .step_by(avx512::LANES)
            .zip(messages.chunks(avx512::LANES))
        {
            let length = group[0].len();
            let equal = group.iter().all(|message| message.len() == length);
            // A lane costs half of what it costs elsewhere, so half of them may stay idle. With a key, the
            // first block of an empty message is its last.
            let lone = length == 0 && key_block.is_some();
            if !equal || lone || group.len() < avx512::LANES / 2 {
                simd_many(person, key, group, |i, tag| each(first + i, tag));
                continue;
            }
            let mut full = [group[0]; avx512::LANES];
            full[..group.len()].copy_from_slice(group);
            let [low, high] = lanes.hash(&state, key_block.as_ref(), &full);
            for (i, (low, high)) in low.into_iter().zip(high).take(group.len()).enumerate() {
                let tag = u128::from(high) << 64 | u128::from(low);
                each(first + i, tag.to_le_bytes());
            }
        }
        return;
    }
    simd_many(person, key, &messages, each);
}

/// Whether a unit test runs with a kernel that is not of AVX-512 (see `gf::tests::forced`).
#[cfg(target_arch = "x86_64")]
fn tests_forbid_avx512() -> bool {
    cfg!(test) && std::env::var_os("DBS_KERNEL").is_some_and(|level| level != "gfni512")
}

/// The same in the lanes of `blake2b_simd`: AVX2 or SSE4.1, found at run time.
fn simd_many(person: &[u8], key: &[u8], messages: &[&[u8]], mut each: impl FnMut(usize, [u8; 16])) {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(16).personal(person).key(key);
    let mut jobs: Vec<HashManyJob<'_>> = messages
        .iter()
        .map(|message| HashManyJob::new(&params, message))
        .collect();
    hash_many(jobs.iter_mut());
    for (i, job) in jobs.iter().enumerate() {
        let mut tag = [0; 16];
        tag.copy_from_slice(job.to_hash().as_bytes());
        each(i, tag);
    }
}

/// The state before the first block, for hashes of `length` bytes: RFC 7693, section 2.5.
#[cfg(target_arch = "x86_64")]
fn state(length: u8, person: &[u8], key: &[u8]) -> [u64; 8] {
    let person = u128::from_le_bytes(padded(person));
    let mut state = IV;
    state[0] ^= 0x0101_0000 | (key.len() as u64) << 8 | u64::from(length);
    state[6] ^= person as u64;
    state[7] ^= (person >> 64) as u64;
    state
}

/// The bytes, at most `N`, and zeros behind them.
#[cfg(target_arch = "x86_64")]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_crates_agree() {
        let message = [7u8; 300];
        let mut params = blake2b_simd::Params::new();
        let theirs = params.hash_length(32).personal(b"dbs3 page").hash(&message);
        assert_eq!(
            theirs.as_bytes(),
            blake2b_256(b"dbs3 page", None, &[&message])
        );
        let theirs = params.key(&[9; 32]).hash(&message);
        assert_eq!(
            theirs.as_bytes(),
            blake2b_256(
                b"dbs3 page",
                Some(&[9; 32]),
                &[&message[..100], &message[100..]]
            )
        );
    }

    #[test]
    fn lanes_agree_with_the_hash_of_each_message() {
        let painted: Vec<u8> = (0..9000u32).map(|i| (i % 251) as u8).collect();
        let lengths = [0, 1, 127, 128, 129, 255, 256, 257, 496, 4080];
        let keys: [&[u8]; 3] = [&[], &[5; 16], &[6; 64]];
        let cases = lengths.iter().flat_map(|l| (0..=17).map(move |n| (*l, n)));
        for (key, (length, count)) in keys
            .iter()
            .flat_map(|k| cases.clone().map(move |c| (*k, c)))
        {
            let messages = (0..count).map(|i| &painted[i * 7..i * 7 + length]);
            let mut got = Vec::new();
            keyed_blake2b_128_many(b"dbs3 sector", key, messages.clone(), |i, tag| {
                got.push((i, tag))
            });
            let mut params = blake2b_simd::Params::new();
            params.hash_length(16).personal(b"dbs3 sector").key(key);
            let expected: Vec<(usize, [u8; 16])> = messages
                .map(|m| params.hash(m).as_bytes().try_into().unwrap())
                .enumerate()
                .collect();
            assert_eq!(got, expected, "{count} messages of {length} bytes");
        }
        let mixed = [
            &painted[..5],
            &painted[..300],
            &painted[..4080],
            &painted[..5],
            &[],
        ];
        let mut count = 0;
        blake2b_128_many(b"", mixed.into_iter(), |i, tag| {
            let expected = blake2b_simd::Params::new().hash_length(16).hash(mixed[i]);
            assert_eq!(expected.as_bytes(), tag);
            count += 1;
        });
        assert_eq!(count, 5);
    }
}
