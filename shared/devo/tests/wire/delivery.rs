//! Batches that arrive, byte for byte, over connections that are opened ahead, replaced and tried again.

use std::io::Read;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use collector::error::{ErrorType, code};
use collector::ports::{Event, Sink};
use devo::frame::FrameWriter;
use devo::{Compression, DevoConfig, DevoSink, Timing, Transport, handshake};
use jiff::{SignedDuration, Timestamp};
use rustls::version::{TLS12, TLS13};

use crate::pki::{Domain, config};
use crate::receiver::{Receiver, Script};

/// No waiting for complaints, so that a test of something else is quick.
pub fn quick() -> Timing {
    Timing { first_look: Duration::ZERO, retry_pause: Duration::from_millis(1), ..Timing::default() }
}

pub fn sink(config: DevoConfig) -> DevoSink {
    DevoSink::with(config, quick(), Timestamp::now).unwrap()
}

pub fn soon() -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(20)
}

fn event(message: &[u8]) -> Event<'_> {
    Event { time: "2026-11-20T10:00:00Z".parse().unwrap(), tag: "my.app.test.plain", message }
}

/// Text that compresses, but not to nothing.
fn text(length: usize, seed: usize) -> Vec<u8> {
    const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";
    (0..length).map(|at| LETTERS[(at * 7 + at / 13 * seed) % LETTERS.len()]).collect()
}

/// Fills the sink with records of these lengths and gives the lines that must arrive.
pub fn fill(sink: &mut DevoSink, lengths: &[usize]) -> Vec<u8> {
    let mut writer = FrameWriter::new("unit");
    let mut lines = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let message = text(*length, index);
        let before = lines.len();
        writer.write(&event(&message), &mut lines);
        assert_eq!(sink.append(&event(&message)), lines.len() - before);
    }
    lines
}

pub fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut lines).unwrap();
    lines
}

#[tokio::test]
async fn every_line_arrives_over_tls_1_2_and_1_3_and_plain_tcp_packed_and_unpacked() {
    let domain = Domain::new();
    let transports = [
        (Some(domain.server_config(&[&TLS12])), Transport::Tls(domain.material())),
        (Some(domain.server_config(&[&TLS13])), Transport::Tls(domain.material())),
        (None, Transport::Plain),
    ];
    for (server, transport) in transports {
        for compression in [Compression::Gzip, Compression::None] {
            let mut receiver = Receiver::start(server.clone(), &[Script::Polite, Script::BareEnd]).await;
            let mut sink = sink(config(receiver.port, transport.clone(), compression));
            for lengths in [vec![1000; 3000], vec![7, 2_000_000, 0]] {
                let lines = fill(&mut sink, &lengths);
                let proof = sink.deliver(soon()).await.unwrap();
                let received = receiver.next().await;
                assert_eq!(proof.events, lengths.len() as u64);
                assert!(received.complete);
                let arrived = match compression {
                    Compression::Gzip => unpacked(&received.bytes),
                    Compression::None => received.bytes,
                };
                assert!(arrived == lines, "{compression:?}: {} of {} bytes", arrived.len(), lines.len());
            }
        }
    }
}

#[tokio::test]
async fn a_frame_on_the_wire_is_the_documented_line() {
    let mut receiver = Receiver::start(None, &[Script::Polite]).await;
    let mut sink = sink(config(receiver.port, Transport::Plain, Compression::None));
    sink.append(&event("{\"m\":\"h\u{e9}llo\"}".as_bytes()));
    sink.append(&event(b"a\nb\r\0c"));
    _ = sink.deliver(soon()).await.unwrap();
    let expected = "<14>Nov 20 10:00:00 unit my.app.test.plain: {\"m\":\"h\u{e9}llo\"}\n\
                    <14>Nov 20 10:00:00 unit my.app.test.plain: a b  c\n";
    assert_eq!(String::from_utf8(receiver.next().await.bytes).unwrap(), expected);
}

#[tokio::test]
async fn an_empty_batch_opens_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut sink = sink(config(listener.local_addr().unwrap().port(), Transport::Plain, Compression::Gzip));
    assert_eq!(sink.deliver(soon()).await.unwrap().events, 0);
    fill(&mut sink, &[100]);
    sink.discard();
    assert_eq!(sink.deliver(soon()).await.unwrap().events, 0);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_connection_opened_ahead_is_the_one_that_carries_the_batch() {
    let domain = Domain::new();
    let server = domain.server_config(&[&TLS13]);
    let mut receiver = Receiver::start(Some(server), &[Script::Polite]).await;
    let mut sink = sink(config(receiver.port, Transport::Tls(domain.material()), Compression::None));
    sink.prepare().await;
    sink.prepare().await;
    let lines = fill(&mut sink, &[10, 20]);
    _ = sink.deliver(soon()).await.unwrap();
    assert!(receiver.next().await.bytes == lines);
}

