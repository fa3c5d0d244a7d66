//! A document in today's form: what changes, that it means the same, and that it stays as it is.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::family::{now, with};
use super::older_family::{FAMILIES, sample_1_7_1, sample_2_0_0, version_1};
use crate::settings::Settings;
use crate::settings::document::check_all;
use crate::settings::migrate::{Migrated, migrate};
use crate::window::{earlier, whole_second};

fn migrated(document: &Value) -> Migrated {
    migrate(document, FAMILIES, now()).unwrap()
}

#[test]
fn the_sample_for_2_0_0_is_todays_form() {
    let found = migrated(&sample_2_0_0());
    assert_eq!(found.document, sample_2_0_0());
    assert_eq!((found.changes, found.warnings), (vec![], vec![]));
}

#[test]
fn the_sample_for_1_7_1_becomes_two_inputs_of_today() {
    let found = migrated(&sample_1_7_1());
    let inputs = found.document["inputs"].as_object().unwrap();
    assert_eq!(inputs.keys().collect::<Vec<_>>(), ["graph_audit", "graph_security"]);
    let expected = json!({
        "id": "ab123",
        "credentials": {"tenant_id": "t-1", "client_id": "c-1", "client_secret": "s3cr3t"},
        "override_base_url": "https://api.example.us/",
        "override_login_url": "https://login.example.us",
        "override_scope_value": "https://api.example.us/.default",
        "override_top_level_domain": "us",
        "services": {
            "audits": {"request_period_in_seconds": 600, "start_time_in_utc": "2026-11-10T00-00-00Z"},
            "provisions": {"request_period_in_seconds": 600, "start_time_in_utc": "2026-11-10T00-00-00Z"},
            "logins": {"request_period_in_seconds": 600, "start_time_in_utc": "2026-11-10T00-00-00Z"},
            "logins_v2": {"request_period_in_seconds": 600, "start_time_in_utc": "2026-11-10T00-00-00Z",
                "additional_filter": "types/any(t: t eq 'robot' or t eq 'service' or t eq 'machine')"},
        }
    });
    assert_eq!(inputs["graph_audit"], expected);
    assert_eq!(found.warnings, [""; 0]);
    assert!(!found.changes.join("\n").contains("s3cr3t"));
    let of_one = |service: &str| {
        let place = format!("inputs.graph.services.{service}");
        found.changes.iter().filter_map(|line| line.strip_prefix(&place)).collect::<Vec<_>>()
    };
    let without_effect = "is of version 1.x and has no effect";
    let reset = "reset_persistence_auth: is left out; another `start_time_in_utc` restarts a service today";
    assert_eq!(
        of_one("scores."),
        [
            format!("tag_version: {without_effect}: v2 is what all services do today"),
            format!(
                "pull_sliding_window_timespan_period: {without_effect}: windows follow from what was delivered"
            ),
            reset.to_owned(),
            "start_time: is `start_time_in_utc` today".to_owned(),
        ]
    );
    assert_eq!(
        of_one("profile.start_time: "),
        ["is left out; it has no effect: a snapshot reads the whole list each time"]
    );
    assert_eq!(of_one("audit: "), ["is `audits` today"]);
    assert_eq!(
        of_one("login_robots: "),
        [
            "is of version 1.x; read as one `logins_v2` that is limited to: login_robots, login_services, login_machines"
        ]
    );
    assert_eq!(
        of_one("audit.ms_365_environment: "),
        [
            "is of version 1.x (here and in 5 more places); read as the input's `override_top_level_domain: us`"
        ]
    );
    assert_eq!(found.changes.len(), 32);
}

#[test]
fn a_start_in_days_becomes_an_instant_and_a_reset_is_left_out() {
    let found = migrated(&version_1(json!({
        "scores": {"enabled": true, "override_time_delta_in_days": "3", "request_period_in_seconds": 600},
        "alerts": {"reset_persistence_auth": "x", "use_time_slots_for_retrievals": true},
    })));
    let services = &found.document["inputs"]["graph_security"]["services"];
    assert_eq!(
        services.to_string(),
        r#"{"scores":{"enabled":true,"start_time_in_utc":"2026-11-17T12:00:00Z","request_period_in_seconds":600},"alerts":{}}"#
    );
    assert_eq!(found.changes.len(), 4, "{:#?}", found.changes);
}

#[test]
fn what_is_beside_the_inputs_stays() {
    let document =
        with(sample_2_0_0(), json!({"globals": {"id": "x"}, "outputs": {"devo_1": {"type": "console"}}}));
    let found = migrated(&document);
    assert_eq!(found.document, document);
    assert_eq!((found.changes, found.warnings), (vec![], vec![]));
}

