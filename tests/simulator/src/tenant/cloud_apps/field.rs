//! The filters that the pages of the API name, list by list: what type each has, which operators it takes, and which
//! members of a record it looks at.
//!
//! A path goes through arrays by itself and through all members of an object with `*`. Instants are not in these
//! tables: every filter on a time takes the same operators.

use super::list::CloudAppsList;

/// What a filter asks of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Neq,
    Gt,
    Gte,
    Lt,
    Lte,
    Range,
    GteDays,
    LteDays,
    IsSet,
    IsNotSet,
    Contains,
    ContainsNot,
    StartsWith,
    StartsNotWith,
    EndsWith,
}

impl Operator {
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "neq" => Self::Neq,
            "gt" => Self::Gt,
            "gte" => Self::Gte,
            "lt" => Self::Lt,
            "lte" => Self::Lte,
            "range" => Self::Range,
            "gte_ndays" => Self::GteDays,
            "lte_ndays" => Self::LteDays,
            "isset" => Self::IsSet,
            "isnotset" => Self::IsNotSet,
            "contains" => Self::Contains,
            "ncontains" => Self::ContainsNot,
            "startswith" => Self::StartsWith,
            "doesnotstartwith" => Self::StartsNotWith,
            "endswith" => Self::EndsWith,
            _ => return None,
        })
    }
}

/// The type of a filter's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Boolean,
    /// A boolean that is true of records whose number at the path is this one.
    NumberIs(i64),
    /// `{"id": …, "saas": …, "inst": …}`; the id counts.
    EntityKey,
}

/// One filter.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) operators: &'static [Operator],
    pub(super) paths: &'static [&'static str],
}

/// The filter of that name, if the list has it.
pub(super) fn field_of(list: CloudAppsList, name: &str) -> Option<&'static Field> {
    let fields = match list {
        CloudAppsList::Activities => ACTIVITIES,
        CloudAppsList::Alerts => ALERTS,
        CloudAppsList::Entities => ENTITIES,
        CloudAppsList::Subnet => SUBNET,
        CloudAppsList::Files => FILES,
    };
    fields.iter().find(|field| field.name == name)
}

const EQUAL: &[Operator] = &[Operator::Eq, Operator::Neq];
const ONLY_EQUAL: &[Operator] = &[Operator::Eq];
const SET: &[Operator] = &[Operator::Eq, Operator::Neq, Operator::IsSet, Operator::IsNotSet];
const STARTING: &[Operator] = &[
    Operator::Eq,
    Operator::Neq,
    Operator::IsSet,
    Operator::IsNotSet,
    Operator::StartsWith,
    Operator::StartsNotWith,
];
const CONTAINING: &[Operator] = &[Operator::Contains, Operator::ContainsNot];
const CONTAINED: &[Operator] =
    &[Operator::Eq, Operator::Neq, Operator::IsSet, Operator::IsNotSet, Operator::Contains];
const ENDING: &[Operator] = &[Operator::Eq, Operator::StartsWith, Operator::EndsWith];

const fn field(
    name: &'static str,
    kind: Kind,
    operators: &'static [Operator],
    paths: &'static [&'static str],
) -> Field {
    Field { name, kind, operators, paths }
}

const ACTIVITIES: &[Field] = &[
    field("service", Kind::Integer, EQUAL, &["appId"]),
    field("instance", Kind::Integer, EQUAL, &["instanceId", "resolvedActor.instanceId"]),
    field("user.orgUnit", Kind::Text, SET, &["user.orgUnit"]),
    field("user.username", Kind::Text, STARTING, &["user.userName"]),
    field("user.tags", Kind::Text, STARTING, &["user.userTags"]),
    field("user.domain", Kind::Text, SET, &["user.domain"]),
    field("activity.eventType", Kind::Text, EQUAL, &["eventTypeValue", "eventTypeName"]),
    field("activity.id", Kind::Text, ONLY_EQUAL, &["_id"]),
    field("activity.impersonated", Kind::Boolean, ONLY_EQUAL, &["impersonated"]),
    field("activity.type", Kind::Boolean, ONLY_EQUAL, &["adminEvent"]),
    field("activity.takenAction", Kind::Text, EQUAL, &["takenAction"]),
    field("activity.alertId", Kind::Text, ONLY_EQUAL, &["alertIds"]),
    field("activity.azureSubscriptions", Kind::Text, EQUAL, &["azureSubscriptions"]),
    field("activityObject", Kind::Text, EQUAL, &["mainInfo.eventObjects.id"]),
    field("device.type", Kind::Text, EQUAL, &["userAgent.deviceType"]),
    field("device.tags", Kind::Text, EQUAL, &["device.tags"]),
    field("userAgent.userAgent", Kind::Text, CONTAINING, &["device.userAgent"]),
    field("userAgent.tags", Kind::Text, EQUAL, &["userAgent.tags"]),
    field("location.country", Kind::Text, SET, &["location.countryCode"]),
    field("location.organizations", Kind::Text, CONTAINED, &["location.organizationSearchable"]),
    field("ip.address", Kind::Text, STARTING, &["device.clientIP"]),
    field("ip.category", Kind::Integer, EQUAL, &["location.category"]),
    field("ip.tags", Kind::Text, EQUAL, &["device.ipTags"]),
    field("office365url", Kind::Text, ENDING, &["rawDataJson.ObjectId"]),
    field("fileId", Kind::Text, ONLY_EQUAL, &["mainInfo.eventObjects.id"]),
    field("fileSelector", Kind::Text, EQUAL, &["mainInfo.eventObjects.id"]),
    field("fileLabels", Kind::Text, EQUAL, &["fileLabels"]),
    field("text", Kind::Text, ONLY_EQUAL, &["description"]),
    field("policy", Kind::Text, SET, &["policies"]),
    field("source", Kind::Integer, EQUAL, &["source"]),
    field("entity", Kind::EntityKey, SET, &["entityData.*.id.id"]),
];

