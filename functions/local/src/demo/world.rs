//! The demo's world: a folder in the vendor's layout, a tenant, a receiver, and a configuration that names them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use collector::service::{Family, Query, Service};
use jiff::{SignedDuration, Timestamp};
use local_host::config::STATE_FILE_NAME;
use simulator::receiver::{Receiver, ReceiverConfig};
use simulator::tenant::{ContentType, Endpoint, FeedConfig, PageSize, Tenant, TenantConfig};

use super::emission::DAYS;

/// What a service of the demo reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// A collection of Graph.
    Collection(Endpoint),
    /// A collection of one record a day.
    Days(Endpoint),
    /// A content feed of the Management Activity API.
    Feed(ContentType),
    /// The content that failed in the feeds of the same input.
    Queue,
}

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
        let tenant =
            Tenant::start(TenantConfig { page_size, feed, ..TenantConfig::default() }).await.map_err(
                |cause| format!("the simulated tenant cannot listen on the loopback interface: {cause}"),
            )?;
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
        };
        world.write_files(&folder, families)?;
        Ok(world)
    }

    /// The records that exist in what a service reads, as often as they were emitted. A queue has none of its own.
    pub fn emitted(&self, reads: Reads) -> Vec<Bytes> {
        match reads {
            Reads::Collection(endpoint) | Reads::Days(endpoint) => self.tenant.emitted(endpoint),
            Reads::Feed(content_type) => self.tenant.emitted_records(content_type),
            Reads::Queue => Vec::new(),
        }
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
                 tenant_id: {tenant_id}\n      client_id: {client_id}\n      client_secret: {client_secret}\n    \
                 override_base_url: {base_url}\n    override_login_url: {base_url}\n    \
                 requests_per_second: 10000\n    services:\n",
                family.input
            );
            for service in family.services {
                let (name, setting) = (service.name, setting(service, now));
                let _ = writeln!(text, "      {name}:\n        {setting}");
            }
        }
        Ok(text)
    }
}

/// What the demo sets of a service.
fn setting(service: &Service, now: Timestamp) -> String {
    match service.query {
        Query::NewestDays { .. } => {
            let start = now - SignedDuration::from_hours(24 * i64::from(DAYS));
            format!("start_time_in_utc: {}", start.strftime("%Y-%m-%dT%H:%M:%SZ"))
        }
        // A short longest window makes the first cycle several windows, as catching up is.
        _ => "override_query_window_max_seconds: 21600".to_owned(),
    }
}

impl Reads {
    /// What this service reads of the simulated tenant.
    fn of(service: &Service) -> Result<Self, String> {
        let (found, asked) = match &service.query {
            Query::OData { path, .. } | Query::Snapshot { path, .. } | Query::Hunting { path } => {
                (served(path).map(Self::Collection), *path)
            }
            Query::NewestDays { path } => (served(path).map(Self::Days), *path),
            Query::Content { content_type } => {
                let feed = ContentType::ALL.into_iter().find(|feed| feed.name() == *content_type);
                (feed.map(Self::Feed), *content_type)
            }
            Query::FailedContent => return Ok(Self::Queue),
        };
        let function = service.function;
        found.ok_or_else(|| format!("the simulated tenant does not serve {asked}, which {function} reads"))
    }
}

fn served(path: &str) -> Option<Endpoint> {
    Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == path)
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
