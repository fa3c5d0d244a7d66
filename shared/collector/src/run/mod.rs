//! The run loop: one invocation of one service.
//!
//! Take the lease, see whether anything is due, read windows page by page, drop what was delivered before, send the rest
//! in batches, and commit each batch's position and record hashes after its delivery was proven. In memory the next
//! checkpoint always describes exactly what was committed *plus* the open batch, so a batch may close at any record: a
//! page that was not read to its end is asked for again, and the record memory drops its first part.
//!
//! What can be lost on the way is only time: a crash before a commit repeats, at most, the batch that was in flight.

mod backfill;
mod batch;
mod content;
mod course;
mod enrich;
mod errand;
mod finish;
mod hunt;
mod lease;
mod ledger;
mod outlook;
mod owed;
mod page;
mod places;
mod proof;
mod queue;
mod recover;
mod shape;
mod snapshot;
mod sweep;
mod unfinished;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::future::join;
use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::{Checkpoint, Counts};
use crate::error::{Error, ErrorType, code};
use crate::event::Request;
use crate::memory::Memory;
use crate::message::{Messages, Tags};
use crate::outlook::{Certificate, Reminders};
use crate::ports::{
    Clock, Page, PageRequest, Preparation, Sink, Source, SourceError, SourceStats, StateStore,
};
use crate::record::HashKey;
use crate::report::{Report, Status};
use crate::settings::Settings;
use crate::story::{Identity, Line};
use crate::window::{Window, earlier, later};

use backfill::Open;
use batch::Batch;
use course::Course;
use errand::Role;
use places::Hunt;
use recover::Recovered;

pub use backfill::BACKFILL_PREFIX;
pub use enrich::Enriching;
pub use ledger::LEDGER_PREFIX;
pub use places::{QUERY_PREFIX, QueryPlace};
pub use queue::QUEUE_PREFIX;

/// What a host knows about one invocation.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Holder of the lease; Lambda's request id.
    pub request_id: String,
    /// Random text, new for each invocation.
    pub nonce: String,
    /// 32 random hexadecimal digits: becomes the key of the record hashes in a partition that has none.
    pub fresh_hash_key: String,
    /// Work has ended by then.
    pub deadline: Timestamp,
    /// What is asked.
    pub request: Request,
    /// Who tells the story.
    pub identity: Identity,
    /// What the host already has to say, for example about the settings.
    pub warnings: Vec<String>,
    /// The certificates that are used: the operator is warned before one of them ends.
    pub certificates: Vec<Certificate>,
}

/// The ports of one invocation.
pub struct Ports<'a, S, K, T> {
    /// Where records come from.
    pub source: &'a mut S,
    /// Where they go.
    pub sink: &'a mut K,
    /// Where the position is kept.
    pub state: &'a T,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Called after each page and each commit with the counts so far.
    pub progress: &'a (dyn Fn(&Report) + Send + Sync),
}

/// What a process keeps from one invocation of a service to the next: record hashes, valid while nobody else wrote, and
/// what it has warned of today.
#[derive(Debug, Default)]
pub struct Warm {
    reminders: Reminders,
    memory: Memory,
    /// Partition and version of the checkpoint that the memory belongs to.
    belongs_to: Option<(String, u64)>,
}

/// What became of an invocation.
#[derive(Debug)]
pub struct Outcome {
    /// The counts, also after a failure.
    pub report: Report,
    /// Why it failed, if it did.
    pub failure: Option<Error>,
    /// What was told about it, for the host's own log.
    pub story: Vec<Line>,
}

/// Plays one invocation to its end. No task of it outlives the answer.
pub async fn invoke<S: Source, K: Sink, T: StateStore>(
    invocation: &Invocation,
    settings: &Settings,
    ports: Ports<'_, S, K, T>,
    warm: &mut Warm,
) -> Outcome {
    let mut run = Run::new(invocation, settings, ports, warm);
    let end = run.play().await;
    run.outcome(end)
}

/// What came of the requests of a walk in this invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PagesOfWalk {
    /// No page was asked for yet.
    NoneAsked,
    /// No page came since the first was asked for.
    NoneCame {
        /// When that was.
        asked_at: Timestamp,
    },
    /// At least one page came.
    SomeCame,
}

/// A page that comes as often as this in one walk comes without end. A record that the API holds several times may well
/// make pages that look alike, and rows of one millisecond fill the same page in each span around it or beside it, by each
/// of the filters that a list is asked by; but not as many.
const SAME_PAGE_TOO_OFTEN: u32 = 64;

/// Why a walk ends before its windows do.
#[derive(Debug)]
enum Stop {
    /// The time is used up.
    OutOfTime,
    /// The late sweep has used its share of requests or time: it rests until the next tick.
    OutOfShare,
    /// The API asks to come back later.
    Throttled(Timestamp),
    /// There is nothing to read yet, for this reason; the position stays.
    NotReady(String),
    /// There is nothing to read any more, for this reason.
    Retired(String),
    /// A failure that says nothing about delivery or state: what was read so far can be sent.
    Failed(Error),
    /// Delivery or commit failed: the open batch is lost to this invocation.
    Broken(Error),
}

