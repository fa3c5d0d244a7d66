//! What belongs to a record: the paths below `/{list}/{id}/`, who may read them, and how many rows each has.
//!
//! The rows are made up from the record's id and the relation alone, so that a test can ask how many there are
//! without knowing anything else.

use super::list::DefenderList;
use crate::records::related_count;

/// One relation of a list's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefenderRelation {
    /// `/api/alerts/{id}/files`
    AlertFiles,
    /// `/api/alerts/{id}/ips`
    AlertIps,
    /// `/api/alerts/{id}/domains`
    AlertDomains,
    /// `/api/alerts/{id}/machine`, one object.
    AlertMachine,
    /// `/api/alerts/{id}/user`, one object.
    AlertUser,
    /// `/api/machines/{id}/logonusers`
    MachineLogonUsers,
    /// `/api/machines/{id}/alerts`
    MachineAlerts,
    /// `/api/machines/{id}/vulnerabilities`
    MachineVulnerabilities,
    /// `/api/machines/{id}/recommendations`
    MachineRecommendations,
    /// `/api/machines/{id}/software`
    MachineSoftware,
    /// `/api/software/{id}/vulnerabilities`
    SoftwareVulnerabilities,
    /// `/api/software/{id}/getmissingkbs`
    SoftwareMissingKbs,
    /// `/api/software/{id}/machineReferences`
    SoftwareMachines,
    /// `/api/software/{id}/distributions`
    SoftwareDistributions,
    /// `/api/vulnerabilities/{id}/machineReferences`
    VulnerabilityMachines,
    /// `/api/recommendations/{id}/software`, one object.
    RecommendationSoftware,
    /// `/api/recommendations/{id}/machineReferences`
    RecommendationMachines,
    /// `/api/recommendations/{id}/vulnerabilities`
    RecommendationVulnerabilities,
}

/// What the rows of a relation are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RelatedKind {
    File,
    Ip,
    Domain,
    Machine,
    User,
    LogonUser,
    Alert,
    Vulnerability,
    Recommendation,
    Software,
    MissingKb,
    Distribution,
    MachineReference,
}

