//! How a command ends: the exit code, and how errors and warnings are shown.

use std::process::ExitCode;

use collector::error::{Error, ErrorType};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const PLAIN: &str = "\x1b[0m";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All is well.
    Good,
    /// There were problems.
    Problems,
    /// The configuration or the usage is invalid.
    Invalid,
    /// Somebody pressed Ctrl-C before it was done.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Good => Self::SUCCESS,
            Ending::Problems => Self::from(1),
            Ending::Invalid => Self::from(2),
            // 128 + SIGINT.
            Ending::Interrupted => Self::from(130),
        }
    }
}

/// How a line is marked, with a colour on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `ok`, green.
    Good,
    /// `warning`, yellow.
    Warning,
    /// `error`, red.
    Problem,
}

impl Mark {
    /// The word in its colour, padded to the width of the longest one. Print it through `anstream`, which leaves
    /// colours out where there is no terminal.
    pub fn word(self) -> String {
        let (colour, word) = match self {
            Self::Good => (GREEN, "ok"),
            Self::Warning => (YELLOW, "warning"),
            Self::Problem => (RED, "error"),
        };
        format!("{colour}{word:<7}{PLAIN}")
    }
}

/// Shows an error on standard error, one line a problem, and gives the exit code it stands for.
pub fn fail(error: &Error) -> Ending {
    let (word, code) = (Mark::Problem.word(), error.code);
    for line in error.message.lines() {
        anstream::eprintln!("{word} [{code}] {line}");
    }
    match error.error_type {
        ErrorType::InitVariablesError => Ending::Invalid,
        ErrorType::SetupError
        | ErrorType::ApiError
        | ErrorType::PullError
        | ErrorType::DeliveryError
        | ErrorType::StateError => Ending::Problems,
    }
}

/// Shows an error of the usage on standard error.
pub fn refuse(message: &str) -> Ending {
    anstream::eprintln!("{} {message}", Mark::Problem.word());
    Ending::Invalid
}

/// Shows warnings on standard error.
pub fn warn(warnings: &[String]) {
    for warning in warnings {
        anstream::eprintln!("{} {warning}", Mark::Warning.word());
    }
}