#[test]
fn an_invalid_document_is_refused_with_the_problems_of_all_its_services() {
    let document = json!({"inputs": {
        "graph": with(super::family::input(), json!({"services": {"audit": {"tagg": 1}, "alerts": {"tag": "one", "start_time": "soon"}}})),
        "grpah_audit": {},
    }});
    let error = migrate(&document, FAMILIES, now()).unwrap_err();
    let places: Vec<&str> = error.message.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "inputs.grpah_audit",
            "inputs.graph.services.audit.tagg",
            "inputs.graph.services.alerts.start_time",
            "inputs.graph.services.alerts.tag"
        ]
    );
}

#[test]
fn what_is_switched_off_and_wrong_is_kept_or_named() {
    let document =
        version_1(json!({"scores": {"enabled": false, "tag_version": "v9", "tag": "one"}, "alerts": {}}));
    let found = migrated(&document);
    assert!(
        found.warnings.iter().any(|line| line.contains("scores.tag_version: must be v1 or v2")),
        "{found:?}"
    );
    assert!(found.warnings.iter().any(|line| line.contains("scores.override_tag: is no tag")), "{found:?}");
}

/// Settings of a service in older and newer words that are valid together.
fn service_settings() -> impl Strategy<Value = Value> {
    let maybe = |values: Vec<Value>| prop::option::of(prop::sample::select(values));
    let start = prop_oneof![
        Just(json!({})),
        prop::sample::select(vec!["start_time", "historic_date_utc", "start_time_in_utc"])
            .prop_map(|key| json!({key: "2026-11-10T00:00:00Z"})),
        prop::sample::select(vec![json!(0), json!(3), json!("7")])
            .prop_map(|days| json!({"override_time_delta_in_days": days})),
        Just(json!({"reset_persistence_auth": "x", "start_time": "2026-11-09T00:00:00Z"})),
    ];
    let fields = (
        maybe(vec![json!(true), json!("false"), json!(false)]),
        maybe(vec![json!(600), json!("300")]),
        maybe(vec![json!("v1"), json!("v2")]),
        maybe(vec![json!("gcc_high"), Value::Null]),
        maybe(vec![
            json!({"override_base_url_main": "https://p.example"}),
            json!({"override_base_url_vendor": "x"}),
        ]),
        maybe(vec![json!(5)]),
        maybe(vec![json!(true)]),
        prop::option::of(prop::sample::select(vec!["tag", "override_tag"])),
    );
    (start, fields).prop_map(|(start, fields)| {
        let (enabled, period, tag_version, environment, endpoints, sliding, slots, tag) = fields;
        let named = [
            ("enabled", enabled),
            ("request_period_in_seconds", period),
            ("tag_version", tag_version),
            ("ms_365_environment", environment),
            ("custom_endpoints", endpoints),
            ("pull_sliding_window_timespan_period", sliding),
            ("use_time_slots_for_retrievals", slots),
            (tag.unwrap_or("tag"), tag.map(|_| json!("my.app.all.test"))),
        ];
        let given = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        with(start, Value::Object(given.collect()))
    })
}

fn documents() -> impl Strategy<Value = Value> {
    let older = super::older_family::OLDER_NAMES.iter().map(|(name, _)| *name);
    let names: Vec<&str> = older.chain(["audits", "logins_v2", "profiles"]).collect();
    let services = prop::collection::btree_map(prop::sample::select(names), service_settings(), 0..8);
    services.prop_map(|services| {
        let members: Map<_, _> = services.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        version_1(Value::Object(members))
    })
}

/// Everything that a run does with them. A start in days counts from the first pull, which is now.
fn meaning(mut settings: Settings) -> String {
    let older = std::mem::take(&mut settings.older_start);
    let back = older.reach.map(|reach| reach.max(jiff::SignedDuration::from_secs(1)));
    settings.start_time = settings.start_time.or(back.map(|back| whole_second(earlier(now(), back))));
    format!("{settings:?}")
}

proptest! {
    #[test]
    fn a_migrated_document_means_the_same_and_stays_as_it_is(document in documents()) {
        let Ok(first) = migrate(&document, FAMILIES, now()) else {
            // Parts with different settings, or a start beside a start: refused by the services, too.
            let is_refused = check_all(&document, FAMILIES, now()).iter().any(|(_, it)| it.is_err());
            prop_assert!(is_refused);
            return Ok(());
        };
        let again = migrated(&first.document);
        prop_assert_eq!(&again.document, &first.document);
        prop_assert_eq!(again.changes, Vec::<String>::new());
        let pairs = check_all(&document, FAMILIES, now()).into_iter().zip(check_all(&first.document, FAMILIES, now()));
        for ((function, old), (_, new)) in pairs {
            let new = new.unwrap();
            // A proxy's audience is the operator's matter, in whatever words.
            let told = new.warnings.iter().filter(|line| !line.contains("is of no known cloud"));
            prop_assert_eq!(told.collect::<Vec<_>>(), Vec::<&String>::new());
            let old = old.unwrap();
            prop_assert_eq!(old.settings.enabled, new.settings.enabled);
            if new.settings.enabled {
                prop_assert_eq!(meaning(old.settings), meaning(new.settings), "{}", function);
            }
        }
    }
}
