//! The ends of a stream, and which of them prove a delivery.

use std::sync::Arc;

use collector::error::{ErrorType, code};
use collector::ports::Sink;
use devo::{Compression, Transport};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

use crate::delivery::{fill, sink, soon};
use crate::pki::{Domain, config};
use crate::receiver::{Receiver, Script};

/// What a server speaks, and what the client shall speak to it.
type Pair = (Option<Arc<ServerConfig>>, Transport);

/// The three transports, each with its server.
fn transports(domain: &Domain) -> [Pair; 3] {
    [
        (Some(domain.server_config(&[&TLS12])), Transport::Tls(domain.material())),
        (Some(domain.server_config(&[&TLS13])), Transport::Tls(domain.material())),
        (None, Transport::Plain),
    ]
}

#[tokio::test]
async fn every_end_that_follows_ours_is_a_proof() {
    let domain = Domain::new();
    for (server, transport) in transports(&domain) {
        for script in [Script::Polite, Script::BareEnd, Script::NotifyAlone, Script::Chatter(5000)] {
            if server.is_none() && script == Script::NotifyAlone {
                continue;
            }
            let mut receiver = Receiver::start(server.clone(), &[script]).await;
            let mut sink = sink(config(receiver.port, transport.clone(), Compression::None));
            let lines = fill(&mut sink, &[100, 40_000]);
            _ = sink.deliver(soon()).await.unwrap();
            assert!(receiver.next().await.bytes == lines, "{script:?}");
        }
    }
}

#[tokio::test]
async fn an_end_that_proves_nothing_is_an_error_that_says_which() {
    let domain = Domain::new();
    let cases = [
        (Script::ResetAtEnd, "with a reset"),
        (Script::KeepOpen, "not closed by server"),
        (Script::Deaf, "too slow"),
        (Script::CloseAt(300_000), "Connection closed by server"),
        (Script::NotifyAt(300_000), "Connection closed by server"),
        (Script::ResetAt(300_000), "Connection closed by server"),
        (Script::Chatter(1_000_000), "sends data"),
    ];
    for (server, transport) in transports(&domain) {
        for (script, words) in cases {
            let receiver = Receiver::start(server.clone(), &[script]).await;
            let mut sink = sink(config(receiver.port, transport.clone(), Compression::None));
            fill(&mut sink, &[1_000_000; 14]);
            let patience = match script {
                Script::KeepOpen | Script::Deaf => SignedDuration::from_millis(700),
                _ => SignedDuration::from_secs(20),
            };
            let error = sink.deliver(Timestamp::now() + patience).await.unwrap_err();
            assert_eq!(
                (error.error_type, error.code),
                (ErrorType::DeliveryError, code::NOT_CLOSED),
                "{script:?}"
            );
            assert!(error.message.contains(words), "{script:?}: {error}");
            assert!(error.message.contains(&format!("127.0.0.1:{}", receiver.port)), "{error}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_failed_is_not_sent_with_the_next_one() {
    let domain = Domain::new();
    let server = domain.server_config(&[&TLS13]);
    let mut receiver = Receiver::start(Some(server), &[Script::ResetAt(0), Script::Polite]).await;
    let mut sink = sink(config(receiver.port, Transport::Tls(domain.material()), Compression::None));
    fill(&mut sink, &[1_000_000; 8]);
    _ = sink.deliver(soon()).await.unwrap_err();
    receiver.next().await;
    let lines = fill(&mut sink, &[17]);
    assert_eq!(sink.deliver(soon()).await.unwrap().events, 1);
    assert!(receiver.next().await.bytes == lines);
}

#[tokio::test]
async fn an_end_that_meets_bytes_under_way_is_no_proof() {
    for _ in 0..50 {
        let receiver = Receiver::start(None, &[Script::EndUnread]).await;
        let mut sink = sink(config(receiver.port, Transport::Plain, Compression::None));
        fill(&mut sink, &[100_000]);
        let error = sink.deliver(soon()).await.unwrap_err();
        assert_eq!(error.code, code::NOT_CLOSED, "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn what_is_called_delivered_was_read_to_its_last_byte(
        kind in 0_usize..3,
        transport in 0_usize..3,
        lengths in proptest::collection::vec(prop_oneof![0_usize..300, 1000_usize..30_000], 1..6),
        place in prop_oneof![0_usize..400, 0_usize..120_000],
        from_end in any::<bool>(),
    ) {
        thread_local!(static DOMAIN: Domain = Domain::new());
        let (server, transport) = DOMAIN.with(|domain| transports(domain)[transport].clone());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            let size: usize = lengths.iter().sum();
            let at = if from_end { size.saturating_sub(place) + lengths.len() * 43 } else { place };
            let script = [Script::CloseAt(at), Script::NotifyAt(at), Script::ResetAt(at)][kind];
            let mut receiver = Receiver::start(server, &[script]).await;
            let mut sink = sink(config(receiver.port, transport, Compression::None));
            let lines = fill(&mut sink, &lengths);
            let delivered = sink.deliver(soon()).await;
            let received = receiver.next().await;
            (delivered, received, lines, script)
        });
        let (delivered, received, lines, script) = outcome;
        match delivered {
            Ok(_) => prop_assert!(received.bytes == lines, "{script:?}: {} of {} bytes", received.bytes.len(), lines.len()),
            Err(error) => prop_assert_eq!(error.code, code::NOT_CLOSED, "{}", error),
        }
    }
}
