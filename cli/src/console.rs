//! What a person at a terminal sees beside the result: progress and notes, both on standard error.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::names;

/// Standard error, for progress and notes.
#[derive(Debug)]
pub struct Console {
    quiet: bool,
    silent: bool,
    bars: MultiProgress,
    notes: Cell<u64>,
}

/// Beyond this many notes of one run, the rest is only counted: a tree of a million sockets must
/// not bury what matters.
const MOST_NOTES: u64 = 200;

impl Console {
    /// A console; a quiet one shows nothing but errors. Bars need a terminal.
    pub fn new(quiet: bool) -> Self {
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            // Hidden by itself where standard error is not a terminal.
            ProgressDrawTarget::stderr()
        };
        Console {
            quiet,
            silent: false,
            bars: MultiProgress::with_draw_target(target),
            notes: Cell::new(0),
        }
    }

    /// A console that shows nothing at all, for programs that are no terminal command.
    pub fn silent() -> Self {
        Console {
            silent: true,
            ..Console::new(true)
        }
    }

    /// Whether only errors are wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says something that is worth knowing and no error.
    pub fn note(&self, text: &str) {
        let count = self.notes.get() + 1;
        self.notes.set(count);
        if count <= MOST_NOTES {
            self.say(&format!("dbs: {text}"));
        } else if count == MOST_NOTES + 1 {
            self.say("dbs: further notes are left out");
        }
    }

    /// Says something that must be heard even when only errors are wanted.
    pub fn warn(&self, text: &str) {
        if self.silent {
            return;
        }
        self.bars
            .suspend(|| names::eprint_lossy(&format!("dbs: {text}")));
    }

    /// Says what was done.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.bars.suspend(|| names::eprint_lossy(line));
        }
    }

    /// A bar of bytes up to a total, or a counter where the total is not known.
    pub fn bytes(&self, what: &'static str, total: Option<u64>) -> Bar {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "{msg:>10} [{wide_bar:.cyan}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            )),
            None => ProgressBar::no_length()
                .with_style(style("{msg:>10} {spinner} {bytes} {bytes_per_sec}")),
        };
        let bar = self.bars.add(bar.with_message(what));
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    /// A bar of blocks, whose total comes with the first of them.
    pub fn blocks(&self, what: &'static str) -> Bar {
        let bar = ProgressBar::no_length()
            .with_style(style("{msg:>10} [{wide_bar:.cyan}] {percent}% {eta}"))
            .with_message(what);
        // Not drawn before the first block: a passphrase may have to be asked for until then.
        Bar(self.bars.add(bar))
    }
}

/// A progress bar, cleared when dropped.
#[derive(Debug, Clone)]
pub struct Bar(ProgressBar);

impl Bar {
    /// So many bytes more are done.
    pub fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// So many bytes are done, out of so many.
    pub fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A number of bytes for people: "1.4 GiB".
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return count(n, "byte");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A number with the noun that belongs to it: "1 file", "3 files".
pub fn count(n: u64, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn counts_agree_with_their_noun() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
    }
}
