//! Finds the spans of the values that a rule's path leads to.
//!
//! The walker goes down only where the path does, and skips everything else without looking into it, so its recursion
//! is as deep as the path and not as the record. It trusts that the record is well-formed (checked before) and gives
//! `None` rather than guess where it is not.

use super::Edit;
use super::mask::{self, Kind};
use super::rule::{Part, Rule};
use super::text::{Decoded, says};

/// The replacements that a rule makes in a record, in order and without overlap.
pub(super) fn edits(record: &[u8], rule: &Rule) -> Option<Vec<Edit>> {
    let mut walker = Walker { record, rule, edits: Vec::new() };
    let start = walker.skip_space(0);
    walker.visit(start, &rule.path)?;
    Some(walker.edits)
}

struct Walker<'a> {
    record: &'a [u8],
    rule: &'a Rule,
    edits: Vec<Edit>,
}

/// What is done with the elements of a list.
#[derive(Clone, Copy)]
enum Elements {
    All,
    Only(usize),
}

impl Walker<'_> {
    /// Follows the rest of the path from the value at `start` and gives the value's end.
    fn visit(&mut self, start: usize, path: &[Part]) -> Option<usize> {
        let Some((part, rest)) = path.split_first() else {
            return self.mask(start);
        };
        match (self.record.get(start)?, part) {
            (b'{', _) => self.visit_object(start, part, rest),
            (b'[', Part::Every) => self.visit_list(start, Elements::All, rest),
            (b'[', Part::Named { index: Some(index), .. }) => {
                self.visit_list(start, Elements::Only(*index), rest)
            }
            _ => self.skip_value(start),
        }
    }

    /// All members of the name, for an object may hold one twice.
    fn visit_object(&mut self, start: usize, part: &Part, rest: &[Part]) -> Option<usize> {
        let mut position = self.skip_space(start + 1);
        if self.record.get(position)? == &b'}' {
            return Some(position + 1);
        }
        loop {
            let key_end = self.skip_string(position)?;
            let key = self.record.get(position + 1..key_end.checked_sub(1)?)?;
            let is_meant = match part {
                Part::Every => true,
                Part::Named { name, .. } => says(key, name),
            };
            let colon = self.skip_space(key_end);
            let value = self.skip_space(colon + 1);
            let value_end = if is_meant { self.visit(value, rest)? } else { self.skip_value(value)? };
            let separator = self.skip_space(value_end);
            match self.record.get(separator)? {
                b',' => position = self.skip_space(separator + 1),
                b'}' => return Some(separator + 1),
                _ => return None,
            }
        }
    }

    fn visit_list(&mut self, start: usize, elements: Elements, rest: &[Part]) -> Option<usize> {
        let mut position = self.skip_space(start + 1);
        if self.record.get(position)? == &b']' {
            return Some(position + 1);
        }
        for index in 0.. {
            let element_end = match elements {
                Elements::All => self.visit_element(position, rest)?,
                Elements::Only(wanted) if wanted == index => self.visit(position, rest)?,
                Elements::Only(_) => self.skip_value(position)?,
            };
            let separator = self.skip_space(element_end);
            match self.record.get(separator)? {
                b',' => position = self.skip_space(separator + 1),
                b']' => return Some(separator + 1),
                _ => return None,
            }
        }
        None
    }

    /// A last `*` over a list of objects masks the members of each, which keeps their shape, instead of the objects.
    fn visit_element(&mut self, start: usize, rest: &[Part]) -> Option<usize> {
        let is_object = self.record.get(start)? == &b'{';
        if rest.is_empty() && is_object {
            return self.visit_object(start, &Part::Every, rest);
        }
        self.visit(start, rest)
    }

    fn mask(&mut self, start: usize) -> Option<usize> {
        let end = self.skip_value(start)?;
        let raw = self.record.get(start..end)?;
        let kind = Kind::of(raw);
        if kind == Kind::Text && !self.rule.patterns.is_empty() {
            self.mask_parts(start + 1, end.checked_sub(1)?)?;
            return Some(end);
        }
        if let Some(replacement) = mask::whole(self.rule, kind) {
            self.edits.push(Edit { start, end, replacement });
        }
        Some(end)
    }

    /// Masks what the patterns match between the quotes.
    fn mask_parts(&mut self, start: usize, end: usize) -> Option<()> {
        let content = std::str::from_utf8(self.record.get(start..end)?).ok()?;
        let replacement = mask::part_of_text(self.rule);
        for range in Decoded::of(content)?.matches(&self.rule.patterns) {
            self.edits.push(Edit {
                start: start + range.start,
                end: start + range.end,
                replacement: replacement.clone(),
            });
        }
        Some(())
    }

    fn skip_space(&self, start: usize) -> usize {
        let rest = self.record.get(start..).unwrap_or_default();
        start + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
    }

    /// The end of the value at `start`; nested ones are counted through, not walked into.
    fn skip_value(&self, start: usize) -> Option<usize> {
        match self.record.get(start)? {
            b'"' => self.skip_string(start),
            b'{' | b'[' => self.skip_nested(start),
            _ => {
                let rest = self.record.get(start..)?;
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                Some(start + length)
            }
        }
    }

    fn skip_nested(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        let mut position = start;
        loop {
            match self.record.get(position)? {
                b'"' => {
                    position = self.skip_string(position)?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            position += 1;
            if depth == 0 {
                return Some(position);
            }
        }
    }

    /// The end of the string whose opening quote is at `start`.
    fn skip_string(&self, start: usize) -> Option<usize> {
        let mut position = start + 1;
        loop {
            position += memchr::memchr2(b'"', b'\\', self.record.get(position..)?)?;
            match self.record.get(position)? {
                b'"' => return Some(position + 1),
                _ => position += 2,
            }
        }
    }
}
