//! What the Office 365 Management Activity API says in its own codes, `AF…`.
//!
//! Its statuses are not to be relied on: throttling comes as 403, a wrong window as 400, a tenant without an audit log as
//! an exception of another service. So its codes are looked at first, and the status only where there is none.

use collector::error::{Error, ErrorType};
use collector::ports::SourceError;
use jiff::{SignedDuration, Timestamp};

use crate::complaint::Complaint;
use crate::failure::{Context, Failure, FailureKind, Target};

/// Refused windows that begin less long ago are too long, not too old: content is listed for 7 days.
const LISTED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
const NEAR_THE_END: SignedDuration = SignedDuration::from_hours(1);

/// The code of a token that lacks a permission; its status varies.
pub(crate) const NO_PERMISSION: &str = "AF10001";

/// How much later a window is begun that begins too early: time passes between asking and being asked.
const STEP: SignedDuration = SignedDuration::from_mins(5);

/// What a failed attempt was, where a code of this API says so.
pub(crate) fn kind_of(complaint: &Complaint) -> Option<FailureKind> {
    match complaint.code.as_str() {
        "AF429" => Some(FailureKind::Throttled),
        "AF20010" | "AF20011" | "AF20012" | "AF20013" => Some(FailureKind::NotSetUp),
        _ if says_tenant_does_not_exist(&complaint.message) => Some(FailureKind::NotSetUp),
        "AF50000" => Some(FailureKind::Server),
        _ => None,
    }
}

/// `Tenant {its id} does not exist`, whatever exception says so.
fn says_tenant_does_not_exist(message: &str) -> bool {
    let message = message.to_lowercase();
    message
        .split("tenant")
        .skip(1)
        .any(|behind| behind.split_once("does not exist").is_some_and(|(between, _)| !between.contains('.')))
}

/// Refusals that the run loop can do something about.
pub(crate) fn refusal(failure: &Failure, context: &Context<'_>) -> Option<SourceError> {
    let refuses_window = match failure.complaint.code.as_str() {
        "AF20031" => false,
        "AF20030" | "AF20055" => true,
        _ => return None,
    };
    match context.target {
        Target::Link => Some(SourceError::LinkExpired(failure.sentence())),
        Target::Window if refuses_window => Some(refused_window(failure, context)),
        Target::Window | Target::Content => None,
    }
}

fn refused_window(failure: &Failure, context: &Context<'_>) -> SourceError {
    let oldest = context.now.checked_sub(LISTED_FOR).unwrap_or(Timestamp::MIN);
    if context.window_from.duration_since(oldest) < NEAR_THE_END {
        let minimum = context.window_from.max(oldest).checked_add(STEP).ok();
        return SourceError::StartTooOld { minimum, message: failure.sentence() };
    }
    let message = format!(
        "Error during API call to {}: {} (asked for {})",
        context.endpoint,
        failure.sentence(),
        context.filter
    );
    SourceError::TooHeavy(Error::new(ErrorType::ApiError, failure.status.unwrap_or(400), message))
}

/// What the operator can do, where a code of this API says so.
pub(crate) fn remedy(failure: &Failure, context: &Context<'_>) -> Option<String> {
    let complaint = &failure.complaint;
    if failure.kind == FailureKind::NotSetUp {
        return Some(
            "; correct credentials.tenant_id and the cloud (override_base_url), or turn on auditing in the Purview \
             portal: a tenant whose audit log is off is unknown here, for up to an hour after that too"
                .to_owned(),
        );
    }
    if complaint.says("00000000-0000-0000-0000-000000000000") {
        return Some(
            "; the request was counted for the quota that everybody shares: set publisher_identifier to a tenant id"
                .to_owned(),
        );
    }
    if complaint.code == NO_PERMISSION {
        let permission = complaint.message.split("expected permission").nth(1).and_then(permission);
        return Some(format!(
            "; grant the application permission {} and give admin consent",
            permission.unwrap_or(context.permission)
        ));
    }
    None
}

fn permission(words: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    words
        .split(|c: char| !is_part(c))
        .map(|word| word.trim_matches('.'))
        .find(|word| word.split_once('.').is_some_and(|(_, right)| right.starts_with("Read")))
}
