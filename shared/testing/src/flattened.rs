//! Services whose records are taken apart into events, and settings that ask for it.

use collector::service::{Enrichment, Flatten, Service, Tag};
use collector::settings::{Setting, Settings};

use crate::service::{SERVICE, settings};

/// Cases: the members of `person` come into the record, and each element of `traces` makes an event.
pub static CASES: Service = Service {
    name: "cases",
    function: "test-cases",
    enrichments: &[PLACES],
    flatten: Some(Flatten::Members { object: "person", array: "traces" }),
    ..THINGS
};

/// Incidents: each combination of one element of each `kind` among `parties` makes an event.
pub static INCIDENTS: Service = Service {
    name: "incidents",
    function: "test-incidents",
    flatten: Some(Flatten::Groups { array: "parties", by: "kind" }),
    ..THINGS
};

/// What they share with the things of other tests: event time in `time`, tag by `kind`.
const THINGS: Service = Service {
    input: "test_input",
    query: collector::service::Query::OData {
        path: "/v1.0/cases",
        page_size: Some(1000),
        bounds: collector::service::Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: collector::service::Paging::Links,
        successor: None,
    },
    event_time: &["time"],
    tag: Tag::ByField {
        field: &["kind"],
        routes: &[("red", "my.app.red.{env}"), ("blue", "my.app.blue.{env}")],
        otherwise: "my.app.other.{env}",
    },
    ..Service::PLAIN
};

/// A count that a document may ask for.
const PLACES: Enrichment = Enrichment {
    switch: Setting::named("request_places"),
    member: "related_places",
    path: "/v1.0/cases/{id}/places",
    permission: "Places.Read",
};

/// The settings of one of these services, whose records become so many events at the most; `None` leaves them in one
/// piece.
pub fn flattened_settings(service: &'static Service, flatten: Option<u32>) -> Settings {
    Settings {
        service,
        window_max: SERVICE.window.max,
        lookback: SERVICE.window.lookback,
        flatten,
        ..settings()
    }
}

/// The same for cases with the count of their places.
pub fn counted_settings(flatten: Option<u32>) -> Settings {
    Settings { enrichments: CASES.enrichments.iter().collect(), ..flattened_settings(&CASES, flatten) }
}
