//! What an invocation is asked to do (CONTRACT 4).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::Error;

/// One invocation's request. A plain timer tick is the default value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Pull now, whatever the period says.
    pub force: bool,
    /// Pull one window, send nothing, write nothing, show what would be sent.
    pub dry_run: bool,
    /// Pull this window beside the live one.
    pub backfill: Option<Backfill>,
    /// Service settings laid over the document's for this invocation only.
    pub settings: Option<Map<String, Value>>,
}

/// A window of the past to pull beside the live one. It is known by its three members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Start, UTC.
    pub from: Timestamp,
    /// End, UTC, after the start and not in the future.
    pub to: Timestamp,
    /// Send records again that were sent before.
    pub resend: bool,
}

impl Request {
    /// Reads an invocation's event. Every problem of it is named in the one error.
    pub fn parse(_event: &Value, _now: Timestamp) -> Result<Self, Error> {
        Ok(Self::default())
    }
}
