//! Refusals in the words of the API: a `detail`, a list of filters that are not valid, or a page of the console.

use jiff::Timestamp;
use serde_json::json;

use super::config::{CloudAppsConfig, ThrottledWords};
use crate::http::Answer;
use crate::tenant::defender::ToldWait;
use crate::tenant::fault::RetryAfter;
use crate::tenant::feed::wait;

pub(super) const JSON: &str = "application/json";

/// `{"detail": …}`
pub(in crate::tenant) fn detail(status: u16, text: &str) -> Answer {
    Answer::new(status, JSON, json!({ "detail": text }).to_string())
}

/// What the API says of a status, when nothing better is known.
pub(in crate::tenant) fn usual_detail(status: u16) -> &'static str {
    match status {
        401 => "Invalid token.",
        403 => "You do not have permission to perform this action.",
        404 => "Not found.",
        429 => "Request was throttled.",
        _ => "A server error occurred.",
    }
}

/// A page of the console, as it stands for 404, 500, 502 and 504.
pub(in crate::tenant) fn html(status: u16) -> Answer {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Error {status}</title></head>\
         <body class=\"console\"><h1>Something went wrong ({status})</h1></body></html>\n"
    );
    Answer::new(status, "text/html; charset=utf-8", page)
}

/// What is not valid in a request.
pub(super) fn not_valid(status: u16, value: &str) -> Answer {
    let one = json!({
        "error": format!("{value} is not valid"),
        "errorMessageCode": "CONSOLE_FORMS_NOT_VALID_VALUE",
        "errorMessageParams": { "value": value },
    });
    Answer::new(status, JSON, json!({ "filters": [one], "error": true }).to_string())
}

/// A request above the limit, which may come again in so many seconds.
pub(super) fn above_limit(config: &CloudAppsConfig, seconds: i64) -> Answer {
    let words = match config.throttled_words {
        ThrottledWords::Plain => usual_detail(429).to_owned(),
        ThrottledWords::WithSeconds => {
            format!("Request was throttled. Expected available in {seconds}.0 seconds.")
        }
    };
    let answer = detail(config.throttled_status, &words);
    match config.told_wait {
        ToldWait::Header => answer.with_header("Retry-After", seconds.to_string()),
        ToldWait::Silent => answer,
    }
}

/// 429 as a script wants it.
pub(in crate::tenant) fn throttled(retry_after: RetryAfter, now: Timestamp) -> Answer {
    let answer = detail(429, usual_detail(429));
    match wait(retry_after, now) {
        Some(text) => answer.with_header("Retry-After", text),
        None => answer,
    }
}
