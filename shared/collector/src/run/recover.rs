//! What the run loop does when a page cannot be had.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorType, code};
use crate::ports::{Sink, Source, SourceError, StateStore};
use crate::window::{Window, earlier, later, whole_second};

use super::{PagesOfWalk, Run, Stop};

/// A window is begun again this often as it is; after that, its half.
const RESTARTS_AS_IT_IS: u32 = 1;
/// After so many restarts it is the API, not the window.
const MOST_RESTARTS: u32 = 12;
/// What a tenant without a premium licence keeps: the next guess when the API calls a start too old without saying more.
const SHORT_RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24 - 1);

/// How a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovered {
    /// With this window in place of the one at hand.
    GoesOn(Window),
    /// Behind this span, of which nothing can be had.
    OutOfReach(Window),
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Changes the walk so that the next request may pass, and says how it goes on; or ends it.
    pub(super) fn recover(&mut self, refused: SourceError, window: Window) -> Result<Recovered, Stop> {
        match refused {
            SourceError::OutOfTime => Err(Stop::OutOfTime),
            SourceError::Throttled { until } => Err(Stop::Throttled(until)),
            SourceError::Fatal(error) => Err(Stop::Failed(error)),
            SourceError::NotReady(why) => Err(Stop::NotReady(why)),
            SourceError::Retired(why) => Err(Stop::Retired(why)),
            SourceError::TooHeavy(error) => self.narrow(window, error).map(Recovered::GoesOn),
            SourceError::LinkExpired(why) => self.begin_again(window, &why).map(Recovered::GoesOn),
            SourceError::StartTooOld { minimum, message } => self.move_start(window, minimum, &message),
        }
    }

    /// The window at hand becomes its first half.
    fn narrow(&mut self, window: Window, error: Error) -> Result<Window, Stop> {
        if self.is_snapshot_at_hand() && self.query_at_hand().is_some() {
            let message =
                format!("{}; give the query {{from}} and {{to}}, or let it find less", error.message);
            return Err(Stop::Failed(Error::new(ErrorType::PullError, code::BAD_FILTER, message)));
        }
        // Rows of a query are counted: those of one busy minute may be too many, and would keep all that follow waiting.
        let half = if self.query_at_hand().is_some() { window.halved_to_seconds() } else { window.halved() };
        let Some(half) = half else { return Err(Stop::Failed(error)) };
        self.warn(format!(
            "the query is too heavy and is asked for in windows of {} s: {error}",
            half.span().as_secs()
        ));
        self.narrowed = Some(half.span());
        let read_at = self.walk().read_at.unwrap_or(self.started);
        self.walk_mut().open(half, read_at);
        Ok(half)
    }

    /// An invocation that was over before its first page came would be over again: the next one asks for half. It must
    /// have had the better part of the time for it; a backfill that came last had not.
    pub(super) fn narrow_what_stalls(&mut self) {
        let PagesOfWalk::NoneCame { asked_at } = self.pages else { return };
        let work_until = self.work_until();
        let is_fair = work_until.duration_since(asked_at) >= work_until.duration_since(self.started) / 2;
        let Some(window) = self.walk().window().filter(|_| is_fair) else { return };
        let stalled = "no page came before the time was used up";
        let Some(half) = window.halved() else {
            let shortest = match window.span().as_secs() {
                0 => String::new(),
                seconds => format!(", though the query is for {seconds} s, the shortest"),
            };
            self.warn(format!("{stalled}{shortest}: give the function more time"));
            return;
        };
        self.warn(format!("{stalled}: the next query is for {} s", half.span().as_secs()));
        let read_at = self.walk().read_at.unwrap_or(self.started);
        self.walk_mut().open(half, read_at);
    }

    /// The window at hand starts again; what was delivered of it is remembered.
    fn begin_again(&mut self, window: Window, why: &str) -> Result<Window, Stop> {
        self.restarts += 1;
        let expired = Error::new(
            ErrorType::ApiError,
            400,
            format!("Error during API call: page links expire faster than the window can be read: {why}"),
        );
        if self.restarts > MOST_RESTARTS {
            return Err(Stop::Failed(expired));
        }
        self.warn(format!("a page link was not accepted any more, the window starts again: {why}"));
        // A sweep that rests between ticks would begin again with each, and have no more requests for it than before.
        let is_left_half_way = self.course.is_sweep() && self.pages != PagesOfWalk::SomeCame;
        if (is_left_half_way || self.restarts > RESTARTS_AS_IT_IS) && window.halved().is_some() {
            return self.narrow(window, expired);
        }
        self.walk_mut().next_link = None;
        // Every page of it comes anew.
        self.walk_mut().is_partial = false;
        Ok(window)
    }

    /// The API keeps less than it says: the window begins later, and the gap is named unless it was read before.
    fn move_start(
        &mut self,
        window: Window,
        minimum: Option<Timestamp>,
        message: &str,
    ) -> Result<Recovered, Stop> {
        self.restarts += 1;
        let now = self.now();
        let oldest = minimum.unwrap_or_else(|| earlier(now, SHORT_RETENTION));
        let from = later(whole_second(oldest), SignedDuration::from_secs(1));
        if from <= window.from || from > now || self.restarts > MOST_RESTARTS {
            return Err(Stop::Failed(Error::new(ErrorType::PullError, code::BAD_FILTER, message)));
        }
        let unread = self.unread_from(&window);
        let end = self.course.backfill().map_or(from, |open| open.end().min(from));
        // What a sweep cannot have any more was read in its time.
        if unread < end && !self.course.is_sweep() {
            self.warn(format!(
                "records from {unread} to {end} cannot be had: the API keeps none that old; pulling starts at {from}"
            ));
        }
        if self.course.is_live() {
            self.forget_what_is_owed_before(from);
        }
        if from > window.to {
            return Ok(Recovered::OutOfReach(Window { from: window.from, to: from }));
        }
        let moved = Window { from, to: window.to };
        self.walk_mut().open(moved, now);
        Ok(Recovered::GoesOn(moved))
    }
}
