//! The configuration document (CONTRACT 2).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::service::Family;
use crate::settings::Settings;

/// A function's settings and what the operator should know about the document.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The settings.
    pub settings: Settings,
    /// Translations, ignored keys, problems of other inputs.
    pub warnings: Vec<String>,
}

/// Resolves the settings of `function` from the document, `overlay` (service settings of one invocation) laid over it.
/// All problems are reported in one error. An absent service or input gives `enabled: false`.
pub fn resolve(
    _document: &Value,
    _families: &[&'static Family],
    _function: &str,
    _overlay: Option<&Map<String, Value>>,
    _now: Timestamp,
) -> Result<Resolved, Error> {
    Err(Error::new(crate::error::ErrorType::InitVariablesError, crate::error::code::SETTINGS, "not yet"))
}
