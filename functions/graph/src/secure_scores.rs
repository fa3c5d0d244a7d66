//! Secure scores: the tenant's score of each day.

use collector::service::{Period, Query, SameBy, Service, Tag, WindowRule};
use jiff::SignedDuration;

use crate::{SECURITY_EVENTS, SECURITY_LOGS};

/// How long the API keeps a day's score.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// `GET /v1.0/security/secureScores` (Graph, List secureScores), newest day first, which takes no filter on its time.
/// Days come late and are revised, so all that are kept are read each time: one page a day.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_security",
    name: "secure_scores",
    aliases: &[],
    function: "graph-secure-scores",
    query: Query::NewestDays { path: "/v1.0/security/secureScores" },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: WindowRule { max: KEPT, lookback: KEPT, retention: KEPT },
    tag: Tag::Fixed("cloud.office365.security.scores.{env}.msgraph"),
    period: Period { default_seconds: 86_400, minimum_seconds: 60 },
    rate: SECURITY_LOGS,
    permission: SECURITY_EVENTS,
    ..Service::PLAIN
};
