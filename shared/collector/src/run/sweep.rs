//! The late sweep: what comes later than the look-back of the near windows is found, too.
//!
//! Once a period, when the live walk is up to date, the hours behind the next near window are read again; the record
//! memory drops what was delivered, so only late records are sent. A sweep is a walk like the others, kept in the
//! checkpoint: it may take many ticks, each of which gives it at most a quarter of the requests that the service's limit
//! allows. One that takes longer than its period stretches it: the next begins when it is complete, or as old as its
//! range is long. One that begins late, for that reason or any other, reaches back as far as it would have in its time.
//! The live position, the answer's status and when the service is due next do not depend on it.

use jiff::{SignedDuration, Timestamp};

use crate::error::Error;
use crate::ports::{Sink, Source, StateStore};
use crate::settings::RequestRate;
use crate::window::{Window, earlier, later, plan, whole_second};

use super::content::Wanted;
use super::course::Course;
use super::lease::due_after;
use super::{Run, Stop};

/// Of the requests that the limit allows, and, while backfills wait, of the time that is left, a sweep takes one part in
/// so many.
const PART: u32 = 4;
/// A sweep is spread over one part in so many of its period. Over more of it, what is a little later than the look-back, as
/// most late records are, would wait longer for the end of the sweep.
const SPREAD: i64 = 3;
/// Where the limit allows so few requests in spans as long as this, a tick that asks for more of them waits for most of its
/// time: there a sweep has its whole period.
const FEW_REQUESTS: u32 = 12;
const LONG_SPAN: SignedDuration = SignedDuration::from_secs(60);
/// Requests below which nothing would ever be found, and in multiples of which they are granted: a page, or a listing
/// page and one blob that it names.
const LEAST_OF_PAGES: u64 = 1;
const LEAST_OF_CONTENT: u64 = 2;
/// A period stretched to more than so many times what is set is worth a warning.
const STRETCHED: i32 = 2;

