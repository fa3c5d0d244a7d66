//! Metrics: one line of JSON an invocation, which CloudWatch turns into metrics by itself (embedded metric format).
//!
//! A custom metric costs 0.30 USD a month (AWS's price page; the first ten of an account are free, which is not counted
//! here), for the hours in which it got a value. Every combination of dimensions is a metric of its own, so seven
//! metrics for each of 26 services would cost 55 USD a month, many times the price of the collecting. Hence eight
//! metrics with one dimension, the deployment: 2.40 USD a month at the most, 1.50 USD in the hours without a failure, a
//! lost URI or a mismatch, which are silent then. Their alarms treat missing data as fine; that of `received` does not.
//! What belongs to a service is a property of the same line, for CloudWatch Logs Insights, where it costs nothing to
//! keep. So every invocation writes its line, whatever became of it; only one that Lambda kills cannot.

use collector::error::Error;
use collector::outlook::{Certificate, Purpose};
use collector::report::{Report, Status};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Namespace of all metrics.
pub const NAMESPACE: &str = "MicrosoftSecurityCollector";
/// The one dimension: the collector's name, which is the stack's.
pub const DIMENSION: &str = "Collector";

/// What an invocation is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The collector's name.
    pub collector: &'a str,
    /// The function.
    pub service: &'a str,
    /// Lambda's request id.
    pub request_id: &'a str,
    /// When the invocation ended.
    pub now: Timestamp,
    /// Its counts; absent when it failed before anything was counted.
    pub report: Option<&'a Report>,
    /// Why it failed, if it did.
    pub failure: Option<&'a Error>,
    /// The certificates that are used, as far as they are known.
    pub certificates: &'a [Certificate],
}

/// When a metric has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// Whenever its value is known.
    Always,
    /// When its value is not zero.
    UnlessZero,
}

/// Name, unit and occasion of every metric. Counts are read as sums; lag and quota by their maximum, days and hours by
/// their minimum, over the services of a deployment.
const METRICS: [(&str, &str, Speaks); 8] = [
    ("failures", "Count", Speaks::UnlessZero),
    ("received", "Count", Speaks::Always),
    ("lag_beyond_period_seconds", "Seconds", Speaks::Always),
    ("quota_used_percent", "Percent", Speaks::Always),
    ("certificate_days", "None", Speaks::Always),
    ("edge_hours", "None", Speaks::Always),
    ("lost_uris", "Count", Speaks::UnlessZero),
    ("mismatch", "Count", Speaks::UnlessZero),
];

/// The line of an invocation, without a line break. A line in which no metric has anything to say is properties alone.
pub fn line(measured: &Measured<'_>) -> String {
    let values = values(measured);
    let metrics: Vec<Value> = METRICS
        .iter()
        .filter(|(name, _, speaks)| match values.get(*name).and_then(Value::as_i64) {
            None => false,
            Some(0) => *speaks == Speaks::Always,
            Some(_) => true,
        })
        .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
        .collect();
    let mut members = Map::new();
    if !metrics.is_empty() {
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": metrics});
        let timestamp = measured.now.as_millisecond();
        members.insert("_aws".to_owned(), json!({"Timestamp": timestamp, "CloudWatchMetrics": [directive]}));
    }
    members.insert(DIMENSION.to_owned(), Value::from(measured.collector));
    members.extend(values);
    Value::Object(members).to_string()
}

/// Days until the first of these certificates ends; below zero once it has.
pub fn days_left(
    certificates: &[Certificate],
    now: Timestamp,
    wanted: impl Fn(Purpose) -> bool,
) -> Option<i64> {
    let wanted_ones = certificates.iter().filter(|certificate| wanted(certificate.purpose));
    wanted_ones.map(|certificate| certificate.days_left(now)).min()
}

