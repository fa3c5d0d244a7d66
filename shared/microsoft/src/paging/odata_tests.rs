//! Windows in, URLs out; bodies in, records out.

use proptest::prelude::*;

use super::*;
use crate::paging::link::LONGEST_LINK;

fn query(bounds: Bounds, clauses: &[&str]) -> ODataQuery {
    let endpoint = "https://graph.example/v1.0/auditLogs/provisioning";
    ODataQuery {
        endpoint: endpoint.to_owned(),
        origin: OwnOrigin::of(&Url::parse(endpoint).unwrap()),
        host: OwnHost::of(&Url::parse("https://graph.example").unwrap()),
        expand: None,
        headers: HeaderMap::new(),
        time: &["activityDateTime"],
        plan: Plan::Window { bounds, page_size: Some(1000), paging: Paging::Links },
        clauses: clauses.iter().map(|clause| (*clause).to_owned()).collect(),
    }
}

fn moving() -> ODataQuery {
    let plan =
        Plan::Window { bounds: Bounds::Inclusive, page_size: Some(1000), paging: Paging::MovingBoundary };
    ODataQuery { plan, ..query(Bounds::Inclusive, &["a eq 1"]) }
}

fn now() -> Timestamp {
    "2026-11-20T11:00:00Z".parse().unwrap()
}

