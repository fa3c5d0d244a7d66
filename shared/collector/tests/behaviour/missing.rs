//! An answer that lacks what one of several providers has: the rest is delivered, and the span is read again.

use collector::report::Status;
use jiff::SignedDuration;
use testing::site::{Seen, Site, Visit, thing};
use testing::source::{Emitted, PageFault};

use crate::NOON;

const SILENT: &str = "the provider `Contoso` did not answer";
const MISSING: Option<PageFault> = Some(PageFault::Missing(SILENT));
const HOUR: i64 = 3_600;

/// A record of the provider that is silent until then.
fn withheld(id: &str, time: &str, until: &str) -> Emitted {
    Emitted { visible_from: until.parse().unwrap(), ..thing(id, time) }
}

fn missing(pages: &[Option<PageFault>]) -> Visit {
    Visit::with_pages(pages)
}

fn owed(site: &Site) -> Option<String> {
    Some(site.checkpoint().get("owed_from_in_utc")?.as_str()?.to_owned())
}

fn start(seen: &Seen) -> String {
    seen.windows()[0].split_once('/').unwrap().0.to_owned()
}

/// A service that was up to date at noon.
fn up_to_date() -> Site {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:50:00Z")]);
    site.tick();
    assert_eq!(owed(&site), None);
    site
}

#[test]
fn what_came_is_delivered_once_the_position_goes_on_and_the_span_is_read_until_it_is_complete() {
    let mut site = up_to_date();
    site.records.push(thing("b", "2026-11-20T12:01:00Z"));
    site.records.push(withheld("p", "2026-11-20T12:02:00Z", "2026-11-20T16:00:00Z"));
    site.pass(300);
    let first = site.visit(missing(&[MISSING]));
    assert_eq!((first.status(), first.ids()), (Status::UpToDate, vec!["b".to_owned()]));
    assert_eq!(
        first.warnings(),
        "the provider `Contoso` did not answer: records from 2026-11-20T10:50:00Z to 2026-11-20T12:05:00Z may be \
         missing; they are asked for again"
    );
    assert_eq!(site.checkpoint()["complete_to_in_utc"], "2026-11-20T12:05:00Z");
    assert_eq!(first.outcome.report.lag_seconds, Some(0));
    for hour in 1..4 {
        site.pass(HOUR);
        site.records.push(thing(&format!("c{hour}"), &site.now().to_string()));
        site.new_process();
        let seen = site.visit(missing(&[MISSING]));
        assert_eq!(seen.ids(), [format!("c{hour}")], "what was delivered is not repeated");
        assert_eq!(start(&seen), "2026-11-20T11:00:00Z", "the start of what is read again does not creep");
        assert_eq!(owed(&site).as_deref(), Some(NOON), "what was complete before is not owed");
        assert_eq!(site.checkpoint()["complete_to_in_utc"], site.now().to_string());
    }
    site.pass(HOUR);
    let whole = site.tick();
    assert_eq!((whole.ids(), whole.warnings().as_str()), (vec!["p".to_owned()], ""));
    assert_eq!((start(&whole), owed(&site)), ("2026-11-20T11:00:00Z".to_owned(), None));
    site.pass(300);
    assert_eq!(start(&site.tick()), "2026-11-20T14:05:00Z", "a look-back behind the newest record, as ever");
}

#[test]
fn a_provider_that_is_silent_for_more_than_a_day_is_given_up_and_later_failures_count_anew() {
    let mut site = up_to_date();
    site.pass(300);
    site.visit(missing(&[MISSING]));
    let mut given_up = Vec::new();
    for _ in 0..60 {
        site.pass(HOUR);
        site.records.push(thing(&site.now().to_string(), &site.now().to_string()));
        let seen = site.visit(missing(&[MISSING; 4]));
        assert_eq!(seen.ids().len(), 1);
        let age = seen.requests[0].window.span();
        assert!(age <= SignedDuration::from_hours(27), "{age:#} are read again");
        let lost = seen.outcome.report.warnings.into_iter().filter(|text| text.contains("given up"));
        given_up.extend(lost.map(|text| {
            text.replace(
                " were missing for a day and are given up; a backfill of that span asks for them again",
                "",
            )
        }));
    }
    assert_eq!(
        given_up,
        [
            "parts of the records from 2026-11-20T12:00:00Z to 2026-11-21T11:00:00Z",
            "parts of the records from 2026-11-21T11:00:00Z to 2026-11-21T12:05:00Z",
            "parts of the records from 2026-11-21T12:05:00Z to 2026-11-22T11:05:00Z",
            "parts of the records from 2026-11-22T11:05:00Z to 2026-11-22T13:05:00Z",
        ]
    );
    site.pass(HOUR);
    site.tick();
    assert_eq!(owed(&site), None);
    site.pass(HOUR);
    site.visit(missing(&[MISSING]));
    assert_eq!(owed(&site).as_deref(), Some("2026-11-23T01:05:00Z"), "a new failure is a new debt");
}

