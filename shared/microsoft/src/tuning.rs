//! The waits and bounds of one request: how often it is repeated, how long it may take, how large its answer may be.
//!
//! The defaults are what production uses. They are values, not constants, so that a test of the third retry does not
//! take seconds.

use std::time::Duration;

/// Waits and bounds. `Default` is production.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Repeats of one request after its first attempt.
    pub retries: u32,
    /// Wait before the first repeat when the API names none; it doubles with each repeat.
    pub retry_base: Duration,
    /// Wait after the first answer that asks for patience without saying how long; it doubles with each one in a row.
    pub throttle_base: Duration,
    /// Shortest wait before a content blob that failed is tried once more.
    pub blob_wait: Duration,
    /// Longest wait that is not the API's own wish.
    pub retry_cap: Duration,
    /// Longest time for one attempt, from connecting to the last byte of the answer; of an answer that is streamed, to
    /// the next few records.
    pub attempt_timeout: Duration,
    /// Longest time for one attempt at a query of the operator's own, which the API works on for minutes.
    pub query_timeout: Duration,
    /// Largest answer in bytes, after decompression; of an answer that is streamed, its largest record.
    pub body_limit: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            retries: 3,
            retry_base: Duration::from_secs(1),
            throttle_base: Duration::from_secs(2),
            blob_wait: Duration::from_millis(250),
            retry_cap: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(60),
            // The API gives up after 200 s.
            query_timeout: Duration::from_secs(210),
            // Ten times the largest page seen (1,000 sign-ins with conditional access detail), and it fits the memory.
            body_limit: 256 * 1024 * 1024,
        }
    }
}
