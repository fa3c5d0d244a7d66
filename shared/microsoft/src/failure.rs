//! Failed attempts: what they were, whether another attempt makes sense, and what the run loop is told at last.
//!
//! The table has two steps. `FailureKind` sorts what was seen (a status, a broken connection, a body that is no page);
//! `source_error` then weighs it with where it happened: at the first contact of an invocation, on a page link, or in the
//! middle of a walk. Decisions rest on status and code; words are read only where Microsoft gives nothing else.

use std::time::Duration;

use collector::error::{Error, ErrorType, code};
use collector::ports::SourceError;
use jiff::{SignedDuration, Timestamp};
use reqwest::StatusCode;

use crate::activity;
use crate::client::{Answer, TransportFailure};
use crate::cloud_apps;
use crate::complaint::{Complaint, excerpt, request_id};
use crate::paging::Flaw;
use crate::quota;
use crate::retry::retry_after;

/// Graph's code for a tenant without a premium licence; it also comes and goes on tenants that have one.
const NO_LICENCE: &str = "Authentication_RequestFromNonPremiumTenantOrB2CTenant";

/// Graph's code for an application that may not even look the licence up.
const NO_DIRECTORY_ACCESS: &str = "Authentication_ApplicationHasNoDirectoryReadAccess";

/// Words for an endpoint that a cloud does not have.
const NO_SEGMENT: &str = "resource not found for the segment";

/// Codes for what is not there, or for a list of none.
const NOTHING_THERE: [&str; 2] = ["NotFound", "ResourceNotFound"];

/// Words of a refused page link.
const LINK_WORDS: &[&str] = &["skip token", "skiptoken", "expiredpagetoken", "page token"];

/// Words of a refused `$filter`.
const FILTER_WORDS: &[&str] = &[
    "filter",
    "syntax error at position",
    "could not find a property named",
    "binary operator with incompatible types",
];

/// How much of a record's age must lie behind a refused filter before the start is blamed: the shortest retention of
/// any tenant is 7 days, so a younger start is never too old.
const SHORTEST_RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a failed attempt was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// 429.
    Throttled,
    /// 503.
    Unavailable,
    /// 504 or 408: the service's own time was over.
    ServerTimeout,
    /// Any other 5xx.
    Server,
    /// The attempt's time was over.
    TimedOut,
    /// No connection.
    Unreachable,
    /// The connection ended before an answer.
    Disconnected,
    /// The answer's body ended before its time.
    BrokenBody,
    /// 403 for want of a licence, which may be a passing fault.
    LicenceUnclear,
    /// 401.
    Unauthorized,
    /// The body is over the limit.
    TooLarge,
    /// Any other refusal, and redirects.
    Refused,
    /// An answer that is no page.
    NotAPage,
    /// The tenant is not as it must be, whatever is asked of it.
    NotSetUp,
}

/// Whether the same request may succeed if it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// After a wait.
    AfterWait,
    /// With a new token, once.
    AfterLogin,
    /// Not at all.
    Never,
}

impl FailureKind {
    /// Whether the same request may succeed if it is made again.
    pub(crate) fn retryable(self) -> Retry {
        match self {
            Self::Throttled
            | Self::Unavailable
            | Self::ServerTimeout
            | Self::Server
            | Self::TimedOut
            | Self::Unreachable
            | Self::Disconnected
            | Self::BrokenBody
            | Self::LicenceUnclear => Retry::AfterWait,
            Self::Unauthorized => Retry::AfterLogin,
            Self::TooLarge | Self::Refused | Self::NotAPage | Self::NotSetUp => Retry::Never,
        }
    }

    /// True if a narrower window would have helped.
    pub(crate) fn is_heavy(self) -> bool {
        matches!(self, Self::ServerTimeout | Self::TimedOut | Self::TooLarge)
    }
}

