//! How the process is asked to stop, and how a running invocation hears of it.
//!
//! The first SIGTERM or Ctrl-C flips one value that every task watches. A running invocation is not cut off: its source
//! says "out of time", so the run loop delivers and commits what it has and gives its lease back. A second Ctrl-C ends
//! the process at once; what that repeats is one batch.

use collector::ports::{
    Blob, Fetched, Page, PageRequest, Preparation, Related, RelatedRequest, Source, SourceError, SourceStats,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// Exit code of a process that a second Ctrl-C ended: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Tells whether the process shall stop. Clones hear the same.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: watch::Receiver<bool>,
}

/// Asks everyone who holds the [`Stop`] of the same pair to stop.
#[derive(Debug)]
pub struct Stopper {
    asked: watch::Sender<bool>,
}

impl Stopper {
    /// Asks to stop. Asking again changes nothing.
    pub fn stop(&self) {
        self.asked.send_replace(true);
    }
}

/// A pair of which one half asks and the other hears.
pub fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper { asked: sender }, Stop { asked: receiver })
}

/// Listens to SIGTERM and Ctrl-C in a task of its own. A second Ctrl-C ends the process with exit code 130.
pub fn on_signals() -> Stop {
    let (stopper, stop) = pair();
    match Signals::listen() {
        Ok(mut signals) => {
            tokio::spawn(async move {
                signals.first().await;
                tracing::info!(
                    "stopping: running pulls are ended cleanly, press ctrl-c again to end at once"
                );
                stopper.stop();
                signals.interrupt().await;
                std::process::exit(INTERRUPTED);
            });
        }
        Err(cause) => tracing::warn!("signals cannot be heard ({cause}): this process does not end cleanly"),
    }
    stop
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn first(&mut self) {
        self.interrupt().await;
    }

    async fn interrupt(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Stop {
    /// True once somebody asked.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns once somebody asks; never when nobody can any more.
    pub async fn asked(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What the requests of a source are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To collect; what that takes on the API's side is done, for example a subscription started.
    Collect,
    /// To look: nothing is changed on the API's side.
    Look,
}

/// A source that is out of time once the process shall stop.
pub(crate) struct Stoppable<S> {
    source: S,
    stop: Stop,
    purpose: Purpose,
}

impl<S> Stoppable<S> {
    /// The source, until somebody asks for a stop.
    pub(crate) fn new(source: S, stop: Stop, purpose: Purpose) -> Self {
        Self { source, stop, purpose }
    }
}

impl<S: Source> Source for Stoppable<S> {
    async fn prepare(&mut self, preparation: &Preparation) -> Result<(), SourceError> {
        let is_dry = preparation.is_dry || self.purpose == Purpose::Look;
        let preparation = Preparation { is_dry, ..preparation.clone() };
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(SourceError::OutOfTime),
            outcome = self.source.prepare(&preparation) => outcome,
        }
    }

    async fn page(&mut self, request: &PageRequest) -> Result<Page, SourceError> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(SourceError::OutOfTime),
            outcome = self.source.page(request) => outcome,
        }
    }

    fn fetch(&mut self, blobs: Vec<Blob>, deadline: Timestamp) {
        self.source.fetch(blobs, deadline);
    }

    async fn fetched(&mut self, until: Timestamp) -> Result<Fetched, SourceError> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(SourceError::OutOfTime),
            outcome = self.source.fetched(until) => outcome,
        }
    }

    async fn related(&mut self, request: &RelatedRequest) -> Result<Related, SourceError> {
        tokio::select! {
            biased;
            () = self.stop.asked() => Err(SourceError::OutOfTime),
            outcome = self.source.related(request) => outcome,
        }
    }

    fn waits_until(&self) -> Option<Timestamp> {
        self.source.waits_until()
    }

    fn memo(&self) -> Map<String, Value> {
        self.source.memo()
    }

    fn fingerprint(&self) -> String {
        self.source.fingerprint()
    }

    fn stats(&self) -> SourceStats {
        self.source.stats()
    }
}

#[cfg(test)]
mod tests {
    use collector::window::Window;

    use super::*;

    /// A source that never answers, and notes whether it may change anything.
    #[derive(Default)]
    struct Silent {
        was_dry: Vec<bool>,
    }

    impl Source for Silent {
        async fn prepare(&mut self, preparation: &Preparation) -> Result<(), SourceError> {
            self.was_dry.push(preparation.is_dry);
            std::future::pending().await
        }

        fn fetch(&mut self, _: Vec<Blob>, _: Timestamp) {}

        async fn fetched(&mut self, _: Timestamp) -> Result<Fetched, SourceError> {
            std::future::pending().await
        }

        async fn related(&mut self, _: &RelatedRequest) -> Result<Related, SourceError> {
            std::future::pending().await
        }

        fn waits_until(&self) -> Option<Timestamp> {
            None
        }

        fn memo(&self) -> Map<String, Value> {
            Map::from_iter([("known".to_owned(), true.into())])
        }

        async fn page(&mut self, _: &PageRequest) -> Result<Page, SourceError> {
            std::future::pending().await
        }

        fn fingerprint(&self) -> String {
            "silent".to_owned()
        }

        fn stats(&self) -> SourceStats {
            SourceStats { requests: 3, ..SourceStats::default() }
        }
    }

    #[tokio::test]
    async fn a_source_that_is_silent_is_out_of_time_once_a_stop_is_asked() {
        let window = Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH };
        let request = PageRequest { window, query: None, link: None, deadline: Timestamp::MAX };
        let (stopper, stop) = pair();
        let mut source = Stoppable::new(Silent::default(), stop, Purpose::Collect);
        let asking = async {
            tokio::task::yield_now().await;
            stopper.stop();
        };
        let preparation = Preparation { deadline: Timestamp::MAX, memo: Map::new(), is_dry: false };
        let (prepared, ()) = tokio::join!(source.prepare(&preparation), asking);
        assert_eq!(prepared, Err(SourceError::OutOfTime));
        assert_eq!(source.fetched(Timestamp::MAX).await.unwrap_err(), SourceError::OutOfTime);
        assert_eq!(source.memo().len(), 1);
        assert_eq!(source.page(&request).await.unwrap_err(), SourceError::OutOfTime);
        assert_eq!((source.fingerprint(), source.stats().requests), ("silent".to_owned(), 3));
    }

    #[tokio::test]
    async fn who_only_looks_changes_nothing_whatever_is_asked() {
        let (stopper, stop) = pair();
        for (purpose, is_dry, expected) in [
            (Purpose::Collect, false, false),
            (Purpose::Collect, true, true),
            (Purpose::Look, false, true),
            (Purpose::Look, true, true),
        ] {
            let mut source = Stoppable::new(Silent::default(), stop.clone(), purpose);
            let preparation = Preparation { deadline: Timestamp::MAX, memo: Map::new(), is_dry };
            // One look at the silent source is enough: it was told before it fell silent.
            let told = tokio::time::timeout(std::time::Duration::ZERO, source.prepare(&preparation)).await;
            assert!(told.is_err());
            assert_eq!(source.source.was_dry, [expected], "{purpose:?} {is_dry}");
        }
        stopper.stop();
    }

    #[tokio::test]
    async fn whoever_waits_for_a_stop_hears_it_even_when_it_came_before() {
        let (stopper, mut heard) = pair();
        let mut later = heard.clone();
        assert!(!heard.is_asked());
        stopper.stop();
        stopper.stop();
        heard.asked().await;
        later.asked().await;
        assert!(later.is_asked());
    }
}
