//! Windows in, URLs out; bodies in, records out.

use proptest::prelude::*;

use super::*;
use crate::paging::link::LONGEST_LINK;

fn query(bounds: Bounds, clauses: &[&str]) -> ODataQuery {
    let endpoint = "https://graph.example/v1.0/auditLogs/provisioning";
    ODataQuery {
        endpoint: endpoint.to_owned(),
        origin: OwnOrigin::of(&Url::parse(endpoint).unwrap()),
        headers: HeaderMap::new(),
        time_path: "activityDateTime".to_owned(),
        bounds,
        page_size: Some(1000),
        clauses: clauses.iter().map(|clause| (*clause).to_owned()).collect(),
    }
}

fn window() -> Window {
    Window { from: "2026-11-20T10:00:00Z".parse().unwrap(), to: "2026-11-20T11:00:00Z".parse().unwrap() }
}

#[test]
fn a_window_becomes_a_filter_with_unquoted_instants() {
    insta::assert_snapshot!(
        query(Bounds::Inclusive, &[]).filter(window()),
        @"activityDateTime ge 2026-11-20T10:00:00Z and activityDateTime le 2026-11-20T11:00:00Z"
    );
}

#[test]
fn exclusive_bounds_are_a_second_wider_so_that_ties_at_the_ends_are_inside() {
    insta::assert_snapshot!(
        query(Bounds::Exclusive, &[]).filter(window()),
        @"activityDateTime gt 2026-11-20T09:59:59Z and activityDateTime lt 2026-11-20T11:00:01Z"
    );
}

#[test]
fn further_clauses_are_anded_each_in_parentheses() {
    let query = query(Bounds::Inclusive, &["types/any(t: t eq 'a')", "x eq 1 or y eq 2"]);
    insta::assert_snapshot!(
        query.filter(window()),
        @"(activityDateTime ge 2026-11-20T10:00:00Z and activityDateTime le 2026-11-20T11:00:00Z) and (types/any(t: t eq 'a')) and (x eq 1 or y eq 2)"
    );
}

#[test]
fn the_first_page_is_asked_for_in_ascending_order() {
    let query = query(Bounds::Inclusive, &["name eq 'a&b+c#d%é'"]);
    let url = query.first_page(&query.filter(window())).unwrap();
    insta::assert_snapshot!(
        url,
        @"https://graph.example/v1.0/auditLogs/provisioning?$filter=(activityDateTime%20ge%202026-11-20T10:00:00Z%20and%20activityDateTime%20le%202026-11-20T11:00:00Z)%20and%20(name%20eq%20%27a%26b%2Bc%23d%25%C3%A9%27)&$orderby=activityDateTime%20asc&$top=1000"
    );
}

#[test]
fn links_to_the_own_origin_alone_are_followed() {
    let query = query(Bounds::Inclusive, &[]);
    let own = [
        "https://graph.example/v1.0/auditLogs/provisioning?$skiptoken=a",
        "https://GRAPH.example:443/V1.0/other?$skiptoken=a%2Bb",
    ];
    for link in own {
        assert!(query.linked_page(link).is_ok(), "{link}");
    }
    let long = format!("https://graph.example/?$skiptoken={}", "a".repeat(LONGEST_LINK));
    let table = [
        ("http://graph.example/x", "foreign link"),
        ("https://graph.example:8443/x", "foreign link"),
        ("https://graph.example.evil.example/x", "foreign link"),
        ("https://graph.example@evil.example/x", "foreign link"),
        ("https://user:pass@graph.example/x", "foreign link"),
        ("//evil.example/x", "no absolute URL"),
        ("/v1.0/x", "no absolute URL"),
        ("file:///etc/passwd", "foreign link"),
        (long.as_str(), "bytes, up to 32768 are followed"),
    ];
    for (link, words) in table {
        let BadLink(reason) = query.linked_page(link).unwrap_err();
        assert!(reason.contains(words), "{reason} should say {words}");
    }
}

