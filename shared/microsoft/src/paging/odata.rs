//! OData collections: the request for a window's first page, what leads to the next one, and the page itself.
//!
//! Mostly a window becomes a `$filter` on the event time, ascending, so that what was read is always the window's older
//! part, and the API's links are followed verbatim; `Plan` names the ways in which a collection may differ. A page is one
//! buffer; its records are slices of it, byte for byte as the API wrote them.

use std::hash::Hasher as _;

use bytes::Bytes;
use collector::error::Error;
use collector::service::{Bounds, Paging, Query};
use collector::settings::Settings;
use collector::window::Window;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use siphasher::sip::SipHasher13;
use url::Url;

use crate::complaint::excerpt;
use crate::identity::settings_error;
use crate::paging::boundary::{self, Step};
use crate::paging::link::{BadLink, OwnHost, OwnOrigin, encode};
use crate::paging::rows::{AskedBy, Rows, SamePage};
use crate::paging::slices::{self, Slices};
use crate::paging::times::event_time;
use crate::paging::trail::Trail;
use crate::paging::{Flaw, newest};

/// The query of one service, ready to be asked for any window.
#[derive(Debug)]
pub(crate) struct ODataQuery {
    /// The URL without its query.
    pub(crate) endpoint: String,
    /// What a page link must begin with to be followed: scheme, host and port.
    origin: OwnOrigin,
    /// Where links are followed that may name another host.
    host: OwnHost,
    /// Further request headers, for every page.
    pub(crate) headers: HeaderMap,
    /// The member that holds a record's event time, outermost name first.
    time: &'static [&'static str],
    plan: Plan,
    clauses: Vec<String>,
    /// `$expand`, on every request of our own.
    expand: Option<&'static str>,
}

/// How the pages of a collection are asked for and lead to one another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// The records of a window, oldest first.
    Window { bounds: Bounds, page_size: Option<u32>, paging: Paging },
    /// The newest records, one a day, back to the window's start.
    NewestDays,
    /// All records, whatever the window.
    WholeList,
    /// All records, whatever the window, in pages of so many rows.
    Rows { page_size: u32 },
}

/// A page that is asked for.
#[derive(Debug)]
pub(crate) struct PageAddress {
    /// Of the configured origin.
    pub(crate) url: Url,
    place: Place,
}

/// Where in its walk a page is asked for.
#[derive(Debug)]
enum Place {
    /// What the pages before have shown of the order.
    Trail(Trail),
    /// The slices of time that are left.
    Slices(Slices),
    /// The rows that are passed over.
    Rows(Rows),
}

impl PageAddress {
    /// Whether a page behind the first one is asked for by what the API may forget.
    pub(crate) fn may_expire(&self) -> bool {
        match &self.place {
            Place::Trail(_) => true,
            Place::Slices(slices) => slices.is_linked(),
            Place::Rows(rows) => rows.asked_by == AskedBy::Link,
        }
    }
}

/// The records of a body, and the link behind it.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) records: Vec<Bytes>,
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    value: Option<Vec<&'a RawValue>>,
    #[serde(rename = "@odata.nextLink")]
    next_link: Option<String>,
}

