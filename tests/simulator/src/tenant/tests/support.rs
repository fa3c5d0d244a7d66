//! A client of the simulated tenant that knows nothing of its inside.

use jiff::Timestamp;
use reqwest::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::clock::Clock;
use crate::tenant::{
    CloudAppsConfig, CloudAppsList, ContentType, DefenderConfig, Endpoint, Subscription, Tenant, TenantConfig,
};

/// The present of all tests here.
pub(super) const NOW: &str = "2026-11-20T12:00:00Z";

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A tenant whose clock stands still.
pub(super) async fn start(change: impl FnOnce(&mut TenantConfig)) -> Tenant {
    let mut config = TenantConfig { clock: Clock::new(now), ..TenantConfig::default() };
    change(&mut config);
    Tenant::start(config).await.unwrap()
}

/// Logs in with form fields; an empty value leaves the field out.
pub(super) async fn login(tenant: &Tenant, path_tenant: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let url = format!("{}/{path_tenant}/oauth2/v2.0/token", tenant.base_url());
    let present: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).collect();
    let response = client().post(url).form(&present).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A token for Graph of the tenant's first application.
pub(super) async fn token(tenant: &Tenant) -> String {
    token_for(tenant, &tenant.config().scope).await
}

/// A token for the feeds of the tenant's first application.
pub(super) async fn feed_token(tenant: &Tenant) -> String {
    token_for(tenant, &tenant.config().feed.scope).await
}

/// A token for Defender for Endpoint of the tenant's first application.
pub(super) async fn defender_token(tenant: &Tenant) -> String {
    token_for(tenant, &tenant.config().defender.scope).await
}

/// A tenant whose clock stands still, and a token for its Defender for Endpoint.
pub(super) async fn start_defender(change: impl FnOnce(&mut DefenderConfig)) -> (Tenant, String) {
    let tenant = start(|config| change(&mut config.defender)).await;
    let token = defender_token(&tenant).await;
    (tenant, token)
}

/// A token for Defender for Cloud Apps of the tenant's first application.
pub(super) async fn cloud_apps_token(tenant: &Tenant) -> String {
    token_for(tenant, &tenant.config().cloud_apps.scope).await
}

/// A tenant whose clock stands still, and a token for its Defender for Cloud Apps.
pub(super) async fn start_cloud_apps(change: impl FnOnce(&mut CloudAppsConfig)) -> (Tenant, String) {
    let tenant = start(|config| change(&mut config.cloud_apps)).await;
    let token = cloud_apps_token(&tenant).await;
    (tenant, token)
}

/// A POST of this body to a path, with this `Authorization`.
pub(super) async fn post_json(tenant: &Tenant, authorization: &str, path: &str, body: &str) -> Response {
    let request =
        client().post(format!("{}{path}", tenant.base_url())).header("Authorization", authorization);
    request.header("Content-Type", "application/json").body(body.to_owned()).send().await.unwrap()
}

/// Status and JSON body of a request to a list of Defender for Cloud Apps.
pub(super) async fn ask_list(
    tenant: &Tenant,
    token: &str,
    list: CloudAppsList,
    body: &Value,
) -> (u16, Value) {
    let authorization = match list {
        CloudAppsList::Files => "Token simulated~files-token".to_owned(),
        _ => format!("Bearer {token}"),
    };
    let response = post_json(tenant, &authorization, list.path(), &body.to_string()).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The `_id`s of a page of Defender for Cloud Apps.
pub(super) fn object_ids(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["_id"].as_str().unwrap().to_owned()).collect()
}

