//! Whether everything that was emitted arrived exactly once, judged from the receiver's side.
//!
//! A delivered message is the record's own bytes with members added at its end. They are taken off, and what is left
//! must be one of the emitted records, byte for byte; each of those must be there once.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::Serialize;
use simulator::receiver::ConnectionEnd;

use super::collect::Tally;
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
    /// What the receiver found wrong with the lines themselves.
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
    /// Distinct records that exist in the tenant.
    emitted: u64,
    /// Records that the collector received, those that came again included.
    received: u64,
    /// Records that the collector dropped because they were delivered before.
    dropped: u64,
    /// Records that the receiver decoded.
    delivered: u64,
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

/// True for the tags of the collector's own log and metric events.
pub fn is_story(tag: &str) -> bool {
    tag.starts_with(STORY_TAGS)
}

impl Verdict {
    /// Compares what the receiver decoded with what the tenant holds.
    pub fn of(world: &World, tallies: &[Tally], elapsed: Duration) -> Self {
        let events = world.receiver.events();
        let services = world
            .services
            .iter()
            .map(|(service, endpoint)| {
                let mut one = ServiceVerdict { service: service.function, ..ServiceVerdict::default() };
                if let Some(tally) = tallies.iter().find(|tally| tally.service == service.function) {
                    one.take_over(tally);
                }
                let emitted = world.tenant.emitted(*endpoint);
                let arrived: Vec<_> = events
                    .iter()
                    .filter(|event| event.host == service.function && !is_story(&event.tag))
                    .map(|event| (event.tag.as_str(), &*event.message))
                    .collect();
                one.compare(emitted.iter().map(|record| &**record), &arrived);
                one
            })
            .collect();
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
        let copy_error = world.receiver.copy_error().into_iter();
        Self {
            services,
            faults: (spoilt_requests.count() + spoilt_connections.count()) as u64,
            violations: violations
                .iter()
                .map(|(connection, violation)| format!("connection {connection}: {violation:?}"))
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
            services.add_row([
                one.service.to_owned(),
                grouped(one.emitted),
                grouped(one.received),
                grouped(one.dropped),
                grouped(one.delivered),
                tables.join("\n"),
            ]);
        }
        anstream::println!("{services}");
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

    fn compare<'a>(&mut self, emitted: impl Iterator<Item = &'a [u8]>, arrived: &[(&str, &[u8])]) {
        let mut arrivals: HashMap<&[u8], u64> = emitted.map(|record| (record, 0)).collect();
        self.emitted = arrivals.len() as u64;
        for (tag, message) in arrived {
            self.delivered += 1;
            *self.tables.entry((*tag).to_owned()).or_default() += 1;
            match arrivals.get_mut(without_added_members(message).as_slice()) {
                Some(count) => *count += 1,
                None => self.unknown += 1,
            }
        }
        self.missing = arrivals.values().filter(|count| **count == 0).count() as u64;
        self.repeated = arrivals.values().map(|count| count.saturating_sub(1)).sum();
    }

    fn is_good(&self) -> bool {
        self.emitted > 0 && self.missing + self.repeated + self.unknown == 0
    }
}

/// The record inside a message. A message without the added members is given back as it is, and so is no record.
fn without_added_members(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    match text.rsplit_once(ADDED_MEMBERS) {
        Some((record, _)) => format!("{record}}}").into_bytes(),
        None => [message, b" (without @devo_environment)"].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(emitted: &[&str], arrived: &[&str]) -> ServiceVerdict {
        let arrived: Vec<_> = arrived.iter().map(|message| ("my.tag", message.as_bytes())).collect();
        let mut verdict = ServiceVerdict::default();
        verdict.compare(emitted.iter().map(|record| record.as_bytes()), &arrived);
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
            let arrived: Vec<_> = arrived.iter().map(String::as_str).collect();
            let verdict = compared(&[one, two, one], &arrived);
            assert_eq!(verdict.is_good(), is_good, "{arrived:?}");
            assert_eq!((verdict.missing, verdict.repeated, verdict.unknown), counts, "{arrived:?}");
            assert_eq!((verdict.emitted, verdict.delivered), (2, arrived.len() as u64));
        }
    }

    #[test]
    fn a_demo_without_records_proves_nothing() {
        assert!(!compared(&[], &[]).is_good());
    }
}
