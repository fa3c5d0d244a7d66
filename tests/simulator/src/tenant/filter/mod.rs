//! `$filter`: parsed and evaluated, never looked at as text.
//!
//! The part of OData 4 that these collections know: `and`, `or`, `not`, parentheses, comparisons of a property with
//! a literal, `startswith`, `contains`, and `collection/any(x: …)`. A property, operator or literal that the
//! endpoint does not document is an error, which Graph answers with 400 "Invalid filter clause". Datetimes are
//! compared as instants, strings with regard to case.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

use super::endpoint::{Collection, Operator};

/// Why a filter is refused; the text is for the simulator's own log, Graph does not tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FilterError(String);

/// What a filter is asked about.
pub(crate) trait Subject {
    /// The event time.
    fn event_time(&self) -> Timestamp;
    /// The event time as the record writes it.
    fn event_time_text(&self) -> &str;
    /// The whole record.
    fn document(&self) -> &Value;
}

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter(Node);

impl Filter {
    /// Parses a decoded `$filter` against what the collection lets a caller ask.
    pub(crate) fn parse(text: &str, collection: impl Collection) -> Result<Self, FilterError> {
        parser::parse(text, collection).map(Self)
    }

    /// Whether the record passes.
    pub(crate) fn matches(&self, subject: &impl Subject) -> bool {
        holds(&self.0, subject, None)
    }

    /// Whether a property (names joined by `/`) occurs anywhere in it.
    pub(crate) fn mentions(&self, path: &str) -> bool {
        mentions(&self.0, path)
    }

    /// The earliest instant that bounds the event time from below (`ge`, `gt`, `eq`), wherever it stands.
    pub(crate) fn earliest_lower_bound(&self) -> Option<Timestamp> {
        let mut bounds = Vec::new();
        lower_bounds(&self.0, &mut bounds);
        bounds.into_iter().min()
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Some(Vec<Node>),
    Not(Box<Node>),
    EventTime { operator: Operator, operand: TimeOperand },
    Instant { path: String, operator: Operator, instant: Timestamp },
    Test { field: Field, operator: Operator, literal: Value },
    Any { list: String, body: Box<Node> },
}

/// What the event time is compared with: `contains` looks at its text.
#[derive(Debug, Clone, PartialEq)]
enum TimeOperand {
    Instant(Timestamp),
    Part(String),
}

/// Where a value is looked up: in the record, or in the member that an `any` is looking at.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    OfRecord(String),
    OfMember(Option<String>),
}

fn holds(node: &Node, subject: &impl Subject, member: Option<&Value>) -> bool {
    match node {
        Node::All(parts) => parts.iter().all(|part| holds(part, subject, member)),
        Node::Some(parts) => parts.iter().any(|part| holds(part, subject, member)),
        Node::Not(part) => !holds(part, subject, member),
        Node::EventTime { operator, operand: TimeOperand::Instant(instant) } => {
            compare(*operator, subject.event_time().cmp(instant))
        }
        Node::EventTime { operand: TimeOperand::Part(part), .. } => {
            subject.event_time_text().contains(part.as_str())
        }
        Node::Instant { path, operator, instant } => {
            let written = look_up(subject.document(), path).and_then(Value::as_str);
            let found = written.and_then(|text| text.parse::<Timestamp>().ok());
            found.is_some_and(|found| compare(*operator, found.cmp(instant)))
        }
        Node::Test { field, operator, literal } => {
            let found = match field {
                Field::OfRecord(path) => look_up(subject.document(), path),
                Field::OfMember(None) => member,
                Field::OfMember(Some(path)) => member.and_then(|value| look_up(value, path)),
            };
            test(*operator, found.unwrap_or(&Value::Null), literal)
        }
        Node::Any { list, body } => look_up(subject.document(), list)
            .and_then(Value::as_array)
            .is_some_and(|members| members.iter().any(|value| holds(body, subject, Some(value)))),
    }
}

fn look_up<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').try_fold(document, |value, name| value.get(name))
}

/// As OData has it: nothing but `eq` and `ne` is true of null.
fn test(operator: Operator, found: &Value, literal: &Value) -> bool {
    match operator {
        Operator::Eq => same(found, literal),
        Operator::Ne => !same(found, literal),
        Operator::StartsWith => {
            both_texts(found, literal).is_some_and(|(text, start)| text.starts_with(start))
        }
        Operator::Contains => both_texts(found, literal).is_some_and(|(text, part)| text.contains(part)),
        Operator::Ge | Operator::Gt | Operator::Le | Operator::Lt => {
            let by_text = both_texts(found, literal).map(|(left, right)| left.cmp(right));
            let by_number = || found.as_f64()?.partial_cmp(&literal.as_f64()?);
            by_text.or_else(by_number).is_some_and(|ordering| compare(operator, ordering))
        }
    }
}

fn same(found: &Value, literal: &Value) -> bool {
    match (found.as_f64(), literal.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => found == literal,
    }
}

fn both_texts<'a>(found: &'a Value, literal: &'a Value) -> Option<(&'a str, &'a str)> {
    Some((found.as_str()?, literal.as_str()?))
}

fn compare(operator: Operator, ordering: std::cmp::Ordering) -> bool {
    match operator {
        Operator::Eq => ordering.is_eq(),
        Operator::Ne => ordering.is_ne(),
        Operator::Ge => ordering.is_ge(),
        Operator::Gt => ordering.is_gt(),
        Operator::Le => ordering.is_le(),
        Operator::Lt => ordering.is_lt(),
        Operator::StartsWith | Operator::Contains => false,
    }
}

fn mentions(node: &Node, path: &str) -> bool {
    match node {
        Node::All(parts) | Node::Some(parts) => parts.iter().any(|part| mentions(part, path)),
        Node::Not(part) => mentions(part, path),
        Node::Test { field: Field::OfRecord(found), .. } | Node::Instant { path: found, .. } => found == path,
        Node::Any { list, .. } => list == path,
        Node::EventTime { .. } | Node::Test { .. } => false,
    }
}

fn lower_bounds(node: &Node, bounds: &mut Vec<Timestamp>) {
    match node {
        Node::All(parts) | Node::Some(parts) => parts.iter().for_each(|part| lower_bounds(part, bounds)),
        Node::Not(part) => lower_bounds(part, bounds),
        Node::EventTime {
            operator: Operator::Ge | Operator::Gt | Operator::Eq,
            operand: TimeOperand::Instant(instant),
        } => bounds.push(*instant),
        Node::EventTime { .. } | Node::Instant { .. } | Node::Test { .. } | Node::Any { .. } => {}
    }
}
