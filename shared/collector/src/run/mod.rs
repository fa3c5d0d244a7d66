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
mod errand;
mod finish;
mod lease;
mod ledger;
mod outlook;
mod page;
mod proof;
mod queue;
mod recover;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use futures::future::join;
use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::{Checkpoint, Counts, Walk};
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
use crate::window::{Bounds, Reached, Window, complete, earlier, later, plan, whole_second};

use backfill::Open;
use batch::Batch;
use errand::Role;
use recover::Recovered;

pub use backfill::BACKFILL_PREFIX;
pub use ledger::LEDGER_PREFIX;
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
/// make pages that look alike, but not as many.
const SAME_PAGE_TOO_OFTEN: u32 = 20;

/// Why a walk ends before its windows do.
#[derive(Debug)]
enum Stop {
    /// The time is used up.
    OutOfTime,
    /// The API asks to come back later.
    Throttled(Timestamp),
    /// There is nothing to read yet, for this reason; the position stays.
    NotReady(String),
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
    /// The backfill that is walked instead of the live windows.
    backfill: Option<Open>,
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
    /// Expiry of each entry of the retry queue by its key, once the queue was read.
    queue_expiries: Option<BTreeMap<String, Timestamp>>,
}

impl<'a, S: Source, K: Sink, T: StateStore> Run<'a, S, K, T> {
    async fn play(&mut self) -> Result<Status, Error> {
        if !self.settings.enabled {
            return Ok(Status::Disabled);
        }
        let is_retry = self.settings.service.query.has_no_listing();
        if is_retry && self.invocation.request.backfill.is_some() {
            return Err(errand::refuse_backfill(self.settings));
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
            let left = self.leave_request().await;
            self.release().await?;
            return left.map(|()| idle);
        }
        self.report.devo_pulling_id = Some(self.pulling_id.clone());
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

    /// The live windows first, then each open backfill; a backfill that was asked for by itself goes alone.
    async fn pull_all(&mut self, backfills: Vec<Open>) -> Result<(), Stop> {
        self.log_in().await.map_err(|refused| self.stop_for(refused))?;
        let mut failure_of_old = None;
        if self.is_live() {
            match self.retry_what_expires_soon().await {
                // What old content is refused for need not be true of newer content, which does not wait for it.
                Err(Stop::Failed(error)) => failure_of_old = Some(error),
                end => end?,
            }
            self.pull().await?;
        }
        for open in backfills {
            self.backfill = Some(open);
            self.pull().await?;
            self.close_backfill().await?;
        }
        failure_of_old.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    /// One window after another, until there is none left.
    async fn pull(&mut self) -> Result<(), Stop> {
        self.pages = PagesOfWalk::NoneAsked;
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
        loop {
            if self.batch.is_old(self.now()) {
                self.ship().await?;
            }
            let link = self.walk().next_link.clone();
            let request = PageRequest { window, link, deadline: self.work_until() };
            if self.now() >= request.deadline {
                return Err(Stop::OutOfTime);
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
                    self.report.note_window(&window);
                    self.note_page(&page, request.link.is_none())?;
                    let next = page.next;
                    page.warnings.into_iter().for_each(|warning| self.warn(warning));
                    self.take_records(&page.records).await?;
                    self.take_blobs(page.blobs).await?;
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

    /// The window at hand, or else the next one, opened; none when there is nothing left to read.
    fn next_window(&mut self) -> Option<Window> {
        let query = self.ports.source.fingerprint();
        let now = self.now();
        let window = match self.left_window(now) {
            Some(left) => left,
            None => {
                let planned = self.plan_window(now)?;
                self.walk_mut().open(planned, now);
                planned
            }
        };
        // A link of another query would go on with the old filter.
        if self.walk().query.as_ref() != Some(&query) {
            self.walk_mut().next_link = None;
            self.walk_mut().query = Some(query);
        }
        self.restarts = 0;
        Some(window)
    }

    /// The window that was left half-way, as far as the API still keeps its records.
    fn left_window(&mut self, now: Timestamp) -> Option<Window> {
        let left = self.walk().window()?;
        let oldest = earlier(now, self.settings.service.window.retention);
        let from = later(whole_second(oldest), SignedDuration::from_secs(1));
        if left.to <= from {
            self.walk_mut().close();
            return None;
        }
        // A page link may lead on where a new query could not.
        if left.from >= oldest || self.walk().next_link.is_some() {
            return Some(left);
        }
        self.warn_of_gap(Window { from: left.from, to: from }, from);
        let kept = Window { from, to: left.to };
        self.walk_mut().open(kept, now);
        Some(kept)
    }

    fn warn_of_gap(&mut self, gap: Window, start: Timestamp) {
        let days = self.settings.service.window.retention.as_hours() / 24;
        self.warn(format!(
            "records from {} to {} cannot be had: the API keeps them for {days} days; pulling starts at {start}",
            gap.from, gap.to
        ));
    }

    fn plan_window(&mut self, now: Timestamp) -> Option<Window> {
        let max = self.narrowed.map_or(self.settings.window_max, |span| span.min(self.settings.window_max));
        let oldest = earlier(now, self.settings.service.window.retention);
        if let Some(open) = &self.backfill {
            return open.next_window(max, whole_second(later(oldest, SignedDuration::from_secs(1))));
        }
        if self.report.windows > 0 && self.next.walk.cursor.is_none() {
            return None;
        }
        let bounds = Bounds {
            start: self.next.start_time_in_utc.unwrap_or(now),
            oldest,
            max,
            lookback: self.settings.lookback,
            now,
        };
        let planned = plan(&self.reached(), &bounds);
        if let Some(gap) = planned.gap {
            self.warn_of_gap(gap, planned.window.from);
        }
        Some(planned.window)
    }

    fn window_done(&mut self, window: &Window) {
        let read_at = self.walk().read_at.unwrap_or(self.started);
        self.walk_mut().close();
        self.report.windows += 1;
        self.narrowed = self
            .narrowed
            .and_then(|span| span.checked_mul(2))
            .filter(|span| *span < self.settings.window_max);
        if let Some(open) = &mut self.backfill {
            open.walk.cursor = Some(window.to);
            return;
        }
        let reached = complete(&self.reached(), window, self.settings.lookback, read_at);
        self.next.complete_to_in_utc = reached.complete_to;
        self.next.fresh_since_in_utc = reached.fresh_since;
        // A window that was left hours ago ends where the present was then.
        let is_behind = later(window.to, self.settings.request_period) < self.started;
        self.next.walk.cursor = reached.cursor.or(is_behind.then_some(window.to));
    }

    fn reached(&self) -> Reached {
        Reached {
            newest: self.next.last_event_time_in_utc,
            complete_to: self.next.complete_to_in_utc,
            fresh_since: self.next.fresh_since_in_utc,
            cursor: self.next.walk.cursor,
        }
    }

    fn walk(&self) -> &Walk {
        self.backfill.as_ref().map_or(&self.next.walk, |open| &open.walk)
    }

    fn walk_mut(&mut self) -> &mut Walk {
        match &mut self.backfill {
            Some(open) => &mut open.walk,
            None => &mut self.next.walk,
        }
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