/// A fresh service that starts three days ago and reads a day at a time.
fn catching_up() -> Site {
    let mut site = Site::new(NOON);
    site.settings.start_time = Some("2026-11-17T12:00:00Z".parse().unwrap());
    for day in 17..20 {
        site.records.push(thing(&format!("{day}"), &format!("2026-11-{day}T13:00:00Z")));
        site.records.push(withheld(
            &format!("p{day}"),
            &format!("2026-11-{day}T14:00:00Z"),
            "2026-11-20T12:30:00Z",
        ));
    }
    site
}

#[test]
fn of_several_windows_those_that_miss_something_are_read_again() {
    for number in 0..8_u32 {
        let mut site = catching_up();
        let pages: Vec<_> = (0..3).map(|bit| if number & (1 << bit) == 0 { None } else { MISSING }).collect();
        // What a complete answer has is there from the beginning.
        for (index, page) in pages.iter().enumerate() {
            if page.is_none() {
                site.records[2 * index + 1].visible_from = site.records[2 * index].time;
            }
        }
        let seen = site.visit(missing(&pages));
        let lacking = pages.iter().flatten().count();
        assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 6 - lacking), "{pages:?}");
        assert!(!seen.warnings().contains("given up"), "{}", seen.warnings());
        assert_eq!(site.checkpoint()["complete_to_in_utc"], NOON);
        site.pass(HOUR);
        site.new_process();
        let again = site.tick();
        assert_eq!(again.ids().len(), lacking, "{pages:?}: {:?}", again.windows());
        assert_eq!(owed(&site), None, "{pages:?}");
        assert!(site.arrived().values().all(|count| *count == 1));
        site.pass(300);
        assert_eq!(site.tick().ids().len(), 0);
    }
}

#[test]
fn what_is_still_missing_when_it_is_read_again_stays_owed_window_by_window() {
    let mut site = catching_up();
    site.visit(missing(&[MISSING, MISSING, MISSING]));
    assert_eq!(owed(&site).as_deref(), Some("2026-11-17T12:00:00Z"));
    site.pass(HOUR);
    // The first day is whole now, the second is not.
    let seen = site.visit(missing(&[None, MISSING, None, None]));
    assert_eq!(owed(&site).as_deref(), Some("2026-11-18T12:00:00Z"), "{:?}", seen.windows());
    site.pass(HOUR);
    site.visit(missing(&[None, None, MISSING]));
    let still = owed(&site).unwrap();
    assert!(still.as_str() > "2026-11-19T10:00:00Z", "{still}");
    site.pass(HOUR);
    site.tick();
    assert_eq!(owed(&site), None);
    assert!(site.arrived().values().all(|count| *count == 1));
}

#[test]
fn a_long_debt_is_given_up_window_by_window_and_none_is_carried_for_ever() {
    let mut site = catching_up();
    let silent = [MISSING; 8];
    site.records.iter_mut().for_each(|record| record.visible_from = record.time);
    site.visit(missing(&silent));
    let mut given_up = String::new();
    for hour in 1..=26 {
        site.pass(HOUR);
        let seen = site.visit(missing(&silent));
        given_up.push_str(&seen.warnings());
        assert_eq!(given_up.contains("given up"), hour >= 25, "after {hour} hours");
    }
    assert!(
        given_up.contains("parts of the records from 2026-11-17T12:00:00Z to 2026-11-18T12:00:00Z were"),
        "{given_up}"
    );
    let still = owed(&site).unwrap();
    assert!(still.as_str() > "2026-11-21T10:00:00Z", "{still}");
}

#[test]
fn a_window_that_is_left_half_way_keeps_the_mark() {
    let mut site = up_to_date();
    site.page_size = 1;
    site.settings.lookback = SignedDuration::ZERO;
    for minute in 1..4 {
        site.records.push(thing(&format!("{minute}"), &format!("2026-11-20T12:0{minute}:00Z")));
    }
    site.records.push(withheld("p", "2026-11-20T12:01:30Z", "2026-11-20T12:30:00Z"));
    site.pass(300);
    let left = site.visit(Visit { seconds_per_page: 30, ..missing(&[None, MISSING]) });
    assert_eq!(left.status(), Status::More);
    assert_eq!((site.checkpoint()["window_is_partial"].as_bool(), owed(&site)), (Some(true), None));
    site.new_process();
    let rest = site.visit(Visit::default());
    assert_eq!(rest.status(), Status::UpToDate);
    assert_eq!((site.checkpoint().get("window_is_partial"), owed(&site).as_deref()), (None, Some(NOON)));
    site.pass(HOUR);
    let whole = site.tick();
    assert_eq!((whole.ids(), owed(&site)), (vec!["p".to_owned()], None));
}

