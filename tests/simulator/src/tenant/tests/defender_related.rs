//! What belongs to a record of Defender for Endpoint: arrays, single objects, and nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{ask_path, code, get, now, start_defender};
use crate::records::{defender_record, machine};
use crate::tenant::{
    Addressee, DefenderCall, DefenderList, DefenderRelation, Fault, NoRelated, Rule, Tenant,
};

/// The path of a relation of the record with that id.
fn path(relation: DefenderRelation, id: &str) -> String {
    let mut url = url::Url::parse("http://x").unwrap();
    let segments = ["api", relation.list().path().trim_start_matches("/api/"), id, relation.segment()];
    url.path_segments_mut().unwrap().extend(segments);
    url.path().to_owned()
}

/// Ids of twenty records of each list.
fn emit_all(tenant: &Tenant) -> Vec<(DefenderList, u64, String)> {
    let mut emitted = Vec::new();
    for list in DefenderList::ALL {
        for seed in 0..20 {
            let text = defender_record(list, seed, now());
            let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
            emitted.push((list, tenant.emit_defender(list, text).unwrap(), id));
        }
    }
    emitted
}

#[tokio::test]
async fn each_relation_has_as_many_rows_as_the_tenant_says_whatever_the_id_holds() {
    let (tenant, token) = start_defender(|_| {}).await;
    let emitted = emit_all(&tenant);
    for odd in ['/', '%', '+', '#', ' ', '\u{e9}'] {
        assert!(emitted.iter().any(|(_, _, id)| id.contains(odd)), "no id holds {odd:?}");
    }
    let mut counts = BTreeSet::new();
    for relation in DefenderRelation::ALL {
        for (_, _, id) in emitted.iter().filter(|(list, _, _)| *list == relation.list()).take(8) {
            let path = path(relation, id);
            let count = tenant.related_count(&path).unwrap();
            let (status, body) = ask_path(&tenant, &token, &path, &[]).await;
            if relation.is_one_object() {
                assert_eq!((status, count <= 1), (if count == 1 { 200 } else { 404 }, true), "{path}");
                assert!(body.get("value").is_none() && body["id"].is_string() == (count == 1), "{body}");
            } else {
                assert_eq!((status, body["value"].as_array().unwrap().len()), (200, count), "{path}");
                counts.insert(count);
            }
            assert_eq!(tenant.requests().last().unwrap().records, count);
            let again = ask_path(&tenant, &token, &path, &[]).await.1;
            assert!(body.get("error").is_some() || body == again, "the same each time");
        }
        assert!(tenant.request_count(Addressee::Defender(DefenderCall::Related(relation))) >= 16);
    }
    assert_eq!(counts, (0..=7).collect());
}

#[tokio::test]
async fn what_belongs_to_a_record_that_is_unknown_or_deleted_is_not_found() {
    let (tenant, token) = start_defender(|_| {}).await;
    let emitted = emit_all(&tenant);
    let first = tenant.fill_defender(
        DefenderList::Machines,
        50,
        Arc::new(|index| machine(1_000 + index as u64, now())),
    );
    let made: Value = serde_json::from_str(&machine(1_007, now())).unwrap();
    let made = (DefenderList::Machines, first + 7, made["id"].as_str().unwrap().to_owned());
    for relation in DefenderRelation::ALL {
        let (status, body) = ask_path(&tenant, &token, &path(relation, "nobody"), &[]).await;
        assert_eq!((status, code(&body)), (404, "ResourceNotFound"), "{relation:?}");
        assert_eq!(tenant.related_count(&path(relation, "nobody")), None);
    }
    for (list, number, id) in [&emitted[0], &emitted[25], &emitted[45], &made] {
        let relation = DefenderRelation::ALL.into_iter().find(|one| one.list() == *list).unwrap();
        let path = path(relation, id);
        assert_eq!(ask_path(&tenant, &token, &path, &[]).await.0, 200, "{path}");
        tenant.remove_defender(*list, *number).unwrap();
        assert_eq!(ask_path(&tenant, &token, &path, &[]).await.0, 404, "{path}");
        assert_eq!(tenant.related_count(&path), None);
    }
    for path in
        ["/api/alerts/x", "/api/alerts/x/vulnerabilities", "/api/machines/x/y/z", "/api/advancedqueries"]
    {
        let (status, body) = ask_path(&tenant, &token, path, &[]).await;
        assert_eq!((status, code(&body)), (404, "NotFound"), "{path}");
        assert_eq!(tenant.related_count(path), None);
    }
}

#[tokio::test]
async fn many_related_rows_come_page_by_page() {
    let (tenant, token) = start_defender(|config| (config.most_related, config.related_page) = (40, 6)).await;
    let most = emit_all(&tenant)
        .into_iter()
        .filter(|(list, _, _)| *list == DefenderList::Machines)
        .map(|(_, _, id)| path(DefenderRelation::MachineVulnerabilities, &id))
        .max_by_key(|path| tenant.related_count(path))
        .unwrap();
    let count = tenant.related_count(&most).unwrap();
    assert!(count > 12, "{count}");
    let (mut found, mut pages) = (BTreeSet::new(), 0);
    let mut url = Some(format!("{}{most}", tenant.base_url()));
    while let Some(this) = url {
        let page: Value = get(&this, &token).await.json().await.unwrap();
        found.extend(page["value"].as_array().unwrap().iter().map(ToString::to_string));
        url = page["@odata.nextLink"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((found.len(), pages), (count, count.div_ceil(6)));
}

#[tokio::test]
async fn a_relation_without_rows_is_an_empty_array_or_not_found_as_is_set() {
    for (no_related, expected) in [(NoRelated::EmptyArray, 200), (NoRelated::NotFound, 404)] {
        let (tenant, token) =
            start_defender(|config| (config.most_related, config.no_related) = (0, no_related)).await;
        let (_, _, id) = &emit_all(&tenant)[0];
        let (status, body) = ask_path(&tenant, &token, &path(DefenderRelation::AlertFiles, id), &[]).await;
        assert_eq!(status, expected);
        assert!(status == 404 || body["value"] == json!([]), "{body}");
    }
}

#[tokio::test]
async fn relations_take_faults_of_their_own() {
    let (tenant, token) = start_defender(|_| {}).await;
    let (_, _, id) = &emit_all(&tenant)[0];
    tenant.script(vec![
        Rule::on_related(DefenderRelation::AlertIps, Fault::status(403)).nth(1),
        Rule::on_related(DefenderRelation::AlertIps, Fault::NotJson).nth(2),
    ]);
    let url = |relation| format!("{}{}", tenant.base_url(), path(relation, id));
    let forbidden: Value = get(&url(DefenderRelation::AlertIps), &token).await.json().await.unwrap();
    assert_eq!(code(&forbidden), "Forbidden");
    assert_eq!(
        get(&url(DefenderRelation::AlertFiles), &token).await.status(),
        200,
        "of others it knows nothing"
    );
    let broken = get(&url(DefenderRelation::AlertIps), &token).await;
    assert_eq!(broken.status(), 200);
    assert!(serde_json::from_str::<Value>(&broken.text().await.unwrap()).is_err());
}
