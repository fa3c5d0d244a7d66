//! A service is data: one `static` value says which records it pulls, how a window is asked for, where the records go.
//!
//! The run loop, the paging and the tags are interpreters of this declaration; nothing else in the workspace knows a
//! service by name. A family groups the services that share an input of the configuration document, its hosts and its
//! audience (the 26 services and their words: the table in the README).

use jiff::SignedDuration;

use crate::settings::Setting;

/// The services of one input of the configuration document.
#[derive(Debug)]
pub struct Family {
    /// Key of the input in the configuration document, for example `microsoft_graph_audit`.
    pub input: &'static str,
    /// Other spellings of that key. One that several families have is an older input that was split into theirs.
    pub aliases: &'static [&'static str],
    /// What documents for version 1.x of the vendor's collector say in other words.
    pub older: Older,
    /// The clouds this API lives in; the first one is the default.
    pub clouds: &'static [Cloud],
    /// Its services, in the order of the README's table.
    pub services: &'static [&'static Service],
}

/// What only documents for version 1.x of the vendor's collector say; `..Older::NONE` where there is nothing.
#[derive(Debug)]
pub struct Older {
    /// (service, tag): the `override_tag` that the service's `tag_version: v1` stands for.
    pub tags: &'static [(&'static str, &'static str)],
    /// Services that are a part of one of today's.
    pub parts: &'static [Part],
    /// Where a setting of the services may stand.
    pub places: Places,
}

/// Where documents have what is a setting of a service: its start and its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Places {
    /// In the service alone.
    Services,
    /// In the input or its credentials, too: meant for every service that has none of its own.
    Anywhere,
}

impl Older {
    /// Of a family whose documents never had other words.
    pub const NONE: Self = Self { tags: &[], parts: &[], places: Places::Services };
}

/// A service of version 1.x that is a part of one of today's: the records in whose list `member` there is `value`.
#[derive(Debug)]
pub struct Part {
    /// Key of the older service, for example `signIn_nonInteractive`.
    pub name: &'static str,
    /// Key of today's service.
    pub service: &'static str,
    /// The list that tells the parts apart.
    pub member: &'static str,
    /// What it holds in the records of this part.
    pub value: &'static str,
}

/// One national cloud: the hosts that belong together. Tokens of one are refused by the others.
#[derive(Debug)]
pub struct Cloud {
    /// Value of `override_top_level_domain` that selects it, if one does.
    pub top_level_domain: Option<&'static str>,
    /// Root of the API without a trailing slash, for example `https://graph.microsoft.com`.
    pub base_url: &'static str,
    /// Root of the login service without a trailing slash.
    pub login_url: &'static str,
    /// Scope of the token, for example `https://graph.microsoft.com/.default`.
    pub scope: &'static str,
}

/// One collector service: everything that makes it differ from the others.
#[derive(Debug)]
pub struct Service {
    /// Key of its input in the configuration document.
    pub input: &'static str,
    /// Key of the service in the configuration document.
    pub name: &'static str,
    /// Other spellings of that key that existing documents use.
    pub aliases: &'static [&'static str],
    /// The Lambda function's Handler, its part of the state key and the HOST of its syslog frames.
    pub function: &'static str,
    /// How its records are asked for.
    pub query: Query,
    /// Member that holds a record's event time, outermost name first; empty where there is none.
    pub event_time: &'static [&'static str],
    /// Member that is null for as long as the record goes on to change, outermost name first; empty where records have no
    /// such end. Windows reach back to the oldest record that was met without its end.
    pub end_time: &'static [&'static str],
    /// Member that holds a record's id, outermost name first: a string or a number.
    pub id: &'static [&'static str],
    /// Which of its records are the same.
    pub same_by: SameBy,
    /// How its windows are laid.
    pub window: WindowRule,
    /// The Devo tag of a record.
    pub tag: Tag,
    /// How often it is due by default and at the least.
    pub period: Period,
    /// The published request limit.
    pub rate: Rate,
    /// Application permission that the API's 403 asks for, named in the error; empty where none grants it.
    pub permission: &'static str,
    /// What its requests carry as `Authorization`.
    pub authorization: Authorization,
    /// The counts that a document may ask to be added to each record.
    pub enrichments: &'static [Enrichment],
    /// How a record is taken apart into events, where a document asks for that.
    pub flatten: Option<Flatten>,
}

