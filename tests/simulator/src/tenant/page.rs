//! One page of a collection of Graph: who may ask, what was asked, which records, which next link.
//!
//! The body is put together from the emitted bytes of the records; nothing in them is parsed and written again.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::body::{Body, query_text, rows_after};
use super::config::Paging;
use super::endpoint::{Endpoint, Family, LinkStyle, Order};
use super::fault::{Fault, RetryAfter};
use super::links::Position;
use super::log::RequestSeen;
use super::mishap::too_many_requests;
use super::query::{Clamp, Query, Refusal, parse};
use super::security::{self, ClampedPage};
use super::store::{Key, Moment, Record};
use super::tokens::TokenRefused;
use super::{Ids, Outcome, State};
use crate::http::Request;
use crate::sync::locked;

const CONTENT_TYPE: &str =
    "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8";

/// Everything about the request at hand.
pub(super) struct Call<'a> {
    pub(super) request: &'a Request,
    pub(super) seen: &'a RequestSeen,
    pub(super) endpoint: Endpoint,
    pub(super) fault: Option<&'a Fault>,
    pub(super) ids: &'a Ids,
    pub(super) now: Timestamp,
}

/// Answers a request to a collection.
pub(super) fn answer(state: &State, call: &Call<'_>) -> io::Result<Outcome> {
    let authorization = call.request.header("authorization");
    if matches!(call.fault, Some(Fault::TokenRevoked)) {
        locked(&state.tokens).revoke(authorization);
    }
    let client_id = match locked(&state.tokens).check(authorization, &state.config.scope, call.now) {
        Ok(client_id) => client_id,
        Err(reason) => return Ok(unauthorized(reason, call)),
    };
    if let Err(retry_after) = admit(state, call, &client_id) {
        return Ok(Outcome::of(too_many_requests(retry_after, call.ids, call.now)));
    }
    if let Some(refused) = security::refused_as_retired(state, call) {
        return Ok(refused);
    }
    if matches!(call.fault, Some(Fault::ExpireLinks)) {
        locked(&state.links).expire_all();
    }
    match page(state, call)? {
        Ok(outcome) => Ok(outcome),
        Err(Refusal { code, message, note }) => {
            Ok(Outcome { note: Some(note), ..Outcome::of(call.ids.error(400, code, &message, call.now)) })
        }
    }
}

/// Counts the request against the limit of its family.
fn admit(state: &State, call: &Call<'_>, client_id: &str) -> Result<(), RetryAfter> {
    let (limit, book) = match call.endpoint.family() {
        Family::AuditLogs => (state.config.throttle, &state.throttle),
        Family::Security => (state.config.security_throttle, &state.security_throttle),
    };
    let Some(limit) = limit else {
        return Ok(());
    };
    let admitted = locked(book).admit(client_id, limit, call.now);
    admitted.map_err(|seconds| RetryAfter::Seconds(seconds.unsigned_abs()))
}

fn unauthorized(reason: TokenRefused, call: &Call<'_>) -> Outcome {
    let message = match reason {
        TokenRefused::Missing => "Access token is empty.",
        TokenRefused::Foreign => "Access token validation failure. Invalid audience.",
        TokenRefused::Expired => "Lifetime validation failed, the token is expired.",
        TokenRefused::Revoked => "Access token has been revoked.",
    };
    let answer = call.ids.error(401, "InvalidAuthenticationToken", message, call.now);
    Outcome {
        note: Some(format!("{reason:?} token")),
        ..Outcome::of(answer.with_header("WWW-Authenticate", "Bearer"))
    }
}

