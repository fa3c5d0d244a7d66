//! Quotas as the API speaks of them, where it gives neither the usual status nor a Retry-After.
//!
//! Advanced hunting counts calls by the minute and by the hour, and processor time; which of them is used up is told in
//! words alone: `maximum allowed 45 per 00:01:00`. A minute is waited for. Of an hour nobody knows how much is left, so
//! it is tried again a few times in it.

use std::time::Duration;

use crate::complaint::Complaint;

/// Codes of an answer that asks for patience, whatever its status.
const CODES: [&str; 2] = ["429", "TooManyRequests"];

/// A quota of this long is over when it has passed once.
const MINUTE: Duration = Duration::from_secs(60);

/// The wait for a longer quota.
const LONG_WAIT: Duration = Duration::from_secs(15 * 60);

/// Whether an answer says by its code that a quota is used up.
pub(crate) fn is_used_up(complaint: &Complaint) -> bool {
    CODES.contains(&complaint.code.as_str())
}

/// How long to wait for a quota that the API names; `None` where it names none.
pub(crate) fn wait(complaint: &Complaint) -> Option<Duration> {
    match span(&complaint.message) {
        Some(span) if span <= MINUTE => Some(span),
        Some(_) => Some(LONG_WAIT),
        None if complaint.says("cpu") => Some(LONG_WAIT),
        None => None,
    }
}

/// The span in `… 45 per 00:01:00`, if it has a length.
fn span(message: &str) -> Option<Duration> {
    let spans = message.split(" per ").skip(1).filter_map(|behind| {
        let text = behind.split(|c: char| !c.is_ascii_digit() && c != ':').next()?;
        let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
        Some(Duration::from_secs(minutes.checked_mul(60)?.checked_add(seconds)?))
    });
    spans.max().filter(|span| !span.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_waited_for_and_of_a_longer_quota_a_quarter_of_an_hour() {
        let table = [
            ("API calls quota exceeded! maximum allowed 45 per 00:01:00", Some(60)),
            ("API calls quota exceeded! maximum allowed 45 per 00:01:00.", Some(60)),
            ("maximum allowed 10 per 00:00:30, try later", Some(30)),
            ("API calls quota exceeded! maximum allowed 1500 per 01:00:00", Some(900)),
            ("45 per 00:01:00 and 1500 per 01:00:00", Some(900)),
            ("maximum allowed 45 per 00:01:01", Some(900)),
            ("Your CPU quota is used up", Some(900)),
            ("maximum allowed 45 per 00:00:00", None),
            ("45 per minute", None),
            ("99999999999999999 per 99999999999999999:00:00", None),
            ("", None),
        ];
        for (message, seconds) in table {
            let complaint = Complaint { message: message.to_owned(), ..Complaint::default() };
            assert_eq!(wait(&complaint), seconds.map(Duration::from_secs), "{message}");
        }
    }
}
