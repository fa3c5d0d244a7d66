//! The DynamoDB store keeps the promises of `collector::ports::StateStore`, played against DynamoDB's API.

mod support;

use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use collector::ports::{CHECKPOINT_KEY, Row, StateError, StateStore, Write, lease_fields};
use serde_json::{Value, json};
use support::wire::{Wire, wire};
use support::{Dynamo, NOW_MS, PARTITION, commit, lease, row, store_at};

#[tokio::test]
async fn the_store_is_what_every_state_store_is() {
    let dynamo = Dynamo::start().await;
    testing::conformance::all(&dynamo.store()).await;
}

/// A number member of a row.
fn number(row: &Row, name: &str) -> Option<i64> {
    row.fields.get(name).and_then(Value::as_i64)
}

#[tokio::test]
async fn a_fresh_partition_gets_version_1_and_a_hash_key_that_stays() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    let first = store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    assert_eq!(
        Value::Object(first.fields),
        json!({
            "version": 1, "writer": "w1", "lease_owner": "request-w1", "lease_expires_at": NOW_MS + 60_000,
            "hash_key": "0123456789abcdef0123456789abcdef",
        })
    );
    let mut later = lease("w2", NOW_MS + 60_001);
    later.fresh_hash_key = "another".to_owned();
    let second = store.acquire(PARTITION, &later).await.unwrap();
    assert_eq!(number(&second, lease_fields::VERSION), Some(2));
    assert_eq!(second.fields["hash_key"], "0123456789abcdef0123456789abcdef");
}

#[tokio::test]
async fn of_forty_who_ask_at_once_one_gets_the_lease() {
    let dynamo = Dynamo::start().await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = dynamo.store();
        asking.spawn(async move { store.acquire(PARTITION, &lease(&format!("w{number}"), NOW_MS)).await });
    }
    let ends = asking.join_all().await;
    let winner = ends.iter().find_map(|end| end.as_ref().ok()).unwrap();
    let owner = winner.fields["lease_owner"].as_str().unwrap().to_owned();
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1);
    assert_eq!(
        ends.iter()
            .filter(|end| matches!(end, Err(StateError::Locked { owner: found }) if *found == owner))
            .count(),
        39
    );
}

#[tokio::test]
async fn a_lease_that_is_over_is_free_and_one_that_runs_is_not() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    let before = dynamo.item(CHECKPOINT_KEY).await;
    let locked = StateError::Locked { owner: "request-w1".to_owned() };
    assert_eq!(store.acquire(PARTITION, &lease("w2", NOW_MS + 60_000)).await, Err(locked));
    assert_eq!(dynamo.item(CHECKPOINT_KEY).await, before);
    assert!(store.acquire(PARTITION, &lease("w2", NOW_MS + 60_001)).await.is_ok());
}

#[tokio::test]
async fn the_same_request_id_with_another_writer_waits_like_anybody_else() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    let first = lease("w1", NOW_MS);
    store.acquire(PARTITION, &first).await.unwrap();
    let mut again = lease("w2", NOW_MS + 1);
    again.owner = first.owner.clone();
    assert_eq!(store.acquire(PARTITION, &again).await, Err(StateError::Locked { owner: first.owner }));
}

#[tokio::test]
async fn a_repeat_of_the_same_request_gets_the_lease_it_has() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    let first = store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    assert_eq!(store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap(), first);
}

#[tokio::test]
async fn a_row_of_a_newer_or_unknown_format_is_refused_and_not_touched() {
    let cases = [
        (json!({"persistence_version": 2, "version": 7}), "2"),
        (json!({"persistence_version": "two", "version": 7}), "two"),
        (json!({"persistence_version": null}), "null"),
        (json!({"persistence_version": 1.5}), "1.5"),
        (json!({"persistence_version": {"major": 1}}), "{\"major\":1}"),
        (json!({"version": "seven"}), "unknown, its member version is no number"),
        (json!({"lease_expires_at": "noon"}), "unknown, its member lease_expires_at is no number"),
    ];
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    for (fields, expected) in cases {
        dynamo.put(&row(CHECKPOINT_KEY, fields.clone())).await;
        let before = dynamo.item(CHECKPOINT_KEY).await;
        let refusal = store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap_err();
        assert_eq!(refusal, StateError::Newer { found: expected.to_owned(), readable: 1 }, "{fields}");
        assert_eq!(dynamo.item(CHECKPOINT_KEY).await, before, "{fields}");
    }
}

