//! The service that retries failed content: errands to the feeds, one after another.
//!
//! Each feed's queue is worked off under that feed's lease, with its record memory, tags and rules, in commits of its
//! partition. The errand leaves the feed's position, period and story alone. A feed that is busy is passed over: its own
//! invocation holds the memory that the errand would need.

use crate::error::{Error, ErrorType};
use crate::memory::Memory;
use crate::ports::{Sink, Source, StateStore};
use crate::report::Status;
use crate::settings::Settings;
use crate::story::Level;

use super::queue::{QUEUE_PREFIX, Which, has_work};
use super::{Invocation, Outcome, Ports, Run, Stop, Warm, proof};

/// For whom a run works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// For its own service.
    Own,
    /// For a feed whose failed content it retries.
    Errand,
}

/// What one errand came to, for the errands behind it.
enum Errand {
    /// The next feed can be looked at.
    GoOn,
    /// The next feed can be looked at, but this failed.
    Failed(Error),
    /// Nothing more can be done now.
    Stop(Stop),
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Works off the queues of all feeds. Nobody is called while nothing is due.
    pub(super) async fn retry_feeds(&mut self) -> Result<(), Stop> {
        let mut first_failure = None;
        let mut is_logged_in = false;
        let settings = self.settings;
        // A tick may begin with any feed: a long queue takes its turn like the others, and leaves its feed the lease. A
        // turn that is counted in minutes would come to the same feed each time when the period is a multiple of it.
        let turn = usize::try_from(self.hash_key.of_name(&self.pulling_id) >> 32).unwrap_or(0);
        for place in 0..settings.feeds.len() {
            let index = (place + turn) % settings.feeds.len();
            let Some(feed) = settings.feeds.get(index) else { continue };
            match self.has_work(feed).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    first_failure = first_failure.or(Some(error));
                    continue;
                }
            }
            if !is_logged_in {
                is_logged_in = true;
                self.log_in().await.map_err(|refused| self.stop_for(refused))?;
            }
            match self.run_errand(index, feed).await {
                Errand::GoOn => {}
                Errand::Failed(error) => first_failure = first_failure.or(Some(error)),
                Errand::Stop(stop) => return Err(stop),
            }
            if self.now() >= self.work_until() {
                return Err(Stop::OutOfTime);
            }
        }
        first_failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    /// A look at the queue without the feed's lease: what it says is looked at again under it.
    async fn has_work(&mut self, feed: &Settings) -> Result<bool, Error> {
        let last = format!("{QUEUE_PREFIX}~");
        let rows = self.ports.state.query(&feed.partition(), QUEUE_PREFIX, &last).await;
        let rows = rows.map_err(|error| proof::failure(&error))?;
        Ok(has_work(&rows, self.which(), self.now()))
    }

    fn which(&self) -> Which {
        if self.invocation.request.force { Which::All } else { Which::Due }
    }

    async fn run_errand(&mut self, index: usize, feed: &Settings) -> Errand {
        let invocation = Invocation {
            // Commit tokens are made of it, and two partitions may have the same version.
            nonce: format!("{index}{}", self.invocation.nonce),
            warnings: Vec::new(),
            certificates: Vec::new(),
            ..self.invocation.clone()
        };
        let mut warm = Warm::default();
        let ports = Ports {
            source: &mut *self.ports.source,
            sink: &mut *self.ports.sink,
            state: self.ports.state,
            clock: self.ports.clock,
            progress: self.ports.progress,
        };
        let mut errand = Run::new(&invocation, feed, ports, &mut warm);
        errand.role = Role::Errand;
        errand.requests_before = errand.ports.source.stats();
        errand.pulling_id.clone_from(&self.pulling_id);
        errand.messages = crate::message::Messages::new(feed.environment.as_deref(), &self.pulling_id);
        let end = errand.play_errand().await;
        let patience = errand.next.not_before_in_utc;
        let outcome = errand.outcome(end);
        let status = outcome.report.status;
        let failure = outcome.failure.clone();
        self.take_over(feed, outcome);
        match failure {
            Some(error) if error.error_type == ErrorType::DeliveryError => Errand::Stop(Stop::Failed(error)),
            Some(error) => Errand::Failed(error),
            None => match (status, patience) {
                (Status::Throttled, Some(until)) => Errand::Stop(Stop::Throttled(until)),
                (Status::More, _) => Errand::Stop(Stop::OutOfTime),
                _ => Errand::GoOn,
            },
        }
    }

    /// The feed's side of it.
    async fn play_errand(&mut self) -> Result<Status, Error> {
        if self.is_dry() {
            self.look_at_state().await?;
        } else if !self.take_lease().await? {
            return Ok(Status::Locked);
        }
        if self.must_be_patient() && !self.is_dry() {
            self.release().await?;
            return Ok(Status::NotDue);
        }
        self.settle_start();
        self.warm.memory = Memory::new(self.next.generation.to_string());
        self.warm.memory.set_limits(self.settings.memory);
        let end = self.work_off_queue(self.which(), self.work_until()).await;
        self.finish(end).await
    }

    /// Adds what an errand came to. The feed's ledger has its counts, so this service's own does not.
    fn take_over(&mut self, feed: &Settings, outcome: Outcome) {
        let theirs = outcome.report;
        let ours = &mut self.report;
        ours.received += theirs.received;
        ours.duplicates += theirs.duplicates;
        ours.delivered += theirs.delivered;
        ours.failed += theirs.failed;
        ours.sent += theirs.sent;
        ours.bytes_sent += theirs.bytes_sent;
        ours.failed_uris += theirs.failed_uris;
        ours.lost_uris += theirs.lost_uris;
        for (tag, events) in &theirs.tables {
            *ours.tables.entry(tag.clone()).or_default() += events;
        }
        if let (Some(samples), Some(more)) = (&mut ours.samples, &theirs.samples) {
            samples.extend(more.iter().cloned());
            samples.truncate(super::batch::SAMPLES);
        }
        self.mark_booked_elsewhere(&theirs);
        for warning in theirs.warnings {
            self.warn(format!("{}: {warning}", feed.service.name));
        }
        self.story.extend(outcome.story.into_iter().filter(|line| line.level == Level::Error));
    }
}
