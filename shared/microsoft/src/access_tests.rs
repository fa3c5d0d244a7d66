//! Patience with an API that asks for it and does not say for how long.

use std::future::Future;
use std::pin::Pin;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::Instant;

use collector::settings::{Connection, Credential, RequestRate};
use jiff::SignedDuration;

use super::*;
use crate::client::{Proxy, build};
use crate::identity::Identity;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// Answers one request for each status, and gives the instants at which they came.
async fn server(statuses: Vec<u16>) -> (Url, Pin<Box<dyn Future<Output = Vec<Instant>> + Send>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/files/", listener.local_addr().unwrap()).parse().unwrap();
    let task = tokio::spawn(async move {
        let mut came = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.unwrap();
            came.push(Instant::now());
            let head = format!("HTTP/1.1 {status} S\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        came
    });
    (url, Box::pin(async { task.await.unwrap() }))
}

fn access(url: &Url) -> Access {
    let connection = Connection {
        base_url: url.to_string(),
        login_url: "https://login.example".to_owned(),
        scope: String::new(),
        tenant_id: "contoso".to_owned(),
        client_id: "client".to_owned(),
        credential: Credential::Token("t0ken".into()),
        publisher: String::new(),
    };
    let (identity, _) = Identity::load(&connection.credential, NOW).unwrap();
    let tuning = Tuning { throttle_base: Duration::from_millis(1), ..Tuning::default() };
    let kept = Kept {
        client: build(Proxy::Never).unwrap(),
        tuning,
        tokens: Tokens::new(&connection, identity).unwrap(),
        throttle: Throttle::new(RequestRate { requests: 1, per: SignedDuration::ZERO }),
        period: Duration::from_secs(300),
        notices: Notices::default(),
        largest_page: AtomicUsize::default(),
    };
    Access::new(Arc::new(kept), Arc::new(|| NOW))
}

async fn asked(
    access: &Access,
    url: &Url,
    unsaid_patience: Option<Duration>,
    seconds_left: i64,
) -> Result<(), Unanswered> {
    let ask = Ask {
        method: Method::POST,
        url,
        told_as: url.path(),
        headers: HeaderMap::new(),
        deadline: NOW + SignedDuration::from_secs(seconds_left),
        repeats: Repeats::Patient,
        unsaid_patience,
        body: Bytes::from_static(b"{}"),
        answer: Expected::Page,
    };
    access.ask(&ask, &mut Bytes::new(), |_| Ok(())).await.map(drop)
}

#[tokio::test]
async fn a_wait_that_the_api_leaves_unsaid_is_the_requests_own() {
    let patience = Duration::from_millis(150);
    let (url, came) = server(vec![429, 200]).await;
    assert!(asked(&access(&url), &url, Some(patience), 60).await.is_ok());
    let came = came.await;
    assert!(came[1] - came[0] >= patience, "{:?}", came[1] - came[0]);
}

#[tokio::test]
async fn an_unsaid_wait_that_would_reach_the_deadline_is_the_next_invocations() {
    let patience = Duration::from_secs(60);
    let (url, came) = server(vec![429]).await;
    let access = access(&url);
    match asked(&access, &url, Some(patience), 59).await {
        Err(Unanswered::Stopped(SourceError::Throttled { until })) => {
            let wait = until.duration_since(NOW);
            let (shortest, longest) = (SignedDuration::from_secs(60), SignedDuration::from_secs(75));
            assert!(wait >= shortest && wait <= longest, "{wait:?}");
            assert_eq!(access.waits_until(), Some(until), "whoever asks next is told the same");
        }
        Err(Unanswered::Stopped(other)) => panic!("{other:?}"),
        Err(Unanswered::Failed(failure)) => panic!("{failure:?}"),
        Ok(()) => panic!("there is no other answer"),
    }
    assert_eq!(came.await.len(), 1);
}

#[tokio::test]
async fn without_a_wait_of_the_request_the_usual_ones_are_kept() {
    let (url, came) = server(vec![429, 429, 200]).await;
    let begin = Instant::now();
    assert!(asked(&access(&url), &url, None, 60).await.is_ok());
    assert_eq!(came.await.len(), 3);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}
