//! What Python writes as JSON and RFC 8259 does not know: `NaN`, `Infinity`, `-Infinity`, and halves of surrogate pairs
//! in strings, which stand for bytes of file names that are not UTF-8.

use std::borrow::Cow;
use std::io::{self, Read};

/// What stands for `NaN` while JSON is parsed: as long, a number, and none that Python writes, as its exponents
/// begin with a small e.
const NAN: (&[u8], &[u8]) = (b"NaN", b"0E0");
/// The same for `Infinity`.
const INFINITY: (&[u8], &[u8]) = (b"Infinity", b"1E000000");

/// Puts numbers in the place of what are none.
#[derive(Debug, Default)]
pub(super) struct Hide {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Plain,
    Text,
    Escape,
    /// So many bytes of a word were seen.
    Word((&'static [u8], &'static [u8]), usize),
}

impl Hide {
    /// Works on the next bytes, in place.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if let State::Word((word, number), seen) = self.state {
                if word.get(seen) == Some(byte) {
                    *byte = number[seen];
                    self.state = State::Word((word, number), seen + 1);
                    continue;
                }
                self.state = State::Plain;
            }
            self.state = match (self.state, *byte) {
                (State::Plain, b'"') => State::Text,
                (State::Plain, b'E') => {
                    *byte = b'e';
                    State::Plain
                }
                (State::Plain, b'N') => {
                    *byte = NAN.1[0];
                    State::Word(NAN, 1)
                }
                (State::Plain, b'I') => {
                    *byte = INFINITY.1[0];
                    State::Word(INFINITY, 1)
                }
                (State::Text, b'"') => State::Plain,
                (State::Text, b'\\') => State::Escape,
                (State::Escape, _) => State::Text,
                (state, _) => state,
            };
        }
    }
}

/// A reader whose bytes went through [`Hide`].
pub(super) struct Hiding<R> {
    inner: R,
    hide: Hide,
}

impl<R: Read> Hiding<R> {
    pub(super) fn new(inner: R) -> Self {
        Hiding {
            inner,
            hide: Hide::default(),
        }
    }
}

impl<R: Read> Read for Hiding<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hide.apply(&mut buf[..n]);
        Ok(n)
    }
}

/// The JSON as it was before [`Hide`], if anything was hidden in it.
pub(super) fn reveal(json: &str) -> Option<String> {
    if !json.contains('E') {
        return None;
    }
    let mut out = json.as_bytes().to_vec();
    let (mut text, mut escape, mut found) = (false, false, false);
    for at in 0..out.len() {
        match out[at] {
            _ if escape => escape = false,
            b'\\' if text => escape = true,
            b'"' => text = !text,
            b'E' if !text => {
                for (word, number) in [NAN, INFINITY] {
                    let start = at.wrapping_sub(1);
                    let place = out.get_mut(start..start.wrapping_add(number.len()));
                    if let Some(place) = place.filter(|place| **place == *number) {
                        place.copy_from_slice(word);
                        found = true;
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    String::from_utf8(out).ok().filter(|_| found)
}

/// The JSON with U+FFFD for every half of a surrogate pair that stands alone.
pub(super) fn whole_pairs(json: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let digits = json.as_bytes().get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut out = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.to_mut().replace_range(at..at + 6, "\\ufffd");
                6
            }
            // The character behind a backslash begins nothing; ASCII, where this is JSON.
            _ => 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_comes_back() {
        let row = r#"{"a": NaN, "b": [-Infinity, Infinity], "NaN \" E": "Infinity", "c": 1e5}"#;
        for cut in 0..row.len() {
            let mut hidden = row.as_bytes().to_vec();
            let (front, rear) = hidden.split_at_mut(cut);
            let mut hide = Hide::default();
            hide.apply(front);
            hide.apply(rear);
            let hidden = String::from_utf8(hidden).unwrap();
            serde_json::from_str::<Box<serde_json::value::RawValue>>(&hidden).unwrap();
            assert_eq!(reveal(&hidden).as_deref(), Some(row));
        }
    }

    #[test]
    fn other_numbers_are_no_words() {
        let mut foreign = br#"[0E0, 1E000000, "0E0"]"#.to_vec();
        Hide::default().apply(&mut foreign);
        assert_eq!(foreign, br#"[0e0, 1e000000, "0E0"]"#);
        assert_eq!(reveal(std::str::from_utf8(&foreign).unwrap()), None);
    }

    #[test]
    fn halves_of_pairs() {
        let json = r#"["a\udce9.txt", "\ud83d\ude00", "\\udce9", "\ud83dx", "\"\ud800"]"#;
        let right = r#"["a\ufffd.txt", "\ud83d\ude00", "\\udce9", "\ufffdx", "\"\ufffd"]"#;
        assert_eq!(whole_pairs(json), right);
        assert!(matches!(whole_pairs("[\"plain\"]"), Cow::Borrowed(_)));
        assert_eq!(whole_pairs("\\"), "\\");
    }
}
