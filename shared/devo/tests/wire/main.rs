//! The sink beside a real peer on loopback: what arrives, what is proven, and what is noticed.
//!
//! The server of these tests reads TCP in measured pieces and ends in every way a server can. It knows what it read, so
//! the one property that matters can be asked for directly: a delivery that is called proven was read to its end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod certificates;
mod delivery;
mod endings;
mod material;
mod pki;
mod receiver;
