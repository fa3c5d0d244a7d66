//! Next links: opaque skip tokens and the places they stand for.
//!
//! A token is good for the very query it was given for, may be used again, and dies with its lifetime or when a
//! script expires all links.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::endpoint::Endpoint;
use super::store::Key;
use crate::sync::{hex, random_bytes};

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// At the beginning.
    Start,
    /// Behind that record.
    Behind(Key),
    /// Behind that many records.
    Skipping(usize),
}

#[derive(Debug)]
struct Link {
    endpoint: Endpoint,
    repeated: Vec<(String, String)>,
    position: Position,
    given_at: Timestamp,
}

/// The links that were given.
#[derive(Debug, Default)]
pub(super) struct LinkBook {
    links: HashMap<String, Link>,
}

impl LinkBook {
    /// A new skip token for a place of a query.
    pub(super) fn give(
        &mut self,
        endpoint: Endpoint,
        repeated: &[(String, String)],
        position: Position,
        page_size: usize,
        now: Timestamp,
    ) -> std::io::Result<String> {
        let token = format!("{}_{page_size}", hex(&random_bytes::<16>()?));
        let link = Link { endpoint, repeated: repeated.to_vec(), position, given_at: now };
        self.links.insert(token.clone(), link);
        Ok(token)
    }

    /// The place of a token, if it is good for this query now.
    pub(super) fn place(
        &self,
        token: &str,
        endpoint: Endpoint,
        repeated: &[(String, String)],
        lifetime: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<Position> {
        let link = self.links.get(token)?;
        let alive = lifetime.is_none_or(|longest| now.duration_since(link.given_at) <= longest);
        (alive && link.endpoint == endpoint && link.repeated == repeated).then_some(link.position)
    }

    /// Makes all tokens given so far invalid.
    pub(super) fn expire_all(&mut self) {
        self.links.clear();
    }
}
