//! Counts of what belongs to a record: which are asked for, what is sent, and what is said of those that cannot be had.

use collector::obfuscate::Rule;
use collector::report::Status;
use collector::settings::SnapshotMode;
use serde_json::json;
use testing::enriched::{CountFault, ENRICHMENTS, count_of, counted_inventory_settings, counted_settings};
use testing::site::{Seen, Site, Visit, line, record, thing};
use testing::source::PageFault;

use crate::NOON;

/// A service of these records, with the first counts switched on.
pub fn site(ids: &[&str], members: usize) -> Site {
    let mut site = Site::new(NOON);
    site.settings = counted_settings(members);
    for (index, id) in ids.iter().enumerate() {
        site.records.push(thing(id, &format!("2026-11-20T11:{index:02}:00Z")));
    }
    site
}

/// What was asked for, as `a:related_a`.
pub fn asked(seen: &Seen) -> Vec<String> {
    seen.counted.iter().map(|(id, member)| format!("{id}:{}", member.replace("related_", ""))).collect()
}

/// The records that arrived, each with the last letters of the counts that it has. A count that is not that of its record
/// fails the test.
pub fn arrived(seen: &Seen) -> Vec<String> {
    let ids = seen.members("id");
    let mut texts: Vec<String> = ids.iter().map(|id| format!("{}:", id.as_str().unwrap_or("?"))).collect();
    for enrichment in &ENRICHMENTS {
        let counts = seen.members(enrichment.member);
        for ((id, count), text) in ids.iter().zip(counts).zip(&mut texts) {
            if count.is_null() {
                continue;
            }
            assert_eq!(
                count,
                count_of(id.as_str().unwrap(), enrichment.member),
                "{id} {}",
                enrichment.member
            );
            text.push_str(&enrichment.member.replace("related_", ""));
        }
    }
    texts
}

#[test]
fn each_record_has_its_counts_behind_its_own_members_in_the_order_of_the_switches() {
    let mut site = site(&["a"], 3);
    let seen = site.tick();
    let (_, message) = seen.connections[0].records().next().unwrap().clone();
    let expected = format!(
        "{{\"id\":\"a\",\"time\":\"2026-11-20T11:00:00Z\",\"kind\":[\"red\"],\"related_a\":{},\"related_b\":{},\
         \"related_c\":{},\"@devo_environment\"",
        count_of("a", "related_a"),
        count_of("a", "related_b"),
        count_of("a", "related_c")
    );
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(asked(&seen), ["a:a", "a:b", "a:c"]);
    assert_eq!((seen.outcome.report.requests, seen.warnings().as_str()), (4, ""));
}

#[test]
fn a_known_record_is_not_asked_about_again_and_a_changed_one_is() {
    let mut site = site(&["a", "b"], 2);
    assert_eq!(arrived(&site.tick()), ["a:ab", "b:ab"]);
    for _ in 0..2 {
        site.pass(300);
        site.new_process();
        let seen = site.tick();
        assert_eq!((asked(&seen).len(), arrived(&seen).len(), seen.outcome.report.duplicates), (0, 0, 2));
    }
    site.records.push(record("{\"id\":\"a\",\"state\":\"new\"}", "2026-11-20T12:05:00Z".parse().unwrap()));
    site.pass(300);
    let seen = site.tick();
    assert_eq!((asked(&seen), arrived(&seen)), (vec!["a:a".into(), "a:b".into()], vec!["a:ab".into()]));
}

#[test]
fn each_version_of_a_record_on_one_page_has_counts_of_its_own_time() {
    let mut site = site(&["a"], 2);
    site.records.push(record("{\"id\":\"a\",\"n\":2}", "2026-11-20T11:30:00Z".parse().unwrap()));
    assert_eq!(asked(&site.tick()), ["a:a", "a:b", "a:a", "a:b"]);
}

#[test]
fn what_is_not_permitted_is_left_out_of_all_records_said_once_a_day_and_asked_for_once_an_invocation() {
    let mut site = site(&["a", "b", "c"], 3);
    site.counting.not_permitted.insert("related_b");
    let said = "related_b is left out of all records: Related.Read.All is missing";
    let seen = site.tick();
    assert_eq!(arrived(&seen), ["a:ac", "b:ac", "c:ac"]);
    assert_eq!(asked(&seen), ["a:a", "a:b", "a:c", "b:a", "b:c", "c:a", "c:c"]);
    assert_eq!(seen.warnings(), said);
    let later = [("d", 300, ""), ("e", 300, ""), ("f", 12 * 3600, said)];
    for (id, seconds, warnings) in later {
        site.pass(seconds);
        site.records.push(thing(id, &site.now().to_string()));
        let seen = site.tick();
        assert_eq!(arrived(&seen), [format!("{id}:ac")]);
        assert!(asked(&seen).contains(&format!("{id}:b")), "whether it is granted by now is asked each time");
        assert_eq!(seen.warnings(), warnings, "{id}");
    }
    site.new_process();
    site.pass(300);
    site.records.push(thing("g", &site.now().to_string()));
    assert_eq!(site.tick().warnings(), said, "another process says it, too");
    site.counting.not_permitted.clear();
    site.pass(300);
    site.records.push(thing("h", &site.now().to_string()));
    assert_eq!(arrived(&site.tick()), ["h:abc"], "granted");
}

