//! The event times of a page's records, where its paging depends on them.
//!
//! They are read as the run loop reads them: RFC 3339 with any fraction of a second, UTC where no zone is named. A time
//! that it cannot read is none here either, so the two never disagree about what a window holds.

use bytes::Bytes;
use collector::record::{HashKey, plain_string, scan};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The instant in a record's member at `path`, outermost name first; `None` where it has none that can be read.
pub(crate) fn event_time(record: &Bytes, path: &[&str]) -> Option<Timestamp> {
    let [raw_value, ..] = scan(record, &HashKey::default(), &[path], None).picked;
    let text = plain_string(raw_value?)?;
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil: DateTime = text.parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_with_any_fraction_and_without_a_zone() {
        let table = [
            (r#"{"a":{"t":"2026-11-20T10:00:00Z"}}"#, Some("2026-11-20T10:00:00Z")),
            (r#"{"t":1,"a":{"t":"2026-11-20T10:00:00.1234567Z"}}"#, Some("2026-11-20T10:00:00.1234567Z")),
            (r#"{"a":{"t":"2026-11-20T12:00:00.5+02:00"}}"#, Some("2026-11-20T10:00:00.5Z")),
            (r#"{"a":{"t":"2026-11-20T10:00:00.5"}}"#, Some("2026-11-20T10:00:00.5Z")),
            (r#"{"a":{"t":null}}"#, None),
            (r#"{"t":"2026-11-20T10:00:00Z"}"#, None),
            ("[]", None),
        ];
        for (record, expected) in table {
            let instant = event_time(&Bytes::from(record), &["a", "t"]);
            assert_eq!(instant, expected.map(|text| text.parse().unwrap()), "{record}");
        }
    }
}
