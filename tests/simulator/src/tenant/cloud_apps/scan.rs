//! Scans: where one stands, and the filters that lead on.
//!
//! `nextQueryFilters` are the caller's filters with one more member that names a place nobody can guess. They are good
//! as the very text that was given, as often as somebody likes, until the links of the tenant expire.

use std::collections::HashMap;
use std::io;

use super::sort::{Place, Sort};
use crate::sync::{hex, random_bytes};

/// The member that holds the place.
pub(super) const MEMBER: &str = "scan";

/// Where a page of a scan begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// The caller's own filters.
    pub(super) filters: String,
    /// The order in which the scan began.
    pub(super) sort: Sort,
    /// The last row served; `None`: it begins.
    pub(super) behind: Option<Place>,
    /// The number of the page, from 1.
    pub(super) page: u64,
}

/// The positions that were given, by the text of their filters.
#[derive(Debug, Default)]
pub(super) struct ScanBook {
    given: HashMap<String, Position>,
}

impl ScanBook {
    /// The filters that lead to a position.
    pub(super) fn give(&mut self, position: Position) -> io::Result<String> {
        let token = hex(&random_bytes::<16>()?);
        let own = position.filters.trim();
        let own = own.strip_suffix('}').unwrap_or(own).trim_end();
        let comma = if own == "{" { "" } else { ", " };
        let text = format!("{own}{comma}\"{MEMBER}\": {{\"after\": \"{token}\"}}}}");
        self.given.insert(text.clone(), position);
        Ok(text)
    }

    /// The position that filters of exactly this text lead to.
    pub(super) fn position(&self, filters: &str) -> Option<&Position> {
        self.given.get(filters)
    }

    /// Makes all positions given so far invalid.
    pub(super) fn expire_all(&mut self) {
        self.given.clear();
    }
}

/// How many of the rows that could be served are served now: when more follow, those at the end that are level with
/// one another wait for the next page, unless all rows of this one are.
pub(super) fn rows_to_serve(rest: &[Place], limit: usize) -> usize {
    let Some((page, _)) = rest.split_at_checked(limit).filter(|(_, more)| !more.is_empty()) else {
        return rest.len();
    };
    let Some(last) = page.last() else {
        return 0;
    };
    match page.iter().rposition(|place| !place.is_level_with(last)) {
        Some(index) => index + 1,
        None => page.len(),
    }
}

/// Where among the places, which are in that order, those behind the position begin.
pub(super) fn start_of(places: &[Place], position: &Position) -> usize {
    position
        .behind
        .as_ref()
        .map_or(0, |behind| places.partition_point(|place| position.sort.compare(place, behind).is_le()))
}
