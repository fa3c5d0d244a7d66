//! Settings of the services that stand in the input or in its credentials.

use serde_json::{Value, json};

use super::family::{CLOUDS, document, input, now, problems, resolve_changes, service, with};
use crate::error::Error;
use crate::service::{Family, Older, Places, Query, SameBy, Service};
use crate::settings::document::{Resolved, resolve};

static DESK: Family = Family {
    input: "desk",
    aliases: &[],
    older: Older { places: Places::Anywhere, ..Older::NONE },
    clouds: CLOUDS,
    services: &[&CASES, &STOCK],
};

static CASES: Service = service("desk", "cases", &[], "desk-cases", "desk");
static STOCK: Service = Service {
    query: Query::Snapshot { path: "/v1.0/stock", page_size: None },
    same_by: SameBy::LastVersion { ignoring: None },
    ..service("desk", "stock", &[], "desk-stock", "desk")
};

const START: &str = "2026-11-01T00:00:00Z";

fn resolve_desk(function: &str, of_input: Value, of_credentials: Value) -> Result<Resolved, Error> {
    let mut desk = with(input(), json!({"services": {"cases": null, "stock": {}}}));
    desk = with(desk, of_input);
    desk["credentials"] = with(desk["credentials"].take(), of_credentials);
    resolve(&json!({"inputs": {"desk": desk}}), &[&DESK], function, None, now())
}

#[test]
fn start_and_tag_are_read_wherever_they_stand() {
    let both = json!({"historical_poll_datetime": START, "tag": "my.app.desk"});
    for (of_input, of_credentials) in
        [(both.clone(), json!({})), (json!({}), both.clone()), (both.clone(), both)]
    {
        let cases = resolve_desk("desk-cases", of_input.clone(), of_credentials.clone()).unwrap();
        assert_eq!(cases.settings.start_time, Some(START.parse().unwrap()));
        assert_eq!(cases.settings.override_tag.as_deref(), Some("my.app.desk"));
        let stock = resolve_desk("desk-stock", of_input, of_credentials).unwrap();
        assert_eq!(
            (stock.settings.start_time, stock.warnings),
            (None, Vec::new()),
            "a snapshot has no start"
        );
        assert_eq!(stock.settings.override_tag.as_deref(), Some("my.app.desk"));
    }
}

#[test]
fn what_a_service_says_itself_counts_and_places_are_named_as_they_were_written() {
    let own = json!({"tag": "my.app.all", "services": {"cases": {"override_tag": "my.app.own"}, "stock": {"tag": null}}});
    let tag = |function| resolve_desk(function, own.clone(), json!({})).unwrap().settings.override_tag;
    assert_eq!(tag("desk-cases").as_deref(), Some("my.app.own"));
    assert_eq!(tag("desk-stock").as_deref(), Some("my.app.all"));
    let error = resolve_desk("desk-cases", json!({}), json!({"start_time": "soon"})).unwrap_err();
    assert!(error.message.starts_with("Invalid start_time_in_utc: soon."), "{error}");
    let error = resolve_desk("desk-cases", json!({}), json!({"tag": "one"})).unwrap_err();
    assert!(error.message.starts_with("inputs.desk.credentials.tag: is no tag"), "{error}");
    let error = resolve_desk("desk-cases", json!({"tag": "a.b"}), json!({"tag": "a.c"})).unwrap_err();
    let expected = "inputs.desk.credentials.tag: says something else than `inputs.desk.tag`; make them agree";
    assert_eq!(error.message, expected);
}

#[test]
fn where_documents_are_not_so_such_a_key_is_unknown() {
    let found = problems(&document(json!({"tag": "my.app.all", "services": {"changes": {}}})));
    assert!(found.len() == 1 && found[0].contains("unknown key"), "{found:?}");
    assert!(resolve_changes(&document(json!({"services": {"changes": {}}}))).is_ok());
}
