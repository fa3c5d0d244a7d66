//! What was measured, as tables for people or one JSON object for programs, each figure beside its goal.

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use crate::pipeline::{Cost, Packing};
use crate::{feed, memory, pipeline, startup, turns};

/// Whole over parts, at the most.
const MOST_OVER_PARTS: f64 = 1.5;
/// Microseconds of processor time a record of 1.1 kB, as lines and as gzip members.
const MICROS_PLAIN: f64 = 4.5;
const MICROS_GZIP: f64 = 10.0;
/// Peak memory with pages of 1,000 records of 20 kB, in MB of 10⁶ bytes.
const PEAK_MEGABYTES: f64 = 64.0;
/// Milliseconds to the first poll.
const START_MILLISECONDS: f64 = 20.0;

/// All figures of a run of the benchmark.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// One entry a way of sending.
    pub pipeline: Vec<pipeline::Finding>,
    /// One entry a size and way of sending.
    pub memory: Vec<memory::Finding>,
    /// One entry a kind of content and way of sending.
    pub feed: Vec<feed::Finding>,
    /// One entry a snapshot and way of sending.
    pub inventory: Vec<turns::Finding>,
    /// One entry a run and way of sending.
    pub activities: Vec<turns::Finding>,
    /// The starts of the artefact.
    pub startup: Option<startup::Finding>,
}

impl Figures {
    /// Everything in one text.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for finding in &self.pipeline {
            text.push_str(&pipeline_table(finding));
        }
        if !self.memory.is_empty() {
            text.push_str(&memory_table(&self.memory));
        }
        if !self.feed.is_empty() {
            text.push_str(&feed_table(&self.feed));
        }
        for (name, turn, findings) in
            [("inventory", "snapshot", &self.inventory), ("activities", "run", &self.activities)]
        {
            if !findings.is_empty() {
                text.push_str(&turns_table(name, turn, findings));
            }
        }
        if let Some(finding) = &self.startup {
            text.push_str(&startup_table(finding));
        }
        text
    }
}

fn pipeline_table(finding: &pipeline::Finding) -> String {
    let (sent, goal) = match finding.packing {
        Packing::Plain => ("lines", MICROS_PLAIN),
        Packing::Gzip => ("gzip members", MICROS_GZIP),
    };
    let mut rows = table(&["part", "cpu us a record", "of the rounds", "goal"]);
    for cost in &finding.measured.parts {
        rows.add_row([cost.name.clone(), micros(cost.best()), spread(cost), String::new()]);
    }
    rows.add_row(["sum of the parts".to_owned(), micros(finding.parts_micros), String::new(), String::new()]);
    let whole = &finding.measured.whole;
    rows.add_row(["whole".to_owned(), micros(finding.whole_micros), spread(whole), at_most(goal)]);
    let ratio = micros(finding.ratio);
    rows.add_row(["whole / sum".to_owned(), ratio, String::new(), at_most(MOST_OVER_PARTS)]);
    format!(
        "pipeline: {} records of {:.0} bytes as {sent} ({:.0} % sent), {:.0} records a second\n{rows}\n\n",
        finding.records,
        finding.measured.record_bytes,
        finding.measured.packed * 100.0,
        finding.measured.records_per_second
    )
}

fn memory_table(findings: &[memory::Finding]) -> String {
    let mut rows = table(&["process", "pages of", "page MB", "sent as", "before MB", "peak MB", "goal"]);
    for finding in findings {
        let record_bytes = finding.page_bytes / finding.page_records;
        let goal =
            if (15_000..25_000).contains(&record_bytes) { at_most(PEAK_MEGABYTES) } else { String::new() };
        rows.add_row([
            match finding.of {
                memory::Subject::Pipeline => "pipeline".to_owned(),
                memory::Subject::Artefact => "artefact".to_owned(),
            },
            format!("{} x {record_bytes} bytes", finding.page_records),
            megabytes(finding.page_bytes as f64),
            match finding.packing {
                Packing::Plain => "lines".to_owned(),
                Packing::Gzip => "gzip members".to_owned(),
            },
            megabytes(finding.peak.before as f64),
            megabytes(finding.peak.peak as f64),
            goal,
        ]);
    }
    format!("memory: peak of processes that pull pages of unknown length\n{rows}\n\n")
}

fn feed_table(findings: &[feed::Finding]) -> String {
    let mut rows = table(&["content", "sent as", "cpu us a record", "goal", "peak MB", "goal"]);
    for finding in findings {
        let (sent, goal) = match finding.packing {
            Packing::Plain => ("lines", at_most(MICROS_PLAIN)),
            Packing::Gzip => ("gzip members", String::new()),
        };
        rows.add_row([
            format!("{} blobs x {} records", finding.content.blobs, finding.content.blob_records),
            sent.to_owned(),
            micros(finding.micros),
            goal,
            megabytes(finding.usage.memory.peak as f64),
            at_most(PEAK_MEGABYTES),
        ]);
    }
    format!("feed: the artefact fetches content of records of 1.1 kB\n{rows}\n\n")
}

fn turns_table(name: &str, turn: &str, findings: &[turns::Finding]) -> String {
    let header = [turn, "sent as", "cpu s / 100,000", "requests", "units written", "read", "peak MB", "goal"];
    let mut rows = table(&header);
    for finding in findings {
        let sent = match finding.packing {
            Packing::Plain => "lines",
            Packing::Gzip => "gzip members",
        };
        rows.add_row([
            finding.turn.to_owned(),
            sent.to_owned(),
            micros(finding.usage.cpu_micros / 1e6 / (finding.stock.rows as f64 / 1e5)),
            finding.requests.to_string(),
            format!("{:.0}", finding.units_written),
            format!("{:.0}", finding.units_read),
            megabytes(finding.usage.memory.peak as f64),
            at_most(PEAK_MEGABYTES),
        ]);
    }
    let size = findings.first().map_or((0, 0), |finding| (finding.stock.rows, finding.stock.row_bytes));
    format!(
        "{name}: the artefact, each time a new process, and {} rows of {} bytes\n{rows}\n\n",
        size.0, size.1
    )
}

fn startup_table(finding: &startup::Finding) -> String {
    let at = |share: f64| {
        let last = finding.milliseconds.len().saturating_sub(1);
        let index = (last as f64 * share).round();
        let found = finding.milliseconds.iter().enumerate().find(|(place, _)| *place as f64 >= index);
        found.map_or(f64::NAN, |(_, value)| *value)
    };
    let mut rows = table(&["first poll after", "ms", "goal"]);
    rows.add_row(["least".to_owned(), micros(at(0.0)), String::new()]);
    rows.add_row(["median".to_owned(), micros(at(0.5)), at_most(START_MILLISECONDS)]);
    rows.add_row(["most".to_owned(), micros(at(1.0)), String::new()]);
    format!(
        "start: {} starts of an executable of {} MB, {} MB resident at its first poll\n{rows}\n",
        finding.milliseconds.len(),
        megabytes(finding.artefact_bytes as f64),
        megabytes(finding.memory as f64)
    )
}

/// A table whose columns but the first are aligned to the right.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn micros(value: f64) -> String {
    format!("{value:.2}")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

fn at_most(goal: f64) -> String {
    format!("<= {goal}")
}

fn spread(cost: &Cost) -> String {
    let worst = cost.rounds.iter().copied().fold(0.0, f64::max);
    format!("{:.2} to {worst:.2}", cost.best())
}
