//! What the security collections do beside serving pages.
//!
//! Legacy alerts come from several providers, some of which may be silent (206) or ignore the filter, and the whole
//! collection may be retired. alerts_v2 hides members of its enumerations that came after the sentinel from callers
//! who do not say that they can bear them.

mod config;
mod members;

use serde_json::Value;

use super::config::TenantConfig;
use super::endpoint::Endpoint;
use super::fault::{Fault, ProviderFailure};
use super::filter::Subject;
use super::page::Call;
use super::store::Record;
use super::{Outcome, State};
use crate::sync::locked;

pub use self::config::{ClampedPage, Retirement, SecurityConfig};
pub(super) use self::members::{bears_unknown_members, without_unknown_members};

/// The largest `$skip` and `$top` of the legacy alerts.
const ALERTS_DEEPEST_SKIP: usize = 500;
const ALERTS_LARGEST_TOP: usize = 1_000;

/// The largest `$skip` that the endpoint takes; `None`: any.
pub(super) fn deepest_skip(config: &TenantConfig, endpoint: Endpoint) -> Option<usize> {
    match endpoint {
        Endpoint::Alerts => Some(ALERTS_DEEPEST_SKIP),
        Endpoint::AlertsV2 => Some(config.security.deepest_skip),
        _ => None,
    }
}

/// The largest `$top` that is not refused; `None`: any, it is clamped. Whether Microsoft refuses or clamps it at the
/// legacy alerts is not told; the stricter of the two is here.
pub(super) fn largest_top(endpoint: Endpoint) -> Option<usize> {
    (endpoint == Endpoint::Alerts).then_some(ALERTS_LARGEST_TOP)
}

/// The refusal of an endpoint that is no more.
pub(super) fn refused_as_retired(state: &State, call: &Call<'_>) -> Option<Outcome> {
    let message = "The legacy alerts API is retired. Use /security/alerts_v2.";
    let (status, code) = match retirement(state, call.endpoint) {
        Retirement::NotFound => (404, "ResourceNotFound"),
        Retirement::Gone => (410, "Gone"),
        Retirement::None | Retirement::Empty => return None,
    };
    let answer = call.ids.error(status, code, message, call.now);
    Some(Outcome { note: Some("the endpoint is retired".to_owned()), ..Outcome::of(answer) })
}

/// Whether the endpoint is retired in the silent way: it still answers, and has nothing.
pub(super) fn is_empty(state: &State, endpoint: Endpoint) -> bool {
    retirement(state, endpoint) == Retirement::Empty
}

fn retirement(state: &State, endpoint: Endpoint) -> Retirement {
    if endpoint == Endpoint::Alerts { *locked(&state.retirement) } else { Retirement::None }
}

/// Whether the record's provider is silent in this answer.
pub(super) fn is_withheld(fault: Option<&Fault>, record: &Record) -> bool {
    let Some(Fault::PartialContent(failures)) = fault else {
        return false;
    };
    failures.iter().any(|failure| is_of_provider(record, &failure.provider))
}

/// Whether the record comes whatever the filter says.
pub(super) fn is_unfiltered(config: &SecurityConfig, endpoint: Endpoint, record: &Record) -> bool {
    endpoint == Endpoint::Alerts
        && config.unfiltered_providers.iter().any(|provider| is_of_provider(record, provider))
}

/// What the `Warning` header says of providers that failed.
pub(super) fn warning(failures: &[ProviderFailure]) -> String {
    let entry = |failure: &ProviderFailure| {
        let ProviderFailure { vendor, provider, status, latency_ms } = failure;
        format!("199 - \"{vendor}/{provider}/{status}/{latency_ms}\"")
    };
    failures.iter().map(entry).collect::<Vec<_>>().join(", ")
}

fn is_of_provider(record: &Record, provider: &str) -> bool {
    let found = record.document().pointer("/vendorInformation/provider").and_then(Value::as_str);
    found.is_some_and(|found| found.eq_ignore_ascii_case(provider))
}
