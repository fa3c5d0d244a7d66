//! The pieces of text that events are put together from.
//!
//! Members that have another name in the events than in the record are masked here, by the name they have there: once for
//! all events that they are in. Those that keep their name were masked with the record and are left alone, for a mask that
//! is masked again need not be the same mask.

use std::borrow::Cow;

use crate::obfuscate::{ObfuscateError, Rule, obfuscate};

use super::FlattenError;
use super::events::Events;
use super::names::{Columns, Names};
use super::parts::{Element, Part, Parts, lifted_members, push_member};
use super::raw::{Member, Members};

/// A member that the record does not have under this name.
#[derive(Debug)]
pub(super) struct Made<'r> {
    /// The name it had inside of what it comes from; `None` if it had none.
    pub(super) key: Option<&'r str>,
    /// Its name, as it is escaped.
    pub(super) name: String,
    /// Its value.
    pub(super) value: Cow<'r, str>,
}

impl<'r> Made<'r> {
    /// Escapes of both are kept, so that their names need not be written anew.
    pub(super) fn prefixed(prefix: &str, member: Member<'r>) -> Self {
        let name = format!("{prefix}_{}", member.key);
        Self { key: Some(member.key), name, value: Cow::Borrowed(member.value) }
    }

    fn new(name: &str, value: String) -> Self {
        Self { key: None, name: name.to_owned(), value: Cow::Owned(value) }
    }
}

/// Writes the pieces of one record.
pub(super) struct Pieces<'m> {
    masks: &'m [Rule],
    names: Names,
}

impl<'m> Pieces<'m> {
    /// For a record to whose events these rules are applied.
    pub(super) fn new(masks: &'m [Rule]) -> Self {
        Self { masks, names: Names::default() }
    }

    /// What is the same in all events goes first, then the counts, then one element of each group.
    pub(super) fn events_of(mut self, parts: &Parts<'_>) -> Result<Events, FlattenError> {
        for part in &parts.members {
            match part {
                Part::Own(member) => self.names.keep(member.key),
                Part::Elements { key, elements } if leftover(elements).next().is_some() => {
                    self.names.keep(key);
                }
                Part::Elements { .. } | Part::Lifted { .. } => {}
            }
        }
        let mut head = String::from("{");
        for part in &parts.members {
            match part {
                Part::Own(member) => push_member(&mut head, member.key, member.value),
                Part::Lifted { key, members } => {
                    let made = lifted_members(key, members);
                    self.push_all(&mut head, made, &mut Columns::default())?;
                }
                Part::Elements { key, elements } => self.push_leftover(&mut head, key, elements)?,
            }
        }
        let count_of = |elements: usize| elements.to_string();
        let counts = parts.groups.iter().map(|group| Made::new(&group.count, count_of(group.elements.len())));
        self.push_all(&mut head, counts.collect(), &mut Columns::default())?;
        let mut groups = Vec::with_capacity(parts.groups.len());
        for group in &parts.groups {
            let mut columns = Columns::default();
            let mut pieces = Vec::with_capacity(group.elements.len());
            for element in &group.elements {
                let mut piece = String::new();
                self.push_all(&mut piece, group.made_of(element)?, &mut columns)?;
                pieces.push(piece);
            }
            groups.push(pieces);
        }
        Ok(Events::new(head, groups))
    }

    /// Puts made members behind the others, named and masked.
    fn push_all(
        &mut self,
        text: &mut String,
        mut made: Vec<Made<'_>>,
        columns: &mut Columns,
    ) -> Result<(), FlattenError> {
        mask(&mut made, self.masks)?;
        // A member that had to give way is meant by its first name and by its new one.
        if columns.name(&mut made, &mut self.names) {
            mask(&mut made, self.masks)?;
        }
        made.iter().for_each(|member| push_member(text, &member.name, &member.value));
        Ok(())
    }

    /// The elements that belong to no group stay in an array of their own.
    fn push_leftover(
        &self,
        text: &mut String,
        key: &str,
        elements: &[Element<'_>],
    ) -> Result<(), FlattenError> {
        let texts: Vec<&str> = leftover(elements).collect();
        if texts.is_empty() {
            return Ok(());
        }
        // Their places are others than in the record, so rules that name a place look again.
        let mut made = [Made::new(key, format!("[{}]", texts.join(",")))];
        mask(&mut made, self.masks)?;
        made.iter().for_each(|member| push_member(text, &member.name, &member.value));
        Ok(())
    }
}

fn leftover<'e, 'r: 'e>(elements: &'e [Element<'r>]) -> impl Iterator<Item = &'r str> + 'e {
    elements.iter().filter_map(|element| match element {
        Element::Stays(text) => Some(*text),
        Element::Of(_) => None,
    })
}

/// Applies the rules to members as if they were those of a record; whether one of them changed.
pub(super) fn mask(made: &mut [Made<'_>], masks: &[Rule]) -> Result<bool, FlattenError> {
    if masks.is_empty() || made.is_empty() {
        return Ok(false);
    }
    let mut text = String::from("{");
    made.iter().for_each(|member| push_member(&mut text, &member.name, &member.value));
    text.push('}');
    let Some(masked) = obfuscate(text.as_bytes(), masks)? else { return Ok(false) };
    // A mask is put in the place of a value: the members are the same, in the same order.
    let members = Members::of(&masked)?.filter(|members| members.0.len() == made.len());
    let Some(Members(members)) = members else { return Err(ObfuscateError::NotJson.into()) };
    for (member, changed) in made.iter_mut().zip(members) {
        member.value = Cow::Owned(changed.value.to_owned());
    }
    Ok(true)
}
