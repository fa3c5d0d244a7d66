//! A simulated world of content: two feeds and the service that retries, with blobs that come late, are listed twice,
//! fail, vanish, expire and repeat each other's records, all by the choice of a seed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::collections::{BTreeMap, BTreeSet};

use collector::ports::BlobEnd;
use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use testing::content::{Attempt, Content};
use testing::content_site::{ContentSite, Who, audit};
use testing::dice::Dice;
use testing::drive::{Driven, drive};
use testing::site::{Seen, Visit};

const START: &str = "2026-11-20T06:00:00Z";
/// Content comes for so many seconds.
const SPAN: usize = 3_600;
/// So long after that, everything was visible and listed again.
const AFTERWARDS: SignedDuration = SignedDuration::from_hours(2);
/// Who works when, over and over.
pub const TURNS: [Who; 4] = [Who::Mail, Who::Retry, Who::Files, Who::Retry];
const FEEDS: [Who; 2] = [Who::Mail, Who::Files];

pub struct World {
    pub site: ContentSite,
    dice: Dice,
    turn: usize,
    /// How long each part and end of a blob takes, seconds.
    seconds_per_fetch: i64,
    /// Content that was had or given up in a batch that was committed.
    settled: BTreeSet<String>,
    /// Records that may have arrived twice, because their batch was in flight then.
    may_repeat: Vec<String>,
    positions: BTreeMap<Who, Timestamp>,
    /// Warnings of answers that name lost content.
    losses: Vec<String>,
}

impl World {
    /// A world of `count` blobs in each feed.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut dice = Dice::new(seed);
        let start: Timestamp = START.parse().unwrap();
        let mut site = ContentSite::new(START);
        for feed in FEEDS {
            let mut contents: Vec<Content> = Vec::new();
            for number in 0..count {
                contents.push(blob(feed, number, start, &contents, &mut dice));
            }
            site.tenant.contents.extend(contents);
        }
        site.mail.start_time = Some(start);
        site.files.start_time = Some(start);
        site.seed = seed;
        site.page_size = 1 + dice.below(6);
        site.part_size = 1 + dice.below(3);
        site.concurrency = 1 + dice.below(8);
        site.patience = 600;
        site.pass(1_200);
        Self {
            site,
            // Slow content makes several batches of an invocation.
            seconds_per_fetch: if dice.sometimes(2) { 8 } else { 0 },
            dice,
            turn: 0,
            settled: BTreeSet::new(),
            may_repeat: Vec::new(),
            positions: BTreeMap::new(),
            losses: Vec::new(),
        }
    }

    /// A plain tick, at the pace of this world.
    pub fn plain(&self) -> Visit {
        Visit { seconds_per_fetch: self.seconds_per_fetch, ..Visit::default() }
    }

    /// The service whose turn it is.
    pub fn who(&self) -> Who {
        TURNS[self.turn % TURNS.len()]
    }

    /// The next invocation, killed after `steps` steps; `None` when it was.
    pub fn next(&mut self, visit: Visit, steps: usize) -> Option<Seen> {
        let who = self.who();
        self.turn += 1;
        let known_endings = self.site.tenant.ended().len();
        let known_fetches = self.site.tenant.begun().len();
        let known_connections = self.site.receiver.connections().len();
        let is_faulty = !visit.fetches.is_empty() || !visit.breaks.is_empty() || !visit.writes.is_empty();
        let driven = drive(self.site.invocation(who, visit), steps);
        let fetched = self.site.tenant.begun().split_off(known_fetches);
        for id in &fetched {
            assert!(!self.settled.contains(id), "{id} was settled and is fetched again");
        }
        let commits = self.site.store.usage().0;
        for ending in self.site.tenant.ended().split_off(known_endings) {
            let is_had = ending.end == BlobEnd::Complete || matches!(ending.end, BlobEnd::Gone(_));
            if is_had && ending.commits < commits && !is_faulty {
                self.settled.insert(ending.id);
            }
        }
        let seen = match driven {
            Driven::Ended(seen, _) => Some(seen),
            Driven::Crashed => {
                let last = self.site.receiver.connections().split_off(known_connections).pop();
                let records = last.iter().flat_map(|connection| connection.records());
                self.may_repeat.extend(records.map(|(_, message)| id_of(message)));
                None
            }
        };
        if let Some(Seen { outcome, .. }) = &seen {
            let named = outcome.report.warnings.iter().filter(|warning| warning.contains("is lost"));
            self.losses.extend(named.cloned());
        }
        self.check_state();
        seen
    }

    /// What must be true of the state whenever nobody is at work.
    fn check_state(&mut self) {
        for feed in FEEDS {
            let queue = self.site.queue(feed);
            let rows = self.site.rows_of(feed, collector::run::QUEUE_PREFIX);
            let expiries = rows.iter().map(|row| row.fields["content_expiration"].as_str().unwrap());
            let first: Option<Timestamp> = expiries.map(|text| text.parse().unwrap()).min();
            assert_eq!(self.site.queue_in_short(feed), (queue.len() as u64, first), "{queue:?}");
            for id in &queue {
                assert!(!self.settled.contains(id), "{id} waits, though it was had");
            }
            let complete_to = self.site.checkpoint(feed).get("complete_to_in_utc").cloned();
            if let Some(reached) = complete_to.and_then(|text| text.as_str()?.parse::<Timestamp>().ok()) {
                let before = self.positions.insert(feed, reached);
                assert!(
                    before.is_none_or(|instant| instant <= reached),
                    "the position of {feed:?} goes back"
                );
            }
        }
        assert!(self.site.store.usage().3 <= 100);
    }

    pub fn wait_for_the_lease(&self) {
        self.site.pass(self.site.patience + 4);
    }

    pub fn advance(&mut self) {
        self.site.pass(300 + self.dice.below(600) as i64);
    }

    /// Ticks without faults until everything was visible for long enough, and nothing waits any more.
    pub fn run_until_quiet(&mut self) {
        let start: Timestamp = START.parse().unwrap();
        let end = start + SignedDuration::from_secs(SPAN as i64) + AFTERWARDS;
        for _ in 0..1_000 {
            let mut is_quiet = self.site.now() > end;
            for _ in TURNS {
                let visit = self.plain();
                let seen = self.next(visit, usize::MAX - 1).unwrap();
                let is_idle = seen.fetched.is_empty() && seen.status() == Status::UpToDate;
                is_quiet &= is_idle || seen.status() == Status::NotDue;
            }
            let waiting = FEEDS.map(|feed| self.site.queue(feed).len());
            let is_read = FEEDS.iter().all(|feed| self.positions.get(feed).is_some_and(|to| *to > end));
            if is_quiet && is_read && waiting == [0, 0] {
                return;
            }
            self.advance();
        }
        panic!("it does not become quiet: {:?}", FEEDS.map(|feed| self.site.queue(feed)));
    }

    /// Everything was had and arrived that could be; nothing came twice but what was in flight; losses are counted once.
    pub fn check(&self) {
        let had = self.check_what_was_had();
        let lost =
            self.site.tenant.contents.iter().filter(|content| !had.contains(&content.id)).count() as u64;
        assert_eq!(self.booked("lost_uris"), lost, "each loss is counted once: {:?}", self.losses);
        let mut may_repeat = self.may_repeat.clone();
        for (id, times) in &self.site.arrived() {
            for _ in 1..*times {
                let place = may_repeat.iter().position(|known| known == id);
                assert!(place.is_some(), "{id} came {times} times");
                may_repeat.swap_remove(place.unwrap());
            }
        }
    }

    /// The ids of the blobs that were had: all that could be, and their records arrived and were committed once.
    pub fn check_what_was_had(&self) -> BTreeSet<String> {
        let ended = self.site.tenant.ended().into_iter();
        let had: BTreeSet<String> =
            ended.filter(|ending| ending.end == BlobEnd::Complete).map(|ending| ending.id).collect();
        let arrived = self.site.arrived();
        let mut records = BTreeSet::new();
        for content in &self.site.tenant.contents {
            assert!(had.contains(&content.id) || !can_be_had(content), "never had: {content:?}");
            if can_be_had(content) {
                records.extend(content.records.iter().map(|record| id_of(&String::from_utf8_lossy(record))));
            }
        }
        let missing: Vec<&String> = records.iter().filter(|id| !arrived.contains_key(*id)).collect();
        assert!(missing.is_empty(), "lost: {missing:?}");
        // What came before a blob broke is sent, too; it need not have been committed when the blob was lost at last.
        let delivered = self.booked("delivered");
        let range = records.len() as u64..=arrived.len() as u64;
        assert!(range.contains(&delivered), "{delivered} records are booked, not {range:?}");
        had
    }

    fn booked(&self, name: &str) -> u64 {
        FEEDS.map(|feed| self.site.ledger(feed).get(name).copied().unwrap_or(0)).iter().sum()
    }

    /// Each loss was named in an answer.
    pub fn check_losses_are_named(&self) {
        for content in self.site.tenant.contents.iter().filter(|content| !can_be_had(content)) {
            let name = format!("content {} of ", content.id);
            let times = self.losses.iter().filter(|warning| warning.contains(&name)).count();
            assert_eq!(times, 1, "{name}: {:?}", self.losses);
        }
    }
}

