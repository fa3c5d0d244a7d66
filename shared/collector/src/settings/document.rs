//! The configuration document: one function's settings out of it.
//!
//! A document is read in three steps. First its outline: which inputs and services it has, under which names. Then the
//! settings of the function's own input and service, an invocation's settings laid over them. Last the problems: those
//! of the function's own part are its error, all of them together; those of other parts are warnings, so that one
//! service's typing error does not stop the others, and those of something switched off.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Settings;
use super::findings::Findings;
use super::keys::{self, IGNORED_INSIDE, RESET, START_TIME, TIME_DELTA};
use super::outline::{InputOutline, Outline, Presence, ServiceOutline, names_of_family};
use super::read::Block;
use super::translate::translate;
use super::{input, queries, rate, service_block};
use crate::error::{Error, ErrorType, code};
use crate::service::{Family, Query, Service};

/// A function's settings and what the operator should know about the document.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Translations, ignored keys, problems of other inputs.
    pub warnings: Vec<String>,
}

/// Resolves the settings of `function` from the document, `overlay` (service settings of one invocation) laid over it.
/// All problems are reported in one error, one a line. An absent service or input gives `enabled: false`; what such a
/// service has no setting for (id, credentials) is empty.
pub fn resolve(
    document: &Value,
    families: &[&'static Family],
    function: &str,
    overlay: Option<&Map<String, Value>>,
    now: Timestamp,
) -> Result<Resolved, Error> {
    let Some((family, service)) = find_function(families, function) else {
        let known: Vec<&str> = functions(families).map(|service| service.function).collect();
        let message = format!("function `{function}` is not known; known are: {}", known.join(", "));
        return Err(Error::new(ErrorType::InitVariablesError, code::SETTINGS, message));
    };
    let translation = translate(document, families);
    let outline = Outline::read(&translation, families);
    resolve_one(&outline, Target { family, service, now }, overlay, Others::Mentioned)
}

/// Resolves every service of every family. Unlike [`resolve`], a service's result names the place of every problem and
/// does not mention those of other services, because they have results of their own; what concerns the whole document
/// (ignored keys, unknown inputs) stands in each of them.
pub fn check_all(
    document: &Value,
    families: &[&'static Family],
    now: Timestamp,
) -> Vec<(&'static str, Result<Resolved, Error>)> {
    let translation = translate(document, families);
    let outline = Outline::read(&translation, families);
    families
        .iter()
        .flat_map(|family| family.services.iter().map(|service| Target { family, service, now }))
        .map(|target| (target.service.function, resolve_one(&outline, target, None, Others::LeftOut)))
        .collect()
}

/// All services of these families, in order.
pub fn functions(families: &[&'static Family]) -> impl Iterator<Item = &'static Service> {
    families.iter().flat_map(|family| family.services.iter().copied())
}

/// Parses the text of a document. The error names line and column and quotes nothing: the text is a secret.
pub fn parse_json(text: &str) -> Result<Value, Error> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(body).map_err(|error| {
        let cause = if error.is_eof() { "it ends too early" } else { "it is not well-formed" };
        let (line, column) = (error.line(), error.column());
        let message =
            format!("the configuration document is no JSON: {cause} at line {line}, column {column}");
        Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
    })
}

/// One function, looked at at one instant.
#[derive(Debug, Clone, Copy)]
struct Target {
    family: &'static Family,
    service: &'static Service,
    now: Timestamp,
}

/// What becomes of the problems of other inputs and services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    Mentioned,
    LeftOut,
}

fn find_function(
    families: &[&'static Family],
    function: &str,
) -> Option<(&'static Family, &'static Service)> {
    families.iter().find_map(|family| {
        let service = family.services.iter().find(|service| service.function == function)?;
        Some((*family, *service))
    })
}

fn resolve_one(
    outline: &Outline<'_>,
    target: Target,
    overlay: Option<&Map<String, Value>>,
    others: Others,
) -> Result<Resolved, Error> {
    let own_input = outline.inputs.iter().find(|input| input.family.input == target.family.input);
    let own_service = own_input.and_then(|input| input.service_named(target.service.name));
    let mut findings = Findings { problems: outline.findings.problems.clone(), ..Findings::default() };
    judge_unknown_names(outline, target, own_input, own_service, &mut findings);

    let settings = settings_of(target, own_input, own_service, overlay, &mut findings);
    let error = match others {
        Others::Mentioned => findings.error(),
        Others::LeftOut => findings.error_with_places(),
    };
    if let Some(error) = error {
        return Err(error);
    }
    let mut warnings = Vec::new();
    let ignored = [outline.ignored(), findings.ignored].concat();
    if !ignored.is_empty() {
        warnings.push(format!("ignored, without effect here: {}", ignored.join(", ")));
    }
    warnings.extend(findings.remarks);
    if others == Others::Mentioned {
        warnings.extend(problems_of_others(outline, target));
    }
    Ok(Resolved { settings, warnings })
}

/// An unknown name may be this very function's, misspelt; then it must not pass as "absent".
fn judge_unknown_names(
    outline: &Outline<'_>,
    target: Target,
    own_input: Option<&InputOutline<'_>>,
    own_service: Option<&ServiceOutline<'_>>,
    findings: &mut Findings,
) {
    for unknown in &outline.unknown_inputs {
        let is_ours = names_of_family(target.family).any(|name| keys::is_slip_of(&unknown.key, name));
        if own_input.is_none() && is_ours {
            findings.problem(&unknown.path, &unknown.text);
        } else {
            findings.remarks.push(format!("another input: {}: {}", unknown.path, unknown.text));
        }
    }
    let Some(input) = own_input else {
        return;
    };
    let problems = Findings { problems: input.unknown_services.problems.clone(), ..Findings::default() };
    let is_off = is_switched_off(own_input, own_service);
    findings.extend(if is_off { problems.demoted("not in use") } else { problems });
}

/// Whether the document says so, as opposed to not having the input or service at all.
fn is_switched_off(own_input: Option<&InputOutline<'_>>, own_service: Option<&ServiceOutline<'_>>) -> bool {
    own_input.is_some_and(|input| input.presence == Presence::Off)
        || own_service.is_some_and(|service| service.presence == Presence::Off)
}

fn settings_of(
    target: Target,
    own_input: Option<&InputOutline<'_>>,
    own_service: Option<&ServiceOutline<'_>>,
    overlay: Option<&Map<String, Value>>,
    findings: &mut Findings,
) -> Settings {
    let Target { family, service, now } = target;
    let is_on = own_input.is_some_and(|input| input.presence == Presence::On)
        && own_service.is_some_and(|outline| outline.presence == Presence::On);
    let presence = if is_on { Presence::On } else { Presence::Off };

    let mut own = Findings::default();
    let no_input = Block::empty(family.input);
    let input_block = own_input.map_or(&no_input, |input| &input.block);
    for part in own_input.map(|it| &it.findings).into_iter().chain(own_service.map(|it| &it.findings)) {
        own.problems.extend(part.problems.clone());
        own.remarks.extend(part.remarks.clone());
    }
    let mut input_settings = input::read(input_block, family, presence, &mut own);

    let mut block = own_service.map_or_else(|| Block::empty(service.name), |outline| outline.block.clone());
    if let Some(members) = overlay {
        block.lay_over(overlay_block(members, service, findings));
    }
    let enabled = is_on && block.boolean(&keys::ENABLED, &mut Findings::default()) != Some(false);
    let service_settings = service_block::read(&block, service, now, &mut own);
    let mut of_token = Findings::default();
    if let Some(token) = input::token(input_block, family, service, &mut of_token) {
        input_settings.connection.credential = token;
    }
    if enabled {
        queries::require(&block, service, &mut own);
        own.extend(of_token);
    }
    let is_off = is_switched_off(own_input, own_service);
    findings.extend(if is_off { own.demoted("not in use") } else { own });

    let sharers = own_input.map_or(1, |input| input.sharers(service.rate.budget));
    Settings {
        service,
        input_id: input_settings.id,
        environment: input_settings.environment,
        enabled,
        connection: input_settings.connection,
        request_period: service_settings.request_period,
        start_time: service_settings.start_time,
        older_start: service_settings.older_start,
        additional_filter: service_settings.additional_filter,
        override_tag: service_settings.override_tag,
        window_max: service_settings.window_max,
        lookback: service_settings.lookback,
        late_sweep_period: service_settings.late_sweep_period,
        late_sweep_range: service_settings.late_sweep_range,
        snapshot_mode: service_settings.snapshot_mode,
        obfuscation: service_settings.obfuscation,
        rate: rate::of_function(service_settings.rate, input_settings.rate, service.rate, sharers),
        memory: service_settings.memory,
        enrichments: service_settings.enrichments,
        flatten: service_settings.flatten,
        queries: service_settings.queries,
        feeds: feeds(target, own_input),
    }
}

/// The working content feeds beside a service that retries what failed in them. What is wrong with one of them is told
/// as another service's problem.
fn feeds(target: Target, own_input: Option<&InputOutline<'_>>) -> Vec<Settings> {
    if !matches!(target.service.query, Query::FailedContent) {
        return Vec::new();
    }
    let all = target.family.services.iter().copied().filter(|service| service.query.is_content());
    all.filter_map(|service| {
        let feed = Target { service, ..target };
        let own_service = own_input.and_then(|input| input.service_named(service.name));
        let mut findings = Findings::default();
        let settings = settings_of(feed, own_input, own_service, None, &mut findings);
        (settings.enabled && findings.error().is_none()).then_some(settings)
    })
    .collect()
}

/// The settings of an invocation. They are never stored, and a start time is a matter of the stored position.
fn overlay_block<'a>(
    members: &'a Map<String, Value>,
    service: &'static Service,
    findings: &mut Findings,
) -> Block<'a> {
    let mut known = keys::of_service(service);
    known.retain(|setting| ![TIME_DELTA.name, RESET.name].contains(&setting.name));
    let mut block = Block::read_members("settings", members, &known, IGNORED_INSIDE, findings);
    block.boolean(&keys::ENABLED, findings);
    if let Some(path) = block.remove(&START_TIME) {
        let remedy = "change it in the configuration document, or ask for a backfill";
        findings.problem(path, format!("a start time cannot be set for one invocation; {remedy}"));
    }
    block
}

/// What is wrong with the working services beside the function's own.
fn problems_of_others(outline: &Outline<'_>, target: Target) -> Vec<String> {
    let mut warnings = Vec::new();
    for input in outline.inputs.iter().filter(|input| input.presence == Presence::On) {
        let is_own = input.family.input == target.family.input;
        if !is_own {
            let mut found = Findings::default();
            found.problems.extend(input.findings.problems.clone());
            found.problems.extend(input.unknown_services.problems.clone());
            input::read(&input.block, input.family, Presence::On, &mut found);
            warnings.extend(found.demoted("another input").remarks);
        }
        for outline_of_other in input.services.iter().filter(|it| it.presence == Presence::On) {
            let service = outline_of_other.service;
            if is_own && service.name == target.service.name {
                continue;
            }
            let mut found = Findings::default();
            found.problems.extend(outline_of_other.findings.problems.clone());
            service_block::read(&outline_of_other.block, service, target.now, &mut found);
            queries::require(&outline_of_other.block, service, &mut found);
            input::token(&input.block, input.family, service, &mut found);
            // What its words of version 1.x mean is told in its own answers.
            found.remarks.clear();
            warnings.extend(found.demoted("another service").remarks);
        }
    }
    warnings
}
