//! The time in which nobody asks for content.
//!
//! A caller who delivers what it has reads nothing meanwhile, and a body that nobody reads does not come. That time is
//! not the API's slowness: a bound on waiting is extended by it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pauses of one caller.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    begun: Option<Instant>,
    /// Those that are over, together.
    total: Duration,
}

impl Pauses {
    /// From now on nobody asks.
    pub(crate) fn begin(&self) {
        self.state().begun = Some(Instant::now());
    }

    /// Somebody asks again.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        if let Some(begun) = state.begun.take() {
            state.total += begun.elapsed();
        }
    }

    /// What comes of the work, or `None` when it took longer than the bound and all pauses in that time.
    pub(crate) async fn bounded<T>(&self, bound: Duration, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let begun = Instant::now();
        let total_before = self.state().total;
        let mut left = bound;
        while !left.is_zero() {
            if let Ok(outcome) = tokio::time::timeout(left, work.as_mut()).await {
                return Some(outcome);
            }
            let paused = self.state().total.saturating_sub(total_before);
            left = bound.saturating_sub(begun.elapsed().saturating_sub(paused));
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn pauses_extend_a_bound_and_nothing_else_does() {
        for count in [0_u32, 1, 3] {
            let pauses = Pauses::default();
            let begin = Instant::now();
            let mut bounded = Box::pin(pauses.bounded(10 * SECOND, std::future::pending::<()>()));
            for _ in 0..count {
                assert!(tokio::time::timeout(SECOND, bounded.as_mut()).await.is_err());
                pauses.begin();
                tokio::time::sleep(20 * SECOND).await;
                pauses.end();
            }
            assert_eq!(bounded.await, None);
            let expected = (10 + count * 20) * SECOND;
            let off = begin.elapsed().abs_diff(expected);
            assert!(off < SECOND / 10, "{:?} with {count} pauses", begin.elapsed());
        }
    }

    #[tokio::test]
    async fn what_is_there_is_given_whatever_the_time() {
        assert_eq!(Pauses::default().bounded(SECOND, async { 1 }).await, Some(1));
    }
}
