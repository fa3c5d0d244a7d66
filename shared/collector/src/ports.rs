//! The three seams of the core: where records come from, where they go, where the position is kept.
//!
//! Each has two real implementations or more, and the contract of each stands here, in the doc comments: the
//! conformance suite and the simulated crashes of `shared/testing` make it executable. Futures are `Send` and static.

use std::future::Future;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::service::Enrichment;
use crate::window::Window;

/// The time of day, as a value that tests can move. Any `Fn() -> Timestamp` is one.
pub trait Clock: Send + Sync {
    /// The present instant, UTC.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Source
// ---------------------------------------------------------------------------------------------------------------

/// What is asked of a source: one page of one window.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// The window; both ends are whole seconds and belong to it.
    pub window: Window,
    /// Which of the operator's own queries is asked, by its index in the settings; `None` where there are none.
    pub query: Option<usize>,
    /// Where the page before ended; `None` asks for the window's first page.
    pub link: Option<String>,
    /// The request must have ended by then.
    pub deadline: Timestamp,
}

/// One page of records, as the API sent them.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The raw bytes of each record, slices of the page's body.
    pub records: Vec<Bytes>,
    /// Content that the page names instead of holding records (content feeds alone).
    pub blobs: Vec<Blob>,
    /// The next page, or `None` after the last one. A page may be empty and still have a next one. A source gives no link
    /// that was followed before in the same walk: that would be a circle, and is an error.
    pub next: Option<String>,
    /// Of a walk through a window in no order: everything of the window before this instant was given by now.
    pub complete_to: Option<Timestamp>,
    /// What is missing of the page and may come when it is asked for again, in words for the operator (which are not among
    /// the warnings): the window is read again later.
    pub missing: Option<String>,
    /// What the operator should know, for example a deprecation header.
    pub warnings: Vec<String>,
}

/// A content blob that a listing page names: an array of records behind a URI of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `contentId`: the same blob has the same id in every listing.
    pub id: String,
    /// `contentUri`, as the API gave it.
    pub uri: String,
    /// `contentCreated`: when it became available.
    pub created: Timestamp,
    /// `contentExpiration`: from then on it cannot be had.
    pub expires: Timestamp,
}

/// What is asked of a source about one record.
#[derive(Debug, Clone)]
pub struct RelatedRequest {
    /// What is counted.
    pub enrichment: &'static Enrichment,
    /// The record's id.
    pub id: String,
    /// The request must have ended by then.
    pub deadline: Timestamp,
}

/// An id is kept in the checkpoint, which must stay a small row; the API's own have less than 100 bytes.
const LONGEST_ID: usize = 512;

impl RelatedRequest {
    /// The id that a record's raw member gives: a JSON text or number. `None` for one that no path can hold.
    pub fn id_of_member(raw_value: &[u8]) -> Option<String> {
        let id = match serde_json::from_slice(raw_value).ok()? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let is_usable = !matches!(id.as_str(), "" | "." | "..") && id.len() <= LONGEST_ID;
        is_usable.then_some(id)
    }
}

/// What comes of a request for a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Related {
    /// So many belong to the record; none where it is there no longer.
    Count(u64),
    /// The application may not ask for it, in words for the operator: nor may it for any other record.
    NotPermitted(String),
    /// The API refuses it for this record alone, in words for the operator.
    Refused(String),
}

/// What comes of the blobs that are being fetched.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// Some records of one blob, in their order.
    Part {
        /// Index of the blob among those that were asked for.
        blob: usize,
        /// Their raw bytes.
        records: Vec<Bytes>,
    },
    /// A blob came to its end; each one does once.
    Ended {
        /// Index of the blob among those that were asked for.
        blob: usize,
        /// How.
        end: BlobEnd,
    },
    /// Nothing came before the instant asked for; more will.
    NotYet,
    /// Every blob has ended.
    AllEnded,
}

/// How a blob came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobEnd {
    /// All of its records were given.
    Complete,
    /// It could not be had, or not to its end, for this reason; it may be had later.
    Failed(String),
    /// The API keeps it no longer, in its own words.
    Gone(String),
}

/// What a source is told when an invocation begins.
#[derive(Debug, Clone)]
pub struct Preparation {
    /// Everything must have ended by then.
    pub deadline: Timestamp,
    /// What [`Source::memo`] gave when the checkpoint was written last; empty the first time.
    pub memo: Map<String, Value>,
    /// Nothing may be changed on the API's side (a dry run, a check).
    pub is_dry: bool,
}

