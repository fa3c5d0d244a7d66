//! What the generated records promise.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    ALERT_PROVIDERS, SIGN_IN_EVENT_TYPES, alert, alert_v2_revision, audit_record, cloud_apps_alert_resolved,
    cloud_apps_record, defender_alert, defender_alert_revision, defender_record, hunting_row, machine,
    office365, record, secure_score, sign_in, sized_audit_record, sized_sign_in, time_text, vulnerability,
};
use crate::tenant::{CloudAppsList, ContentType, DefenderList, Endpoint};

fn time() -> Timestamp {
    "2026-11-20T10:00:00.987654321Z".parse().unwrap()
}

#[test]
fn records_are_repeatable_different_and_about_the_size_of_real_ones() {
    for endpoint in Endpoint::ALL {
        let mut ids = BTreeSet::new();
        let mut bytes = 0;
        for seed in 0..200 {
            let text = record(endpoint, seed, time());
            assert_eq!(text, record(endpoint, seed, time()));
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            ids.insert(parsed["id"].as_str().unwrap().to_owned());
            if let Some(property) = endpoint.time_property() {
                let when: Timestamp = parsed[property].as_str().unwrap().parse().unwrap();
                assert!(when <= time() && time().duration_since(when).as_secs() == 0, "{when}");
            }
            bytes += text.len();
        }
        // A score is known by its day.
        assert_eq!(ids.len(), if endpoint == Endpoint::SecureScores { 1 } else { 200 });
        assert!((900 * 200..2300 * 200).contains(&bytes), "{endpoint:?}: {} bytes", bytes / 200);
    }
}

#[test]
fn records_of_defender_are_repeatable_and_each_of_its_own_id_and_size() {
    for (list, sizes) in [
        (DefenderList::Alerts, 900..4_000),
        (DefenderList::Machines, 800..1_500),
        (DefenderList::Software, 200..400),
        (DefenderList::Vulnerabilities, 500..1_100),
        (DefenderList::Recommendations, 500..900),
        (DefenderList::Investigations, 200..400),
    ] {
        let mut ids = BTreeSet::new();
        let mut bytes = 0;
        for seed in 0..200 {
            let text = defender_record(list, seed, time());
            assert_eq!(text, defender_record(list, seed, time()));
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            ids.insert(parsed["id"].as_str().unwrap().to_owned());
            if let Some(property) = list.time_property() {
                let when: Timestamp = parsed[property].as_str().unwrap().parse().unwrap();
                assert!(when <= time() && time().duration_since(when).as_secs() == 0, "{when}");
            }
            bytes += text.len();
        }
        assert_eq!(ids.len(), 200, "{list:?}");
        assert!(sizes.contains(&(bytes / 200)), "{list:?}: {} bytes", bytes / 200);
    }
}