const ALERTS: &[Field] = &[
    field("entity.entity", Kind::EntityKey, EQUAL, &["entities.id"]),
    field("entity.ip", Kind::Text, EQUAL, &["entities.id"]),
    field("entity.service", Kind::Integer, EQUAL, &["entities.id"]),
    field("entity.instance", Kind::Integer, EQUAL, &["entities.inst"]),
    field("entity.policy", Kind::Text, EQUAL, &["entities.id", "policy.id"]),
    field("entity.file", Kind::Text, EQUAL, &["entities.id"]),
    field("alertOpen", Kind::NumberIs(0), ONLY_EQUAL, &["resolutionStatusValue"]),
    field("severity", Kind::Integer, EQUAL, &["severityValue"]),
    field("resolutionStatus", Kind::Integer, EQUAL, &["resolutionStatusValue"]),
    field("read", Kind::NumberIs(1), ONLY_EQUAL, &["statusValue"]),
    field("risk", Kind::Integer, EQUAL, &["threatScore"]),
    field("alertType", Kind::Integer, EQUAL, &["idValue"]),
    field("ID", Kind::Text, EQUAL, &["_id"]),
    field("source", Kind::Text, ONLY_EQUAL, &["source"]),
];

const ENTITIES: &[Field] = &[
    field("type", Kind::Integer, EQUAL, &["type"]),
    field("isAdmin", Kind::Boolean, ONLY_EQUAL, &["isAdmin"]),
    field("entity", Kind::EntityKey, EQUAL, &["id"]),
    field("userGroups", Kind::Text, EQUAL, &["userGroups.id", "userGroups._id"]),
    field("app", Kind::Integer, EQUAL, &["appData.appId"]),
    field("instance", Kind::Integer, EQUAL, &["appData.instance"]),
    field("isExternal", Kind::Boolean, ONLY_EQUAL, &["isExternal"]),
    field("domain", Kind::Text, SET, &["domain"]),
    field("organization", Kind::Text, SET, &["organization"]),
    field("status", Kind::Integer, EQUAL, &["status"]),
];

const SUBNET: &[Field] = &[
    field("category", Kind::Integer, EQUAL, &["category"]),
    field("tags", Kind::Text, EQUAL, &["tags.id", "tags._id"]),
    field("builtIn", Kind::Boolean, ONLY_EQUAL, &["builtIn"]),
];

const FILES: &[Field] = &[
    field("service", Kind::Integer, EQUAL, &["appId"]),
    field("instance", Kind::Integer, EQUAL, &["instId"]),
    field("fileType", Kind::Integer, EQUAL, &["fileType"]),
    field("allowDeleted", Kind::Boolean, ONLY_EQUAL, &["allowDeleted"]),
    field("policy", Kind::Text, SET, &["policies"]),
    field("filename", Kind::Text, ONLY_EQUAL, &["name"]),
    field("collaborators.entity", Kind::EntityKey, EQUAL, &["collaborators.id"]),
    field("collaborators.domains", Kind::Text, EQUAL, &["collaborators.domain"]),
    field("collaborators.groups", Kind::Text, EQUAL, &["groups"]),
    field("collaborators.withDomain", Kind::Text, EQUAL, &["collaborators.domain"]),
    field("owner.entity", Kind::EntityKey, EQUAL, &["ownerId"]),
    field("owner.orgUnit", Kind::Text, EQUAL, &["ownerOrgUnit"]),
    field("sharing", Kind::Integer, EQUAL, &["fileAccessLevel"]),
    field("fileId", Kind::Text, EQUAL, &["_id"]),
    field("fileLabels", Kind::Text, SET, &["fTags"]),
    field("fileScanLabels", Kind::Text, SET, &["dlpScanResults"]),
    field("extension", Kind::Text, EQUAL, &["fileExtension"]),
    field("mimeType", Kind::Text, EQUAL, &["mimeType"]),
    field("trashed", Kind::NumberIs(1), ONLY_EQUAL, &["fileStatus"]),
    field("parentFolder", Kind::Text, EQUAL, &["parentIds"]),
    field("folder", Kind::Boolean, ONLY_EQUAL, &["isFolder"]),
    field("quarantined", Kind::NumberIs(2), ONLY_EQUAL, &["fileStatus"]),
];
