//! What is sent of a new record: taken apart where that is asked for, its counts added, and masked.
//!
//! A rule that masks a member looks at the record as the API gave it and at the events that came of it, whose members have
//! other names: whichever of both it means, nothing leaves unmasked.

use bytes::Bytes;

use crate::error::{Error, ErrorType, code};
use crate::flatten::{Flattened, flatten};
use crate::obfuscate::obfuscate;
use crate::ports::{Sink, Source, StateStore};

use super::enrich::Counts;
use super::{Run, Stop};

/// The events of one record.
pub(super) enum Events {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Events {
    pub(super) fn texts(&self) -> &[Bytes] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// The events of a record with these counts.
    pub(super) fn events_of(&mut self, record: &Bytes, counts: &Counts) -> Result<Events, Stop> {
        let whole = self.masked(record)?;
        let parts = match self.settings.service.flatten.as_ref().zip(self.settings.flatten) {
            Some((rule, most)) => flatten(&whole, rule, most).map_err(|error| not_read(&error))?,
            None if counts.is_empty() => return Ok(Events::One(whole)),
            None => return Ok(Events::One(counts.added_to(&whole))),
        };
        match parts {
            Flattened::Events(texts) => {
                let enriched = texts.iter().map(|text| self.masked(&counts.added_to(text)));
                Ok(Events::Many(enriched.collect::<Result<_, _>>()?))
            }
            Flattened::TooMany(events) => {
                self.warn(format!(
                    "a record would become {events} events and is sent in one piece: raise flatten_max_events if they \
                     are wanted"
                ));
                Ok(Events::One(counts.added_to(&whole)))
            }
        }
    }

    fn masked(&self, text: &Bytes) -> Result<Bytes, Stop> {
        let masked = obfuscate(text, &self.settings.obfuscation).map_err(|error| not_read(&error))?;
        Ok(masked.map_or_else(|| text.clone(), Bytes::from))
    }
}

/// A page is split by a JSON parser, so this cannot be; it must not become an unmasked record either.
fn not_read(error: &impl std::fmt::Display) -> Stop {
    Stop::Failed(Error::new(ErrorType::PullError, code::BAD_ANSWER, error.to_string()))
}