#[tokio::test]
async fn a_checkpoint_of_another_collector_keeps_its_members() {
    let dynamo = Dynamo::start().await;
    let fields = json!({
        "@persistence_version": 4, "last_polled_timestamp": "2026-11-19 08:15:00",
        "last_event_time": "2026-11-19T08:14:59.1234567Z", "last_ids": ["a", "b"], "next_link": null,
        "state": {"retries": 2, "failed": false},
    });
    dynamo.put(&row(CHECKPOINT_KEY, fields.clone())).await;
    let found = dynamo.store().acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&found.fields[name], value, "{name}");
    }
    assert_eq!(number(&found, lease_fields::VERSION), Some(1));
}

#[tokio::test]
async fn a_commit_writes_everything_that_belongs_together() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    dynamo.put(&row("queue#1", json!({"uri": "https://…"}))).await;
    let hashes = Row {
        key: "hashes#2026-11-20T08".to_owned(),
        data: Some(Bytes::from(vec![7; 64_000])),
        expires_at: Some(1_766_000_000),
        ..Row::default()
    };
    let mut counts = row("ledger#2026-11-20T08", json!({"received": 30, "delivered": 18, "status": "more"}));
    counts.expires_at = Some(1_766_224_800);
    let writes =
        vec![Write::Put(hashes.clone()), Write::Add(counts.clone()), Write::Delete("queue#1".to_owned())];
    let first = commit("w1", 1, "2026-11-20T08:00:00Z", writes);
    store.commit(&first).await.unwrap();
    let mut expected = vec![first.checkpoint.clone(), hashes, counts.clone()];
    expected.sort_by(|left, right| left.key.cmp(&right.key));
    assert_eq!(store.query(PARTITION, "a", "z").await.unwrap(), expected);

    let more = row("ledger#2026-11-20T08", json!({"received": 2, "failed": 1, "status": "up_to_date"}));
    store.commit(&commit("w1", 2, "2026-11-20T08:05:00Z", vec![Write::Add(more)])).await.unwrap();
    let ledger = store.query(PARTITION, "ledger#", "ledger#~").await.unwrap();
    assert_eq!(
        Value::Object(ledger[0].fields.clone()),
        json!({"received": 32, "delivered": 18, "failed": 1, "status": "up_to_date"})
    );
    assert_eq!(ledger[0].expires_at, counts.expires_at);
}

#[tokio::test]
async fn a_commit_without_the_lease_changes_nothing() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    store.acquire(PARTITION, &lease("w2", NOW_MS + 60_001)).await.unwrap();
    let before = dynamo.item(CHECKPOINT_KEY).await;
    let beside = vec![Write::Put(row("hashes#1", json!({"n": 1})))];
    let attempts = [
        ("of the one before", commit("w1", 1, "a", vec![])),
        ("of the one before, with more", commit("w1", 1, "b", beside.clone())),
        ("of a version to come", commit("w2", 3, "c", vec![])),
        ("under another's name", commit("w1", 2, "d", beside)),
    ];
    for (name, attempt) in attempts {
        assert_eq!(store.commit(&attempt).await, Err(StateError::LeaseLost), "{name}");
    }
    assert_eq!(dynamo.item(CHECKPOINT_KEY).await, before);
    assert_eq!(dynamo.item("hashes#1").await, None);
}

