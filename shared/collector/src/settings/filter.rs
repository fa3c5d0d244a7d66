//! `additional_filter`: what is asked for beside the window.
//!
//! OData services take a clause, which is put into parentheses. Lists of Defender for Cloud Apps take filters by their
//! fields: an object, or a text that holds one, because some documents are made of environment variables. Either way the
//! operator's filter stays beside the window's own and can neither leave its place nor take the window's.

use serde_json::{Map, Value};

use super::AdditionalFilter;
use super::findings::Findings;
use super::keys::ADDITIONAL_FILTER;
use super::read::{Block, join, kind_of};
use crate::service::{Query, Service};

/// How fields are to be written, for messages.
const EXAMPLE: &str = "{\"severity\": {\"eq\": 2}}";

/// Reads the filter in the form that the service's API takes; `None` where there is none.
pub(super) fn read(
    block: &Block<'_>,
    service: &Service,
    findings: &mut Findings,
) -> Option<AdditionalFilter> {
    match service.query {
        Query::FilteredList { times, .. } => fields(block, times, findings),
        Query::OData { .. }
        | Query::NewestDays { .. }
        | Query::Snapshot { .. }
        | Query::Hunting { .. }
        | Query::Content { .. }
        | Query::FailedContent => clause(block, findings),
    }
}

/// A clause must stay inside the parentheses that are put around it. Quotes are doubled inside a literal, which is the
/// same as ending it and beginning the next.
pub(super) fn check_clause(clause: &str) -> Result<(), &'static str> {
    let mut depth: i64 = 0;
    let mut outside = true;
    for c in clause.chars() {
        match c {
            '\'' => outside = !outside,
            '(' if outside => depth += 1,
            ')' if outside => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return Err("closes a parenthesis that it does not open");
        }
    }
    match (depth, outside) {
        (_, false) => Err("leaves a quote open"),
        (0, true) => Ok(()),
        (_, true) => Err("leaves a parenthesis open"),
    }
}

fn clause(block: &Block<'_>, findings: &mut Findings) -> Option<AdditionalFilter> {
    let clause = block.text(&ADDITIONAL_FILTER, findings)?.trim();
    if let Err(problem) = check_clause(clause) {
        findings.problem(block.path_of(&ADDITIONAL_FILTER), problem);
        return None;
    }
    Some(AdditionalFilter::Clause(clause.to_owned()))
}

/// Filters by their fields. One on a time that windows are asked for by would replace the window's own.
fn fields(block: &Block<'_>, times: &[&str], findings: &mut Findings) -> Option<AdditionalFilter> {
    let members = members(block, findings)?;
    let path = block.path_of(&ADDITIONAL_FILTER);
    let problems = members.iter().filter_map(|(field, operators)| {
        let text = if times.contains(&field.as_str()) {
            "is the time that windows are asked for by; remove it: `start_time_in_utc` says where to start, and a \
             backfill reads a span of the past"
                .to_owned()
        } else {
            let found = match operators {
                Value::Object(given) if !given.is_empty() => return None,
                Value::Object(_) => "an empty one",
                other => kind_of(other),
            };
            format!("expected an object of operators, for example {EXAMPLE}, found {found}")
        };
        Some((join(&path, field), text))
    });
    let before = findings.problems.len();
    problems.for_each(|(place, text)| findings.problem(place, text));
    let is_sound = findings.problems.len() == before && !members.is_empty();
    is_sound.then_some(AdditionalFilter::Fields(members))
}

/// The object, whether it is one or the text of one. The text is never quoted: it may be another setting's, put here by
/// mistake.
fn members(block: &Block<'_>, findings: &mut Findings) -> Option<Map<String, Value>> {
    let (path, value) = block.raw(&ADDITIONAL_FILTER)?;
    let given = match value {
        Value::String(_) => match serde_json::from_str(block.text(&ADDITIONAL_FILTER, findings)?) {
            Ok(read) => read,
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let text =
                    format!("is no JSON at line {line}, column {column}; give an object such as {EXAMPLE}");
                findings.problem(path, text);
                return None;
            }
        },
        other => other.clone(),
    };
    match given {
        Value::Object(members) => Some(members),
        other => {
            let found = kind_of(&other);
            findings.problem(path, format!("expected an object such as {EXAMPLE}, found {found}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_cannot_break_out_of_its_parentheses() {
        let cases = [
            ("category eq 'GroupManagement'", true),
            ("(a eq 'b') or (c eq 'd')", true),
            ("a eq 'it''s (' and b eq ')'", true),
            ("a eq 'b') or (c eq 'd'", false),
            ("a eq 'b", false),
            ("(a eq 'b'", false),
            ("a eq 'b')", false),
        ];
        for (clause, sound) in cases {
            assert_eq!(check_clause(clause).is_ok(), sound, "{clause}");
        }
    }
}
