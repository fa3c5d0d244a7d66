//! Content blobs: JSON arrays of records, kept as they were emitted or made while they are sent.
//!
//! A blob is never put together as a whole. Its bytes are made piece by piece as the connection takes them, so that
//! one blob of 60 MB, or 20,000 blobs of 50 records, cost the tenant next to nothing.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};

use super::ContentType;
use crate::http::Pieces;
use crate::sync::locked;
use crate::tenant::config::BodyStyle;

/// Gives the record of that number, counted from 0. It is called anew for each fetch and gives the same text each time.
pub type RecordMaker = Arc<dyn Fn(usize) -> String + Send + Sync>;

/// About how many bytes a piece has.
const PIECE: usize = 64 * 1024;

/// Servers that content ids name, one or two of them or none.
const NODES: [&str; 3] = ["$na0030$na0030", "$emea0036", ""];

/// What a blob holds.
pub(super) enum Content {
    Records(Vec<String>),
    Made { count: usize, make: RecordMaker },
    Raw(Bytes),
}

impl Content {
    /// How many records.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Records(records) => records.len(),
            Self::Made { count, .. } => *count,
            Self::Raw(_) => 0,
        }
    }

    fn append(&self, index: usize, buffer: &mut Vec<u8>) {
        match self {
            Self::Records(records) => {
                buffer.extend_from_slice(records.get(index).map(String::as_bytes).unwrap_or_default());
            }
            Self::Made { make, .. } => buffer.extend_from_slice(make(index).as_bytes()),
            Self::Raw(_) => {}
        }
    }
}

/// One blob.
pub(super) struct Blob {
    pub(super) content_id: Arc<str>,
    pub(super) content_type: ContentType,
    /// In order of emission to its feed, from 1.
    pub(super) number: u64,
    pub(super) created: Timestamp,
    pub(super) content: Content,
    expires_at: Mutex<Timestamp>,
    fetches: AtomicU64,
}

impl Blob {
    /// A blob. `unique` is a number that no other blob of the tenant has.
    pub(super) fn new(
        content_type: ContentType,
        number: u64,
        unique: u64,
        created: Timestamp,
        lifetime: SignedDuration,
        content: Content,
    ) -> Self {
        // Listings write milliseconds: what lies beyond them would be filtered by, but not shown.
        let created = Timestamp::from_millisecond(created.as_millisecond()).unwrap_or(created);
        Self {
            content_id: content_id(content_type, unique, created).into(),
            content_type,
            number,
            created,
            content,
            expires_at: Mutex::new(created.saturating_add(lifetime).unwrap_or(Timestamp::MAX)),
            fetches: AtomicU64::new(0),
        }
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        *locked(&self.expires_at)
    }

    pub(super) fn expire_at(&self, instant: Timestamp) {
        *locked(&self.expires_at) = instant;
    }

    /// Counts a fetch; gives its number, from 1.
    pub(super) fn count_fetch(&self) -> u64 {
        self.fetches.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(super) fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::SeqCst)
    }

    /// All its records, in order.
    pub(super) fn records(&self) -> Vec<Bytes> {
        let one = |index| {
            let mut record = Vec::new();
            self.content.append(index, &mut record);
            Bytes::from(record)
        };
        (0..self.content.count()).map(one).collect()
    }

    /// How many bytes its body has, where that is known without making it.
    pub(super) fn length(&self, style: BodyStyle) -> Option<u64> {
        let marks = Marks::of(style);
        let bytes = match &self.content {
            Content::Made { .. } => return None,
            Content::Raw(bytes) => bytes.len(),
            Content::Records(records) if records.is_empty() => marks.empty.len(),
            Content::Records(records) => {
                let between = marks.between.len() * (records.len() - 1);
                marks.open.len()
                    + marks.close.len()
                    + between
                    + records.iter().map(String::len).sum::<usize>()
            }
        };
        Some(bytes as u64)
    }
}

/// The body of a blob, in pieces.
pub(super) fn pieces(blob: Arc<Blob>, style: BodyStyle) -> Pieces {
    if let Content::Raw(bytes) = &blob.content {
        let mut rest = bytes.clone();
        return Box::new(std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| rest.split_to(rest.len().min(PIECE)))
        }));
    }
    let marks = Marks::of(style);
    let count = blob.content.count();
    if count == 0 {
        return Box::new(std::iter::once(Bytes::from_static(marks.empty.as_bytes())));
    }
    let mut next = 0;
    Box::new(std::iter::from_fn(move || {
        if next == count {
            return None;
        }
        let mut piece = Vec::with_capacity(PIECE + PIECE / 4);
        while next < count && piece.len() < PIECE {
            let mark = if next == 0 { marks.open } else { marks.between };
            piece.extend_from_slice(mark.as_bytes());
            blob.content.append(next, &mut piece);
            next += 1;
        }
        if next == count {
            piece.extend_from_slice(marks.close.as_bytes());
        }
        Some(Bytes::from(piece))
    }))
}

/// The same bytes as gzip.
pub(super) fn compressed(mut pieces: Pieces) -> Pieces {
    let mut encoder = Some(GzEncoder::new(Vec::new(), Level::fast()));
    Box::new(std::iter::from_fn(move || {
        loop {
            let writer = encoder.as_mut()?;
            let Some(piece) = pieces.next() else {
                // Writing into a vector cannot fail.
                return encoder.take().and_then(|last| last.finish().ok()).map(Bytes::from);
            };
            writer.write_all(&piece).ok()?;
            let ready = std::mem::take(writer.get_mut());
            if !ready.is_empty() {
                return Some(Bytes::from(ready));
            }
        }
    }))
}

/// What stands around and between records.
struct Marks {
    open: &'static str,
    between: &'static str,
    close: &'static str,
    empty: &'static str,
}

impl Marks {
    fn of(style: BodyStyle) -> Self {
        match style {
            BodyStyle::Compact => Self { open: "[", between: ",", close: "]", empty: "[]" },
            BodyStyle::Pretty => Self { open: "[\n  ", between: ",\n  ", close: "\n]\n", empty: "[\n]\n" },
        }
    }
}

/// An id of the observed shape: an earlier instant, the instant of creation, the feed twice, servers.
fn content_id(content_type: ContentType, unique: u64, created: Timestamp) -> String {
    let before = created.saturating_sub(SignedDuration::from_mins(4)).unwrap_or(created);
    let nanoseconds = u64::try_from(created.subsec_nanosecond()).unwrap_or_default();
    let name = content_type.name().replace('.', "_");
    let lowered = name.to_ascii_lowercase();
    let node = usize::try_from(unique).ok().and_then(|number| NODES.get(number % NODES.len()));
    format!(
        "{}${}${lowered}${name}{}",
        digits(before, unique),
        digits(created, nanoseconds),
        node.copied().unwrap_or_default()
    )
}

/// A second in 14 digits, and nine more.
pub(super) fn digits(instant: Timestamp, more: u64) -> String {
    format!("{}{:09}", instant.strftime("%Y%m%d%H%M%S"), more % 1_000_000_000)
}

/// Whether a text could be a content id: two numbers and at least two more parts.
pub(super) fn is_content_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('$').collect();
    let numbers = parts.iter().take(2);
    parts.len() >= 4
        && numbers.into_iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
