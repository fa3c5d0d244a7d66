//! Sign-ins, second version: of users, interactive and not, of service principals and of managed identities.

use collector::service::{Bounds, Paging, Part, Period, Query, SameBy, Service, Tag};

use crate::{AUDIT_LOGS, SIGN_IN_WINDOW};

/// `GET /beta/auditLogs/signIns` (Graph beta, List signIns). Without the filter it gives interactive ones only; without
/// the header, newer members of its enumerations come as `unknownFutureValue`.
pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "signIns_v2",
    aliases: &[],
    function: "graph-sign-ins-v2",
    query: Query::OData {
        path: "/beta/auditLogs/signIns",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: Some(
            "signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'nonInteractiveUser' or t eq 'servicePrincipal' \
             or t eq 'managedIdentity' or t eq 'unknownFutureValue')",
        ),
        expand: None,
        headers: &[("Prefer", "include-unknown-enum-members")],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: SIGN_IN_WINDOW,
    tag: Tag::ByField {
        field: &["signInEventTypes"],
        routes: &[
            ("interactiveUser", "cloud.azure.ad.interactive_user_signin.{env}.msgraph"),
            ("nonInteractiveUser", "cloud.azure.ad.noninteractive_user_signin.{env}.msgraph"),
            ("managedIdentity", "cloud.azure.ad.managed_identity_signin.{env}.msgraph"),
            ("servicePrincipal", "cloud.azure.ad.service_principal_signin.{env}.msgraph"),
        ],
        otherwise: "cloud.azure.ad.unknown_future_value_signin.{env}.msgraph",
    },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: AUDIT_LOGS,
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};

/// A service of version 1.x that had one type of sign-in.
pub const fn part(name: &'static str, event_type: &'static str) -> Part {
    Part { name, service: SERVICE.name, member: "signInEventTypes", value: event_type }
}
