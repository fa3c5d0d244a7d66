//! What all invocations of a backfill did together, and how the command ends.

use std::collections::BTreeSet;
use std::time::Duration;

use collector::event::Backfill;
use serde_json::{Value, json};

use crate::outcome::Ending;
use crate::table::{duration, grouped};

use super::answer::{Answer, Counts};
use super::course::Event;

/// How a backfill ended for this command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it was pulled.
    Complete,
    /// It is not known to be complete, for this reason.
    Failed(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// The `aws` command cannot be used, for this reason.
    Unusable(String),
}

impl Verdict {
    /// The exit code it stands for.
    pub fn ending(&self) -> Ending {
        match self {
            Self::Complete => Ending::Good,
            Self::Failed(_) => Ending::Problems,
            Self::Interrupted => Ending::Interrupted,
            Self::Unusable(_) => Ending::Invalid,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed(_) | Self::Unusable(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    fn problem(&self) -> Option<&str> {
        match self {
            Self::Complete | Self::Interrupted => None,
            Self::Failed(problem) | Self::Unusable(problem) => Some(problem),
        }
    }
}

/// The sum of all answers.
#[derive(Debug, Default)]
pub struct Tally {
    answers: u64,
    /// Answers to ticks: they count the live windows too.
    ticks: u64,
    counts: Counts,
    warnings: Vec<String>,
    known_warnings: BTreeSet<String>,
}

impl Tally {
    /// Adds an answer. Gives the warnings of it that are new.
    pub fn add(&mut self, event: Event, answer: &Answer) -> Vec<String> {
        self.answers += 1;
        self.ticks += u64::from(event == Event::Tick);
        let (sum, one) = (&mut self.counts, &answer.counts);
        sum.windows += one.windows;
        sum.requests += one.requests;
        sum.received += one.received;
        sum.duplicates += one.duplicates;
        sum.delivered += one.delivered;
        sum.failed += one.failed;
        sum.sent += one.sent;
        sum.bytes_sent += one.bytes_sent;
        sum.throttled += one.throttled;
        let is_new = |warning: &&String| self.known_warnings.insert((*warning).clone());
        let new: Vec<String> = answer.warnings.iter().filter(is_new).cloned().collect();
        self.warnings.extend(new.iter().cloned());
        new
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The result as one JSON object.
    pub fn json(&self, function: &str, wanted: &Backfill, verdict: &Verdict, elapsed: Duration) -> Value {
        let counts = &self.counts;
        json!({
            "function": function,
            "status": verdict.word(),
            "problem": verdict.problem(),
            "start_time_in_utc": wanted.from,
            "end_time_in_utc": wanted.to,
            "resend": wanted.resend,
            "answers": self.answers,
            "ticks": self.ticks,
            "windows": counts.windows,
            "requests": counts.requests,
            "received": counts.received,
            "duplicates": counts.duplicates,
            "delivered": counts.delivered,
            "failed": counts.failed,
            "sent": counts.sent,
            "bytes_sent": counts.bytes_sent,
            "throttled": counts.throttled,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "warnings": self.warnings,
        })
    }

    /// The result for people.
    pub fn text(&self, function: &str, wanted: &Backfill, verdict: &Verdict, elapsed: Duration) -> String {
        let state = match verdict {
            Verdict::Complete => "is complete",
            Verdict::Failed(_) | Verdict::Unusable(_) => "is not known to be complete",
            Verdict::Interrupted => "was left",
        };
        let counts = &self.counts;
        let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        let mut text = format!(
            "the backfill of {function} from {} to {} {state}\n\
             records: {} received, {} duplicates, {} delivered\n\
             {} requests, {} windows, {} answers in {}",
            wanted.from,
            wanted.to,
            grouped(counts.received),
            grouped(counts.duplicates),
            grouped(counts.delivered),
            grouped(counts.requests),
            grouped(counts.windows),
            grouped(self.answers),
            duration(seconds),
        );
        if self.ticks > 0 {
            text.push_str(&format!(
                "\n{} answers were those of ticks, which count the live windows too",
                grouped(self.ticks)
            ));
        }
        text
    }
}
