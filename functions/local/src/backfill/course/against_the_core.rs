//! Courses against the run loop itself: timer ticks, other invocations and failures come between, in every order, and
//! each record arrives as often as was asked for.

use std::collections::BTreeMap;

use testing::site::{Site, Visit};
use testing::source::PageFault;

use super::*;
use crate::backfill::answer::Payload;

const NOON: &str = "2026-11-20T12:00:00Z";
const FROM: &str = "2026-11-19T00:00:00Z";
const TO: &str = "2026-11-20T00:00:00Z";
/// Gaps between invocations in which something may happen.
const GAPS: u32 = 4;
/// More invocations than any course here takes.
const ENDLESS: usize = 60;

/// What happens while the command is not looking.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Nothing,
    /// A tick has all the time it takes to complete what is open.
    Tick,
    /// An invocation takes the lease and is killed, so that the function is locked for a minute.
    Killed,
}

/// What is wrong with one of the command's invocations.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    Delivery,
    Throttled,
    NoTime,
}

/// The live windows saw half of what the backfill asks for.
fn site() -> Site {
    let records = [
        ("old1", "2026-11-19T01:00:00Z"),
        ("old2", "2026-11-19T02:00:00Z"),
        ("old3", "2026-11-19T03:00:00Z"),
        ("seen1", "2026-11-19T13:00:00Z"),
        ("seen2", "2026-11-19T14:00:00Z"),
    ];
    let mut site = Site::with(NOON, &records);
    site.tick();
    site.page_size = 1;
    site
}

fn happens(meanwhile: Meanwhile, site: &mut Site) {
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Tick => drop(site.visit(Visit::default())),
        // Its first steps take the lease; it has not delivered anything by then.
        Meanwhile::Killed => drop(site.visit_until(Visit::forced(), 4)),
    }
}

fn visit(course: &Course, trouble: Trouble) -> Visit {
    // Two pages of the backfill fill the time of an invocation, also where the live window takes its part before.
    let slow = match course.event() {
        Event::Backfill => Visit { seconds_per_page: 25, ..Visit::backfill(FROM, TO, course.wanted.resend) },
        Event::Tick => Visit { seconds_per_page: 10, ..Visit::default() },
    };
    match trouble {
        Trouble::None => slow,
        Trouble::Delivery => Visit { breaks: vec![Some(0)], ..slow },
        Trouble::Throttled => Visit { pages: vec![Some(PageFault::Throttled(90))], ..slow },
        Trouble::NoTime => Visit { pages: vec![None, Some(PageFault::OutOfTime)], ..slow },
    }
}

fn invoke(course: &mut Course, site: &mut Site, trouble: Trouble) -> Next {
    let outcome = site.visit(visit(course, trouble)).outcome;
    let Some(failure) = outcome.failure else {
        match Payload::read(&serde_json::to_vec(&outcome.report).unwrap()) {
            Payload::Answer(answer) => return course.after_answer(&answer),
            other => panic!("{other:?}"),
        }
    };
    let (error_type, message) = (failure.error_type.as_str().to_owned(), failure.to_string());
    course.after_failure(Failure::Failed(FunctionError { error_type, message }))
}

/// Plays a course to its end; something happens in each of the first gaps, and one invocation is in trouble.
fn play(resend: bool, gaps: &[Meanwhile], troubled: usize, trouble: Trouble) -> BTreeMap<String, usize> {
    let mut site = site();
    let wanted = Backfill { from: FROM.parse().unwrap(), to: TO.parse().unwrap(), resend };
    let mut course = Course::new(wanted, Duration::from_secs(5));
    for index in 0..ENDLESS {
        happens(gaps.get(index).copied().unwrap_or(Meanwhile::Nothing), &mut site);
        site.pass(1);
        let wrong = if index == troubled { trouble } else { Trouble::None };
        match invoke(&mut course, &mut site, wrong) {
            Next::Go => {}
            Next::Wait(time, _) => site.pass(i64::try_from(time.as_secs()).unwrap()),
            Next::Complete => return site.arrived(),
            end => panic!("{gaps:?} {troubled} {trouble:?}: {end:?}"),
        }
    }
    panic!("{gaps:?} {troubled} {trouble:?}: it does not end");
}

fn check(resend: bool) {
    let kinds = [Meanwhile::Nothing, Meanwhile::Tick, Meanwhile::Killed];
    let expected: BTreeMap<String, usize> = ["old1", "old2", "old3", "seen1", "seen2"]
        .map(|id| (id.to_owned(), if resend && id.starts_with("seen") { 2 } else { 1 }))
        .into();
    for order in 0..kinds.len().pow(GAPS) {
        let gaps: Vec<Meanwhile> =
            (0..GAPS).map(|gap| kinds[order / kinds.len().pow(gap) % kinds.len()]).collect();
        for trouble in [Trouble::None, Trouble::Delivery, Trouble::Throttled, Trouble::NoTime] {
            for troubled in 0..2 {
                let arrived = play(resend, &gaps, troubled, trouble);
                assert_eq!(arrived, expected, "{gaps:?} {troubled} {trouble:?}");
            }
        }
    }
}

#[test]
fn whatever_comes_between_a_backfill_is_complete_and_sends_nothing_twice() {
    check(false);
}

#[test]
fn whatever_comes_between_a_resend_sends_everything_once_more_and_not_twice() {
    check(true);
}
