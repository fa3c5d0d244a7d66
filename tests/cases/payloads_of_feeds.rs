//! Answers of the Management Activity API that people have published, in the place of the simulator's own.

use std::fs;

use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records;
use simulator::tenant::{Addressee, Fault, FeedCall, Rule, Subscription, Target};

use crate::world::feeds::records_of;
use crate::world::judge::assert_arrived;
use crate::world::process::Ended;
use crate::world::{World, ago, artefacts, service};

/// One file of the folder of samples; `None`, and said so, where there is none.
fn sample(test: &str, name: &str) -> Option<Value> {
    let Some(samples) = artefacts::samples() else {
        println!("skipped: {test}: COLLECTOR_SAMPLES is not set");
        return None;
    };
    let path = samples.join("office365/api").join(name);
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: {test}: there is no {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

fn answered(status: u16, body: String) -> Fault {
    Fault::Status { code: status, body: Some(body), headers: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_lists_of_subscriptions_tell_what_has_to_be_started() {
    let test = "published_lists_of_subscriptions_tell_what_has_to_be_started";
    let Some(list) = sample(test, "subscriptions_list.json") else { return };
    // Enabled, enabled with a webhook, without a status, and not in the list at all.
    let cases = [
        ("office365-azure-active-directory", 0),
        ("office365-exchange", 0),
        ("office365-sharepoint", 0),
        ("office365-general-audit", 1),
    ];
    for (function, starts) in cases {
        let world = World::new(service(function)).await;
        world.tenant.set_subscription(world.content_type(), Subscription::Enabled);
        world.tenant.script(vec![Rule::on_subscriptions(answered(200, list.to_string()))]);
        let contents = world.emit_blobs(3, 2, SignedDuration::from_mins(2));
        assert_eq!(world.tick().await["delivered"], 6, "{function}");
        let found = world.feed_calls().iter().filter(|call| matches!(call, FeedCall::Start(_))).count();
        assert_eq!(found, starts, "{function}");
        assert_arrived(&world, &records_of(&contents));
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_listings_and_content_ids_are_read_and_each_content_is_fetched_once() {
    let test = "published_listings_and_content_ids_are_read_and_each_content_is_fetched_once";
    let Some(mut page) = sample(test, "content_list_page.json") else { return };
    let Some(ids) = sample(test, "content_ids_seen_in_the_wild.json") else { return };
    let world = World::new(service("office365-sharepoint")).await;
    let tenant = world.tenant.config().tenant_id.clone();
    let feed = format!("{}/api/v1.0/{tenant}/activity/feed/audit/", world.tenant.base_url());
    let (created, expires) = (ago(SignedDuration::from_mins(9)), ago(SignedDuration::from_hours(-150)));
    let entries = page.as_array_mut().unwrap();
    let seen =
        ids.as_array().unwrap().iter().map(|id| json!({"contentType": "Audit.SharePoint", "contentId": id}));
    entries.extend(seen);
    for entry in entries.iter_mut() {
        // What belongs to the day and the tenant that it was seen at becomes ours; the ids stay.
        let id = entry["contentId"].as_str().unwrap().to_owned();
        entry["contentUri"] = json!(format!("{feed}{id}"));
        entry["contentCreated"] = json!(created.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string());
        entry["contentExpiration"] = json!(expires.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string());
    }
    let count = entries.len();
    let record = records::audit_record(1, created, "SharePoint");
    world.tenant.script(vec![
        Rule::on_listing(world.content_type(), answered(200, page.to_string())),
        // The simulator never gave these ids, and answers none of them by itself.
        Rule::on(Target::Only(Addressee::Feed(FeedCall::Other)), answered(200, format!("[{record}]"))),
    ]);
    let answer = world.tick().await;
    assert_eq!(answer["status"], "up_to_date", "{answer}");
    let paths: Vec<String> = world.feed_requests().iter().map(|seen| seen.path.clone()).collect();
    for entry in page.as_array().unwrap() {
        let id = entry["contentId"].as_str().unwrap();
        let asked =
            paths.iter().filter(|path| path.replace("%24", "$").ends_with(&format!("/audit/{id}"))).count();
        assert_eq!(asked, 1, "{id}: {paths:?}");
    }
    assert_eq!((&answer["failed_uris"], &answer["delivered"]), (&json!(0), &json!(1)), "{answer}");
    assert_eq!(answer["received"], count, "{answer}");
    assert_eq!(world.force().await["received"], 0, "nothing is fetched again");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_refusals_are_understood_by_their_code_whatever_their_status_and_quotes() {
    let test = "published_refusals_are_understood_by_their_code_whatever_their_status_and_quotes";
    let Some(refusals) = sample(test, "errors.json") else { return };
    for refusal in refusals.as_array().unwrap() {
        let body = refusal["body_text"].as_str().map_or_else(|| refusal["body"].to_string(), str::to_owned);
        let code =
            body.split('\'').chain(body.split('"')).find(|word| word.starts_with("AF")).unwrap().to_owned();
        let status = u16::try_from(refusal["status"].as_u64().unwrap()).unwrap();
        let world = World::new(service("office365-general-audit")).await;
        let contents = world.emit_blobs(4, 2, SignedDuration::from_mins(2));
        let content_type = world.content_type();
        let told = answered(status, body.clone());
        let rule = match code.as_str() {
            "AF20024" => Rule::on_start(content_type, told),
            "AF20052" => Rule::on(Target::AnyBlob, told).content(&contents[1].id),
            _ => Rule::on_listing(content_type, told),
        };
        if code == "AF20024" {
            let nothing = answered(200, "[]".to_owned());
            world.tenant.set_subscription(content_type, Subscription::Enabled);
            world.tenant.script(vec![Rule::on_subscriptions(nothing), rule]);
        } else {
            world.tenant.script(vec![rule]);
        }
        let process = world.process().await;
        let deadline = std::time::Duration::from_secs(12);
        match (code.as_str(), world.invoke(&process, &json!({}), deadline).await) {
            ("AF20023" | "AF20024", Ended::Answer(answer)) => {
                assert_eq!(answer["status"], "up_to_date", "{body}")
            }
            ("AF20052", Ended::Answer(answer)) => assert_eq!(answer["failed_uris"], 1, "{body}: {answer}"),
            ("AF429", Ended::Answer(answer)) => assert_eq!(answer["status"], "throttled", "{body}: {answer}"),
            ("AF429", Ended::Error(error)) => {
                assert!(error.message.starts_with("[429] "), "{body}: {}", error.message);
            }
            ("AF10001", Ended::Error(error)) => {
                assert!(error.message.starts_with("[102] "), "{}", error.message)
            }
            ("AF50000", Ended::Error(error)) => {
                assert!(
                    error.message.starts_with("[498] ") && error.message.contains("AF50000"),
                    "{}",
                    error.message
                );
            }
            ("AF20055", Ended::Error(error)) => {
                assert!(error.message.contains("AF20055"), "{}", error.message)
            }
            (_, other) => panic!("{body}: {other:?}"),
        }
        process.ask_to_end();
        process.ended().await;
        world.tenant.script(Vec::new());
        let mut answer = world.force().await;
        for _ in 0..20 {
            if answer["status"] != "throttled" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            answer = world.force().await;
        }
        world.retry().await;
        assert_arrived(&world, &records_of(&contents));
        world.close().await;
    }
}
