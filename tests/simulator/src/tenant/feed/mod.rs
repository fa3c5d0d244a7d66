//! The Office 365 Management Activity API of a tenant: five feeds of content blobs.
//!
//! Blobs are emitted by the test with the instant of their creation. Collectors see them through subscriptions,
//! listings of at most 24 hours, and one request for each blob. Every fetch is counted, as is how many run at once;
//! what a well-behaved client does not do is written down as a violation. Behaviour that has been met in the wild is a
//! switch in `FeedConfig`, mishaps are faults in the tenant's script.

mod answer;
mod blob;
mod book;
mod config;
mod content_type;
mod error;
mod listing;
mod path;
mod traffic;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use self::blob::RecordMaker;
pub use self::config::{
    FeedConfig, Framing, LagCode, LagLength, ListedNames, ListedStatus, NextPagePath, NextPageTimes,
    PublisherRule, Subscription, SubscriptionLag, ThrottledAs, WindowCode,
};
pub use self::content_type::ContentType;
pub use self::error::{FeedError, Quotes};
pub use self::path::FeedCall;
pub use self::traffic::BlobTraffic;

pub(super) use self::answer::about;
pub(super) use self::book::FeedBook;
pub(super) use self::error::{About, refused, wait};
pub(super) use self::traffic::{InFlight, Traffic};

use self::answer::Call;
use self::blob::Content;
use self::path::{FeedPath, Operation, option, publisher};
use super::fault::Fault;
use super::log::{Addressee, BlobSeen, Circumstances, RequestSeen, Violation, decoded};
use super::store::Visibility;
use super::{Ids, Outcome, State, Tenant};
use crate::http::Request;
use crate::sync::locked;

/// No content was emitted under that id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no content was emitted under the id {0}; use an id that emitting gave")]
pub struct ContentUnknown(pub String);

impl Tenant {
    /// Emits a blob of these records, listed at once; gives its content id. The records' bytes are served as they are.
    /// `created` is cut to milliseconds.
    pub fn emit_blob(&self, content_type: ContentType, created: Timestamp, records: Vec<String>) -> String {
        self.emit_blob_when(content_type, created, records, Visibility::Now)
    }

    /// Emits a blob that is listed later: from an instant on, or after so many further listing requests to its feed.
    pub fn emit_blob_when(
        &self,
        content_type: ContentType,
        created: Timestamp,
        records: Vec<String>,
        visibility: Visibility,
    ) -> String {
        self.take(content_type, created, Content::Records(records), visibility)
    }

    /// Emits a blob whose `count` records are made anew each time it is fetched.
    pub fn emit_blob_with(
        &self,
        content_type: ContentType,
        created: Timestamp,
        count: usize,
        make: RecordMaker,
    ) -> String {
        self.take(content_type, created, Content::Made { count, make }, Visibility::Now)
    }

    /// Emits a blob of any bytes, be they an array of records or not.
    pub fn emit_blob_raw(
        &self,
        content_type: ContentType,
        created: Timestamp,
        body: impl Into<Bytes>,
    ) -> String {
        self.take(content_type, created, Content::Raw(body.into()), Visibility::Now)
    }

    /// Lists a blob once more, at the place and from the instant `at`; its creation stays what it was.
    pub fn list_again(&self, content_id: &str, at: Timestamp) -> Result<(), ContentUnknown> {
        let mut book = locked(&self.state.feed);
        let blob = book.blob(content_id).ok_or_else(|| ContentUnknown(content_id.to_owned()))?;
        book.list_again(blob, at);
        Ok(())
    }

    /// Sets the contentExpiration of a blob. It is still listed after that, but cannot be had.
    pub fn expire_blob(&self, content_id: &str, at: Timestamp) -> Result<(), ContentUnknown> {
        let blob = locked(&self.state.feed).blob(content_id);
        blob.ok_or_else(|| ContentUnknown(content_id.to_owned()))?.expire_at(at);
        Ok(())
    }

    /// The bytes of all records emitted to the feed, in order of emission. Those that are made on the way are made.
    pub fn emitted_records(&self, content_type: ContentType) -> Vec<Bytes> {
        let blobs: Vec<_> = locked(&self.state.feed)
            .blobs()
            .filter(|blob| blob.content_type == content_type)
            .map(Arc::clone)
            .collect();
        blobs.iter().flat_map(|blob| blob.records()).collect()
    }

    /// The state of a subscription.
    pub fn subscription(&self, content_type: ContentType) -> Subscription {
        locked(&self.state.feed).subscription(content_type)
    }

