//! The beginning of an invocation: the lease, the position, and whether anything is due.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::checkpoint::{Checkpoint, PERSISTENCE_VERSION};
use crate::error::{Error, ErrorType, code};
use crate::memory::Memory;
use crate::message::{Messages, Tags};
use crate::ports::{
    CHECKPOINT_KEY, Commit, Guard, LeaseRequest, Row, Sink, Source, StateError, StateStore, lease_fields,
};
use crate::record::HashKey;
use crate::report::{Report, Status};
use crate::settings::Settings;
use crate::window::{earlier, later, whole_second};

use super::backfill::Open;
use super::batch::{Batch, first_20};
use super::course::Course;
use super::errand::Role;
use super::finish::LONGEST_PATIENCE;
use super::{Invocation, PagesOfWalk, Ports, Run, Warm, proof};

/// Where a service without a configured start begins.
pub(super) const DEFAULT_START: SignedDuration = SignedDuration::from_hours(24);
/// A tick this much early is still in time, as long as it is a tenth of the period or less.
const EARLIEST: SignedDuration = SignedDuration::from_secs(60);
/// How often a retired API is asked whether it came back.
const RETIRED_PERIOD: SignedDuration = SignedDuration::from_hours(24);
/// How often the lease is asked for when the store does not say whether it gave it.
const TRIES: u32 = 3;

/// When something with this period is due again.
pub(super) fn due_after(last: Timestamp, period: SignedDuration) -> Timestamp {
    later(last, period - (period / 10).min(EARLIEST))
}

impl<'a, S: Source, K: Sink, T: StateStore> Run<'a, S, K, T> {
    pub(super) fn new(
        invocation: &'a Invocation,
        settings: &'a Settings,
        ports: Ports<'a, S, K, T>,
        warm: &'a mut Warm,
    ) -> Self {
        let started = ports.clock.now();
        let pulling_id = started.as_millisecond().to_string();
        Self {
            invocation,
            settings,
            warm,
            started,
            hash_key: HashKey::from_hex(&invocation.fresh_hash_key).unwrap_or_default(),
            committed: Checkpoint::default(),
            next: Checkpoint::default(),
            course: Course::Live,
            hunts: Vec::new(),
            pulled_before: None,
            batch: Batch::default(),
            tags: Tags::new(settings),
            messages: Messages::new(settings.environment.as_deref(), &pulling_id),
            pulling_id,
            narrowed: None,
            restarts: 0,
            pages: PagesOfWalk::NoneAsked,
            pages_seen: Default::default(),
            outdated: Vec::new(),
            is_noted: false,
            gaps: Vec::new(),
            report: Report::new(settings.service.function, &invocation.request),
            booked: Default::default(),
            story: Vec::new(),
            holds_lease: false,
            role: Role::Own,
            requests_before: Default::default(),
            is_prepared: false,
            not_permitted: Default::default(),
            has_counted: false,
            queue_expiries: None,
            memory_reaches_to: None,
            ports,
        }
    }

    /// Takes the lease and reads the position, in one write. False when another invocation holds it; a backfill
    /// that was asked for is then left for the holder.
    pub(super) async fn take_lease(&mut self) -> Result<bool, Error> {
        let partition = self.settings.partition();
        let request = LeaseRequest {
            owner: self.invocation.request_id.clone(),
            writer: self.invocation.nonce.clone(),
            now_ms: self.started.as_millisecond(),
            expires_at_ms: self.lease_until().as_millisecond(),
            readable_version: PERSISTENCE_VERSION,
            fresh_hash_key: self.invocation.fresh_hash_key.clone(),
        };
        let mut answer = self.ports.state.acquire(&partition, &request).await;
        for _ in 1..TRIES {
            // The same request may be made again: if it was granted, it is granted still.
            if !matches!(answer, Err(StateError::Unknown(_))) {
                break;
            }
            answer = self.ports.state.acquire(&partition, &request).await;
        }
        match answer {
            Ok(row) => {
                if let Err(error) = self.read_position(&row) {
                    self.give_back_unread(row).await;
                    return Err(error);
                }
                self.holds_lease = true;
                Ok(true)
            }
            Err(StateError::Locked { .. }) => {
                self.leave_request().await?;
                Ok(false)
            }
            Err(error) => Err(proof::failure(&error)),
        }
    }

    /// Gives the lease of a checkpoint back that cannot be read: its other members stay as they are.
    async fn give_back_unread(&mut self, mut row: Row) {
        let version = row.fields.get(lease_fields::VERSION).and_then(Value::as_u64).unwrap_or(0);
        row.fields.insert(lease_fields::VERSION.to_owned(), (version + 1).into());
        row.fields.shift_remove(lease_fields::OWNER);
        row.fields.shift_remove(lease_fields::EXPIRES_AT);
        let writer = self.invocation.nonce.clone();
        let commit = Commit {
            partition: self.settings.partition(),
            token: first_20(&writer),
            guard: Guard { writer, version },
            checkpoint: row,
            writes: Vec::new(),
        };
        // The failure that is answered is the one that led here; an unreturned lease ends by itself.
        if let Err(error) = self.ports.state.commit(&commit).await {
            self.warn(format!("the lease could not be given back: {error}"));
        }
    }

