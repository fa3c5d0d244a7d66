//! What an invocation says about the time to come: its figures, and a warning a day for each matter.
//!
//! The figures of the answer are those of what is committed. Warnings are given before the last batch, so that it takes
//! them to Devo, and count on that batch; when it fails, what is committed is looked at again.

use crate::checkpoint::Checkpoint;
use crate::outlook::{Matter, Outlook, Standing};
use crate::ports::{Sink, Source, StateStore};

use super::Run;
use super::errand::Role;

/// A quota whose API asks for patience has nothing left.
const WHOLE: u64 = 100;

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// The outlook from this position. A backfill that is asked for by itself says nothing of the live position, which may
    /// stand still on purpose.
    pub(super) fn outlook(&self, position: &Checkpoint) -> Outlook {
        let standing = match &self.invocation.request.backfill {
            // What is retired is not late, and cannot be lost by waiting.
            _ if position.is_retired() => Standing::default(),
            Some(_) => Standing::default(),
            None if self.settings.service.query.is_hunting() => {
                self.standing_of_queries(position.start_time_in_utc)
            }
            None => Standing {
                start: position.start_time_in_utc,
                complete_to: position.complete_to_in_utc,
                due_at: None,
                first_expiry: position.retry_queue.first_expiry_in_utc,
            },
        };
        let must_wait = position.not_before_in_utc.is_some_and(|until| self.started < until);
        let used = if must_wait || self.report.throttled > 0 {
            Some(WHOLE)
        } else {
            self.ports.source.stats().quota_used_percent
        };
        Outlook::new(&standing, self.settings, used, self.now())
    }

    /// Warns of what will go wrong. A dry run does so each time, because whoever asked for it reads the answer; an errand
    /// never does, because its feed speaks for itself.
    pub(super) fn remind(&mut self, outlook: Outlook) {
        if self.role == Role::Errand {
            return;
        }
        let now = self.now();
        let mut matters = outlook.warnings(self.settings, self.report.throttled);
        matters.extend(self.sweep_warning().map(|text| (Matter::Sweep, text)));
        for certificate in &self.invocation.certificates {
            let warning = certificate.warning(now);
            matters.extend(warning.map(|text| (Matter::Certificate(*certificate), text)));
        }
        for (matter, text) in matters {
            if self.is_dry() || self.warm.reminders.is_due(matter, now) {
                self.warn(text);
            }
        }
    }
}
