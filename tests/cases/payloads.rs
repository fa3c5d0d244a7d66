//! Real payloads through the artefact: to the simulated receiver, and to a syslog server that others wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use jiff::SignedDuration;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use simulator::pki::DevoPki;
use simulator::tenant::{Fault, Rule};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::world::contract::Asks;
use crate::world::process::{Ended, LOOK_EVERY, PATIENCE};
use crate::world::{World, ago, all_services, artefacts, contract, document, payloads, service};

/// The functions that exist and have payloads, with their records; says what is skipped and why.
fn played(test: &str) -> Vec<(&'static str, Vec<String>)> {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: {test}: COLLECTOR_SAMPLES is not set");
        return Vec::new();
    };
    let skipped = |why: &str| println!("skipped: {test}: {why}");
    let found = payloads::by_function(&samples, skipped);
    let is_here = |function: &str| all_services().any(|service| service.function == function);
    found.iter().filter(|(function, _)| !is_here(function)).for_each(|(function, _)| {
        skipped(&format!("there is no {function} yet"));
    });
    found.into_iter().filter(|(function, _)| is_here(function)).collect()
}

/// A world whose API gives these records, whatever they say of themselves.
async fn world_of(function: &str, records: &[String]) -> World {
    let world = World::new(service(function)).await;
    if world.service.query.is_snapshot() {
        // A midnight between two pulls would send all of them again.
        world.configure(&json!({"snapshot_mode": "changes"}));
    }
    give(&world, records);
    world
}

/// From now on the API gives these records: on one page, or in one more blob.
fn give(world: &World, records: &[String]) {
    match world.promise.asks {
        Asks::Collection(endpoint) => {
            let page = Fault::Status { code: 200, body: Some(payloads::page(records)), headers: Vec::new() };
            world.tenant.script(vec![Rule::on_endpoint(endpoint, page)]);
        }
        // Once: whatever is asked for behind that page is not there.
        Asks::Defender(list) => {
            let page = Fault::Status { code: 200, body: Some(payloads::page(records)), headers: Vec::new() };
            world.tenant.script(vec![Rule::on_defender(list, page).nth(1)]);
        }
        Asks::CloudApps(list) => {
            let body = Some(payloads::listed(records));
            let page = Fault::Status { code: 200, body, headers: Vec::new() };
            world.tenant.script(vec![Rule::on_cloud_apps(list, page).nth(1)]);
        }
        Asks::Feed(content_type) => {
            let created = ago(SignedDuration::from_secs(1));
            world.tenant.emit_blob_raw(content_type, created, payloads::blob(records).into_bytes());
        }
        other => panic!("nothing is given to {other:?} here"),
    }
}

