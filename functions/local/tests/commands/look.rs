//! Commands that look and ship nothing: `check`, and `pull` to be looked at.

use collector::error::code;
use jiff::{SignedDuration, Timestamp};
use local::Reads;
use simulator::receiver::{ConnectionFault, Occurrence};
use simulator::tenant::{Application, DEFENDER_ROLES, DefenderList, Endpoint};

use crate::support::{RETRY, change_config, each_record, play, printed_records, text, world_with};

const SERVICE: &str = "microsoft_graph_audit.directory_audits";

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
    let emitted = each_record(&world, Reads::Collection(Endpoint::DirectoryAudits), 1);
    for _ in 0..2 {
        let printed = play(&world, &["pull", SERVICE, "--output", "stdout"]).await;
        assert!(printed.status.success(), "{}", text(&printed.stderr));
        assert_eq!(printed_records(&text(&printed.stdout)), emitted);
    }
    let now = Timestamp::now();
    let (from, to) = (now - SignedDuration::from_hours(2), now - SignedDuration::from_secs(1));
    let file = folder.path().join("window.jsonl");
    let [from, to] = [from, to].map(|instant| format!("{instant:.0}"));
    let arguments =
        ["pull", "graph-directory-audits", "--from", &from, "--to", &to, "--output", file.to_str().unwrap()];
    let pulled = play(&world, &arguments).await;
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert_eq!(printed_records(&std::fs::read_to_string(&file).unwrap()), emitted);
    assert!(!world.state.exists() && world.receiver.event_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_pulled_is_named_with_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    let cases: [(&[&str], &str); 5] = [
        (&["pull", "microsoft_graph_audit.nothing"], SERVICE),
        (
            &["pull", SERVICE, "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"],
            "end_time_in_utc",
        ),
        (&["pull", "office365.uri_retry", "--output", "stdout"], "--output devo"),
        (
            &["pull", RETRY, "--from", "2026-11-01T00:00:00Z", "--to", "2026-11-02T00:00:00Z"],
            "no windows to pull again",
        ),
        (&["pull", SERVICE, "--from", "yesterday", "--to", "2026-11-01T00:00:00Z"], "start_time_in_utc"),
    ];
    for (arguments, named) in cases {
        let refused = play(&world, arguments).await;
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains(named), "{}", text(&refused.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_permission_that_a_count_lacks_and_the_query_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 0).await;
    let check = async || {
        let output = play(&world, &["check"]).await;
        (output.status.code(), text(&output.stdout))
    };
    let (_, shown) = check().await;
    assert!(shown.contains("its counts were not tried"), "{shown}");

    // Nothing happened within the last hour: an older alert is good enough.
    let alert = simulator::records::defender_alert(1, Timestamp::now() - SignedDuration::from_hours(5));
    world.tenant.emit_defender(DefenderList::Alerts, alert).unwrap();
    world.tenant.set_defender_roles(DEFENDER_ROLES.into_iter().filter(|role| *role != "File.Read.All"));
    let (code, shown) = check().await;
    let warning = "warning microsoft_defender_endpoint.alerts: request_alert_related_files: ";
    let told = shown.lines().find(|line| line.starts_with(warning)).unwrap_or_else(|| panic!("{shown}"));
    assert!(told.contains("File.Read.All"), "{told}");
    assert_eq!(code, Some(0), "a count less is no problem: {shown}");

    change_config(&world, "query: DeviceProcessEvents", "query: DeviceProcesses");
    let (code, shown) = check().await;
    let problem = "error   microsoft_defender_endpoint.advanced_hunting: query processes: ";
    let told = shown.lines().find(|line| line.starts_with(problem)).unwrap_or_else(|| panic!("{shown}"));
    assert!(told.contains("DeviceProcesses"), "it says what the API said: {told}");
    assert_eq!(code, Some(1));
}
