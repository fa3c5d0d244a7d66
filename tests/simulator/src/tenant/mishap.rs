//! What a fault puts in the place of an answer, and what it does to one on its way.

use jiff::Timestamp;
use serde_json::json;

use super::defender::HuntingError;
use super::fault::{Fault, RetryAfter, Shape};
use super::feed::{About, FeedError, ThrottledAs, wait};
use super::{Ids, Outcome, Speaker, cloud_apps};
use crate::http::{Answer, Delivery};

const JSON: &str = "application/json";

/// Waits as the fault says; gives what stands for the answer, if the fault is of that kind.
pub(super) async fn instead_of_answer(fault: &Fault, ids: &Ids, about: &About<'_>) -> Option<Outcome> {
    let now = about.now;
    let answer = match fault {
        Fault::Delay(duration) => {
            tokio::time::sleep(*duration).await;
            return None;
        }
        Fault::Hold(gate) => {
            gate.pass().await;
            return None;
        }
        Fault::Status { code, body, headers } => {
            let mut answer = match body {
                Some(text) => Answer::new(*code, JSON, text.clone()),
                None if ids.speaker == Speaker::CloudApps => {
                    cloud_apps::detail(*code, cloud_apps::usual_detail(*code))
                }
                None => ids.error(*code, usual_code(*code, ids.speaker), "As the script says.", now),
            };
            answer.headers.extend(headers.iter().cloned());
            answer
        }
        Fault::Feed(error) => error.answer(about),
        Fault::Hunting(error) => error.answer(ids, now),
        Fault::TooManyRequests(retry_after) if ids.speaker == Speaker::Feed => {
            FeedError::Throttled(ThrottledAs::TooManyRequests(*retry_after)).answer(about)
        }
        Fault::TooManyRequests(retry_after) => too_many_requests(*retry_after, ids, now),
        Fault::HtmlPage(status) => cloud_apps::html(*status),
        Fault::GatewayTimeout if ids.speaker == Speaker::CloudApps => cloud_apps::html(504),
        Fault::GatewayTimeout => ids.error(504, usual_code(504, ids.speaker), "", now),
        Fault::Html => {
            let page =
                "<!DOCTYPE html><html><head><title>Service unavailable</title></head><body></body></html>";
            Answer::new(200, "text/html", page)
        }
        Fault::NotJson => Answer::new(200, JSON, "{\"value\": [ this is not JSON"),
        Fault::WrongShape(shape) => Answer::new(200, JSON, wrong_shape(*shape, ids.speaker)),
        Fault::CloseBeforeAnswer => broken(Delivery::Close),
        Fault::Reset => broken(Delivery::Reset),
        Fault::Truncate { .. }
        | Fault::EndsEarly { .. }
        | Fault::Stall { .. }
        | Fault::ForeignContentUri { .. }
        | Fault::SlowBody { .. }
        | Fault::ExpireLinks
        | Fault::ForeignNextLink { .. }
        | Fault::LoopNextLink
        | Fault::EmptyPageWithNext
        | Fault::DuplicateRecords
        | Fault::ShuffleOrder
        | Fault::TokenRevoked
        | Fault::PartialContent(_)
        | Fault::ExtraHeaders(_) => return None,
    };
    Some(Outcome { note: Some(format!("scripted: {fault:?}")), ..Outcome::of(answer) })
}

/// What the fault does to a finished answer.
pub(super) fn on_the_way(fault: &Fault, outcome: &mut Outcome) {
    match fault {
        Fault::Truncate { at } => outcome.answer.delivery = Delivery::Cut { body_bytes: *at },
        Fault::Stall { after } => outcome.answer.delivery = Delivery::Stalled { body_bytes: *after },
        Fault::SlowBody { piece, pause } => {
            outcome.answer.delivery = Delivery::Slow { piece: *piece, pause: *pause };
        }
        Fault::ExtraHeaders(headers) => outcome.answer.headers.extend(headers.iter().cloned()),
        _ => {}
    }
    outcome.note.get_or_insert_with(|| format!("scripted: {fault:?}"));
}

/// 429 in the words of whoever is asked, the feeds excepted.
pub(super) fn too_many_requests(retry_after: RetryAfter, ids: &Ids, now: Timestamp) -> Answer {
    let throttled =
        "This request is throttled. Please try again after the value specified in the Retry-After header.";
    let (code, message) = match ids.speaker {
        Speaker::CloudApps => return cloud_apps::throttled(retry_after, now),
        Speaker::Hunting => return HuntingError::CallsPerMinute(retry_after).answer(ids, now),
        Speaker::Defender => ("TooManyRequests", "Too many requests. Try again later."),
        Speaker::Graph | Speaker::Feed => ("UnknownError", throttled),
    };
    let answer = ids.error(429, code, message, now);
    match wait(retry_after, now) {
        Some(text) => answer.with_header("Retry-After", text),
        None => answer,
    }
}

fn broken(delivery: Delivery) -> Answer {
    Answer { delivery, ..Answer::new(500, JSON, "") }
}

fn usual_code(status: u16, speaker: Speaker) -> &'static str {
    let is_defender = matches!(speaker, Speaker::Defender | Speaker::Hunting);
    match status {
        429 if speaker == Speaker::Feed => "AF429",
        _ if speaker == Speaker::Feed => "AF50000",
        400 => "BadRequest",
        401 if is_defender => "Unauthorized",
        401 => "InvalidAuthenticationToken",
        403 => "Forbidden",
        404 => "ResourceNotFound",
        429 if speaker == Speaker::Hunting => "429",
        429 => "TooManyRequests",
        _ if is_defender => "InternalServerError",
        503 => "ServiceUnavailable",
        _ => "UnknownError",
    }
}

fn wrong_shape(shape: Shape, speaker: Speaker) -> String {
    let body = match shape {
        Shape::ValueMissing if speaker == Speaker::CloudApps => json!({ "hasNext": false, "total": 0 }),
        Shape::ValueIsObject if speaker == Speaker::CloudApps => json!({ "data": { "_id": "no array" } }),
        Shape::ValueMissing => json!({ "@odata.context": "nothing else" }),
        Shape::ValueIsObject => json!({ "value": { "id": "no array" } }),
        Shape::TopLevelArray => json!([{ "id": "no page" }]),
        Shape::Null => json!(null),
    };
    body.to_string()
}
