//! What is sent of a new record: taken apart where that is asked for, its counts added, and masked.
//!
//! A rule that masks a member may mean it by the path it has in the record or by the name it has in the events: a record
//! that is taken apart is masked as the API gave it, and what got another name is masked once more by that name. All other
//! records are masked once, with their counts. The events of a record are made one after another, as they are sent.

use bytes::Bytes;

use crate::error::{Error, ErrorType, code};
use crate::flatten::{self, Flattened, flatten, joined};
use crate::obfuscate::obfuscate;
use crate::ports::{Sink, Source, StateStore};

use super::enrich::Counts;
use super::{Run, Stop};

/// The texts of the events of one record.
pub(super) enum Events {
    One(Option<Bytes>),
    Many(flatten::Events),
}

impl Iterator for Events {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::One(text) => text.take(),
            Self::Many(texts) => texts.next().map(Bytes::from),
        }
    }
}

impl<S: Source, K: Sink, T: StateStore> Run<'_, S, K, T> {
    /// The events of a record with these counts.
    pub(super) fn events_of(&mut self, record: &Bytes, counts: &Counts) -> Result<Events, Stop> {
        let Some((rule, most)) = self.settings.service.flatten.as_ref().zip(self.settings.flatten) else {
            return self.in_one_piece(record, counts);
        };
        let whole = self.masked(record)?;
        let masks = &self.settings.obfuscation;
        match flatten(&whole, rule, most, masks).map_err(|error| not_read(&error))? {
            Flattened::Unchanged if counts.is_empty() => Ok(Events::One(Some(whole))),
            Flattened::Unchanged => self.in_one_piece(record, counts),
            Flattened::Events(texts) if counts.is_empty() => Ok(Events::Many(texts)),
            Flattened::Events(texts) => Ok(Events::Many(texts.followed_by(&self.object_of(counts)?))),
            Flattened::InOnePiece { why, masked } => {
                self.warn(format!(
                    "a record would become {why} and is sent in one piece; flatten_max_events is {most}"
                ));
                let text = masked.map_or(whole, Bytes::from);
                let with_counts =
                    if counts.is_empty() { text } else { joined(&text, &self.object_of(counts)?).into() };
                Ok(Events::One(Some(with_counts)))
            }
        }
    }

    fn in_one_piece(&self, record: &Bytes, counts: &Counts) -> Result<Events, Stop> {
        let masked =
            if counts.is_empty() { self.masked(record) } else { self.masked(&counts.added_to(record)) };
        masked.map(|text| Events::One(Some(text)))
    }

    /// The counts alone, masked.
    fn object_of(&self, counts: &Counts) -> Result<Bytes, Stop> {
        self.masked(&counts.added_to(b"{}"))
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
