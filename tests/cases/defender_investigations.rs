//! Investigations can be asked for by their start alone and change long after it: what runs is met by every tick, and what
//! has ended by none.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::records::{investigation, investigation_ended};
use simulator::tenant::DefenderList;

use crate::world::defender::{asked_span, pages, short_pages, world};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, World, ago};

const FUNCTION: &str = "endpoint-investigations";

fn emit(world: &World, text: &str) -> u64 {
    world.tenant.emit_defender(DefenderList::Investigations, text.to_owned()).unwrap()
}

fn update(world: &World, number: u64, text: &str) {
    world.tenant.update_defender(DefenderList::Investigations, number, text.to_owned()).unwrap();
}

/// A running investigation that has come so far.
fn at_step(seed: u64, start: Timestamp, step: u32) -> String {
    let text = investigation(seed, start);
    let changed =
        text.replace("\"statusDetails\":null", &format!("\"statusDetails\":\"step {step} of many\""));
    assert_ne!(changed, text);
    changed
}

fn hours_ago(hours: i64) -> Timestamp {
    ago(SignedDuration::from_hours(hours))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_investigation_of_hours_ago_is_delivered_at_each_change_and_never_after_its_end() {
    for is_warm in [false, true] {
        let world = world(FUNCTION, short_pages()).await;
        let (start, end) = (hours_ago(9), ago(SignedDuration::from_mins(1)));
        let mut sent = vec![investigation(1, start)];
        let running = emit(&world, &sent[0]);
        // Others that came to their end, older and newer ones.
        for seed in 10..30_u64 {
            let begun = ago(SignedDuration::from_mins(30 + 50 * (seed.cast_signed() - 10)));
            sent.push(investigation_ended(seed, begun, begun + SignedDuration::from_mins(4)));
            emit(&world, sent.last().unwrap());
        }
        let process = world.process().await;
        let pull = || async {
            match is_warm {
                true => world.invoke(&process, &json!({"force": true}), AMPLE).await.answer(),
                false => world.force().await,
            }
        };
        assert_answer(&pull().await, FUNCTION, 21);
        assert_answer(&pull().await, FUNCTION, 0);
        // It changes, and changes back: each is told of.
        for text in [at_step(1, start, 1), at_step(1, start, 2), at_step(1, start, 1)] {
            update(&world, running, &text);
            for expected in [1, 0] {
                assert_answer(&pull().await, FUNCTION, expected);
            }
        }
        sent.extend([at_step(1, start, 1), at_step(1, start, 2)]);
        let ended = investigation_ended(1, start, end);
        update(&world, running, &ended);
        sent.push(ended);
        assert_answer(&pull().await, FUNCTION, 1);
        let asked = pages(&world).len();
        for _ in 0..3 {
            assert_answer(&pull().await, FUNCTION, 0);
        }
        let reaches: Vec<Timestamp> = pages(&world)[asked..].iter().map(|seen| asked_span(seen).0).collect();
        assert!(!reaches.is_empty());
        assert!(reaches.iter().all(|from| *from > hours_ago(3)), "nothing runs that is older: {reaches:?}");
        assert_eq!(world.records().len(), sent.len() + 1, "the first step was told of twice");
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_long_as_one_of_several_runs_each_tick_reaches_back_to_it() {
    let world = world(FUNCTION, short_pages()).await;
    let starts = [hours_ago(20), hours_ago(12), hours_ago(5)];
    let mut sent: Vec<String> =
        starts.iter().zip(0..).map(|(start, seed)| investigation(seed, *start)).collect();
    let numbers: Vec<u64> = sent.iter().map(|text| emit(&world, text)).collect();
    // The newest one has ended: the usual reach behind it is none of the others'.
    let newest = ago(SignedDuration::from_mins(20));
    sent.push(investigation_ended(9, newest, newest + SignedDuration::from_mins(2)));
    emit(&world, &sent[3]);
    assert_answer(&world.tick().await, FUNCTION, 4);
    for (seed, (start, number)) in (0..).zip(starts.iter().zip(numbers)) {
        let asked = pages(&world).len();
        assert_answer(&world.force().await, FUNCTION, 0);
        assert_eq!(asked_span(&pages(&world)[asked]).0, *start, "the oldest that runs");
        let text = investigation_ended(seed, *start, ago(SignedDuration::from_secs(5)));
        update(&world, number, &text);
        assert_answer(&world.force().await, FUNCTION, 1);
        sent.push(text);
    }
    assert_answer(&world.force().await, FUNCTION, 0);
    assert_arrived(&world, &sent);
    world.close().await;
}
