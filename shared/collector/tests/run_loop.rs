//! The run loop in a simulated world: nothing emitted is lost, and nothing comes twice but the batch in flight.

mod world;

use std::collections::BTreeMap;

use collector::report::Status;
use testing::conformance;
use testing::drive::{Driven, drive, finish, race};
use testing::store::MemoryStore;

use world::{Faults, World};

#[test]
fn the_store_of_the_simulation_is_a_state_store() {
    finish(conformance::all(&MemoryStore::default()));
}

#[test]
fn a_quiet_run_delivers_every_distinct_record_once_whatever_the_order_and_lateness() {
    for seed in 0..40 {
        for mut world in [World::new(seed, 60), World::new(seed, 60).sweeping()] {
            world.run_to_the_end();
            world.check(0);
        }
    }
}

/// Every step of every run is a place to die: each is tried, and the next invocations put things right.
#[test]
fn a_crash_at_any_step_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let mut points = 0;
    for seed in 0.. {
        if points >= 12_000 {
            break;
        }
        for crash_at in 0.. {
            let mut world = World::new(seed, 24);
            world.advance();
            match drive(world.invocation(Faults::default()), crash_at) {
                Driven::Ended(..) => break,
                Driven::Crashed => {}
            }
            points += 1;
            // The dead one's lease must end before anybody else can work.
            world.wait_for_the_lease();
            world.run_to_the_end();
            world.check(1);
        }
    }
    println!("crashed at {points} points");
    assert!(points >= 10_000);
}

#[test]
fn faults_of_api_devo_and_store_lose_nothing_and_repeat_only_what_they_broke() {
    for seed in 0..200 {
        let mut world = World::new(seed, 40);
        let mut rounds = 0..12;
        if seed % 4 == 0 {
            (world, rounds) = (world.sweeping(), 0..36);
        }
        let mut broken = 0;
        for round in rounds {
            world.advance();
            let outcome = finish(world.invocation(Faults::from_seed(seed * 100 + round)));
            broken += usize::from(outcome.failure.is_some());
            world.wait_for_the_lease();
        }
        world.run_to_the_end();
        world.check(broken);
    }
}

#[test]
fn of_two_invocations_at_once_one_works_and_the_other_says_locked() {
    for seed in 0..1_000 {
        let mut world = World::new(seed, 10);
        world.advance();
        let choices: Vec<bool> =
            (0..64).map(|bit| (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> bit) & 1 == 1).collect();
        let first = world.invocation(Faults::default());
        let second = world.invocation(Faults::default());
        let (first, second) = race(first, second, &choices);
        let mut statuses = [&first, &second].map(|outcome| outcome.report.status);
        statuses.sort_by_key(|status| *status != Status::UpToDate);
        assert!(first.failure.is_none() && second.failure.is_none());
        // The second may also come when the first has long ended: then it is simply not due.
        assert_eq!(statuses[0], Status::UpToDate, "seed {seed}");
        assert!(matches!(statuses[1], Status::Locked | Status::NotDue), "seed {seed}: {statuses:?}");
        world.run_to_the_end();
        world.check(0);
    }
}

#[test]
fn an_idle_tick_costs_two_writes_of_four_units_and_one_query() {
    let mut world = World::new(3, 30);
    world.run_to_the_end();
    world.settle();
    let before = world.store.usage();
    world.advance();
    let outcome = finish(world.invocation(Faults::default()));
    let after = world.store.usage();
    assert_eq!(outcome.report.status, Status::UpToDate);
    assert_eq!((outcome.report.delivered, after.0 - before.0), (0, 1), "the lease is the other write");
    assert!(after.1 - before.1 <= 1, "{} queries", after.1 - before.1);
    assert!(after.2 - before.2 <= 4, "{} write units", after.2 - before.2);
}

#[test]
fn a_million_records_in_bulk_cost_less_than_twenty_thousand_write_units() {
    let delivered = 100_000;
    let world = World::bulk(delivered);
    let before = world.store.usage().2;
    let mut by_status = BTreeMap::new();
    loop {
        let outcome = finish(world.invocation(Faults::default()));
        assert_eq!(outcome.failure, None);
        *by_status.entry(format!("{:?}", outcome.report.status)).or_insert(0) += 1;
        if outcome.report.status == Status::UpToDate {
            break;
        }
    }
    let units = world.store.usage().2 - before;
    println!("{units} write units for {delivered} records ({by_status:?})");
    assert!(units * 10 <= 20_000, "{units} write units for {delivered} records");
}
