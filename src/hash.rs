//! BLAKE2b (RFC 7693) as version 3 uses it: personalised, sometimes keyed.

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

/// BLAKE2b-128 of several messages of one length at once, as many lanes as the machine has.
pub(crate) fn blake2b_128_many<'a>(
    person: &[u8],
    messages: impl Iterator<Item = &'a [u8]>,
    mut each: impl FnMut(usize, [u8; 16]),
) {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(16).personal(person);
    let mut jobs: Vec<HashManyJob<'a>> = messages.map(|m| HashManyJob::new(&params, m)).collect();
    hash_many(jobs.iter_mut());
    for (i, job) in jobs.iter().enumerate() {
        let mut tag = [0; 16];
        tag.copy_from_slice(job.to_hash().as_bytes());
        each(i, tag);
    }
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
}
