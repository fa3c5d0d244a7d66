//! What happens in the simulated tenant: records of the past day, then new, late and repeated ones while all services
//! collect.
//!
//! In a collection, ten records in a row share their instant, every fiftieth is served twice, and of those emitted
//! while the services collect every other one is older than records that were collected before. Of a list some change once
//! they have arrived. What a content feed gets is told in `blobs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use local_host::stop::Stop;
use simulator::records::hunting_row;
use simulator::tenant::{Endpoint, RecordRefused};
use tokio::sync::watch;

use super::blobs::Packer;
use super::changes::{Change, Changes};
use super::lists::List;
use super::reads::Reads;
use super::world::World;

/// Share of the records that exist before the first pull, in percent.
const PAST_PERCENT: u32 = 60;

/// The past lies this far back at the most. A fresh service starts a day back.
const PAST_FROM: SignedDuration = SignedDuration::from_hours(20);

/// … and at least this far: what is younger is kept for later.
const PAST_TO: SignedDuration = SignedDuration::from_hours(1);

/// A late record is this old at the most when it appears: half of the least look-back of a service.
const LATEST: SignedDuration = SignedDuration::from_mins(7);

/// A new record is this old when it appears, so that the window which ends now holds it.
pub const NEWEST: SignedDuration = SignedDuration::from_secs(2);

/// Records that share one instant.
const SAME_INSTANT: u32 = 10;

/// Every so many records, one is served twice.
const REPEATED: u32 = 50;

/// Of so many records of a list, one changes: the one with this remainder.
const CHANGES: (u32, u32) = (30, 9);

/// How long the last records that are to change may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// Steps in which records appear while the services collect.
const STEPS: u32 = 20;

/// Days of which there is a record, where there is one a day: fewer than the API keeps.
pub const DAYS: u32 = 88;

/// Time between two steps.
const STEP: Duration = Duration::from_millis(60);

/// The emission of one demo.
pub struct Emission<'a> {
    world: &'a World,
    plan: Plan,
    packer: Packer,
    changes: Arc<Changes>,
}

/// What is over, and since when.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    emission: Option<Timestamp>,
    changes: BTreeMap<List, Timestamp>,
}

impl Ended {
    /// When the last record was emitted, or changed, that a service reads; `None` before that.
    pub fn of(&self, reads: Reads) -> Option<Timestamp> {
        match reads {
            Reads::List(list) => self.changes.get(&list).copied(),
            _ => self.emission,
        }
    }

    /// Nothing is emitted from now on, and nothing changes but in these lists.
    fn note(&mut self, waiting: &BTreeSet<List>, now: Timestamp) {
        self.emission.get_or_insert(now);
        for list in List::all().filter(|list| !waiting.contains(list)) {
            self.changes.entry(list).or_insert(now);
        }
    }

    /// Nothing happens any more, whatever was still to come.
    pub fn with_everything(&mut self) {
        self.note(&BTreeSet::new(), Timestamp::now());
    }
}

/// Which records there are, by their number, and when.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Records of each service.
    pub events: u32,
    /// Those of them that exist already, the first ones.
    past: u32,
    /// When the demo began.
    began: Timestamp,
}

impl<'a> Emission<'a> {
    /// Emits the past: `events` is the number of records that each service will have to collect in the end.
    ///
    /// # Errors
    /// A sentence that names a record which the tenant does not take.
    pub fn begin(world: &'a World, events: u32, changes: Arc<Changes>) -> Result<Self, String> {
        let past = u32::try_from(u64::from(events) * u64::from(PAST_PERCENT) / 100).unwrap_or(events);
        let plan = Plan { events, past, began: Timestamp::now() };
        let emission = Self { world, plan, packer: Packer::new(plan), changes };
        emission.emit(0..past)?;
        Ok(emission)
    }

    /// Records that have to arrive, each once.
    pub fn expected(&self) -> u64 {
        let of = |reads: Reads| match reads {
            Reads::Queue => 0,
            Reads::Days(_) => (0..self.plan.events).filter_map(|number| self.plan.day(number)).count() as u64,
            Reads::Collection(_) | Reads::Feed(_) | Reads::Table(_) => u64::from(self.plan.events),
            Reads::List(list) => {
                let indices = (0..self.plan.events).filter_map(|number| self.plan.index(reads, number));
                let changing = (0..self.plan.past).filter_map(|number| self.plan.index(reads, number));
                (indices.count() + changing.filter(|index| changes(list, *index)).count()) as u64
            }
        };
        self.world.services.iter().map(|(_, reads)| of(*reads)).sum()
    }

    /// Emits the rest, step by step, and changes what is to change; tells the end of each of both.
    ///
    /// # Errors
    /// As for [`Emission::begin`].
    pub async fn go_on(&self, stop: &Stop, ended: &watch::Sender<Ended>) -> Result<(), String> {
        let Plan { events, past, .. } = self.plan;
        let step = (events - past).div_ceil(STEPS).max(1);
        for first in (past..events).step_by(usize::try_from(step).unwrap_or(1)) {
            tokio::time::sleep(STEP).await;
            self.emit(first..events.min(first.saturating_add(step)))?;
            self.change_what_arrived()?;
        }
        let patience_ends = Instant::now() + PATIENCE;
        loop {
            // What has not arrived by now is not among what is changed next.
            let waiting = self.changes.waiting();
            self.change_what_arrived()?;
            let now = Timestamp::now();
            ended.send_modify(|ended| ended.note(&waiting, now));
            if waiting.is_empty() || stop.is_asked() || Instant::now() >= patience_ends {
                return Ok(());
            }
            tokio::time::sleep(STEP).await;
        }
    }