struct Run<'a, S, K, T> {
    invocation: &'a Invocation,
    settings: &'a Settings,
    ports: Ports<'a, S, K, T>,
    warm: &'a mut Warm,
    started: Timestamp,
    pulling_id: String,
    hash_key: HashKey,
    /// What the store holds.
    committed: Checkpoint,
    /// What it will hold once the open batch is committed.
    next: Checkpoint,
    course: Course,
    /// Where the operator's own queries stand, in the order of the settings.
    hunts: Vec<Hunt<'a>>,
    /// When the last pull before this one began.
    pulled_before: Option<Timestamp>,
    batch: Batch,
    tags: Tags,
    messages: Messages,
    /// Longest window while heavier ones fail.
    narrowed: Option<SignedDuration>,
    /// Restarts of the window at hand.
    restarts: u32,
    pages: PagesOfWalk,
    /// How often each page was met since the window's first one, by a hash.
    pages_seen: HashMap<u64, u32>,
    /// Requests for backfills that were complete before anybody read them.
    outdated: Vec<String>,
    /// The store knows of the backfill that is asked for, so a tick will go on with it.
    is_noted: bool,
    report: Report,
    /// Gaps that are worth a word only if the API, which was retired, gives records again.
    gaps: Vec<String>,
    /// Counts that are in the store's ledger.
    booked: Counts,
    story: Vec<Line>,
    /// The lease is ours and what is written under it counts.
    holds_lease: bool,
    role: Role,
    /// What the source had done before this run.
    requests_before: SourceStats,
    /// The source was told what it knew before: what it knows now is worth keeping.
    is_prepared: bool,
    /// Records from before this instant are not compared any more, because a full memory forgot some of them.
    memory_reaches_to: Option<Timestamp>,
    /// Counts that the application may not ask for, by their members.
    not_permitted: BTreeSet<&'static str>,
    /// The walk at hand had an answer to a request for a count.
    has_counted: bool,
    /// Expiry of each entry of the retry queue by its key, once the queue was read.
    queue_expiries: Option<BTreeMap<String, Timestamp>>,
}

impl<'a, S: Source, K: Sink, T: StateStore> Run<'a, S, K, T> {
    async fn play(&mut self) -> Result<Status, Error> {
        if !self.settings.enabled {
            return Ok(Status::Disabled);
        }
        let query = &self.settings.service.query;
        let is_retry = query.has_no_listing();
        if self.invocation.request.backfill.is_some() && !self.settings.has_windows() {
            return Err(backfill::refuse(self.settings));
        }
        if self.is_dry() {
            self.look_at_state().await?;
        } else if !self.take_lease().await? {
            return Ok(Status::Locked);
        }
        let backfills = match self.begin().await {
            Ok(open) => open,
            Err(error) => return Err(self.roll_back(error, None).await),
        };
        if let Some(idle) = self.not_yet(!backfills.is_empty()) {
            self.report.no_request_before = self.next.not_before_in_utc.filter(|_| idle == Status::Throttled);
            let left = self.leave_request().await;
            self.release().await?;
            return left.map(|()| idle);
        }
        self.report.devo_pulling_id = Some(self.pulling_id.clone());
        self.pulled_before = self.next.last_pull_in_utc;
        self.note_pull();
        self.next.not_before_in_utc = None;
        let end = if is_retry { self.retry_feeds().await } else { self.pull_all(backfills).await };
        self.finish(end).await
    }

    /// Login and the handshake with Devo do not wait for one another.
    async fn log_in(&mut self) -> Result<(), SourceError> {
        self.is_prepared = true;
        let preparation = Preparation {
            deadline: self.work_until(),
            memo: self.next.source_memo.clone(),
            is_dry: self.is_dry(),
        };
        if self.is_dry() {
            return self.ports.source.prepare(&preparation).await;
        }
        join(self.ports.source.prepare(&preparation), self.ports.sink.prepare()).await.0
    }

    /// The live windows first, then the late sweep, then each open backfill; a backfill that was asked for by itself goes
    /// alone.
    async fn pull_all(&mut self, backfills: Vec<Open>) -> Result<(), Stop> {
        self.log_in().await.map_err(|refused| self.stop_for(refused))?;
        let mut first_failure = None;
        let end = self.pull_each(backfills, &mut first_failure).await;
        match (end, first_failure) {
            (Ok(()), Some(error)) => Err(Stop::Failed(error)),
            (end, failure) => {
                self.tell_failure(failure);
                end
            }
        }
    }

