//! What a feed keeps between invocations besides its position, what its commits hold, and what idle ticks cost.

use collector::report::Status;
use collector::run::QUEUE_PREFIX;
use jiff::SignedDuration;
use serde_json::json;
use testing::content::Attempt;
use testing::content_site::{ContentSite, Who, audit};
use testing::site::Visit;
use testing::source::PageFault;

use crate::NOON;

fn site() -> ContentSite {
    let mut site = ContentSite::new(NOON);
    site.add(Who::Mail, "first", "2026-11-20T10:00:00Z", &["a", "b"]);
    site
}

#[test]
fn a_feed_that_is_not_ready_keeps_its_position_and_says_why() {
    let reasons = "the subscription was started; first content comes within 12 h";
    for is_at_login in [true, false] {
        let site = site();
        for _ in 0..3 {
            let refused = collector::ports::SourceError::NotReady(reasons.to_owned());
            let not_ready =
                Visit { login: is_at_login.then_some(refused), not_ready: Some(reasons), ..Visit::default() };
            let seen = site.visit(Who::Mail, not_ready);
            assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, reasons));
            let checkpoint = site.checkpoint(Who::Mail);
            assert!(!checkpoint.contains_key("complete_to_in_utc") && !checkpoint.contains_key("last_error"));
            assert_eq!(checkpoint["last_result"], "up_to_date");
            assert_eq!(seen.outcome.report.lag_seconds, None);
            site.pass(300);
        }
        let seen = site.tick(Who::Mail);
        assert_eq!((seen.status(), seen.ids().len()), (Status::UpToDate, 2), "nothing was passed over");
        assert!(seen.windows()[0].starts_with("2026-11-19T12:00:00Z/"), "{:?}", seen.windows());
    }
}

#[test]
fn a_feed_that_is_not_ready_waits_for_its_period_like_any_other() {
    for is_at_login in [true, false] {
        let site = site();
        let refused = collector::ports::SourceError::NotReady("wait".to_owned());
        let not_ready =
            Visit { login: is_at_login.then_some(refused), not_ready: Some("wait"), ..Visit::default() };
        assert_eq!(site.visit(Who::Mail, not_ready).status(), Status::UpToDate);
        site.pass(60);
        assert_eq!(site.tick(Who::Mail).status(), Status::NotDue, "at login: {is_at_login}");
        site.pass(240);
        assert_eq!(site.tick(Who::Mail).ids().len(), 2);
    }
}

#[test]
fn what_is_settled_without_a_record_to_send_is_committed_in_time_too() {
    for (attempts, known) in [(vec![Attempt::FailsAfter(0)], false), (vec![], true), (vec![], false)] {
        let mut site = ContentSite::new(NOON);
        site.patience = 900;
        site.concurrency = 1;
        let records = if known { vec!["known"] } else { vec![] };
        if known {
            site.add(Who::Mail, "first", "2026-11-20T10:00:00Z", &records);
            site.tick(Who::Mail);
            site.pass(300);
        }
        for number in 0..20 {
            let content = site.add(Who::Mail, &format!("blob{number}"), "2026-11-20T11:30:00Z", &[]);
            content.attempts.clone_from(&attempts);
            content.records =
                records.iter().map(|id| audit(id, "2026-11-20T10:00:00Z".parse().unwrap())).collect();
        }
        let before = site.store.usage().0;
        let seen = site.visit(Who::Mail, Visit { seconds_per_fetch: 12, ..Visit::default() });
        assert_eq!(seen.status(), Status::UpToDate);
        let (commits, seconds) = (site.store.usage().0 - before, seen.outcome.report.elapsed_ms / 1_000);
        assert!(seconds / commits <= 30, "{commits} commits in {seconds} s");
    }
}

