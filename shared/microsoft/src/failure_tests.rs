//! The error table: an answer of the API on one side, what the run loop is told on the other.

use bytes::Bytes;
use reqwest::header::HeaderMap;

use super::*;

const ENDPOINT: &str = "https://graph.example/v1.0/auditLogs/signIns";

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn context() -> Context<'static> {
    Context {
        endpoint: ENDPOINT,
        contact: Contact::First,
        target: Target::Window,
        window_from: "2026-11-20T09:00:00Z".parse().unwrap(),
        now: now(),
        filter: "(time) and (mine eq 1)",
        additional_filter: None,
        permission: "AuditLog.Read.All",
        token_setting: None,
        successor: None,
    }
}

fn security() -> Context<'static> {
    Context {
        endpoint: "https://graph.example/v1.0/security/alerts",
        permission: "SecurityEvents.Read.All",
        successor: Some("alerts_v2"),
        ..context()
    }
}

fn refused(status: u16, code: &str, message: &str) -> Failure {
    let body =
        serde_json::json!({"error": {"code": code, "message": message, "innerError": {"request-id": "r-1"}}});
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from(body.to_string()),
    };
    Failure::refused(&answer, now())
}

/// A short form of what the run loop is told.
fn told(failure: &Failure, context: &Context<'_>) -> String {
    match source_error(failure, context) {
        SourceError::Fatal(error) => format!("fatal {} {error}", error.error_type.as_str()),
        SourceError::TooHeavy(error) => format!("heavy {} {error}", error.error_type.as_str()),
        SourceError::LinkExpired(_) => "link expired".to_owned(),
        SourceError::StartTooOld { minimum, .. } => format!("start too old {minimum:?}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_first_refusal_says_that_the_source_is_not_pullable_and_what_to_do() {
    let table = [
        (
            refused(
                403,
                "Authentication_MSGraphPermissionMissing",
                "Calling principal lacks AuditLog.Read.All, X.Read.",
            ),
            "[102] Failed to fetch data from https://graph.example/v1.0/auditLogs/signIns. Source is not pullable. 403 \
             Authentication_MSGraphPermissionMissing: Calling principal lacks AuditLog.Read.All, X.Read. (request id \
             r-1); grant the application permission AuditLog.Read.All, X.Read and give admin consent",
        ),
        (refused(403, NO_LICENCE, "Neither"), "licence"),
        (
            refused(403, NO_DIRECTORY_ACCESS, "Failed to do premium license check"),
            "permission Directory.Read.All",
        ),
        (refused(403, "", "no"), "grant the application permission AuditLog.Read.All"),
        (
            refused(401, "InvalidAuthenticationToken", "no"),
            "grant the application permission AuditLog.Read.All",
        ),
        (
            refused(401, "Unauthorized", "no"),
            "correct or remove override_scope_value; if that is right, grant the application permission AuditLog.Read.All",
        ),
        (refused(404, "", ""), "correct override_base_url"),
        (refused(400, "BadRequest", "Resource not found for the segment 'x'."), "does not have the endpoint"),
        (refused(400, "", "Query option 'Skip' is not allowed."), "400: Query option 'Skip' is not allowed."),
    ];
    for (failure, words) in table {
        let told = told(&failure, &context());
        assert!(
            told.starts_with("fatal SetupError [102] ") && told.contains(words),
            "{told} should say {words}"
        );
    }
}

#[test]
fn a_security_service_names_its_permission_or_the_licence_it_needs() {
    let table = [
        (refused(403, "Forbidden", "no"), "grant the application permission SecurityEvents.Read.All"),
        (
            refused(
                403,
                "UnknownError",
                "requires one of SecurityAlert.Read.All, SecurityAlert.ReadWrite.All",
            ),
            "grant the application permission SecurityAlert.Read.All, SecurityAlert.ReadWrite.All",
        ),
        (
            refused(403, NO_LICENCE, "Neither"),
            "the tenant needs a licence for a Microsoft product that gives these records",
        ),
    ];
    for (failure, words) in table {
        let told = told(&failure, &security());
        assert!(told.starts_with("fatal SetupError [102] ") && told.contains(words), "{told}");
        assert!(!told.contains("Entra"), "{told}");
    }
    let audit = told(&refused(403, NO_LICENCE, "Neither"), &context());
    assert!(audit.contains("Microsoft Entra ID P1 or P2 licence"), "{audit}");
}

#[test]
fn an_absent_endpoint_that_has_a_successor_is_retired() {
    let absent = [
        refused(404, "", ""),
        refused(410, "Gone", "This API is gone."),
        refused(400, "BadRequest", "Resource not found for the segment 'alerts'."),
    ];
    for failure in &absent {
        for contact in [Contact::First, Contact::Established] {
            match source_error(failure, &Context { contact, ..security() }) {
                SourceError::Retired(words) => assert_eq!(
                    words,
                    format!(
                        "https://graph.example/v1.0/security/alerts was retired by Microsoft ({}): disable this \
                         service and enable alerts_v2 in its place",
                        failure.sentence()
                    )
                ),
                other => panic!("{other:?}"),
            }
        }
        let lasting = told(failure, &Context { successor: None, ..security() });
        assert!(lasting.starts_with("fatal "), "{lasting}");
    }
    let link = Context { target: Target::Link, ..security() };
    assert_eq!(told(&refused(404, "", ""), &link), "link expired");
    for status in [400, 401, 403, 405, 500, 503] {
        let told = told(&refused(status, "", "no"), &security());
        assert!(told.starts_with("fatal "), "{status}: {told}");
    }
}

#[test]
fn without_a_filter_none_is_blamed_nor_the_start() {
    let failure = refused(400, "BadRequest", "Invalid filter clause");
    let told = told(
        &failure,
        &Context { filter: "", window_from: "2026-08-20T10:00:00Z".parse().unwrap(), ..context() },
    );
    assert!(told.starts_with("fatal SetupError [102]"), "{told}");
}

#[test]
fn a_later_refusal_is_an_api_error_with_its_status() {
    let later = Context { contact: Contact::Established, ..context() };
    for status in [302, 400, 401, 403, 404, 405, 410, 412] {
        let told = told(&refused(status, "Code", "words"), &later);
        let begin = format!(
            "fatal ApiError [{status}] Error during API call to {ENDPOINT}: {status} Code: words (request id r-1)"
        );
        assert!(told.starts_with(&begin), "{told}");
    }
    let first = told(&refused(405, "Code", "words"), &context());
    assert!(first.starts_with("fatal ApiError [405]"), "only four statuses speak of the setup: {first}");
}

#[test]
fn overload_is_told_by_its_status_alone() {
    let words =
        "This request is throttled. Please try again after the value specified in the Retry-After header.";
    let table = [
        (
            refused(429, "UnknownError", words),
            format!("fatal ApiError [429] 429 Error during API call to {ENDPOINT}: 429"),
        ),
        (
            refused(429, "UnknownError", ""),
            format!("fatal ApiError [429] 429 Error during API call to {ENDPOINT}"),
        ),
        (refused(500, "", ""), format!("fatal ApiError [498] Error during API call to {ENDPOINT}: 500")),
        (refused(502, "", ""), format!("fatal ApiError [498] Error during API call to {ENDPOINT}: 502")),
        (refused(503, "", ""), format!("fatal ApiError [498] Error during API call to {ENDPOINT}: 503")),
        (refused(509, "", ""), format!("fatal ApiError [498] Error during API call to {ENDPOINT}: 509")),
        (refused(504, "", ""), format!("heavy ApiError [498] Error during API call to {ENDPOINT}: 504")),
        (refused(408, "", ""), format!("heavy ApiError [498] Error during API call to {ENDPOINT}: 408")),
    ];
    for contact in [Contact::First, Contact::Established] {
        for (failure, begin) in &table {
            let told = told(failure, &Context { contact, ..context() });
            assert!(told.starts_with(begin.as_str()), "{told} should begin with {begin}");
        }
    }
}

#[test]
fn a_refused_page_link_restarts_the_window() {
    let link = Context { target: Target::Link, ..context() };
    let established = Context { target: Target::Link, contact: Contact::Established, ..context() };
    let table = [
        refused(400, "", "Invalid Skip Token"),
        refused(400, "BadRequest", "Invalid Skip Token, skip token is null"),
        refused(400, "Directory_ExpiredPageToken", "The specified page token value has expired."),
        refused(404, "", ""),
        refused(410, "", ""),
    ];
    for failure in table {
        assert_eq!(told(&failure, &link), "link expired");
        assert_eq!(told(&failure, &established), "link expired");
        assert_ne!(told(&failure, &context()), "link expired", "without a link there is none to expire");
    }
    assert!(told(&refused(400, "", "odd"), &established).starts_with("fatal ApiError [400]"));
}

#[test]
fn a_start_before_the_oldest_record_is_told_with_the_minimum() {
    let words = "Specified argument was out of the range of valid values. (Parameter 'Minimum allowed time for \
                 activityDateTime is 2/5/2023 12:00:00 AM')";
    assert_eq!(told(&refused(400, "", words), &context()), "start too old Some(2023-02-05T00:00:00Z)");
    let table = [
        ("Minimum allowed time for createdDateTime is 12/31/2025 1:02:03 PM", Some("2025-12-31T13:02:03Z")),
        ("Minimum allowed time for x is 2026-10-20T00:00:00Z.", Some("2026-10-20T00:00:00Z")),
        ("Minimum allowed time for x is yesterday", None),
    ];
    for (words, minimum) in table {
        let minimum: Option<Timestamp> = minimum.map(|text| text.parse().unwrap());
        assert_eq!(
            told(&refused(400, "", words), &context()),
            format!("start too old {minimum:?}"),
            "{words}"
        );
    }
}

#[test]
fn a_refused_filter_blames_the_start_only_when_nothing_else_can_be_wrong() {
    let failure = refused(400, "BadRequest", "Invalid filter clause");
    let old = Context { window_from: "2026-11-12T10:00:00Z".parse().unwrap(), ..context() };
    assert_eq!(told(&failure, &old), "start too old None");

    let young = told(&failure, &context());
    assert!(
        young.starts_with("fatal PullError [301] ") && young.contains("(time) and (mine eq 1)"),
        "{young}"
    );

    let own = told(&failure, &Context { additional_filter: Some("mine eq 1"), ..old });
    assert!(
        own.starts_with("fatal PullError [301] ") && own.contains("filter mine eq 1: 400 BadRequest"),
        "{own}"
    );
    assert!(own.ends_with("correct additional_filter"), "{own}");

    for words in ["Unsupported or invalid query filter clause", "Syntax error at position 4 in 'x y'."] {
        let told = told(&refused(400, "", words), &context());
        assert!(told.starts_with("fatal PullError [301] "), "{told}");
    }
}

#[test]
fn broken_transport_is_told_by_what_may_help() {
    let table = [
        (TransportFailure::TimedOut, "heavy ApiError [498]", "no complete answer within 60 s"),
        (TransportFailure::TooLarge, "heavy ApiError [498]", "larger than 7 bytes"),
        (
            TransportFailure::Unreachable("refused".to_owned()),
            "fatal ApiError [498]",
            "no connection: refused",
        ),
        (TransportFailure::Disconnected("reset".to_owned()), "fatal ApiError [498]", "broke off: reset"),
        (TransportFailure::BrokeOff(HeaderMap::new()), "fatal PullError [300]", "the body broke off"),
    ];
    for (transport, begin, words) in table {
        let failure = Failure::transport(transport, Duration::from_secs(60), 7).unwrap();
        let told = told(&failure, &context());
        assert!(told.starts_with(begin) && told.contains(words), "{told}");
    }
    assert!(Failure::transport(TransportFailure::OutOfTime, Duration::ZERO, 0).is_none());
}

#[test]
fn only_what_may_pass_is_tried_again() {
    let table = [
        (refused(429, "", ""), Retry::AfterWait),
        (refused(500, "", ""), Retry::AfterWait),
        (refused(503, "", ""), Retry::AfterWait),
        (refused(504, "", ""), Retry::AfterWait),
        (refused(408, "", ""), Retry::AfterWait),
        (refused(403, NO_LICENCE, ""), Retry::AfterWait),
        (refused(401, "", ""), Retry::AfterLogin),
        (refused(403, "other", ""), Retry::Never),
        (refused(400, "", ""), Retry::Never),
        (refused(404, "", ""), Retry::Never),
        (refused(302, "", ""), Retry::Never),
    ];
    for (failure, retry) in table {
        assert_eq!(failure.kind.retryable(), retry, "{failure:?}");
    }
}

#[test]
fn the_management_activity_api_is_understood_by_its_codes_and_not_by_its_statuses() {
    use FailureKind::{NotSetUp, Refused, Server, Throttled};
    let table = [
        (refused(403, "AF429", "Too many requests."), Throttled),
        (refused(200, "AF429", "Too many requests."), Throttled),
        (refused(400, "AF50000", "An internal error occurred."), Server),
        (refused(400, "AF20010", "no"), NotSetUp),
        (refused(404, "AF20012", "no"), NotSetUp),
        (refused(500, "AF50000", "DataServiceException: Tenant 1-2 does not exist."), NotSetUp),
        (refused(400, "", "The tenant was found. The item does not exist."), Refused),
        (refused(200, "", ""), FailureKind::NotAPage),
    ];
    for (failure, kind) in table {
        assert_eq!(failure.kind, kind, "{failure:?}");
    }
    for contact in [Contact::First, Contact::Established] {
        let told = told(&refused(400, "AF20011", "no"), &Context { contact, ..context() });
        assert!(told.starts_with("fatal SetupError [102]") && told.contains("turn on auditing"), "{told}");
    }
}

#[test]
fn the_permission_that_was_expected_is_named_and_not_the_one_that_was_there() {
    let words = "The permission set (ActivityFeed.Read, ServiceHealth.Read) sent in the request did not include the \
                 expected permission ActivityFeed.ReadDlp.";
    let expected = told(&refused(401, "AF10001", words), &context());
    assert!(
        expected.ends_with("; grant the application permission ActivityFeed.ReadDlp and give admin consent")
    );
    let declared = told(&refused(403, "AF10001", "no"), &context());
    assert!(declared.contains("permission AuditLog.Read.All and"), "{declared}");
}

#[test]
fn a_token_for_another_host_is_told_with_the_settings_that_decide_it() {
    for (code, message) in
        [("InvalidAuthenticationTokenAudience", ""), ("InvalidAuthenticationToken", "Invalid audience.")]
    {
        let told = told(&refused(401, code, message), &context());
        assert!(told.contains("override_scope_value") && told.contains("override_base_url"), "{told}");
    }
}

const FILES: &str = "https://contoso.eu.example/cas/api/v1/files/";

fn cloud_apps() -> Context<'static> {
    Context {
        endpoint: FILES,
        permission: "Investigation.read",
        filter: r#"{"created":{"gte":1,"lte":2},"user":{"eq":"x"}}"#,
        additional_filter: Some(r#"{"user":{"eq":"x"}}"#),
        ..context()
    }
}

fn answered(status: u16, body: &'static str) -> Failure {
    let answer = Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()),
    };
    Failure::refused(&answer, now())
}

