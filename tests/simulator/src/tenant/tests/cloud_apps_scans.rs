//! Scans of Defender for Cloud Apps: each row once, however many share an instant, and what may go wrong on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{now, object_ids, post_json, start_cloud_apps};
use crate::tenant::{
    CloudAppsConfig, CloudAppsList, CloudAppsOrder, Fault, PageKind, Rule, ScanLimit, ScanMishap, Tenant,
};

const ACTIVITIES: CloudAppsList = CloudAppsList::Activities;

/// A tenant with small pages and these activities, saved that many milliseconds before now, named by their number.
async fn activities(saved: Vec<i64>, change: impl FnOnce(&mut CloudAppsConfig)) -> (Tenant, String) {
    let (tenant, token) = start_cloud_apps(|config| {
        (config.smallest_scan, config.largest_scan) = (3, 10);
        change(config);
    })
    .await;
    let count = saved.len();
    let make = move |index: usize| {
        json!({ "_id": index.to_string(), "created": now().as_millisecond() - saved[index] }).to_string()
    };
    tenant.fill_cloud_apps(ACTIVITIES, count, &(Arc::new(make) as _)).unwrap();
    (tenant, token)
}

/// One page; `filters` is sent as it is.
async fn scan(tenant: &Tenant, token: &str, filters: &str, limit: usize) -> (u16, Value, String) {
    let body = format!("{{\"filters\":{filters},\"isScan\":true,\"limit\":{limit}}}");
    let response = post_json(tenant, &format!("Bearer {token}"), ACTIVITIES.path(), &body).await;
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let page: Value = serde_json::from_str(&text).unwrap();
    // As it stands in the answer: what follows the name, without the brackets of the answer.
    let next = text.split_once("\"nextQueryFilters\":").map(|(_, rest)| rest.strip_suffix('}').unwrap());
    (status, page, next.unwrap_or_default().to_owned())
}

async fn scan_all(tenant: &Tenant, token: &str, filters: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), filters.to_owned());
    for _ in 0..1_000 {
        let (status, page, further) = scan(tenant, token, &next, limit).await;
        assert_eq!(status, 200, "{page}");
        pages.push(object_ids(&page));
        assert_eq!(page["hasNext"], !further.is_empty());
        if further.is_empty() {
            return pages;
        }
        next = further;
    }
    panic!("the scan does not end");
}

#[tokio::test]
async fn a_scan_gives_each_row_once_in_any_order_with_any_ties_and_any_limit() {
    // 0, 1, 1, 2, 2, 2, … and twenty of one millisecond, which is more than any page has.
    let saved: Vec<i64> =
        (0..8).flat_map(|n| vec![n; usize::try_from(n).unwrap() + 1]).chain(vec![50; 20]).collect();
    for order in [
        CloudAppsOrder::Newest,
        CloudAppsOrder::Oldest,
        CloudAppsOrder::Inserted,
        CloudAppsOrder::Shuffled { seed: 9 },
    ] {
        let (tenant, token) = activities(saved.clone(), |config| config.order = order).await;
        for limit in [3, 4, 7, 10] {
            let pages = scan_all(&tenant, &token, "{}", limit).await;
            assert!(pages.iter().all(|page| !page.is_empty() && page.len() <= limit), "{order:?} {limit}");
            let rows: Vec<String> = pages.into_iter().flatten().collect();
            let different: BTreeSet<&String> = rows.iter().collect();
            assert_eq!((rows.len(), different.len()), (saved.len(), saved.len()), "{order:?} {limit}");
        }
    }
}

#[tokio::test]
async fn rows_level_with_the_last_one_wait_for_the_next_page() {
    let (tenant, token) = activities(vec![1, 2, 3, 3, 3, 4, 5], |_| {}).await;
    let pages = scan_all(&tenant, &token, "{}", 4).await;
    assert_eq!(pages, [vec!["0", "1"], vec!["2", "3", "4"], vec!["5", "6"]]);
    let (tenant, token) = activities(vec![1, 1, 1, 1, 1], |_| {}).await;
    assert_eq!(scan_all(&tenant, &token, "{}", 3).await, [vec!["0", "1", "2"], vec!["3", "4"]]);
}

#[tokio::test]
async fn filters_that_lead_on_are_the_callers_own_with_a_place_that_nobody_can_make_up() {
    let (tenant, token) = activities((0..9).collect(), |_| {}).await;
    let own = format!("{{\"created\": {{\"gte\" : {}}} }}", now().as_millisecond() - 6);
    let (_, page, next) = scan(&tenant, &token, &own, 3).await;
    assert_eq!(object_ids(&page), ["0", "1"], "the last row waits");
    assert_eq!((&page["total"], &page["max"]), (&json!(7), &json!(3)));
    let filters = &page["nextQueryFilters"];
    assert_eq!(filters["created"], json!({ "gte": now().as_millisecond() - 6 }));
    assert!(filters["scan"]["after"].as_str().unwrap().len() >= 32);
    assert_eq!(object_ids(&scan(&tenant, &token, &next, 3).await.1), ["2", "3"]);
    assert_eq!(tenant.requests().last().unwrap().page, PageKind::Next);
    assert_eq!(object_ids(&scan(&tenant, &token, &next, 3).await.1), ["2", "3"], "as often as one likes");
    let rewritten = serde_json::from_str::<Value>(&next).unwrap().to_string();
    let widened = next.replace("gte", "gt");
    for altered in [rewritten, widened, next.replace("\"after\": \"", "\"after\": \"0")] {
        assert_ne!(altered, next);
        let (status, refused, _) = scan(&tenant, &token, &altered, 3).await;
        assert_eq!(
            (status, &refused["filters"][0]["error"]),
            (400, &json!("scan is not valid")),
            "{altered}"
        );
    }
    let body = format!("{{\"filters\":{next}}}");
    let counted = post_json(&tenant, &format!("Bearer {token}"), ACTIVITIES.path(), &body).await;
    assert_eq!(counted.status(), 400, "they are good for scans alone");
    tenant.expire_links();
    assert_eq!(scan(&tenant, &token, &next, 3).await.0, 400);
    assert_eq!(scan(&tenant, &token, &own, 3).await.0, 200);
}

