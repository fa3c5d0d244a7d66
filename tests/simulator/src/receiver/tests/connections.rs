//! Connections over real sockets: who is let in, how ends are told apart, what the script does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::receiver::{
    CloseAnswer, ConnectionEnd, ConnectionFault, Identity, Occurrence, Receiver, ReceiverConfig, TlsVersions,
    Transport, Violation,
};

const LINE: &[u8] = b"<14>Nov 20 10:00:00 host my.app.test: {\"n\":1}\n";

async fn start(transport: Transport, close_answer: CloseAnswer) -> Receiver {
    Receiver::start(ReceiverConfig { transport, close_answer, ..ReceiverConfig::default() }).await.unwrap()
}

async fn tls(versions: TlsVersions) -> Receiver {
    let server_names = vec!["localhost".to_owned()];
    start(Transport::MutualTls { server_names, versions }, CloseAnswer::CloseNotify).await
}

async fn connect(receiver: &Receiver, client: Option<&Identity>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(receiver.pki().unwrap().chain_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.private_key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let stream = TcpStream::connect(receiver.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Waits until the connection of that number has ended.
async fn ended(receiver: &Receiver, number: usize) -> ConnectionEnd {
    let end = |receiver: &Receiver| receiver.connections().get(number - 1).and_then(|seen| seen.end.clone());
    receiver.wait_until(|receiver| end(receiver).is_some()).await;
    end(receiver).unwrap()
}

async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<usize> {
    stream.read_to_end(&mut Vec::new()).await
}

#[tokio::test]
async fn a_clean_stream_is_received_and_its_end_answered() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13, TlsVersions::Both] {
        let receiver = tls(versions).await;
        let mut stream = connect(&receiver, Some(&receiver.pki().unwrap().client)).await.unwrap();
        stream.write_all(&LINE.repeat(2)).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut stream).await.unwrap(), 0, "close_notify was answered");
        let seen = receiver.connections().pop().unwrap();
        assert_eq!(
            (seen.events, seen.bytes, seen.end),
            (2, 2 * LINE.len() as u64, Some(ConnectionEnd::CloseNotify))
        );
        assert_eq!(seen.client.as_deref(), Some("CN=domain client"));
        assert_eq!(receiver.messages_by_tag()["my.app.test"], [b"{\"n\":1}".as_slice(); 2]);
        assert_eq!(receiver.events()[0].json(), Some(json!({ "n": 1 })));
        assert!(receiver.violations().is_empty());
    }
}

#[tokio::test]
async fn clients_without_the_right_certificate_are_refused() {
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        let receiver = tls(versions).await;
        let pki = receiver.pki().unwrap().clone();
        for client in [Some(&pki.foreign_client), Some(&pki.expired_client), None] {
            let refused = match connect(&receiver, client).await {
                // TLS 1.3: the handshake looks good, the alert comes afterwards.
                Ok(mut stream) => {
                    assert_eq!(versions, TlsVersions::Only13);
                    read_to_end(&mut stream).await.map(|_| ())
                }
                Err(error) => Err(error),
            };
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidData, "an alert, no mere end");
        }
        let failed = |seen: &crate::receiver::ConnectionSeen| {
            matches!(seen.end, Some(ConnectionEnd::HandshakeFailed(_)))
        };
        receiver.wait_until(|receiver| receiver.connections().iter().all(failed)).await;
        assert_eq!(receiver.connections().len(), 3);
    }
}

#[tokio::test]
async fn the_script_refuses_even_the_right_certificate() {
    let receiver = tls(TlsVersions::Only13).await;
    receiver.script(vec![(Occurrence::Nth(2), ConnectionFault::RefuseCertificate)]);
    let client = receiver.pki().unwrap().client.clone();
    for refused in [false, true, false] {
        let mut stream = connect(&receiver, Some(&client)).await.unwrap();
        // Nothing is written: an end or an alert is all that can come.
        stream.get_mut().0.shutdown().await.unwrap();
        assert_eq!(
            read_to_end(&mut stream).await.is_err_and(|error| error.to_string().contains("Revoked")),
            refused
        );
    }
}

#[tokio::test]
async fn the_ends_of_a_stream_are_told_apart() {
    let receiver = tls(TlsVersions::Both).await;
    let client = receiver.pki().unwrap().client.clone();
    let mut fin = connect(&receiver, Some(&client)).await.unwrap();
    fin.write_all(LINE).await.unwrap();
    fin.flush().await.unwrap();
    fin.get_mut().0.shutdown().await.unwrap();
    assert_eq!(ended(&receiver, 1).await, ConnectionEnd::Fin);

    let mut reset = connect(&receiver, Some(&client)).await.unwrap();
    reset.write_all(&LINE[..LINE.len() - 1]).await.unwrap();
    reset.flush().await.unwrap();
    receiver.wait_until(|receiver| receiver.connections()[1].bytes > 0).await;
    reset.get_ref().0.set_zero_linger().unwrap();
    drop(reset);
    assert_eq!(ended(&receiver, 2).await, ConnectionEnd::Reset);
    assert_eq!(receiver.event_count(), 1);
    assert_eq!(receiver.violations(), [(2, Violation::IncompleteLine)]);
}

