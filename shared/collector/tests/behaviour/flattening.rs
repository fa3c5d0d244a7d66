//! Records that become many events: they are counted, sent, committed and remembered as the one record that they are.

use collector::obfuscate::Rule;
use collector::report::Status;
use serde_json::{Value, json};
use testing::enriched::count_of;
use testing::flattened::{CASES, INCIDENTS, counted_settings, flattened_settings};
use testing::site::{Seen, Site, Visit, record};

use crate::NOON;

const TIME: &str = "2026-11-20T11:00:00Z";
const END: &str = ",\"@devo_environment\":\"prod\",\"@devo_pulling_id\":\"1795176000000\"}";

fn site_of(service: &'static collector::service::Service, most: Option<u32>, texts: &[String]) -> Site {
    let mut site = Site::new(NOON);
    site.settings = flattened_settings(service, most);
    site.records = texts.iter().map(|text| record(text, TIME.parse().unwrap())).collect();
    site
}

/// A case with so many traces.
fn case(id: &str, traces: usize) -> String {
    let list: Vec<String> = (0..traces).map(|number| format!("{{\"n\":{number}}}")).collect();
    format!("{{\"id\":\"{id}\", \"time\":\"{TIME}\", \"kind\":\"red\", \"traces\":[{}]}}", list.join(","))
}

fn messages(seen: &Seen) -> Vec<String> {
    let events = seen.connections.iter().flat_map(|connection| connection.records());
    events.map(|(_, message)| message.clone()).collect()
}

fn rules(rules: &[Value]) -> Vec<Rule> {
    rules.iter().map(|rule| Rule::parse(rule, "obfuscation_data").unwrap()).collect()
}

#[test]
fn received_counts_records_and_sent_counts_their_events() {
    let mut site = site_of(&CASES, Some(100), &[case("a", 3), case("b", 0), case("c", 1)]);
    let seen = site.tick();
    let report = &seen.outcome.report;
    assert_eq!(seen.status(), Status::UpToDate);
    assert_eq!((report.received, report.delivered, report.sent, report.late), (3, 3, 5, 0));
    assert_eq!(report.tables, [("my.app.red.prod".to_owned(), 5)].into());
    assert_eq!(seen.ids(), ["a", "a", "a", "b", "c"]);
    assert_eq!(seen.members("traces_n"), [json!(0), json!(1), json!(2), Value::Null, json!(0)]);
    let statistics: Vec<String> = seen
        .lines()
        .into_iter()
        .map(|(_, text)| text)
        .filter(|text| text.starts_with("Statistics"))
        .collect();
    assert!(statistics[0].contains("Number of events received: 3;"), "{statistics:?}");
    assert!(statistics[0].contains("Number of events generated and sent: 5;"), "{statistics:?}");
    site.pass(300);
    site.new_process();
    let again = site.tick();
    assert_eq!((again.outcome.report.duplicates, again.outcome.report.sent), (3, 0));
    let ledger = &site.rows_of("ledger#")[0].fields;
    assert_eq!((&ledger["delivered"], &ledger["sent"]), (&json!(3), &json!(5)));
}

#[test]
fn a_record_that_is_not_taken_apart_stays_byte_for_byte() {
    let odd = [
        "{ \"id\":\"1\",\"n\" : 1.00, \"traces\": null , \"person\":\"ann\" }",
        "{ \"id\":\"2\" , \"traces\":{\"n\":1} }",
        "[ {\"traces\":[1,2]} ]",
    ];
    let texts: Vec<String> = odd.iter().map(|text| (*text).to_owned()).collect();
    let sent = |text: &str| match text.strip_suffix('}') {
        Some(open) => format!("{}{END}", open),
        None => text.to_owned(),
    };
    let on = site_of(&CASES, Some(100), &texts).tick();
    assert_eq!(messages(&on), odd.map(sent));
    // Off, nothing is taken apart at all.
    let whole = [case("1", 3), "{\"id\":\"2\",\"person\":{\"a\":1.00},\"traces\":[] }".to_owned()];
    let off = site_of(&CASES, None, &whole).tick();
    assert_eq!(messages(&off), whole.map(|text| sent(&text)));
    assert_eq!(off.outcome.report.sent, 2);
}

