//! Argon2id (RFC 9106), the lanes side by side.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use rayon::ThreadPool;

use crate::pipeline::default_threads;
use crate::secret::Passphrase;

/// Derives a key of any length that Argon2id knows; the inner result is an error for costs or lengths that it
/// does not know.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io): the system gives no threads.
pub(crate) fn argon2id(
    passphrase: &Passphrase,
    salt: &[u8],
    passes: u32,
    memory_kib: u32,
    lanes: u32,
    key: &mut [u8],
) -> crate::Result<Result<(), argon2::Error>> {
    let passphrase = passphrase.as_bytes();
    let mut derive = || {
        let params = Params::new(memory_kib, passes, lanes, Some(key.len()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_into(passphrase, salt, key)
    };
    Ok(pool()?.install(&mut derive))
}

/// The threads that lanes run on. They are those of this process: the threads of a pool do not come along when a
/// process forks, as servers of Django do, and waiting for them would never end.
fn pool() -> io::Result<Arc<ThreadPool>> {
    static POOL: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match &*pool {
        Some((owner, threads)) if *owner == process => Ok(Arc::clone(threads)),
        _ => {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(default_threads());
            let threads = Arc::new(threads.build().map_err(io::Error::other)?);
            let of_parent = pool.replace((process, Arc::clone(&threads)));
            // It is not dropped, as that would speak to its threads.
            std::mem::forget(of_parent);
            Ok(threads)
        }
    }
}
