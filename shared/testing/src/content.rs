//! A simulated content API: feeds list blobs, each blob is an array of records behind a URI of its own.
//!
//! The tenant holds what is or will be there, and counts how often each blob was asked for; it outlives the invocations
//! that read it. A [`ContentSource`] is the API as one invocation sees it: listing pages by link, and fetches of several
//! blobs side by side whose parts come in an order that a seed chooses. It watches no deadline: that is for who asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use collector::error::{Error, ErrorType};
use collector::ports::{
    Blob, BlobEnd, Fetched, Page, PageRequest, Preparation, Related, RelatedRequest, Source, SourceError,
    SourceStats,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::clock::TestClock;
use crate::dice::Dice;
use crate::drive::step;
use crate::source::PageFault;
use crate::store::MemoryStore;

/// How one attempt to fetch a blob ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// With all of its records.
    Complete,
    /// With a failure after so many of its records.
    FailsAfter(usize),
    /// The API keeps it no longer, whatever its expiry says.
    Gone,
}

/// One blob of a feed.
#[derive(Debug, Clone)]
pub struct Content {
    /// Name of the service whose listing names it.
    pub feed: &'static str,
    /// Its id.
    pub id: String,
    /// When it was made; listings lie on it.
    pub created: Timestamp,
    /// From when on listings show it.
    pub visible_from: Timestamp,
    /// From when on it cannot be had.
    pub expires: Timestamp,
    /// How often one listing shows it.
    pub times_listed: i32,
    /// The raw text of its records.
    pub records: Vec<Bytes>,
    /// How the attempts to fetch it end, one after another; further ones are complete.
    pub attempts: Vec<Attempt>,
}

impl Content {
    /// A blob that is listed once, from `created` on, for seven days, and can be had at once.
    pub fn new(feed: &'static str, id: &str, created: Timestamp, records: Vec<Bytes>) -> Self {
        Self {
            feed,
            id: id.to_owned(),
            created,
            visible_from: created,
            expires: created + SignedDuration::from_hours(7 * 24),
            times_listed: 1,
            records,
            attempts: Vec::new(),
        }
    }

    fn blob(&self) -> Blob {
        Blob {
            id: self.id.clone(),
            uri: format!("https://content.test/{}/{}", self.feed, self.id),
            created: self.created,
            expires: self.expires,
        }
    }
}

/// What came of an attempt, in the order in which attempts ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The blob.
    pub id: String,
    /// How it ended.
    pub end: BlobEnd,
    /// Commits that the store had seen by then: a later one of the same invocation settles the blob.
    pub commits: u64,
}

/// Everything that the feeds of a tenant hold.
#[derive(Debug, Default)]
pub struct Tenant {
    /// The blobs of all feeds.
    pub contents: Vec<Content>,
    begun: Mutex<Vec<String>>,
    ended: Mutex<Vec<Ending>>,
}

impl Tenant {
    /// The blobs whose fetch began, each time it did.
    pub fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().clone()
    }

    /// The attempts that ended, while somebody waited for them.
    pub fn ended(&self) -> Vec<Ending> {
        self.ended.lock().unwrap().clone()
    }

    /// How often the fetch of each blob began.
    pub fn fetches(&self) -> BTreeMap<String, usize> {
        let mut fetches = BTreeMap::new();
        for id in self.begun() {
            *fetches.entry(id).or_default() += 1;
        }
        fetches
    }

    /// The blob of this id.
    pub fn content(&self, id: &str) -> &Content {
        self.contents.iter().find(|content| content.id == id).expect("the blob is there")
    }

    /// The same, to change it.
    pub fn content_mut(&mut self, id: &str) -> &mut Content {
        self.contents.iter_mut().find(|content| content.id == id).expect("the blob is there")
    }

    /// Notes that an attempt begins and says how it will end.
    fn begin(&self, id: &str) -> Attempt {
        let mut begun = self.begun.lock().unwrap();
        let earlier = begun.iter().filter(|known| *known == id).count();
        begun.push(id.to_owned());
        self.content(id).attempts.get(earlier).copied().unwrap_or(Attempt::Complete)
    }
}

/// What goes wrong with one wait for fetched content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchFault {
    /// Nothing comes in time, but more will.
    NotYet,
    /// It comes at once, but whoever asked is so busy that so many seconds have passed.
    Busy(i64),
    /// The fetch ends: the time is used up.
    OutOfTime,
    /// The fetch ends: come back in so many seconds.
    Throttled(i64),
    /// The fetch ends with a failure for good.
    Fatal,
}

/// A blob that is being fetched.
#[derive(Debug)]
struct Fetch {
    index: usize,
    id: String,
    /// What is still to be given.
    rest: VecDeque<Bytes>,
    end: BlobEnd,
}