#[tokio::test]
async fn a_commit_into_an_empty_partition_is_a_lost_lease() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    assert_eq!(store.commit(&commit("w1", 1, "a", vec![])).await, Err(StateError::LeaseLost));
    let beside = vec![Write::Delete("queue#1".to_owned())];
    assert_eq!(store.commit(&commit("w1", 1, "a", beside)).await, Err(StateError::LeaseLost));
    assert_eq!(dynamo.item(CHECKPOINT_KEY).await, None);
}

#[tokio::test]
async fn the_same_commit_sent_again_has_one_effect_and_another_one_has_none() {
    for beside in [vec![], vec![Write::Add(row("ledger#1", json!({"received": 5})))]] {
        let dynamo = Dynamo::start().await;
        let store = dynamo.store();
        store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
        let first = commit("w1", 1, "a", beside.clone());
        store.commit(&first).await.unwrap();
        store.commit(&first).await.unwrap();
        let mut other = first.clone();
        other.token = "another".to_owned();
        assert_eq!(store.commit(&other).await, Err(StateError::LeaseLost));
        let rows = store.query(PARTITION, CHECKPOINT_KEY, "ledger#1").await.unwrap();
        assert_eq!(rows[0], first.checkpoint);
        if let Some(ledger) = rows.get(1) {
            assert_eq!(number(ledger, "received"), Some(5));
        }
    }
}

#[tokio::test]
async fn a_transaction_whose_token_the_server_forgot_is_known_by_the_row() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    // Written without a transaction, so the server has no token of it; the repeat is a transaction.
    let first = commit("w1", 1, "a", vec![]);
    store.commit(&first).await.unwrap();
    let mut repeat = first.clone();
    repeat.writes.push(Write::Delete("queue#1".to_owned()));
    store.commit(&repeat).await.unwrap();
    assert_eq!(store.query(PARTITION, "a", "z").await.unwrap(), [first.checkpoint]);
}

#[tokio::test]
async fn a_query_gives_every_page_in_order_and_nothing_outside() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    for number in 0..12 {
        let stored = Row {
            key: format!("hashes#{number:02}"),
            data: Some(Bytes::from(vec![number; 300_000])),
            ..Row::default()
        };
        dynamo.put(&stored).await;
    }
    let all = store.query(PARTITION, "hashes#", "hashes#~").await.unwrap();
    assert_eq!(all.iter().map(|found| found.data.as_ref().unwrap().len()).sum::<usize>(), 12 * 300_000);
    assert!(all.is_sorted_by(|left, right| left.key < right.key));
    let some = store.query(PARTITION, "hashes#03", "hashes#05").await.unwrap();
    let keys: Vec<&str> = some.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(keys, ["hashes#03", "hashes#04", "hashes#05"]);
    assert_eq!(store.query(PARTITION, "z", "a").await.unwrap(), []);
    assert_eq!(store.query("ab123#graph-sign-ins", "a", "z").await.unwrap(), []);
}

#[tokio::test]
async fn the_largest_commit_that_the_limits_allow_is_accepted() {
    let dynamo = Dynamo::start().await;
    let store = dynamo.store();
    let limits = store.limits();
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    let many = (1..limits.rows).map(|number| Write::Put(row(&format!("row#{number}"), json!({"n": number}))));
    store.commit(&commit("w1", 1, "many", many.collect())).await.unwrap();
    let heavy = (0..9).map(|number| {
        Write::Put(Row {
            key: format!("heavy#{number}"),
            data: Some(Bytes::from(vec![1; limits.row_bytes])),
            ..Row::default()
        })
    });
    store.commit(&commit("w1", 2, "heavy", heavy.collect())).await.unwrap();
    assert_eq!(store.query(PARTITION, "heavy#", "row#~").await.unwrap().len(), limits.rows - 1 + 9);
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_done_once() {
    let dynamo = Dynamo::start().await;
    let direct = dynamo.store();
    let (address, seen) = wire(&dynamo.address, Wire::LosesAnswers(1)).await;
    let held = store_at(&address).acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    assert_eq!((number(&held, lease_fields::VERSION), seen.load(Ordering::SeqCst)), (Some(1), 2));

    let (address, seen) = wire(&dynamo.address, Wire::LosesAnswers(1)).await;
    store_at(&address).commit(&commit("w1", 1, "a", vec![])).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);

    let counted = vec![Write::Add(row("ledger#1", json!({"received": 5})))];
    let (address, seen) = wire(&dynamo.address, Wire::LosesAnswers(1)).await;
    store_at(&address).commit(&commit("w1", 2, "b", counted)).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let rows = direct.query(PARTITION, CHECKPOINT_KEY, "ledger#1").await.unwrap();
    assert_eq!((number(&rows[0], "version"), number(&rows[1], "received")), (Some(3), Some(5)));
}

