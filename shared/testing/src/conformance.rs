//! What a state store is, as code that every store must pass: call [`all`] with an empty store.

use collector::ports::{
    CHECKPOINT_KEY, Commit, Guard, LeaseRequest, Row, StateError, StateStore, Write, lease_fields,
};
use futures::future::join_all;
use serde_json::{Map, Value, json};

/// Runs every check. The store may hold other partitions; those that start with `conformance` must be free.
pub async fn all(store: &impl StateStore) {
    a_new_partition_gives_its_lease_and_a_key(store).await;
    a_held_lease_is_refused_until_it_ends(store).await;
    the_same_request_may_be_made_again(store).await;
    a_newer_row_is_refused_and_left_alone(store).await;
    members_of_any_kind_come_back_as_they_were(store).await;
    a_commit_is_all_or_nothing_and_needs_its_guard(store).await;
    the_same_commit_has_one_effect(store).await;
    counters_add_up(store).await;
    a_range_is_read_in_order_and_whole(store).await;
    a_row_can_be_left_beside_a_held_lease(store).await;
    of_many_at_once_one_gets_the_lease(store).await;
    of_two_commits_under_one_guard_one_happens(store).await;
}

/// A request for the lease at second `now`, ending `seconds` later.
pub fn request(writer: &str, now: i64, seconds: i64) -> LeaseRequest {
    LeaseRequest {
        owner: format!("request of {writer}"),
        writer: writer.to_owned(),
        now_ms: now * 1000,
        expires_at_ms: (now + seconds) * 1000,
        readable_version: 1,
        fresh_hash_key: format!("{:0>32}", now),
    }
}

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn plain_row(key: &str, value: Value) -> Row {
    Row { key: key.to_owned(), fields: fields(value), ..Row::default() }
}

/// A commit that follows `row`, with more members and these writes.
fn commit_after(partition: &str, row: &Row, more: Value, writes: Vec<Write>) -> Commit {
    let version = row.fields[lease_fields::VERSION].as_u64().unwrap();
    let writer = row.fields[lease_fields::WRITER].as_str().unwrap().to_owned();
    let mut checkpoint = row.clone();
    checkpoint.fields.insert(lease_fields::VERSION.to_owned(), (version + 1).into());
    checkpoint.fields.insert(lease_fields::PERSISTENCE_VERSION.to_owned(), 1.into());
    checkpoint.fields.extend(fields(more));
    Commit {
        partition: partition.to_owned(),
        token: format!("{writer}-{version}"),
        guard: Guard { writer, version },
        checkpoint,
        writes,
    }
}

async fn checkpoint(store: &impl StateStore, partition: &str) -> Option<Row> {
    store.query(partition, CHECKPOINT_KEY, CHECKPOINT_KEY).await.unwrap().into_iter().next()
}

async fn keys(store: &impl StateStore, partition: &str) -> Vec<String> {
    store.query(partition, "!", "~").await.unwrap().into_iter().map(|row| row.key).collect()
}

async fn a_new_partition_gives_its_lease_and_a_key(store: &impl StateStore) {
    let row = store.acquire("conformance-new", &request("w1", 100, 60)).await.unwrap();
    let expected = json!({
        "version": 1, "lease_owner": "request of w1", "lease_expires_at": 160_000, "writer": "w1",
        "hash_key": format!("{:0>32}", 100),
    });
    assert_eq!(Value::Object(row.fields.clone()), expected);
    assert_eq!(checkpoint(store, "conformance-new").await, Some(row));
}

async fn a_held_lease_is_refused_until_it_ends(store: &impl StateStore) {
    let partition = "conformance-held";
    let first = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    for now in [100, 130, 160] {
        let refused = store.acquire(partition, &request("w2", now, 60)).await;
        assert_eq!(refused, Err(StateError::Locked { owner: "request of w1".to_owned() }), "at {now}");
    }
    assert_eq!(checkpoint(store, partition).await, Some(first.clone()), "a refusal changes nothing");
    let second = store.acquire(partition, &request("w2", 161, 60)).await.unwrap();
    assert_eq!(second.fields["version"], 2);
    assert_eq!(second.fields["hash_key"], first.fields["hash_key"], "the key is made once");
    let late = commit_after(partition, &first, json!({}), vec![]);
    assert_eq!(store.commit(&late).await, Err(StateError::LeaseLost), "its holder cannot commit any more");
    let released = commit_after(partition, &second, json!({}), vec![]);
    let mut released = released;
    released.checkpoint.fields.shift_remove(lease_fields::OWNER);
    released.checkpoint.fields.shift_remove(lease_fields::EXPIRES_AT);
    store.commit(&released).await.unwrap();
    let third = store.acquire(partition, &request("w3", 162, 60)).await.unwrap();
    assert_eq!(third.fields["version"], 4, "a lease given back is free at once");
}

