//! What happens when the time is used up: the position is committed, and the next invocation goes on there.

use collector::report::Status;
use jiff::SignedDuration;
use testing::site::{Site, Visit, thing};
use testing::source::PageFault;

use crate::NOON;

/// Six records on six pages, an hour apart, the last one an hour ago.
fn six_pages() -> Site {
    let mut site = Site::new(NOON);
    site.page_size = 1;
    site.records =
        (6..12).map(|hour| thing(&format!("h{hour}"), &format!("2026-11-20T{hour:02}:00:00Z"))).collect();
    site
}

fn slow() -> Visit {
    Visit { seconds_per_page: 20, ..Visit::default() }
}

#[test]
fn the_next_invocation_goes_on_at_the_page_link() {
    let mut site = six_pages();
    let first = site.visit(slow());
    assert_eq!((first.status(), first.ids()), (Status::More, vec!["h6".into(), "h7".into(), "h8".into()]));
    assert!(!site.is_leased());
    assert_eq!(site.checkpoint()["last_result"], "more");
    assert_eq!(site.checkpoint().get("complete_to_in_utc"), None, "the window is not complete");
    assert_eq!(first.outcome.report.lag_seconds, None);
    let link = site.checkpoint()["next_link"].clone();
    site.new_process();
    let second = site.visit(slow());
    assert_eq!(second.requests[0].link.as_deref(), link.as_str());
    assert_eq!(second.requests[0].window, first.requests[0].window);
    assert_eq!(
        (second.status(), second.ids()),
        (Status::UpToDate, vec!["h9".into(), "h10".into(), "h11".into()])
    );
    assert_eq!(site.checkpoint().get("next_link"), None);
}

#[test]
fn a_link_of_another_query_is_not_followed() {
    let mut site = six_pages();
    site.visit(slow());
    let seen = site.visit(Visit { query: Some("another filter"), ..Visit::default() });
    assert_eq!(seen.requests[0].link, None);
    assert_eq!((seen.status(), seen.outcome.report.duplicates), (Status::UpToDate, 3));
    assert_eq!(seen.ids(), ["h9", "h10", "h11"]);
}

#[test]
fn a_link_that_expired_restarts_the_window_and_nothing_comes_twice() {
    let mut site = six_pages();
    let first = site.visit(slow());
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::LinkExpired)]));
    assert!(seen.warnings().contains("a page link was not accepted any more, the window starts again"));
    assert_eq!((seen.requests[1].link.as_deref(), seen.requests[1].window), (None, first.requests[0].window));
    assert_eq!((seen.status(), seen.ids().len(), seen.outcome.report.duplicates), (Status::UpToDate, 3, 3));
}

#[test]
fn links_that_expire_again_and_again_end_in_an_error_and_what_was_read_is_delivered() {
    let mut site = six_pages();
    let expiring: Vec<_> = (0..200).map(|_| Some(PageFault::LinkExpired)).collect();
    let seen = site.visit(Visit::with_pages(&expiring));
    // The scripted API lets first pages pass, so narrower windows make headway until one of them has a single page.
    assert!(seen.outcome.failure.is_none() || seen.failure().contains("page links expire faster"));
    assert!(seen.requests.len() < 200);
    assert!(!seen.ids().is_empty());
}

#[test]
fn a_query_that_is_too_heavy_is_halved_until_it_passes() {
    let mut site = six_pages();
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::TooHeavy), Some(PageFault::TooHeavy)]));
    let spans: Vec<i64> = seen
        .requests
        .iter()
        .filter(|request| request.link.is_none())
        .map(|r| r.window.span().as_secs() / 3600)
        .collect();
    assert_eq!(spans, [24, 12, 6, 12, 6], "and then grows again");
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 6));
    assert!(seen.warnings().contains("the query is too heavy"));
}