#[test]
fn a_full_memory_forgets_the_oldest_records_and_says_so_and_no_content_is_fetched_again() {
    let mut site = ContentSite::new(NOON);
    site.mail.memory = Some(collector::settings::MemoryLimits { most: 40, least: 10 });
    let mut is_told = false;
    for round in 0..30 {
        let created = (site.now() - SignedDuration::from_secs(60)).to_string();
        let names: Vec<String> = (0..5).map(|index| format!("r{round}.{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        site.add(Who::Mail, &format!("blob{round}"), &created, &names);
        if round % 5 == 0 {
            site.new_processes();
        }
        let seen = site.tick(Who::Mail);
        assert_eq!((seen.status(), seen.outcome.report.delivered), (Status::UpToDate, 5));
        is_told |= seen.warnings().starts_with("this feed's memory is full: records from before 2026-11-20T");
        let remembered = site.checkpoint(Who::Mail)["remembered"].as_u64().unwrap();
        assert!((5..=40).contains(&remembered), "{remembered}");
        let is_record = |key: &str| key.starts_with("memory#0#2026");
        let rows = site.rows_of(Who::Mail, "memory#");
        let stored: usize = rows
            .iter()
            .filter(|row| is_record(&row.key))
            .map(|row| row.data.as_ref().map_or(0, |data| data.len() / 8))
            .sum();
        assert_eq!(stored as u64, remembered);
        site.pass(1_800);
    }
    assert!(is_told);
    assert!(site.tenant.fetches().values().all(|times| *times == 1));
}

#[test]
fn what_the_source_wants_to_know_again_comes_with_the_next_preparation() {
    let site = site();
    let visits: [fn() -> Visit; 6] = [
        Visit::forced,
        || Visit::with_pages(&[Some(PageFault::Fatal)]),
        || Visit::with_breaks(&[Some(0)]),
        || Visit { login: Some(collector::ports::SourceError::OutOfTime), ..Visit::forced() },
        || Visit { not_ready: Some("wait"), ..Visit::forced() },
        || Visit::backfill("2026-11-19T00:00:00Z", NOON, false),
    ];
    for (round, visit) in visits.iter().cycle().take(12).enumerate() {
        site.pass(300);
        let seen = site.visit(Who::Mail, visit());
        let told = seen.preparation.unwrap().memo;
        let rounds = told.get("rounds").cloned().unwrap_or(json!(0));
        assert_eq!(rounds, json!(round), "visit {round}");
    }
}

#[test]
fn ticks_that_do_not_ask_the_source_do_not_touch_what_it_wants_to_know_again() {
    let mut site = site();
    site.tenant.content_mut("first").attempts = vec![Attempt::FailsAfter(0); 3];
    site.tick(Who::Mail);
    let memo = site.checkpoint(Who::Mail)["source_memo"].clone();
    assert_eq!(memo, json!({"rounds": 1}));
    site.pass(60);
    assert_eq!(site.tick(Who::Mail).status(), Status::NotDue);
    assert_eq!(site.visit(Who::Mail, Visit::dry()).status(), Status::DryRun);
    site.pass(300);
    assert_eq!(site.tick(Who::Retry).fetched.len(), 1);
    assert_eq!(site.visit(Who::Retry, Visit::with_breaks(&[Some(0)])).fetched.len(), 1);
    assert!(site.visit_until(Who::Mail, Visit::forced(), 4).is_none());
    assert_eq!(site.force(Who::Mail).status(), Status::Locked);
    assert_eq!(site.checkpoint(Who::Mail)["source_memo"], memo);
    assert_eq!(site.checkpoint(Who::Retry)["source_memo"], json!({"rounds": 2}), "its own is another one");
}

#[test]
fn the_answers_counts_add_up_over_failing_blobs_and_duplicates() {
    let mut site = ContentSite::new(NOON);
    let mut sums = [0; 4];
    for round in 0..40_u64 {
        let created = (site.now() - SignedDuration::from_secs(90)).to_string();
        let names = [format!("r{}", round / 2), format!("x{round}")];
        let records = names.each_ref().map(String::as_str);
        let content = site.add(Who::Mail, &format!("blob{round}"), &created, &records);
        content.attempts = vec![Attempt::FailsAfter(1); (round % 3) as usize];
        for who in [Who::Mail, Who::Retry] {
            let breaks = if round % 7 == 3 { vec![Some(0)] } else { vec![] };
            let seen = site.visit(who, Visit { breaks, ..Visit::default() });
            let report = seen.outcome.report;
            assert_eq!(report.received, report.duplicates + report.delivered + report.failed);
            assert!(
                !report.warnings.iter().any(|warning| warning.contains("add up")),
                "{:?}",
                report.warnings
            );
            for (sum, more) in
                sums.iter_mut().zip([report.received, report.delivered, report.requests, report.failed_uris])
            {
                *sum += more;
            }
        }
        site.pass(300);
    }
    let total = |name: &str| {
        [Who::Mail, Who::Files, Who::Retry]
            .map(|who| *site.ledger(who).get(name).unwrap_or(&0))
            .iter()
            .sum::<u64>()
    };
    assert_eq!(["received", "delivered", "requests", "failed_uris"].map(total), sums);
}

#[test]
fn a_commit_never_holds_more_than_a_hundred_rows_however_many_blobs_fail_in_a_batch() {
    for records in [0, 1] {
        let mut site = ContentSite::new(NOON);
        site.patience = 600;
        for number in 0..600_i64 {
            let created = site.now() - SignedDuration::from_secs(60 + number * 140);
            let name = format!("r{number}");
            let names: Vec<&str> = std::iter::repeat_n(name.as_str(), records).collect();
            let content = site.add(Who::Mail, &format!("blob{number}"), &created.to_string(), &names);
            content.attempts = vec![Attempt::FailsAfter(records); 2];
        }
        let seen = site.tick(Who::Mail);
        assert_eq!((seen.status(), seen.outcome.report.failed_uris), (Status::UpToDate, 600));
        assert_eq!((site.queue(Who::Mail).len(), site.queue_in_short(Who::Mail).0), (600, 600));
        site.pass(900);
        for _ in 0..2 {
            let seen = site.tick(Who::Retry);
            assert!(seen.outcome.failure.is_none(), "{:?}", seen.outcome.failure);
            site.pass(900);
        }
        for _ in 0..4 {
            site.force(Who::Retry);
        }
        assert!(site.queue(Who::Mail).is_empty());
        assert!(site.store.usage().3 <= 100, "{} rows", site.store.usage().3);
    }
}

#[test]
fn a_merge_of_old_rows_does_not_come_on_top_of_a_batch_full_of_failures() {
    let mut site = ContentSite::new(NOON);
    let add = |site: &mut ContentSite, id: &str, hours: std::ops::Range<i64>, attempts: Vec<Attempt>| {
        let created = site.now() - SignedDuration::from_secs(30);
        let record = |hour: i64| audit(&format!("{id}.{hour}"), created - SignedDuration::from_hours(hour));
        let content = site.add(Who::Mail, id, &created.to_string(), &[]);
        content.records = hours.map(record).collect();
        content.attempts = attempts;
    };
    // Commits of many hours each merge nothing, so each hour gets many rows …
    for number in 0..40 {
        add(&mut site, &format!("blob{number}"), 0..30, vec![]);
        assert_eq!(site.force(Who::Mail).outcome.failure, None);
        site.pass(70);
    }
    // … and then a batch comes that is full of failures.
    for number in 0..70 {
        add(&mut site, &format!("bad{number}"), 0..1, vec![Attempt::FailsAfter(0)]);
    }
    let seen = site.force(Who::Mail);
    assert_eq!((seen.status(), seen.outcome.report.failed_uris), (Status::UpToDate, 70));
    site.pass(70);
    assert_eq!(site.force(Who::Mail).status(), Status::UpToDate);
    assert!(site.store.usage().3 <= 100, "{} rows", site.store.usage().3);
}

#[test]
fn an_idle_tick_of_a_feed_is_the_lease_one_query_and_one_commit() {
    let site = site();
    site.tick(Who::Mail);
    site.pass(3 * 3_600);
    site.tick(Who::Mail);
    for is_new_process in [false, true] {
        site.pass(300);
        if is_new_process {
            site.new_processes();
        }
        let before = site.store.usage();
        let seen = site.tick(Who::Mail);
        let after = site.store.usage();
        assert_eq!((seen.status(), seen.outcome.report.received), (Status::UpToDate, 0));
        assert_eq!(after.0 - before.0, 1, "commits; the lease is the other write");
        assert!(after.2 - before.2 <= 4, "{} write units", after.2 - before.2);
        // A process that knows nothing also reads which of the listed blobs are settled.
        let most = if is_new_process { 2 } else { 1 };
        assert!(after.1 - before.1 <= most, "{} queries, new process: {is_new_process}", after.1 - before.1);
    }
}

#[test]
fn an_idle_tick_of_the_retry_service_is_the_lease_a_query_a_feed_and_one_commit_without_a_login() {
    let mut site = site();
    site.tenant.content_mut("first").attempts = vec![Attempt::FailsAfter(0)];
    site.tick(Who::Mail);
    site.tick(Who::Retry);
    for is_new_process in [false, true] {
        // Nothing is due yet.
        site.pass(30);
        if is_new_process {
            site.new_processes();
        }
        let before = site.store.usage();
        let seen = site.tick(Who::Retry);
        let after = site.store.usage();
        if seen.status() == Status::NotDue {
            continue;
        }
        assert_eq!(after.0 - before.0, 1, "commits");
        assert!(seen.preparation.is_none());
        assert!(after.1 - before.1 <= 2, "{} queries", after.1 - before.1);
    }
    site.pass(300);
    assert_eq!(site.tick(Who::Retry).fetched.len(), 1);
    site.pass(300);
    let before = site.store.usage();
    let idle = site.tick(Who::Retry);
    let after = site.store.usage();
    assert_eq!(
        (idle.status(), idle.preparation.is_none(), idle.outcome.report.requests),
        (Status::UpToDate, true, 0)
    );
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 2), "(commits, queries)");
    assert!(after.2 - before.2 <= 3, "{} write units", after.2 - before.2);
}

