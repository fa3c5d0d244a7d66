//! Lists of Defender for Cloud Apps: filters, place and size of a page are posted as JSON.
//!
//! A window becomes a filter on one of the list's times, beside the operator's own filters; the walk through it is the
//! matter of `paging::parts`, that through a list without a time of `paging::rows`. Filters that the API gives to go on
//! (`nextQueryFilters`) are sent back as they came. What it says of there being more is believed, and what it counts is
//! compared with what came: a list that ends too early is told, for it says nothing itself.

use std::hash::Hasher as _;
use std::time::Duration;

use bytes::Bytes;
use collector::error::Error;
use collector::ports::{Page, PageRequest, SourceError};
use collector::service::{Authorization, Query, Reading};
use collector::settings::{AdditionalFilter, Settings};
use collector::window::Window;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use siphasher::sip::SipHasher13;
use url::Url;

use crate::access::{Access, Ask, Expected, Repeats, Unanswered, no_page};
use crate::client::Answer;
use crate::complaint::excerpt;
use crate::failure::{Context, Failure, FailureKind, Target};
use crate::identity::settings_error;
use crate::paging::link::BadLink;
use crate::paging::parts::{MOST_ROWS, Parts, Place, Seen};
use crate::paging::rows::{AskedBy, Rows, SamePage};
use crate::paging::times::event_time;
use crate::paging::{Circle, Flaw, Walk};

/// The wait after a 429 that names none: the span of the limit.
const PATIENCE: Duration = Duration::from_secs(60);
/// Place and size of a page lead no further together. A page that would is refused, or empty, as a whole: the last one
/// before is made shorter.
const DEEPEST_ROW: u64 = 5_000;

/// A list, ready to be asked for any window.
#[derive(Debug)]
pub(crate) struct FilteredList {
    endpoint: String,
    url: Url,
    /// The filters on a time; none where the whole list is read.
    times: &'static [&'static str],
    /// The member that holds a record's event time, which the first of the filters is on.
    event_time: &'static [&'static str],
    page_size: u32,
    reading: Reading,
    /// The operator's own filters by their fields.
    fields: Map<String, Value>,
    permission: &'static str,
    /// The setting of a token that is sent as it is.
    token_setting: Option<&'static str>,
}

/// Where in its walk a page is asked for.
#[derive(Debug)]
enum Stand {
    Parts(Parts),
    Rows(Rows),
}

/// An answer, taken apart.
#[derive(Debug, Default)]
struct Listed {
    rows: Vec<Bytes>,
    has_next: Option<bool>,
    total: Option<u64>,
    has_more_than_total: bool,
    next_filters: Option<String>,
}

/// What is behind a page.
struct Behind {
    next: Option<String>,
    missing: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    has_next: Option<bool>,
    total: Option<Value>,
    more_than_total: Option<bool>,
    #[serde(borrow)]
    next_query_filters: Option<&'a RawValue>,
}