#[test]
fn each_combination_of_the_groups_is_an_event() {
    let text = format!(
        "{{\"id\":\"a\",\"time\":\"{TIME}\",\"parties\":[{{\"kind\":\"user\",\"v\":1}},{{\"kind\":\"ip\",\"v\":2.50}},\
         {{\"kind\":\"user\",\"v\":3}}]}}"
    );
    let seen = site_of(&INCIDENTS, Some(2), &[text]).tick();
    let event = |user: u8| {
        format!(
            "{{\"id\":\"a\",\"time\":\"{TIME}\",\"related_users\":2,\"related_ips\":1,\"user_v\":{user},\"ip_v\":2.50{END}"
        )
    };
    assert_eq!(messages(&seen), [event(1), event(3)]);
}

#[test]
fn more_events_than_allowed_are_one_event_and_a_warning() {
    let mut site = site_of(&CASES, Some(3), &[case("a", 4), case("b", 3)]);
    let seen = site.tick();
    assert_eq!(messages(&seen)[0], case("a", 4).replace("]}", &format!("]{END}")));
    assert_eq!((seen.outcome.report.received, seen.outcome.report.sent), (2, 4));
    assert_eq!(
        seen.warnings(),
        "a record would become 4 events and is sent in one piece; flatten_max_events is 3"
    );
    assert!(seen.lines().iter().any(|(level, text)| level == "warning" && text.contains("4 events")));
}

#[test]
fn combinations_beyond_all_numbers_are_one_event_at_once() {
    let parties: Vec<String> =
        (0..2_000).map(|number| format!("{{\"kind\":\"g{}\",\"v\":{number}}}", number % 20)).collect();
    let text = format!("{{\"id\":\"a\",\"parties\":[{}]}}", parties.join(","));
    let seen = site_of(&INCIDENTS, Some(1_000_000), &[text]).tick();
    assert_eq!((seen.status(), seen.outcome.report.sent), (Status::UpToDate, 1));
    assert!(seen.warnings().contains("more than 18446744073709551615 events"), "{}", seen.warnings());
}

#[test]
fn the_tag_is_the_records_and_an_override_counts_for_all_events() {
    let text = format!(
        "{{\"id\":\"a\",\"time\":\"{TIME}\",\"traces\":[{{\"kind\":\"red\"}},{{}}],\"person\":{{\"kind\":\"red\"}},\"kind\":\"blue\"}}"
    );
    for (tag, expected) in [(None, "my.app.blue.prod"), (Some("my.own.tag"), "my.own.tag")] {
        let mut site = site_of(&CASES, Some(9), std::slice::from_ref(&text));
        site.settings.override_tag = tag.map(str::to_owned);
        assert_eq!(site.tick().outcome.report.tables, [(expected.to_owned(), 2)].into());
    }
}

