//! Buffers that begin where a page of memory begins, so that a disk can take them as they are.

use std::ops::{Deref, DerefMut};

/// Bytes of a page: what memory, offset and length of an unbuffered write are multiples of. Disks ask for
/// 512 or 4096.
pub(crate) const PAGE: usize = 4096;

/// Bytes that begin at a page boundary.
#[derive(Debug, Default)]
pub struct Pages {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Pages {
    /// An empty buffer that owns no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Pages::default()
    }

    /// Changes the length. Bytes that are added hold zeros, or what was left there.
    pub fn resize(&mut self, len: usize) {
        if self.memory.len() < self.start + len {
            let memory = vec![0; len + PAGE];
            let start = memory.as_ptr().addr().wrapping_neg() % PAGE;
            let old = std::mem::replace(self, Pages { memory, start, len });
            self[..old.len].copy_from_slice(&old);
        }
        self.len = len;
    }
}

impl Clone for Pages {
    fn clone(&self) -> Self {
        let mut clone = Pages::new();
        clone.resize(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_begin_at_a_page_and_keep_their_bytes() {
        let mut pages = Pages::new();
        for len in [0, 1, 100, 5000, 4096, 20_000, 3, 1 << 20] {
            let kept = pages.len().min(len);
            pages.resize(len);
            assert_eq!(pages.len(), len);
            assert!(pages.as_ptr().addr().is_multiple_of(PAGE) || len == 0);
            assert!(pages[..kept].iter().all(|b| *b == 7));
            pages.fill(7);
            let clone = pages.clone();
            assert_eq!(clone[..], pages[..]);
            assert!(clone.as_ptr().addr().is_multiple_of(PAGE) || len == 0);
        }
    }
}
