//! What the audit logs let a caller filter on.
//!
//! The tables name the properties and operators of Microsoft's resource pages, above all those of the time
//! property: directoryAudits `eq ge le`, signIns `eq le ge`, provisioning `eq contains gt lt` (List pages of Graph
//! v1.0 and beta).

use super::property::{Kind, Operator, Property};

const EQUALITY: &[Operator] = &[Operator::Eq, Operator::Ne];
const EQUALITY_AND_START: &[Operator] = &[Operator::Eq, Operator::Ne, Operator::StartsWith];
const PROVISIONING_OPERATORS: &[Operator] = &[Operator::Eq, Operator::Contains, Operator::Gt, Operator::Lt];

const fn text(path: &'static str) -> Property {
    Property { path, kind: Kind::Text, operators: EQUALITY }
}

const fn text_with_start(path: &'static str) -> Property {
    Property { path, kind: Kind::Text, operators: EQUALITY_AND_START }
}

const fn provisioning_text(path: &'static str) -> Property {
    Property { path, kind: Kind::Text, operators: PROVISIONING_OPERATORS }
}

const fn list(path: &'static str, kind: Kind) -> Property {
    Property { path, kind, operators: EQUALITY }
}

pub(super) const DIRECTORY_AUDITS: &[Property] = &[
    Property {
        path: "activityDateTime",
        kind: Kind::EventTime,
        operators: &[Operator::Eq, Operator::Ge, Operator::Le],
    },
    text_with_start("activityDisplayName"),
    text("category"),
    text("correlationId"),
    text("id"),
    text("loggedByService"),
    text("operationType"),
    text("result"),
    text("initiatedBy/user/id"),
    text("initiatedBy/user/displayName"),
    text("initiatedBy/user/ipAddress"),
    text_with_start("initiatedBy/user/userPrincipalName"),
    text("initiatedBy/app/appId"),
    text("initiatedBy/app/displayName"),
    text("initiatedBy/app/servicePrincipalId"),
    list("targetResources", Kind::ObjectList),
    text("targetResources/id"),
    text("targetResources/type"),
    text_with_start("targetResources/displayName"),
    text_with_start("targetResources/userPrincipalName"),
];

pub(super) const SIGN_INS: &[Property] = &[
    Property {
        path: "createdDateTime",
        kind: Kind::EventTime,
        operators: &[Operator::Eq, Operator::Le, Operator::Ge],
    },
    text("id"),
    text("correlationId"),
    text("appId"),
    text_with_start("appDisplayName"),
    text("clientAppUsed"),
    text("conditionalAccessStatus"),
    text_with_start("deviceDetail/browser"),
    text_with_start("deviceDetail/operatingSystem"),
    text_with_start("ipAddress"),
    Property { path: "isInteractive", kind: Kind::Flag, operators: EQUALITY },
    text_with_start("location/city"),
    text_with_start("location/state"),
    text_with_start("location/countryOrRegion"),
    text("resourceDisplayName"),
    text("resourceId"),
    text("riskDetail"),
    text("riskLevelAggregated"),
    text("riskLevelDuringSignIn"),
    text("riskState"),
    list("riskEventTypes_v2", Kind::TextList),
    Property { path: "status/errorCode", kind: Kind::Number, operators: EQUALITY },
    text_with_start("userDisplayName"),
    text_with_start("userPrincipalName"),
    text("userId"),
];

pub(super) const SIGN_INS_BETA: &[Property] = &[
    list("signInEventTypes", Kind::TextList),
    text("authenticationRequirement"),
    text("crossTenantAccessType"),
    text("homeTenantId"),
    text("resourceTenantId"),
    text("servicePrincipalId"),
    text_with_start("servicePrincipalName"),
    text("tokenIssuerType"),
    text("uniqueTokenIdentifier"),
    text_with_start("userAgent"),
    text("userType"),
];

pub(super) const PROVISIONING: &[Property] = &[
    Property { path: "activityDateTime", kind: Kind::EventTime, operators: PROVISIONING_OPERATORS },
    provisioning_text("id"),
    provisioning_text("tenantId"),
    provisioning_text("jobId"),
    provisioning_text("cycleId"),
    provisioning_text("changeId"),
    provisioning_text("provisioningAction"),
    Property {
        path: "durationInMilliseconds",
        kind: Kind::Number,
        operators: &[Operator::Eq, Operator::Gt, Operator::Lt],
    },
    provisioning_text("provisioningStatusInfo/status"),
    provisioning_text("servicePrincipal/id"),
    provisioning_text("servicePrincipal/displayName"),
    provisioning_text("sourceIdentity/id"),
    provisioning_text("sourceIdentity/displayName"),
    provisioning_text("sourceSystem/id"),
    provisioning_text("sourceSystem/displayName"),
    provisioning_text("targetIdentity/id"),
    provisioning_text("targetIdentity/displayName"),
    provisioning_text("targetSystem/id"),
    provisioning_text("targetSystem/displayName"),
    provisioning_text("initiatedBy/displayName"),
];