#[test]
fn a_window_that_starts_again_is_judged_by_its_new_pages() {
    let mut site = up_to_date();
    site.page_size = 1;
    site.records.push(thing("b", "2026-11-20T12:01:00Z"));
    site.records.push(thing("c", "2026-11-20T12:02:00Z"));
    site.pass(300);
    let seen = site.visit(missing(&[MISSING, Some(PageFault::LinkExpired)]));
    assert_eq!((seen.status(), owed(&site)), (Status::UpToDate, None));
}

#[test]
fn a_sweep_and_a_backfill_only_warn() {
    let mut site = up_to_date();
    let seen = site.visit(Visit {
        pages: vec![MISSING],
        ..Visit::backfill("2026-11-10T00:00:00Z", "2026-11-11T00:00:00Z", false)
    });
    assert_eq!(
        seen.warnings(),
        "the provider `Contoso` did not answer: records from 2026-11-10T00:00:00Z to 2026-11-11T00:00:00Z may be missing"
    );
    assert_eq!(owed(&site), None);
    assert!(site.rows_of("request#").iter().all(|row| row.fields["complete"] == true));
    site.settings.late_sweep_period = SignedDuration::from_mins(10);
    site.settings.late_sweep_range = SignedDuration::from_hours(24);
    site.pass(300);
    site.tick();
    site.pass(900);
    let swept = site.visit(missing(&[None, MISSING]));
    assert!(
        swept.requests.len() == 2 && swept.warnings().contains("may be missing"),
        "{:?}",
        swept.windows()
    );
    assert!(!swept.warnings().contains("asked for again"));
    assert_eq!(owed(&site), None);
}

#[test]
fn a_dry_run_owes_nothing() {
    let mut site = up_to_date();
    let before = site.rows();
    let seen = site.visit(Visit { pages: vec![MISSING], ..Visit::dry() });
    assert!(seen.warnings().contains(SILENT));
    assert_eq!(site.rows(), before);
}

#[test]
fn a_crash_at_any_step_forgets_no_debt() {
    for crash_at in 0.. {
        let mut site = up_to_date();
        site.page_size = 2;
        for minute in 1..4 {
            site.records.push(thing(&format!("{minute}"), &format!("2026-11-20T12:0{minute}:00Z")));
        }
        site.records.push(withheld("p", "2026-11-20T12:02:00Z", "2026-11-20T18:00:00Z"));
        site.pass(300);
        let is_dead = site.visit_until(missing(&[MISSING, MISSING, MISSING]), crash_at).is_none();
        site.new_process();
        site.pass(HOUR);
        // Whatever was committed before it died, the provider is silent still.
        site.visit(missing(&[MISSING, MISSING, MISSING, MISSING]));
        for _ in 0..3 {
            site.pass(2 * HOUR);
            site.tick();
        }
        let arrived = site.arrived();
        assert!(
            ["1", "2", "3", "p"].iter().all(|id| arrived.contains_key(*id)),
            "crash at {crash_at}: {arrived:?}"
        );
        assert_eq!(owed(&site), None);
        if !is_dead {
            assert!(arrived.values().all(|count| *count == 1), "{arrived:?}");
            break;
        }
    }
}

#[test]
fn what_the_api_keeps_no_longer_is_named_and_owed_no_longer() {
    let mut site = Site::new(NOON);
    site.settings.start_time = Some("2026-10-21T12:30:00Z".parse().unwrap());
    let seen = site.visit(missing(&[MISSING]));
    assert_eq!(
        (seen.warnings().contains("may be missing"), owed(&site).as_deref()),
        (true, Some("2026-10-21T12:30:00Z"))
    );
    site.pass(3 * HOUR);
    let late = site.tick();
    assert!(
        late.warnings().contains("records from 2026-10-21T12:30:00Z to 2026-10-21T15:00:00Z cannot be had"),
        "{}",
        late.warnings()
    );
    assert_eq!(owed(&site), None);
    site.pass(300);
    assert_eq!(site.tick().warnings(), "");

    // The API says so itself.
    let mut site = up_to_date();
    site.pass(300);
    site.visit(missing(&[MISSING]));
    site.pass(HOUR);
    let oldest = Some("2026-11-20T12:30:00Z".parse().unwrap());
    let refused = site.visit(missing(&[Some(PageFault::StartTooOld(oldest))]));
    assert!(
        refused
            .warnings()
            .contains("records from 2026-11-20T12:00:00Z to 2026-11-20T12:30:01Z cannot be had"),
        "{}",
        refused.warnings()
    );
    assert_eq!(owed(&site), None);
}

#[test]
fn a_clock_that_was_wrong_does_not_make_a_debt_last_for_ever() {
    let mut site = up_to_date();
    site.pass(300);
    site.visit(missing(&[MISSING]));
    site.edit_checkpoint(serde_json::json!({"owed_since_in_utc": "2030-01-01T00:00:00Z"}));
    let mut given_up = 0;
    for _ in 0..30 {
        site.pass(HOUR);
        given_up += usize::from(site.visit(missing(&[MISSING])).warnings().contains("given up"));
    }
    assert_eq!(given_up, 1);
}
