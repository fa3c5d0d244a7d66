//! Query options of a collection request, checked as Graph checks them.
//!
//! An option whose name lacks its `$` is ignored without a word, as Graph ignores it; options that a collection does
//! not know are refused (`$skip` at the audit logs, `$orderby` at scores and profiles); a `$top` above the maximum is
//! clamped.

use super::config::TenantConfig;
use super::endpoint::{Endpoint, Family, LinkStyle, Order};
use super::filter::Filter;
use super::security;

/// A checked query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) filter: Option<Filter>,
    pub(super) order: Order,
    pub(super) top: usize,
    pub(super) clamp: Clamp,
    pub(super) wants_count: bool,
    pub(super) skip: usize,
    pub(super) skip_token: Option<String>,
    /// All options but those that say where a page begins, as sent: what a next link repeats.
    pub(super) repeated: Vec<(String, String)>,
}

/// Whether the caller got the `$top` that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clamp {
    AsAsked,
    Clamped,
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
    config: &TenantConfig,
) -> Result<Query, Refusal> {
    let page_size = config.page_size;
    let mut query = Query {
        filter: None,
        order: endpoint.usual_order(),
        top: page_size.default.min(page_size.maximum),
        clamp: Clamp::AsAsked,
        wants_count: false,
        skip: 0,
        skip_token: None,
        repeated: options
            .iter()
            .filter(|(name, _)| name != "$skiptoken" && name != "$skip")
            .cloned()
            .collect(),
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
            "$orderby" if endpoint.order_property().is_some() => query.order = order(value, endpoint)?,
            "$top" => (query.top, query.clamp) = top(value, endpoint, page_size.maximum)?,
            "$count" => query.wants_count = value == "true",
            "$skiptoken" if endpoint.link_style() == LinkStyle::Token => {
                query.skip_token = Some(value.clone());
            }
            "$skip" if endpoint.family() == Family::Security => {
                query.skip = skip(value, security::deepest_skip(config, endpoint))?;
            }
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
        [property] | [property, "asc"] if Some(*property) == endpoint.order_property() => {
            Ok(Order::OldestFirst)
        }
        [property, "desc"] if Some(*property) == endpoint.order_property() => Ok(Order::NewestFirst),
        _ => Err(Refusal::bad_request(
            "Invalid orderby clause",
            format!("'{value}' is no order of {endpoint:?}"),
        )),
    }
}

fn top(value: &str, endpoint: Endpoint, maximum: usize) -> Result<(usize, Clamp), Refusal> {
    let asked = match value.parse::<usize>() {
        Ok(rows) if rows > 0 => rows,
        _ => {
            let message = format!("Invalid value '{value}' for $top query option found.");
            return Err(Refusal::bad_request(message, "$top"));
        }
    };
    if let Some(largest) = security::largest_top(endpoint)
        && asked > largest
    {
        return Err(beyond("Top", asked, largest));
    }
    let clamp = if asked > maximum { Clamp::Clamped } else { Clamp::AsAsked };
    Ok((asked.min(maximum), clamp))
}

fn skip(value: &str, deepest: Option<usize>) -> Result<usize, Refusal> {
    let Ok(rows) = value.parse::<usize>() else {
        let message = format!("Invalid value '{value}' for $skip query option found.");
        return Err(Refusal::bad_request(message, "$skip"));
    };
    match deepest {
        Some(deepest) if rows > deepest => Err(beyond("Skip", rows, deepest)),
        _ => Ok(rows),
    }
}

fn beyond(option: &str, asked: usize, limit: usize) -> Refusal {
    let message = format!(
        "The limit of '{limit}' for {option} query has been exceeded. The value from the incoming request is '{asked}'."
    );
    Refusal::bad_request(message, format!("${} is beyond its limit", option.to_lowercase()))
}
