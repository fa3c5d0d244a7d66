//! The core of the collector: the rules, and the run loop that keeps them.
//!
//! There is no I/O here, no clock, no environment, no network, no TLS and no AWS: `now`, the deadline and the three
//! ports are arguments. So every rule can be simulated, with a crash at any step.

pub mod checkpoint;
pub mod error;
pub mod event;
pub mod flatten;
pub mod instant;
pub mod memory;
pub mod message;
pub mod obfuscate;
pub mod outlook;
pub mod ports;
pub mod record;
pub mod report;
pub mod run;
pub mod service;
pub mod settings;
pub mod story;
pub mod window;
