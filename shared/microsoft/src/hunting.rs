//! Advanced hunting: the operator's own queries, posted one at a time, and the rows that they give.
//!
//! A query names the ends of a window or covers whatever it says itself. An answer has no pages: it ends at a number of
//! rows and of bytes, silently in the one case. So a full one counts as cut, and the window is halved; of a query without a
//! window only the operator can ask for less. Whatever is told names the query and never shows its text.

use std::hash::Hasher as _;

use bytes::Bytes;
use collector::error::{Error, ErrorType, code};
use collector::ports::{Page, PageRequest, SourceError};
use collector::settings::{HuntingQuery, QuerySpan, Settings};
use collector::window::Window;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use siphasher::sip::SipHasher13;
use url::Url;

use crate::access::{Access, Ask, Expected, Repeats, Unanswered};
use crate::client::Answer;
use crate::complaint::excerpt;
use crate::failure::{Context, Failure, FailureKind, Target};
use crate::identity::settings_error;
use crate::paging::Flaw;

/// An answer has so many rows at the most, and does not say that there are more.
const MOST_ROWS: usize = 100_000;

/// Words of a refusal because the answer would be too large.
const TOO_LARGE: [&str; 2] = ["exceeded the allowed result size", "exceeded the allowed limits"];

/// The operator's own queries, ready to be asked.
#[derive(Debug)]
pub(crate) struct Hunting {
    endpoint: String,
    url: Url,
    queries: Vec<HuntingQuery>,
}

#[derive(Deserialize)]
struct Rows<'a> {
    #[serde(borrow, rename = "Results", alias = "results")]
    results: Option<Vec<&'a RawValue>>,
}

impl Hunting {
    /// The queries of the settings.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none.
    pub(crate) fn new(settings: &Settings, path: &str) -> Result<Self, Error> {
        let endpoint = format!("{}{path}", settings.connection.base_url.trim_end_matches('/'));
        let url = Url::parse(&endpoint)
            .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(&endpoint))))?;
        Ok(Self { endpoint, url, queries: settings.queries.clone() })
    }

    /// Asks one of the queries for its window; the first one where the request names none. There is nothing behind the page
    /// that it gives.
    pub(crate) async fn page(
        &self,
        access: &Access,
        request: &PageRequest,
        last_body: &mut Bytes,
        permission: &str,
    ) -> Result<Page, SourceError> {
        let Some(query) = self.queries.get(request.query.unwrap_or(0)) else { return Ok(Page::default()) };
        let text = text_for(&query.text, request.window);
        let ask = Ask {
            method: Method::POST,
            url: &self.url,
            told_as: self.url.path(),
            headers: HeaderMap::new(),
            deadline: request.deadline,
            repeats: Repeats::UnlessHeavy,
            unsaid_patience: None,
            body: Bytes::from(json!({"Query": text}).to_string()),
            answer: Expected::SlowPage,
        };
        let read = |answer: &Answer| read_rows(&answer.body).map_err(|flaw| access.flawed(answer, flaw));
        let endpoint = format!("{} (query {})", self.endpoint, query.name);
        let (records, answer) = match access.ask(&ask, last_body, read).await {
            Ok(answered) => answered,
            Err(Unanswered::Failed(failure)) if failure.kind.is_heavy() || refuses_the_query(&failure) => {
                return Err(refused(query, &endpoint, &failure));
            }
            Err(unanswered) => {
                return Err(unanswered.tell(&Context {
                    endpoint: &endpoint,
                    contact: access.contact(),
                    target: Target::Window,
                    window_from: request.window.from,
                    now: access.clock.now(),
                    filter: "",
                    additional_filter: None,
                    permission,
                    token_setting: None,
                    successor: None,
                }));
            }
        };
        access.establish();
        if records.len() >= MOST_ROWS {
            let seen = format!("it gave {} rows, the most that an answer has", records.len());
            return Err(too_large(query, &endpoint, &seen));
        }
        let noticed = access.kept.notices.of(&answer, &self.endpoint, access.clock.now());
        Ok(Page { records, missing: noticed.missing, warnings: noticed.warnings, ..Page::default() })
    }

    /// Changes whenever one of the queries does.
    pub(crate) fn fingerprint(&self) -> String {
        let texts = self.queries.iter().flat_map(|query| [&query.name, &query.text]);
        let mut hasher = SipHasher13::new();
        for part in std::iter::once(&self.endpoint).chain(texts) {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        format!("hunting-{:016x}", hasher.finish())
    }
}