/// The API as one invocation sees it.
#[derive(Debug)]
pub struct ContentSource<'a> {
    tenant: &'a Tenant,
    store: &'a MemoryStore,
    /// Name of the service whose listing is read.
    feed: &'static str,
    clock: TestClock,
    dice: Dice,
    /// Blobs of one listing page.
    pub page_size: usize,
    /// Records of one part at the most.
    pub part_size: usize,
    /// Blobs fetched side by side.
    pub concurrency: usize,
    /// One entry for each of the next listing pages.
    pub page_faults: VecDeque<Option<PageFault>>,
    /// One entry for each of the next waits for content.
    pub fetch_faults: VecDeque<Option<FetchFault>>,
    /// Every listing page that was asked for.
    pub requests: Vec<PageRequest>,
    /// What becomes of the login.
    pub login: Option<SourceError>,
    /// What it was told at the beginning.
    pub preparation: Option<Preparation>,
    /// What a listing page says instead of its blobs.
    pub not_ready: Option<String>,
    /// What each listing page has to say to the operator.
    pub warning: Option<String>,
    /// How long a listing page takes.
    pub page_pace: SignedDuration,
    /// How long each part and each end of a blob takes.
    pub fetch_pace: SignedDuration,
    /// Of that, what the next one still takes.
    still_takes: Option<SignedDuration>,
    waiting: VecDeque<(usize, Blob)>,
    active: Vec<Fetch>,
    fetches: u64,
    throttled: u64,
}

impl<'a> ContentSource<'a> {
    /// The API without faults, for the service of this name; `seed` chooses the order in which content comes. The store
    /// is only looked at, to tell what was committed when.
    pub fn new(
        tenant: &'a Tenant,
        store: &'a MemoryStore,
        feed: &'static str,
        clock: TestClock,
        seed: u64,
    ) -> Self {
        Self {
            tenant,
            store,
            feed,
            clock,
            dice: Dice::new(seed),
            page_size: 100,
            part_size: 3,
            concurrency: 8,
            page_faults: VecDeque::new(),
            fetch_faults: VecDeque::new(),
            requests: Vec::new(),
            login: None,
            preparation: None,
            not_ready: None,
            warning: None,
            page_pace: SignedDuration::ZERO,
            fetch_pace: SignedDuration::ZERO,
            still_takes: None,
            waiting: VecDeque::new(),
            active: Vec::new(),
            fetches: 0,
            throttled: 0,
        }
    }

    /// (place in the listing, blob) in order of place: late blobs do not shift the others.
    fn listing(&self, request: &PageRequest) -> Vec<(String, Blob)> {
        let now = self.clock.now();
        let window = request.window;
        let listed = self.tenant.contents.iter().enumerate().filter(|(_, content)| {
            content.feed == self.feed
                && content.visible_from <= now
                && window.from <= content.created
                && content.created < window.to
        });
        let mut entries: Vec<(String, Blob)> = listed
            .flat_map(|(index, content)| {
                (0..content.times_listed).map(move |copy| {
                    let place = content.created + SignedDuration::from_mins(20) * copy;
                    (format!("{:020}.{index:06}.{copy}", place.as_microsecond()), content.blob())
                })
            })
            .collect();
        entries.sort_by(|(place, _), (other, _)| place.cmp(other));
        entries
    }

    fn begin_more(&mut self) {
        while self.active.len() < self.concurrency
            && let Some((index, blob)) = self.waiting.pop_front()
        {
            self.fetches += 1;
            let content = self.tenant.content(&blob.id);
            assert_eq!(content.blob(), blob, "a blob is asked for as it was listed");
            let expired = BlobEnd::Gone(format!("content {} has expired", blob.id));
            let failed = BlobEnd::Failed("[500] scripted".to_owned());
            let (given, end) = match self.tenant.begin(&blob.id) {
                _ if content.expires <= self.clock.now() => (0, expired),
                Attempt::Complete => (content.records.len(), BlobEnd::Complete),
                Attempt::FailsAfter(records) => (records.min(content.records.len()), failed),
                Attempt::Gone => (0, expired),
            };
            let rest = content.records[..given].iter().cloned().collect();
            self.active.push(Fetch { index, id: blob.id, rest, end });
        }
    }

    /// Lets time pass until something comes; false when that is not before `until`.
    fn comes_before(&mut self, until: Timestamp) -> bool {
        let takes = self.still_takes.take().unwrap_or(self.fetch_pace);
        let left = until.duration_since(self.clock.now()).max(SignedDuration::ZERO);
        if takes > left {
            self.clock.pass(left);
            self.still_takes = Some(takes - left);
            return false;
        }
        self.clock.pass(takes);
        true
    }

    fn give_up(&mut self) {
        self.waiting.clear();
        self.active.clear();
        self.still_takes = None;
    }
}

