//! Content feeds and their retry queues in a simulated world: nothing that can be had is lost, nothing comes twice but the
//! batch in flight, and no content is fetched again once it was settled.

mod content_world;

use testing::content::FetchFault;
use testing::dice::Dice;
use testing::drive::race;
use testing::site::Visit;
use testing::source::PageFault;
use testing::store::WriteFault;

use content_world::{TURNS, World};

const TO_THE_END: usize = usize::MAX - 1;
/// Moments of death that are tried.
const POINTS: usize = if cfg!(debug_assertions) { 400 } else { 4_000 };

#[test]
fn a_quiet_run_has_every_blob_once_and_names_what_is_lost() {
    for seed in 0..60 {
        let mut world = World::new(seed, 12);
        world.run_until_quiet();
        world.check();
        world.check_losses_are_named();
    }
}

/// Every step of several invocations is a moment to die: each is tried, and the next invocations put things right.
#[test]
fn a_crash_at_any_step_of_a_feed_or_an_errand_loses_nothing_and_repeats_at_most_the_batch_in_flight() {
    let mut points = 0;
    for seed in 0.. {
        if points >= POINTS {
            break;
        }
        for dying in 0..3 * TURNS.len() {
            // In debug builds a few moments of each invocation, spread over its length.
            let stride = if cfg!(debug_assertions) { 7 } else { 1 };
            for crash_at in (usize::try_from(seed).unwrap() % stride..).step_by(stride) {
                let mut world = World::new(seed, 5);
                for turn in 0..dying {
                    let visit = world.plain();
                    world.next(visit, TO_THE_END);
                    if turn % 2 == 1 {
                        world.advance();
                    }
                }
                let visit = world.plain();
                if world.next(visit, crash_at).is_some() {
                    break;
                }
                points += 1;
                // The dead one's lease must end before anybody else can work.
                world.wait_for_the_lease();
                world.site.new_processes();
                world.run_until_quiet();
                world.check();
            }
        }
    }
    println!("crashed at {points} points");
}

#[test]
fn faults_of_api_devo_and_store_lose_nothing_and_commit_nothing_twice() {
    for seed in 0..if cfg!(debug_assertions) { 60 } else { 600 } {
        let mut world = World::new(seed, 10);
        let mut dice = Dice::new(seed ^ 0xFA17);
        for _ in 0..16 {
            let visit = Visit {
                pages: (0..4).map(|_| dice.sometimes(5).then(|| page_fault(&mut dice))).collect(),
                fetches: (0..12).map(|_| dice.sometimes(6).then(|| fetch_fault(&mut dice))).collect(),
                breaks: (0..4).map(|_| dice.sometimes(4).then(|| dice.below(9))).collect(),
                writes: (0..8).map(|_| dice.sometimes(6).then(|| write_fault(&mut dice))).collect(),
                failing_reads: (0..6).map(|_| dice.sometimes(12)).collect(),
                ..world.plain()
            };
            let steps = if dice.sometimes(4) { dice.below(120) } else { TO_THE_END };
            if world.next(visit, steps).is_none() || dice.sometimes(3) {
                world.wait_for_the_lease();
                world.site.new_processes();
            }
            world.advance();
        }
        world.wait_for_the_lease();
        world.run_until_quiet();
        world.check_what_was_had();
    }
}

#[test]
fn of_a_feed_and_an_errand_at_once_the_lease_decides_and_nothing_comes_twice() {
    for seed in 0..if cfg!(debug_assertions) { 150 } else { 1_500 } {
        let mut world = World::new(seed, 6);
        for turn in 0..6 {
            let visit = world.plain();
            world.next(visit, TO_THE_END);
            if turn % 2 == 1 {
                world.advance();
            }
        }
        world.advance();
        let bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let choices: Vec<bool> = (0..64).map(|bit| (bits >> bit) & 1 == 1).collect();
        let feed = TURNS[if seed % 2 == 0 { 0 } else { 2 }];
        let (of_feed, of_errands) = race(
            world.site.invocation(feed, Visit::forced()),
            world.site.invocation(TURNS[1], Visit::forced()),
            &choices,
        );
        assert_eq!((of_feed.outcome.failure, of_errands.outcome.failure), (None, None), "seed {seed}");
        world.run_until_quiet();
        world.check();
    }
}

fn page_fault(dice: &mut Dice) -> PageFault {
    let faults = [
        PageFault::LinkExpired,
        PageFault::TooHeavy,
        PageFault::Throttled(90),
        PageFault::Fatal,
        PageFault::OutOfTime,
    ];
    faults[dice.below(faults.len())]
}

fn fetch_fault(dice: &mut Dice) -> FetchFault {
    let faults = [FetchFault::NotYet, FetchFault::OutOfTime, FetchFault::Throttled(90), FetchFault::Fatal];
    faults[dice.below(faults.len())]
}

fn write_fault(dice: &mut Dice) -> WriteFault {
    [WriteFault::HappensSilently, WriteFault::VanishesSilently, WriteFault::Refused][dice.below(3)]
}
