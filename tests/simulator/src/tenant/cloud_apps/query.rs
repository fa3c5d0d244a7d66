//! What a request asks for: the members of its body, or of its query when it is a GET.
//!
//! Members that no page of the API names, members of another type and members that do not go together are written down
//! as violations. What can still be understood is answered all the same.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::list::CloudAppsList;
use super::scan;
use super::sort::{By, Direction, Sort};
use crate::http::Request;
use crate::tenant::log::{Violation, decoded};

/// A request, read.
#[derive(Debug, Default)]
pub(super) struct Query {
    /// The text of the filters, as it came.
    pub(super) filters: Option<String>,
    pub(super) skip: usize,
    pub(super) limit: Option<usize>,
    pub(super) sort: Option<Sort>,
    pub(super) reading: Reading,
}

/// How pages follow one another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    Pages,
    Scan,
}

/// Why a request cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    /// The body is no JSON object.
    NoObject(String),
    /// That value is none of its member's.
    Value(String),
}

/// The members of a request with their texts: texts without quotation marks, everything else as JSON.
pub(super) fn members(request: &Request) -> Result<Vec<(String, String)>, NotRead> {
    if request.method != "POST" {
        return Ok(decoded(request.query.as_bytes()));
    }
    if request.body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(&request.body).map_err(|error| NotRead::NoObject(error.to_string()))?;
    let plain = |value: &RawValue| {
        serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
    };
    Ok(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
}

/// Reads a request; gives what is wrong with it beside.
pub(super) fn read(
    list: CloudAppsList,
    request: &Request,
    violations: &mut Vec<Violation>,
) -> Result<Query, NotRead> {
    if request.method == "POST" && !request.query.is_empty() {
        violations.push(Violation::UnknownMember);
    }
    let members = members(request).inspect_err(|_| violations.push(Violation::WrongType))?;
    let is_typed = |name: &str| request.method != "POST" || has_right_type(request, name);
    let mut query = Query::default();
    let (mut field, mut direction) = (None, None);
    let mut first_wrong = None;
    let mut has_skip = false;
    for (name, text) in &members {
        let is_right = is_typed(name)
            && match name.as_str() {
                "filters" => {
                    query.filters = Some(text.clone());
                    object_of(text).is_some()
                }
                "skip" => {
                    has_skip = true;
                    text.parse().map(|skip| query.skip = skip).is_ok()
                }
                "limit" => {
                    query.limit = text.parse().ok().filter(|limit| *limit > 0);
                    query.limit.is_some()
                }
                "sortField" => {
                    field = Sort::field(list, text);
                    field.is_some()
                }
                "sortDirection" => {
                    direction = direction_of(text);
                    direction.is_some()
                }
                "isScan" if list != CloudAppsList::Activities => {
                    violations.push(Violation::ScanNotOffered);
                    true
                }
                "isScan" => match text.to_ascii_lowercase().as_str() {
                    "true" => {
                        query.reading = Reading::Scan;
                        true
                    }
                    other => other == "false",
                },
                _ => {
                    violations.push(Violation::UnknownMember);
                    true
                }
            };
        if !is_right {
            violations.push(Violation::WrongType);
            first_wrong.get_or_insert_with(|| text.clone());
        }
    }
    if query.reading == Reading::Scan && has_skip {
        violations.push(Violation::SkipInScan);
        query.skip = 0;
    }
    if let Some(wrong) = first_wrong {
        return Err(NotRead::Value(wrong));
    }
    query.sort = (field.is_some() || direction.is_some()).then(|| Sort {
        by: field.unwrap_or(By::Place),
        direction: direction.unwrap_or(Direction::Descending),
    });
    Ok(query)
}

/// The members of a filter's text.
pub(super) fn object_of(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

/// Whether filters lead on from an earlier page.
pub(super) fn is_continued(filters: &str) -> bool {
    object_of(filters).is_some_and(|members| members.contains_key(scan::MEMBER))
}

fn direction_of(text: &str) -> Option<Direction> {
    match text {
        "asc" => Some(Direction::Ascending),
        "desc" => Some(Direction::Descending),
        _ => None,
    }
}

fn has_right_type(request: &Request, name: &str) -> bool {
    let document: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let value = document.get(name).unwrap_or(&Value::Null);
    match name {
        "filters" => value.is_object(),
        "skip" | "limit" => value.is_u64(),
        "sortField" | "sortDirection" => value.is_string(),
        "isScan" => value.is_boolean(),
        _ => true,
    }
}