impl Source for ContentSource<'_> {
    async fn prepare(&mut self, preparation: &Preparation) -> Result<(), SourceError> {
        step().await;
        self.preparation = Some(preparation.clone());
        self.login.take().map_or(Ok(()), Err)
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        step().await;
        self.requests.push(request.clone());
        self.clock.pass(self.page_pace);
        let failure = Error::new(ErrorType::ApiError, 498, "scripted");
        match self.page_faults.pop_front().flatten() {
            Some(PageFault::LinkExpired) if request.link.is_some() => {
                return Err(SourceError::LinkExpired("scripted".to_owned()));
            }
            Some(PageFault::TooHeavy) => return Err(SourceError::TooHeavy(failure)),
            Some(PageFault::Throttled(seconds)) => {
                self.throttled += 1;
                let until = self.clock.now() + SignedDuration::from_secs(seconds);
                return Err(SourceError::Throttled { until });
            }
            Some(PageFault::Fatal) => return Err(SourceError::Fatal(failure)),
            Some(PageFault::OutOfTime) => return Err(SourceError::OutOfTime),
            _ => {}
        }
        if let Some(why) = &self.not_ready {
            return Err(SourceError::NotReady(why.clone()));
        }
        let mut rest = self.listing(request);
        if let Some(link) = &request.link {
            rest.retain(|(place, _)| place > link);
        }
        let has_more = rest.len() > self.page_size;
        rest.truncate(self.page_size);
        let next = rest.last().filter(|_| has_more).map(|(place, _)| place.clone());
        step().await;
        let blobs = rest.into_iter().map(|(_, blob)| blob).collect();
        Ok(Page { blobs, next, warnings: self.warning.clone().into_iter().collect(), ..Page::default() })
    }

    fn fetch(&mut self, blobs: Vec<Blob>, _deadline: Timestamp) {
        self.give_up();
        self.waiting = blobs.into_iter().enumerate().collect();
    }

    async fn fetched(&mut self, until: Timestamp) -> Result<Fetched, SourceError> {
        step().await;
        match self.fetch_faults.pop_front().flatten() {
            Some(FetchFault::NotYet) => {
                self.clock.pass(until.duration_since(self.clock.now()).max(SignedDuration::ZERO));
                return Ok(Fetched::NotYet);
            }
            Some(FetchFault::OutOfTime) => {
                self.give_up();
                return Err(SourceError::OutOfTime);
            }
            Some(FetchFault::Throttled(seconds)) => {
                self.give_up();
                self.throttled += 1;
                return Err(SourceError::Throttled {
                    until: self.clock.now() + SignedDuration::from_secs(seconds),
                });
            }
            Some(FetchFault::Fatal) => {
                self.give_up();
                return Err(SourceError::Fatal(Error::new(ErrorType::ApiError, 498, "scripted")));
            }
            Some(FetchFault::Busy(seconds)) => self.clock.pass(SignedDuration::from_secs(seconds)),
            None => {}
        }
        self.begin_more();
        if self.active.is_empty() {
            return Ok(Fetched::AllEnded);
        }
        if !self.comes_before(until) {
            return Ok(Fetched::NotYet);
        }
        let chosen = self.dice.below(self.active.len());
        let length = 1 + self.dice.below(self.part_size);
        step().await;
        let fetch = &mut self.active[chosen];
        if !fetch.rest.is_empty() {
            let records = fetch.rest.drain(..length.min(fetch.rest.len())).collect();
            return Ok(Fetched::Part { blob: fetch.index, records });
        }
        let done = self.active.swap_remove(chosen);
        let commits = self.store.usage().0;
        self.tenant.ended.lock().unwrap().push(Ending { id: done.id, end: done.end.clone(), commits });
        Ok(Fetched::Ended { blob: done.index, end: done.end })
    }

    /// What it was told, with a count of the invocations that were told something.
    /// Nothing belongs to its records.
    async fn related(&mut self, _request: &RelatedRequest) -> Result<Related, SourceError> {
        step().await;
        Ok(Related::Count(0))
    }

    fn waits_until(&self) -> Option<Timestamp> {
        None
    }

    fn memo(&self) -> Map<String, Value> {
        let mut memo = self.preparation.as_ref().map(|told| told.memo.clone()).unwrap_or_default();
        let rounds = memo.get("rounds").and_then(Value::as_u64).unwrap_or(0);
        memo.insert("rounds".to_owned(), (rounds + 1).into());
        memo
    }

    fn fingerprint(&self) -> String {
        self.feed.to_owned()
    }

    fn stats(&self) -> SourceStats {
        SourceStats {
            requests: self.requests.len() as u64 + self.fetches,
            throttled: self.throttled,
            quota_used_percent: None,
        }
    }
}
