//! Properties of records and the operators that a filter may put on them.
//!
//! What is not in an endpoint's table is refused, as Graph refuses it.

use std::fmt;

/// A collection as filters and the store see it.
pub(crate) trait Collection: Copy + Ord + fmt::Debug {
    /// The property that holds a record's place in time, if records have one.
    fn time_property(self) -> Option<&'static str>;

    /// The property of that path, if a filter may name it.
    fn property(self, path: &str) -> Option<&'static Property>;
}

/// A comparison or function of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    Ne,
    Ge,
    Gt,
    Le,
    Lt,
    StartsWith,
    Contains,
}

/// What a property holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The record's event time.
    EventTime,
    /// An instant beside the event time, read from the record.
    Instant,
    Text,
    Number,
    Flag,
    /// A collection of strings; the operators are those of its members.
    TextList,
    /// A collection of objects; its members' properties are listed as `collection/member`.
    ObjectList,
}

/// One property that a filter may name.
#[derive(Debug)]
pub(crate) struct Property {
    /// Names joined by `/`.
    pub(crate) path: &'static str,
    pub(crate) kind: Kind,
    pub(crate) operators: &'static [Operator],
}
