//! Flattening: one record becomes as many events as its nested members make combinations.
//!
//! A record is taken apart into pieces of its own text: what stays, what is lifted into it, and groups of elements of
//! which each event gets one each. A piece is written once and then copied into every event that it belongs to, so values
//! keep their bytes, and what is held in memory is as large as the record, however many events there are of it. What a
//! rule does not understand (a member that is no array, an element that names no group) stays where it is; a name that
//! stands twice in a record is taken twice. Made names give way to names that are there already: they get a number.

mod events;
mod names;
mod parts;
mod pieces;
mod raw;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_masks;
#[cfg(test)]
mod tests_random;

use std::fmt;

use crate::obfuscate::{ObfuscateError, Rule};
use crate::service::Flatten;

pub use events::Events;
pub(crate) use events::joined;
use parts::Parts;
use pieces::Pieces;
use raw::Members;

/// What becomes of a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Flattened {
    /// There is nothing to take apart: one event, the record's own text.
    Unchanged,
    /// Its events, one or more.
    Events(Events),
    /// It would be too much: it stays in one piece.
    InOnePiece {
        /// Why.
        why: TooMuch,
        /// Its text, where a mask that names members of its events had to be applied; else it is the record's own.
        masked: Option<Vec<u8>>,
    },
}

/// Why a record is not taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMuch {
    /// It would be so many events; `None` where that is more than can be counted.
    Events(Option<u64>),
    /// Its events would have so many bytes together.
    Bytes(u128),
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(Some(events)) => write!(f, "{events} events"),
            Self::Events(None) => write!(f, "more than {} events", u64::MAX),
            Self::Bytes(bytes) => write!(f, "events of {bytes} bytes together"),
        }
    }
}

/// Why a record could be neither taken apart nor masked. It must not be sent then.
#[derive(Debug, thiserror::Error)]
pub enum FlattenError {
    /// It is no JSON.
    #[error("the record is no well-formed json: {0}")]
    NotJson(#[from] serde_json::Error),
    /// Its events cannot be masked.
    #[error(transparent)]
    NotMasked(#[from] ObfuscateError),
}

/// The events of one record have no more bytes together: they are one batch, and a batch that no process can hold would
/// keep all later records behind it for ever.
const MOST_BYTES: u128 = 1 << 30;

/// Takes a record apart, into `most` events at the most. Its members were masked before; `masks` are applied to those that
/// have another name in its events.
///
/// # Errors
/// The text is no JSON.
pub fn flatten(record: &[u8], rule: &Flatten, most: u32, masks: &[Rule]) -> Result<Flattened, FlattenError> {
    let Some(members) = Members::of(record)? else { return Ok(Flattened::Unchanged) };
    let Some(parts) = Parts::of(members, rule)? else { return Ok(Flattened::Unchanged) };
    let count = parts.combinations();
    if count.is_none_or(|events| events > most.into()) {
        let why = TooMuch::Events(count);
        return Ok(Flattened::InOnePiece { why, masked: parts.in_one_piece(masks)? });
    }
    let events = Pieces::new(masks).events_of(&parts)?;
    if events.bytes() > MOST_BYTES {
        let why = TooMuch::Bytes(events.bytes());
        return Ok(Flattened::InOnePiece { why, masked: parts.in_one_piece(masks)? });
    }
    Ok(Flattened::Events(events))
}
