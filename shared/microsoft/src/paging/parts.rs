//! Parts of time: a list of Defender for Cloud Apps is read in spans that each fit one page.
//!
//! `skip` leads no further than some thousand rows, no order is documented, and a file that changes while its list is read
//! moves. So a span that has more than one page is asked for in parts, and a part that has more in parts of its own; what
//! came on the way is passed on, and the record memory drops the repeats. Only a part of a millisecond is read by `skip`. In
//! scan mode the API leads on itself, by filters that it gives with each page; without them its spans are parted as well.
//!
//! A window is asked for by each of the list's filters on a time, one pass behind the other. The stored link holds all that
//! is left, in its fragment. A walk ends: parts get shorter, rows more, and where the API says that there is more without a
//! way to it, that is told and the part is over.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use collector::service::Reading;
use collector::window::Window;

use crate::paging::digest;

/// The most rows of a page, whatever is asked for, except in scan mode.
pub(crate) const MOST_ROWS: u32 = 100;

/// Parts that a span is asked for in: at the least, where nobody says how many rows it has, and at the most. Rows that lie
/// on one millisecond fill the same page in each span around it. In quarters half a year comes down to a millisecond in 17
/// steps, which is before the run loop takes such pages for a circle; in halves it would not.
const FEWEST_PARTS: i64 = 4;
const USUAL_PARTS: i64 = 8;
const MOST_PARTS: i64 = 64;
/// Parts of so many milliseconds are not parted.
const SHORTEST: i64 = 1;
/// Of the rows of a page so many in a hundred are planned for: the rows of a span are not spread evenly.
const PLANNED_PERCENT: u64 = 64;
/// So many empty pages in a row may have another one behind them.
const MOST_EMPTY_PAGES: u8 = 5;
/// The API's own filters are stored with the position; longer ones than this, in bytes, are done without.
const LONGEST_FILTERS: usize = 16 * 1024;

/// Stands for the hash of the page before where none was read by number.
const NO_PAGE: u64 = 0;

/// What is left of a window: the parts to be read, and where the walk stands in the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Which of the list's filters on a time is asked by.
    pub(crate) pass: usize,
    /// Beginning of the first part, epoch milliseconds.
    from: i64,
    /// Lengths of the parts in milliseconds, one behind the other; each holds both of its ends.
    lengths: Vec<i64>,
    pub(crate) place: Place,
    /// The API has said without ground that there is more.
    is_doubted: bool,
}

/// Where the walk stands in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its first row.
    Start,
    /// Behind so many rows, by number; the page before is known by the hash of its rows.
    Behind { skip: u64, page_before: u64 },
    /// Where these filters of the API lead, JSON, behind so many empty pages in a row.
    Scan { filters: String, empty_pages: u8 },
}

/// What a page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) rows: &'a [Bytes],
    /// Whether the API says that there is more.
    pub(crate) has_more: bool,
    /// Rows of the part, as far as the API counts them.
    pub(crate) total: Option<u64>,
    /// `nextQueryFilters`, JSON.
    pub(crate) next_filters: Option<&'a str>,
    /// Whether the rows lie in the part.
    pub(crate) is_inside: bool,
    /// The rows that were asked for.
    pub(crate) limit: u32,
    /// How they were asked for.
    pub(crate) reading: Reading,
}

/// What a page means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// How the walk goes on; `None` at the end of the pass.
    pub(crate) next: Option<Parts>,
    /// Whether the API says that the part has more, and nothing leads there.
    pub(crate) is_cut: bool,
}

impl Seen<'_> {
    /// Whether there is a reason to believe that there is more: by its count, or as many rows as a page has. Of an API that
    /// says so without end each millisecond would be asked for.
    fn is_founded(&self) -> bool {
        let rows = self.rows.len() as u64;
        rows >= u64::from(MOST_ROWS) || self.total.is_some_and(|total| total > rows)
    }
}

impl Parts {
    /// The whole window, by one of the list's filters.
    pub(crate) fn of(window: Window, pass: usize) -> Self {
        let (from, to) = (window.from.as_millisecond(), window.to.as_millisecond());
        Self { pass, from, lengths: vec![to - from], place: Place::Start, is_doubted: false }
    }

    /// Both ends of the part that is asked for, epoch milliseconds.
    pub(crate) fn ends(&self) -> (i64, i64) {
        (self.from, self.from.saturating_add(self.length()))
    }

    /// The rows of it that are passed over.
    pub(crate) fn skip(&self) -> u64 {
        match self.place {
            Place::Behind { skip, .. } => skip,
            Place::Start | Place::Scan { .. } => 0,
        }
    }

    /// What a page means.
    pub(crate) fn step(&self, seen: &Seen<'_>) -> Step {
        if !seen.has_more {
            return Step { next: self.without_first(), is_cut: false };
        }
        let next = self.scanned(seen).or_else(|| self.parted(seen)).or_else(|| self.skipped(seen));
        match next {
            Some(next) => Step { next: Some(next), is_cut: false },
            None => self.cut(),
        }
    }

    /// The part at hand is over, and something of it did not come.
    pub(crate) fn cut(&self) -> Step {
        Step { next: self.without_first(), is_cut: true }
    }

