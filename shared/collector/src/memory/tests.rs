//! The record memory by itself: what it remembers, reads, merges, extends and forgets.

use super::row::{GRACE, LONGEST_KEPT, expiry};
use super::*;
use crate::window::later;

pub(super) const RETENTION: SignedDuration = SignedDuration::from_hours(30 * 24);

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The hash of a numbered record, as uniform as real ones.
pub(super) fn scattered(number: u64) -> u64 {
    let mixed =
        (number ^ (number >> 30)).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let again = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    again ^ (again >> 31)
}

fn loaded(buckets: &[Bucket], rows: Vec<Row>) -> Memory {
    let mut memory = Memory::new("1".to_owned());
    for load in memory.loads(&buckets.iter().copied().collect()) {
        let inside =
            rows.iter().filter(|row| load.first <= row.key && row.key <= load.last).cloned().collect();
        memory.loaded(&load, inside);
    }
    memory
}

/// Stages a record; true when it was new.
pub(super) fn stage(memory: &mut Memory, bucket: Bucket, hash: u64) -> bool {
    memory.stage(bucket, hash, 0) == Verdict::New
}

pub(super) fn put_rows(writes: &[Write]) -> Vec<Row> {
    writes
        .iter()
        .filter_map(|write| if let Write::Put(row) = write { Some(row.clone()) } else { None })
        .collect()
}

#[test]
fn what_was_committed_is_known_to_the_next_process_and_what_was_not_is_new_to_it() {
    let now = at("2026-11-20T12:00:00Z");
    let hour = Bucket::of(Some(at("2026-11-20T11:59:59.9999999Z")));
    let mut memory = loaded(&[hour, Bucket::Timeless], vec![]);
    assert!(
        stage(&mut memory, hour, 1)
            && stage(&mut memory, Bucket::Timeless, 1)
            && stage(&mut memory, hour, u64::MAX)
    );
    assert!(!stage(&mut memory, hour, 1));
    let writes = memory.rows(7, now, RETENTION);
    memory.committed(&writes);
    assert!(!stage(&mut memory, hour, 1) && stage(&mut memory, hour, 2));

    let mut next = loaded(&[hour, Bucket::Timeless], put_rows(&writes));
    assert!(
        !stage(&mut next, hour, 1)
            && !stage(&mut next, hour, u64::MAX)
            && !stage(&mut next, Bucket::Timeless, 1)
    );
    assert!(stage(&mut next, hour, 2) && stage(&mut next, Bucket::Timeless, 2));
}

#[test]
fn near_hours_are_read_together_and_far_ones_apart() {
    let memory = loaded(&[Bucket::Hour(100)], vec![]);
    let wanted =
        [98, 99, 100, 101, 104, 400].map(Bucket::Hour).into_iter().chain([Bucket::Timeless]).collect();
    let loads = memory.loads(&wanted);
    let ranges: BTreeSet<(&str, &str)> =
        loads.iter().map(|load| (load.first.as_str(), load.last.as_str())).collect();
    let expected = [
        ("memory#1#1970-01-05T02#", "memory#1#1970-01-05T08#~"),
        ("memory#1#1970-01-17T16#", "memory#1#1970-01-17T16#~"),
        ("memory#1#timeless#", "memory#1#timeless#~"),
    ];
    assert_eq!(ranges, expected.into());
    assert_eq!(loads.iter().map(|load| load.buckets.len()).sum::<usize>(), 7 + 1 + 1);
}

#[test]
fn rows_outlive_the_retention_counted_from_the_later_of_commit_and_event() {
    let now = at("2026-11-20T12:00:00Z");
    let kept = RETENTION.as_secs() + GRACE.as_secs();
    let late = Bucket::of(Some(at("2026-11-01T00:00:00Z")));
    let future = Bucket::of(Some(at("2026-11-21T00:10:00Z")));
    let absurd = Bucket::of(Some(at("9999-01-01T00:00:00Z")));
    assert_eq!(expiry(late, now, RETENTION), now.as_second() + kept);
    assert_eq!(expiry(future, now, RETENTION), at("2026-11-21T01:00:00Z").as_second() + kept);
    assert_eq!(expiry(absurd, now, RETENTION), now.as_second() + LONGEST_KEPT.as_secs() + kept);
    assert_eq!(expiry(Bucket::Timeless, now, RETENTION), now.as_second() + kept);
}

#[test]
fn many_small_rows_become_one_that_remembers_the_same_and_expires_last() {
    let now = at("2026-11-20T12:00:00Z");
    let bucket = Bucket::of(Some(now));
    let mut memory = loaded(&[bucket], vec![]);
    for version in 1..=16 {
        assert!(memory.merge(99).is_empty());
        assert!(stage(&mut memory, bucket, version) && stage(&mut memory, bucket, version << 32));
        let writes = memory.rows(
            version,
            later(now, SignedDuration::from_secs(i64::try_from(version).unwrap())),
            RETENTION,
        );
        memory.committed(&writes);
    }
    let writes = memory.merge(99);
    assert_eq!(writes.len(), 17);
    let merged = put_rows(&writes);
    assert_eq!(merged[0].expires_at, Some(later(now, RETENTION + GRACE).as_second() + 3600));
    memory.committed(&writes);
    assert!(memory.merge(100).is_empty());
    let mut next = loaded(&[bucket], merged);
    assert!(
        (1..=16).all(
            |version: u64| !stage(&mut next, bucket, version) && !stage(&mut next, bucket, version << 32)
        )
    );
}

