//! Limits of a memory: what a full one forgets, and that it answers rightly for what is left.

use std::collections::HashSet;

use proptest::prelude::*;

use super::tests::{RETENTION, at, put_rows, scattered, stage};
use super::*;
use crate::window::later;

const NOON: &str = "2026-11-20T12:00:00Z";
const HOUR: i64 = 498_600;

/// A partition and a process beside a naive model: which row holds which hashes, read by another reader than ours.
struct World {
    limits: MemoryLimits,
    rows: BTreeMap<String, Row>,
    memory: Memory,
    version: u64,
    now: Timestamp,
}

/// What one commit forgot.
struct Seen {
    deleted: Vec<String>,
    forgotten: Option<Forgotten>,
}

impl World {
    fn new(most: u64, least: u64) -> Self {
        let limits = MemoryLimits { most, least };
        let mut world =
            Self { limits, rows: BTreeMap::new(), memory: Memory::default(), version: 0, now: at(NOON) };
        world.restart();
        world
    }

    fn restart(&mut self) {
        self.memory = Memory::new("1".to_owned());
        self.memory.set_limits(Some(self.limits));
        let load = self.memory.census_load();
        let rows = self.read(&load);
        self.memory.take_census(rows);
    }

    fn read(&self, load: &Load) -> Vec<Row> {
        self.rows.range(load.first.clone()..=load.last.clone()).map(|(_, row)| row.clone()).collect()
    }

    /// Loads what these records need.
    fn look_at(&mut self, wanted: &[(Bucket, u64)]) {
        self.memory.page_begins();
        for load in self.memory.loads(&wanted.iter().map(|(bucket, _)| *bucket).collect()) {
            let rows = self.read(&load);
            self.memory.loaded(&load, rows);
        }
        for load in self.memory.doubts(wanted) {
            let rows = self.read(&load);
            self.memory.confirmed(&load, rows);
        }
    }

    /// The hashes of a stored row, by its format alone.
    fn hashes_of(&self, key: &str) -> Vec<u64> {
        let row = &self.rows[key];
        let data = row.data.as_ref().unwrap();
        if row.fields.is_empty() {
            return data.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
        }
        let rests = self.rows[&key.replace("memory#", "hashes#")].data.as_ref().unwrap();
        let mut hashes = Vec::new();
        for group in 0..=255_u8 {
            let place = 2 * usize::from(group);
            for _ in 0..u16::from_le_bytes([data[place], data[place + 1]]) {
                let (head, tail) = (512 + hashes.len() * 3, hashes.len() * 4);
                let bytes = [&[group], &data[head..head + 3], &rests[tail..tail + 4]].concat();
                hashes.push(u64::from_be_bytes(bytes.try_into().unwrap()));
            }
        }
        assert_eq!((data.len(), rests.len()), (512 + hashes.len() * 3, hashes.len() * 4));
        hashes
    }

    /// The rows of records in the order in which they are to be forgotten.
    fn by_age(&self) -> Vec<String> {
        let keys = self.rows.keys().filter(|key| key.starts_with("memory#1#") && !key.contains("#~"));
        let mut keys: Vec<String> = keys.cloned().collect();
        keys.sort_by_key(|key| (!key.contains("timeless"), key.clone()));
        keys
    }

    fn remembered(&self) -> u64 {
        self.by_age().iter().map(|key| self.hashes_of(key).len() as u64).sum()
    }

    fn commit(&mut self, most_rows: usize) -> Seen {
        self.version += 1;
        let mut writes = self.memory.rows(self.version, self.now, RETENTION);
        let forgotten = self.memory.forget(self.now, most_rows);
        writes.extend(forgotten.iter().flat_map(|it| it.writes.clone()));
        let keys: HashSet<&str> = writes.iter().map(key_of).collect();
        assert_eq!(keys.len(), writes.len(), "no key twice in a commit");
        let before = self.by_age();
        let deleted = self.apply(&writes);
        let stays = before.iter().position(|key| self.rows.contains_key(key)).unwrap_or(before.len());
        assert!(before[stays..].iter().all(|key| self.rows.contains_key(key)), "the oldest go, and no other");
        assert_eq!(deleted.iter().filter(|key| key.starts_with("memory#")).count(), stays);
        Seen { deleted, forgotten }
    }

    fn merge(&mut self) {
        self.version += 1;
        let writes = self.memory.merge(self.version);
        self.apply(&writes);
    }

    fn apply(&mut self, writes: &[Write]) -> Vec<String> {
        for row in put_rows(writes) {
            self.rows.insert(row.key.clone(), row);
        }
        let mut deleted = Vec::new();
        for write in writes {
            if let Write::Delete(key) = write {
                assert!(self.rows.remove(key).is_some(), "{key} is not there");
                deleted.push(key.clone());
            }
        }
        self.memory.committed(writes);
        assert_eq!(self.memory.remembered(), Some(self.remembered()), "the census is kept up");
        deleted
    }

