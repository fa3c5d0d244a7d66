//! The file store against its contract: races, crashes, foreign files, expiry.

use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use collector::ports::{CHECKPOINT_KEY, Guard, Write, lease_fields};
use serde_json::json;

use serde_json::Value;

use super::*;

const PARTITION: &str = "ab123#graph-directory-audits";

fn lease(writer: &str, now_ms: i64) -> LeaseRequest {
    LeaseRequest {
        owner: format!("request-of-{writer}"),
        writer: writer.to_owned(),
        now_ms,
        expires_at_ms: now_ms + 60_000,
        readable_version: 1,
        fresh_hash_key: format!("key-of-{writer}"),
    }
}

fn follow(checkpoint: &Row, token: &str, writes: Vec<Write>) -> Commit {
    let version = checkpoint.fields[lease_fields::VERSION].as_u64().unwrap();
    let writer = checkpoint.fields[lease_fields::WRITER].as_str().unwrap().to_owned();
    let mut next = checkpoint.clone();
    next.fields.insert(lease_fields::VERSION.to_owned(), (version + 1).into());
    Commit {
        partition: PARTITION.to_owned(),
        guard: Guard { writer, version },
        checkpoint: next,
        writes,
        token: token.to_owned(),
    }
}

fn row(key: &str, fields: Value) -> Row {
    Row { key: key.to_owned(), fields: fields.as_object().unwrap().clone(), data: None, expires_at: None }
}

async fn everything(store: &FileStore) -> Vec<Row> {
    store.query(PARTITION, "", "\u{10ffff}").await.unwrap()
}

/// The files of a database, copied as a power cut would find them.
fn copy_as_found(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", from.display());
        if Path::new(&name).exists() {
            std::fs::copy(&name, format!("{}{suffix}", to.display())).unwrap();
        }
    }
}

#[tokio::test]
async fn the_file_store_is_what_a_state_store_is() {
    let folder = tempfile::tempdir().unwrap();
    testing::conformance::all(&FileStore::open(&folder.path().join("state.db")).unwrap()).await;
}

#[tokio::test]
async fn of_forty_acquisitions_over_two_connections_one_wins_and_the_others_are_told_who() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let stores = [FileStore::open(&path).unwrap(), FileStore::open(&path).unwrap()];
    let attempts: Vec<_> = (0..40)
        .map(|number| {
            let store = stores[number % 2].clone();
            tokio::spawn(async move { store.acquire(PARTITION, &lease(&format!("w{number}"), 1_000)).await })
        })
        .collect();
    let mut winners = Vec::new();
    let mut refusals = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(checkpoint) => winners.push(checkpoint),
            Err(refusal) => refusals.push(refusal),
        }
    }
    assert_eq!(winners.len(), 1);
    let owner = winners[0].fields[lease_fields::OWNER].as_str().unwrap().to_owned();
    assert_eq!(winners[0].fields[lease_fields::VERSION], 1);
    assert_eq!(refusals, vec![StateError::Locked { owner }; 39]);
    assert_eq!(everything(&stores[0]).await, winners);
}

#[test]
fn processes_that_make_the_same_file_at_the_same_moment_all_get_it() {
    for _ in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    FileStore::open(&path).unwrap();
                });
            }
        });
    }
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_the_hash_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("deep/er/state.db")).unwrap();
    let first = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let early = store.acquire(PARTITION, &lease("b", 61_000)).await;
    assert_eq!(early, Err(StateError::Locked { owner: "request-of-a".to_owned() }));
    let second = store.acquire(PARTITION, &lease("b", 61_001)).await.unwrap();
    assert_eq!(first.fields[lease_fields::HASH_KEY], "key-of-a");
    assert_eq!(second.fields[lease_fields::HASH_KEY], "key-of-a");
    assert_eq!(second.fields[lease_fields::VERSION], 2);
    assert_eq!(second.fields[lease_fields::WRITER], "b");
    let late = store.commit(&follow(&first, "t", vec![])).await;
    assert_eq!(late, Err(StateError::LeaseLost));
}

