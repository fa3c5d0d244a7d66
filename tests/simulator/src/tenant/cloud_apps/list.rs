//! The lists of Defender for Cloud Apps: where each is found, which instants its records have, and who may read it.
//!
//! Every path ends in a slash; `/cas` may stand before it. A record's place in time is the first of its list's instants;
//! the inventories have none and lie where they were emitted.

/// One list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloudAppsList {
    /// `/api/v1/activities/`
    Activities,
    /// `/api/v1/alerts/`
    Alerts,
    /// `/api/v1/entities/`
    Entities,
    /// `/api/v1/subnet/`, the ranges of IP addresses.
    Subnet,
    /// `/api/v1/files/`
    Files,
}

/// An instant that a record has, and the filter that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instant {
    pub(super) filter: &'static str,
    pub(super) member: &'static str,
}

/// The most instants that a record has.
pub(super) const INSTANTS: usize = 3;

const fn instant(filter: &'static str, member: &'static str) -> Instant {
    Instant { filter, member }
}

impl CloudAppsList {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Activities, Self::Alerts, Self::Entities, Self::Subnet, Self::Files];

    /// Path under the host, with its slash at the end.
    pub fn path(self) -> &'static str {
        match self {
            Self::Activities => "/api/v1/activities/",
            Self::Alerts => "/api/v1/alerts/",
            Self::Entities => "/api/v1/entities/",
            Self::Subnet => "/api/v1/subnet/",
            Self::Files => "/api/v1/files/",
        }
    }

    /// The member that holds a record's place in time; `None`: it is where it was emitted.
    pub fn time_member(self) -> Option<&'static str> {
        self.instants().first().map(|instant| instant.member)
    }

    /// The instants that a record has, its place in time first.
    pub(super) fn instants(self) -> &'static [Instant] {
        match self {
            Self::Activities => const { &[instant("created", "created"), instant("date", "timestamp")] },
            Self::Alerts => {
                const { &[instant("date", "timestamp"), instant("resolutionDate", "resolveTime")] }
            }
            Self::Files => {
                const {
                    &[
                        instant("modifiedDate", "modifiedDate"),
                        instant("createdDate", "createdDate"),
                        instant("snapshotLastModifiedDate", "snapshotLastModifiedDate"),
                    ]
                }
            }
            Self::Entities | Self::Subnet => &[],
        }
    }

    /// The roles any of which reads it. Files have none: no role is documented for them.
    pub(super) fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Activities | Self::Alerts | Self::Entities => &["Investigation.read"],
            Self::Subnet => &["Investigation.read", "Settings.read"],
            Self::Files => &[],
        }
    }
}

/// Whether a path has the slash that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slash {
    There,
    Missing,
}

/// The list of a path, and whether its slash is there. Case matters.
pub(super) fn list_of(path: &str) -> Option<(CloudAppsList, Slash)> {
    let bare = path.strip_prefix("/cas").unwrap_or(path);
    CloudAppsList::ALL.into_iter().find_map(|list| {
        let slash = match bare {
            _ if bare == list.path() => Slash::There,
            _ if bare == list.path().trim_end_matches('/') => Slash::Missing,
            _ => return None,
        };
        Some((list, slash))
    })
}
