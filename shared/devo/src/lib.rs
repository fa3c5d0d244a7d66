//! Devo as a place where events go: one syslog line an event, over TLS with the domain's client certificate.
//!
//! The protocol knows no acknowledgement. What stands for one is the end of the stream: a batch is one connection,
//! written to its end, closed by us and then by the server, with no alert and no reset in between. [`DevoSink`] keeps
//! that promise for the run loop; the modules below it are the line ([`frame`]), the open batch, the certificates
//! ([`pem`]) and the wire.
//!
//! Absent on purpose: retries of a batch (the run loop reads the records again), and tasks that outlive a call.

mod batch;
mod config;
mod failure;
pub mod frame;
mod open;
pub mod pem;
mod sink;
mod tls;
mod wire;

pub use config::{Compression, DevoConfig, TlsMaterial, Transport};
pub use sink::{DevoSink, Timing, handshake};