/// One failed attempt.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// What it was.
    pub(crate) kind: FailureKind,
    /// The HTTP status, where there was one.
    pub(crate) status: Option<u16>,
    /// The API's own words.
    pub(crate) complaint: Complaint,
    /// Ours, where the API has none.
    detail: String,
    /// The wait that the API asks for.
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// An answer whose status is no success, or whose body is an error all the same.
    pub(crate) fn refused(answer: &Answer, now: Timestamp) -> Self {
        let complaint = Complaint::read(&answer.headers, &answer.body);
        let kind = kind_of(answer.status, &complaint);
        let asked_wait = retry_after(&answer.headers, now);
        let says_nothing = complaint.code.is_empty() && complaint.message.is_empty();
        let detail = if says_nothing && answer.status.is_success() { "no array" } else { "" };
        Self {
            kind,
            status: Some(answer.status.as_u16()),
            retry_after: match kind {
                FailureKind::Throttled => asked_wait.or_else(|| quota::wait(&complaint)),
                _ => asked_wait,
            },
            complaint,
            detail: detail.to_owned(),
        }
    }

    /// A successful status whose body is no page.
    pub(crate) fn flawed(answer: &Answer, flaw: Flaw) -> Box<Self> {
        let (kind, detail) = match flaw {
            Flaw::EndsEarly(detail) => (FailureKind::BrokenBody, detail),
            Flaw::NotAPage(detail) => (FailureKind::NotAPage, detail),
        };
        Box::new(Self::bad_body(kind, answer, detail))
    }

    /// A successful status whose body is not what was asked for.
    pub(crate) fn bad_body(kind: FailureKind, answer: &Answer, detail: String) -> Self {
        let complaint = Complaint { request_id: request_id(&answer.headers), ..Complaint::default() };
        Self { kind, status: Some(answer.status.as_u16()), complaint, detail, retry_after: None }
    }

    /// An attempt without a complete answer; `None` when only the deadline came.
    pub(crate) fn transport(failure: TransportFailure, timeout: Duration, body_limit: usize) -> Option<Self> {
        let mut complaint = Complaint::default();
        let (kind, detail) = match failure {
            TransportFailure::OutOfTime => return None,
            TransportFailure::TimedOut => {
                (FailureKind::TimedOut, format!("no complete answer within {} s", timeout.as_secs_f32()))
            }
            TransportFailure::Unreachable(cause) => {
                (FailureKind::Unreachable, format!("no connection: {}", excerpt(&cause)))
            }
            TransportFailure::Disconnected(cause) => {
                (FailureKind::Disconnected, format!("the connection broke off: {}", excerpt(&cause)))
            }
            TransportFailure::BrokeOff(headers) => {
                complaint.request_id = request_id(&headers);
                (FailureKind::BrokenBody, "the body broke off".to_owned())
            }
            TransportFailure::TooLarge => {
                (FailureKind::TooLarge, format!("the body is larger than {body_limit} bytes"))
            }
        };
        Some(Self { kind, status: None, complaint, detail, retry_after: None })
    }

    /// A body that ended before its time while it was streamed.
    pub(crate) fn in_body(failure: TransportFailure, timeout: Duration, body_limit: usize) -> Self {
        Self::transport(failure, timeout, body_limit).unwrap_or_else(|| Self {
            kind: FailureKind::TimedOut,
            status: None,
            complaint: Complaint::default(),
            detail: "out of time".to_owned(),
            retry_after: None,
        })
    }

    /// True if the API asks to come back later, whoever asks and for whatever.
    pub(crate) fn asks_for_patience(&self) -> bool {
        match self.kind {
            FailureKind::Throttled => true,
            FailureKind::Unavailable => self.retry_after.is_some(),
            _ => false,
        }
    }

    /// True if what was asked for is not there, in the API's own words or without any: a page of a gateway is neither.
    pub(crate) fn says_nothing_is_there(&self) -> bool {
        let complaint = &self.complaint;
        self.status == Some(404)
            && (NOTHING_THERE.iter().any(|code| code.eq_ignore_ascii_case(&complaint.code))
                || complaint.is_wordless())
    }

    /// What happened, as the end of a sentence.
    pub(crate) fn sentence(&self) -> String {
        match self.status {
            Some(status) if self.detail.is_empty() => self.complaint.sentence(status),
            _ => format!("{}{}", self.detail, self.complaint.suffix()),
        }
    }
}

/// Whether the API has given anything in this invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Not yet: a refusal means that the service is not set up.
    First,
    /// Yes: a refusal is a failure of this request.
    Established,
}

/// Which kind of request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The first page of a window.
    Window,
    /// A page link.
    Link,
    /// A content blob.
    Content,
}

/// Where a failure happened.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The URL without its query.
    pub(crate) endpoint: &'a str,
    pub(crate) contact: Contact,
    pub(crate) target: Target,
    pub(crate) window_from: Timestamp,
    pub(crate) now: Timestamp,
    /// The whole `$filter`; empty where there is none.
    pub(crate) filter: &'a str,
    /// The operator's part of it.
    pub(crate) additional_filter: Option<&'a str>,
    /// What the service needs, from its declaration.
    pub(crate) permission: &'a str,
    /// The setting below `credentials` with the token that requests carry as it is, for example `files_access_token`;
    /// `None` where a login gives one.
    pub(crate) token_setting: Option<&'a str>,
    /// The service that takes the place of one that Microsoft retires, from its declaration.
    pub(crate) successor: Option<&'a str>,
}

