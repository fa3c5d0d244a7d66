//! Documents in the vendor's own words: addresses and starts where his pages have them, and filters beside the window's.
//!
//! His page about Defender for Cloud Apps names the settings and shows no document, so these are written here, in the shapes
//! that an operator may have made of it: beside the credentials, among them, and in the service.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::CloudAppsList;

use crate::world::cloud_apps_lists::{
    RECORDS, emit, filters, pages, settings, short_pages, time_filters, time_of, world,
};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{World, ago, cloud_apps_lists};

const INPUT: &str = "microsoft_defender_cloud_apps";

/// Where the vendor's settings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Input,
    Credentials,
    Service,
}

const PLACES: [Place; 3] = [Place::Input, Place::Credentials, Place::Service];

/// What stands behind the host of the base URL.
const BEHIND_HOST: [&str; 4] = ["/", "", "/cas", "/cas/"];

/// A document without a word of ours but `requests_per_second`, without which a test lasts minutes.
fn vendor_document(world: &World, place: Place, behind_host: &str) -> Value {
    let (config, url) = (world.tenant.config(), world.tenant.base_url());
    let application = &config.applications[0];
    let mut document = json!({"inputs": {INPUT: {
        "id": world.id,
        "enabled": true,
        "environment": world.id,
        "requests_per_second": 1000,
        "credentials": {
            "tenant_id": config.tenant_id,
            "client_id": application.client_id,
            "client_secret": application.secrets[0].value,
            "files_access_token": config.cloud_apps.files_token.as_ref().unwrap().value,
        },
        "services": {world.service.name: {"request_period_in_seconds": "3600"}},
    }}});
    let holder = holder(&mut document, world, place);
    holder["api_base_url"] = json!(format!("{url}{behind_host}"));
    holder["token_url"] = json!(format!("{url}/"));
    document
}

