//! One call to Defender for Cloud Apps: who may ask, and how often.
//!
//! The checks come in this order: the slash at the end, token, limit, role, method, type of the body. Files are read
//! with a token of the portal (`Token …`), everything else with one of the login (`Bearer …`).

use std::io;

use jiff::Timestamp;

use super::config::{Acceptance, CloudAppsConfig, PostWithoutSlash};
use super::error::{above_limit, detail, html, usual_detail};
use super::list::{CloudAppsList, Slash, list_of};
use super::page;
use crate::http::{Answer, Request};
use crate::sync::locked;
use crate::tenant::fault::Fault;
use crate::tenant::log::{AuthorizationScheme, RequestSeen};
use crate::tenant::{Outcome, State};

/// All callers of a tenant share one limit.
const EVERYBODY: &str = "everybody";

/// Everything about the call at hand.
pub(in crate::tenant) struct Call<'a> {
    pub(in crate::tenant) request: &'a Request,
    pub(in crate::tenant) seen: &'a RequestSeen,
    pub(in crate::tenant) fault: Option<&'a Fault>,
    pub(in crate::tenant) now: Timestamp,
}

/// An answer that is no success, and what the simulator knows beside it.
pub(super) struct Refused {
    answer: Box<Answer>,
    note: Option<String>,
}

impl Refused {
    pub(super) fn with(answer: Answer) -> Self {
        Self { answer: Box::new(answer), note: None }
    }

    pub(super) fn because(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// Answers a call, which may take its time.
pub(in crate::tenant) async fn answer(state: &State, call: &Call<'_>) -> io::Result<Outcome> {
    match checked(state, call)? {
        Ok(page) => {
            if !page.late_by.is_zero() {
                tokio::time::sleep(page.late_by).await;
            }
            Ok(page.outcome)
        }
        Err(Refused { answer, note }) => Ok(Outcome { note, ..Outcome::of(*answer) }),
    }
}

fn checked(state: &State, call: &Call<'_>) -> io::Result<Result<page::Page, Refused>> {
    let (list, slash) = list_of(&call.request.path)
        .ok_or_else(|| io::Error::other("a call to Defender for Cloud Apps has no path of its"))?;
    let config = locked(&state.cloud_apps).config.clone();
    if slash == Slash::Missing {
        return Ok(Err(without_slash(&config, call.request)));
    }
    if let Err(refused) = admit(state, &config, call, list).and_then(|()| check_form(call.request)) {
        return Ok(Err(refused));
    }
    if matches!(call.fault, Some(Fault::ExpireLinks)) {
        locked(&state.cloud_apps).expire_scans();
    }
    page::answer(state, call, list)
}

fn without_slash(config: &CloudAppsConfig, request: &Request) -> Refused {
    if request.method == "POST" && config.post_without_slash == PostWithoutSlash::NotFound {
        return Refused::with(html(404)).because("the path has no slash at its end");
    }
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let answer = Answer::new(config.redirect_status, "text/html; charset=utf-8", "");
    let answer = answer.with_header("Location", format!("{}/{query}", request.path));
    Refused::with(answer).because("the path has no slash at its end")
}

fn check_form(request: &Request) -> Result<(), Refused> {
    match request.method.as_str() {
        "GET" => Ok(()),
        "POST" => {
            let media_type = request.header("content-type").unwrap_or_default();
            if request.body.is_empty() || media_type.starts_with("application/json") {
                return Ok(());
            }
            let text = format!("Unsupported media type \"{media_type}\" in request.");
            Err(Refused::with(detail(415, &text)))
        }
        other => Err(Refused::with(detail(405, &format!("Method \"{other}\" not allowed.")))),
    }
}

/// Checks token, limit and role.
fn admit(
    state: &State,
    config: &CloudAppsConfig,
    call: &Call<'_>,
    list: CloudAppsList,
) -> Result<(), Refused> {
    let roles = authenticated(state, config, call, list).map_err(|reason| {
        let scheme = if list == CloudAppsList::Files { "Token" } else { "Bearer" };
        let answer = detail(401, usual_detail(401)).with_header("WWW-Authenticate", scheme);
        Refused::with(answer).because(reason)
    })?;
    if let Some(limit) = config.limits.minute {
        let admitted = locked(&state.cloud_apps_throttle).admit(EVERYBODY, limit, call.now);
        admitted.map_err(|seconds| {
            let note = format!("above {} requests in {} s", limit.requests, limit.period.as_secs());
            Refused::with(above_limit(config, seconds)).because(note)
        })?;
    }
    let is_allowed = |wanted: &&str| roles.iter().any(|role| role == *wanted);
    match roles {
        Roles::OfToken(_) if !list.roles().is_empty() && !list.roles().iter().any(is_allowed) => {
            let note = format!("{} is missing", list.roles().join(" or "));
            Err(Refused::with(detail(403, usual_detail(403))).because(note))
        }
        _ => Ok(()),
    }
}

/// What a caller may do.
enum Roles {
    /// What the user may who made the token in the portal.
    OfUser,
    /// What the token says.
    OfToken(std::sync::Arc<[String]>),
}

impl Roles {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let named = if let Self::OfToken(roles) = self { roles.as_ref() } else { &[] };
        named.iter().map(String::as_str)
    }
}

fn authenticated(
    state: &State,
    config: &CloudAppsConfig,
    call: &Call<'_>,
    list: CloudAppsList,
) -> Result<Roles, String> {
    let authorization = call.request.header("authorization");
    let is_files = list == CloudAppsList::Files;
    let taken = match call.seen.scheme {
        AuthorizationScheme::Bearer if is_files => config.bearer_for_files,
        AuthorizationScheme::Token if !is_files => config.portal_token_elsewhere,
        _ => Acceptance::Taken,
    };
    if taken == Acceptance::Refused {
        return Err(format!("{:?} is not taken here", call.seen.scheme));
    }
    if matches!(call.fault, Some(Fault::TokenRevoked)) {
        match call.seen.scheme {
            AuthorizationScheme::Token => locked(&state.cloud_apps).config.files_token = None,
            _ => locked(&state.tokens).revoke(authorization),
        }
        return Err("the token is revoked from now on".to_owned());
    }
    if call.seen.scheme == AuthorizationScheme::Token {
        let key = authorization.and_then(|text| text.strip_prefix("Token ")).unwrap_or_default();
        let known = config.files_token.as_ref().filter(|known| known.value == key);
        let known = known.ok_or("no token of the portal")?;
        let is_over = known.expires_at.is_some_and(|end| end <= call.now);
        return if is_over { Err("the token of the portal is over".to_owned()) } else { Ok(Roles::OfUser) };
    }
    let tokens = locked(&state.tokens);
    let checked = tokens.check(authorization, &config.scope, call.now);
    checked.map(|_| Roles::OfToken(tokens.roles(authorization))).map_err(|reason| format!("{reason:?} token"))
}
