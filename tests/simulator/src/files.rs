//! The files that a collector is started with against the simulated parties.
//!
//! ```text
//! document.json        the configuration document, for the secret of a function
//! devo.json            the Devo secret of a function
//! config/config.yaml   the whole configuration of an on-premise host (JSON is YAML too)
//! certs/               chain, certificate and key of the client
//! events.jsonl         what the receiver has received
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::receiver::Receiver;
use simulator::tenant::Tenant;

/// Name of the file that received events are appended to.
pub(crate) const EVENTS: &str = "events.jsonl";

/// Makes the folder and those inside it; gives its absolute path, which the configuration names.
pub(crate) fn make_folders(out: &Path) -> io::Result<PathBuf> {
    for folder in ["certs", "config", "state"] {
        fs::create_dir_all(out.join(folder))?;
    }
    fs::canonicalize(out)
}

/// Writes everything; gives what each file is and where.
pub(crate) fn write_configuration(
    out: &Path,
    tenant: &Tenant,
    receiver: &Receiver,
) -> io::Result<Vec<(&'static str, PathBuf)>> {
    let inputs = inputs(tenant)?;
    let (output, secret) = match receiver.pki() {
        Some(pki) => {
            fs::write(out.join("certs/chain.crt"), &pki.chain_pem)?;
            fs::write(out.join("certs/client.crt"), &pki.client.certificate_pem)?;
            fs::write(out.join("certs/client.key"), &pki.client.private_key_pem)?;
            let secret = json!({
                "address": receiver.address().ip().to_string(),
                "port": receiver.address().port(),
                "chain": pki.chain_pem,
                "cert": pki.client.certificate_pem,
                "key": pki.client.private_key_pem,
            });
            (tls_output(receiver), Some(secret))
        }
        None => (plain_output(receiver), None),
    };
    let config = json!({
        "globals": {
            "id": "simulated",
            "name": "simulated",
            "persistence": { "type": "filesystem", "config": { "directory_name": out.join("state") } },
        },
        "outputs": { "simulated": output },
        "inputs": inputs,
    });

    let mut written = vec![
        ("document", write_json(out.join("document.json"), &json!({ "inputs": inputs }))?),
        ("config", write_json(out.join("config/config.yaml"), &config)?),
    ];
    if let Some(secret) = secret {
        written.push(("devo secret", write_json(out.join("devo.json"), &secret)?));
    }
    written.push(("received", out.join(EVENTS)));
    Ok(written)
}