#[tokio::test]
async fn a_scan_finds_what_comes_in_behind_its_place_and_misses_what_comes_in_before() {
    let (tenant, token) = activities((1..=6).map(|n| n * 10).collect(), |_| {}).await;
    let (_, page, mut next) = scan(&tenant, &token, "{}", 3).await;
    let mut found = object_ids(&page);
    for (id, saved) in [("before", 5), ("level", 20), ("behind", 45)] {
        let record = json!({ "_id": id, "created": now().as_millisecond() - saved });
        tenant.emit_cloud_apps(ACTIVITIES, record.to_string()).unwrap();
    }
    while !next.is_empty() {
        let (_, page, further) = scan(&tenant, &token, &next, 3).await;
        found.extend(object_ids(&page));
        next = further;
    }
    assert_eq!(found, ["0", "1", "level", "2", "3", "behind", "4", "5"]);
}

#[tokio::test]
async fn a_limit_outside_of_a_scans_bounds_is_clamped_or_refused() {
    let (tenant, token) = activities((0..20).collect(), |_| {}).await;
    for (limit, max) in [(1, 3), (5, 5), (5_000, 10)] {
        assert_eq!(scan(&tenant, &token, "{}", limit).await.1["max"], max);
    }
    tenant.change_cloud_apps(|config| config.scan_limit = ScanLimit::Refused);
    for (limit, status) in [(1, 400), (5, 200), (5_000, 400)] {
        assert_eq!(scan(&tenant, &token, "{}", limit).await.0, status);
    }
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let response =
        post_json(&tenant, &format!("Bearer {token}"), ACTIVITIES.path(), "{\"isScan\":true}").await;
    assert_eq!(response.json::<Value>().await.unwrap()["max"], 500, "without one it has 500");
}

#[tokio::test]
async fn from_a_page_on_a_scan_may_not_say_how_it_goes_on() {
    let (tenant, token) = activities((0..20).collect(), |_| {}).await;
    let second = async || {
        let (_, first, next) = scan(&tenant, &token, "{}", 5).await;
        assert_eq!((first["data"].as_array().unwrap().len(), next.is_empty()), (4, false));
        let (_, page, further) = scan(&tenant, &token, &next, 5).await;
        assert_eq!(page["hasNext"], true);
        (page["data"].as_array().unwrap().len(), next, further)
    };
    tenant.change_cloud_apps(|config| config.scan_mishap = ScanMishap::NextFiltersMissing { from_page: 2 });
    let (rows, _, further) = second().await;
    assert_eq!((rows, further.as_str()), (4, ""));
    tenant.change_cloud_apps(|config| config.scan_mishap = ScanMishap::SameNextFilters { from_page: 2 });
    let (rows, next, further) = second().await;
    assert_eq!((rows, further), (4, next));
    tenant.change_cloud_apps(|config| config.scan_mishap = ScanMishap::EmptyPages { from_page: 2 });
    let (rows, next, further) = second().await;
    assert_eq!(rows, 0);
    assert!(further != next && !further.is_empty());
    assert_eq!(object_ids(&scan(&tenant, &token, &further, 5).await.1).len(), 0, "and so on");
    tenant.change_cloud_apps(|config| config.scan_mishap = ScanMishap::None);
    let rest = scan_all(&tenant, &token, &further, 5).await;
    assert_eq!(rest.concat().len(), 16, "nothing is lost by an empty page");
}

#[tokio::test]
async fn scripts_strike_single_pages_of_a_scan() {
    let (tenant, token) = activities((0..20).collect(), |_| {}).await;
    let on_next = |fault| vec![Rule::on_cloud_apps(ACTIVITIES, fault).page(PageKind::Next).nth(1)];
    let (_, _, next) = scan(&tenant, &token, "{}", 5).await;
    tenant.script(on_next(Fault::LoopNextLink));
    let (_, page, further) = scan(&tenant, &token, &next, 5).await;
    assert_eq!((object_ids(&page).len(), &further), (4, &next));
    tenant.script(on_next(Fault::EmptyPageWithNext));
    let (_, page, further) = scan(&tenant, &token, &next, 5).await;
    assert_eq!((object_ids(&page).len(), &page["hasNext"]), (0, &json!(true)));
    assert_eq!(object_ids(&scan(&tenant, &token, &further, 5).await.1), ["4", "5", "6", "7"]);
    tenant.script(on_next(Fault::ExpireLinks));
    assert_eq!(scan(&tenant, &token, &next, 5).await.0, 400);
}

#[tokio::test]
async fn fifty_thousand_activities_are_scanned_in_pages_of_two_thousand() {
    let (tenant, token) = start_cloud_apps(|_| {}).await;
    let make = |index: usize| {
        format!("{{\"_id\":\"{index}\",\"created\":{}}}", now().as_millisecond() - (index / 3) as i64)
    };
    tenant.fill_cloud_apps(ACTIVITIES, 50_000, &(Arc::new(make) as _)).unwrap();
    let pages = scan_all(&tenant, &token, "{}", 2_000).await;
    assert!((25..=27).contains(&pages.len()), "{}", pages.len());
    let different: BTreeSet<String> = pages.iter().flatten().cloned().collect();
    assert_eq!((pages.concat().len(), different.len()), (50_000, 50_000));
}
