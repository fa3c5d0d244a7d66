//! What is found while a document is read: problems, ignored keys, and remarks.
//!
//! Reading never stops at the first problem. Every getter leaves what it found here and goes on with a default, so that
//! one error can name everything that is to be mended. No finding ever quotes a value that may be a secret.

use std::fmt;

use crate::error::{Error, ErrorType, code};

/// One thing to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where it is, for example `inputs.microsoft_graph_audit.services.signIns.start_time_in_utc`.
    path: String,
    /// What is wrong and what to do about it.
    text: String,
    kind: Kind,
}

/// Start times have published sentences, which stand alone, and a number of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    UnreadableStart,
    FutureStart,
}

impl Problem {
    /// The sentence with its place, also where the sentence alone is a published one.
    pub(crate) fn with_place(&self) -> String {
        format!("{}: {}", self.path, self.text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Ordinary => write!(f, "{}: {}", self.path, self.text),
            Kind::UnreadableStart | Kind::FutureStart => f.write_str(&self.text),
        }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is to be mended.
    pub(crate) problems: Vec<Problem>,
    /// Paths of keys that are accepted and have no effect.
    pub(crate) ignored: Vec<String>,
    /// What the operator should know.
    pub(crate) remarks: Vec<String>,
}

impl Findings {
    /// Notes a problem at `path`.
    pub(crate) fn problem(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), text: text.into(), kind: Kind::Ordinary });
    }

    /// Notes a start time that is no time.
    pub(crate) fn unreadable_start(&mut self, path: &str, value: &str) {
        let text = format!("Invalid start_time_in_utc: {value}. Must be in parseable datetime format.");
        self.problems.push(Problem { path: path.to_owned(), text, kind: Kind::UnreadableStart });
    }

    /// Notes a start time that is not in the past.
    pub(crate) fn future_start(&mut self, path: &str, value: &str) {
        let text = format!("Invalid start_time_in_utc: {value}. Must be in the past.");
        self.problems.push(Problem { path: path.to_owned(), text, kind: Kind::FutureStart });
    }

    /// Names the places of problems and ignored keys anew.
    pub(crate) fn relocate(&mut self, place: impl Fn(&str) -> String) {
        for path in self.problems.iter_mut().map(|problem| &mut problem.path).chain(&mut self.ignored) {
            *path = place(path);
        }
    }

    /// Turns the problems into remarks: they concern something that is switched off.
    pub(crate) fn demoted(mut self, because: &str) -> Self {
        let problems = std::mem::take(&mut self.problems);
        self.remarks.extend(problems.iter().map(|problem| format!("{because}: {}", problem.with_place())));
        self
    }

    /// Takes over what another reading found.
    pub(crate) fn extend(&mut self, other: Findings) {
        self.problems.extend(other.problems);
        self.ignored.extend(other.ignored);
        self.remarks.extend(other.remarks);
    }

    /// The error that names all problems, one a line; `None` when there are none. A start time in the future has a
    /// number of its own, which stands only when nothing else is wrong.
    pub(crate) fn error(&self) -> Option<Error> {
        if self.problems.is_empty() {
            return None;
        }
        Some(self.error_of(self.problems.iter().map(ToString::to_string)))
    }

    /// The same with the place of each, also where a published sentence has none: for whoever looks at several services.
    pub(crate) fn error_with_places(&self) -> Option<Error> {
        if self.problems.is_empty() {
            return None;
        }
        Some(self.error_of(self.problems.iter().map(Problem::with_place)))
    }

    fn error_of(&self, lines: impl Iterator<Item = String>) -> Error {
        let only_future_starts = self.problems.iter().all(|problem| problem.kind == Kind::FutureStart);
        let number = if only_future_starts { code::START_IN_FUTURE } else { code::SETTINGS };
        Error::new(ErrorType::InitVariablesError, number, lines.collect::<Vec<_>>().join("\n"))
    }
}