    /// Stages new records, each batch a commit of its own.
    fn fill(&mut self, bucket: Bucket, numbers: std::ops::Range<u64>) -> Seen {
        let wanted: Vec<(Bucket, u64)> = numbers.map(|number| (bucket, scattered(number))).collect();
        self.look_at(&wanted);
        for (bucket, hash) in wanted {
            assert!(self.memory.has_room() && stage(&mut self.memory, bucket, hash));
        }
        self.commit(99)
    }

    fn knows(&mut self, bucket: Bucket, number: u64) -> bool {
        let wanted = [(bucket, scattered(number))];
        self.look_at(&wanted);
        self.memory.judge(bucket, scattered(number), 0) == Verdict::Known
    }
}

fn key_of(write: &Write) -> &str {
    match write {
        Write::Put(row) | Write::Add(row) => &row.key,
        Write::Delete(key) => key,
    }
}

#[test]
fn a_full_memory_forgets_the_oldest_hours_and_names_the_instant_it_reaches_back_to() {
    let mut world = World::new(100, 20);
    let hour = |index: i64| Bucket::Hour(HOUR + index);
    assert!(world.fill(hour(1), 0..30).forgotten.is_none());
    assert!(world.fill(hour(0), 100..130).forgotten.is_none());
    assert!(world.fill(Bucket::Timeless, 200..210).forgotten.is_none());
    assert!(world.fill(hour(2), 300..330).forgotten.is_none(), "100 of 100");
    let seen = world.fill(hour(3), 400..401);
    let forgotten = seen.forgotten.unwrap();
    // 91 would be few enough, but with an eighth of 80 more there is room for some commits.
    assert_eq!((forgotten.hashes, world.remembered()), (40, 61));
    assert_eq!(forgotten.reaches_back_to, at("1970-01-01T00:00:00Z") + SignedDuration::from_hours(HOUR + 1));
    for is_new_process in [false, true] {
        if is_new_process {
            world.restart();
        }
        assert!(!world.knows(Bucket::Timeless, 200) && !world.knows(hour(0), 129));
        assert!(world.knows(hour(1), 0) && world.knows(hour(2), 329) && world.knows(hour(3), 400));
    }
    assert!(world.fill(hour(3), 401..440).forgotten.is_none(), "not at every commit");
}

#[test]
fn a_memory_that_forgets_timeless_records_alone_reaches_back_to_its_oldest_hour() {
    let start = |index| at("1970-01-01T00:00:00Z") + SignedDuration::from_hours(HOUR + index);
    let mut world = World::new(10, 1);
    world.fill(Bucket::Timeless, 0..5);
    world.fill(Bucket::Hour(HOUR), 5..8);
    assert_eq!(world.fill(Bucket::Hour(HOUR + 1), 8..11).forgotten.unwrap().reaches_back_to, start(0));
    let mut world = World::new(10, 1);
    world.fill(Bucket::Timeless, 0..5);
    assert_eq!(world.fill(Bucket::Hour(HOUR + 1), 5..11).forgotten.unwrap().reaches_back_to, start(1));
    let mut world = World::new(10, 1);
    world.fill(Bucket::Timeless, 0..5);
    assert_eq!(world.fill(Bucket::Timeless, 5..11).forgotten.unwrap().reaches_back_to, at(NOON));
}

#[test]
fn rows_of_an_hour_go_by_version_and_what_another_row_holds_too_stays_known() {
    let mut world = World::new(4_000, 100);
    let hour = Bucket::Hour(HOUR);
    world.fill(hour, 0..1_500);
    world.fill(hour, 1_500..3_000);
    world.fill(hour, 3_000..3_100);
    let seen = world.fill(hour, 3_100..4_100);
    let oldest = ["memory#1#2026-11-18T00#000000000001", "hashes#1#2026-11-18T00#000000000001"];
    assert_eq!(seen.deleted, oldest, "both halves of the pair");
    assert_eq!(seen.forgotten.unwrap().hashes, 1_500);
    for number in 0..4_100 {
        let known = world.memory.judge(hour, scattered(number), 0) == Verdict::Known;
        assert_eq!(known, number >= 1_500, "{number}, in the process that holds the bucket");
    }
    // A row of another release may hold a hash that a younger row holds as well.
    let mut world = World::new(10, 1);
    let old = |version: u64, hashes: &[u64]| {
        let data: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
        let key = format!("memory#1#{}#{version:012}", hour.name());
        Row { key, data: Some(data.into()), ..Row::default() }
    };
    for row in [old(1, &[1, 2, 3]), old(2, &[2, 3, 4])] {
        world.rows.insert(row.key.clone(), row);
    }
    world.version = 2;
    world.restart();
    world.fill(hour, 100..105);
    assert_eq!(
        [1, 2, 4].map(|hash| world.memory.judge(hour, hash, 0)),
        [Verdict::New, Verdict::Known, Verdict::Known]
    );
}

