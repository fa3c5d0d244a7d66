//! What Defender for Cloud Apps means by its refusals, and what the operator can do.
//!
//! It names no permissions and has few codes: a filter that it does not take is told field by field, with 400 or as a
//! success; a token that it does not take with a sentence or a page of HTML; and at a host that is not the tenant's own,
//! 404 is the portal's page.

use collector::ports::SourceError;

use crate::failure::{Context, Failure, FailureKind, Target, grant, refused_filter};

/// Refusals that the run loop can do something about, or that have a number of their own.
pub(crate) fn refusal(failure: &Failure, context: &Context<'_>) -> Option<SourceError> {
    let is_refusal = failure.kind == FailureKind::Refused && matches!(failure.status, Some(400 | 200..=299));
    let names_filter = failure.complaint.refuses_filter();
    // The filters behind a link are the API's own, so whatever is wrong is wrong with them: they are asked for anew, from
    // the window's.
    if is_refusal && context.target == Target::Link && (names_filter || is_list(context.endpoint)) {
        return Some(SourceError::LinkExpired(failure.sentence()));
    }
    (is_refusal && names_filter).then(|| refused_filter(failure, context))
}

/// What the operator can do.
pub(crate) fn remedy(failure: &Failure, context: &Context<'_>) -> Option<String> {
    let status = failure.status?;
    if let (401 | 403, Some(setting)) = (status, context.token_setting) {
        return Some(format!(
            "; make a new API token in the portal of Defender for Cloud Apps, as a user who may see the files, and \
             store it in credentials.{setting}"
        ));
    }
    if !is_list(context.endpoint) {
        return None;
    }
    match status {
        401 => Some(format!(
            "; the token may be for another audience: correct or remove override_scope_value; if that is right{}",
            grant(context.permission).replacen(';', ",", 1)
        )),
        404 => Some(
            "; correct override_base_url: each tenant has a URL of its own, \
             https://tenant.region.portal.cloudappsecurity.com"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether a list of this API was asked for: no other API has paths with a slash at their end.
fn is_list(endpoint: &str) -> bool {
    endpoint.contains("/api/v1/") && endpoint.ends_with('/')
}
