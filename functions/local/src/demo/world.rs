//! The demo's world: a folder in the vendor's layout, a tenant, a receiver, and a configuration that names them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use collector::service::{Authorization, Enrichment, Family, Query, Service};
use jiff::{SignedDuration, Timestamp};
use local_host::config::STATE_FILE_NAME;
use simulator::receiver::{Receiver, ReceiverConfig};
use simulator::tenant::{
    CloudAppsConfig, DefenderConfig, FeedConfig, PageSize, RecordRefused, Tenant, TenantConfig,
};

use super::emission::DAYS;
use super::lists::List;
use super::reads::{COUNTED, Reads, TABLE};

/// Everything that the demo collects from and sends to.
pub struct World {
    /// `config.yaml`.
    pub configuration: PathBuf,
    /// The state file that the services will make.
    pub state: PathBuf,
    /// What the receiver decodes, one JSON object a line.
    pub received: PathBuf,
    /// The Microsoft tenant.
    pub tenant: Tenant,
    /// Devo.
    pub receiver: Receiver,
    /// The services with what they read.
    pub services: Vec<(&'static Service, Reads)>,
    /// Records of lists that others have taken the place of.
    replaced: Mutex<Vec<(List, Bytes)>>,
}

impl World {
    /// Starts the simulated parties and writes the folder: `wanted`, which must be empty, or a new one.
    ///
    /// # Errors
    /// A sentence that names what cannot be made.
    pub async fn create(
        wanted: Option<&Path>,
        events: u32,
        families: &[&'static Family],
    ) -> Result<Self, String> {
        let folder = folder(wanted)?;
        let received = folder.join("received.jsonl");
        let rows = usize::try_from(events).unwrap_or(usize::MAX);
        let rows = (rows / 10).clamp(50, 1_000);
        let page_size = PageSize { default: rows, maximum: rows };
        // A listing page names blobs of many records each: few of them make several pages, too.
        let feed = FeedConfig { page_size: rows / 20, ..FeedConfig::default() };
        // Lists clamp their pages without a word, too.
        let defender = DefenderConfig { largest_page: rows, ..DefenderConfig::default() };
        let cloud_apps = CloudAppsConfig {
            largest_page: rows.min(CloudAppsConfig::default().largest_page),
            smallest_scan: rows,
            largest_scan: rows,
            ..CloudAppsConfig::default()
        };
        let tenant_config = TenantConfig { page_size, feed, defender, cloud_apps, ..TenantConfig::default() };
        let tenant = Tenant::start(tenant_config).await.map_err(|cause| {
            format!("the simulated tenant cannot listen on the loopback interface: {cause}")
        })?;
        tenant.add_hunting_table(TABLE);
        let receiver_config = ReceiverConfig { copy_to: Some(received.clone()), ..ReceiverConfig::default() };
        let receiver = Receiver::start(receiver_config)
            .await
            .map_err(|cause| format!("the Devo receiver cannot be started: {cause}"))?;
        let services = families
            .iter()
            .flat_map(|family| family.services)
            .map(|service| Reads::of(service).map(|reads| (*service, reads)))
            .collect::<Result<_, _>>()?;
        let world = Self {
            configuration: folder.join("config").join("config.yaml"),
            state: folder.join("state").join(STATE_FILE_NAME),
            received,
            tenant,
            receiver,
            services,
            replaced: Mutex::default(),
        };
        world.write_files(&folder, families)?;
        Ok(world)
    }

    /// The records that exist or existed in what a service reads, as often as they were emitted and as they are to
    /// arrive: with their counts, where they get any. A queue has none of its own.
    pub fn emitted(&self, reads: Reads) -> Vec<Bytes> {
        match reads {
            Reads::Collection(endpoint) | Reads::Days(endpoint) => self.tenant.emitted(endpoint),
            Reads::Feed(content_type) => self.tenant.emitted_records(content_type),
            Reads::List(list) => {
                let mut records = list.records(&self.tenant);
                let replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
                records
                    .extend(replaced.iter().filter(|(of, _)| *of == list).map(|(_, record)| record.clone()));
                records.iter().map(|record| self.with_counts(list, record)).collect()
            }
            Reads::Table(table) => self.tenant.hunting_rows(table),
            Reads::Queue => Vec::new(),
        }
    }

    /// A record of a list as it is to arrive.
    pub fn with_counts(&self, list: List, record: &[u8]) -> Bytes {
        let text = String::from_utf8_lossy(record);
        let reads_it = |(_, reads): &&(&Service, Reads)| *reads == Reads::List(list);
        let service = self.services.iter().find(reads_it).map(|(service, _)| *service);
        let mut whole = text.strip_suffix('}').unwrap_or(&text).to_owned();
        if let Some(enrichment) = service.and_then(counted) {
            let id = serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default();
            let id = id.get("id").and_then(serde_json::Value::as_str).unwrap_or_default();
            let count = self.tenant.related_count(&enrichment.path.replace("{id}", id)).unwrap_or(0);
            let _ = write!(whole, ",\"{}\":{count}", enrichment.member);
        }
        Bytes::from(whole + "}")
    }

    /// Puts another record in the place of one of a list. Both are to arrive.
    ///
    /// # Errors
    /// The tenant does not take it.
    pub fn replace(
        &self,
        list: List,
        number: u64,
        before: String,
        after: String,
    ) -> Result<(), RecordRefused> {
        list.update(&self.tenant, number, after)?;
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        replaced.push((list, Bytes::from(before)));
        Ok(())
    }

    fn write_files(&self, folder: &Path, families: &[&'static Family]) -> Result<(), String> {
        let pki = self.receiver.pki().ok_or("the Devo receiver has no certificates")?;
        let files = [
            ("certs/chain.crt", pki.chain_pem.clone()),
            ("certs/domain.crt", pki.client.certificate_pem.clone()),
            ("certs/domain.key", pki.client.private_key_pem.clone()),
            ("config/config.yaml", self.config_yaml(families)?),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, text))
                .map_err(|cause| format!("{} cannot be written: {cause}", path.display()))?;
        }
        Ok(())
    }