/// Sends a line and half-closes; what the client then reads.
async fn close_answered(
    transport: Transport,
    close_answer: CloseAnswer,
) -> Result<usize, std::io::ErrorKind> {
    let receiver = start(transport, close_answer).await;
    let outcome = match receiver.pki() {
        Some(pki) => send_and_close(connect(&receiver, Some(&pki.client)).await.unwrap()).await,
        None => send_and_close(TcpStream::connect(receiver.address()).await.unwrap()).await,
    };
    outcome.map_err(|error| error.kind())
}

async fn send_and_close(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> std::io::Result<usize> {
    stream.write_all(LINE).await?;
    stream.shutdown().await?;
    read_to_end(&mut stream).await
}

#[tokio::test]
async fn the_end_is_answered_as_configured() {
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    let mutual = Transport::mutual_tls;
    for (transport, close_answer, expected) in [
        (mutual(), CloseAnswer::CloseNotify, Ok(0)),
        (mutual(), CloseAnswer::BareFin, Err(UnexpectedEof)),
        (mutual(), CloseAnswer::Reset, Err(ConnectionReset)),
        (Transport::Plain, CloseAnswer::CloseNotify, Ok(0)),
        (Transport::Plain, CloseAnswer::BareFin, Ok(0)),
        (Transport::Plain, CloseAnswer::Reset, Err(ConnectionReset)),
    ] {
        assert_eq!(close_answered(transport, close_answer).await, expected, "{close_answer:?}");
    }
}

#[tokio::test]
async fn an_end_that_is_never_answered_hangs_until_the_receiver_stops() {
    let receiver = start(Transport::Plain, CloseAnswer::Never).await;
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(LINE).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(ended(&receiver, 1).await, ConnectionEnd::Fin);
    assert_eq!(stream.try_read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    receiver.stop();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), 0);
    assert_eq!(receiver.event_count(), 1, "what was received stays known");
}

#[tokio::test]
async fn a_script_ends_resets_or_stalls_behind_exactly_that_byte() {
    let receiver = start(Transport::Plain, CloseAnswer::CloseNotify).await;
    let half = LINE.len() as u64 + 10;
    for (number, (fault, reads)) in (1..).zip([
        (ConnectionFault::CloseAfter { bytes: half }, Some(Ok(0))),
        (ConnectionFault::ResetAfter { bytes: half }, Some(Err(std::io::ErrorKind::ConnectionReset))),
        (ConnectionFault::StopReadingAfter { bytes: half }, None),
        (ConnectionFault::CloseAfter { bytes: 0 }, Some(Ok(0))),
    ]) {
        receiver.script(vec![(Occurrence::First(1), fault)]);
        let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
        stream.write_all(&LINE.repeat(3)).await.unwrap();
        assert_eq!(ended(&receiver, number).await, ConnectionEnd::Scripted);
        if let Some(expected) = reads {
            assert_eq!(read_to_end(&mut stream).await.map_err(|error| error.kind()), expected, "{fault:?}");
        }
        let seen = receiver.connections().pop().unwrap();
        assert_eq!(Some(seen.bytes), fault.limit(), "{fault:?}");
        assert_eq!(seen.events, seen.bytes / LINE.len() as u64);
    }
}

#[tokio::test]
async fn hooks_are_called_at_their_byte_and_for_every_event() {
    let receiver = start(Transport::Plain, CloseAnswer::CloseNotify).await;
    let (sender, told) = mpsc::channel();
    let events = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&events);
    receiver.on_event(move |event| {
        assert_eq!(event.host, "host");
        counted.fetch_add(1, Ordering::SeqCst);
    });
    for bytes in [0, 5, LINE.len() as u64] {
        let (sender, journal) = (sender.clone(), receiver.clone());
        receiver.on_byte(bytes, move || sender.send((bytes, journal.event_count())).unwrap());
    }
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream.write_all(&LINE.repeat(2)).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), 0);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(0, 0), (5, 0), (LINE.len() as u64, 1)]);
    assert_eq!(events.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn events_are_copied_to_a_file_with_their_messages_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.jsonl");
    let config = ReceiverConfig {
        transport: Transport::Plain,
        copy_to: Some(path.clone()),
        ..ReceiverConfig::default()
    };
    let receiver = Receiver::start(config).await.unwrap();
    let mut stream = TcpStream::connect(receiver.address()).await.unwrap();
    stream
        .write_all(b"<14>Nov 20 10:00:00 h a.b: { \"n\":1.0 }\n<14>Nov 20 10:00:00 h a.b: no \"json\"\nbad\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    read_to_end(&mut stream).await.unwrap();
    let copied = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        copied,
        "{\"tag\":\"a.b\",\"host\":\"h\",\"date\":\"Nov 20 10:00:00\",\"message\":{ \"n\":1.0 }}\n\
         {\"tag\":\"a.b\",\"host\":\"h\",\"date\":\"Nov 20 10:00:00\",\"message\":\"no \\\"json\\\"\"}\n"
    );
    assert_eq!(receiver.copy_error(), None);
    assert_eq!(
        receiver.violations(),
        [(1, Violation::BadHeader("the priority is not <14>", "bad".to_owned()))]
    );
}
