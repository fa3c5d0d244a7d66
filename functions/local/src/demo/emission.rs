//! What happens in the simulated tenant: records of the past day, then new, late and repeated ones while all services
//! collect.
//!
//! Ten records in a row share their instant, every fiftieth is served twice, and of those emitted while the services
//! collect every other one is older than records that were collected before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::world::World;

/// Share of the records that exist before the first pull, in percent.
const PAST_PERCENT: u32 = 60;

/// The past lies this far back at the most. A fresh service starts a day back.
const PAST_FROM: SignedDuration = SignedDuration::from_hours(20);

/// … and at least this far: what is younger is kept for later.
const PAST_TO: SignedDuration = SignedDuration::from_hours(1);

/// A late record is this old at the most when it appears: half of the least look-back of a service.
const LATEST: SignedDuration = SignedDuration::from_mins(30);

/// A new record is this old when it appears, so that the window which ends now holds it.
const NEWEST: SignedDuration = SignedDuration::from_secs(2);

/// Records that share one instant.
const SAME_INSTANT: u32 = 10;

/// Every so many records, one is served twice.
const REPEATED: u32 = 50;

/// Steps in which records appear while the services collect.
const STEPS: u32 = 20;

/// Time between two steps.
const STEP: Duration = Duration::from_millis(60);

/// The emission of one demo.
pub struct Emission<'a> {
    world: &'a World,
    events: u32,
    /// Records of each service that exist already.
    past: u32,
    now: Timestamp,
}

impl<'a> Emission<'a> {
    /// Emits the past: `events` is the number of records that each service will have to collect in the end.
    ///
    /// # Errors
    /// A sentence that names a record which the tenant does not take.
    pub fn begin(world: &'a World, events: u32) -> Result<Self, String> {
        let past = u32::try_from(u64::from(events) * u64::from(PAST_PERCENT) / 100).unwrap_or(events);
        let emission = Self { world, events, past, now: Timestamp::now() };
        for number in 0..past {
            emission.emit(number, emission.past_instant(number))?;
        }
        Ok(emission)
    }

    /// Records that have to arrive, each once.
    pub fn expected(&self) -> u64 {
        u64::from(self.events) * self.world.services.len() as u64
    }

    /// Emits the rest, step by step.
    ///
    /// # Errors
    /// As for [`Emission::begin`].
    pub async fn go_on(&self) -> Result<(), String> {
        let step = (self.events - self.past).div_ceil(STEPS).max(1);
        for number in self.past..self.events {
            if (number - self.past).is_multiple_of(step) {
                tokio::time::sleep(STEP).await;
            }
            self.emit(number, self.present_instant(number))?;
        }
        Ok(())
    }

    fn emit(&self, number: u32, time: Timestamp) -> Result<(), String> {
        for (service, endpoint) in &self.world.services {
            let record = simulator::records::record(*endpoint, u64::from(number), time);
            let copies = if number.is_multiple_of(REPEATED) { 2 } else { 1 };
            for _ in 0..copies {
                self.world
                    .tenant
                    .emit(*endpoint, record.clone())
                    .map_err(|cause| format!("a record for {} is refused: {cause}", service.function))?;
            }
        }
        Ok(())
    }

    fn past_instant(&self, number: u32) -> Timestamp {
        let group = i64::from(number / SAME_INSTANT);
        let groups = i64::from(self.past / SAME_INSTANT).max(1);
        let span = (PAST_FROM - PAST_TO).as_secs();
        self.now - PAST_FROM + SignedDuration::from_secs(span * group / groups)
    }

    fn present_instant(&self, number: u32) -> Timestamp {
        let now = Timestamp::now();
        if number.is_multiple_of(2) {
            return now - NEWEST;
        }
        let spread = i64::from(number) * 37 % LATEST.as_secs();
        now - NEWEST - SignedDuration::from_secs(spread)
    }
}
