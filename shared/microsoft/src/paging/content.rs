//! Content feeds: the addresses of subscriptions and listings, and what a listing page names.
//!
//! A window becomes `startTime` and `endTime`, UTC without a zone, the start inside and the end outside. A listing page is
//! an array of content blobs; the link to the next page is a header. `PublisherIdentifier` says whose request quota is
//! used; the API leaves it out of the links it hands out, so it is added to each of them.

use std::hash::Hasher as _;

use collector::error::Error;
use collector::ports::Blob;
use collector::settings::Connection;
use collector::window::Window;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use siphasher::sip::SipHasher13;
use url::Url;

use crate::complaint::excerpt;
use crate::identity::settings_error;
use crate::paging::Flaw;
use crate::paging::link::{BadLink, OwnOrigin, encode};

const PUBLISHER: &str = "PublisherIdentifier";

/// Both spellings of the header with the next page's link that are documented.
const NEXT_PAGE_HEADERS: [&str; 2] = ["nextpageuri", "nextpageurl"];

/// How long content can be had after it was created.
const CONTENT_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Problems of one listing page that are shown one by one; the others are counted.
const PROBLEMS_SHOWN: usize = 3;

/// The addresses of one tenant's feeds, and of one content type among them.
#[derive(Debug)]
pub(crate) struct ContentQuery {
    /// The listing's URL without its query.
    pub(crate) endpoint: String,
    /// The subscriptions' URL, without an operation.
    subscriptions: String,
    /// The URL under which the API shows a blob by its id.
    audit: String,
    /// `contentType`; empty where content of any type is fetched by its URI alone.
    pub(crate) content_type: &'static str,
    publisher: String,
    origin: OwnOrigin,
}

/// What a listing page names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) blobs: Vec<Blob>,
    /// What is odd about it, for the operator.
    pub(crate) warnings: Vec<String>,
}

impl ContentQuery {
    /// The addresses behind a base URL.
    ///
    /// # Errors
    /// InitVariablesError 1 when the base URL is none.
    pub(crate) fn at(connection: &Connection, content_type: &'static str) -> Result<Self, Error> {
        let not_a_url =
            || settings_error(format!("override_base_url {} is no URL", excerpt(&connection.base_url)));
        let mut feed = Url::parse(&connection.base_url).map_err(|_| not_a_url())?;
        feed.path_segments_mut().map_err(|()| not_a_url())?.pop_if_empty().extend([
            "api",
            "v1.0",
            &connection.tenant_id,
            "activity",
            "feed",
        ]);
        Ok(Self {
            endpoint: format!("{feed}/subscriptions/content"),
            subscriptions: format!("{feed}/subscriptions"),
            audit: format!("{feed}/audit"),
            content_type,
            publisher: encode(&connection.publisher),
            origin: OwnOrigin::of(&feed),
        })
    }

    /// The URL that lists the subscriptions of the tenant.
    pub(crate) fn subscriptions(&self) -> Result<Url, BadLink> {
        own(&format!("{}/list?{PUBLISHER}={}", self.subscriptions, self.publisher))
    }

    /// The URL that starts the subscription to the content type.
    pub(crate) fn start(&self) -> Result<Url, BadLink> {
        own(&format!(
            "{}/start?contentType={}&{PUBLISHER}={}",
            self.subscriptions,
            encode(self.content_type),
            self.publisher
        ))
    }

    /// The URL of a window's first listing page. A window of no length becomes one of a second.
    pub(crate) fn first_page(&self, window: Window) -> Result<Url, BadLink> {
        let behind = window.from.checked_add(SignedDuration::from_secs(1)).unwrap_or(window.from);
        own(&format!(
            "{}?contentType={}&startTime={}&endTime={}&{PUBLISHER}={}",
            self.endpoint,
            encode(self.content_type),
            literal(window.from),
            literal(window.to.max(behind)),
            self.publisher
        ))
    }

    /// The URL of a page link, if a token may be sent there.
    pub(crate) fn linked_page(&self, link: &str) -> Result<Url, BadLink> {
        self.origin.follow(link, "page link").map(|url| self.published(url))
    }

    /// The URL of a content link, if a token may be sent there.
    pub(crate) fn content(&self, link: &str) -> Result<Url, BadLink> {
        self.origin.follow(link, "content link").map(|url| self.published(url))
    }

    /// Why the token must not be sent to this content link, when it is one to another host. One that is no link at all is
    /// the matter of its blob alone.
    pub(crate) fn foreign_content(&self, link: &str) -> Option<BadLink> {
        Url::parse(link).ok().and_then(|_| self.content(link).err())
    }

