//! The five lists of Defender for Cloud Apps, one after another: what was emitted arrives once, whatever order the list has
//! and whatever its answers say beside their records.
//!
//! What is asked is seen to be what was declared, and no more often than the walk explains. How records spell their times,
//! ids and members is here, too; what an event asks for is at the end.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{
    Addressee, AnswerMember, AuthorizationScheme, BodyStyle, CloudAppsConfig, CloudAppsList, CloudAppsOrder,
    Compression, LinkPlace, TenantConfig,
};

use crate::world::cloud_apps_lists::{
    RECORDS, asked_span, emit, filters, milliseconds, pages, requests_needed, settings, short_pages,
    time_filters, time_of, world,
};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::pictures::{keep, normal, shown};
use crate::world::{World, ago, cloud_apps_lists};

/// The audience of the API, whatever its host.
const SCOPE: &str = "05a65629-4c1b-48c1-a78b-804c4abdd4af/.default";
/// Records that make several pages of a hundred.
const MANY: i64 = 230;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_list_delivers_what_was_emitted_once_under_the_tag_that_is_promised() {
    let played = join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        // The audience is known without a setting.
        let mut document = world.document_with(&settings(world.filtered_list()));
        document["inputs"][service.input].as_object_mut().unwrap().remove("override_scope_value");
        world.store_secrets(&document, &world.devo_secret());
        delivers_once(&world).await;
        asks_as_promised(&world);
        world.close().await;
    }));
    assert_eq!(played.await.len(), 5);
}

async fn delivers_once(world: &World) {
    let function = world.service.function;
    let mut emitted = emit(world);
    let first = world.tick().await;
    assert_answer(&first, function, RECORDS);
    assert_eq!((&first["windows"], &first["warnings"]), (&json!(1), &json!([])), "{function}: {first}");
    assert_eq!(first["requests"], requests_needed(world, &emitted), "{function}");
    let newest = world.filtered_list().time_member().map(|member| milliseconds(&emitted[0], member));
    assert_eq!(last_event_time(&first), newest, "{function}: {first}");
    assert_arrived(world, &emitted);

    let early = world.tick().await;
    assert_eq!((&early["status"], &early["requests"]), (&json!("not_due"), &json!(0)), "{function}");
    let second = world.force().await;
    assert_answer(&second, function, 0);
    assert_arrived(world, &emitted);

    // A newer one, and one that comes late, between those that are there.
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
    emitted.push(world.emit(101, time_of(0) - SignedDuration::from_mins(10)));
    let third = world.force().await;
    assert_answer(&third, function, 2);
    assert_arrived(world, &emitted);

    keep("answer", function, &serde_json::to_string_pretty(&normal(&first, world)).unwrap());
    let shown: Vec<String> = pages(world).iter().take(2).map(shown).collect();
    keep("requests", function, &without_instants(&shown.join("\n")));
}

