//! One call to the feeds: who may ask, what is asked, and the answers that are no listing.
//!
//! The checks come in the order of the API: token, tenant, publisher, limit, parameters, subscription, content.

use jiff::Timestamp;
use serde_json::json;

use super::blob::{compressed, is_content_id, pieces};
use super::config::{Framing, ListedNames, ListedStatus, PublisherRule, Subscription, ThrottledAs};
use super::error::{About, FeedError, JSON, ThrottledMethod, refused};
use super::path::{FeedPath, Operation, option, publisher};
use super::{ContentType, listing};
use crate::http::{Answer, Pieces, Request, first_bytes};
use crate::sync::locked;
use crate::tenant::config::Compression;
use crate::tenant::fault::{Fault, RetryAfter};
use crate::tenant::log::RequestSeen;
use crate::tenant::{Ids, Outcome, State};

/// Everything about the call at hand.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) seen: &'a RequestSeen,
    pub(super) path: &'a FeedPath,
    pub(super) fault: Option<&'a Fault>,
    pub(super) ids: &'a Ids,
    pub(super) now: Timestamp,
}

/// A refusal, and what the simulator knows beside it.
pub(super) struct Refused {
    answer: Box<Answer>,
    note: Option<String>,
}

impl Refused {
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        Self { answer: Box::new(refused(status, code, message)), note: None }
    }

    pub(super) fn because(mut self, note: &str) -> Self {
        self.note = Some(note.to_owned());
        self
    }
}

impl Call<'_> {
    pub(super) fn refused(&self, error: FeedError) -> Refused {
        let answer = error.answer(&about(self.request, self.seen, self.ids, self.now));
        Refused { answer: Box::new(answer), note: None }
    }

    /// The feed that the query names.
    pub(super) fn content_type(&self) -> Result<ContentType, Refused> {
        let name = option(&self.seen.query, "contentType")
            .ok_or_else(|| Refused::new(400, "AF20001", "Missing parameter: contentType."))?;
        ContentType::of_name(name)
            .ok_or_else(|| Refused::new(400, "AF20020", "The specified content type is not valid."))
    }

    /// Scheme and host under which the tenant was called.
    pub(super) fn own_host(&self) -> String {
        format!("http://{}", self.request.header("host").unwrap_or("127.0.0.1"))
    }
}

/// What errors about this request speak of.
pub(in crate::tenant) fn about<'a>(
    request: &'a Request,
    seen: &'a RequestSeen,
    ids: &'a Ids,
    now: Timestamp,
) -> About<'a> {
    let path = request.path.trim_matches('/');
    let operation = FeedPath::of(&request.path).map(|path| path.operation);
    About {
        tenant_id: path.split('/').nth(2).unwrap_or_default(),
        content_id: path.rsplit('/').next().unwrap_or_default(),
        method: match operation {
            Some(Operation::Blob { .. }) => ThrottledMethod::Blob,
            Some(Operation::Content) => ThrottledMethod::Listing,
            _ => ThrottledMethod::Subscription,
        },
        publisher: publisher(&seen.query),
        correlation_id: &ids.request_id,
        now,
    }
}

/// Answers a call.
pub(super) fn answer(state: &State, call: &Call<'_>) -> Outcome {
    checked(state, call).unwrap_or_else(|Refused { answer, note }| Outcome { note, ..Outcome::of(*answer) })
}

fn checked(state: &State, call: &Call<'_>) -> Result<Outcome, Refused> {
    let client_id = check_token(state, call)?;
    check_tenant(state, call)?;
    if state.config.feed.publisher == PublisherRule::Required && publisher(&call.seen.query).is_none() {
        let refused = call.refused(FeedError::Throttled(ThrottledAs::Forbidden));
        return Err(refused.because("no PublisherIdentifier"));
    }
    check_limit(state, call, &client_id)?;
    if matches!(call.fault, Some(Fault::ExpireLinks)) {
        locked(&state.feed).expire_links();
    }
    match (&call.path.operation, call.request.method.as_str()) {
        (Operation::List, "GET") => Ok(subscriptions(state)),
        (Operation::Start, "POST") => start(state, call),
        (Operation::Stop, "POST") => stop(state, call),
        (Operation::Content, "GET") => listing::answer(state, call),
        (Operation::Blob { content_id }, "GET") => blob(state, call, content_id),
        (Operation::Unknown, _) => {
            let body = json!({ "Message": "No HTTP resource was found that matches the request URI." });
            Ok(Outcome::of(Answer::new(404, JSON, body.to_string())))
        }
        _ => {
            let body = json!({ "Message": "The requested resource does not support this http method." });
            Ok(Outcome::of(Answer::new(405, JSON, body.to_string())))
        }
    }
}

