//! Windows in, URLs out; listings in, blobs out.

use collector::settings::{Connection, Credential};
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

const ROOT: &str = "https://manage.example/api/v1.0/contoso/activity/feed";

fn query() -> ContentQuery {
    let connection = Connection {
        base_url: "https://manage.example".to_owned(),
        login_url: "https://login.example".to_owned(),
        scope: "https://manage.example/.default".to_owned(),
        tenant_id: "contoso".to_owned(),
        client_id: "client-1".to_owned(),
        credential: Credential::Secret("s3cret".to_owned().into()),
        publisher: "pub+lisher".to_owned(),
    };
    ContentQuery::at(&connection, "Audit.Exchange").unwrap()
}

fn window() -> Window {
    Window { from: "2026-11-20T10:00:00Z".parse().unwrap(), to: "2026-11-20T11:00:00Z".parse().unwrap() }
}

#[test]
fn every_address_names_the_publisher_and_no_plus_is_raw() {
    insta::assert_snapshot!(
        query().subscriptions().unwrap(),
        @"https://manage.example/api/v1.0/contoso/activity/feed/subscriptions/list?PublisherIdentifier=pub%2Blisher"
    );
    insta::assert_snapshot!(
        query().start().unwrap(),
        @"https://manage.example/api/v1.0/contoso/activity/feed/subscriptions/start?contentType=Audit.Exchange&PublisherIdentifier=pub%2Blisher"
    );
    insta::assert_snapshot!(
        query().first_page(window()).unwrap(),
        @"https://manage.example/api/v1.0/contoso/activity/feed/subscriptions/content?contentType=Audit.Exchange&startTime=2026-11-20T10:00:00&endTime=2026-11-20T11:00:00&PublisherIdentifier=pub%2Blisher"
    );
}

#[test]
fn a_window_without_length_is_a_second_long() {
    let instant = Window { to: window().from, ..window() };
    let url = query().first_page(instant).unwrap();
    assert!(url.as_str().contains("startTime=2026-11-20T10:00:00&endTime=2026-11-20T10:00:01&"), "{url}");
}

#[test]
fn a_tenant_cannot_change_the_path_and_a_path_of_the_base_url_stays() {
    let connection = Connection {
        base_url: "https://proxy.example/o365/".to_owned(),
        tenant_id: "a/../b".to_owned(),
        login_url: String::new(),
        scope: String::new(),
        client_id: String::new(),
        credential: Credential::Secret(String::new().into()),
        publisher: String::new(),
    };
    let query = ContentQuery::at(&connection, "DLP.All").unwrap();
    assert_eq!(
        query.endpoint,
        "https://proxy.example/o365/api/v1.0/a%2F..%2Fb/activity/feed/subscriptions/content"
    );
    for no_url in ["manage.example", "mailto:x"] {
        let connection = Connection { base_url: no_url.to_owned(), ..connection.clone() };
        assert!(ContentQuery::at(&connection, "DLP.All").is_err(), "{no_url}");
    }
}

#[test]
fn a_link_is_followed_as_it_is_with_the_publisher_added_once() {
    let host = "https://manage.example/api/v1/contoso/activity/feed";
    let table = [
        (
            "/subscriptions/content?contenttype=Audit.Exchange&nextpage=2026$2027$na001%2B",
            "&PublisherIdentifier=pub%2Blisher",
        ),
        ("/audit/20261120$audit_exchange$Audit_Exchange$na0034", "?PublisherIdentifier=pub%2Blisher"),
        ("/audit/x?", "PublisherIdentifier=pub%2Blisher"),
        ("/audit/x?publisheridentifier=other", ""),
        ("/audit/x?a=1&PUBLISHERIDENTIFIER=other&b=2", ""),
    ];
    for (path, added) in table {
        let link = format!("{host}{path}");
        for followed in [query().linked_page(&link).unwrap(), query().content(&link).unwrap()] {
            assert_eq!(followed.as_str(), format!("{link}{added}"));
        }
    }
    assert_eq!(
        query().content(&format!("{host}/audit/x#part")).unwrap().fragment(),
        None,
        "a fragment is nothing that is sent"
    );
    let foreign = query().content("https://manage.evil.example/audit/x").unwrap_err().0;
    assert!(foreign.contains("https://manage.evil.example"), "{foreign}");
}

