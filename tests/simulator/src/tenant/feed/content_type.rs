//! The five feeds of the Management Activity API, as its reference names them.

use std::fmt;

/// One feed. Each is subscribed to by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentType {
    /// `Audit.AzureActiveDirectory`
    AzureActiveDirectory,
    /// `Audit.SharePoint`, OneDrive too
    SharePoint,
    /// `Audit.Exchange`
    Exchange,
    /// `Audit.General`: whatever has no feed of its own
    General,
    /// `DLP.All`
    Dlp,
}

impl ContentType {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AzureActiveDirectory, Self::SharePoint, Self::Exchange, Self::General, Self::Dlp];

    /// Its name as a caller gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AzureActiveDirectory => "Audit.AzureActiveDirectory",
            Self::SharePoint => "Audit.SharePoint",
            Self::Exchange => "Audit.Exchange",
            Self::General => "Audit.General",
            Self::Dlp => "DLP.All",
        }
    }

    /// The feed of that name, whatever its case.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|content_type| content_type.name().eq_ignore_ascii_case(name))
    }

    /// Its name as lists of subscriptions have been seen to spell it: only the first letter after the dot is large.
    pub(super) fn other_case(self) -> String {
        let (family, rest) = self.name().split_once('.').unwrap_or((self.name(), ""));
        let mut letters = rest.chars();
        let first: String = letters.next().into_iter().collect();
        format!("{family}.{first}{}", letters.as_str().to_ascii_lowercase())
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