#[test]
fn what_is_refused_for_one_record_is_left_out_of_that_one_and_the_warning_shows_a_part_of_its_id() {
    let long = "a-very-long-id-that-goes-on-and-on";
    let mut site = site(&[long, "b"], 2);
    site.counting.refused.insert((long.to_owned(), "related_a"));
    let seen = site.tick();
    assert_eq!(arrived(&seen), [format!("{long}:b"), "b:ab".to_owned()]);
    assert_eq!(seen.warnings(), "related_a is left out of the record a-very-long-id-that-…: 400 scripted");
}

#[test]
fn an_id_that_is_masked_in_what_is_sent_is_masked_in_warnings() {
    let mut site = site(&["secret"], 1);
    let rule = json!({"name": ["id"], "value": "****"});
    site.settings.obfuscation = vec![Rule::parse(&rule, "obfuscation_data[0]").unwrap()];
    site.counting.refused.insert(("secret".to_owned(), "related_a"));
    let seen = site.tick();
    assert_eq!(seen.warnings(), "related_a is left out of the record ****: 400 scripted");
}

#[test]
fn a_masked_id_is_masked_in_what_the_api_says_of_its_record() {
    let rule = json!({"name": ["id"], "value": "****"});
    for how in 0..3 {
        let mut site = site(&["secret"], 1);
        site.settings.obfuscation = vec![Rule::parse(&rule, "obfuscation_data[0]").unwrap()];
        site.counting.says = " of secret".to_owned();
        let about = ("secret".to_owned(), "related_a");
        match how {
            0 => _ = site.counting.refused.insert(about),
            1 => _ = site.counting.not_permitted.insert("related_a"),
            _ => _ = site.counting.failing.insert(about),
        }
        for _ in 0..3 {
            let seen = site.visit(Visit::forced());
            let told = format!("{:?}", seen.outcome);
            assert!(!told.contains("secret"), "{told}");
            assert!(told.contains("of ****") || arrived(&seen).is_empty(), "{told}");
            site.pass(60);
        }
        let stored = format!("{:?}", site.checkpoint().get("last_error"));
        assert!(!stored.contains("secret"), "{stored}");
    }
}

#[test]
fn a_count_that_fails_in_three_invocations_in_a_row_is_left_out_and_the_others_go_on() {
    let mut site = site(&["a", "b"], 3);
    site.counting.failing.insert(("a".to_owned(), "related_b"));
    for number in 1..3 {
        let seen = site.tick();
        assert_eq!(seen.failure(), "ApiError [498] 498 scripted");
        let expected: &[&str] = if number == 1 { &["a:a", "a:b"] } else { &["a:b"] };
        assert_eq!(asked(&seen), expected, "what was counted is not asked for again");
        site.pass(60);
        site.new_process();
    }
    let seen = site.visit(Visit::default());
    assert_eq!(
        (seen.status(), arrived(&seen)),
        (Status::UpToDate, vec!["a:ac".to_owned(), "b:abc".to_owned()])
    );
    assert_eq!(asked(&seen), ["a:b", "a:c", "b:a", "b:b", "b:c"]);
    assert_eq!(
        seen.warnings(),
        "related_b is left out of the record a, for it failed 3 times: [498] 498 scripted"
    );
    assert_eq!(site.checkpoint().get("enriching"), None);
}

#[test]
fn failures_that_are_not_in_a_row_leave_nothing_out() {
    let mut site = site(&["a"], 3);
    let fails = || vec![Some(CountFault::Fatal)];
    let passes_then_fails = || vec![None, Some(CountFault::Fatal)];
    for counts in [fails(), fails(), passes_then_fails(), fails(), passes_then_fails(), fails()] {
        site.visit(Visit { counts, ..Visit::forced() }).failure();
        site.pass(60);
    }
    let seen = site.tick();
    assert_eq!((arrived(&seen), seen.warnings().as_str()), (vec!["a:abc".to_owned()], ""));
}

