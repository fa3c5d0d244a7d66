//! Slices of time: an unsorted list is read in parts that each fit one page.
//!
//! A window is one slice at first. A page may be cut without a word, so what lies behind it is asked for with `$skip`: if
//! there is more, the halves of the slice are asked for in its place. A slice of a second is not halved but read on by
//! `$skip`. Whatever is skipped may have moved since: a record that changed has left its slice, and all behind it moved up
//! by one. So `$skip` leads back to the last row that was given, the anchor: behind it begins what is new. Where it has
//! moved, it is followed, and where it is missing, the slice is read again.
//!
//! A server may take other ways. One that heeds no `$skip` but gives links has its links followed where halving helps no
//! more. One whose rows mostly lie outside the slice does not heed its ends: what is left is read row by row then, for
//! each of ten thousand halves would bring the same rows.
//!
//! The stored link holds the ends of the slices that are left, in its fragment, which is never sent. A walk ends: halves
//! get shorter, rows more, and a slice is read again only a few times.

use bytes::Bytes;
use collector::window::Window;
use jiff::Timestamp;

use crate::paging::digest;

/// So often an anchor that moved or is missing is looked for in one slice; then it is read on without one.
const MOST_REPEATS: u8 = 3;

/// Slices of this many seconds are not halved.
const SHORTEST: i64 = 1;

/// What is left of a window: the slices to be read, and where the walk stands in the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slices {
    /// Beginning of the first slice, epoch seconds.
    from: i64,
    /// Lengths of the slices in seconds, one behind the other; each holds both of its ends.
    lengths: Vec<i64>,
    place: Place,
    /// How often an anchor was not where it should be in the slice at hand.
    repeats: u8,
    bounds: SliceBounds,
}

/// Whether the API gives what lies in a slice, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SliceBounds {
    /// As far as is known.
    Heeded,
    /// It gave what lies elsewhere.
    Ignored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the slice's first row.
    Start,
    /// Where the last row that was given should be, known by the hash of its text.
    Anchor { skip: u64, hash: u64 },
    /// Behind so many rows; the last one that was given is known by the hash of its text, where there is one to know.
    Behind { skip: u64, last: Option<u64> },
    /// Where a link of the API leads to.
    Link,
}

/// Whether the API gave a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiLink {
    /// It did: there is more.
    Given,
    /// It did not, which says nothing.
    None,
}

/// What a page means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// So many of its first rows were given by the page before.
    pub(crate) known_rows: usize,
    /// How the walk goes on; `None` at its end.
    pub(crate) next: Option<Slices>,
}

impl Slices {
    /// The whole window.
    pub(crate) fn of(window: Window) -> Self {
        let from = window.from.as_second();
        Self {
            from,
            lengths: vec![window.to.as_second() - from],
            place: Place::Start,
            repeats: 0,
            bounds: SliceBounds::Heeded,
        }
    }

    /// The slice that is asked for.
    pub(crate) fn slice(&self) -> Window {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        Window { from: at(self.from), to: at(self.from.saturating_add(self.length())) }
    }

    /// The rows of it that are passed over.
    pub(crate) fn skip(&self) -> u64 {
        match self.place {
            Place::Start | Place::Link => 0,
            Place::Anchor { skip, .. } | Place::Behind { skip, .. } => skip,
        }
    }

    /// Whether a link of the API leads here, and not the slice.
    pub(crate) fn is_linked(&self) -> bool {
        self.place == Place::Link
    }

    /// What a page with these rows means.
    pub(crate) fn step(&self, rows: &[Bytes], link: ApiLink, bounds: SliceBounds) -> Step {
        if bounds == SliceBounds::Ignored && self.bounds == SliceBounds::Heeded {
            return self.in_one().step(rows, link, bounds);
        }
        let known_rows = match self.place {
            Place::Anchor { hash, .. } | Place::Behind { last: Some(hash), .. } => {
                rows.iter().position(|row| digest::of_row(row) == hash).map_or(0, |anchor| anchor + 1)
            }
            Place::Start | Place::Behind { last: None, .. } | Place::Link => 0,
        };
        let next = if let Some(moved) = self.moved_anchor(rows.len(), known_rows, link) {
            Some(moved)
        } else if self.place == Place::Link {
            self.behind_link(link)
        } else if self.length() > SHORTEST && self.bounds == SliceBounds::Heeded {
            self.behind_part(rows.len(), known_rows, link, rows.last())
        } else {
            self.behind_rows(rows.len(), known_rows, link, rows.last())
        };
        Step { known_rows, next }
    }

    /// The walk behind the slice at hand.
    pub(crate) fn without_first(&self) -> Option<Self> {
        let (passed, left) = self.lengths.split_first()?;
        if left.is_empty() {
            return None;
        }
        Some(Self {
            from: self.from.saturating_add(*passed),
            lengths: left.to_vec(),
            place: Place::Start,
            repeats: 0,
            bounds: self.bounds,
        })
    }

    /// The link that leads here: the API's own, or the endpoint in place of one.
    pub(crate) fn mark(&self, bare_link: &str) -> String {
        let mut link = format!("{bare_link}#slices={}", self.from);
        self.lengths.iter().for_each(|length| link.push_str(&format!(".{length}")));
        match self.place {
            Place::Start => {}
            Place::Anchor { skip, hash } => link.push_str(&format!("&skip={skip}&last={hash:x}")),
            Place::Behind { skip, last } => {
                link.push_str(&format!("&skip={skip}"));
                last.iter().for_each(|hash| link.push_str(&format!("&behind={hash:x}")));
            }
            Place::Link => link.push_str("&by=link"),
        }
        if self.bounds == SliceBounds::Ignored {
            link.push_str("&ends=ignored");
        }
        if self.repeats > 0 {
            link.push_str(&format!("&repeats={}", self.repeats));
        }
        link
    }

