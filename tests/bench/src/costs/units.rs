//! How AWS counts: bytes of an item, milliseconds of an invocation, lines of a log.
//!
//! Pure arithmetic, each rule once, with the page of AWS's documentation that states it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Bytes in a gigabyte as DynamoDB, CloudWatch and data transfer bill it.
pub const GIGABYTE: f64 = 1_073_741_824.0;
/// Bytes that DynamoDB's index adds to each stored item (DynamoDB, "Item sizes and formats").
pub const INDEX_BYTES: u64 = 100;
/// Bytes that CloudWatch Logs adds to each line (CloudWatch Logs, "Log event").
pub const LINE_OVERHEAD: f64 = 26.0;

/// Bytes of an item: its names and values, in DynamoDB's JSON (DynamoDB, "Item sizes and formats").
pub fn item_bytes(item: &Map<String, Value>) -> u64 {
    item.iter().map(|(name, value)| name.len() as u64 + value_bytes(value)).sum()
}

fn value_bytes(typed: &Value) -> u64 {
    let Some((kind, value)) = typed.as_object().and_then(|members| members.iter().next()) else { return 0 };
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "S" => text.len() as u64,
        // Two digits a byte, and one more.
        "N" => text.bytes().filter(u8::is_ascii_digit).count().div_ceil(2) as u64 + 1,
        "B" => STANDARD.decode(text).map_or(0, |bytes| bytes.len() as u64),
        "M" => 3 + value.as_object().map_or(0, |members| item_bytes(members) + members.len() as u64),
        "L" => {
            let members = value.as_array().map(Vec::as_slice).unwrap_or_default();
            3 + members.iter().map(|member| 1 + value_bytes(member)).sum::<u64>()
        }
        _ => 1,
    }
}

/// Gigabyte-seconds of an invocation: its time in whole milliseconds, rounded up, times the memory (Lambda pricing).
pub fn gb_seconds(milliseconds: f64, memory_mb: f64) -> f64 {
    milliseconds.max(0.0).ceil() / 1000.0 * (memory_mb / 1024.0)
}

/// How long this much processor time lasts on Lambda, whose share of a processor grows with the memory: one whole at
/// 1,769 MB (Lambda, "Configure Lambda function memory"). The collector is one thread, so never shorter than on one.
pub fn stretched(cpu_ms: f64, memory_mb: f64, mb_a_processor: f64) -> f64 {
    cpu_ms / (memory_mb / mb_a_processor).min(1.0)
}

/// Milliseconds that a limit of `burst` requests in any `span_ms` makes this many requests wait.
pub fn limit_ms(requests: f64, burst: f64, span_ms: f64) -> f64 {
    if requests <= burst { 0.0 } else { ((requests - 1.0) / burst).floor() * span_ms }
}

/// Bytes that CloudWatch Logs bills for lines.
pub fn logged(bytes: f64, lines: f64) -> f64 {
    bytes + lines * LINE_OVERHEAD
}

/// The value at `x` on the line through these points, which ascend in their first members; beyond the last one the line
/// goes on.
pub fn along(points: &[(f64, f64)], x: f64) -> f64 {
    let mut pairs = points.iter().zip(points.iter().skip(1));
    let segment = pairs.clone().find(|(_, to)| x <= to.0).or(pairs.next_back());
    match segment {
        Some((from, to)) => from.1 + (x - from.0) * (to.1 - from.1) / (to.0 - from.0),
        None => points.first().map_or(0.0, |point| point.1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() < 1e-9
    }

    #[test]
    fn an_item_weighs_its_names_and_values() {
        let cases = [
            (json!({"pk": {"S": "ab"}}), 4),
            (json!({"pk": {"S": "ü"}}), 4),
            (json!({"n": {"N": "7"}}), 3),
            (json!({"n": {"N": "-1234"}}), 4),
            (json!({"n": {"N": "12345"}}), 5),
            (json!({"data": {"B": "AAECAw=="}}), 8),
            (json!({"flag": {"BOOL": true}}), 5),
            (json!({"none": {"NULL": true}}), 5),
            (json!({"map": {"M": {"a": {"S": "xy"}}}}), 3 + 3 + 1 + 1 + 2),
            (json!({"list": {"L": [{"S": "x"}, {"S": "yz"}]}}), 4 + 3 + 2 + 3),
            (json!({}), 0),
        ];
        for (item, expected) in cases {
            assert_eq!(item_bytes(item.as_object().unwrap()), expected, "{item}");
        }
    }

    #[test]
    fn an_invocation_is_billed_in_whole_milliseconds_of_its_memory() {
        let cases = [
            (1000.0, 1024.0, 1.0),
            (1000.0, 512.0, 0.5),
            (0.1, 1024.0, 0.001),
            (100.0, 128.0, 0.0125),
            (100.2, 128.0, 0.012_625),
            (0.0, 512.0, 0.0),
            (-3.0, 512.0, 0.0),
        ];
        for (milliseconds, memory, expected) in cases {
            assert!(close(gb_seconds(milliseconds, memory), expected), "{milliseconds} ms at {memory} MB");
        }
    }

    #[test]
    fn a_part_of_a_processor_takes_longer_and_more_than_one_is_no_faster() {
        let cases = [(10.0, 1769.0, 10.0), (10.0, 884.5, 20.0), (10.0, 3538.0, 10.0), (0.0, 512.0, 0.0)];
        for (cpu, memory, expected) in cases {
            assert!(close(stretched(cpu, memory, 1769.0), expected), "{cpu} ms at {memory} MB");
        }
    }

    #[test]
    fn a_limit_makes_wait_for_whole_spans() {
        let cases = [
            (1.0, 1.0, 0.0),
            (2.0, 1.0, 10.0),
            (6.0, 1.0, 50.0),
            (5.0, 5.0, 0.0),
            (6.0, 5.0, 10.0),
            (10.0, 5.0, 10.0),
            (11.0, 5.0, 20.0),
            (0.0, 5.0, 0.0),
        ];
        for (requests, burst, expected) in cases {
            assert!(close(limit_ms(requests, burst, 10.0), expected), "{requests} by {burst}");
        }
    }

    #[test]
    fn between_measured_points_runs_a_line_and_it_goes_on_beyond_them() {
        let points = [(0.0, 2.0), (10.0, 12.0), (110.0, 32.0)];
        for (x, expected) in
            [(0.0, 2.0), (5.0, 7.0), (10.0, 12.0), (60.0, 22.0), (110.0, 32.0), (210.0, 52.0)]
        {
            assert!(close(along(&points, x), expected), "{x}: {}", along(&points, x));
        }
        assert!(close(along(&[(0.0, 3.0)], 8.0), 3.0));
        assert!(close(along(&[], 8.0), 0.0));
    }

    #[test]
    fn every_line_of_a_log_weighs_26_bytes_more() {
        assert!(close(logged(1000.0, 3.0), 1078.0));
    }
}
