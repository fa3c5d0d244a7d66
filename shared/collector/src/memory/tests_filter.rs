//! Pairs of rows: what the filter says, what is read because of it, what it saves.

use proptest::prelude::*;

use super::filter::{self, Filter};
use super::row::{MOST_IN_ROW, PAIRED_FROM};
use super::tests::{RETENTION, at, put_rows, scattered, stage};
use super::*;

const NOON: &str = "2026-11-20T12:00:00Z";

/// The rows of a partition, read as a store reads them.
#[derive(Default)]
struct Stored {
    rows: BTreeMap<String, Row>,
    bytes_read: usize,
    reads: usize,
}

impl Stored {
    fn apply(&mut self, writes: &[Write]) {
        for row in put_rows(writes) {
            self.rows.insert(row.key.clone(), row);
        }
    }

    fn read(&mut self, load: &Load) -> Vec<Row> {
        let rows: Vec<Row> =
            self.rows.range(load.first.clone()..=load.last.clone()).map(|(_, row)| row.clone()).collect();
        self.bytes_read += rows.iter().map(|row| row.data.as_ref().map_or(0, Bytes::len)).sum::<usize>();
        self.reads += 1;
        rows
    }

    /// A new process that looks at these records. Gives it, and how many of them it knows.
    fn cold_start(&mut self, wanted: &[(Bucket, u64)]) -> (Memory, usize) {
        (self.bytes_read, self.reads) = (0, 0);
        let mut memory = Memory::new("1".to_owned());
        for load in memory.loads(&wanted.iter().map(|(bucket, _)| *bucket).collect()) {
            let rows = self.read(&load);
            memory.loaded(&load, rows);
        }
        for load in memory.doubts(wanted) {
            let rows = self.read(&load);
            memory.confirmed(&load, rows);
        }
        assert!(memory.doubts(wanted).is_empty(), "each doubt is settled by one read");
        let known = wanted.iter().filter(|(bucket, hash)| memory.judge(*bucket, *hash, 0) == Verdict::Known);
        let known = known.count();
        (memory, known)
    }
}

/// Commits of these hashes, one a bucket and version.
fn stored(commits: &[(Bucket, std::ops::Range<u64>)]) -> (Stored, Memory) {
    let mut store = Stored::default();
    let mut memory = Memory::new("1".to_owned());
    for (version, (bucket, numbers)) in (1..).zip(commits) {
        for load in memory.loads(&[*bucket].into()) {
            memory.loaded(&load, Vec::new());
        }
        numbers.clone().for_each(|number| assert!(stage(&mut memory, *bucket, scattered(number))));
        let writes = memory.rows(version, at(NOON), RETENTION);
        assert_eq!(writes.len(), memory.staged_rows());
        memory.committed(&writes);
        store.apply(&writes);
    }
    (store, memory)
}

fn records(bucket: Bucket, numbers: impl IntoIterator<Item = u64>) -> Vec<(Bucket, u64)> {
    numbers.into_iter().map(|number| (bucket, scattered(number))).collect()
}

fn filter_of(hashes: &[u64]) -> (Filter, Bytes) {
    let mut sorted = hashes.to_vec();
    sorted.sort_unstable();
    let (positions, rests) = filter::coded(&sorted).unwrap();
    (Filter::read(&positions).unwrap(), rests)
}

