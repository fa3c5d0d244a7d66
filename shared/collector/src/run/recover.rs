//! What the run loop does when a page cannot be had.

use jiff::SignedDuration;

use crate::error::{Error, ErrorType, code};
use crate::ports::{Sink, Source, SourceError, StateStore};
use crate::window::{Window, earlier, later, whole_second};

use super::{Run, Stop};

/// A window is begun again this often as it is; after that, its half.
const RESTARTS_AS_IT_IS: u32 = 1;
/// After so many restarts it is the API, not the window.
const MOST_RESTARTS: u32 = 12;
/// What a tenant without a premium licence keeps: the next guess when the API calls a start too old without saying more.
const SHORT_RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24 - 1);

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// Changes the walk so that the next request may pass, and gives the window to go on with; or ends it.
    pub(super) fn recover(&mut self, refused: SourceError, window: Window) -> Result<Window, Stop> {
        match refused {
            SourceError::OutOfTime => Err(Stop::OutOfTime),
            SourceError::Throttled { until } => Err(Stop::Throttled(until)),
            SourceError::Fatal(error) => Err(Stop::Failed(error)),
            SourceError::TooHeavy(error) => self.narrow(window, error),
            SourceError::LinkExpired(why) => self.begin_again(window, &why),
            SourceError::StartTooOld { minimum, message } => self.move_start(window, minimum, &message),
        }
    }

    /// The window at hand becomes its first half.
    fn narrow(&mut self, window: Window, error: Error) -> Result<Window, Stop> {
        let Some(half) = window.halved() else { return Err(Stop::Failed(error)) };
        self.warn(format!(
            "the query is too heavy and is asked for in windows of {} s: {error}",
            half.span().as_secs()
        ));
        self.narrowed = Some(half.span());
        let read_at = self.walk().read_at.unwrap_or(self.started);
        self.walk_mut().open(half, read_at);
        Ok(half)
    }

    /// An invocation that was over before its first page came would be over again: the next one asks for half.
    pub(super) fn narrow_what_stalls(&mut self) {
        let has_pages = self.report.window.is_some();
        let Some(half) = self.walk().window().and_then(|window| window.halved()).filter(|_| !has_pages) else { return };
        self.warn(format!("no page came before the time was used up: the next query is for {} s", half.span().as_secs()));
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
        if self.restarts > RESTARTS_AS_IT_IS && window.halved().is_some() {
            return self.narrow(window, expired);
        }
        self.walk_mut().next_link = None;
        Ok(window)
    }

    /// The API keeps less than it says: the window moves forward, and the gap is named.
    fn move_start(
        &mut self,
        window: Window,
        minimum: Option<jiff::Timestamp>,
        message: &str,
    ) -> Result<Window, Stop> {
        let oldest = minimum.unwrap_or_else(|| earlier(self.now(), SHORT_RETENTION));
        let from = later(whole_second(oldest), SignedDuration::from_secs(1));
        if from <= window.from {
            let error = Error::new(ErrorType::PullError, code::BAD_FILTER, message);
            return Err(Stop::Failed(error));
        }
        self.warn(format!(
            "records from {} to {from} cannot be had: the API keeps none that old; pulling starts at {from}",
            window.from
        ));
        let read_at = self.now();
        let to = later(from, window.span()).min(whole_second(read_at)).max(from);
        let moved = Window { from, to };
        self.walk_mut().open(moved, read_at);
        Ok(moved)
    }
}
