//! Entra ID as the audit log sees it: sign-ins, changes of users, groups and roles.

use collector::service::{Query, Service};

use crate::FEED;

/// Content type `Audit.AzureActiveDirectory` (Office 365 Management Activity API, Working with the API).
pub static SERVICE: Service = Service {
    name: "azure_active_directory",
    function: "office365-azure-active-directory",
    query: Query::Content { content_type: "Audit.AzureActiveDirectory" },
    permission: "ActivityFeed.Read",
    ..FEED
};
