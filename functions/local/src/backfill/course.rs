//! What an answer leads to: the course of one backfill, without input, output or clock.
//!
//! A backfill that is asked for again after it was complete begins anew, and timer ticks go on with one that is open: so
//! it may become complete while nobody here looks. Without `resend` that costs requests alone, because the record
//! memory drops what was delivered; the same event is sent each time. With `resend` it would send everything twice.
//! So once the function is known to have noted it, it is not asked for again: the function is invoked as its timer
//! does, which goes on with what is open and begins nothing. When that cannot be known, the course ends.

use std::time::Duration;

use collector::event::Backfill;
use collector::report::Status;
use collector::run::BACKFILL_PREFIX;
use jiff::Timestamp;

use super::answer::{Answer, FunctionError};
use super::aws::Failure;

/// Failures in a row that may pass by themselves.
const MOST_FAILURES: u32 = 5;
/// However long nobody can work, it is looked again after this: an invocation that finds nothing to do costs next to
/// nothing.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the function is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The backfill.
    Backfill,
    /// A timer's tick.
    Tick,
}

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Everything was pulled.
    Complete,
    /// The function is invoked again at once.
    Go,
    /// The function is invoked again after this time, for this reason.
    Wait(Duration, String),
    /// It ends here, for this reason.
    GiveUp(String),
    /// The `aws` command cannot be used, for this reason.
    Unusable(String),
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

/// One backfill on its way.
#[derive(Debug)]
pub struct Course {
    wanted: Backfill,
    first_wait: Duration,
    /// The function has noted it: its ticks go on with it.
    is_noted: bool,
    /// Start of the window that was read last.
    read_from: Option<Timestamp>,
    /// Since the function last worked.
    waits: u32,
    failures: u32,
}

impl Course {
    /// The way to the end of this backfill. The first wait is `first_wait`; each further one in a row is twice as long.
    pub fn new(wanted: Backfill, first_wait: Duration) -> Self {
        Self { wanted, first_wait, is_noted: false, read_from: None, waits: 0, failures: 0 }
    }

    /// What the function is sent next.
    pub fn event(&self) -> Event {
        if self.wanted.resend && self.is_noted { Event::Tick } else { Event::Backfill }
    }

    /// What follows from an answer to [`Course::event`].
    pub fn after_answer(&mut self, answer: &Answer) -> Next {
        let asked = self.event();
        self.failures = 0;
        self.is_noted |= shows_that_it_is_noted(answer);
        match answer.status {
            Status::UpToDate if self.is_not_served_yet(answer) => Next::GiveUp(
                "the feed gives nothing yet, see the warnings; run this again when its first content is there"
                    .to_owned(),
            ),
            Status::UpToDate => Next::Complete,
            Status::More if asked == Event::Backfill && self.begins_anew(answer) => Next::Complete,
            Status::More => {
                self.waits = 0;
                Next::Go
            }
            Status::Throttled if answer.counts.throttled > 0 => self.wait("the API asks for patience".to_owned()),
            Status::Throttled => {
                self.wait("the request limit has no turn yet, or what failed is not tried again yet".to_owned())
            }
            Status::Locked => self.wait("another invocation is at work".to_owned()),
            // A tick finds nothing to do only when nothing is open.
            Status::NotDue if asked == Event::Tick => Next::Complete,
            Status::Disabled => Next::GiveUp(
                "the service is switched off or absent in its configuration document; enable it there and run this \
                 again"
                    .to_owned(),
            ),
            Status::Retired => Next::GiveUp("this API was retired; see the warnings".to_owned()),
            Status::NotDue | Status::DryRun => Next::GiveUp(format!(
                "the function answered `{}`, which answers no backfill; is it of another release than this command?",
                answer.status.word()
            )),
        }
    }

    /// What follows when there was no answer to [`Course::event`].
    pub fn after_failure(&mut self, failure: Failure) -> Next {
        match failure {
            Failure::Unusable(words) => Next::Unusable(words),
            Failure::Interrupted => Next::Interrupted,
            Failure::Refused(words) => Next::GiveUp(words),
            Failure::NotRun(words) => self.try_again(words),
            Failure::Unanswered(words) => self.try_again_if_harmless(words),
            Failure::Failed(error) => self.after_error(&error),
        }
    }

    /// How the backfill goes on without this command.
    pub fn words_for_later(&self) -> String {
        if !self.wanted.resend {
            return "timer ticks go on with it once its first records were delivered; the same command goes on with it \
                    too"
            .to_owned();
        }
        format!(
            "look at the row {} in the function's partition of the state table before you run this again: while it is \
             there with complete = false, or as a request, timer ticks go on with it; when it is not there, nothing \
             was begun; when complete = true, running this again sends everything once more",
            self.row()
        )
    }

    fn after_error(&mut self, error: &FunctionError) -> Next {
        let words = match error.error_type.as_str() {
            "" => error.message.clone(),
            error_type => format!("{error_type} {}", error.message),
        };
        self.is_noted |= error.is_of_delivery();
        if error.is_transient() { self.try_again_if_harmless(words) } else { Next::GiveUp(words) }
    }

    /// The invocation may have done anything.
    fn try_again_if_harmless(&mut self, words: String) -> Next {
        if self.wanted.resend && !self.is_noted {
            let reason = "with --resend it is not tried again, which might send everything twice";
            return Next::GiveUp(format!("{words}; {reason}"));
        }
        self.try_again(words)
    }

    fn try_again(&mut self, words: String) -> Next {
        self.failures += 1;
        if self.failures > MOST_FAILURES {
            return Next::GiveUp(format!("{words}; it failed {} times in a row", self.failures));
        }
        self.wait(words)
    }

    fn wait(&mut self, reason: String) -> Next {
        let doubled = self.first_wait.saturating_mul(1 << self.waits.min(10));
        self.waits += 1;
        Next::Wait(doubled.min(LONGEST_WAIT.max(self.first_wait)), reason)
    }

    /// A feed whose subscription is new answers that it is up to date, without having read anything.
    fn is_not_served_yet(&self, answer: &Answer) -> bool {
        let has_read_all = answer.window.is_some_and(|window| window.to >= self.wanted.to);
        !has_read_all && answer.warnings.iter().any(|warning| warning.contains("subscription"))
    }

    /// The windows of a backfill only ever go forward: one that starts earlier than those before it belongs to another
    /// round, which begins when a tick has completed this one meanwhile.
    fn begins_anew(&mut self, answer: &Answer) -> bool {
        let Some(from) = answer.window.map(|window| window.from) else { return false };
        self.read_from.replace(from).is_some_and(|before| from < before)
    }

    fn row(&self) -> String {
        let Backfill { from, to, resend: _ } = self.wanted;
        format!("{BACKFILL_PREFIX}{from}#{to}#resend")
    }
}

/// Whether this answer is only given when the backfill, or the request for it, is in the state: it found the service at
/// work or in patience, or it read a page of it. Who got no further than the login may not have noted it.
fn shows_that_it_is_noted(answer: &Answer) -> bool {
    match answer.status {
        Status::Locked => true,
        Status::Throttled => answer.window.is_some() || answer.devo_pulling_id.is_none(),
        Status::More => answer.window.is_some(),
        Status::UpToDate | Status::NotDue | Status::Disabled | Status::Retired | Status::DryRun => false,
    }
}

#[cfg(test)]
mod against_the_core;
#[cfg(test)]
mod tests;