    fn change_what_arrived(&self) -> Result<(), String> {
        for change in self.changes.take_arrived() {
            let after = change.after();
            let Change { list, number, before, .. } = change;
            let changed = self.world.replace(list, number, before, after);
            changed.map_err(|cause| format!("a record of {} cannot be changed: {cause}", list.path()))?;
        }
        Ok(())
    }

    fn emit(&self, numbers: Range<u32>) -> Result<(), String> {
        for (service, reads) in &self.world.services {
            let emitted = match reads {
                Reads::Collection(endpoint) => {
                    self.emit_records(*endpoint, numbers.clone()).map_err(|cause| cause.to_string())
                }
                Reads::Days(endpoint) => {
                    self.emit_days(*endpoint, numbers.clone()).map_err(|cause| cause.to_string())
                }
                Reads::Feed(feed) => self
                    .packer
                    .emit_blobs(&self.world.tenant, *feed, numbers.clone())
                    .map_err(|cause| cause.to_string()),
                Reads::List(list) => {
                    self.emit_list(*reads, *list, numbers.clone()).map_err(|cause| cause.to_string())
                }
                Reads::Table(table) => {
                    self.emit_rows(table, numbers.clone());
                    Ok(())
                }
                Reads::Queue => Ok(()),
            };
            emitted.map_err(|cause| format!("what {} reads cannot be emitted: {cause}", service.function))?;
        }
        Ok(())
    }

    fn emit_days(&self, endpoint: Endpoint, numbers: Range<u32>) -> Result<(), RecordRefused> {
        for (number, day) in numbers.filter_map(|number| Some((number, self.plan.day(number)?))) {
            let time = self.plan.began - SignedDuration::from_hours(24 * i64::from(day));
            self.world
                .tenant
                .emit(endpoint, simulator::records::record(endpoint, u64::from(number), time))?;
        }
        Ok(())
    }

    fn emit_records(&self, endpoint: Endpoint, numbers: Range<u32>) -> Result<(), RecordRefused> {
        for number in numbers {
            let record =
                simulator::records::record(endpoint, u64::from(number), self.plan.appears(number, number));
            for _ in 0..copies(number) {
                self.world.tenant.emit(endpoint, record.clone())?;
            }
        }
        Ok(())
    }

    fn emit_list(&self, reads: Reads, list: List, numbers: Range<u32>) -> Result<(), RecordRefused> {
        for number in numbers {
            let Some(index) = self.plan.index(reads, number) else { continue };
            let (seed, time) = (u64::from(index), self.plan.appears(number, index));
            let before = list.record(seed, time);
            let mut number_in_tenant = 0;
            for _ in 0..copies(index) {
                number_in_tenant = list.emit(&self.world.tenant, before.clone())?;
            }
            if number < self.plan.past && changes(list, index) {
                let arrival = self.world.with_counts(list, before.as_bytes());
                let change = Change { list, number: number_in_tenant, seed, time, before };
                self.changes.await_arrival(arrival, change);
            }
        }
        Ok(())
    }

    fn emit_rows(&self, table: &str, numbers: Range<u32>) {
        for number in numbers {
            let time = self.plan.appears(number, number);
            let row = hunting_row(u64::from(number), time);
            for _ in 0..copies(number) {
                self.world.tenant.emit_hunting(table, time, row.clone());
            }
        }
    }
}

fn copies(number: u32) -> u32 {
    if number.is_multiple_of(REPEATED) { 2 } else { 1 }
}

/// Whether that record of a list changes. One that is served twice does not.
fn changes(list: List, index: u32) -> bool {
    let (every, remainder) = CHANGES;
    list.changes() && index % every == remainder
}

impl Plan {
    /// How many days ago the day is whose record is emitted with this number: every other day is late.
    fn day(&self, number: u32) -> Option<u32> {
        let (index, is_late) = number.checked_sub(self.past).map_or((number, 0), |rest| (rest, 1));
        Some(2 * index + is_late).filter(|day| *day < DAYS)
    }

    /// Which record of a list is emitted with this number, if any.
    fn index(&self, reads: Reads, number: u32) -> Option<u32> {
        let every = self.events.div_ceil(reads.most()).max(1);
        number.is_multiple_of(every).then_some(number / every)
    }

    /// The instant of a record or blob that is emitted now. `first` is its (first) number, `ordinal` counts records or
    /// blobs: of those that are no matter of the past every other one is late.
    pub fn appears(&self, first: u32, ordinal: u32) -> Timestamp {
        if first < self.past { self.past_instant(first) } else { present_instant(ordinal) }
    }

    /// An instant for that record which is the same whenever it is asked for.
    pub fn happened(&self, number: u32) -> Timestamp {
        if number < self.past { self.past_instant(number) } else { self.began }
    }

    fn past_instant(&self, number: u32) -> Timestamp {
        let group = i64::from(number / SAME_INSTANT);
        let groups = i64::from(self.past / SAME_INSTANT).max(1);
        let span = (PAST_FROM - PAST_TO).as_secs();
        self.began - PAST_FROM + SignedDuration::from_secs(span * group / groups)
    }
}

fn present_instant(ordinal: u32) -> Timestamp {
    let newest = Timestamp::now() - NEWEST;
    if ordinal.is_multiple_of(2) {
        return newest;
    }
    let spread = i64::from(ordinal) * 37 % LATEST.as_secs();
    newest - SignedDuration::from_secs(spread)
}
