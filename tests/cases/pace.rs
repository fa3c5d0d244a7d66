//! The published limits of Graph are kept, whatever the collector has to do: in any ten seconds, in any minute.
//!
//! All services of a family run side by side with much to do. Judged is by what the tenant saw, in every span wherever it
//! begins, and the tenant itself refuses what is too much. While there is much to do the limits must be used, too: who
//! does nothing keeps any limit. And what was emitted has to arrive once.

use jiff::SignedDuration;
use serde_json::json;
use simulator::tenant::{Addressee, Endpoint, Fault, RequestSeen, RetryAfter, Rule, Throttle};

use crate::world::pace::{BUSY, Ends, LATE, Play, Played, endpoint, fullest, is_refused, played};

/// Of what the limit allows while there is much to do, so much has to be used.
const LEAST_USE_PERCENT: usize = 70;
/// What the template gives an invocation; and a time at whose end the next tick comes.
const TIMEOUTS: [i64; 2] = [240, 75];
/// All services begin at once, or one after another.
const LANES: [u64; 2] = [0, 7];

#[test]
fn four_services_of_the_audit_logs_stay_inside_five_requests_in_ten_seconds_and_use_them() {
    for (timeout, lane) in TIMEOUTS.into_iter().flat_map(|timeout| LANES.map(|lane| (timeout, lane))) {
        let what = format!("audit logs, {timeout} s, lanes of {lane} s");
        let played = played(|| Play::audit().timed(timeout, lane));
        played.assert_limit_is_kept(&what);
        played.assert_was_busy(&what);
        assert_used(&played, &what);
        played.assert_arrived(&what);
        // What came to light after all was read is found by sweeps, which kept the limit, too.
        for (desk, ended) in played.stage.desks.iter().zip(&played.ended) {
            let late: u64 = ended.iter().map(|end| end.report.late).sum();
            assert_eq!(late, LATE, "{what}: {:?}", desk.endpoint);
        }
    }
}

#[test]
fn four_services_of_security_stay_inside_a_hundred_and_fifty_requests_a_minute() {
    for (timeout, lane) in TIMEOUTS.into_iter().zip(LANES) {
        let what = format!("security, {timeout} s, lanes of {lane} s");
        let played = played(|| Play::security().timed(timeout, lane));
        played.assert_limit_is_kept(&what);
        played.assert_was_busy(&what);
        // A minute's requests come back a moment after a minute: work that ends with a tick misses the next one.
        if timeout == TIMEOUTS[0] {
            assert_used(&played, &what);
        }
        played.assert_arrived(&what);
    }
}

/// Enough of what the published limit allows was used while there was much to do.
fn assert_used(played: &Played, what: &str) {
    let Throttle { requests, period } = played.stage.play.limit;
    let allowed = requests * usize::try_from(BUSY.as_secs() / period.as_secs()).unwrap();
    assert!(played.busy() * 100 >= allowed * LEAST_USE_PERCENT, "{what}: {} of {allowed}", played.busy());
}

#[test]
fn what_is_refused_or_fails_is_asked_for_again_inside_the_limits() {
    for play in [Play::audit, Play::security] {
        let what = format!("{}, with mishaps", play().family.input);
        let played = played(|| {
            let usual = play();
            let endpoints = usual.family.services.iter().map(|service| endpoint(service));
            let script = endpoints.flat_map(mishaps).collect();
            Play { script, ..usual }
        });
        played.assert_limit_is_kept(&what);
        let tallies = played.stage.tenant.rule_tallies();
        assert!(tallies.iter().all(|tally| tally.struck == 1), "{what}: {tallies:?}");
        played.assert_arrived(&what);
    }
}

