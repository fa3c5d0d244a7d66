//! Request limits that several functions share, and problems that belong to other functions.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::family::{FAMILIES, document, input, now, problems, resolve_changes, with};
use crate::settings::RequestRate;
use crate::settings::document::{check_all, resolve};

fn rate(requests: u32, seconds: i64) -> RequestRate {
    RequestRate { requests, per: SignedDuration::from_secs(seconds) }
}

#[test]
fn a_limit_is_divided_by_the_enabled_services_that_share_its_budget() {
    let both = json!({"changes": {}, "logins": {}, "visits": {}});
    let one_off = json!({"changes": {}, "logins": {"enabled": "false"}, "visits": {}});
    let alone = json!({"changes": {}});
    let own = json!({"changes": {"requests_per_second": 3}, "logins": {}});
    let limits =
        json!([{"period": "1m", "number_of_requests": "30"}, {"period": "1d", "number_of_requests": -1}]);
    let off = json!([{"period": "1m", "number_of_requests": -1}]);
    let cases: [(Value, RequestRate); 10] = [
        (json!({"services": both}), rate(2, 10)),
        (json!({"services": one_off}), rate(5, 10)),
        (json!({"services": alone}), rate(5, 10)),
        (json!({"services": both, "requests_per_second": 1}), rate(1, 2)),
        (json!({"services": both, "requests_per_second": "0.5"}), rate(1, 4)),
        (json!({"services": own, "requests_per_second": 1}), rate(3, 1)),
        (json!({"services": both, "requests_limits": limits}), rate(15, 60)),
        (json!({"services": alone, "requests_limits": limits, "requests_per_second": 0.25}), rate(1, 4)),
        (json!({"services": both, "requests_limits": off}), rate(2, 10)),
        (json!({"services": alone, "requests_per_second": 2.0}), rate(2, 1)),
    ];
    for (more, expected) in cases {
        let resolved = resolve_changes(&document(more.clone())).unwrap();
        assert_eq!(resolved.settings.rate, expected, "{more}");
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let cases = [
        (json!({"requests_per_second": 0}), "must be above 0"),
        (json!({"requests_per_second": -1}), "must be above 0"),
        (json!({"requests_per_second": "many"}), "expected a number, found a text"),
        (json!({"requests_per_second": "NaN"}), "must be above 0"),
        (json!({"requests_per_second": []}), "expected a number, found a list"),
        (json!({"requests_limits": {}}), "expected a list, found an object"),
        (json!({"requests_limits": [1]}), "expected an object, found a number"),
        (
            json!({"requests_limits": [{"period": "1x", "number_of_requests": 1}]}),
            "expected a number and a unit",
        ),
        (json!({"requests_limits": [{"period": "1s", "number_of_requests": 0}]}), "must be from 1 to"),
        (json!({"requests_limits": [{"period": "1s"}]}), "expected a whole number, or -1"),
        (json!({"requests_limits": [{"period": "1s", "number_of_requests": 1, "per": 1}]}), "`period`"),
    ];
    for (settings, expected) in cases {
        let found = problems(&document(json!({"services": {"changes": settings}})));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn a_function_fails_on_its_own_part_and_warns_of_the_others() {
    let mut whole = document(
        json!({"services": {"changes": {}, "logins": {"tag": "one"}, "visits": {"enabled": false, "tag": "two"}}}),
    );
    whole["inputs"]["other_product"] =
        json!({"id": "x", "services": {"things": {"start_time": "soon"}, "thingz": {}}});
    let resolved = resolve_changes(&whole).unwrap();
    assert!(resolved.settings.enabled);
    insta::assert_snapshot!(resolved.warnings.join("\n"), @r#"
    another service: inputs.audit_logs.services.logins.tag: is no tag; give 2 to 8 levels of A-Z a-z 0-9 _ -, joined by dots, at most 1,024 characters
    another input: inputs.other_product.services.thingz: unknown key, the nearest known one is `things`; rename or remove it
    another input: inputs.other_product.credentials: missing: tenant_id, client_id, client_secret (or client_certificate with client_private_key)
    another service: inputs.other_product.services.things.start_time: Invalid start_time_in_utc: soon. Must be in parseable datetime format.
    "#);

    let of_logins = resolve(&whole, FAMILIES, "audit-logins", None, now()).unwrap_err();
    assert!(of_logins.message.starts_with("inputs.audit_logs.services.logins.tag: "), "{of_logins}");
    assert_eq!(of_logins.message.lines().count(), 1, "{of_logins}");
}

#[test]
fn another_input_that_nobody_knows_is_a_warning() {
    let mut whole = document(json!({"services": {"changes": {}}}));
    whole["inputs"]["cisco_asa"] = json!({"id": "x"});
    let resolved = resolve_changes(&whole).unwrap();
    assert_eq!(resolved.warnings.len(), 1);
    assert!(resolved.warnings[0].contains("inputs.cisco_asa: unknown key, the nearest known one is `"));
}

#[test]
fn a_misspelt_input_or_service_does_not_pass_as_absent() {
    let misspelt_input =
        json!({"inputs": {"audit_log": with(input(), json!({"services": {"changes": {}}}))}});
    assert_eq!(
        problems(&misspelt_input),
        ["inputs.audit_log: unknown key, the nearest known one is `audit_logs`; rename or remove it"]
    );
    let misspelt_service = document(json!({"services": {"chagnes": {}}}));
    assert_eq!(
        problems(&misspelt_service),
        [
            "inputs.audit_logs.services.chagnes: unknown key, the nearest known one is `changes`; rename or remove it"
        ]
    );
}

#[test]
fn checking_gives_every_service_its_own_result() {
    let whole = document(json!({"services": {"changes": {}, "logins": {"tag": "one"}}}));
    let results = check_all(&whole, FAMILIES, now());
    let summary: Vec<(&str, String)> = results
        .into_iter()
        .map(|(function, result)| match result {
            Ok(resolved) => (function, format!("{} {:?}", resolved.settings.enabled, resolved.warnings)),
            Err(error) => (function, error.to_string()),
        })
        .collect();
    assert_eq!(summary[0], ("audit-changes", "true []".to_owned()));
    assert!(summary[1].1.starts_with("[1] inputs.audit_logs.services.logins.tag: is no tag"), "{summary:?}");
    assert_eq!(summary[2], ("audit-visits", "false []".to_owned()));
    assert_eq!(summary[3], ("other-things", "false []".to_owned()));
}
