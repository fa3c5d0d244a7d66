//! The event times of a page's records, where its paging depends on them.
//!
//! A time that the run loop cannot read is none here either: both read it by the same rule (`collector::instant`).

use bytes::Bytes;
use collector::instant;
use collector::record::{HashKey, scan};
use jiff::Timestamp;

/// The instant in a record's member at `path`, outermost name first; `None` where it has none that can be read.
pub(crate) fn event_time(record: &Bytes, path: &[&str]) -> Option<Timestamp> {
    let [raw_value, ..] = scan(record, &HashKey::default(), &[path], None).picked;
    instant::of_member(raw_value?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_time_is_found_at_its_path() {
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
