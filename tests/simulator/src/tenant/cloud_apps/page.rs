//! One page of a list: by counting, or as a part of a scan.
//!
//! What counts is how the list is when the page is made: rows that come or go move those behind them, and a scan goes
//! on behind the last row that it served.

use std::io;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::answer::{Call, Refused};
use super::book::CloudAppsBook;
use super::config::{
    AnswerMember, BeyondDeepest, CloudAppsConfig, FilterReading, ScanLimit, ScanMishap, SlowFiles,
};
use super::error::{JSON, detail, html, not_valid};
use super::filter::Filter;
use super::list::CloudAppsList;
use super::query::{self, NotRead, Query, Reading};
use super::scan::{Position, rows_to_serve, start_of};
use super::sort::{Place, Sort};
use crate::sync::locked;
use crate::tenant::body::{encoded, rows_after};
use crate::tenant::config::{BodyStyle, LinkPlace};
use crate::tenant::fault::Fault;
use crate::tenant::store::Moment;
use crate::tenant::{Outcome, State};

/// The right answer, and how much later than usual it comes.
pub(super) struct Page {
    pub(super) outcome: Outcome,
    pub(super) late_by: std::time::Duration,
}

/// What an answer says beside its rows.
struct Members {
    has_next: bool,
    max: usize,
    found: usize,
    next_filters: Option<String>,
}

/// Answers a request that was let in.
pub(super) fn answer(
    state: &State,
    call: &Call<'_>,
    list: CloudAppsList,
) -> io::Result<Result<Page, Refused>> {
    let mut book = locked(&state.cloud_apps);
    let (query, position, filter) = match understood(&book, call, list) {
        Ok(understood) => understood,
        Err(refused) => return Ok(Err(refused)),
    };
    let oldest = call.now.saturating_sub(book.config.retention).unwrap_or(Timestamp::MIN);
    let moment = Moment { now: call.now, oldest, request: call.seen.nth };
    let filter = (book.config.filters == FilterReading::Honoured).then_some(&filter);
    let places = book.places(list, moment, filter, position.sort);
    let slow_files = if list == CloudAppsList::Files { book.config.slow_files } else { SlowFiles::Never };
    let late_by = match slow_files {
        SlowFiles::GatewayTimeout { above } if places.len() > above => {
            let note = format!("{} rows were found", places.len());
            return Ok(Err(Refused::with(html(504)).because(note)));
        }
        SlowFiles::Late { above, by } if places.len() > above => by,
        _ => std::time::Duration::ZERO,
    };
    let part = match query.reading {
        Reading::Pages => by_counting(&book, &query, &places),
        Reading::Scan => scanned(&mut book, call, &query, position, &places)?,
    };
    let (served, members) = match part {
        Ok(part) => part,
        Err(refused) => return Ok(Err(refused)),
    };
    let rows = rows_after(call.fault, book.texts(list, served));
    let has_next = members.has_next || matches!(call.fault, Some(Fault::EmptyPageWithNext));
    let body = body(&book.config, state.config.body_style, &rows, &Members { has_next, ..members });
    drop(book);
    let answer = encoded(&state.config, call.request, call.fault, JSON, body)?;
    Ok(Ok(Page { outcome: Outcome { records: rows.len(), ..Outcome::of(answer) }, late_by }))
}

fn understood(
    book: &CloudAppsBook,
    call: &Call<'_>,
    list: CloudAppsList,
) -> Result<(Query, Position, Filter), Refused> {
    let status = book.config.refused_filter_status;
    let refused = |value: &str| {
        Refused::with(not_valid(status, value)).because(format!("{value} is not valid in this request"))
    };
    let query = query::read(list, call.request, &mut Vec::new()).map_err(|reason| match reason {
        NotRead::NoObject(error) => Refused::with(detail(400, &format!("JSON parse error - {error}"))),
        NotRead::Value(value) => refused(&value),
    })?;
    let text = query.filters.as_deref().unwrap_or("{}");
    let sort = query.sort.unwrap_or_else(|| Sort::usual(book.config.order));
    let position = if query.reading == Reading::Scan && query::is_continued(text) {
        let known = book.scans.position(text).filter(|position| position.sort == sort);
        known.cloned().ok_or_else(|| refused(super::scan::MEMBER))?
    } else {
        Position { filters: text.to_owned(), sort, behind: None, page: 1 }
    };
    let members = query::object_of(&position.filters).unwrap_or_default();
    let filter = Filter::of(list, &members, call.now).map_err(|error| refused(&error.0))?;
    Ok((query, position, filter))
}

type Part<'a> = (&'a [Place], Members);

