//! The retry queue of a feed, and the service that works it off.

use collector::obfuscate::Rule;
use collector::report::Status;
use collector::run::QUEUE_PREFIX;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::content::Attempt;
use testing::content_site::{ContentSite, Who};
use testing::site::{Seen, Visit};

use crate::NOON;

const FAILS: Attempt = Attempt::FailsAfter(1);

/// One blob a feed that fails so often, and one that does not; both feeds were read.
fn site(failures: usize) -> ContentSite {
    let mut site = ContentSite::new(NOON);
    site.add(Who::Mail, "good", "2026-11-20T10:00:00Z", &["good"]);
    site.add(Who::Mail, "bad", "2026-11-20T10:30:00Z", &["bad1", "bad2@OneDrive"]).attempts =
        vec![FAILS; failures];
    site.add(Who::Files, "other", "2026-11-20T10:30:00Z", &["other"]).attempts =
        vec![Attempt::FailsAfter(0); failures];
    site.tick(Who::Mail);
    site.tick(Who::Files);
    assert_eq!((site.queue(Who::Mail), site.queue(Who::Files)), (vec!["bad".into()], vec!["other".into()]));
    site
}

fn tags(seen: &Seen) -> Vec<(String, String)> {
    let records = seen.connections.iter().flat_map(|connection| connection.records());
    let mut tags: Vec<_> = records.map(|(tag, message)| (tag.clone(), message.clone())).collect();
    tags.sort();
    tags
}

#[test]
fn failed_content_is_delivered_later_under_the_feeds_memory_tag_and_rules() {
    for override_tag in [None, Some("my.own.tag".to_owned())] {
        let mut site = ContentSite::new(NOON);
        site.mail.override_tag.clone_from(&override_tag);
        let rule = json!({"name": ["Id"], "value": "masked"});
        site.mail.obfuscation = vec![Rule::parse(&rule, "obfuscation_data").unwrap()];
        site.retry.override_tag = Some("not.this.one".to_owned());
        site.add(Who::Mail, "bad", "2026-11-20T10:30:00Z", &["bad1", "bad2@OneDrive"]).attempts = vec![FAILS];
        assert_eq!(site.tick(Who::Mail).outcome.report.delivered, 1, "what came before it broke is sent");
        site.pass(300);
        let seen = site.tick(Who::Retry);
        let report = &seen.outcome.report;
        assert_eq!((seen.status(), report.received, report.duplicates), (Status::UpToDate, 2, 1));
        assert_eq!((report.delivered, report.failed_uris, seen.warnings().as_str()), (1, 0, ""));
        let tag = override_tag.as_deref().unwrap_or("my.content.onedrive");
        let pulling_id = report.devo_pulling_id.clone().unwrap();
        let message = format!(
            "{{\"CreationTime\":\"2026-11-20T10:15:00\",\"Id\":\"masked\",\"Workload\":\"OneDrive\",\
             \"@devo_environment\":\"prod\",\"@devo_pulling_id\":\"{pulling_id}\"}}"
        );
        assert_eq!(tags(&seen), [(tag.to_owned(), message)]);
        assert_eq!(report.tables[tag], 1);
        assert!(site.queue(Who::Mail).is_empty());
        assert_eq!(site.queue_in_short(Who::Mail), (0, None));
        // The feed knows what was sent for it.
        let records = site.tenant.content("bad").records.clone();
        site.add(Who::Mail, "again", "2026-11-20T12:00:00Z", &[]).records = records;
        let tick = site.tick(Who::Mail);
        assert_eq!((tick.outcome.report.received, tick.outcome.report.duplicates), (2, 2));
    }
}

#[test]
fn nothing_is_asked_for_before_its_delay_is_over_and_force_does_not_wait() {
    let site = site(1);
    site.pass(299);
    let early = site.tick(Who::Retry);
    assert_eq!(
        (early.status(), early.fetched.len(), early.preparation.is_none()),
        (Status::UpToDate, 0, true)
    );
    assert_eq!(early.outcome.report.requests, 0);
    let forced = site.force(Who::Retry);
    assert_eq!((forced.status(), forced.fetched.len()), (Status::UpToDate, 2));
    assert_eq!(site.arrived().len(), 4);
    assert!(site.queue(Who::Mail).is_empty() && site.queue(Who::Files).is_empty());
}

