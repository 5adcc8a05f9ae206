//! Argon2id (RFC 9106) as versions 1 and 2 use it.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kdf::argon2id;
use crate::{Error, Limits, Passphrase, Result};

/// Parameters of Argon2id. The names are those of the version 1 manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub struct Kdf {
    /// Passes.
    pub time_cost: u32,
    /// Memory in KiB.
    pub memory_cost: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Bytes of the key that it gives: 32, but in version 1 also 16 or 24.
    #[serde(default = "key_length")]
    pub key_length: u32,
}

fn key_length() -> u32 {
    32
}

impl Default for Kdf {
    /// What django-dbs takes if nobody says otherwise.
    fn default() -> Self {
        Kdf {
            time_cost: 3,
            memory_cost: 65_536,
            parallelism: 4,
            key_length: 32,
        }
    }
}

impl Kdf {
    /// Checks the parameters against the limits.
    pub(crate) fn within(&self, limits: &Limits) -> Result<()> {
        let checks = [
            (
                "Argon2id memory in KiB",
                self.memory_cost,
                limits.argon2_memory_kib,
            ),
            ("Argon2id passes", self.time_cost, limits.argon2_passes),
            ("Argon2id lanes", self.parallelism, limits.argon2_lanes),
        ];
        for (what, got, limit) in checks {
            if got > limit {
                return Err(Error::Limit {
                    what,
                    got: got.into(),
                    limit: limit.into(),
                });
            }
        }
        Ok(())
    }

    /// The key that wraps the data key.
    pub(crate) fn derive(
        &self,
        passphrase: &Passphrase,
        salt: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new(vec![0; self.key_length as usize]);
        let (passes, lanes) = (self.time_cost, self.parallelism);
        argon2id(passphrase, salt, passes, self.memory_cost, lanes, &mut key)?
            .map_err(|e| Error::Unsupported(format!("Argon2id parameters: {e}")))?;
        Ok(key)
    }
}
