//! Settings of content feeds and of the service that retries what failed in them.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::family::{input, now, with};
use crate::error::Error;
use crate::service::{Cloud, Family, Older, Period, Query, Rate, SameBy, Service, Tag, WindowRule};
use crate::settings::document::{Resolved, check_all, resolve};
use crate::settings::{MemoryLimits, RequestRate};

static CONTENT: Family = Family {
    input: "office365",
    aliases: &[],
    older: Older::NONE,
    clouds: &[
        cloud((
            "https://manage.office.com",
            "https://login.example.com",
            "https://manage.office.com/.default",
        )),
        cloud((
            "https://manage-gcc.office.com",
            "https://login.example.com",
            "https://manage-gcc.office.com/.default",
        )),
        cloud((
            "https://manage.office365.us",
            "https://login.example.us",
            "https://manage.office365.us/.default",
        )),
    ],
    services: &[&DIRECTORY, &MAIL, &RETRY],
};

const fn cloud(urls: (&'static str, &'static str, &'static str)) -> Cloud {
    Cloud { top_level_domain: None, base_url: urls.0, login_url: urls.1, scope: urls.2 }
}

static DIRECTORY: Service = Service {
    name: "azure_active_directory",
    function: "office365-azure-active-directory",
    query: Query::Content { content_type: "Audit.Directory" },
    ..FEED
};

static MAIL: Service = Service {
    name: "exchange",
    function: "office365-exchange",
    query: Query::Content { content_type: "Audit.Mail" },
    ..FEED
};

static RETRY: Service =
    Service { name: "uri_retry", function: "office365-uri-retry", query: Query::FailedContent, ..FEED };

const FEED: Service = Service {
    input: "office365",
    name: "",
    aliases: &[],
    function: "",
    query: Query::FailedContent,
    event_time: &["CreationTime"],
    same_by: SameBy::Content,
    window: WindowRule {
        max: SignedDuration::from_hours(24),
        lookback: SignedDuration::from_hours(1),
        retention: SignedDuration::from_hours(167),
    },
    tag: Tag::Suffixed { prefix: "my.content.", field: &["Workload"], otherwise: "general" },
    period: Period { default_seconds: 300, minimum_seconds: 60 },
    rate: Rate { requests: 2_000, seconds: 60, budget: "content" },
    permission: "Content.Read",
    ..Service::PLAIN
};

fn document(more: Value) -> Value {
    json!({"inputs": {"office365": with(input(), more)}})
}

fn resolved(function: &str, document: &Value) -> Result<Resolved, Error> {
    resolve(document, &[&CONTENT], function, None, now())
}

fn feed(settings: Value) -> Result<Resolved, Error> {
    resolved("office365-exchange", &document(json!({"services": {"exchange": settings}})))
}

#[test]
fn the_vendors_sample_loads_as_it_stands() {
    // The shape of the vendor's page, its placeholders filled in.
    let sample = json!({"inputs": {"office365": {
        "id": "12345", "enabled": true,
        "credentials": {"client_id": "c-1", "tenant_id": "t-1", "client_secret": "s3cr3t"},
        "services": {"azure_active_directory": {
            "start_time_in_utc": "2026-11-19T00:00:00Z", "override_tag": "my.app.directory",
            "override_bloom_filter_size": 5_000_000, "override_bloom_filter_buffer_size": "50000",
        }},
    }}});
    let found = resolved("office365-azure-active-directory", &sample).unwrap();
    assert_eq!(found.warnings, [""; 0]);
    let settings = found.settings;
    assert!(settings.enabled);
    assert_eq!(settings.partition(), "12345#office365-azure-active-directory");
    assert_eq!(settings.start_time, Some("2026-11-19T00:00:00Z".parse().unwrap()));
    assert_eq!(settings.override_tag.as_deref(), Some("my.app.directory"));
    assert_eq!(settings.memory, Some(MemoryLimits { most: 5_000_000, least: 50_000 }));
    assert_eq!(settings.connection.publisher, "t-1", "the tenant publishes for itself");
    assert_eq!(settings.connection.scope, "https://manage.office.com/.default");
    assert!(!resolved("office365-exchange", &sample).unwrap().settings.enabled);
}

#[test]
fn a_feed_has_a_memory_of_a_size_and_below_which_it_never_falls() {
    let cases = [
        (json!({}), (10_000_000, 100_000)),
        (json!({"override_bloom_filter_size": "2000000"}), (2_000_000, 100_000)),
        (json!({"override_bloom_filter_buffer_size": 0}), (10_000_000, 0)),
        (json!({"override_bloom_filter_size": 5_000}), (5_000, 2_500)),
        (json!({"override_bloom_filter_size": 2}), (2, 1)),
        (
            json!({"override_bloom_filter_size": 5_000, "override_bloom_filter_buffer_size": "4999"}),
            (5_000, 4_999),
        ),
    ];
    for (settings, (most, least)) in cases {
        let found = feed(settings.clone()).unwrap().settings.memory;
        assert_eq!(found, Some(MemoryLimits { most, least }), "{settings}");
    }
    let retry = document(json!({"services": {"uri_retry": {"override_bloom_filter_size": 7}}}));
    assert_eq!(resolved("office365-uri-retry", &retry).unwrap().settings.memory, None);
}

#[test]
fn settings_of_a_feed_that_make_no_sense_are_refused() {
    let path = "inputs.office365.services.exchange";
    let cases = [
        (json!({"override_bloom_filter_size": 1}), "override_bloom_filter_size: must be from 2 to"),
        (
            json!({"override_bloom_filter_size": "many"}),
            "override_bloom_filter_size: expected a whole number",
        ),
        (
            json!({"override_bloom_filter_buffer_size": -1}),
            "override_bloom_filter_buffer_size: must be from 0 to",
        ),
        (
            json!({"override_bloom_filter_size": 500, "override_bloom_filter_buffer_size": 500}),
            "override_bloom_filter_buffer_size: must be below `override_bloom_filter_size` (500), found 500",
        ),
        (
            json!({"override_bloom_filter_buffer_size": 10_000_000}),
            "override_bloom_filter_buffer_size: must be below `override_bloom_filter_size` (10000000), found 10000000",
        ),
        (json!({"additional_filter": "a eq 'b'"}), "additional_filter: unknown key"),
        (
            json!({"override_bloom_filter_sizes": 5}),
            "override_bloom_filter_sizes: unknown key, the nearest known one is",
        ),
        (json!({"publisher_identifier": "t-2"}), "publisher_identifier: unknown key"),
    ];
    for (settings, expected) in cases {
        let error = feed(settings.clone()).unwrap_err();
        assert_eq!((error.error_type.as_str(), error.code), ("InitVariablesError", 1), "{settings}");
        assert!(error.message.starts_with(&format!("{path}.{expected}")), "{}", error.message);
        assert_eq!(error.message.lines().count(), 1, "{}", error.message);
    }
}

#[test]
fn the_publisher_is_the_tenant_unless_the_input_names_another() {
    for (more, expected) in
        [(json!({}), "t-1"), (json!({"publisher_identifier": "  0f0f0f0f-1234 "}), "0f0f0f0f-1234")]
    {
        let all = with(more.clone(), json!({"services": {"exchange": {}, "uri_retry": {}}}));
        for function in ["office365-exchange", "office365-uri-retry"] {
            let found = resolved(function, &document(all.clone())).unwrap();
            assert_eq!(found.settings.connection.publisher, expected, "{function} {more}");
        }
    }
    for wrong in [json!("a b"), json!("x&y=z"), json!(""), json!("é")] {
        let all = json!({"publisher_identifier": wrong, "services": {"exchange": {}}});
        let error = resolved("office365-exchange", &document(all)).unwrap_err();
        assert!(error.message.starts_with("inputs.office365.publisher_identifier: "), "{}", error.message);
    }
}

#[test]
fn the_host_of_a_government_cloud_brings_its_login_and_audience() {
    let cases = [
        ("https://manage.office.com", "https://login.example.com", "https://manage.office.com/.default"),
        (
            "https://manage-gcc.office.com/",
            "https://login.example.com",
            "https://manage-gcc.office.com/.default",
        ),
        ("https://MANAGE.office365.us", "https://login.example.us", "https://manage.office365.us/.default"),
    ];
    for (base_url, login_url, scope) in cases {
        let all = json!({"api_base_url": base_url, "services": {"exchange": {}, "uri_retry": {}}});
        for function in ["office365-exchange", "office365-uri-retry"] {
            let found = resolved(function, &document(all.clone())).unwrap();
            let connection = found.settings.connection;
            assert_eq!((connection.login_url.as_str(), connection.scope.as_str()), (login_url, scope));
            assert_eq!(found.warnings, [""; 0]);
        }
    }
    let other = json!({"override_base_url": "https://proxy.example", "services": {"exchange": {}}});
    let connection = resolved("office365-exchange", &document(other)).unwrap().settings.connection;
    assert_eq!(
        connection.scope, "https://manage.office.com/.default",
        "an unknown host has the public audience"
    );
}

#[test]
fn the_retry_service_knows_the_settings_of_the_feeds_that_work() {
    let services = json!({
        "azure_active_directory": {"override_tag": "my.app.directory", "start_time": "2026-11-19T00:00:00Z"},
        "exchange": {"enabled": false},
        "uri_retry": {"override_tag": "not.this.one"},
    });
    let found =
        resolved("office365-uri-retry", &document(json!({"environment": "prod", "services": services})))
            .unwrap();
    let feeds: Vec<_> = found
        .settings
        .feeds
        .iter()
        .map(|feed| {
            (feed.partition(), feed.override_tag.clone(), feed.environment.clone(), feed.memory.is_some())
        })
        .collect();
    let expected = "ab123#office365-azure-active-directory".to_owned();
    assert_eq!(feeds, [(expected, Some("my.app.directory".to_owned()), Some("prod".to_owned()), true)]);
    assert!(found.settings.feeds.iter().all(|feed| feed.feeds.is_empty()));

    let broken = json!({"azure_active_directory": {"tag": "one"}, "exchange": {}, "uri_retry": {}});
    let found = resolved("office365-uri-retry", &document(json!({"services": broken}))).unwrap();
    assert_eq!(found.settings.feeds.len(), 1, "a feed that cannot work has nothing to retry");
    assert!(
        found.warnings[0]
            .starts_with("another service: inputs.office365.services.azure_active_directory.tag: ")
    );
    let of_feeds = resolved("office365-exchange", &document(json!({"services": {"exchange": {}}}))).unwrap();
    assert!(of_feeds.settings.feeds.is_empty());
}

#[test]
fn feeds_and_their_retry_service_share_the_tenants_quota() {
    let all = document(json!({"services": {"azure_active_directory": {}, "exchange": {}, "uri_retry": {}}}));
    for (function, result) in check_all(&all, &[&CONTENT], now()) {
        let rate = result.unwrap().settings.rate;
        assert_eq!(rate, RequestRate { requests: 666, per: SignedDuration::from_secs(60) }, "{function}");
    }
}
