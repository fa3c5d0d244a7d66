//! A client of the simulated tenant that knows nothing of its inside.

use jiff::Timestamp;
use reqwest::Response;
use serde_json::Value;

use crate::clock::Clock;
use crate::tenant::{Endpoint, Tenant, TenantConfig};

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
    let response = reqwest::Client::new().post(url).form(&present).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// A token for the tenant's first application.
pub(super) async fn token(tenant: &Tenant) -> String {
    let config = tenant.config();
    let application = &config.applications[0];
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", application.client_id.as_str()),
        ("client_secret", application.secrets[0].value.as_str()),
        ("scope", config.scope.as_str()),
    ];
    let (status, body) = login(tenant, &config.tenant_id, &fields).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

pub(super) async fn get(url: &str, token: &str) -> Response {
    reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap()
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

/// A minimal record.
pub(super) fn record(endpoint: Endpoint, id: &str, time: &str) -> String {
    format!("{{\"id\":\"{id}\",\"{}\":\"{time}\"}}", endpoint.time_property())
}