fn refuses_the_query(failure: &Failure) -> bool {
    failure.kind == FailureKind::Refused && failure.status == Some(400)
}

fn refused(query: &HuntingQuery, endpoint: &str, failure: &Failure) -> SourceError {
    let says_too_large = TOO_LARGE.iter().any(|words| failure.complaint.says(words));
    if failure.kind == FailureKind::TooLarge || refuses_the_query(failure) && says_too_large {
        return too_large(query, endpoint, &failure.sentence());
    }
    if refuses_the_query(failure) {
        let message = format!("{endpoint} is refused: {}; correct it", failure.sentence());
        return SourceError::Fatal(Error::new(ErrorType::PullError, code::BAD_FILTER, message));
    }
    let message = format!("Error during API call to {endpoint}: {}", failure.sentence());
    by_span(query, Error::new(ErrorType::ApiError, code::SERVER, message))
}

fn too_large(query: &HuntingQuery, endpoint: &str, seen: &str) -> SourceError {
    let message = format!("{endpoint} asks for too much: {seen}; narrow it down, or summarize in it");
    by_span(query, Error::new(ErrorType::PullError, code::BAD_FILTER, message))
}

/// A narrower window helps a query that has one.
fn by_span(query: &HuntingQuery, error: Error) -> SourceError {
    match query.span {
        QuerySpan::Window => SourceError::TooHeavy(error),
        QuerySpan::Whole => SourceError::Fatal(error),
    }
}

/// The text with the ends of the window in it.
fn text_for(text: &str, window: Window) -> String {
    text.replace("{from}", &literal(window.from)).replace("{to}", &literal(window.to))
}

fn literal(instant: Timestamp) -> String {
    format!("datetime({instant})")
}

/// The rows of an answer, as slices of it.
fn read_rows(body: &Bytes) -> Result<Vec<Bytes>, Flaw> {
    let parsed: Rows<'_> = serde_json::from_slice(body)
        .map_err(|error| Flaw::of(body, &error, "member Results has a wrong type"))?;
    let rows = parsed.results.ok_or_else(|| Flaw::NotAPage("member Results is missing".to_owned()))?;
    Ok(rows.into_iter().map(|row| body.slice_ref(row.get().as_bytes())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mention_of_a_windows_ends_becomes_a_literal() {
        let window = Window {
            from: "2026-11-20T10:00:00Z".parse().unwrap(),
            to: "2026-11-20T11:00:00Z".parse().unwrap(),
        };
        let text = "T | where A between ({from} .. {to}) and B >= {from} and C has '{ from }'";
        insta::assert_snapshot!(
            text_for(text, window),
            @"T | where A between (datetime(2026-11-20T10:00:00Z) .. datetime(2026-11-20T11:00:00Z)) and B >= datetime(2026-11-20T10:00:00Z) and C has '{ from }'"
        );
        assert_eq!(text_for("T | count", window), "T | count");
    }

    #[test]
    fn rows_are_slices_of_the_answer_however_their_list_is_spelt() {
        for name in ["Results", "results"] {
            let body = Bytes::from(format!(
                r#"{{"Schema":[{{"Name":"A","Type":"Int64"}}],"{name}":[ {{ "A": 1.0 }}, null ]}}"#
            ));
            let rows = read_rows(&body).unwrap();
            assert_eq!(rows, [r#"{ "A": 1.0 }"#, "null"], "{name}");
            assert!(body.as_ptr_range().contains(&rows[0].as_ptr()), "a row was copied");
        }
        for (body, words) in [
            (r#"{"Schema":[]}"#, "member Results is missing"),
            (r#"{"Results":null}"#, "member Results is missing"),
            (r#"{"Results":{"a":[]}}"#, "member Results has a wrong type at byte 11"),
            ("<html>", "an HTML or XML page"),
        ] {
            assert_eq!(read_rows(&Bytes::from(body)), Err(Flaw::NotAPage(words.to_owned())), "{body}");
        }
    }
}