/// What becomes of some of the first requests to a collection.
fn mishaps(endpoint: Endpoint) -> Vec<Rule> {
    let patience = |wish| Fault::TooManyRequests(wish);
    let table = [
        (5, patience(RetryAfter::Seconds(7))),
        (9, patience(RetryAfter::Absent)),
        (10, patience(RetryAfter::Absent)),
        (14, patience(RetryAfter::Date(SignedDuration::from_secs(12)))),
        (17, Fault::status(500)),
        // Longer than an invocation: the ticks that follow keep it.
        (20, patience(RetryAfter::Seconds(400))),
        (23, Fault::CloseBeforeAnswer),
        (25, Fault::Reset),
        (27, Fault::Truncate { at: 30 }),
        // Oftener than a request is repeated: the invocation fails, and the next tick begins at once.
        (30, Fault::status(500)),
        (31, Fault::status(503)),
        (32, Fault::status(500)),
        (33, Fault::status(503)),
        (36, Fault::GatewayTimeout),
        (39, Fault::TokenRevoked),
        (42, Fault::ExpireLinks),
    ];
    table.into_iter().map(|(nth, fault)| Rule::on_endpoint(endpoint, fault).nth(nth)).collect()
}

#[test]
fn smaller_limits_of_the_document_are_kept() {
    let limit = |requests, seconds| Throttle { requests, period: SignedDuration::from_secs(seconds) };
    // What the input says, and what all of its services together keep.
    let table = [
        (json!({"requests_limits": [{"period": "10s", "number_of_requests": 4}]}), vec![limit(4, 10)]),
        (json!({"requests_limits": [{"period": "1m", "number_of_requests": 9}]}), vec![limit(9, 60)]),
        (
            json!({"requests_limits": [
                {"period": "10s", "number_of_requests": 7}, {"period": "2s", "number_of_requests": 6}
            ]}),
            vec![limit(7, 10), limit(6, 2)],
        ),
        (
            json!({"requests_limits": [
                {"period": "1m", "number_of_requests": 13}, {"period": "10s", "number_of_requests": 5}
            ]}),
            vec![limit(13, 60), limit(5, 10)],
        ),
        // Fewer requests than services: each has one in a time that is as many times longer.
        (json!({"requests_per_second": 0.4}), vec![limit(4, 10)]),
        (json!({"requests_per_second": 0.25}), vec![limit(4, 16)]),
    ];
    for (input, limits) in table {
        for limit in limits {
            let what = input.to_string();
            let played = played(|| Play {
                input: input.clone(),
                limit,
                ends: Ends::AfterTicks(5),
                backlog: 1_000,
                ..Play::audit()
            });
            played.assert_limit_is_kept(&what);
            assert!(fullest(&played.times(|_| true), limit.period) * 2 > limit.requests, "{what}: idle");
            played.assert_arrived(&what);
        }
    }
}

#[test]
fn a_limiter_that_is_off_would_be_noticed() {
    for play in [Play::audit, Play::security] {
        let played = played(|| Play {
            input: json!({"requests_per_second": 1_000}),
            ends: Ends::AfterTicks(1),
            ..play()
        });
        let limit = played.stage.play.limit;
        assert!(fullest(&played.times(|_| true), limit.period) > limit.requests);
        assert!(played.requests.iter().any(is_refused));
    }
}

#[test]
fn a_limit_of_a_services_own_is_kept_by_that_service() {
    let own = json!({"requests_limits": [{"period": "1m", "number_of_requests": 3}]});
    let of_one = Throttle { requests: 3, period: SignedDuration::from_secs(60) };
    let played = played(|| Play {
        own: own.clone(),
        limit: Throttle { requests: 4 * of_one.requests, ..of_one },
        ends: Ends::AfterTicks(5),
        ..Play::audit()
    });
    let what = "limits of their own";
    played.assert_limit_is_kept(what);
    for desk in &played.stage.desks {
        let is_meant = |seen: &RequestSeen| seen.addressee == Addressee::Graph(desk.endpoint);
        let full = played.assert_within(of_one, what, is_meant);
        assert_eq!(full, of_one.requests, "{:?} has all of it for itself", desk.endpoint);
    }
    played.assert_arrived(what);
}
