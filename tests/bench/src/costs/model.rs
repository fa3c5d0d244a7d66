//! From measured ticks to a month: what each service's ticks of a day take, in units that have a price.
//!
//! A day of a service is a handful of kinds of ticks (busy or quiet, with records or without, before its time), each with
//! how often it happens. A tick that was not measured as such lies on the line between measured ones; what only waits
//! (pages behind the first one, limits, handshakes) is added.

use serde::Serialize;

use super::assumptions::Assumptions;
use super::measure::{Course, Measured, stored};
use super::tenants::{Kind, PROFILES, Profile, Tenant};
use super::units::{GIGABYTE, gb_seconds, limit_ms, logged, stretched};
use super::world::Tick;

/// A sweep is spread over one part in so many of its hour.
const SPREAD: f64 = 3.0;
const FEW_REQUESTS: f64 = 12.0;
const LONG_SPAN_SECONDS: f64 = 60.0;
/// Entries of a listing page of a feed.
const LISTED: f64 = 100.0;

/// What is paid for, in its own units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantities {
    /// Invocations.
    pub invocations: f64,
    /// Billed time, in milliseconds.
    pub billed_ms: f64,
    /// GB-seconds.
    pub gb_seconds: f64,
    /// Write request units.
    pub writes: f64,
    /// Read request units.
    pub reads: f64,
    /// GB of rows at any time.
    pub stored_gb: f64,
    /// GB of log lines.
    pub log_gb: f64,
    /// GB to the internet.
    pub out_gb: f64,
    /// Calls to Secrets Manager.
    pub secret_calls: f64,
}

impl Quantities {
    fn add(&mut self, other: &Self, times: f64) {
        self.invocations += other.invocations * times;
        self.billed_ms += other.billed_ms * times;
        self.gb_seconds += other.gb_seconds * times;
        self.writes += other.writes * times;
        self.reads += other.reads * times;
        self.stored_gb += other.stored_gb * times;
        self.log_gb += other.log_gb * times;
        self.out_gb += other.out_gb * times;
        self.secret_calls += other.secret_calls * times;
    }
}

/// A service's month.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceMonth {
    /// Its function.
    pub function: &'static str,
    /// Records a day.
    pub records_a_day: f64,
    /// What it takes.
    pub quantities: Quantities,
    /// Some of its ticks use up their time: Microsoft's limit, not the timer, sets its pace.
    pub is_at_limit: bool,
}

/// What all services of a tenant take in so many days.
pub fn month(measured: &Measured, assumptions: &Assumptions, tenant: Tenant, days: f64) -> Vec<ServiceMonth> {
    let of = |profile| service_month(measured, assumptions, profile, tenant, days);
    PROFILES.iter().map(of).collect()
}

fn service_month(
    measured: &Measured,
    assumptions: &Assumptions,
    profile: &Profile,
    tenant: Tenant,
    days: f64,
) -> ServiceMonth {
    let records_a_day = profile.records_a_day(tenant);
    let mut quantities = Quantities::default();
    let mut is_at_limit = false;
    for (times, load) in day(assumptions, profile, records_a_day) {
        let (tick, is_cut) = tick(measured, assumptions, profile, load);
        is_at_limit |= is_cut && times > 0.0;
        quantities.add(&tick, times * days);
    }
    // What is stored was added up for all days, but a row lives only so long.
    quantities.stored_gb *= assumptions.kept_days / days;
    // The hour's reads of both secrets; a process that starts reads them at once.
    let starts = quantities.invocations * assumptions.cold_share;
    quantities.secret_calls = assumptions.secrets * (24.0 * days + starts);
    ServiceMonth { function: profile.function, records_a_day, quantities, is_at_limit }
}

/// What one tick finds.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Load {
    /// It comes before its time.
    NotDue,
    /// It looks at queues without work.
    Queue,
    /// It reads so many new records, others again, and pages of the late sweep with so many records each.
    Records { new: f64, again: f64, swept: Swept },
}

