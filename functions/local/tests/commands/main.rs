//! The built `collector` against a simulated tenant and receiver: what an operator sees, and what Devo gets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what fails here fails a test")]

mod backfill;
mod cloud_apps;
mod demo;
mod feeds;
mod live;
mod look;
mod migrate;
mod on_premise;
mod support;
