//! The records of a PAX extended header: `LENGTH KEY=VALUE\n`.

use super::member::Time;

/// Appends a record.
pub fn push(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut digits = 1;
    while (rest + digits).to_string().len() > digits {
        digits += 1;
    }
    out.extend_from_slice((rest + digits).to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The records of an extended header, or none if they are malformed.
pub fn parse(mut rest: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !rest.is_empty() {
        let space = rest.iter().take(20).position(|&byte| byte == b' ')?;
        let length = usize::try_from(decimal(&rest[..space])?).ok()?;
        let record = rest.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        records.push((&record[..equals], &record[equals + 1..]));
        rest = &rest[length..];
    }
    Some(records)
}

/// A number in decimal digits, with no sign.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A time as PAX writes it: seconds with a decimal fraction, perhaps negative.
pub fn write_time(time: Time) -> String {
    if time.nanoseconds == 0 {
        return time.seconds.to_string();
    }
    // -1.25 s is kept as -2 s and 750,000,000 ns.
    let (sign, seconds, nanoseconds) = if time.seconds < 0 {
        let (whole, part) = (time.seconds + 1, 1_000_000_000 - time.nanoseconds);
        ("-", whole.unsigned_abs(), part)
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_string()
}

/// The inverse of [`write_time`]; digits beyond nanoseconds are cut.
pub fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let mut nanoseconds: u32 = 0;
    if let Some(fraction) = parts.next() {
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for position in 0..9 {
            let digit = fraction.get(position).map_or(0, |digit| digit - b'0');
            nanoseconds = nanoseconds * 10 + u32::from(digit);
        }
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Time {
            seconds,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_their_own_length() {
        for length in [
            0, 1, 2, 3, 88, 89, 90, 91, 92, 985, 986, 987, 988, 9980, 9985,
        ] {
            let value = vec![b'v'; length];
            let mut out = Vec::new();
            push(&mut out, b"path", &value);
            push(&mut out, b"k", b"a=b\nc");
            let expected: Vec<(&[u8], &[u8])> = vec![(b"path", &value), (b"k", b"a=b\nc")];
            assert_eq!(parse(&out), Some(expected), "{length}");
        }
        let mut out = Vec::new();
        push(&mut out, b"mtime", b"1350244992.023960108");
        assert_eq!(out, b"30 mtime=1350244992.023960108\n");
    }

    #[test]
    fn malformed_records_are_refused() {
        let bad: [&[u8]; 9] = [
            b"x",
            b"5 a=b",
            b"6 a=bc",
            b"0 a=b\n",
            b"2 a=b\n",
            b"99 a=b\n",
            b"6 a-b\n",
            b"-6 a=b\n",
            b"99999999999999999999999 a=b\n",
        ];
        for record in bad {
            assert_eq!(parse(record), None, "{record:?}");
        }
    }

    #[test]
    fn times_come_back() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (1_350_244_992, 23_960_108, "1350244992.023960108"),
            (5, 500_000_000, "5.5"),
            (-1, 0, "-1"),
            (-2, 750_000_000, "-1.25"),
            (-1, 999_999_999, "-0.000000001"),
        ] {
            let time = Time {
                seconds,
                nanoseconds,
            };
            assert_eq!(write_time(time), text);
            assert_eq!(parse_time(text.as_bytes()), Some(time));
        }
        for bad in ["", "-", "1.x", "--1", "1e3", ".5", "99999999999999999999"] {
            assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
        }
    }
}