fn inputs(tenant: &Tenant) -> io::Result<Value> {
    let config = tenant.config();
    let application =
        config.applications.first().ok_or_else(|| io::Error::other("the tenant has no application"))?;
    let secret = application.secrets.first().map(|secret| secret.value.as_str());
    let start =
        (Timestamp::now() - SignedDuration::from_hours(24)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let service = json!({ "request_period_in_seconds": 60, "start_time_in_utc": start });
    let input = |scope: &str, services: Value| {
        json!({
            "id": "simulated",
            "enabled": true,
            "environment": "sim",
            "credentials": {
                "tenant_id": config.tenant_id,
                "client_id": application.client_id,
                "client_secret": secret,
            },
            "override_base_url": tenant.base_url(),
            "override_login_url": tenant.base_url(),
            "override_scope_value": scope,
            "services": services,
        })
    };
    let audit_logs = json!({
        "directory_audits": service,
        "provisioning_audits": service,
        "signIns": service,
        "signIns_v2": service,
    });
    let feeds = json!({
        "azure_active_directory": service,
        "sharepoint": service,
        "exchange": service,
        "general_audit": service,
        "dlp": service,
        "uri_retry": { "request_period_in_seconds": 60 },
    });
    let inventory = json!({ "request_period_in_seconds": 3600 });
    let query = json!({
        "name": "processes",
        "query": "DeviceProcessEvents | where Timestamp >= {from} and Timestamp < {to}",
        "override_tag": "my.app.hunting.processes",
        "request_period_in_seconds": 60,
    });
    let defender = json!({
        "alerts": service,
        "machines": inventory,
        "softwares": inventory,
        "vulnerabilities": inventory,
        "recommendations": inventory,
        "investigations": service,
        "advanced_hunting": { "request_period_in_seconds": 60, "queries": [query] },
    });
    let lists = json!({
        "activities": service,
        "alerts": service,
        "entities": inventory,
        "data_enrichment": inventory,
        "files": service,
    });
    let mut cloud_apps = input(&config.cloud_apps.scope, lists);
    if let Some(token) = &config.cloud_apps.files_token {
        cloud_apps["credentials"]["files_access_token"] = Value::from(token.value.as_str());
    }
    Ok(json!({
        "microsoft_defender_cloud_apps": cloud_apps,
        "microsoft_defender_endpoint": input(&config.defender.scope, defender),
        "microsoft_graph_audit": input(&config.scope, audit_logs),
        "office365": input(&config.feed.scope, feeds),
    }))
}

fn tls_output(receiver: &Receiver) -> Value {
    json!({
        "type": "devo_platform",
        "config": {
            "address": receiver.address().ip().to_string(),
            "port": receiver.address().port(),
            "type": "SSL",
            "chain": "chain.crt",
            "cert": "client.crt",
            "key": "client.key",
        },
    })
}

fn plain_output(receiver: &Receiver) -> Value {
    json!({
        "type": "syslog",
        "config": { "address": receiver.address().ip().to_string(), "port": receiver.address().port() },
    })
}

fn write_json(path: PathBuf, value: &Value) -> io::Result<PathBuf> {
    fs::write(&path, serde_json::to_vec_pretty(value)?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use simulator::receiver::{Receiver, ReceiverConfig, Transport};
    use simulator::tenant::{Tenant, TenantConfig};

    use super::*;

    async fn configuration(transport: Transport) -> (tempfile::TempDir, Tenant, Receiver, Value) {
        let folder = tempfile::tempdir().unwrap();
        let out = make_folders(folder.path()).unwrap();
        let tenant = Tenant::start(TenantConfig::default()).await.unwrap();
        let receiver =
            Receiver::start(ReceiverConfig { transport, ..ReceiverConfig::default() }).await.unwrap();
        write_configuration(&out, &tenant, &receiver).unwrap();
        let config = serde_json::from_slice(&fs::read(out.join("config/config.yaml")).unwrap()).unwrap();
        (folder, tenant, receiver, config)
    }

    #[tokio::test]
    async fn the_written_configuration_leads_to_the_running_parties() {
        let (folder, tenant, receiver, config) = configuration(Transport::mutual_tls()).await;
        for (name, scope, services) in [
            ("microsoft_graph_audit", &tenant.config().scope, 4),
            ("office365", &tenant.config().feed.scope, 6),
            ("microsoft_defender_endpoint", &tenant.config().defender.scope, 7),
            ("microsoft_defender_cloud_apps", &tenant.config().cloud_apps.scope, 5),
        ] {
            let input = &config["inputs"][name];
            assert_eq!(input["override_base_url"], tenant.base_url());
            assert_eq!(input["override_scope_value"], scope.as_str());
            assert_eq!(
                input["credentials"]["client_secret"],
                tenant.config().applications[0].secrets[0].value.as_str()
            );
            assert_eq!(input["services"].as_object().map(serde_json::Map::len), Some(services));
        }
        let credentials = &config["inputs"]["microsoft_defender_cloud_apps"]["credentials"];
        assert_eq!(credentials["files_access_token"], "simulated~files-token");
        let output = &config["outputs"]["simulated"]["config"];
        assert_eq!(output["port"], receiver.address().port());
        for name in ["chain", "cert", "key"] {
            let file = folder.path().join("certs").join(output[name].as_str().unwrap());
            assert!(fs::read_to_string(file).unwrap().starts_with("-----BEGIN "), "{name}");
        }
        let secret: Value =
            serde_json::from_slice(&fs::read(folder.path().join("devo.json")).unwrap()).unwrap();
        assert_eq!(secret["chain"], receiver.pki().unwrap().chain_pem.as_str());
    }

    #[tokio::test]
    async fn a_plain_receiver_needs_no_certificates() {
        let (folder, _tenant, _receiver, config) = configuration(Transport::Plain).await;
        assert_eq!(config["outputs"]["simulated"]["type"], "syslog");
        assert!(!folder.path().join("devo.json").exists());
    }
}