#[test]
fn a_filter_that_is_refused_by_its_shape_is_the_operators_matter_whatever_the_status_and_the_contact() {
    let body = r#"{"filters":[{"error":"x is not valid","errorMessageCode":"CONSOLE_FORMS_NOT_VALID_VALUE"}],"error":true}"#;
    for status in [400, 200] {
        let failure = answered(status, body);
        assert_eq!(failure.kind.retryable(), Retry::Never);
        for contact in [Contact::First, Contact::Established] {
            let window = Context { contact, ..cloud_apps() };
            assert_eq!(
                told(&failure, &window),
                format!(
                    "fatal PullError [301] {FILES} refused the filter {{\"user\":{{\"eq\":\"x\"}}}}: {status} \
                     CONSOLE_FORMS_NOT_VALID_VALUE: x is not valid; correct additional_filter"
                )
            );
            let own = told(&failure, &Context { additional_filter: None, ..window });
            assert!(own.contains("refused the filter {\"created\"") && own.ends_with("not valid"), "{own}");
            let link = Context { contact, target: Target::Link, ..cloud_apps() };
            assert_eq!(told(&failure, &link), "link expired");
        }
    }
    for status in [401, 403, 404, 500] {
        let told = told(&answered(status, body), &cloud_apps());
        assert!(!told.contains("PullError"), "{status} says more than the shape: {told}");
    }
}

