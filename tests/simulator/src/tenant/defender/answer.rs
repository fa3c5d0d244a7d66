//! One call to Defender for Endpoint: who may ask, how often, and what belongs to a record.
//!
//! The checks come in this order: token, limit, permission, path, method. Then lists, relations and hunting go their own
//! ways.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::config::{NextLinks, NoRelated, ToldWait};
use super::hunting;
use super::limits::Exceeded;
use super::page;
use super::path::{DefenderCall, DefenderPath};
use super::relation::DefenderRelation;
use crate::http::{Answer, Request};
use crate::records::related_row;
use crate::sync::locked;
use crate::tenant::body::{Body, encoded, query_text, rows_after};
use crate::tenant::fault::{Fault, RetryAfter};
use crate::tenant::log::RequestSeen;
use crate::tenant::mishap::too_many_requests;
use crate::tenant::{Ids, Outcome, State};

pub(super) const JSON: &str = "application/json; odata.metadata=minimal";

/// Everything about the call at hand.
pub(in crate::tenant) struct Call<'a> {
    pub(in crate::tenant) request: &'a Request,
    pub(in crate::tenant) seen: &'a RequestSeen,
    pub(in crate::tenant) fault: Option<&'a Fault>,
    pub(in crate::tenant) ids: &'a Ids,
    pub(in crate::tenant) now: Timestamp,
}

/// An answer that is no success, and what the simulator knows beside it.
pub(super) struct Refused {
    answer: Box<Answer>,
    note: Option<String>,
}

impl Refused {
    pub(super) fn with(answer: Answer) -> Self {
        Self { answer: Box::new(answer), note: None }
    }

    pub(super) fn because(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

impl Call<'_> {
    /// A refusal with the usual error body.
    pub(super) fn refused(&self, status: u16, code: &str, message: &str) -> Refused {
        Refused::with(self.ids.error(status, code, message, self.now))
    }

    /// What `@odata.context` says of these rows: a host that is never the one that was called.
    pub(super) fn context(state: &State, what: &str) -> Value {
        Value::from(format!("{}/api/$metadata#{what}", state.config.defender.context_host))
    }

    /// The option `$skip`, checked; 0 without one.
    pub(super) fn skip(&self) -> Result<usize, Refused> {
        self.number("$skip").map(Option::unwrap_or_default)
    }

    /// The option `$top`, checked.
    pub(super) fn top(&self) -> Result<Option<usize>, Refused> {
        let top = self.number("$top")?;
        if top == Some(0) {
            return Err(self.refused(400, "BadRequest", "The value of '$top' must be greater than 0."));
        }
        Ok(top)
    }

    fn number(&self, name: &str) -> Result<Option<usize>, Refused> {
        let Some(text) = self.seen.option(name) else {
            return Ok(None);
        };
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_plain).map(Some).ok_or_else(|| {
            let message =
                format!("Invalid value '{text}' for {name} query option found. A plain integer is expected.");
            self.refused(400, "BadRequest", &message)
        })
    }

    /// Refuses an option that is given twice, or that this path does not take.
    pub(super) fn check_options(&self, known: &[&str]) -> Result<(), Refused> {
        let named = self.seen.query.iter().filter(|(name, _)| name.starts_with('$'));
        let names: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if !known.contains(name) {
                let message = format!("The query option '{name}' is not supported.");
                return Err(self.refused(400, "BadRequest", &message));
            }
            if names.iter().take(index).any(|earlier| earlier == name) {
                let message = format!("The query option '{name}' was specified more than once.");
                return Err(self.refused(400, "BadRequest", &message));
            }
        }
        Ok(())
    }

    /// Where the next page is, or where a fault says that it is.
    pub(super) fn next_link(&self, state: &State, skip: usize, rows: usize, follows: bool) -> Option<String> {
        let own_host = format!("http://{}", self.request.header("host").unwrap_or("127.0.0.1"));
        let usual_host = state.config.defender.link_host.clone().unwrap_or_else(|| own_host.clone());
        let has_link = match state.config.defender.next_links {
            NextLinks::WithoutTop => self.seen.option("$top").is_none(),
            NextLinks::Always => true,
            NextLinks::Never => false,
        };
        let (host, place) = match self.fault {
            Some(Fault::LoopNextLink | Fault::EmptyPageWithNext) => (own_host, skip),
            Some(Fault::ForeignNextLink { host }) => (host.clone(), skip + rows),
            _ if follows && has_link => (usual_host, skip + rows),
            _ => return None,
        };
        let repeated = self.seen.query.iter().filter(|(name, _)| name != "$skip");
        let place = place.to_string();
        let options = repeated.map(|(name, value)| (name.as_str(), value.as_str()));
        let text = query_text(options.chain([("$skip", place.as_str())]));
        Some(format!("{host}{}?{text}", self.request.path))
    }

    fn throttled(&self, exceeded: Exceeded, told: ToldWait) -> Refused {
        let Exceeded { limit, seconds } = exceeded;
        let told = match told {
            ToldWait::Header => RetryAfter::Seconds(seconds.unsigned_abs()),
            ToldWait::Silent => RetryAfter::Absent,
        };
        let note = format!("above {} requests in {} s", limit.requests, limit.period.as_secs());
        Refused::with(too_many_requests(told, self.ids, self.now)).because(note)
    }
}