#[test]
fn content_blobs_are_neither_counted_nor_forgotten() {
    let mut world = World::new(10, 1);
    let content = Bucket::Content(HOUR - 100);
    assert!(world.fill(content, 0..2_000).forgotten.is_none());
    assert_eq!((world.memory.remembered(), world.memory.staged_hashes()), (Some(0), 0));
    world.fill(Bucket::Hour(HOUR), 5_000..5_009);
    assert!(world.fill(Bucket::Hour(HOUR), 5_009..5_012).forgotten.is_some());
    world.restart();
    assert!(world.knows(content, 0) && world.memory.remembered() == Some(3));
}

#[test]
fn deletions_of_a_commit_are_bounded_and_a_pair_goes_whole_or_not_at_all() {
    let mut world = World::new(10_000, 1_000);
    let hour = Bucket::Hour(HOUR);
    for index in 0..5 {
        world.fill(hour, index * 2_000..(index + 1) * 2_000);
    }
    let wanted: Vec<_> = (10_000..10_001).map(|number| (hour, scattered(number))).collect();
    world.look_at(&wanted);
    stage(&mut world.memory, hour, wanted[0].1);
    let deletions = |most| world.memory.forget(world.now, most).map_or(0, |it| it.writes.len());
    assert_eq!([0, 1, 2, 3, 99].map(deletions), [0, 0, 2, 2, 2]);
}

#[test]
fn a_row_larger_than_the_limits_allow_stays_until_the_lower_limit_is_kept_without_it() {
    let hour = |index| Bucket::Hour(HOUR + index);
    let mut world = World::new(10_000, 0);
    world.fill(hour(0), 0..500);
    world.limits = MemoryLimits { most: 100, least: 90 };
    world.restart();
    for index in 0..8 {
        let from = 1_000 + u64::try_from(index).unwrap() * 10;
        assert!(world.fill(hour(1 + index), from..from + 10).forgotten.is_none(), "{index}");
    }
    assert_eq!(world.fill(hour(9), 2_000..2_010).forgotten.unwrap().hashes, 500);
    assert_eq!(world.remembered(), 90);
}

#[test]
fn rows_that_expired_since_the_census_are_not_in_the_way() {
    let mut world = World::new(100, 20);
    world.fill(Bucket::Hour(HOUR), 0..60);
    let wanted: Vec<_> = (100..160).map(|number| (Bucket::Hour(HOUR + 1), scattered(number))).collect();
    world.look_at(&wanted);
    for (bucket, hash) in wanted {
        stage(&mut world.memory, bucket, hash);
    }
    let end = Timestamp::from_second(world.rows.values().next().unwrap().expires_at.unwrap()).unwrap();
    assert!(world.memory.forget(later(end, SignedDuration::from_secs(-1)), 99).is_some());
    assert!(world.memory.forget(end, 99).is_none(), "the store has removed it, or is about to");
}

#[test]
fn without_limits_or_without_a_census_nothing_is_forgotten() {
    let mut memory = Memory::new("1".to_owned());
    let fill = |memory: &mut Memory, numbers: std::ops::Range<u64>| {
        memory.loaded(&memory.loads(&[Bucket::Hour(1)].into()).pop().unwrap_or(memory.census_load()), vec![]);
        numbers.for_each(|number| assert!(stage(memory, Bucket::Hour(1), number)));
    };
    fill(&mut memory, 0..50);
    let writes = memory.rows(1, at(NOON), RETENTION);
    memory.set_limits(Some(MemoryLimits { most: 5, least: 0 }));
    assert!(memory.forget(at(NOON), 99).is_none() && memory.remembered().is_none());
    memory.set_limits(None);
    memory.take_census(put_rows(&writes));
    assert!(memory.forget(at(NOON), 99).is_none() && memory.remembered() == Some(50));
}

/// One thing that happens to a memory.
#[derive(Debug, Clone)]
enum Step {
    /// A page: (bucket, first number, how many numbers), each looked at and staged if new.
    Page(Vec<(u8, u64, u64)>),
    Commit,
    /// A commit that has room for so many deletions alone.
    NarrowCommit(usize),
    /// Commits of one record each, and what comes of them in the end: a merge.
    Drip(u8, u64),
    Restart,
    /// The process ends without a commit.
    Crash,
}

