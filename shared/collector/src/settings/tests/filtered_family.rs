//! A made-up family of lists that take filters as JSON: one host for all tenants, two lists by time, two without a time,
//! and one that is read with a token of its own.

use serde_json::{Value, json};

use super::family::{input, now, service, with};
use crate::error::Error;
use crate::service::{Authorization, Cloud, Family, Older, Places, Query, Reading, SameBy, Service};
use crate::settings::document::{Resolved, resolve};
use crate::settings::{AdditionalFilter, Setting};

pub(super) static HARBOUR: Family = Family {
    input: "harbour",
    aliases: &[],
    older: Older { places: Places::Anywhere, ..Older::NONE },
    clouds: &[cloud("https://portal.example.com"), cloud("https://portal.example.gov")],
    services: &[&ARRIVALS, &ALARMS, &SHIPS, &BERTHS, &CARGO],
};

/// All services of it, by their functions.
pub(super) const FUNCTIONS: [&str; 5] =
    ["harbour-arrivals", "harbour-alarms", "harbour-ships", "harbour-berths", "harbour-cargo"];
/// Those without a time.
pub(super) const WHOLE_LISTS: [&str; 2] = ["harbour-ships", "harbour-berths"];
/// The audience of every host.
pub(super) const SCOPE: &str = "5d1c/.default";

static ARRIVALS: Service = list("arrivals", "harbour-arrivals", &["created"]);
static ALARMS: Service = list("alarms", "harbour-alarms", &["date", "resolutionDate"]);
static SHIPS: Service = inventory("ships", "harbour-ships");
static BERTHS: Service = inventory("berths", "harbour-berths");
static CARGO: Service = Service {
    authorization: Authorization::Token(&CARGO_TOKEN),
    ..list("cargo", "harbour-cargo", &["modifiedDate"])
};
static CARGO_TOKEN: Setting = Setting::named("cargo_access_token");

const fn cloud(base_url: &'static str) -> Cloud {
    Cloud { top_level_domain: None, base_url, login_url: "https://login.example.com", scope: SCOPE }
}

const fn list(name: &'static str, function: &'static str, times: &'static [&'static str]) -> Service {
    let reading = Reading::Pages;
    Service {
        query: Query::FilteredList { path: "/api/v1/list/", times, page_size: 100, reading },
        ..service("harbour", name, &[], function, "harbour")
    }
}

const fn inventory(name: &'static str, function: &'static str) -> Service {
    Service { event_time: &[], same_by: SameBy::LastVersion { ignoring: None }, ..list(name, function, &[]) }
}

/// A document with all five services and a token, and `more` in its input.
pub(super) fn harbour(more: Value) -> Value {
    let services = json!({"arrivals": {}, "alarms": {}, "ships": {}, "berths": {}, "cargo": {}});
    let complete = json!({"credentials": {"cargo_access_token": "t0ken"}, "services": services});
    json!({"inputs": {"harbour": with(with(input(), complete), more)}})
}

/// One service's settings.
pub(super) fn resolve_harbour(document: &Value, function: &str) -> Result<Resolved, Error> {
    resolve(document, &[&HARBOUR], function, None, now())
}

/// The additional filter of a service by its fields; panics when it is a clause.
pub(super) fn fields(resolved: &Resolved) -> Option<Value> {
    match resolved.settings.additional_filter.clone()? {
        AdditionalFilter::Fields(members) => Some(Value::Object(members)),
        AdditionalFilter::Clause(clause) => panic!("{clause}"),
    }
}
