//! Versions against a plain model: the last delivered content of each id.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;

const SPACE: &str = "3";

/// The rows as a store keeps them.
#[derive(Default)]
struct Store(BTreeMap<String, Row>);

impl Store {
    fn write(&mut self, writes: &[Write]) {
        for write in writes {
            match write {
                Write::Put(row) => drop(self.0.insert(row.key.clone(), row.clone())),
                Write::Delete(key) => assert!(self.0.remove(key).is_some(), "{key} was never written"),
                Write::Add(_) => unreachable!(),
            }
        }
    }

    fn read(&self) -> Versions {
        let mut versions = Versions::default();
        let (first, last) = versions.keys_to_read(SPACE).unwrap();
        let rows: Vec<Row> = self.0.range(first..=last).map(|(_, row)| row.clone()).collect();
        // In parts, from the end on: neither makes a difference.
        let mut read = Stored::default();
        rows.chunks(3).rev().for_each(|part| read.part(SPACE, part));
        versions.loaded(read);
        assert_eq!(versions.keys_to_read(SPACE), None);
        versions
    }
}

proptest! {
    /// Deliveries in commits, merges and cold starts in any order.
    #[test]
    fn a_record_is_known_exactly_while_its_content_is_the_last_delivered_of_its_id(
        commits in prop::collection::vec((prop::collection::vec((0u64..6, 0u64..3), 0..5), any::<bool>()), 1..80),
    ) {
        let (mut store, mut versions) = (Store::default(), Store::default().read());
        let mut delivered: HashMap<u64, u64> = HashMap::new();
        for (number, (records, is_cold)) in commits.iter().enumerate() {
            if *is_cold {
                versions = store.read();
            }
            for (id, content) in records {
                let expected = if delivered.get(id) == Some(content) { Verdict::Known } else { Verdict::New };
                prop_assert_eq!(versions.judge(*id, *content, 0), expected);
                versions.stage(*id, *content);
                delivered.insert(*id, *content);
            }
            let mut writes = versions.rows(SPACE, number as u64, 100);
            prop_assert_eq!(writes.len(), versions.staged_rows(0));
            writes.extend(versions.merge(SPACE, number as u64));
            store.write(&writes);
            versions.committed(SPACE, &writes);
        }
        prop_assert!(store.0.len() <= MERGE_AT_ROWS + 1, "{} rows", store.0.len());
        let cold = store.read();
        for id in 0..6 {
            for content in 0..3 {
                let expected = if delivered.get(&id) == Some(&content) { Verdict::Known } else { Verdict::New };
                prop_assert_eq!(cold.judge(id, content, 0), expected);
            }
        }
    }
}

#[test]
fn more_pairs_than_a_row_holds_are_spread_over_rows_and_come_back() {
    let (mut store, mut versions) = (Store::default(), Store::default().read());
    let pairs = (MOST_IN_ROW * 2 + 5) as u64;
    (0..pairs).for_each(|id| versions.stage(id, id * 7));
    let writes = versions.rows(SPACE, 9, 100);
    assert_eq!((writes.len(), versions.staged_rows(0)), (3, 3));
    store.write(&writes);
    let cold = store.read();
    assert!((0..pairs).all(|id| cold.judge(id, id * 7, 0) == Verdict::Known));
    assert!(cold.merge(SPACE, 10).is_empty(), "large rows are left alone");
}

#[test]
fn a_known_version_whose_row_ends_too_soon_is_remembered_anew() {
    let (mut store, mut versions) = (Store::default(), Store::default().read());
    versions.stage(1, 10);
    store.write(&versions.rows(SPACE, 1, 500));
    let mut later = store.read();
    assert_eq!(later.judge(1, 10, 500), Verdict::Known);
    assert_eq!(later.judge(1, 10, 501), Verdict::Ending);
    later.stage(1, 10);
    let writes = later.rows(SPACE, 2, 900);
    later.committed(SPACE, &writes);
    assert_eq!(later.judge(1, 10, 501), Verdict::Known);
}

#[test]
fn rows_of_other_spaces_and_kinds_are_passed_over_and_a_damaged_one_holds_less() {
    let (mut store, mut versions) = (Store::default(), Store::default().read());
    versions.stage(1, 10);
    versions.stage(2, 20);
    let mut rows: Vec<Row> = Vec::new();
    for write in versions.rows(SPACE, 1, 500) {
        let Write::Put(mut row) = write else { unreachable!() };
        row.data = row.data.map(|data| data.slice(..data.len() - 1));
        rows.push(row);
    }
    store.write(&versions.rows("33", 1, 500));
    rows.extend(store.0.into_values());
    rows.push(Row { key: "memory#3#timeless#1".to_owned(), ..Row::default() });
    let mut read = Versions::default();
    let mut stored = Stored::default();
    stored.part(SPACE, &rows);
    read.loaded(stored);
    assert_eq!([read.judge(1, 10, 0), read.judge(2, 20, 0)], [Verdict::Known, Verdict::New]);
}

#[test]
fn rows_of_which_nothing_holds_are_deleted_when_they_are_too_many_and_what_holds_stays() {
    const IDS: u64 = 150;
    const LEFT_ALONE: usize = 1_000;
    let (mut store, mut versions) = (Store::default(), Store::default().read());
    let pairs = |store: &Store| -> usize {
        store.0.values().map(|row| row.data.as_ref().unwrap().len() / PAIR).sum()
    };
    let mut most = 0;
    for round in 0..30 {
        // Two ids never change after the beginning: what holds them must stay.
        let unchanged = if round == 0 { 0 } else { 2 };
        (unchanged..IDS).for_each(|id| versions.stage(id, round));
        let mut writes = versions.rows(SPACE, round, 100);
        writes.extend(versions.superseded_beyond(LEFT_ALONE, SPACE, 3));
        assert!(writes.len() <= 4);
        store.write(&writes);
        versions.committed(SPACE, &writes);
        most = most.max(pairs(&store));
        if round % 7 == 0 {
            versions = store.read();
        }
    }
    // A round of its own is superseded with the commit and deleted with the next.
    assert!((LEFT_ALONE..=LEFT_ALONE + 3 * IDS as usize).contains(&most), "{most} pairs");
    let cold = store.read();
    assert!((2..IDS).all(|id| cold.judge(id, 29, 0) == Verdict::Known));
    assert_eq!([cold.judge(0, 0, 0), cold.judge(1, 0, 0)], [Verdict::Known; 2]);
}
