//! Certificates that one of the two sides refuses, and the certificates that are accepted.

use std::time::Duration;

use collector::error::{ErrorType, code};
use collector::outlook::Purpose;
use collector::ports::Sink;
use devo::{Compression, DevoSink, Timing, TlsMaterial, Transport, handshake};
use jiff::Timestamp;
use rustls::version::{TLS12, TLS13};

use crate::delivery::{fill, quick, sink, soon};
use crate::pki::{
    Domain, Leaf, authority, authority_under, authority_until, client, client_until, config, material,
    server, server_config,
};
use crate::receiver::{Receiver, Script};

/// Long enough for a complaint to arrive on a busy machine; it ends the wait at once.
fn patient() -> Timing {
    Timing { first_look: Duration::from_secs(10), ..quick() }
}

fn long_ago() -> Timestamp {
    "2010-01-01T00:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn a_refused_certificate_is_noticed_before_the_first_byte() {
    let domain = Domain::new();
    let foreign = client(&authority("foreign authority"));
    let expired = client_until(&domain.authority, 2020);
    for version in [&TLS12, &TLS13] {
        for (case, leaf) in [("foreign", &foreign), ("expired", &expired)] {
            let server = domain.server_config(&[version]);
            let mut receiver = Receiver::start(Some(server), &[Script::Polite; 2]).await;
            let transport = Transport::Tls(material(&domain.authority.pem(), leaf));
            let configured = config(receiver.port, transport, Compression::None);
            let mut sink = DevoSink::with(configured, patient(), long_ago).unwrap();
            sink.prepare().await;
            assert!(receiver.next().await.refused.is_some());
            fill(&mut sink, &[10]);
            let deadline = "2010-01-01T00:00:20Z".parse().unwrap();
            let error = sink.deliver(deadline).await.unwrap_err();
            assert_eq!(
                (error.error_type, error.code),
                (ErrorType::DeliveryError, code::CERTIFICATE),
                "{case}"
            );
            assert!(error.message.contains("refuses the client certificate"), "{error}");
            let received = receiver.next().await;
            assert!(received.refused.is_some() && received.bytes.is_empty(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_refused_certificate_is_told_from_a_broken_stream_while_writing() {
    let domain = Domain::new();
    let foreign = client(&authority("foreign authority"));
    let receiver = Receiver::start(Some(domain.server_config(&[&TLS13])), &[Script::Polite]).await;
    let transport = Transport::Tls(material(&domain.authority.pem(), &foreign));
    let mut sink = sink(config(receiver.port, transport, Compression::None));
    fill(&mut sink, &[1_000_000; 10]);
    let error = sink.deliver(soon()).await.unwrap_err();
    assert_eq!(error.code, code::CERTIFICATE, "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_without_a_connection() {
    let domain = Domain::new();
    let expired = client_until(&domain.authority, 2020);
    let configured =
        config(9, Transport::Tls(material(&domain.authority.pem(), &expired)), Compression::None);
    let error = DevoSink::new(configured.clone()).unwrap_err();
    assert_eq!((error.error_type, error.code), (ErrorType::DeliveryError, code::CERTIFICATE));
    assert!(error.message.contains("expired at 2020-01-02T00:00:00Z"), "{error}");
    assert_eq!(handshake(&configured).await.unwrap_err(), error);
}

#[test]
fn a_certificate_that_is_not_valid_yet_is_warned_of() {
    let domain = Domain::new();
    let leaf = client_until(&domain.authority, 2030);
    type Case = (fn() -> Timestamp, Option<&'static str>);
    let clocks: [Case; 3] = [
        (|| "2000-01-01T00:00:00Z".parse().unwrap(), None),
        (|| "2030-01-02T00:00:00Z".parse().unwrap(), None),
        (|| "1999-12-31T00:00:00Z".parse().unwrap(), Some("not valid before 2000-01-01T00:00:00Z")),
    ];
    for (clock, expected) in clocks {
        let transport = Transport::Tls(material(&domain.authority.pem(), &leaf));
        let sink = DevoSink::with(config(9, transport, Compression::None), quick(), clock).unwrap();
        let warnings = sink.warnings();
        assert_eq!(warnings.len(), usize::from(expected.is_some()));
        assert!(expected.is_none_or(|words| warnings[0].contains(words)), "{warnings:?}");
    }
}

#[test]
fn the_certificate_that_ends_first_on_the_way_to_the_root_is_known_also_when_it_has_ended() {
    let root = authority_until("root", 2060, None);
    let issuer = authority_until("issuer", 2040, Some(&root));
    let replaced = authority_until("replaced", 2001, None);
    let chain = format!("{}{}{}", replaced.pem(), issuer.pem(), root.pem());
    let of = |chain: &str, leaf: &Leaf| {
        let found = config(9, Transport::Tls(material(chain, leaf)), Compression::None).certificate();
        found.map(|its| (its.purpose, its.ends_at.to_string()))
    };
    let with_issuer = |year| {
        let leaf = client_until(&issuer, year);
        Leaf { cert: format!("{}{}", leaf.cert, issuer.pem()), ..leaf }
    };
    let own = |year: i32| Some((Purpose::Devo, format!("{year}-01-02T00:00:00Z")));
    let of_issuer = |year: i32| Some((Purpose::IssuerForDevo, format!("{year}-01-02T00:00:00Z")));
    let table = [
        (of(&chain, &client_until(&issuer, 2030)), own(2030)),
        (of(&chain, &client_until(&issuer, 2020)), own(2020)),
        (of(&chain, &client_until(&issuer, 2050)), of_issuer(2040)),
        (of(&root.pem(), &with_issuer(2050)), of_issuer(2040)),
        (of(&root.pem(), &client_until(&root, 2070)), of_issuer(2060)),
        // What is above the certificate is not known, or not a certificate.
        (of(&replaced.pem(), &client_until(&issuer, 2050)), own(2050)),
        (of("hunter2", &client_until(&issuer, 2050)), own(2050)),
        (of(&chain, &Leaf { cert: "hunter2".to_owned(), ..client(&issuer) }), None),
    ];
    for (number, (found, expected)) in table.into_iter().enumerate() {
        assert_eq!(found, expected, "case {number}");
    }
    assert_eq!(config(9, Transport::Plain, Compression::None).certificate(), None);
}

#[tokio::test]
async fn only_a_server_that_chain_vouches_for_under_its_name_is_trusted() {
    let domain = Domain::new();
    let elsewhere = authority("elsewhere");
    let named = server(&domain.authority, &["127.0.0.1"]);
    let otherwise_named = server(&domain.authority, &["collector.example"]);
    let foreign = server(&elsewhere, &["127.0.0.1"]);
    let foreign_name = server(&elsewhere, &["collector.example"]);
    let cases = [
        (&named, true, None),
        (&named, false, None),
        (&otherwise_named, true, Some("another name")),
        (&otherwise_named, false, None),
        (&foreign, true, Some("no certificate in `chain`")),
        (&foreign, false, Some("no certificate in `chain`")),
        (&foreign_name, false, Some("no certificate in `chain`")),
    ];
    for version in [&TLS12, &TLS13] {
        for (identity, verify_hostname, expected) in cases {
            let server = server_config(identity, &domain.authority, &[version]);
            let receiver = Receiver::start(Some(server), &[Script::Polite]).await;
            let transport = Transport::Tls(TlsMaterial { verify_hostname, ..domain.material() });
            let mut sink = sink(config(receiver.port, transport, Compression::None));
            fill(&mut sink, &[10]);
            match (sink.deliver(soon()).await, expected) {
                (Ok(proof), None) => assert_eq!(proof.events, 1),
                (Err(error), Some(words)) => {
                    assert_eq!(error.code, code::CERTIFICATE);
                    assert!(error.message.contains(words), "{error}");
                }
                (outcome, _) => panic!("{expected:?}: {outcome:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_sent_with_the_issuers_that_chain_holds() {
    let root = authority("root");
    let upper = authority_under("upper", &root);
    let lower = authority_under("lower", &upper);
    let leaf = client(&lower);
    let chain = format!("{}{}{}", lower.pem(), root.pem(), upper.pem());
    let server = server_config(&server(&root, &["127.0.0.1"]), &root, &[&TLS13]);
    let mut receiver = Receiver::start(Some(server), &[Script::Polite]).await;
    let configured = config(receiver.port, Transport::Tls(material(&chain, &leaf)), Compression::None);
    handshake(&configured).await.unwrap();
    assert_eq!(receiver.next().await.refused, None);
}
