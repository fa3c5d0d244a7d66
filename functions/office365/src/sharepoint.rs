//! SharePoint and OneDrive: files, sharing, sites.

use collector::service::{Query, Service};

use crate::FEED;

/// Content type `Audit.SharePoint` (Office 365 Management Activity API, Working with the API).
pub static SERVICE: Service = Service {
    name: "sharepoint",
    function: "office365-sharepoint",
    query: Query::Content { content_type: "Audit.SharePoint" },
    permission: "ActivityFeed.Read",
    ..FEED
};
