//! Exchange: mailbox access and administration.

use collector::service::{Query, Service};

use crate::FEED;

/// Content type `Audit.Exchange` (Office 365 Management Activity API, Working with the API).
pub static SERVICE: Service = Service {
    name: "exchange",
    function: "office365-exchange",
    query: Query::Content { content_type: "Audit.Exchange" },
    permission: "ActivityFeed.Read",
    ..FEED
};