async fn the_same_request_may_be_made_again(store: &impl StateStore) {
    let partition = "conformance-again";
    let first = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    let again = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    assert_eq!(first, again);
}

async fn a_newer_row_is_refused_and_left_alone(store: &impl StateStore) {
    let versions = [json!(2), json!("2"), json!("one"), json!(1.5)];
    for (index, version) in versions.into_iter().enumerate() {
        let partition = format!("conformance-newer-{index}");
        let newer = plain_row(
            CHECKPOINT_KEY,
            json!({"persistence_version": version, "version": 7, "future": [1, "x"]}),
        );
        store.leave(&partition, &newer).await.unwrap();
        let refused = store.acquire(&partition, &request("w1", 100, 60)).await;
        assert!(matches!(refused, Err(StateError::Newer { readable: 1, .. })), "{refused:?}");
        assert_eq!(checkpoint(store, &partition).await, Some(newer));
    }
}

async fn members_of_any_kind_come_back_as_they_were(store: &impl StateStore) {
    let partition = "conformance-kinds";
    let row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    let kinds = json!({
        "text": "é\u{1F600}\n\"", "empty": "", "number": 9_007_199_254_740_993_u64, "negative": -5, "fraction": 1.5,
        "yes": true, "nothing": null, "list": ["a", 1, {"b": []}], "map": {"c": {"d": "e"}}, "empty_map": {}, "empty_list": [],
    });
    let mut with_data = plain_row("kinds", kinds);
    with_data.data = Some(vec![0, 255, 10, 13].into());
    with_data.expires_at = Some(2_000_000_000);
    let commit = commit_after(partition, &row, json!({}), vec![Write::Put(with_data.clone())]);
    store.commit(&commit).await.unwrap();
    assert_eq!(store.query(partition, "kinds", "kinds").await.unwrap(), [with_data]);
    assert_eq!(checkpoint(store, partition).await, Some(commit.checkpoint));
}

async fn a_commit_is_all_or_nothing_and_needs_its_guard(store: &impl StateStore) {
    let partition = "conformance-atomic";
    let row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    let writes: Vec<Write> =
        (0..99).map(|index| Write::Put(plain_row(&format!("row{index:02}"), json!({"n": index})))).collect();
    let first = commit_after(partition, &row, json!({"place": 1}), writes);
    for broken in [
        Guard { version: first.guard.version + 1, ..first.guard.clone() },
        Guard { version: first.guard.version - 1, ..first.guard.clone() },
        Guard { writer: "w2".to_owned(), ..first.guard.clone() },
    ] {
        let commit = Commit {
            guard: broken.clone(),
            token: format!("t{}{}", broken.version, broken.writer),
            ..first.clone()
        };
        assert_eq!(store.commit(&commit).await, Err(StateError::LeaseLost), "{broken:?}");
    }
    assert_eq!(keys(store, partition).await, [CHECKPOINT_KEY]);
    store.commit(&first).await.unwrap();
    assert_eq!(keys(store, partition).await.len(), 100);
    let second = commit_after(
        partition,
        &first.checkpoint,
        json!({"place": 2}),
        vec![
            Write::Delete("row00".to_owned()),
            Write::Delete("never there".to_owned()),
            Write::Put(plain_row("row01", json!({}))),
        ],
    );
    store.commit(&second).await.unwrap();
    assert_eq!(keys(store, partition).await.len(), 99);
    assert_eq!(checkpoint(store, partition).await.unwrap().fields["place"], 2);
    assert_eq!(
        store.query(partition, "row01", "row01").await.unwrap(),
        [plain_row("row01", json!({}))],
        "a put replaces all of a row"
    );
}

async fn the_same_commit_has_one_effect(store: &impl StateStore) {
    let partition = "conformance-idempotent";
    let row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    let counted = Write::Add(plain_row("count", json!({"n": 1})));
    let with_rows = commit_after(partition, &row, json!({}), vec![counted]);
    store.commit(&with_rows).await.unwrap();
    store.commit(&with_rows).await.unwrap();
    assert_eq!(store.query(partition, "count", "count").await.unwrap()[0].fields["n"], 1);
    let alone = commit_after(partition, &with_rows.checkpoint, json!({"place": 3}), vec![]);
    store.commit(&alone).await.unwrap();
    store.commit(&alone).await.unwrap();
    assert_eq!(checkpoint(store, partition).await.unwrap().fields["version"], 3);
}

