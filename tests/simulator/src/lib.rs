//! The parties that a collector meets, simulated: a Microsoft tenant, a Devo receiver, the Lambda runtime API and a
//! secret store.
//!
//! Each is started with `X::start(config).await`, listens on the loopback interface and gives a handle that is cheap
//! to clone; dropping the last clone, or `stop()`, ends it and cuts its connections. A simulated party judges by what
//! really came over the wire: queries are parsed and evaluated, tokens and signatures are checked, byte streams are
//! decoded. Faults are scripts that a test writes down, never chance. The library depends on no crate of the
//! collector, so that the two cannot share a mistake.

pub mod clock;
pub mod pki;
pub mod receiver;
pub mod records;
pub mod runtime;
pub mod secrets;
pub mod tenant;

mod http;
mod occurrence;
mod sync;
