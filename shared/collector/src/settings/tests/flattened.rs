//! What a document says of records that are taken apart.

use serde_json::{Value, json};

use super::family::{CLOUDS, changes, input, now, problems, service, with};
use crate::error::Error;
use crate::service::{Family, Flatten, Older, Service};
use crate::settings::document::resolve;

static CASES: Service = Service {
    flatten: Some(Flatten::Members { object: "person", array: "traces" }),
    ..service("desk", "cases", &[], "desk-cases", "desk")
};

static DESK: Family =
    Family { input: "desk", aliases: &[], older: Older::NONE, clouds: CLOUDS, services: &[&CASES] };

fn flatten_of(settings: Value) -> Result<Option<u32>, Error> {
    let document = json!({"inputs": {"desk": with(input(), json!({"services": {"cases": settings}}))}});
    resolve(&document, &[&DESK], "desk-cases", None, now()).map(|resolved| {
        assert_eq!(resolved.warnings, Vec::<String>::new());
        resolved.settings.flatten
    })
}

#[test]
fn records_are_taken_apart_only_where_that_is_asked_for() {
    let table = [
        (json!({}), None),
        (json!({"flatten": false}), None),
        (json!({"flatten": " False "}), None),
        (json!({"flatten": null}), None),
        (json!({"flatten_max_events": 5}), None),
        (json!({"flatten": false, "flatten_max_events": "5"}), None),
        (json!({"flatten": true}), Some(10_000)),
        (json!({"flatten": "TRUE"}), Some(10_000)),
        (json!({"flatten": true, "flatten_max_events": null}), Some(10_000)),
        (json!({"flatten": true, "flatten_max_events": 1}), Some(1)),
        (json!({"flatten": "true", "flatten_max_events": " 1000000 "}), Some(1_000_000)),
    ];
    for (given, expected) in table {
        assert_eq!(flatten_of(given.clone()).unwrap(), expected, "{given}");
    }
}

#[test]
fn what_is_no_number_of_events_is_refused_even_while_it_is_off() {
    let range = "flatten_max_events: must be from 1 to 1000000, found";
    let table = [
        (json!({"flatten": 1}), "flatten: expected true or false, found a number".to_owned()),
        (json!({"flatten": "yes"}), "flatten: expected true or false, found a text".to_owned()),
        (json!({"flatten_max_events": 0}), format!("{range} 0")),
        (json!({"flatten": true, "flatten_max_events": -1}), format!("{range} -1")),
        (json!({"flatten": true, "flatten_max_events": 1_000_001}), format!("{range} 1000001")),
        (
            json!({"flatten": true, "flatten_max_events": 1.5}),
            "flatten_max_events: expected a whole number, found 1.5".to_owned(),
        ),
        (
            json!({"flatten_max_events": "many"}),
            "flatten_max_events: expected a whole number, found a text".to_owned(),
        ),
    ];
    for (given, expected) in table {
        let message = flatten_of(given.clone()).unwrap_err().message;
        assert_eq!(message, format!("inputs.desk.services.cases.{expected}"), "{given}");
    }
}

#[test]
fn services_whose_records_are_never_taken_apart_do_not_know_the_settings() {
    for name in ["flatten", "flatten_max_events"] {
        let found = problems(&changes(json!({name: 1})));
        assert!(found[0].contains(&format!("{name}: unknown key")), "{found:?}");
    }
}
