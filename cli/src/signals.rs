//! Unfinished outputs, removed when the process is told to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static STOPPING: AtomicBool = AtomicBool::new(false);
/// Held while what was made goes to its place.
static PLACING: Mutex<()> = Mutex::new(());
/// What a user must know who stops the command now.
static ADVICE: Mutex<Option<String>> = Mutex::new(None);

/// Starts the thread that waits for SIGINT, SIGTERM and SIGHUP.
///
/// # Errors
/// The operating system refuses the handlers.
pub fn watch() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            STOPPING.store(true, Ordering::SeqCst);
            let _placed = PLACING.lock();
            remove_all();
            let advice = ADVICE.lock().ok().and_then(|mut advice| advice.take());
            let advice = advice.unwrap_or_else(|| "nothing unfinished was left behind".into());
            crate::names::eprint_lossy(&format!("dbs: stopped; {advice}"));
            // Ends the process as the signal would have, so that a shell sees it.
            let _ = emulate_default_handler(signal);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Lets a signal wait until what was made is at its place: neither half of it goes there, nor is it
/// taken away on its way. Does not return where a signal has come already.
pub fn hold_off() -> MutexGuard<'static, ()> {
    loop {
        let held = PLACING.lock().unwrap_or_else(PoisonError::into_inner);
        if !STOPPING.load(Ordering::SeqCst) {
            return held;
        }
        drop(held);
        yield_to_handler();
    }
}

/// Ends the process as Ctrl-C does.
pub fn interrupt() {
    if signal_hook::low_level::raise(SIGINT).is_ok() {
        // The handler runs in a thread of its own.
        thread::sleep(Duration::from_millis(100));
        yield_to_handler();
    }
}

/// Sets what a signal says from now on: a file is changed in its place.
pub fn advise(advice: String) {
    *ADVICE.lock().unwrap_or_else(PoisonError::into_inner) = Some(advice);
}

/// Called when a command failed: if that is because a signal is taking its outputs away, the
/// handler has the last word.
pub fn yield_to_handler() {
    while STOPPING.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(50));
    }
}

/// A path that is removed when a signal comes, until this is dropped.
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Registers a file or folder.
    pub fn new(path: &Path) -> Self {
        if let Ok(mut paths) = UNFINISHED.lock() {
            paths.push(path.to_path_buf());
        }
        Unfinished(path.to_path_buf())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Ok(mut paths) = UNFINISHED.lock()
            && let Some(at) = paths.iter().position(|path| *path == self.0)
        {
            paths.swap_remove(at);
        }
    }
}

fn remove_all() {
    let Ok(paths) = UNFINISHED.lock() else { return };
    for path in paths.iter() {
        // The thread that fills a folder may be quicker than the one that empties it.
        for _ in 0..50 {
            let gone = match path.symlink_metadata() {
                Err(_) => true,
                Ok(found) if found.is_dir() => std::fs::remove_dir_all(path).is_ok(),
                Ok(_) => std::fs::remove_file(path).is_ok(),
            };
            if gone {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
