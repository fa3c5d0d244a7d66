//! Advanced hunting: the operator's own queries over the raw events of Defender.

use collector::service::{Query, SameBy, Service, Tag, WindowRule};
use jiff::SignedDuration;

use crate::{HUNTING, WINDOW};

/// `POST /api/advancedqueries/run` (Defender for Endpoint API, Advanced hunting). Events of 30 days can be asked for; they
/// come minutes late. Rows carry the time that the query gives them, mostly as `Timestamp`.
pub static SERVICE: Service = Service {
    input: "microsoft_defender_endpoint",
    name: "advanced_hunting",
    aliases: &["advanced_huntuing"],
    function: "endpoint-advanced-hunting",
    query: Query::Hunting { path: "/api/advancedqueries/run" },
    event_time: &["Timestamp"],
    same_by: SameBy::Content,
    window: WindowRule {
        lookback: SignedDuration::from_mins(15),
        retention: SignedDuration::from_hours(30 * 24),
        ..WINDOW
    },
    tag: Tag::Fixed(""),
    rate: HUNTING,
    permission: "AdvancedQuery.Read.All",
    ..Service::PLAIN
};
