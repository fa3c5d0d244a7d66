//! Whether everything that was emitted arrived exactly once, judged from the receiver's side.
//!
//! A delivered message is the record's own bytes with members added at its end. They are taken off, and what is left
//! must be one of the emitted records, byte for byte; each of those must be there once. A record of a feed may arrive
//! under the feed's own name or, when its content failed at first, under that of the service that retries it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;
use simulator::receiver::{ConnectionEnd, Event};

use super::collect::Tally;
use super::reads::Reads;
use super::world::World;
use crate::outcome::Mark;
use crate::table::{grouped, table};

/// How the tags of the collector's own log and metric events begin.
const STORY_TAGS: &str = "devo.collector";

/// Where the members begin that the collector adds to a record.
const ADDED_MEMBERS: &str = ",\"@devo_environment\":";

/// The result of a demo.
#[derive(Debug, Serialize)]
pub struct Verdict {
    services: Vec<ServiceVerdict>,
    /// Requests and connections that the script spoilt.
    faults: u64,
    /// What the receiver found wrong with the lines themselves, and the tenant with the requests.
    violations: Vec<String>,
    seconds: f64,
    configuration: String,
    state: String,
    received_events: String,
}

/// The result of one service.
#[derive(Debug, Default, Serialize)]
struct ServiceVerdict {
    service: &'static str,
    #[serde(skip)]
    role: Role,
    /// Distinct records that exist in the tenant in what this service reads; a queue has none of its own.
    emitted: u64,
    /// Records that the collector received, those that came again included.
    received: u64,
    /// Records that the collector dropped because they were delivered before.
    dropped: u64,
    /// Records that the receiver decoded under this service's name.
    delivered: u64,
    /// Records of this service that arrived under the name of the one that retries failed content.
    retried: u64,
    /// Emitted records that did not arrive.
    missing: u64,
    /// Arrivals of a record that had arrived before.
    repeated: u64,
    /// Arrivals that are no emitted record.
    unknown: u64,
    /// Arrivals by tag.
    tables: BTreeMap<String, u64>,
    requests: u64,
    invocations: u64,
    failures: Vec<String>,
}

/// Whose records a service delivers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    /// Those that it reads.
    #[default]
    Reader,
    /// Those of the feeds.
    Retrier,
}

/// One record as the receiver decoded it.
struct Arrival {
    tag: String,
    record: Vec<u8>,
}

/// What arrived under the name of the service that retries failed content, and which of it belongs to a feed.
#[derive(Default)]
struct Retried {
    arrivals: Vec<Arrival>,
    claimed: Vec<bool>,
}

/// True for the tags of the collector's own log and metric events.
pub fn is_story(tag: &str) -> bool {
    tag.starts_with(STORY_TAGS)
}

impl Verdict {
    /// Compares what the receiver decoded with what the tenant holds.
    pub fn of(world: &World, tallies: &[Tally], elapsed: Duration) -> Self {
        let events = world.receiver.events();
        let queues = world.services.iter().filter(|(_, reads)| *reads == Reads::Queue);
        let mut retried =
            Retried::new(queues.flat_map(|(service, _)| arrivals(&events, service.function)).collect());
        let mut services: Vec<_> = world
            .services
            .iter()
            .map(|(service, reads)| {
                let mut one = ServiceVerdict { service: service.function, ..ServiceVerdict::default() };
                if let Some(tally) = tallies.iter().find(|tally| tally.service == service.function) {
                    one.take_over(tally);
                }
                match reads {
                    Reads::Queue => one.role = Role::Retrier,
                    Reads::Collection(_)
                    | Reads::Days(_)
                    | Reads::Feed(_)
                    | Reads::List(_)
                    | Reads::Table(_) => {
                        let emitted = world.emitted(*reads);
                        let records = emitted.iter().map(|record| &**record);
                        one.compare(records, &arrivals(&events, service.function), &mut retried);
                    }
                }
                one
            })
            .collect();
        services
            .iter_mut()
            .filter(|one| one.role == Role::Retrier)
            .for_each(|one| one.take_retried(&retried));
        let spoilt_requests = world
            .tenant
            .requests()
            .into_iter()
            .filter(|request| request.note.as_ref().is_some_and(|note| note.starts_with("scripted")));
        let spoilt_connections = world
            .receiver
            .connections()
            .into_iter()
            .filter(|connection| connection.end == Some(ConnectionEnd::Scripted));
        let violations = world.receiver.violations();
        let broken_rules = world.tenant.violations();
        let copy_error = world.receiver.copy_error().into_iter();
        Self {
            services,
            faults: (spoilt_requests.count() + spoilt_connections.count()) as u64,
            violations: violations
                .iter()
                .map(|(connection, violation)| format!("connection {connection}: {violation:?}"))
                .chain(broken_rules.iter().map(|(number, rule)| format!("request {number}: {rule:?}")))
                .chain(copy_error.map(|cause| format!("the received events cannot be written: {cause}")))
                .collect(),
            seconds: elapsed.as_secs_f64(),
            configuration: world.configuration.display().to_string(),
            state: world.state.display().to_string(),
            received_events: world.received.display().to_string(),
        }
    }

