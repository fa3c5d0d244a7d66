//! Masks members of a record by rule (`obfuscation_data`).
//!
//! The edit is done on the record's own text: the walker finds the spans of the values that a rule matches, and the
//! masks are spliced in. So a record keeps its member order, its white space, and every number as it was written; a
//! record that no rule matches stays the very bytes it was. What a rule matches never leaves unmasked: a value that
//! cannot be masked in kind becomes the string mask. Only null stays, for there is nothing in it.

mod mask;
mod rule;
mod text;
mod walk;

#[cfg(test)]
mod tests;

pub use rule::{Rule, RuleProblem};

/// Why a record could not be masked. It must not be sent then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObfuscateError {
    /// The record is no JSON, so nobody can tell what is in it.
    #[error("the record is no well-formed json; what its rules mask cannot be found")]
    NotJson,
}

/// Applies the rules in order. Gives the new record, or `None` when nothing changed.
pub fn obfuscate(record: &[u8], rules: &[Rule]) -> Result<Option<Vec<u8>>, ObfuscateError> {
    if rules.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(record).map_err(|_| ObfuscateError::NotJson)?;
    serde_json::from_str::<&serde_json::value::RawValue>(text).map_err(|_| ObfuscateError::NotJson)?;
    let mut masked: Option<Vec<u8>> = None;
    for rule in rules {
        let current = masked.as_deref().unwrap_or(record);
        let edits = walk::edits(current, rule).ok_or(ObfuscateError::NotJson)?;
        if !edits.is_empty() {
            masked = Some(splice(current, &edits));
        }
    }
    Ok(masked.filter(|bytes| bytes != record))
}

/// One replacement: the bytes from `start` to before `end` become `replacement`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    start: usize,
    end: usize,
    replacement: String,
}

/// Makes the replacements, which are in order and do not overlap.
fn splice(record: &[u8], edits: &[Edit]) -> Vec<u8> {
    let growth: usize = edits.iter().map(|edit| edit.replacement.len()).sum();
    let mut spliced = Vec::with_capacity(record.len() + growth);
    let mut copied = 0;
    for edit in edits {
        spliced.extend_from_slice(record.get(copied..edit.start).unwrap_or_default());
        spliced.extend_from_slice(edit.replacement.as_bytes());
        copied = edit.end;
    }
    spliced.extend_from_slice(record.get(copied..).unwrap_or_default());
    spliced
}
