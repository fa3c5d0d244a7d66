//! The month of made-up ticks, computed by hand.

use super::super::measure::Course;
use super::super::tenants::TENANTS;
use super::*;

/// A tick that waits for 100 ms and takes no processor time.
fn quiet() -> Tick {
    Tick {
        wall_ms: 100.0,
        write_units: 2.0,
        read_units: 1.0,
        requests: 1,
        log_bytes: 1_000,
        log_lines: 2,
        ..Tick::default()
    }
}

/// Ticks that wait, write two units and one more for each ten records.
fn measured() -> Measured {
    let loaded = |records: u64| Tick {
        delivered: records,
        received: records,
        write_units: 2.0 + records as f64 / 10.0,
        devo_bytes: records * 200,
        stored_bytes: i64::try_from(records * 8).unwrap(),
        ..quiet()
    };
    let course = Course {
        first: quiet(),
        idle: quiet(),
        not_due: Tick { wall_ms: 20.0, requests: 0, ..quiet() },
        loaded: vec![loaded(10), loaded(1_000)],
        again: Tick { received: 1_010, ..quiet() },
        cold: quiet(),
    };
    Measured { collection: course.clone(), feed: course, retry: quiet(), ..Measured::default() }
}

/// Nothing but what was measured is billed, and nothing is swept.
fn plain() -> Assumptions {
    Assumptions { handshakes: 0.0, logins: 0.0, cold_share: 0.0, sweep_hours: 0.0, ..Assumptions::default() }
}

fn profile(kind: Kind, records: f64) -> Profile {
    let shape = *PROFILES.first().unwrap();
    Profile {
        kind,
        records,
        records_a_user: 0.0,
        page_records: 1_000.0,
        burst: 1.0,
        span_seconds: 10.0,
        ..shape
    }
}

fn of(assumptions: &Assumptions, kind: Kind, records: f64) -> ServiceMonth {
    service_month(&measured(), assumptions, &profile(kind, records), *TENANTS.first().unwrap(), 30.0)
}

const HOUR: Kind = Kind::Collection { look_back_minutes: 60.0 };

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= expected.abs() * 1e-9
}

#[test]
fn a_month_of_idle_ticks_is_8640_times_one() {
    for kind in [HOUR, Kind::Feed { look_back_minutes: 60.0 }, Kind::Queue] {
        let month = of(&plain(), kind, 0.0).quantities;
        assert!(close(month.invocations, 8_640.0), "{kind:?}");
        assert!(close(month.gb_seconds, 8_640.0 * 0.1 * 0.5), "{kind:?}");
        assert!(close(month.writes, 8_640.0 * 2.0), "{kind:?}");
        assert!(close(month.reads, 8_640.0), "{kind:?}");
        assert!(close(month.secret_calls, 2.0 * 24.0 * 30.0), "{kind:?}");
        let bytes = 8_640.0 * (1_000.0 + 330.0 + 5.0 * 26.0);
        assert!(close(month.log_gb, bytes / GIGABYTE), "{kind:?}");
    }
}

#[test]
fn a_daily_service_is_before_its_time_but_once() {
    let month = of(&plain(), Kind::Daily, 1_000.0).quantities;
    assert!(close(month.gb_seconds, 30.0 * (287.0 * 0.02 + 0.1) * 0.5));
    assert!(close(month.writes, 30.0 * (287.0 * 2.0 + 102.0)));
    assert!(close(month.out_gb, 30.0 * (1_000.0 * 200.0 + plain().request_bytes) / GIGABYTE));
}

#[test]
fn what_one_tick_of_the_day_cannot_read_the_next_ones_do() {
    // 24 requests of 1,000 records in the 240 s of a tick.
    for (records, ticks) in [(0.0, 1.0), (24_000.0, 1.0), (24_001.0, 2.0), (100_000.0, 5.0)] {
        let day = day(&plain(), &profile(Kind::Daily, records), records);
        let part = Load::Records { new: records / ticks, again: 0.0, swept: Swept::default() };
        assert_eq!(day, [(ticks, part), (288.0 - ticks, Load::NotDue)], "{records}");
    }
}

#[test]
fn every_tick_of_a_day_and_every_record_has_its_place_in_it() {
    for records in [0.0, 0.1, 5.0, 288.0, 10_000.0, 5e6] {
        let day = day(&plain(), &profile(HOUR, records), records);
        let ticks: f64 = day.iter().map(|(times, _)| times).sum();
        assert!(close(ticks, 288.0), "{records}");
        let new = |load: &Load| if let Load::Records { new, .. } = load { *new } else { 0.0 };
        let found: f64 = day.iter().map(|(times, load)| times * new(load)).sum();
        assert!((found - records).abs() < 1e-6, "{records}: {found}");
        // A tick has one record at the least, or none.
        assert!(day.iter().all(|(_, load)| new(load) == 0.0 || new(load) >= 1.0 - 1e-9), "{records}");
    }
}

