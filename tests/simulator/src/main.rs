//! The simulated parties as one process, to try a collector against by hand.
//!
//! Starts a tenant with generated records and a Devo receiver, writes a ready-made configuration for either host of
//! the collector into one folder, prints where everything is, and runs until Ctrl-C.

mod files;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use simulator::receiver::{Receiver, ReceiverConfig, Transport};
use simulator::records::{cloud_apps_record, defender_record, hunting_row, machine, office365, record};
use simulator::runtime::{Runtime, RuntimeConfig};
use simulator::tenant::{
    CloudAppsConfig, CloudAppsList, ContentType, DefenderConfig, DefenderList, Endpoint, FeedConfig, Tenant,
    TenantConfig, Throttle,
};

/// The table of hunting that has rows.
const HUNTING_TABLE: &str = "DeviceProcessEvents";

/// Records of a generated blob.
const RECORDS_OF_A_BLOB: usize = 10;

const EXAMPLES: &str = "Examples:
  100 records for each endpoint and feed, mutual TLS:
      simulator
  a busier tenant with Microsoft's request limit, one more record every 2 s:
      simulator --events 5000 --every 2 --throttle published
  a plain TCP receiver; configuration and received events in the folder `try`:
      simulator --transport plain --out try
  also a Lambda runtime API, for the executable `bootstrap`:
      simulator --runtime";