#[tokio::test]
async fn a_write_that_never_gets_an_answer_ends_as_unknown() {
    let dynamo = Dynamo::start().await;
    dynamo.store().acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    let (address, _) = wire(&dynamo.address, Wire::LosesAnswers(usize::MAX)).await;
    let store = store_at(&address);
    for writes in [vec![], vec![Write::Delete("queue#1".to_owned())]] {
        let end = store.commit(&commit("w1", 1, "a", writes)).await.unwrap_err();
        assert!(matches!(&end, StateError::Unknown(message) if message.contains(support::TABLE)), "{end:?}");
    }
    assert!(matches!(store.query(PARTITION, "a", "z").await, Err(StateError::Unavailable(_))));
}

#[tokio::test]
async fn throttling_is_waited_for_and_named_when_it_lasts() {
    let dynamo = Dynamo::start().await;
    for name in ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"] {
        let (address, seen) = wire(&dynamo.address, Wire::Answers(2, name)).await;
        store_at(&address).query(PARTITION, "a", "z").await.unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 3, "{name}");
    }
    let (address, _) = wire(&dynamo.address, Wire::Answers(usize::MAX, "ThrottlingException")).await;
    let end = store_at(&address).acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap_err();
    assert!(matches!(&end, StateError::Unavailable(message) if message.contains("is throttled")), "{end:?}");
}

#[tokio::test]
async fn a_table_that_cannot_be_used_is_named_with_the_remedy() {
    let dynamo = Dynamo::start().await;
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let denied = wire(&dynamo.address, Wire::Answers(9, "AccessDeniedException")).await.0;
    dynamo.client.delete_table().table_name(support::TABLE).send().await.unwrap();
    let cases = [(dynamo.address.clone(), "STATE_TABLE"), (closed, "a route to DynamoDB"), (denied, "role")];
    for (address, remedy) in cases {
        let end = store_at(&address).acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap_err();
        let StateError::Unavailable(message) = end else { panic!("{remedy}: {end:?}") };
        assert!(message.contains("table state") && message.contains(remedy), "{message}");
    }
}

#[tokio::test]
async fn a_row_that_the_table_cannot_hold_is_refused_before_anything_is_sent() {
    let dynamo = Dynamo::start().await;
    let (address, seen) = wire(&dynamo.address, Wire::Counts).await;
    let reserved = vec![Write::Put(row("queue#1", json!({"pk": "x"})))];
    let end = store_at(&address).commit(&commit("w1", 1, "a", reserved)).await.unwrap_err();
    assert!(matches!(&end, StateError::Unavailable(message) if message.contains("queue#1")), "{end:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_idle_tick_costs_two_writes() {
    let dynamo = Dynamo::start().await;
    let (address, seen) = wire(&dynamo.address, Wire::Counts).await;
    let store = store_at(&address);
    store.acquire(PARTITION, &lease("w1", NOW_MS)).await.unwrap();
    store.commit(&commit("w1", 1, "a", vec![])).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let item = dynamo.item(CHECKPOINT_KEY).await.unwrap();
    assert_eq!(item["version"], AttributeValue::N("2".to_owned()));
}
