//! What a tenant saw: every request, decoded, with the status of its answer. Tokens and secrets are left out.

use jiff::Timestamp;

use super::endpoint::Endpoint;
use crate::http::Request;

/// Whom a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressee {
    /// The token endpoint.
    Login,
    /// One of the collections.
    Graph(Endpoint),
    /// No path that this tenant serves.
    Nobody,
}

/// Which page a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageKind {
    /// The first page of a query.
    First,
    /// A page behind a next link (`$skiptoken` is there).
    Next,
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
    /// Query (login: form, without secret and assertion), decoded, in order.
    pub query: Vec<(String, String)>,
    /// Headers in order, names in lower case, `authorization` left out.
    pub headers: Vec<(String, String)>,
    /// When, by the tenant's clock.
    pub received_at: Timestamp,
    /// Status of the answer; `None` as long as there is none, and when the connection was broken instead.
    pub status: Option<u16>,
    /// Records in the answer.
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
}

impl RequestLog {
    /// Enters a request; gives the entry.
    pub(crate) fn enter(&mut self, addressee: Addressee, request: &Request, now: Timestamp) -> RequestSeen {
        let query = match addressee {
            Addressee::Login => {
                decoded(&request.body).into_iter().filter(|(name, _)| !is_secret(name)).collect()
            }
            Addressee::Graph(_) | Addressee::Nobody => decoded(request.query.as_bytes()),
        };
        let is_next = query.iter().any(|(name, _)| name == "$skiptoken");
        let entry = RequestSeen {
            number: self.seen.len() as u64 + 1,
            nth: self.count(addressee) + 1,
            addressee,
            page: if is_next { PageKind::Next } else { PageKind::First },
            method: request.method.clone(),
            path: request.path.clone(),
            query,
            headers: request.headers.iter().filter(|(name, _)| name != "authorization").cloned().collect(),
            received_at: now,
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
        if let Some(entry) = self.seen.iter_mut().find(|entry| entry.number == number) {
            entry.status = status;
            entry.records = records;
            entry.note = note;
        }
    }

    /// How many requests the addressee has had.
    pub(crate) fn count(&self, addressee: Addressee) -> u64 {
        self.seen.iter().filter(|entry| entry.addressee == addressee).count() as u64
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

fn is_secret(name: &str) -> bool {
    matches!(name, "client_secret" | "client_assertion")
}