/// Ticks of the services for nine days. Gives when the blob was asked for, and the warnings that name a loss.
fn nine_days(site: &ContentSite, id: &str, services: &[Who]) -> (Vec<Timestamp>, Vec<String>) {
    let mut asked = Vec::new();
    let mut lost = Vec::new();
    for _ in 0..9 * 288 {
        site.pass(300);
        for who in services {
            let now = site.now();
            let seen = site.tick(*who);
            asked.extend(seen.fetched.iter().filter(|known| *known == id).map(|_| now));
            let warnings = seen.outcome.report.warnings.into_iter();
            lost.extend(warnings.filter(|warning| warning.contains("is lost")));
            site.store.expire(site.now());
        }
    }
    (asked, lost)
}

#[test]
fn delays_grow_until_the_content_expires_and_then_it_is_lost_by_name_and_counted_once() {
    let site = site(10_000);
    let (asked, lost) = nine_days(&site, "bad", &[Who::Retry]);
    let minutes: Vec<i64> =
        asked.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs() / 60).collect();
    assert_eq!(minutes[..7], [10, 20, 40, 80, 160, 320, 360]);
    assert!(minutes[7..20].iter().all(|delay| *delay == 360), "{minutes:?}");
    let end = site.tenant.content("bad").expires;
    let last = *asked.last().unwrap();
    assert!(last < end && end.duration_since(last).as_secs() <= 900, "the last try is near the end: {last}");
    assert!(asked.len() < 70, "{} tries", asked.len());
    let of_mail = format!(
        "mail: content bad of mail is lost, with all records in it that no other content holds: it expired after {} \
         attempts: [500] scripted",
        asked.len() + 1
    );
    assert_eq!(lost.iter().filter(|warning| **warning == of_mail).count(), 1, "{lost:?}");
    assert_eq!(lost.len(), 2, "one a feed: {lost:?}");
    assert_eq!(site.ledger(Who::Mail)["lost_uris"], 1);
    assert_eq!(site.ledger(Who::Mail)["failed_uris"], asked.len() as u64 + 1);
    assert!(!site.ledger(Who::Retry).contains_key("lost_uris"), "it is booked where it was lost");
    assert!(site.queue(Who::Mail).is_empty());
    assert_eq!(site.queue_in_short(Who::Mail), (0, None));
}

#[test]
fn a_feed_retries_by_itself_what_expires_within_twelve_hours() {
    let site = site(1);
    let (asked, lost) = nine_days(&site, "bad", &[Who::Mail]);
    assert_eq!((asked.len(), lost.len()), (1, 0));
    let left = site.tenant.content("bad").expires.duration_since(asked[0]).as_secs();
    assert!((11 * 3600..=12 * 3600).contains(&left), "{left} s before the end");
    assert_eq!(site.arrived()["bad2"], 1);
    assert!(site.queue(Who::Mail).is_empty());
}

#[test]
fn a_feed_that_is_busy_is_passed_over_and_the_others_are_not() {
    // Each minute another feed is the first one.
    for minutes in 5..8 {
        let site = site(1);
        site.pass(minutes * 60);
        assert!(site.visit_until(Who::Mail, Visit::forced(), 4).is_none());
        assert!(site.is_leased(Who::Mail));
        let seen = site.tick(Who::Retry);
        assert_eq!(
            (seen.status(), seen.fetched.as_slice()),
            (Status::UpToDate, ["other".to_owned()].as_slice())
        );
        assert_eq!((site.queue(Who::Mail).len(), site.queue(Who::Files).len()), (1, 0));
        site.pass(300);
        assert_eq!(site.tick(Who::Retry).fetched, ["bad"]);
    }
}

#[test]
fn a_failure_of_one_feed_is_answered_and_does_not_stop_the_others() {
    for minutes in 5..8 {
        let site = site(1);
        site.pass(minutes * 60);
        let mut broken = site.rows_of(Who::Mail, "checkpoint").remove(0);
        broken.fields.insert("complete_to_in_utc".to_owned(), json!(7));
        site.store.put(&site.mail.partition(), broken);
        let seen = site.tick(Who::Retry);
        assert!(seen.failure().contains("complete_to_in_utc"), "{}", seen.failure());
        assert_eq!(seen.fetched, ["other"]);
        assert_eq!((site.queue(Who::Mail).len(), site.queue(Who::Files).len()), (1, 0));
        assert!(!site.is_leased(Who::Mail) && !site.is_leased(Who::Retry));
    }
}

#[test]
fn a_queue_that_cannot_be_looked_at_does_not_stop_the_others() {
    for minutes in [5, 6] {
        let site = site(1);
        site.pass(minutes * 60);
        for failing in 0..3 {
            let reads: Vec<bool> = (0..3).map(|index| index == failing).collect();
            let seen = site.visit(Who::Retry, Visit { failing_reads: reads, ..Visit::default() });
            if failing == 0 && seen.fetched.is_empty() {
                // The first read may be one of its own state; nothing was begun then.
                continue;
            }
            assert!(seen.failure().starts_with("StateError [700]"), "{}", seen.failure());
            assert_eq!(seen.fetched.len(), 1, "the other feed was looked at");
            break;
        }
    }
}

