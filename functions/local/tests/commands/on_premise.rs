//! The files of infra/on-prem hold to what `collector` is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use collector::error::code;
use collector::service::Authorization;
use local::FAMILIES;
use local_host::{config, runner};
use serde_json::Value;

use crate::support::{play, text, world_with};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/on-prem").join(name)
}

fn content(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// The directives of the unit; those that come several times are joined.
fn directives() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in content("collector.service").lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = line.split_once('=') {
            found.entry(name.to_owned()).or_default().push(value.to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_configuration_is_valid_and_names_every_service() {
    // A world has certificates where the example looks for them.
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    std::fs::write(&world.configuration, content("config.example.yaml")).unwrap();
    let configuration = config::load(&world.configuration).unwrap();
    assert_eq!(configuration.problems, [""; 0]);
    let services = runner::validate(&configuration, FAMILIES).unwrap();
    assert_eq!((services.warnings, configuration.warnings), (Vec::new(), Vec::new()));
    assert!(!services.enabled.is_empty());

    let named = |input: &str| -> BTreeSet<String> {
        let block = &configuration.document["inputs"][input]["services"];
        block.as_object().into_iter().flat_map(|services| services.keys().cloned()).collect()
    };
    for family in FAMILIES {
        let known: BTreeSet<String> = family.services.iter().map(|service| service.name.to_owned()).collect();
        assert_eq!(named(family.input), known, "{}", family.input);
    }
    let inputs = configuration.document["inputs"].as_object().map(serde_json::Map::len);
    assert_eq!(inputs, Some(FAMILIES.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_example_gets_as_far_as_its_placeholders_in_the_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    let (base_url, port) = (world.tenant.base_url(), world.receiver.address().port());
    let hosts = format!("\n    override_base_url: {base_url}\n    override_login_url: {base_url}\n");
    let here = content("config.example.yaml")
        .replace("\n    environment: prod\n", &format!("\n    environment: prod{hosts}"))
        .replace("collector-us.devo.io\n      port: 443\n", &format!("127.0.0.1\n      port: {port}\n"));
    std::fs::write(&world.configuration, here).unwrap();
    let checked = play(&world, &["check"]).await;
    let shown = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(1), "{shown}{}", text(&checked.stderr));
    assert!(shown.contains("ok      outputs.devo: "), "{shown}");
    let configuration = config::load(&world.configuration).unwrap();
    let services = runner::validate(&configuration, FAMILIES).unwrap().enabled;
    for service in services.iter().map(|settings| settings.service) {
        let number = match service.authorization {
            Authorization::Login => code::LOGIN,
            Authorization::Token(_) => code::NOT_PULLABLE,
        };
        let told = format!("error   {}.{}: [{number}]", service.input, service.name);
        assert_eq!(shown.lines().filter(|line| line.starts_with(&told)).count(), 1, "{told}: {shown}");
    }
    assert_eq!(shown.lines().filter(|line| line.starts_with("error")).count(), services.len(), "{shown}");
}

#[test]
fn unit_container_and_example_agree_on_where_things_are() {
    let unit = directives();
    let container = content("Containerfile");
    let command: Vec<&str> = unit["ExecStart"][0].split(' ').collect();
    assert_eq!(command, ["/usr/local/bin/collector", "run"]);
    assert!(container.contains("ENTRYPOINT [\"/usr/local/bin/collector\"]\nCMD [\"run\"]"), "{container}");
    let configuration = "CONFIG_FILE=/etc/collector/config/config.yaml";
    assert!(unit["Environment"].iter().any(|variable| variable == configuration));
    assert!(container.contains(configuration));
    let state = format!("/var/lib/{}", unit["StateDirectory"][0]);
    assert!(container.contains(&format!("VOLUME {state}\n")));
    assert!(content("config.example.yaml").contains(&format!("directory_name: {state}\n")));
}

#[test]
fn the_unit_restarts_what_failed_but_not_an_invalid_configuration_and_lets_it_stop_cleanly() {
    let unit = directives();
    let only = |name: &str| unit[name].join(" ");
    assert_eq!((only("Restart"), only("RestartPreventExitStatus")), ("on-failure".into(), "2".into()));
    assert_eq!((only("KillSignal"), only("TimeoutStopSec")), ("SIGTERM".into(), "45s".into()));
    assert_eq!((only("ProtectSystem"), only("NoNewPrivileges")), ("strict".into(), "yes".into()));
    assert_eq!(only("User"), "collector");
}

#[test]
fn the_container_is_built_by_the_compiler_that_the_workspace_asks_for_and_runs_without_rights() {
    let manifest = std::fs::read_to_string(file("../../Cargo.toml")).unwrap();
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version: Value = serde_json::from_str(line.unwrap()).unwrap();
    let container = content("Containerfile");
    assert!(container.contains(&format!("FROM rust:{}-slim-", version.as_str().unwrap())), "{container}");
    assert!(container.contains("\nUSER 10001:10001\n"));
    for member in ["functions", "shared", "tests"] {
        assert!(container.contains(&format!("COPY {member} {member}\n")), "{member} is not copied");
    }
}
