//! `collector demo`: everything real but Microsoft and Devo, which are simulated in this process.
//!
//! The configuration is written to a folder and read back as an operator's would be; records are emitted while the
//! services collect; at the end what the receiver decoded is compared with what was emitted, byte for byte. The
//! collector's own counts are shown beside it, but they decide nothing.

mod blobs;
mod changes;
mod collect;
mod emission;
mod faults;
mod lists;
mod reads;
mod verdict;
mod world;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use collector::service::Family;
use indicatif::{ProgressBar, ProgressStyle};
use local_host::runner::{Host, prepare};
use local_host::store::FileStore;
use local_host::{config, log, stop};
use tokio::sync::watch;

use crate::cli::DemoArgs;
use crate::identity;
use crate::outcome::{Ending, Mark, fail, refuse};
use changes::Changes;
use collect::Surroundings;
use emission::{Emission, Ended};
use faults::Weather;
use verdict::Verdict;

pub use lists::List;
pub use reads::Reads;
pub use world::World;

/// Plays the demo.
pub async fn demo(arguments: &DemoArgs, families: &[&'static Family]) -> Ending {
    log::start("off");
    let started = Instant::now();
    let world = match World::create(arguments.dir.as_deref(), arguments.events, families).await {
        Ok(world) => world,
        Err(problem) => return refuse(&problem),
    };
    let played = play(arguments, families, &world).await;
    let tallies = match played {
        Ok(tallies) => tallies,
        Err(ending) => return ending,
    };
    let verdict = Verdict::of(&world, &tallies, started.elapsed());
    if arguments.json {
        anstream::println!("{}", verdict.json());
    } else {
        verdict.show();
    }
    if verdict.is_good() { Ending::Good } else { Ending::Problems }
}

async fn play(
    arguments: &DemoArgs,
    families: &[&'static Family],
    world: &World,
) -> Result<Vec<collect::Tally>, Ending> {
    let stop = stop::on_signals();
    let configuration = config::load(&world.configuration).map_err(|error| fail(&error))?;
    let state = FileStore::open(&configuration.state_file).map_err(|error| fail(&error))?;
    let host = Host { state: state.clone(), stop: stop.clone(), identity: identity(&configuration.name) };
    let runners = prepare(&configuration, families, &host).map_err(|error| fail(&error))?;
    faults::script(world, if arguments.faults { Weather::Bad } else { Weather::Fair });
    let changes = Arc::new(Changes::default());
    let emission =
        Emission::begin(world, arguments.events, Arc::clone(&changes)).map_err(|problem| refuse(&problem))?;
    let (emitted_all, emission_ended) = watch::channel(Ended::default());
    let showing = Showing::start(world, emission.expected(), changes);
    let emitting = async {
        let emitted = emission.go_on(&stop, &emitted_all).await;
        emitted_all.send_modify(Ended::with_everything);
        emitted
    };
    let surroundings = Surroundings { world, emission_ended: &emission_ended, state: &state, stop: &stop };
    let (emitted, tallies) = tokio::join!(emitting, collect::all(runners, &surroundings));
    showing.end();
    emitted.map_err(|problem| refuse(&problem))?;
    Ok(tallies)
}

/// Progress on standard error: a bar on a terminal, a line now and then elsewhere.
struct Showing {
    bar: ProgressBar,
    lines: Option<tokio::task::JoinHandle<()>>,
}

impl Showing {
    fn start(world: &World, expected: u64, changes: Arc<Changes>) -> Self {
        let template = "{spinner} {bar:40} {human_pos} of {human_len} records have arrived {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(expected).with_style(style);
        let arrived = Arc::new(AtomicU64::new(0));
        let (counter, counted_bar) = (Arc::clone(&arrived), bar.clone());
        world.receiver.on_event(move |event| {
            if !verdict::is_story(&event.tag) {
                changes.note(&verdict::without_added_members(&event.message));
                counted_bar.set_position(counter.fetch_add(1, Ordering::Relaxed) + 1);
            }
        });
        let lines =
            (!std::io::stderr().is_terminal()).then(|| tokio::spawn(print_now_and_then(arrived, expected)));
        Self { bar, lines }
    }

    fn end(self) {
        if let Some(lines) = self.lines {
            lines.abort();
        }
        self.bar.finish_and_clear();
    }
}

async fn print_now_and_then(arrived: Arc<AtomicU64>, expected: u64) {
    let mut last = None;
    loop {
        let now = arrived.load(Ordering::Relaxed);
        if last != Some(now) {
            anstream::eprintln!("{} {now} of {expected} records have arrived", Mark::Good.word());
            last = Some(now);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
