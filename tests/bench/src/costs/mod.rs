//! What a deployment costs a month: measured durations and units, times prices, beside the assumptions.
//!
//! The artefact is played against everything it talks to, as far away as in reality (`world`, `meter`, `line`), and its
//! ticks are measured (`measure`). A month of 26 services is computed from them (`tenants`, `model`), priced (`prices`,
//! `bill`) and shown (`report`). What is not measured is an assumption and is told as one (`assumptions`).

mod assumptions;
mod bill;
mod line;
mod measure;
pub mod meter;
mod model;
mod prices;
mod report;
mod tenants;
mod units;
mod world;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::assumptions::Assumptions;
use self::bill::{Architecture, Bill, Group, MONTH_DAYS, MONTH_HOURS, bill};
use self::measure::{Measured, measure};
use self::prices::Prices;
use self::tenants::TENANTS;
use crate::{Outcome, startup};

/// What `bench costs` can be told.
#[derive(Debug, Args)]
pub struct Order {
    /// The executable `bootstrap` [default: the one beside this executable].
    #[arg(long, value_name = "PATH")]
    artefact: Option<PathBuf>,
    /// The prices [default: infra/prices.json].
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Milliseconds in which Microsoft answers a request.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    latency_ms: u32,
    /// Memory of a function, in MB.
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u32).range(128..=10_240))]
    memory: u32,
    /// Minutes between two ticks.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=30))]
    tick_minutes: u32,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

/// How the costs are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal,
    Plain,
    Markdown,
    Json,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Costs {
    assumptions: Assumptions,
    sentences: Vec<String>,
    measured: Measured,
    prices: Prices,
    /// Each tenant on both architectures, months of 30 days and of 730 hours.
    bills: Vec<Bill>,
    variants: Vec<Variant>,
}

/// What collecting would cost if one assumption were another.
#[derive(Debug, Serialize)]
struct Variant {
    name: String,
    /// US dollars a month of each tenant, in their order, on x86_64.
    collecting: Vec<f64>,
}

/// Measures, computes and prints.
pub fn run(order: &Order, json: bool) -> Outcome<()> {
    let form = match (json, order.markdown, io::stdout().is_terminal()) {
        (true, _, _) => Form::Json,
        (_, true, _) => Form::Markdown,
        (_, _, true) => Form::Terminal,
        _ => Form::Plain,
    };
    let latency = f64::from(order.latency_ms);
    let assumptions = Assumptions {
        api_latency_ms: latency,
        measured_latency_ms: latency,
        memory_mb: f64::from(order.memory),
        tick_minutes: f64::from(order.tick_minutes),
        ..Assumptions::default()
    }
    .with_deployed_alarms()?;
    let prices = Prices::read(order.prices.clone())?;
    let artefact = startup::artefact(order.artefact.clone())?;
    let costs = compute(measure(&artefact, &assumptions)?, assumptions, prices)?;
    let mut stdout = io::stdout().lock();
    match form {
        Form::Json => serde_json::to_writer_pretty(&mut stdout, &costs)?,
        _ => write!(stdout, "{}", report::text(&costs, form)?)?,
    }
    writeln!(stdout)?;
    Ok(())
}

fn compute(measured: Measured, assumptions: Assumptions, prices: Prices) -> Outcome<Costs> {
    let mut bills = Vec::new();
    for days in [MONTH_DAYS, MONTH_HOURS / 24.0] {
        for architecture in [Architecture::X86, Architecture::Arm] {
            for tenant in TENANTS {
                bills.push(bill(&measured, &assumptions, &prices, (tenant, architecture, days))?);
            }
        }
    }
    let variants = variants(&assumptions)
        .into_iter()
        .map(|(name, other)| {
            let collecting = TENANTS
                .iter()
                .map(|tenant| {
                    let of = bill(&measured, &other, &prices, (*tenant, Architecture::X86, MONTH_DAYS))?;
                    Ok(of.usd_of(Group::Collecting))
                })
                .collect::<Outcome<_>>()?;
            Ok(Variant { name, collecting })
        })
        .collect::<Outcome<_>>()?;
    let sentences = assumptions.sentences();
    Ok(Costs { assumptions, sentences, measured, prices, bills, variants })
}

/// One assumption changed at a time.
fn variants(base: &Assumptions) -> Vec<(String, Assumptions)> {
    let with = |name: &str, change: fn(&mut Assumptions)| {
        let mut other = base.clone();
        change(&mut other);
        (name.to_owned(), other)
    };
    vec![
        with("Microsoft answers in 1 s", |other| other.api_latency_ms = 1_000.0),
        with("256 MB of memory", |other| other.memory_mb = 256.0),
        with("1,024 MB of memory", |other| other.memory_mb = 1_024.0),
        with("a tick each minute", |other| other.tick_minutes = 1.0),
        with("a tick every 15 minutes", |other| other.tick_minutes = 15.0),
        with("no late sweep", |other| other.sweep_hours = 0.0),
        with("one request for a page in parts of time", |other| other.requests_a_part = 1.0),
        with("every look-back 15 minutes", |other| other.look_back_minutes = Some(15.0)),
        with("each tick starts a process", |other| other.cold_share = 1.0),
    ]
}