/// `last_event_time_in_utc` in epoch milliseconds.
fn last_event_time(answer: &Value) -> Option<i64> {
    let text = answer["last_event_time_in_utc"].as_str()?;
    Some(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// A picture of requests without the instants and places that they name.
fn without_instants(text: &str) -> String {
    let instants =
        regex::Regex::new(r"\d{13}").unwrap().replace_all(text, "[epoch milliseconds]").into_owned();
    let lengths = regex::Regex::new(r"content-length: \d+").unwrap();
    let lengths = lengths.replace_all(&instants, "content-length: [bytes]").into_owned();
    regex::Regex::new(r"[0-9a-f]{32}").unwrap().replace_all(&lengths, "[place]").into_owned()
}

/// What the snapshots show of two requests holds for all of them.
fn asks_as_promised(world: &World) {
    let (function, list) = (world.service.function, world.filtered_list());
    let (scheme, is_scan) = (scheme_of(list), list == CloudAppsList::Activities);
    for seen in pages(world) {
        let asked = format!("{function}: {:?}", seen.query);
        assert_eq!((seen.status, seen.method.as_str()), (Some(200), "POST"), "{asked}");
        assert_eq!((seen.path.as_str(), seen.scheme), (list.path(), scheme), "{asked}");
        assert_eq!(seen.header("content-type"), Some("application/json"), "{asked}");
        let mode = (seen.option("isScan"), seen.option("limit"), seen.option("skip").is_some());
        let expected = if is_scan { (Some("true"), Some("2000"), false) } else { (None, Some("100"), true) };
        assert_eq!(mode, expected, "{asked}");
        assert_eq!((seen.option("sortField"), seen.option("sortDirection")), (None, None), "{asked}");
        let filters = filters(&seen);
        let names: Vec<&str> = filters.as_object().unwrap().keys().map(String::as_str).collect();
        let Some(time) = names.first() else {
            assert!(time_filters(list).is_empty(), "{asked}");
            continue;
        };
        assert!(time_filters(list).contains(time), "{asked}");
        // A scan is led on by filters that the API gave.
        assert!(names.len() == 1 || is_scan && names[1..] == ["scan"], "{asked}");
        let (from, to) = asked_span(&filters, time);
        assert!(from <= to && to <= seen.received_at.as_millisecond(), "{asked}");
    }
    for seen in world.tenant.requests() {
        match seen.addressee {
            Addressee::Login => assert_eq!(seen.option("scope"), Some(SCOPE), "{function}"),
            other => assert_eq!(other, Addressee::CloudApps(list), "{function}: {}", seen.path),
        }
    }
}

/// How a list's requests say who asks.
fn scheme_of(list: CloudAppsList) -> AuthorizationScheme {
    if list == CloudAppsList::Files { AuthorizationScheme::Token } else { AuthorizationScheme::Bearer }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_no_white_space_and_no_place_of_a_member_loses_a_record_or_repeats_one() {
    let plays = [
        (CloudAppsOrder::Oldest, LinkPlace::BeforeRecords, BodyStyle::Pretty, Compression::Never),
        (CloudAppsOrder::Inserted, LinkPlace::AfterRecords, BodyStyle::Pretty, Compression::WhenAccepted),
        (
            CloudAppsOrder::Shuffled { seed: 5 },
            LinkPlace::BeforeRecords,
            BodyStyle::Compact,
            Compression::Never,
        ),
        (CloudAppsOrder::Newest, LinkPlace::BeforeRecords, BodyStyle::Compact, Compression::WhenAccepted),
    ];
    join_all(cloud_apps_lists().flat_map(|service| plays.map(|play| (service, play))).map(
        |(service, (order, member_place, body_style, compression))| async move {
            let play = format!("{}: {order:?} {member_place:?} {body_style:?}", service.function);
            let cloud_apps = CloudAppsConfig { order, member_place, ..short_pages() };
            let config = TenantConfig { cloud_apps, body_style, compression, ..TenantConfig::default() };
            let world = World::with(service, config).await;
            world.configure(&settings(world.filtered_list()));
            let mut emitted = emit(&world);
            let first = world.tick().await;
            assert_answer(&first, service.function, RECORDS);
            assert_eq!(first["requests"], requests_needed(&world, &emitted), "{play}");
            assert_eq!(first["warnings"], json!([]), "{play}");
            emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
            assert_answer(&world.force().await, service.function, 1);
            assert_arrived(&world, &emitted);
            assert!(pages(&world).iter().all(|seen| seen.status == Some(200)), "{play}");
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_answer_no_member_but_its_records_is_needed() {
    use AnswerMember::{HasNext, Max, MoreThanTotal, NextQueryFilters, Total};
    let absent: [&[AnswerMember]; 5] = [
        &[HasNext],
        &[Total],
        &[Max, MoreThanTotal],
        &[NextQueryFilters],
        &[HasNext, Max, Total, MoreThanTotal, NextQueryFilters],
    ];
    join_all(cloud_apps_lists().flat_map(|service| absent.map(|members| (service, members))).map(
        |(service, absent)| async move {
            let play = format!("{} without {absent:?}", service.function);
            let several_pages = CloudAppsConfig {
                absent: absent.to_vec(),
                smallest_scan: 150,
                largest_scan: 150,
                ..CloudAppsConfig::default()
            };
            let world = world(service.function, several_pages).await;
            let time = |number| ago(SignedDuration::from_mins(3 + 5 * number));
            let emitted: Vec<String> =
                (0..MANY).map(|number| world.emit(number.unsigned_abs(), time(number))).collect();
            let answer = world.tick().await;
            assert_answer(&answer, service.function, MANY.unsigned_abs());
            assert_eq!(answer["warnings"], json!([]), "{play}");
            assert_arrived(&world, &emitted);
            assert_answer(&world.force().await, service.function, 0);
            world.close().await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_takes_one_request_for_each_time_that_it_is_asked_by() {
    join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, CloudAppsConfig::default()).await;
        let needed = time_filters(world.filtered_list()).len().max(1);
        for answer in [world.tick().await, world.force().await] {
            assert_answer(&answer, service.function, 0);
            assert_eq!(
                (&answer["requests"], &answer["received"], &answer["warnings"]),
                (&json!(needed), &json!(0), &json!([])),
                "{answer}"
            );
        }
        world.close().await;
    }))
    .await;
}

/// The lists whose records have a time.
fn timed() -> impl Iterator<Item = &'static collector::service::Service> {
    cloud_apps_lists().filter(|service| !service.query.is_snapshot())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_records_of_one_millisecond_than_a_page_has_all_arrive() {
    let played = join_all(timed().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let instant = time_of(2);
        let mut emitted: Vec<String> = (0..25).map(|seed| world.emit(seed, instant)).collect();
        emitted.push(world.emit(30, instant + SignedDuration::from_millis(1)));
        emitted.push(world.emit(31, instant - SignedDuration::from_millis(1)));
        let answer = world.tick().await;
        assert_answer(&answer, service.function, 27);
        assert_eq!(answer["warnings"], json!([]), "{answer}");
        assert_arrived(&world, &emitted);
        assert_answer(&world.force().await, service.function, 0);
        world.close().await;
    }));
    assert_eq!(played.await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_count_as_whole_numbers_with_a_fraction_and_as_texts() {
    join_all(timed().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let list = world.filtered_list();
        let spelt = |seed: u64, form: fn(i64) -> String| {
            let time = time_of(seed) + SignedDuration::from_millis(678);
            let record = simulator::records::cloud_apps_record(list, seed, time);
            let (member, instant) = (list.time_member().unwrap(), time.as_millisecond());
            let whole = format!("\"{member}\":{instant},");
            assert_eq!(record.matches(&whole).count(), 1, "{record}");
            let record = record.replace(&whole, &format!("\"{member}\":{},", form(instant)));
            world.tenant.emit_cloud_apps(list, record.clone()).unwrap();
            (record, instant)
        };
        let forms: [fn(i64) -> String; 4] = [
            |instant| instant.to_string(),
            |instant| format!("{instant}.8032"),
            |instant| format!("\"{}\"", jiff::Timestamp::from_millisecond(instant).unwrap()),
            |instant| format!("{instant}.0"),
        ];
        let mut emitted = Vec::new();
        // Each form is the newest one once.
        for (round, seed) in [9_u64, 6, 3, 0].into_iter().enumerate() {
            let (record, newest) = spelt(seed, forms[round]);
            emitted.push(record);
            emitted.push(spelt(seed + 1, forms[(round + 1) % 4]).0);
            emitted.push(spelt(seed + 2, forms[(round + 2) % 4]).0);
            let event = json!({"force": true, "settings": {"override_lookback_in_seconds": 72_000}});
            let answer = world.once(&event).await.answer();
            assert_answer(&answer, service.function, 3);
            assert_eq!(last_event_time(&answer), Some(newest), "{answer}");
        }
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_comes_twice_is_one_record_if_its_content_is_the_same_and_two_if_it_is_not() {
    join_all(cloud_apps_lists().map(|service| async move {
        // An inventory tells versions from namesakes page by page.
        let is_inventory = service.query.is_snapshot();
        let pages = if is_inventory { CloudAppsConfig::default() } else { short_pages() };
        let world = world(service.function, pages).await;
        let mut emitted = emit(&world);
        let list = world.filtered_list();
        world.tenant.emit_cloud_apps(list, emitted[3].clone()).unwrap();
        let other = emitted[5].replacen('{', "{\"version\":2,", 1);
        world.tenant.emit_cloud_apps(list, other.clone()).unwrap();
        emitted.push(other);
        let answer = world.tick().await;
        assert_answer(&answer, service.function, RECORDS + 1);
        assert!(answer["duplicates"].as_u64().unwrap() > 0, "{answer}");
        assert_arrived(&world, &emitted);
        for _ in 0..2 {
            assert_answer(&world.force().await, service.function, 0);
        }
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_whose_names_differ_by_case_alone_both_arrive_masked_or_not() {
    join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let list = world.filtered_list();
        let made = simulator::records::cloud_apps_record(list, 1, time_of(1));
        let both = "\"level\":\"info\",\"Level\":4";
        let record = if made.contains(both) { made } else { made.replacen('{', &format!("{{{both},"), 1) };
        world.tenant.emit_cloud_apps(list, record.clone()).unwrap();
        assert_answer(&world.tick().await, service.function, 1);
        assert_arrived(&world, std::slice::from_ref(&record));

        let mut masking = settings(list);
        masking["obfuscation_data"] = json!([{"name": ["level"], "value": "masked"}]);
        world.configure(&masking);
        let second = simulator::records::cloud_apps_record(list, 2, ago(SignedDuration::from_secs(9)));
        let second =
            if second.contains(both) { second } else { second.replacen('{', &format!("{{{both},"), 1) };
        world.tenant.emit_cloud_apps(list, second.clone()).unwrap();
        assert_answer(&world.force().await, service.function, 1);
        let masked = second.replace("\"level\":\"info\"", "\"level\":\"masked\"");
        assert_arrived(&world, &[record, masked]);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_shows_what_would_be_sent_and_neither_writes_nor_connects() {
    join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let delivered = emit(&world);
        assert_answer(&world.tick().await, service.function, RECORDS);
        let fresh: Vec<String> =
            (60..65).map(|seed| world.emit(seed, ago(SignedDuration::from_secs(3)))).collect();
        let (rows, connections) = (world.table.rows().await, world.to_devo.connections());
        let answer = world.once(&json!({"dry_run": true})).await.answer();
        assert_eq!((&answer["status"], &answer["warnings"]), (&json!("dry_run"), &json!([])), "{answer}");
        let samples = answer["samples"].as_array().unwrap();
        assert_eq!(samples.len(), 3, "{answer}");
        for sample in samples {
            let mut record = sample["message"].clone();
            let members = record.as_object_mut().unwrap();
            assert_eq!(members.shift_remove("@devo_environment"), Some(json!(world.id)));
            assert!(members.shift_remove("@devo_pulling_id").is_some());
            assert_eq!(sample["tag"], world.promise.tag(&record, &world.id));
            let is_fresh = fresh.iter().any(|text| serde_json::from_str::<Value>(text).unwrap() == record);
            assert!(is_fresh, "{}: shown, though it was delivered: {record}", service.function);
        }
        assert_eq!(world.table.rows().await, rows, "a dry run writes nothing");
        assert_eq!(world.to_devo.connections(), connections, "a dry run opens no connection");
        assert_arrived(&world, &delivered);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_before_the_start_comes_by_a_backfill_and_an_inventory_has_none() {
    join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let mut emitted = emit(&world);
        let days = SignedDuration::from_hours(72);
        let old: Vec<String> = (50..60).map(|seed| world.emit(seed, time_of(seed) - days)).collect();
        let hours = |hours| ago(SignedDuration::from_hours(hours)).to_string();
        let event = json!({"backfill": {"start_time_in_utc": hours(72 + 48), "end_time_in_utc": hours(72)}});
        if service.query.is_snapshot() {
            let error = world.once(&event).await.error();
            assert_eq!(error.error_type, "InitVariablesError", "{}", error.message);
            assert!(
                error.message.starts_with("[1] ") && error.message.contains("backfill"),
                "{}",
                error.message
            );
            assert!(world.tenant.requests().is_empty(), "nothing is pulled");
            world.close().await;
            return;
        }
        assert_answer(&world.tick().await, service.function, RECORDS);
        assert_arrived(&world, &emitted);
        emitted.extend(old);
        let filled = world.once(&event).await.answer();
        assert_answer(&filled, service.function, 10);
        assert_arrived(&world, &emitted);
        // Complete: the same request begins anew, and finds nothing that is missing.
        assert_answer(&world.once(&event).await.answer(), service.function, 0);
        assert_answer(&world.force().await, service.function, 0);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}
