//! Query options of a collection request, checked as Graph checks them.
//!
//! An option whose name lacks its `$` is ignored without a word, as Graph ignores it; `$skip` and options that these
//! collections do not know are refused; a `$top` above the maximum is clamped.

use super::config::PageSize;
use super::endpoint::Endpoint;
use super::filter::Filter;

/// Which way the records run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A checked query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) order: Order,
    pub(super) top: usize,
    pub(super) wants_count: bool,
    pub(super) skip_token: Option<String>,
    /// All options but the skip token, as sent: what a next link repeats.
    pub(super) repeated: Vec<(String, String)>,
}

/// A refusal: what Graph says, and what the simulator knows beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) note: String,
}

impl Refusal {
    /// A "BadRequest" with that message.
    pub(super) fn bad_request(message: impl Into<String>, note: impl Into<String>) -> Self {
        Self { code: "BadRequest", message: message.into(), note: note.into() }
    }

    /// What every fault of a filter looks like from outside.
    pub(super) fn invalid_filter(note: impl Into<String>) -> Self {
        Self::bad_request("Invalid filter clause", note)
    }
}

/// Checks decoded options.
pub(super) fn parse(
    options: &[(String, String)],
    endpoint: Endpoint,
    page_size: PageSize,
) -> Result<Query, Refusal> {
    let mut query = Query {
        filter: None,
        order: Order::NewestFirst,
        top: page_size.default.min(page_size.maximum),
        wants_count: false,
        skip_token: None,
        repeated: options.iter().filter(|(name, _)| name != "$skiptoken").cloned().collect(),
    };
    let mut seen = Vec::new();
    for (name, value) in options.iter().filter(|(name, _)| name.starts_with('$')) {
        if seen.contains(&name) {
            return Err(Refusal::bad_request(
                format!("Query option '{name}' was specified more than once."),
                "",
            ));
        }
        seen.push(name);
        match name.as_str() {
            "$filter" => {
                let filter = Filter::parse(value, endpoint);
                query.filter = Some(filter.map_err(|error| Refusal::invalid_filter(error.to_string()))?);
            }
            "$orderby" => query.order = order(value, endpoint)?,
            "$top" => query.top = top(value, page_size.maximum)?,
            "$count" => query.wants_count = value == "true",
            "$skiptoken" => query.skip_token = Some(value.clone()),
            "$skip" => {
                let message = "Query option 'Skip' is not allowed. To allow it, set the 'AllowedQueryOptions' \
                               property on EnableQueryAttribute or QueryValidationSettings.";
                return Err(Refusal::bad_request(message, "$skip"));
            }
            other => {
                let message = format!("Query option '{other}' is not allowed.");
                return Err(Refusal::bad_request(message, "the simulator does not know this option"));
            }
        }
    }
    Ok(query)
}

fn order(value: &str, endpoint: Endpoint) -> Result<Order, Refusal> {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    match words.as_slice() {
        [property] | [property, "asc"] if *property == endpoint.time_property() => Ok(Order::OldestFirst),
        [property, "desc"] if *property == endpoint.time_property() => Ok(Order::NewestFirst),
        _ => Err(Refusal::bad_request(
            "Invalid orderby clause",
            format!("'{value}' is no order of {endpoint:?}"),
        )),
    }
}

fn top(value: &str, maximum: usize) -> Result<usize, Refusal> {
    match value.parse::<usize>() {
        Ok(rows) if rows > 0 => Ok(rows.min(maximum)),
        _ => {
            Err(Refusal::bad_request(format!("Invalid value '{value}' for $top query option found."), "$top"))
        }
    }
}