impl Service {
    /// What services have in common that do nothing unusual: the rest of a declaration.
    pub const PLAIN: Self = Self {
        input: "",
        name: "",
        aliases: &[],
        function: "",
        query: Query::FailedContent,
        event_time: &[],
        end_time: &[],
        id: &["id"],
        same_by: SameBy::Content,
        window: WindowRule {
            max: SignedDuration::from_hours(24),
            lookback: SignedDuration::from_hours(1),
            retention: SignedDuration::from_hours(30 * 24),
        },
        tag: Tag::Fixed(""),
        period: Period { default_seconds: 300, minimum_seconds: 60 },
        rate: Rate { requests: 1, seconds: 1, budget: "" },
        permission: "",
        authorization: Authorization::Login,
        enrichments: &[],
        flatten: None,
    };
}

/// What the requests of a service carry as `Authorization`.
#[derive(Debug, Clone, Copy)]
pub enum Authorization {
    /// `Bearer` and a token that a login gives for the application.
    Login,
    /// `Token` and what this setting of the credentials says, as it is: nobody logs in.
    Token(&'static Setting),
}

/// A count of what belongs to a record, asked for with a request of its own.
#[derive(Debug)]
pub struct Enrichment {
    /// The switch in the document that asks for it.
    pub switch: Setting,
    /// The member that holds the count in what is sent, for example `related_files`.
    pub member: &'static str,
    /// Path under the base URL; `{id}` stands for the record's id.
    pub path: &'static str,
    /// Application permission that it needs, named when it is missing.
    pub permission: &'static str,
}

/// How a record is taken apart into events that have no nested members of these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flatten {
    /// The members of one object come into the record, and each element of one array makes an event.
    Members {
        /// Name of the object.
        object: &'static str,
        /// Name of the array; `related_{array}` counts its elements.
        array: &'static str,
    },
    /// The elements of one array are grouped, and each combination of one element of each group makes an event.
    Groups {
        /// Name of the array.
        array: &'static str,
        /// The elements' member that names their group; `related_{group}s` counts them.
        by: &'static str,
    },
}

/// How one window of records is asked for.
#[derive(Debug)]
pub enum Query {
    /// An OData collection: `$filter` on the event time, ascending `$orderby`, pages as `paging` says.
    OData {
        /// Path under the base URL, for example `/v1.0/auditLogs/directoryAudits`.
        path: &'static str,
        /// `$top`; `None` leaves the page size to the API.
        page_size: Option<u32>,
        /// Which comparison operators the endpoint documents for its time field.
        bounds: Bounds,
        /// A filter that is always ANDed, for example the sign-in event types.
        base_filter: Option<&'static str>,
        /// `$expand`: what is nested in a record only when it is asked for.
        expand: Option<&'static str>,
        /// Further request headers as (name, value).
        headers: &'static [(&'static str, &'static str)],
        /// How a page leads to the next one.
        paging: Paging,
        /// The service that takes its place, where Microsoft retires this endpoint: its absence, and that it is empty
        /// whatever is asked, is then no failure.
        successor: Option<&'static str>,
    },
    /// An OData collection of one record a day that comes newest first and takes no filter on its time: the newest days
    /// are asked for, and those outside the window are left out.
    NewestDays {
        /// Path under the base URL.
        path: &'static str,
    },
    /// An OData collection without a time: the whole list, each time.
    Snapshot {
        /// Path under the base URL.
        path: &'static str,
        /// `$top`: the pages are asked for by `$skip`, because a list that is cut by `$top` gives no link; a link is
        /// followed all the same where there is one, with its path and query at the configured host. `None` leaves size and
        /// links to the API.
        page_size: Option<u32>,
    },
    /// A list of Defender for Cloud Apps: filters, place and size of a page are posted as JSON, and each answer says whether
    /// there is more.
    FilteredList {
        /// Path under the base URL, with the slash at its end, for example `/api/v1/activities/`.
        path: &'static str,
        /// The filters on a time, in epoch milliseconds. A window is asked for by each of them, one after the other; where
        /// there is none, the whole list is read each time.
        times: &'static [&'static str],
        /// `limit`: rows of a page.
        page_size: u32,
        /// How a list of several pages is read.
        reading: Reading,
    },
    /// The operator's own queries (advanced hunting), each posted with its own period, tag and position. Those that name
    /// the ends of a window (`{from}` and `{to}`) are asked window by window, the others as a snapshot.
    Hunting {
        /// Path under the base URL.
        path: &'static str,
    },
    /// A content feed of the Office 365 Management Activity API: the listing pages of a window name content blobs, and
    /// each blob is an array of records. Windows lie on `contentCreated`, the instant at which a blob became available.
    Content {
        /// `contentType`, for example `Audit.Exchange`.
        content_type: &'static str,
    },
    /// The content URIs that failed in the content feeds of the same input: no listing of its own, each feed's queue is
    /// worked off under that feed's lease and record memory.
    FailedContent,
}