/// Tag and message of each record.
fn expected(world: &World, records: &[String], answer: &Value) -> BTreeSet<(String, String)> {
    let pulling_id = answer["devo_pulling_id"].as_str().unwrap();
    let lines = records.iter().map(|record| {
        let tag = world.promise.tag(&serde_json::from_str(record).unwrap(), &world.id);
        (tag, contract::message(record, &world.id, pulling_id))
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_real_payload_arrives_byte_for_byte() {
    for (function, records) in played("every_real_payload_arrives_byte_for_byte") {
        let world = world_of(function, &records).await;
        let answer = world.tick().await;
        assert_eq!(answer["delivered"], records.len(), "{function}: {answer}");
        let arrived: BTreeSet<(String, String)> =
            world.records().into_iter().map(|arrival| (arrival.tag, arrival.message)).collect();
        assert_eq!(arrived, expected(&world, &records, &answer), "{function}");
        assert_eq!(world.records().len(), records.len(), "{function}: nothing twice");
        println!("{function}: {} real payloads", records.len());
        // What arrived once is known, in whatever white space and order it comes back.
        let reshaped: Vec<String> = records.iter().map(|record| reversed(record)).collect();
        give(&world, &reshaped);
        let again = world.force().await;
        let changed = change_again(&world, &records);
        assert_eq!(
            (&again["duplicates"], &again["delivered"]),
            (&json!(records.len() - changed), &json!(changed)),
            "{function}"
        );
        world.close().await;
    }
}

/// How many of these records are new when all of them come a second time: of a service that compares a record with the
/// last version of its id, those that share an id with another one. To whom they come in turn, each is a change; in a list
/// that is read as a whole, both are there at once.
fn change_again(world: &World, records: &[String]) -> usize {
    if !world.promise.compares_with_last_version() || world.service.query.is_snapshot() {
        return 0;
    }
    let ids: Vec<Value> =
        records.iter().map(|record| serde_json::from_str::<Value>(record).unwrap()["id"].clone()).collect();
    ids.iter().filter(|id| ids.iter().filter(|other| other == id).count() > 1).count()
}

/// The same record with its outer members in reverse order, on lines of their own. Their values stay as they are spelt.
fn reversed(record: &str) -> String {
    let order: serde_json::Map<String, Value> = serde_json::from_str(record).unwrap();
    let values: BTreeMap<String, &RawValue> = serde_json::from_str(record).unwrap();
    let members = order.keys().rev().map(|name| format!("\n  {}: {}", json!(name), values[name]));
    format!("{{{}\n}}", members.collect::<Vec<_>>().join(","))
}

/// A running rsyslogd with mutual TLS; its folder goes with it.
struct Rsyslog {
    address: SocketAddr,
    folder: tempfile::TempDir,
    pki: DevoPki,
    _child: Child,
}

impl Rsyslog {
    /// Starts it; `None` where it is not installed.
    async fn start() -> Option<Self> {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates = std::env::split_paths(&paths).map(|folder| folder.join("rsyslogd"));
        let executable = candidates.find(|path| path.is_file())?;
        let folder = tempfile::tempdir().unwrap();
        let pki = DevoPki::generate(&["127.0.0.1".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("work")).unwrap();
        fs::write(path("ca.crt"), &pki.chain_pem).unwrap();
        fs::write(path("server.crt"), &pki.server.certificate_pem).unwrap();
        fs::write(path("server.key"), &pki.server.private_key_pem).unwrap();
        fs::write(path("rsyslog.conf"), configuration(folder.path())).unwrap();
        let child = Command::new(executable)
            .arg("-n")
            .arg("-f")
            .arg(path("rsyslog.conf"))
            .arg("-i")
            .arg(path("rsyslogd.pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let port = timeout(PATIENCE, async {
            loop {
                let written = fs::read_to_string(path("port")).unwrap_or_default();
                if let Ok(port) = written.trim().parse::<u16>() {
                    return port;
                }
                sleep(LOOK_EVERY).await;
            }
        });
        let port = port.await.expect("rsyslogd does not listen; is rsyslog-openssl installed?");
        Some(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), folder, pki, _child: child })
    }

    /// The complete events that it has stored so far, as they came.
    fn stored(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("out.jsonl")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = complete.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["raw"].as_str().unwrap().to_owned()).collect()
    }
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"global(workDirectory="{folder}/work" maxMessageSize="2m" parser.escapeControlCharactersOnReceive="off"
  DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="{folder}/ca.crt"
  DefaultNetstreamDriverCertFile="{folder}/server.crt" DefaultNetstreamDriverKeyFile="{folder}/server.key")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/certvalid")
input(type="imtcp" port="0" address="127.0.0.1" listenPortFileName="{folder}/port" ruleset="devo")
template(name="json" type="list" option.jsonf="on") {{ property(outname="raw" name="rawmsg" format="jsonf") }}
ruleset(name="devo") {{ action(type="omfile" file="{folder}/out.jsonl" template="json") }}
"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_payloads_arrive_whole_at_an_independent_syslog_server_over_mutual_tls() {
    let test = "real_payloads_arrive_whole_at_an_independent_syslog_server_over_mutual_tls";
    let all = played(test);
    if all.is_empty() {
        return;
    }
    let Some(rsyslog) = Rsyslog::start().await else {
        println!("skipped: {test}: rsyslogd is not installed");
        return;
    };
    for (function, records) in all {
        let world = world_of(function, &records).await;
        let (client, chain) = (&rsyslog.pki.client, &rsyslog.pki.chain_pem);
        let mut devo =
            document::devo(rsyslog.address, chain, &client.certificate_pem, &client.private_key_pem);
        devo["compression"] = json!("none");
        world.store_secrets(&world.document(), &devo);
        let answer = answer_of(&world).await;
        assert_eq!(answer["delivered"], records.len(), "{function}: {answer}");
        let pulling_id = answer["devo_pulling_id"].as_str().unwrap().to_owned();
        let stored_of = || stored_of(&rsyslog, &pulling_id);
        let wanted: BTreeSet<String> = expected(&world, &records, &answer)
            .into_iter()
            .map(|(tag, message)| format!("{function} {tag}: {message}"))
            .collect();
        // It answers the end of the stream before it has stored the last line.
        let all_stored = timeout(PATIENCE, async {
            while !wanted.is_subset(&stored_of()) {
                sleep(LOOK_EVERY).await;
            }
        });
        assert!(all_stored.await.is_ok(), "{function}: {:?}", wanted.difference(&stored_of()));
        assert_eq!(stored_of(), wanted, "{function}: no line was cut in two");
        println!("{function}: {} real payloads at rsyslogd", records.len());
        world.close().await;
    }
}

/// The answer of a tick. Now and then this server ends its stream with a record that is no TLS: that is no clean end, so
/// nothing is committed and the next tick sends everything again, as another pull.
async fn answer_of(world: &World) -> Value {
    for _ in 0..3 {
        match world.once(&json!({})).await {
            Ended::Error(error) if error.message.starts_with("[602]") => println!("{}", error.message),
            ended => return ended.answer(),
        }
    }
    world.tick().await
}

/// The records of a pull behind `<14>` and the date, which has 15 characters.
fn stored_of(rsyslog: &Rsyslog, pulling_id: &str) -> BTreeSet<String> {
    let member = format!(r#""@devo_pulling_id":"{pulling_id}""#);
    let stored = rsyslog.stored();
    let beginning = "<14>Nov 20 10:00:00 ".len();
    stored.iter().filter(|raw| raw.contains(&member)).map(|raw| raw[beginning..].to_owned()).collect()
}