impl ODataQuery {
    /// The query of a service under its settings; the rest is the service's declaration.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none or a declared header cannot be sent.
    pub(crate) fn new(
        settings: &Settings,
        plan: Plan,
        path: &str,
        base_filter: Option<&str>,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Self, Error> {
        let endpoint = format!("{}{path}", settings.connection.base_url.trim_end_matches('/'));
        let url = Url::parse(&endpoint)
            .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(&endpoint))))?;
        let clauses = [base_filter, settings.filter_clause()].map(|clause| clause.map(str::to_owned));
        Ok(Self {
            origin: OwnOrigin::of(&url),
            host: OwnHost::of(&base(settings)?),
            endpoint,
            headers: headers.iter().map(header).collect::<Result<_, _>>()?,
            time: settings.service.event_time,
            plan,
            expand: match settings.service.query {
                Query::OData { expand, .. } => expand,
                _ => None,
            },
            clauses: clauses.into_iter().flatten().filter(|clause| !clause.trim().is_empty()).collect(),
        })
    }

    /// The `$filter` of a window; empty where there is none.
    pub(crate) fn filter(&self, window: Window) -> String {
        let time = match self.plan {
            Plan::Window { bounds, .. } => Some(time_clause(&self.time_path(), bounds, window)),
            Plan::NewestDays | Plan::WholeList | Plan::Rows { .. } => None,
        };
        let clauses: Vec<&String> = time.iter().chain(&self.clauses).collect();
        match clauses.as_slice() {
            [only] => (*only).clone(),
            _ => clauses.iter().map(|clause| format!("({clause})")).collect::<Vec<_>>().join(" and "),
        }
    }

    /// The page of a window that a stored link leads to, or its first one.
    pub(crate) fn page(
        &self,
        window: Window,
        link: Option<&str>,
        now: Timestamp,
    ) -> Result<PageAddress, BadLink> {
        match self.plan {
            Plan::Window { paging: Paging::Slices, .. } => {
                let left = link.and_then(Slices::read).unwrap_or_else(|| Slices::of(window));
                let url = match link.filter(|_| left.is_linked()) {
                    Some(stored) => self.host.apply(bare(stored))?,
                    None => self.asked_page(left.slice(), left.skip(), now)?,
                };
                Ok(PageAddress { url, place: Place::Slices(left) })
            }
            Plan::Rows { .. } => {
                let Some(stored) = link else {
                    let url = self.asked_page(window, 0, now)?;
                    return Ok(PageAddress { url, place: Place::Rows(Rows::START) });
                };
                let (bare, rows) = Rows::read(stored);
                let url = match rows.asked_by {
                    AskedBy::Number => self.asked_page(window, rows.skip, now)?,
                    AskedBy::Link => self.host.apply(bare)?,
                };
                Ok(PageAddress { url, place: Place::Rows(rows) })
            }
            Plan::Window { .. } | Plan::NewestDays | Plan::WholeList => {
                let (url, trail) = match link {
                    None => (self.asked_page(window, 0, now)?, Trail::From(window.from)),
                    Some(stored) if self.leaves_a_trail() => {
                        let (bare, trail) = Trail::read(stored);
                        (self.linked_page(bare)?, trail)
                    }
                    Some(stored) => (self.linked_page(stored)?, Trail::Unordered),
                };
                Ok(PageAddress { url, place: Place::Trail(trail) })
            }
        }
    }

    /// What a page of a window gives: its records, and the link to the next one as it is stored. A link that cannot be
    /// followed is an error here, because it must not become a position.
    pub(crate) fn after(
        &self,
        window: Window,
        address: &PageAddress,
        mut page: Collection,
        now: Timestamp,
    ) -> Result<Collection, BadLink> {
        match &address.place {
            Place::Trail(trail) => self.behind_in_order(window, *trail, page, now),
            Place::Slices(left) => {
                let link = match page.next {
                    Some(_) => slices::ApiLink::Given,
                    None => slices::ApiLink::None,
                };
                let step = left.step(&page.records, link, self.bounds_in(left.slice(), &page));
                let next = match (step.next, page.next) {
                    (Some(next), Some(given)) if next.is_linked() => {
                        Some(next.mark(self.host.apply(&given)?.as_str()))
                    }
                    (next, _) => next.map(|next| next.mark(&self.endpoint)),
                };
                page.records.drain(..step.known_rows);
                page.next = next;
                Ok(page)
            }
            Place::Rows(rows) => {
                let given = page.next.as_deref().map(|link| self.host.apply(link)).transpose()?;
                let asked_by = if given.is_some() { AskedBy::Link } else { AskedBy::Number };
                let next = rows.step(&page.records, asked_by, self.page_size()).map_err(|SamePage| {
                    BadLink("the pages go in a circle: the same page came twice".to_owned())
                })?;
                let link = given.as_ref().map_or(self.endpoint.as_str(), Url::as_str);
                page.next = next.map(|next| next.mark(link));
                Ok(page)
            }
        }
    }

    /// What is left of a walk whose page is not there: a list without records may be absent altogether.
    pub(crate) fn after_none(&self, address: &PageAddress) -> Collection {
        let next = match &address.place {
            Place::Slices(left) => left.without_first().map(|next| next.mark(&self.endpoint)),
            Place::Trail(_) | Place::Rows(_) => None,
        };
        Collection { records: Vec::new(), next }
    }

    /// Up to where a window is read in slices when this link is what is left of it.
    pub(crate) fn complete_to(&self, next: Option<&str>) -> Option<Timestamp> {
        let is_in_slices = matches!(self.plan, Plan::Window { paging: Paging::Slices, .. });
        next.filter(|_| is_in_slices).and_then(Slices::read).map(|left| left.slice().from)
    }

    /// Whether the API may answer that there is no list where it means an empty one.
    pub(crate) fn may_be_absent(&self) -> bool {
        matches!(self.plan, Plan::Rows { .. } | Plan::Window { paging: Paging::Slices, .. })
    }

    /// What tells one page of a walk from another in its stored link.
    pub(crate) fn identity<'a>(&self, link: &'a str) -> &'a str {
        match self.plan {
            // The same link is the same page, however many rows came before.
            Plan::Rows { .. } if Rows::read(link).1.asked_by == AskedBy::Link => bare(link),
            _ => link,
        }
    }

    fn behind_in_order(
        &self,
        window: Window,
        trail: Trail,
        mut page: Collection,
        now: Timestamp,
    ) -> Result<Collection, BadLink> {
        if let Some(link) = &page.next {
            self.linked_page(link)?;
        }
        match self.plan {
            Plan::WholeList
            | Plan::Rows { .. }
            | Plan::Window { paging: Paging::Links | Paging::Slices, .. } => {}
            Plan::Window { paging: Paging::MovingBoundary, .. } => {
                let times: Vec<Timestamp> = self.times(&page).flatten().collect();
                let link =
                    if page.next.is_some() { boundary::ApiLink::Given } else { boundary::ApiLink::None };
                page.next = match boundary::step(trail, window.to, &times, link) {
                    Step::Follow(trail) => page.next.map(|link| trail.mark(&link)),
                    Step::MoveTo(from) => {
                        let rest = Window { from, to: window.to };
                        Some(Trail::From(from).mark(self.asked_page(rest, 0, now)?.as_str()))
                    }
                };
            }
            Plan::NewestDays => {
                let times: Vec<Option<Timestamp>> = self.times(&page).collect();
                let readable: Vec<Timestamp> = times.iter().flatten().copied().collect();
                let behind = newest::behind(trail, window.from, &readable);
                page.next = page.next.zip(behind).map(|(link, behind)| behind.mark(&link));
                // Of the days asked for the first may begin before the window, and is sent all the same: it is the API that
                // says what belongs to them.
                let is_first = matches!(trail, Trail::From(_));
                let is_wanted = |time: Timestamp| time <= window.to && (is_first || window.from <= time);
                let mut wanted = times.into_iter().map(|time| time.is_none_or(is_wanted));
                page.records.retain(|_| wanted.next().unwrap_or(true));
            }
        }
        Ok(page)
    }

    /// The URL that asks for one record, whatever it is: whether there is anything at all.
    pub(crate) fn probe(&self) -> Result<Url, BadLink> {
        self.own_page(&[("$top", "1".to_owned())])
    }

    /// A request of our own, for what lies behind so many rows of a window.
    fn asked_page(&self, window: Window, skip: u64, now: Timestamp) -> Result<Url, BadLink> {
        let mut options = Vec::new();
        let filter = self.filter(window);
        if !filter.is_empty() {
            options.push(("$filter", filter));
        }
        options.extend(self.expand.map(|nested| ("$expand", nested.to_owned())));
        match self.plan {
            Plan::Window { page_size, paging, .. } => {
                if paging != Paging::Slices {
                    options.push(("$orderby", format!("{} asc", self.time_path())));
                }
                options.extend(page_size.map(|size| ("$top", size.to_string())));
            }
            Plan::NewestDays => options.push(("$top", newest::days(window, now).to_string())),
            Plan::Rows { page_size } => options.push(("$top", page_size.to_string())),
            Plan::WholeList => {}
        }
        if skip > 0 {
            options.push(("$skip", skip.to_string()));
        }
        self.own_page(&options)
    }

    fn own_page(&self, options: &[(&str, String)]) -> Result<Url, BadLink> {
        let mut url = self.endpoint.clone();
        for (index, (name, value)) in options.iter().enumerate() {
            let separator = if index == 0 { '?' } else { '&' };
            url.push_str(&format!("{separator}{name}={}", encode(value)));
        }
        Url::parse(&url).map_err(|_| BadLink("the first page's address is no URL".to_owned()))
    }

    /// The URL of a page link, if a token may be sent there.
    fn linked_page(&self, link: &str) -> Result<Url, BadLink> {
        self.origin.follow(link, "page link")
    }

    /// Whether stored links say what the pages before them have shown.
    fn leaves_a_trail(&self) -> bool {
        match self.plan {
            Plan::Window { paging, .. } => paging == Paging::MovingBoundary,
            Plan::NewestDays => true,
            Plan::WholeList | Plan::Rows { .. } => false,
        }
    }

    /// The rows that a page of a list has at the most, as far as it is told.
    fn page_size(&self) -> u32 {
        match self.plan {
            Plan::Rows { page_size } => page_size,
            _ => u32::MAX,
        }
    }

    fn times(&self, page: &Collection) -> impl Iterator<Item = Option<Timestamp>> {
        page.records.iter().map(|record| event_time(record, self.time))
    }

    /// What the rows of a page show of a slice's ends. A record may have changed since it was chosen, but not most of them.
    fn bounds_in(&self, slice: Window, page: &Collection) -> slices::SliceBounds {
        let tolerance = SignedDuration::from_secs(1);
        let is_outside = |time: &Option<Timestamp>| {
            time.is_none_or(|time| {
                slice.from.duration_since(time) > tolerance || time.duration_since(slice.to) > tolerance
            })
        };
        let outside = self.times(page).filter(is_outside).count();
        match outside * 2 > page.records.len() {
            true => slices::SliceBounds::Ignored,
            false => slices::SliceBounds::Heeded,
        }
    }

    fn time_path(&self) -> String {
        self.time.join("/")
    }

    /// Changes whenever the query does, the window aside.
    pub(crate) fn fingerprint(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        let [asked, size, paging] = match self.plan {
            Plan::Window { bounds, page_size, paging } => {
                // The first kind of paging there was: links that were stored before there was another stay good.
                let other_paging = Some(paging).filter(|paging| *paging != Paging::Links);
                let other_paging = other_paging.map(|paging| format!("{paging:?}"));
                [Some(format!("{bounds:?}")), Some(format!("{page_size:?}")), other_paging]
            }
            Plan::NewestDays | Plan::WholeList | Plan::Rows { .. } => {
                [Some(format!("{:?}", self.plan)), None, None]
            }
        };
        let expand = self.expand.map(|nested| format!("$expand={nested}"));
        let parts = [Some(self.endpoint.clone()), Some(self.time_path()), asked, size]
            .into_iter()
            .chain([Some(format!("{:?}", self.clauses)), paging, expand])
            .flatten()
            .chain(headers);
        let mut hasher = SipHasher13::new();
        for part in parts {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        format!("odata-{:016x}", hasher.finish())
    }
}

