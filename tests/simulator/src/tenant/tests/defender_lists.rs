//! The lists of Defender for Endpoint: filters, pages, their order, and inventories that are made on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{ask_path, code, get, ids, now, start_defender};
use crate::records::{defender_alert, defender_record, investigation, investigation_ended, machine};
use crate::tenant::{
    Addressee, DefenderCall, DefenderConfig, DefenderList, Fault, ListOrder, NextLinks, NoMachines, PageKind,
    Rule, Tenant, Visibility,
};

fn alert(id: &str, updated: &str) -> String {
    json!({ "id": id, "lastUpdateTime": updated, "evidence": [{ "entityType": "Ip" }], "severity": "Low" })
        .to_string()
}

/// Alerts `0` … `4`, changed second after second.
async fn five(change: impl FnOnce(&mut DefenderConfig)) -> (Tenant, String) {
    let (tenant, token) = start_defender(change).await;
    for number in 0..5 {
        let text = alert(&number.to_string(), &format!("2026-11-20T11:00:0{number}Z"));
        tenant.emit_defender(DefenderList::Alerts, text).unwrap();
    }
    (tenant, token)
}

#[tokio::test]
async fn a_filter_selects_by_instants_texts_and_numbers_whatever_their_fractions() {
    let (tenant, token) = start_defender(|_| {}).await;
    for (id, updated) in [("a", "2026-11-20T11:00:00Z"), ("b", "2026-11-20T11:00:00.1234567Z")] {
        let text = json!({ "id": id, "lastUpdateTime": updated, "severity": "High", "incidentId": 7 });
        tenant.emit_defender(DefenderList::Alerts, text.to_string()).unwrap();
    }
    for (filter, expected) in [
        ("lastUpdateTime ge 2026-11-20T11:00:00Z", "ab"),
        ("lastUpdateTime gt 2026-11-20T11:00:00Z", "b"),
        ("lastUpdateTime le 2026-11-20T11:00:00.1234566Z", "a"),
        ("(lastUpdateTime ge 2026-11-20T11:00:00Z and lastUpdateTime lt 2026-11-20T11:00:00.1234567Z)", "a"),
        ("(severity eq 'High') and (incidentId eq 7 and id eq 'b')", "b"),
        ("id eq 'a' or id eq 'b'", "ab"),
        ("severity eq 'Low'", ""),
    ] {
        let (status, page) = ask_path(&tenant, &token, "/api/alerts", &[("$filter", filter)]).await;
        assert_eq!((status, ids(&page).concat()), (200, expected.to_owned()), "{filter}");
    }
    for filter in
        ["lastUpdateTime ge '2026-11-20T11:00:00Z'", "title eq 'x'", "lastUpdateTime", "severity gt 'x'"]
    {
        let (status, page) = ask_path(&tenant, &token, "/api/alerts", &[("$filter", filter)]).await;
        assert_eq!((status, code(&page)), (400, "ODataError"), "{filter}");
    }
}

