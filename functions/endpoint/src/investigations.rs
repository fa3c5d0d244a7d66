//! Investigations: what Defender looked into by itself, until each has come to its end.

use collector::service::{Bounds, Paging, Query, SameBy, Service, Tag};

use crate::{LISTS, WINDOW};

/// `GET /api/investigations` (Defender for Endpoint API, List investigations). Only the start can be asked for, and a state
/// changes long after it, so windows reach back to the oldest investigation that has no end yet.
pub static SERVICE: Service = Service {
    input: "microsoft_defender_endpoint",
    name: "investigations",
    function: "endpoint-investigations",
    query: Query::OData {
        path: "/api/investigations",
        page_size: Some(10_000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Slices,
        successor: None,
    },
    event_time: &["startTime"],
    end_time: &["endTime"],
    same_by: SameBy::LastVersion { ignoring: None },
    window: WINDOW,
    tag: Tag::Fixed("edr.microsoft_defender.endpoint.investigations"),
    rate: LISTS,
    permission: "Alert.Read.All",
    ..Service::PLAIN
};
