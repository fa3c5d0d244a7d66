//! The keys that a document may hold, with all their spellings, and the nearest known key to an unknown one.
//!
//! One setting has one name in the code and any number of spellings in documents; everything behind this file speaks
//! of the setting. Which settings a block may hold depends on the family or service it belongs to.

use crate::service::{Authorization, Family, Query, Service};

/// One setting: its name and the other spellings that existing documents use.
#[derive(Debug)]
pub struct Setting {
    /// The name that messages use.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
}

impl Setting {
    /// A setting with one spelling.
    pub const fn named(name: &'static str) -> Self {
        Self { name, aliases: &[] }
    }

    /// A setting with other spellings beside its name.
    pub const fn spelt(name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { name, aliases }
    }

    /// All its spellings, the name first.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Whether `key` is one of its spellings.
    pub(crate) fn is_spelt(&self, key: &str) -> bool {
        self.spellings().any(|spelling| spelling == key)
    }
}

// Of both inputs and services.
pub(super) static ENABLED: Setting = Setting::named("enabled");
pub(super) static REQUESTS_PER_SECOND: Setting = Setting::named("requests_per_second");
pub(super) static REQUESTS_LIMITS: Setting = Setting::named("requests_limits");

// Of inputs.
pub(super) static ID: Setting = Setting::named("id");
pub(super) static CREDENTIALS: Setting = Setting::named("credentials");
pub(super) static ENVIRONMENT: Setting = Setting::named("environment");
pub(super) static TOP_LEVEL_DOMAIN: Setting = Setting::named("override_top_level_domain");
pub(super) static BASE_URL: Setting =
    Setting::spelt("override_base_url", &["api_base_url", "override_api_base_url", "override_base_url_main"]);
pub(super) static LOGIN_URL: Setting =
    Setting::spelt("override_login_url", &["token_url", "override_token_url"]);
pub(super) static SCOPE: Setting = Setting::spelt("override_scope_value", &["override_scope"]);
pub(super) static SERVICES: Setting = Setting::named("services");
pub(super) static PUBLISHER: Setting = Setting::named("publisher_identifier");

// Of credentials.
pub(super) static TENANT_ID: Setting = Setting::named("tenant_id");
pub(super) static CLIENT_ID: Setting = Setting::named("client_id");
pub(super) static CLIENT_SECRET: Setting = Setting::named("client_secret");
pub(super) static CLIENT_CERTIFICATE: Setting = Setting::named("client_certificate");
pub(super) static CLIENT_PRIVATE_KEY: Setting = Setting::named("client_private_key");

// Of both, in documents for version 1.x: they are translated before anything else reads them.
pub(super) const TAG_VERSION: &str = "tag_version";
pub(super) const SLIDING_WINDOW: &str = "pull_sliding_window_timespan_period";
pub(super) const ENVIRONMENT_OF_365: &str = "ms_365_environment";
pub(super) const CUSTOM_ENDPOINTS: &str = "custom_endpoints";
/// URLs of `custom_endpoints` that one request for all vendors' alerts has no use for.
pub(super) const VENDOR_URLS: &[&str] =
    &["override_base_url_vendor", "override_base_url_vendor_with_sub_provider"];

// Of services.
pub(super) static REQUEST_PERIOD: Setting = Setting::named("request_period_in_seconds");
pub(super) static START_TIME: Setting =
    Setting::spelt("start_time_in_utc", &["start_time", "historic_date_utc", "historical_poll_datetime"]);
pub(super) static ADDITIONAL_FILTER: Setting = Setting::named("additional_filter");
pub(super) static TAG: Setting = Setting::spelt("override_tag", &["tag"]);
pub(super) static WINDOW_MAX: Setting = Setting::named("override_query_window_max_seconds");
pub(super) static LOOKBACK: Setting = Setting::named("override_lookback_in_seconds");
pub(super) static SNAPSHOT_MODE: Setting = Setting::named("snapshot_mode");
pub(super) static LATE_SWEEP_PERIOD: Setting = Setting::named("late_sweep_period_in_seconds");
pub(super) static LATE_SWEEP_RANGE: Setting = Setting::named("late_sweep_range_in_seconds");
pub(super) static TIME_DELTA: Setting = Setting::named("override_time_delta_in_days");
pub(super) static RESET: Setting = Setting::named("reset_persistence_auth");
pub(super) static OBFUSCATION: Setting = Setting::named("obfuscation_data");
pub(super) static MEMORY_MOST: Setting = Setting::named("override_bloom_filter_size");
pub(super) static MEMORY_LEAST: Setting = Setting::named("override_bloom_filter_buffer_size");
pub(super) static FLATTEN: Setting = Setting::named("flatten");
pub(super) static FLATTEN_MOST: Setting = Setting::named("flatten_max_events");
pub(super) static QUERIES: Setting = Setting::named("queries");