#[test]
fn a_pair_is_stored_as_it_always_was() {
    let hashes = [0x0001_0203_0405_0607_u64, 0x0001_0203_0405_0608, 0xFF00_0000_0000_0001];
    let (positions, rests) = filter::coded(&hashes).unwrap();
    let mut counts = vec![0_u8; 512];
    (counts[0], counts[510]) = (2, 1);
    assert_eq!(positions[..512], counts);
    assert_eq!(positions[512..], [1, 2, 3, 1, 2, 3, 0, 0, 0]);
    assert_eq!(rests[..], [4, 5, 6, 7, 4, 5, 6, 8, 0, 0, 0, 1]);

    let numbers = 0..PAIRED_FROM as u64;
    let (store, _) = stored(&[(Bucket::Hour(494_000), numbers.clone())]);
    let keys: Vec<&str> = store.rows.keys().map(String::as_str).collect();
    assert_eq!(keys, ["hashes#1#2026-05-10T08#000000000001", "memory#1#2026-05-10T08#000000000001"]);
    let [rests, filter] = [keys[0], keys[1]].map(|key| &store.rows[key]);
    assert_eq!(serde_json::to_string(&filter.fields).unwrap(), r#"{"filter":{"bits":32,"hashes":1024}}"#);
    assert_eq!((rests.fields.len(), rests.expires_at), (0, filter.expires_at));
    let mut sorted: Vec<u64> = numbers.map(scattered).collect();
    sorted.sort_unstable();
    let (positions, others) = filter::coded(&sorted).unwrap();
    assert_eq!((filter.data.as_ref(), rests.data.as_ref()), (Some(&positions), Some(&others)));
}

#[test]
fn only_large_rows_of_hours_are_pairs() {
    let (hour, many, few) = (Bucket::Hour(1), PAIRED_FROM as u64, PAIRED_FROM as u64 - 1);
    let table = [(hour, few, 1), (hour, many, 2), (Bucket::Timeless, many, 1), (Bucket::Content(1), many, 1)];
    for (bucket, hashes, rows) in table {
        let (store, _) = stored(&[(bucket, 0..hashes)]);
        assert_eq!(store.rows.len(), rows, "{bucket:?} {hashes}");
        assert_eq!(store.rows.values().filter(|row| row.fields.is_empty()).count(), 1);
    }
}

#[test]
fn rows_that_a_commit_needs_are_foretold_with_each_hash() {
    for (cap, hashes) in [(MOST_IN_ROW, 2_500), (1, 30), (7, 100), (1_024, 4_000), (1_500, 6_000)] {
        let mut memory = Memory::new("1".to_owned());
        let limits = MemoryLimits { most: 10_000_000, least: 10_000_000 - cap as u64 };
        memory.set_limits(Some(limits));
        let buckets = [Bucket::Hour(1), Bucket::Hour(2), Bucket::Timeless, Bucket::Content(1)];
        for load in memory.loads(&buckets.into()) {
            memory.loaded(&load, Vec::new());
        }
        for number in 0..hashes {
            let bucket = buckets[usize::try_from(scattered(number) % 13 % 4).unwrap()];
            let foretold = memory.rows_with(bucket);
            assert!(stage(&mut memory, bucket, scattered(number)));
            assert_eq!(memory.staged_rows(), foretold);
            if number % 97 == 0 || number + 1 == hashes {
                let writes = memory.rows(1, at(NOON), RETENTION);
                assert_eq!(writes.len(), foretold, "cap {cap}, {number}");
                let keys: BTreeSet<String> = put_rows(&writes).into_iter().map(|row| row.key).collect();
                assert_eq!(keys.len(), writes.len(), "no key twice");
            }
        }
    }
}

#[test]
fn a_filter_says_no_to_nothing_it_was_made_of_and_maybe_as_seldom_as_is_claimed() {
    let hashes: Vec<u64> = (0..20_000).map(scattered).collect();
    let (filter, rests) = filter_of(&hashes);
    assert!(hashes.iter().all(|hash| filter.may_hold(*hash)));
    let exact: BTreeSet<u64> = filter.hashes(&rests).unwrap().into_iter().collect();
    assert_eq!(exact, hashes.into_iter().collect());
    let asked = 10_000_000_u32;
    let maybe = (0..u64::from(asked)).filter(|number| filter.may_hold(scattered(1_000_000 + number))).count();
    // 46.6 are expected: 20,000/2³² of ten million.
    assert!((20..=80).contains(&maybe), "{maybe} of {asked}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_hashes_come_back_from_filter_and_exact_row(
        mut hashes in proptest::collection::vec(prop_oneof![any::<u64>(), 0..50_u64, (0..9_u64).prop_map(|it| u64::MAX - it)], 0..2_000),
        strangers in proptest::collection::vec(any::<u64>(), 0..50),
    ) {
        let (filter, rests) = filter_of(&hashes);
        hashes.sort_unstable();
        prop_assert_eq!(filter.hashes(&rests), Some(hashes.clone()));
        prop_assert!(hashes.iter().all(|hash| filter.may_hold(*hash)));
        for stranger in strangers {
            let is_same_half = hashes.iter().any(|hash| hash >> 32 == stranger >> 32);
            prop_assert_eq!(filter.may_hold(stranger), is_same_half);
        }
    }
}

/// First and last keys of reads, from the hour on.
type Ranges<'a> = &'a [(&'a str, &'a str)];

#[test]
fn a_cold_start_reads_only_the_filters_and_the_rows_that_hold_what_is_asked_for() {
    let [first, second] = [Bucket::Hour(100), Bucket::Hour(101)];
    let per_row = 2_000_u64;
    let commits: Vec<(Bucket, std::ops::Range<u64>)> = (0..10)
        .map(|index| (if index < 6 { first } else { second }, index * per_row..(index + 1) * per_row))
        .collect();
    let (mut store, _) = stored(&commits);
    let table: [(&[u64], Ranges); 5] = [
        (&[], &[]),
        (&[3], &[("T04#000000000001", "T04#000000000001")]),
        (
            &[2_001, 4_001, 6_001, 10_001],
            &[("T04#000000000002", "T04#000000000004"), ("T04#000000000006", "T04#000000000006")],
        ),
        (
            &[10_001, 12_001],
            &[("T04#000000000006", "T04#000000000006"), ("T05#000000000007", "T05#000000000007")],
        ),
        (&[0, 2_000, 4_000, 6_000, 8_000, 10_000], &[("T04#000000000001", "T04#000000000006")]),
    ];
    for (known, expected) in table {
        let bucket_of = |number: u64| if number < 6 * per_row { first } else { second };
        let mut wanted: Vec<(Bucket, u64)> =
            known.iter().map(|it| (bucket_of(*it), scattered(*it))).collect();
        wanted.extend(
            records(first, 1_000_000..1_000_500).into_iter().chain(records(second, 2_000_000..2_000_500)),
        );
        let mut memory = Memory::new("1".to_owned());
        for load in memory.loads(&[first, second].into()) {
            assert!(load.first.starts_with("memory#") && load.last.starts_with("memory#"));
            let rows = store.read(&load);
            memory.loaded(&load, rows);
        }
        let loads = memory.doubts(&wanted);
        let ranges: Vec<(String, String)> =
            loads.iter().map(|load| (load.first.clone(), load.last.clone())).collect();
        let full = |key: &&str| format!("hashes#1#1970-01-05{key}");
        assert_eq!(ranges, expected.iter().map(|(from, to)| (full(from), full(to))).collect::<Vec<_>>());
        for load in &loads {
            let rows = store.read(load);
            memory.confirmed(load, rows);
        }
        for (place, (bucket, hash)) in wanted.iter().enumerate() {
            let expected = if place < known.len() { Verdict::Known } else { Verdict::New };
            assert_eq!(memory.judge(*bucket, *hash, 0), expected);
        }
    }
}

#[test]
fn what_this_process_committed_is_known_without_a_read() {
    let hour = Bucket::Hour(100);
    let (_, memory) = stored(&[(hour, 0..5_000), (hour, 5_000..5_100)]);
    let wanted = records(hour, 0..6_000);
    assert!(memory.doubts(&wanted).is_empty() && memory.loads(&[hour].into()).is_empty());
    let known = wanted.iter().filter(|(bucket, hash)| memory.judge(*bucket, *hash, 0) == Verdict::Known);
    assert_eq!(known.count(), 5_100);
}

/// What happens to a store.
type Damage<'a> = &'a dyn Fn(&mut Stored);

#[test]
fn a_pair_with_a_half_that_is_missing_or_damaged_counts_as_empty_and_its_records_are_new() {
    let hour = Bucket::Hour(100);
    let key = |prefix: &str| format!("{prefix}#1#1970-01-05T04#000000000001");
    let cut = |row: &mut Row| row.data = row.data.as_ref().map(|data| data.slice(..data.len() - 1));
    let damages: [(&str, Damage); 7] = [
        ("exact row missing", &|store| drop(store.rows.remove(&key("hashes")))),
        ("exact row cut", &|store| cut(store.rows.get_mut(&key("hashes")).unwrap())),
        ("exact row empty", &|store| store.rows.get_mut(&key("hashes")).unwrap().data = None),
        ("filter cut", &|store| cut(store.rows.get_mut(&key("memory")).unwrap())),
        ("filter empty", &|store| store.rows.get_mut(&key("memory")).unwrap().data = None),
        ("filter of another count", &|store| {
            store.rows.get_mut(&key("memory")).unwrap().fields["filter"]["hashes"] = 1_999.into();
        }),
        ("filter of a later release", &|store| {
            store.rows.get_mut(&key("memory")).unwrap().fields["filter"]["bits"] = 40.into();
        }),
    ];
    for (name, damage) in damages {
        let (mut store, _) = stored(&[(hour, 0..2_000), (hour, 2_000..4_000)]);
        damage(&mut store);
        let wanted = records(hour, 0..5_000);
        let (mut memory, known) = store.cold_start(&wanted);
        assert_eq!(known, 2_000, "{name}: the other pair is whole");
        assert!(stage(&mut memory, hour, scattered(0)), "{name}: sent again");
        assert!(!stage(&mut memory, hour, scattered(0)), "{name}: once");
    }
}

#[test]
fn rows_of_the_first_release_are_read_beside_pairs() {
    let hour = Bucket::Hour(100);
    let (mut store, _) = stored(&[(hour, 0..3_000)]);
    let plain: Bytes = (3_000..9_000).flat_map(|number| scattered(number).to_le_bytes()).collect();
    let old =
        Row { key: "memory#1#1970-01-05T04#000000000000".to_owned(), data: Some(plain), ..Row::default() };
    store.rows.insert(old.key.clone(), old);
    assert_eq!(store.cold_start(&records(hour, 3_000..12_000)).1, 6_000);
    assert_eq!(store.reads, 1, "no pair holds any of them");
    assert_eq!(store.cold_start(&records(hour, 0..12_000)).1, 9_000);
}

#[test]
fn small_rows_merge_into_a_pair_and_pairs_stay_as_they_are() {
    let hour = Bucket::Hour(100);
    let commits: Vec<_> = (0..20_u64)
        .map(|index| (hour, if index == 3 { 10_000..12_000 } else { index * 100..(index + 1) * 100 }))
        .collect();
    let (mut store, mut memory) = stored(&commits);
    let merge = memory.merge(21);
    let deleted: Vec<&str> = merge
        .iter()
        .filter_map(|write| if let Write::Delete(key) = write { Some(key.as_str()) } else { None })
        .collect();
    assert_eq!((merge.len(), deleted.len()), (21, 19), "one pair for nineteen rows");
    assert!(deleted.iter().all(|key| key.starts_with("memory#") && !key.ends_with("000000000004")));
    for key in deleted {
        store.rows.remove(key);
    }
    store.apply(&merge);
    memory.committed(&merge);
    assert!(memory.merge(22).is_empty());
    let wanted = records(hour, (0..300).chain(400..2_000).chain(10_000..12_000));
    assert!(wanted.iter().all(|(bucket, hash)| memory.judge(*bucket, *hash, 0) == Verdict::Known));
    assert_eq!(store.cold_start(&wanted).1, wanted.len());
    assert_eq!(store.rows.len(), 4);
}

/// Bytes of rows that a cold start reads over 50 rows of 20,000 hashes, and over as many without filters. The share of
/// both stands in the doc of the memory.
#[test]
fn a_cold_start_reads_less() {
    let (per_row, rows, page) = (20_000_u64, 50_u64, 1_000_u64);
    let hour_of = |row: u64| Bucket::Hour(494_000 + i64::try_from(row / 5).unwrap());
    let commits: Vec<_> = (0..rows).map(|row| (hour_of(row), row * per_row..(row + 1) * per_row)).collect();
    let (mut store, _) = stored(&commits);
    let without = usize::try_from(rows * per_row * 8).unwrap();
    let new = |number: u64| (hour_of(number % rows), scattered(100_000_000 + number));
    let known = |number: u64| (hour_of(number / per_row), scattered(number));
    let all_new: Vec<_> = (0..page).map(new).collect();
    let spread: Vec<_> = (1..page).map(new).chain((0..page / 100).map(|it| known(it * 97_001))).collect();
    let recent: Vec<_> =
        (1..page).map(new).chain((0..page / 100).map(|it| known(rows * per_row - 1 - it))).collect();
    let all_known: Vec<_> = (0..page).map(|it| known(it * per_row / 20)).collect();
    let table = [
        ("only new records", all_new, 0, 38),
        ("1 % known, all in the newest row", recent, 10, 39),
        ("1 % known, each in another row", spread, 10, 48),
        ("only known records, of every row", all_known, 1_000, 88),
    ];
    for (name, wanted, known, percent) in table {
        assert_eq!(store.cold_start(&wanted).1, known, "{name}");
        let share = (store.bytes_read * 100).div_ceil(without);
        println!("{name}: {} of {without} bytes, {share} %, {} reads", store.bytes_read, store.reads);
        assert_eq!(share, percent, "{name}: {} of {without} bytes", store.bytes_read);
    }
}

#[test]
fn a_million_hashes_take_as_many_write_units_as_is_claimed() {
    let units = |row: &Row| {
        let fields: usize = row.fields.iter().map(|(name, value)| name.len() + value.to_string().len()).sum();
        (row.key.len() + 40 + fields + row.data.as_ref().map_or(0, Bytes::len)).div_ceil(1_024)
    };
    let (store, _) = stored(&[(Bucket::Hour(494_000), 0..20_000)]);
    let commit: usize = store.rows.values().map(|row| 2 * units(row)).sum();
    assert_eq!((commit, commit * 50), (278, 13_900));
    // From here on a pair costs no more than a single row.
    let single = |hashes: u64| 2 * (hashes * 8 + 90).div_ceil(1_024);
    for hashes in [PAIRED_FROM as u64, 1_500, 2_000, 5_000, 20_000] {
        let (store, _) = stored(&[(Bucket::Hour(494_000), 0..hashes)]);
        let pair: usize = store.rows.values().map(|row| 2 * units(row)).sum();
        assert!(pair as u64 <= single(hashes), "{hashes}: {pair}");
    }
}