fn by_counting<'a>(book: &CloudAppsBook, query: &Query, places: &'a [Place]) -> Result<Part<'a>, Refused> {
    let config = &book.config;
    let limit = query.limit.unwrap_or(config.usual_page).min(config.largest_page).max(1);
    let end = query.skip.saturating_add(limit);
    let is_beyond = end > config.deepest_row;
    if is_beyond && config.beyond_deepest == BeyondDeepest::Refused {
        let answer = not_valid(config.refused_filter_status, "skip");
        return Err(Refused::with(answer).because("skip leads too far"));
    }
    let served = match places.get(query.skip..end.min(places.len())) {
        Some(served) if !is_beyond || config.beyond_deepest == BeyondDeepest::Rows => served,
        _ => &[],
    };
    let has_next = !served.is_empty() && end < places.len();
    Ok((served, Members { has_next, max: limit, found: places.len(), next_filters: None }))
}

fn scanned<'a>(
    book: &mut CloudAppsBook,
    call: &Call<'_>,
    query: &Query,
    position: Position,
    places: &'a [Place],
) -> io::Result<Result<Part<'a>, Refused>> {
    let config = &book.config;
    let asked = query.limit.unwrap_or(config.smallest_scan);
    let limit = asked.clamp(config.smallest_scan, config.largest_scan.max(config.smallest_scan)).max(1);
    if asked != limit && config.scan_limit == ScanLimit::Refused {
        return Ok(Err(Refused::with(not_valid(400, "limit")).because("no limit of a scan")));
    }
    let mishap = config.scan_mishap;
    let rest = places.get(start_of(places, &position)..).unwrap_or_default();
    let mut served = rest.get(..rows_to_serve(rest, limit)).unwrap_or_default();
    let follows = served.len() < rest.len();
    let members =
        |has_next, next_filters| Members { has_next, max: limit, found: places.len(), next_filters };
    let page = position.page;
    let sent = query.filters.clone().unwrap_or_else(|| "{}".to_owned());
    match mishap {
        ScanMishap::NextFiltersMissing { from_page } if follows && page >= from_page => {
            return Ok(Ok((served, members(true, None))));
        }
        ScanMishap::SameNextFilters { from_page } if follows && page >= from_page => {
            return Ok(Ok((served, members(true, Some(sent)))));
        }
        ScanMishap::EmptyPages { from_page } if follows && page >= from_page => served = &[],
        _ => {}
    }
    match call.fault {
        Some(Fault::LoopNextLink) => return Ok(Ok((served, members(true, Some(sent))))),
        Some(Fault::EmptyPageWithNext) => {
            let next = book.scans.give(position)?;
            return Ok(Ok((&[], members(true, Some(next)))));
        }
        _ => {}
    }
    let next = follows.then(|| {
        let behind = served.last().cloned().or_else(|| position.behind.clone());
        book.scans.give(Position { behind, page: page + 1, ..position })
    });
    Ok(Ok((served, members(follows, next.transpose()?))))
}

fn body(config: &CloudAppsConfig, style: BodyStyle, rows: &[Bytes], members: &Members) -> Vec<u8> {
    let (line, inner_line, colon) = match style {
        BodyStyle::Compact => ("", "", ":"),
        BodyStyle::Pretty => ("\n  ", "\n    ", ": "),
    };
    let total = members.found.min(config.largest_total);
    let mut others = vec![
        (AnswerMember::HasNext, "hasNext", members.has_next.to_string()),
        (AnswerMember::Max, "max", members.max.to_string()),
        (AnswerMember::Total, "total", total.to_string()),
        (AnswerMember::MoreThanTotal, "moreThanTotal", Value::from(members.found > total).to_string()),
    ];
    // The caller sends these back as they are: their white space is a part of them.
    let next = members.next_filters.clone();
    others.extend(next.map(|text| (AnswerMember::NextQueryFilters, "nextQueryFilters", text)));
    let joined = rows.iter().map(|raw| [inner_line.as_bytes(), raw].concat()).collect::<Vec<_>>();
    let end_line = if rows.is_empty() { "" } else { line };
    let data = [b"[", joined.join(&b',').as_slice(), end_line.as_bytes(), b"]"].concat();
    let others = others.into_iter().map(|(member, name, text)| (member, name, text.into_bytes()));
    let data = std::iter::once((AnswerMember::Data, "data", data));
    let all: Vec<_> = match config.member_place {
        LinkPlace::BeforeRecords => others.chain(data).collect(),
        LinkPlace::AfterRecords => data.chain(others).collect(),
    };
    let present: Vec<Vec<u8>> = all
        .into_iter()
        .filter(|(member, ..)| !config.absent.contains(member))
        .map(|(_, name, text)| [format!("{line}\"{name}\"{colon}").as_bytes(), &text].concat())
        .collect();
    let end: &[u8] = if style == BodyStyle::Pretty { b"\n}" } else { b"}" };
    [b"{", present.join(&b',').as_slice(), end].concat()
}
