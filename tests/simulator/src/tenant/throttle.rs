//! A request limit that several collections share, for each application: one over the audit logs, one over the
//! security family.
//!
//! A sliding period; refused requests count too, as Graph warns. Retry-After says when the request would have been
//! the last one allowed, rounded up to whole seconds.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;

use super::config::Throttle;

/// Requests of the last period, by client id.
#[derive(Debug, Default)]
pub(super) struct ThrottleBook {
    recent: HashMap<String, VecDeque<Timestamp>>,
}

impl ThrottleBook {
    /// Counts a request; `Err` is the number of seconds to wait.
    pub(super) fn admit(&mut self, client_id: &str, limit: Throttle, now: Timestamp) -> Result<(), i64> {
        let recent = self.recent.entry(client_id.to_owned()).or_default();
        while recent.front().is_some_and(|&instant| now.duration_since(instant) >= limit.period) {
            recent.pop_front();
        }
        recent.push_back(now);
        if recent.len() <= limit.requests {
            return Ok(());
        }
        // Once this one has left the period, fewer than the limit remain.
        let leaves_last = recent.len() - limit.requests;
        let wait = recent
            .get(leaves_last)
            .map_or(limit.period, |&instant| limit.period - now.duration_since(instant));
        Err((wait.as_secs() + i64::from(wait.subsec_nanos() > 0)).max(1))
    }
}
