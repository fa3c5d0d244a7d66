//! Measures the whole pipeline beside its parts, its peak memory, how fast the artefact starts, and what it costs on AWS.
//!
//! Whatever is measured runs in a process of its own; the API that serves the pages and the receiver of the events are
//! two others (this executable again, in another role), so that their work is in nobody's account. Processor time counts,
//! not the time of day: it says the same on a busy machine. Each figure is the best of several rounds, because
//! everything that disturbs a measurement makes it larger.

mod activities;
mod child;
mod costs;
mod cpu;
mod feed;
mod figures;
mod inventory;
mod memory;
mod pages;
mod parts;
mod pipeline;
mod receiver;
mod server;
mod shipped;
mod startup;
mod tls;
mod turns;
mod whole;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::child::Role;
use crate::figures::Figures;
use crate::pipeline::Packing;

/// Whatever goes wrong ends the benchmark.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const EXAMPLES: &str = "Examples:
  bench                               everything, as one table
  bench pipeline --records 200000     the pipeline and its parts, without compression
  bench pipeline --gzip --json        the same with gzip, for a program
  bench memory                        peak memory by size of record
  bench feed                          a content feed of Office 365
  bench inventory                     machines of Defender for Endpoint, day after day
  bench activities                    a scan of Defender for Cloud Apps
  bench startup --artefact ./bootstrap
  bench costs --markdown              what a deployment costs a month, for the README";

/// Measures the pipeline beside its parts, its peak memory and the artefact's start.
#[derive(Debug, Parser)]
#[command(name = "bench", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print one JSON object instead of tables.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Processor time a record: fetch, split, hash, memory, message, gzip, TLS, and all of it together.
    Pipeline {
        #[command(flatten)]
        size: PipelineSize,
        /// Send gzip members instead of lines.
        #[arg(long)]
        gzip: bool,
    },
    /// Peak resident memory by size of record, in pages of 1,000: of the pipeline and of the artefact.
    Memory(Artefact),
    /// Processor time and peak memory of the artefact with a content feed: 2,000 blobs, and one of 60 MB.
    Feed(Artefact),
    /// Processor time, peak memory and state of the artefact with an inventory of 200,000 machines, read again and again.
    Inventory(Artefact),
    /// Processor time, peak memory and state of the artefact with a scan of 100,000 activities of 4 kB.
    Activities(Artefact),
    /// Time from the start of the process to its first poll of the Lambda runtime API.
    Startup(Artefact),
    /// What a deployment costs a month: measured ticks of the artefact, times prices, for three sizes of tenant.
    Costs(costs::Order),
    #[command(hide = true)]
    Role {
        #[arg(value_enum)]
        role: Role,
    },
}

#[derive(Debug, Args)]
struct PipelineSize {
    /// Records of about 1.1 kB that are pulled in each round.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    records: u64,
    /// Rounds; the best counts.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Debug, Args)]
struct Artefact {
    /// The executable `bootstrap` [default: the one beside this executable].
    #[arg(long, value_name = "PATH")]
    artefact: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Role { role }) => child::play(role),
        Some(Command::Costs(order)) => costs::run(&order, arguments.json),
        command => measure(command).and_then(|figures| print(&figures, arguments.json)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(command: Option<Command>) -> Outcome<Figures> {
    let mut figures = Figures::default();
    match command {
        Some(Command::Pipeline { size, gzip }) => {
            let packing = if gzip { Packing::Gzip } else { Packing::Plain };
            figures.pipeline.push(pipeline::measure(size.records, size.rounds, packing)?);
        }
        Some(Command::Memory(named)) => {
            figures.memory = memory::measure()?;
            figures.memory.extend(memory::measure_artefact(&startup::artefact(named.artefact)?)?);
        }
        Some(Command::Feed(named)) => figures.feed = feed::measure(&startup::artefact(named.artefact)?)?,
        Some(Command::Inventory(named)) => {
            figures.inventory = inventory::measure(&startup::artefact(named.artefact)?)?;
        }
        Some(Command::Activities(named)) => {
            figures.activities = activities::measure(&startup::artefact(named.artefact)?)?;
        }
        Some(Command::Startup(named)) => {
            figures.startup = Some(startup::measure(&startup::artefact(named.artefact)?)?);
        }
        Some(Command::Role { .. } | Command::Costs(_)) => {}
        None => {
            let size = PipelineSize { records: 100_000, rounds: 5 };
            for packing in [Packing::Plain, Packing::Gzip] {
                figures.pipeline.push(pipeline::measure(size.records, size.rounds, packing)?);
            }
            figures.memory = memory::measure()?;
            match startup::artefact(None) {
                Ok(artefact) => {
                    figures.memory.extend(memory::measure_artefact(&artefact)?);
                    figures.feed = feed::measure(&artefact)?;
                    figures.inventory = inventory::measure(&artefact)?;
                    figures.activities = activities::measure(&artefact)?;
                    figures.startup = Some(startup::measure(&artefact)?);
                }
                Err(missing) => writeln!(io::stderr(), "the artefact is not measured: {missing}")?,
            }
        }
    }
    Ok(figures)
}

fn print(figures: &Figures, json: bool) -> Outcome<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut stdout, figures)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", figures.tables())?;
    }
    Ok(())
}