/// Simulates a Microsoft tenant and a Devo receiver until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "simulator", version, after_help = EXAMPLES)]
struct Arguments {
    /// Records generated for each endpoint, each activity feed, each list of Defender for Endpoint and its table
    /// DeviceProcessEvents, and each list of Defender for Cloud Apps, spread over the last hour; secure scores: one for
    /// each of the last days, at most 90.
    #[arg(long, default_value_t = 100, value_name = "N")]
    events: u64,
    /// Seed of the records: the same seed gives the same content.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Emit one more record for each endpoint and feed every so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Further machines in the inventory of Defender for Endpoint; any number costs next to nothing.
    #[arg(long, default_value_t = 0, value_name = "N")]
    machines: usize,
    /// Folder for configuration, certificates and received events [default: a new temporary folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Address of the tenant.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "IP:PORT")]
    tenant_address: SocketAddr,
    /// Address of the receiver.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "IP:PORT")]
    receiver_address: SocketAddr,
    /// What lies under the receiver's stream.
    #[arg(long, value_enum, default_value_t = TransportChoice::Tls)]
    transport: TransportChoice,
    /// Request limit of the tenant.
    #[arg(long, value_enum, default_value_t = ThrottleChoice::None)]
    throttle: ThrottleChoice,
    /// Also start a Lambda runtime API, with one timer tick in its queue.
    #[arg(long)]
    runtime: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TransportChoice {
    /// TLS with client certificates.
    Tls,
    /// TCP alone.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ThrottleChoice {
    /// No limit.
    None,
    /// 5 requests in 10 seconds over all audit logs, 150 a minute over the security endpoints, 2,000 a minute over all
    /// feeds, 100 a minute and 1,500 an hour over Defender for Endpoint, 45 queries a minute, 30 a minute over Defender
    /// for Cloud Apps.
    Published,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let out = match &arguments.out {
        Some(folder) => folder.clone(),
        None => tempfile::Builder::new().prefix("simulator-").tempdir()?.keep(),
    };
    let out = files::make_folders(&out)?;
    let tenant = start_tenant(&arguments).await?;
    let receiver = start_receiver(&arguments, &out).await?;
    let written = files::write_configuration(&out, &tenant, &receiver)?;
    let runtime =
        if arguments.runtime { Some(Runtime::start(RuntimeConfig::default()).await?) } else { None };

    let mut stdout = io::stdout().lock();
    writeln!(stdout, "tenant       {}", tenant.base_url())?;
    writeln!(stdout, "receiver     {}", receiver.address())?;
    for (what, path) in &written {
        writeln!(stdout, "{what:<12} {}", path.display())?;
    }
    if let Some(runtime) = &runtime {
        let invocation = runtime.invoke("{}", Duration::from_secs(60))?;
        tokio::spawn(async move {
            let answer = invocation.answer().await;
            // A closed standard output is no reason to stop serving.
            let _ = writeln!(io::stdout(), "answer       {answer:?}");
        });
        writeln!(stdout, "runtime      AWS_LAMBDA_RUNTIME_API={}", runtime.address())?;
    }
    writeln!(
        stdout,
        "{} records for each of {} endpoints, {} feeds, {} lists of Defender for Endpoint and {} of Defender for Cloud \
         Apps; Ctrl-C ends",
        arguments.events,
        Endpoint::ALL.len(),
        ContentType::ALL.len(),
        DefenderList::ALL.len(),
        CloudAppsList::ALL.len()
    )?;
    drop(stdout);

    run(&arguments, &tenant).await?;
    let (requests, events) = (tenant.requests().len(), receiver.event_count());
    writeln!(io::stdout(), "{requests} requests were answered, {events} events were received")?;
    Ok(())
}

async fn start_tenant(arguments: &Arguments) -> Result<Tenant, Box<dyn std::error::Error>> {
    let (throttle, security_throttle, feed_throttle) = match arguments.throttle {
        ThrottleChoice::None => (None, None, None),
        ThrottleChoice::Published => {
            (Some(Throttle::PUBLISHED), Some(Throttle::SECURITY_PUBLISHED), Some(Throttle::FEED_BASELINE))
        }
    };
    let defender = match arguments.throttle {
        ThrottleChoice::None => DefenderConfig::default(),
        ThrottleChoice::Published => DefenderConfig::default().published(),
    };
    let cloud_apps = match arguments.throttle {
        ThrottleChoice::None => CloudAppsConfig::default(),
        ThrottleChoice::Published => CloudAppsConfig::default().published(),
    };
    let feed = FeedConfig { throttle: feed_throttle, ..FeedConfig::default() };
    let config = TenantConfig {
        listen: arguments.tenant_address,
        throttle,
        security_throttle,
        feed,
        defender,
        cloud_apps,
        ..TenantConfig::default()
    };
    let tenant = Tenant::start(config).await?;
    let now = Timestamp::now();
    let mut emitted = Vec::new();
    for number in 0..arguments.events {
        let share =
            SignedDuration::from_hours(1).as_millis() * i128::from(number + 1) / i128::from(arguments.events);
        let time = now - SignedDuration::from_hours(1) + SignedDuration::from_millis(i64::try_from(share)?);
        let seed = arguments.seed.wrapping_add(number);
        emit(&tenant, seed, time, now - SignedDuration::from_hours(24) * i32::try_from(number.min(90))?)?;
        emitted.push((seed, time));
    }
    emitted.chunks(RECORDS_OF_A_BLOB).for_each(|records| emit_blobs(&tenant, records));
    let first = arguments.seed.wrapping_add(u64::from(u32::MAX));
    let further = move |index| machine(first.wrapping_add(index as u64), now);
    tenant.fill_defender(DefenderList::Machines, arguments.machines, Arc::new(further));
    Ok(tenant)
}

async fn start_receiver(arguments: &Arguments, out: &std::path::Path) -> io::Result<Receiver> {
    let transport = match arguments.transport {
        TransportChoice::Tls => Transport::mutual_tls(),
        TransportChoice::Plain => Transport::Plain,
    };
    let config = ReceiverConfig {
        listen: arguments.receiver_address,
        transport,
        copy_to: Some(out.join(files::EVENTS)),
        ..ReceiverConfig::default()
    };
    Receiver::start(config).await
}

async fn run(arguments: &Arguments, tenant: &Tenant) -> Result<(), Box<dyn std::error::Error>> {
    let Some(seconds) = arguments.every else {
        return Ok(tokio::signal::ctrl_c().await?);
    };
    let mut seed = arguments.seed.wrapping_add(arguments.events);
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    loop {
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
            _ = ticks.tick() => {
                let now = Timestamp::now();
                emit(tenant, seed, now, now)?;
                emit_blobs(tenant, &[(seed, now)]);
                seed = seed.wrapping_add(1);
            }
        }
    }
}

/// One record for each endpoint, each list of either Defender and the table of hunting; a score belongs to a day of its own.
fn emit(
    tenant: &Tenant,
    seed: u64,
    time: Timestamp,
    day: Timestamp,
) -> Result<(), Box<dyn std::error::Error>> {
    for endpoint in Endpoint::ALL {
        let time = if endpoint == Endpoint::SecureScores { day } else { time };
        tenant.emit(endpoint, record(endpoint, seed, time))?;
    }
    for list in DefenderList::ALL {
        tenant.emit_defender(list, defender_record(list, seed, time))?;
    }
    for list in CloudAppsList::ALL {
        tenant.emit_cloud_apps(list, cloud_apps_record(list, seed, time))?;
    }
    tenant.emit_hunting(HUNTING_TABLE, time, hunting_row(seed, time));
    Ok(())
}

/// One blob for each feed, created when its last record happened.
fn emit_blobs(tenant: &Tenant, seeds_and_times: &[(u64, Timestamp)]) {
    let Some((_, created)) = seeds_and_times.last() else {
        return;
    };
    for content_type in ContentType::ALL {
        let records =
            seeds_and_times.iter().map(|(seed, time)| office365(content_type, *seed, *time)).collect();
        tenant.emit_blob(content_type, *created, records);
    }
}
