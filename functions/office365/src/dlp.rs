//! Data loss prevention: rule matches of all workloads.

use collector::service::{Query, Service};

use crate::FEED;

/// Content type `DLP.All` (Office 365 Management Activity API, Working with the API).
pub static SERVICE: Service = Service {
    name: "dlp",
    function: "office365-dlp",
    query: Query::Content { content_type: "DLP.All" },
    permission: "ActivityFeed.ReadDlp",
    ..FEED
};