/// What the late sweep reads in a tick.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Swept {
    pages: f64,
    records: f64,
}

/// Which ticks of a service sweep, as shares of all, and what each of them reads: the pages of an hour are spread over
/// a part of it.
fn sweeps(
    assumptions: &Assumptions,
    profile: &Profile,
    records: f64,
    look_back_minutes: f64,
) -> Vec<(f64, Swept)> {
    if assumptions.sweep_hours <= 0.0 || matches!(profile.kind, Kind::Availability { .. }) {
        return vec![(1.0, Swept::default())];
    }
    let again = records * (assumptions.sweep_hours - look_back_minutes / 60.0).max(0.0) / 24.0;
    let (whole, known) = match profile.kind {
        Kind::Feed { .. } => ((again / (profile.page_records * LISTED)).ceil().max(1.0), 0.0),
        _ => (profile.requests(again, assumptions.requests_a_part), again),
    };
    let allowed = assumptions.tick_minutes * 60.0 / profile.span_seconds * profile.burst;
    let most = (allowed * assumptions.sweep_part).floor().max(1.0);
    let ticks = (60.0 / assumptions.tick_minutes).max(1.0);
    // Where the limit lets few requests through in a minute, a sweep has its whole period.
    let is_slow = profile.burst <= FEW_REQUESTS && profile.span_seconds >= LONG_SPAN_SECONDS;
    let spread = if is_slow { 1.0 } else { SPREAD };
    let a_tick = (whole / (ticks / spread).ceil()).ceil().min(most);
    let full = (whole / a_tick).floor().min(ticks);
    let rest = if full < ticks { whole - full * a_tick } else { 0.0 };
    let of = |pages: f64| Swept { pages, records: known * pages / whole };
    let with_rest = if rest > 0.0 { 1.0 } else { 0.0 };
    vec![
        (full / ticks, of(a_tick)),
        (with_rest / ticks, of(rest)),
        (1.0 - (full + with_rest) / ticks, Swept::default()),
    ]
}

/// How often in a day which kind of tick happens.
fn day(assumptions: &Assumptions, profile: &Profile, records: f64) -> Vec<(f64, Load)> {
    let ticks = assumptions.ticks_a_day();
    let look_back = match profile.kind {
        Kind::Queue => return vec![(ticks, Load::Queue)],
        Kind::Daily => {
            // What one tick cannot read, the next ones do.
            let busy = (records / profile.page_records / most_requests(assumptions, profile)).ceil();
            let busy = busy.clamp(1.0, ticks);
            let part = Load::Records { new: records / busy, again: 0.0, swept: Swept::default() };
            return vec![(busy, part), (ticks - busy, Load::NotDue)];
        }
        Kind::Collection { look_back_minutes }
        | Kind::Availability { look_back_minutes }
        | Kind::Feed { look_back_minutes } => look_back_minutes,
    };
    let look_back_minutes = assumptions.look_back_minutes.unwrap_or(look_back);
    let look_back = look_back_minutes / assumptions.tick_minutes;
    let sweeps = sweeps(assumptions, profile, records, look_back_minutes);
    let busy = ticks * assumptions.busy_hours / 24.0;
    let parts = [(busy, assumptions.busy_share), (ticks - busy, 1.0 - assumptions.busy_share)];
    let mut kinds = Vec::new();
    for (count, share) in parts {
        let a_tick = records * share / count;
        let again = a_tick * look_back;
        let with_records = 1.0 - (-a_tick).exp();
        for &(part, swept) in &sweeps {
            let times = count * part;
            kinds.push((times * (1.0 - with_records), Load::Records { new: 0.0, again, swept }));
            if with_records > 0.0 {
                let new = a_tick / with_records;
                kinds.push((times * with_records, Load::Records { new, again, swept }));
            }
        }
    }
    kinds
}

