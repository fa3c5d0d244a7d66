//! The two secrets of a function, as an operator writes them.

use collector::service::{Authorization, Service};
use serde_json::{Value, json};
use simulator::tenant::Tenant;

/// The table that the query of advanced hunting reads.
pub const HUNTING_TABLE: &str = "DeviceLogonEvents";
/// The tag of its rows.
pub const HUNTING_TAG: &str = "my.app.endpoint.logons";

/// The configuration document of services of one input at this tenant. `world` is the input's id and its environment.
pub fn configuration(services: &[&Service], tenant: &Tenant, world: &str) -> Value {
    let config = tenant.config();
    let scope = match services[0].input {
        "office365" => &config.feed.scope,
        "microsoft_defender_endpoint" => &config.defender.scope,
        "microsoft_defender_cloud_apps" => &config.cloud_apps.scope,
        _ => &config.scope,
    };
    let blocks: serde_json::Map<String, Value> =
        services.iter().map(|service| (service.name.to_owned(), block(service))).collect();
    let application = &config.applications[0];
    let mut document = json!({"inputs": {services[0].input: {
        "id": world,
        "environment": world,
        "credentials": {
            "tenant_id": config.tenant_id,
            "client_id": application.client_id,
            "client_secret": application.secrets.first().map(|secret| &secret.value),
        },
        "override_base_url": tenant.base_url(),
        "override_login_url": tenant.base_url(),
        "override_scope_value": scope,
        // The published limit would make a test last minutes.
        "requests_per_second": 1000,
        "services": blocks,
    }}});
    let files_token = config.cloud_apps.files_token.as_ref().map(|token| json!(token.value));
    let reads_files = |service: &&Service| matches!(service.authorization, Authorization::Token(_));
    if let Some(token) = files_token.filter(|_| services.iter().any(reads_files)) {
        document["inputs"][services[0].input]["credentials"]["files_access_token"] = token;
    }
    document
}

/// A service as often as it may be asked for, and with a query if it is made of such.
fn block(service: &Service) -> Value {
    let mut block = json!({"request_period_in_seconds": service.period.minimum_seconds});
    if service.query.is_hunting() {
        let query = format!("{HUNTING_TABLE} | where Timestamp between ({{from}} .. {{to}})");
        block["queries"] = json!([{"name": "logons", "query": query, "override_tag": HUNTING_TAG}]);
    }
    block
}

/// The Devo secret of a client at this address.
pub fn devo(address: std::net::SocketAddr, chain: &str, cert: &str, key: &str) -> Value {
    json!({
        "address": address.ip().to_string(), "port": address.port(), "chain": chain, "cert": cert, "key": key,
    })
}