#[tokio::test]
async fn the_same_request_again_succeeds_while_its_own_lease_runs_and_another_nonce_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let first = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    assert_eq!(store.acquire(PARTITION, &lease("a", 1_000)).await, Ok(first));
    let mut other = lease("a", 1_000);
    other.writer = "other".to_owned();
    let refused = store.acquire(PARTITION, &other).await;
    assert_eq!(refused, Err(StateError::Locked { owner: "request-of-a".to_owned() }));
}

#[tokio::test]
async fn a_checkpoint_of_a_newer_format_is_refused_and_not_touched() {
    for found in [json!(2), json!("x"), json!(-1), json!(1.5)] {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(&folder.path().join("state.db")).unwrap();
        let mut checkpoint = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
        checkpoint.fields.insert(lease_fields::PERSISTENCE_VERSION.to_owned(), found.clone());
        store.commit(&follow(&checkpoint, "t", vec![])).await.unwrap();
        let before = everything(&store).await;
        let refused = store.acquire(PARTITION, &lease("b", 900_000)).await;
        assert!(matches!(refused, Err(StateError::Newer { readable: 1, .. })), "{found}: {refused:?}");
        assert_eq!(everything(&store).await, before);
    }
}

#[tokio::test]
async fn a_row_left_without_the_lease_touches_nothing_else_and_is_never_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let left = row("request#1", json!({"from": "x"}));
    store.leave(PARTITION, &left).await.unwrap();
    assert!(matches!(store.leave(PARTITION, &taken).await, Err(StateError::Unavailable(_))));
    assert_eq!(everything(&store).await, [taken.clone(), left]);
    store.commit(&follow(&taken, "t", vec![])).await.unwrap();
}

#[tokio::test]
async fn a_commit_writes_all_of_itself_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let memory = Row { data: Some(Bytes::from_static(&[0, 255, 7])), ..row("memory#1", json!({"n": null})) };
    let ledger =
        Row { expires_at: Some(9), ..row("ledger#1", json!({"received": 3, "rate": 0.5, "by": "a"})) };
    let first = follow(&taken, "t1", vec![Write::Put(memory.clone()), Write::Add(ledger.clone())]);
    store.commit(&first).await.unwrap();
    store.commit(&first).await.unwrap();
    let second =
        follow(&first.checkpoint, "t2", vec![Write::Add(ledger), Write::Delete("memory#1".to_owned())]);
    store.commit(&second).await.unwrap();
    let sums = Row { expires_at: Some(9), ..row("ledger#1", json!({"received": 6, "rate": 1.0, "by": "a"})) };
    assert_eq!(everything(&store).await, [second.checkpoint, sums]);
}

#[tokio::test]
async fn a_range_holds_both_its_ends_in_order_of_key_and_one_partition_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let other = store.acquire("other#service", &lease("o", 1_000)).await.unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let writes = ["m#3", "m#1", "m#2", "n"].map(|key| Write::Put(row(key, json!({})))).to_vec();
    store.commit(&follow(&taken, "t", writes)).await.unwrap();
    let keys = |rows: Vec<Row>| rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(store.query(PARTITION, "m#1", "m#3").await.unwrap()), ["m#1", "m#2", "m#3"]);
    assert_eq!(store.query("other#service", "", "z").await.unwrap(), [other]);
}

#[tokio::test]
async fn a_commit_that_breaks_a_limit_or_names_a_row_twice_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("state.db")).unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let sized = |key: String, bytes: usize| {
        Write::Put(Row { key, data: Some(Bytes::from(vec![1; bytes])), ..Row::default() })
    };
    let cases = [
        ("101 rows", (0..100).map(|number| sized(format!("k{number}"), 1)).collect::<Vec<_>>()),
        ("twice", vec![sized("k".to_owned(), 1), Write::Delete("k".to_owned())]),
        ("twice", vec![sized(CHECKPOINT_KEY.to_owned(), 1)]),
        ("row k has", vec![sized("k".to_owned(), 400 * 1024)]),
        ("the commit has", (0..11).map(|number| sized(format!("k{number}"), 390_000)).collect()),
    ];
    for (named, writes) in cases {
        match store.commit(&follow(&taken, "t", writes)).await {
            Err(StateError::Unavailable(message)) => assert!(message.contains(named), "{message}"),
            other => panic!("{named}: {other:?}"),
        }
        assert_eq!(everything(&store).await, std::slice::from_ref(&taken), "{named}");
    }
}