#[tokio::test]
async fn evidence_comes_to_those_who_ask_for_it_and_every_other_byte_stays() {
    let (tenant, token) = start_defender(|_| {}).await;
    let rest = r#""evidence_":1e0,"x":"\"evidence\":[1],""#;
    let texts = [
        format!(r#"{{"id":"1","lastUpdateTime":"2026-11-20T11:00:00Z","evidence":[{{"a":"]"}}],{rest}}}"#),
        format!(r#"{{"evidence" : [ ] , "id":"2","lastUpdateTime":"2026-11-20T11:00:00Z",{rest}}}"#),
        format!(r#"{{"id":"3","lastUpdateTime":"2026-11-20T11:00:00Z",{rest},"evidence":null}}"#),
        defender_alert(4, now()),
    ];
    for text in &texts {
        tenant.emit_defender(DefenderList::Alerts, text.clone()).unwrap();
    }
    let with = get(&format!("{}/api/alerts?$expand=evidence", tenant.base_url()), &token).await;
    let with = with.text().await.unwrap();
    assert!(with.ends_with(&format!("\"value\":[{}]}}", texts.join(","))), "{with}");
    let without = get(&format!("{}/api/alerts", tenant.base_url()), &token).await.text().await.unwrap();
    let first = format!(r#"{{"id":"1","lastUpdateTime":"2026-11-20T11:00:00Z",{rest}}}"#);
    let second = format!(r#"{{"id":"2","lastUpdateTime":"2026-11-20T11:00:00Z",{rest}}}"#);
    let third = format!(r#"{{"id":"3","lastUpdateTime":"2026-11-20T11:00:00Z",{rest}}}"#);
    assert!(without.contains(&format!("[{first},{second},{third},")), "{without}");
    let page: Value = serde_json::from_str(&without).unwrap();
    assert!(page["value"].as_array().unwrap().iter().all(|row| row.get("evidence").is_none()));
    let (status, _) = ask_path(&tenant, &token, "/api/alerts", &[("$expand", "files")]).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_truncated_page_has_a_link_only_when_no_top_was_asked_for() {
    for (links, top, has_link) in [
        (NextLinks::WithoutTop, None, true),
        (NextLinks::WithoutTop, Some("2"), false),
        (NextLinks::WithoutTop, Some("4"), false),
        (NextLinks::Always, Some("2"), true),
        (NextLinks::Never, None, false),
    ] {
        let (tenant, token) = five(|config| (config.largest_page, config.next_links) = (2, links)).await;
        let options: Vec<_> = top.map(|top| ("$top", top)).into_iter().collect();
        let (status, page) = ask_path(&tenant, &token, "/api/alerts", &options).await;
        // The clamp is silent.
        assert_eq!((status, ids(&page)), (200, vec!["0".to_owned(), "1".to_owned()]));
        let link = page["@odata.nextLink"].as_str();
        assert_eq!(link.is_some(), has_link, "{links:?} {top:?}");
        assert!(link.is_none_or(|link| link.ends_with("$skip=2")), "{link:?}");
    }
}

#[tokio::test]
async fn links_lead_through_a_list_and_repeat_the_query_on_whatever_host_is_set() {
    let host = "https://api-eu.securitycenter.windows.com";
    for link_host in [None, Some(host.to_owned())] {
        let (tenant, token) =
            five(|config| (config.largest_page, config.link_host) = (2, link_host.clone())).await;
        let mut found = Vec::new();
        let mut url = format!(
            "{}/api/alerts?$filter=lastUpdateTime%20gt%202026-11-20T11:00:00%2B00:00&$expand=evidence",
            tenant.base_url()
        );
        loop {
            let page: Value = get(&url, &token).await.json().await.unwrap();
            found.extend(ids(&page));
            assert!(page["@odata.context"].as_str().unwrap().starts_with(host), "the context is elsewhere");
            let Some(next) = page["@odata.nextLink"].as_str() else {
                break;
            };
            let expected_host = link_host.clone().unwrap_or_else(|| tenant.base_url());
            let rest = next.strip_prefix(&expected_host).unwrap();
            url = format!("{}{rest}", tenant.base_url());
        }
        assert_eq!(found, ["1", "2", "3", "4"]);
        let seen = tenant.requests();
        let pages: Vec<_> = seen.iter().filter(|one| one.addressee != Addressee::Login).collect();
        assert_eq!(pages.iter().map(|one| one.page).collect::<Vec<_>>(), [PageKind::First, PageKind::Next]);
        assert!(pages.iter().all(|one| one.option("$expand") == Some("evidence") && one.records == 2));
    }
}

#[tokio::test]
async fn a_skip_that_is_no_plain_integer_and_options_that_nobody_documents_are_refused() {
    let (tenant, token) = five(|_| {}).await;
    for (name, value, status) in [
        ("$skip", "4", 200),
        ("$skip", "40", 200),
        ("$skip", "1e+05", 400),
        ("$skip", "1E5", 400),
        ("$skip", "2.0", 400),
        ("$skip", "+2", 400),
        ("$skip", "-1", 400),
        ("$skip", "", 400),
        ("$top", "0", 400),
        ("$top", "x", 400),
        ("$top", "10000000", 200),
        ("$orderby", "lastUpdateTime", 400),
        ("$select", "id", 400),
    ] {
        let (found, page) = ask_path(&tenant, &token, "/api/alerts", &[(name, value)]).await;
        assert_eq!(found, status, "{name}={value}");
        assert!(status == 200 || page["error"]["target"].is_string(), "{page}");
    }
    let (status, _) = ask_path(&tenant, &token, "/api/alerts", &[("$skip", "1"), ("$skip", "2")]).await;
    assert_eq!(status, 400);
    let (status, _) = ask_path(&tenant, &token, "/api/software", &[("$expand", "evidence")]).await;
    assert_eq!(status, 400, "alerts alone have evidence");
}

#[tokio::test]
async fn each_list_has_the_order_that_was_set_for_it_on_all_its_pages() {
    let (tenant, token) = start_defender(|config| config.order = ListOrder::Reversed).await;
    for (id, second) in [("a", 5), ("b", 1), ("c", 3), ("d", 2), ("e", 4)] {
        tenant
            .emit_defender(DefenderList::Alerts, alert(id, &format!("2026-11-20T11:00:0{second}Z")))
            .unwrap();
        tenant.emit_defender(DefenderList::Software, json!({ "id": id }).to_string()).unwrap();
    }
    let all = async |path: &str| {
        let mut found = String::new();
        for skip in ["0", "2", "4"] {
            let options = [("$top", "2"), ("$skip", skip)];
            found += &ids(&ask_path(&tenant, &token, path, &options).await.1).concat();
        }
        found
    };
    assert_eq!(all("/api/alerts").await, "edcba");
    tenant.set_defender_order(DefenderList::Alerts, ListOrder::Inserted);
    assert_eq!(all("/api/alerts").await, "abcde");
    assert_eq!(all("/api/software").await, "edcba", "the other list keeps its own");
    tenant.set_defender_order(DefenderList::Alerts, ListOrder::ByLastUpdate);
    assert_eq!(all("/api/alerts").await, "bdcea");
    let mut orders = BTreeSet::new();
    for seed in 0..20 {
        tenant.set_defender_order(DefenderList::Alerts, ListOrder::Shuffled { seed });
        let order = all("/api/alerts").await;
        assert_eq!(order.chars().collect::<BTreeSet<_>>(), "abcde".chars().collect(), "{order}");
        assert_eq!(order, all("/api/alerts").await, "the same as long as records are the same");
        orders.insert(order);
    }
    assert!(orders.len() > 5, "{orders:?}");
}

#[tokio::test]
async fn lists_without_rows_are_empty_and_machines_without_rows_are_not_found() {
    for (no_machines, status, is_empty_body) in [
        (NoMachines::Envelope, 404, false),
        (NoMachines::EmptyBody, 404, true),
        (NoMachines::EmptyArray, 200, false),
    ] {
        let (tenant, token) = start_defender(|config| config.no_machines = no_machines).await;
        for list in DefenderList::ALL {
            let response = get(&format!("{}{}", tenant.base_url(), list.path()), &token).await;
            let (found, text) = (response.status().as_u16(), response.text().await.unwrap());
            if list != DefenderList::Machines || status == 200 {
                assert_eq!(found, 200);
                assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["value"], json!([]), "{list:?}");
            } else if is_empty_body {
                assert_eq!((found, text.as_str()), (404, ""));
            } else {
                assert_eq!((found, text.contains("\"ResourceNotFound\"")), (404, true));
            }
        }
        let text = machine(1, now());
        let number = tenant.emit_defender(DefenderList::Machines, text).unwrap();
        let (status, page) = ask_path(&tenant, &token, "/api/machines", &[("$skip", "1")]).await;
        assert_eq!((status, &page["value"]), (200, &json!([])), "a page behind the last one is empty");
        tenant.remove_defender(DefenderList::Machines, number).unwrap();
        let url = format!("{}/api/machines", tenant.base_url());
        assert_eq!(get(&url, &token).await.status().as_u16() == 404, no_machines != NoMachines::EmptyArray);
    }
}

#[tokio::test]
async fn records_change_go_and_come_to_light_between_two_pages() {
    let (tenant, token) = five(|_| {}).await;
    let filter = [("$filter", "lastUpdateTime ge 2026-11-20T11:00:03Z")];
    assert_eq!(ids(&ask_path(&tenant, &token, "/api/alerts", &filter).await.1), ["3", "4"]);
    tenant.update_defender(DefenderList::Alerts, 1, alert("0", "2026-11-20T11:00:09Z")).unwrap();
    tenant.remove_defender(DefenderList::Alerts, 4).unwrap();
    assert_eq!(ids(&ask_path(&tenant, &token, "/api/alerts", &filter).await.1), ["0", "4"]);
    let hidden = Visibility::AfterRequests(1);
    tenant.emit_defender_when(DefenderList::Alerts, alert("5", "2026-11-20T11:00:04Z"), hidden).unwrap();
    assert_eq!(ids(&ask_path(&tenant, &token, "/api/alerts", &filter).await.1), ["0", "4"]);
    assert_eq!(ids(&ask_path(&tenant, &token, "/api/alerts", &filter).await.1), ["0", "4", "5"]);
    assert!(tenant.remove_defender(DefenderList::Alerts, 4).is_err(), "it is gone");
    assert!(tenant.update_defender(DefenderList::Machines, 1, alert("0", "x")).is_err(), "of another list");
    assert!(tenant.emit_defender(DefenderList::Alerts, "{\"id\":\"x\"}".to_owned()).is_err(), "no time");

    let number = tenant.emit_defender(DefenderList::Investigations, investigation(1, now())).unwrap();
    let running = &ask_path(&tenant, &token, "/api/investigations", &[]).await.1["value"][0];
    assert_eq!((running["endTime"].is_null(), &running["state"]), (true, &json!("Running")));
    let end = investigation_ended(1, now(), now());
    tenant.update_defender(DefenderList::Investigations, number, end).unwrap();
    let ended = &ask_path(&tenant, &token, "/api/investigations", &[]).await.1["value"][0];
    assert_eq!((ended["id"] == running["id"], ended["endTime"].is_string()), (true, true));
}

#[tokio::test]
async fn an_inventory_of_200_000_machines_is_served_page_by_page_without_being_held() {
    let (tenant, token) = start_defender(|_| {}).await;
    let first =
        tenant.fill_defender(DefenderList::Machines, 200_000, Arc::new(|index| machine(index as u64, now())));
    for (skip, rows) in [("0", 4_000), ("100000", 4_000), ("196000", 4_000), ("199999", 1), ("200000", 0)] {
        let options = [("$top", "4000"), ("$skip", skip)];
        let (status, page) = ask_path(&tenant, &token, "/api/machines", &options).await;
        assert_eq!((status, page["value"].as_array().unwrap().len()), (200, rows));
    }
    let names = async |skip: &str| {
        let page = ask_path(&tenant, &token, "/api/machines", &[("$top", "2"), ("$skip", skip)]).await.1;
        let rows = page["value"].as_array().unwrap().iter();
        rows.map(|row| row["computerDnsName"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of = |numbers: [u64; 2]| numbers.map(|number| format!("host{number}.example.com"));
    tenant.remove_defender(DefenderList::Machines, first).unwrap();
    tenant.remove_defender(DefenderList::Machines, first + 11).unwrap();
    assert_eq!(names("9").await, of([10, 12]), "those behind move up");
    tenant.update_defender(DefenderList::Machines, first + 1, machine(777_777, now())).unwrap();
    assert_eq!(names("0").await, of([777_777, 2]));
    tenant.set_defender_order(DefenderList::Machines, ListOrder::Reversed);
    assert_eq!(names("0").await, of([199_999, 199_998]));
}

#[tokio::test]
async fn every_list_is_served_under_its_path_in_any_case_and_takes_the_usual_faults() {
    let (tenant, token) = start_defender(|_| {}).await;
    for list in DefenderList::ALL {
        for seed in 0..2 {
            tenant.emit_defender(list, defender_record(list, seed, now())).unwrap();
        }
        let path = list.path().replace("/s", "/S").replace("/m", "/M");
        let (status, page) = ask_path(&tenant, &token, &path, &[]).await;
        assert_eq!((status, ids(&page).len()), (200, 2), "{path}");
        tenant.script(vec![
            Rule::on_defender(list, Fault::DuplicateRecords).nth(1),
            Rule::on_defender(list, Fault::status(503)).nth(2),
            Rule::on_defender(list, Fault::ForeignNextLink { host: "https://x.example".to_owned() }).nth(3),
            Rule::on_defender(list, Fault::LoopNextLink).nth(4),
            Rule::on_defender(list, Fault::EmptyPageWithNext).nth(5),
        ]);
        let ask = async || ask_path(&tenant, &token, list.path(), &[("$top", "5")]).await;
        assert_eq!(ids(&ask().await.1).len(), 4);
        let (status, body) = ask().await;
        assert_eq!((status, code(&body)), (503, "InternalServerError"));
        let foreign = ask().await.1["@odata.nextLink"].as_str().unwrap().to_owned();
        assert!(foreign.starts_with("https://x.example/api/") && foreign.ends_with("$skip=2"), "{foreign}");
        assert!(ask().await.1["@odata.nextLink"].as_str().unwrap().ends_with("$skip=0"));
        let empty = ask().await.1;
        assert!(ids(&empty).is_empty() && empty["@odata.nextLink"].is_string());
        let records = tenant.defender_records(list);
        assert_eq!(records.len(), 2);
        let addressee = Addressee::Defender(DefenderCall::List(list));
        assert_eq!(tenant.request_count(addressee), 6);
    }
}