async fn counters_add_up(store: &impl StateStore) {
    let partition = "conformance-counters";
    let mut row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    for round in 1..=3 {
        let mut counted = plain_row(
            "ledger#h",
            json!({"n": 2, format!("only{round}"): round, "name": format!("r{round}")}),
        );
        counted.expires_at = Some(2_000_000_000 + round);
        let commit = commit_after(partition, &row, json!({}), vec![Write::Add(counted)]);
        store.commit(&commit).await.unwrap();
        row = commit.checkpoint;
    }
    let ledger = store.query(partition, "ledger#", "ledger#~").await.unwrap();
    let expected = fields(json!({"n": 6, "only1": 1, "only2": 2, "only3": 3, "name": "r3"}));
    let sorted = |members: &Map<String, Value>| {
        members.clone().into_iter().collect::<std::collections::BTreeMap<_, _>>()
    };
    assert_eq!(sorted(&ledger[0].fields), sorted(&expected));
    assert_eq!(ledger[0].expires_at, Some(2_000_000_003));
}

async fn a_range_is_read_in_order_and_whole(store: &impl StateStore) {
    let partition = "conformance-range";
    let mut row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    // 12 rows of 300 KB: more than one page of any store.
    for half in 0..2 {
        let writes = (0..6)
            .map(|index| {
                let mut large = plain_row(&format!("range#{:02}", 11 - (half * 6 + index)), json!({}));
                large.data = Some(vec![7; 300_000].into());
                Write::Put(large)
            })
            .collect();
        let commit = commit_after(partition, &row, json!({}), writes);
        store.commit(&commit).await.unwrap();
        row = commit.checkpoint;
    }
    let found = store.query(partition, "range#", "range#~").await.unwrap();
    let names: Vec<String> = (0..12).map(|index| format!("range#{index:02}")).collect();
    assert_eq!(found.iter().map(|row| row.key.clone()).collect::<Vec<_>>(), names);
    assert!(found.iter().all(|row| row.data.as_ref().is_some_and(|data| data.len() == 300_000)));
    let (mut in_parts, mut first) = (Vec::new(), Some("range#".to_owned()));
    while let Some(from) = first {
        let (rows, rest) = store.query_part(partition, &from, "range#~").await.unwrap();
        in_parts.extend(rows);
        first = rest;
    }
    assert_eq!(in_parts, found, "parts make the whole");
    let part = store.query(partition, "range#03", "range#05").await.unwrap();
    assert_eq!(part.len(), 3, "both ends are included");
    assert!(store.query(partition, "range#3", "range#4").await.unwrap().is_empty());
    assert!(store.query("conformance-range-other", "", "~").await.unwrap().is_empty());
}

async fn a_row_can_be_left_beside_a_held_lease(store: &impl StateStore) {
    let partition = "conformance-left";
    let held = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    store.leave(partition, &plain_row("request#1", json!({"a": 1}))).await.unwrap();
    assert_eq!(checkpoint(store, partition).await, Some(held.clone()));
    store.commit(&commit_after(partition, &held, json!({}), vec![])).await.unwrap();
    assert_eq!(keys(store, partition).await, [CHECKPOINT_KEY, "request#1"]);
}

async fn of_many_at_once_one_gets_the_lease(store: &impl StateStore) {
    let requests: Vec<LeaseRequest> = (0..40).map(|index| request(&format!("w{index}"), 100, 60)).collect();
    let answers = join_all(requests.iter().map(|asked| store.acquire("conformance-race", asked))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(
        answers.iter().all(|answer| matches!(answer, Ok(_) | Err(StateError::Locked { .. }))),
        "{answers:?}"
    );
}

async fn of_two_commits_under_one_guard_one_happens(store: &impl StateStore) {
    let partition = "conformance-guard-race";
    let row = store.acquire(partition, &request("w1", 100, 60)).await.unwrap();
    let commits: Vec<Commit> = (0..10)
        .map(|index| {
            let writes = vec![Write::Put(plain_row(&format!("by#{index}"), json!({})))];
            Commit {
                token: format!("token-{index}"),
                ..commit_after(partition, &row, json!({"by": index}), writes)
            }
        })
        .collect();
    let answers = join_all(commits.iter().map(|commit| store.commit(commit))).await;
    let happened = store.query(partition, "by#", "by#~").await.unwrap();
    // A store may take the later ones for repeats of the first: same writer, same version. What counts is one effect.
    assert_eq!(happened.len(), 1, "{answers:?}");
}
