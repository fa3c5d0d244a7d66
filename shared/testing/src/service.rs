//! A service and settings for tests of the core.

use collector::run::Invocation;
use collector::service::{Bounds, Paging, Period, Query, Rate, Reading, SameBy, Service, Tag, WindowRule};
use collector::settings::{
    Connection, Credential, MemoryLimits, OlderStart, RequestRate, Settings, SnapshotMode,
};
use collector::story::Identity;
use jiff::{SignedDuration, Timestamp};

/// A time-based service: event time in `time`, tag by `kind`.
pub static SERVICE: Service = THINGS;

/// What services of records with a time have in common.
pub(crate) const THINGS: Service = Service {
    input: "test_input",
    name: "things",
    aliases: &[],
    function: "test-things",
    query: Query::OData {
        path: "/v1.0/things",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        expand: None,
        headers: &[],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["time"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(30 * 24),
    },
    tag: Tag::ByField {
        field: &["kind"],
        routes: &[("red", "my.app.red.{env}"), ("Blue", "my.app.blue.{env}")],
        otherwise: "my.app.other.{env}",
    },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 5, seconds: 10, budget: "things" },
    permission: "Things.Read.All",
    ..Service::PLAIN
};

/// Its settings, as a document without options gives them.
pub fn settings() -> Settings {
    Settings {
        service: &SERVICE,
        input_id: "ab123".to_owned(),
        environment: Some("prod".to_owned()),
        enabled: true,
        connection: Connection {
            base_url: "http://127.0.0.1:1".to_owned(),
            login_url: "http://127.0.0.1:1".to_owned(),
            scope: "https://things.test/.default".to_owned(),
            tenant_id: "tenant".to_owned(),
            client_id: "client".to_owned(),
            credential: Credential::Secret("secret".into()),
            publisher: "tenant".to_owned(),
        },
        request_period: SignedDuration::from_secs(300),
        start_time: None,
        older_start: OlderStart::default(),
        additional_filter: None,
        override_tag: None,
        window_max: SERVICE.window.max,
        lookback: SERVICE.window.lookback,
        late_sweep_period: SignedDuration::ZERO,
        late_sweep_range: SignedDuration::ZERO,
        snapshot_mode: Default::default(),
        obfuscation: Vec::new(),
        rate: RequestRate { requests: 1_000_000, per: SignedDuration::from_secs(1) },
        memory: None,
        enrichments: Vec::new(),
        flatten: None,
        queries: Vec::new(),
        feeds: Vec::new(),
    }
}

/// Alerts that change: the time of change is the event time, and alone makes no new version.
pub static ALERTS: Service = Service {
    name: "alerts",
    function: "test-alerts",
    same_by: SameBy::LastVersion { ignoring: Some("time") },
    tag: Tag::Fixed("my.app.alerts.{env}"),
    ..THINGS
};

/// An inventory: the whole list each time.
pub static INVENTORY: Service = LIST;

/// Incidents: asked for by when they happened and by when they were resolved, which their own time says nothing of.
pub static INCIDENTS: Service = Service {
    name: "incidents",
    function: "test-incidents",
    query: filtered(&["happened", "resolved"]),
    tag: Tag::Fixed("my.app.incidents.{env}"),
    ..THINGS
};

/// An inventory that takes filters as JSON, and none on a time.
pub static SHELVES: Service =
    Service { name: "shelves", function: "test-shelves", query: filtered(&[]), ..LIST };

const fn filtered(times: &'static [&'static str]) -> Query {
    Query::FilteredList { path: "/api/v1/list/", times, page_size: 100, reading: Reading::Pages }
}

/// What lists have in common.
pub(crate) const LIST: Service = Service {
    name: "inventory",
    function: "test-inventory",
    query: Query::Snapshot { path: "/v1.0/inventory", page_size: None },
    event_time: &[],
    same_by: SameBy::LastVersion { ignoring: None },
    tag: Tag::Fixed("my.app.inventory.{env}"),
    period: Period { default_seconds: 86_400, minimum_seconds: 60 },
    ..THINGS
};

/// The settings of the alerts, as a document without options gives them.
pub fn alert_settings() -> Settings {
    Settings { service: &ALERTS, ..settings() }
}

/// The settings of the inventory, as a document without other options gives them.
pub fn inventory_settings(mode: SnapshotMode) -> Settings {
    Settings {
        service: &INVENTORY,
        request_period: SignedDuration::from_secs(INVENTORY.period.default_seconds.into()),
        snapshot_mode: mode,
        ..settings()
    }
}

/// A content feed: event time in `CreationTime`, the tag ends in `Workload`.
pub static FEED: Service = Service {
    name: "mail",
    function: "test-mail",
    query: Query::Content { content_type: "Audit.Mail" },
    ..CONTENT
};

/// Another feed of the same input.
pub static OTHER_FEED: Service = Service {
    name: "files",
    function: "test-files",
    query: Query::Content { content_type: "Audit.Files" },
    ..CONTENT
};

/// The service that retries what failed in the two.
pub static RETRY: Service =
    Service { name: "retry", function: "test-retry", query: Query::FailedContent, ..CONTENT };

/// What services of content have in common.
const CONTENT: Service = Service {
    input: "test_content",
    name: "",
    aliases: &[],
    function: "",
    query: Query::FailedContent,
    event_time: &["CreationTime"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_secs(7 * 86_400 - 300),
    },
    tag: Tag::Suffixed { prefix: "my.content.", field: &["Workload"], otherwise: "general" },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 2_000, seconds: 60, budget: "content" },
    permission: "Content.Read",
    ..Service::PLAIN
};

/// The settings of one of the two feeds, as a document without options gives them.
pub fn feed_settings(service: &'static Service) -> Settings {
    let limits = MemoryLimits { most: 10_000_000, least: 100_000 };
    Settings {
        service,
        window_max: service.window.max,
        lookback: service.window.lookback,
        memory: Some(limits),
        ..settings()
    }
}

/// The settings of the service that retries what failed in these feeds.
pub fn retry_settings(feeds: Vec<Settings>) -> Settings {
    Settings { memory: None, feeds, ..feed_settings(&RETRY) }
}

/// A tick with this many seconds of time. `number` makes its ids unlike others'.
pub fn tick(number: u64, now: Timestamp, seconds: i64) -> Invocation {
    Invocation {
        request_id: format!("request-{number}"),
        nonce: format!("nonce-{number:012}"),
        fresh_hash_key: format!("{number:032x}"),
        deadline: now + SignedDuration::from_secs(seconds),
        request: collector::event::Request::default(),
        identity: Identity {
            collector_name: "test".to_owned(),
            collector_version: "0.0.0".to_owned(),
            job_id: None,
        },
        warnings: Vec::new(),
        certificates: Vec::new(),
    }
}
