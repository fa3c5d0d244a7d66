//! Commands that collect: `pull` to the configured outputs, and `run`.

use serde_json::Value;
use simulator::receiver::{ConnectionFault, Occurrence};
use simulator::tenant::{ContentType, Endpoint, Fault, Gate, Rule, Subscription};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{
    assert_each_arrived_once, change_config, collector, emit, play, text, wait_for_all_arrivals, world_with,
};

const SERVICE: &str = "microsoft_graph_audit.directory_audits";
const HUNTING: &str = "microsoft_defender_endpoint.advanced_hunting";

fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
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
    for (service, (_, reads)) in services.as_array().unwrap().iter().zip(&world.services) {
        let counts = &service["last_24_hours"];
        assert_eq!(
            (&counts["delivered"], &service["last_result"]),
            (&world.emitted(*reads).len().into(), &"up_to_date".into()),
            "{service}"
        );
    }
    let table = play(&world, &["status"]).await;
    assert!(table.status.success() && text(&table.stdout).contains("graph-directory-audits"));
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

    for (service, reads) in &world.services {
        emit(&world, *reads, 60..90);
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
    // A start that the stop cuts off would be made again only after a quarter of an hour.
    for feed in ContentType::ALL {
        world.tenant.set_subscription(feed, Subscription::Enabled);
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_query_is_told_in_full_below_the_tables_of_status() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 3).await;
    change_config(&world, "query: DeviceProcessEvents", "query: DeviceProcesses");
    assert_eq!(play(&world, &["pull", HUNTING]).await.status.code(), Some(1));
    let shown = text(&play(&world, &["status"]).await.stdout);
    let told: Vec<_> = shown.lines().filter(|line| line.contains("DeviceProcesses")).collect();
    assert_eq!(told.len(), 1, "{shown}");
    assert!(told[0].starts_with("error   endpoint-advanced-hunting, query processes: ["), "{shown}");
    let width = |line: &str| line.chars().count();
    let table = shown.lines().filter(|line| line.starts_with(' '));
    assert!(table.map(width).max().unwrap() < 180, "no message widens a table: {shown}");
}