fn page(times: &[&str], link: Option<&str>) -> Collection {
    let records = times.iter().map(|time| Bytes::from(format!(r#"{{"activityDateTime":"{time}"}}"#)));
    Collection { records: records.collect(), next: link.map(str::to_owned) }
}

/// What the query stores behind pages with these times and links, one after the other, until it stores nothing.
fn walk(query: &ODataQuery, pages: &[(&[&str], Option<&str>)]) -> Vec<String> {
    let mut stored: Vec<String> = Vec::new();
    for (times, link) in pages {
        let address = query.page(window(), stored.last().map(String::as_str), now()).unwrap();
        match query.after(window(), &address, page(times, *link), now()).unwrap().next {
            Some(next) => stored.push(next),
            None => break,
        }
    }
    stored
}

fn trail_of(address: &PageAddress) -> Trail {
    match address.place {
        Place::Trail(trail) => trail,
        ref other => panic!("{other:?} is no trail"),
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
    let url = query.page(window(), None, now()).unwrap().url;
    insta::assert_snapshot!(
        url,
        @"https://graph.example/v1.0/auditLogs/provisioning?$filter=(activityDateTime%20ge%202026-11-20T10:00:00Z%20and%20activityDateTime%20le%202026-11-20T11:00:00Z)%20and%20(name%20eq%20%27a%26b%2Bc%23d%25%C3%A9%27)&$orderby=activityDateTime%20asc&$top=1000"
    );
}

#[test]
fn the_boundary_moves_to_the_last_records_very_instant() {
    let times: &[&str] = &["2026-11-20T10:00:00Z", "2026-11-20T12:20:30.1234567+02:00"];
    let stored = walk(&moving(), &[(times, None)]);
    insta::assert_snapshot!(
        stored[0],
        @"https://graph.example/v1.0/auditLogs/provisioning?$filter=(activityDateTime%20ge%202026-11-20T10:20:30.1234567Z%20and%20activityDateTime%20le%202026-11-20T11:00:00Z)%20and%20(a%20eq%201)&$orderby=activityDateTime%20asc&$top=1000#from=2026-11-20T10:20:30.1234567Z"
    );
    let address = moving().page(window(), Some(&stored[0]), now()).unwrap();
    assert_eq!(address.url.fragment(), None);
    assert_eq!(trail_of(&address), Trail::From("2026-11-20T10:20:30.1234567Z".parse().unwrap()));
}

#[test]
fn links_are_followed_while_one_instant_fills_the_pages_and_then_the_time_moves_on() {
    let (tied, later) = ("2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.6Z");
    let link = |number| format!("https://graph.example/x?$skip={number}");
    let links = [link(1), link(2), link(3)];
    let stored = walk(
        &moving(),
        &[
            (&["2026-11-20T10:00:00Z", tied], Some(&links[0])),
            (&[tied, tied], Some(&links[0])),
            (&[tied, tied], Some(&links[1])),
            (&[tied, later], Some(&links[2])),
            (&[later], None),
        ],
    );
    let ends: Vec<&str> = stored.iter().map(|link| link.split_once('#').unwrap().1).collect();
    assert_eq!(
        ends,
        [
            "from=2026-11-20T10:00:00.5Z",
            "behind=2026-11-20T10:00:00.5Z",
            "behind=2026-11-20T10:00:00.5Z",
            "from=2026-11-20T10:00:00.6Z"
        ]
    );
    assert!(stored[1].starts_with(&links[0]) && stored[2].starts_with(&links[1]));
}

#[test]
fn records_without_a_readable_time_neither_move_the_boundary_nor_end_the_walk() {
    let link = "https://graph.example/x?$skip=1";
    let stored = walk(&moving(), &[(&["soon", "later"], Some(link)), (&["soon"], None)]);
    assert_eq!(stored, [format!("{link}#behind=2026-11-20T10:00:00Z")]);
    let stored = walk(&moving(), &[(&["2026-11-20T10:00:01Z", "2026-11-20T10:00:02Z", "soon"], Some(link))]);
    assert!(stored[0].ends_with("#from=2026-11-20T10:00:02Z"), "{stored:?}");
}

#[test]
fn the_newest_days_are_asked_for_without_a_filter_on_the_time() {
    let table = [
        (&[][..], "https://graph.example/v1.0/auditLogs/provisioning?$top=1"),
        (&["a eq 1"], "https://graph.example/v1.0/auditLogs/provisioning?$filter=a%20eq%201&$top=1"),
    ];
    for (clauses, expected) in table {
        let newest = ODataQuery { plan: Plan::NewestDays, ..query(Bounds::Inclusive, clauses) };
        assert_eq!(newest.page(window(), None, now()).unwrap().url.as_str(), expected);
    }
}

#[test]
fn a_whole_list_is_asked_for_as_it_is_and_its_links_followed_verbatim() {
    let table = [
        (&[][..], "https://graph.example/v1.0/auditLogs/provisioning"),
        (&["a eq 1"], "https://graph.example/v1.0/auditLogs/provisioning?$filter=a%20eq%201"),
    ];
    for (clauses, expected) in table {
        let list = ODataQuery { plan: Plan::WholeList, ..query(Bounds::Inclusive, clauses) };
        assert_eq!(list.page(window(), None, now()).unwrap().url.as_str(), expected);
        let link = "https://graph.example/x?$skip=1";
        assert_eq!(walk(&list, &[(&["2001-01-01T00:00:00Z"], Some(link)), (&[], None)]), [link]);
    }
}

#[test]
fn newer_records_are_left_out_of_the_newest_days_and_behind_the_first_page_older_ones() {
    let newest = ODataQuery { plan: Plan::NewestDays, ..query(Bounds::Inclusive, &[]) };
    let times = [
        "2026-11-20T11:00:00.1Z",
        "2026-11-20T11:00:00Z",
        "soon",
        "2026-11-20T10:00:00Z",
        "2026-11-20T09:59:59.9Z",
    ];
    let address = newest.page(window(), None, now()).unwrap();
    let collection = newest.after(window(), &address, page(&times, None), now()).unwrap();
    assert_eq!(collection.records, page(&times[1..], None).records);
    let behind = newest.page(window(), Some("https://graph.example/x#behind=2026-11-20T12:00:00Z"), now());
    let collection = newest.after(window(), &behind.unwrap(), page(&times, None), now()).unwrap();
    assert_eq!(collection.records, page(&times[1..4], None).records);
}

#[test]
fn links_to_the_own_origin_alone_are_followed() {
    let base = || query(Bounds::Inclusive, &[]);
    let query = base();
    let own = [
        "https://graph.example/v1.0/auditLogs/provisioning?$skiptoken=a",
        "https://GRAPH.example:443/V1.0/other?$skiptoken=a%2Bb",
    ];
    for link in own {
        assert!(query.page(window(), Some(link), now()).is_ok(), "{link}");
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
        let address = query.page(window(), None, now()).unwrap();
        for query in [&query, &moving(), &ODataQuery { plan: Plan::NewestDays, ..base() }] {
            let BadLink(reason) = query.page(window(), Some(link), now()).unwrap_err();
            assert!(reason.contains(words), "{reason} should say {words}");
            let times = ["2026-11-20T10:30:00Z", "2026-11-20T10:31:00Z"];
            let BadLink(reason) =
                query.after(window(), &address, page(&times, Some(link)), now()).unwrap_err();
            assert!(reason.contains(words), "{reason} should say {words}");
        }
    }
}

#[test]
fn the_fingerprint_changes_with_each_part_of_the_query() {
    let base = || query(Bounds::Inclusive, &["a"]);
    let mut headers = HeaderMap::new();
    headers.insert("prefer", HeaderValue::from_static("x"));
    let others = [
        ODataQuery { endpoint: "https://graph.example/v1.0/other".to_owned(), ..base() },
        ODataQuery {
            plan: Plan::Window { bounds: Bounds::Inclusive, page_size: None, paging: Paging::Links },
            ..base()
        },
        query(Bounds::Exclusive, &["a"]),
        ODataQuery {
            plan: Plan::Window {
                bounds: Bounds::Inclusive,
                page_size: Some(1000),
                paging: Paging::MovingBoundary,
            },
            ..base()
        },
        ODataQuery { plan: Plan::NewestDays, ..base() },
        ODataQuery { plan: Plan::WholeList, ..base() },
        ODataQuery { plan: Plan::Rows { page_size: 1000 }, ..base() },
        ODataQuery { plan: Plan::Rows { page_size: 100 }, ..base() },
        ODataQuery { expand: Some("evidence"), ..base() },
        ODataQuery { plan: Plan::WholeList, ..query(Bounds::Inclusive, &["b"]) },
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
fn links_that_deployed_tables_hold_stay_good() {
    let endpoint = "https://graph.example/v1.0/x";
    let window = |bounds, page_size, paging| Plan::Window { bounds, page_size, paging };
    let table: [(Plan, &[&str], &str); 5] = [
        (window(Bounds::Inclusive, Some(1000), Paging::Links), &[], "odata-141bfcbf0581a9c8"),
        (window(Bounds::Exclusive, None, Paging::Links), &["a"], "odata-830431aa700cb947"),
        (window(Bounds::Inclusive, Some(1000), Paging::MovingBoundary), &[], "odata-f332a864a218465c"),
        (Plan::NewestDays, &[], "odata-c840fcf1a4375bca"),
        (Plan::WholeList, &["a"], "odata-37632bd3aa94751e"),
    ];
    for (plan, clauses, expected) in table {
        let query = ODataQuery { endpoint: endpoint.to_owned(), plan, ..query(Bounds::Inclusive, clauses) };
        assert_eq!(query.fingerprint(), expected, "{plan:?}");
    }
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

/// An API that holds records of these instants and answers in pages of so many, with or without links.
#[derive(Debug, Clone)]
struct List {
    instants: Vec<i64>,
    page_size: usize,
    order: Order,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// As asked; links only where a whole page has one instant.
    AscendingMostlyWithoutLinks,
    Ascending,
    Descending,
    AsItIs,
}

impl List {
    /// Rows from `skip` on, of those from `from` on.
    fn answer(&self, from: Timestamp, skip: usize) -> (Vec<(usize, Timestamp)>, bool) {
        let instant = |millis: i64| window().from + SignedDuration::from_millis(millis);
        let all = self.instants.iter().map(|millis| instant(*millis)).enumerate();
        let mut rows: Vec<(usize, Timestamp)> = all.filter(|(_, time)| *time >= from).collect();
        match self.order {
            Order::Ascending | Order::AscendingMostlyWithoutLinks => rows.sort_by_key(|(_, time)| *time),
            Order::Descending => rows.sort_by_key(|(_, time)| std::cmp::Reverse(*time)),
            Order::AsItIs => {}
        }
        let has_more = rows.len() > skip + self.page_size;
        let shown: Vec<_> = rows.into_iter().skip(skip).take(self.page_size).collect();
        let is_tied = shown.first().map(|row| row.1) == shown.last().map(|row| row.1);
        let has_link = match self.order {
            Order::AscendingMostlyWithoutLinks => is_tied,
            _ => true,
        };
        (shown, has_more && has_link)
    }

    /// Walks through the whole list and gives which rows came.
    fn read_all(&self, query: &ODataQuery) -> std::collections::BTreeSet<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let (mut link, mut from, mut requests) = (None::<String>, window().from, 0);
        loop {
            requests += 1;
            assert!(requests < 200, "the walk has no end: {self:?}");
            let address = query.page(window(), link.as_deref(), now()).unwrap();
            let skip = address.url.query_pairs().find(|(name, _)| name == "$skip");
            let skip = skip.map_or(0, |(_, rows)| rows.parse().unwrap());
            if let (Trail::From(instant), 0) = (trail_of(&address), skip) {
                from = instant;
            }
            let (rows, has_link) = self.answer(from, skip);
            let next = has_link.then(|| format!("{}?$skip={}", query.endpoint, skip + self.page_size));
            let times: Vec<String> = rows.iter().map(|(_, time)| time.to_string()).collect();
            let texts: Vec<&str> = times.iter().map(String::as_str).collect();
            seen.extend(rows.iter().map(|row| row.0));
            link = query.after(window(), &address, page(&texts, next.as_deref()), now()).unwrap().next;
            if link.is_none() {
                return seen;
            }
        }
    }
}

proptest! {
    #[test]
    fn a_list_whose_first_page_is_out_of_order_is_read_whole(
        instants in prop::collection::vec(0i64..12, 2..40),
        page_size in 2usize..7,
    ) {
        prop_assume!(!instants[..page_size.min(instants.len())].is_sorted());
        let list = List { instants, page_size, order: Order::AsItIs };
        let seen = list.read_all(&moving());
        prop_assert_eq!(seen.len(), list.instants.len(), "{:?}", list);
    }

    #[test]
    fn a_moving_boundary_loses_nothing_whether_the_oldest_or_the_newest_come_first(
        instants in prop::collection::vec(0i64..12, 0..40),
        page_size in 1usize..7,
        order in prop::sample::select(vec![
            Order::AscendingMostlyWithoutLinks, Order::Ascending, Order::Descending,
        ]),
    ) {
        let list = List { instants, page_size, order };
        let seen = list.read_all(&moving());
        prop_assert_eq!(seen.len(), list.instants.len(), "{:?}", list);
    }

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