fn holder<'a>(document: &'a mut Value, world: &World, place: Place) -> &'a mut Value {
    let input = &mut document["inputs"][INPUT];
    match place {
        Place::Input => input,
        Place::Credentials => &mut input["credentials"],
        Place::Service => &mut input["services"][world.service.name],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_words_work_wherever_they_stand_and_whatever_path_the_base_url_has() {
    let plays = cloud_apps_lists().flat_map(|service| PLACES.map(|place| (service, place)));
    let played = join_all(plays.zip(BEHIND_HOST.into_iter().cycle()).map(
        |((service, place), behind_host)| async move {
            let play = format!("{} {place:?} {behind_host:?}", service.function);
            let world = world(service.function, short_pages()).await;
            let mut document = vendor_document(&world, place, behind_host);
            let mut emitted = emit(&world);
            if service.query.is_snapshot() {
                document["inputs"][INPUT]["services"][service.name]["snapshot_mode"] = json!("changes");
            } else {
                let start = time_of(20) - SignedDuration::from_mins(20);
                // As his pages write a time.
                let text = start.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
                holder(&mut document, &world, place)["historic_date_utc"] = json!(text);
                emitted.truncate(21);
            }
            world.store_secrets(&document, &world.devo_secret());
            let answer = world.tick().await;
            assert_answer(&answer, service.function, emitted.len() as u64);
            assert_eq!(answer["warnings"], json!([]), "{play}");
            assert_arrived(&world, &emitted);
            let path = format!("{}{}", behind_host.trim_end_matches('/'), world.filtered_list().path());
            assert!(pages(&world).iter().all(|seen| seen.path == path), "{play}: {path}");
            world.close().await;
        },
    ));
    assert_eq!(played.await.len(), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_start_of_the_vendors_sends_again_what_lies_behind_it_and_an_inventory_has_none() {
    join_all(cloud_apps_lists().zip(PLACES.into_iter().cycle()).map(|(service, place)| async move {
        let world = world(service.function, short_pages()).await;
        let emitted = emit(&world);
        let with_start = |hours: i64| {
            let mut document = vendor_document(&world, place, "/");
            let start = ago(SignedDuration::from_hours(hours)).to_string();
            holder(&mut document, &world, place)["historic_date_utc"] = json!(start);
            if service.query.is_snapshot() {
                document["inputs"][INPUT]["services"][service.name]["snapshot_mode"] = json!("changes");
            }
            world.store_secrets(&document, &world.devo_secret());
        };
        with_start(23);
        let first = world.tick().await;
        assert_answer(&first, service.function, RECORDS);
        with_start(22);
        let second = world.force().await;
        let is_in_vain = service.query.is_snapshot() && place == Place::Service;
        let is_restart = !service.query.is_snapshot();
        for (answer, is_told) in [(&first, is_in_vain), (&second, is_in_vain || is_restart)] {
            let warnings = answer["warnings"].as_array().unwrap();
            assert_eq!(warnings.len(), usize::from(is_told), "{place:?}: {answer}");
        }
        if service.query.is_snapshot() {
            assert_answer(&second, service.function, 0);
            assert_arrived(&world, &emitted);
        } else {
            assert_answer(&second, service.function, RECORDS);
            assert_eq!(world.records().len(), emitted.len() * 2, "his way to begin anew");
        }
        world.close().await;
    }))
    .await;
}

/// A filter that the list has, and whether a record passes it.
fn narrowing(list: CloudAppsList) -> (Value, fn(&Value) -> bool) {
    match list {
        CloudAppsList::Activities => (json!({"service": {"eq": [15_600, 12_260]}}), |record| {
            [15_600, 12_260].contains(&record["appId"].as_i64().unwrap())
        }),
        CloudAppsList::Alerts => (json!({"severity": {"eq": [1, 2]}}), |record| {
            matches!(record["severityValue"].as_i64(), Some(1 | 2))
        }),
        CloudAppsList::Entities => {
            (json!({"isExternal": {"eq": false}}), |record| record["isExternal"] == false)
        }
        CloudAppsList::Subnet => {
            (json!({"category": {"eq": [1, 2, 3]}}), |record| record["category"].as_i64().unwrap() <= 3)
        }
        CloudAppsList::Files => (json!({"extension": {"eq": ["jpg", "txt"]}}), |record| {
            ["jpg", "txt"].contains(&record["fileExtension"].as_str().unwrap())
        }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_additional_filter_as_an_object_and_as_a_text_narrows_what_comes() {
    join_all(cloud_apps_lists().flat_map(|service| [(service, false), (service, true)]).map(
        |(service, is_text)| async move {
            let world = world(service.function, short_pages()).await;
            let list = world.filtered_list();
            let (filter, passes) = narrowing(list);
            let mut with_filter = settings(list);
            with_filter["additional_filter"] =
                if is_text { json!(filter.to_string()) } else { filter.clone() };
            world.configure(&with_filter);
            let all = emit(&world);
            let is_wanted = |record: &&String| passes(&serde_json::from_str(record).unwrap());
            let wanted: Vec<String> = all.iter().filter(is_wanted).cloned().collect();
            assert!(!wanted.is_empty() && wanted.len() < all.len(), "{}", service.function);
            let answer = world.tick().await;
            assert_answer(&answer, service.function, wanted.len() as u64);
            assert_eq!(answer["warnings"], json!([]), "{answer}");
            assert_arrived(&world, &wanted);
            let (name, value) = filter.as_object().unwrap().iter().next().unwrap();
            for seen in pages(&world) {
                assert_eq!(filters(&seen)[name], *value, "{}", service.function);
            }
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_additional_filter_on_the_time_is_refused_before_anything_is_asked() {
    join_all(cloud_apps_lists().filter(|service| !service.query.is_snapshot()).map(|service| async move {
        let world = world(service.function, short_pages()).await;
        emit(&world);
        for time in time_filters(world.filtered_list()) {
            for filter in [json!({*time: {"gte": 0}}), json!(format!("{{\"{time}\":{{\"gte\":0}}}}"))] {
                world.configure(&json!({"additional_filter": filter}));
                let error = world.once(&json!({})).await.error();
                assert_eq!(error.error_type, "InitVariablesError", "{}", error.message);
                assert!(error.message.starts_with("[1] "), "{}", error.message);
                let place = format!("additional_filter.{time}");
                assert!(error.message.contains(&place), "{}", error.message);
            }
        }
        assert!(world.tenant.requests().is_empty());
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_the_api_refuses_is_error_301_and_is_named_whatever_the_status() {
    join_all(cloud_apps_lists().flat_map(|service| [(service, 400), (service, 200)]).map(
        |(service, status)| async move {
            let world = world(service.function, short_pages()).await;
            world.tenant.change_cloud_apps(|config| config.refused_filter_status = status);
            let list = world.filtered_list();
            let mut with_filter = settings(list);
            with_filter["additional_filter"] = json!({"colour": {"eq": "green"}});
            world.configure(&with_filter);
            let emitted = emit(&world);
            let error = world.once(&json!({})).await.error();
            assert_eq!(error.error_type, "PullError", "{status}: {}", error.message);
            assert!(error.message.starts_with("[301] "), "{status}: {}", error.message);
            let named = [
                "{\"colour\":{\"eq\":\"green\"}}",
                "colour is not valid",
                "correct additional_filter",
                list.path(),
            ];
            for words in named {
                assert!(error.message.contains(words), "{status}: no {words} in {}", error.message);
            }
            assert_eq!(pages(&world).len(), 1, "it is not asked again");
            world.configure(&settings(list));
            assert_answer(&world.tick().await, service.function, RECORDS);
            assert_arrived(&world, &emitted);
            world.close().await;
        },
    ))
    .await;
}
