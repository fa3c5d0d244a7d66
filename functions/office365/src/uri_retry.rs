//! Content that could not be had when it was listed.

use collector::service::{Query, Service};

use crate::FEED;

/// The retry queue of the five feeds: each URI is tried again, more and more rarely, until its content expires.
pub static SERVICE: Service = Service {
    name: "uri_retry",
    function: "office365-uri-retry",
    query: Query::FailedContent,
    permission: "ActivityFeed.Read",
    ..FEED
};