fn check_token(state: &State, call: &Call<'_>) -> Result<String, Refused> {
    let authorization = call.request.header("authorization");
    if matches!(call.fault, Some(Fault::TokenRevoked)) {
        locked(&state.tokens).revoke(authorization);
    }
    let checked = locked(&state.tokens).check(authorization, &state.config.feed.scope, call.now);
    checked.map_err(|reason| {
        let body = json!({ "Message": "Authorization has been denied for this request." });
        let answer = Answer::new(401, JSON, body.to_string()).with_header("WWW-Authenticate", "Bearer");
        Refused { answer: Box::new(answer), note: Some(format!("{reason:?} token")) }
    })
}

fn check_tenant(state: &State, call: &Call<'_>) -> Result<(), Refused> {
    let (asked, own) = (&call.path.tenant, &state.config.tenant_id);
    if !is_guid(asked) {
        let message = format!("The tenant ID passed in the URL ({asked}) is not a valid GUID.");
        return Err(Refused::new(400, "AF20013", &message));
    }
    if !asked.eq_ignore_ascii_case(own) {
        let message = format!(
            "The tenant ID passed in the URL ({asked}) does not match the tenant ID passed in the access token ({own})."
        );
        return Err(Refused::new(400, "AF20010", &message));
    }
    Ok(())
}

fn check_limit(state: &State, call: &Call<'_>, client_id: &str) -> Result<(), Refused> {
    let Some(limit) = state.config.feed.throttle else {
        return Ok(());
    };
    let admitted = locked(&state.feed_throttle).admit(client_id, limit, call.now);
    admitted.map_err(|seconds| {
        let told = match state.config.feed.throttled_as {
            ThrottledAs::TooManyRequests(RetryAfter::Seconds(_)) => {
                ThrottledAs::TooManyRequests(RetryAfter::Seconds(seconds.unsigned_abs()))
            }
            told => told,
        };
        call.refused(FeedError::Throttled(told)).because("above the limit")
    })
}

fn is_guid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn subscriptions(state: &State) -> Outcome {
    let book = locked(&state.feed);
    let config = &state.config.feed;
    let entry = |content_type: ContentType| {
        let status = match book.subscription(content_type) {
            Subscription::Missing => return None,
            Subscription::Enabled => "enabled",
            Subscription::Disabled => "disabled",
        };
        let name = match config.listed_names {
            ListedNames::Documented => content_type.name().to_owned(),
            ListedNames::OtherCase => content_type.other_case(),
        };
        let has_status = config.listed_status == ListedStatus::Always || status == "disabled";
        Some(if has_status {
            json!({ "contentType": name, "status": status, "webhook": null })
        } else {
            json!({ "contentType": name, "webhook": null })
        })
    };
    let entries: Vec<_> = ContentType::ALL.into_iter().filter_map(entry).collect();
    let records = entries.len();
    Outcome { records, ..Outcome::of(Answer::new(200, JSON, serde_json::Value::from(entries).to_string())) }
}

fn start(state: &State, call: &Call<'_>) -> Result<Outcome, Refused> {
    let content_type = call.content_type()?;
    let mut book = locked(&state.feed);
    if book.subscription(content_type) == Subscription::Enabled {
        let message = "The subscription is already enabled. No property change.";
        return Err(Refused::new(400, "AF20024", message));
    }
    book.set_subscription(content_type, Subscription::Enabled, call.now);
    let body = json!({ "contentType": content_type.name(), "status": "enabled", "webhook": null });
    Ok(Outcome::of(Answer::new(200, JSON, body.to_string())))
}

fn stop(state: &State, call: &Call<'_>) -> Result<Outcome, Refused> {
    let content_type = call.content_type()?;
    let mut book = locked(&state.feed);
    if book.subscription(content_type) == Subscription::Missing {
        return Err(call.refused(FeedError::NoSubscription));
    }
    book.set_subscription(content_type, Subscription::Disabled, call.now);
    Ok(Outcome::of(Answer::new(204, JSON, "")))
}

fn blob(state: &State, call: &Call<'_>, content_id: &str) -> Result<Outcome, Refused> {
    let Some(blob) = locked(&state.feed).blob(content_id) else {
        let error =
            if is_content_id(content_id) { FeedError::ContentUnknown } else { FeedError::ContentIdInvalid };
        return Err(call.refused(error).because("no such content was emitted"));
    };
    if blob.expires_at() <= call.now {
        return Err(call.refused(FeedError::ContentExpired { status: state.config.feed.expired_status }));
    }
    let records = blob.content.count();
    let style = state.config.body_style;
    let accepts = call.request.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
    let is_compressed = accepts && state.config.compression == Compression::WhenAccepted;
    let whole_length =
        blob.length(style).filter(|_| state.config.feed.blob_framing == Framing::ContentLength);
    let (body, length): (Pieces, _) = match call.fault {
        Some(Fault::EndsEarly { at }) => (Box::new(first_bytes(pieces(blob, style), *at)), None),
        _ => (pieces(blob, style), whole_length),
    };
    state.feed_traffic.count_answer();
    let answer = if is_compressed {
        Answer::streamed(200, JSON, compressed(body), None).with_header("Content-Encoding", "gzip")
    } else {
        Answer::streamed(200, JSON, body, length)
    };
    Ok(Outcome { records, ..Outcome::of(answer) })
}
