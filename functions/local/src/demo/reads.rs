//! What a service of the demo reads of the simulated tenant.

use collector::service::{Query, Service};
use simulator::tenant::{ContentType, DefenderList, Endpoint};

use super::lists::List;

/// The table of advanced hunting that is asked for.
pub const TABLE: &str = "DeviceProcessEvents";

/// The list whose records come with a count.
pub const COUNTED: List = List::Endpoint(DefenderList::Alerts);

/// Records at the most that cost a request each.
const MOST_COUNTED: u32 = 400;

/// Records at the most of a list that is counted through: the API leads no further than 5,000 rows.
const MOST_COUNTED_THROUGH: u32 = 4_000;

/// What a service of the demo reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A collection of Graph.
    Collection(Endpoint),
    /// A collection of one record a day.
    Days(Endpoint),
    /// A content feed of the Management Activity API.
    Feed(ContentType),
    /// A list of Defender for Endpoint or of Defender for Cloud Apps.
    List(List),
    /// A table of advanced hunting.
    Table(&'static str),
    /// The content that failed in the feeds of the same input.
    Queue,
}

impl Reads {
    /// What this service reads of the simulated tenant.
    ///
    /// # Errors
    /// A sentence that names what the tenant does not serve.
    pub fn of(service: &Service) -> Result<Self, String> {
        let (found, asked) = match &service.query {
            Query::OData { path, .. } | Query::Snapshot { path, .. } | Query::FilteredList { path, .. } => {
                let list = List::all().find(|list| list.path() == *path).map(Self::List);
                (served(path).map(Self::Collection).or(list), *path)
            }
            Query::Hunting { .. } => return Ok(Self::Table(TABLE)),
            Query::NewestDays { path } => (served(path).map(Self::Days), *path),
            Query::Content { content_type } => {
                let feed = ContentType::ALL.into_iter().find(|feed| feed.name() == *content_type);
                (feed.map(Self::Feed), *content_type)
            }
            Query::FailedContent => return Ok(Self::Queue),
        };
        let function = service.function;
        found.ok_or_else(|| format!("the simulated tenant does not serve {asked}, which {function} reads"))
    }

    /// How many records it has at the most, whatever is asked for.
    pub fn most(self) -> u32 {
        match self {
            Self::List(COUNTED) => MOST_COUNTED,
            Self::List(list) if list.is_counted_through() => MOST_COUNTED_THROUGH,
            _ => u32::MAX,
        }
    }
}

fn served(path: &str) -> Option<Endpoint> {
    Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
}