#[test]
fn a_query_that_is_too_heavy_at_half_a_minute_is_a_failure_of_the_api() {
    let mut site = six_pages();
    let heavy = [Some(PageFault::TooHeavy); 40];
    let seen = site.visit(Visit::with_pages(&heavy));
    assert_eq!(seen.failure(), "ApiError [498] scripted");
    let shortest = seen.requests.iter().map(|request| request.window.span().as_secs()).min();
    assert_eq!(shortest, Some(42), "a day halved until the half is below 30 s");
    assert!(!site.is_leased());
    let next = site.visit(Visit::default());
    assert_eq!((next.status(), next.ids().len()), (Status::UpToDate, 6));
}

#[test]
fn a_start_that_the_api_calls_too_old_moves_to_the_instant_it_names() {
    let mut site = six_pages();
    let minimum = "2026-11-20T08:30:00Z".parse().unwrap();
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(Some(minimum)))]));
    assert_eq!(seen.windows()[1], format!("2026-11-20T08:30:01Z/{NOON}"));
    assert_eq!(
        seen.warnings(),
        "records from 2026-11-19T12:00:00Z to 2026-11-20T08:30:01Z cannot be had: the API keeps none that old; \
         pulling starts at 2026-11-20T08:30:01Z"
    );
    assert_eq!(
        (seen.status(), seen.ids()),
        (Status::UpToDate, vec!["h9".into(), "h10".into(), "h11".into()])
    );
}

#[test]
fn a_start_that_is_too_old_without_saying_more_moves_to_a_week_ago_and_then_fails() {
    let mut site = six_pages();
    site.settings.start_time = Some("2026-11-01T00:00:00Z".parse().unwrap());
    site.settings.window_max = SignedDuration::from_hours(31 * 24);
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(None))]));
    assert_eq!(seen.windows()[1], format!("2026-11-13T13:00:01Z/{NOON}"));
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 6));

    let mut fresh = six_pages();
    let refused = fresh.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(None))]));
    assert_eq!(refused.failure(), "PullError [301] scripted");
    assert_eq!(refused.requests.len(), 1);
}

#[test]
fn an_instant_that_lies_behind_the_window_skips_it_and_one_in_the_future_is_no_answer() {
    let mut site = six_pages();
    site.settings.window_max = SignedDuration::from_hours(2);
    let minimum = "2026-11-20T07:30:00Z".parse().unwrap();
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(Some(minimum)))]));
    assert_eq!(seen.windows()[1], "2026-11-20T07:30:01Z/2026-11-20T09:30:01Z");
    assert_eq!((seen.status(), seen.ids()[0].as_str()), (Status::UpToDate, "h8"));

    let mut other = six_pages();
    let future = "2026-11-20T12:30:00Z".parse().unwrap();
    let refused = other.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(Some(future)))]));
    assert_eq!(refused.failure(), "PullError [301] scripted");
    assert_eq!(other.checkpoint().get("complete_to_in_utc"), None);
    assert_eq!(other.visit(Visit::default()).ids().len(), 6, "nothing was skipped");
}

#[test]
fn an_api_that_moves_its_oldest_instant_with_every_request_does_not_hold_the_service_for_ever() {
    let mut site = six_pages();
    let faults: Vec<_> = (0..5_000)
        .map(|second| {
            let start: jiff::Timestamp = "2026-11-19T13:00:00Z".parse().unwrap();
            Some(PageFault::StartTooOld(Some(start + SignedDuration::from_secs(second * 2))))
        })
        .collect();
    let seen = site.visit(Visit::with_pages(&faults));
    assert_eq!(seen.failure(), "PullError [301] scripted");
    assert!(seen.requests.len() < 20, "{} requests", seen.requests.len());
}

#[test]
fn no_gap_is_told_of_what_was_read_before() {
    let mut site = Site::with(NOON, &[("a", "2026-11-20T11:00:00Z")]);
    site.tick();
    site.pass(10 * 86_400);
    site.tick();
    site.pass(300);
    // The window reaches back to the newest record, ten days ago; everything since then was read.
    let seen = site.visit(Visit::with_pages(&[Some(PageFault::StartTooOld(None))]));
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
}