#[test]
fn a_delivery_that_fails_during_an_errand_leaves_queue_position_and_memory_as_they_were() {
    let site = site(1);
    site.pass(300);
    let before = (site.rows_of(Who::Mail, QUEUE_PREFIX), site.rows_of(Who::Mail, "memory#"));
    let others = site.rows_of(Who::Files, QUEUE_PREFIX);
    for _ in 0..2 {
        let seen = site.visit(Who::Retry, Visit { breaks: vec![Some(0), None], ..Visit::forced() });
        assert_eq!(seen.failure(), "DeliveryError [602] scripted");
        let is_mail = seen.fetched.contains(&"bad".to_owned());
        assert_eq!(seen.fetched.len(), 1, "with no way to Devo the other feed is left alone");
        assert_eq!(site.rows_of(Who::Mail, QUEUE_PREFIX), before.0);
        assert_eq!(site.rows_of(Who::Mail, "memory#"), before.1);
        assert_eq!(site.rows_of(Who::Files, QUEUE_PREFIX), others);
        assert_eq!(seen.outcome.report.failed, 1, "mail: {is_mail}");
        assert_eq!((site.queue_in_short(Who::Mail).0, site.queue_in_short(Who::Files).0), (1, 1));
        assert!(!site.is_leased(Who::Mail) && !site.is_leased(Who::Files));
        site.pass(60);
    }
    let seen = site.force(Who::Retry);
    assert_eq!((seen.status(), seen.fetched.len()), (Status::UpToDate, 2));
    assert!(site.arrived().values().all(|times| *times == 1), "{:?}", site.arrived());
    assert_eq!(site.arrived().len(), 4);
}

#[test]
fn a_loss_whose_commit_failed_is_counted_once() {
    for is_retry in [false, true] {
        let mut site = site(10_000);
        site.pass(7 * 86_400);
        let who = if is_retry { Who::Retry } else { Who::Mail };
        site.files.enabled = false;
        // Something has to be sent, so that it can break.
        let created = (site.now() - SignedDuration::from_secs(600)).to_string();
        site.add(Who::Mail, "fresh", &created, &["fresh"]);
        let failing =
            Visit { writes: vec![None, Some(testing::store::WriteFault::Refused)], ..Visit::forced() };
        let seen = site.visit(who, failing);
        assert!(seen.outcome.failure.is_some() || is_retry);
        site.pass(70);
        site.force(who);
        site.pass(70);
        site.force(who);
        assert!(site.queue(Who::Mail).is_empty());
        assert_eq!(site.ledger(Who::Mail)["lost_uris"], 1, "by {who:?}");
    }
}

#[test]
fn a_feed_that_the_api_asks_for_patience_is_left_in_peace_by_errands() {
    let mut site = site(1);
    site.files.enabled = false;
    site.pass(400);
    let throttled =
        site.visit(Who::Mail, Visit::with_pages(&[Some(testing::source::PageFault::Throttled(600))]));
    assert_eq!(throttled.status(), Status::Throttled);
    site.pass(300);
    let seen = site.tick(Who::Retry);
    assert_eq!((seen.status(), seen.fetched.len()), (Status::UpToDate, 0));
    site.pass(301);
    assert_eq!(site.tick(Who::Retry).fetched, ["bad"]);
}

#[test]
fn patience_that_is_asked_for_during_an_errand_ends_the_round_and_is_kept() {
    let site = site(1);
    site.pass(300);
    let fault = testing::content::FetchFault::Throttled(600);
    let seen = site.visit(Who::Retry, Visit::with_fetches(&[Some(fault)]));
    assert_eq!(seen.status(), Status::Throttled);
    assert_eq!((site.queue(Who::Mail).len(), site.queue(Who::Files).len()), (1, 1));
    site.pass(300);
    let early = site.tick(Who::Retry);
    assert_eq!((early.status(), early.outcome.report.requests), (Status::Throttled, 0));
    site.pass(301);
    assert_eq!(site.tick(Who::Retry).fetched.len(), 2);
}

