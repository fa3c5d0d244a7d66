//! The lease: given back whenever it can be, and never written under once it is lost.

use collector::report::Status;
use serde_json::json;
use testing::site::{Site, Visit};
use testing::source::PageFault;
use testing::store::WriteFault;

use crate::NOON;

fn site() -> Site {
    Site::with(NOON, &[("a", "2026-11-20T10:00:00Z"), ("b", "2026-11-20T11:00:00Z")])
}

/// After a failed visit the very next tick can work, and everything arrives.
fn check_next_tick_works(site: &mut Site) {
    assert!(!site.is_leased(), "the lease was not given back");
    site.pass(1);
    let seen = site.visit(Visit::default());
    assert_eq!(seen.status(), Status::UpToDate);
    assert_eq!(site.arrived().len(), 2);
}

#[test]
fn a_failing_read_of_the_state_gives_the_lease_back() {
    for failing_reads in [vec![true], vec![false, true]] {
        let mut site = site();
        // A walk that is open loads its hashes page by page, with the second read.
        site.page_size = 1;
        site.visit(Visit { seconds_per_page: 50, ..Visit::forced() });
        site.new_process();
        let seen = site.visit(Visit { failing_reads, ..Visit::default() });
        assert_eq!(seen.failure(), "StateError [700] the state cannot be used: scripted");
        check_next_tick_works(&mut site);
    }
}

#[test]
fn a_store_that_refuses_a_commit_gets_the_lease_back_as_soon_as_it_can() {
    for fault in [WriteFault::Refused, WriteFault::VanishesSilently] {
        let mut site = site();
        let faults = vec![Some(fault); if fault == WriteFault::Refused { 1 } else { 5 }];
        let writes = [vec![None], faults].concat();
        let seen = site.visit(Visit::with_writes(&writes));
        assert!(seen.failure().starts_with("StateError [700]"), "{}", seen.failure());
        assert_eq!((seen.outcome.report.failed, seen.outcome.report.delivered), (2, 0));
        assert_eq!(site.checkpoint().get("complete_to_in_utc"), None);
        check_next_tick_works(&mut site);
        assert!(site.arrived().values().all(|times| *times == 2), "the batch comes again, and once only");
    }
}

#[test]
fn a_commit_that_happened_without_an_answer_is_a_commit() {
    for silent in [1, 6] {
        let mut site = site();
        let writes = [vec![None], vec![Some(WriteFault::HappensSilently); silent]].concat();
        let seen = site.visit(Visit::with_writes(&writes));
        assert_eq!((seen.status(), seen.outcome.report.delivered), (Status::UpToDate, 2), "read back");
        assert!(!site.is_leased());
        site.new_process();
        assert_eq!(site.tick().ids().len(), 0);
    }
}

#[test]
fn a_commit_that_nobody_confirmed_is_not_undone_nor_taken_for_the_return_of_the_lease() {
    let mut site = site();
    let writes = [[None].as_slice(), &[Some(WriteFault::HappensSilently); 5]].concat();
    let failing_reads = [[false].as_slice(), &[true; 5]].concat();
    let seen = site.visit(Visit { failing_reads, ..Visit::with_writes(&writes) });
    assert!(seen.failure().contains("the outcome of a commit is unknown"), "{}", seen.failure());
    assert!(seen.warnings().contains("the lease could not be given back"), "{}", seen.warnings());
    assert_eq!(site.checkpoint()["complete_to_in_utc"], NOON, "it had happened");
    site.pass(1);
    assert_eq!((site.tick().ids().len(), site.arrived().len()), (0, 2));
}

#[test]
fn a_store_that_stays_silent_leaves_the_lease_to_end_by_itself() {
    let mut site = site();
    let seen =
        site.visit(Visit::with_writes(&[[None].as_slice(), &[Some(WriteFault::Refused); 20]].concat()));
    assert!(seen.failure().starts_with("StateError [700]"));
    assert!(seen.warnings().contains("the lease could not be given back"), "{}", seen.warnings());
    assert!(site.is_leased());
    site.pass(64);
    check_next_tick_works(&mut site);
}

#[test]
fn a_holder_that_lost_the_lease_commits_nothing_and_says_so() {
    let mut site = site();
    site.page_size = 1;
    let seen = site.visit(Visit { loses_lease: true, ..Visit::forced() });
    assert_eq!(
        seen.failure(),
        "StateError [701] the commit lost its lease: another invocation took over; nothing was committed by this one"
    );
    assert_eq!(site.checkpoint()["writer"], "somebody else");
    assert_eq!(site.checkpoint()["lease_owner"], "somebody else", "the other one's lease is not given away");
    assert_eq!(site.rows().len(), 1);
    assert_eq!(seen.warnings(), "", "it does not try to give back what it does not hold");
    assert_eq!(seen.outcome.report.failed, 2);
    assert_eq!((seen.outcome.report.last_event_time_in_utc, seen.outcome.report.lag_seconds), (None, None));
}

#[test]
fn an_unreadable_checkpoint_keeps_its_members_and_its_lease_is_free() {
    let mut site = site();
    site.tick();
    site.edit_checkpoint(json!({"complete_to_in_utc": 7, "of_another_release": {"x": [1]}}));
    let before = site.checkpoint();
    site.pass(300);
    for _ in 0..2 {
        let seen = site.visit(Visit::default());
        assert!(seen.failure().contains("complete_to_in_utc"), "{}", seen.failure());
        assert!(!site.is_leased());
        let mut after = site.checkpoint();
        for member in ["version", "writer"] {
            after.insert(member.to_owned(), before[member].clone());
        }
        assert_eq!(after, before);
    }
    site.edit_checkpoint(json!({"complete_to_in_utc": NOON}));
    assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate);
    assert_eq!(site.checkpoint()["of_another_release"], json!({"x": [1]}));
}

#[test]
fn a_lease_whose_grant_was_not_answered_is_held_all_the_same() {
    let mut site = site();
    let seen = site
        .visit(Visit::with_writes(&[Some(WriteFault::HappensSilently), Some(WriteFault::VanishesSilently)]));
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 2));
    let silent = site.visit(Visit::with_writes(&[Some(WriteFault::VanishesSilently); 3]));
    assert!(silent.failure().starts_with("StateError [700]"));
    assert_eq!(silent.requests.len(), 0);
}

#[test]
fn of_two_failures_the_first_is_the_answer_and_the_second_is_told_too() {
    let mut site = site();
    let seen = site.visit(Visit { breaks: vec![Some(0)], ..Visit::with_pages(&[Some(PageFault::Fatal)]) });
    assert_eq!(seen.failure(), "ApiError [498] scripted");
    assert_eq!(site.checkpoint()["last_error"], "[498] scripted");
    assert_eq!(site.checkpoint()["last_result"], "ApiError");
    let story: Vec<&str> = seen.outcome.story.iter().map(|line| line.message.as_str()).collect();
    assert!(
        story.iter().any(|line| line.contains("collector failed Connection closed by server.")),
        "{story:?}"
    );
    site.pass(1);
    let next = site.visit(Visit::default());
    let errors: Vec<String> =
        next.lines().into_iter().filter(|(level, _)| level == "error").map(|(_, line)| line).collect();
    assert_eq!(errors, ["[498] scripted", "collector failed Connection closed by server. [602] scripted"]);
}
