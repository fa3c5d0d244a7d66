//! A wire in front of a server: it counts requests, and it can lose answers or give its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a wire does to the answers of the server behind it.
#[derive(Clone, Copy)]
pub enum Wire {
    /// Nothing.
    Counts,
    /// The first that many answers are swallowed after the request was played, and the connection is cut.
    LosesAnswers(usize),
    /// The first that many requests are answered by the wire itself, with this DynamoDB error.
    Answers(usize, &'static str),
}

/// A wire to the server at this address; gives its own address and the number of requests it saw.
pub async fn wire(server: &str, wire: Wire) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let server = server.to_owned();
    tokio::spawn(async move {
        loop {
            let Ok((client, _)) = listener.accept().await else { return };
            tokio::spawn(carry(client, server.clone(), wire, Arc::clone(&counter)));
        }
    });
    (address, seen)
}

/// Carries requests of one connection until the wire cuts it.
async fn carry(mut client: TcpStream, server: String, wire: Wire, seen: Arc<AtomicUsize>) {
    let mut upstream = TcpStream::connect(server).await.unwrap();
    while let Some(request) = read_message(&mut client).await {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        if let Wire::Answers(count, name) = wire
            && number < count
        {
            let error =
                json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": "slow"});
            client.write_all(&answer(400, &error.to_string())).await.unwrap();
            continue;
        }
        upstream.write_all(&request).await.unwrap();
        let given = read_message(&mut upstream).await.unwrap();
        if let Wire::LosesAnswers(count) = wire
            && number < count
        {
            return;
        }
        client.write_all(&given).await.unwrap();
    }
}

/// An HTTP answer with this JSON body.
pub fn answer(status: u16, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    format!("{head}{body}").into_bytes()
}

/// One HTTP message of a known length, `None` at the end of the stream.
pub async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut chunk = [0; 16_384];
    loop {
        if let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |digits| digits.trim().parse::<usize>().unwrap());
            if message.len() >= end + 4 + length {
                return Some(message);
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => message.extend_from_slice(&chunk[..read]),
        }
    }
}
