//! The built `collector` against a simulated tenant and receiver: what an operator sees, and what Devo gets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};

use collector::error::code;
use jiff::{SignedDuration, Timestamp};
use local::{FAMILIES, World};
use serde_json::Value;
use simulator::receiver::{ConnectionFault, Occurrence};
use simulator::tenant::{Application, Endpoint, Fault, Gate, Rule};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const SERVICE: &str = "microsoft_graph_audit.directory_audits";

/// A world with `count` records in each collection, a second apart, the newest a minute old.
async fn world_with(folder: &Path, count: u64) -> World {
    let world = World::create(Some(folder), 1_000, FAMILIES).await.unwrap();
    for (_, endpoint) in &world.services {
        emit(&world, *endpoint, 0..count);
    }
    world
}

fn emit(world: &World, endpoint: Endpoint, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let seconds = i64::try_from(60 + number).unwrap();
        let time = Timestamp::now() - SignedDuration::from_secs(seconds);
        world.tenant.emit(endpoint, simulator::records::record(endpoint, number, time)).unwrap();
    }
}

fn collector(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command
        .args(arguments)
        .env("CONFIG_FILE", &world.configuration)
        .env("RUST_LOG", "info")
        .env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn play(world: &World, arguments: &[&str]) -> Output {
    collector(world, arguments).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn change_config(world: &World, from: &str, to: &str) {
    let before = std::fs::read_to_string(&world.configuration).unwrap();
    assert!(before.contains(from), "{from} is not in the configuration");
    std::fs::write(&world.configuration, before.replace(from, to)).unwrap();
}

/// How often each record of a collection reached the receiver.
fn arrivals(world: &World, endpoint: Endpoint, host: &str) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<_, _> =
        world.tenant.emitted(endpoint).iter().map(|record| (text(record), 0)).collect();
    for event in world.receiver.events() {
        let message = text(&event.message);
        if event.host == host && !event.tag.starts_with("devo.collector") {
            let (record, _) = message.rsplit_once(",\"@devo_environment\":").unwrap();
            *counts.get_mut(&format!("{record}}}")).expect("an arrival that nobody emitted") += 1;
        }
    }
    counts
}

fn assert_each_arrived_once(world: &World) {
    for (service, endpoint) in &world.services {
        let counts = arrivals(world, *endpoint, service.function);
        assert!(!counts.is_empty());
        let wrong: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", service.function);
    }
    assert!(world.receiver.violations().is_empty());
}

async fn wait_for_all_arrivals(world: &World) {
    let expected: usize =
        world.services.iter().map(|(_, endpoint)| world.tenant.emitted(*endpoint).len()).sum();
    let arrived = |receiver: &simulator::receiver::Receiver| {
        receiver.events().iter().filter(|event| !event.tag.starts_with("devo.collector")).count() >= expected
    };
    world.receiver.wait_until(arrived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_well_with_and_without_faults_and_says_where_the_files_are() {
    for faults in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let demo_folder = folder.path().join("demo");
        let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
        command.args(["demo", "--events", "300", "--json", "--dir"]).arg(&demo_folder);
        if faults {
            command.arg("--faults");
        }
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["faults"].as_u64().unwrap() > 0, faults);
        let services = result["services"].as_array().unwrap();
        let known: usize = FAMILIES.iter().map(|family| family.services.len()).sum();
        assert_eq!(services.len(), known);
        for service in services {
            let count = |name: &str| service[name].as_u64().unwrap();
            assert_eq!((count("emitted"), count("delivered")), (300, 300), "{service}");
            assert!(count("dropped") > 0, "records were served twice: {service}");
            assert!(faults || count("received") == count("dropped") + count("delivered"), "{service}");
        }
        for name in ["configuration", "state", "received_events"] {
            let path = Path::new(result[name].as_str().unwrap());
            assert!(path.is_file() && path.starts_with(&demo_folder), "{name}");
        }
        let received = std::fs::read_to_string(result["received_events"].as_str().unwrap()).unwrap();
        let records = received.lines().filter(|line| !line.starts_with("{\"tag\":\"devo.collector")).count();
        assert_eq!(records, 300 * known);
        let again =
            Command::new(env!("CARGO_BIN_EXE_collector")).args(["demo", "--dir"]).arg(&demo_folder).output();
        assert_eq!(again.await.unwrap().status.code(), Some(2), "a folder with files is not used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_is_wrong_and_ships_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 3).await;
    let check = async |expected: i32| {
        let output = play(&world, &["check"]).await;
        assert_eq!(output.status.code(), Some(expected), "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!output.stdout.contains(&0x1b), "no colours in a pipe");
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };

    let good = check(0).await;
    assert!(good.contains(&format!("ok      {SERVICE}: login and first page work, 3 records")), "{good}");
    assert!(good.contains("ok      outputs.devo: 127.0.0.1:"), "{good}");

    world.receiver.script(vec![(Occurrence::Every, ConnectionFault::RefuseCertificate)]);
    let refused = check(1).await;
    assert!(refused.contains(&format!("error   outputs.devo: [{}]", code::CERTIFICATE)), "{refused}");
    world.receiver.script(vec![]);

    let applications = world.tenant.config().applications.clone();
    let client_id = applications[0].client_id.clone();
    world.tenant.set_applications(vec![Application::with_secret(&client_id, "another secret")]);
    let unknown_secret = check(1).await;
    assert!(unknown_secret.contains(&format!("error   {SERVICE}: [{}]", code::LOGIN)), "{unknown_secret}");
    assert!(!unknown_secret.contains(&applications[0].secrets[0].value), "a secret is shown");
    world.tenant.set_applications(applications);

    change_config(&world, "requests_per_second", "request_per_second");
    change_config(&world, "      directory_audits:", "      directory_audit:");
    let invalid = check(2).await;
    assert!(invalid.contains("request_per_second") && invalid.contains("requests_per_second"), "{invalid}");
    assert!(invalid.contains("directory_audit") && invalid.contains("directory_audits"), "{invalid}");

    assert_eq!(world.receiver.event_count(), 0);
    assert!(!world.state.exists(), "a check makes no state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_to_look_at_prints_the_records_and_leaves_the_live_state_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 40).await;
    let emitted: BTreeMap<_, _> =
        world.tenant.emitted(Endpoint::DirectoryAudits).iter().map(|record| (text(record), 1)).collect();
    let records_of = |lines: &str| {
        let mut counts = BTreeMap::new();
        for line in lines.lines() {
            let message =
                line.strip_prefix("{\"tag\":\"cloud.azure.ad.audit.demo.msgraph\",\"message\":").unwrap();
            let (record, _) = message.rsplit_once(",\"@devo_environment\":").unwrap();
            *counts.entry(format!("{record}}}")).or_insert(0) += 1;
        }
        counts
    };
    for _ in 0..2 {
        let printed = play(&world, &["pull", SERVICE, "--output", "stdout"]).await;
        assert!(printed.status.success(), "{}", text(&printed.stderr));
        assert_eq!(records_of(&text(&printed.stdout)), emitted);
    }
    let now = Timestamp::now();
    let (from, to) = (now - SignedDuration::from_hours(2), now - SignedDuration::from_secs(1));
    let file = folder.path().join("window.jsonl");
    let [from, to] = [from, to].map(|instant| format!("{instant:.0}"));
    let arguments =
        ["pull", "graph-directory-audits", "--from", &from, "--to", &to, "--output", file.to_str().unwrap()];
    let pulled = play(&world, &arguments).await;
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert_eq!(records_of(&std::fs::read_to_string(&file).unwrap()), emitted);
    assert!(!world.state.exists() && world.receiver.event_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_pull_moves_the_position_so_a_second_one_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 25).await;
    for (service, _) in &world.services {
        for _ in 0..2 {
            let pulled = play(&world, &["pull", &format!("{}.{}", service.input, service.name)]).await;
            assert!(pulled.status.success(), "{}", text(&pulled.stderr));
        }
    }
    assert_each_arrived_once(&world);
    let shown = play(&world, &["status", "--json"]).await;
    let services: Value = serde_json::from_slice(&shown.stdout).unwrap();
    for service in services.as_array().unwrap() {
        let counts = &service["last_24_hours"];
        assert_eq!(
            (&counts["delivered"], &service["last_result"]),
            (&25.into(), &"up_to_date".into()),
            "{service}"
        );
    }
    let table = play(&world, &["status"]).await;
    assert!(table.status.success() && text(&table.stdout).contains("graph-directory-audits"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pulled_is_named_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    let cases: [(&[&str], &str); 3] = [
        (&["pull", "microsoft_graph_audit.nothing"], SERVICE),
        (
            &["pull", SERVICE, "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"],
            "end_time_in_utc",
        ),
        (&["pull", SERVICE, "--from", "yesterday", "--to", "2026-11-01T00:00:00Z"], "start_time_in_utc"),
    ];
    for (arguments, named) in cases {
        let refused = play(&world, arguments).await;
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(named), "{}", text(&refused.stderr));
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_collects_until_it_is_told_to_stop_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 60).await;
    let run = collector(&world, &["run"]).spawn().unwrap();
    wait_for_all_arrivals(&world).await;
    let shown = play(&world, &["status", "--json"]).await;
    assert!(shown.status.success(), "status works while run runs: {}", text(&shown.stderr));
    signal(&run, "-TERM");
    let ended = run.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    assert!(text(&ended.stderr).contains("collector stopped"), "{}", text(&ended.stderr));
    assert_each_arrived_once(&world);

    for (service, endpoint) in &world.services {
        emit(&world, *endpoint, 60..90);
        let pulled = play(&world, &["pull", service.function]).await;
        assert!(pulled.status.success(), "the stopped run left no lease behind: {}", text(&pulled.stderr));
    }
    assert_each_arrived_once(&world);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_an_api_that_is_silent_and_leaves_no_lease_behind() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 10).await;
    let gate = Gate::new();
    world.tenant.script(vec![Rule::on_endpoint(Endpoint::DirectoryAudits, Fault::Hold(gate.clone()))]);
    let run = collector(&world, &["run"]).spawn().unwrap();
    gate.arrived(1).await;
    signal(&run, "-TERM");
    let ended = run.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    gate.release();
    for (service, _) in &world.services {
        let pulled = play(&world, &["pull", service.function]).await;
        assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    }
    assert_each_arrived_once(&world);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_the_process_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 10).await;
    world.receiver.script(vec![(Occurrence::Every, ConnectionFault::StopReadingAfter { bytes: 0 })]);
    let mut run = collector(&world, &["run"]).spawn().unwrap();
    let mut log = BufReader::new(run.stderr.take().unwrap()).lines();
    world.receiver.wait_until(|receiver| !receiver.connections().is_empty()).await;
    signal(&run, "-INT");
    while !log.next_line().await.unwrap().unwrap().contains("stopping") {}
    signal(&run, "-INT");
    assert_eq!(run.wait().await.unwrap().code(), Some(130));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_a_readable_state_and_a_lease_that_others_respect() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 10).await;
    let gate = Gate::new();
    world.tenant.script(vec![Rule::on_endpoint(Endpoint::DirectoryAudits, Fault::Hold(gate.clone()))]);
    let mut run = collector(&world, &["run"]).spawn().unwrap();
    gate.arrived(1).await;
    run.kill().await.unwrap();
    gate.release();
    let shown = play(&world, &["status", "--json"]).await;
    let services: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let interrupted =
        services.as_array().unwrap().iter().find(|one| one["service"] == "graph-directory-audits");
    assert!(interrupted.unwrap()["running"].is_string(), "{services}");
    let pulled = play(&world, &["pull", SERVICE]).await;
    assert_eq!(pulled.status.code(), Some(1));
    assert!(text(&pulled.stderr).contains("another process"), "{}", text(&pulled.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_stops_a_run_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    change_config(&world, "    id: demo\n", "");
    change_config(&world, "cert: domain.crt", "cert: absent.crt");
    let refused = play(&world, &["run"]).await;
    assert_eq!(refused.status.code(), Some(2));
    let problems = text(&refused.stderr);
    assert!(problems.contains("outputs.devo.config.cert: "), "{problems}");
    assert!(problems.contains("microsoft_graph_audit.id: "), "all problems are named together: {problems}");
    assert!(!world.state.exists());
}