#[test]
fn the_fingerprint_changes_with_each_part_of_the_query() {
    let base = || query(Bounds::Inclusive, &["a"]);
    let mut headers = HeaderMap::new();
    headers.insert("prefer", HeaderValue::from_static("x"));
    let others = [
        ODataQuery { endpoint: "https://graph.example/v1.0/other".to_owned(), ..base() },
        ODataQuery { page_size: None, ..base() },
        ODataQuery { bounds: Bounds::Exclusive, ..base() },
        ODataQuery { headers, ..base() },
        query(Bounds::Inclusive, &["a", "b"]),
        query(Bounds::Inclusive, &["ab"]),
        query(Bounds::Inclusive, &[]),
    ];
    let mut fingerprints: Vec<String> = others.iter().map(ODataQuery::fingerprint).collect();
    fingerprints.push(base().fingerprint());
    fingerprints.sort();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), others.len() + 1);
    // Stored beside page links: a release that computes another one restarts every open window.
    insta::assert_snapshot!(base().fingerprint(), @"odata-108d3c57f57c25ed");
}

#[test]
fn the_end_of_a_walk_is_told_in_three_ways() {
    for end in ["", r#","@odata.nextLink":null"#, r#","@odata.nextLink":"""#] {
        let body =
            Bytes::from(format!(r#"{{"@odata.count":0,"@microsoft.graph.tips":{{}},"value":[]{end}}}"#));
        let collection = read_collection(&body).unwrap();
        assert_eq!((collection.records.len(), collection.next), (0, None), "{end}");
    }
}

#[test]
fn an_empty_page_may_have_a_next_one() {
    let body = Bytes::from_static(br#"{"@odata.nextLink":"https:\/\/x\u0041","value":[]}"#);
    assert_eq!(read_collection(&body).unwrap().next.as_deref(), Some("https://xA"));
}

#[test]
fn what_is_no_page_is_described_without_being_shown() {
    let table = [
        ("", "ends early", "the JSON ends early at byte 0"),
        (r#"{"value":[{"a":1},{"#, "ends early", "the JSON ends early at byte 19"),
        ("{\"value\":[\n1,\n}]", "not a page", "not JSON at byte 15"),
        ("nonsense", "not a page", "not JSON at byte 2"),
        ("<html>x</html>", "not a page", "an HTML or XML page"),
        ("{}", "not a page", "member value is missing"),
        (r#"{"value":null}"#, "not a page", "member value is missing"),
        (r#"{"value":{"a":[]}}"#, "not a page", "member value or @odata.nextLink has a wrong type at byte 9"),
        (
            r#"{"value":[],"@odata.nextLink":7}"#,
            "not a page",
            "member value or @odata.nextLink has a wrong type at byte 31",
        ),
        (r#"{"value":[]} {"#, "not a page", "not JSON at byte 14"),
    ];
    for (body, kind, words) in table {
        let found = match read_collection(&Bytes::from(body)).unwrap_err() {
            Flaw::EndsEarly(words) => ("ends early", words),
            Flaw::NotAPage(words) => ("not a page", words),
        };
        assert_eq!(found, (kind, words.to_owned()), "{body}");
    }
    let not_utf8 = Bytes::from_static(b"{\"value\":[\"\xff\"]}");
    assert!(matches!(read_collection(&not_utf8), Err(Flaw::NotAPage(_))));
}

proptest! {
    #[test]
    fn records_are_slices_of_the_body_byte_for_byte(records in prop::collection::vec("[ -~é]{0,40}", 0..8)) {
        let texts: Vec<String> =
            records.iter().map(|text| format!("{{ \"a\" :  {} }}", serde_json::to_string(text).unwrap())).collect();
        let body = Bytes::from(format!("{{\"value\": [ {} ]}}", texts.join(" ,\n")));
        let collection = read_collection(&body).unwrap();
        prop_assert_eq!(&collection.records, &texts);
        let inside = body.as_ptr_range();
        for record in &collection.records {
            prop_assert!(inside.contains(&record.as_ptr()), "a record was copied");
        }
    }

    #[test]
    fn an_encoded_value_decodes_to_itself(value in "\\PC{0,60}") {
        let url = Url::parse(&format!("https://x.example/?q={}", encode(&value))).unwrap();
        let pairs: Vec<_> = url.query_pairs().map(|(_, decoded)| decoded.into_owned()).collect();
        prop_assert_eq!(pairs, vec![value]);
    }
}
