//! Paths of the feeds: `/api/v1.0/{tenant}/activity/feed/…`, with `/api/v1/` accepted for it.

use super::ContentType;
use crate::tenant::log::unescaped;

/// What a call asks of the feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeedCall {
    /// `subscriptions/list`
    Subscriptions,
    /// `subscriptions/start`
    Start(ContentType),
    /// `subscriptions/stop`
    Stop(ContentType),
    /// `subscriptions/content`, first and next pages
    Listing(ContentType),
    /// `audit/{contentId}`
    Blob(ContentType),
    /// Anything else under the feeds' path: another operation, an unknown content type or content id.
    Other,
}

impl FeedCall {
    /// The feed it is about.
    pub fn content_type(self) -> Option<ContentType> {
        match self {
            Self::Start(content_type)
            | Self::Stop(content_type)
            | Self::Listing(content_type)
            | Self::Blob(content_type) => Some(content_type),
            Self::Subscriptions | Self::Other => None,
        }
    }
}

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FeedPath {
    pub(super) tenant: String,
    pub(super) operation: Operation,
}

/// The part behind `feed/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation {
    List,
    Start,
    Stop,
    Content,
    Blob { content_id: String },
    Unknown,
}

impl FeedPath {
    /// Takes a path apart; `None`: it is none of the feeds'. Case does not matter, but in content ids it does.
    pub(super) fn of(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix('/')?.splitn(6, '/');
        let mut is_next = |names: &[&str]| {
            segments.next().is_some_and(|segment| names.iter().any(|name| segment.eq_ignore_ascii_case(name)))
        };
        if !is_next(&["api"]) || !is_next(&["v1.0", "v1"]) {
            return None;
        }
        let tenant = segments.next()?.to_owned();
        let is_feed = segments.next()?.eq_ignore_ascii_case("activity")
            && segments.next()?.eq_ignore_ascii_case("feed");
        is_feed.then(|| Self { tenant, operation: Operation::of(segments.next().unwrap_or_default()) })
    }
}

impl Operation {
    fn of(rest: &str) -> Self {
        match rest.to_ascii_lowercase().as_str() {
            "subscriptions/list" => Self::List,
            "subscriptions/start" => Self::Start,
            "subscriptions/stop" => Self::Stop,
            "subscriptions/content" => Self::Content,
            lowered if lowered.starts_with("audit/") => {
                Self::Blob { content_id: unescaped(rest.get("audit/".len()..).unwrap_or_default()) }
            }
            _ => Self::Unknown,
        }
    }
}

/// The option of that name, whatever its case.
pub(super) fn option<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// The PublisherIdentifier of a call; one of all zeros is none.
pub(super) fn publisher(query: &[(String, String)]) -> Option<&str> {
    let given = option(query, "PublisherIdentifier")?;
    given.bytes().any(|byte| !matches!(byte, b'0' | b'-')).then_some(given)
}
