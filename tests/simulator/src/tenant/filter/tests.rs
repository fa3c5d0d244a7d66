//! Tables: which filters are understood, what they select, and which are refused.

use std::sync::OnceLock;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Filter, Subject};
use crate::tenant::Endpoint;

struct Row {
    time: Timestamp,
    text: String,
    document: OnceLock<Value>,
}

impl Subject for Row {
    fn event_time(&self) -> Timestamp {
        self.time
    }

    fn event_time_text(&self) -> &str {
        &self.text
    }

    fn document(&self) -> &Value {
        self.document.get().unwrap()
    }
}

fn row(time: &str, document: Value) -> Row {
    Row { time: time.parse().unwrap(), text: time.to_owned(), document: OnceLock::from(document) }
}

fn check(endpoint: Endpoint, filter: &str, subject: &Row, expected: bool) {
    let parsed = Filter::parse(filter, endpoint).unwrap_or_else(|error| panic!("{filter}: {error}"));
    assert_eq!(parsed.matches(subject), expected, "{filter}");
}

fn sign_in() -> Row {
    let document = json!({
        "id": "1",
        "userPrincipalName": "o'hara@example.com",
        "status": { "errorCode": 50126 },
        "isInteractive": false,
        "location": { "city": null },
        "signInEventTypes": ["nonInteractiveUser", "other"],
    });
    row("2026-11-20T10:00:00.1234567Z", document)
}

#[test]
fn datetimes_are_compared_as_instants_whatever_their_fraction_or_offset() {
    for (filter, expected) in [
        ("createdDateTime ge 2026-11-20T10:00:00Z", true),
        ("createdDateTime ge 2026-11-20T10:00:00.1234567Z", true),
        ("createdDateTime ge 2026-11-20T10:00:00.1234568Z", false),
        ("createdDateTime le 2026-11-20T10:00:00.1234567Z", true),
        ("createdDateTime le 2026-11-20T10:00:00.123456Z", false),
        ("createdDateTime eq 2026-11-20T12:00:00.1234567+02:00", true),
        ("createdDateTime ge 2026-11-20T10:00Z", true),
        ("createdDateTime ge 2026-11-20", true),
        ("createdDateTime ge 2026-11-21", false),
        ("createdDateTime ge 2026-11-20T10:00:00.1Z and createdDateTime le 2026-11-20T10:00:00.2Z", true),
    ] {
        check(Endpoint::SignIns, filter, &sign_in(), expected);
    }
}

#[test]
fn logic_paths_strings_and_collections_mean_what_odata_says() {
    for (filter, expected) in [
        ("userPrincipalName eq 'o''hara@example.com'", true),
        ("userPrincipalName eq 'O''HARA@example.com'", false),
        ("startswith(userPrincipalName,'o''h')", true),
        ("startswith( userPrincipalName , 'hara' )", false),
        ("status/errorCode eq 50126", true),
        ("status/errorCode ne 50126", false),
        ("isInteractive eq false", true),
        ("location/city eq null", true),
        ("location/city ne 'Quito'", true),
        ("location/city eq 'Quito'", false),
        ("not (id eq '1')", false),
        ("not not id eq '1'", true),
        ("id eq '2' or id eq '1' and isInteractive eq false", true),
        ("(id eq '1' or id eq '2') and isInteractive eq true", false),
        ("signInEventTypes/any(t: t eq 'nonInteractiveUser')", true),
        ("signInEventTypes/any(t:t eq 'interactiveUser' or t eq 'other')", true),
        ("signInEventTypes/any(t: t eq 'interactiveUser')", false),
        ("signInEventTypes/any(t: t ne 'interactiveUser')", true),
        ("not signInEventTypes/any(x: x eq 'managedIdentity')", true),
        ("(createdDateTime ge 2026-11-20T00:00:00Z) and (signInEventTypes/any(t: t eq 'other'))", true),
    ] {
        check(Endpoint::SignInsBeta, filter, &sign_in(), expected);
    }
    let audit = row(
        "2026-11-20T10:00:00Z",
        json!({
            "initiatedBy": { "app": null, "user": { "userPrincipalName": "admin@example.com" } },
            "targetResources": [{ "id": "a", "displayName": "Alpha" }, { "id": "b", "displayName": null }],
        }),
    );
    for (filter, expected) in [
        ("initiatedBy/user/userPrincipalName eq 'admin@example.com'", true),
        ("initiatedBy/app/appId eq 'x'", false),
        ("targetResources/any(t: t/id eq 'b')", true),
        ("targetResources/any(t: t/id eq 'b' and startswith(t/displayName, 'Al'))", false),
        ("targetResources/any(t: startswith(t/displayName, 'Al'))", true),
    ] {
        check(Endpoint::DirectoryAudits, filter, &audit, expected);
    }
}

