//! A service under test between two scripted servers, and what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use collector::error::Error;
use collector::ports::{
    Blob, BlobEnd, Clock, Fetched, Page, PageRequest, Preparation, Source as _, SourceError,
};
use collector::service::{Bounds, Paging, Period, Query, Rate, SameBy, Service, Tag, WindowRule};
use collector::settings::{Connection, Credential, OlderStart, RequestRate, Settings};
use collector::window::Window;
use jiff::{SignedDuration, Timestamp};
use microsoft::{ApiSource, Microsoft, Tuning};

pub use crate::server::{Reply, Server, gzip, page_body};

pub const SECRET: &str = "s3cret-value";

/// A clock that a test sets.
pub struct TestClock(AtomicI64);

impl TestClock {
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

pub static SERVICE: Service = Service {
    input: "microsoft_graph_audit",
    name: "signIns_v2",
    aliases: &[],
    function: "graph-sign-ins-v2",
    query: Query::OData {
        path: "/beta/auditLogs/signIns",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: Some("signInEventTypes/any(t: t eq 'interactiveUser')"),
        expand: None,
        headers: &[("Prefer", "include-unknown-enum-members")],
        paging: Paging::Links,
        successor: None,
    },
    event_time: &["createdDateTime"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(720),
    },
    tag: Tag::Fixed("my.app.test"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 5, seconds: 10, budget: "auditLogs" },
    permission: "AuditLog.Read.All",
    ..Service::PLAIN
};

pub static FEED: Service = Service {
    input: "office365",
    name: "exchange",
    function: "office365-exchange",
    query: Query::Content { content_type: "Audit.Exchange" },
    event_time: &["CreationTime"],
    same_by: SameBy::Content,
    permission: "ActivityFeed.Read",
    ..template()
};

pub static URI_RETRY: Service = Service {
    input: "office365",
    name: "uri_retry",
    function: "office365-uri-retry",
    query: Query::FailedContent,
    event_time: &["CreationTime"],
    same_by: SameBy::Content,
    permission: "ActivityFeed.Read",
    ..template()
};

pub const fn template() -> Service {
    Service {
        input: "",
        name: "",
        aliases: &[],
        function: "",
        query: Query::FailedContent,
        event_time: &[],
        same_by: SameBy::Content,
        window: WindowRule {
            max: SignedDuration::from_hours(24),
            lookback: SignedDuration::from_hours(1),
            retention: SignedDuration::from_hours(167),
        },
        tag: Tag::Fixed("my.app.test"),
        period: Period { default_seconds: 300, minimum_seconds: 60 },
        rate: Rate { requests: 2000, seconds: 60, budget: "feeds" },
        permission: "",
        ..Service::PLAIN
    }
}

/// Settings that meet no limit of their own.
pub fn settings(base_url: &str, login_url: &str) -> Settings {
    Settings {
        service: &SERVICE,
        input_id: "ab123".to_owned(),
        environment: None,
        enabled: true,
        connection: Connection {
            base_url: base_url.to_owned(),
            login_url: login_url.to_owned(),
            scope: "https://graph.example/.default".to_owned(),
            tenant_id: "contoso".to_owned(),
            client_id: "client-1".to_owned(),
            credential: Credential::Secret(SECRET.to_owned().into()),
            publisher: "contoso".to_owned(),
        },
        request_period: SignedDuration::from_secs(300),
        start_time: None,
        older_start: OlderStart::default(),
        additional_filter: None,
        override_tag: None,
        window_max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        late_sweep_period: SignedDuration::from_hours(1),
        late_sweep_range: SignedDuration::from_hours(24),
        snapshot_mode: Default::default(),
        obfuscation: Vec::new(),
        rate: RequestRate { requests: 1000, per: SignedDuration::from_secs(1) },
        memory: None,
        enrichments: Vec::new(),
        flatten: None,
        queries: Vec::new(),
        feeds: Vec::new(),
    }
}

/// The waits of production, a thousand times shorter.
pub fn fast() -> Tuning {
    Tuning {
        retry_base: Duration::from_millis(1),
        throttle_base: Duration::from_millis(2),
        blob_wait: Duration::from_millis(1),
        retry_cap: Duration::from_millis(4),
        ..Tuning::default()
    }
}

/// A service, its login and its API.
pub struct Stage {
    pub login: Server,
    pub api: Server,
    pub clock: Arc<TestClock>,
    pub microsoft: Microsoft,
    pub source: ApiSource,
}

impl Stage {
    pub async fn open() -> Self {
        Self::with(fast(), |_| ()).await
    }