/// What a sweep may use in one invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Once the source has made so many requests, the share is used up.
    requests_to: u64,
    /// So is it from this instant on.
    until: Timestamp,
    /// And when records of this time were read: by then the sweep is as far as it must be. Content
    /// is listed in so few requests that it is not spread.
    pace: Option<Timestamp>,
    /// How far this invocation came; nothing was read before its first page.
    reached: Option<Timestamp>,
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Goes on with a sweep, or begins one that is due, as far as its share goes. Without a walk of its own there is
    /// nothing to be said against the rest of the invocation: only a refusal or failure stops that.
    pub(super) async fn sweep(&mut self, has_backfills: bool) -> Result<(), Stop> {
        if self.is_dry() || !self.has_sweep_at_hand() {
            return Ok(());
        }
        self.count_requests();
        let (asked_before, requests_before) = (self.report.throttled, self.report.requests);
        self.course = Course::Sweep(self.share(has_backfills));
        let end = self.pull().await;
        self.count_requests();
        let is_stalled = matches!(end, Err(Stop::OutOfTime)) && self.report.requests > requests_before;
        if is_stalled {
            self.narrow_what_stalls();
        }
        self.course = Course::Live;
        match end {
            Err(Stop::OutOfShare | Stop::OutOfTime) => Ok(()),
            // Our own limit keeps its next request waiting, not the API: that is no matter of the live walk.
            Err(Stop::Throttled(_)) if self.report.throttled == asked_before => Ok(()),
            Err(Stop::NotReady(why)) => {
                self.warn(why);
                Ok(())
            }
            Err(Stop::Failed(error)) => {
                let message =
                    format!("{} (in the late sweep; the live windows are up to date)", error.message);
                Err(Stop::Failed(Error { message, ..error }))
            }
            end => end,
        }
    }

    /// Whether there is anything to be swept now. Begins the sweep that is due.
    fn has_sweep_at_hand(&mut self) -> bool {
        let (period, range) = (self.settings.late_sweep_period, self.settings.late_sweep_range);
        if period.is_zero() {
            self.next.late_sweep = Default::default();
            return false;
        }
        let now = self.started;
        let start = self.next.start_time_in_utc.unwrap_or(now);
        let known = &self.next.late_sweep;
        // A release without sweeps may have restarted the service meanwhile.
        let place = known.walk.window_from.or(known.walk.cursor).filter(|from| *from >= start);
        // One that fails at the same place for ever must not keep the hours behind it from being swept.
        let is_too_old = known.began.is_none_or(|began| later(began, range.max(period)) <= now);
        if known.ends_at.is_some() && place.is_some() && !is_too_old {
            return true;
        }
        let Some(last) = known.began.or(known.waits_since) else {
            self.next.late_sweep.waits_since = Some(now);
            return false;
        };
        // One from after now was noted by a clock that was wrong.
        if last <= now && due_after(last, period) > now {
            return false;
        }
        let near =
            plan(&self.owed(self.reached()), &self.bounds(self.settings.window_max, self.now())).window.from;
        // What came since the last one is found however long ago that is.
        let in_time = if last <= now { later(last, period).min(now) } else { now };
        let wanted = whole_second(earlier(in_time, range)).max(start);
        let from = wanted.max(self.oldest_to_ask(self.now()));
        self.next.late_sweep = known.begun(now, Window { from, to: near });
        self.next.late_sweep.ends_at.is_some()
    }

    /// The next window of the sweep, as far as the API still keeps its records; after the last one it is complete.
    pub(super) fn next_swept_window(&mut self, max: SignedDuration, now: Timestamp) -> Option<Window> {
        let oldest = self.oldest_to_ask(now);
        let sweep = &mut self.next.late_sweep;
        let next = sweep.walk.cursor.zip(sweep.ends_at).and_then(|(cursor, end)| {
            let from = cursor.max(oldest);
            (from < end).then(|| Window { from, to: later(from, max).min(end) })
        });
        if next.is_none() {
            sweep.complete();
        }
        next
    }

    /// Counted over all time, so that the parts of any ticks add up to that of the time between them.
    fn share(&self, has_backfills: bool) -> Share {
        let earliest = earlier(self.started, self.settings.request_period);
        // What a pull before its time may use was not allowed for anew since the last one.
        let last = self.pulled_before.filter(|last| *last <= self.started);
        let since = last.map_or(earliest, |instant| instant.max(earliest));
        let least = if self.settings.service.query.is_content() { LEAST_OF_CONTENT } else { LEAST_OF_PAGES };
        let part = granted(self.settings.rate, since, self.started, least);
        let (now, end) = (self.now(), self.work_until());
        let left = end.duration_since(now).max(SignedDuration::ZERO);
        let time = if has_backfills { left / i32::try_from(PART).unwrap_or(1) } else { left };
        Share {
            requests_to: self.ports.source.stats().requests.saturating_add(part),
            until: later(now, time),
            pace: (!self.settings.service.query.is_content()).then(|| self.pace()).flatten(),
            reached: None,
        }
    }

    /// Where the sweep at hand should be when the next tick comes: many requests at once wait for the limit, and waiting
    /// costs time.
    fn pace(&self) -> Option<Timestamp> {
        let sweep = &self.next.late_sweep;
        let (began, end) = (sweep.began?, sweep.ends_at?);
        let rate = self.settings.rate;
        let is_slow = rate.requests <= FEW_REQUESTS && rate.per >= LONG_SPAN;
        let spread = (self.settings.late_sweep_period.as_secs() / if is_slow { 1 } else { SPREAD }).max(1);
        let first = earlier(began, self.settings.late_sweep_range);
        let passed = later(self.started, self.settings.request_period).duration_since(began).as_secs();
        let span = i128::from(end.duration_since(first).as_secs());
        let part = span.checked_mul(i128::from(passed.clamp(0, spread)))?.checked_div(i128::from(spread))?;
        Some(later(first, SignedDuration::from_secs(i64::try_from(part).ok()?)))
    }

    /// The sweep has read a record of this time, or everything up to it. What the API gives of another window does not
    /// count.
    pub(super) fn note_swept(&mut self, instant: Timestamp) {
        let window = self.walk().window();
        if let Course::Sweep(share) = &mut self.course
            && window.is_some_and(|window| window.from <= instant && instant <= window.to)
        {
            share.reached = share.reached.max(Some(instant));
        }
    }

    /// Whether the sweep at hand must rest; other walks have no share.
    pub(super) fn is_share_used(&self) -> bool {
        let Course::Sweep(share) = &self.course else { return false };
        let is_in_pace = share.reached.zip(share.pace).is_some_and(|(reached, pace)| reached >= pace);
        is_in_pace || self.ports.source.stats().requests >= share.requests_to || self.now() >= share.until
    }

    /// Leaves those blobs that the share has requests for, and says what ends the walk behind them if it has none for
    /// the others. The listing page is then asked for again by the next tick.
    pub(super) fn keep_to_share(&self, wanted: &mut Vec<Wanted>) -> Option<Stop> {
        let Course::Sweep(share) = &self.course else { return None };
        let left = share.requests_to.saturating_sub(self.ports.source.stats().requests);
        let room = usize::try_from(left).unwrap_or(usize::MAX);
        let is_too_much = wanted.len() > room;
        wanted.truncate(room);
        is_too_much.then_some(Stop::OutOfShare)
    }

    /// Content is waited for until then.
    pub(super) fn fetch_until(&self) -> Timestamp {
        match &self.course {
            Course::Sweep(share) => share.until,
            Course::Live | Course::Query(_) | Course::Backfill(_) => self.work_until(),
        }
    }

    /// Seconds between the beginnings of the last two sweeps, as they are committed, or since the last one began, if it
    /// is at work for longer.
    pub(super) fn sweep_period_achieved(&self) -> Option<i64> {
        let is_on = !self.settings.late_sweep_period.is_zero();
        self.committed.late_sweep.period_at(self.now()).filter(|_| is_on).map(|period| period.as_secs())
    }

    /// What the operator should know when late records are looked for much less often than is set. A service that is
    /// pulled less often than it should be swept is swept at each pull.
    pub(super) fn sweep_warning(&self) -> Option<String> {
        let (sweep, set) = (&self.next.late_sweep, self.settings.late_sweep_period);
        if set.is_zero() || !self.is_live() {
            return None;
        }
        let achieved = sweep.period().max(sweep.at_work(self.started))?;
        let tolerated = set.max(self.settings.request_period).checked_mul(STRETCHED)?;
        (achieved > tolerated).then(|| {
            format!(
                "late records are looked for every {} seconds and not every {}: if this stays so, lower \
                 late_sweep_range_in_seconds, raise late_sweep_period_in_seconds, or set requests_limits to what the \
                 API grants",
                achieved.as_secs(),
                set.as_secs()
            )
        })
    }
}

