//! Quotas as the API speaks of them, where it gives neither the usual status nor a Retry-After.
//!
//! Advanced hunting counts calls by the minute and by the hour, and processor time; which of them is used up is told in
//! words alone: `maximum allowed 45 per 00:01:00`. A minute is waited for. Of an hour nobody knows how much is left, so
//! it is tried again a few times in it.
//!
//! Defender for Cloud Apps says `Request was throttled.`, whatever the status, and at times when to come back: `Expected
//! available in 21.0 seconds.`

use std::time::Duration;

use crate::complaint::{Complaint, THROTTLED};
use crate::retry::LONGEST_WISH;

/// Codes of an answer that asks for patience, whatever its status.
const CODES: [&str; 2] = ["429", "TooManyRequests"];

/// What stands before the wait in seconds.
const AVAILABLE_IN: &str = "available in";

/// A quota of this long is over when it has passed once.
const MINUTE: Duration = Duration::from_secs(60);

/// The wait for a longer quota.
const LONG_WAIT: Duration = Duration::from_secs(15 * 60);

/// Whether an answer says by its code or words that a quota is used up. A filter that is refused, or quoted, may hold any
/// word.
pub(crate) fn is_used_up(complaint: &Complaint) -> bool {
    if complaint.refuses_filter() {
        return false;
    }
    CODES.contains(&complaint.code.as_str())
        || says_throttled(&complaint.code)
        || says_throttled(&complaint.message)
}

/// How long to wait for a quota that the API names; `None` where it names none.
pub(crate) fn wait(complaint: &Complaint) -> Option<Duration> {
    if let Some(wait) = named_seconds(&complaint.message) {
        return Some(wait);
    }
    match span(&complaint.message) {
        Some(span) if span <= MINUTE => Some(span),
        Some(_) => Some(LONG_WAIT),
        None if complaint.says("cpu") => Some(LONG_WAIT),
        None => None,
    }
}

/// Whether the word stands there otherwise than as a quotation of what was asked.
fn says_throttled(text: &str) -> bool {
    let text = text.to_lowercase();
    let is_quote = |c: char| matches!(c, '\'' | '"' | '`' | '’' | '”');
    text.match_indices(THROTTLED).any(|(begin, word)| {
        let before = text.get(..begin).and_then(|before| before.chars().next_back());
        let behind = text.get(begin + word.len()..).and_then(|behind| behind.chars().next());
        !before.is_some_and(is_quote) && !behind.is_some_and(is_quote)
    })
}

/// The wait in `Expected available in 21.0 seconds.`, in whole seconds, rounded upwards; none at all counts as no wish.
fn named_seconds(message: &str) -> Option<Duration> {
    let message = message.to_lowercase();
    let (_, behind) = message.split_once(AVAILABLE_IN)?;
    let (number, unit) = behind.trim_start().split_once(' ')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_number || !unit.starts_with("second") {
        return None;
    }
    let seconds = number.parse::<f64>().ok()?.ceil().min(LONGEST_WISH.as_secs_f64());
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
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
    use crate::complaint::Subject;

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
            ("Request was throttled. Expected available in 21.0 seconds.", Some(21)),
            ("Request was throttled.Expected available in 20.2 seconds.", Some(21)),
            ("Request was throttled. Expected Available in 1 second.", Some(1)),
            ("available in 0.3 seconds", Some(1)),
            ("available in 0.0 seconds", None),
            ("available in -5 seconds", None),
            ("available in 5 minutes", None),
            ("available in . seconds", None),
            ("available in soon", None),
            ("available in", None),
            ("available in 99999999999999999999999999999 seconds", Some(86_400)),
        ];
        for (message, seconds) in table {
            let complaint = Complaint { message: message.to_owned(), ..Complaint::default() };
            assert_eq!(wait(&complaint), seconds.map(Duration::from_secs), "{message}");
        }
    }

    #[test]
    fn the_word_throttled_asks_for_patience_unless_it_is_quoted() {
        let table = [
            ("", "Request was throttled.", true),
            ("", "THROTTLED", true),
            ("", "This request is throttled, the word 'throttled' says so", true),
            ("ApplicationThrottled", "", true),
            ("429", "", true),
            ("", "A recognition error occurred at 'throttled'", false),
            ("", "unknown column \"throttled\"", false),
            ("", "throttle", false),
            ("BadRequest", "", false),
        ];
        for (code, message, is_so) in table {
            let complaint =
                Complaint { code: code.to_owned(), message: message.to_owned(), ..Complaint::default() };
            assert_eq!(is_used_up(&complaint), is_so, "{complaint:?}");
            let of_filter = Complaint { subject: Subject::Filter, ..complaint };
            assert!(!is_used_up(&of_filter), "{of_filter:?}");
        }
    }
}
