//! The gate step by step, with waits of milliseconds.

use futures::FutureExt as _;

use super::*;

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn tuning() -> Tuning {
    Tuning {
        retries: 3,
        throttle_base: Duration::from_millis(20),
        retry_cap: Duration::from_secs(60),
        ..Tuning::default()
    }
}

async fn pass(gate: &Gate) -> Permit<'_> {
    gate.pass(Timestamp::MAX).await.unwrap()
}

#[tokio::test]
async fn an_open_gate_lets_everybody_pass() {
    let gate = Gate::default();
    let permits = [pass(&gate).await, pass(&gate).await, pass(&gate).await];
    assert!(permits.iter().all(|permit| !permit.is_probe));
}

#[tokio::test]
async fn requests_under_way_together_close_the_gate_once() {
    let gate = Gate::default();
    let mut permits = Vec::new();
    for _ in 0..8 {
        permits.push(pass(&gate).await);
    }
    let begin = Instant::now();
    for permit in permits {
        permit.throttled(None, &tuning(), &clock).unwrap();
    }
    assert_eq!(gate.state().in_a_row, 1);
    let probe = pass(&gate).await;
    assert!(probe.is_probe && begin.elapsed() >= Duration::from_millis(20), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_permit_that_was_not_used_yet_does_not_outlive_a_closing() {
    let gate = Gate::default();
    let (early, late) = (pass(&gate).await, pass(&gate).await);
    early.throttled(None, &tuning(), &clock).unwrap();
    assert!(!late.is_current());
    assert!(pass(&gate).await.is_current());
}

#[tokio::test]
async fn after_the_wait_one_probes_and_the_others_wait_for_its_answer() {
    let gate = Gate::default();
    pass(&gate).await.throttled(None, &tuning(), &clock).unwrap();
    let probe = pass(&gate).await;
    assert!(probe.is_probe);
    let mut other = Box::pin(gate.pass(Timestamp::MAX));
    assert!((&mut other).now_or_never().is_none());
    probe.answered();
    assert!(!other.await.unwrap().is_probe);
}

#[tokio::test]
async fn a_probe_without_an_answer_leaves_the_probing_to_somebody_else() {
    let gate = Gate::default();
    pass(&gate).await.throttled(None, &tuning(), &clock).unwrap();
    let probe = pass(&gate).await;
    let mut other = Box::pin(gate.pass(Timestamp::MAX));
    assert!((&mut other).now_or_never().is_none());
    drop(probe);
    assert!(other.await.unwrap().is_probe);
}

#[tokio::test]
async fn three_probes_in_a_row_are_the_last_ones_and_an_answer_begins_anew() {
    let gate = Gate::default();
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(pass(&gate).await.throttled(Some(Duration::from_millis(1)), &short(), &clock), Ok(()));
        }
        pass(&gate).await.answered();
    }
    for _ in 0..3 {
        assert_eq!(pass(&gate).await.throttled(None, &short(), &clock), Ok(()));
    }
    assert_eq!(pass(&gate).await.throttled(None, &short(), &clock), Err(Exhausted));
    gate.begin();
    assert_eq!(pass(&gate).await.throttled(None, &short(), &clock), Ok(()));
}

fn short() -> Tuning {
    Tuning { throttle_base: Duration::from_millis(1), ..tuning() }
}

#[tokio::test]
async fn a_wait_past_the_deadline_is_told_with_its_end() {
    let gate = Gate::default();
    pass(&gate).await.throttled(Some(Duration::from_secs(100)), &tuning(), &clock).unwrap();
    let deadline = after(clock(), Duration::from_secs(60));
    let until = gate.pass(deadline).await.unwrap_err();
    assert_eq!(until, after(clock(), Duration::from_secs(100)));
}

#[test]
fn waits_double_and_an_api_that_refuses_after_its_own_wish_is_believed_less() {
    let tuning = Tuning::default();
    let table = [
        (None, 0, 2, 3),
        (None, 1, 4, 5),
        (None, 2, 8, 10),
        (None, 9, 30, 38),
        (Some(1), 0, 1, 1),
        (Some(1), 1, 4, 5),
        (Some(60), 0, 60, 60),
        (Some(60), 2, 60, 60),
    ];
    for (wish, before, least, most) in table {
        let wait = patience(wish.map(Duration::from_secs), before, &tuning);
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        assert!(least <= wait && wait <= most, "{wait:?} for {wish:?} after {before}");
    }
}
