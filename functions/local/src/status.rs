//! `collector status`: where each service stands.

use collector::service::{Family, Service};
use jiff::Timestamp;
use local_host::status::{ServiceStatus, read};
use local_host::store::FileStore;
use local_host::{config, log, runner};

use crate::cli::StatusArgs;
use crate::locate;
use crate::outcome::{Ending, Mark, fail};
use crate::table::{duration, grouped, table};

/// Prints the status of all enabled services.
pub async fn status(arguments: &StatusArgs, families: &[&'static Family]) -> Ending {
    log::start("error");
    let now = Timestamp::now();
    let resolved = config::load(&locate(&arguments.config)).and_then(|configuration| {
        let services = runner::resolve(&configuration, families)?;
        let path = &configuration.state_file;
        let state = if path.exists() { Some(FileStore::open_read_only(path)?) } else { None };
        Ok((services, state))
    });
    let (services, state) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return fail(&error),
    };
    let mut all = Vec::new();
    for settings in &services.enabled {
        match read(state.as_ref(), settings, now).await {
            Ok(one) => all.push(one),
            Err(error) => return fail(&error),
        }
    }
    if arguments.json {
        match serde_json::to_string_pretty(&all) {
            Ok(text) => anstream::println!("{text}"),
            Err(cause) => return crate::outcome::refuse(&format!("the status cannot be shown: {cause}")),
        }
    } else {
        let queues = services.enabled.iter().map(|settings| settings.service);
        let retriers: Vec<_> = queues.filter(|service| service.query.has_no_listing()).collect();
        show(&all, &retriers);
    }
    Ending::Good
}

fn show(all: &[ServiceStatus], retriers: &[&Service]) {
    let numbers = ["lag", "received", "dropped", "delivered", "late", "swept every", "retries"];
    let header = [
        "service",
        "newest record",
        "lag",
        "received",
        "dropped",
        "delivered",
        "late",
        "swept every",
        "retries",
        "last pull",
        "last result",
    ];
    let mut services = table(&header, &numbers);
    let time = |instant: Option<Timestamp>| {
        instant.map_or_else(|| "-".to_owned(), |instant| format!("{instant:.0}"))
    };
    for one in all {
        let counts = one.last_24_hours;
        let result = match (&one.running, &one.last_error, &one.last_result) {
            (Some(_), _, _) => "running".to_owned(),
            (None, _, Some(result)) => result.clone(),
            (None, Some(_), None) => "failed".to_owned(),
            (None, None, None) => "never ran".to_owned(),
        };
        services.add_row([
            one.service.to_owned(),
            time(one.last_event_time_in_utc),
            one.lag_seconds.map_or_else(|| "-".to_owned(), duration),
            grouped(counts.received),
            grouped(counts.duplicates),
            grouped(counts.delivered),
            grouped(counts.late),
            one.late_sweep_period_in_seconds.map_or_else(|| "-".to_owned(), duration),
            grouped(one.pending_retries),
            time(one.last_pull_in_utc),
            result,
        ]);
    }
    anstream::println!(
        "{services}\nreceived, dropped, delivered and late are those of the last 24 hours; late are \
         those of the delivered that came later than the look-back and were found by the late sweep"
    );
    for retrier in retriers {
        let function = retrier.function;
        anstream::println!(
            "{function}: retries are those of all feeds; what it delivers counts as the feed's"
        );
    }
    for one in all.iter().filter(|one| one.last_24_hours.lost_uris > 0) {
        let lost = grouped(one.last_24_hours.lost_uris);
        anstream::println!("{}: {lost} content URIs were lost in the last 24 hours", one.service);
    }
    let mut backfills = table(&["backfill of", "from", "to", "mode", "state", "position"], &[]);
    for one in all {
        for backfill in &one.backfills {
            backfills.add_row([
                one.service,
                &backfill.from,
                &backfill.to,
                if backfill.resend { "resend" } else { "missing" },
                backfill.state,
                &time(backfill.position_in_utc),
            ]);
        }
    }
    if backfills.row_count() > 0 {
        anstream::println!("{backfills}");
    }
    let mut queries =
        table(&["queries of", "query", "newest row", "complete to", "last run", "last result"], &[]);
    for one in all {
        for query in &one.queries {
            queries.add_row([
                one.service,
                &query.name,
                &time(query.last_event_time_in_utc),
                &time(query.complete_to_in_utc),
                &time(query.last_pull_in_utc),
                match (&query.last_error, query.last_pull_in_utc) {
                    (Some(_), _) => "refused",
                    (None, Some(_)) => "good",
                    (None, None) => "never ran",
                },
            ]);
        }
    }
    if queries.row_count() > 0 {
        anstream::println!("{queries}");
    }
    errors(all).iter().for_each(|line| anstream::println!("{} {line}", Mark::Problem.word()));
}

/// What failed last, one line each: messages would make the columns of a table too wide to be read.
fn errors(all: &[ServiceStatus]) -> Vec<String> {
    let one_line = |error: &str| error.lines().collect::<Vec<_>>().join("; ");
    let mut lines = Vec::new();
    for one in all {
        let of_queries = one.queries.iter().filter_map(|query| {
            let error = one_line(query.last_error.as_deref()?);
            Some(format!("{}, query {}: {error}", one.service, query.name))
        });
        let of_queries: Vec<_> = of_queries.collect();
        // That of the service is the first one of its queries.
        if of_queries.is_empty() {
            lines.extend(
                one.last_error.as_deref().map(|error| format!("{}: {}", one.service, one_line(error))),
            );
        }
        lines.extend(of_queries);
    }
    lines
}