/// All values, metrics and properties alike.
fn values(measured: &Measured<'_>) -> Map<String, Value> {
    let mut values = Map::new();
    let mut put = |name: &str, value: Value| values.insert(name.to_owned(), value);
    put("service", Value::from(measured.service));
    put("request_id", Value::from(measured.request_id));
    put("failures", Value::from(u8::from(measured.failure.is_some())));
    if let Some(failure) = measured.failure {
        put("error_type", Value::from(failure.error_type.as_str()));
        put("error_code", Value::from(failure.code));
    }
    let days = |wanted: fn(Purpose) -> bool| days_left(measured.certificates, measured.now, wanted);
    put("certificate_days", Value::from(days(|_| true)));
    put("client_certificate_days", Value::from(days(|purpose| purpose == Purpose::Login)));
    put("devo_certificate_days", Value::from(days(|purpose| purpose != Purpose::Login)));
    let Some(report) = measured.report else { return values };
    let accounted = report.duplicates + report.delivered + report.failed;
    put("status", if measured.failure.is_none() { json!(report.status) } else { Value::Null });
    put("lag_seconds", Value::from(report.lag_seconds));
    put("lag_beyond_period_seconds", Value::from(report.outlook.lag_beyond_period_seconds));
    put("edge_hours", Value::from(report.outlook.edge_hours));
    put("quota_used_percent", Value::from(report.outlook.quota_used_percent));
    put("mismatch", Value::from(report.received.abs_diff(accounted)));
    put("warnings", Value::from(report.warnings.len()));
    // A dry run receives for whoever looks at its answer: what it had comes again, and counts then.
    let counts = |count: u64| if report.status == Status::DryRun { 0 } else { count };
    let counted = [
        ("received", counts(report.received)),
        ("duplicates", counts(report.duplicates)),
        ("delivered", counts(report.delivered)),
        ("failed", counts(report.failed)),
        ("sent", counts(report.sent)),
        ("late", counts(report.late)),
        ("bytes_sent", counts(report.bytes_sent)),
        ("failed_uris", counts(report.failed_uris)),
        ("lost_uris", counts(report.lost_uris)),
        ("windows", report.windows),
        ("requests", report.requests),
        ("throttled", report.throttled),
        ("elapsed_ms", report.elapsed_ms),
    ];
    for (name, count) in counted {
        put(name, Value::from(count));
    }
    values
}

#[cfg(test)]
mod tests {
    use collector::error::{ErrorType, code};
    use collector::outlook::Outlook;

    use super::*;
    use crate::fixtures;

    const NOW: &str = "2026-11-20T10:00:00Z";

    /// A certificate that ends after so many days and an hour.
    fn certificate(purpose: Purpose, days: i64) -> Certificate {
        let now: Timestamp = NOW.parse().unwrap();
        Certificate { purpose, ends_at: now + jiff::SignedDuration::from_hours(24 * days + 1) }
    }

