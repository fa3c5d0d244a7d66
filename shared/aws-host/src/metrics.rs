//! Metrics: one line of JSON an invocation, which CloudWatch turns into metrics by itself (embedded metric format).
//!
//! A custom metric costs 0.30 USD a month, counted by the hour in which it got a value; nine metrics for each of 26
//! services would be 234 metrics and 70 USD, many times the price of the collecting. So a metric gets a value only when
//! it has something to say. Every service has one at all times, `lag_seconds`, which the alarm needs: 26 metrics,
//! 7.80 USD (10 metrics of an account are free: 4.80 USD). `delivered` and `duplicates` are counted for all services
//! together: 2 metrics, 0.60 USD. `failed`, `errors`, `throttled`, `warnings`, `mismatch` and `lost_uris` cost only in
//! the hours of trouble, 0.04 cents an hour each, and their alarms treat missing data as fine. Everything by service is
//! in the same line as a property, for CloudWatch Logs Insights, where it costs nothing to keep.

use collector::error::Error;
use collector::report::{Report, Status};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Namespace of all metrics.
pub const NAMESPACE: &str = "MicrosoftSecurityCollector";
/// The one dimension: the function, for example `graph-sign-ins`.
pub const DIMENSION: &str = "Service";

/// What an invocation is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
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
}

/// Who shares a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// One metric a service.
    Service,
    /// One metric for all services.
    Deployment,
}

/// When a metric has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// Whenever its value is known.
    Always,
    /// When its value is not zero.
    UnlessZero,
}

/// Name, unit, scope and occasion of every metric.
const METRICS: [(&str, &str, Scope, Speaks); 9] = [
    ("lag_seconds", "Seconds", Scope::Service, Speaks::Always),
    ("failed", "Count", Scope::Service, Speaks::UnlessZero),
    ("errors", "Count", Scope::Service, Speaks::UnlessZero),
    ("throttled", "Count", Scope::Service, Speaks::UnlessZero),
    ("warnings", "Count", Scope::Service, Speaks::UnlessZero),
    ("mismatch", "Count", Scope::Service, Speaks::UnlessZero),
    ("lost_uris", "Count", Scope::Deployment, Speaks::UnlessZero),
    ("delivered", "Count", Scope::Deployment, Speaks::UnlessZero),
    ("duplicates", "Count", Scope::Deployment, Speaks::UnlessZero),
];

/// The line of an invocation, without a line break; `None` when no metric has anything to say.
pub fn line(measured: &Measured<'_>) -> Option<String> {
    let values = values(measured);
    let directives: Vec<Value> = [(Scope::Service, json!([[DIMENSION]])), (Scope::Deployment, json!([[]]))]
        .into_iter()
        .filter_map(|(scope, dimensions)| directive(scope, &dimensions, &values))
        .collect();
    if directives.is_empty() {
        return None;
    }
    let mut members = Map::new();
    members.insert(
        "_aws".to_owned(),
        json!({"Timestamp": measured.now.as_millisecond(), "CloudWatchMetrics": directives}),
    );
    members.insert(DIMENSION.to_owned(), Value::from(measured.service));
    members.extend(values);
    Some(Value::Object(members).to_string())
}

/// The metrics of one scope that have something to say.
fn directive(scope: Scope, dimensions: &Value, values: &Map<String, Value>) -> Option<Value> {
    let metrics: Vec<Value> = METRICS
        .iter()
        .filter(|(_, _, of, _)| *of == scope)
        .filter(|(name, _, _, speaks)| match values.get(*name).and_then(Value::as_i64) {
            None => false,
            Some(0) => *speaks == Speaks::Always,
            Some(_) => true,
        })
        .map(|(name, unit, _, _)| json!({"Name": name, "Unit": unit}))
        .collect();
    if metrics.is_empty() {
        return None;
    }
    Some(json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics}))
}

