//! Pictures of requests and answers that are kept: what changes from run to run becomes the name of what stood there.

use regex::Regex;
use serde_json::{Value, json};
use simulator::tenant::RequestSeen;

use super::World;

/// A text without what changes from run to run.
pub fn redacted(text: &str) -> String {
    let rules = [
        (r"skiptoken=\S+", "skiptoken=[token]"),
        (r"nextpage=\S+", "nextpage=[token]"),
        (r"\d{14,}\$\d{14,}\$[A-Za-z0-9_$%-]+", "[content id]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "[time without zone]"),
        (r"127\.0\.0\.1:\d+", "[address]"),
        (r"collector/\d+\.\d+\.\d+", "collector/[version]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, name)| {
        Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned()
    })
}

/// An answer without what changes from run to run.
pub fn normal(answer: &Value, world: &World) -> Value {
    let mut answer = answer.clone();
    let changing = [
        ("devo_pulling_id", "[epoch milliseconds]"),
        ("elapsed_ms", "[ms]"),
        ("lag_seconds", "[seconds]"),
        ("bytes_sent", "[bytes]"),
    ];
    for (name, shown) in changing {
        if !answer[name].is_null() {
            answer[name] = json!(shown);
        }
    }
    serde_json::from_str(&redacted(&answer.to_string().replace(&format!(".{}", world.id), ".[env]"))).unwrap()
}

/// A request, one line for each of its parts.
pub fn shown(request: &RequestSeen) -> String {
    let mut lines = vec![format!("{} {}", request.method, request.path)];
    lines.extend(request.query.iter().map(|(name, value)| format!("  ?{name}={value}")));
    lines.extend(request.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
    redacted(&lines.join("\n"))
}

/// Compares with the picture that is kept of this subject and function.
pub fn keep(subject: &str, function: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("{function}.{subject}"), text));
}
