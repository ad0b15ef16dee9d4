//! Small text forms: escapes in options, times, base64, and records as JSON lines.
//!
//! The JSON form is the same for `consume --format json` and `produce --format json`, so records go through it unchanged:
//! bytes that are UTF-8 are strings, others are `{"base64": "…"}`, null is null.

use serde_json::{Value, json};
use watershed_model::Timestamp;

/// Turns `\n`, `\r`, `\t`, `\0`, `\\` and `\xNN` into the bytes they stand for.
///
/// # Errors
/// What is wrong with the escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (byte, used) = match rest {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', a, b, ..] => {
                let digits = [*a, *b];
                let digits = std::str::from_utf8(&digits).ok();
                let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                (byte.ok_or("\\x needs two hexadecimal digits")?, 3)
            }
            _ => return Err(r"after \ one of n r t 0 \ xNN is expected".to_owned()),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    Ok(out)
}

/// A moment: `@1700000000000` (milliseconds since 1970), RFC 3339 in UTC or with an offset, or a time before `now` such as
/// `-10m` (s, m, h, d).
///
/// # Errors
/// What is expected.
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let expected = || {
        format!(
            "{text:?} is no time: give @MILLISECONDS, 2026-01-31T12:00:00Z, or a time ago such as -10m (s, m, h, d)"
        )
    };
    if let Some(millis) = text.strip_prefix('@') {
        return millis.parse().map(Timestamp).map_err(|_| expected());
    }
    if let Some(ago) = text.strip_prefix('-') {
        let unit = match ago.chars().last() {
            Some('s') => 1_000,
            Some('m') => 60_000,
            Some('h') => 3_600_000,
            Some('d') => 86_400_000,
            _ => return Err(expected()),
        };
        let count: i64 = ago[..ago.len() - 1].parse().map_err(|_| expected())?;
        let back = count.checked_mul(unit).filter(|b| *b >= 0).ok_or_else(expected)?;
        return Ok(Timestamp(now.0.saturating_sub(back).max(0)));
    }
    rfc3339(text).map(Timestamp).ok_or_else(expected)
}

fn rfc3339(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
    };
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if text.len() < 20 || separators.iter().any(|(at, b)| bytes[*at] != *b) || !matches!(bytes[10], b'T' | b't' | b' ')
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !in_range {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let padded = format!("{:0<3}", fraction.get(..digits.min(3))?);
        millis = padded.parse::<i64>().ok().filter(|_| digits > 0)?;
        rest = fraction.get(digits..)?;
    }
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        _ => {
            let sign = match rest.as_bytes() {
                [b'+', _, _, b':', _, _] => 1,
                [b'-', _, _, b':', _, _] => -1,
                _ => return None,
            };
            sign * (rest.get(1..3)?.parse::<i64>().ok()? * 60 + rest.get(4..6)?.parse::<i64>().ok()?)
        }
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some((seconds - offset_minutes * 60) * 1_000 + millis)
}

/// Days from 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March put the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, b| (word << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = BASE64[(word >> (18 - 6 * i)) as usize & 0x3f];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut word = 0u32;
        for digit in chunk {
            word = (word << 6) | u32::try_from(BASE64.iter().position(|b| b == digit)?).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        out.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

/// Bytes as JSON: text where they are text.
#[must_use]
pub fn bytes_to_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|b| (b, std::str::from_utf8(b))) {
        None => Value::Null,
        Some((_, Ok(text))) => Value::from(text),
        Some((bytes, Err(_))) => json!({ "base64": base64(bytes) }),
    }
}

/// What [`bytes_to_json`] made.
///
/// # Errors
/// What is expected.
pub fn bytes_from_json(value: &Value) -> Result<Option<Vec<u8>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone().into_bytes())),
        Value::Object(object) => {
            let text = object.get("base64").and_then(Value::as_str).filter(|_| object.len() == 1);
            let bytes = text.and_then(unbase64);
            Ok(Some(bytes.ok_or(r#"an object must be {"base64": "…"}"#)?))
        }
        _ => Err(r#"a string, null or {"base64": "…"} is expected"#.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn escapes() {
        for (text, expect) in [
            ("", Ok(&b""[..])),
            (r"a\nb\t\0\\", Ok(b"a\nb\t\0\\")),
            (r"\x1f\xFF", Ok(b"\x1f\xff")),
            ("é", Ok("é".as_bytes())),
            (r"\", Err(())),
            (r"\q", Err(())),
            (r"\x1", Err(())),
            (r"\xzz", Err(())),
        ] {
            assert_eq!(unescape(text).as_deref().map_err(|_| ()), expect, "{text}");
        }
    }

    #[test]
    fn times() {
        let now = Timestamp(1_000_000_000_000);
        for (text, expect) in [
            ("@5", Some(5)),
            ("-10s", Some(1_000_000_000_000 - 10_000)),
            ("-2d", Some(1_000_000_000_000 - 172_800_000)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:30:15.5Z", Some(951_827_415_500)),
            ("2026-01-31 12:00:00+01:00", Some(1_769_857_200_000)),
            ("1969-12-31T23:59:59Z", Some(-1_000)),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-01", None),
            ("2026-01-01T00:00:00", None),
            ("2026-01-01T00:00:00.Z", None),
            ("-5", None),
            ("-xh", None),
            ("@x", None),
            ("ééééééééééééé", None),
        ] {
            assert_eq!(parse_time(text, now).ok().map(|t| t.0), expect, "{text}");
        }
    }

    #[test]
    fn bytes_go_through_json_unchanged() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"text", &all, &all[..254], &all[..253], b"\xff"] {
            let json = bytes_to_json(Some(bytes));
            assert_eq!(bytes_from_json(&json).unwrap().unwrap(), bytes);
        }
        assert_eq!(bytes_from_json(&bytes_to_json(None)), Ok(None));
        assert_eq!(base64(b"\xff"), "/w==");
        for bad in [json!({"base64": "?"}), json!({"base64": "abc"}), json!({"base64": "===="}), json!(3), json!({})] {
            assert!(bytes_from_json(&bad).is_err(), "{bad}");
        }
    }
}
