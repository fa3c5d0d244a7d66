//! `collector migrate`: an older configuration in today's form.
//!
//! What is printed on standard output is the configuration and nothing else, in the format it came in; everything about
//! it goes to standard error and never holds a secret.

use std::io::{Read, Write};
use std::path::Path;

use collector::service::Family;
use collector::settings::document::parse_json;
use collector::settings::migrate::{Migrated, migrate as migrate_document};
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::MigrateArgs;
use crate::outcome::{Ending, fail, refuse, warn};

/// Translates and prints.
pub fn migrate(arguments: &MigrateArgs, families: &[&'static Family]) -> Ending {
    let (document, format) = match read(&arguments.old) {
        Ok(read) => read,
        Err(problem) => return refuse(&problem),
    };
    let Migrated { document: today, changes, warnings } =
        match migrate_document(&document, families, Timestamp::now()) {
            Ok(migrated) => migrated,
            Err(error) => return fail(&error),
        };
    let Some(text) = write(&today, format) else {
        return refuse("the result cannot be written; please report this");
    };
    let mut output = std::io::stdout().lock();
    if let Err(cause) = output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        return refuse(&format!("the result cannot be printed: {cause}"));
    }
    for change in &changes {
        anstream::eprintln!("changed {change}");
    }
    if changes.is_empty() {
        anstream::eprintln!("nothing to change: this is today's form");
    }
    warn(&warnings);
    if format == Format::Yaml {
        anstream::eprintln!("comments of the old file are not in the result");
    }
    Ending::Good
}

/// What a configuration is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

/// The document, or what is wrong in words that quote nothing of it.
fn read(path: &Path) -> Result<(Value, Format), String> {
    let (name, text) = if path == Path::new("-") {
        let mut text = String::new();
        ("standard input".to_owned(), std::io::stdin().read_to_string(&mut text).map(|_| text))
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    let text = text.map_err(|cause| format!("{name}: cannot be read: {cause}"))?;
    parse(&text).map_err(|problem| format!("{name}: {problem}"))
}

/// YAML in braces may look like JSON, but no JSON looks like other YAML.
fn parse(text: &str) -> Result<(Value, Format), String> {
    let body = text.trim_start_matches('\u{feff}');
    // Snippets of the source would show secrets that stand near the fault.
    let options = serde_saphyr::options! { with_snippet: false };
    let yaml = || serde_saphyr::from_str_with_options::<Value>(body, options);
    if body.trim_start().starts_with(['{', '[']) {
        return match parse_json(body) {
            Ok(document) => Ok((document, Format::Json)),
            Err(error) => yaml().map(|document| (document, Format::Yaml)).map_err(|_| error.message),
        };
    }
    yaml().map(|document| (document, Format::Yaml)).map_err(|error| {
        let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
        format!("is neither JSON nor YAML: it is not well-formed{}", place.unwrap_or_default())
    })
}

/// The text of a document. All JSON is YAML, so that is the form for what would not come back from YAML as it is.
fn write(document: &Value, format: Format) -> Option<String> {
    let json = || serde_json::to_string_pretty(document).ok().map(|text| text + "\n");
    if format == Format::Json {
        return json();
    }
    let yaml = serde_saphyr::to_string(document).ok();
    yaml.filter(|text| parse(text).is_ok_and(|(again, _)| again == *document)).or_else(json)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_comes_back_as_it_is() {
        let texts = [
            "",
            " a ",
            "yes",
            "null",
            "~",
            "0x1F",
            "1e3",
            "007",
            "2026-11-01T00:00:00Z",
            "a: b",
            "# c",
            "- d",
            "-----BEGIN X-----\nAB\n\nCD\n-----END X-----\n",
            "a\r\nb\n\n",
            "'\"\\",
            "é\u{85}\u{2028}\t",
            "{env}",
            "*a",
            "!x",
        ];
        let members: Vec<Value> = texts.iter().map(|text| json!({ *text: *text })).collect();
        let document = json!({"texts": members, "numbers": [1, -1, 1.5, 300.0, 10_000_000_000_u64], "empty": [{}, []],
            "rest": [null, true, "false"]});
        for format in [Format::Json, Format::Yaml] {
            let text = write(&document, format).unwrap();
            assert_eq!(parse(&text).unwrap().0, document, "{text}");
        }
        let plain = json!({"inputs": {"a": {"id": "007", "pem": "A\nB\n", "services": {"b": {}}}}});
        assert_eq!(parse(&write(&plain, Format::Yaml).unwrap()).unwrap(), (plain, Format::Yaml));
    }

    #[test]
    fn what_is_no_document_is_refused_by_place_and_never_quoted() {
        for text in ["{\"client_secret\": \"hunter2", "a: [hunter2", "a: hunter2\n b: hunter2", "\"hunter2"] {
            let problem = parse(text).unwrap_err();
            assert!(!problem.contains("hunter") && problem.contains("line"), "{text}: {problem}");
        }
    }
}