/// What one tick takes, starts of processes in their share, and whether its time is used up.
fn tick(measured: &Measured, assumptions: &Assumptions, profile: &Profile, load: Load) -> (Quantities, bool) {
    let course = match profile.kind {
        Kind::Collection { .. } | Kind::Availability { .. } | Kind::Daily => &measured.collection,
        Kind::Feed { .. } | Kind::Queue => &measured.feed,
    };
    let taken = match load {
        Load::NotDue => Taken::of(&course.not_due),
        Load::Queue => Taken::of(&measured.retry),
        Load::Records { new, again, swept } => {
            let reading = Reading::of(course, assumptions, profile, new, again).with(swept);
            records(course, assumptions, profile, new, reading)
        }
    };
    let requests = taken.requests;
    let handshakes = if requests > 0.0 { assumptions.handshakes } else { assumptions.handshakes / 2.0 };
    let logins = if requests > 0.0 { assumptions.logins } else { 0.0 };
    let wait = taken.wait_ms
        + handshakes * 2.0 * assumptions.edge_round_trip_ms
        + logins * assumptions.api_latency_ms;
    let cpu = taken.cpu_ms + handshakes * assumptions.handshake_cpu_ms;
    let warm = wait + stretch(assumptions, cpu);
    let cold = warm + cold_ms(measured, course, assumptions);
    let bill =
        |milliseconds: f64| gb_seconds(milliseconds.min(assumptions.longest_ms()), assumptions.memory_mb);
    let cold_share = assumptions.cold_share;
    let reads_of_memory = match load {
        Load::Records { again, .. } => {
            let known = (course.again.received as f64)
                .max(course.loaded.iter().map(|tick| tick.delivered as f64).sum());
            (course.cold.read_units - course.again.read_units) * (again / known.max(1.0)).max(0.1)
        }
        Load::NotDue | Load::Queue => 0.0,
    };
    let milliseconds = (1.0 - cold_share) * warm + cold_share * cold;
    let quantities = Quantities {
        invocations: 1.0,
        billed_ms: milliseconds.min(assumptions.longest_ms()),
        gb_seconds: (1.0 - cold_share) * bill(warm) + cold_share * bill(cold),
        writes: taken.writes,
        reads: taken.reads + cold_share * reads_of_memory,
        stored_gb: taken.stored / GIGABYTE,
        log_gb: logged(
            taken.log_bytes + assumptions.lambda_log_bytes,
            taken.log_lines + assumptions.lambda_log_lines,
        ) / GIGABYTE,
        out_gb: (taken.devo_bytes
            + (requests + logins) * assumptions.request_bytes
            + handshakes * assumptions.handshake_bytes)
            / GIGABYTE,
        secret_calls: 0.0,
    };
    (quantities, taken.is_cut || warm >= assumptions.longest_ms())
}

/// What a tick takes by itself, its handshakes and the start of its process aside.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Requests to the API that the month's tick makes.
    requests: f64,
    /// Microsoft's limit lets in less than there is to read before the time is up.
    is_cut: bool,
    wait_ms: f64,
    cpu_ms: f64,
    writes: f64,
    reads: f64,
    stored: f64,
    log_bytes: f64,
    log_lines: f64,
    devo_bytes: f64,
}

impl Taken {
    /// A tick that was measured as it is, and calls no API.
    fn of(tick: &Tick) -> Self {
        Self {
            requests: 0.0,
            is_cut: false,
            wait_ms: tick.wait_ms(),
            cpu_ms: tick.cpu_ms,
            writes: tick.write_units,
            reads: tick.read_units,
            stored: stored(tick),
            log_bytes: tick.log_bytes as f64,
            log_lines: tick.log_lines as f64,
            devo_bytes: tick.devo_bytes as f64,
        }
    }
}

/// What a tick reads to find its records.
struct Reading {
    /// Requests.
    requests: f64,
    /// Those that wait for one another behind the first one.
    further: f64,
    /// Milliseconds that delivering, or fetching content, makes wait.
    delivery_ms: f64,
    /// Records that come again.
    known: f64,
}