fn steps(longest_run: u64, numbers: u64) -> impl Strategy<Value = Vec<Step>> {
    let part = (0..6_u8, 0..numbers, 1..=longest_run);
    let step = prop_oneof![
        5 => proptest::collection::vec(part, 1..4).prop_map(Step::Page),
        4 => Just(Step::Commit),
        1 => (0..6_usize).prop_map(Step::NarrowCommit),
        1 => (0..6_u8, 0..numbers).prop_map(|(bucket, first)| Step::Drip(bucket, first)),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

fn bucket_of(index: u8) -> Bucket {
    match index {
        0 => Bucket::Timeless,
        5 => Bucket::Content(HOUR),
        _ => Bucket::Hour(HOUR + i64::from(index)),
    }
}

/// Plays the steps beside a model that knows which hashes are stored by reading every row, and which are staged.
fn play(limits: MemoryLimits, steps: &[Step]) {
    let mut world = World::new(limits.most, limits.least);
    let mut staged: BTreeSet<(Bucket, u64)> = BTreeSet::new();
    let mut stored: BTreeSet<(Bucket, u64)> = BTreeSet::new();
    for step in steps.iter().chain([&Step::Restart, &Step::Commit]) {
        match step {
            Step::Page(parts) => {
                let wanted: Vec<(Bucket, u64)> = parts
                    .iter()
                    .flat_map(|(bucket, first, count)| {
                        (*first..first + count).map(|number| (bucket_of(*bucket), scattered(number)))
                    })
                    .collect();
                world.look_at(&wanted);
                for (bucket, hash) in wanted {
                    let is_known = staged.contains(&(bucket, hash)) || stored.contains(&(bucket, hash));
                    let verdict = world.memory.judge(bucket, hash, 0);
                    assert_eq!(verdict == Verdict::Known, is_known, "{bucket:?} {hash}");
                    if !is_known && world.memory.has_room() && world.memory.rows_with(bucket) <= 99 {
                        assert_eq!(world.memory.stage(bucket, hash, 0), Verdict::New);
                        staged.insert((bucket, hash));
                    }
                }
            }
            Step::Commit | Step::NarrowCommit(_) => {
                let most_rows = if let Step::NarrowCommit(rows) = step { *rows } else { usize::MAX };
                let before = world.remembered() + world.memory.staged_hashes();
                let seen = world.commit(most_rows);
                stored.append(&mut staged);
                let left = everything(&world);
                let after = world.remembered();
                assert!(most_rows != usize::MAX || after <= limits.most, "{after} above {limits:?}");
                assert!(after >= before.min(limits.least), "{after} below {limits:?}");
                assert!(after == before || before > limits.most, "{after} of {before}, {limits:?}");
                assert!(seen.deleted.len() <= most_rows);
                assert_eq!(seen.forgotten.as_ref().map_or(0, |it| it.hashes), before - after);
                if let Some(forgotten) = seen.forgotten {
                    let reach = Bucket::of(Some(forgotten.reaches_back_to));
                    let mut within =
                        stored.iter().filter(|(bucket, _)| *bucket >= reach && *bucket < Bucket::Timeless);
                    assert!(within.all(|record| left.contains(record)), "it reaches back to {reach:?}");
                }
                stored = left;
            }
            // A merge is a commit too: what is staged goes with it.
            Step::Drip(bucket, first) if staged.is_empty() => {
                for number in *first..first + 20 {
                    let record = (bucket_of(*bucket), scattered(number));
                    world.look_at(&[record]);
                    world.memory.stage(record.0, record.1, 0);
                    world.commit(usize::MAX);
                }
                stored = everything(&world);
                world.merge();
                assert_eq!(everything(&world), stored, "a merge forgets nothing");
            }
            Step::Drip(..) => {}
            Step::Restart | Step::Crash => {
                staged.clear();
                world.restart();
            }
        }
    }
    let wanted: Vec<(Bucket, u64)> = stored.into_iter().collect();
    world.look_at(&wanted);
    assert!(wanted.iter().all(|(bucket, hash)| world.memory.judge(*bucket, *hash, 0) == Verdict::Known));
}

fn everything(world: &World) -> BTreeSet<(Bucket, u64)> {
    let keys = world.rows.keys().filter(|key| key.starts_with("memory#"));
    keys.flat_map(|key| {
        let bucket = Bucket::parse(key.split('#').nth(2).unwrap()).unwrap();
        world.hashes_of(key).into_iter().map(move |hash| (bucket, hash))
    })
    .collect()
}

fn limits(most: RangeInclusive<u64>) -> impl Strategy<Value = MemoryLimits> {
    most.prop_flat_map(|most| (Just(most), 0..most)).prop_map(|(most, least)| MemoryLimits { most, least })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_small_memory_keeps_its_limits_and_never_errs(
        (limits, steps) in (limits(2..=60), steps(12, 200)),
    ) {
        play(limits, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_memory_keeps_its_limits_and_never_errs_with_rows_of_all_sizes(
        (limits, steps) in (limits(1_000..=9_000), steps(2_500, 20_000)),
    ) {
        play(limits, &steps);
    }
}