    /// Everything arrived exactly once, in lines as they must be.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty() && self.services.iter().all(ServiceVerdict::is_good)
    }

    /// The result for programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The result for people, on standard output.
    pub fn show(&self) {
        let numbers = ["emitted", "received", "dropped", "delivered"];
        let mut services =
            table(&["service", "emitted", "received", "dropped", "delivered", "tables"], &numbers);
        for one in &self.services {
            let tables: Vec<_> =
                one.tables.iter().map(|(tag, count)| format!("{tag} {}", grouped(*count))).collect();
            let emitted = match one.role {
                Role::Reader => grouped(one.emitted),
                Role::Retrier => "-".to_owned(),
            };
            services.add_row([
                one.service.to_owned(),
                emitted,
                grouped(one.received),
                grouped(one.dropped),
                grouped(one.delivered),
                tables.join("\n"),
            ]);
        }
        anstream::println!("{services}");
        for one in self.services.iter().filter(|one| one.role == Role::Retrier) {
            let (service, delivered) = (one.service, grouped(one.delivered));
            anstream::println!(
                "{service} delivered {delivered} records of the feeds: their content could not be had at first"
            );
        }
        for line in self.problems() {
            anstream::println!("{} {line}", Mark::Problem.word());
        }
        let total: u64 = self.services.iter().map(|one| one.emitted).sum();
        if self.is_good() {
            let faults =
                if self.faults > 0 { format!(", in spite of {} faults", self.faults) } else { String::new() };
            let (word, records) = (Mark::Good.word(), grouped(total));
            anstream::println!(
                "{word} {records} records, each arrived exactly once, in {:.1} s{faults}",
                self.seconds
            );
        }
        anstream::println!("configuration    {}", self.configuration);
        anstream::println!("state            {}", self.state);
        anstream::println!("received events  {}", self.received_events);
    }

    fn problems(&self) -> Vec<String> {
        let mut lines = self.violations.clone();
        for one in self.services.iter().filter(|one| !one.is_good()) {
            let (service, missing, repeated, unknown) = (one.service, one.missing, one.repeated, one.unknown);
            lines.push(format!(
                "{service}: {missing} records missing, {repeated} repeated, {unknown} unknown"
            ));
            lines.extend(one.failures.iter().map(|failure| format!("{service}: {failure}")));
        }
        lines
    }
}

impl ServiceVerdict {
    fn take_over(&mut self, tally: &Tally) {
        self.received = tally.received;
        self.dropped = tally.duplicates;
        self.requests = tally.requests;
        self.invocations = tally.invocations;
        self.failures.clone_from(&tally.failures);
    }

    /// Compares what exists with what arrived, and claims what arrived by way of a retry.
    fn compare<'a>(
        &mut self,
        emitted: impl Iterator<Item = &'a [u8]>,
        arrived: &[Arrival],
        retried: &mut Retried,
    ) {
        let mut counts: HashMap<&[u8], u64> = emitted.map(|record| (record, 0)).collect();
        self.emitted = counts.len() as u64;
        for Arrival { tag, record } in arrived {
            self.note_delivered(tag);
            match counts.get_mut(record.as_slice()) {
                Some(count) => *count += 1,
                None => self.unknown += 1,
            }
        }
        for (Arrival { record, .. }, claimed) in retried.arrivals.iter().zip(&mut retried.claimed) {
            if let Some(count) = counts.get_mut(record.as_slice()) {
                *count += 1;
                *claimed = true;
                self.retried += 1;
            }
        }
        self.missing = counts.values().filter(|count| **count == 0).count() as u64;
        self.repeated = counts.values().map(|count| count.saturating_sub(1)).sum();
    }

    /// What arrived under this service's name; whatever no feed has claimed is nobody's record.
    fn take_retried(&mut self, retried: &Retried) {
        retried.arrivals.iter().for_each(|arrival| self.note_delivered(&arrival.tag));
        self.unknown = retried.claimed.iter().filter(|claimed| !**claimed).count() as u64;
    }

    fn note_delivered(&mut self, tag: &str) {
        self.delivered += 1;
        *self.tables.entry(tag.to_owned()).or_default() += 1;
    }

    fn is_good(&self) -> bool {
        let has_records = self.emitted > 0 || self.role == Role::Retrier;
        has_records && self.missing + self.repeated + self.unknown == 0
    }
}

