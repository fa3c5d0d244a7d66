//! The whole beside its parts: what a record costs in processor time.
//!
//! Whole and parts are measured in turn, in one process and on the same pages. Their ratio says what the pipeline adds
//! to the work that must be done.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::child::{self, Role};
use crate::pages::{Framing, Shape, TimeMember};
use crate::parts::Parts;
use crate::receiver::Received;
use crate::server::Served;
use crate::whole::Pipeline;
use crate::{Outcome, cpu};

/// How the events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// As lines.
    Plain,
    /// As gzip members.
    Gzip,
}

/// What the process at work is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The pages.
    pub shape: Shape,
    /// Where they are served.
    pub api: Served,
    /// Where the events go.
    pub receiver: Received,
    /// How they are sent.
    pub packing: Packing,
    /// How often it is all done.
    pub rounds: u32,
}

/// What one kind of work costs, in microseconds of processor time a record, round by round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    /// The work.
    pub name: String,
    /// One figure a round.
    pub rounds: Vec<f64>,
}

impl Cost {
    /// The best round.
    pub fn best(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// What the process at work has found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Each part by itself.
    pub parts: Vec<Cost>,
    /// All of it.
    pub whole: Cost,
    /// Records a second of the best round, by the clock on the wall.
    pub records_per_second: f64,
    /// Bytes of a record.
    pub record_bytes: f64,
    /// Bytes sent of each byte of lines.
    pub packed: f64,
}

/// Records of a page.
pub const PAGE_RECORDS: usize = 1000;

/// Starts the three processes and has them work.
pub fn measure(records: u64, rounds: u32, packing: Packing) -> Outcome<Finding> {
    let shape = Shape {
        pages: usize::try_from(records)?.div_ceil(PAGE_RECORDS),
        page_records: PAGE_RECORDS,
        record_bytes: 0,
        time_member: TimeMember::Created,
        newest: Timestamp::now(),
        framing: Framing::Length,
    };
    let (_api, served) = child::start(Role::Server, &shape)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let order = Order { shape, api: served, receiver, packing, rounds };
    let (_worker, measured) = child::start(Role::Pipeline, &order)?;
    Ok(Finding::new(shape.records(), packing, measured))
}

/// The part of the process at work.
pub fn work(order: &Order) -> Outcome<Measured> {
    // One thread, as the Lambda host has it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut pipeline = Pipeline::new(order)?;
    let mut parts = Parts::new(order)?;
    let mut whole = Cost { name: "whole".to_owned(), rounds: Vec::new() };
    let records = order.shape.records();
    let mut records_per_second: f64 = 0.0;
    for _ in 0..order.rounds {
        let begin = Instant::now();
        whole.rounds.push(cpu::micros_each(records, || runtime.block_on(pipeline.run(records)))?);
        records_per_second = records_per_second.max(records as f64 / begin.elapsed().as_secs_f64());
        parts.round(&runtime)?;
    }
    Ok(Measured {
        whole,
        records_per_second,
        record_bytes: parts.record_bytes(),
        packed: parts.packed(),
        parts: parts.costs,
    })
}

/// The figures of one way of sending.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How the events were sent.
    pub packing: Packing,
    /// Records of each round.
    pub records: usize,
    /// Microseconds of processor time a record: the best round of the whole.
    pub whole_micros: f64,
    /// The same, summed over the parts.
    pub parts_micros: f64,
    /// Whole over parts.
    pub ratio: f64,
    /// All that was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

impl Finding {
    fn new(records: usize, packing: Packing, measured: Measured) -> Self {
        let whole_micros = measured.whole.best();
        let parts_micros = measured.parts.iter().map(Cost::best).sum();
        Self { packing, records, whole_micros, parts_micros, ratio: whole_micros / parts_micros, measured }
    }
}
