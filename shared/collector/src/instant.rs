//! Instants as Microsoft and the vendor's collectors write them.
//!
//! RFC 3339 with any fraction of a second; what names no zone is UTC. A number is epoch milliseconds, with or without a
//! fraction. Whoever reads a record's time reads it here, so that the paging of an API and the run loop never disagree
//! about what a window holds.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Number;

use crate::record::plain_string;

/// The instant that a text names; `None` when it names none.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The instant in a record's raw member: a JSON string without escapes, or a JSON number of milliseconds since 1970 UTC.
/// `None` for anything else, and for what lies beyond the instants there are.
pub fn of_member(raw_value: &[u8]) -> Option<Timestamp> {
    match plain_string(raw_value) {
        Some(text) => parse(text),
        None => of_milliseconds(&serde_json::from_slice(raw_value).ok()?),
    }
}

/// A whole number of milliseconds is exact, however it is written; a fraction is as near as a float comes to it, which is
/// less than a microsecond.
fn of_milliseconds(number: &Number) -> Option<Timestamp> {
    if let Some(whole) = number.as_i64() {
        return Timestamp::from_millisecond(whole).ok();
    }
    let milliseconds = number.as_f64()?;
    // One division of all of it would lose what lies behind the seventh digit of a second.
    let seconds = (milliseconds / 1_000.0).floor();
    let nanoseconds = ((milliseconds - seconds * 1_000.0) * 1_000_000.0).round();
    let whole = SignedDuration::try_from_secs_f64(seconds).ok()?;
    let rest = SignedDuration::try_from_secs_f64(nanoseconds / 1_000_000_000.0).ok()?;
    Timestamp::from_duration(whole.checked_add(rest)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_text_with_any_fraction_and_without_a_zone_or_a_number_of_milliseconds() {
        let table = [
            ("\"2026-11-20T10:00:00Z\"", Some("2026-11-20T10:00:00Z")),
            ("\"2026-11-20T10:00:00.1234567Z\"", Some("2026-11-20T10:00:00.1234567Z")),
            ("\"2026-11-20T12:00:00+02:00\"", Some("2026-11-20T10:00:00Z")),
            ("\"2026-11-20T10:00:00.5\"", Some("2026-11-20T10:00:00.5Z")),
            ("\"2026-11-20 10:00:00\"", Some("2026-11-20T10:00:00Z")),
            ("\"soon\"", None),
            ("null", None),
            ("true", None),
            ("[1763632800000]", None),
            ("", None),
            ("1763632800", Some("1970-01-21T09:53:52.8Z")),
            ("1763632800000", Some("2025-11-20T10:00:00Z")),
            ("1763632800001", Some("2025-11-20T10:00:00.001Z")),
            (" 1763632800000 ", Some("2025-11-20T10:00:00Z")),
            ("1763632800000.0", Some("2025-11-20T10:00:00Z")),
            ("1.7636328e12", Some("2025-11-20T10:00:00Z")),
            ("17636328E+5", Some("2025-11-20T10:00:00Z")),
            ("0", Some("1970-01-01T00:00:00Z")),
            ("-1", Some("1969-12-31T23:59:59.999Z")),
            ("-0.0", Some("1970-01-01T00:00:00Z")),
            ("253402207200000", Some("9999-12-30T22:00:00Z")),
            ("253402300800000", None),
            ("9223372036854775807", None),
            ("-9223372036854775808", None),
            ("18446744073709551615", None),
            ("99999999999999999999999999", None),
            ("1e300", None),
            ("-1e300", None),
            ("1e999", None),
            ("1e-400", Some("1970-01-01T00:00:00Z")),
            ("01763632800000", None),
            ("1763632800000x", None),
            ("NaN", None),
        ];
        for (raw, expected) in table {
            assert_eq!(of_member(raw.as_bytes()), expected.map(|text| text.parse().unwrap()), "{raw}");
        }
    }

    #[test]
    fn a_fraction_of_a_millisecond_is_kept_to_the_microsecond() {
        let instant = of_member(b"1607952165309.8032").unwrap();
        assert_eq!(instant.as_millisecond(), 1_607_952_165_309);
        let rest = instant.as_nanosecond() - 1_607_952_165_309_803_200;
        assert!(rest.abs() < 1_000, "{rest}");
    }

    #[test]
    fn whole_milliseconds_are_exact_also_as_a_float() {
        for milliseconds in (1_795_241_189_000_i64..1_795_241_190_000).chain(-1_500..1_500) {
            let written = of_member(format!("{milliseconds}.0").as_bytes());
            assert_eq!(written, Timestamp::from_millisecond(milliseconds).ok(), "{milliseconds}");
        }
    }

    #[test]
    fn no_number_is_too_absurd_to_be_read() {
        let mantissas = ["0", "1", "-1", "9.9999999999999999", "-9223372036854775809", "253402300799999.999"];
        for mantissa in mantissas {
            for exponent in -400..400 {
                let _ = of_member(format!("{mantissa}e{exponent}").as_bytes());
            }
        }
    }
}
