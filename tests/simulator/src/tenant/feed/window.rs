//! `startTime` and `endTime`: the formats that are taken, and the windows that are refused.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::book::Window;
use super::config::WindowCode;
use super::path::option;

const LONGEST: SignedDuration = SignedDuration::from_hours(24);
const OLDEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A refusal: the code, what the API says, and what the simulator knows beside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WindowRefused {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) note: String,
}

/// The window of a query; without any times the last 24 hours.
pub(super) fn window_of(
    query: &[(String, String)],
    now: Timestamp,
    code: WindowCode,
) -> Result<Window, WindowRefused> {
    let (start_text, end_text) = (option(query, "startTime"), option(query, "endTime"));
    let (start, end) = match (start_text, end_text) {
        (None, None) => return Ok(Window { start: now.saturating_sub(LONGEST).unwrap_or(now), end: now }),
        (Some(start), Some(end)) => (instant("startTime", start)?, instant("endTime", end)?),
        _ => return Err(impossible(code, "one of two times", start_text, end_text)),
    };
    let length = end.duration_since(start);
    let fault = if !length.is_positive() {
        "the end is not after the start"
    } else if length > LONGEST {
        "longer than 24 hours"
    } else if now.duration_since(start) > OLDEST {
        "the start is more than 7 days ago"
    } else {
        return Ok(Window { start, end });
    };
    Err(impossible(code, fault, start_text, end_text))
}

fn impossible(code: WindowCode, fault: &str, start: Option<&str>, end: Option<&str>) -> WindowRefused {
    let common = "Start time and end time must both be specified (or both omitted) and must be less than or equal to \
                  24 hours apart, with the start time prior to end time and start time no more than 7 days in the past.";
    let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
    let note = format!("{fault}: {start} to {end}");
    match code {
        WindowCode::Af20055 => WindowRefused {
            code: "AF20055",
            message: format!("{common} StartTime:{start}, EndTime:{end}"),
            note,
        },
        WindowCode::Af20030 => WindowRefused { code: "AF20030", message: common.to_owned(), note },
    }
}

fn instant(name: &str, text: &str) -> Result<Timestamp, WindowRefused> {
    parse(text).ok_or_else(|| WindowRefused {
        code: "AF20002",
        message: format!("Invalid parameter type: {name}. Expected type: DateTime"),
        note: format!("'{text}' is no time in a format that is taken; was a plus sign sent raw?"),
    })
}

/// `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM`, `YYYY-MM-DDTHH:MM:SS`, the last with up to seven more digits, the last two with
/// `Z` or a numeric offset.
fn parse(text: &str) -> Option<Timestamp> {
    let (civil, offset) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        _ if text.ends_with('Z') => (text.strip_suffix('Z')?, "Z"),
        Some((civil, offset)) if civil.contains('T') && offset.starts_with(['+', '-']) => (civil, offset),
        _ => (text, ""),
    };
    let (whole, fraction) = civil.split_once('.').unwrap_or((civil, ""));
    let fits = |template: &str| {
        template.len() == whole.len()
            && template.bytes().zip(whole.bytes()).all(|(wanted, byte)| match wanted {
                b'd' => byte.is_ascii_digit(),
                _ => byte == wanted,
            })
    };
    let has_seconds = fits("dddd-dd-ddTdd:dd:dd");
    let is_taken = has_seconds || fits("dddd-dd-ddTdd:dd") || (fits("dddd-dd-dd") && offset.is_empty());
    let is_fraction = fraction.is_empty()
        || (has_seconds && fraction.len() <= 7 && fraction.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_taken || !is_fraction || civil.ends_with('.') {
        return None;
    }
    if offset.is_empty() {
        let date_time: DateTime = civil.parse().ok()?;
        return date_time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    format!("{civil}{offset}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_format_is_taken_and_nothing_else() {
        for (text, expected) in [
            ("2026-11-20", Some("2026-11-20T00:00:00Z")),
            ("2026-11-20T10:30", Some("2026-11-20T10:30:00Z")),
            ("2026-11-20T10:30:15", Some("2026-11-20T10:30:15Z")),
            ("2026-11-20T10:30:15Z", Some("2026-11-20T10:30:15Z")),
            ("2026-11-20T10:30Z", Some("2026-11-20T10:30:00Z")),
            ("2026-11-20T10:30:15.1234567Z", Some("2026-11-20T10:30:15.1234567Z")),
            ("2026-11-20T10:30:15.5", Some("2026-11-20T10:30:15.5Z")),
            ("2026-11-20T10:30:15+00:00", Some("2026-11-20T10:30:15Z")),
            ("2026-11-20T10:30:15.619091+02:00", Some("2026-11-20T08:30:15.619091Z")),
            ("2026-11-20T10:30:15 00:00", None),
            ("2026-11-20 10:30:15", None),
            ("2026-11-20Z", None),
            ("2026-11-20T10", None),
            ("2026-11-20T10:30:15.", None),
            ("2026-11-20T10:30:15.12345678Z", None),
            ("2026-13-20T10:30:15Z", None),
            ("1763632800", None),
            ("", None),
            ("\u{e9}\u{e9}\u{e9}\u{e9}", None),
        ] {
            assert_eq!(parse(text), expected.map(|instant| instant.parse().unwrap()), "{text:?}");
        }
    }
}