impl FilteredList {
    /// The list of a service under its settings.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let Query::FilteredList { path, times, page_size, reading } = settings.service.query else {
            return Err(settings_error("the service reads no list that takes filters"));
        };
        let endpoint = format!("{}{path}", settings.connection.base_url.trim_end_matches('/'));
        let url = Url::parse(&endpoint)
            .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(&endpoint))))?;
        let fields = match &settings.additional_filter {
            Some(AdditionalFilter::Fields(fields)) => fields.clone(),
            Some(AdditionalFilter::Clause(_)) | None => Map::new(),
        };
        Ok(Self {
            endpoint,
            url,
            times,
            event_time: settings.service.event_time,
            page_size,
            reading,
            fields,
            permission: settings.service.permission,
            token_setting: match settings.service.authorization {
                Authorization::Token(setting) => Some(setting.name),
                Authorization::Login => None,
            },
        })
    }

    /// One page of a window, or of the list where it has no time.
    pub(crate) async fn page(
        &self,
        access: &Access,
        request: &PageRequest,
        last_body: &mut Bytes,
        walk: &mut Walk,
    ) -> Result<Page, SourceError> {
        let link = request.link.as_deref();
        let stand = self.stand(request.window, link);
        let filters = self.filters(&stand);
        let (mut listed, answer) = match self.ask(access, request, last_body, &stand, &filters, walk).await? {
            Ok(answered) => answered,
            Err(refusal) => {
                let behind = self.behind_refusal(&stand, request.window, &refusal);
                return Ok(Page { next: behind.next, missing: behind.missing, ..Page::default() });
            }
        };
        access.establish();
        let mut behind = self.behind(&stand, request.window, &listed)?;
        if walk.step(request.window, link, behind.next.as_deref()) == Err(Circle) {
            // Filters that were followed before are no way on: it goes on without any.
            listed.next_filters = None;
            behind = self.behind(&stand, request.window, &listed)?;
            walk.step(request.window, link, behind.next.as_deref()).map_err(|Circle| {
                no_page(&self.endpoint, &BadLink("the filters of its pages go in a circle".to_owned()))
            })?;
        }
        let noticed = access.kept.notices.of(&answer, &self.endpoint, access.clock.now());
        Ok(Page {
            records: listed.rows,
            complete_to: self.complete_to(behind.next.as_deref()),
            next: behind.next,
            missing: behind.missing.or(noticed.missing),
            warnings: noticed.warnings,
            ..Page::default()
        })
    }

    /// Changes whenever the query does, the window aside.
    pub(crate) fn fingerprint(&self) -> String {
        let fields = Value::from(self.fields.clone()).to_string();
        let shape = format!("{:?} {} {:?}", self.times, self.page_size, self.reading);
        let mut hasher = SipHasher13::new();
        for part in [self.endpoint.as_str(), &shape, &fields] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        format!("filtered-{:016x}", hasher.finish())
    }

    fn stand(&self, window: Window, link: Option<&str>) -> Stand {
        if self.times.is_empty() {
            return Stand::Rows(link.map_or(Rows::START, |link| Rows::read(link).1));
        }
        let stored = link.and_then(Parts::read).filter(|parts| parts.pass < self.times.len());
        Stand::Parts(stored.unwrap_or_else(|| Parts::of(window, 0)))
    }

    /// The filters of a page, JSON: those that the API gave are left as they came.
    fn filters(&self, stand: &Stand) -> String {
        let mut filters = self.fields.clone();
        if let Stand::Parts(parts) = stand {
            if let Place::Scan { filters, .. } = &parts.place {
                return filters.clone();
            }
            let (from, to) = parts.ends();
            if let Some(time) = self.times.get(parts.pass) {
                filters.insert((*time).to_owned(), json!({"gte": from, "lte": to}));
            }
        }
        Value::from(filters).to_string()
    }

    /// What is posted for a page with these filters.
    fn body(&self, stand: &Stand, filters: &str) -> Bytes {
        let (skip, limit) = (stand.skip(), self.limit(stand));
        Bytes::from(match self.mode(stand) {
            Reading::Scan => format!(r#"{{"filters":{filters},"isScan":true,"limit":{limit}}}"#),
            Reading::Pages => format!(r#"{{"filters":{filters},"skip":{skip},"limit":{limit}}}"#),
        })
    }

    /// What a scan cannot reach is read as others are.
    fn mode(&self, stand: &Stand) -> Reading {
        match stand {
            Stand::Parts(Parts { place: Place::Behind { .. }, .. }) | Stand::Rows(_) => Reading::Pages,
            Stand::Parts(_) => self.reading,
        }
    }

    fn limit(&self, stand: &Stand) -> u32 {
        match self.mode(stand) {
            Reading::Scan => self.page_size,
            Reading::Pages => {
                let full = self.page_size.min(MOST_ROWS);
                let left = DEEPEST_ROW.checked_sub(stand.skip()).filter(|left| *left > 0);
                left.and_then(|left| u32::try_from(left).ok()).map_or(full, |left| left.min(full))
            }
        }
    }

    /// Makes the request. A refusal of the place alone, not of the filters, is given in words: nothing leads behind it.
    async fn ask(
        &self,
        access: &Access,
        request: &PageRequest,
        last_body: &mut Bytes,
        stand: &Stand,
        filters: &str,
        walk: &Walk,
    ) -> Result<Result<(Listed, Answer), String>, SourceError> {
        let ask = Ask {
            method: Method::POST,
            url: &self.url,
            told_as: self.url.path(),
            headers: HeaderMap::new(),
            deadline: request.deadline,
            repeats: self.repeats(request),
            unsaid_patience: Some(PATIENCE),
            body: self.body(stand, filters),
            answer: Expected::Page,
        };
        let read = |answer: &Answer| read(&answer.body).map_err(|flaw| access.flawed(answer, flaw));
        match access.ask(&ask, last_body, read).await {
            Ok(answered) => Ok(Ok(answered)),
            Err(Unanswered::Failed(failure)) if refuses_place(&failure, stand.skip()) => {
                Ok(Err(failure.sentence()))
            }
            Err(unanswered) => {
                let own_fields =
                    (!self.fields.is_empty()).then(|| Value::from(self.fields.clone()).to_string());
                let told = unanswered.tell(&Context {
                    endpoint: &self.endpoint,
                    contact: access.contact(),
                    target: if stand.is_of_the_api() { Target::Link } else { Target::Window },
                    window_from: request.window.from,
                    now: access.clock.now(),
                    filter: filters,
                    additional_filter: own_fields.as_deref(),
                    permission: self.permission,
                    token_setting: self.token_setting,
                    successor: None,
                });
                let is_left_over = stand.is_of_the_api() && !walk.is_begun(request.window);
                Err(match (told, &unanswered) {
                    // Nothing else leads on from filters of an earlier invocation: asked for as they are, again and again,
                    // they would keep the window for ever.
                    (SourceError::Fatal(error), Unanswered::Failed(failure))
                        if is_left_over && is_broken(failure) =>
                    {
                        match request.window.halved() {
                            Some(_) => SourceError::TooHeavy(error),
                            None => SourceError::LinkExpired(error.message),
                        }
                    }
                    (told, _) => told,
                })
            }
        }
    }

    /// Of a window that takes too long, half is asked for at once, as long as nothing of it was read.
    fn repeats(&self, request: &PageRequest) -> Repeats {
        let is_narrowed =
            !self.times.is_empty() && request.link.is_none() && request.window.halved().is_some();
        if is_narrowed { Repeats::UnlessHeavy } else { Repeats::Patient }
    }

    /// What is behind a page.
    fn behind(&self, stand: &Stand, window: Window, listed: &Listed) -> Result<Behind, SourceError> {
        match stand {
            Stand::Parts(parts) => {
                let step = parts.step(&Seen {
                    rows: &listed.rows,
                    has_more: listed.has_more(parts.skip(), self.mode(stand)),
                    total: listed.total,
                    next_filters: listed.next_filters.as_deref(),
                    is_inside: self.is_inside(parts, &listed.rows),
                    limit: self.limit(stand),
                    reading: self.mode(stand),
                });
                let is_cut = step.is_cut || listed.ends_before_its_count(parts.skip());
                let missing = is_cut
                    .then(|| format!("{} says that there is more, and gives no way to it", self.endpoint));
                Ok(Behind { next: self.next_of(parts, step.next, window), missing })
            }
            Stand::Rows(rows) => self.behind_rows(*rows, listed),
        }
    }

    /// What is behind a page of a list without a time.
    fn behind_rows(&self, rows: Rows, listed: &Listed) -> Result<Behind, SourceError> {
        let reached = rows.skip.saturating_add(listed.rows.len() as u64);
        let counted = listed.total.unwrap_or(0);
        // Where more came than is counted, there is no telling from the count.
        let is_behind_count = listed.total.is_some_and(|total| total < reached);
        let is_cut = counted > reached || listed.has_more_than_total && !is_behind_count;
        if listed.has_next.unwrap_or(true) || counted > reached {
            let next = rows.step(&listed.rows, AskedBy::Number, self.limit(&Stand::Rows(rows)));
            let next = next.map_err(|SamePage| {
                let words = "the pages go in a circle: the same page came twice";
                no_page(&self.endpoint, &BadLink(words.to_owned()))
            })?;
            if let Some(next) = next {
                return Ok(Behind { next: Some(next.mark(&self.endpoint)), missing: None });
            }
        }
        let is_cut = is_cut || listed.has_next == Some(true);
        let missing =
            is_cut.then(|| format!("{} gave {reached} rows and says that it has more", self.endpoint));
        Ok(Behind { next: None, missing })
    }

    /// What is behind a place that the API does not give.
    fn behind_refusal(&self, stand: &Stand, window: Window, refusal: &str) -> Behind {
        let next = match stand {
            Stand::Parts(parts) => self.next_of(parts, parts.cut().next, window),
            Stand::Rows(_) => None,
        };
        let (endpoint, skip) = (&self.endpoint, stand.skip());
        Behind { next, missing: Some(format!("{endpoint} gives no rows behind the first {skip}: {refusal}")) }
    }

    /// Up to where a window is read when this link is what is left of it: in its last pass, to the part that comes next.
    fn complete_to(&self, next: Option<&str>) -> Option<Timestamp> {
        let left = next.and_then(Parts::read).filter(|left| left.pass + 1 == self.times.len())?;
        Timestamp::from_millisecond(left.ends().0).ok()
    }

    /// The link to what is left of a pass, or to the next one.
    fn next_of(&self, parts: &Parts, next: Option<Parts>, window: Window) -> Option<String> {
        let next_pass = parts.pass + 1;
        let next = next.or_else(|| (next_pass < self.times.len()).then(|| Parts::of(window, next_pass)));
        next.map(|next| next.mark(&self.endpoint))
    }

    /// Whether most rows of a page lie in the part that was asked for. The event time says nothing of the other filters.
    fn is_inside(&self, parts: &Parts, rows: &[Bytes]) -> bool {
        let (from, to) = parts.ends();
        let is_outside = |row: &&Bytes| {
            let time = event_time(row, self.event_time).map(|instant| instant.as_millisecond());
            time.is_some_and(|time| time < from.saturating_sub(1) || to.saturating_add(1) < time)
        };
        parts.pass > 0 || rows.iter().filter(is_outside).count() * 2 <= rows.len()
    }
}

impl Stand {
    /// The rows that are passed over.
    fn skip(&self) -> u64 {
        match self {
            Self::Parts(parts) => parts.skip(),
            Self::Rows(rows) => rows.skip,
        }
    }

    /// Whether the API gave what is asked by.
    fn is_of_the_api(&self) -> bool {
        matches!(self, Self::Parts(Parts { place: Place::Scan { .. }, .. }))
    }
}

impl Listed {
    /// Whether a part that is read by number ends before all came that it is said to have. It ends so where the place is
    /// beyond what the API gives.
    fn ends_before_its_count(&self, skip: u64) -> bool {
        let reached = skip.saturating_add(self.rows.len() as u64);
        let is_counted = |total: u64| total > reached || self.has_more_than_total && total == reached;
        skip > 0 && self.has_next == Some(false) && self.total.is_some_and(is_counted)
    }

    /// Whether there is more. An answer that says no while its page is full and its count is higher is not believed; in a scan
    /// the count is that of all pages.
    fn has_more(&self, skip: u64, mode: Reading) -> bool {
        let rows = self.rows.len() as u64;
        let is_full = rows >= u64::from(MOST_ROWS);
        let is_counted = self.total.is_some_and(|total| total > skip.saturating_add(rows));
        match self.has_next {
            Some(says_so) => says_so || mode == Reading::Pages && is_full && is_counted,
            None => is_counted || is_full || self.next_filters.is_some(),
        }
    }
}

/// Whether the API refuses the place of a page alone: with 400, or as a success that names what it does not take; beyond the
/// deepest row in any way. Whoever asks for patience refuses nothing.
fn refuses_place(failure: &Failure, skip: u64) -> bool {
    let is_refused = failure.kind == FailureKind::Refused
        && (failure.status == Some(400) || failure.complaint.refuses_filter());
    let is_beyond = skip >= DEEPEST_ROW
        && (is_broken(failure) || failure.status == Some(404) || failure.kind == FailureKind::ServerTimeout);
    skip > 0 && is_refused || is_beyond
}

/// Whether the API answers, and with nothing of use.
fn is_broken(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Server | FailureKind::NotAPage | FailureKind::BrokenBody)
}

/// Takes a body apart without copying its records.
fn read(body: &Bytes) -> Result<Listed, Flaw> {
    let wrong_type = "member data, hasNext or moreThanTotal has a wrong type";
    let parsed: Body<'_> =
        serde_json::from_slice(body).map_err(|error| Flaw::of(body, &error, wrong_type))?;
    let data = parsed.data.ok_or_else(|| Flaw::NotAPage("member data is missing".to_owned()))?;
    let next_filters = parsed.next_query_filters.map(RawValue::get);
    Ok(Listed {
        rows: data.into_iter().map(|row| body.slice_ref(row.get().as_bytes())).collect(),
        has_next: parsed.has_next,
        total: parsed.total.and_then(|total| total.as_u64()),
        has_more_than_total: parsed.more_than_total.unwrap_or(false),
        // Without any filter the whole history would be read.
        next_filters: next_filters.filter(|text| is_filled_object(text)).map(str::to_owned),
    })
}

fn is_filled_object(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|members| members.trim_start().starts_with('"'))
}

#[cfg(test)]
#[path = "filtered_tests.rs"]
mod tests;
