//! Providers that are silent now and then, whatever else happens: what they had is delivered once they answer.

use collector::report::Status;
use jiff::SignedDuration;
use testing::dice::Dice;
use testing::site::{Site, Visit, record, thing};
use testing::source::PageFault;

use crate::NOON;

const MISSING: PageFault = PageFault::Missing("a provider is silent");

/// A service that catches up over two days, in windows of a random length, with records of two providers.
fn world(dice: &mut Dice) -> Site {
    let mut site = Site::new(NOON);
    let start = site.now() - SignedDuration::from_hours(48);
    site.settings.start_time = Some(start);
    site.settings.window_max = SignedDuration::from_mins(120 + dice.below(1_300) as i64);
    site.page_size = 1 + dice.below(6);
    for number in 0..30 {
        let time = start + SignedDuration::from_mins(dice.below(49 * 60) as i64);
        if dice.sometimes(2) {
            site.records.push(thing(&format!("{number}"), &time.to_string()));
        } else {
            let text = format!("{{\"id\":\"{number}\",\"time\":\"{time}\",\"provider\":\"silent\"}}");
            site.records.push(record(&text, time));
        }
    }
    site
}

fn pages(dice: &mut Dice) -> Vec<Option<PageFault>> {
    let others = [PageFault::LinkExpired, PageFault::TooHeavy, PageFault::Fatal, PageFault::OutOfTime];
    let silence = 1 + dice.below(4);
    let fault = |dice: &mut Dice| match dice.below(12) {
        0 => Some(others[dice.below(others.len())]),
        _ => dice.sometimes(silence).then_some(MISSING),
    };
    (0..dice.below(60)).map(|_| fault(dice)).collect()
}

#[test]
fn what_a_provider_had_while_it_was_silent_comes_once_it_answers_and_nothing_comes_twice() {
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let mut site = world(&mut dice);
        let mut complete_to = None;
        let mut deaths = 0;
        // Less than a day: nothing is given up.
        for _ in 0..10 {
            let visit =
                Visit { seconds_per_page: dice.below(3) as i64, ..Visit::with_pages(&pages(&mut dice)) };
            if dice.sometimes(2) {
                site.new_process();
            }
            let steps = if dice.sometimes(4) { dice.below(60) } else { 1_000_000 };
            match site.visit_until(visit, steps) {
                None => deaths += 1,
                Some(seen) => {
                    assert!(!seen.warnings().contains("given up"), "seed {seed}: {}", seen.warnings())
                }
            }
            let reached = site.checkpoint().get("complete_to_in_utc").map(ToString::to_string);
            assert!(reached >= complete_to, "seed {seed}: the position never goes back");
            complete_to = reached;
            site.pass(600 + dice.below(7_200) as i64);
        }
        let mut ticks = 0;
        while site.tick().status() != Status::UpToDate || ticks < 2 {
            site.pass(1_800);
            ticks += 1;
            assert!(ticks < 20, "seed {seed} never gets up to date");
        }
        assert_eq!(site.checkpoint().get("owed_from_in_utc"), None, "seed {seed}");
        let arrived = site.arrived();
        assert_eq!(arrived.len(), 30, "seed {seed}: {arrived:?}");
        let repeats: usize = arrived.values().map(|count| count - 1).sum();
        assert!(deaths > 0 || repeats == 0, "seed {seed}: {arrived:?}");
    }
}
