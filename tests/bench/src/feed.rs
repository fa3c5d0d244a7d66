//! A content feed: the executable fetches blobs, many small ones or one that is huge.
//!
//! The API is another process: it says that the subscription is there, lists the blobs in pages, and gives each from
//! memory. Processor time and memory are the executable's own, as the kernel accounts for them.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use simulator::records::sized_audit_record;

use crate::child::{self, Role};
use crate::pages::Framing;
use crate::pipeline::Packing;
use crate::server::{Served, TOKEN, answer, next_request};
use crate::shipped::{Job, Usage};
use crate::{Outcome, shipped};

/// Blobs of one listing page.
const PAGE_BLOBS: usize = 100;
/// Many blobs of the natural size.
const MANY: Content = Content { blobs: 2_000, blob_records: 50 };
/// One blob of about 60 MB.
const HUGE: Content = Content { blobs: 1, blob_records: 54_000 };
/// Bytes of a record at the least.
const RECORD_BYTES: usize = 1_100;

const SUBSCRIBED: &str = "[{\"contentType\":\"Audit.Exchange\",\"status\":\"enabled\",\"webhook\":null}]";

/// What the feed holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Content {
    /// Blobs.
    pub blobs: usize,
    /// Records of each.
    pub blob_records: usize,
}

/// What the executable used.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What it fetched.
    pub content: Content,
    /// How the events were sent.
    pub packing: Packing,
    /// Processor time of the process, in microseconds a record.
    pub micros: f64,
    /// Its memory.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Measures the executable with both kinds of content and both ways of sending.
pub fn measure(artefact: &Path) -> Outcome<Vec<Finding>> {
    let each = |packing| [MANY, HUGE].map(|content| one(artefact, content, packing));
    [Packing::Plain, Packing::Gzip].into_iter().flat_map(each).collect()
}

fn one(artefact: &Path, content: Content, packing: Packing) -> Outcome<Finding> {
    let (_api, api): (_, Served) = child::start(Role::Feed, &content)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let records = content.blobs * content.blob_records;
    let job = Job {
        handler: "office365-exchange",
        input: "office365",
        service: "exchange",
        api,
        receiver,
        packing,
        rounds: 1,
        records,
    };
    let usage = shipped::run(artefact, &job)?;
    Ok(Finding { content, packing, micros: usage.cpu_micros / records as f64, usage })
}

/// Serves the feed until the process ends.
pub fn serve(content: Content) -> Outcome<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let created = Timestamp::now() - SignedDuration::from_hours(2);
    let blobs: Vec<Vec<u8>> =
        (0..content.blobs).map(|number| answer(&blob(content, number, created), Framing::Chunks)).collect();
    let pages: Vec<Vec<u8>> = (0..content.blobs.div_ceil(PAGE_BLOBS))
        .map(|number| listing(content, number, &base_url, created))
        .collect();
    let feed = Arc::new(Feed { blobs, pages });
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let feed = Arc::clone(&feed);
            // A client that leaves ends its thread, and nothing else.
            thread::spawn(move || _ = feed.converse(socket));
        }
    });
    Ok(Served { base_url })
}

struct Feed {
    blobs: Vec<Vec<u8>>,
    pages: Vec<Vec<u8>>,
}

impl Feed {
    fn converse(&self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let login = answer(TOKEN.as_bytes(), Framing::Length);
        let subscribed = answer(SUBSCRIBED.as_bytes(), Framing::Length);
        let mut heard = Vec::new();
        while let Some(request) = next_request(&mut socket, &mut heard)? {
            let reply = if request.starts_with("POST ") {
                Some(&login)
            } else if request.contains("/subscriptions/list") {
                Some(&subscribed)
            } else if let Some(number) = number_after(&request, "/audit/blob") {
                self.blobs.get(number)
            } else {
                self.pages.get(number_after(&request, "nextpage=").unwrap_or(0))
            };
            socket.write_all(reply.ok_or(io::ErrorKind::NotFound)?)?;
        }
        Ok(())
    }
}

fn number_after(request: &str, mark: &str) -> Option<usize> {
    let (_, rest) = request.split_once(mark)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn blob(content: Content, number: usize, created: Timestamp) -> Vec<u8> {
    let mut body = String::from("[");
    for index in number * content.blob_records..(number + 1) * content.blob_records {
        if !body.ends_with('[') {
            body.push(',');
        }
        let behind = SignedDuration::from_secs(i64::try_from(index % 3_000).unwrap_or(0));
        body.push_str(&sized_audit_record(index as u64, created - behind, "Exchange", RECORD_BYTES));
    }
    body.push(']');
    body.into_bytes()
}

fn listing(content: Content, page: usize, base_url: &str, created: Timestamp) -> Vec<u8> {
    let root = format!("{base_url}/api/v1.0/{}/activity/feed", shipped::TENANT);
    let last = ((page + 1) * PAGE_BLOBS).min(content.blobs);
    let entries: Vec<String> = (page * PAGE_BLOBS..last)
        .map(|number| {
            format!(
                "{{\"contentType\":\"Audit.Exchange\",\"contentId\":\"blob{number}\",\
                 \"contentUri\":\"{root}/audit/blob{number}\",\"contentCreated\":\"{created}\",\
                 \"contentExpiration\":\"{}\"}}",
                created + SignedDuration::from_hours(7 * 24)
            )
        })
        .collect();
    let body = format!("[{}]", entries.join(","));
    let mut head = String::from("HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n");
    if last < content.blobs {
        head.push_str(&format!("NextPageUri: {root}/subscriptions/content?nextpage={}\r\n", page + 1));
    }
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
