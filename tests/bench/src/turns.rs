//! One list of a tenant, read again and again: what the inventory and the activities have in common.
//!
//! Each turn is a new process, which has to load what the ones before remembered. The API is another process that makes
//! its rows as they are asked for; units are those that the database would bill.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::child::{self, Role};
use crate::costs::meter::Meter;
use crate::pipeline::Packing;
use crate::server::Served;
use crate::shipped::{Job, Pull, Stage, Usage};
use crate::{Outcome, shipped};

/// What the list holds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Stock {
    /// How many records.
    pub rows: usize,
    /// Bytes of each, at the least.
    pub row_bytes: usize,
}

/// What is measured.
pub struct List {
    /// The child that serves it.
    pub role: Role,
    /// The Handler, and its input and service in the document.
    pub handler: &'static str,
    pub input: &'static str,
    pub service: &'static str,
    /// What it holds.
    pub stock: Stock,
    /// The turns, by their names.
    pub turns: Vec<(&'static str, Pull)>,
}

/// What one turn took.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Which one.
    pub turn: &'static str,
    /// What was read.
    pub stock: Stock,
    /// How the events were sent.
    pub packing: Packing,
    /// Requests for pages.
    pub requests: u64,
    /// Write request units.
    pub units_written: f64,
    /// Read request units.
    pub units_read: f64,
    /// Memory and processor time.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Measures the executable with both ways of sending.
pub fn measure(artefact: &Path, list: &List) -> Outcome<Vec<Finding>> {
    let mut findings = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip] {
        findings.extend(tokio::runtime::Runtime::new()?.block_on(play(artefact, list, packing))?);
    }
    Ok(findings)
}

async fn play(artefact: &Path, list: &List, packing: Packing) -> Outcome<Vec<Finding>> {
    let stock = list.stock;
    let (_api, api): (_, Served) = child::start(list.role, &stock)?;
    let (_devo, receiver) = child::start(Role::Receiver, &())?;
    let job = Job {
        handler: list.handler,
        input: list.input,
        service: list.service,
        api,
        receiver,
        packing,
        rounds: 1,
        records: stock.rows,
    };
    let meter = Meter::start(shipped::start_database().await?, Duration::ZERO).await?;
    let stage = Stage::set(&job, meter.address()).await?;
    let mut findings = Vec::new();
    for (turn, pull) in &list.turns {
        let before = meter.consumed();
        let (usage, answers) = stage.play(artefact, std::slice::from_ref(pull)).await?;
        let consumed = meter.consumed();
        findings.push(Finding {
            turn,
            stock,
            packing,
            requests: answers.iter().filter_map(|answer| answer["requests"].as_u64()).sum(),
            units_written: consumed.writes - before.writes,
            units_read: consumed.reads - before.reads,
            usage,
        });
    }
    Ok(findings)
}

impl Stock {
    /// The record with a further member that makes it as large as it should be: words that compress as others do.
    pub fn filled(self, mut row: String, member: &str, salt: u64) -> String {
        row.pop();
        row.push_str(&format!(",\"{member}\":\""));
        while row.len() + 2 < self.row_bytes {
            let word = (row.len() as u64 ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            row.push_str(&format!("{word:016x} "));
        }
        row.push_str("\"}");
        row
    }
}