/// Status and JSON body of a request for a path with these options.
pub(super) async fn ask_path(
    tenant: &Tenant,
    token: &str,
    path: &str,
    options: &[(&str, &str)],
) -> (u16, Value) {
    let mut url = url::Url::parse(&format!("{}{path}", tenant.base_url())).unwrap();
    if !options.is_empty() {
        url.query_pairs_mut().extend_pairs(options);
    }
    let response = get(url.as_str(), token).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn token_for(tenant: &Tenant, scope: &str) -> String {
    let config = tenant.config();
    let application = &config.applications[0];
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", application.client_id.as_str()),
        ("client_secret", application.secrets[0].value.as_str()),
        ("scope", scope),
    ];
    let (status, body) = login(tenant, &config.tenant_id, &fields).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

thread_local! {
    // Making a client loads the machine's trust, which takes longer than a request. Nothing is pooled: a connection
    // belongs to the runtime of its test.
    static CLIENT: reqwest::Client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
}

/// A client of this test.
pub(super) fn client() -> reqwest::Client {
    CLIENT.with(reqwest::Client::clone)
}

pub(super) async fn get(url: &str, token: &str) -> Response {
    client().get(url).bearer_auth(token).send().await.unwrap()
}

/// The address of a query.
pub(super) fn query(tenant: &Tenant, endpoint: Endpoint, options: &[(&str, &str)]) -> String {
    let mut url = url::Url::parse(&format!("{}{}", tenant.base_url(), endpoint.path())).unwrap();
    url.query_pairs_mut().extend_pairs(options);
    url.to_string()
}

/// Status and JSON body of a query.
pub(super) async fn ask(
    tenant: &Tenant,
    token: &str,
    endpoint: Endpoint,
    options: &[(&str, &str)],
) -> (u16, Value) {
    let response = get(&query(tenant, endpoint, options), token).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The ids of a page.
pub(super) fn ids(page: &Value) -> Vec<String> {
    page["value"].as_array().unwrap().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}

/// A minimal record. Where the collection has no time, none is written.
pub(super) fn record(endpoint: Endpoint, id: &str, time: &str) -> String {
    match endpoint.time_property() {
        Some(property) => format!("{{\"id\":\"{id}\",\"{property}\":\"{time}\"}}"),
        None => format!("{{\"id\":\"{id}\"}}"),
    }
}

/// A publisher's id.
pub(super) const PUBLISHER: &str = "3f0a1b2c-4d5e-4f60-8a7b-9c0d1e2f3a4b";

/// A tenant whose clock stands still and whose subscriptions are enabled, and a token for its feeds.
pub(super) async fn start_feeds(change: impl FnOnce(&mut TenantConfig)) -> (Tenant, String) {
    let tenant = start(|config| {
        config.feed.subscriptions = Subscription::Enabled;
        change(config);
    })
    .await;
    let token = feed_token(&tenant).await;
    (tenant, token)
}

/// The address of a call to the feeds, with a PublisherIdentifier.
pub(super) fn feed_url(tenant: &Tenant, operation: &str, options: &[(&str, &str)]) -> String {
    let path = format!("/api/v1.0/{}/activity/feed/{operation}", tenant.config().tenant_id);
    let mut url = url::Url::parse(&format!("{}{path}", tenant.base_url())).unwrap();
    url.query_pairs_mut().extend_pairs(options).append_pair("PublisherIdentifier", PUBLISHER);
    url.to_string()
}

/// The address of the first page of a listing.
pub(super) fn listing_url(tenant: &Tenant, content_type: ContentType, start: &str, end: &str) -> String {
    let options = [("contentType", content_type.name()), ("startTime", start), ("endTime", end)];
    feed_url(tenant, "subscriptions/content", &options)
}

/// The address of a blob.
pub(super) fn blob_url(tenant: &Tenant, content_id: &str) -> String {
    feed_url(tenant, &format!("audit/{content_id}"), &[])
}

/// Status and JSON body of a call to the feeds.
pub(super) async fn ask_feed(url: &str, token: &str) -> (u16, Value) {
    let response = get(url, token).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Starts a subscription; gives status and body.
pub(super) async fn start_subscription(
    tenant: &Tenant,
    token: &str,
    content_type: ContentType,
) -> (u16, Value) {
    let url = feed_url(tenant, "subscriptions/start", &[("contentType", content_type.name())]);
    let response = client().post(url).bearer_auth(token).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The code of an error body.
pub(super) fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

/// The content ids of a listing page.
pub(super) fn content_ids(page: &Value) -> Vec<String> {
    page.as_array().unwrap().iter().map(|entry| entry["contentId"].as_str().unwrap().to_owned()).collect()
}

/// A client's whole request and the tenant's whole answer, as bytes; how it ended.
pub(super) async fn raw_get(tenant: &Tenant, token: &str, path: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = tokio::net::TcpStream::connect(tenant.address()).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received).await.map(|_| ());
    (received, end)
}

/// What lies behind the head of an answer.
pub(super) fn body_of(answer: &[u8]) -> &[u8] {
    let head = memchr::memmem::find(answer, b"\r\n\r\n").unwrap();
    &answer[head + 4..]
}
