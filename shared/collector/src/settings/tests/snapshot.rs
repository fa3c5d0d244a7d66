//! What is special about the settings of a snapshot.

use serde_json::{Value, json};

use super::family::{CLOUDS, changes, input, now, problems, resolve_changes, service, with};
use crate::error::Error;
use crate::service::{Family, Older, Period, Query, SameBy, Service};
use crate::settings::SnapshotMode;
use crate::settings::document::{Resolved, resolve};

static INVENTORY: Family =
    Family { input: "inventory", aliases: &[], older: Older::NONE, clouds: CLOUDS, services: &[&MACHINES] };

static MACHINES: Service = Service {
    query: Query::Snapshot { path: "/v1.0/machines", page_size: None },
    event_time: &[],
    same_by: SameBy::LastVersion { ignoring: None },
    period: Period { default_seconds: 86_400, minimum_seconds: 3_600 },
    ..service("inventory", "machines", &[], "inventory-machines", "inventory")
};

fn machines(settings: Value) -> Result<Resolved, Error> {
    let it = json!({"inputs": {"inventory": with(input(), json!({"services": {"machines": settings}}))}});
    resolve(&it, &[&INVENTORY], "inventory-machines", None, now())
}

#[test]
fn the_mode_is_daily_unless_it_is_said_otherwise() {
    let table = [
        (json!({}), SnapshotMode::Daily),
        (json!({"snapshot_mode": null}), SnapshotMode::Daily),
        (json!({"snapshot_mode": "daily"}), SnapshotMode::Daily),
        (json!({"snapshot_mode": "changes"}), SnapshotMode::Changes),
        (json!({"snapshot_mode": " always "}), SnapshotMode::Always),
    ];
    for (given, expected) in table {
        let resolved = machines(given.clone()).unwrap();
        assert_eq!(resolved.settings.snapshot_mode, expected, "{given}");
        assert!(resolved.settings.late_sweep_period.is_zero(), "there are no late records to be swept for");
        assert_eq!(resolved.settings.request_period.as_secs(), 86_400);
    }
}

#[test]
fn another_mode_is_refused_with_the_words_there_are() {
    for wrong in ["hourly", "Daily", "daily, always"] {
        let error = machines(json!({"snapshot_mode": wrong})).unwrap_err();
        assert_eq!(
            (error.error_type.as_str(), error.message.as_str()),
            (
                "InitVariablesError",
                "inputs.inventory.services.machines.snapshot_mode: must be daily, changes or always"
            ),
            "{wrong}"
        );
    }
    let error = machines(json!({"snapshot_mode": 1})).unwrap_err();
    assert!(error.message.starts_with("inputs.inventory.services.machines.snapshot_mode: "), "{error}");
}

#[test]
fn settings_of_windows_and_of_snapshots_are_unknown_to_the_other_kind() {
    let found = problems(&changes(json!({"snapshot_mode": "daily"})));
    assert!(found[0].contains("snapshot_mode: unknown key"), "{found:?}");
    for name in ["late_sweep_period_in_seconds", "late_sweep_range_in_seconds"] {
        let error = machines(json!({name: 600})).unwrap_err();
        assert!(error.message.contains(&format!("{name}: unknown key")), "{error}");
    }
}

#[test]
fn a_start_is_ignored_with_one_warning_whatever_it_is() {
    let starts = ["2026-11-01T00:00:00Z", "soon", "2027-01-01T00:00:00Z"];
    let names = ["start_time_in_utc", "start_time"];
    for (name, start) in names.into_iter().flat_map(|name| starts.map(|start| (name, start))) {
        let resolved = machines(json!({name: start})).unwrap();
        assert_eq!(resolved.settings.start_time, None);
        let said: Vec<&String> =
            resolved.warnings.iter().filter(|text| text.contains("start_time")).collect();
        assert_eq!(said.len(), 1, "{:?}", resolved.warnings);
        assert!(said[0].ends_with(": has no effect: a snapshot reads the whole list each time"), "{said:?}");
    }
    let live = resolve_changes(&changes(json!({"start_time_in_utc": "2026-11-01T00:00:00Z"}))).unwrap();
    assert!(live.settings.start_time.is_some() && live.warnings.is_empty());
}

#[test]
fn a_period_below_the_least_is_refused() {
    let error = machines(json!({"request_period_in_seconds": 600})).unwrap_err();
    assert!(error.message.contains("request_period_in_seconds") && error.message.contains("3600"), "{error}");
}
