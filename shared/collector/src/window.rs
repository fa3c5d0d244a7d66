//! Placeholder.
use jiff::Timestamp;
/// A span of event time; both ends are whole seconds and belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Window {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}
