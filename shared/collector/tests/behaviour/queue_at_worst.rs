//! The retry queue at its worst: long links in its entries, more of them than a tick can try, and refusals.
//!
//! Whatever an API hands out as a name or a link, no commit is over the store's limits, or the feed would stand still for
//! ever; no feed's queue keeps those of the others waiting, and nothing in it what is new.

use collector::report::Status;
use jiff::SignedDuration;
use testing::content::{Attempt, FetchFault};
use testing::content_site::{ContentSite, Who};
use testing::site::Visit;

use crate::NOON;

#[test]
fn large_entries_of_the_queue_make_several_commits() {
    let mut site = ContentSite::new(NOON);
    for number in 0..100 {
        let id = format!("{number:0>32000}");
        site.add(Who::Mail, &id, "2026-11-20T10:30:00Z", &[]).attempts = vec![Attempt::FailsAfter(0)];
    }
    let seen = site.tick(Who::Mail);
    assert_eq!((seen.outcome.failure.as_ref(), seen.status()), (None, Status::UpToDate));
    assert_eq!(site.queue(Who::Mail).len(), 100);
}

#[test]
fn content_whose_entry_is_too_large_for_a_row_is_lost_by_name_and_holds_nobody_up() {
    let mut site = ContentSite::new(NOON);
    let id = "x".repeat(500_000);
    site.add(Who::Mail, &id, "2026-11-20T10:30:00Z", &[]).attempts = vec![Attempt::FailsAfter(0)];
    site.add(Who::Mail, "good", "2026-11-20T11:00:00Z", &["good"]);
    let seen = site.tick(Who::Mail);
    assert_eq!((seen.outcome.failure.as_ref(), seen.status()), (None, Status::UpToDate));
    assert_eq!((seen.outcome.report.delivered, seen.outcome.report.lost_uris), (1, 1));
    assert!(seen.warnings().len() < 2_000);
}

#[test]
fn a_queue_that_takes_all_of_each_tick_does_not_keep_the_others_waiting_whatever_the_period() {
    for period in [120, 180, 300, 600, 900, 3_600] {
        let mut site = ContentSite::new(NOON);
        for who in [Who::Mail, Who::Files] {
            for number in 0..40 {
                site.add(who, &format!("{}{number}", who.name()), "2026-11-20T10:30:00Z", &[]).attempts =
                    vec![Attempt::FailsAfter(0); 1_000];
            }
        }
        site.tick(Who::Mail);
        site.tick(Who::Files);
        let known = site.tenant.begun().len();
        let timer = site.now().as_second() / 3_600 * 3_600 + 7_200;
        for tick in 0..16 {
            // A timer does not wait for the work.
            site.pass(timer + tick * period - site.now().as_second());
            site.visit(Who::Retry, Visit { seconds_per_fetch: 30, ..Visit::forced() });
        }
        let begun = site.tenant.begun().split_off(known);
        for who in [Who::Mail, Who::Files] {
            assert!(begun.iter().any(|id| id.starts_with(who.name())), "{who:?} {period}");
        }
    }
}

#[test]
fn old_content_that_is_refused_for_good_does_not_keep_newer_content_waiting_and_is_answered() {
    let mut site = ContentSite::new(NOON);
    site.add(Who::Mail, "old", "2026-11-20T10:30:00Z", &["old"]).attempts = vec![Attempt::FailsAfter(0)];
    site.tick(Who::Mail);
    site.pass(7 * 86_400 - 10 * 3_600);
    let created = (site.now() - SignedDuration::from_secs(120)).to_string();
    site.add(Who::Mail, "new", &created, &["new"]);
    let seen = site.visit(Who::Mail, Visit::with_fetches(&[Some(FetchFault::Fatal)]));
    assert_eq!(seen.ids(), ["new"]);
    assert_eq!(seen.outcome.failure.as_ref().map(|error| error.message.as_str()), Some("scripted"));
    assert_eq!(site.queue(Who::Mail), ["old"]);
    assert_eq!(site.tick(Who::Mail).ids(), ["old"]);
}
