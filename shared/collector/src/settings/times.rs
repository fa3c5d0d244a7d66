//! The two ways a time may be written: RFC 3339, and `%Y-%m-%dT%H-%M-%SZ` as the vendor's page has it.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// How a time is to be written, for messages.
pub(crate) const EXAMPLE: &str = "2026-11-01T00:00:00Z";

/// The instant that `text` names, or `None` when it is written in neither way.
pub(crate) fn parse_instant(text: &str) -> Option<Timestamp> {
    let trimmed = text.trim();
    match Shape::of(trimmed.as_bytes())? {
        Shape::Rfc3339 => trimmed.parse().ok().or_else(|| end_of_time(trimmed)),
        Shape::Dashes => {
            let (date, time) = trimmed.split_once('T')?;
            format!("{date}T{}", time.replace('-', ":")).parse().ok()
        }
    }
}

/// The last hours of the year 9999, which some write for "never", lie beyond the last instant there is.
fn end_of_time(text: &str) -> Option<Timestamp> {
    let is_a_date = text.get(..19)?.parse::<DateTime>().is_ok();
    (is_a_date && text.starts_with("9999-12-3")).then_some(Timestamp::MAX)
}

/// How a text is laid out. The parser behind it takes more than these two (week dates, bracketed zones, hours alone).
enum Shape {
    Rfc3339,
    Dashes,
}

impl Shape {
    fn of(text: &[u8]) -> Option<Self> {
        let (head, tail) = text.split_at_checked("2026-11-01T00:00:00".len())?;
        let layout: Vec<u8> =
            head.iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte }).collect();
        match layout.as_slice() {
            b"0000-00-00T00-00-00" if tail == b"Z" => Some(Self::Dashes),
            b"0000-00-00T00:00:00" | b"0000-00-00t00:00:00" | b"0000-00-00 00:00:00" if is_rfc_tail(tail) => {
                Some(Self::Rfc3339)
            }
            _ => None,
        }
    }
}

/// An optional fraction of the second, then `Z` or an offset of hours and minutes.
fn is_rfc_tail(tail: &[u8]) -> bool {
    let zone = match tail.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        None => tail,
    };
    match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_time_are_read_and_nothing_else() {
        let noon = Some("2026-11-01T12:30:45Z".parse::<Timestamp>().unwrap());
        let cases = [
            ("2026-11-01T12:30:45Z", noon),
            (" 2026-11-01T12:30:45Z ", noon),
            ("2026-11-01t12:30:45z", noon),
            ("2026-11-01 12:30:45Z", noon),
            ("2026-11-01T12:30:45.000Z", noon),
            ("2026-11-01T14:30:45+02:00", noon),
            ("2026-11-01T12-30-45Z", noon),
            ("9999-12-31T23:59:59.999Z", Some(Timestamp::MAX)),
            ("9999-12-31T23:59:61Z", None),
            ("9999-12-32T23:59:59Z", None),
            ("2026-11-01T12:30:45", None),
            ("2026-11-01T12-30-45", None),
            ("2026-11-01T12-30-45.5Z", None),
            ("2026-11-01T12:30:45.Z", None),
            ("2026-11-01T12:30:45Z[Europe/Madrid]", None),
            ("2026-13-01T12:30:45Z", None),
            ("2026-11-01T25-30-45Z", None),
            ("2026-11-01", None),
            ("yesterday", None),
            ("", None),
            ("2026-11-01T12:30:4éZ", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_instant(text), expected, "{text}");
        }
    }
}
