//! Services whose records are enriched or have an end, and the part of the simulated API that counts.
//!
//! What belongs to a record is a number that its id and the member decide, so a test knows it without asking. The request
//! limit is shared by pages and counts, and outlives the invocations: it stands for what a source keeps in its memo.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use collector::error::{Error, ErrorType};
use collector::ports::{Related, RelatedRequest, SourceError};
use collector::service::{Enrichment, SameBy, Service, Tag};
use collector::settings::{Setting, Settings, SnapshotMode};
use jiff::{SignedDuration, Timestamp};

use crate::clock::TestClock;
use crate::service::{LIST, THINGS, inventory_settings, settings};

/// What is counted, in the order in which it is sent.
pub static ENRICHMENTS: [Enrichment; 5] = [
    counted("related_a"),
    counted("related_b"),
    counted("related_c"),
    counted("related_d"),
    counted("related_e"),
];

const fn counted(member: &'static str) -> Enrichment {
    Enrichment {
        switch: Setting::named(member),
        member,
        path: "/v1.0/things/{id}/related",
        permission: "Related.Read.All",
    }
}

/// Records with a time, each of which is delivered once, and what belongs to them.
pub static COUNTED: Service = Service {
    function: "test-counted",
    tag: Tag::Fixed("my.app.counted.{env}"),
    enrichments: &ENRICHMENTS,
    ..THINGS
};

/// A list, and what belongs to its lines.
pub static COUNTED_INVENTORY: Service = Service { enrichments: &ENRICHMENTS, ..LIST };

/// Records that go on to change until they have an `end`; asked for by their start.
pub static TASKS: Service = Service {
    name: "tasks",
    function: "test-tasks",
    end_time: &["end"],
    same_by: SameBy::LastVersion { ignoring: None },
    tag: Tag::Fixed("my.app.tasks.{env}"),
    ..THINGS
};

/// The settings of records with a time, with the first counts switched on.
pub fn counted_settings(members: usize) -> Settings {
    Settings { service: &COUNTED, enrichments: ENRICHMENTS.iter().take(members).collect(), ..settings() }
}

/// The settings of a list, with the first counts switched on.
pub fn counted_inventory_settings(mode: SnapshotMode, members: usize) -> Settings {
    Settings {
        service: &COUNTED_INVENTORY,
        enrichments: ENRICHMENTS.iter().take(members).collect(),
        ..inventory_settings(mode)
    }
}

/// The settings of records that have an end.
pub fn task_settings() -> Settings {
    Settings { service: &TASKS, ..settings() }
}

/// What belongs to a record.
pub fn count_of(id: &str, member: &str) -> u64 {
    id.bytes().chain(member.bytes()).fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000)
}

/// What goes wrong with one request for a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFault {
    /// Come back in so many seconds.
    Throttled(i64),
    /// A failure that may pass.
    Fatal,
    /// No answer by then.
    OutOfTime,
    /// The answer takes so many seconds, or as long as there is time.
    Slow(i64),
}

/// The counting part of the API.
#[derive(Debug, Clone, Default)]
pub struct Counting {
    /// One entry for each of the next requests for a count.
    pub faults: VecDeque<Option<CountFault>>,
    /// Members that the application may not ask for.
    pub not_permitted: BTreeSet<&'static str>,
    /// What is refused, by id and member.
    pub refused: BTreeSet<(String, &'static str)>,
    /// What fails each time, by id and member.
    pub failing: BTreeSet<(String, &'static str)>,
    /// What was asked for so far, as id and member.
    pub asked: Vec<(String, &'static str)>,
}

impl Counting {
    /// The answer to one request, which was sent.
    pub(crate) fn answer(
        &mut self,
        request: &RelatedRequest,
        clock: Option<&TestClock>,
        now: Timestamp,
    ) -> Result<Related, SourceError> {
        let (id, member) = (request.id.clone(), request.enrichment.member);
        self.asked.push((id.clone(), member));
        let failure = || Err(SourceError::Fatal(Error::new(ErrorType::ApiError, 498, "498 scripted")));
        match self.faults.pop_front().flatten() {
            Some(CountFault::Throttled(seconds)) => {
                return Err(SourceError::Throttled { until: now + SignedDuration::from_secs(seconds) });
            }
            Some(CountFault::Fatal) => return failure(),
            Some(CountFault::OutOfTime) => return Err(SourceError::OutOfTime),
            Some(CountFault::Slow(seconds)) => {
                let wanted = SignedDuration::from_secs(seconds);
                let left = request.deadline.duration_since(now);
                clock.into_iter().for_each(|it| it.pass(wanted.min(left)));
                if wanted > left {
                    return Err(SourceError::OutOfTime);
                }
            }
            None => {}
        }
        if self.not_permitted.contains(member) {
            return Ok(Related::NotPermitted("Related.Read.All is missing".to_owned()));
        }
        if self.refused.contains(&(id.clone(), member)) {
            // The source's own words, and the API's.
            return Ok(Related::Refused(format!("things/{{id}}: 400 scripted: no {}", request.id)));
        }
        if self.failing.contains(&(id.clone(), member)) {
            return failure();
        }
        Ok(Related::Count(count_of(&id, member)))
    }
}

/// A request limit: so many in any span of the clock. Clones are the same limit.
#[derive(Debug, Clone)]
pub struct Turns {
    clock: TestClock,
    most: usize,
    span: SignedDuration,
    taken: Arc<Mutex<VecDeque<Timestamp>>>,
}

impl Turns {
    /// A limit of which nothing is used.
    pub fn new(clock: &TestClock, most: usize, seconds: i64) -> Self {
        let span = SignedDuration::from_secs(seconds);
        Self { clock: clock.clone(), most, span, taken: Arc::default() }
    }

    /// When the next request can be sent; `None` when that is now.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let taken = self.taken.lock().unwrap();
        let oldest = taken.len().checked_sub(self.most).and_then(|index| taken.get(index))?;
        let turn = *oldest + self.span;
        (turn > self.clock.now()).then_some(turn)
    }

    /// Waits for a turn and takes it, unless that would be later than the deadline.
    pub(crate) fn take(&self, deadline: Timestamp) -> Result<(), SourceError> {
        if let Some(turn) = self.next() {
            if turn > deadline {
                return Err(SourceError::Throttled { until: turn });
            }
            self.clock.pass(turn.duration_since(self.clock.now()));
        }
        let mut taken = self.taken.lock().unwrap();
        taken.push_back(self.clock.now());
        let too_many = taken.len().saturating_sub(self.most);
        taken.drain(..too_many);
        Ok(())
    }
}
