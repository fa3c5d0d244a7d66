//! The request limits: sliding windows for each application, over lists and relations, and over hunting.
//!
//! A request counts in every window that it belongs to, whether or not another one refuses it.

use jiff::Timestamp;

use super::config::DefenderLimits;
use super::hunting::HuntingLimits;
use super::path::DefenderCall;
use super::relation::DefenderRelation;
use crate::tenant::config::Throttle;
use crate::tenant::throttle::ThrottleBook;

/// What was asked of late.
#[derive(Debug, Default)]
pub(in crate::tenant) struct LimitBook {
    minute: ThrottleBook,
    hour: ThrottleBook,
    machine_vulnerabilities: ThrottleBook,
    hunting_minute: ThrottleBook,
    hunting_hour: ThrottleBook,
}

/// A limit that a request is above, and the number of seconds to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exceeded {
    pub(super) limit: Throttle,
    pub(super) seconds: i64,
}

impl LimitBook {
    /// Counts a call that is no hunting.
    pub(super) fn admit(
        &mut self,
        client_id: &str,
        call: DefenderCall,
        limits: &DefenderLimits,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        let is_of_machine = call == DefenderCall::Related(DefenderRelation::MachineVulnerabilities);
        let of_machine = limits.machine_vulnerabilities.filter(|_| is_of_machine);
        let windows = [
            (&mut self.minute, limits.minute),
            (&mut self.hour, limits.hour),
            (&mut self.machine_vulnerabilities, of_machine),
        ];
        admit_to_all(windows, client_id, now)
    }

    /// Counts a query.
    pub(super) fn admit_hunting(
        &mut self,
        client_id: &str,
        limits: &HuntingLimits,
        now: Timestamp,
    ) -> Result<(), Exceeded> {
        let windows = [(&mut self.hunting_minute, limits.minute), (&mut self.hunting_hour, limits.hour)];
        admit_to_all(windows, client_id, now)
    }
}

/// The longest wait of those windows that are full.
fn admit_to_all<const N: usize>(
    windows: [(&mut ThrottleBook, Option<Throttle>); N],
    client_id: &str,
    now: Timestamp,
) -> Result<(), Exceeded> {
    let refused = windows.into_iter().filter_map(|(book, limit)| {
        let limit = limit?;
        let seconds = book.admit(client_id, limit, now).err()?;
        Some(Exceeded { limit, seconds })
    });
    refused.max_by_key(|exceeded| exceeded.seconds).map_or(Ok(()), Err)
}