/// How many requests are granted between two instants, in multiples of `unit`: a part of those that the limit allows.
fn granted(rate: RequestRate, since: Timestamp, until: Timestamp, unit: u64) -> u64 {
    let per = rate.per.as_millis().saturating_mul(i128::from(PART) * i128::from(unit));
    if per <= 0 {
        return u64::MAX;
    }
    let units = |instant: Timestamp| {
        (i128::from(rate.requests) * i128::from(instant.as_millisecond())).div_euclid(per)
    };
    u64::try_from(units(until) - units(since)).unwrap_or(0).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_quarter_of_what_the_limit_allows_is_granted_in_whole_requests_or_pairs() {
        let table = [
            (5, 10_000, 300, 1, 37),
            (5, 10_000, 300, 2, 36),
            (1, 30_000, 300, 1, 2),
            (5, 432_000, 300, 1, 0),
            (1, 500, 1, 1, 0),
            (7, 0, 300, 1, u64::MAX),
            (7, 10_000, 0, 1, 0),
            (7, 10_000, -5, 1, 0),
        ];
        for (requests, per, span, unit, expected) in table {
            let rate = RequestRate { requests, per: SignedDuration::from_millis(per) };
            assert_eq!(granted(rate, at(0), at(span), unit), expected, "{requests} in {per} ms");
        }
    }

    #[test]
    fn however_a_span_is_cut_its_parts_are_granted_what_the_whole_is() {
        let rate = RequestRate { requests: 5, per: SignedDuration::from_secs(432) };
        for unit in [1, 2] {
            for tick in [1, 60, 300, 3_600] {
                let parts = (0..7_200 / tick).map(|n| granted(rate, at(n * tick), at((n + 1) * tick), unit));
                assert_eq!(parts.sum::<u64>(), granted(rate, at(0), at(7_200), unit), "{tick}");
            }
        }
        assert_eq!(granted(rate, at(0), at(7_200), 1), 20);
    }
}
