//! A server that answers by script, byte by byte as the script says, and remembers what it was asked.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    KeepOpen,
    Close,
    Silence,
}

/// One answer of a script, bytes as they go over the wire.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    end: End,
}

impl Reply {
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Self { bytes: [head.as_bytes(), body].concat(), end: End::KeepOpen }
    }

    pub fn page(records: &[&str], next: Option<&str>) -> Self {
        Self::new(200, &[("content-type", "application/json")], page_body(records, next))
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
        Self::new(status, &[("request-id", "r-1")], body)
    }

    pub fn token(token: &str) -> Self {
        let body = serde_json::json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token})
            .to_string();
        Self::new(200, &[], body)
    }

    /// The answer without its last bytes; then the connection ends.
    pub fn cut_by(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self.end = End::Close;
        self
    }

    /// A content blob, or any other body that is no page.
    pub fn body(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, &[("content-type", "application/json")], body)
    }

    /// A body in pieces of so many bytes, its length not said before.
    pub fn chunked(body: impl AsRef<[u8]>, piece: usize) -> Self {
        let mut bytes = b"HTTP/1.1 200 Status\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for piece in body.as_ref().chunks(piece) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        Self { bytes, end: End::KeepOpen }
    }

    /// The answer without its last bytes; then nothing more comes.
    pub fn stalled_by(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - bytes);
        self.end = End::Silence;
        self
    }

    /// No answer, the connection ends.
    pub fn hang_up() -> Self {
        Self { bytes: Vec::new(), end: End::Close }
    }

    /// No answer, and the connection stays.
    pub fn silence() -> Self {
        Self { bytes: Vec::new(), end: End::Silence }
    }
}

pub fn page_body(records: &[&str], next: Option<&str>) -> String {
    let link = next.map(|link| format!(r#","@odata.nextLink":"{link}""#)).unwrap_or_default();
    format!(r#"{{"@odata.context":"x","value":[{}]{link}}}"#, records.join(","))
}

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    pub fn form(&self, field: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.body.as_bytes());
        pairs.into_iter().find(|(key, _)| key == field).map(|(_, value)| value.into_owned())
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    /// Answers to requests whose first line contains a word, in order; the last one stays.
    routes: Vec<(String, VecDeque<Reply>)>,
    seen: Vec<Seen>,
}

/// A server that answers by script. A request beyond the script is answered 418.
pub struct Server {
    pub url: String,
    script: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, script, task }
    }

    pub fn answers(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().replies.extend(replies);
    }

    /// What is answered to requests whose first line contains the word, in order; the last answer stays.
    pub fn answers_to(&self, word: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut script = self.script.lock().unwrap();
        script.routes.retain(|(known, _)| known != word);
        script.routes.push((word.to_owned(), replies.into_iter().collect()));
    }

    /// How many requests had the word in their first line.
    pub fn count_of(&self, word: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line().contains(word)).count()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.script.lock().unwrap().seen.len()
    }

    /// The port changes with every run; snapshots must not.
    pub fn without_port(&self, text: &str) -> String {
        let address = self.url.trim_start_matches("http://");
        text.replace(address, "HOST")
            .replace(concat!("collector/", env!("CARGO_PKG_VERSION")), "collector/VERSION")
    }
}

impl Script {
    fn reply_to(&mut self, line: &str) -> Reply {
        let route = self.routes.iter_mut().find(|(word, _)| line.contains(word.as_str()));
        let reply = match route {
            Some((_, replies)) if replies.len() == 1 => replies.front().cloned(),
            Some((_, replies)) => replies.pop_front(),
            None => self.replies.pop_front(),
        };
        reply.unwrap_or_else(|| Reply::new(418, &[], "the script is over"))
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    while let Some(request) = read_request(&mut stream).await {
        let reply = {
            let mut script = script.lock().unwrap();
            let reply = script.reply_to(request.line());
            script.seen.push(request);
            reply
        };
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
        match reply.end {
            End::KeepOpen => {}
            End::Close => return,
            End::Silence => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(position) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break position + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap().replace("\r\n", "\n");
    let mut seen = Seen { head: head.trim_end().to_owned(), body: String::new() };
    let length: usize = seen.header("content-length").map_or(0, |value| value.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = String::from_utf8(bytes[head_end..].to_vec()).unwrap();
    Some(seen)
}
