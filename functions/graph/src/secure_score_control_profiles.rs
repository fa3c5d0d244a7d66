//! Secure score control profiles: what could be done for a better score.

use collector::service::{Period, Query, SameBy, Service, Tag};

use crate::{SECURITY_EVENTS, SECURITY_LOGS, WINDOW};

/// `GET /v1.0/security/secureScoreControlProfiles` (Graph, List secureScoreControlProfiles): the whole list, which has no
/// usable time.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_security",
    name: "secure_score_control_profiles",
    aliases: &["secure_score_control_profile"],
    function: "graph-secure-score-control-profiles",
    query: Query::Snapshot { path: "/v1.0/security/secureScoreControlProfiles", page_size: None },
    event_time: &[],
    same_by: SameBy::LastVersion { ignoring: None },
    window: WINDOW,
    tag: Tag::Fixed("cloud.office365.security.scorecontrol.{env}.msgraph"),
    period: Period { default_seconds: 86_400, minimum_seconds: 60 },
    rate: SECURITY_LOGS,
    permission: SECURITY_EVENTS,
    ..Service::PLAIN
};
