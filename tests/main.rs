//! The shipped executables against everything they meet: Microsoft, Devo, DynamoDB, Secrets Manager, Lambda.
//!
//! One binary; `world` is the stage, `cases` are the plays. Nothing of the collector is called here: its executables are
//! started as Lambda (or an operator) starts them, and judged by what they send, write and answer. `pace` alone plays the
//! collector's parts within, because it needs many minutes and no executable can be given another time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a test that cannot go on must stop, and says what it skips"
)]

mod cases;
mod world;