    /// What a stored link says; `None` if it is none of these.
    pub(crate) fn read(link: &str) -> Option<Self> {
        let (_, fragment) = link.split_once('#')?;
        let value = |name: &str| {
            fragment.split('&').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name)
        };
        let mut numbers = value("slices")?.1.split('.').map(|text| text.parse::<i64>().ok());
        let from = numbers.next()??;
        let lengths = numbers.collect::<Option<Vec<i64>>>()?;
        let is_sound = !lengths.is_empty() && lengths.iter().all(|length| *length >= 0);
        let number = |name| value(name).map(|(_, text)| text.parse::<u64>().ok());
        let hash = |name| value(name).map(|(_, text)| u64::from_str_radix(text, 16).ok());
        let place = match (number("skip"), hash("last")) {
            (None, _) if value("by").is_some() => Place::Link,
            (None, _) => Place::Start,
            (Some(skip), None) => Place::Behind { skip: skip?, last: hash("behind").flatten() },
            (Some(skip), Some(hash)) => Place::Anchor { skip: skip?, hash: hash? },
        };
        let repeats = u8::try_from(number("repeats").unwrap_or(Some(0))?).ok()?;
        let bounds = if value("ends").is_some() { SliceBounds::Ignored } else { SliceBounds::Heeded };
        is_sound.then_some(Self { from, lengths, place, repeats, bounds })
    }

    /// The anchor where it is now, if rows have come before it and the page ends with it: it may have been cut there.
    fn moved_anchor(&self, rows: usize, known_rows: usize, link: ApiLink) -> Option<Self> {
        let Place::Anchor { skip, hash } = self.place else { return None };
        if known_rows < 2 || known_rows < rows || link == ApiLink::Given || self.repeats >= MOST_REPEATS {
            return None;
        }
        let place = Place::Anchor { skip: skip.saturating_add(known_rows as u64 - 1), hash };
        Some(Self { place, repeats: self.repeats + 1, ..self.clone() })
    }

    /// Behind a page of a slice that can be halved.
    fn behind_part(
        &self,
        rows: usize,
        known_rows: usize,
        link: ApiLink,
        last: Option<&Bytes>,
    ) -> Option<Self> {
        if link == ApiLink::Given || rows > known_rows && self.place != Place::Start {
            return Some(self.halved());
        }
        match (self.place, last) {
            (Place::Start, Some(last)) => Some(self.behind(0, rows, last)),
            (Place::Anchor { .. }, None) if self.repeats < MOST_REPEATS => Some(self.again()),
            _ => self.without_first(),
        }
    }

    /// Behind a page of a slice that is read row by row.
    fn behind_rows(
        &self,
        rows: usize,
        known_rows: usize,
        link: ApiLink,
        last: Option<&Bytes>,
    ) -> Option<Self> {
        let is_lost = matches!(self.place, Place::Anchor { .. }) && known_rows == 0;
        if is_lost && self.repeats < MOST_REPEATS {
            return Some(self.again());
        }
        match (last.filter(|_| rows > known_rows), link) {
            // Without a way to know whether it moved, what is skipped is at least not skipped twice.
            (Some(_), _) if is_lost => Some(self.at(Place::Behind { skip: self.reached(rows), last: None })),
            (Some(last), _) => Some(self.behind(self.skip(), rows, last)),
            // Nothing new by number, and yet there is more.
            (None, ApiLink::Given) => Some(self.at(Place::Link)),
            (None, ApiLink::None) => self.without_first(),
        }
    }

    /// Behind a page that a link led to. Where links lead, they lead to the end.
    fn behind_link(&self, link: ApiLink) -> Option<Self> {
        match link {
            ApiLink::Given => Some(self.clone()),
            ApiLink::None => self.without_first(),
        }
    }

    /// At the last row of a page that began behind `skip` others. A lone row would lead to itself, for ever.
    fn behind(&self, skip: u64, rows: usize, last: &Bytes) -> Self {
        let reached = skip.saturating_add(rows as u64);
        self.at(match rows {
            1 => Place::Behind { skip: reached, last: Some(digest::of_row(last)) },
            _ => Place::Anchor { skip: reached.saturating_sub(1), hash: digest::of_row(last) },
        })
    }

    fn reached(&self, rows: usize) -> u64 {
        self.skip().saturating_add(rows as u64)
    }

    fn at(&self, place: Place) -> Self {
        Self { place, ..self.clone() }
    }

    fn again(&self) -> Self {
        Self { place: Place::Start, repeats: self.repeats + 1, ..self.clone() }
    }

    /// All that is left as one slice, in which nothing is halved.
    fn in_one(&self) -> Self {
        Self { lengths: vec![self.lengths.iter().sum()], bounds: SliceBounds::Ignored, ..self.clone() }
    }

    fn halved(&self) -> Self {
        let first = self.length() / 2;
        let mut lengths = vec![first, self.length() - first];
        lengths.extend(self.lengths.iter().skip(1));
        Self { from: self.from, lengths, place: Place::Start, repeats: 0, bounds: self.bounds }
    }

    fn length(&self) -> i64 {
        self.lengths.first().copied().unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
