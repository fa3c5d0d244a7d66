//! Devo's side: mutual TLS that takes everything, keeps nothing, and ends each stream cleanly.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde::{Deserialize, Serialize};
use simulator::pki::DevoPki;

use crate::{Outcome, tls};

/// Where the receiver is, and what a client of it needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// PEM of the certificates to trust.
    pub chain: String,
    /// PEM of the client's certificate.
    pub cert: String,
    /// PEM of its key.
    pub key: String,
}

/// Receives until the process ends.
pub fn receive() -> Outcome<Received> {
    let pki = DevoPki::generate(&["127.0.0.1".to_owned()])?;
    let config = tls::server(&pki)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            // A stream that breaks is the client's failure, and shown there.
            thread::spawn(move || _ = drain(socket, config));
        }
    });
    Ok(Received {
        port,
        chain: pki.chain_pem,
        cert: pki.client.certificate_pem,
        key: pki.client.private_key_pem,
    })
}

fn drain(socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, socket);
    let mut buffer = vec![0; 256 * 1024];
    while stream.read(&mut buffer)? > 0 {}
    stream.conn.send_close_notify();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock)?;
    }
    stream.sock.shutdown(Shutdown::Write)
}
