//! What a tenant saw: every request, decoded, with the status of its answer. Tokens and secrets are left out.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::cloud_apps::{self, CloudAppsList};
use super::defender::{self, DefenderCall};
use super::endpoint::Endpoint;
use super::feed::FeedCall;
use crate::http::Request;

/// Whom a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressee {
    /// The token endpoint.
    Login,
    /// One of the collections.
    Graph(Endpoint),
    /// The Management Activity API.
    Feed(FeedCall),
    /// Defender for Endpoint.
    Defender(DefenderCall),
    /// Defender for Cloud Apps: a list, with or without the slash at its end.
    CloudApps(CloudAppsList),
    /// No path that this tenant serves.
    Nobody,
}

/// Which page a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// The first page of a query.
    First,
    /// A page behind a next link (`$skiptoken`, a `$skip` other than 0, or `nextpage` is there; for Defender for Cloud
    /// Apps a `skip` other than 0, or `filters` that lead on in a scan).
    Next,
}

/// The content blob that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobSeen {
    /// Its id.
    pub content_id: Arc<str>,
    /// Its number in order of emission to its feed, from 1.
    pub number: u64,
    /// Which fetch of this blob it is, from 1.
    pub fetch: u64,
}

/// What a well-behaved client of the Management Activity API or of Defender for Cloud Apps does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Violation {
    /// A subscription was started again within 15 minutes.
    StartedTooSoon,
    /// The call has no PublisherIdentifier, or one of all zeros.
    PublisherMissing,
    /// Content was asked for at or after its contentExpiration.
    ExpiredFetched,
    /// A body or query has a member that no page of the API names.
    UnknownMember,
    /// A body is no JSON object, or a member has a value of another type or one that it cannot have.
    WrongType,
    /// `isScan` for a list that has no scans.
    ScanNotOffered,
    /// `skip` in a scan.
    SkipInScan,
    /// A token of the login for files, or a token of the portal for anything else.
    ForeignScheme,
}

/// Which kind of `Authorization` a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationScheme {
    /// None.
    Absent,
    /// `Bearer …`, a token of the login.
    Bearer,
    /// `Token …`, a token of the portal.
    Token,
    /// Another one.
    Other,
}

impl AuthorizationScheme {
    /// What the header says.
    pub(crate) fn of(header: Option<&str>) -> Self {
        match header.and_then(|text| text.split_once(' ')) {
            Some(("Bearer", _)) => Self::Bearer,
            Some(("Token", _)) => Self::Token,
            _ if header.is_none() => Self::Absent,
            _ => Self::Other,
        }
    }
}

/// What is known of a request beside its own words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Circumstances {
    pub(crate) blob: Option<BlobSeen>,
    pub(crate) violations: Vec<Violation>,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct RequestSeen {
    /// Counted from 1 over all requests to the tenant.
    pub number: u64,
    /// Counted from 1 over those to the same addressee.
    pub nth: u64,
    /// Whom it was for.
    pub addressee: Addressee,
    /// Which page it asks for.
    pub page: PageKind,
    /// For example `GET`.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query (login: form, without secret and assertion; hunting: the query's text as `Query`; Defender for Cloud Apps:
    /// the members of the body by name, texts plain and everything else as JSON was sent), decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers in order, names in lower case, `authorization` left out.
    pub headers: Vec<(String, String)>,
    /// Which kind of authorization it has; the token itself is left out.
    pub scheme: AuthorizationScheme,
    /// When, by the tenant's clock.
    pub received_at: Timestamp,
    /// The blob it asks for, if it asks for one that was emitted.
    pub blob: Option<BlobSeen>,
    /// What it should not have been like.
    pub violations: Vec<Violation>,
    /// Status of the answer; `None` as long as there is none, and when the connection was broken instead.
    pub status: Option<u16>,
    /// Records (listing: entries) in the answer.
    pub records: usize,
    /// Why it was refused or which fault it met, in the simulator's own words.
    pub note: Option<String>,
}

impl RequestSeen {
    /// The first query option of that name, decoded.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The requests of a tenant in order.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    seen: Vec<RequestSeen>,
    counts: HashMap<Addressee, u64>,
}

impl RequestLog {
    /// Enters a request; gives the entry.
    pub(crate) fn enter(
        &mut self,
        addressee: Addressee,
        circumstances: Circumstances,
        request: &Request,
        now: Timestamp,
    ) -> RequestSeen {
        let query = match addressee {
            Addressee::Login => {
                decoded(&request.body).into_iter().filter(|(name, _)| !is_secret(name)).collect()
            }
            Addressee::Defender(DefenderCall::Hunting) => defender::query_text(&request.body),
            Addressee::CloudApps(_) => cloud_apps::members(request),
            Addressee::Graph(_) | Addressee::Feed(_) | Addressee::Defender(_) | Addressee::Nobody => {
                decoded(request.query.as_bytes())
            }
        };
        let is_cloud_apps = matches!(addressee, Addressee::CloudApps(_));
        let is_next = query.iter().any(|(name, value)| match name.as_str() {
            "$skiptoken" => true,
            "$skip" => value != "0",
            "skip" if is_cloud_apps => value != "0",
            "filters" if is_cloud_apps => cloud_apps::is_continued(value),
            other => other.eq_ignore_ascii_case("nextpage"),
        });
        let count = self.counts.entry(addressee).or_default();
        *count += 1;
        let entry = RequestSeen {
            number: self.seen.len() as u64 + 1,
            nth: *count,
            addressee,
            page: if is_next { PageKind::Next } else { PageKind::First },
            method: request.method.clone(),
            path: request.path.clone(),
            query,
            headers: request.headers.iter().filter(|(name, _)| name != "authorization").cloned().collect(),
            scheme: AuthorizationScheme::of(request.header("authorization")),
            received_at: now,
            blob: circumstances.blob,
            violations: circumstances.violations,
            status: None,
            records: 0,
            note: None,
        };
        self.seen.push(entry.clone());
        entry
    }

    /// Writes down how the request of that number was answered.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        status: Option<u16>,
        records: usize,
        note: Option<String>,
    ) {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(entry) = index.and_then(|index| self.seen.get_mut(index)) {
            entry.status = status;
            entry.records = records;
            entry.note = note;
        }
    }

    /// How many requests the addressee has had.
    pub(crate) fn count(&self, addressee: Addressee) -> u64 {
        self.counts.get(&addressee).copied().unwrap_or_default()
    }

    /// What was not as it should be, with the number of the request.
    pub(crate) fn violations(&self) -> Vec<(u64, Violation)> {
        let of_one =
            |entry: &RequestSeen| entry.violations.iter().map(|one| (entry.number, *one)).collect::<Vec<_>>();
        self.seen.iter().flat_map(of_one).collect()
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<RequestSeen> {
        self.seen.clone()
    }
}

/// Pairs of a query or form, percent signs and plus signs resolved.
pub(crate) fn decoded(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// A path segment with its percent signs resolved; a plus sign stays one.
pub(crate) fn unescaped(segment: &str) -> String {
    let kept = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    decoded(kept.as_bytes()).into_iter().next().map(|(name, _)| name).unwrap_or_default()
}

fn is_secret(name: &str) -> bool {
    matches!(name, "client_secret" | "client_assertion")
}