impl Reading {
    fn of(course: &Course, assumptions: &Assumptions, profile: &Profile, new: f64, again: f64) -> Self {
        let latency = assumptions.api_latency_ms;
        if let Kind::Feed { .. } = profile.kind {
            let blobs = (new / profile.page_records).ceil();
            let listings = ((blobs + again / profile.page_records) / LISTED).ceil().max(1.0);
            // Blobs are fetched side by side: how long that takes was measured.
            let fetching = (course.at(new, Tick::wait_ms) - course.idle.wait_ms()).max(0.0);
            let delivery_ms = fetching * latency / assumptions.measured_latency_ms;
            return Self { requests: listings + blobs, further: listings - 1.0, delivery_ms, known: 0.0 };
        }
        let requests = profile.requests(new + again, assumptions.requests_a_part);
        let delivery_ms = if new > 0.0 { course.wait_of_delivery(latency) } else { 0.0 };
        Self { requests, further: requests - 1.0, delivery_ms, known: again }
    }

    /// The same with pages of a late sweep behind it.
    fn with(self, swept: Swept) -> Self {
        Self {
            requests: self.requests + swept.pages,
            further: self.further + swept.pages,
            known: self.known + swept.records,
            ..self
        }
    }

    /// The same as far as it comes with this many requests.
    fn cut_to(self, most: f64) -> Self {
        let part = (most / self.requests).min(1.0);
        Self {
            requests: self.requests * part,
            further: self.further * part,
            delivery_ms: self.delivery_ms * part,
            known: self.known * part,
        }
    }
}

/// A tick that reads records.
fn records(course: &Course, assumptions: &Assumptions, profile: &Profile, new: f64, whole: Reading) -> Taken {
    let latency = assumptions.api_latency_ms;
    let span = profile.span_seconds * 1e3;
    let most = most_requests(assumptions, profile);
    let is_cut = whole.requests > most;
    let reading = whole.cut_to(most);
    let cpu_of_records = new * course.cpu_of_new() + reading.known * course.cpu_of_known();
    // Work is done while the limit makes wait.
    let work = reading.further * latency + stretch(assumptions, cpu_of_records);
    let limit = limit_ms(reading.requests, profile.burst, span);
    let slower = course.idle.requests as f64 * (latency - assumptions.measured_latency_ms);
    let wait = course.idle.wait_ms() + slower + reading.delivery_ms + reading.further * latency;
    Taken {
        requests: reading.requests,
        is_cut,
        wait_ms: wait + (limit - work).max(0.0),
        cpu_ms: course.idle.cpu_ms + cpu_of_records,
        writes: course.at(new, |tick| tick.write_units),
        reads: course.at(new, |tick| tick.read_units),
        stored: course.at(new, stored),
        log_bytes: course.at(new, |tick| tick.log_bytes as f64),
        log_lines: course.at(new, |tick| tick.log_lines as f64),
        devo_bytes: course.at(new, |tick| tick.devo_bytes as f64),
    }
}

/// Requests that the limit lets in before a tick's time is up.
fn most_requests(assumptions: &Assumptions, profile: &Profile) -> f64 {
    (assumptions.longest_ms() / 1e3 / profile.span_seconds).floor().max(1.0) * profile.burst
}

/// What the first tick of a process takes longer than the same in one that knows what it reads, INIT included.
fn cold_ms(measured: &Measured, course: &Course, assumptions: &Assumptions) -> f64 {
    let wait = (course.cold.wait_ms() - course.again.wait_ms()).max(0.0);
    let cpu = (course.cold.cpu_ms - course.again.cpu_ms).max(0.0);
    // INIT runs on a whole processor, whatever the memory.
    measured.start_ms + assumptions.init_ms + wait + stretch(assumptions, cpu)
}

fn stretch(assumptions: &Assumptions, cpu_ms: f64) -> f64 {
    stretched(cpu_ms, assumptions.memory_mb, assumptions.mb_a_processor)
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