/// What the run loop is told about a failure that no further attempt can mend.
pub(crate) fn source_error(failure: &Failure, context: &Context<'_>) -> SourceError {
    let called = |prefix: &str| {
        format!("{prefix}Error during API call to {}: {}", context.endpoint, failure.sentence())
    };
    if let Some(told) = activity::refusal(failure, context).or_else(|| cloud_apps::refusal(failure, context))
    {
        return told;
    }
    match failure.kind {
        FailureKind::Throttled => {
            let remedy = activity::remedy(failure, context).unwrap_or_default();
            fatal(ErrorType::ApiError, 429, called("429 ") + &remedy)
        }
        FailureKind::NotSetUp => not_pullable(failure, context),
        FailureKind::ServerTimeout | FailureKind::TimedOut | FailureKind::TooLarge => {
            SourceError::TooHeavy(Error::new(ErrorType::ApiError, code::SERVER, called("")))
        }
        FailureKind::Unavailable
        | FailureKind::Server
        | FailureKind::Unreachable
        | FailureKind::Disconnected => fatal(ErrorType::ApiError, code::SERVER, called("")),
        FailureKind::BrokenBody | FailureKind::NotAPage => fatal(
            ErrorType::PullError,
            code::BAD_ANSWER,
            format!("{} gave no page: {}", context.endpoint, failure.sentence()),
        ),
        FailureKind::LicenceUnclear | FailureKind::Unauthorized | FailureKind::Refused => {
            refusal(failure, context).unwrap_or_else(|| unexplained(failure, context, called("")))
        }
    }
}

/// Refusals that the run loop can do something about, or that have a number of their own.
fn refusal(failure: &Failure, context: &Context<'_>) -> Option<SourceError> {
    let complaint = &failure.complaint;
    let status = failure.status?;
    let successor = context.successor.filter(|_| context.target == Target::Window && says_absent(failure));
    if let Some(successor) = successor {
        return Some(retired(context.endpoint, successor, &failure.sentence()));
    }
    if context.target == Target::Link
        && (matches!(status, 404 | 410)
            || status == 400 && LINK_WORDS.iter().any(|words| complaint.says(words)))
    {
        return Some(SourceError::LinkExpired(failure.sentence()));
    }
    if status != 400 {
        return None;
    }
    if complaint.says("minimum allowed time") {
        let minimum = minimum_time(&complaint.message);
        return Some(SourceError::StartTooOld { minimum, message: failure.sentence() });
    }
    if context.filter.is_empty() || !FILTER_WORDS.iter().any(|words| complaint.says(words)) {
        return None;
    }
    let is_old = context.now.duration_since(context.window_from) > SHORTEST_RETENTION;
    if complaint.says("invalid filter clause") && is_old && context.additional_filter.is_none() {
        return Some(SourceError::StartTooOld { minimum: None, message: failure.sentence() });
    }
    Some(refused_filter(failure, context))
}

/// What the run loop is told of a filter that the API does not take.
pub(crate) fn refused_filter(failure: &Failure, context: &Context<'_>) -> SourceError {
    let (filter, remedy) = match context.additional_filter {
        Some(filter) => (filter, "; correct additional_filter"),
        None => (context.filter, ""),
    };
    let message = format!(
        "{} refused the filter {}: {}{remedy}",
        context.endpoint,
        excerpt(filter),
        failure.sentence()
    );
    fatal(ErrorType::PullError, code::BAD_FILTER, message)
}

/// Whether the endpoint is not there, or not any more.
fn says_absent(failure: &Failure) -> bool {
    match failure.status {
        Some(404 | 410) => true,
        Some(400) => failure.complaint.says(NO_SEGMENT),
        _ => false,
    }
}

/// What the run loop is told of an endpoint that Microsoft retires, when this was seen of it.
pub(crate) fn retired(endpoint: &str, successor: &str, seen: &str) -> SourceError {
    SourceError::Retired(format!(
        "{endpoint} was retired by Microsoft ({seen}): disable this service and enable {successor} in its place"
    ))
}

