//! The demo, as it is played without a command.

use std::path::Path;

use local::FAMILIES;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{RETRY, text};

/// There is one of its records a day.
const SCORES: &str = "graph-secure-scores";
/// Lists of Defender for Endpoint and Defender for Cloud Apps whose records change.
const LISTS: usize = 6 + 4;
/// The operator's own query, and what users did: records do not change.
const UNCHANGING: [&str; 2] = ["endpoint-advanced-hunting", "cloud-apps-activities"];
/// Of the 180 records of a list that are there at first, so many change once they have arrived.
const CHANGED: u64 = 6;
/// Of the 80 blobs that hold the 300 records of a feed, three are not there at first.
const NOT_THERE_AT_FIRST: u64 = 5 * 3;

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
        let spoilt = result["faults"].as_u64().unwrap();
        assert!(if faults { spoilt > 50 } else { spoilt == NOT_THERE_AT_FIRST }, "{result}");
        let services = result["services"].as_array().unwrap();
        let known: usize = FAMILIES.iter().map(|family| family.services.len()).sum();
        assert_eq!(services.len(), known);
        let mut retried = 0;
        for service in services {
            let count = |name: &str| service[name].as_u64().unwrap();
            assert!(faults || count("received") == count("dropped") + count("delivered"), "{service}");
            if service["service"] == RETRY {
                assert_eq!((count("emitted"), count("delivered")), (0, retried), "{service}");
                assert!(retried > 0, "some content fails at first: {service}");
                continue;
            }
            let (mut events, name) = (300, service["service"].as_str().unwrap());
            if name == SCORES {
                events = 88;
            } else if ["endpoint-", "cloud-apps-"].iter().any(|family| name.starts_with(family))
                && !UNCHANGING.contains(&name)
            {
                events += CHANGED;
            }
            assert_eq!(
                (count("emitted"), count("delivered") + count("retried")),
                (events, events),
                "{service}"
            );
            assert!(count("dropped") > 0, "records were served twice: {service}");
            retried += count("retried");
        }
        for name in ["configuration", "state", "received_events"] {
            let path = Path::new(result[name].as_str().unwrap());
            assert!(path.is_file() && path.starts_with(&demo_folder), "{name}");
        }
        let received = std::fs::read_to_string(result["received_events"].as_str().unwrap()).unwrap();
        let records = received.lines().filter(|line| !line.starts_with("{\"tag\":\"devo.collector")).count();
        assert_eq!(
            records,
            300 * (known - 2) + 88 + LISTS * usize::try_from(CHANGED).unwrap(),
            "one service has no records of its own, one has one a day, those of lists change"
        );
        let counted = received.lines().filter(|line| line.contains("\"related_files\":")).count();
        assert_eq!(counted as u64, 300 + CHANGED, "each alert comes with its count");
        let again =
            Command::new(env!("CARGO_BIN_EXE_collector")).args(["demo", "--dir"]).arg(&demo_folder).output();
        assert_eq!(again.await.unwrap().status.code(), Some(2), "a folder with files is not used");
    }
}