impl Query {
    /// Whether there is no window and no page to ask for.
    pub fn has_no_listing(&self) -> bool {
        matches!(self, Self::FailedContent)
    }

    /// Whether the whole list is read each time, so that there is no window of event time.
    pub fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot { .. } | Self::FilteredList { times: [], .. })
    }

    /// Whether it is the operator's own queries.
    pub fn is_hunting(&self) -> bool {
        matches!(self, Self::Hunting { .. })
    }

    /// Whether it is asked for by windows of time, so that those of the past can be asked for again. Of the operator's own
    /// queries some may be and others not.
    pub fn has_windows(&self) -> bool {
        !self.has_no_listing() && !self.is_snapshot()
    }

    /// Whether the records of a window come in the order of their time, as far as the API is asked for one.
    pub fn is_in_order(&self) -> bool {
        !matches!(self, Self::FilteredList { .. } | Self::OData { paging: Paging::Slices, .. })
    }

    /// Whether positions are instants at which content became available, and not the records' own times.
    pub fn is_content(&self) -> bool {
        matches!(self, Self::Content { .. })
    }
}

/// How a page of an OData collection leads to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// By `@odata.nextLink`, until there is none.
    Links,
    /// By time: from the last record's instant on, inclusive, is asked anew until nothing later comes. The API's links
    /// count rows (`$skip`) and end before a long list does; they are followed only where a whole page has one instant.
    MovingBoundary,
    /// By time as well, where the API sorts nothing: a window that does not fit one page is asked for in halves, and
    /// only a second that does not is read by `$skip`. So a record that changes while the window is read cannot move another
    /// one out of sight. Paths and queries of links are followed at the configured host.
    Slices,
}

/// How a list of Defender for Cloud Apps that has several pages is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// By `skip`, which leads no further than some thousand rows: a window that has more than one page is asked for in
    /// parts. A list without a time is read by `skip` alone.
    Pages,
    /// In scan mode: each answer gives the filters (`nextQueryFilters`) that lead to the next one.
    Scan,
}

/// Which records are the same. Enriched members and those that the collector adds are never compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameBy {
    /// Those whose whole content is: each is delivered once.
    Content,
    /// A record is compared with the version of its id that was delivered last: one that changes back is delivered
    /// again. A record without an id is compared by its content.
    LastVersion {
        /// A member of the record that is left out of the comparison.
        ignoring: Option<&'static str>,
    },
}

/// The comparison operators that an endpoint documents for its time field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// `ge` and `le`.
    Inclusive,
    /// `gt` and `lt` only: both ends are widened by a second, so that ties at the ends are inside.
    Exclusive,
}

/// How the windows of a service are laid. All values are lengths of time.
#[derive(Debug)]
pub struct WindowRule {
    /// Longest window of one query; catching up is many of them.
    pub max: SignedDuration,
    /// How far the first window of a cycle reaches back behind the newest record, for late arrivals.
    pub lookback: SignedDuration,
    /// How long the API keeps records.
    pub retention: SignedDuration,
}

/// Where a record goes in Devo. `{env}` stands for the input's environment.
#[derive(Debug)]
pub enum Tag {
    /// The same tag for every record.
    Fixed(&'static str),
    /// The tag depends on a member of the record: a string, or an array of strings whose first known one counts.
    ByField {
        /// The member, outermost name first.
        field: &'static [&'static str],
        /// (value, tag), compared without regard to case.
        routes: &'static [(&'static str, &'static str)],
        /// Tag of a record without a known value.
        otherwise: &'static str,
    },
    /// The last level of the tag is a member of the record, in lower case and without anything outside `[a-z0-9]`.
    Suffixed {
        /// The tag up to that level, with its last dot.
        prefix: &'static str,
        /// The member, outermost name first.
        field: &'static [&'static str],
        /// The last level for a record without a usable value.
        otherwise: &'static str,
    },
}

/// How often a service is due, in seconds.
#[derive(Debug)]
pub struct Period {
    /// `request_period_in_seconds` when the document has none.
    pub default_seconds: u32,
    /// Below this the document is refused.
    pub minimum_seconds: u32,
}

/// A request limit that the API publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// That many requests …
    pub requests: u32,
    /// … in that many seconds.
    pub seconds: u32,
    /// Services that name the same budget share it: the limit is divided by the enabled ones among them.
    pub budget: &'static str,
}