impl Retried {
    fn new(arrivals: Vec<Arrival>) -> Self {
        Self { claimed: vec![false; arrivals.len()], arrivals }
    }
}

/// The records that arrived under the name of this function.
fn arrivals(events: &[Event], function: &str) -> Vec<Arrival> {
    let records = events.iter().filter(|event| event.host == function && !is_story(&event.tag));
    records
        .map(|event| Arrival { tag: event.tag.clone(), record: without_added_members(&event.message) })
        .collect()
}

/// The record inside a message. A message without the added members is given back as it is, and so is no record.
pub fn without_added_members(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    match text.rsplit_once(ADDED_MEMBERS) {
        Some((record, _)) => format!("{record}}}").into_bytes(),
        None => [message, b" (without @devo_environment)"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals_of(messages: &[String]) -> Vec<Arrival> {
        let record = |message: &String| without_added_members(message.as_bytes());
        messages.iter().map(|message| Arrival { tag: "my.tag".to_owned(), record: record(message) }).collect()
    }

    fn compared(emitted: &[&str], arrived: &[String], retried: &mut Retried) -> ServiceVerdict {
        let mut verdict = ServiceVerdict::default();
        verdict.compare(emitted.iter().map(|record| record.as_bytes()), &arrivals_of(arrived), retried);
        verdict
    }

    fn sent(record: &str) -> String {
        let body = record.strip_suffix('}').unwrap();
        format!("{body},\"@devo_environment\":\"demo\",\"@devo_pulling_id\":\"1\"}}")
    }

    #[test]
    fn only_each_record_once_and_byte_for_byte_is_good() {
        let (one, two) = (r#"{"n":1}"#, r#"{"n":2,"@devo_environment":"x"}"#);
        let cases = [
            (vec![sent(one), sent(two)], true, (0, 0, 0)),
            (vec![sent(two), sent(one)], true, (0, 0, 0)),
            (vec![sent(one)], false, (1, 0, 0)),
            (vec![sent(one), sent(two), sent(two)], false, (0, 1, 0)),
            (vec![sent(one), sent(r#"{"n": 2}"#)], false, (1, 0, 1)),
            (vec![sent(one), two.to_owned()], false, (1, 0, 1)),
            (vec![one.to_owned(), sent(two)], false, (1, 0, 1)),
        ];
        for (arrived, is_good, counts) in cases {
            let verdict = compared(&[one, two, one], &arrived, &mut Retried::default());
            assert_eq!(verdict.is_good(), is_good, "{arrived:?}");
            assert_eq!((verdict.missing, verdict.repeated, verdict.unknown), counts, "{arrived:?}");
            assert_eq!((verdict.emitted, verdict.delivered), (2, arrived.len() as u64));
        }
    }

    #[test]
    fn a_record_may_arrive_by_way_of_a_retry_but_not_by_both_ways_and_not_a_strange_one() {
        let (one, two, strange) = (r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#);
        let cases = [
            (vec![sent(one)], vec![sent(two)], (true, true)),
            (vec![], vec![sent(two), sent(one)], (true, true)),
            (vec![sent(one), sent(two)], vec![], (true, true)),
            (vec![sent(one), sent(two)], vec![sent(two)], (false, true)),
            (vec![sent(one)], vec![sent(two), sent(two)], (false, true)),
            (vec![sent(one)], vec![sent(strange)], (false, false)),
            (vec![sent(one), sent(two)], vec![sent(strange)], (true, false)),
        ];
        for (own, by_retry, expected) in cases {
            let mut retried = Retried::new(arrivals_of(&by_retry));
            let feed = compared(&[one, two], &own, &mut retried);
            let mut retrier = ServiceVerdict { role: Role::Retrier, ..ServiceVerdict::default() };
            retrier.take_retried(&retried);
            assert_eq!((feed.is_good(), retrier.is_good()), expected, "{own:?} {by_retry:?}");
            assert_eq!((feed.delivered, retrier.delivered), (own.len() as u64, by_retry.len() as u64));
            assert_eq!(
                feed.retried + retrier.unknown,
                retrier.delivered,
                "each retry is somebody's or nobody's"
            );
        }
    }

    #[test]
    fn a_demo_without_records_proves_nothing() {
        assert!(!compared(&[], &[], &mut Retried::default()).is_good());
    }
}
