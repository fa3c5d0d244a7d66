//! The bill of ticks like those of a real run.

use super::super::measure::Course;
use super::super::tenants::TENANTS;
use super::super::world::Tick;
use super::*;

/// About what the artefact takes on a machine of two processors.
fn measured() -> Measured {
    let idle = Tick {
        wall_ms: 344.0,
        cpu_ms: 4.0,
        write_units: 2.0,
        read_units: 1.0,
        requests: 1,
        log_bytes: 1_500,
        log_lines: 3,
        devo_bytes: 2_830,
        ..Tick::default()
    };
    let loaded = |delivered: u64, wall_ms: f64, cpu_ms: f64, write_units: f64, requests: u64| Tick {
        delivered,
        received: delivered,
        wall_ms,
        cpu_ms,
        write_units,
        requests,
        devo_bytes: 2_830 + delivered * 213,
        stored_bytes: i64::try_from(200 + delivered * 8).unwrap(),
        stored_rows: 2,
        ..idle.clone()
    };
    let course = Course {
        first: Tick { wall_ms: 575.0, cpu_ms: 33.0, ..idle.clone() },
        not_due: Tick { wall_ms: 32.0, cpu_ms: 2.0, requests: 0, devo_bytes: 0, ..idle.clone() },
        loaded: vec![loaded(10, 345.0, 4.5, 9.0, 1), loaded(5_000, 1_344.0, 47.0, 77.0, 6)],
        again: Tick { received: 5_010, wall_ms: 1_340.0, cpu_ms: 27.0, ..idle.clone() },
        cold: Tick { wall_ms: 600.0, cpu_ms: 57.0, read_units: 12.0, ..idle.clone() },
        idle: idle.clone(),
    };
    Measured { start_ms: 16.0, collection: course.clone(), feed: course, retry: idle, ..Measured::default() }
}

fn of(tenant: Tenant, architecture: Architecture, days: f64) -> Bill {
    let prices = Prices::read(None).unwrap();
    bill(&measured(), &Assumptions::default(), &prices, (tenant, architecture, days)).unwrap()
}

#[test]
fn the_lines_of_both_groups_are_all_of_the_bill() {
    for tenant in TENANTS {
        let bill = of(tenant, Architecture::X86, MONTH_DAYS);
        let sum = bill.usd_of(Group::Collecting) + bill.usd_of(Group::Around);
        assert!((bill.usd() - sum).abs() < 1e-9, "{}", tenant.name);
        assert!(bill.lines.iter().all(|line| line.usd > 0.0), "{}", tenant.name);
        assert_eq!(bill.services.len(), 26);
    }
}

#[test]
fn collecting_from_a_small_tenant_costs_less_than_six_dollars() {
    for days in [MONTH_DAYS, MONTH_HOURS / 24.0] {
        for architecture in [Architecture::X86, Architecture::Arm] {
            let usd = of(*TENANTS.first().unwrap(), architecture, days).usd_of(Group::Collecting);
            assert!(usd < 6.0, "{usd} for {days} days on {architecture:?}");
        }
    }
}

#[test]
fn a_larger_tenant_costs_more_and_graviton_less() {
    let all = TENANTS.map(|tenant| of(tenant, Architecture::X86, MONTH_DAYS).usd());
    assert!(all.is_sorted(), "{all:?}");
    for tenant in TENANTS {
        let [x86, arm] = [Architecture::X86, Architecture::Arm]
            .map(|architecture| of(tenant, architecture, MONTH_DAYS).usd_of(Group::Collecting));
        assert!(arm < x86, "{}", tenant.name);
    }
}

#[test]
fn a_longer_month_has_more_ticks_and_no_more_secrets() {
    let line = |days: f64, name: &str| {
        let bill = of(*TENANTS.first().unwrap(), Architecture::X86, days);
        bill.lines.iter().find(|line| line.name == name).unwrap().quantity
    };
    let longer = MONTH_HOURS / 24.0;
    assert_eq!(line(longer, "Secrets Manager, secrets"), line(MONTH_DAYS, "Secrets Manager, secrets"));
    let ticks = line(longer, "EventBridge Scheduler") / line(MONTH_DAYS, "EventBridge Scheduler");
    assert!((ticks - longer / MONTH_DAYS).abs() < 1e-9);
}
