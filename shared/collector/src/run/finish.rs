//! The end of an invocation: the last batch, the story for Devo, the release of the lease, the answer.

use jiff::SignedDuration;

use crate::error::{Error, ErrorType};
use crate::ports::{Event, Sink, Source, SourceError, StateStore, Write};
use crate::report::{Report, Status};
use crate::story::{self, Level, Line};
use crate::window::later;

use super::batch::Purpose;
use super::course::Course;
use super::errand::Role;
use super::{Outcome, Run, Stop, proof};

/// Lines that wait for the next connection at the most.
const MOST_UNTOLD: usize = 20;
/// Rows that a merge may come on top of.
const FEW_ROWS: usize = 20;
/// Requests that are out of date, removed by one commit.
const MOST_OUTDATED: usize = 12;
/// However long the API asks for patience, it is asked again after this.
pub(super) const LONGEST_PATIENCE: SignedDuration = SignedDuration::from_hours(24);
/// The shortest wait that a failed invocation leaves to the next one.
const SHORTEST_PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// Warnings of one invocation; an answer and a story must stay readable.
const MOST_WARNINGS: usize = 100;
/// What stands for the others.
const MORE_WARNINGS: &str = "there are more warnings than these, left out of this answer";
/// The words that existing alerts look for when a delivery fails.
const DELIVERY_FAILED: &str = "collector failed Connection closed by server.";

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Sends what is left, with the story of this invocation, and commits it together with the release of the lease.
    pub(super) async fn finish(&mut self, end: Result<(), Stop>) -> Result<Status, Error> {
        self.count_requests();
        let ended = match end {
            Ok(()) | Err(Stop::OutOfShare) => Ok(self.status_when_done()),
            Err(Stop::OutOfTime) => {
                self.narrow_what_stalls();
                Ok(Status::More)
            }
            Err(Stop::Throttled(wish)) => {
                let until = wish.min(later(self.started, LONGEST_PATIENCE));
                self.next.not_before_in_utc = Some(until);
                self.report.no_request_before = Some(until);
                // That our own limit has no turn is the ordinary course of long work: the status says so, except in a dry run,
                // and a limit that is too low for it is told of by the outlook.
                if self.report.throttled > 0 {
                    self.warn(format!("the API asks for patience: no request before {until}"));
                } else if self.is_dry() {
                    self.warn(format!("no request before {until}: the request limit has no turn until then"));
                }
                Ok(Status::Throttled)
            }
            Err(Stop::NotReady(why)) => {
                self.warn(why);
                self.walk_mut().waits = true;
                Ok(Status::UpToDate)
            }
            Err(Stop::Retired(why)) => {
                self.warn(why);
                // Nothing is lost to it while there is nothing; the position still says what was read.
                self.gaps.clear();
                self.walk_mut().close();
                Ok(Status::Retired)
            }
            Err(Stop::Failed(error)) => {
                // Who gave up because of refusals asks no sooner for it: the next tick may come within seconds. A short wait
                // is not worth the tick of somebody who has mended the cause.
                if self.report.throttled > 0 {
                    let (first, latest) =
                        (later(self.now(), SHORTEST_PATIENCE), later(self.started, LONGEST_PATIENCE));
                    let until = self.ports.source.waits_until().filter(|until| *until >= first);
                    self.next.not_before_in_utc = until.map(|until| until.min(latest));
                }
                Err(error)
            }
            Err(Stop::Broken(error)) => return Err(self.roll_back(error, None).await),
        };
        self.leave_query();
        std::mem::take(&mut self.gaps).into_iter().for_each(|gap| self.warn(gap));
        self.note_result(&ended);
        self.remind(self.outlook(&self.next));
        if self.is_dry() {
            self.ship_with(Vec::new()).await?;
            return ended.map(|_| Status::DryRun);
        }
        if let Err(error) = &ended {
            self.fail(error, &error.to_string());
        }
        // Rows before words: a memory that is full is told of with the others.
        let rows = self.last_rows().await;
        if let Some(instant) = self.memory_reaches_to {
            self.warn(format!(
                "this feed's memory is full: records from before {instant} are not compared any more; raise \
                 override_bloom_filter_size to keep more"
            ));
        }
        if self.role == Role::Own {
            self.tell_story();
        }
        self.free_lease();
        if let Err(broken) = self.ship_with(rows).await {
            return Err(self.roll_back(broken, ended.err()).await);
        }
        self.keep_warm();
        ended
    }

    fn status_when_done(&self) -> Status {
        let live = &self.next.walk;
        if self.is_live() && (live.cursor.is_some() || live.window().is_some()) {
            Status::More
        } else {
            Status::UpToDate
        }
    }

    /// A live pull began.
    pub(super) fn note_pull(&mut self) {
        if self.is_live() {
            self.next.last_pull_in_utc = Some(self.started);
        }
    }

    fn note_result(&mut self, ended: &Result<Status, Error>) {
        if !self.is_live() {
            return;
        }
        self.next.last_error = ended.as_ref().err().map(ToString::to_string);
        let word = ended.as_ref().map_or_else(|error| error.error_type.as_str(), |status| status.word());
        self.next.last_result = Some(word.to_owned());
    }

    /// The last commit's rows: the hashes of its records and, where it pays, a merge of older rows.
    async fn last_rows(&mut self) -> Vec<Write> {
        let mut rows = self.rows_to_write().await;
        let forgets = rows.iter().any(|row| matches!(row, Write::Delete(_)));
        // What is forgotten and what is merged may be the same row.
        let others = self.batch.queue.len() + self.unsaved_places();
        if rows.len() + others <= FEW_ROWS && !forgets && self.now() < self.work_until() {
            rows.extend(self.warm.memory.merge(self.committed.version + 1));
            rows.extend(self.outdated.drain(..self.outdated.len().min(MOST_OUTDATED)).map(Write::Delete));
        }
        rows
    }

    /// What is told over the last connection: what could not be told before, what happened now, and the statistics.
    fn tell_story(&mut self) {
        let mut lines = std::mem::take(&mut self.next.untold);
        let elapsed = self.elapsed_ms();
        let sent = self.report.sent + self.batch.events;
        self.story.push(story::statistics(&self.pulling_id, &self.report, sent, elapsed));
        lines.extend(self.story.iter().cloned());
        for line in &lines {
            self.tell(line);
        }
        let bytes = self.report.bytes_sent + self.batch.bytes as u64;
        let message = story::metric(sent, bytes, self.started, &self.invocation.identity, self.settings);
        self.ports.sink.append(&Event { time: self.started, tag: story::METRIC_TAG, message: &message });
    }

    /// Nothing was to be done: only the lease is given back.
    pub(super) async fn release(&mut self) -> Result<(), Error> {
        self.next = self.committed.clone();
        self.commit_position().await?;
        self.keep_warm();
        Ok(())
    }

    /// The open batch was not delivered, or not committed. The position stays where it was; only what happened is
    /// noted, and the lease given back, unless it is lost. Gives the failure to answer: an earlier one, if there is one.
    pub(super) async fn roll_back(&mut self, error: Error, earlier: Option<Error>) -> Error {
        self.leave_query();
        self.drop_batch();
        self.remind(self.outlook(&self.committed));
        let words = match error.error_type {
            ErrorType::DeliveryError => format!("{DELIVERY_FAILED} {error}"),
            _ => error.to_string(),
        };
        self.fail(&error, &words);
        // Without a commit it has no place yet: whoever asked need not ask again.
        if let Err(second) = self.leave_request().await {
            self.warn(format!("the backfill could not be noted: {second}"));
        }
        let answer = earlier.unwrap_or(error);
        if !self.holds_lease {
            return answer;
        }
        let tried = std::mem::replace(&mut self.next, self.committed.clone());
        self.next.not_before_in_utc = tried.not_before_in_utc.or(self.next.not_before_in_utc);
        // A first start is counted from the first run, not from the first one that succeeds.
        self.next.start_time_in_utc = self.next.start_time_in_utc.or(tried.start_time_in_utc);
        self.note_pull();
        self.note_result(&Err(answer.clone()));
        let is_told_here = self.role == Role::Own;
        for line in self.story.iter().filter(|line| is_told_here && line.level != Level::Info) {
            // A warning that comes with each tick must not push out the failures of the others.
            if line.level == Level::Error || !self.next.untold.contains(line) {
                self.next.untold.push(line.clone());
            }
        }
        let too_many = self.next.untold.len().saturating_sub(MOST_UNTOLD);
        self.next.untold.drain(..too_many);
        if let Err(second) = self.commit_position().await {
            self.warn(format!("the lease could not be given back: {second}"));
        }
        answer
    }

    /// Commits the checkpoint alone, the lease given back. Nothing was sent, so it says nothing new about records.
    async fn commit_position(&mut self) -> Result<(), Error> {
        self.course = Course::Live;
        self.free_lease();
        let commit = self.build_commit(Vec::new(), Purpose::GiveBack)?;
        let nothing = proof::nothing_sent(self.ports.sink);
        let deadline = self.invocation.deadline;
        proof::commit(self.ports.state, &commit, nothing, self.ports.clock, deadline).await?;
        self.committed = self.next.clone();
        Ok(())
    }

    fn free_lease(&mut self) {
        self.next.lease_owner = None;
        self.next.lease_expires_at = None;
    }

    fn keep_warm(&mut self) {
        self.holds_lease = false;
        self.warm.belongs_to = Some((self.settings.partition(), self.committed.version));
    }

    /// Adds a warning to the answer and the story. While one of the operator's own queries is at hand, it is of that.
    pub(super) fn warn(&mut self, message: String) {
        match self.query_at_hand() {
            Some(query) => self.warn_plainly(format!("query \"{}\": {message}", query.name)),
            None => self.warn_plainly(message),
        }
    }

    /// The same, whatever is at hand.
    pub(super) fn warn_plainly(&mut self, message: String) {
        if self.report.warnings.len() > MOST_WARNINGS || self.report.warnings.contains(&message) {
            return;
        }
        let is_room = self.report.warnings.len() < MOST_WARNINGS;
        let text = if is_room { message } else { MORE_WARNINGS.to_owned() };
        self.story.push(Line::new(Level::Warning, text.clone()));
        self.report.warnings.push(text);
    }

    /// Adds a failure to the story, in these words, unless it is told there already.
    fn fail(&mut self, error: &Error, words: &str) {
        let failure = error.to_string();
        let is_told =
            self.story.iter().any(|line| line.level == Level::Error && line.message.contains(&failure));
        if !is_told {
            self.story.push(Line::new(Level::Error, words));
        }
    }

    pub(super) fn count_requests(&mut self) {
        let stats = self.ports.source.stats();
        self.report.requests = stats.requests.saturating_sub(self.requests_before.requests);
        self.report.throttled = stats.throttled.saturating_sub(self.requests_before.throttled);
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.now().duration_since(self.started).as_millis()).unwrap_or(0)
    }

    /// A refusal before the first page.
    pub(super) fn stop_for(&self, refused: SourceError) -> Stop {
        match refused {
            SourceError::OutOfTime => Stop::OutOfTime,
            SourceError::Throttled { until } => Stop::Throttled(until),
            SourceError::NotReady(why) => Stop::NotReady(why),
            SourceError::Retired(why) => Stop::Retired(why),
            SourceError::Fatal(error) | SourceError::TooHeavy(error) => Stop::Failed(error),
            SourceError::LinkExpired(message) | SourceError::StartTooOld { message, .. } => {
                let error = Error::new(ErrorType::PullError, crate::error::code::BAD_ANSWER, message);
                Stop::Failed(error)
            }
        }
    }

    /// The answer.
    pub(super) fn outcome(mut self, end: Result<Status, Error>) -> Outcome {
        self.count_requests();
        let failure = match end {
            Ok(status) => {
                self.report.status = status;
                None
            }
            Err(error) => {
                self.fail(&error, &error.to_string());
                self.report.status = if self.is_dry() { Status::DryRun } else { Status::More };
                Some(error)
            }
        };
        self.report.last_event_time_in_utc = self.committed.last_event_time_in_utc;
        let complete_to = self.committed.complete_to_in_utc;
        self.report.lag_seconds = complete_to.map(|instant| self.now().duration_since(instant).as_secs());
        self.report.late_sweep_period_in_seconds = self.sweep_period_achieved();
        self.report.outlook = self.outlook(&self.committed);
        self.report.elapsed_ms = self.elapsed_ms();
        let Report { received, duplicates, delivered, failed, .. } = self.report;
        if received != duplicates + delivered + failed {
            self.warn(format!(
                "counts do not add up: received {received}, duplicates {duplicates}, delivered {delivered}, failed {failed}"
            ));
        }
        Outcome { report: self.report, failure, story: self.story }
    }
}
