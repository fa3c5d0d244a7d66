//! How the run loop behaves, as seen from outside: one module a theme, each test a few visits to a small world.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

mod anything;
mod backfill;
mod batches;
mod counts;
mod deadline;
mod dry_run;
mod due;
mod enriched;
mod enriched_at_random;
mod enriched_limits;
mod feed_state;
mod feeds;
mod filtered;
mod flattening;
mod hunting;
mod hunting_at_worst;
mod hunting_backfill;
mod hunting_crash;
mod hunting_stored;
mod late_sweep;
mod late_sweep_limits;
mod late_sweep_of_feeds;
mod late_sweep_promise;
mod lease;
mod messages;
mod missing;
mod missing_at_random;
mod outlook;
mod queue;
mod queue_at_worst;
mod remembering;
mod resend;
mod retired;
mod snapshots;
mod start;
mod stored;
mod stored_enriched;
mod stored_versions;
mod story;
mod unfinished;
mod unfinished_at_random;
mod versions;

/// The instant at which most of these worlds begin.
const NOON: &str = "2026-11-20T12:00:00Z";
