//! The settings of an input: who it is, where and as whom its services log in and pull.
//!
//! Hosts, login and audience belong together by cloud: a base URL that is the host of a known cloud brings that
//! cloud's login and audience with it, because a token of one cloud is refused by the others.

use secrecy::SecretString;
use serde_json::Value;

use super::findings::Findings;
use super::keys::{
    self, BASE_URL, CLIENT_CERTIFICATE, CLIENT_ID, CLIENT_PRIVATE_KEY, CLIENT_SECRET, CREDENTIALS,
    ENVIRONMENT, ID, LOGIN_URL, PUBLISHER, SCOPE, Setting, TENANT_ID, TOP_LEVEL_DOMAIN,
};
use super::outline::Presence;
use super::read::{Block, kind_of};
use super::{Connection, Credential, RequestRate, is_word_character, rate, urls};
use crate::service::{Authorization, Cloud, Family, Service};

/// The settings that all services of an input share.
#[derive(Debug)]
pub(super) struct InputSettings {
    pub(super) id: String,
    pub(super) environment: Option<String>,
    pub(super) connection: Connection,
    pub(super) rate: Option<RequestRate>,
}

/// Reads an input's settings. Nothing is required of an input that does not work; what is missing is empty then.
pub(super) fn read(
    block: &Block<'_>,
    family: &'static Family,
    presence: Presence,
    findings: &mut Findings,
) -> InputSettings {
    InputSettings {
        id: id(block, presence, findings).unwrap_or_default(),
        environment: block.text(&ENVIRONMENT, findings).map(str::to_owned),
        connection: connection(block, family, presence, findings),
        rate: rate::read(block, findings),
    }
}

/// The token that the requests of a service carry in place of a login's: `None` for one that logs in. Where it is wrong,
/// that is a problem of this service alone, and the token is empty.
pub(super) fn token(
    block: &Block<'_>,
    family: &'static Family,
    service: &'static Service,
    findings: &mut Findings,
) -> Option<Credential> {
    let Authorization::Token(setting) = service.authorization else {
        return None;
    };
    // What else is wrong with the credentials is told of the input.
    let credentials = credentials(block, family, &mut Findings::default());
    let (path, remedy) = (credentials.path_of(setting), "make an API token in the portal and store it here");
    let given = match credentials.raw(setting) {
        Some((_, Value::String(text))) => text.trim(),
        Some((_, other)) => {
            findings.problem(path, format!("expected a text, found {}; put it in quotes", kind_of(other)));
            return Some(Credential::Token(SecretString::default()));
        }
        None => "",
    };
    let is_one_word = given.chars().all(|c| c.is_ascii_graphic());
    if given.is_empty() {
        let other_way = format!("or switch `{}` off, which alone needs it", service.name);
        findings.problem(path, format!("is missing; {remedy}, {other_way}"));
    } else if !is_one_word {
        findings.problem(path, format!("holds what no token does, white space for example; {remedy}"));
    }
    Some(Credential::Token(SecretString::from(if is_one_word { given } else { "" })))
}

fn id(block: &Block<'_>, presence: Presence, findings: &mut Findings) -> Option<String> {
    let remedy = "give one or more of the characters A-Z a-z 0-9 _ -";
    let Some((path, value)) = block.raw(&ID) else {
        if presence == Presence::On {
            findings.problem(block.path_of(&ID), format!("is missing; {remedy}"));
        }
        return None;
    };
    let id = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        other => {
            findings.problem(path, format!("expected a text or a number, found {}", kind_of(other)));
            return None;
        }
    };
    if id.is_empty() || !id.chars().all(is_word_character) {
        findings.problem(path, format!("is no id; {remedy}"));
        return None;
    }
    Some(id)
}

fn connection(
    block: &Block<'_>,
    family: &'static Family,
    presence: Presence,
    findings: &mut Findings,
) -> Connection {
    let chosen = chosen_cloud(block, family, findings);
    let own_base_url = root_url(block, &BASE_URL, findings);
    let own_login_url = root_url(block, &LOGIN_URL, findings);
    let own_scope = scope(block, findings);
    let clouds = own_base_url.as_deref().map_or_else(
        || Clouds { login: chosen, audience: chosen },
        |base_url| clouds_of(base_url, family, chosen),
    );
    if let (Some(login), Some(audience)) = (clouds.login, clouds.audience)
        && login.scope != audience.scope
        && own_scope.is_none()
    {
        let remark = "is of no known cloud, so the token's audience is the public one; name another in";
        findings.remarks.push(format!("{} {remark} `{}`", block.path_of(&BASE_URL), SCOPE.name));
    }
    let identity = identity(block, family, presence, findings);
    let or_default = |own: Option<String>, cloud: Option<&Cloud>, member: fn(&Cloud) -> &'static str| {
        own.or_else(|| cloud.map(|it| member(it).to_owned())).unwrap_or_default()
    };
    Connection {
        base_url: or_default(own_base_url, chosen, |cloud| cloud.base_url),
        login_url: or_default(own_login_url, clouds.login, |cloud| cloud.login_url),
        scope: or_default(own_scope, clouds.audience, |cloud| cloud.scope),
        publisher: publisher(block, findings).unwrap_or_else(|| identity.tenant_id.clone()),
        tenant_id: identity.tenant_id,
        client_id: identity.client_id,
        credential: identity.credential,
    }
}

