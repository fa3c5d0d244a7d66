//! What only content feeds have: blobs, subscriptions, a retry queue, and rules that a good client keeps.
//!
//! A world of `office365-uri-retry` has all five feeds in its document; one of a feed has that feed and the retry
//! service. When such a world is closed, the tenant must not have seen anything that a good client does not do.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{Addressee, ContentType, FeedCall, RequestSeen};

use super::World;
use super::contract::{self, Asks};

/// The function that retries failed content.
pub const URI_RETRY: &str = "office365-uri-retry";

/// Blobs that a client may ask for side by side.
pub const SIDE_BY_SIDE: usize = 8;

/// A blob that was emitted.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its content id.
    pub id: String,
    /// Its records.
    pub records: Vec<String>,
}

/// All records of these blobs.
pub fn records_of(contents: &[Content]) -> Vec<String> {
    contents.iter().flat_map(|content| content.records.iter().cloned()).collect()
}

/// The content type that a feed's function reads.
pub fn content_type_of(function: &str) -> ContentType {
    match contract::promise(function).asks {
        Asks::Feed(content_type) => content_type,
        other => panic!("{function} reads no feed but {other:?}"),
    }
}

impl World {
    /// The content type of the service under test.
    pub fn content_type(&self) -> ContentType {
        content_type_of(self.service.function)
    }

    /// Emits a blob of made-up records, whose times lie before it became available.
    pub fn emit_blob(&self, created: Timestamp, seeds: Range<u64>) -> Content {
        self.emit_blob_of(self.content_type(), created, seeds)
    }

    /// The same to any feed.
    pub fn emit_blob_of(&self, content_type: ContentType, created: Timestamp, seeds: Range<u64>) -> Content {
        let record = |seed: u64| {
            let before = SignedDuration::from_secs(60 + (seed * 37 % 3000).cast_signed());
            records::office365(content_type, seed, created - before)
        };
        let records: Vec<String> = seeds.map(record).collect();
        Content { id: self.tenant.emit_blob(content_type, created, records.clone()), records }
    }

    /// Emits so many blobs of `each` records, a minute apart from one another, the newest `newest` ago.
    pub fn emit_blobs(&self, count: u64, each: u64, newest: SignedDuration) -> Vec<Content> {
        let created = |number: u64| super::ago(newest) - SignedDuration::from_mins(number.cast_signed());
        (0..count).map(|number| self.emit_blob(created(number), number * each..(number + 1) * each)).collect()
    }

    /// All that waits is retried by a new process of the retry service, and its answer.
    pub async fn retry(&self) -> Value {
        self.once_of(URI_RETRY, &json!({"force": true})).await.answer()
    }

    /// The rows of the retry queues.
    pub async fn queue(&self) -> Vec<Value> {
        self.table.rows_from("retry#").await
    }

    /// The calls to the feeds, in order.
    pub fn feed_calls(&self) -> Vec<FeedCall> {
        self.feed_requests().iter().filter_map(call_of).collect()
    }

    /// The same as requests.
    pub fn feed_requests(&self) -> Vec<RequestSeen> {
        self.tenant.requests().into_iter().filter(|seen| call_of(seen).is_some()).collect()
    }

    /// How often each of these blobs was asked for, which differs from `times`.
    pub fn fetched_otherwise_than(&self, times: u64, contents: &[Content]) -> BTreeMap<String, u64> {
        let fetches = self.tenant.blob_fetches();
        let count = |content: &Content| fetches.get(&content.id).copied().unwrap_or(0);
        contents
            .iter()
            .map(|content| (content.id.clone(), count(content)))
            .filter(|(_, n)| *n != times)
            .collect()
    }

    /// The tenant saw nothing that a good client does not do.
    #[track_caller]
    pub fn assert_well_behaved(&self) {
        let violations = self.tenant.violations();
        assert!(violations.is_empty(), "{} {}: {violations:?}", self.service.function, self.id);
        let most = self.tenant.most_in_flight();
        assert!(most <= SIDE_BY_SIDE, "{} {}: {most} blobs at once", self.service.function, self.id);
    }
}

/// The call that a request makes to the feeds, if it makes one.
pub fn call_of(request: &RequestSeen) -> Option<FeedCall> {
    match request.addressee {
        Addressee::Feed(call) => Some(call),
        Addressee::Login
        | Addressee::Graph(_)
        | Addressee::Defender(_)
        | Addressee::CloudApps(_)
        | Addressee::Nobody => None,
    }
}