#[test]
fn a_body_that_says_throttled_asks_for_patience_whatever_its_status() {
    let table = [
        (r#"{"detail":"Request was throttled. Expected available in 20.1 seconds."}"#, Some(21)),
        (r#"{"detail":"Request was throttled."}"#, None),
        (r#"{"error":true,"message":"The tenant is Throttled"}"#, None),
        ("request THROTTLED", None),
    ];
    for status in [200, 400, 401, 403, 404, 429, 500, 502, 503, 504] {
        for (body, seconds) in table {
            let failure = answered(status, body);
            assert_eq!(failure.kind, FailureKind::Throttled, "{status} {body}");
            assert!(failure.asks_for_patience());
            assert_eq!(failure.retry_after, seconds.map(Duration::from_secs), "{body}");
            assert!(told(&failure, &cloud_apps()).starts_with("fatal ApiError [429] 429 Error during"));
        }
    }
    for (status, kind) in [
        (200, FailureKind::NotAPage),
        (404, FailureKind::Refused),
        (500, FailureKind::Server),
        (502, FailureKind::Server),
        (504, FailureKind::ServerTimeout),
    ] {
        let page = answered(status, "<!doctype html><p>throttled</p>");
        assert_eq!(page.kind, kind, "a page is known by its status alone");
        assert!(page.sentence().contains("an HTML or XML page"), "{}", page.sentence());
    }
}

#[test]
fn a_refused_token_of_the_portal_is_mended_in_the_portal() {
    let with_token = Context { permission: "", token_setting: Some("files_access_token"), ..cloud_apps() };
    let later = Context { contact: Contact::Established, ..with_token };
    let remedy = "; make a new API token in the portal of Defender for Cloud Apps, as a user who may see the files, \
                  and store it in credentials.files_access_token";
    for (status, body) in [
        (401, r#"{"detail":"Invalid token."}"#),
        (401, "<html>Sign in</html>"),
        (403, r#"{"detail":"You do not have permission to perform this action."}"#),
    ] {
        let failure = answered(status, body);
        let words = failure.sentence();
        let setup = told(&failure, &with_token);
        assert!(
            setup.starts_with("fatal SetupError [102] ") && setup.ends_with(&(words.clone() + remedy)),
            "{setup}"
        );
        let call = told(&failure, &later);
        assert!(call.starts_with(&format!("fatal ApiError [{status}] ")) && call.ends_with(remedy), "{call}");
    }
}

#[test]
fn a_refusal_of_cloud_apps_names_the_audience_the_permission_or_the_tenants_own_host() {
    let audience = "; the token may be for another audience: correct or remove override_scope_value; if that is right, \
                    grant the application permission Investigation.read and give admin consent";
    let host = "; correct override_base_url: each tenant has a URL of its own, \
                https://tenant.region.portal.cloudappsecurity.com";
    let grant = "; grant the application permission Investigation.read and give admin consent";
    let table = [
        (401, r#"{"detail":"Invalid token."}"#, "401: Invalid token.", audience),
        (401, "<html></html>", "401: an HTML or XML page", audience),
        (401, "", "401: an empty body", audience),
        (403, r#"{"detail":"Not licensed."}"#, "403: Not licensed.", grant),
        (404, "<html></html>", "404: an HTML or XML page", host),
        (404, r#"{"detail":"Not found."}"#, "404: Not found.", host),
    ];
    for (status, body, words, remedy) in table {
        assert_eq!(
            told(&answered(status, body), &cloud_apps()),
            format!(
                "fatal SetupError [102] Failed to fetch data from {FILES}. Source is not pullable. {words}{remedy}"
            )
        );
    }
    let elsewhere = told(&answered(404, ""), &context());
    assert!(!elsewhere.contains("cloudappsecurity"), "{elsewhere}");
}
