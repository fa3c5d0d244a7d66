//! What the security collections let a caller filter on.
//!
//! alerts_v2 has the eight properties of its List page; the legacy alerts take comparisons of their times and of what
//! their providers are asked by. For scores and control profiles only `eq` is shown anywhere, so that nothing else is
//! taken here: nobody shall come to rely on a range that the real service may refuse.

use super::property::{Kind, Operator, Property};

const EQUAL: &[Operator] = &[Operator::Eq];
const EQUALITY: &[Operator] = &[Operator::Eq, Operator::Ne];
const COMPARISON: &[Operator] = &[Operator::Eq, Operator::Ge, Operator::Gt, Operator::Le, Operator::Lt];

const fn property(path: &'static str, kind: Kind, operators: &'static [Operator]) -> Property {
    Property { path, kind, operators }
}

const fn text(path: &'static str) -> Property {
    property(path, Kind::Text, EQUALITY)
}

const fn equal(path: &'static str, kind: Kind) -> Property {
    property(path, kind, EQUAL)
}

pub(super) const ALERTS: &[Property] = &[
    property("createdDateTime", Kind::EventTime, COMPARISON),
    property("eventDateTime", Kind::Instant, COMPARISON),
    property("lastModifiedDateTime", Kind::Instant, COMPARISON),
    property("closedDateTime", Kind::Instant, COMPARISON),
    text("id"),
    text("activityGroupName"),
    text("assignedTo"),
    text("azureSubscriptionId"),
    text("azureTenantId"),
    text("category"),
    text("feedback"),
    text("severity"),
    text("status"),
    text("title"),
    text("vendorInformation/provider"),
    text("vendorInformation/subProvider"),
    text("vendorInformation/vendor"),
    property("hostStates", Kind::ObjectList, EQUALITY),
    text("hostStates/fqdn"),
    text("hostStates/netBiosName"),
    property("userStates", Kind::ObjectList, EQUALITY),
    text("userStates/accountName"),
    text("userStates/userPrincipalName"),
];

pub(super) const ALERTS_V2: &[Property] = &[
    property("lastUpdateDateTime", Kind::EventTime, COMPARISON),
    property("createdDateTime", Kind::Instant, COMPARISON),
    text("assignedTo"),
    text("classification"),
    text("determination"),
    text("serviceSource"),
    text("severity"),
    text("status"),
];

pub(super) const SECURE_SCORES: &[Property] = &[
    equal("createdDateTime", Kind::EventTime),
    equal("id", Kind::Text),
    equal("azureTenantId", Kind::Text),
    equal("activeUserCount", Kind::Number),
    equal("currentScore", Kind::Number),
    equal("licensedUserCount", Kind::Number),
    equal("maxScore", Kind::Number),
    equal("vendorInformation/provider", Kind::Text),
    equal("vendorInformation/vendor", Kind::Text),
];

pub(super) const CONTROL_PROFILES: &[Property] = &[
    equal("id", Kind::Text),
    equal("azureTenantId", Kind::Text),
    equal("actionType", Kind::Text),
    equal("controlCategory", Kind::Text),
    equal("deprecated", Kind::Flag),
    equal("implementationCost", Kind::Text),
    equal("maxScore", Kind::Number),
    equal("rank", Kind::Number),
    equal("service", Kind::Text),
    equal("tier", Kind::Text),
    equal("title", Kind::Text),
    equal("userImpact", Kind::Text),
    equal("vendorInformation/provider", Kind::Text),
    equal("vendorInformation/vendor", Kind::Text),
];
