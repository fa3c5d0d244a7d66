//! The beginning of an invocation: the lease, the position, and whether anything is due.

use jiff::{SignedDuration, Timestamp};

use crate::checkpoint::{Checkpoint, PERSISTENCE_VERSION};
use crate::error::{Error, ErrorType, code};
use crate::memory::Memory;
use crate::message::{Messages, Tags};
use crate::ports::{CHECKPOINT_KEY, LeaseRequest, Row, Sink, Source, StateError, StateStore, lease_fields};
use crate::record::HashKey;
use crate::report::{Report, Status};
use crate::settings::Settings;
use crate::window::{earlier, later, whole_second};

use super::backfill::{self, Open};
use super::batch::Batch;
use super::{Invocation, Ports, Run, Warm, proof};

/// Where a service without a configured start begins.
const DEFAULT_START: SignedDuration = SignedDuration::from_hours(24);
/// A tick this much early is still in time, as long as it is a tenth of the period or less.
const EARLIEST: SignedDuration = SignedDuration::from_secs(60);
/// How often the lease is asked for when the store does not say whether it gave it.
const TRIES: u32 = 3;

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
            backfill: None,
            batch: Batch::default(),
            tags: Tags::new(settings),
            messages: Messages::new(settings.environment.as_deref(), &pulling_id),
            pulling_id,
            narrowed: None,
            restarts: 0,
            report: Report::new(settings.service.function, &invocation.request),
            booked: Default::default(),
            story: Vec::new(),
            holds_lease: false,
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
                self.holds_lease = true;
                self.read_position(&row)?;
                Ok(true)
            }
            Err(StateError::Locked { .. }) => {
                if let Some(wanted) = &self.invocation.request.backfill {
                    let left = backfill::request_row(wanted, &self.invocation.nonce, self.started);
                    let outcome = self.ports.state.leave(&partition, &left).await;
                    outcome.map_err(|error| proof::failure(&error))?;
                }
                Ok(false)
            }
            Err(error) => Err(proof::failure(&error)),
        }
    }

    /// A dry run looks at the position without a lease.
    pub(super) async fn look_at_state(&mut self) -> Result<(), Error> {
        let rows = self.ports.state.query(&self.settings.partition(), CHECKPOINT_KEY, CHECKPOINT_KEY).await;
        let rows = rows.map_err(|error| proof::failure(&error))?;
        let mut row = rows.into_iter().next().unwrap_or_default();
        let version = row.fields.get(lease_fields::PERSISTENCE_VERSION).and_then(serde_json::Value::as_u64);
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
        self.next = self.committed.clone();
        self.next.persistence_version = PERSISTENCE_VERSION;
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
        self.open_backfills(is_warm).await
    }

    fn settle_start(&mut self) {
        let wanted = self.settings.start_time;
        let has_position =
            self.next.last_event_time_in_utc.is_some() || self.next.complete_to_in_utc.is_some();
        match (self.next.start_time_in_utc, wanted) {
            (Some(stored), Some(start)) if stored != start => {
                self.warn(format!(
                    "start_time_in_utc changed from {stored} to {start}: position and record memory restart"
                ));
                self.next.restart(start);
            }
            (Some(_), _) => {}
            (None, _) => {
                let default_start = whole_second(earlier(self.started, DEFAULT_START));
                let known = self.next.complete_to_in_utc.or(self.next.last_event_time_in_utc);
                let start =
                    wanted.or(known.filter(|_| has_position).map(|instant| earlier(instant, DEFAULT_START)));
                self.next.start_time_in_utc = Some(start.unwrap_or(default_start));
            }
        }
    }

    /// Why nothing is done now, if so.
    pub(super) fn not_yet(&self, has_backfill: bool) -> Option<Status> {
        if self.is_dry() {
            return None;
        }
        if self.next.not_before_in_utc.is_some_and(|instant| instant > self.started) {
            return Some(Status::Throttled);
        }
        let is_unfinished = self.next.walk.window().is_some() || self.next.walk.cursor.is_some();
        if self.invocation.request.force || has_backfill || is_unfinished || self.next.last_error.is_some() {
            return None;
        }
        let period = self.settings.request_period;
        let due = |last: Timestamp| later(last, period - (period / 10).min(EARLIEST));
        self.next.last_pull_in_utc.is_some_and(|last| due(last) > self.started).then_some(Status::NotDue)
    }
}
