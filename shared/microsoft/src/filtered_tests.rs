//! Bodies of answers, and lists without a time.

use super::*;

fn list(times: &'static [&'static str], reading: Reading, page_size: u32) -> FilteredList {
    let endpoint = "https://x.example/cas/api/v1/things/".to_owned();
    FilteredList {
        url: Url::parse(&endpoint).unwrap(),
        endpoint,
        times,
        event_time: &["saved"],
        page_size,
        reading,
        fields: Map::from_iter([("service".to_owned(), json!({"eq": [11_161]}))]),
        permission: "Investigation.read",
        token_setting: None,
    }
}

fn window() -> Window {
    Window { from: "2026-11-20T10:00:00Z".parse().unwrap(), to: "2026-11-20T11:00:00Z".parse().unwrap() }
}

fn posted(list: &FilteredList, link: Option<&str>) -> String {
    let stand = list.stand(window(), link);
    String::from_utf8(list.body(&stand, &list.filters(&stand)).to_vec()).unwrap()
}

fn listed(text: &str) -> Listed {
    read(&Bytes::from(text.to_owned())).unwrap()
}

#[test]
fn what_is_posted_names_the_window_the_operators_fields_and_the_place() {
    let scan = list(&["saved"], Reading::Scan, 2_000);
    insta::assert_snapshot!(posted(&scan, None), @r#"{"filters":{"service":{"eq":[11161]},"saved":{"gte":1795168800000,"lte":1795172400000}},"isScan":true,"limit":2000}"#);
    let stand = scan.stand(window(), None);
    let filters = r#"{ "saved":{"lte": 1e3},  "É\u00e9":1.0, "a":{"B":1,"b":1} }"#;
    let page = listed(&format!(r#"{{"data":[1],"hasNext":true,"nextQueryFilters":{filters}}}"#));
    let next = scan.behind(&stand, window(), &page).unwrap().next;
    let expected = format!(r#"{{"filters":{filters},"isScan":true,"limit":2000}}"#);
    assert_eq!(posted(&scan, next.as_deref()), expected, "they are sent back as they came");

    let pages = list(&["saved", "resolved"], Reading::Pages, 100);
    let second =
        pages.behind(&pages.stand(window(), None), window(), &listed(r#"{"data":[],"hasNext":false}"#));
    let second = second.unwrap().next.unwrap();
    insta::assert_snapshot!(posted(&pages, Some(&second)), @r#"{"filters":{"service":{"eq":[11161]},"resolved":{"gte":1795168800000,"lte":1795172400000}},"skip":0,"limit":100}"#);
    let stand = pages.stand(window(), Some(&second));
    let behind = pages.behind(&stand, window(), &listed(r#"{"data":[],"hasNext":false}"#)).unwrap();
    assert_eq!((behind.next, behind.missing), (None, None), "each filter is asked by once");

    let rows = list(&[], Reading::Pages, 100);
    insta::assert_snapshot!(posted(&rows, None), @r#"{"filters":{"service":{"eq":[11161]}},"skip":0,"limit":100}"#);
    let link = format!("{}#rows=99", rows.endpoint);
    insta::assert_snapshot!(posted(&rows, Some(&link)), @r#"{"filters":{"service":{"eq":[11161]}},"skip":99,"limit":100}"#);
    // Another release, or another query, left this.
    for foreign in ["", "https://x.example/#slices=1.2", "https://x.example/#parts=7.1.2"] {
        assert_eq!(posted(&pages, Some(foreign)), posted(&pages, None), "{foreign}");
    }
}

#[test]
fn an_answer_may_lack_all_but_its_rows() {
    let body =
        Bytes::from(r#"{"max":100,"total":2.5,"moreThanTotal":null,"data":[ {"level":1,"Level":2} , null]}"#);
    let page = read(&body).unwrap();
    assert_eq!(page.rows, [r#"{"level":1,"Level":2}"#, "null"]);
    assert!(body.as_ptr_range().contains(&page.rows[0].as_ptr()), "a row was copied");
    assert_eq!((page.has_next, page.total, page.has_more_than_total), (None, None, false));
    for filters in ["null", "{}", "{ }", "[]", "\"\"", "7"] {
        let page = listed(&format!(r#"{{"data":[],"hasNext":true,"nextQueryFilters":{filters}}}"#));
        assert_eq!(page.next_filters, None, "{filters}");
    }
    let table = [
        ("[]", "member data, hasNext or moreThanTotal has a wrong type at byte 2"),
        (r#"{"total":5}"#, "member data is missing"),
        (r#"{"data":{}}"#, "member data, hasNext or moreThanTotal has a wrong type at byte 8"),
        ("<!DOCTYPE html>", "an HTML or XML page"),
    ];
    for (body, flaw) in table {
        assert_eq!(read(&Bytes::from(body)).unwrap_err(), Flaw::NotAPage(flaw.to_owned()), "{body}");
    }
}

#[test]
fn a_list_ends_where_the_api_says_so_and_one_that_ends_too_early_is_told() {
    let rows = list(&[], Reading::Pages, 100);
    let hundred = (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let page = |rest: &str| format!(r#"{{"data":[{hundred}]{rest}}}"#);
    let (goes_on, ends, is_told) = ((true, false), (false, false), (false, true));
    let table = [
        (page(r#","hasNext":true"#), goes_on),
        (page(""), goes_on),
        (page(r#","hasNext":false"#), ends),
        (page(r#","hasNext":false,"total":100"#), ends),
        (page(r#","hasNext":false,"total":101"#), goes_on),
        (page(r#","hasNext":false,"total":100,"moreThanTotal":true"#), is_told),
        (page(r#","hasNext":false,"total":90,"moreThanTotal":false"#), ends),
        // More came than it counts: that is the more of which it speaks.
        (page(r#","hasNext":false,"total":90,"moreThanTotal":true"#), ends),
        (page(r#","hasNext":false,"moreThanTotal":true"#), is_told),
        (r#"{"data":[]}"#.to_owned(), ends),
        (r#"{"data":[],"hasNext":false}"#.to_owned(), ends),
        (r#"{"data":[],"hasNext":true}"#.to_owned(), is_told),
        (r#"{"data":[],"total":7}"#.to_owned(), is_told),
    ];
    for (body, expected) in table {
        let behind = rows.behind(&rows.stand(window(), None), window(), &listed(&body)).unwrap();
        let seen = (behind.next.is_some(), behind.missing.is_some());
        assert_eq!(seen, expected, "{}", body.get(body.len().saturating_sub(60)..).unwrap_or(&body));
    }
    let again = rows.behind(&rows.stand(window(), None), window(), &listed(&page(""))).unwrap().next.unwrap();
    let stand = rows.stand(window(), Some(&again));
    assert!(rows.behind(&stand, window(), &listed(&page(""))).is_err(), "the same page, whatever is skipped");
}

#[test]
fn a_page_leads_no_further_than_the_deepest_row_and_beyond_it_is_tried_all_the_same() {
    let rows = list(&[], Reading::Pages, 100);
    for (skip, limit) in [(0, 100), (4_900, 100), (4_901, 99), (4_999, 1), (5_000, 100), (7_000, 100)] {
        let link = format!("{}#rows={skip}", rows.endpoint);
        let expected = format!(r#""skip":{skip},"limit":{limit}}}"#);
        assert!(posted(&rows, Some(&link)).ends_with(&expected), "{}", posted(&rows, Some(&link)));
    }
}

#[test]
fn a_millisecond_that_ends_before_all_came_that_it_is_said_to_have_is_told() {
    let pages = list(&["saved"], Reading::Pages, 100);
    let link = format!("{}#parts=0.1795168800000.1&skip=5000&page=7", pages.endpoint);
    let table = [
        (r#""hasNext":false,"total":5000,"moreThanTotal":true"#, true),
        (r#""hasNext":false,"total":5001"#, true),
        (r#""hasNext":false,"total":5000,"moreThanTotal":false"#, false),
        (r#""hasNext":false,"total":4000,"moreThanTotal":true"#, false),
        (r#""hasNext":false"#, false),
    ];
    for (members, expected) in table {
        let body = format!(r#"{{"data":[],{members}}}"#);
        let behind = pages.behind(&pages.stand(window(), Some(&link)), window(), &listed(&body)).unwrap();
        assert_eq!((behind.next, behind.missing.is_some()), (None, expected), "{body}");
    }
}

#[test]
fn a_full_page_that_counts_more_is_not_the_last_one_whatever_it_says_except_in_a_scan() {
    let rows = |count: usize| vec![Bytes::from_static(b"{}"); count];
    let table = [
        (100, Some(false), Some(101), true),
        (100, Some(false), Some(100), false),
        (100, Some(false), None, false),
        (99, Some(false), Some(101), false),
        (99, Some(true), Some(99), true),
        (99, None, Some(100), true),
        (100, None, None, true),
        (99, None, None, false),
    ];
    for (count, has_next, total, expected) in table {
        let page = Listed { rows: rows(count), has_next, total, ..Listed::default() };
        assert_eq!(page.has_more(0, Reading::Pages), expected, "{count} {has_next:?} {total:?}");
        let in_scan = expected && has_next != Some(false);
        assert_eq!(page.has_more(0, Reading::Scan), in_scan, "{count} {has_next:?} {total:?}");
    }
}

#[test]
fn rows_of_elsewhere_show_that_a_filter_is_not_heeded() {
    let pages = list(&["saved", "resolved"], Reading::Pages, 100);
    let at = |text: &str| Bytes::from(format!(r#"{{"saved":{text}}}"#));
    let (inside, outside) = ([at("1795168800000"), at("1795172400000.7")], at("1795179999000"));
    let table: [(Vec<Bytes>, bool); 4] = [
        (inside.to_vec(), true),
        (vec![outside.clone(), inside[0].clone()], true),
        (vec![outside.clone(), outside, inside[0].clone()], false),
        (vec![at("null"), at("\"soon\"")], true),
    ];
    for (rows, expected) in table {
        assert_eq!(pages.is_inside(&Parts::of(window(), 0), &rows), expected, "{rows:?}");
        assert!(pages.is_inside(&Parts::of(window(), 1), &rows), "the other filter is on another time");
    }
}