#[tokio::test]
async fn a_process_killed_inside_a_transaction_leaves_the_state_of_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let store = FileStore::open(&path).unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let first = follow(&taken, "t1", vec![Write::Put(row("kept", json!({"n": 1})))]);
    store.commit(&first).await.unwrap();
    let before = everything(&store).await;

    let mut dying = schema::open_for_writing(&path).unwrap();
    // So small a cache spills the open transaction into the log, as a large one would do by itself.
    dying.pragma_update(None, "cache_size", 1).unwrap();
    let transaction = dying.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let large = |number: usize| {
        let data = Some(Bytes::from(vec![7; 300_000]));
        Write::Put(Row { key: format!("lost{number}"), data, ..Row::default() })
    };
    let second = follow(&first.checkpoint, "t2", (0..8).map(large).collect());
    assert!(rows::apply(&transaction, &second, 0).is_ok());
    let found = folder.path().join("found.db");
    copy_as_found(&path, &found);
    drop(transaction);
    drop(dying);

    for reopened in [FileStore::open(&found).unwrap(), FileStore::open(&path).unwrap()] {
        assert_eq!(everything(&reopened).await, before);
        reopened.commit(&second).await.unwrap();
        assert_eq!(everything(&reopened).await.len(), before.len() + 8);
    }
}

#[tokio::test]
async fn files_that_are_not_of_this_format_are_refused_with_the_cause_and_left_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, statements: &str| {
        let path = folder.path().join(name);
        Connection::open(&path).unwrap().execute_batch(statements).unwrap();
        path
    };
    let newer = format!(
        "CREATE TABLE rows (x); PRAGMA application_id = {}; PRAGMA user_version = {};",
        schema::APPLICATION_ID,
        schema::FORMAT + 1
    );
    let no_database = folder.path().join("text.db");
    std::fs::write(
        &no_database,
        "this is a text file that is long enough to have a database header".repeat(4),
    )
    .unwrap();
    let cases = [
        (make("newer.db", &newer), "it has format 2, this release reads 1"),
        (make("foreign.db", "CREATE TABLE contacts (x);"), "belongs to another program"),
        (no_database, "no readable database"),
    ];
    for (path, cause) in cases {
        let before = std::fs::read(&path).unwrap();
        for refused in [FileStore::open(&path), FileStore::open_read_only(&path)] {
            let error = refused.unwrap_err();
            assert_eq!((error.error_type, error.code), (ErrorType::StateError, code::STATE));
            assert!(error.message.contains(cause), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_reader_sees_each_commit_while_the_writer_is_open_and_can_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    assert!(FileStore::open_read_only(&path).is_err(), "no file, no state");
    let writer = FileStore::open(&path).unwrap();
    let reader = FileStore::open_read_only(&path).unwrap();
    let taken = writer.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    assert_eq!(everything(&reader).await, std::slice::from_ref(&taken));
    writer.commit(&follow(&taken, "t", vec![Write::Put(row("k", json!({})))])).await.unwrap();
    assert_eq!(everything(&reader).await.len(), 2);
    assert!(matches!(reader.acquire(PARTITION, &lease("b", 900_000)).await, Err(StateError::Unavailable(_))));
}

#[tokio::test]
async fn expired_rows_vanish_with_a_later_commit_and_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = Arc::new(AtomicI64::new(100));
    let clock = Arc::clone(&seconds);
    let now = move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap();
    let store = FileStore::open_with_clock(&folder.path().join("state.db"), now).unwrap();
    let taken = store.acquire(PARTITION, &lease("a", 1_000)).await.unwrap();
    let expiring = |key: &str, at: i64| Write::Put(Row { expires_at: Some(at), ..row(key, json!({})) });
    let mut commit = follow(&taken, "t", vec![expiring("old", 150), expiring("young", 300)]);
    store.commit(&commit).await.unwrap();
    seconds.store(200, Ordering::Relaxed);
    for number in 0..COMMITS_PER_PRUNING {
        commit = follow(&commit.checkpoint, &format!("t{number}"), vec![]);
        store.commit(&commit).await.unwrap();
    }
    let keys: Vec<_> = everything(&store).await.into_iter().map(|row| row.key).collect();
    assert_eq!(keys, [CHECKPOINT_KEY, "young"]);
}
