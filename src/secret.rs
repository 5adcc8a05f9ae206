//! Secrets: zeroized when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A passphrase. Its bytes are wiped when it is dropped, and `Debug` does not show them.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// Takes the passphrase as it is: UTF-8 bytes, no normalisation, no trimming.
    pub fn new(passphrase: impl Into<Vec<u8>>) -> Self {
        Passphrase(Zeroizing::new(passphrase.into()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A 256-bit key. Wiped when dropped, never printed, compared by nobody.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Fills `bytes` from the operating system's random generator.
pub(crate) fn random(bytes: &mut [u8]) -> crate::Result<()> {
    getrandom::fill(bytes).map_err(|e| crate::Error::Io(std::io::Error::other(e.to_string())))
}