#[test]
fn a_page_that_never_comes_in_time_is_asked_for_in_halves_and_told() {
    let mut site = six_pages();
    let stalled = || Visit::with_pages(&[Some(PageFault::OutOfTime)]);
    let mut spans = Vec::new();
    let mut last = String::new();
    for _ in 0..14 {
        let seen = site.visit(stalled());
        assert_eq!(seen.status(), Status::More);
        assert!(seen.warnings().contains("no page came before the time was used up"), "{}", seen.warnings());
        spans.push(seen.requests[0].window.span().as_secs());
        last = seen.warnings();
        site.new_process();
    }
    assert_eq!(&spans[..4], [86_400, 43_200, 21_600, 10_800]);
    assert_eq!(&spans[11..], [42, 42, 42], "no further than to the shortest");
    assert!(last.contains("the shortest"), "{last}");
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 6));
}

#[test]
fn a_slow_login_does_not_narrow_the_window_nor_forget_the_place_in_it() {
    let mut site = six_pages();
    site.visit(slow());
    let before = site.checkpoint();
    let login = Some(collector::ports::SourceError::OutOfTime);
    let seen = site.visit(Visit { login, ..Visit::default() });
    assert_eq!((seen.status(), seen.warnings().as_str()), (Status::More, ""));
    for name in ["next_link", "window_from_in_utc", "window_to_in_utc"] {
        assert_eq!(site.checkpoint()[name], before[name], "{name}");
    }
}

#[test]
fn a_page_that_links_to_itself_is_no_answer() {
    let mut site = six_pages();
    let seen = site.visit(Visit::with_pages(&[None, Some(PageFault::LinksToItself), None]));
    assert!(seen.failure().starts_with("PullError [300]"), "{}", seen.failure());
    assert!(seen.failure().contains("leads to itself"), "{}", seen.failure());
    assert_eq!(seen.requests.len(), 2);
    assert_eq!(site.visit(Visit::default()).status(), Status::UpToDate);
    assert_eq!(site.arrived().len(), 6);
    assert!(site.arrived().values().all(|times| *times == 1));
}

#[test]
fn empty_pages_are_walked_through_and_count_as_progress() {
    let mut site = six_pages();
    let empty = [Some(PageFault::EmptyPage); 30];
    let seen = site.visit(Visit { seconds_per_page: 10, ..Visit::with_pages(&empty) });
    assert_eq!((seen.status(), seen.requests.len()), (Status::More, 5));
    let next = site.tick();
    assert_eq!(next.requests[0].link.as_deref(), Some("!!!!!"));
    assert_eq!((next.status(), next.ids().len()), (Status::UpToDate, 6));
}

#[test]
fn an_api_that_gives_the_same_page_under_ever_new_links_is_noticed() {
    let mut site = six_pages();
    let endless: Vec<Option<PageFault>> = vec![Some(PageFault::SamePageAnew); 90];
    let seen = site.visit(Visit { pages: endless, ..Visit::default() });
    assert!(seen.failure().starts_with("PullError [300] the API gave no page: the same page comes again"));
    assert!(seen.requests.len() <= 64, "{} requests", seen.requests.len());
    assert_eq!(seen.ids(), ["h6"], "what came is delivered");
    let healed = site.visit(Visit::default());
    assert_eq!(
        (healed.status(), healed.ids().len()),
        (Status::UpToDate, 5),
        "the window is read from its start"
    );
}

#[test]
fn a_window_that_was_left_long_ago_is_followed_by_the_one_that_reaches_the_present() {
    let mut site = six_pages();
    assert_eq!(site.visit(slow()).status(), Status::More);
    site.pass(4 * 3_600);
    let seen = site.visit(Visit::default());
    assert_eq!((seen.status(), seen.outcome.report.windows), (Status::UpToDate, 2));
    assert!(seen.outcome.report.lag_seconds.unwrap() < 60);
}
