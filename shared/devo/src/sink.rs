//! The sink: an open batch, and at most one connection opened ahead for it.
//!
//! One batch is one connection is one commit. The connection that `prepare` opens is a convenience: if the server ended
//! it, or it is older than servers keep idle connections, it is replaced without a word, because nothing was written.
//! From the first byte on nothing is replaced or repeated here: the batch was delivered, or it was not proven to be.

use std::time::Duration;

use collector::error::Error;
use collector::ports::{CleanEnd, Event, Sink};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};

use crate::batch::{Batch, Outgoing};
use crate::config::{Compression, DevoConfig};
use crate::failure::{self, Progress};
use crate::open::{FirstLook, Target};
use crate::wire::{Connection, WireError};

/// Longest handshake check, its clean end included.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// Longest opening of a connection ahead: the first page of records must not wait for an endpoint that is away.
const PREPARE_LIMIT: Duration = Duration::from_secs(5);
/// Time for an end that came in the meantime to be noticed before an old connection is used.
const GLANCE: Duration = Duration::from_millis(2);

/// The time limits of a sink.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Longest attempt to connect, and longest handshake after it.
    pub connect_limit: Duration,
    /// Pause before the first further attempt; each later one is twice as long.
    pub retry_pause: Duration,
    /// How long the first connection waits for a complaint about the client certificate.
    pub first_look: Duration,
    /// A connection opened ahead is not used when older.
    pub idle_limit: SignedDuration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_limit: Duration::from_secs(10),
            retry_pause: Duration::from_millis(500),
            first_look: Duration::from_millis(200),
            // Devo ends idle connections after 30 s.
            idle_limit: SignedDuration::from_secs(25),
        }
    }
}

/// Devo, as a place where events go.
#[derive(Debug)]
pub struct DevoSink {
    target: Target,
    batch: Batch,
    ahead: Option<Ahead>,
    look: FirstLook,
    timing: Timing,
    clock: fn() -> Timestamp,
}

/// A connection that was opened before there was anything to send.
#[derive(Debug)]
struct Ahead {
    connection: Connection,
    opened_at: Timestamp,
}

impl DevoSink {
    /// A sink for this endpoint; nothing is connected yet. Certificates that cannot be used are InitVariablesError 1,
    /// each problem named; a client certificate that expired is DeliveryError 601.
    pub fn new(config: DevoConfig) -> Result<Self, Error> {
        Self::with(config, Timing::default(), Timestamp::now)
    }

    /// A sink with other time limits and another time of day.
    pub fn with(config: DevoConfig, timing: Timing, clock: fn() -> Timestamp) -> Result<Self, Error> {
        let target = Target::new(&config)?;
        check_expiry(&target, clock())?;
        let batch = Batch::new(&config.host, config.compression);
        Ok(Self { target, batch, ahead: None, look: FirstLook::Wait, timing, clock })
    }

    /// What the operator should know: a client certificate that is not valid yet.
    pub fn warnings(&self) -> Vec<String> {
        let now = (self.clock)();
        self.target.tls.iter().filter_map(|tls| tls.validity.warning(now)).collect()
    }

    async fn open(&mut self, until: Instant) -> Result<Connection, Error> {
        check_expiry(&self.target, (self.clock)())?;
        let connection = self.target.open(self.look, &self.timing, until).await?;
        self.look = FirstLook::Skip;
        Ok(connection)
    }

    /// The connection opened ahead, if it is still good. A complaint about the certificate is an error at once.
    async fn take_ahead(&mut self) -> Result<Option<Connection>, Error> {
        let Some(Ahead { mut connection, opened_at }) = self.ahead.take() else { return Ok(None) };
        // By the time of day, because a process that was frozen has not seen the time pass otherwise.
        let age = (self.clock)().duration_since(opened_at);
        if age > self.timing.idle_limit || age < SignedDuration::ZERO {
            return Ok(None);
        }
        match timeout(GLANCE, connection.complaint()).await {
            Err(_) => Ok(Some(connection)),
            Ok(complaint) => match failure::certificate(&self.target.endpoint(), &complaint) {
                Some(refused) => Err(refused),
                None => Ok(None),
            },
        }
    }

    async fn send(&mut self, outgoing: &mut Outgoing, until: Instant) -> Result<(), Error> {
        let mut connection = match self.take_ahead().await? {
            Some(connection) => connection,
            None => self.open(until).await?,
        };
        let endpoint = self.target.endpoint();
        end_cleanly(&mut connection, outgoing, &endpoint, until).await
    }
}

impl Sink for DevoSink {
    async fn prepare(&mut self) {
        let opened_at = self.ahead.as_ref().map(|ahead| ahead.opened_at);
        let (connection, opened_at) = match (self.take_ahead().await, opened_at) {
            (Ok(Some(connection)), Some(opened_at)) => (connection, opened_at),
            _ => match self.open(Instant::now() + PREPARE_LIMIT).await {
                Ok(connection) => (connection, (self.clock)()),
                Err(_) => return,
            },
        };
        self.ahead = Some(Ahead { connection, opened_at });
    }

    fn append(&mut self, event: &Event<'_>) -> usize {
        self.batch.append(event)
    }

    async fn deliver(&mut self, deadline: Timestamp) -> Result<CleanEnd, Error> {
        if self.batch.is_empty() {
            return Ok(CleanEnd { events: 0 });
        }
        let mut outgoing = self.batch.take();
        let time_left = deadline.duration_since((self.clock)());
        let until = Instant::now() + Duration::try_from(time_left).unwrap_or_default();
        match self.send(&mut outgoing, until).await {
            Ok(()) => Ok(CleanEnd { events: outgoing.events }),
            Err(error) => {
                // The certificate may be the reason, so the next connection looks again before it writes.
                self.look = FirstLook::Wait;
                Err(error)
            }
        }
    }

    fn discard(&mut self) {
        self.batch.clear();
    }
}

/// Tries the endpoint without sending anything: connects, shakes hands, waits for a complaint, ends the stream and
/// sees it ended. What fails is the error that a delivery would have.
pub async fn handshake(config: &DevoConfig) -> Result<(), Error> {
    let target = Target::new(config)?;
    check_expiry(&target, Timestamp::now())?;
    let until = Instant::now() + CHECK_LIMIT;
    let mut connection = target.open(FirstLook::Wait, &Timing::default(), until).await?;
    let mut nothing = Batch::new(&config.host, Compression::None).take();
    end_cleanly(&mut connection, &mut nothing, &target.endpoint(), until).await
}

async fn end_cleanly(
    connection: &mut Connection,
    outgoing: &mut Outgoing,
    endpoint: &str,
    until: Instant,
) -> Result<(), Error> {
    let outcome: Option<Result<(), WireError>> = timeout_at(until, connection.deliver(outgoing)).await.ok();
    let progress = Progress { written: outgoing.written, total: outgoing.total };
    match outcome {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(failure::not_closed(endpoint, progress, &error)),
        None => Err(failure::out_of_time(endpoint, progress)),
    }
}

fn check_expiry(target: &Target, now: Timestamp) -> Result<(), Error> {
    match &target.tls {
        Some(tls) if tls.validity.is_over(now) => Err(failure::expired(tls.validity.not_after)),
        _ => Ok(()),
    }
}
