//! The operator's own queries: `queries` of advanced hunting.
//!
//! Each has a name, by which its state is kept, a text, a tag for its rows, and a period. One that names both ends of a
//! window (`{from}` and `{to}`) is asked window by window; one that names neither is a snapshot. What a query does not say
//! of tag and period, the service says for it.

use std::collections::HashMap;

use jiff::SignedDuration;
use serde_json::Value;

use super::findings::Findings;
use super::keys::{HUNTING_NAME, HUNTING_QUERY, QUERIES, REQUEST_PERIOD, Setting, TAG, TIME_RANGE};
use super::read::{Block, kind_of};
use super::service_block::{LONGEST_SECONDS, override_tag};
use super::{HuntingQuery, QuerySpan};
use crate::service::Service;

/// What stands for the ends of a window in the text of a query.
const PLACES: [&str; 2] = ["{from}", "{to}"];
/// Names are parts of keys, of which a store takes 1,024 bytes.
const LONGEST_NAME: usize = 100;
/// Characters of a query; the longest in use have some thousands.
const LONGEST_QUERY: usize = 100_000;
/// What a query looks like that has everything it needs.
const EXAMPLE: &str = r#"{"name": "logons", "query": "DeviceLogonEvents | where Timestamp between ({from} .. {to})", "override_tag": "my.app.defender.logons"}"#;

/// What can be said of a query.
pub(super) const KNOWN: [&Setting; 5] = [&HUNTING_NAME, &HUNTING_QUERY, &TAG, &REQUEST_PERIOD, &TIME_RANGE];
/// Of a range where there is no window.
pub(super) const WITHOUT_WINDOW: &str = "has no effect: the query names no `{from}` and `{to}`";

/// What a query has of its service, unless it says otherwise.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    pub(super) tag: Option<String>,
    pub(super) period: SignedDuration,
}

/// Reads the queries of a service; empty for any other kind of service.
pub(super) fn read(
    block: &Block<'_>,
    service: &'static Service,
    defaults: &Defaults,
    findings: &mut Findings,
) -> Vec<HuntingQuery> {
    let Some((path, value)) = block.raw(&QUERIES).filter(|_| service.query.is_hunting()) else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        findings.problem(path, format!("expected a list, found {}", kind_of(value)));
        return Vec::new();
    };
    // A tag that is there and no tag is a problem of its own already.
    let has_tag = block.has(&TAG);
    let mut places: HashMap<&str, String> = HashMap::new();
    let mut queries = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let item_path = format!("{path}[{index}]");
        let Value::Object(members) = item else {
            findings.problem(item_path, format!("expected an object, found {}", kind_of(item)));
            continue;
        };
        let one = Block::read_members(item_path, members, &KNOWN, &[], findings);
        let name = name(&one, &mut places, findings);
        let text = text(&one, findings);
        let tag = tag(&one, defaults, has_tag, findings);
        let least = i64::from(service.period.minimum_seconds);
        let period = one.whole_number(&REQUEST_PERIOD, least..=LONGEST_SECONDS, findings);
        let span = text.map(|it| span_of(&one, it, findings));
        let range = range(&one, span, service, findings);
        if let (Some(name), Some(text), Some(tag), Some(span)) = (name, text, tag, span) {
            queries.push(HuntingQuery {
                name: name.to_owned(),
                text: text.to_owned(),
                tag,
                period: period.map_or(defaults.period, SignedDuration::from_secs),
                range,
                span,
            });
        }
    }
    queries
}

/// A working service of this kind must have something to ask.
pub(super) fn require(block: &Block<'_>, service: &'static Service, findings: &mut Findings) {
    let given = block.raw(&QUERIES).map(|(_, value)| value);
    let is_empty = given.is_none_or(|value| value.as_array().is_some_and(Vec::is_empty));
    if service.query.is_hunting() && is_empty {
        findings.problem(
            block.path_of(&QUERIES),
            format!("has no query; give one or more, such as [{EXAMPLE}], or set enabled to false"),
        );
    }
}

/// Whether a text names neither end of a window: a snapshot.
pub(super) fn is_whole(text: &str) -> bool {
    !PLACES.iter().any(|place| text.contains(place))
}

fn name<'a>(
    one: &Block<'a>,
    places: &mut HashMap<&'a str, String>,
    findings: &mut Findings,
) -> Option<&'a str> {
    let path = one.path_of(&HUNTING_NAME);
    if !one.has(&HUNTING_NAME) {
        findings.problem(path, "is missing; give a name of its own, by which the query's state is kept");
        return None;
    }
    let name = one.text(&HUNTING_NAME, findings)?.trim();
    if name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        findings.problem(path, "must have 1 to 100 characters, none of them a control character");
        return None;
    }
    if let Some(first) = places.get(name) {
        findings.problem(path, format!("is the same as `{first}`; give each query a name of its own"));
        return None;
    }
    places.insert(name, path);
    Some(name)
}

fn text<'a>(one: &Block<'a>, findings: &mut Findings) -> Option<&'a str> {
    let path = one.path_of(&HUNTING_QUERY);
    if !one.has(&HUNTING_QUERY) {
        findings.problem(path, "is missing; give the query in Kusto Query Language");
        return None;
    }
    let text = one.text(&HUNTING_QUERY, findings)?;
    if text.chars().count() > LONGEST_QUERY {
        findings.problem(path, "must have at most 100,000 characters");
        return None;
    }
    Some(text)
}

fn tag(one: &Block<'_>, defaults: &Defaults, has_default: bool, findings: &mut Findings) -> Option<String> {
    if one.has(&TAG) {
        return override_tag(one, findings);
    }
    if defaults.tag.is_none() && !has_default {
        let text =
            "is missing; give the tag of its rows here or in the service, for example my.app.defender.logons";
        findings.problem(one.path_of(&TAG), text);
    }
    defaults.tag.clone()
}

fn span_of(one: &Block<'_>, text: &str, findings: &mut Findings) -> QuerySpan {
    let [has_from, has_to] = PLACES.map(|place| text.contains(place));
    let lacks = match (has_from, has_to) {
        (true, true) => return QuerySpan::Window,
        (false, false) => return QuerySpan::Whole,
        (true, false) => "{to}",
        (false, true) => "{from}",
    };
    let text = format!("has no `{lacks}`; give both ends of the window, or neither for a snapshot");
    findings.problem(one.path_of(&HUNTING_QUERY), text);
    QuerySpan::Window
}

fn range(
    one: &Block<'_>,
    span: Option<QuerySpan>,
    service: &'static Service,
    findings: &mut Findings,
) -> Option<SignedDuration> {
    let longest = service.window.retention.as_secs();
    let seconds = one.whole_number(&TIME_RANGE, 1..=longest, findings)?;
    if span == Some(QuerySpan::Whole) {
        let path = one.path_of(&TIME_RANGE);
        findings.remarks.push(format!("{path}: {WITHOUT_WINDOW}"));
        return None;
    }
    Some(SignedDuration::from_secs(seconds))
}
