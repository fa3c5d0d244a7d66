//! The stored format of where a query stands: `golden/query_v1.json` holds rows as format 1 wrote them, which load for ever.
//!
//! One query is at work in a window that was too heavy, one was refused, one is a snapshot. A file that is not there is
//! written by the test, which then fails.

use collector::report::Status;
use collector::settings::QuerySpan::{Whole, Window};
use serde_json::Value;
use testing::hunting::{HuntingSite, query};
use testing::site::Visit;
use testing::source::PageFault;

use crate::NOON;
use crate::stored::{golden_rows, kind, path_of, write_golden};

const FILE: &str = "query_v1";
/// Members that a reader must find in the rows of the three, together.
const MEMBERS: [&str; 11] = [
    "generation",
    "start_time_in_utc",
    "last_event_time_in_utc",
    "complete_to_in_utc",
    "fresh_since_in_utc",
    "last_pull_in_utc",
    "last_error",
    "narrowed_to_seconds",
    "window_from_in_utc",
    "window_to_in_utc",
    "query",
];

fn world() -> HuntingSite {
    let queries = vec![query("refused", Window), query("all", Whole), query("heavy one", Window)];
    let mut site = HuntingSite::new(NOON, queries);
    for name in ["refused", "all", "heavy one"] {
        site.add(name, "1", "2026-11-20T11:00:00Z".parse().unwrap());
    }
    site
}

fn lived_through() -> HuntingSite {
    let mut site = world();
    site.tick();
    site.pass(300);
    site.script("refused", &[Some(PageFault::Fatal)]);
    site.script("heavy one", &[Some(PageFault::TooHeavy), Some(PageFault::OutOfTime)]);
    let left = site.visit(Visit::forced());
    assert_eq!(left.status(), Status::More);
    site
}

#[test]
fn where_queries_stand_in_format_1_is_gone_on_with_and_a_reader_of_it_finds_all_it_knows() {
    let site = lived_through();
    if !path_of(FILE).exists() {
        write_golden(FILE, &site.rows_of("query#"));
        panic!("{FILE} was written: look at it and keep it");
    }
    let known = golden_rows(FILE);
    let written = site.rows_of("query#");
    assert_eq!(written.len(), known.len());
    for (old, new) in known.iter().zip(&written) {
        assert_eq!((&old.key, old.expires_at), (&new.key, new.expires_at));
        for (name, value) in &old.fields {
            assert_eq!(
                kind(new.fields.get(name).unwrap_or(&Value::Null)),
                kind(value),
                "{}: {name}",
                old.key
            );
        }
    }
    for name in MEMBERS {
        assert!(known.iter().any(|row| row.fields.contains_key(name)), "{name}");
    }
    let mut site = lived_through();
    for row in known {
        site.store.put(&site.settings.partition(), row);
    }
    site.new_process();
    site.pass(60);
    let seen = site.tick();
    assert_eq!(seen.status(), Status::UpToDate);
    assert_eq!(
        seen.asked,
        [
            "heavy one 2026-11-20T11:45:00Z/2026-11-20T11:50:00Z",
            "heavy one 2026-11-20T11:50:00Z/2026-11-20T12:06:00Z",
            "refused 2026-11-20T11:45:00Z/2026-11-20T12:05:00Z",
        ]
    );
    assert!(seen.arrived().is_empty());
}

#[test]
fn members_of_another_release_stay_in_the_row() {
    let mut site = lived_through();
    let mut row = site.rows_of("query#all").remove(0);
    row.fields.insert("of_another_release".to_owned(), 7.into());
    site.store.put(&site.settings.partition(), row);
    site.pass(300);
    site.tick();
    assert_eq!(site.place("all")["of_another_release"], 7);
}
