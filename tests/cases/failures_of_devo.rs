//! What Devo's side refuses or breaks: nothing is committed without a clean end, and the next tick delivers.

use std::net::TcpListener;
use std::time::Duration;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::receiver::{CloseAnswer, ConnectionFault, Occurrence, ReceiverConfig, TlsVersions, Transport};

use crate::world::process::Ended;
use crate::world::{AMPLE, World, ago, contract, services};

const RECORDS: u64 = 15;
/// What existing alerts look for.
const ALERT: &str = "collector failed Connection closed by server.";

async fn world() -> World {
    let world = World::new(services().next().unwrap()).await;
    for seed in 0..RECORDS {
        world.emit(seed, ago(SignedDuration::from_mins(3 + seed.cast_signed())));
    }
    world
}

/// A tick that must fail in delivery with this code; gives the message.
async fn fails(world: &World, code: u16, deadline: Duration, what: &str) -> String {
    let process = world.process().await;
    let ended = world.invoke(&process, &json!({}), deadline).await;
    let Ended::Error(error) = ended else { panic!("{what}: {ended:?}") };
    assert_eq!(error.error_type, "DeliveryError", "{}", error.message);
    assert!(error.message.starts_with(&format!("[{code}] ")), "{}", error.message);
    let checkpoint = world.table.checkpoint().await.unwrap();
    assert_eq!(checkpoint.get("last_event_time_in_utc"), None, "the position did not move: {checkpoint}");
    assert_eq!(checkpoint.get("lease_owner"), None, "the lease was given back: {checkpoint}");
    error.message
}

/// The next tick, with Devo as it should be, delivers everything and tells what happened.
async fn recovers(world: &World, message: &str) {
    world.store_secrets(&world.document(), &world.devo_secret());
    let answer = world.tick().await;
    assert_eq!(
        (&answer["status"], &answer["delivered"]),
        (&json!("up_to_date"), &json!(RECORDS)),
        "{answer}"
    );
    assert_eq!(world.records().len(), usize::try_from(RECORDS).unwrap());
    let is_told = |(tag, text): &(String, String)| {
        tag == "devo.collectors.out.local.error" && text.starts_with(ALERT) && text.contains(message)
    };
    assert!(world.story().iter().any(is_told), "{message} is not in {:?}", world.story());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devo_that_is_away_is_error_600() {
    let world = world().await;
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut devo = world.devo_secret();
    devo["port"] = json!(nobody.port());
    world.store_secrets(&world.document(), &devo);
    let message = fails(&world, 600, AMPLE, "nobody listens").await;
    assert!(message.contains(&nobody.to_string()), "{message}");
    recovers(&world, &message).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_that_devo_refuses_is_error_601_before_any_record_is_sent() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let world = world().await;
        let server_names = vec!["127.0.0.1".to_owned()];
        let transport = Transport::MutualTls { server_names, versions };
        let (receiver, mut devo) =
            world.own_receiver(ReceiverConfig { transport, ..ReceiverConfig::default() }).await;
        let pki = receiver.pki().unwrap().clone();
        for (identity, said) in [(&pki.foreign_client, "refuses"), (&pki.expired_client, "expired")] {
            devo["cert"] = json!(identity.certificate_pem);
            devo["key"] = json!(identity.private_key_pem);
            world.store_secrets(&world.document(), &devo);
            let process = world.process().await;
            let error = world.invoke(&process, &json!({}), AMPLE).await.error();
            assert_eq!(error.error_type, "DeliveryError", "{versions:?}: {}", error.message);
            assert!(error.message.starts_with("[601] ") && error.message.contains(said), "{}", error.message);
            assert_eq!(receiver.event_count(), 0);
        }
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_does_not_end_cleanly_is_error_602_and_is_sent_again() {
    let short = Duration::from_millis(3500);
    let cases = [
        (ConnectionFault::ResetAfter { bytes: 1 }, AMPLE),
        (ConnectionFault::ResetAfter { bytes: 700 }, AMPLE),
        (ConnectionFault::CloseAfter { bytes: 0 }, AMPLE),
        (ConnectionFault::AnswerClose(CloseAnswer::Reset), AMPLE),
        (ConnectionFault::AnswerClose(CloseAnswer::Never), short),
    ];
    join_all(cases.into_iter().map(|(fault, deadline)| async move {
        let world = world().await;
        let (receiver, devo) = world.own_receiver(ReceiverConfig::default()).await;
        receiver.script(vec![(Occurrence::Every, fault)]);
        world.store_secrets(&world.document(), &devo);
        let message = fails(&world, 602, deadline, &format!("{fault:?}")).await;
        receiver.script(Vec::new());
        recovers(&world, &message).await;
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_end_of_stream_is_as_good_as_a_close_notify() {
    let world = world().await;
    let config = ReceiverConfig { close_answer: CloseAnswer::BareFin, ..ReceiverConfig::default() };
    let (receiver, devo) = world.own_receiver(config).await;
    world.store_secrets(&world.document(), &devo);
    assert_eq!(world.tick().await["delivered"], RECORDS);
    assert!(receiver.violations().is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_gzip_members_of_complete_lines_or_plain_lines_as_the_secret_says() {
    for (compression, has_members) in [("gzip", true), ("none", false)] {
        let world = world().await;
        let (receiver, mut devo) = world.own_receiver(ReceiverConfig::default()).await;
        devo["compression"] = json!(compression);
        world.store_secrets(&world.document(), &devo);
        assert_eq!(world.tick().await["delivered"], RECORDS);
        let connections = receiver.connections();
        assert_eq!(connections.len(), 1);
        assert_eq!(connections[0].gzip_members > 0, has_members, "{compression}");
        assert!(receiver.violations().is_empty(), "{:?}", receiver.violations());
        assert!(receiver.events().iter().all(|event| event.host == world.service.function));
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cycle_tells_its_statistics_in_the_vendors_words_and_counts_its_messages() {
    let world = world().await;
    let answer = world.tick().await;
    let pulling_id = answer["devo_pulling_id"].as_str().unwrap();
    let beginning = format!(
        "Statistics for this pull cycle (@devo_pulling_id={pulling_id}):Number of requests made: 1; \
         Number of events received: {RECORDS}; Number of duplicated events filtered out: 0; \
         Number of events generated and sent: {RECORDS}; Average of events per second: "
    );
    let story = world.story();
    let told: Vec<&(String, String)> =
        story.iter().filter(|(_, text)| text.starts_with(&beginning)).collect();
    assert_eq!(told.len(), 1, "{story:?}");
    assert_eq!(told[0].0, "devo.collectors.out.local.info");
    let arrivals = world.arrivals();
    let lines: Vec<Value> =
        arrivals.iter().filter(|arrival| arrival.is_story()).map(|arrival| arrival.json()).collect();
    for line in lines.iter().filter(|line| line.get("msg").is_some()) {
        assert_eq!(line["input_name"], world.service.input);
        assert_eq!(line["service_name"], world.service.name);
        let image = format!("{}:{}", world.service.input, line["collector_version"].as_str().unwrap());
        assert_eq!(line["collector_image"], image);
    }
    let metrics: Vec<&Value> = lines.iter().filter(|line| line.get("msg_sent").is_some()).collect();
    assert_eq!(metrics.len(), 1, "{lines:?}");
    assert_eq!(metrics[0]["msg_sent"]["part_counter"], RECORDS);
    let texts: Vec<String> =
        world.records().iter().map(|arrival| contract::record_of(&arrival.message)).collect();
    assert_eq!(texts.len(), usize::try_from(RECORDS).unwrap());
    world.close().await;
}