    /// Changes the state of a subscription, as another client or an administrator may at any time. A lag begins anew.
    pub fn set_subscription(&self, content_type: ContentType, subscription: Subscription) {
        let now = self.state.config.clock.now();
        locked(&self.state.feed).set_subscription(content_type, subscription, now);
    }

    /// Changes how long subscriptions lag, from now on and for all feeds.
    pub fn set_subscription_lag(&self, lag: Option<SubscriptionLag>) {
        let now = self.state.config.clock.now();
        locked(&self.state.feed).set_lag(lag, now);
    }

    /// How many requests for that blob have come in; 0 for a content id that was never emitted.
    pub fn fetches(&self, content_id: &str) -> u64 {
        locked(&self.state.feed).blob(content_id).map_or(0, |blob| blob.fetches())
    }

    /// How many requests for each emitted blob have come in.
    pub fn blob_fetches(&self) -> BTreeMap<String, u64> {
        let book = locked(&self.state.feed);
        book.blobs().map(|blob| (blob.content_id.to_string(), blob.fetches())).collect()
    }

    /// What was fetched, summed up.
    pub fn blob_traffic(&self) -> BlobTraffic {
        let mut summary = BlobTraffic::default();
        for blob in locked(&self.state.feed).blobs() {
            let fetches = blob.fetches();
            summary.blobs += 1;
            summary.fetched += u64::from(fetches > 0);
            summary.requests += fetches;
        }
        self.state.feed_traffic.fill_in(&mut summary);
        summary
    }

    /// The most blob requests that were ever in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.blob_traffic().most_in_flight
    }

    /// What a well-behaved client would not have done, each with the number of its request.
    pub fn violations(&self) -> Vec<(u64, Violation)> {
        locked(&self.state.log).violations()
    }

    fn take(
        &self,
        content_type: ContentType,
        created: Timestamp,
        content: Content,
        visibility: Visibility,
    ) -> String {
        let listings = locked(&self.state.log).count(Addressee::Feed(FeedCall::Listing(content_type)));
        let mut book = locked(&self.state.feed);
        book.emit(content_type, created, content, visibility, listings).to_string()
    }
}

/// Whom a request is for and what is known of it, if it is for the feeds. Counts a fetch, and a request to start.
pub(super) fn arrival(
    state: &State,
    request: &Request,
    now: Timestamp,
) -> Option<(Addressee, Circumstances)> {
    let path = FeedPath::of(&request.path)?;
    let query = decoded(request.query.as_bytes());
    let content_type = option(&query, "contentType").and_then(ContentType::of_name);
    let mut circumstances = Circumstances::default();
    let mut book = locked(&state.feed);
    let call = match (&path.operation, content_type) {
        (Operation::List, _) => FeedCall::Subscriptions,
        (Operation::Start, Some(content_type)) => {
            if book.is_start_too_soon(content_type, now) {
                circumstances.violations.push(Violation::StartedTooSoon);
            }
            FeedCall::Start(content_type)
        }
        (Operation::Stop, Some(content_type)) => FeedCall::Stop(content_type),
        (Operation::Content, Some(content_type)) => FeedCall::Listing(content_type),
        (Operation::Blob { content_id }, _) => match book.blob(content_id) {
            Some(blob) => {
                if blob.expires_at() <= now {
                    circumstances.violations.push(Violation::ExpiredFetched);
                }
                let content_id = Arc::clone(&blob.content_id);
                circumstances.blob =
                    Some(BlobSeen { content_id, number: blob.number, fetch: blob.count_fetch() });
                FeedCall::Blob(blob.content_type)
            }
            None => FeedCall::Other,
        },
        _ => FeedCall::Other,
    };
    if publisher(&query).is_none() {
        circumstances.violations.push(Violation::PublisherMissing);
    }
    Some((Addressee::Feed(call), circumstances))
}

/// Counts a blob request as in flight.
pub(super) fn begin(state: &State, addressee: Addressee) -> Option<InFlight> {
    let is_blob = matches!(addressee, Addressee::Feed(FeedCall::Blob(_)));
    is_blob.then(|| InFlight::begin(&state.feed_traffic))
}

/// Answers a call to the feeds, after the latency that such a call has.
pub(super) async fn answer(
    state: &State,
    request: &Request,
    seen: &RequestSeen,
    fault: Option<&Fault>,
    ids: &Ids,
) -> Option<Outcome> {
    let path = FeedPath::of(&request.path)?;
    let latency = match path.operation {
        Operation::Blob { .. } => state.config.feed.blob_latency,
        Operation::Content => state.config.feed.listing_latency,
        _ => std::time::Duration::ZERO,
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let now = state.config.clock.now();
    Some(answer::answer(state, &Call { request, seen, path: &path, fault, ids, now }))
}