#[test]
fn the_next_page_is_found_under_each_name_of_its_header() {
    for (name, value, expected) in [
        ("nextpageuri", "https://a/?x=1$2", Some("https://a/?x=1$2")),
        ("nextpageurl", " https://a/ ", Some("https://a/")),
        ("nextpageuri", "", None),
        ("nextpage", "https://a/", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        assert_eq!(next_page(&headers).unwrap().as_deref(), expected, "{name}: {value}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("NextPageUri", HeaderValue::from_bytes(b"https://a/\xff").unwrap());
    assert!(next_page(&headers).is_err());
}

#[test]
fn a_listing_gives_its_blobs_with_any_fraction_and_a_week_to_live() {
    let entry = |created: &str, expiration: Value| {
        json!({"contentType": "Audit.Exchange", "contentId": "a$1", "contentUri": format!("{ROOT}/audit/a$1"),
               "contentCreated": created, "contentExpiration": expiration})
    };
    let table = [
        (entry("2026-11-20T10:00:00.000Z", json!("2026-11-27T10:00:00.000Z")), "2026-11-27T10:00:00Z"),
        (entry("2026-11-20T10:00:00.1234567Z", json!("2026-11-26T00:00:00.5Z")), "2026-11-26T00:00:00.5Z"),
        (entry("2026-11-20T10:00:00Z", json!(null)), "2026-11-27T10:00:00Z"),
        (entry("2026-11-20T10:00:00", json!("soon")), "2026-11-27T10:00:00Z"),
        (entry("2026-11-20T12:00:00+02:00", json!("2026-11-27T12:00:00+02:00")), "2026-11-27T10:00:00Z"),
    ];
    for (entry, expires) in table {
        let listing = query().read_listing(json!([entry]).to_string().as_bytes(), window()).unwrap();
        let [blob] = listing.blobs.as_slice() else { panic!("{listing:?}") };
        assert_eq!((blob.id.as_str(), blob.uri.as_str()), ("a$1", format!("{ROOT}/audit/a$1").as_str()));
        assert_eq!(blob.created.as_second(), window().from.as_second(), "{entry}");
        assert_eq!(blob.expires, expires.parse().unwrap(), "{entry}");
        assert!(listing.warnings.is_empty());
    }
}

#[test]
fn what_an_entry_lacks_is_made_from_the_rest_and_told() {
    let uri = format!("{ROOT}/audit/b");
    let body = json!([{"contentId": "a+1"}, {"contentUri": uri, "contentCreated": "2026-11-20T10:00:00Z"}]);
    let listing = query().read_listing(body.to_string().as_bytes(), window()).unwrap();
    assert_eq!(listing.blobs[0].uri, format!("{ROOT}/audit/a%2B1"));
    assert_eq!(listing.blobs[0].created, window().from);
    assert_eq!((listing.blobs[1].id.as_str(), listing.blobs[1].uri.as_str()), (uri.as_str(), uri.as_str()));
    let [warning] = listing.warnings.as_slice() else { panic!("{listing:?}") };
    assert!(
        warning.starts_with("2 of the content blobs") && warning.contains("a+1 has no contentUri"),
        "{warning}"
    );
}

#[test]
fn what_is_no_listing_is_told_by_its_flaw() {
    let table = [
        ("", Flaw::EndsEarly("the JSON ends early at byte 0".to_owned())),
        ("[{}", Flaw::EndsEarly("the JSON ends early at byte 3".to_owned())),
        ("{\"a\":1}", Flaw::NotAPage("an array of content blobs was expected at byte 0".to_owned())),
        (
            "[{\"contentType\":\"x\"}]",
            Flaw::NotAPage("entry 0 of the listing has neither contentUri nor contentId".to_owned()),
        ),
        ("[7]", Flaw::NotAPage("entry 0 of the listing has neither contentUri nor contentId".to_owned())),
        ("<html>", Flaw::NotAPage("an HTML or XML page".to_owned())),
    ];
    for (body, flaw) in table {
        assert_eq!(query().read_listing(body.as_bytes(), window()).unwrap_err(), flaw, "{body}");
    }
}