impl DefenderRelation {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::AlertFiles,
        Self::AlertIps,
        Self::AlertDomains,
        Self::AlertMachine,
        Self::AlertUser,
        Self::MachineLogonUsers,
        Self::MachineAlerts,
        Self::MachineVulnerabilities,
        Self::MachineRecommendations,
        Self::MachineSoftware,
        Self::SoftwareVulnerabilities,
        Self::SoftwareMissingKbs,
        Self::SoftwareMachines,
        Self::SoftwareDistributions,
        Self::VulnerabilityMachines,
        Self::RecommendationSoftware,
        Self::RecommendationMachines,
        Self::RecommendationVulnerabilities,
    ];

    /// The list whose records have it.
    pub fn list(self) -> DefenderList {
        match self {
            Self::AlertFiles | Self::AlertIps | Self::AlertDomains | Self::AlertMachine | Self::AlertUser => {
                DefenderList::Alerts
            }
            Self::MachineLogonUsers
            | Self::MachineAlerts
            | Self::MachineVulnerabilities
            | Self::MachineRecommendations
            | Self::MachineSoftware => DefenderList::Machines,
            Self::SoftwareVulnerabilities
            | Self::SoftwareMissingKbs
            | Self::SoftwareMachines
            | Self::SoftwareDistributions => DefenderList::Software,
            Self::VulnerabilityMachines => DefenderList::Vulnerabilities,
            Self::RecommendationSoftware
            | Self::RecommendationMachines
            | Self::RecommendationVulnerabilities => DefenderList::Recommendations,
        }
    }

    /// The last segment of its path. Case does not matter.
    pub fn segment(self) -> &'static str {
        match self {
            Self::AlertFiles => "files",
            Self::AlertIps => "ips",
            Self::AlertDomains => "domains",
            Self::AlertMachine => "machine",
            Self::AlertUser => "user",
            Self::MachineLogonUsers => "logonusers",
            Self::MachineAlerts => "alerts",
            Self::MachineRecommendations => "recommendations",
            Self::MachineSoftware | Self::RecommendationSoftware => "software",
            Self::MachineVulnerabilities
            | Self::SoftwareVulnerabilities
            | Self::RecommendationVulnerabilities => "vulnerabilities",
            Self::SoftwareMissingKbs => "getmissingkbs",
            Self::SoftwareDistributions => "distributions",
            Self::SoftwareMachines | Self::VulnerabilityMachines | Self::RecommendationMachines => {
                "machineReferences"
            }
        }
    }

    /// The permission that reads it.
    pub fn permission(self) -> &'static str {
        match self {
            Self::AlertFiles => "File.Read.All",
            Self::AlertIps => "Ip.Read.All",
            Self::AlertDomains => "Url.Read.All",
            Self::AlertMachine => "Machine.Read.All",
            Self::AlertUser | Self::MachineLogonUsers => "User.Read.All",
            Self::MachineAlerts => "Alert.Read.All",
            Self::MachineRecommendations | Self::RecommendationMachines => "SecurityRecommendation.Read.All",
            Self::MachineVulnerabilities
            | Self::SoftwareVulnerabilities
            | Self::VulnerabilityMachines
            | Self::RecommendationVulnerabilities => "Vulnerability.Read.All",
            Self::MachineSoftware
            | Self::SoftwareMissingKbs
            | Self::SoftwareMachines
            | Self::SoftwareDistributions
            | Self::RecommendationSoftware => "Software.Read.All",
        }
    }

    /// Whether it answers with one object instead of an array.
    pub fn is_one_object(self) -> bool {
        matches!(self, Self::AlertMachine | Self::AlertUser | Self::RecommendationSoftware)
    }

    /// What its rows are.
    pub(crate) fn kind(self) -> RelatedKind {
        match self {
            Self::AlertFiles => RelatedKind::File,
            Self::AlertIps => RelatedKind::Ip,
            Self::AlertDomains => RelatedKind::Domain,
            Self::AlertMachine => RelatedKind::Machine,
            Self::AlertUser => RelatedKind::User,
            Self::MachineLogonUsers => RelatedKind::LogonUser,
            Self::MachineAlerts => RelatedKind::Alert,
            Self::MachineRecommendations => RelatedKind::Recommendation,
            Self::MachineSoftware | Self::RecommendationSoftware => RelatedKind::Software,
            Self::MachineVulnerabilities
            | Self::SoftwareVulnerabilities
            | Self::RecommendationVulnerabilities => RelatedKind::Vulnerability,
            Self::SoftwareMissingKbs => RelatedKind::MissingKb,
            Self::SoftwareDistributions => RelatedKind::Distribution,
            Self::SoftwareMachines | Self::VulnerabilityMachines | Self::RecommendationMachines => {
                RelatedKind::MachineReference
            }
        }
    }

    /// How many rows the record of that id has, if it is there.
    pub(super) fn count(self, id: &str, most: usize) -> usize {
        let count = related_count(self, id, most);
        if self.is_one_object() { count.min(1) } else { count }
    }

    pub(super) fn of_segment(list: DefenderList, segment: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|relation| relation.list() == list && relation.segment().eq_ignore_ascii_case(segment))
    }

    /// What `@odata.context` calls its rows.
    pub(super) fn context(self) -> &'static str {
        match self.kind() {
            RelatedKind::File => "Files",
            RelatedKind::Ip => "Ips",
            RelatedKind::Domain => "Domains",
            RelatedKind::Machine => "Machines/$entity",
            RelatedKind::User => "Users/$entity",
            RelatedKind::LogonUser => "Users",
            RelatedKind::Alert => "Alerts",
            RelatedKind::Vulnerability => "Vulnerabilities",
            RelatedKind::Recommendation => "Recommendations",
            RelatedKind::Software => "Software",
            RelatedKind::MissingKb => "Fixes",
            RelatedKind::Distribution => "Distributions",
            RelatedKind::MachineReference => "MachineReferences",
        }
    }
}
