//! As much of a query as tells which rows it is about: its table, and comparisons with datetime literals.
//!
//! `T | where Timestamp >= datetime(…) and Timestamp < datetime(…)` and `between (datetime(…) .. datetime(…))` bind a
//! row's time, whatever stands left of the comparison. Everything else is taken for true. Placeholders that nobody filled
//! in, and literals that are no instants, are errors of syntax.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A query as far as it is understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HuntingQuery<'a> {
    /// The first word.
    pub(super) table: &'a str,
    bounds: Vec<(Comparison, Timestamp)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
}

impl<'a> HuntingQuery<'a> {
    /// Understands a query, or says what is wrong with it.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let table = table(text).ok_or("The query does not begin with a table.")?;
        if let Some(placeholder) = ["{from}", "{to}"].into_iter().find(|one| text.contains(one)) {
            return Err(format!("Syntax error: unexpected '{placeholder}'"));
        }
        Ok(Self { table, bounds: bounds(text)? })
    }

    /// Whether a row of that time is one of those that it asks for.
    pub(super) fn includes(&self, time: Timestamp) -> bool {
        self.bounds.iter().all(|(comparison, bound)| {
            let ordering = time.cmp(bound);
            match comparison {
                Comparison::Greater => ordering == Ordering::Greater,
                Comparison::GreaterOrEqual => ordering != Ordering::Less,
                Comparison::Less => ordering == Ordering::Less,
                Comparison::LessOrEqual => ordering != Ordering::Greater,
                Comparison::Equal => ordering == Ordering::Equal,
            }
        })
    }
}

/// The first word behind comments.
fn table(text: &str) -> Option<&str> {
    let line = text.lines().map(str::trim_start).find(|line| !line.is_empty() && !line.starts_with("//"))?;
    let end = line.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(line.len());
    line.get(..end).filter(|word| !word.is_empty())
}

fn bounds(text: &str) -> Result<Vec<(Comparison, Timestamp)>, String> {
    const LITERAL: &str = "datetime(";
    let mut bounds = Vec::new();
    for (start, _) in text.match_indices(LITERAL) {
        let inner = text.get(start + LITERAL.len()..).unwrap_or_default();
        let literal = inner.split_once(')').map(|(literal, _)| literal.trim()).unwrap_or_default();
        let instant = instant(literal).ok_or_else(|| format!("Syntax error: '{literal}' is no datetime"))?;
        let before = text.get(..start).unwrap_or_default().trim_end();
        bounds.extend(comparison(before).map(|comparison| (comparison, instant)));
    }
    Ok(bounds)
}

/// The comparison at the end of a text.
fn comparison(before: &str) -> Option<Comparison> {
    if let Some(shorter) = before.strip_suffix('(') {
        let is_range = shorter.trim_end().ends_with("between") && !shorter.trim_end().ends_with("!between");
        return is_range.then_some(Comparison::GreaterOrEqual);
    }
    let signs = [
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        ("==", Comparison::Equal),
        ("..", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
    ];
    signs.into_iter().find(|(sign, _)| before.ends_with(sign)).map(|(_, comparison)| comparison)
}

/// With or without an offset, with or without a time of day; UTC where nothing is said.
fn instant(literal: &str) -> Option<Timestamp> {
    let literal = literal.trim_matches(['"', '\'']);
    let in_utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let with_offset = literal.parse::<Timestamp>().ok();
    let midnight = || literal.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0));
    with_offset.or_else(|| literal.parse::<DateTime>().ok().or_else(midnight).and_then(in_utc))
}
