//! What is measured: idle ticks, ticks that deliver, ticks that read again what is known, and starts.
//!
//! One collection of Graph stands for all collections, one feed for all feeds, and the retry service for itself.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;
use simulator::records::{office365, sign_in};
use simulator::tenant::{ContentType, Endpoint};

use super::assumptions::Assumptions;
use super::units::{INDEX_BYTES, along};
use super::world::{Function, Tick, World};
use crate::Outcome;

/// Records of the ticks that deliver.
const LOADS: [u64; 4] = [10, 100, 1_000, 5_000];
/// Ticks without anything new; the one in the middle counts.
const IDLE_TICKS: usize = 5;
/// Records of a blob.
pub const BLOB_RECORDS: u64 = 50;
/// How long ago blobs became available: a listing ends at a whole second.
const BLOB_AGE: SignedDuration = SignedDuration::from_secs(5);
/// Each so-many-th record is an hour late, so that a tick touches the hashes of two hours at the least.
const LATE: u64 = 10;

/// All that was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measured {
    /// The executable.
    pub artefact: PathBuf,
    /// From the start of its process to its first poll, in milliseconds; the middle of all starts.
    pub start_ms: f64,
    /// A collection: graph-sign-ins.
    pub collection: Course,
    /// A feed: office365-exchange.
    pub feed: Course,
    /// office365-uri-retry without work.
    pub retry: Tick,
}

/// The ticks of one function.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Course {
    /// The first tick of a process, with nothing to deliver and nothing remembered.
    pub first: Tick,
    /// A tick without anything new.
    pub idle: Tick,
    /// A tick before its time.
    pub not_due: Tick,
    /// Ticks that deliver more and more records.
    pub loaded: Vec<Tick>,
    /// A tick that reads all of those again and delivers none.
    pub again: Tick,
    /// The first tick of another process: it has to read its memory from the table.
    pub cold: Tick,
}

/// Plays all courses.
pub fn measure(artefact: &Path, assumptions: &Assumptions) -> Outcome<Measured> {
    tokio::runtime::Runtime::new()?.block_on(play(artefact, assumptions))
}

