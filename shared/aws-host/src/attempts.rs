//! Calls to AWS: what became of an attempt, and how often it is made.
//!
//! A write has three ends, not two: done, not done, and unknown, when the connection broke after the request left. All
//! of this store's writes may be sent again (a condition or an idempotency token makes the second one harmless), so an
//! unknown end is tried again like a throttled one, until the time for it is used up; but it is never forgotten: when
//! a later attempt fails for another reason, the whole call still ends as unknown. The SDK's own retries are off.

use std::error::Error as StdError;
use std::future::Future;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use tokio::time::{Instant, sleep};

use crate::rows::Item;

/// How long and how often a call is tried.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// No attempt begins later than this after the first one.
    pub total: Duration,
    /// One attempt takes no longer than this.
    pub attempt: Duration,
    /// Pause after the first attempt; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// Short, because the run loop repeats a write in doubt until its own deadline, which this module does not know.
    fn default() -> Self {
        Self {
            total: Duration::from_millis(2500),
            attempt: Duration::from_secs(2),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// Why an attempt gave no result.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// The condition did not hold; the item as it is, if there is one. Nothing was written.
    Refused(Option<Item>),
    /// The service asks for patience, or another transaction is at work on the item. Nothing was written.
    Busy(String),
    /// The request left, its answer did not come.
    Unknown(String),
    /// No connection, so nothing was sent.
    Unreachable(String),
    /// Refused for good; the code and the text of the service. Nothing was written.
    Rejected {
        /// The service's word for it, for example `AccessDeniedException`.
        code: String,
        /// Its sentence.
        message: String,
    },
}

impl Failure {
    /// True when the same request may succeed a moment later.
    fn retryable(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Unknown(_) | Self::Unreachable(_) => true,
            Self::Refused(_) | Self::Rejected { .. } => false,
        }
    }
}

/// Makes attempts until one succeeds, one fails for good, or patience ends.
pub async fn persistently<T, A, F>(patience: Patience, mut attempt: A) -> Result<T, Failure>
where
    A: FnMut() -> F + Send,
    F: Future<Output = Result<T, Failure>> + Send,
{
    let end = Instant::now() + patience.total;
    let mut pause = patience.first_pause;
    let mut doubt = None;
    loop {
        let failure = match attempt().await {
            Ok(result) => return Ok(result),
            Err(failure) => failure,
        };
        if let Failure::Unknown(message) = &failure {
            doubt = Some(message.clone());
        }
        let wait = jittered(pause);
        if failure.retryable() && Instant::now() + wait < end {
            sleep(wait).await;
            pause = (pause * 2).min(patience.longest_pause);
            continue;
        }
        return Err(match (failure, doubt) {
            // The item itself tells whether the earlier attempt arrived.
            (refused @ Failure::Refused(_), _) => refused,
            (_, Some(message)) => Failure::Unknown(message),
            (failure, None) => failure,
        });
    }
}

/// Sorts an SDK error whose service error holds no item; `Refused` is the caller's to find.
pub fn sort<E, R>(error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: std::fmt::Debug,
{
    match error {
        SdkError::ServiceError(service) => sort_service(service.err()),
        SdkError::ConstructionFailure(_) => {
            Failure::Rejected { code: "ConstructionFailure".to_owned(), message: whole_story(error) }
        }
        SdkError::DispatchFailure(_) => sort_dispatch(whole_story(error)),
        // A time-out, an answer that cannot be read, and whatever a later SDK adds: the request may have arrived.
        _ => Failure::Unknown(whole_story(error)),
    }
}

/// Sorts what the service itself said.
fn sort_service<E: ProvideErrorMetadata>(error: &E) -> Failure {
    let code = error.code().unwrap_or("an error without a code");
    let message = error.message().unwrap_or("no message");
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "TransactionConflictException"
        | "TransactionInProgressException" => Failure::Busy(format!("{code}: {message}")),
        // The service's own words: after a 500 or 503 the write may have happened.
        "InternalServerError"
        | "InternalServiceError"
        | "InternalFailure"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "an error without a code" => Failure::Unknown(format!("{code}: {message}")),
        _ => Failure::Rejected { code: code.to_owned(), message: message.to_owned() },
    }
}