    /// The same, as far as it goes. A failure that does not keep what comes behind it waiting is noted.
    async fn pull_each(
        &mut self,
        backfills: Vec<Open>,
        first_failure: &mut Option<Error>,
    ) -> Result<(), Stop> {
        if self.is_live() {
            match self.retry_what_expires_soon().await {
                // What old content is refused for need not be true of newer content, which does not wait for it.
                Err(Stop::Failed(error)) => *first_failure = Some(error),
                end => end?,
            }
            if self.settings.service.query.is_hunting() {
                match self.hunt().await {
                    Err(Stop::Failed(error)) => *first_failure = Some(error),
                    end => end?,
                }
            } else {
                self.pull().await?;
            }
            // Nor need backfills wait for what hours that were read before are refused for.
            match self.sweep(!backfills.is_empty()).await {
                Err(Stop::Failed(error)) => {
                    *first_failure = self.note_failure(first_failure.take(), error);
                }
                end => end?,
            }
        }
        for open in backfills {
            self.course = Course::Backfill(Box::new(open));
            self.pull_backfill().await?;
            self.close_backfill().await?;
        }
        Ok(())
    }

    /// One window after another, until there is none left.
    async fn pull(&mut self) -> Result<(), Stop> {
        self.pages = PagesOfWalk::NoneAsked;
        self.has_counted = false;
        while let Some(planned) = self.next_window() {
            let window = self.read_window(planned).await?;
            self.window_done(&window);
            if self.is_dry() {
                break;
            }
        }
        Ok(())
    }

    /// The pages of a window, from where they were left. Gives the window that was read to its end, which is narrower
    /// than the planned one where that was too heavy.
    async fn read_window(&mut self, mut window: Window) -> Result<Window, Stop> {
        self.feed_the_starved().await?;
        loop {
            self.ship_what_would_grow_old().await?;
            let link = self.walk().next_link.clone();
            let request =
                PageRequest { window, query: self.query_index(), link, deadline: self.work_until() };
            if self.now() >= request.deadline {
                return Err(Stop::OutOfTime);
            }
            if self.is_share_used() {
                return Err(Stop::OutOfShare);
            }
            if self.pages == PagesOfWalk::NoneAsked {
                self.pages = PagesOfWalk::NoneCame { asked_at: self.now() };
            }
            match self.ports.source.page(&request).await {
                Err(refused) => match self.recover(refused, window)? {
                    Recovered::GoesOn(changed) => window = changed,
                    Recovered::OutOfReach(lost) => return Ok(lost),
                },
                Ok(page) => {
                    self.count_requests();
                    self.pages = PagesOfWalk::SomeCame;
                    self.walk_mut().waits = false;
                    self.note_window(&window);
                    self.note_page(&page, request.link.is_none())?;
                    let next = page.next;
                    page.warnings.into_iter().for_each(|warning| self.warn(warning));
                    page.missing.iter().for_each(|what| self.note_missing(&window, what));
                    self.take_records(&page.records).await?;
                    self.take_blobs(page.blobs).await?;
                    page.complete_to.iter().for_each(|instant| self.note_swept(*instant));
                    if next.is_some() && next == request.link {
                        return Err(Stop::Failed(circle("the page's link leads to itself")));
                    }
                    self.walk_mut().next_link = next;
                    (self.ports.progress)(&self.report);
                    if self.walk().next_link.is_none() {
                        return Ok(window);
                    }
                }
            }
        }
    }

    /// Notices an API that gives the same page again and again under ever new links: that walk has no end.
    fn note_page(&mut self, page: &Page, is_first: bool) -> Result<(), Stop> {
        if is_first {
            self.pages_seen.clear();
        }
        // Its ends and its length tell a page: hashing all of it would cost as much as the rest of the work.
        let mut content = DefaultHasher::new();
        (page.records.len(), page.records.first(), page.records.last()).hash(&mut content);
        page.blobs.iter().for_each(|blob| blob.id.hash(&mut content));
        if page.next.is_none() || (page.records.is_empty() && page.blobs.is_empty()) {
            return Ok(());
        }
        let times = self.pages_seen.entry(content.finish()).or_insert(0);
        *times += 1;
        if *times < SAME_PAGE_TOO_OFTEN {
            return Ok(());
        }
        self.walk_mut().next_link = None;
        Err(Stop::Failed(circle("the same page comes again and again under other links")))
    }

    /// A backfill by itself is no pull of the live windows: it leaves their period alone.
    fn is_live(&self) -> bool {
        self.role == Role::Own && self.invocation.request.backfill.is_none()
    }

    fn is_dry(&self) -> bool {
        self.invocation.request.dry_run
    }

    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// New requests end here, so that the last batch can still be delivered and committed before the deadline.
    fn work_until(&self) -> Timestamp {
        let whole = self.invocation.deadline.duration_since(self.started);
        let reserve = (whole / 5).clamp(SignedDuration::from_secs(1), SignedDuration::from_secs(20));
        earlier(self.invocation.deadline, reserve)
    }

    /// A delivery ends here, so that its commit can still be made.
    fn deliver_until(&self) -> Timestamp {
        earlier(self.invocation.deadline, SignedDuration::from_millis(500))
    }

    /// When the lease ends by itself.
    fn lease_until(&self) -> Timestamp {
        later(self.invocation.deadline, SignedDuration::from_secs(3))
    }
}

fn circle(what: &str) -> Error {
    let message = format!("the API gave no page: {what}; it is asked for again at the next tick");
    Error::new(ErrorType::PullError, code::BAD_ANSWER, message)
}