/// Why a source has no page, by what the run loop can do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// The API asks to come back no sooner than `until`, and that is not before the deadline.
    #[error("throttled until {until}")]
    Throttled {
        /// Earliest instant of the next request.
        until: Timestamp,
    },
    /// The query is too heavy for the API (504, time-outs, a body over the limit): a narrower window may pass.
    #[error("{0}")]
    TooHeavy(Error),
    /// The page link is not accepted any more: the window starts again.
    #[error("page link expired: {0}")]
    LinkExpired(String),
    /// The window starts before the oldest record that the API keeps.
    #[error("window starts before the oldest record that the API keeps: {message}")]
    StartTooOld {
        /// The oldest instant accepted, where the API names it.
        minimum: Option<Timestamp>,
        /// The API's own words.
        message: String,
    },
    /// There is nothing to read yet and nothing is wrong, in words for the operator; the window is asked for again.
    #[error("{0}")]
    NotReady(String),
    /// The API has retired the endpoint: there is nothing to read any more. Words for the operator.
    #[error("{0}")]
    Retired(String),
    /// The deadline came first; nothing is wrong.
    #[error("out of time")]
    OutOfTime,
    /// Nothing to be done in this invocation.
    #[error("{0}")]
    Fatal(Error),
}

/// What a source has done so far in this invocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Requests sent to the API (logins not counted).
    pub requests: u64,
    /// Answers that asked for patience (429, or 503 with Retry-After).
    pub throttled: u64,
    /// How much of what the request limit allows was used, at its fullest, in per cent; `None` where nothing limits it.
    pub quota_used_percent: Option<u64>,
}

/// Where records come from.
pub trait Source: Send {
    /// Logs in, so that a first page needs no more than its own request. Called once, beside `Sink::prepare`.
    fn prepare(&mut self, preparation: &Preparation) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Fetches one page. The same request may be made again at any time and gives at least the records that exist
    /// by then; order, repeats and late records are the caller's matter.
    fn page(&mut self, request: &PageRequest) -> impl Future<Output = Result<Page, SourceError>> + Send;

    /// Begins to fetch blobs, several side by side; what was not ended of an earlier call is given up. The answers come
    /// from [`Source::fetched`].
    fn fetch(&mut self, blobs: Vec<Blob>, deadline: Timestamp);

    /// The next thing that comes of the blobs, in whatever order they come; `NotYet` when nothing did before `until`.
    /// An error ends the fetch: blobs that have not ended were not had, and may be asked for again.
    fn fetched(&mut self, until: Timestamp) -> impl Future<Output = Result<Fetched, SourceError>> + Send;

    /// Counts what belongs to a record, all pages of it together. An error means that the count may be had later.
    fn related(
        &mut self,
        request: &RelatedRequest,
    ) -> impl Future<Output = Result<Related, SourceError>> + Send;

    /// When the next request can be sent at the earliest; `None` when that is now. A request that is made sooner waits.
    fn waits_until(&self) -> Option<Timestamp>;

    /// What the source wants to know again when the next invocation begins, for example how much of a request budget
    /// is used: small, and no secret. It is stored with each commit.
    fn memo(&self) -> Map<String, Value>;

    /// A short text that changes whenever the query does (endpoint, filter, page size), the window aside: a stored
    /// page link of another query is not followed.
    fn fingerprint(&self) -> String;

    /// The counts since the invocation began.
    fn stats(&self) -> SourceStats;
}

// ---------------------------------------------------------------------------------------------------------------
// Sink
// ---------------------------------------------------------------------------------------------------------------

/// One line for Devo.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Header date.
    pub time: Timestamp,
    /// The Devo tag.
    pub tag: &'a str,
    /// One line of text without LF, CR or NUL.
    pub message: &'a [u8],
}

/// Says that a stream was closed cleanly by both ends after all of its bytes. Only the run loop turns it into the
/// proof that a commit needs.
#[derive(Debug)]
#[must_use = "a delivery is proven for the sake of the commit that follows it"]
pub struct CleanEnd {
    /// Events that the stream held.
    pub events: u64,
}

/// Where events go. A sink holds one open batch; `append` fills it, `deliver` sends and empties it.
pub trait Sink: Send {
    /// Opens what takes time to open (a handshake), so that the first `deliver` does not wait for it. A failure
    /// here is not final: `deliver` tries again.
    fn prepare(&mut self) -> impl Future<Output = ()> + Send;

    /// Adds one event to the open batch and gives the size of its frame in bytes, before compression.
    fn append(&mut self, event: &Event<'_>) -> usize;

    /// Sends the open batch and ends the stream. `Ok` only if the peer ended it cleanly after everything was
    /// written: no alert, no reset, no end that came early. After an error the batch is empty too; what it held may
    /// or may not have arrived. An empty batch opens no connection.
    fn deliver(&mut self, deadline: Timestamp) -> impl Future<Output = Result<CleanEnd, Error>> + Send;

    /// Empties the open batch without sending it.
    fn discard(&mut self);
}

// ---------------------------------------------------------------------------------------------------------------
// State
// ---------------------------------------------------------------------------------------------------------------

/// One row of state. The partition it lives in is named beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Sort key, for example `checkpoint`.
    pub key: String,
    /// Its members: JSON scalars, lists and maps.
    pub fields: Map<String, Value>,
    /// One binary member.
    pub data: Option<Bytes>,
    /// When the row may vanish, epoch seconds.
    pub expires_at: Option<i64>,
}

/// Sort key of the row that holds a service's position and its lease.
pub const CHECKPOINT_KEY: &str = "checkpoint";