#[test]
fn an_errand_that_runs_out_of_time_goes_on_with_the_next_tick_at_once() {
    let mut site = site(1);
    site.files.enabled = false;
    for number in 0..10 {
        site.add(Who::Mail, &format!("bad{number}"), "2026-11-20T11:00:00Z", &[&format!("r{number}")])
            .attempts = vec![Attempt::FailsAfter(0)];
    }
    site.pass(300);
    assert_eq!(site.tick(Who::Mail).outcome.report.failed_uris, 10);
    site.pass(300);
    site.concurrency = 1;
    let slow = || Visit { seconds_per_fetch: 10, ..Visit::default() };
    let first = site.visit(Who::Retry, slow());
    assert_eq!(first.status(), Status::More);
    let left = site.queue(Who::Mail).len();
    assert!((6..11).contains(&left), "{left} left");
    for _ in 0..6 {
        site.visit(Who::Retry, slow());
    }
    assert!(site.queue(Who::Mail).is_empty(), "{:?}", site.queue(Who::Mail));
    assert!(site.arrived().values().all(|times| *times == 1), "{:?}", site.arrived());
}

#[test]
fn a_backfill_of_the_retry_service_is_refused_and_nothing_is_touched() {
    let site = site(1);
    for resend in [false, true] {
        let seen = site.visit(Who::Retry, Visit::backfill("2026-11-19T00:00:00Z", NOON, resend));
        assert_eq!(
            seen.failure(),
            "InitVariablesError [1] backfill: test-retry has no windows to pull again; ask for one of the feed itself"
        );
        assert!(site.rows(Who::Retry).is_empty());
    }
}

#[test]
fn a_dry_run_of_the_retry_service_shows_what_would_be_sent_and_leaves_no_trace() {
    let site = site(1);
    site.pass(300);
    let rows = || [Who::Mail, Who::Files, Who::Retry].map(|who| site.rows(who));
    let before = rows();
    let seen = site.visit(Who::Retry, Visit::dry());
    assert_eq!((seen.status(), seen.fetched.len(), seen.opened_devo), (Status::DryRun, 2, false));
    assert_eq!(seen.outcome.report.samples.as_ref().unwrap().len(), 2, "bad1 was sent before");
    assert_eq!(rows(), before);
}

#[test]
fn an_errand_leaves_position_period_memo_and_result_of_the_feed_alone() {
    let mut site = site(2);
    let failing = site.visit(Who::Mail, Visit::with_pages(&[Some(testing::source::PageFault::Fatal)]));
    assert!(failing.outcome.failure.is_some());
    let before = site.checkpoint(Who::Mail);
    for member in ["last_error", "source_memo", "last_pull_in_utc", "complete_to_in_utc"] {
        assert!(before.contains_key(member), "{member}");
    }
    site.files.enabled = false;
    for breaks in [vec![], vec![Some(0)], vec![]] {
        site.pass(600);
        site.visit(Who::Retry, Visit { breaks, ..Visit::default() });
        let mut after = site.checkpoint(Who::Mail);
        for member in ["version", "writer", "retry_queue", "ledger_carry", "remembered"] {
            match before.get(member) {
                Some(value) => after.insert(member.to_owned(), value.clone()),
                None => after.shift_remove(member),
            };
        }
        assert_eq!(json!(after), json!(before));
    }
    assert!(site.queue(Who::Mail).is_empty());
}

#[test]
fn records_of_errands_are_booked_once_in_the_partition_of_the_feed() {
    let site = site(1);
    let (mail, files) = (site.ledger(Who::Mail), site.ledger(Who::Files));
    site.pass(300);
    let seen = site.tick(Who::Retry);
    let report = &seen.outcome.report;
    assert_eq!((report.received, report.duplicates, report.delivered, report.requests), (3, 1, 2, 2));
    let more = |who: Who, before: &std::collections::BTreeMap<String, u64>, name: &str| {
        site.ledger(who).get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0)
    };
    for (name, of_mail, of_files) in
        [("received", 2, 1), ("duplicates", 1, 0), ("delivered", 1, 1), ("requests", 1, 1), ("pulls", 0, 0)]
    {
        assert_eq!(
            (more(Who::Mail, &mail, name), more(Who::Files, &files, name)),
            (of_mail, of_files),
            "{name}"
        );
    }
    assert_eq!(site.ledger(Who::Retry), [("pulls".to_owned(), 1)].into());
}

#[test]
fn another_start_restarts_queue_and_memory() {
    let mut site = site(1);
    site.mail.start_time = Some("2026-11-20T00:00:00Z".parse().unwrap());
    site.pass(300);
    let seen = site.tick(Who::Mail);
    assert!(seen.warnings().contains("start_time_in_utc changed"), "{}", seen.warnings());
    let mut ids = seen.ids();
    ids.sort_unstable();
    assert_eq!(
        ids,
        ["bad1", "bad2", "good"],
        "everything from there on comes again, what had failed included"
    );
    assert_eq!(site.queue_in_short(Who::Mail), (0, None));
    // What the old queue held is no work any more, and is gone in the end.
    site.files.enabled = false;
    for _ in 0..3 {
        site.pass(900);
        let seen = site.tick(Who::Retry);
        assert_eq!((seen.status(), seen.fetched.len(), seen.warnings().as_str()), (Status::UpToDate, 0, ""));
    }
    assert!(site.queue(Who::Mail).is_empty(), "{:?}", site.queue(Who::Mail));
    let idle = site.tick(Who::Retry);
    assert!(idle.preparation.is_none(), "nobody logs in for what is over");
}