#[test]
fn counts_come_last_and_rules_reach_them_like_every_member() {
    let text = format!(
        "{{\"id\":\"a\",\"time\":\"{TIME}\",\"person\":{{\"name\":\"ann\"}},\"traces\":[{{\"by\":\"ann\"}},{{\"by\":\"bob\"}}]}}"
    );
    let head = format!("{{\"id\":\"a\",\"time\":\"{TIME}\",\"person");
    let apart = |count: &str, by: [&str; 2], person: &str| {
        by.map(|by| {
            format!(
                "{head}_name\":\"{person}\",\"related_traces\":2,\"traces_by\":\"{by}\",\"related_places\":{count}{END}"
            )
        })
    };
    let whole = |count: &str, by: [&str; 2], person: &str| {
        let [first, second] = by;
        [format!(
            "{head}\":{{\"name\":\"{person}\"}},\"traces\":[{{\"by\":\"{first}\"}},{{\"by\":\"{second}\"}}],\
             \"related_places\":{count}{END}"
        )]
    };
    let both = ["ann", "bob"];
    let count = count_of("a", "related_places").to_string();
    let table = [
        (vec![], Some(9), apart(&count, both, "ann").to_vec()),
        (vec![], Some(1), whole(&count, both, "ann").to_vec()),
        (vec![], None, whole(&count, both, "ann").to_vec()),
        (vec![json!({"name": ["related_places"]})], Some(9), apart("-1", both, "ann").to_vec()),
        (vec![json!({"name": ["related_places"]})], Some(1), whole("-1", both, "ann").to_vec()),
        (vec![json!({"name": ["related_places"]})], None, whole("-1", both, "ann").to_vec()),
        (
            vec![
                json!({"name": ["traces_by"], "value": "x"}),
                json!({"name": ["person", "name"], "value": "y"}),
            ],
            Some(9),
            apart(&count, ["x", "x"], "y").to_vec(),
        ),
        (
            vec![
                json!({"name": ["traces", 1, "by"], "value": "x"}),
                json!({"name": ["person_name"], "value": "y"}),
            ],
            Some(9),
            apart(&count, ["ann", "x"], "y").to_vec(),
        ),
        (
            vec![
                json!({"name": ["traces_by"], "value": "x"}),
                json!({"name": ["person_name"], "value": "y"}),
            ],
            Some(1),
            whole(&count, ["x", "x"], "y").to_vec(),
        ),
    ];
    for (masks, most, expected) in table {
        let mut site = site_of(&CASES, most, std::slice::from_ref(&text));
        site.settings = counted_settings(most);
        site.settings.obfuscation = rules(&masks);
        assert_eq!(messages(&site.tick()), expected, "{masks:?} {most:?}");
    }
}

#[test]
fn what_is_masked_whole_is_not_taken_apart_and_a_star_leaves_nothing() {
    let text = "{\"id\":\"secret\",\"person\":{\"a\":\"secret\"},\"traces\":[{\"b\":\"secret\"},\"secret\"]}"
        .to_owned();
    for (path, sent) in [(json!(["*"]), 1), (json!(["traces"]), 1), (json!(["person"]), 2)] {
        let mut site = site_of(&CASES, Some(9), std::slice::from_ref(&text));
        site.settings = counted_settings(Some(9));
        site.settings.obfuscation = rules(&[json!({"name": path})]);
        let seen = site.tick();
        assert_eq!(seen.outcome.report.sent, sent, "{path}");
        let all = messages(&seen).join("\n");
        let left = match path[0].as_str().unwrap() {
            "*" => all.contains("secret") || all.contains("\"related_places\":0"),
            "traces" => all.contains("\"b\"") || all.contains("\"traces\":["),
            _ => all.contains("\"a\"") || all.contains("person_a"),
        };
        assert!(!left, "{path}: {all}");
    }
}

#[test]
fn a_dry_run_shows_the_first_event_of_each_of_three_records() {
    let texts: Vec<String> = ["a", "b", "c", "d"].map(|id| case(id, 5)).to_vec();
    let mut site = site_of(&CASES, Some(9), &texts);
    let seen = site.visit(Visit::dry());
    assert_eq!(seen.status(), Status::DryRun);
    let samples = seen.outcome.report.samples.clone().unwrap();
    let shown: Vec<(&str, Value)> = samples
        .iter()
        .map(|sample| {
            let message = &sample.message;
            (sample.tag.as_str(), json!([message["id"], message["related_traces"], message["traces_n"]]))
        })
        .collect();
    assert_eq!(shown, ["a", "b", "c"].map(|id| ("my.app.red.prod", json!([id, 5, 0]))));
    assert_eq!((seen.outcome.report.received, seen.outcome.report.sent), (4, 20));
}