/// Answers a call.
pub(in crate::tenant) fn answer(state: &State, call: &Call<'_>) -> io::Result<Outcome> {
    let outcome = checked(state, call)?;
    Ok(outcome.unwrap_or_else(|Refused { answer, note }| Outcome { note, ..Outcome::of(*answer) }))
}

fn checked(state: &State, call: &Call<'_>) -> io::Result<Result<Outcome, Refused>> {
    let path = DefenderPath::of(&call.request.path)
        .ok_or_else(|| io::Error::other("a call to Defender for Endpoint has no path of its"))?;
    if let Err(refused) = admit(state, call, path.call) {
        return Ok(Err(refused));
    }
    let method = if path.call == DefenderCall::Hunting { "POST" } else { "GET" };
    match path.call {
        DefenderCall::Other => Ok(Err(call.refused(404, "NotFound", "No resource was found at this path."))),
        _ if call.request.method != method => {
            Ok(Err(call.refused(405, "MethodNotAllowed", "The method is not allowed.")))
        }
        DefenderCall::List(list) => page::answer(state, call, list),
        DefenderCall::Related(relation) => related(state, call, relation, &path.id),
        DefenderCall::Hunting => hunting::answer(state, call),
    }
}

/// Checks token, limit and permission.
fn admit(state: &State, call: &Call<'_>, asked: DefenderCall) -> Result<(), Refused> {
    let (config, authorization) = (&state.config.defender, call.request.header("authorization"));
    if matches!(call.fault, Some(Fault::TokenRevoked)) {
        locked(&state.tokens).revoke(authorization);
    }
    let client_id =
        locked(&state.tokens).check(authorization, &config.scope, call.now).map_err(|reason| {
            let message = "The request has no valid authorization for this resource.";
            let answer = call.ids.error(401, "Unauthorized", message, call.now);
            let answer = answer.with_header("WWW-Authenticate", "Bearer");
            Refused::with(answer).because(format!("{reason:?} token"))
        })?;
    let mut limits = locked(&state.defender_limits);
    if asked == DefenderCall::Hunting {
        limits.admit_hunting(&client_id, &config.hunting.limits, call.now).map_err(|exceeded| {
            let answer = hunting::quota_exceeded(call, exceeded.limit);
            match config.hunting.told_wait {
                ToldWait::Header => {
                    Refused::with(answer.with_header("Retry-After", exceeded.seconds.to_string()))
                }
                ToldWait::Silent => Refused::with(answer),
            }
        })?;
    } else {
        let admitted = limits.admit(&client_id, asked, &config.limits, call.now);
        admitted.map_err(|exceeded| call.throttled(exceeded, config.told_wait))?;
    }
    let roles = locked(&state.tokens).roles(authorization);
    match asked.permission() {
        Some(permission) if !roles.iter().any(|role| role == permission) => {
            let message =
                format!("The application lacks the permission {permission} to access the resource.");
            Err(call.refused(403, "Forbidden", &message).because(format!("{permission} is missing")))
        }
        _ => Ok(()),
    }
}

/// A page of what belongs to a record, or the one object.
fn related(
    state: &State,
    call: &Call<'_>,
    relation: DefenderRelation,
    id: &str,
) -> io::Result<Result<Outcome, Refused>> {
    let config = &state.config.defender;
    let place = || -> Result<(usize, usize), Refused> {
        call.check_options(&["$top", "$skip"])?;
        if !locked(&state.defender).has(relation.list(), id) {
            let message = format!("{:?} {id} was not found.", relation.list());
            return Err(call.refused(404, "ResourceNotFound", &message));
        }
        let top = call.top()?.unwrap_or(config.related_page);
        Ok((call.skip()?, top.min(config.related_page)))
    };
    let (skip, size) = match place() {
        Ok(place) => place,
        Err(refused) => return Ok(Err(refused)),
    };
    let count = relation.count(id, config.most_related);
    if count == 0 && (relation.is_one_object() || config.no_related == NoRelated::NotFound) {
        return Ok(Err(call.refused(
            404,
            "ResourceNotFound",
            &format!("{id} has no {}.", relation.segment()),
        )));
    }
    if relation.is_one_object() {
        let context = Call::context(state, relation.context());
        let row = related_row(relation, id, 0);
        let text = format!("{{\"@odata.context\":{context},{}", row.trim_start_matches('{'));
        let answer = encoded(&state.config, call.request, call.fault, JSON, text.into_bytes())?;
        return Ok(Ok(Outcome { records: 1, ..Outcome::of(answer) }));
    }
    let end = count.min(skip.saturating_add(size));
    let rows: Vec<Bytes> = (skip..end).map(|index| Bytes::from(related_row(relation, id, index))).collect();
    let next = call.next_link(state, skip, rows.len(), end < count);
    let rows = rows_after(call.fault, rows);
    let head = vec![("@odata.context", Call::context(state, relation.context()))];
    let body = Body { head, next: next.as_deref(), rows: &rows };
    let answer = body.answer(&state.config, call.request, call.fault, JSON)?;
    Ok(Ok(Outcome { records: rows.len(), ..Outcome::of(answer) }))
}