#[test]
fn buckets_used_longest_ago_are_dropped_when_too_much_is_held_but_never_staged_ones() {
    let [first, second, third] = [1, 2, 3].map(Bucket::Hour);
    // Rows as the first release wrote them, which are held exactly: each bucket has 60 % of what may be held.
    let bytes: Bytes = (0..32_768).flat_map(|number| scattered(number).to_le_bytes()).collect();
    let rows_of = |bucket: Bucket| {
        (0..MOST_HELD_BYTES * 6 / 10 / bytes.len())
            .map(move |version| format!("memory#1#{}#{version:012}", bucket.name()))
    };
    let rows = [first, second, third].into_iter().flat_map(rows_of);
    let rows = rows.map(|key| Row { key, data: Some(bytes.clone()), ..Row::default() }).collect();
    let mut memory = loaded(&[first, second, third], rows);
    let is_held = |memory: &Memory, bucket| memory.loads(&[bucket].into()).is_empty();
    memory.page_begins();
    assert_eq!([first, second, third].map(|bucket| is_held(&memory, bucket)), [false, false, true]);

    let one_row = Row { key: format!("memory#1#{}#1", first.name()), data: Some(bytes), ..Row::default() };
    for bucket in [first, second] {
        for load in memory.loads(&[bucket].into()) {
            memory.loaded(&load, vec![one_row.clone()]);
        }
    }
    assert!(stage(&mut memory, first, 40_000) && !stage(&mut memory, third, scattered(7)));
    memory.page_begins();
    assert_eq!(
        [first, second, third].map(|bucket| is_held(&memory, bucket)),
        [true, true, true],
        "there is room"
    );
}

#[test]
fn a_bucket_that_is_read_once_more_with_its_neighbours_keeps_its_rows_once() {
    let now = at("2026-11-20T12:00:00Z");
    let [before, between, after] = [99, 100, 101].map(Bucket::Hour);
    let mut rows = Vec::new();
    let mut writer = loaded(&[between], vec![]);
    for version in 1..=20 {
        assert!(stage(&mut writer, between, version));
        let writes = writer.rows(version, now, RETENTION);
        rows.extend(put_rows(&writes));
        writer.committed(&writes);
    }
    let mut memory = loaded(&[between], rows.clone());
    assert!(stage(&mut memory, between, 1_000));
    for load in memory.loads(&[before, after].into()) {
        memory.loaded(&load, rows.clone());
    }
    assert!(!stage(&mut memory, between, 1_000), "what is staged stays known");
    let merge = memory.merge(21);
    let keys: BTreeSet<&str> = merge
        .iter()
        .map(|write| match write {
            Write::Put(row) | Write::Add(row) => row.key.as_str(),
            Write::Delete(key) => key.as_str(),
        })
        .collect();
    assert_eq!((keys.len(), merge.len()), (21, 21), "no row is deleted twice in a commit");
}

#[test]
fn every_bucket_can_be_read_back_from_its_name_and_names_sort_like_hours() {
    let times =
        ["0001-01-01T00:00:00Z", "0999-06-01T10:00:00Z", "1969-12-31T23:59:59Z", "9999-12-30T21:00:00Z"];
    let buckets: Vec<Bucket> = times.iter().map(|text| Bucket::of(Some(at(text)))).collect();
    let names: Vec<String> = buckets.iter().map(|bucket| bucket.name()).collect();
    assert!(names.is_sorted() && names.iter().all(|name| name.as_str() < "timeless"), "{names:?}");
    for (bucket, name) in buckets.iter().zip(&names) {
        assert_eq!(Bucket::parse(name), Some(*bucket));
    }
    assert_eq!(Bucket::of(Some(at("-000001-12-31T23:59:59Z"))), Bucket::Timeless);
    assert_eq!(Bucket::of(None), Bucket::Timeless);
}

#[test]
fn a_timeless_record_whose_row_ends_too_soon_is_staged_again_and_an_old_hour_is_not() {
    let now = at("2026-11-20T12:00:00Z");
    let hour = Bucket::Hour(100);
    let mut memory = loaded(&[hour, Bucket::Timeless], vec![]);
    assert!(stage(&mut memory, hour, 1) && stage(&mut memory, Bucket::Timeless, 1));
    let writes = memory.rows(7, now, RETENTION);
    memory.committed(&writes);
    let end = later(now, RETENTION + GRACE).as_second();
    assert_eq!(memory.judge(Bucket::Timeless, 1, end), Verdict::Known);
    assert_eq!(memory.judge(Bucket::Timeless, 1, end + 1), Verdict::Ending);
    assert_eq!(memory.judge(hour, 1, i64::MAX), Verdict::Known);

    assert_eq!(memory.stage(Bucket::Timeless, 1, end + 1), Verdict::Ending);
    assert_eq!(memory.stage(Bucket::Timeless, 1, end + 1), Verdict::Known, "once a commit");
    let extension = memory.rows(8, later(now, GRACE), RETENTION);
    assert_eq!(put_rows(&extension)[0].expires_at, Some(end + GRACE.as_secs()));
    memory.committed(&extension);
    assert_eq!(memory.judge(Bucket::Timeless, 1, end + 1), Verdict::Known);

    let next = loaded(&[Bucket::Timeless], [put_rows(&writes), put_rows(&extension)].concat());
    assert_eq!(next.judge(Bucket::Timeless, 1, end + 1), Verdict::Known, "the later of its rows counts");
}
