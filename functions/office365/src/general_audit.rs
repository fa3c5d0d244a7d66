//! Everything that has no feed of its own: Teams, Power BI, Forms, Yammer, the compliance centre.

use collector::service::{Query, Service};

use crate::FEED;

/// Content type `Audit.General` (Office 365 Management Activity API, Working with the API).
pub static SERVICE: Service = Service {
    name: "general_audit",
    function: "office365-general-audit",
    query: Query::Content { content_type: "Audit.General" },
    permission: "ActivityFeed.Read",
    ..FEED
};