async fn play(artefact: &Path, assumptions: &Assumptions) -> Outcome<Measured> {
    let world = World::start(assumptions).await?;
    let mut starts = Vec::new();
    let collection = course(&world, artefact, "graph-sign-ins", emit_sign_ins, &mut starts).await?;
    let feed = course(&world, artefact, "office365-exchange", emit_blobs, &mut starts).await?;
    let mut function = Function::start(&world, artefact, "office365-uri-retry").await?;
    starts.push(function.start_up().as_secs_f64() * 1e3);
    forced(&mut function, 0).await?;
    let retry = idle(&mut function).await?;
    starts.sort_by(f64::total_cmp);
    let start_ms = starts.get(starts.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(Measured { artefact: artefact.to_owned(), start_ms, collection, feed, retry })
}

async fn course(
    world: &World,
    artefact: &Path,
    handler: &'static str,
    emit: fn(&World, u64, u64) -> Outcome<()>,
    starts: &mut Vec<f64>,
) -> Outcome<Course> {
    let mut function = Function::start(world, artefact, handler).await?;
    starts.push(function.start_up().as_secs_f64() * 1e3);
    let first = forced(&mut function, 0).await?;
    let quiet = idle(&mut function).await?;
    let not_due = function.tick(&json!({})).await?;
    if not_due.status != "not_due" {
        return Err(format!("{handler}: a tick right after another was not too early: {not_due:?}").into());
    }
    let mut loaded = Vec::new();
    let mut emitted = 0;
    for records in LOADS {
        emit(world, emitted, records)?;
        emitted += records;
        loaded.push(forced(&mut function, records).await?);
    }
    let again = idle(&mut function).await?;
    let mut other = Function::start(world, artefact, handler).await?;
    starts.push(other.start_up().as_secs_f64() * 1e3);
    let cold = forced(&mut other, 0).await?;
    Ok(Course { first, idle: quiet, not_due, loaded, again, cold })
}

/// The middle one of several ticks without anything new.
async fn idle(function: &mut Function<'_>) -> Outcome<Tick> {
    let mut ticks = Vec::new();
    for _ in 0..IDLE_TICKS {
        ticks.push(forced(function, 0).await?);
    }
    ticks.sort_by(|one, other| one.wall_ms.total_cmp(&other.wall_ms));
    ticks.into_iter().nth(IDLE_TICKS / 2).ok_or_else(|| "there was no tick".into())
}

/// A tick at once, which must deliver this many records.
async fn forced(function: &mut Function<'_>, expected: u64) -> Outcome<Tick> {
    let tick = function.tick(&json!({"force": true})).await?;
    if tick.status != "up_to_date" || tick.delivered != expected {
        return Err(format!("{expected} records were to be delivered, not as in {tick:?}").into());
    }
    Ok(tick)
}

fn emit_sign_ins(world: &World, before: u64, count: u64) -> Outcome<()> {
    let now = Timestamp::now();
    for seed in before..before + count {
        world.tenant.emit(Endpoint::SignIns, sign_in(seed, time_of(seed, now), &[]))?;
    }
    Ok(())
}

fn emit_blobs(world: &World, before: u64, count: u64) -> Outcome<()> {
    let now = Timestamp::now();
    let mut seeds = before..before + count;
    loop {
        let records: Vec<String> = seeds
            .by_ref()
            .take(usize::try_from(BLOB_RECORDS)?)
            .map(|seed| office365(ContentType::Exchange, seed, time_of(seed, now)))
            .collect();
        if records.is_empty() {
            return Ok(());
        }
        world.tenant.emit_blob(ContentType::Exchange, now - BLOB_AGE, records);
    }
}

/// One record of some is of the hour before, so that a commit has two rows of hashes.
fn time_of(seed: u64, now: Timestamp) -> Timestamp {
    now - if seed.is_multiple_of(LATE) { SignedDuration::from_hours(1) } else { SignedDuration::from_secs(1) }
}

impl Course {
    /// Processor time of a record that is read and delivered, in milliseconds.
    pub fn cpu_of_new(&self) -> f64 {
        let Some(most) = self.loaded.last() else { return 0.0 };
        let known = most.received.saturating_sub(most.delivered) as f64;
        let records = most.cpu_ms - self.idle.cpu_ms - known * self.cpu_of_known();
        records.max(0.0) / (most.delivered as f64).max(1.0)
    }

    /// Processor time of a record that is read and known, in milliseconds.
    pub fn cpu_of_known(&self) -> f64 {
        (self.again.cpu_ms - self.idle.cpu_ms).max(0.0) / (self.again.received as f64).max(1.0)
    }

    /// What a tick that delivers so many records waits longer than an idle one, the pages behind the first one aside.
    pub fn wait_of_delivery(&self, api_latency_ms: f64) -> f64 {
        let Some(least) = self.loaded.first() else { return 0.0 };
        let pages = least.requests.saturating_sub(self.idle.requests) as f64;
        (least.wait_ms() - self.idle.wait_ms() - pages * api_latency_ms).max(0.0)
    }

    /// Any figure of a tick that delivers so many records, from the measured ones.
    pub fn at(&self, records: f64, figure: fn(&Tick) -> f64) -> f64 {
        let none = std::iter::once((0.0, figure(&self.idle)));
        let some = self.loaded.iter().map(|tick| (tick.delivered as f64, figure(tick)));
        along(&none.chain(some).collect::<Vec<_>>(), records)
    }
}

/// Bytes by which a tick makes the table grow, as they are billed.
pub fn stored(tick: &Tick) -> f64 {
    (tick.stored_bytes + tick.stored_rows * i64::try_from(INDEX_BYTES).unwrap_or(0)).max(0) as f64
}
