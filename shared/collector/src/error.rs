//! The catalogue of failures: what an operator sees, and can look up under its code in docs/errors.md.
//!
//! A failure is a stable word (`errorType`), a number, and a sentence that names the thing and the remedy. The words and
//! numbers are the vendor's where the vendor has them. What the run loop can *do* about a failure is another question,
//! answered by the error enums of `ports`.

use std::fmt;

/// The stable word of a failure: Lambda's `errorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Settings or an event that do not parse.
    InitVariablesError,
    /// Login, permissions, the first contact with the API.
    SetupError,
    /// The API fails a later request for good.
    ApiError,
    /// An answer that is no answer, or a refused filter.
    PullError,
    /// Devo cannot be reached, refuses the certificate, or did not end the stream cleanly.
    DeliveryError,
    /// State that cannot be read or written.
    StateError,
}

impl ErrorType {
    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InitVariablesError => "InitVariablesError",
            Self::SetupError => "SetupError",
            Self::ApiError => "ApiError",
            Self::PullError => "PullError",
            Self::DeliveryError => "DeliveryError",
            Self::StateError => "StateError",
        }
    }
}

/// The codes that are not an HTTP status. Each has a heading in docs/errors.md; a test says so.
pub mod code {
    /// InitVariablesError: settings or event do not parse.
    pub const SETTINGS: u16 = 1;
    /// InitVariablesError: a start time that is not in the past.
    pub const START_IN_FUTURE: u16 = 2;
    /// SetupError: no token.
    pub const LOGIN: u16 = 101;
    /// SetupError: the first request is refused.
    pub const NOT_PULLABLE: u16 = 102;
    /// PullError: an answer that is no answer.
    pub const BAD_ANSWER: u16 = 300;
    /// PullError: the API refuses the filter.
    pub const BAD_FILTER: u16 = 301;
    /// ApiError: any 5xx.
    pub const SERVER: u16 = 498;
    /// DeliveryError: Devo cannot be reached.
    pub const UNREACHABLE: u16 = 600;
    /// DeliveryError: certificate refused or expired.
    pub const CERTIFICATE: u16 = 601;
    /// DeliveryError: the stream was not closed cleanly.
    pub const NOT_CLOSED: u16 = 602;
    /// StateError: state unreadable or of a newer format.
    pub const STATE: u16 = 700;
    /// StateError: the commit lost its lease.
    pub const LEASE_LOST: u16 = 701;
}

/// One failure, as the operator sees it: `errorType` and `[code] message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The stable word.
    pub error_type: ErrorType,
    /// The number: one of [`code`], or the HTTP status of an ApiError.
    pub code: u16,
    /// The sentence, without the number.
    pub message: String,
}

impl Error {
    /// A failure of this type, number and sentence.
    pub fn new(error_type: ErrorType, code: u16, message: impl Into<String>) -> Self {
        Self { error_type, code, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}