    /// A dry run looks at the position without a lease.
    pub(super) async fn look_at_state(&mut self) -> Result<(), Error> {
        let rows = self.ports.state.query(&self.settings.partition(), CHECKPOINT_KEY, CHECKPOINT_KEY).await;
        let rows = rows.map_err(|error| proof::failure(&error))?;
        let mut row = rows.into_iter().next().unwrap_or_default();
        let version = row.fields.get(lease_fields::PERSISTENCE_VERSION).and_then(Value::as_u64);
        if let Some(found) = version.filter(|found| *found > PERSISTENCE_VERSION) {
            let newer = StateError::Newer { found: found.to_string(), readable: PERSISTENCE_VERSION };
            return Err(proof::failure(&newer));
        }
        row.fields
            .entry(lease_fields::HASH_KEY)
            .or_insert_with(|| self.invocation.fresh_hash_key.clone().into());
        self.read_position(&row)
    }

    fn read_position(&mut self, row: &Row) -> Result<(), Error> {
        self.committed = Checkpoint::read(row)?;
        self.hash_key = HashKey::from_hex(&self.committed.hash_key).ok_or_else(|| {
            let message =
                "the checkpoint cannot be read: hash_key is not 32 hexadecimal digits; nothing was changed";
            Error::new(ErrorType::StateError, code::STATE, message)
        })?;
        self.committed.persistence_version = PERSISTENCE_VERSION;
        self.next = self.committed.clone();
        Ok(())
    }

    /// Settles where the service starts, which memory counts, and which backfills are open.
    pub(super) async fn begin(&mut self) -> Result<Vec<Open>, Error> {
        for warning in &self.invocation.warnings {
            self.warn(warning.clone());
        }
        self.settle_start();
        let belongs_to = (self.settings.partition(), self.committed.version.wrapping_sub(1));
        let space = self.next.generation.to_string();
        let is_warm =
            !self.is_dry() && self.warm.belongs_to == Some(belongs_to) && self.warm.memory.space() == space;
        // Until this invocation ends well, nobody shall trust what it leaves behind.
        self.warm.belongs_to = None;
        if !is_warm {
            self.warm.memory = Memory::new(space);
        }
        self.warm.memory.set_limits(self.settings.memory);
        self.read_places().await?;
        self.open_backfills(is_warm).await
    }

    pub(super) fn settle_start(&mut self) {
        let wanted = self.settings.start_time;
        let mark = self.settings.older_start.mark.as_ref();
        let has_position =
            self.next.last_event_time_in_utc.is_some() || self.next.complete_to_in_utc.is_some();
        let reach = self.settings.older_start.reach.unwrap_or(DEFAULT_START);
        let default_start = whole_second(earlier(self.started, reach));
        match (self.next.start_time_in_utc, wanted) {
            (Some(stored), Some(start)) if stored != start => {
                self.warn(format!(
                    "start_time_in_utc changed from {stored} to {start}: position and record memory restart"
                ));
                self.next.restart(start);
            }
            (Some(_), _) if mark.is_some() && self.next.reset_mark.as_ref() != mark => {
                let start = wanted.unwrap_or(default_start);
                self.warn(format!(
                    "reset_persistence_auth changed: position and record memory restart at {start}"
                ));
                self.next.restart(start);
            }
            (Some(_), _) => {}
            (None, _) => {
                let known = self.next.complete_to_in_utc.or(self.next.last_event_time_in_utc);
                let start =
                    wanted.or(known.filter(|_| has_position).map(|instant| earlier(instant, DEFAULT_START)));
                self.next.start_time_in_utc = Some(start.unwrap_or(default_start));
            }
        }
        self.next.reset_mark = mark.or(self.next.reset_mark.as_ref()).cloned();
    }

    /// Why nothing is done now, if so.
    pub(super) fn not_yet(&self, has_backfill: bool) -> Option<Status> {
        if self.is_dry() {
            return None;
        }
        if self.must_be_patient() {
            return Some(Status::Throttled);
        }
        if self.is_known_as_retired() {
            return Some(Status::Retired);
        }
        if self.settings.service.query.is_hunting() {
            let is_wanted = self.invocation.request.force || has_backfill || self.is_hunt_due();
            return (!is_wanted).then_some(Status::NotDue);
        }
        let walk = &self.next.walk;
        let is_unfinished = !walk.waits && (walk.window().is_some() || walk.cursor.is_some());
        let was_cut_short = matches!(self.next.last_result.as_deref(), Some("more" | "throttled"));
        let goes_on = is_unfinished || was_cut_short || self.next.last_error.is_some();
        if self.invocation.request.force || has_backfill || goes_on {
            return None;
        }
        let period = self.settings.request_period;
        let due = |last: Timestamp| due_after(last, period);
        // A pull from after now was noted by a clock that was wrong.
        let last = self.next.last_pull_in_utc.filter(|last| *last <= self.started);
        last.is_some_and(|instant| due(instant) > self.started).then_some(Status::NotDue)
    }

    /// Whether the API was found to be retired less than a day ago, and nobody asks for another look.
    fn is_known_as_retired(&self) -> bool {
        let request = &self.invocation.request;
        let last = self.next.last_pull_in_utc.filter(|last| *last <= self.started);
        self.next.is_retired()
            && !request.force
            && request.backfill.is_none()
            && last.is_some_and(|instant| due_after(instant, RETIRED_PERIOD) > self.started)
    }

    /// Whether the API asked to come back later than now. A wish from further ahead than any is kept was noted by a clock
    /// that was wrong.
    pub(super) fn must_be_patient(&self) -> bool {
        let longest = later(self.started, LONGEST_PATIENCE);
        let wish = self.next.not_before_in_utc;
        wish.is_some_and(|instant| self.started < instant && instant <= longest)
    }
}