    pub async fn with(tuning: Tuning, change: impl FnOnce(&mut Settings)) -> Self {
        let login = Server::start().await;
        let api = Server::start().await;
        let mut settings = settings(&api.url, &login.url);
        change(&mut settings);
        let microsoft = Microsoft::with_tuning(&settings, tuning).unwrap();
        let start: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(start.as_second())));
        let source = microsoft.source(clock.clone());
        Self { login, api, clock, microsoft, source }
    }

    /// With a login that gives one token and an API that answers so.
    pub async fn serving(replies: impl IntoIterator<Item = Reply>) -> Self {
        let stage = Self::open().await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers(replies);
        stage
    }

    /// Any service, with a login that gives one token and an API that answers so.
    pub async fn of(service: &'static Service, replies: impl IntoIterator<Item = Reply>) -> Self {
        let stage = Self::with(fast(), |settings| settings.service = service).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage.api.answers(replies);
        stage
    }

    /// A content feed whose subscription was confirmed a moment ago.
    pub async fn feed(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut stage = Self::unsubscribed(fast()).await;
        stage.api.answers(replies);
        stage.prepare(confirmed()).await.unwrap();
        stage
    }

    /// A content feed of which nothing is known.
    pub async fn unsubscribed(tuning: Tuning) -> Self {
        let stage = Self::with(tuning, |settings| settings.service = &FEED).await;
        stage.login.answers([Reply::token("t0ken")]);
        stage
    }

    pub async fn prepare(&mut self, memo: serde_json::Value) -> Result<(), SourceError> {
        self.prepare_as(memo, false).await
    }

    pub async fn prepare_as(&mut self, memo: serde_json::Value, is_dry: bool) -> Result<(), SourceError> {
        let memo = memo.as_object().unwrap().clone();
        let preparation = Preparation { deadline: self.deadline(60_000), memo, is_dry };
        self.source.prepare(&preparation).await
    }

    /// Fetches the blobs and gives the texts of each one's records and its end, until all have ended.
    pub async fn fetch(&mut self, blobs: Vec<Blob>) -> Result<Vec<Outcome>, SourceError> {
        self.fetch_within(blobs, 60_000).await
    }

    pub async fn fetch_within(&mut self, blobs: Vec<Blob>, millis: i64) -> Result<Vec<Outcome>, SourceError> {
        let mut outcomes: Vec<Outcome> = blobs.iter().map(|_| Outcome::default()).collect();
        let deadline = self.deadline(millis);
        self.source.fetch(blobs, deadline);
        loop {
            match self.source.fetched(deadline).await? {
                Fetched::Part { blob, records } => {
                    assert_eq!(outcomes[blob].end, None, "records after the end of blob {blob}");
                    let texts = records.iter().map(|record| String::from_utf8(record.to_vec()).unwrap());
                    outcomes[blob].records.extend(texts);
                }
                Fetched::Ended { blob, end } => {
                    assert_eq!(outcomes[blob].end.replace(end), None, "blob {blob} ended twice");
                }
                Fetched::AllEnded => return Ok(outcomes),
                Fetched::NotYet => panic!("the deadline is the bound"),
            }
        }
    }

    /// A blob under the given path of this API.
    pub fn blob(&self, path: &str) -> Blob {
        let created: Timestamp = "2026-11-20T10:30:00Z".parse().unwrap();
        Blob {
            id: path.to_owned(),
            uri: format!("{}/{path}", self.api.url),
            created,
            expires: created + SignedDuration::from_hours(168),
        }
    }

    pub fn deadline(&self, millis: i64) -> Timestamp {
        self.clock.now() + SignedDuration::from_millis(millis)
    }

    /// One page of the window, with a minute to spare.
    pub async fn page(&mut self, link: Option<&str>) -> Result<Page, SourceError> {
        self.page_within(link, 60_000).await
    }

    pub async fn page_within(&mut self, link: Option<&str>, millis: i64) -> Result<Page, SourceError> {
        let deadline = self.deadline(millis);
        self.source
            .page(&PageRequest { window: window(), query: None, link: link.map(str::to_owned), deadline })
            .await
    }

    pub fn next_invocation(&mut self) {
        self.source = self.microsoft.source(self.clock.clone());
    }
}

/// What came of a blob.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Outcome {
    pub records: Vec<String>,
    pub end: Option<BlobEnd>,
}

impl Outcome {
    pub fn complete(records: &[&str]) -> Self {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        Self { records, end: Some(BlobEnd::Complete) }
    }

    pub fn reason(&self) -> &str {
        match &self.end {
            Some(BlobEnd::Failed(reason)) => reason,
            other => panic!("{other:?} is no failure"),
        }
    }
}

/// A memo that says when the subscription was seen enabled.
pub fn confirmed() -> serde_json::Value {
    serde_json::json!({"subscription": {"confirmed_at": "2026-11-20T12:00:00Z"}})
}

pub fn window() -> Window {
    Window { from: "2026-11-20T10:00:00Z".parse().unwrap(), to: "2026-11-20T11:00:00Z".parse().unwrap() }
}

pub fn fatal(outcome: Result<Page, SourceError>) -> Error {
    match outcome {
        Err(SourceError::Fatal(error)) => error,
        other => panic!("{other:?} is no fatal error"),
    }
}