// Of one of the operator's own queries.
pub(super) static HUNTING_NAME: Setting = Setting::named("name");
pub(super) static HUNTING_QUERY: Setting = Setting::named("query");
pub(super) static TIME_RANGE: Setting = Setting::named("time_range_in_seconds");

/// Keys of the document itself, beside `inputs`, that belong to the vendor's runtime and have no effect here.
pub(super) const IGNORED_AT_TOP: &[&str] = &["globals", "global_overrides", "outputs", "job", "autoconfig"];

/// Such keys of an input or a service.
pub(super) const IGNORED_INSIDE: &[&str] = &["autoconfig", "use_time_slots_for_retrievals"];

/// The settings of a family's input.
pub(super) fn of_input(family: &Family) -> Vec<&'static Setting> {
    let mut settings = vec![
        &ID,
        &ENABLED,
        &CREDENTIALS,
        &ENVIRONMENT,
        &BASE_URL,
        &LOGIN_URL,
        &SCOPE,
        &REQUESTS_PER_SECOND,
        &REQUESTS_LIMITS,
        &SERVICES,
    ];
    if family.clouds.iter().any(|cloud| cloud.top_level_domain.is_some()) {
        settings.push(&TOP_LEVEL_DOMAIN);
    }
    if family.services.iter().any(|service| service.query.is_content()) {
        settings.push(&PUBLISHER);
    }
    settings
}

/// The settings of the credentials of a family's input.
pub(super) fn of_credentials(family: &Family) -> Vec<&'static Setting> {
    let mut settings = vec![&TENANT_ID, &CLIENT_ID, &CLIENT_SECRET, &CLIENT_CERTIFICATE, &CLIENT_PRIVATE_KEY];
    settings.extend(family.services.iter().filter_map(|service| match service.authorization {
        Authorization::Token(setting) => Some(setting),
        Authorization::Login => None,
    }));
    settings
}

/// The settings of a service.
pub(super) fn of_service(service: &Service) -> Vec<&'static Setting> {
    let mut settings = vec![
        &ENABLED,
        &REQUEST_PERIOD,
        &START_TIME,
        &TIME_DELTA,
        &RESET,
        &TAG,
        &WINDOW_MAX,
        &LOOKBACK,
        &REQUESTS_PER_SECOND,
        &REQUESTS_LIMITS,
        &OBFUSCATION,
    ];
    match service.query {
        Query::OData { .. } | Query::NewestDays { .. } => {
            settings.extend([&ADDITIONAL_FILTER, &LATE_SWEEP_PERIOD, &LATE_SWEEP_RANGE]);
        }
        Query::Snapshot { .. } => settings.extend([&ADDITIONAL_FILTER, &SNAPSHOT_MODE]),
        Query::FilteredList { times: [], .. } => settings.extend([&ADDITIONAL_FILTER, &SNAPSHOT_MODE]),
        Query::FilteredList { .. } => {
            settings.extend([&ADDITIONAL_FILTER, &LATE_SWEEP_PERIOD, &LATE_SWEEP_RANGE]);
        }
        Query::Hunting { .. } => settings.extend([&QUERIES, &SNAPSHOT_MODE]),
        // One document's template serves all services of this input.
        Query::Content { .. } | Query::FailedContent => {
            settings.extend([&LATE_SWEEP_PERIOD, &LATE_SWEEP_RANGE, &MEMORY_MOST, &MEMORY_LEAST]);
        }
    }
    settings.extend(service.enrichments.iter().map(|enrichment| &enrichment.switch));
    if service.flatten.is_some() {
        settings.extend([&FLATTEN, &FLATTEN_MOST]);
    }
    settings
}

/// The known key that looks most like `key`, whatever the case of its letters: few slips, and a common beginning. One that
/// only goes on where `key` ends was probably meant.
pub(crate) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = key.to_lowercase();
    let likeness = |candidate: &str| {
        let candidate_lower = candidate.to_lowercase();
        let is_cut_short = lower.len() > 3 && candidate_lower.starts_with(&lower);
        strsim::normalized_damerau_levenshtein(&lower, &candidate_lower)
            + strsim::jaro_winkler(&lower, &candidate_lower)
            + if is_cut_short { 1.0 } else { 0.0 }
    };
    known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// Whether `key` is so near to `name` that it was probably meant to be it: three slips of the pen or fewer.
pub(super) fn is_slip_of(key: &str, name: &str) -> bool {
    strsim::damerau_levenshtein(&key.to_lowercase(), &name.to_lowercase()) <= 3
}
