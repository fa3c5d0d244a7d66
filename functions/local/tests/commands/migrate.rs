//! `collector migrate`: older configurations in, today's out.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::text;

const OLD: &str = "
# the old collector
globals: {debug: false}
inputs:
  microsoft_graph_audit:
    id: 12345
    enabled: 'true'
    credentials: {tenant_id: t-1, client_id: c-1, client_secret: hunter2}
    services:
      audit:
        request_period_in_seconds: '600'
        start_time: 2026-11-01T00-00-00Z
        ms_365_environment: gcc_high
      signIn_nonInteractive:
      signIn_managedIdentity: {}
";

fn migrate(old: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_collector"))
        .args(["migrate", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(old.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_older_configuration_comes_out_in_todays_form_and_its_format() {
    let output = migrate(OLD);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    insta::assert_snapshot!("migrated", text(&output.stdout));
    insta::assert_snapshot!("changes", text(&output.stderr));

    let again = migrate(&text(&output.stdout));
    assert_eq!(text(&again.stdout), text(&output.stdout));
    assert!(text(&again.stderr).starts_with("nothing to change"), "{}", text(&again.stderr));
}

#[test]
fn json_stays_json_in_the_order_of_its_members() {
    let old = r#"{"inputs": {"microsoft_graph_audit": {"services": {"signIn": {"tag": "a.b", "enabled": true}},
        "credentials": {"client_secret": "hunter2", "tenant_id": "t", "client_id": "c"}, "id": "x"}}}"#;
    let output = migrate(old);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = r#"{"inputs":{"microsoft_graph_audit":{"services":{"signIns":{"override_tag":"a.b","enabled":true}},"credentials":{"client_secret":"hunter2","tenant_id":"t","client_id":"c"},"id":"x"}}}"#;
    assert_eq!(document.to_string(), expected);
    assert!(!text(&output.stderr).contains("comments"), "{}", text(&output.stderr));
}

#[test]
fn what_cannot_be_read_or_is_invalid_ends_with_2_and_all_problems() {
    let cases: [(&str, &[&str]); 3] = [
        ("{\"inputs\": \"hunter2", &["standard input: ", "line 1"]),
        ("a: b", &["inputs: is missing"]),
        (
            "inputs: {office365: {id: a b, services: {exchange: {tagg: hunter2}}}, microsoft_nothing: {}}",
            &[
                "inputs.office365.id: ",
                "inputs.office365.credentials: ",
                "exchange.tagg: ",
                "inputs.microsoft_nothing: ",
            ],
        ),
    ];
    for (old, named) in cases {
        let output = migrate(old);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(output.stdout.is_empty());
        for name in named {
            assert_eq!(told.matches(name).count(), 1, "{name}: {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
    let absent =
        Command::new(env!("CARGO_BIN_EXE_collector")).args(["migrate", "no/such/file"]).output().unwrap();
    assert_eq!(absent.status.code(), Some(2));
    assert!(text(&absent.stderr).contains("no/such/file: cannot be read"), "{}", text(&absent.stderr));
}

#[test]
fn every_spelling_of_defender_for_endpoint_comes_out_so_that_nothing_is_said_of_it_any_more() {
    let old = "
inputs:
  microsoft_defender_endpoint:
    id: '1'
    credentials:
      tenant_id: t
      client_id: c
      client_secret: s
      api_base_url: https://api-eu.securitycenter.microsoft.com
      token_url: https://login.microsoftonline.com
    services:
      alerts: {start_time: '2026-11-19T00:00:00Z', flatten: 'true', request_alert_related_files: 'true', tag: my.app.a}
      machines: {historic_date_utc: '2026-11-19T00:00:00Z'}
      software: {request_softtware_missing_kbs: true, request_softtware_version_distributions: true}
      vulnerabiities: {request_machine_by_vulnerabilities: true}
      investigations: {historical_poll_datetime: '2026-11-19T00:00:00Z'}
      advanced_huntuing:
        queries: [{name: q, query: DeviceInfo | take 3, tag: my.app.b, time_range_in_seconds: 3600}]
";
    let output = migrate(old);
    let (today, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), told.contains("warning")), (Some(0), false), "{told}");
    for name in ["softwares", "vulnerabilities", "advanced_hunting", "override_base_url", "override_tag"] {
        assert!(today.contains(&format!("{name}:")), "{name}: {today}");
    }
    let again = migrate(&today);
    assert_eq!(text(&again.stdout), today);
    let told_again = text(&again.stderr);
    assert!(told_again.starts_with("nothing to change") && !told_again.contains("warning"), "{told_again}");
}

#[test]
fn the_vendors_document_for_cloud_apps_comes_out_in_todays_form_with_each_change_told() {
    let old = "
inputs:
  microsoft_defender_cloud_apps:
    id: '1'
    credentials:
      tenant_id: t
      client_id: c
      client_secret: s
      files_access_token: hunter2
      api_base_url: https://portal.cloudappsecurity.com/
      token_url: https://login.microsoftonline.com/
    services:
      activities: {historic_date_utc: '2026-11-19T00:00:00Z'}
      alerts: {historic_date_utc: '2026-11-19T00:00:00Z', tag: my.app.a}
      entities: {historic_date_utc: '2026-11-19T00:00:00Z'}
      data_enrichment: {}
      files: {historic_date_utc: '2026-11-19T00:00:00Z'}
";
    let output = migrate(old);
    let (today, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), told.contains("warning")), (Some(0), false), "{told}");
    let place = "changed inputs.microsoft_defender_cloud_apps.";
    let changes = [
        "credentials.api_base_url: is the input's `override_base_url`",
        "credentials.token_url: is the input's `override_login_url`",
        "services.activities.historic_date_utc: is `start_time_in_utc` today",
        "services.alerts.historic_date_utc: is `start_time_in_utc` today",
        "services.alerts.tag: is `override_tag` today",
        "services.entities.historic_date_utc: is left out",
        "services.files.historic_date_utc: is `start_time_in_utc` today",
    ];
    for change in changes {
        assert_eq!(told.matches(&format!("{place}{change}")).count(), 1, "{change}: {told}");
    }
    assert_eq!(told.matches("changed ").count(), changes.len(), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(
        today.contains("    credentials:\n") && today.contains("      files_access_token: hunter2\n"),
        "{today}"
    );
    let again = migrate(&today);
    assert_eq!(text(&again.stdout), today);
    assert!(text(&again.stderr).starts_with("nothing to change"), "{}", text(&again.stderr));
}
