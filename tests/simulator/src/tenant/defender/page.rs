//! One page of a list: the options, the rows, and whether anything tells of the next page.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::answer::{Call, JSON, Refused};
use super::book::Part;
use super::config::NoMachines;
use super::list::DefenderList;
use crate::http::Answer;
use crate::sync::locked;
use crate::tenant::body::{Body, rows_after};
use crate::tenant::filter::Filter;
use crate::tenant::store::Moment;
use crate::tenant::{Outcome, State};

/// What was asked for.
struct Query {
    filter: Option<Filter>,
    skip: usize,
    rows: usize,
    evidence: Evidence,
}

/// Whether alerts come with their evidence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Evidence {
    Shown,
    LeftOut,
}

/// Answers a request to a list.
pub(super) fn answer(
    state: &State,
    call: &Call<'_>,
    list: DefenderList,
) -> io::Result<Result<Outcome, Refused>> {
    let query = match query(state, call, list) {
        Ok(query) => query,
        Err(refused) => return Ok(Err(refused)),
    };
    let book = locked(&state.defender);
    let moment = moment(state, call, list);
    if list == DefenderList::Machines && !book.has_any(list, moment) {
        match state.config.defender.no_machines {
            NoMachines::Envelope => {
                return Ok(Err(call.refused(404, "ResourceNotFound", "No machine was seen of late.")));
            }
            NoMachines::EmptyBody => return Ok(Err(Refused::with(Answer::new(404, JSON, "")))),
            NoMachines::EmptyArray => {}
        }
    }
    let part = Part { filter: query.filter.as_ref(), skip: query.skip, rows: query.rows + 1 };
    let mut rows = book.part(list, moment, &part);
    drop(book);
    let follows = rows.len() > query.rows;
    rows.truncate(query.rows);
    let next = call.next_link(state, query.skip, rows.len(), follows);
    if query.evidence == Evidence::LeftOut {
        rows = rows.iter().map(without_evidence).collect();
    }
    let rows = rows_after(call.fault, rows);
    let head = vec![("@odata.context", Call::context(state, list.context()))];
    let body = Body { head, next: next.as_deref(), rows: &rows };
    let answer = body.answer(&state.config, call.request, call.fault, JSON)?;
    Ok(Ok(Outcome { records: rows.len(), ..Outcome::of(answer) }))
}

fn query(state: &State, call: &Call<'_>, list: DefenderList) -> Result<Query, Refused> {
    let has_evidence = list == DefenderList::Alerts;
    let known: &[&str] =
        if has_evidence { &["$filter", "$top", "$skip", "$expand"] } else { &["$filter", "$top", "$skip"] };
    call.check_options(known)?;
    let filter = match call.seen.option("$filter") {
        Some(text) => Some(Filter::parse(text, list).map_err(|error| {
            call.refused(400, "ODataError", "The $filter expression is not valid.").because(error.to_string())
        })?),
        None => None,
    };
    let evidence = match call.seen.option("$expand") {
        _ if !has_evidence => Evidence::Shown,
        None => Evidence::LeftOut,
        Some("evidence") => Evidence::Shown,
        Some(other) => {
            let message = format!("Could not find a property named '{other}' to expand.");
            return Err(call.refused(400, "ODataError", &message));
        }
    };
    let largest = state.config.defender.largest_page.min(list.largest_page()).max(1);
    let rows = call.top()?.map_or(largest, |top| top.min(largest));
    Ok(Query { filter, skip: call.skip()?, rows, evidence })
}

fn moment(state: &State, call: &Call<'_>, list: DefenderList) -> Moment {
    let retention = state.config.defender.retention;
    let oldest = match list.time_property() {
        Some(_) => call.now.saturating_sub(retention).unwrap_or(Timestamp::MIN),
        None => Timestamp::MIN,
    };
    Moment { now: call.now, oldest, request: call.seen.nth }
}

/// The alert as somebody sees it who did not ask for its evidence. All other bytes stay.
fn without_evidence(raw: &Bytes) -> Bytes {
    let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(raw) else {
        return raw.clone();
    };
    let Some(value) = members.get("evidence").map(|value| value.get()) else {
        return raw.clone();
    };
    // The value is a part of `raw`: the distance of their first bytes is where it stands.
    let start = value.as_ptr().addr() - raw.as_ptr().addr();
    let (Some(before), Some(after)) = (raw.get(..start), raw.get(start + value.len()..)) else {
        return raw.clone();
    };
    let Some(name_at) = memchr::memmem::rfind(before, b"\"evidence\"") else {
        return raw.clone();
    };
    let before = before.get(..name_at).unwrap_or_default().trim_ascii_end();
    // One of the two commas around the member goes with it.
    let (before, after) = match before.strip_suffix(b",") {
        Some(shorter) => (shorter, after),
        None => {
            let after = after.trim_ascii_start();
            (before, after.strip_prefix(b",").unwrap_or(after).trim_ascii_start())
        }
    };
    Bytes::from([before, after].concat())
}
