//! One thing that a document has twice, in older and in newer words: what is switched off gives way to what works, and
//! two that work are an error.

use serde_json::{Value, json};

use super::family::{input, now, with};
use super::older_family::{FAMILIES, problems, resolved, version_1};
use crate::settings::migrate::migrate;

const SERVICES: &str = "inputs.graph.services";

/// A document with these inputs; each is complete.
fn inputs(members: Value) -> Value {
    let complete = members.as_object().unwrap().iter();
    let complete = complete.map(|(name, more)| (name.clone(), with(input(), more.clone())));
    json!({"inputs": Value::Object(complete.collect())})
}

/// Whether each of these functions works, and what it is told beside the split of the input.
fn works(document: &Value, function: &str) -> (bool, Vec<String>) {
    let found = resolved(document, function);
    let told = found.warnings.into_iter().filter(|line| !line.contains("is an input of version 1.x"));
    (found.settings.enabled, told.collect())
}

/// The services of an input after the migration, and that nothing more is told of them.
fn migrated_services(document: &Value, input: &str) -> Value {
    let found = migrate(document, FAMILIES, now()).unwrap();
    let again = migrate(&found.document, FAMILIES, now()).unwrap();
    assert_eq!((found.warnings, again.changes, again.warnings), (vec![], vec![], vec![]), "{document}");
    found.document["inputs"][input]["services"].clone()
}

#[test]
fn of_two_spellings_of_a_service_the_one_that_works_counts() {
    for services in [
        json!({"audit": {"enabled": false, "tag": "a.off"}, "audits": {"tag": "a.on"}}),
        json!({"audit": {"tag": "a.on"}, "audits": {"enabled": "false", "tag": "a.off"}}),
        json!({"audits": {"enabled": false}, "audit": {"tag": "a.on"}}),
    ] {
        for document in [version_1(services.clone()), inputs(json!({"graph_audit": {"services": services}}))]
        {
            let (is_on, told) = works(&document, "graph-audits");
            assert!(is_on, "{document}");
            assert!(told.len() == 1 && told[0].contains("is switched off; `"), "{told:?}");
            assert_eq!(
                migrated_services(&document, "graph_audit"),
                json!({"audits": {"override_tag": "a.on"}})
            );
        }
    }
}

#[test]
fn of_two_spellings_of_an_input_the_one_that_works_counts() {
    let services = json!({"services": {"audits": {}, "logins": {}}});
    let off = json!({"enabled": false, "services": {"audits": {}}});
    for document in [
        inputs(json!({"graph": off, "graph_audit": services})),
        inputs(json!({"graph": services, "graph_audit": off})),
        inputs(
            json!({"graph": {"enabled": false, "services": {"audit": {}, "alerts": {}}}, "graph_audit": services}),
        ),
    ] {
        let (is_on, told) = works(&document, "graph-logins");
        assert!(is_on, "{document}");
        assert!(told.len() == 1 && told[0].contains("is switched off; `inputs."), "{told:?}");
        assert_eq!(migrated_services(&document, "graph_audit"), services["services"]);
        assert!(!works(&document, "graph-alerts").0, "{document}");
    }
    let both_heirs = inputs(json!({
        "graph": {"enabled": false, "services": {"audit": {}, "alerts": {}}},
        "graph_audit": {"services": {"audits": {}}},
        "graph_security": {"services": {"alerts": {}}},
    }));
    for function in ["graph-audits", "graph-alerts"] {
        assert!(works(&both_heirs, function).0, "{function}");
    }
    assert_eq!(migrated_services(&both_heirs, "graph_security"), json!({"alerts": {}}));
}

#[test]
fn of_a_service_and_its_parts_those_that_work_count() {
    let parts_off = version_1(json!({"login_robots": {"enabled": false}, "logins_v2": {}}));
    let whole_off = version_1(json!({"login_robots": {}, "logins_v2": {"enabled": false}}));
    let some_off = version_1(
        json!({"login_robots": {}, "login_services": {"enabled": false}, "logins_v2": {"enabled": false}}),
    );
    for (document, filter) in [
        (&parts_off, None),
        (&whole_off, Some("types/any(t: t eq 'robot')")),
        (&some_off, Some("types/any(t: t eq 'robot')")),
    ] {
        let (is_on, told) = works(document, "graph-logins-v2");
        assert!(is_on, "{document}");
        assert!(told.iter().any(|line| line.contains("is switched off; `")), "{told:?}");
        let settings = resolved(document, "graph-logins-v2").settings;
        assert_eq!(settings.filter_clause(), filter);
        let expected = filter.map_or_else(|| json!({}), |filter| json!({"additional_filter": filter}));
        assert_eq!(migrated_services(document, "graph_audit"), json!({"logins_v2": expected}));
    }
}

#[test]
fn what_is_switched_off_in_all_its_spellings_stays_off() {
    let off = json!({"enabled": false});
    for (document, function) in [
        (version_1(json!({"audit": off, "audits": off})), "graph-audits"),
        (version_1(json!({"login_robots": off, "logins_v2": off})), "graph-logins-v2"),
        (
            inputs(
                json!({"graph": with(off.clone(), json!({"services": {"audit": {}}})), "graph_audit": off}),
            ),
            "graph-audits",
        ),
    ] {
        assert!(!works(&document, function).0, "{document}");
        let found = migrate(&document, FAMILIES, now()).unwrap();
        assert!(!works(&found.document, function).0, "{}", found.document);
    }
}

#[test]
fn two_that_work_are_an_error_that_names_both_as_they_are_written() {
    assert_eq!(
        problems(&version_1(json!({"audit": {}, "audits": {}})), "graph-audits"),
        [format!("{SERVICES}.audits: is the same service as `{SERVICES}.audit`; keep one")]
    );
}