#[test]
fn records_of_defender_have_the_members_that_trap() {
    let parse = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    let alerts: Vec<Value> = (0..200).map(|seed| parse(defender_alert(seed, time()))).collect();
    let has = |test: &dyn Fn(&Value) -> bool| alerts.iter().any(test);
    assert!(has(&|alert| alert["relatedUser"].is_null()) && has(&|alert| alert["relatedUser"].is_object()));
    assert!(has(&|alert| alert["description"].is_null()) && has(&|alert| alert["description"] == ""));
    assert!(has(&|alert| alert["evidence"] == serde_json::json!([])));
    let kinds: BTreeSet<&str> = alerts
        .iter()
        .flat_map(|alert| alert["evidence"].as_array().unwrap())
        .map(|one| one["entityType"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["File", "Ip", "Process", "RegistryKey", "Url", "User"]
    );
    let all: String = (0..200).map(|seed| defender_alert(seed, time())).collect();
    for digits in 0..=7 {
        assert!(all.contains(&format!("\"{}\"", time_text(time(), digits))), "{digits} fractional digits");
    }
    assert!(parse(vulnerability(1, time())).get("CveSupportability").is_some());
    assert!((0..50).any(|seed| parse(machine(seed, time()))["ipAddresses"][0]["ipAddress"] == ""));
    let later = time() + SignedDuration::from_secs(5);
    let [first, again] = [time(), later].map(|updated| parse(defender_alert_revision(3, time(), updated, 0)));
    let different = first.as_object().unwrap().iter().filter(|(name, value)| again[name.as_str()] != **value);
    assert_eq!(different.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["lastUpdateTime"]);
    assert_ne!(first["status"], parse(defender_alert_revision(3, time(), time(), 1))["status"]);
    let row = parse(hunting_row(1, time()));
    assert_eq!(row["Timestamp"], time_text(time(), 7));
}

#[test]
fn records_hold_what_is_easily_damaged() {
    let all: String =
        (0..200).flat_map(|seed| Endpoint::ALL.map(|endpoint| record(endpoint, seed, time()))).collect();
    for part in [
        "\\u00eb",
        "\\/",
        "\\ud83d\\ude00",
        "\\\"",
        "\\t",
        "\u{5c71}",
        "null",
        "[]",
        "-122.120",
        "1E0",
        "-0.0",
    ] {
        assert!(all.contains(part), "{part}");
    }
    assert!(!all.contains('\n'));
    for digits in 0..=7 {
        assert!(all.contains(&format!("\"{}\"", time_text(time(), digits))), "{digits} fractional digits");
    }
}

#[test]
fn sign_ins_have_the_shape_of_their_kind_and_size() {
    let parse = |text: String| -> Value { serde_json::from_str(&text).unwrap() };
    assert!(parse(sign_in(1, time(), &[])).get("signInEventTypes").is_none(), "v1.0 has no event types");
    for kind in SIGN_IN_EVENT_TYPES {
        let parsed = parse(sign_in(1, time(), &[kind]));
        assert_eq!(parsed["signInEventTypes"][0], kind);
        assert_eq!(parsed["userId"].is_null(), matches!(kind, "servicePrincipal" | "managedIdentity"));
        assert_eq!(parsed["isInteractive"], kind == "interactiveUser");
    }
    for least_bytes in [2_000, 20_000] {
        let text = sized_sign_in(7, time(), &["interactiveUser"], least_bytes);
        assert!((least_bytes..least_bytes + 500).contains(&text.len()), "{}", text.len());
        assert!(parse(text)["appliedConditionalAccessPolicies"].as_array().unwrap().len() > 1);
    }
}

#[test]
fn records_hold_what_is_easily_damaged_in_each_security_collection() {
    for endpoint in Endpoint::SECURITY {
        let all: String = (0..200).map(|seed| record(endpoint, seed, time())).collect();
        for part in ["\\u00eb", "\\/", "\\ud83d\\ude00", "\\\"", "\u{5c71}", "null"] {
            assert!(all.contains(part), "{endpoint:?}: {part}");
        }
        for digits in 0..=7 {
            let text = format!("\"{}\"", time_text(time(), digits));
            assert!(all.contains(&text), "{endpoint:?}: {digits} fractional digits");
        }
    }
    let scores: String = (0..20).map(|seed| secure_score(seed, time())).collect();
    for part in ["-1.0", "\"AppsScore\":-1", "scoreInPercentage", "_2026-11-20\""] {
        assert!(scores.contains(part), "{part}");
    }
}

#[test]
fn alerts_are_of_the_provider_that_was_asked_for() {
    for provider in ALERT_PROVIDERS.into_iter().chain(["Provider \"\u{e9}\"", ""]) {
        let parsed: Value = serde_json::from_str(&alert(3, time(), provider)).unwrap();
        assert_eq!(parsed["vendorInformation"]["provider"], provider);
    }
}

#[test]
fn versions_of_an_alert_differ_in_their_last_update_alone_unless_the_revision_differs() {
    let version = |seconds: i64, revision: u32| -> Value {
        let updated = time() + SignedDuration::from_secs(seconds);
        let mut parsed: Value =
            serde_json::from_str(&alert_v2_revision(7, time(), updated, revision)).unwrap();
        let written: Timestamp = parsed["lastUpdateDateTime"].as_str().unwrap().parse().unwrap();
        assert_eq!(updated.duration_since(written).as_secs(), 0);
        parsed["lastUpdateDateTime"] = Value::Null;
        parsed
    };
    for seconds in 1..300 {
        assert_eq!(version(0, 2), version(seconds, 2));
    }
    assert_ne!(version(0, 0), version(0, 1));
    assert_ne!(version(0, 1), version(0, 2));
    assert_eq!(version(0, 0)["id"], version(9, 5)["id"]);
}

#[test]
fn times_are_cut_to_their_digits() {
    for (digits, expected) in
        [(0, ":00Z"), (1, ":00.9Z"), (3, ":00.987Z"), (7, ":00.9876543Z"), (9, ":00.9876543Z")]
    {
        assert!(time_text(time(), digits).ends_with(expected));
    }
}

#[test]
fn audit_records_are_repeatable_different_and_about_the_size_of_real_ones() {
    for content_type in ContentType::ALL {
        let mut ids = BTreeSet::new();
        let mut bytes = 0;
        for seed in 0..200 {
            let text = office365(content_type, seed, time());
            assert_eq!(text, office365(content_type, seed, time()));
            assert!(!text.contains('\n'));
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(parsed["CreationTime"], "2026-11-20T10:00:00", "no zone, no fraction");
            assert!(parsed["RecordType"].is_u64() && parsed["Workload"].is_string());
            ids.insert(parsed["Id"].as_str().unwrap().to_owned());
            bytes += text.len();
        }
        assert_eq!(ids.len(), 200);
        assert!((1_000 * 200..1_300 * 200).contains(&bytes), "{content_type}: {} bytes", bytes / 200);
    }
}

#[test]
fn audit_records_take_any_workload_and_size_and_hold_what_is_easily_damaged() {
    let workloads = ["Exchange", "OneDrive", "AzureActiveDirectory", "Workload \"\u{e9}\"", ""];
    let mut all = String::new();
    for workload in workloads {
        for seed in 0..50 {
            let text = audit_record(seed, time(), workload);
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(parsed["Workload"], workload);
            all.push_str(&text);
        }
        for least_bytes in [900, 1_100, 1_101, 5_000] {
            let bytes = sized_audit_record(3, time(), workload, least_bytes).len();
            assert!(
                (least_bytes..least_bytes.max(1_100) + 100).contains(&bytes),
                "{bytes} for {least_bytes}"
            );
        }
    }
    for part in ["\\/", "\\u2013", "\\u0000", "\\r\\n", "1.50", "{}", "[]", "null", "\u{5c71}", "\\\"name"] {
        assert!(all.contains(part), "{part}");
    }
}

#[test]
fn records_of_cloud_apps_are_repeatable_and_about_the_size_of_real_ones() {
    for (list, sizes) in [
        (CloudAppsList::Activities, 3_000..5_000),
        (CloudAppsList::Alerts, 900..2_000),
        (CloudAppsList::Entities, 1_200..2_500),
        (CloudAppsList::Subnet, 400..1_000),
        (CloudAppsList::Files, 1_500..3_500),
    ] {
        let mut ids = BTreeSet::new();
        let mut bytes = 0;
        for seed in 0..200 {
            let text = cloud_apps_record(list, seed, time());
            assert_eq!(text, cloud_apps_record(list, seed, time()));
            assert!(!text.contains('\n'));
            let parsed: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            ids.insert(parsed["_id"].as_str().unwrap().to_owned());
            if let Some(member) = list.time_member() {
                assert_eq!(parsed[member].as_i64(), Some(time().as_millisecond()), "{text}");
            }
            bytes += text.len();
        }
        assert_eq!(ids.len(), 200, "{list:?}");
        assert!(sizes.contains(&(bytes / 200)), "{list:?}: {} bytes", bytes / 200);
    }
}

#[test]
fn records_of_cloud_apps_have_the_members_that_trap() {
    let of = |list| -> Vec<Value> {
        (0..200).map(|seed| serde_json::from_str(&cloud_apps_record(list, seed, time())).unwrap()).collect()
    };
    for activity in of(CloudAppsList::Activities) {
        let delay = activity["created"].as_i64().unwrap() - activity["timestamp"].as_i64().unwrap();
        assert!((60_000..=4 * 3_600_000 + 60_000).contains(&delay), "{delay}");
        assert!(activity["level"] != activity["Level"] && activity["rawDataJson"]["Level"] == "1.5");
        assert!(activity["_id"].as_str().unwrap().starts_with(&format!("97134000_{}_", activity["appId"])));
    }
    let alerts = of(CloudAppsList::Alerts);
    let kinds: BTreeSet<&str> = alerts
        .iter()
        .flat_map(|alert| alert["entities"].as_array().unwrap())
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert!(kinds.len() >= 7, "{kinds:?}");
    assert!(alerts.iter().any(|alert| alert["entities"] == serde_json::json!([])));
    assert!(alerts.iter().all(|alert| alert["resolveTime"].is_null()));
    let resolved: Vec<Value> = (0..20)
        .map(|seed| serde_json::from_str(&cloud_apps_alert_resolved(seed, time(), time(), 1)).unwrap())
        .collect();
    assert!(resolved.iter().any(|one| one["resolveTime"] == "2026-11-20T10:00:00.987Z"));
    assert!(resolved.iter().any(|one| one["resolveTime"] == time().as_millisecond()));
    assert_eq!(
        (&resolved[3]["_id"], &resolved[3]["timestamp"]),
        (&alerts[3]["_id"], &alerts[3]["timestamp"])
    );
    assert_ne!(
        cloud_apps_alert_resolved(3, time(), time(), 1),
        cloud_apps_alert_resolved(3, time(), time(), 2)
    );
    let entities = of(CloudAppsList::Entities);
    assert!(entities.iter().any(|one| one["lastSeen"] == "2026-11-20T10:00:00Z"));
    assert!(entities.iter().any(|one| one.get("lastSeen").is_none()));
    assert!(entities.iter().any(|one| one.get("lastSeen").is_some_and(Value::is_null)));
    assert!(of(CloudAppsList::Subnet).iter().all(|one| one["lastModified"].is_f64()));
    assert!(
        of(CloudAppsList::Files)
            .iter()
            .all(|one| one["fileType"][0].is_i64() && one["fileType"][1].is_string())
    );
}