    /// What the listing was asked for, in words for an error.
    pub(crate) fn asked_for(&self, window: Window) -> String {
        format!("{} from {} to {}", self.content_type, literal(window.from), literal(window.to))
    }

    /// Changes whenever the query does, the window aside.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = SipHasher13::new();
        for part in [self.endpoint.as_str(), self.content_type, &self.publisher] {
            hasher.write(part.as_bytes());
            hasher.write_u8(0xff);
        }
        format!("content-{:016x}", hasher.finish())
    }

    /// What a listing page of a window names.
    pub(crate) fn read_listing(&self, body: &[u8], window: Window) -> Result<Listing, Flaw> {
        let entries: Vec<Value> = serde_json::from_slice(body)
            .map_err(|error| Flaw::of(body, &error, "an array of content blobs was expected"))?;
        let mut listing = Listing::default();
        let mut problems = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let Some((blob, missing)) = entry.as_object().and_then(|entry| self.blob(entry, window)) else {
                return Err(Flaw::NotAPage(format!(
                    "entry {index} of the listing has neither contentUri nor contentId"
                )));
            };
            if !missing.is_empty() {
                problems.push(format!("{} has no {}", excerpt(&blob.id), missing.join(" and no ")));
            }
            listing.blobs.push(blob);
        }
        if !problems.is_empty() {
            let count = problems.len();
            problems.truncate(PROBLEMS_SHOWN);
            listing.warnings.push(format!(
                "{count} of the content blobs listed by {} are described incompletely and fetched as well as can be: {}",
                self.endpoint,
                problems.join("; ")
            ));
        }
        Ok(listing)
    }

    /// One blob and the names of what its entry lacks. What is lacking is made from the rest: a URI that turns out to be
    /// wrong ends among the failed ones, where it is told by name, and not among those nobody heard of.
    fn blob(&self, entry: &Map<String, Value>, window: Window) -> Option<(Blob, Vec<&'static str>)> {
        let mut missing = Vec::new();
        let (uri, id) = match (text(entry, "contentUri"), text(entry, "contentId")) {
            (None, None) => return None,
            (Some(uri), Some(id)) => (uri, id),
            (Some(uri), None) => {
                missing.push("contentId");
                (uri.clone(), uri)
            }
            (None, Some(id)) => {
                missing.push("contentUri");
                (format!("{}/{}", self.audit, encode(&id)), id)
            }
        };
        let created = text(entry, "contentCreated").and_then(|text| instant(&text)).unwrap_or_else(|| {
            missing.push("contentCreated");
            window.from
        });
        let expires = text(entry, "contentExpiration").and_then(|text| instant(&text));
        let expires = expires.unwrap_or_else(|| created.checked_add(CONTENT_LIFE).unwrap_or(created));
        Some((Blob { id, uri, created, expires }, missing))
    }

    /// The URL with our publisher, unless it names one. The rest stays as it is, letter by letter.
    fn published(&self, mut url: Url) -> Url {
        url.set_fragment(None);
        let query = url.query().unwrap_or_default();
        let names_publisher = query
            .split('&')
            .any(|pair| pair.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case(PUBLISHER)));
        if !names_publisher {
            let separator = if query.is_empty() { "" } else { "&" };
            let published = format!("{query}{separator}{PUBLISHER}={}", self.publisher);
            url.set_query(Some(&published));
        }
        url
    }
}

/// The link to the next page: a header, whose name is spelt in several ways.
pub(crate) fn next_page(headers: &HeaderMap) -> Result<Option<String>, BadLink> {
    let Some(value) = NEXT_PAGE_HEADERS.iter().find_map(|name| headers.get(*name)) else {
        return Ok(None);
    };
    let link = value.to_str().map_err(|_| BadLink("the page link is no text".to_owned()))?.trim();
    Ok((!link.is_empty()).then(|| link.to_owned()))
}

fn own(url: &str) -> Result<Url, BadLink> {
    Url::parse(url).map_err(|_| BadLink("the address is no URL".to_owned()))
}

/// An instant as this API reads it: whole seconds, UTC, without a zone.
fn literal(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// An instant as this API writes it: RFC 3339 with any fraction; without a zone it is UTC.
fn instant(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// A member that is a text or a number, unless it is empty.
fn text(entry: &Map<String, Value>, member: &str) -> Option<String> {
    match entry.get(member)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
