//! The refusals of advanced hunting. Those of a quota carry their status as a text where others have a code.

use jiff::Timestamp;

use super::super::answer::Call;
use crate::http::Answer;
use crate::tenant::Ids;
use crate::tenant::config::Throttle;
use crate::tenant::fault::RetryAfter;
use crate::tenant::feed::wait;

/// An answer that a script puts in the place of a result, whoever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HuntingError {
    /// 429: too many queries in a minute.
    CallsPerMinute(RetryAfter),
    /// 429: too many queries in an hour.
    CallsPerHour(RetryAfter),
    /// 429: too much run time in an hour.
    RunTime(RetryAfter),
    /// 400: the result has too many bytes.
    TooLarge,
    /// 400: the query took too much and was stopped.
    Preempted,
}

impl HuntingError {
    /// The answer in the API's words.
    pub(in crate::tenant) fn answer(self, ids: &Ids, now: Timestamp) -> Answer {
        let (message, retry_after) = match self {
            Self::CallsPerMinute(told) => (quota(45, "00:01:00"), told),
            Self::CallsPerHour(told) => (quota(1_500, "01:00:00"), told),
            Self::RunTime(told) => {
                ("CPU quota exceeded! maximum allowed 00:10:00 per 01:00:00".to_owned(), told)
            }
            Self::TooLarge => {
                let message =
                    "The query has exceeded the allowed result size. Limit its results and try again.";
                return ids.error(400, "BadRequest", message, now);
            }
            Self::Preempted => {
                let message = "The query has exceeded the allowed limits and was preempted.";
                return ids.error(400, "BadRequest", message, now);
            }
        };
        let answer = ids.error(429, "429", &message, now);
        match wait(retry_after, now) {
            Some(text) => answer.with_header("Retry-After", text),
            None => answer,
        }
    }
}

/// 429 to a query above that limit, without a word on the wait.
pub(in crate::tenant::defender) fn quota_exceeded(call: &Call<'_>, limit: Throttle) -> Answer {
    let seconds = limit.period.as_secs();
    let period = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    call.ids.error(429, "429", &quota(limit.requests, &period), call.now)
}

fn quota(requests: usize, period: &str) -> String {
    format!("API calls quota exceeded! maximum allowed {requests} per {period}")
}
