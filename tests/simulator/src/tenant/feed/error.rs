//! The feeds' refusals: a code, a message, an HTTP status, and now and then no JSON at all.
//!
//! Codes and messages are those of the API's reference and of answers that users have published. Where the status of
//! a code is not documented, 400 is assumed.

use jiff::Timestamp;

use super::config::ThrottledAs;
use crate::clock::http_date;
use crate::http::Answer;
use crate::tenant::fault::RetryAfter;

pub(super) const JSON: &str = "application/json; charset=utf-8";

/// The id that stands for a publisher who did not say who they are.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// An answer that a script puts in the place of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedError {
    /// 401 AF10001: the token lacks the permission.
    PermissionMissing,
    /// 400 AF20022: there is no subscription.
    NoSubscription,
    /// 400 AF20023: the subscription is disabled.
    SubscriptionDisabled,
    /// 400 AF20031: the next page is not known.
    NextPageInvalid,
    /// 404 AF20050: the content does not exist.
    ContentUnknown,
    /// AF20051 with that status: the content has expired.
    ContentExpired {
        /// HTTP status.
        status: u16,
    },
    /// 400 AF20052: the content id is no content id.
    ContentIdInvalid,
    /// AF429: too many requests.
    Throttled(ThrottledAs),
    /// 500 AF50000: an internal error.
    Internal(Quotes),
    /// 500 AF50000 that asks for an hour of patience.
    InternalForAnHour,
    /// The audit log of the tenant is switched off: `DataServiceException`, "Tenant … does not exist".
    TenantUnknown,
}

/// Quotation marks of an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quotes {
    /// `"`: JSON.
    Double,
    /// `'`: no JSON.
    Single,
}

/// What an error speaks of.
#[derive(Debug, Clone, Copy)]
pub(in crate::tenant) struct About<'a> {
    pub(in crate::tenant) tenant_id: &'a str,
    /// The last segment of the path: the content id, where there is one.
    pub(in crate::tenant) content_id: &'a str,
    pub(in crate::tenant) method: ThrottledMethod,
    pub(in crate::tenant) publisher: Option<&'a str>,
    pub(in crate::tenant) correlation_id: &'a str,
    pub(in crate::tenant) now: Timestamp,
}

/// What AF429 calls the call.
#[derive(Debug, Clone, Copy)]
pub(in crate::tenant) enum ThrottledMethod {
    Blob,
    Listing,
    Subscription,
}

impl FeedError {
    /// The answer in the API's words.
    pub(in crate::tenant) fn answer(self, about: &About<'_>) -> Answer {
        let About { content_id, tenant_id, .. } = about;
        match self {
            Self::PermissionMissing => refused(
                401,
                "AF10001",
                "The permission set () sent in the request does not include the expected permission.",
            ),
            Self::NoSubscription => {
                refused(400, "AF20022", "No subscription found for the specified content type.")
            }
            Self::SubscriptionDisabled => refused(400, "AF20023", "The subscription was disabled."),
            Self::NextPageInvalid => refused(400, "AF20031", "Invalid nextPage Input."),
            Self::ContentUnknown => {
                refused(404, "AF20050", &format!("The specified content ({content_id}) does not exist."))
            }
            Self::ContentExpired { status } => {
                let message = format!(
                    "Content requested with the key {content_id} has already expired. Content older than 7 days cannot be retrieved."
                );
                refused(status, "AF20051", &message)
            }
            Self::ContentIdInvalid => {
                refused(400, "AF20052", &format!("Blob key {content_id} in the url is invalid"))
            }
            Self::Throttled(told) => throttled(told, about),
            Self::Internal(quotes) => {
                let message = "An internal error occurred. Retry the request.";
                Answer::new(500, JSON, body("AF50000", message, quotes))
            }
            Self::InternalForAnHour => refused(
                500,
                "AF50000",
                "Please retry the request again in an hour. We have been notified and would be resolved soon.",
            ),
            Self::TenantUnknown => {
                let code = format!("StartSubscription [CorrelationId={}]", about.correlation_id);
                let message = format!(
                    "Microsoft.Office.Compliance.Audit.DataServiceException: Tenant {tenant_id} does not exist."
                );
                refused(400, &code, &message)
            }
        }
    }
}

/// An error body as the API writes it.
pub(in crate::tenant) fn refused(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(status, JSON, body(code, message, Quotes::Double))
}

fn body(code: &str, message: &str, quotes: Quotes) -> String {
    match quotes {
        Quotes::Double => serde_json::json!({ "error": { "code": code, "message": message } }).to_string(),
        Quotes::Single => format!("{{'error':{{'code':'{code}','message':'{message}'}}}}"),
    }
}

fn throttled(told: ThrottledAs, about: &About<'_>) -> Answer {
    let method = match about.method {
        ThrottledMethod::Blob => "GetBlob",
        ThrottledMethod::Listing => "GetAvailableContent",
        ThrottledMethod::Subscription => "Subscription",
    };
    let publisher = about.publisher.unwrap_or(NOBODY);
    let message = format!("Too many requests. Method={method}, PublisherId={publisher}");
    match told {
        ThrottledAs::Forbidden => Answer::new(403, JSON, body("AF429", &message, Quotes::Single)),
        ThrottledAs::TooManyRequests(retry_after) => {
            let answer = refused(429, "AF429", &message);
            match wait(retry_after, about.now) {
                Some(text) => answer.with_header("Retry-After", text),
                None => answer,
            }
        }
    }
}

/// The text of a Retry-After header.
pub(in crate::tenant) fn wait(retry_after: RetryAfter, now: Timestamp) -> Option<String> {
    match retry_after {
        RetryAfter::Seconds(seconds) => Some(seconds.to_string()),
        RetryAfter::Date(wait) => Some(http_date(now.checked_add(wait).unwrap_or(Timestamp::MAX))),
        RetryAfter::Absent => None,
    }
}
