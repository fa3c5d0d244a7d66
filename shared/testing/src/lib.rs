//! What tests of the core and of its ports share; never part of a shipped artefact.
//!
//! `conformance` says what a state store is, as code that every store must pass. `store`, `source` and `sink` are the
//! three ports of a simulated world in which each effect is one step: a driver that stops polling at a step is a crash,
//! and one that polls two invocations in turn is a race. `site` puts them together: one service, visited again and again;
//! `content_site` does so for content feeds, which have a simulated API of their own in `content`, and `hunting` for the
//! operator's own queries. `enriched` adds what belongs to records, and a limit of requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must stop"
)]

pub mod clock;
pub mod conformance;
pub mod content;
pub mod content_site;
pub mod dice;
pub mod drive;
pub mod enriched;
pub mod flattened;
pub mod hunting;
pub mod service;
pub mod sink;
pub mod site;
pub mod source;
pub mod store;
