//! Documents in the vendor's own words: addresses and starts where his pages have them, services as he spells them.
//!
//! His page about Defender for Endpoint names the settings and shows no document, so these are written here, in the shapes
//! that an operator may have made of it: beside the credentials, among them, and in the service.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::records::hunting_row;

use crate::world::defender::{RECORDS, emit, short_pages, time_of, world};
use crate::world::document::HUNTING_TABLE;
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{World, ago, defender_lists, service};

const INPUT: &str = "microsoft_defender_endpoint";

/// Where the vendor's settings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Input,
    Credentials,
    Service,
}

/// How the vendor spells a service, where he does so in another way.
fn vendor_name(world: &World) -> &'static str {
    match world.service.name {
        "softwares" => "software",
        "vulnerabilities" => "vulnerabiities",
        "advanced_hunting" => "advanced_huntuing",
        name => name,
    }
}

/// A document without a word of ours but `requests_per_second`, without which a test lasts minutes.
fn vendor_document(world: &World, place: Place) -> Value {
    let (config, url) = (world.tenant.config(), world.tenant.base_url());
    let application = &config.applications[0];
    let mut document = json!({"inputs": {INPUT: {
        "id": world.id,
        "enabled": true,
        "environment": world.id,
        "requests_per_second": 1000,
        "credentials": {
            "client_id": application.client_id,
            "client_secret": application.secrets[0].value,
            "tenant_id": config.tenant_id,
        },
        "services": {vendor_name(world): {"request_period_in_seconds": "3600"}},
    }}});
    let input = &mut document["inputs"][INPUT];
    let holder = match place {
        Place::Input => &mut *input,
        Place::Credentials => &mut input["credentials"],
        Place::Service => &mut input["services"][vendor_name(world)],
    };
    holder["override_api_base_url"] = json!(url);
    holder["override_token_url"] = json!(url);
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_addresses_work_wherever_he_puts_them_and_under_his_names_of_services() {
    let places = [Place::Input, Place::Credentials, Place::Service];
    join_all(
        defender_lists()
            .zip(places.into_iter().cycle())
            .chain(
                // The two that he spells in another way, at the other places.
                defender_lists().skip(2).take(2).zip([Place::Service, Place::Credentials]),
            )
            .map(|(service, place)| async move {
                let play = format!("{} {place:?}", service.function);
                let world = world(service.function, short_pages()).await;
                let mut document = vendor_document(&world, place);
                let block = &mut document["inputs"][INPUT]["services"][vendor_name(&world)];
                match world.list().time_property() {
                    // As his pages write a time.
                    Some(_) => {
                        let start = time_of(RECORDS - 10) - SignedDuration::from_mins(20);
                        block["historical_poll_datetime"] =
                            json!(start.strftime("%Y-%m-%dT%H-%M-%SZ").to_string());
                    }
                    None => block["snapshot_mode"] = json!("changes"),
                }
                world.store_secrets(&document, &world.devo_secret());
                let mut emitted = emit(&world);
                if world.list().time_property().is_some() {
                    emitted.truncate(usize::try_from(RECORDS - 9).unwrap());
                }
                let answer = world.tick().await;
                assert_answer(&answer, service.function, emitted.len() as u64);
                assert_eq!(answer["warnings"], json!([]), "{play}");
                assert_arrived(&world, &emitted);
                world.close().await;
            }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_start_of_the_vendors_sends_again_what_lies_behind_it_and_on_an_inventory_it_is_one_warning()
{
    let world = world("endpoint-alerts", short_pages()).await;
    let emitted = emit(&world);
    let with_start = |hours: i64| {
        let mut document = vendor_document(&world, Place::Credentials);
        let start = ago(SignedDuration::from_hours(hours)).to_string();
        document["inputs"][INPUT]["services"]["alerts"]["historical_poll_datetime"] = json!(start);
        world.store_secrets(&document, &world.devo_secret());
    };
    with_start(24);
    assert_answer(&world.tick().await, "endpoint-alerts", RECORDS);
    with_start(48);
    assert_answer(&world.force().await, "endpoint-alerts", RECORDS);
    assert_eq!(world.records().len(), emitted.len() * 2, "his way to begin anew");
    world.close().await;

    let inventory = crate::world::defender::world("endpoint-software", short_pages()).await;
    let mut document = vendor_document(&inventory, Place::Input);
    let block = &mut document["inputs"][INPUT]["services"]["software"];
    block["historical_poll_datetime"] = json!(ago(SignedDuration::from_hours(5)).to_string());
    block["snapshot_mode"] = json!("changes");
    inventory.store_secrets(&document, &inventory.devo_secret());
    let emitted = emit(&inventory);
    let answer = inventory.tick().await;
    assert_answer(&answer, "endpoint-software", RECORDS);
    assert_eq!(answer["warnings"].as_array().unwrap().len(), 1, "{answer}");
    assert_arrived(&inventory, &emitted);
    inventory.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hunting_works_under_the_name_that_the_vendor_gives_it() {
    for place in [Place::Input, Place::Credentials, Place::Service] {
        let world = World::new(service("endpoint-advanced-hunting")).await;
        let mut document = vendor_document(&world, place);
        let query = format!("{HUNTING_TABLE} | where Timestamp between ({{from}} .. {{to}})");
        document["inputs"][INPUT]["services"]["advanced_huntuing"]["queries"] = json!([
            {"name": "logons", "query": query, "tag": crate::world::document::HUNTING_TAG},
        ]);
        world.store_secrets(&document, &world.devo_secret());
        let rows: Vec<String> = (0..5).map(|seed| hunting_row(seed, time_of(seed))).collect();
        for (seed, row) in (0..).zip(&rows) {
            world.tenant.emit_hunting(HUNTING_TABLE, time_of(seed), row.clone());
        }
        let answer = world.tick().await;
        assert_answer(&answer, "endpoint-advanced-hunting", 5);
        assert_eq!(answer["warnings"], json!([]), "{place:?}");
        assert_arrived(&world, &rows);
        world.close().await;
    }
}