/// The records of a page's body, as slices of it, byte for byte. Gives the flaw of a body that is no page, in words.
pub fn records_of(body: &Bytes) -> Result<Vec<Bytes>, String> {
    match read_collection(body) {
        Ok(collection) => Ok(collection.records),
        Err(Flaw::EndsEarly(detail) | Flaw::NotAPage(detail)) => Err(detail),
    }
}

/// Takes a body apart without copying it.
pub(crate) fn read_collection(body: &Bytes) -> Result<Collection, Flaw> {
    let parsed: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| Flaw::of(body, &error, "member value or @odata.nextLink has a wrong type"))?;
    let Some(values) = parsed.value else {
        return Err(Flaw::NotAPage("member value is missing".to_owned()));
    };
    let records = values.into_iter().map(|record| body.slice_ref(record.get().as_bytes())).collect();
    Ok(Collection { records, next: parsed.next_link.filter(|link| !link.is_empty()) })
}

/// A stored link without its fragment.
fn bare(stored: &str) -> &str {
    stored.split_once('#').map_or(stored, |(bare, _)| bare)
}

fn base(settings: &Settings) -> Result<Url, Error> {
    let base_url = &settings.connection.base_url;
    Url::parse(base_url)
        .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(base_url))))
}

fn time_clause(time_path: &str, bounds: Bounds, window: Window) -> String {
    let second = SignedDuration::from_secs(1);
    match bounds {
        Bounds::Inclusive => {
            format!("{time_path} ge {} and {time_path} le {}", literal(window.from), literal(window.to))
        }
        Bounds::Exclusive => {
            let before = window.from.checked_sub(second).unwrap_or(window.from);
            let behind = window.to.checked_add(second).unwrap_or(window.to);
            format!("{time_path} gt {} and {time_path} lt {}", literal(before), literal(behind))
        }
    }
}

/// A datetime literal: unquoted, UTC, all digits of a second that the instant has. A quoted one is refused as an invalid
/// filter clause.
fn literal(instant: Timestamp) -> String {
    instant.to_string()
}

fn header((name, value): &(&'static str, &'static str)) -> Result<(HeaderName, HeaderValue), Error> {
    match (HeaderName::try_from(*name), HeaderValue::try_from(*value)) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(settings_error(format!("the service declares a header {name} that cannot be sent"))),
    }
}

#[cfg(test)]
#[path = "odata_tests.rs"]
mod tests;