/// Which cloud gives the login and which the audience, where the document does not say.
struct Clouds {
    login: Option<&'static Cloud>,
    audience: Option<&'static Cloud>,
}

/// A known host brings both. An unknown one (a proxy) keeps the chosen cloud's login and has the public audience.
fn clouds_of(base_url: &str, family: &'static Family, chosen: Option<&'static Cloud>) -> Clouds {
    match family.clouds.iter().find(|cloud| urls::same_host(cloud.base_url, base_url)) {
        Some(known) => Clouds { login: Some(known), audience: Some(known) },
        None => Clouds { login: chosen, audience: family.clouds.first() },
    }
}

fn chosen_cloud(
    block: &Block<'_>,
    family: &'static Family,
    findings: &mut Findings,
) -> Option<&'static Cloud> {
    let public = family.clouds.first();
    let Some(domain) = block.text(&TOP_LEVEL_DOMAIN, findings) else {
        return public;
    };
    let cloud = family.clouds.iter().find(|cloud| cloud.top_level_domain == Some(domain.trim()));
    if cloud.is_none() {
        let known: Vec<&str> = family.clouds.iter().filter_map(|cloud| cloud.top_level_domain).collect();
        let text = format!("names no known cloud; use one of: {}", known.join(", "));
        findings.problem(block.path_of(&TOP_LEVEL_DOMAIN), text);
    }
    cloud.or(public)
}

fn root_url(block: &Block<'_>, setting: &'static Setting, findings: &mut Findings) -> Option<String> {
    let text = block.text(setting, findings)?;
    urls::parse_root(text).map_err(|problem| findings.problem(block.path_of(setting), problem)).ok()
}

fn scope(block: &Block<'_>, findings: &mut Findings) -> Option<String> {
    let text = block.text(&SCOPE, findings)?.trim();
    if text.contains(char::is_whitespace) {
        findings.problem(block.path_of(&SCOPE), "must be one scope, without white space");
        return None;
    }
    Some(text.to_owned())
}

/// It becomes part of every URL.
fn publisher(block: &Block<'_>, findings: &mut Findings) -> Option<String> {
    let text = block.text(&PUBLISHER, findings)?.trim();
    if text.is_empty() || !text.chars().all(is_word_character) {
        findings.problem(block.path_of(&PUBLISHER), "is no GUID; give the tenant id of the publisher");
        return None;
    }
    Some(text.to_owned())
}

/// As whom to log in.
struct Identity {
    tenant_id: String,
    client_id: String,
    credential: Credential,
}

fn identity(
    block: &Block<'_>,
    family: &'static Family,
    presence: Presence,
    findings: &mut Findings,
) -> Identity {
    let credentials = credentials(block, family, findings);
    if presence == Presence::On {
        report_missing(&credentials, findings);
    }
    let certificate = credentials.text(&CLIENT_CERTIFICATE, findings);
    let private_key = credentials.text(&CLIENT_PRIVATE_KEY, findings);
    let secret = credentials.text(&CLIENT_SECRET, findings).unwrap_or_default();
    let credential = match (certificate, private_key) {
        (Some(pem), Some(key)) => {
            Credential::Certificate { certificate: pem.to_owned(), private_key: SecretString::from(key) }
        }
        _ => Credential::Secret(SecretString::from(secret)),
    };
    Identity {
        tenant_id: directory_name(&credentials, &TENANT_ID, findings),
        client_id: directory_name(&credentials, &CLIENT_ID, findings),
        credential,
    }
}

fn credentials<'a>(block: &Block<'a>, family: &'static Family, findings: &mut Findings) -> Block<'a> {
    let path = block.path_of(&CREDENTIALS);
    match block.raw(&CREDENTIALS) {
        Some((_, value)) => Block::read(path, value, &keys::of_credentials(family), &[], findings),
        None => Block::empty(path),
    }
}

/// All that is missing is named at once.
fn report_missing(credentials: &Block<'_>, findings: &mut Findings) {
    let mut missing: Vec<&str> = [&TENANT_ID, &CLIENT_ID]
        .into_iter()
        .filter(|setting| !credentials.has(setting))
        .map(|setting| setting.name)
        .collect();
    match (credentials.has(&CLIENT_CERTIFICATE), credentials.has(&CLIENT_PRIVATE_KEY)) {
        (true, true) => {}
        (true, false) => missing.push("client_private_key (it goes with client_certificate)"),
        (false, true) => missing.push("client_certificate (it goes with client_private_key)"),
        (false, false) if credentials.has(&CLIENT_SECRET) => {}
        (false, false) => missing.push("client_secret (or client_certificate with client_private_key)"),
    }
    if !missing.is_empty() {
        findings.problem(&credentials.path, format!("missing: {}", missing.join(", ")));
    }
}

/// A tenant or client: a GUID or a domain. It becomes part of a URL, so nothing else may be in it.
fn directory_name(credentials: &Block<'_>, setting: &'static Setting, findings: &mut Findings) -> String {
    let Some(text) = credentials.text(setting, findings) else {
        return String::new();
    };
    let name = text.trim();
    let is_plain = name.chars().all(|c| is_word_character(c) || c == '.') && !name.starts_with('.');
    if !is_plain {
        let problem = "holds other characters than A-Z a-z 0-9 . _ -; copy it from the app registration";
        findings.problem(credentials.path_of(setting), problem);
    }
    name.to_owned()
}
