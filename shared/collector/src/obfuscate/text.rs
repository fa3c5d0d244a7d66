//! A JSON text as characters that know where they stand in the raw bytes.
//!
//! Patterns look at what a text says, not at how it is escaped; only the raw bytes of what they match are replaced, so
//! the escapes of the rest stay as they were written.

use std::borrow::Cow;
use std::ops::Range;

use regex::Regex;

/// A decoded text and, for each of its bytes and its end, the offset in the raw content.
#[derive(Debug)]
pub(super) struct Decoded {
    text: String,
    offsets: Vec<usize>,
}

impl Decoded {
    /// Decodes the content of a JSON text, without its quotes. A lone surrogate becomes U+FFFD. `None` if the content
    /// is no content of a JSON text.
    pub(super) fn of(raw: &str) -> Option<Self> {
        let mut decoded =
            Self { text: String::with_capacity(raw.len()), offsets: Vec::with_capacity(raw.len()) };
        let mut rest = raw.char_indices();
        while let Some((start, c)) = rest.next() {
            if c != '\\' {
                decoded.push(c, start);
                continue;
            }
            let (_, escape) = rest.next()?;
            match simple_escape(escape) {
                Some(plain) => decoded.push(plain, start),
                None if escape == 'u' => {
                    let unit = four_digits(&mut rest)?;
                    decoded.push(character(unit, &mut rest), start);
                }
                None => return None,
            }
        }
        decoded.offsets.push(raw.len());
        Some(decoded)
    }

    /// The raw ranges of what any of the patterns matches; overlapping ones are one. Empty matches are none.
    pub(super) fn matches(&self, patterns: &[Regex]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = patterns
            .iter()
            .flat_map(|pattern| pattern.find_iter(&self.text))
            .filter(|hit| !hit.is_empty())
            .map(|hit| hit.range())
            .collect();
        found.sort_unstable_by_key(|range| (range.start, range.end));
        let mut merged: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for range in found {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        let raw_offset = |offset: usize| self.offsets.get(offset).copied().unwrap_or_default();
        merged.into_iter().map(|range| raw_offset(range.start)..raw_offset(range.end)).collect()
    }

    fn push(&mut self, c: char, raw_start: usize) {
        self.text.push(c);
        self.offsets.resize(self.text.len(), raw_start);
    }
}

/// Whether the content of a JSON text, without its quotes, says `expected`.
pub(super) fn says(raw: &[u8], expected: &str) -> bool {
    if memchr::memchr(b'\\', raw).is_none() {
        return raw == expected.as_bytes();
    }
    decode(raw).is_some_and(|text| text == expected)
}

fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    let content = std::str::from_utf8(raw).ok()?;
    Decoded::of(content).map(|decoded| Cow::Owned(decoded.text))
}

fn simple_escape(escape: char) -> Option<char> {
    Some(match escape {
        '"' | '\\' | '/' => escape,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        _ => return None,
    })
}

/// The character of an escaped UTF-16 unit; takes a second unit only when both are one character.
fn character(unit: u32, rest: &mut std::str::CharIndices<'_>) -> char {
    if let Some(c) = char::from_u32(unit) {
        return c;
    }
    let mut ahead = rest.clone();
    let second = match (ahead.next(), ahead.next()) {
        (Some((_, '\\')), Some((_, 'u'))) => four_digits(&mut ahead),
        _ => None,
    };
    match second {
        Some(low @ 0xDC00..=0xDFFF) if unit < 0xDC00 => {
            *rest = ahead;
            let combined = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            char::from_u32(combined).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}

fn four_digits(rest: &mut std::str::CharIndices<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        let (_, digit) = rest.next()?;
        unit = unit * 16 + digit.to_digit(16)?;
    }
    Some(unit)
}
