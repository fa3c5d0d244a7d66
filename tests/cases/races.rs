//! Two processes are asked for the same service at the same time, as a retry or a second schedule does.

use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{AMPLE, World, ago, cloud_apps_lists, contract, defender_lists, security, services};

const RACES: u64 = 50;
/// Worlds that race side by side; more would only wait for one another's processors.
const SIDE_BY_SIDE: usize = 5;
const RECORDS: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_invocations_at_once_one_works_and_the_other_leaves_everything_alone() {
    let words: Vec<String> = stream::iter(0..RACES).map(race).buffer_unordered(SIDE_BY_SIDE).collect().await;
    let count = |word: &str| words.iter().filter(|found| *found == word).count();
    println!("{RACES} races: {} locked, {} not due", count("locked"), count("not_due"));
    assert!(count("locked") > 0, "no two invocations ever met: {words:?}");
}

/// One race; gives the loser's word.
async fn race(number: u64) -> String {
    let all: Vec<_> =
        services().chain(security()).chain(defender_lists()).chain(cloud_apps_lists()).collect();
    let world = World::new(all[usize::try_from(number).unwrap() % all.len()]).await;
    let emitted: Vec<String> = (0..RECORDS)
        .map(|seed| world.emit(seed, ago(SignedDuration::from_mins(2 + seed.cast_signed()))))
        .collect();
    let (left, right) = tokio::join!(world.process(), world.process());
    tokio::join!(left.has_polled(1), right.has_polled(1));
    let tick = json!({});
    let answers = join_all([&left, &right].map(|process| world.invoke(process, &tick, AMPLE))).await;
    let answers: Vec<Value> = answers.into_iter().map(|ended| ended.answer()).collect();
    let (workers, losers): (Vec<&Value>, Vec<&Value>) =
        answers.iter().partition(|answer| answer["status"] == "up_to_date");
    assert_eq!((workers.len(), losers.len()), (1, 1), "{answers:?}");
    assert_eq!(workers[0]["delivered"], RECORDS);
    let word = losers[0]["status"].as_str().unwrap().to_owned();
    assert!(["locked", "not_due"].contains(&word.as_str()), "{answers:?}");
    assert_eq!((&losers[0]["requests"], &losers[0]["devo_pulling_id"]), (&json!(0), &Value::Null));

    // Each acquisition and each commit is one version: taking the lease and the one batch, and once more both for an
    // invocation that came after that and found nothing to do.
    let versions = if word == "locked" { 2 } else { 4 };
    let checkpoint = world.table.checkpoint().await.unwrap();
    assert_eq!(checkpoint["version"], versions, "{word}: {checkpoint}");
    assert_eq!(checkpoint.get("lease_owner"), None, "the lease was given back");
    assert_eq!(world.to_devo.connections(), 1, "the loser opens no connection to Devo");
    let mut arrived: Vec<String> =
        world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect();
    let mut expected = emitted.clone();
    arrived.sort_unstable();
    expected.sort_unstable();
    assert_eq!(arrived, expected);
    world.close().await;
    word
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invocation_that_lost_its_lease_commits_nothing_and_the_next_one_delivers() {
    let world = World::new(services().next().unwrap()).await;
    let record = world.emit(1, ago(SignedDuration::from_mins(2)));
    // The lease changes hands while the page is on its way.
    let gate = simulator::tenant::Gate::new();
    let hold = simulator::tenant::Fault::Hold(gate.clone());
    world.tenant.script(vec![simulator::tenant::Rule::on_endpoint(world.endpoint(), hold).nth(1)]);
    let process = world.process().await;
    let tick = json!({});
    let (ended, thief) = tokio::join!(world.invoke(&process, &tick, AMPLE), async {
        gate.arrived(1).await;
        let mut thief = world.table.checkpoint().await.unwrap();
        thief["version"] = json!(thief["version"].as_u64().unwrap() + 1);
        thief["writer"] = json!("somebody else");
        thief["lease_owner"] = json!("somebody else");
        let ends = jiff::Timestamp::now() + SignedDuration::from_millis(700);
        thief["lease_expires_at"] = json!(ends.as_millisecond());
        world.table.put(&thief).await;
        gate.release();
        thief
    });
    let error = ended.error();
    assert_eq!(error.error_type, "StateError");
    assert!(error.message.starts_with("[701] "), "{}", error.message);
    assert_eq!(world.table.checkpoint().await.unwrap(), thief, "the row is the other's");
    // Locked as long as the other's lease runs; then the record comes again, since nobody has committed it.
    let mut answer = world.tick().await;
    while answer["status"] == "locked" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer = world.tick().await;
    }
    assert_eq!((&answer["status"], &answer["delivered"]), (&json!("up_to_date"), &json!(1)), "{answer}");
    let copies = world.records();
    assert_eq!(copies.len(), 2, "delivered, not committed, delivered again");
    assert!(copies.iter().all(|copy| contract::record_of(&copy.message) == record));
    world.close().await;
}