#[test]
fn an_outage_of_the_whole_api_leaves_no_count_out() {
    let mut site = site(&["a"], 2);
    site.visit(Visit { counts: vec![None, Some(CountFault::Fatal)], ..Visit::forced() }).failure();
    for _ in 0..5 {
        site.pass(300);
        let seen = site.visit(Visit::with_pages(&[Some(PageFault::Fatal)]));
        assert_eq!((seen.failure().as_str(), asked(&seen).len()), ("ApiError [498] scripted", 0));
    }
    assert_eq!(arrived(&site.tick()), ["a:ab"]);
}

#[test]
fn a_record_that_has_no_id_for_a_path_is_sent_without_counts_and_one_warning_tells_of_them_all() {
    let texts = [
        "{\"n\":1}",
        "{\"id\":null}",
        "{\"id\":\"\"}",
        "{\"id\":\"..\"}",
        "{\"id\":{\"id\":\"x\"}}",
        "[1,2]",
        "\"text\"",
        "{\"id\":12}",
    ];
    let mut site = site(&[], 2);
    for (index, text) in texts.iter().enumerate() {
        site.records.push(record(text, format!("2026-11-20T11:{index:02}:00Z").parse().unwrap()));
    }
    let seen = site.tick();
    assert_eq!(asked(&seen), ["12:a", "12:b"]);
    assert_eq!(seen.outcome.report.delivered, 8);
    assert_eq!(
        seen.warnings(),
        "records that are no objects or have no usable id are sent without their counts"
    );
}

#[test]
fn a_dry_run_asks_for_the_counts_of_the_samples_that_it_shows_and_of_nothing_else() {
    let mut site = site(&["a", "b", "c", "d", "e"], 2);
    let seen = site.visit(Visit::dry());
    assert_eq!((seen.status(), seen.outcome.report.received), (Status::DryRun, 5));
    assert_eq!(asked(&seen), ["a:a", "a:b", "b:a", "b:b", "c:a", "c:b"]);
    let samples = seen.outcome.report.samples.unwrap();
    assert!(samples.iter().all(|sample| sample.message["related_b"].is_u64()), "{samples:?}");
    assert_eq!(site.checkpoint().get("enriching"), None);
}

#[test]
fn switches_that_change_between_invocations_add_and_leave_out_what_they_say() {
    for (members, expected) in [(0, "a:"), (1, "a:a"), (2, "a:ab"), (4, "a:abcd")] {
        let mut site = site(&["a"], 3);
        let counts = vec![None, None, Some(CountFault::Throttled(10))];
        assert_eq!(site.visit(Visit { counts, ..Visit::forced() }).status(), Status::Throttled);
        site.pass(60);
        site.settings = counted_settings(members);
        let seen = site.tick();
        assert_eq!(
            (arrived(&seen), asked(&seen).len()),
            (vec![expected.to_owned()], members.saturating_sub(2))
        );
    }
}

#[test]
fn a_backfill_and_the_late_sweep_enrich_each_with_its_own_record_at_hand() {
    let mut site = site(&["a"], 2);
    site.settings.late_sweep_period = jiff::SignedDuration::from_hours(1);
    site.settings.late_sweep_range = jiff::SignedDuration::from_hours(24);
    site.tick();
    site.records.push(thing("late", "2026-11-20T01:00:00Z"));
    site.records.push(thing("past", "2026-11-10T01:00:00Z"));
    let patience = || vec![None, Some(CountFault::Throttled(60))];
    let backfill = || Visit::backfill("2026-11-10T00:00:00Z", "2026-11-10T12:00:00Z", false);
    let left = site.visit(Visit { counts: patience(), ..backfill() });
    assert_eq!((left.status(), asked(&left)), (Status::Throttled, vec!["past:a".into(), "past:b".into()]));
    site.pass(3_600);
    let swept = site.visit(Visit { counts: patience(), ..Visit::default() });
    assert_eq!(asked(&swept), ["late:a", "late:b"]);
    site.pass(300);
    site.new_process();
    let rest = site.visit(Visit::default());
    assert_eq!(
        (asked(&rest), arrived(&rest)),
        (vec!["late:b".into(), "past:b".into()], vec!["late:ab".into(), "past:ab".into()])
    );
    assert_eq!(rest.outcome.report.late, 1);
}

#[test]
fn a_snapshot_sends_its_lines_with_counts_and_a_new_one_counts_anew() {
    for (mode, again) in [(SnapshotMode::Changes, 0), (SnapshotMode::Always, 2)] {
        let mut site = Site::new(NOON);
        site.settings = counted_inventory_settings(mode, 2);
        site.records = vec![line("a", "1"), line("b", "1")];
        assert_eq!(arrived(&site.tick()), ["a:ab", "b:ab"]);
        site.pass(600);
        let seen = site.tick();
        assert_eq!((asked(&seen).len(), arrived(&seen).len()), (again * 2, again), "{mode:?}");
        site.records[0] = line("a", "2");
        site.pass(600);
        assert_eq!(arrived(&site.tick())[0], "a:ab");
    }
}