#[test]
fn the_events_of_a_record_are_one_batch_and_one_commit_however_many_they_are() {
    let padding = "x".repeat(4_000);
    let heavy = |id: &str, traces: usize| {
        case(id, traces).replace("\"red\"", &format!("\"red\",\"p\":\"{padding}\""))
    };
    // The second one is larger than a batch; of the others two go into one.
    let texts = [heavy("a", 10), heavy("b", 5_000), heavy("c", 1_900), heavy("d", 1_500), heavy("e", 2_000)];
    let mut site = site_of(&CASES, Some(10_000), &texts);
    let seen = site.tick();
    assert_eq!(seen.status(), Status::UpToDate);
    let connections: Vec<Vec<String>> = seen
        .connections
        .iter()
        .map(|connection| {
            let all = connection.records().map(|(_, text)| serde_json::from_str::<Value>(text).unwrap());
            let mut ids: Vec<String> = all.map(|event| event["id"].as_str().unwrap().to_owned()).collect();
            ids.dedup();
            ids
        })
        .filter(|ids| !ids.is_empty())
        .collect();
    assert_eq!(connections, [vec!["a"], vec!["b"], vec!["c", "d"], vec!["e"]]);
    let arrived = site.arrived();
    let expected = [("a", 10), ("b", 5_000), ("c", 1_900), ("d", 1_500), ("e", 2_000)];
    assert_eq!(arrived, expected.map(|(id, times)| (id.to_owned(), times)).into());
    assert_eq!((seen.outcome.report.delivered, seen.outcome.report.sent), (5, 10_410));
    assert_eq!(seen.warnings(), "");
}

#[test]
fn a_delivery_that_breaks_within_a_record_brings_all_of_its_events_again() {
    for breaks_after in [0, 1, 4, 5, 6, 9] {
        let mut site = site_of(&CASES, Some(9), &[case("a", 5), case("b", 5)]);
        let seen = site.visit(Visit::with_breaks(&[Some(breaks_after)]));
        assert!(seen.failure().starts_with("DeliveryError"), "{}", seen.failure());
        let report = &seen.outcome.report;
        assert_eq!((report.received, report.failed, report.delivered, report.sent), (2, 2, 0, 0));
        assert!(report.tables.is_empty());
        let again = site.tick();
        assert_eq!(again.ids(), [vec!["a"; 5], vec!["b"; 5]].concat());
        assert_eq!((again.outcome.report.delivered, again.outcome.report.sent), (2, 10));
        assert_eq!(site.tick().outcome.report.duplicates, 2);
    }
}

#[test]
fn a_crash_at_any_step_loses_no_event_of_a_record() {
    for steps in 0..40 {
        let mut site = site_of(&CASES, Some(9), &[case("a", 4), case("b", 0), case("c", 3)]);
        site.visit_until(Visit::forced(), steps);
        site.new_process();
        site.pass(64);
        site.tick();
        let arrived = site.arrived();
        for (id, events) in [("a", 4), ("b", 1), ("c", 3)] {
            assert!((events..=2 * events).contains(&arrived[id]), "{id} after {steps} steps: {arrived:?}");
        }
    }
}

#[test]
fn switching_it_on_or_off_sends_no_record_again() {
    let mut site = site_of(&CASES, None, &[case("a", 3)]);
    assert_eq!(site.tick().ids(), ["a"]);
    for flatten in [Some(9), Some(2), None] {
        site.settings.flatten = flatten;
        site.pass(300);
        site.new_process();
        assert_eq!((site.tick().outcome.report.duplicates, site.arrived()["a"]), (1, 1));
    }
}

#[test]
fn only_an_event_over_a_mebibyte_is_told_of() {
    let padding = "x".repeat(700_000);
    let two = format!("{{\"id\":\"a\",\"traces\":[{{\"p\":\"{padding}\"}},{{\"p\":\"{padding}\"}}]}}");
    let mut apart = site_of(&CASES, Some(9), std::slice::from_ref(&two));
    let seen = apart.tick();
    assert_eq!((seen.warnings().as_str(), seen.outcome.report.sent), ("", 2));
    for text in [two.clone(), format!("{{\"id\":\"b\",\"p\":\"{padding}{padding}\",\"traces\":[1,2]}}")] {
        let most = if text == two { Some(1) } else { Some(9) };
        let seen = site_of(&CASES, most, &[text]).tick();
        assert!(seen.warnings().contains("is sent whole; Devo may cut it"), "{}", seen.warnings());
    }
}