#[test]
fn an_errand_that_finds_another_start_restarts_the_feed_and_fetches_nothing_of_the_old_queue() {
    let mut site = site(1);
    site.files.enabled = false;
    site.mail.start_time = Some("2026-11-20T00:00:00Z".parse().unwrap());
    site.pass(300);
    let seen = site.tick(Who::Retry);
    assert_eq!((seen.status(), seen.fetched.len()), (Status::UpToDate, 0));
    assert!(seen.warnings().starts_with("mail: start_time_in_utc changed"), "{}", seen.warnings());
    let tick = site.tick(Who::Mail);
    assert_eq!((tick.ids().len(), tick.warnings().as_str()), (3, ""));
}

#[test]
fn failed_content_of_a_resend_that_waits_already_is_counted_once() {
    for is_at_once in [false, true] {
        let mut site = ContentSite::new(NOON);
        site.files.enabled = false;
        site.add(Who::Mail, "bad", "2026-11-20T10:30:00Z", &["bad"]).attempts = vec![FAILS; 2];
        let asked = || Visit::backfill("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", true);
        if is_at_once {
            // The tick finds the request and works on both: the blob fails twice in one invocation.
            assert!(site.visit_until(Who::Mail, Visit::forced(), 3).is_none());
            assert_eq!(site.visit(Who::Mail, asked()).status(), Status::Locked);
            site.pass(64);
            let seen = site.force(Who::Mail);
            assert_eq!((seen.status(), seen.fetched.len()), (Status::UpToDate, 2));
        } else {
            site.tick(Who::Mail);
            assert_eq!(site.visit(Who::Mail, asked()).status(), Status::UpToDate);
        }
        assert_eq!((site.queue(Who::Mail).len(), site.queue_in_short(Who::Mail).0), (1, 1));
        site.pass(300);
        let seen = site.force(Who::Retry);
        assert_eq!((seen.status(), seen.warnings().as_str()), (Status::UpToDate, ""));
        assert_eq!(site.queue_in_short(Who::Mail), (0, None));
    }
}

#[test]
fn slow_content_that_expires_soon_leaves_the_feed_most_of_its_time() {
    let mut site = site(1);
    for number in 0..30 {
        let slow =
            site.add(Who::Mail, &format!("slow{number}"), "2026-11-20T11:00:00Z", &[&format!("s{number}")]);
        slow.attempts = vec![Attempt::FailsAfter(0); 1_000];
    }
    site.pass(300);
    site.tick(Who::Mail);
    site.pass(7 * 86_400 - 12 * 3_600);
    for round in 0..5 {
        let created = (site.now() - SignedDuration::from_secs(120)).to_string();
        site.add(Who::Mail, &format!("new{round}"), &created, &[&format!("new{round}")]);
        let seen = site.visit(Who::Mail, Visit { seconds_per_fetch: 15, ..Visit::forced() });
        assert!(seen.ids().contains(&format!("new{round}")), "round {round}: {:?}", seen.outcome.report);
        site.pass(300);
    }
}

#[test]
fn rows_that_vanished_from_a_queue_are_told_and_rows_that_are_no_entries_are_left_alone() {
    let mut site = site(1);
    site.files.enabled = false;
    let strange = collector::ports::Row { key: format!("{QUEUE_PREFIX}0#strange"), ..Default::default() };
    site.store.put(&site.mail.partition(), strange.clone());
    let mut shorter = site.rows_of(Who::Mail, "checkpoint").remove(0);
    shorter.fields.insert("retry_queue".to_owned(), json!({"waiting": 3}));
    site.store.put(&site.mail.partition(), shorter);
    site.pass(300);
    let seen = site.tick(Who::Retry);
    assert_eq!(
        seen.warnings(),
        "mail: the row retry#0#strange is no entry of the retry queue, left alone\n\
         mail: 2 content URIs have vanished from the retry queue: their content was not had"
    );
    assert_eq!(site.rows_of(Who::Mail, QUEUE_PREFIX), [strange]);
    assert_eq!(site.queue_in_short(Who::Mail), (0, None));
}
