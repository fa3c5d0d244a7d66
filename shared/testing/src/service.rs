//! A service and settings for tests of the core.

use collector::run::Invocation;
use collector::service::{Bounds, Period, Query, Rate, Service, Tag, WindowRule};
use collector::settings::{Connection, Credential, RequestRate, Settings};
use collector::story::Identity;
use jiff::{SignedDuration, Timestamp};

/// A time-based service: event time in `time`, tag by `kind`.
pub static SERVICE: Service = Service {
    input: "test_input",
    name: "things",
    aliases: &[],
    function: "test-things",
    query: Query::OData {
        path: "/v1.0/things",
        page_size: Some(1000),
        bounds: Bounds::Inclusive,
        base_filter: None,
        headers: &[],
    },
    event_time: &["time"],
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
        },
        request_period: SignedDuration::from_secs(300),
        start_time: None,
        additional_filter: None,
        override_tag: None,
        window_max: SERVICE.window.max,
        lookback: SERVICE.window.lookback,
        late_sweep_period: SignedDuration::ZERO,
        late_sweep_range: SignedDuration::ZERO,
        obfuscation: Vec::new(),
        rate: RequestRate { requests: 1_000_000, per: SignedDuration::from_secs(1) },
    }
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
    }
}
