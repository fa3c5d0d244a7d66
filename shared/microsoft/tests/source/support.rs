//! The scripted servers, and a service to play against them.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::error::Error;
use collector::ports::{Clock, Page, PageRequest, Source as _, SourceError};
use collector::service::{Bounds, Period, Query, Rate, Service, Tag, WindowRule};
use collector::settings::{Connection, Credential, RequestRate, Settings};
use collector::window::Window;
use jiff::{SignedDuration, Timestamp};
use microsoft::{ApiSource, Microsoft, Tuning};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const SECRET: &str = "s3cret-value";

/// What happens to the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    KeepOpen,
    Close,
    Silence,
}

/// One answer of a script, bytes as they go over the wire.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    end: End,
}

impl Reply {
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Self { bytes: [head.as_bytes(), body].concat(), end: End::KeepOpen }
    }

    pub fn page(records: &[&str], next: Option<&str>) -> Self {
        Self::new(200, &[("content-type", "application/json")], page_body(records, next))
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
        Self::new(status, &[("request-id", "r-1")], body)
    }

    pub fn token(token: &str) -> Self {
        let body = serde_json::json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token})
            .to_string();
        Self::new(200, &[], body)
    }

    /// The answer without its last bytes; then the connection ends.
    pub fn cut_by(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self.end = End::Close;
        self
    }

    /// No answer, the connection ends.
    pub fn hang_up() -> Self {
        Self { bytes: Vec::new(), end: End::Close }
    }

    /// No answer, and the connection stays.
    pub fn silence() -> Self {
        Self { bytes: Vec::new(), end: End::Silence }
    }
}

pub fn page_body(records: &[&str], next: Option<&str>) -> String {
    let link = next.map(|link| format!(r#","@odata.nextLink":"{link}""#)).unwrap_or_default();
    format!(r#"{{"@odata.context":"x","value":[{}]{link}}}"#, records.join(","))
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    pub fn form(&self, field: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.into_iter().find(|(key, _)| key == field).map(|(_, value)| value.into_owned())
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
}

/// A server that answers by script. A request beyond the script is answered 418.
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, script, task }
    }

    pub fn answers(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().replies.extend(replies);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.script.lock().unwrap().seen.len()
    }

    /// The port changes with every run; snapshots must not.
    pub fn without_port(&self, text: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        text.replace(address, "HOST")
            .replace(concat!("collector/", env!("CARGO_PKG_VERSION")), "collector/VERSION")
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    while let Some(request) = read_request(&mut stream).await {
        let reply = {
            let mut script = script.lock().unwrap();
            script.seen.push(request);
            script.replies.pop_front().unwrap_or_else(|| Reply::new(418, &[], "the script is over"))
        };
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.end {
            End::KeepOpen => {}
            End::Close => return,
            End::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(position) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break position + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().replace("\r\n", "\n");
    let mut seen = Seen { head: head.trim_end().to_owned(), body: String::new() };
    let length: usize = seen.header("content-length").map_or(0, |value| value.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(bytes[head_end..].to_vec()).unwrap();
    Some(seen)
}

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
        headers: &[("Prefer", "include-unknown-enum-members")],
    },
    event_time: &["createdDateTime"],
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(720),
    },
    tag: Tag::Fixed("my.app.test"),
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 5, seconds: 10, budget: "auditLogs" },
    permission: "AuditLog.Read.All",
};

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
        },
        request_period: SignedDuration::from_secs(300),
        start_time: None,
        additional_filter: None,
        override_tag: None,
        window_max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        late_sweep_period: SignedDuration::from_hours(1),
        late_sweep_range: SignedDuration::from_hours(24),
        obfuscation: Vec::new(),
        rate: RequestRate { requests: 1000, per: SignedDuration::from_secs(1) },
    }
}

/// The waits of production, a thousand times shorter.
pub fn fast() -> Tuning {
    Tuning { retry_base: Duration::from_millis(1), retry_cap: Duration::from_millis(4), ..Tuning::default() }
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

    pub fn deadline(&self, millis: i64) -> Timestamp {
        self.clock.now() + SignedDuration::from_millis(millis)
    }

    /// One page of the window, with a minute to spare.
    pub async fn page(&mut self, link: Option<&str>) -> Result<Page, SourceError> {
        self.page_within(link, 60_000).await
    }

    pub async fn page_within(&mut self, link: Option<&str>, millis: i64) -> Result<Page, SourceError> {
        let deadline = self.deadline(millis);
        self.source.page(&PageRequest { window: window(), link: link.map(str::to_owned), deadline }).await
    }

    pub fn next_invocation(&mut self) {
        self.source = self.microsoft.source(self.clock.clone());
    }
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
