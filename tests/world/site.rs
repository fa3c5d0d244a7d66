//! A site where the `collector` command runs: a tenant, a way to Devo, and a folder with configuration and state.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use collector::service::Service;
use jiff::Timestamp;
use serde_json::json;
use simulator::tenant::{Tenant, TenantConfig};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::parties::{Arrival, receiver};
use super::process::LOOK_EVERY;
use super::wire::Wire;
use super::{artefacts, contract, document};

/// A killed process's lease ends a minute and three seconds after it was taken.
const UNTIL_THE_LEASE_IS_OVER: Duration = Duration::from_secs(150);
/// What a command may take that takes seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One site.
pub struct Site {
    /// Its id, which is the input's and the environment.
    pub id: String,
    /// The services that are enabled.
    pub services: Vec<&'static Service>,
    /// Microsoft.
    pub tenant: Tenant,
    /// The way to Devo.
    pub to_devo: Wire,
    folder: tempfile::TempDir,
}

impl Site {
    /// A site with these services of one input.
    pub async fn new(id: &str, services: &[&'static Service], config: TenantConfig) -> Self {
        let tenant = Tenant::start(config).await.unwrap();
        let to_devo = Wire::to(receiver().address()).await;
        let (id, services, folder) = (id.to_owned(), services.to_vec(), tempfile::tempdir().unwrap());
        let site = Self { id, services, tenant, to_devo, folder };
        site.write_configuration();
        site
    }

    fn write_configuration(&self) {
        let document = document::configuration(&self.services, &self.tenant, &self.id);
        let configuration = json!({
            "globals": {
                "id": self.id, "name": self.id,
                "persistence": {"type": "filesystem", "config": {"directory_name": self.path("state")}},
            },
            "outputs": {"devo": {"type": "devo_platform", "config": {
                "address": self.to_devo.address().ip().to_string(), "port": self.to_devo.address().port(),
                "type": "SSL", "chain": "chain.crt", "cert": "client.crt", "key": "client.key",
            }}},
            "inputs": document["inputs"],
        });
        for folder in ["config", "certs", "state"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        for (file, pem) in
            [("chain.crt", "chain.pem"), ("client.crt", "client.pem"), ("client.key", "client.key")]
        {
            fs::write(self.path("certs").join(file), receiver().pem(pem)).unwrap();
        }
        fs::write(self.path("config/config.yaml"), configuration.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(artefacts::collector());
        command.args(words).arg("--config").arg(self.path("config/config.yaml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts `collector run`.
    fn run(&self) -> Child {
        self.command(&["run"]).spawn().unwrap()
    }

    /// Starts a run whose end `arm` prepares, and waits until it has died; one that outlives that is killed while it
    /// waits for work. Gives the epoch millisecond of its death.
    pub async fn run_and_kill(&self, arm: impl FnOnce(Box<dyn FnOnce() + Send>)) -> i64 {
        let killed = Arc::new(Mutex::new(self.run()));
        let victim = Arc::clone(&killed);
        arm(Box::new(move || victim.lock().unwrap().start_kill().unwrap()));
        let died = timeout(Duration::from_secs(20), async {
            while killed.lock().unwrap().try_wait().unwrap().is_none() {
                sleep(LOOK_EVERY).await;
            }
        });
        if died.await.is_err() {
            // It was done before that: it is killed while it waits.
            killed.lock().unwrap().start_kill().unwrap();
        }
        self.to_devo.disarm();
        self.tenant.on_request(|_| {});
        Timestamp::now().as_millisecond()
    }

    /// Runs until all of these records have arrived, and stops.
    pub async fn run_until_arrived(&self, emitted: &[String]) {
        let mut run = self.run();
        let arrived = timeout(UNTIL_THE_LEASE_IS_OVER, async {
            while self.copies().len() < emitted.len() {
                assert!(run.try_wait().unwrap().is_none(), "{}: the run ended", self.id);
                sleep(Duration::from_millis(200)).await;
            }
        });
        let all_arrived = arrived.await;
        let copies = self.copies();
        let missing = emitted.iter().filter(|record| !copies.contains_key(*record)).count();
        assert!(all_arrived.is_ok() && missing == 0, "{}: {missing} records are missing", self.id);
        self.stop(&mut run).await;
    }

    /// Plays another command to its end; gives its exit code and what it printed.
    pub async fn play(&self, words: &[&str]) -> (i32, String) {
        let output = self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let output = timeout(PATIENCE, output).await.expect("the command does not end").unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// Asks a run to end, and expects that it does so well.
    async fn stop(&self, run: &mut Child) {
        let id = run.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = timeout(PATIENCE, run.wait()).await.expect("the run does not end");
        assert_eq!(status.unwrap().code(), Some(0));
    }

    /// The records that arrived.
    pub fn records(&self) -> Vec<Arrival> {
        receiver().arrivals(&self.id).into_iter().filter(|arrival| !arrival.is_story()).collect()
    }

    /// How often each record arrived.
    pub fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for arrival in self.records() {
            *copies.entry(contract::record_of(&arrival.message)).or_default() += 1;
        }
        copies
    }

    /// What arrived twice came first in a cycle that was begun before the kill, at this epoch millisecond.
    pub fn assert_repeats_are_due_to_the_kill(&self, died_at: i64) {
        let mut cycles: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for arrival in self.records() {
            let pulling_id: i64 = arrival.json()["@devo_pulling_id"].as_str().unwrap().parse().unwrap();
            cycles.entry(contract::record_of(&arrival.message)).or_default().push(pulling_id);
        }
        for (record, mut ids) in cycles {
            ids.sort_unstable();
            assert!(ids.len() <= 2, "{}: {} copies of {record}", self.id, ids.len());
            if let [first, second] = ids[..] {
                assert!(first < died_at && died_at < second, "{}: repeated without need: {record}", self.id);
            }
        }
    }
}
