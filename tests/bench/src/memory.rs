//! Peak memory: one fresh process for each size of record, which pulls a few pages, twice, and tells the most it ever
//! held.
//!
//! The answers come in chunks, so that nobody knows their length beforehand: the harder case, and the API's own way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::child::{self, Role};
use crate::pages::{Framing, Shape};
use crate::pipeline::{Order, Packing};
use crate::whole::Pipeline;
use crate::{Outcome, cpu};

/// Sizes of a record, in bytes; the first one is the natural size.
const RECORD_BYTES: [usize; 4] = [0, 5_000, 20_000, 40_000];
const PAGE_RECORDS: usize = 1000;
/// So much is pulled, in whole pages: several pages and several batches of every size.
const PULLED_BYTES: usize = 120_000_000;
const FEWEST_PAGES: usize = 4;
/// A process that was used before may hold more than a fresh one.
const INVOCATIONS: u32 = 2;

/// What the process at work has found, in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Peak {
    /// Resident before the pull.
    pub before: u64,
    /// The most resident ever.
    pub peak: u64,
}

/// The memory that pages of one size take.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// How the events were sent.
    pub packing: Packing,
    /// Records of a page.
    pub page_records: usize,
    /// Bytes of a page.
    pub page_bytes: usize,
    /// What was found.
    #[serde(flatten)]
    pub peak: Peak,
}

/// Measures every size, with both ways of sending.
pub fn measure() -> Outcome<Vec<Finding>> {
    let mut findings = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip] {
        for record_bytes in RECORD_BYTES {
            findings.push(one(record_bytes, packing)?);
        }
    }
    Ok(findings)
}

fn one(record_bytes: usize, packing: Packing) -> Outcome<Finding> {
    let page_of = |pages| Shape {
        pages,
        page_records: PAGE_RECORDS,
        record_bytes,
        newest: Timestamp::now(),
        framing: Framing::Chunks,
    };
    let page_bytes = page_of(1).page(0, "").len();
    let shape = page_of((PULLED_BYTES / page_bytes).max(FEWEST_PAGES));
    let (_api, api) = child::start(Role::Server, &shape)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let order = Order { shape, api, receiver, packing, rounds: INVOCATIONS };
    let (_worker, peak) = child::start(Role::Peak, &order)?;
    Ok(Finding { packing, page_records: PAGE_RECORDS, page_bytes, peak })
}

/// The part of the process at work.
pub fn work(order: &Order) -> Outcome<Peak> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut pipeline = Pipeline::new(order)?;
    let before = cpu::memory("self")?;
    for _ in 0..order.rounds {
        runtime.block_on(pipeline.run(order.shape.records()))?;
    }
    Ok(Peak { before, peak: cpu::peak_memory("self")? })
}
