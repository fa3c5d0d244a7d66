//! The events of a record, put together one after another: of each group the next element, the last group fastest.
//!
//! Every piece of text was written before. What is left is copying, so that the events are made while they are sent and
//! their bytes can be counted before the first of them is made.

/// Gives the texts of its events, one at a time, so that they are never all in memory at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Events {
    /// The members that all of them begin with, after an opening brace.
    head: String,
    /// The members that each element of each group adds; no group is empty.
    groups: Vec<Vec<String>>,
    /// The members that all of them end with.
    tail: String,
    /// The element of each group that comes next.
    next: Vec<usize>,
    left: u64,
}

impl Events {
    /// `head` is an object that is not closed; the product of the groups was counted before.
    pub(super) fn new(head: String, mut groups: Vec<Vec<String>>) -> Self {
        groups.retain(|pieces| !pieces.is_empty());
        let left = groups.iter().fold(1, |product: u64, pieces| product.saturating_mul(pieces.len() as u64));
        Self { head, next: vec![0; groups.len()], groups, tail: String::new(), left }
    }

    /// The same events, each with the members of this object as its last ones.
    pub fn followed_by(mut self, object: &[u8]) -> Self {
        self.tail = String::from_utf8_lossy(inside(object)).into_owned();
        self
    }

    /// How many bytes those that are left have together.
    pub fn bytes(&self) -> u128 {
        let left = u128::from(self.left);
        let shared = left * (self.head.len() + self.tail.len() + 2) as u128;
        let of_group = |pieces: &Vec<String>| {
            let once: usize = pieces.iter().map(|piece| piece.len() + 1).sum();
            once as u128 * (left / pieces.len().max(1) as u128)
        };
        self.groups.iter().map(of_group).sum::<u128>() + shared
    }

    /// The elements at hand give way to the next ones.
    fn advance(&mut self) {
        for (next, pieces) in self.next.iter_mut().zip(&self.groups).rev() {
            *next += 1;
            if *next < pieces.len() {
                return;
            }
            *next = 0;
        }
    }
}

impl Iterator for Events {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let chosen: Vec<&str> = self
            .groups
            .iter()
            .zip(&self.next)
            .filter_map(|(pieces, index)| pieces.get(*index).map(String::as_str))
            .collect();
        let length: usize = chosen.iter().map(|piece| piece.len() + 1).sum();
        let mut text = Vec::with_capacity(self.head.len() + length + self.tail.len() + 2);
        text.extend_from_slice(self.head.as_bytes());
        chosen
            .iter()
            .chain([&self.tail.as_str()])
            .for_each(|piece| push_members(&mut text, piece.as_bytes()));
        text.push(b'}');
        self.advance();
        Some(text)
    }
}

/// An object with the members of another one as its last ones; what is no object stays as it is.
pub(crate) fn joined(object: &[u8], other: &[u8]) -> Vec<u8> {
    let text = object.trim_ascii();
    let Some(open) = text.strip_suffix(b"}").map(<[u8]>::trim_ascii_end) else { return object.to_vec() };
    let mut both = Vec::with_capacity(open.len() + other.len() + 1);
    both.extend_from_slice(open);
    push_members(&mut both, inside(other));
    both.push(b'}');
    both
}

/// Members behind those of an object that is not closed.
fn push_members(text: &mut Vec<u8>, members: &[u8]) {
    if members.is_empty() {
        return;
    }
    if !text.ends_with(b"{") {
        text.push(b',');
    }
    text.extend_from_slice(members);
}

/// The members of an object, without its braces.
fn inside(object: &[u8]) -> &[u8] {
    let text = object.trim_ascii();
    text.strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"))
        .map(<[u8]>::trim_ascii)
        .unwrap_or_default()
}
