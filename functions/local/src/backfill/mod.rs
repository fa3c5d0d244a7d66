//! `collector backfill`: a window of the past, pulled by the function that is deployed.
//!
//! One invocation of a function ends with its time, so a long window takes many. This command asks again until the
//! answer says that there is no more, and shows how far it is. Calls go through the `aws` command, whose configuration
//! an operator has already; what an answer leads to is decided in [`course`], without any input or output.

mod answer;
mod aws;
mod course;
mod tally;

use std::time::{Duration, Instant};

use collector::error::{Error, ErrorType, code};
use collector::event::{Backfill, Request};
use collector::window::Window;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use local_host::log;
use local_host::stop::{self, Stop};
use serde_json::json;

use crate::cli::BackfillArgs;
use crate::outcome::{Ending, fail, refuse, warn};
use crate::table::grouped;

use answer::Answer;
use aws::Aws;
use course::{Course, Event, Next};
use tally::{Tally, Verdict};

/// How often the bar moves while an invocation is at work.
const BAR_MOVES_EVERY: Duration = Duration::from_millis(200);
/// The event of a timer, as far as the function looks at it.
const TICK: &str = "{}";

/// Invokes the deployed function until the backfill is complete.
pub async fn backfill(arguments: &BackfillArgs) -> Ending {
    log::start("error");
    let (event, wanted) = match read(arguments, Timestamp::now()) {
        Ok(read) => read,
        Err(error) => return fail(&error),
    };
    let aws = match Aws::new(&arguments.function, arguments.region.as_deref(), arguments.profile.as_deref()) {
        Ok(aws) => aws,
        Err(cause) => return refuse(&format!("no temporary folder can be made for the answers: {cause}")),
    };
    let started = Instant::now();
    let mut work = Work {
        event,
        course: Course::new(wanted.clone(), Duration::from_secs(arguments.first_wait_seconds)),
        aws,
        tally: Tally::default(),
        progress: Progress::new(&wanted),
    };
    let verdict = work.play(stop::on_signals()).await;
    work.progress.bar.finish_and_clear();
    work.explain(&verdict);
    if let Verdict::Unusable(_) = verdict {
        return verdict.ending();
    }
    let (function, elapsed) = (&arguments.function, started.elapsed());
    if arguments.json {
        anstream::println!("{}", work.tally.json(function, &wanted, &verdict, elapsed));
    } else {
        anstream::println!("{}", work.tally.text(function, &wanted, &verdict, elapsed));
    }
    verdict.ending()
}

/// The event for the function, and the backfill that it asks for. The function judges by the same rules: what is
/// refused here costs no invocation.
fn read(arguments: &BackfillArgs, now: Timestamp) -> Result<(String, Backfill), Error> {
    let event = json!({"backfill": {
        "start_time_in_utc": arguments.from,
        "end_time_in_utc": arguments.to,
        "resend": arguments.resend,
    }});
    let wanted = Request::parse(&event, now)?.backfill.ok_or_else(|| {
        Error::new(ErrorType::InitVariablesError, code::SETTINGS, "the event asks for no backfill")
    })?;
    Ok((event.to_string(), wanted))
}

/// A backfill at work.
struct Work {
    /// Asks for it.
    event: String,
    course: Course,
    aws: Aws,
    tally: Tally,
    progress: Progress,
}

impl Work {
    async fn play(&mut self, mut stop: Stop) -> Verdict {
        loop {
            let event = self.course.event();
            let text = match event {
                Event::Backfill => self.event.as_str(),
                Event::Tick => TICK,
            };
            let replied = tokio::select! {
                biased;
                () = stop.asked() => return Verdict::Interrupted,
                replied = self.aws.invoke(text) => replied,
            };
            let next = match replied {
                Ok(answer) => {
                    let new_warnings = self.tally.add(event, &answer);
                    self.progress.show(event, &answer, &self.tally);
                    self.progress.bar.suspend(|| warn(&new_warnings));
                    self.course.after_answer(&answer)
                }
                Err(failure) => self.course.after_failure(failure),
            };
            match next {
                Next::Go => {}
                Next::Wait(time, reason) => {
                    self.progress.wait(&reason, time);
                    tokio::select! {
                        biased;
                        () = stop.asked() => return Verdict::Interrupted,
                        () = tokio::time::sleep(time) => {}
                    }
                }
                Next::Complete => return Verdict::Complete,
                Next::GiveUp(reason) => return Verdict::Failed(reason),
                Next::Unusable(reason) => return Verdict::Unusable(reason),
                Next::Interrupted => return Verdict::Interrupted,
            }
        }
    }

    /// Says on standard error what an operator has to know about an end that is not complete.
    fn explain(&self, verdict: &Verdict) {
        let later = self.course.words_for_later();
        match verdict {
            Verdict::Complete => {}
            Verdict::Unusable(reason) => {
                refuse(reason);
            }
            Verdict::Failed(reason) => {
                refuse(reason);
                warn(&[later]);
            }
            Verdict::Interrupted => {
                warn(&[format!("interrupted; an invocation at work goes on in AWS, and {later}")]);
            }
        }
    }
}

/// What is seen on standard error meanwhile: a bar on a terminal, else a line an answer.
struct Progress {
    bar: ProgressBar,
    from: Timestamp,
}

impl Progress {
    fn new(wanted: &Backfill) -> Self {
        let bar = ProgressBar::new(seconds(wanted.from, wanted.to)).with_style(style());
        bar.set_message("the first invocation is at work");
        bar.enable_steady_tick(BAR_MOVES_EVERY);
        Self { bar, from: wanted.from }
    }

    fn show(&self, event: Event, answer: &Answer, tally: &Tally) {
        // The window of a tick is that of the live windows too.
        if let (Event::Backfill, Some(window)) = (event, answer.window) {
            self.bar.set_position(seconds(self.from, window.to));
        }
        let counts = tally.counts();
        self.bar.set_message(format!(
            "{} received, {} duplicates, {} delivered",
            grouped(counts.received),
            grouped(counts.duplicates),
            grouped(counts.delivered)
        ));
        if self.bar.is_hidden() {
            anstream::eprintln!("{}", line(event, answer));
        }
    }

    fn wait(&self, reason: &str, time: Duration) {
        let words = format!("{reason}; the function is asked again in {} s", time.as_secs());
        self.bar.suspend(|| warn(&[words]));
    }
}

fn line(event: Event, answer: &Answer) -> String {
    let counts = &answer.counts;
    let asked = match event {
        Event::Backfill => "",
        Event::Tick => " (tick)",
    };
    let window = answer.window.map_or_else(String::new, |Window { from, to }| format!(" {from} to {to},"));
    format!(
        "{}{asked}:{window} {} requests, {} received, {} duplicates, {} delivered",
        answer.status.word(),
        counts.requests,
        counts.received,
        counts.duplicates,
        counts.delivered
    )
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed} [{bar:30}] {percent}% {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
