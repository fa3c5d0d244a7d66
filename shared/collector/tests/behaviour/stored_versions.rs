//! The stored formats of what came after the first ones: versions of records that change, and what is owed.
//!
//! `golden/versions_v1.json` holds the rows of a service of alerts in the middle of a window of which something is missing,
//! with a debt from before; they load for ever. A file that is not there is written by the test, which then fails.

use collector::ports::CHECKPOINT_KEY;
use collector::report::Status;
use jiff::SignedDuration;
use serde_json::{Value, json};
use testing::service::alert_settings;
use testing::site::{Site, Visit, alert};
use testing::source::PageFault;

use crate::NOON;
use crate::stored::{golden_rows, kind, path_of, write_golden};

const FILE: &str = "versions_v1";
/// Members that a reader must find.
const MEMBERS: [&str; 3] = ["owed_from_in_utc", "owed_since_in_utc", "window_is_partial"];
const MISSING: Option<PageFault> = Some(PageFault::Missing("a part is missing"));

/// Two changes of an alert, a debt, and a window that was left at a link and misses something.
fn lived_through() -> Site {
    let mut site = Site::new(NOON);
    site.settings = alert_settings();
    site.settings.lookback = SignedDuration::ZERO;
    site.page_size = 1;
    for state in ["A", "B", "A"] {
        site.pass(300);
        site.records = vec![alert("a", site.now(), state)];
        site.tick();
    }
    site.pass(300);
    site.visit(Visit::with_pages(&[MISSING]));
    for minute in 1..4 {
        let time = site.now() + SignedDuration::from_mins(minute);
        site.records.push(alert(&format!("b{minute}"), time, "A"));
    }
    site.pass(300);
    let left = site.visit(Visit { seconds_per_page: 25, ..Visit::with_pages(&[None, MISSING]) });
    assert_eq!(left.status(), Status::More);
    site
}

#[test]
fn versions_and_debts_of_format_1_are_gone_on_with_and_a_reader_of_it_finds_all_it_knows() {
    let site = lived_through();
    let rows = || [site.rows_of(CHECKPOINT_KEY), site.rows_of("versions#")].concat();
    if !path_of(FILE).exists() {
        write_golden(FILE, &rows());
        panic!("{FILE} was written: look at it and keep it");
    }
    let known = golden_rows(FILE);
    for (old, new) in known.iter().zip(rows()) {
        assert_eq!((&old.key, &old.data, old.expires_at), (&new.key, &new.data, new.expires_at));
        for (name, value) in &old.fields {
            assert_eq!(kind(new.fields.get(name).unwrap_or(&Value::Null)), kind(value), "{name}");
        }
    }
    let old = &known[0].fields;
    assert!(MEMBERS.iter().all(|name| old.contains_key(*name)), "{old:?}");
    let mut site = lived_through();
    let (link, debt) = (old["next_link"].as_str(), old["owed_from_in_utc"].clone());
    for row in site.rows_of("versions#") {
        site.store.delete(&site.settings.partition(), &row.key);
    }
    for row in known.iter().cloned() {
        site.store.put(&site.settings.partition(), row);
    }
    site.new_process();
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.requests[0].link.as_deref()), (Status::UpToDate, link));
    assert_eq!(seen.ids(), ["b2", "b3"], "what was sent last is known");
    assert_eq!(site.checkpoint()["owed_from_in_utc"], debt, "a window that is not whole settles nothing");
    site.pass(300);
    let whole = site.tick();
    assert_eq!((whole.ids().len(), site.checkpoint().get("owed_from_in_utc")), (0, None));
}

#[test]
fn a_row_of_a_release_that_knew_no_debts_loads_and_gets_no_member_that_it_does_not_need() {
    let mut site = Site::new(NOON);
    for row in golden_rows("checkpoint_v1") {
        site.store.put(&site.settings.partition(), row);
    }
    site.pass(3_600);
    assert_eq!(site.tick().status(), Status::UpToDate);
    assert!(MEMBERS.iter().all(|name| !site.checkpoint().contains_key(*name)));
}

#[test]
fn a_debt_without_its_age_counts_from_now_on() {
    let mut site = lived_through();
    site.edit_checkpoint(json!({"owed_since_in_utc": null}));
    site.pass(60);
    let seen = site.visit(Visit::with_pages(&[MISSING; 8]));
    assert!(!seen.warnings().contains("given up"), "{}", seen.warnings());
    site.pass(300);
    site.visit(Visit::with_pages(&[MISSING; 8]));
    assert_eq!(kind(&site.checkpoint()["owed_since_in_utc"]), "time");
}

#[test]
fn a_member_of_the_wrong_kind_is_named_and_never_guessed() {
    for (name, value) in [
        ("owed_from_in_utc", json!("soon")),
        ("owed_since_in_utc", json!(1)),
        ("window_is_partial", json!("yes")),
    ] {
        let mut site = Site::new(NOON);
        site.edit_checkpoint(json!({name: value}));
        let failure = site.tick().failure();
        assert!(failure.starts_with("StateError [700] the checkpoint cannot be read: "), "{failure}");
        assert!(failure.contains(name), "{failure}");
    }
}
