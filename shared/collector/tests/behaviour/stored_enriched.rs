//! The stored formats of counts and of what has no end yet: rows as format 1 wrote them are gone on with for ever.

use collector::ports::CHECKPOINT_KEY;
use collector::report::Status;
use testing::enriched::{CountFault, task_settings};
use testing::site::{Site, Visit};

use crate::NOON;
use crate::enriched::{arrived, asked, site};
use crate::stored::{golden_rows, kind, path_of, write_golden};
use crate::unfinished::task;

/// A world whose first record was left with two of its four counts, the third having failed.
fn in_the_middle_of_a_record() -> Site {
    let mut site = site(&["a"], 4);
    site.visit(Visit { counts: vec![None, None, Some(CountFault::Throttled(10))], ..Visit::forced() });
    site.pass(60);
    site.visit(Visit { counts: vec![Some(CountFault::Fatal)], ..Visit::forced() }).failure();
    site.pass(60);
    site.visit(Visit { counts: vec![Some(CountFault::Throttled(10))], ..Visit::forced() });
    site.pass(60);
    site
}

/// A world whose cycle was left behind the first of two tasks that have no end yet.
fn in_the_middle_of_a_cycle() -> Site {
    let mut site = Site::new(NOON);
    site.settings = task_settings();
    site.page_size = 1;
    site.records = ["2026-11-20T06:00:00Z", "2026-11-20T07:00:00Z"]
        .map(|start| task(start, start, "A", Some("null")))
        .to_vec();
    site.tick();
    site.pass(300);
    site.visit(Visit { seconds_per_page: 50, ..Visit::forced() });
    site.pass(60);
    site
}

/// Puts the golden row in the place of today's, which must hold all that a reader of it knows.
fn with_golden(file: &str, mut site: Site) -> Site {
    if !path_of(file).exists() {
        write_golden(file, &site.rows_of(CHECKPOINT_KEY));
        panic!("{file} was written: look at it and keep it");
    }
    let known = golden_rows(file).remove(0);
    let written = site.checkpoint();
    for (name, value) in &known.fields {
        assert_eq!(kind(&written[name]), kind(value), "{name}");
    }
    site.store.put(&site.settings.partition(), known);
    site.new_process();
    site
}

#[test]
fn a_record_of_format_1_is_gone_on_with_behind_the_counts_that_it_has() {
    let mut site = with_golden("enriching_v1", in_the_middle_of_a_record());
    assert_eq!(site.checkpoint()["enriching"]["failures"], 1);
    let seen = site.tick();
    assert_eq!((seen.status(), asked(&seen)), (Status::UpToDate, vec!["a:c".into(), "a:d".into()]));
    assert_eq!(arrived(&seen), ["a:abcd"]);
}

#[test]
fn a_cycle_of_format_1_is_gone_on_with_and_knows_what_it_met() {
    let mut site = with_golden("unfinished_v1", in_the_middle_of_a_cycle());
    assert_eq!(site.checkpoint()["unfinished_from_in_utc"], "2026-11-20T06:00:00Z");
    assert_eq!(site.checkpoint()["unfinished_so_far_in_utc"], "2026-11-20T06:00:00Z");
    let seen = site.tick();
    assert!(seen.requests[0].link.is_some(), "it is gone on with");
    assert_eq!(site.checkpoint()["unfinished_from_in_utc"], "2026-11-20T06:00:00Z");
}
