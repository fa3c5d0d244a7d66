//! The six lists of Defender for Endpoint, one after another: what was emitted arrives once, whatever order the list has,
//! whoever tells of the next page and wherever its link points.
//!
//! What is asked is seen to be what was declared, and no more often than the walk explains. What is peculiar to lists with
//! and without a time has files of its own.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{Addressee, DefenderConfig, DefenderList, ListOrder, NextLinks};

use crate::world::defender::{
    Follows, PAGE, RECORDS, asked_span, emit, pages, requests_needed, short_pages, time_of, world,
};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::pictures::{keep, normal, shown};
use crate::world::{World, ago, defender_lists};

/// The audience of the API, whatever its host.
const SCOPE: &str = "https://api.securitycenter.microsoft.com/.default";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_delivers_what_was_emitted_once_under_the_tag_that_is_promised() {
    let played = join_all(defender_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        // The audience is known without a setting.
        let mut document = world.document_with(&crate::world::defender::settings(world.list()));
        document["inputs"][service.input].as_object_mut().unwrap().remove("override_scope_value");
        world.store_secrets(&document, &world.devo_secret());
        delivers_once(&world).await;
        asks_as_promised(&world);
        world.close().await;
    }));
    assert_eq!(played.await.len(), 6);
}

async fn delivers_once(world: &World) {
    let function = world.service.function;
    let mut emitted = emit(world);
    let first = world.tick().await;
    assert_answer(&first, function, RECORDS);
    let needed = requests_needed(world, &emitted, Follows::Untold);
    assert_eq!(first["requests"], needed, "{function}: pages of {PAGE}");
    assert_eq!(first["warnings"], json!([]), "{function}");
    assert_arrived(world, &emitted);

    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{function}");
    let second = world.force().await;
    assert_answer(&second, function, 0);
    assert_arrived(world, &emitted);

    // A newer one, and one that comes late, between those that are there.
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
    emitted.push(world.emit(101, time_of(0) - SignedDuration::from_mins(25)));
    let third = world.force().await;
    assert_answer(&third, function, 2);
    assert_arrived(world, &emitted);

    keep("answer", function, &serde_json::to_string_pretty(&normal(&first, world)).unwrap());
    let shown: Vec<String> = pages(world).iter().take(2).map(shown).collect();
    keep("requests", function, &shown.join("\n"));
}

/// What the snapshots show of two requests holds for all of them.
fn asks_as_promised(world: &World) {
    let function = world.service.function;
    let size = match world.list() {
        DefenderList::Alerts => "500",
        DefenderList::Investigations => "10000",
        _ => "4000",
    };
    for seen in pages(world) {
        let asked = format!("{function}: {:?}", seen.query);
        assert_eq!((seen.status, seen.method.as_str()), (Some(200), "GET"), "{asked}");
        assert_eq!((seen.option("$top"), seen.option("$orderby")), (Some(size), None), "{asked}");
        let skip = seen.option("$skip").unwrap_or("1");
        assert!(skip.bytes().all(|byte| byte.is_ascii_digit()) && skip != "0", "{asked}");
        let expand = (world.list() == DefenderList::Alerts).then_some("evidence");
        assert_eq!(seen.option("$expand"), expand, "{asked}");
        match world.list().time_property() {
            Some(property) => {
                assert!(seen.option("$filter").unwrap().starts_with(property), "{asked}");
                let (from, to) = asked_span(&seen);
                assert!(from <= to && to <= seen.received_at, "{asked}");
            }
            None => assert_eq!(seen.option("$filter"), None, "{asked}"),
        }
    }
    for seen in world.tenant.requests() {
        match seen.addressee {
            Addressee::Login => assert_eq!(seen.option("scope"), Some(SCOPE), "{function}"),
            other => {
                assert!(matches!(other, Addressee::Defender(_)), "{function}: {other:?} {}", seen.path);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_no_link_and_no_host_of_links_loses_a_record_or_repeats_one() {
    let host = || Some("https://api-eu.securitycenter.windows.com".to_owned());
    let plays = [
        (ListOrder::Reversed, NextLinks::Always, host()),
        (ListOrder::Shuffled { seed: 5 }, NextLinks::Never, None),
        (ListOrder::ByLastUpdate, NextLinks::Always, None),
        (ListOrder::Reversed, NextLinks::WithoutTop, host()),
    ];
    join_all(defender_lists().flat_map(|service| plays.clone().map(|play| (service, play))).map(
        |(service, (order, next_links, link_host))| async move {
            let play = format!("{}: {order:?} {next_links:?} {link_host:?}", service.function);
            let config = DefenderConfig { order, next_links, link_host, ..short_pages() };
            let world = world(service.function, config).await;
            let mut emitted = emit(&world);
            let first = world.tick().await;
            assert_eq!(
                (&first["status"], &first["delivered"]),
                (&json!("up_to_date"), &json!(RECORDS)),
                "{play}: {first}"
            );
            let follows = if next_links == NextLinks::Always { Follows::Told } else { Follows::Untold };
            assert_eq!(first["requests"], requests_needed(&world, &emitted, follows), "{play}");
            assert_eq!(first["warnings"], json!([]), "{play}");
            emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
            let second = world.force().await;
            assert_answer(&second, service.function, 1);
            assert_arrived(&world, &emitted);
            assert!(pages(&world).iter().all(|seen| seen.status == Some(200)), "{play}");
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_fits_one_page_takes_two_requests_and_an_empty_one_takes_one() {
    join_all(defender_lists().map(|service| async move {
        let world = world(service.function, DefenderConfig::default()).await;
        let empty = world.tick().await;
        assert_eq!(
            (&empty["status"], &empty["requests"], &empty["received"]),
            (&json!("up_to_date"), &json!(1), &json!(0)),
            "{}: {empty}",
            service.function
        );
        assert_eq!(empty["warnings"], json!([]), "{}", service.function);
        let emitted = emit(&world);
        let full = world.force().await;
        let warnings: &Value = &full["warnings"];
        assert_eq!(*warnings, json!([]), "{}", service.function);
        // What came at last may be older than the look-back of a list that was read to its end.
        if world.list().time_property().is_none() {
            assert_eq!((&full["requests"], &full["delivered"]), (&json!(2), &json!(RECORDS)), "{full}");
            assert_arrived(&world, &emitted);
        } else {
            assert_eq!(full["requests"], 2, "{}: {full}", service.function);
        }
        world.close().await;
    }))
    .await;
}