/// Whether the blob can be had at last.
fn can_be_had(content: &Content) -> bool {
    content.attempts.len() < 100
        && content.attempts.first() != Some(&Attempt::Gone)
        && content.expires > content.visible_from
}

fn blob(feed: Who, number: usize, start: Timestamp, earlier: &[Content], dice: &mut Dice) -> Content {
    let id = format!("{}{number}", feed.name());
    let created = start + SignedDuration::from_secs(dice.below(SPAN) as i64);
    let records = (0..dice.below(5)).map(|index| audit(&format!("{id}.{index}"), created)).collect();
    let mut content = Content::new(feed.name(), &id, created, records);
    if dice.sometimes(3) {
        content.visible_from += SignedDuration::from_secs(dice.below(2_400) as i64);
    }
    if dice.sometimes(4) {
        content.times_listed = 2;
    }
    // The same records come again in other blobs.
    if dice.sometimes(3) && !earlier.is_empty() {
        content.records.extend(earlier[dice.below(earlier.len())].records.iter().cloned());
    }
    let fails = Attempt::FailsAfter(dice.below(4));
    match dice.below(8) {
        0 => content.attempts = vec![fails],
        1 => content.attempts = vec![fails; 1 + dice.below(3)],
        // It never can be had, and expires soon.
        2 => {
            content.attempts = vec![fails; 1_000];
            content.expires =
                content.visible_from + SignedDuration::from_secs(1_200 + dice.below(3_600) as i64);
        }
        3 if dice.sometimes(2) => content.attempts = vec![Attempt::Gone; 1_000],
        4 if dice.sometimes(2) => content.expires = content.visible_from,
        _ => {}
    }
    content
}

fn id_of(message: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(message).unwrap();
    record["Id"].as_str().unwrap().to_owned()
}