#[test]
fn every_endpoint_takes_the_operators_that_it_documents_for_its_time_and_no_others() {
    let literal = "2026-11-20T10:00:00Z";
    for (endpoint, property, taken) in [
        (Endpoint::DirectoryAudits, "activityDateTime", ["eq", "ge", "le"].as_slice()),
        (Endpoint::SignIns, "createdDateTime", &["eq", "ge", "le"]),
        (Endpoint::SignInsBeta, "createdDateTime", &["eq", "ge", "le"]),
        (Endpoint::Provisioning, "activityDateTime", &["eq", "gt", "lt"]),
        (Endpoint::Alerts, "createdDateTime", &["eq", "ge", "gt", "le", "lt"]),
        (Endpoint::Alerts, "lastModifiedDateTime", &["eq", "ge", "gt", "le", "lt"]),
        (Endpoint::AlertsV2, "lastUpdateDateTime", &["eq", "ge", "gt", "le", "lt"]),
        (Endpoint::AlertsV2, "createdDateTime", &["eq", "ge", "gt", "le", "lt"]),
        (Endpoint::SecureScores, "createdDateTime", &["eq"]),
        (Endpoint::ControlProfiles, "lastModifiedDateTime", &[]),
    ] {
        for operator in ["eq", "ne", "ge", "gt", "le", "lt"] {
            let parsed = Filter::parse(&format!("{property} {operator} {literal}"), endpoint);
            assert_eq!(parsed.is_ok(), taken.contains(&operator), "{endpoint:?} {operator}");
        }
    }
    let provisioned = row("2026-11-20T10:00:00Z", json!({}));
    check(Endpoint::Provisioning, "contains(activityDateTime, '2026-11')", &provisioned, true);
    check(Endpoint::Provisioning, "activityDateTime gt 2026-11-20T09:59:59Z", &provisioned, true);
    check(Endpoint::Provisioning, "activityDateTime gt 2026-11-20T10:00:00Z", &provisioned, false);
}

#[test]
fn what_graph_does_not_understand_is_refused() {
    for filter in [
        "",
        "createdDateTime",
        "createdDateTime ge",
        "createdDateTime ge '2026-11-20T10:00:00Z'",
        "createdDateTime ge 2026-11-20T10:00:00",
        "createdDateTime ge 2026-11-20 10:00:00Z",
        "createdDateTime ge 2026-11-20T10:00:00.12345678Z",
        "createdDateTime ge 2026-13-20T10:00:00Z",
        "createdDateTime ge 2026-11-20T10:00:00 00:00",
        "createdDateTime ge datetime'2026-11-20T10:00:00Z'",
        "createdDateTime GE 2026-11-20T10:00:00Z",
        "createdDateTime ge null",
        "activityDateTime ge 2026-11-20T10:00:00Z",
        "noSuchProperty eq 'x'",
        "id eq 1",
        "id eq x",
        "id eq 'x",
        "id eq 'x' id eq 'y'",
        "id eq 'x' and",
        "id eq 'x' AND id eq 'y'",
        "(id eq 'x'",
        "id eq 'x')",
        "id = 'x'",
        "status/errorCode eq '50126'",
        "signInEventTypes eq 'interactiveUser'",
        "signInEventTypes/any(t: t eq interactiveUser)",
        "signInEventTypes/any(t: x eq 'interactiveUser')",
        "signInEventTypes/any(t eq 'interactiveUser')",
        "signInEventTypes/any(t: t/x eq 'y')",
        "id/any(t: t eq 'x')",
        "endswith(id, 'x')",
        "contains(id, 'x')",
        "startswith(id)",
        "startswith(createdDateTime, '2026')",
    ] {
        assert!(Filter::parse(filter, Endpoint::SignInsBeta).is_err(), "{filter}");
    }
    let v1 = Filter::parse("signInEventTypes/any(t: t eq 'interactiveUser')", Endpoint::SignIns);
    assert!(v1.is_err(), "v1.0 does not know the event types");
    let deep = format!("{}id eq 'x'{}", "(".repeat(5000), ")".repeat(5000));
    assert!(Filter::parse(&deep, Endpoint::SignIns).is_err(), "nesting is bounded");
}

#[test]
fn the_earliest_lower_bound_is_found_wherever_it_stands() {
    let parse = |text: &str| Filter::parse(text, Endpoint::SignIns).unwrap();
    let bounded = parse(
        "(isInteractive eq true) and (createdDateTime ge 2026-11-20T10:00:00Z or createdDateTime eq 2026-11-19T00:00:00Z)",
    );
    assert_eq!(bounded.earliest_lower_bound(), Some("2026-11-19T00:00:00Z".parse().unwrap()));
    assert_eq!(parse("createdDateTime le 2026-11-20T10:00:00Z").earliest_lower_bound(), None);
    assert!(bounded.mentions("isInteractive"));
    assert!(!bounded.mentions("id"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z /():,'0-9TZ.+-]{0,60}|.{0,40}") {
        let _ = Filter::parse(&text, Endpoint::SignInsBeta);
    }
}
