//! The subscription behind a content feed: whether it is there, and when it may be started.
//!
//! Content is made for subscribers only, and what was not made can never be had. But starting is a change on the API's
//! side with a price: requests to start are to be at least 15 minutes apart, and the first content takes up to 12 hours.
//! So what is known is kept in the checkpoint, the list is looked at before anything is started, and an ordinary tick
//! asks for neither.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::complaint::excerpt;
use crate::paging::Flaw;

/// Time between two requests to start.
const BETWEEN_STARTS: SignedDuration = SignedDuration::from_mins(15);

/// How long a confirmed subscription is taken for granted: an administrator may have stopped it.
const CONFIRMED_FOR: SignedDuration = SignedDuration::from_hours(6);

/// How long the first content may take.
const FIRST_CONTENT: SignedDuration = SignedDuration::from_hours(12);

/// Name of this state among what a source remembers.
const MEMO: &str = "subscription";
const ATTEMPTED_AT: &str = "attempted_at";
const STARTED_AT: &str = "started_at";
const CONFIRMED_AT: &str = "confirmed_at";
const REFUSED: &str = "refused";

/// What is known of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// When it was asked to start last, whatever came of it.
    pub(crate) attempted_at: Option<Timestamp>,
    /// When it was started by us.
    pub(crate) started_at: Option<Timestamp>,
    /// When it was last known to be enabled.
    pub(crate) confirmed_at: Option<Timestamp>,
    /// Why it may not be started, in the words of the error that said so.
    pub(crate) refused: Option<String>,
}

/// How a subscription stands in the API's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It delivers.
    Enabled,
    /// It is not there.
    Missing,
    /// It is there and does not deliver: its status.
    Off(String),
}

impl Subscription {
    /// What an earlier invocation left behind.
    pub(crate) fn read(memo: &Map<String, Value>) -> Self {
        let instant = |name: &str| memo.get(MEMO)?.get(name)?.as_str()?.parse().ok();
        Self {
            attempted_at: instant(ATTEMPTED_AT),
            started_at: instant(STARTED_AT),
            confirmed_at: instant(CONFIRMED_AT),
            refused: memo.get(MEMO).and_then(|known| known.get(REFUSED)?.as_str()).map(str::to_owned),
        }
    }

    /// Leaves it behind, unless nothing is known.
    pub(crate) fn write(&self, memo: &mut Map<String, Value>) {
        let members = [
            (ATTEMPTED_AT, self.attempted_at),
            (STARTED_AT, self.started_at),
            (CONFIRMED_AT, self.confirmed_at),
        ];
        let known: Map<String, Value> = members
            .into_iter()
            .map(|(name, instant)| (name, instant.map(|at| at.to_string())))
            .chain([(REFUSED, self.refused.clone())])
            .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))))
            .collect();
        if !known.is_empty() {
            memo.insert(MEMO.to_owned(), Value::Object(known));
        }
    }

    /// The latest of what two sources know.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let latest = if other.attempted_at > self.attempted_at { other } else { self };
        Self {
            refused: latest.refused.clone(),
            attempted_at: self.attempted_at.max(other.attempted_at),
            started_at: self.started_at.max(other.started_at),
            confirmed_at: self.confirmed_at.max(other.confirmed_at),
        }
    }

    /// True if it need not be looked for.
    pub(crate) fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed_at.is_some_and(|at| now.duration_since(at) <= CONFIRMED_FOR)
    }

    /// The earliest instant of the next request to start, when that is not now.
    pub(crate) fn start_not_before(&self, now: Timestamp) -> Option<Timestamp> {
        let attempted_at = self.attempted_at?;
        // An instant far in the future is a clock that was wrong, and must not block for ever.
        let is_recent = now.duration_since(attempted_at).abs() < BETWEEN_STARTS;
        is_recent.then(|| attempted_at.checked_add(BETWEEN_STARTS).unwrap_or(attempted_at))
    }

    /// When it was started, as long as nothing need have come since.
    pub(crate) fn fresh_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.started_at.filter(|at| now.duration_since(*at) < FIRST_CONTENT)
    }
}

/// How the subscription to a content type stands in the API's list. Names are compared without regard to case; an entry
/// without a status is taken for enabled.
pub(crate) fn standing(list: &[u8], content_type: &str) -> Result<Standing, Flaw> {
    let entries: Vec<Value> = serde_json::from_slice(list)
        .map_err(|error| Flaw::of(list, &error, "an array of subscriptions was expected"))?;
    let text = |entry: &Value, member: &str| entry.get(member).and_then(Value::as_str).map(str::to_owned);
    let statuses: Vec<Option<String>> = entries
        .iter()
        .filter(|entry| {
            text(entry, "contentType").is_some_and(|name| name.eq_ignore_ascii_case(content_type))
        })
        .map(|entry| text(entry, "status").filter(|status| !status.eq_ignore_ascii_case("enabled")))
        .collect();
    Ok(match statuses.first() {
        None => Standing::Missing,
        Some(_) if statuses.contains(&None) => Standing::Enabled,
        Some(status) => Standing::Off(excerpt(status.as_deref().unwrap_or_default())),
    })
}

/// Why a subscription that is not enabled is not started now, in words for the operator.
pub(crate) fn not_startable(
    content_type: &str,
    standing: &Standing,
    not_before: Option<Timestamp>,
    is_dry: bool,
) -> Option<String> {
    let what = match standing {
        Standing::Enabled => return None,
        Standing::Missing => format!("there is no subscription to {content_type}"),
        Standing::Off(status) => format!("the subscription to {content_type} is {status}"),
    };
    if is_dry {
        return Some(format!(
            "{what}, and a dry run or check starts none: run the service once, its first content can take up to 12 hours"
        ));
    }
    let not_before = not_before?;
    Some(format!(
        "{what} yet, though it was asked to start less than 15 minutes ago: that takes a while, and its first content up \
         to 12 hours; it is asked again from {not_before} on"
    ))
}

/// Why a feed whose subscription is there gives nothing yet, in words for the operator.
pub(crate) fn not_served_yet(content_type: &str, started_at: Option<Timestamp>, complaint: &str) -> String {
    let begin = started_at.map_or_else(
        || format!("the subscription to {content_type} is enabled but not served yet"),
        |at| format!("the subscription to {content_type} was started at {at} and is not served yet"),
    );
    format!("{begin}; its first content can take up to 12 hours ({complaint})")
}

/// Why a listing is empty, in words for the operator.
pub(crate) fn nothing_yet(content_type: &str, started_at: Timestamp) -> String {
    format!(
        "nothing is listed for {content_type} yet: the subscription was started at {started_at}, and its first content \
         can take up to 12 hours; this is normal"
    )
}

#[cfg(test)]
#[path = "subscription_tests.rs"]
mod tests;
