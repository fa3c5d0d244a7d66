//! The ledger: what was received, dropped and delivered, one row a service and UTC hour, kept for 30 days.
//!
//! Counts are booked in the commits they belong to. A commit without rows of its own would cost three times as much
//! with one, so its counts wait in the checkpoint for the next commit that has rows.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use crate::checkpoint::Counts;
use crate::ports::{Row, Sink, Source, StateStore, Write};
use crate::report::Report;
use crate::window::later;

use super::Run;

/// Key prefix of the ledger's rows, followed by the UTC hour as `2026-11-20T10`.
pub const LEDGER_PREFIX: &str = "ledger#";
/// How long a row is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Hours that wait in the checkpoint at the most; it must stay a small row.
const MOST_CARRIED: usize = 6;

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Books what was counted since the last commit: as rows, or in the checkpoint when the commit has no rows.
    pub(super) fn book(&mut self, writes: &mut Vec<Write>) {
        let now = self.now();
        let mut carried = self.committed.ledger_carry.clone();
        let hour = carried.entry(now.strftime("%Y-%m-%dT%H").to_string()).or_default();
        for (name, total) in self.totals() {
            let booked = self.booked.get(name).copied().unwrap_or(0);
            if total > booked {
                *hour.entry(name.to_owned()).or_default() += total - booked;
            }
        }
        carried.retain(|_, counts| !counts.is_empty());
        if writes.is_empty() && carried.len() <= MOST_CARRIED {
            self.next.ledger_carry = carried;
            return;
        }
        self.next.ledger_carry.clear();
        writes.extend(carried.iter().map(|(hour, counts)| Write::Add(row(hour, counts, now))));
    }

    /// The counts so far, the open batch as delivered.
    fn totals(&self) -> BTreeMap<&'static str, u64> {
        let mut totals = BTreeMap::from(counts_of(&self.report));
        let batch = &self.batch;
        let open = [
            ("delivered", batch.records),
            ("late", batch.late),
            ("sent", batch.events),
            ("bytes_sent", batch.bytes as u64),
            ("failed_uris", batch.failed_uris),
            ("lost_uris", batch.lost_uris),
        ];
        for (name, open) in open {
            *totals.entry(name).or_default() += open;
        }
        totals
    }

    /// These counts are in another partition's ledger.
    pub(super) fn mark_booked_elsewhere(&mut self, report: &Report) {
        for (name, count) in counts_of(report) {
            *self.booked.entry(name.to_owned()).or_default() += count;
        }
    }

    /// Everything counted so far is in the store.
    pub(super) fn mark_booked(&mut self) {
        self.booked = self.totals().into_iter().map(|(name, total)| (name.to_owned(), total)).collect();
    }
}

fn counts_of(report: &Report) -> [(&'static str, u64); 12] {
    [
        ("pulls", u64::from(report.devo_pulling_id.is_some())),
        ("requests", report.requests),
        ("received", report.received),
        ("duplicates", report.duplicates),
        ("delivered", report.delivered),
        ("failed", report.failed),
        ("sent", report.sent),
        ("bytes_sent", report.bytes_sent),
        ("late", report.late),
        ("failed_uris", report.failed_uris),
        ("lost_uris", report.lost_uris),
        ("throttled", report.throttled),
    ]
}

fn row(hour: &str, counts: &Counts, now: Timestamp) -> Row {
    let fields: Map<_, _> = counts.iter().map(|(name, count)| (name.clone(), (*count).into())).collect();
    Row {
        key: format!("{LEDGER_PREFIX}{hour}"),
        fields,
        data: None,
        expires_at: Some(later(now, KEPT).as_second()),
    }
}
