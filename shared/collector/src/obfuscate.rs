//! Placeholder: masks members of a record by rule.

/// One rule of `obfuscation_data`.
#[derive(Debug, Clone)]
pub struct Rule {}
