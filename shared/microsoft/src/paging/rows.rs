//! Rows by number: a list without a time is read with `$top` and `$skip` until a page is empty.
//!
//! A page may be cut below `$top` without a word, so the next one begins behind the rows that came, not behind those that
//! were asked for. It goes back by a hundredth of them: rows that moved up because others were removed are not passed
//! over, and the record memory drops the repeats. Where the API gives a link, that is followed instead.
//!
//! Numbers of rows only grow, so a server that does not heed `$skip` would be asked for ever: what is known of the first
//! page and of the one before travels in the stored link's fragment. The first page again, in place of what lies behind
//! the last one, means that there is no way to more: where links led here, or the page was not full, that was the list.

use bytes::Bytes;

use crate::paging::digest;

/// One of so many rows is asked for again with the next page.
const OVERLAP: u64 = 100;

/// Where in the list a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Rows before the page.
    pub(crate) skip: u64,
    /// Hash of the page before.
    page_before: Option<u64>,
    /// Hash of the list's first page.
    first_page: Option<u64>,
    /// Whose request it is.
    pub(crate) asked_by: AskedBy,
}

/// Whose request a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// Our own, with `$top` and `$skip`.
    Number,
    /// The API's: a link that it gave.
    Link,
}

/// The same rows came twice in a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SamePage;

impl Rows {
    /// The beginning of the list.
    pub(crate) const START: Self =
        Self { skip: 0, page_before: None, first_page: None, asked_by: AskedBy::Number };

    /// Where the next page is asked for, behind one with these rows of so many that were asked for; `None` at the end of
    /// the list.
    pub(crate) fn step(
        self,
        rows: &[Bytes],
        asked_by: AskedBy,
        page_size: u32,
    ) -> Result<Option<Self>, SamePage> {
        if rows.is_empty() {
            return Ok(match asked_by {
                AskedBy::Link => Some(Self { asked_by, ..self }),
                AskedBy::Number => None,
            });
        }
        let page = Some(digest::of_rows(rows));
        if self.asked_by == AskedBy::Number && self.first_page == page {
            let has_other_pages = self.page_before != self.first_page;
            let is_full = rows.len() >= usize::try_from(page_size).unwrap_or(usize::MAX);
            return if has_other_pages || !is_full { Ok(None) } else { Err(SamePage) };
        }
        if self.page_before == page {
            return Err(SamePage);
        }
        let count = rows.len() as u64;
        let new_rows = match asked_by {
            AskedBy::Link => count,
            AskedBy::Number => count - count / OVERLAP,
        };
        Ok(Some(Self {
            skip: self.skip.saturating_add(new_rows),
            page_before: page,
            first_page: self.first_page.or(page),
            asked_by,
        }))
    }

    /// The link with what is known of the way to it, in place of any fragment that it has.
    pub(crate) fn mark(self, link: &str) -> String {
        let bare = link.split('#').next().unwrap_or_default();
        let by = match self.asked_by {
            AskedBy::Number => "rows",
            AskedBy::Link => "link",
        };
        let hash = |name: &str, hash: Option<u64>| hash.map(|hash| format!("&{name}={hash:x}"));
        let page = hash("page", self.page_before).unwrap_or_default();
        let first = hash("first", self.first_page).unwrap_or_default();
        format!("{bare}#{by}={}{page}{first}", self.skip)
    }

    /// The link as it is asked for, and what is known there. One without a readable fragment is taken for the API's.
    pub(crate) fn read(marked: &str) -> (&str, Self) {
        let (bare, fragment) = marked.split_once('#').unwrap_or((marked, ""));
        let value = |name: &str| {
            let parts = fragment.split('&').filter_map(|part| part.split_once('='));
            parts.into_iter().find(|(key, _)| *key == name).map(|(_, text)| text)
        };
        let hash = |name: &str| u64::from_str_radix(value(name)?, 16).ok();
        let (asked_by, skip) = match (value("rows"), value("link")) {
            (Some(skip), _) => (AskedBy::Number, skip),
            (None, skip) => (AskedBy::Link, skip.unwrap_or_default()),
        };
        let skip = skip.parse().unwrap_or(0);
        (bare, Self { skip, page_before: hash("page"), first_page: hash("first"), asked_by })
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
