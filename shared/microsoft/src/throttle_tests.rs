//! Turns in real time, with spans short enough for a test.

use std::sync::Arc;

use super::*;

fn clock() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

fn throttle(requests: u32, per: SignedDuration) -> Throttle {
    Throttle::new(RequestRate { requests, per })
}

async fn turns(throttle: &Throttle, count: usize) {
    for _ in 0..count {
        throttle.turn(&clock, Timestamp::MAX).await.unwrap();
    }
}

#[tokio::test]
async fn no_span_of_the_length_has_more_turns_than_the_limit() {
    let per = Duration::from_millis(60);
    let throttle = Arc::new(throttle(3, SignedDuration::try_from(per).unwrap()));
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let throttle = Arc::clone(&throttle);
        takers.spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..3 {
                throttle.turn(&clock, Timestamp::MAX).await.unwrap();
                taken.push(Instant::now());
            }
            taken
        });
    }
    let mut taken: Vec<Instant> = takers.join_all().await.into_iter().flatten().collect();
    taken.sort();
    // Whoever took a turn looked at the time a moment after the throttle did, so the first look may be late.
    let late = Duration::from_millis(5);
    for four in taken.windows(4) {
        assert!(four[3].duration_since(four[0]) + late >= per, "{:?}", four[3].duration_since(four[0]));
    }
}

#[tokio::test]
async fn a_turn_that_would_come_after_the_deadline_is_refused_at_once() {
    let table = [(SignedDuration::from_secs(59), false), (SignedDuration::from_hours(1), true)];
    for (per, is_told) in table {
        let throttle = throttle(1, per);
        let deadline = after(clock(), Duration::from_secs(30));
        turns(&throttle, 1).await;
        let refused = throttle.turn(&clock, deadline).await.unwrap_err();
        assert!(refused.until > after(clock(), Duration::from_secs(58)), "{refused:?}");
        assert_eq!(throttle.foresee(&clock, deadline).unwrap_err().is_told, is_told);
        match SourceError::from(refused) {
            SourceError::Throttled { .. } => assert!(is_told),
            SourceError::OutOfTime => assert!(!is_told),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn to_foresee_a_turn_is_not_to_take_it() {
    let throttle = throttle(1, SignedDuration::from_hours(1));
    let deadline = after(clock(), Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(throttle.foresee(&clock, deadline), Ok(()));
    }
    turns(&throttle, 1).await;
}

#[tokio::test]
async fn a_rate_without_a_span_is_no_limit() {
    let throttle = throttle(1, SignedDuration::ZERO);
    turns(&throttle, 1000).await;
    assert_eq!(throttle.used_percent(1000, 1000, Duration::from_secs(300)), None);
}

#[tokio::test]
async fn a_turn_tells_how_many_of_its_span_are_taken_those_of_another_process_included() {
    let throttle = throttle(5, SignedDuration::from_hours(1));
    throttle.remember(Used { turns: 2, last: clock() }, clock());
    for taken in [3, 4, 5] {
        assert_eq!(throttle.turn(&clock, Timestamp::MAX).await, Ok(taken));
    }
}

#[test]
fn the_use_of_a_limit_is_how_full_a_long_span_was_or_what_a_period_of_short_ones_allows() {
    let (second, minute, hour) = (1_u32, 60, 3_600);
    let table = [
        // (requests, span, fullest, made, period, percent)
        (100, hour, 0, 0, 5 * minute, 0),
        (100, hour, 80, 1, 5 * minute, 80),
        (100, hour, 100, 1, 5 * minute, 100),
        (3, minute, 1, 1, minute, 34),
        // One request in ten seconds, the part of a service, is thirty in five minutes.
        (1, 10 * second, 1, 0, 5 * minute, 0),
        (1, 10 * second, 1, 1, 5 * minute, 4),
        (1, 10 * second, 1, 15, 5 * minute, 50),
        (1, 10 * second, 1, 40, 5 * minute, 100),
        (333, minute, 333, 333, 5 * minute, 20),
        (1, second, 1, 2_000, 24 * hour, 3),
    ];
    for (requests, span, fullest, made, period, percent) in table {
        let throttle = throttle(requests, SignedDuration::from_secs(span.into()));
        let used = throttle.used_percent(fullest, made, Duration::from_secs(u64::from(period)));
        assert_eq!(used, Some(percent), "{requests} in {span} s, {made} made, fullest {fullest}");
    }
}

#[tokio::test]
async fn what_one_process_used_the_next_one_does_not_have() {
    let an_hour = SignedDuration::from_hours(1);
    let now = clock() + SignedDuration::from_hours(10);
    let deadline = after(now, Duration::from_secs(60));
    let clock_of_next = move || now;
    let used = Used { turns: 3, last: now - SignedDuration::from_mins(10) };

    let cold = throttle(5, an_hour);
    cold.remember(used, now);
    for _ in 0..2 {
        cold.turn(&clock_of_next, deadline).await.unwrap();
    }
    // The third used turn comes back 50 minutes from now, where the machine has been running for as long as that.
    assert!(
        cold.turn(&clock_of_next, deadline).await.unwrap_err().until >= now + SignedDuration::from_mins(49)
    );

    let full = throttle(3, an_hour);
    full.remember(used, now);
    assert!(full.foresee(&clock_of_next, deadline).is_err());

    for old in [an_hour, an_hour * 2] {
        let idle = throttle(3, an_hour);
        idle.remember(Used { turns: 3, last: now - old }, now);
        assert_eq!(idle.used(now), None);
    }
}

#[tokio::test]
async fn what_a_process_used_itself_is_not_counted_twice() {
    let throttle = throttle(5, SignedDuration::from_hours(1));
    turns(&throttle, 3).await;
    let now = clock();
    let used = throttle.used(now).unwrap();
    assert_eq!(used.turns, 3);
    throttle.remember(used, now);
    assert_eq!(throttle.used(now).unwrap().turns, 3);
}

#[tokio::test]
async fn a_short_budget_is_not_used_twice_by_two_processes_in_turn() {
    let ten_seconds = SignedDuration::from_secs(10);
    let first = throttle(1, ten_seconds);
    turns(&first, 1).await;
    let used = first.used(clock()).unwrap();

    let now = clock() + SignedDuration::from_secs(4);
    let next = throttle(1, ten_seconds);
    next.remember(used, now);
    let refused = next.foresee(&move || now, after(now, Duration::from_secs(5))).unwrap_err();
    assert!(refused.until >= clock() + ten_seconds, "{refused:?}");
    assert!(!refused.is_told, "seconds are waited for, not told");
}

#[tokio::test]
async fn budgets_that_end_before_another_process_can_begin_are_nobody_elses_matter() {
    let short = SignedDuration::from_secs(1);
    let first = throttle(1, short);
    turns(&first, 1).await;
    assert_eq!(first.used(clock()), None);
    let next = throttle(1, short);
    next.remember(Used { turns: 1, last: clock() }, clock());
    assert_eq!(next.foresee(&clock, after(clock(), Duration::from_millis(1))), Ok(()));
}