#[test]
fn an_entry_of_the_queue_is_a_row_that_an_operator_can_read() {
    let mut site = site();
    site.tenant.content_mut("first").attempts = vec![Attempt::FailsAfter(0)];
    site.tick(Who::Mail);
    let rows = site.rows_of(Who::Mail, QUEUE_PREFIX);
    let expected = json!({
        "content_id": "first",
        "content_uri": "https://content.test/mail/first",
        "content_created": "2026-11-20T10:00:00Z",
        "content_expiration": "2026-11-27T10:00:00Z",
        "failed_since_in_utc": NOON,
        "attempts": 1,
        "next_attempt_in_utc": "2026-11-20T12:05:00Z",
        "reason": "[500] scripted",
    });
    assert_eq!(json!(rows[0].fields), expected);
    let end = "2026-12-27T10:00:00Z".parse::<jiff::Timestamp>().unwrap();
    assert_eq!((rows.len(), rows[0].expires_at), (1, Some(end.as_second())), "30 days behind its content");
    assert!(rows[0].key.starts_with("retry#0#"), "{}", rows[0].key);
    assert_eq!(
        site.checkpoint(Who::Mail)["retry_queue"],
        json!({"waiting": 1, "first_expiry_in_utc": "2026-11-27T10:00:00Z"})
    );
}