    fn measured<'a>(
        report: Option<&'a Report>,
        failure: Option<&'a Error>,
        certificates: &'a [Certificate],
    ) -> Measured<'a> {
        Measured {
            collector: "logs-of-prod",
            service: "graph-directory-audits",
            request_id: "request-1",
            now: NOW.parse().unwrap(),
            report,
            failure,
            certificates,
        }
    }

    /// The line, after a look at what CloudWatch asks of it.
    fn parsed(measured: &Measured<'_>) -> Value {
        let text = line(measured);
        assert!(!text.contains('\n'), "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        let [directive] = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().as_slice() else {
            panic!("one directive a line: {text}");
        };
        assert_eq!(directive["Namespace"], NAMESPACE);
        assert_eq!(directive["Dimensions"], json!([["Collector"]]));
        assert_eq!(line["Collector"], "logs-of-prod");
        assert!(line["_aws"]["Timestamp"].is_i64());
        for name in names(&line) {
            assert!(line[name].is_i64(), "{name} is a number: {text}");
        }
        line
    }

    /// The names of the metrics that a line declares.
    fn names(line: &Value) -> Vec<&str> {
        let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_ordinary_invocation_has_its_counts_and_its_outlook() {
        let certificates = [certificate(Purpose::Login, 200), certificate(Purpose::Devo, 100)];
        insta::assert_json_snapshot!(parsed(&measured(Some(&fixtures::report()), None, &certificates)));
    }

    #[test]
    fn a_failure_counts_even_when_nothing_else_is_known() {
        let failure = Error::new(ErrorType::StateError, code::STATE, "table state does not exist");
        insta::assert_json_snapshot!(parsed(&measured(None, Some(&failure), &[])));
    }

    #[test]
    fn a_metric_is_declared_when_it_has_something_to_say() {
        let ordinary = fixtures::report();
        let idle = Report {
            status: Status::NotDue,
            received: 0,
            duplicates: 0,
            delivered: 0,
            outlook: Outlook { quota_used_percent: Some(0), ..ordinary.outlook },
            ..ordinary.clone()
        };
        let no_position = Outlook { quota_used_percent: Some(0), ..Outlook::default() };
        let locked = Report { status: Status::Locked, outlook: no_position, ..idle.clone() };
        let trouble = Report { received: 31, failed: 3, lost_uris: 4, ..ordinary.clone() };
        let failure = Error::new(ErrorType::DeliveryError, code::NOT_CLOSED, "closed early");
        let known = ["received", "lag_beyond_period_seconds", "quota_used_percent"];
        let with = |more: &[&'static str]| [known.as_slice(), more].concat();
        let devo = [certificate(Purpose::Devo, 0)];
        let all = METRICS.map(|(name, _, _)| name);
        type Case<'a> = (&'a str, Option<&'a Report>, Option<&'a Error>, &'a [Certificate], Vec<&'a str>);
        let table: [Case<'_>; 6] = [
            ("ordinary", Some(&ordinary), None, &devo, with(&["certificate_days", "edge_hours"])),
            ("without certificates", Some(&ordinary), None, &[], with(&["edge_hours"])),
            ("idle", Some(&idle), None, &devo, with(&["certificate_days", "edge_hours"])),
            (
                "locked",
                Some(&locked),
                None,
                &devo,
                vec!["received", "quota_used_percent", "certificate_days"],
            ),
            ("failed early", None, Some(&failure), &devo, vec!["failures", "certificate_days"]),
            ("everything", Some(&trouble), Some(&failure), &devo, all.to_vec()),
        ];
        for (what, report, error, certificates, expected) in table {
            assert_eq!(names(&parsed(&measured(report, error, certificates))), expected, "{what}");
        }
        let line = parsed(&measured(Some(&trouble), Some(&failure), &[]));
        assert_eq!(
            (&line["mismatch"], &line["lost_uris"], &line["failures"]),
            (&json!(2), &json!(4), &json!(1))
        );
        assert_eq!(line["status"], Value::Null, "a failure has no status");
    }

    #[test]
    fn the_days_of_the_first_certificate_to_end_count_and_each_has_its_property() {
        let (login, devo) = (Purpose::Login, Purpose::Devo);
        type Case<'a> = (&'a [(Purpose, i64)], [Value; 3]);
        let table: [Case<'_>; 5] = [
            (&[], [Value::Null, Value::Null, Value::Null]),
            (&[(devo, 9)], [json!(9), Value::Null, json!(9)]),
            (&[(login, 10), (devo, 9)], [json!(9), json!(10), json!(9)]),
            (&[(login, -4), (devo, 9)], [json!(-4), json!(-4), json!(9)]),
            (&[(login, 0), (Purpose::IssuerForDevo, 3)], [json!(0), json!(0), json!(3)]),
        ];
        let failure = Error::new(ErrorType::DeliveryError, code::CERTIFICATE, "expired");
        for (given, expected) in table {
            let certificates: Vec<_> =
                given.iter().map(|(purpose, days)| certificate(*purpose, *days)).collect();
            let line = parsed(&measured(None, Some(&failure), &certificates));
            let said = ["certificate_days", "client_certificate_days", "devo_certificate_days"];
            assert_eq!(said.map(|name| line[name].clone()), expected, "{given:?}");
            assert_eq!(names(&line).contains(&"certificate_days"), !given.is_empty());
        }
    }

    #[test]
    fn a_dry_run_counts_as_nothing_received() {
        let report = Report { status: Status::DryRun, ..fixtures::report() };
        let line = parsed(&measured(Some(&report), None, &[]));
        assert!(names(&line).contains(&"received"));
        for name in ["received", "duplicates", "delivered", "sent", "bytes_sent", "mismatch"] {
            assert_eq!(line[name], 0, "{name}");
        }
    }

    #[test]
    fn there_are_eight_metrics_and_no_more() {
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|(name, _, _)| name).collect();
        assert_eq!(names.len(), 8, "each costs money at each of AWS's bills");
    }
}