/// Sorts a request that did not get an answer by the words of the HTTP client, whose types are not public. What is
/// not recognised counts as sent.
fn sort_dispatch(story: String) -> Failure {
    const NO_CREDENTIALS: [&str; 2] = ["credentials", "identity"];
    const NOT_CONNECTED: [&str; 4] = ["(Connect)", "connect error", "dns error", "HTTP connect timeout"];
    if NOT_CONNECTED.iter().any(|words| story.contains(words)) {
        return Failure::Unreachable(story);
    }
    if NO_CREDENTIALS.iter().any(|word| story.contains(word)) {
        return Failure::Rejected { code: "NoCredentials".to_owned(), message: story };
    }
    Failure::Unknown(story)
}

/// The error and its causes in one line.
fn whole_story(error: &dyn StdError) -> String {
    let mut story = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !story.ends_with(&text) {
            story.push_str(": ");
            story.push_str(&text);
        }
        cause = inner.source();
    }
    story
}

/// Between half of the pause and all of it, so that those who were throttled together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().unwrap_or(u32::MAX);
    pause.mul_f64(0.5 + 0.5 * f64::from(share) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Plays the failures one by one, then success; gives the end and the number of attempts.
    async fn play(failures: Vec<Failure>) -> (Result<(), Failure>, usize) {
        let patience = Patience {
            total: Duration::from_millis(400),
            attempt: Duration::from_millis(50),
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(1),
        };
        let left = Mutex::new(failures.into_iter());
        let attempts = Mutex::new(0);
        let end = persistently(patience, || {
            *attempts.lock().unwrap() += 1;
            let next = left.lock().unwrap().next();
            async move { next.map_or(Ok(()), Err) }
        })
        .await;
        (end, attempts.into_inner().unwrap())
    }

    fn unknown() -> Failure {
        Failure::Unknown("connection reset".to_owned())
    }

    fn busy() -> Failure {
        Failure::Busy("ThrottlingException: slow down".to_owned())
    }

    fn rejected() -> Failure {
        Failure::Rejected { code: "AccessDeniedException".to_owned(), message: "no".to_owned() }
    }

    #[tokio::test]
    async fn a_passing_failure_is_tried_again_and_a_lasting_one_is_not() {
        assert_eq!(play(vec![]).await, (Ok(()), 1));
        assert_eq!(play(vec![busy(), unknown(), busy()]).await, (Ok(()), 4));
        assert_eq!(play(vec![rejected()]).await, (Err(rejected()), 1));
        assert_eq!(play(vec![Failure::Refused(None)]).await, (Err(Failure::Refused(None)), 1));
    }

    #[tokio::test]
    async fn a_doubt_outlives_every_later_failure_but_a_refusal_that_shows_the_item() {
        assert_eq!(play(vec![unknown(), busy(), rejected()]).await, (Err(unknown()), 3));
        assert_eq!(play(vec![unknown(), Failure::Refused(None)]).await, (Err(Failure::Refused(None)), 2));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let (end, attempts) = play(vec![busy(); 100_000]).await;
        assert_eq!(end, Err(busy()));
        assert!(attempts > 100, "{attempts} attempts");
    }

    #[test]
    fn what_was_not_sent_is_told_from_what_has_no_answer() {
        let cases = [
            ("dispatch failure: io error: client error (Connect): tcp connect error: refused", "unreachable"),
            ("dispatch failure: io error: client error (Connect): dns error: no such host", "unreachable"),
            ("dispatch failure: timeout: HTTP connect timeout occurred after 1s", "unreachable"),
            ("dispatch failure: other: the credentials provider was not enabled", "rejected"),
            ("dispatch failure: io error: client error (SendRequest): connection reset", "unknown"),
            ("dispatch failure: io error: unexpected end", "unknown"),
        ];
        for (story, expected) in cases {
            let found = match sort_dispatch(story.to_owned()) {
                Failure::Unreachable(_) => "unreachable",
                Failure::Rejected { .. } => "rejected",
                Failure::Unknown(_) => "unknown",
                other => panic!("{story}: {other:?}"),
            };
            assert_eq!(found, expected, "{story}");
        }
    }
}