    /// The link that leads here.
    pub(crate) fn mark(&self, endpoint: &str) -> String {
        let mut link = format!("{endpoint}#parts={}.{}", self.pass, self.from);
        self.lengths.iter().for_each(|length| link.push_str(&format!(".{length}")));
        if self.is_doubted {
            link.push_str("&doubted=1");
        }
        match &self.place {
            Place::Start => {}
            Place::Behind { skip, page_before } => {
                link.push_str(&format!("&skip={skip}&page={page_before:x}"));
            }
            Place::Scan { filters, empty_pages } => {
                link.push_str(&format!("&empty={empty_pages}&filters={}", URL_SAFE_NO_PAD.encode(filters)));
            }
        }
        link
    }

    /// What a stored link says; `None` if it is none of these.
    pub(crate) fn read(link: &str) -> Option<Self> {
        let (_, fragment) = link.split_once('#')?;
        let value = |name: &str| {
            let mut members = fragment.split('&').filter_map(|part| part.split_once('='));
            members.find(|(key, _)| *key == name).map(|(_, text)| text)
        };
        let (pass, numbers) = value("parts")?.split_once('.')?;
        let mut numbers = numbers.split('.').map(|text| text.parse::<i64>().ok());
        let from = numbers.next()??;
        let lengths = numbers.collect::<Option<Vec<i64>>>()?;
        let is_sound = !lengths.is_empty() && lengths.iter().all(|length| *length >= 0);
        let place = match (value("skip"), value("filters")) {
            (Some(skip), _) => Place::Behind {
                skip: skip.parse().ok()?,
                page_before: u64::from_str_radix(value("page")?, 16).ok()?,
            },
            (None, Some(filters)) => Place::Scan {
                filters: String::from_utf8(URL_SAFE_NO_PAD.decode(filters).ok()?).ok()?,
                empty_pages: value("empty")?.parse().ok()?,
            },
            (None, None) => Place::Start,
        };
        let (pass, is_doubted) = (pass.parse().ok()?, value("doubted").is_some());
        is_sound.then_some(Self { pass, from, lengths, place, is_doubted })
    }

    /// Where the API's own filters lead.
    fn scanned(&self, seen: &Seen<'_>) -> Option<Self> {
        let (before, empty_before) = match &self.place {
            Place::Scan { filters, empty_pages } => (Some(filters.as_str()), *empty_pages),
            Place::Start => (None, 0),
            Place::Behind { .. } => return None,
        };
        let filters =
            seen.next_filters.filter(|text| text.len() <= LONGEST_FILTERS && before != Some(*text))?;
        let empty_pages = if seen.rows.is_empty() { empty_before.saturating_add(1) } else { 0 };
        let place = Place::Scan { filters: filters.to_owned(), empty_pages };
        (empty_pages <= MOST_EMPTY_PAGES).then(|| Self { place, ..self.clone() })
    }

    /// The part in parts of its own. A server that gives what lies elsewhere would give the same for each of them.
    fn parted(&self, seen: &Seen<'_>) -> Option<Self> {
        let is_of_use =
            seen.is_inside && !seen.rows.is_empty() && !matches!(self.place, Place::Behind { .. });
        let is_founded = seen.is_founded();
        if self.length() <= SHORTEST || !is_of_use || self.is_doubted && !is_founded {
            return None;
        }
        let planned = (u64::from(seen.limit) * PLANNED_PERCENT / 100).max(1);
        let told = seen.total.filter(|total| *total > seen.rows.len() as u64);
        let wanted =
            told.map_or(USUAL_PARTS, |total| i64::try_from(total.div_ceil(planned)).unwrap_or(MOST_PARTS));
        let count = wanted.clamp(FEWEST_PARTS, MOST_PARTS).min(self.length());
        let end_of = |part: i64| {
            let share = i128::from(self.length()) * i128::from(part) / i128::from(count);
            i64::try_from(share).unwrap_or(i64::MAX)
        };
        let lengths = (0..count).map(|part| end_of(part + 1) - end_of(part));
        let lengths = lengths.chain(self.lengths.iter().skip(1).copied()).collect();
        let is_doubted = self.is_doubted || !is_founded;
        Some(Self { lengths, place: Place::Start, is_doubted, ..self.clone() })
    }

    /// Behind the rows of a page. It goes back by one row, because one before may have been removed, and all the way behind
    /// a scan, whose order says nothing of that of the numbers.
    fn skipped(&self, seen: &Seen<'_>) -> Option<Self> {
        let page_before = digest::of_rows(seen.rows);
        let is_new = match self.place {
            Place::Behind { page_before: known, .. } => known != page_before,
            Place::Start | Place::Scan { .. } => self.length() <= SHORTEST,
        };
        if seen.rows.is_empty() || !is_new || !seen.is_inside {
            return None;
        }
        if seen.reading == Reading::Scan {
            return Some(Self { place: Place::Behind { skip: 0, page_before: NO_PAGE }, ..self.clone() });
        }
        let count = seen.rows.len() as u64;
        let skip = self.skip().saturating_add(if count > 1 { count - 1 } else { count });
        Some(Self { place: Place::Behind { skip, page_before }, ..self.clone() })
    }

    /// The walk behind the part at hand.
    fn without_first(&self) -> Option<Self> {
        let (passed, left) = self.lengths.split_first()?;
        let from = self.from.saturating_add(*passed);
        let lengths = left.to_vec();
        (!left.is_empty()).then_some(Self { from, lengths, place: Place::Start, ..*self })
    }

    fn length(&self) -> i64 {
        self.lengths.first().copied().unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "parts_tests.rs"]
mod tests;