#[tokio::test]
async fn a_connection_opened_ahead_that_ended_meanwhile_is_replaced() {
    let domain = Domain::new();
    let server = domain.server_config(&[&TLS13]);
    for ending in [Script::CloseAt(0), Script::NotifyAt(0), Script::ResetAt(0)] {
        let mut receiver = Receiver::start(Some(server.clone()), &[ending, Script::Polite]).await;
        let mut sink = sink(config(receiver.port, Transport::Tls(domain.material()), Compression::None));
        sink.prepare().await;
        assert!(receiver.next().await.bytes.is_empty());
        let lines = fill(&mut sink, &[10, 20]);
        _ = sink.deliver(soon()).await.unwrap();
        assert!(receiver.next().await.bytes == lines);
    }
}

#[tokio::test]
async fn a_connection_opened_ahead_that_grew_old_is_replaced() {
    static SECONDS: AtomicI64 = AtomicI64::new(0);
    let clock = || Timestamp::from_second(1_763_632_800 + SECONDS.load(Ordering::Relaxed)).unwrap();
    for (age, used) in [(25, true), (26, false), (-1, false)] {
        let scripts = if used { [Script::Polite].as_slice() } else { &[Script::Polite, Script::Polite] };
        let mut receiver = Receiver::start(None, scripts).await;
        let configured = config(receiver.port, Transport::Plain, Compression::None);
        let mut sink = DevoSink::with(configured, quick(), clock).unwrap();
        SECONDS.store(0, Ordering::Relaxed);
        sink.prepare().await;
        SECONDS.store(age, Ordering::Relaxed);
        let lines = fill(&mut sink, &[10]);
        _ = sink.deliver(clock() + SignedDuration::from_secs(20)).await.unwrap();
        if !used {
            assert!(receiver.next().await.bytes.is_empty());
        }
        assert!(receiver.next().await.bytes == lines, "{age} seconds");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_is_tried_again() {
    let domain = Domain::new();
    let server = domain.server_config(&[&TLS13]);
    let scripts = [Script::DropAtOnce, Script::DropAtOnce, Script::DropAtOnce, Script::Polite];
    let mut receiver = Receiver::start(Some(server), &scripts).await;
    let mut sink = sink(config(receiver.port, Transport::Tls(domain.material()), Compression::None));
    let lines = fill(&mut sink, &[10]);
    _ = sink.deliver(soon()).await.unwrap();
    for _ in 0..3 {
        assert!(receiver.next().await.bytes.is_empty());
    }
    assert!(receiver.next().await.bytes == lines);
}

#[tokio::test]
async fn an_endpoint_that_is_away_is_named_in_the_error() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut sink = sink(config(closed, Transport::Plain, Compression::None));
    sink.prepare().await;
    fill(&mut sink, &[10]);
    let error = sink.deliver(soon()).await.unwrap_err();
    assert_eq!((error.error_type, error.code), (ErrorType::DeliveryError, code::UNREACHABLE));
    assert!(error.message.contains(&format!("127.0.0.1:{closed}")), "{error}");
    assert_eq!(sink.deliver(soon()).await.unwrap().events, 0, "the failed batch is gone");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_unreachable() {
    let domain = Domain::new();
    let receiver = Receiver::start(None, &[Script::Chatter(100); 4]).await;
    let configured = config(receiver.port, Transport::Tls(domain.material()), Compression::None);
    let error = handshake(&configured).await.unwrap_err();
    assert_eq!(error.code, code::UNREACHABLE, "{error}");
}

#[tokio::test]
async fn a_handshake_check_ships_nothing() {
    let domain = Domain::new();
    let mut receiver = Receiver::start(Some(domain.server_config(&[&TLS13])), &[Script::Polite]).await;
    let configured = config(receiver.port, Transport::Tls(domain.material()), Compression::Gzip);
    handshake(&configured).await.unwrap();
    let received = receiver.next().await;
    assert!(received.complete && received.bytes.is_empty());
}