    /// The configuration as an operator would write it, with the simulated hosts in place of the public ones.
    fn config_yaml(&self, families: &[&'static Family]) -> Result<String, String> {
        let tenant = self.tenant.config();
        let application = tenant.applications.first().ok_or("the simulated tenant has no application")?;
        let secret = application.secrets.first().ok_or("the simulated application has no secret")?;
        let (base_url, port) = (self.tenant.base_url(), self.receiver.address().port());
        let (tenant_id, client_id, client_secret) =
            (&tenant.tenant_id, &application.client_id, &secret.value);
        let files_token = tenant.cloud_apps.files_token.as_ref().map_or("", |token| token.value.as_str());
        let now = Timestamp::now();
        let mut text = format!(
            "globals:\n  id: demo\n  name: demo\n  persistence:\n    type: filesystem\n    config:\n      \
             directory_name: state\noutputs:\n  devo:\n    type: devo_platform\n    config:\n      \
             address: 127.0.0.1\n      port: {port}\n      type: SSL\n      chain: chain.crt\n      \
             cert: domain.crt\n      key: domain.key\ninputs:\n"
        );
        for family in families {
            let _ = write!(
                text,
                "  {}:\n    id: demo\n    enabled: true\n    environment: demo\n    credentials:\n      \
                 tenant_id: {tenant_id}\n      client_id: {client_id}\n      client_secret: {client_secret}\n",
                family.input
            );
            for service in family.services {
                if let Authorization::Token(setting) = service.authorization {
                    let _ = writeln!(text, "      {}: {files_token}", setting.name);
                }
            }
            let _ = write!(
                text,
                "    override_base_url: {base_url}\n    override_login_url: {base_url}\n    \
                 requests_per_second: 10000\n    services:\n"
            );
            for service in family.services {
                let _ = writeln!(text, "      {}:", service.name);
                for line in settings(service, now) {
                    let _ = writeln!(text, "        {line}");
                }
            }
        }
        Ok(text)
    }
}

/// What the demo sets of a service, line by line.
fn settings(service: &Service, now: Timestamp) -> Vec<String> {
    let mut lines: Vec<_> =
        counted(service).into_iter().map(|enrichment| format!("{}: true", enrichment.switch.name)).collect();
    lines.push(match &service.query {
        // What is sent each day anew would be a repetition in a demo that is played around midnight.
        query if query.is_snapshot() => "snapshot_mode: changes".to_owned(),
        Query::NewestDays { .. } => {
            let start = now - SignedDuration::from_hours(24 * i64::from(DAYS));
            format!("start_time_in_utc: {}", start.strftime("%Y-%m-%dT%H:%M:%SZ"))
        }
        // A short longest window makes the first cycle several windows, as catching up is.
        _ => "override_query_window_max_seconds: 21600".to_owned(),
    });
    if service.query.is_hunting() {
        let query = format!("query: {TABLE} | where Timestamp between ({{from}} .. {{to}})");
        let tag = "override_tag: my.app.endpoint.processes";
        lines.extend(["queries:", "- name: processes"].map(str::to_owned));
        lines.extend([query.as_str(), tag].map(|line| format!("  {line}")));
    }
    lines
}

/// The counts that the demo has added to the records of a service: one, because each is a request.
fn counted(service: &Service) -> Option<&'static Enrichment> {
    let is_counted = matches!(Reads::of(service), Ok(Reads::List(list)) if list == COUNTED);
    service.enrichments.first().filter(|_| is_counted)
}

fn folder(wanted: Option<&Path>) -> Result<PathBuf, String> {
    let Some(wanted) = wanted else {
        let made = tempfile::Builder::new().prefix("collector-demo-").tempdir();
        return made
            .map(tempfile::TempDir::keep)
            .map_err(|cause| format!("no temporary folder can be made: {cause}"));
    };
    let unusable = |cause| format!("{} cannot be used: {cause}", wanted.display());
    std::fs::create_dir_all(wanted).map_err(unusable)?;
    if std::fs::read_dir(wanted).map_err(unusable)?.next().is_some() {
        return Err(format!(
            "{} is not empty; name a folder that is, or that does not exist",
            wanted.display()
        ));
    }
    std::path::absolute(wanted).map_err(unusable)
}
