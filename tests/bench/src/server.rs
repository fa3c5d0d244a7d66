//! The API's side: answers that were made beforehand, over plain HTTP on loopback.
//!
//! As little as can be: a thread a connection, one write an answer. Any POST is a login; any GET is a page, the one that
//! its `$skiptoken` names, else the first.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::pages::{Framing, Shape};

/// Where the API is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// Its base URL, without a trailing slash.
    pub base_url: String,
}

/// What any login is answered.
pub const TOKEN: &str = "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"benchmark\"}";
/// The longest head of a request, and of what may follow it in a login.
const REQUEST_BYTES: usize = 16 * 1024;

/// Serves the pages of this shape until the process ends.
pub fn serve(shape: Shape) -> Outcome<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let answers: Vec<Vec<u8>> =
        (0..shape.pages).map(|number| answer(&shape.page(number, &base_url), shape.framing)).collect();
    let answers = Arc::new(answers);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let answers = Arc::clone(&answers);
            // A client that leaves ends its thread, and nothing else.
            thread::spawn(move || _ = converse(socket, &answers));
        }
    });
    Ok(Served { base_url })
}

/// A whole answer with this body.
pub fn answer(body: &[u8], framing: Framing) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json;odata.metadata=minimal\r\n";
    let mut answer = match framing {
        Framing::Length => format!("{head}Content-Length: {}\r\n\r\n", body.len()),
        Framing::Chunks => format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()),
    }
    .into_bytes();
    answer.extend_from_slice(body);
    if framing == Framing::Chunks {
        answer.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    answer
}

fn converse(mut socket: TcpStream, answers: &[Vec<u8>]) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let login = answer(TOKEN.as_bytes(), Framing::Length);
    let mut heard = Vec::new();
    loop {
        let Some(request) = next_request(&mut socket, &mut heard)? else { return Ok(()) };
        if request.starts_with("POST ") {
            socket.write_all(&login)?;
            continue;
        }
        let number = request.split_once("$skiptoken=").and_then(|(_, rest)| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<usize>().ok()
        });
        let page = answers.get(number.unwrap_or(0)).ok_or(io::ErrorKind::NotFound)?;
        socket.write_all(page)?;
    }
}

/// Answers whoever connects, each in a thread of its own, until the process ends. Gives where that is.
pub fn serve_each(
    converse: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> Outcome<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let converse = converse.clone();
            // A client that leaves ends its thread, and nothing else.
            thread::spawn(move || _ = converse(socket));
        }
    });
    Ok(Served { base_url })
}

/// The head of the next request; its body is dropped. `None` at the end of the connection.
pub fn next_request(socket: &mut TcpStream, heard: &mut Vec<u8>) -> io::Result<Option<String>> {
    Ok(next_message(socket, heard)?.map(|(head, _)| head))
}

/// Head and body of the next request. `None` at the end of the connection.
pub fn next_message(socket: &mut TcpStream, heard: &mut Vec<u8>) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(heard.get(..end).unwrap_or_default()).into_owned();
            let whole = end + 4 + body_length(&head);
            if heard.len() >= whole {
                let body = heard.get(end + 4..whole).unwrap_or_default().to_vec();
                heard.drain(..whole);
                return Ok(Some((head, body)));
            }
        }
        if heard.len() > REQUEST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut buffer = [0; 4096];
        let count = socket.read(&mut buffer)?;
        if count == 0 {
            return Ok(None);
        }
        heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

fn body_length(head: &str) -> usize {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    length.unwrap_or(0)
}
