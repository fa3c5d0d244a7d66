//! Cuts a streamed JSON array into its elements, byte for byte.
//!
//! The body comes in chunks that end anywhere. Bytes are gathered until at least one element is whole; each element is
//! then a slice of the gathered bytes. An element counts only when a byte follows it, because a number's end cannot be
//! told otherwise. An element that is not whole yet is looked at again only when twice as much of it has come, so that
//! one of many megabytes is not parsed a thousand times over.

use bytes::{Bytes, BytesMut};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::paging::byte_offset;

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeArray,
    /// Before the first element, or the end of an empty array.
    FirstElement,
    Element,
    AfterElement,
    AfterArray,
}

/// What may come first in a text and means nothing.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One array on its way.
#[derive(Debug)]
pub(crate) struct Splitter {
    /// What came and is not cut yet.
    gathered: BytesMut,
    place: Place,
    /// Nothing can be cut before so many bytes are gathered.
    wanted: usize,
    /// Bytes that were cut off before those gathered.
    passed: usize,
}

/// What a body is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Too few of them have come.
    Unknown,
    /// An array.
    Array,
    /// Something else.
    Other,
}

/// What is known of the array after a cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rest {
    /// More bytes are needed.
    Open,
    /// It is over and whole.
    Ended,
    /// It is broken, in words.
    Broken(String),
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Self { gathered: BytesMut::new(), place: Place::BeforeArray, wanted: 1, passed: 0 }
    }

    /// Takes the next bytes of the body.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.gathered.extend_from_slice(chunk);
    }

    /// Bytes that came and are not cut yet.
    pub(crate) fn gathered(&self) -> &[u8] {
        &self.gathered
    }

    /// True when enough has come since the last cut for another one to be worth while.
    pub(crate) fn is_ripe(&self) -> bool {
        self.gathered.len() >= self.wanted
    }

    /// Cuts off the elements that are whole, and says what is known of the rest.
    pub(crate) fn cut(&mut self) -> (Vec<Bytes>, Rest) {
        let mut spans: Vec<(usize, usize)> = Vec::new();
        let (end, rest) = self.scan(&mut spans);
        self.passed += end;
        let cut_off = self.gathered.split_to(end).freeze();
        self.wanted = (self.gathered.len() * 2).max(1);
        let elements = spans.into_iter().map(|(start, end)| cut_off.slice(start..end)).collect();
        (elements, rest)
    }

    /// What an array is by its first bytes; asked before the first cut.
    pub(crate) fn beginning(&self) -> Beginning {
        let text = self.gathered.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.gathered);
        match text.iter().find(|byte| !is_space(**byte)) {
            None => Beginning::Unknown,
            Some(b'[') => Beginning::Array,
            Some(_) if BYTE_ORDER_MARK.starts_with(text) => Beginning::Unknown,
            Some(_) => Beginning::Other,
        }
    }

    /// What is wrong when the body is over and the array is not.
    pub(crate) fn ends_early(&self) -> String {
        format!("the array ends early at byte {}", self.passed + self.gathered.len())
    }

    /// Finds the whole elements. Gives where the first thing begins that is not whole, and what is known of the rest.
    fn scan(&mut self, spans: &mut Vec<(usize, usize)>) -> (usize, Rest) {
        let bytes: &[u8] = &self.gathered;
        let mut at = 0;
        if self.place == Place::BeforeArray && self.passed == 0 {
            if bytes.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(bytes) {
                return (0, Rest::Open);
            }
            at = if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        }
        loop {
            at += bytes.iter().skip(at).take_while(|byte| is_space(**byte)).count();
            let Some(byte) = bytes.get(at) else {
                let rest = if self.place == Place::AfterArray { Rest::Ended } else { Rest::Open };
                return (at, rest);
            };
            self.place = match (self.place, byte) {
                (Place::BeforeArray, b'[') => Place::FirstElement,
                (Place::BeforeArray, _) => return (at, self.broken(at, "no array begins")),
                (Place::FirstElement | Place::AfterElement, b']') => Place::AfterArray,
                (Place::AfterElement, b',') => Place::Element,
                (Place::AfterElement, _) => return (at, self.broken(at, "neither , nor ] after a record")),
                (Place::AfterArray, _) => return (at, self.broken(at, "something follows the array")),
                (Place::FirstElement | Place::Element, _) => {
                    match element(bytes.get(at..).unwrap_or_default()) {
                        Element::Whole(length) => {
                            spans.push((at, at + length));
                            at += length;
                            self.place = Place::AfterElement;
                            continue;
                        }
                        Element::Open => return (at, Rest::Open),
                        Element::Broken => {
                            return (at, self.broken(at, "not JSON in the record that begins"));
                        }
                    }
                }
            };
            at += 1;
        }
    }

    fn broken(&self, at: usize, what: &str) -> Rest {
        Rest::Broken(format!("{what} at byte {}", self.passed + at))
    }
}

enum Element {
    /// So many bytes, and at least one follows them.
    Whole(usize),
    Open,
    Broken,
}

fn element(bytes: &[u8]) -> Element {
    let mut values = Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    match values.next() {
        Some(Ok(_)) if values.byte_offset() < bytes.len() => Element::Whole(values.byte_offset()),
        Some(Ok(_)) | None => Element::Open,
        Some(Err(error)) if error.is_eof() => Element::Open,
        // A number that stops behind its sign or point is called wrong, not unfinished: what comes next decides.
        Some(Err(error)) if byte_offset(bytes, error.line(), error.column()) >= bytes.len() => Element::Open,
        Some(Err(_)) => Element::Broken,
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
#[path = "splitter_tests.rs"]
mod tests;