fn unexplained(failure: &Failure, context: &Context<'_>, called: String) -> SourceError {
    let status = failure.status.unwrap_or(code::SERVER);
    if context.contact == Contact::First && matches!(status, 400 | 401 | 403 | 404) {
        return not_pullable(failure, context);
    }
    fatal(ErrorType::ApiError, status, called + &remedy(failure, context))
}

fn not_pullable(failure: &Failure, context: &Context<'_>) -> SourceError {
    let message = format!(
        "Failed to fetch data from {}. Source is not pullable. {}{}",
        context.endpoint,
        failure.sentence(),
        remedy(failure, context)
    );
    fatal(ErrorType::SetupError, code::NOT_PULLABLE, message)
}

fn remedy(failure: &Failure, context: &Context<'_>) -> String {
    if let Some(remedy) = activity::remedy(failure, context).or_else(|| cloud_apps::remedy(failure, context))
    {
        return remedy;
    }
    let complaint = &failure.complaint;
    let permission = context.permission;
    match failure.status.unwrap_or(code::SERVER) {
        // The Management Activity API's words for a token of another cloud.
        401 if complaint.says("audience") || complaint.says("authorization has been denied") => {
            "; the token's audience is probably another host: correct override_scope_value and override_base_url so \
             that both belong to the tenant's cloud"
                .to_owned()
        }
        // Defender for Endpoint's only word for a token that it does not take; a missing permission is Forbidden there.
        401 if complaint.code == "Unauthorized" => format!(
            "; the token may be for another audience: correct or remove override_scope_value; if that is right{}",
            grant(permission).replacen(';', ",", 1)
        ),
        403 if complaint.code == NO_LICENCE && context.endpoint.contains("/auditLogs/") => {
            "; the tenant needs a Microsoft Entra ID P1 or P2 licence".to_owned()
        }
        403 if complaint.code == NO_LICENCE => {
            "; the tenant needs a licence for a Microsoft product that gives these records".to_owned()
        }
        403 if complaint.code == NO_DIRECTORY_ACCESS => grant("Directory.Read.All"),
        401 | 403 => grant(&named_permissions(&complaint.message).unwrap_or_else(|| permission.to_owned())),
        300..=399 => "; redirects are not followed, correct override_base_url".to_owned(),
        404 => "; correct override_base_url, or this cloud does not have the endpoint".to_owned(),
        400 if complaint.says(NO_SEGMENT) => "; this cloud does not have the endpoint".to_owned(),
        _ => String::new(),
    }
}

/// What the operator does about a missing permission, as the end of a sentence.
pub(crate) fn grant(permission: &str) -> String {
    format!("; grant the application permission {permission} and give admin consent")
}

/// The permissions that the API itself names, for example `AuditLog.Read.All`.
fn named_permissions(message: &str) -> Option<String> {
    let is_permission = |word: &&str| {
        word.split('.').count() >= 2
            && word.split('.').skip(1).any(|part| part.starts_with("Read") || part.starts_with("Write"))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    let words: Vec<&str> = message
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '\'' | '"' | '(' | ')'))
        .map(|word| word.trim_end_matches('.'))
        .filter(is_permission)
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The instant in `… Minimum allowed time for activityDateTime is 2/5/2023 12:00:00 AM')`: month first, UTC.
fn minimum_time(message: &str) -> Option<Timestamp> {
    let (_, after) = message.split_once("llowed time for ")?;
    let (_, date) = after.split_once(" is ")?;
    let date = date.split(['\'', ')', '"']).next()?.trim().trim_end_matches('.');
    if let Ok(instant) = date.parse() {
        return Some(instant);
    }
    let civil = jiff::civil::DateTime::strptime("%m/%d/%Y %I:%M:%S %p", date).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn kind_of(status: StatusCode, complaint: &Complaint) -> FailureKind {
    if let Some(kind) = activity::kind_of(complaint) {
        return kind;
    }
    match status.as_u16() {
        _ if quota::is_used_up(complaint) => FailureKind::Throttled,
        200..=299 if complaint.refuses_filter() => FailureKind::Refused,
        200..=299 => FailureKind::NotAPage,
        429 => FailureKind::Throttled,
        503 => FailureKind::Unavailable,
        408 | 504 => FailureKind::ServerTimeout,
        500..=599 => FailureKind::Server,
        401 => FailureKind::Unauthorized,
        403 if complaint.code == NO_LICENCE => FailureKind::LicenceUnclear,
        _ => FailureKind::Refused,
    }
}

fn fatal(error_type: ErrorType, code: u16, message: String) -> SourceError {
    SourceError::Fatal(Error::new(error_type, code, message))
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
