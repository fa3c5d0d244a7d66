//! Opening a connection: name, TCP, handshake, and the wait that TLS 1.3 needs.
//!
//! Until the first byte is written nothing is at stake, so whatever looks like the network's fault is tried again, with
//! growing pauses. A refused certificate is not: it would be refused again. In TLS 1.3 the server judges the client
//! certificate after the client holds the handshake for done, hence the short wait for its complaint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use collector::error::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::{DevoConfig, Transport, problem};
use crate::failure::{self, Progress};
use crate::sink::Timing;
use crate::tls::{self, ClientTls};
use crate::wire::{Connection, WireError};

/// Further attempts after a first one that failed.
const RETRIES: u32 = 3;
const NOTHING_WRITTEN: Progress = Progress { written: 0, total: 0 };

/// Where connections go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: String,
    port: u16,
    pub(crate) tls: Option<ClientTls>,
}

/// Whether to wait for what the server thinks of the client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstLook {
    /// Wait a moment for a complaint.
    Wait,
    /// A connection before this one was accepted.
    Skip,
}

enum Attempt {
    Final(Error),
    Again(String),
}

impl Target {
    /// The endpoint of this configuration; its certificates are read. All problems are in the one error.
    pub(crate) fn new(config: &DevoConfig) -> Result<Self, Error> {
        let address = config.address.trim();
        if address.is_empty() {
            return Err(problem(&["`address` is empty".to_owned()]));
        }
        let tls = match &config.transport {
            Transport::Tls(material) => {
                Some(tls::client(material, address).map_err(|problems| problem(&problems))?)
            }
            Transport::Plain => None,
        };
        Ok(Self { address: address.to_owned(), port: config.port, tls })
    }

    /// `address:port`, for messages.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// Opens a connection that is ready for its first byte.
    pub(crate) async fn open(
        &self,
        look: FirstLook,
        timing: &Timing,
        until: Instant,
    ) -> Result<Connection, Error> {
        let mut pause = timing.retry_pause;
        let mut retries_left = RETRIES;
        loop {
            let cause = match timeout_at(until, self.attempt(timing)).await {
                Ok(Ok(connection)) => return self.look(connection, look, timing, until).await,
                Ok(Err(Attempt::Final(error))) => return Err(error),
                Ok(Err(Attempt::Again(cause))) => cause,
                Err(_) => return Err(failure::unreachable(&self.endpoint(), "no time left")),
            };
            if retries_left == 0 || Instant::now() + pause >= until {
                return Err(failure::unreachable(&self.endpoint(), &cause));
            }
            sleep(pause).await;
            pause *= 2;
            retries_left -= 1;
        }
    }

    async fn attempt(&self, timing: &Timing) -> Result<Connection, Attempt> {
        let socket = match timeout(timing.connect_limit, self.dial(timing.connect_limit)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(Attempt::Again(error.to_string())),
            Err(_) => return Err(Attempt::Again("no answer to the connection attempt".to_owned())),
        };
        // The small records of a handshake must not wait for one another. Without it they do, and no more.
        _ = socket.set_nodelay(true);
        let Some(client) = &self.tls else { return Ok(Connection::plain(socket)) };
        let handshake = Connection::secure(socket, Arc::clone(&client.config), client.name.clone());
        match timeout(timing.connect_limit, handshake).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.handshake_failure(&error)),
            Err(_) => Err(Attempt::Again("no answer to the tls handshake".to_owned())),
        }
    }

    /// Connects to the first of the name's addresses that answers; none may use up the time of the others.
    async fn dial(&self, limit: Duration) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = lookup_host((self.address.as_str(), self.port)).await?.collect();
        let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return Ok(socket),
                Ok(Err(error)) => last_error = error,
                Err(_) => {
                    last_error =
                        io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection attempt")
                }
            }
        }
        Err(last_error)
    }

    fn handshake_failure(&self, error: &WireError) -> Attempt {
        if let Some(refused) = failure::certificate(&self.endpoint(), error) {
            return Attempt::Final(refused);
        }
        let unreachable = |cause: &str| Attempt::Final(failure::unreachable(&self.endpoint(), cause));
        match error {
            WireError::EndedEarly => Attempt::Again("the server ended the tls handshake".to_owned()),
            WireError::Reset(cause) => Attempt::Again(format!("the server broke the tls handshake: {cause}")),
            WireError::Alert(alert) => {
                unreachable(&format!("the server refuses the tls handshake (alert {alert:?})"))
            }
            WireError::Tls(cause) => unreachable(&format!("the tls handshake failed: {cause}")),
            WireError::Talkative => {
                Attempt::Final(failure::not_closed(&self.endpoint(), NOTHING_WRITTEN, error))
            }
        }
    }

    async fn look(
        &self,
        mut connection: Connection,
        look: FirstLook,
        timing: &Timing,
        until: Instant,
    ) -> Result<Connection, Error> {
        // Plain TCP has no certificate to complain of.
        if look == FirstLook::Skip || self.tls.is_none() {
            return Ok(connection);
        }
        let end = until.min(Instant::now() + timing.first_look);
        match timeout_at(end, connection.complaint()).await {
            Ok(complaint) => Err(failure::not_closed(&self.endpoint(), NOTHING_WRITTEN, &complaint)),
            Err(_) => Ok(connection),
        }
    }
}
