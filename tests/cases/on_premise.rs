//! The shipped `collector`, killed at any byte: its state is one file, and the next run goes on with it.
//!
//! What the commands print and how they end is tested beside their source; here is what only the outside can do to them.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulator::records;
use simulator::tenant::{PageSize, Tenant, TenantConfig};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::world::chance::Chance;
use crate::world::parties::{Arrival, receiver};
use crate::world::process::LOOK_EVERY;
use crate::world::wire::{Direction, Wire};
use crate::world::{ago, artefacts, contract, document, services};

const WORLDS: u64 = 10;
const RECORDS: u64 = 300;
/// A killed process's lease ends a minute and three seconds after it was taken.
const UNTIL_THE_LEASE_IS_OVER: Duration = Duration::from_secs(150);
/// About what one invocation sends, compressed, and what it gets back.
const BYTES: [(Direction, u64); 2] = [(Direction::Towards, 40_000), (Direction::From, 2_200)];

/// A tenant, a way to Devo, and a folder with a configuration.
struct Site {
    id: String,
    tenant: Tenant,
    to_devo: Wire,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new(number: u64) -> Self {
        let page_size = PageSize { default: 50, maximum: 50 };
        let tenant = Tenant::start(TenantConfig { page_size, ..TenantConfig::default() }).await.unwrap();
        let to_devo = Wire::to(receiver().address()).await;
        let site =
            Self { id: format!("site{number}"), tenant, to_devo, folder: tempfile::tempdir().unwrap() };
        site.write_configuration();
        site
    }

    fn write_configuration(&self) {
        let service = services().next().unwrap();
        let document = document::configuration(service, &self.tenant, &self.id);
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

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn emit(&self, first: u64, count: u64) -> Vec<String> {
        let endpoint = contract::promise(services().next().unwrap().function).endpoint;
        let emit = |seed: u64| {
            let record =
                records::record(endpoint, seed, ago(SignedDuration::from_secs(60 + seed.cast_signed() * 7)));
            self.tenant.emit(endpoint, record.clone()).unwrap();
            record
        };
        (first..first + count).map(emit).collect()
    }

    fn run(&self) -> Child {
        let mut command = Command::new(artefacts::collector());
        command.arg("run").arg("--config").arg(self.path("config/config.yaml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    fn records(&self) -> Vec<Arrival> {
        receiver().arrivals(&self.id).into_iter().filter(|arrival| !arrival.is_story()).collect()
    }

    /// How often each record arrived.
    fn copies(&self) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for arrival in self.records() {
            *copies.entry(contract::record_of(&arrival.message)).or_default() += 1;
        }
        copies
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_at_any_byte_goes_on_from_its_state_file_and_loses_nothing() {
    let chance = Chance::seeded();
    let repeated: Vec<usize> = join_all((0..WORLDS).map(|number| play(number, chance.fork(number)))).await;
    println!("{WORLDS} runs killed; {} records arrived more than once", repeated.iter().sum::<usize>());
}

/// One site's life; gives how many records arrived more than once.
async fn play(number: u64, mut chance: Chance) -> usize {
    let site = Site::new(number).await;
    let mut emitted = site.emit(0, RECORDS);
    let killed = Arc::new(Mutex::new(site.run()));
    let victim = Arc::clone(&killed);
    let (direction, bytes) = BYTES[usize::try_from(number).unwrap() % BYTES.len()];
    let kill = move || victim.lock().unwrap().start_kill().unwrap();
    if number % 5 == 4 {
        let last = 1 + chance.below(7);
        let kill = Mutex::new(Some(kill));
        site.tenant.on_request(move |seen| {
            if seen.number >= last
                && let Some(kill) = kill.lock().unwrap().take()
            {
                kill();
            }
        });
    } else {
        site.to_devo.strike(direction, 1 + chance.below(bytes), kill);
    }
    let died = timeout(Duration::from_secs(20), async {
        while killed.lock().unwrap().try_wait().unwrap().is_none() {
            sleep(LOOK_EVERY).await;
        }
    });
    if died.await.is_err() {
        // It was done before that byte: it is killed while it waits.
        killed.lock().unwrap().start_kill().unwrap();
    }
    site.to_devo.disarm();
    site.tenant.on_request(|_| {});
    let died_at = Timestamp::now().as_millisecond();

    emitted.extend(site.emit(RECORDS, 20));
    let mut second = site.run();
    let arrived = timeout(UNTIL_THE_LEASE_IS_OVER, async {
        while site.copies().len() < emitted.len() {
            assert!(second.try_wait().unwrap().is_none(), "{}: the second run ended", site.id);
            sleep(Duration::from_millis(200)).await;
        }
    });
    let all_arrived = arrived.await;
    let copies = site.copies();
    let missing = emitted.iter().filter(|record| !copies.contains_key(*record)).count();
    assert!(all_arrived.is_ok() && missing == 0, "{}: {missing} records are missing", site.id);
    stop(&mut second).await;
    assert_repeats_are_due_to_the_kill(&site, died_at);
    copies.values().filter(|count| **count > 1).count()
}

/// Asks a run to end, and expects that it does so well.
async fn stop(run: &mut Child) {
    let id = run.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = timeout(Duration::from_secs(20), run.wait()).await.expect("the run does not end");
    assert_eq!(status.unwrap().code(), Some(0));
}

/// What arrived twice came first in a cycle that was begun before the kill.
fn assert_repeats_are_due_to_the_kill(site: &Site, died_at: i64) {
    let mut cycles: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for arrival in site.records() {
        let pulling_id: i64 = arrival.json()["@devo_pulling_id"].as_str().unwrap().parse().unwrap();
        cycles.entry(contract::record_of(&arrival.message)).or_default().push(pulling_id);
    }
    for (record, mut ids) in cycles {
        ids.sort_unstable();
        assert!(ids.len() <= 2, "{}: {} copies of {record}", site.id, ids.len());
        if let [first, second] = ids[..] {
            assert!(first < died_at && died_at < second, "{}: repeated without need: {record}", site.id);
        }
    }
}