/// All values, metrics and properties alike.
fn values(measured: &Measured<'_>) -> Map<String, Value> {
    let mut values = Map::new();
    let mut put = |name: &str, value: Value| values.insert(name.to_owned(), value);
    put("request_id", Value::from(measured.request_id));
    put("errors", Value::from(u8::from(measured.failure.is_some())));
    if let Some(failure) = measured.failure {
        put("error_type", Value::from(failure.error_type.as_str()));
        put("error_code", Value::from(failure.code));
    }
    let Some(report) = measured.report else { return values };
    let accounted = report.duplicates + report.delivered + report.failed;
    // What a dry run would have delivered is no delivery.
    let sends = report.status != Status::DryRun;
    put("status", if measured.failure.is_none() { json!(report.status) } else { Value::Null });
    put("lag_seconds", Value::from(report.lag_seconds));
    put("mismatch", Value::from(report.received.abs_diff(accounted)));
    put("warnings", Value::from(report.warnings.len()));
    let counts = [
        ("received", report.received),
        ("duplicates", if sends { report.duplicates } else { 0 }),
        ("delivered", if sends { report.delivered } else { 0 }),
        ("failed", report.failed),
        ("sent", if sends { report.sent } else { 0 }),
        ("late", report.late),
        ("bytes_sent", report.bytes_sent),
        ("windows", report.windows),
        ("requests", report.requests),
        ("failed_uris", report.failed_uris),
        ("lost_uris", report.lost_uris),
        ("throttled", report.throttled),
        ("elapsed_ms", report.elapsed_ms),
    ];
    for (name, count) in counts {
        put(name, Value::from(count));
    }
    values
}

#[cfg(test)]
mod tests {
    use collector::error::{ErrorType, code};

    use super::*;
    use crate::fixtures;

    fn measured<'a>(report: Option<&'a Report>, failure: Option<&'a Error>) -> Measured<'a> {
        Measured {
            service: "graph-directory-audits",
            request_id: "request-1",
            now: "2026-11-20T10:00:00Z".parse().unwrap(),
            report,
            failure,
        }
    }

    fn parsed(measured: &Measured<'_>) -> Value {
        serde_json::from_str(&line(measured).unwrap()).unwrap()
    }

    /// The names of the metrics that a line declares.
    fn names(line: &Value) -> Vec<&str> {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        let metrics = directives.iter().flat_map(|directive| directive["Metrics"].as_array().unwrap());
        metrics.map(|metric| metric["Name"].as_str().unwrap()).collect()
    }

    #[test]
    fn an_ordinary_invocation_tells_its_lag_and_what_it_delivered() {
        let report = fixtures::report();
        insta::assert_json_snapshot!(parsed(&measured(Some(&report), None)));
    }

    #[test]
    fn a_failure_counts_even_when_nothing_else_is_known() {
        let failure = Error::new(ErrorType::StateError, code::STATE, "table state does not exist");
        insta::assert_json_snapshot!(parsed(&measured(None, Some(&failure))));
    }

    #[test]
    fn every_declared_metric_has_a_value_and_trouble_is_told() {
        let mut report = fixtures::report();
        report.failed = 3;
        report.received = 30;
        report.throttled = 2;
        report.warnings = vec!["a".to_owned(), "b".to_owned()];
        report.lost_uris = 4;
        let failure = Error::new(ErrorType::DeliveryError, code::NOT_CLOSED, "closed early");
        let line = parsed(&measured(Some(&report), Some(&failure)));
        assert_eq!(
            names(&line),
            [
                "lag_seconds",
                "failed",
                "errors",
                "throttled",
                "warnings",
                "mismatch",
                "lost_uris",
                "delivered",
                "duplicates"
            ]
        );
        for name in names(&line) {
            assert!(line[name].is_u64(), "{name}: {}", line[name]);
        }
        assert_eq!(
            (&line["mismatch"], &line["warnings"], &line["errors"]),
            (&json!(3), &json!(2), &json!(1))
        );
        assert_eq!(line["lost_uris"], 4);
    }

    #[test]
    fn a_dry_run_counts_as_no_delivery() {
        let mut report = fixtures::report();
        report.status = Status::DryRun;
        assert_eq!(names(&parsed(&measured(Some(&report), None))), ["lag_seconds"]);
    }

    #[test]
    fn an_idle_tick_costs_one_metric_or_none() {
        let mut report = fixtures::report();
        report.received = 0;
        report.duplicates = 0;
        report.delivered = 0;
        report.lag_seconds = Some(0);
        assert_eq!(names(&parsed(&measured(Some(&report), None))), ["lag_seconds"]);
        report.lag_seconds = None;
        assert_eq!(line(&measured(Some(&report), None)), None);
    }
}
