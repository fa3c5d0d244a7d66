//! How many blob requests are in flight, and how many ever were at once.
//!
//! A request is in flight from the moment it is read until its answer was handed to the connection, or the client went
//! away. A client that lets only so many requests run at once is never counted above that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::http::Held;

/// What was fetched from the feeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BlobTraffic {
    /// Blobs that were emitted.
    pub blobs: u64,
    /// Those of them that were asked for at least once.
    pub fetched: u64,
    /// Requests for them.
    pub requests: u64,
    /// Requests that were answered with the blob, whatever became of it on its way.
    pub answered: u64,
    /// Requests that have no complete answer yet.
    pub in_flight: usize,
    /// The most that ever had none at the same time.
    pub most_in_flight: usize,
}

/// The counts, shared by all requests.
#[derive(Debug, Default)]
pub(in crate::tenant) struct Traffic {
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    answered: AtomicU64,
}

/// A request in flight; dropping it ends that.
#[derive(Debug)]
pub(in crate::tenant) struct InFlight(Arc<Traffic>);

impl Held for InFlight {}

impl InFlight {
    /// Counts a request in.
    pub(super) fn begin(traffic: &Arc<Traffic>) -> Self {
        let now = traffic.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        traffic.most_in_flight.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(traffic))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Traffic {
    /// Counts an answer that holds the blob.
    pub(super) fn count_answer(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    /// Adds what is counted here.
    pub(super) fn fill_in(&self, summary: &mut BlobTraffic) {
        summary.answered = self.answered.load(Ordering::SeqCst);
        summary.in_flight = self.in_flight.load(Ordering::SeqCst);
        summary.most_in_flight = self.most_in_flight.load(Ordering::SeqCst);
    }
}