fn page(state: &State, call: &Call<'_>) -> io::Result<Result<Outcome, Refusal>> {
    let query = match parse(&call.seen.query, call.endpoint, &state.config) {
        Ok(query) => query,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Err(refusal) = check_age(state, call, &query) {
        return Ok(Err(refusal));
    }
    let position = match position_of(state, call, &query) {
        Ok(position) => position,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let selection = select(state, call, &query, position);
    let next = next_link(state, call, &query, position, &selection)?;
    let rows = shown(call, selection.rows);
    let body = Body { head: head(call, selection.count), next: next.as_deref(), rows: &rows };
    let mut answer = body.answer(&state.config, call.request, call.fault, CONTENT_TYPE)?;
    if let Some(Fault::PartialContent(failures)) = call.fault {
        answer.status = 206;
        answer.headers.push(("Warning".to_owned(), security::warning(failures)));
    }
    Ok(Ok(Outcome { records: rows.len(), ..Outcome::of(answer) }))
}

/// Refuses a start before the oldest records, each endpoint in its own way.
fn check_age(state: &State, call: &Call<'_>, query: &Query) -> Result<(), Refusal> {
    let Some(start) = query.filter.as_ref().and_then(super::filter::Filter::earliest_lower_bound) else {
        return Ok(());
    };
    match call.endpoint {
        Endpoint::DirectoryAudits => {
            let midnight = call.now.saturating_sub(state.config.retention).ok();
            let minimum = midnight.and_then(|oldest| oldest.to_zoned(TimeZone::UTC).start_of_day().ok());
            match minimum {
                Some(minimum) if start < minimum.timestamp() => {
                    let shown = minimum.strftime("%-m/%-d/%Y");
                    let message = format!(
                        "Specified argument was out of the range of valid values. \
                         (Parameter 'Minimum allowed time for activityDateTime is {shown} 12:00:00 AM')"
                    );
                    Err(Refusal::bad_request(message, format!("{start} is before {minimum}")))
                }
                _ => Ok(()),
            }
        }
        Endpoint::SignIns | Endpoint::SignInsBeta => match state.config.sign_ins_guard {
            Some(guard) if call.now.duration_since(start) > guard => {
                Err(Refusal::invalid_filter(format!("{start} is longer ago than the guard")))
            }
            _ => Ok(()),
        },
        Endpoint::Provisioning
        | Endpoint::Alerts
        | Endpoint::AlertsV2
        | Endpoint::SecureScores
        | Endpoint::ControlProfiles => Ok(()),
    }
}

fn position_of(state: &State, call: &Call<'_>, query: &Query) -> Result<Position, Refusal> {
    let Some(token) = &query.skip_token else {
        return Ok(if query.skip == 0 { Position::Start } else { Position::Skipping(query.skip) });
    };
    let lifetime = state.config.link_lifetime;
    let place = locked(&state.links).place(token, call.endpoint, &query.repeated, lifetime, call.now);
    place.ok_or_else(|| Refusal {
        code: "",
        message: "Invalid Skip Token".to_owned(),
        note: "the skip token is unknown, expired, or of another query".to_owned(),
    })
}

struct Selection {
    rows: Vec<(Key, Bytes)>,
    more: More,
    count: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Follows,
    Nothing,
}

fn select(state: &State, call: &Call<'_>, query: &Query, position: Position) -> Selection {
    let oldest = state.config.oldest(call.endpoint, call.now);
    let moment = Moment { now: call.now, oldest, request: call.seen.nth };
    let is_empty = security::is_empty(state, call.endpoint);
    let passes = |record: &&Record| {
        let filtered = query.filter.as_ref().is_none_or(|filter| filter.matches(*record))
            || security::is_unfiltered(&state.config.security, call.endpoint, record);
        let is_there = !is_empty && !security::is_withheld(call.fault, record);
        is_there && filtered && (call.endpoint != Endpoint::SignInsBeta || shown_by_default(query, record))
    };
    let store = locked(&state.store);
    let count = query.wants_count.then(|| store.visible(call.endpoint, moment).filter(passes).count());
    let ordered: Box<dyn Iterator<Item = &Record>> = match query.order {
        Order::OldestFirst => Box::new(store.visible(call.endpoint, moment)),
        Order::NewestFirst => Box::new(store.visible(call.endpoint, moment).rev()),
    };
    let skipped = if let Position::Skipping(rows) = position { rows } else { 0 };
    let mut rows: Vec<(Key, Bytes)> = ordered
        .filter(|record| match (position, query.order) {
            (Position::Behind(key), Order::OldestFirst) => record.key > key,
            (Position::Behind(key), Order::NewestFirst) => record.key < key,
            (Position::Start | Position::Skipping(_), _) => true,
        })
        .filter(passes)
        .skip(skipped)
        .take(query.top + 1)
        .map(|record| (record.key, record.raw.clone()))
        .collect();
    let more = if rows.len() > query.top { More::Follows } else { More::Nothing };
    rows.truncate(query.top);
    Selection { rows, more, count }
}

/// Without a filter on the event types the beta endpoint shows interactive sign-ins only.
fn shown_by_default(query: &Query, record: &Record) -> bool {
    use super::filter::Subject;
    if query.filter.as_ref().is_some_and(|filter| filter.mentions("signInEventTypes")) {
        return true;
    }
    let types = record.document().get("signInEventTypes").and_then(Value::as_array);
    types.is_some_and(|types| types.iter().any(|one| one == "interactiveUser"))
}

fn next_link(
    state: &State,
    call: &Call<'_>,
    query: &Query,
    position: Position,
    selection: &Selection,
) -> io::Result<Option<String>> {
    let host = call.request.header("host").unwrap_or("127.0.0.1");
    let own_base = format!("http://{host}");
    let (base, next_position) = match call.fault {
        Some(Fault::LoopNextLink) => (own_base.as_str(), position),
        Some(Fault::EmptyPageWithNext) => (own_base.as_str(), position),
        Some(Fault::ForeignNextLink { host }) => (host.as_str(), behind(state, call, position, selection)),
        _ if selection.more == More::Follows && has_link(state, call, query) => {
            (own_base.as_str(), behind(state, call, position, selection))
        }
        _ => return Ok(None),
    };
    let place = place(state, call, query, next_position)?;
    let options = query.repeated.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let text = query_text(options.chain(place.iter().map(|(name, value)| (*name, value.as_str()))));
    Ok(Some(format!("{base}{}?{text}", call.endpoint.path())))
}

/// Whether a page that is not the last one says so.
fn has_link(state: &State, call: &Call<'_>, query: &Query) -> bool {
    let lacks = call.endpoint == Endpoint::AlertsV2
        && query.clamp == Clamp::Clamped
        && state.config.security.clamped_page == ClampedPage::LacksNext;
    !lacks
}

/// The option that leads to a place; none leads to the beginning of a collection that counts.
fn place(
    state: &State,
    call: &Call<'_>,
    query: &Query,
    position: Position,
) -> io::Result<Option<(&'static str, String)>> {
    match (call.endpoint.link_style(), position) {
        (LinkStyle::Skip, Position::Skipping(rows)) => Ok(Some(("$skip", rows.to_string()))),
        (LinkStyle::Skip, _) => Ok(None),
        (LinkStyle::Token, _) => {
            let mut links = locked(&state.links);
            let token = links.give(call.endpoint, &query.repeated, position, query.top, call.now)?;
            Ok(Some(("$skiptoken", token)))
        }
    }
}

fn behind(state: &State, call: &Call<'_>, position: Position, selection: &Selection) -> Position {
    let counts = call.endpoint.link_style() == LinkStyle::Skip;
    match (if counts { Paging::ByPosition } else { state.config.paging }, position) {
        (Paging::ByKey, _) => selection.rows.last().map_or(position, |(key, _)| Position::Behind(*key)),
        (Paging::ByPosition, Position::Skipping(before)) => Position::Skipping(before + selection.rows.len()),
        (Paging::ByPosition, _) => Position::Skipping(selection.rows.len()),
    }
}

/// The rows as this caller sees them, and as the fault leaves them.
fn shown(call: &Call<'_>, rows: Vec<(Key, Bytes)>) -> Vec<Bytes> {
    let hides_members = call.endpoint == Endpoint::AlertsV2 && !security::bears_unknown_members(call.request);
    let seen_by_caller =
        |raw: Bytes| if hides_members { security::without_unknown_members(&raw) } else { raw };
    rows_after(call.fault, rows.into_iter().map(|(_, raw)| seen_by_caller(raw)).collect())
}

/// The members before the records.
fn head(call: &Call<'_>, count: Option<usize>) -> Vec<(&'static str, Value)> {
    let host = call.request.header("host").unwrap_or("127.0.0.1");
    let mut head = vec![("@odata.context", Value::from(format!("http://{host}{}", call.endpoint.context())))];
    if call.endpoint == Endpoint::DirectoryAudits {
        let tip = "Use $select to choose only the properties your app needs, as this can lead to performance improvements.";
        head.push(("@microsoft.graph.tips", Value::from(tip)));
    }
    head.extend(count.map(|count| ("@odata.count", Value::from(count))));
    head
}
