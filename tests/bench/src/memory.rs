//! Peak memory: one fresh process for each size of record, which pulls a few pages, twice, and tells the most it ever
//! held.
//!
//! The answers come in chunks, so that nobody knows their length beforehand: the harder case, and the API's own way.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::child::{self, Role};
use crate::pages::{Framing, Shape, TimeMember};
use crate::pipeline::{Order, Packing};
use crate::shipped::Job;
use crate::whole::Pipeline;
use crate::{Outcome, cpu, shipped};

/// Sizes of a record, in bytes; the first one is the natural size.
const RECORD_BYTES: [usize; 4] = [0, 5_000, 20_000, 40_000];
const ARTEFACT_RECORD_BYTES: [usize; 2] = [0, 20_000];
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

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A process that holds nothing but the pipeline.
    Pipeline,
    /// The shipped executable, with all that it needs to talk to AWS.
    Artefact,
}

/// The memory that pages of one size take.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Whose memory it is.
    pub of: Subject,
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

/// Measures the pipeline with every size and both ways of sending.
pub fn measure() -> Outcome<Vec<Finding>> {
    let each = |packing| RECORD_BYTES.map(|record_bytes| one(record_bytes, packing, None));
    [Packing::Plain, Packing::Gzip].into_iter().flat_map(each).collect()
}

/// Measures the executable with some sizes and both ways of sending.
pub fn measure_artefact(artefact: &Path) -> Outcome<Vec<Finding>> {
    let each = |packing| ARTEFACT_RECORD_BYTES.map(|record_bytes| one(record_bytes, packing, Some(artefact)));
    [Packing::Plain, Packing::Gzip].into_iter().flat_map(each).collect()
}

fn one(record_bytes: usize, packing: Packing, artefact: Option<&Path>) -> Outcome<Finding> {
    let page_of = |pages| Shape {
        pages,
        page_records: PAGE_RECORDS,
        record_bytes,
        time_member: if artefact.is_some() { TimeMember::Activity } else { TimeMember::Created },
        newest: Timestamp::now(),
        framing: Framing::Chunks,
    };
    let page_bytes = page_of(1).page(0, "").len();
    let shape = page_of((PULLED_BYTES / page_bytes).max(FEWEST_PAGES));
    let (_api, api) = child::start(Role::Server, &shape)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let (of, peak) = match artefact {
        Some(path) => {
            let job = Job {
                handler: shipped::HANDLER,
                input: "microsoft_graph_audit",
                service: "directory_audits",
                api,
                receiver,
                packing,
                rounds: INVOCATIONS,
                records: shape.records(),
            };
            (Subject::Artefact, shipped::run(path, &job)?.memory)
        }
        None => {
            let order = Order { shape, api, receiver, packing, rounds: INVOCATIONS };
            (Subject::Pipeline, child::start(Role::Peak, &order)?.1)
        }
    };
    Ok(Finding { of, packing, page_records: PAGE_RECORDS, page_bytes, peak })
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