#[test]
fn pages_behind_the_first_wait_for_the_limit_until_the_time_is_up() {
    // An hour again is twelve ticks: 13 ticks of records a tick, the busy ones at 80 % of the day's in 120 ticks.
    let records = |pages: f64| pages * 1_000.0 / 13.0 * 120.0 / 0.8;
    let busy = |pages: f64| {
        let days = day(&plain(), &profile(HOUR, records(pages)), records(pages));
        let (_, load) = *days.get(1).unwrap();
        tick(&measured(), &plain(), &profile(HOUR, 0.0), load)
    };
    for (pages, milliseconds, is_cut) in [
        (0.9, 100.0, false),
        (1.9, 10_100.0, false),
        (5.9, 50_100.0, false),
        (23.9, 230_100.0, false),
        (40.0, 230_100.0, true),
    ] {
        let (quantities, found) = busy(pages);
        assert!((quantities.billed_ms - milliseconds).abs() < 1.0, "{pages}: {}", quantities.billed_ms);
        assert_eq!(found, is_cut, "{pages}");
    }
}

#[test]
fn a_sweep_reads_a_day_in_a_third_of_an_hour_as_far_as_its_quarter_of_the_limit_goes() {
    // Thirty requests in a tick at one in ten seconds, of which seven are a sweep's.
    let a_day = |pages: f64| pages * 24.0 / 23.0 * 1_000.0;
    let sweeping = Assumptions { sweep_hours: 24.0, ..plain() };
    for (records, expected) in [
        (0.0, [(1.0, 1.0), (0.0, 0.0), (11.0, 0.0)]),
        (a_day(6.5), [(3.0, 2.0), (1.0, 1.0), (8.0, 0.0)]),
        (a_day(30.0), [(4.0, 7.0), (1.0, 2.0), (7.0, 0.0)]),
        (a_day(84.0), [(12.0, 7.0), (0.0, 0.0), (0.0, 0.0)]),
        (1e6, [(12.0, 7.0), (0.0, 0.0), (0.0, 0.0)]),
    ] {
        let found = sweeps(&sweeping, &profile(HOUR, records), records, 60.0);
        for ((share, swept), (ticks, pages)) in found.iter().zip(expected) {
            assert!((share * 12.0 - ticks).abs() < 1e-9 && swept.pages == pages, "{records}: {found:?}");
        }
        assert_eq!(found.len(), expected.len());
        assert_eq!(sweeps(&plain(), &profile(HOUR, records), records, 60.0), [(1.0, Swept::default())]);
    }
    // Each page of it waits for its turn behind the live one.
    let billed = |assumptions: &Assumptions| of(assumptions, HOUR, 0.0).quantities.billed_ms;
    assert!(close(billed(&sweeping) - billed(&plain()), 24.0 * 30.0 * 10_000.0));
}

#[test]
fn no_service_works_longer_than_the_month_lasts() {
    for tick_minutes in [1.0, 5.0, 30.0] {
        let assumptions = Assumptions { tick_minutes, ..plain() };
        let month = of(&assumptions, HOUR, 1e9);
        assert!(month.is_at_limit, "{tick_minutes}");
        let most = month.quantities.invocations * assumptions.longest_ms();
        assert!(month.quantities.billed_ms <= most.min(30.0 * 86_400e3), "{tick_minutes}");
    }
}

#[test]
fn starts_processors_and_handshakes_take_their_time() {
    let idle = |assumptions: &Assumptions| of(assumptions, HOUR, 0.0).quantities.billed_ms / 8_640.0;
    let cases = [
        (plain(), 100.0),
        (Assumptions { cold_share: 1.0, ..plain() }, 200.0),
        (Assumptions { cold_share: 0.5, ..plain() }, 150.0),
        (Assumptions { handshakes: 2.0, handshake_cpu_ms: 0.0, ..plain() }, 180.0),
        (Assumptions { handshakes: 2.0, edge_round_trip_ms: 0.0, memory_mb: 884.5, ..plain() }, 108.0),
        (Assumptions { logins: 0.5, ..plain() }, 200.0),
        (Assumptions { api_latency_ms: 300.0, ..plain() }, 200.0),
    ];
    for (assumptions, expected) in cases {
        let found = idle(&assumptions);
        assert!(close(found, expected), "{found} for {expected} with {assumptions:?}");
    }
}

#[test]
fn rows_live_as_long_as_they_are_kept_however_long_the_month() {
    let stored = |days: f64| {
        let tenant = *TENANTS.first().unwrap();
        service_month(&measured(), &plain(), &profile(HOUR, 10_000.0), tenant, days).quantities.stored_gb
    };
    assert!(close(stored(30.0), 10_000.0 * 8.0 * 30.0 / GIGABYTE));
    assert!(close(stored(30.0), stored(730.0 / 24.0)));
}
