//! Instants as Microsoft and the vendor's collectors write them.
//!
//! RFC 3339 with any fraction of a second; what names no zone is UTC. Whoever reads a record's time reads it here, so that
//! the paging of an API and the run loop never disagree about what a window holds.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::record::plain_string;

/// The instant that a text names; `None` when it names none.
pub fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The instant in a record's raw member: a JSON string without escapes. `None` for anything else.
pub fn of_member(raw_value: &[u8]) -> Option<Timestamp> {
    parse(plain_string(raw_value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_read_with_any_fraction_and_without_a_zone() {
        let table = [
            ("\"2026-11-20T10:00:00Z\"", Some("2026-11-20T10:00:00Z")),
            ("\"2026-11-20T10:00:00.1234567Z\"", Some("2026-11-20T10:00:00.1234567Z")),
            ("\"2026-11-20T12:00:00+02:00\"", Some("2026-11-20T10:00:00Z")),
            ("\"2026-11-20T10:00:00.5\"", Some("2026-11-20T10:00:00.5Z")),
            ("\"2026-11-20 10:00:00\"", Some("2026-11-20T10:00:00Z")),
            ("\"soon\"", None),
            ("null", None),
            ("1763632800", None),
        ];
        for (raw, expected) in table {
            assert_eq!(of_member(raw.as_bytes()), expected.map(|text| text.parse().unwrap()), "{raw}");
        }
    }
}