/// Names of the checkpoint's members that a store itself reads or writes.
pub mod lease_fields {
    /// Counts up with every acquisition and every commit (number).
    pub const VERSION: &str = "version";
    /// Request id of the holder (string), absent when the lease is free.
    pub const OWNER: &str = "lease_owner";
    /// End of the lease, epoch milliseconds (number), absent when the lease is free.
    pub const EXPIRES_AT: &str = "lease_expires_at";
    /// Nonce of the invocation that wrote the row last (string).
    pub const WRITER: &str = "writer";
    /// Format of the row (number).
    pub const PERSISTENCE_VERSION: &str = "persistence_version";
    /// Key of the record hashes (32 hexadecimal digits).
    pub const HASH_KEY: &str = "hash_key";
}

/// A request for a service's lease.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// The request id that shall hold it.
    pub owner: String,
    /// Random text, new for each invocation: tells this request from another under the same id.
    pub writer: String,
    /// The present, epoch milliseconds: a lease that ended before is free.
    pub now_ms: i64,
    /// When the lease ends by itself, epoch milliseconds.
    pub expires_at_ms: i64,
    /// Rows of a newer format than this are refused.
    pub readable_version: u64,
    /// Becomes `hash_key` of a row that has none.
    pub fresh_hash_key: String,
}

/// The right to write into a partition: the checkpoint must still have this version, written by this invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The writer's nonce.
    pub writer: String,
    /// Version of the checkpoint that this invocation wrote last.
    pub version: u64,
}

/// One change beside the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Stores the row, replacing one of the same key.
    Put(Row),
    /// Adds the numbers in `fields` to those of the row, which begins at zero; strings are set; `expires_at` is set.
    Add(Row),
    /// Removes the row of this key, if there is one.
    Delete(String),
}

/// Everything that becomes true together.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The partition, `{input id}#{function}`.
    pub partition: String,
    /// The right to do it.
    pub guard: Guard,
    /// The new checkpoint; its `version` is `guard.version + 1` and its `writer` is `guard.writer`.
    pub checkpoint: Row,
    /// The changes beside it. No key occurs twice and none is the checkpoint's.
    pub writes: Vec<Write>,
    /// Idempotency token, 1 to 36 characters: the same commit may be sent again under it.
    pub token: String,
}

/// What one commit may hold at the most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows of one commit, the checkpoint included.
    pub rows: usize,
    /// Bytes of one commit.
    pub commit_bytes: usize,
    /// Bytes of one row.
    pub row_bytes: usize,
}

/// Why the state was not read or written, by what the run loop can do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StateError {
    /// Another invocation holds the lease.
    #[error("locked by {owner}")]
    Locked {
        /// Request id of the holder.
        owner: String,
    },
    /// The checkpoint was written by a newer release; it was not touched.
    #[error("the checkpoint has format {found}, this release reads up to {readable}")]
    Newer {
        /// Its format.
        found: String,
        /// What this release reads.
        readable: u64,
    },
    /// The guard does not hold any more: the lease went to somebody else. Nothing was written.
    #[error("the lease was lost")]
    LeaseLost,
    /// The store did not say whether the write happened.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The store cannot be reached or refuses to work; nothing was written.
    #[error("{0}")]
    Unavailable(String),
}

/// Where positions, record hashes, ledger and queues are kept.
pub trait StateStore: Send + Sync {
    /// The limits of one commit.
    fn limits(&self) -> Limits;

    /// Takes the lease and gives the checkpoint as it is from then on, in one conditional write: owner, end of the
    /// lease and writer are the request's, `version` is one higher than before (1 in a new row), `hash_key` is there.
    /// Refused with `Locked` while another's lease runs, with `Newer` when the row's `persistence_version` is above
    /// `readable_version` or no number; a refusal changes nothing. A repeat of the very same request (same writer)
    /// succeeds: it is a retry whose first answer was lost.
    fn acquire(
        &self,
        partition: &str,
        request: &LeaseRequest,
    ) -> impl Future<Output = Result<Row, StateError>> + Send;

    /// Reads the rows whose key is from `first` to `last`, both included, in order of key, strongly consistent.
    fn query(
        &self,
        partition: &str,
        first: &str,
        last: &str,
    ) -> impl Future<Output = Result<Vec<Row>, StateError>> + Send;

    /// The beginning of the same read, as much of it as the store gives at once, and the first key of the rest; none behind
    /// the last row. For reads that are too large to be held as a whole.
    fn query_part(
        &self,
        partition: &str,
        first: &str,
        last: &str,
    ) -> impl Future<Output = Result<(Vec<Row>, Option<String>), StateError>> + Send {
        async move { Ok((self.query(partition, first, last).await?, None)) }
    }

    /// Stores one row under a key that nobody used before, without the lease: how a request is left for the holder.
    /// It touches nothing else, the checkpoint's `version` included.
    fn leave(&self, partition: &str, row: &Row) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Writes all of the commit or nothing of it. Refused with `LeaseLost` unless the checkpoint's `version` and
    /// `writer` are the guard's. The same commit sent again under its token succeeds without a second effect.
    fn commit(&self, commit: &Commit) -> impl Future<Output = Result<(), StateError>> + Send;
}
