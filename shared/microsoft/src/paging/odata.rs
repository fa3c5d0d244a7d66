//! OData collections: the request for a window's first page, the link to the next one, and the page itself.
//!
//! A window becomes a `$filter` on the event time, ascending, so that what was read is always the window's older part.
//! A page is one buffer; its records are slices of it, byte for byte as the API wrote them.

use std::hash::Hasher as _;

use bytes::Bytes;
use collector::error::Error;
use collector::service::Bounds;
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
use crate::paging::Flaw;
use crate::paging::link::{BadLink, OwnOrigin, encode};

/// The query of one service, ready to be asked for any window.
#[derive(Debug)]
pub(crate) struct ODataQuery {
    /// The URL without its query.
    pub(crate) endpoint: String,
    /// What a page link must begin with to be followed: scheme, host and port.
    origin: OwnOrigin,
    /// Further request headers, for every page.
    pub(crate) headers: HeaderMap,
    time_path: String,
    bounds: Bounds,
    page_size: Option<u32>,
    clauses: Vec<String>,
}

/// The records of a body, and the link behind it.
#[derive(Debug)]
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
        path: &str,
        page_size: Option<u32>,
        bounds: Bounds,
        base_filter: Option<&str>,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Self, Error> {
        let endpoint = format!("{}{path}", settings.connection.base_url.trim_end_matches('/'));
        let url = Url::parse(&endpoint)
            .map_err(|_| settings_error(format!("override_base_url {} is no URL", excerpt(&endpoint))))?;
        let clauses = [base_filter.map(str::to_owned), settings.additional_filter.clone()];
        Ok(Self {
            origin: OwnOrigin::of(&url),
            endpoint,
            headers: headers.iter().map(header).collect::<Result<_, _>>()?,
            time_path: settings.service.event_time.join("/"),
            bounds,
            page_size,
            clauses: clauses.into_iter().flatten().filter(|clause| !clause.trim().is_empty()).collect(),
        })
    }

    /// The `$filter` of a window.
    pub(crate) fn filter(&self, window: Window) -> String {
        let time = time_clause(&self.time_path, self.bounds, window);
        if self.clauses.is_empty() {
            return time;
        }
        std::iter::once(&time)
            .chain(&self.clauses)
            .map(|clause| format!("({clause})"))
            .collect::<Vec<_>>()
            .join(" and ")
    }

    /// The URL of a window's first page, given its filter.
    pub(crate) fn first_page(&self, filter: &str) -> Result<Url, BadLink> {
        let order = format!("{} asc", self.time_path);
        let mut url = format!("{}?$filter={}&$orderby={}", self.endpoint, encode(filter), encode(&order));
        if let Some(size) = self.page_size {
            url.push_str(&format!("&$top={size}"));
        }
        Url::parse(&url).map_err(|_| BadLink("the first page's address is no URL".to_owned()))
    }

    /// The URL of a page link, if a token may be sent there.
    pub(crate) fn linked_page(&self, link: &str) -> Result<Url, BadLink> {
        self.origin.follow(link, "page link")
    }

    /// Changes whenever the query does, the window aside.
    pub(crate) fn fingerprint(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        let parts = [self.endpoint.clone(), self.time_path.clone(), format!("{:?}", self.bounds)]
            .into_iter()
            .chain([format!("{:?}", self.page_size), format!("{:?}", self.clauses)])
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

/// A datetime literal: unquoted, whole seconds, UTC. A quoted one is refused as an invalid filter clause.
fn literal(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
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
