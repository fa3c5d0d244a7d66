//! What a rule finds in a record: what stays, what is lifted into it, and the groups whose elements make events.
//!
//! Nothing is copied or written yet, so that a record with too many combinations costs no more than reading it.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::obfuscate::Rule;
use crate::service::Flatten;

use super::FlattenError;
use super::pieces::{Made, mask};
use super::raw::{Member, Members, elements_of, says, unquoted};

/// A record, taken apart.
#[derive(Debug)]
pub(super) struct Parts<'r> {
    /// Its members in their order.
    pub(super) members: Vec<Part<'r>>,
    /// Groups of elements, in order of their first appearance.
    pub(super) groups: Vec<Group<'r>>,
}

/// What becomes of one member.
#[derive(Debug)]
pub(super) enum Part<'r> {
    /// It stays.
    Own(Member<'r>),
    /// Its own members come in its place, their names prefixed by its name.
    Lifted { key: &'r str, members: Vec<Member<'r>> },
    /// It is taken out, but for elements that belong to no group.
    Elements { key: &'r str, elements: Vec<Element<'r>> },
}

/// One element of an array that is taken out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element<'r> {
    /// It belongs to no group.
    Stays(&'r str),
    /// It is the next one of the group with this index.
    Of(usize),
}

/// Elements of which each event has one.
#[derive(Debug)]
pub(super) struct Group<'r> {
    /// What the names of their members begin with, as it is escaped.
    pub(super) prefix: &'r str,
    /// The member that counts them, as it is escaped.
    pub(super) count: String,
    /// The member of theirs that names the group and is not repeated.
    by: Option<&'static str>,
    /// Their texts.
    pub(super) elements: Vec<&'r str>,
}

impl<'r> Parts<'r> {
    /// `None` if there is nothing for the rule to take apart.
    pub(super) fn of(members: Members<'r>, rule: &Flatten) -> Result<Option<Self>, serde_json::Error> {
        let mut sorter = Sorter { groups: Vec::new(), known: HashMap::new() };
        let mut parts = Vec::with_capacity(members.0.len());
        for member in members.0 {
            parts.push(match rule {
                Flatten::Members { object, .. } if member.is_called(object) => lifted(member)?,
                Flatten::Members { array, .. } if member.is_called(array) => sorter.plain(member, array)?,
                Flatten::Groups { array, by } if member.is_called(array) => sorter.grouped(member, by)?,
                _ => Part::Own(member),
            });
        }
        let is_touched = parts.iter().any(|part| !matches!(part, Part::Own(_)));
        Ok(is_touched.then_some(Self { members: parts, groups: sorter.groups }))
    }

    /// How many events there are of it; `None` if that cannot be counted. A group without elements multiplies by one.
    pub(super) fn combinations(&self) -> Option<u64> {
        self.groups.iter().try_fold(1_u64, |product, group| {
            product.checked_mul(u64::try_from(group.elements.len()).ok()?.max(1))
        })
    }

    /// The record as it was, masked by rules that name the members that its events would have. `None` if they change
    /// nothing.
    pub(super) fn in_one_piece(&self, masks: &[Rule]) -> Result<Option<Vec<u8>>, FlattenError> {
        if masks.is_empty() {
            return Ok(None);
        }
        let mut nexts: Vec<_> = self.groups.iter().map(|group| group.elements.iter()).collect();
        let mut text = String::from("{");
        let mut is_masked = false;
        for part in &self.members {
            let (key, value) = match part {
                Part::Own(member) => (member.key, Cow::Borrowed(member.value)),
                Part::Lifted { key, members } => {
                    let mut made = lifted_members(key, members);
                    is_masked |= mask(&mut made, masks)?;
                    (*key, Cow::Owned(object_of(&made)))
                }
                Part::Elements { key, elements } => {
                    let mut texts: Vec<Cow<'_, str>> = Vec::with_capacity(elements.len());
                    for element in elements {
                        let group = match element {
                            Element::Stays(raw) => {
                                texts.push(Cow::Borrowed(raw));
                                continue;
                            }
                            Element::Of(group) => *group,
                        };
                        let Some(raw) = nexts.get_mut(group).and_then(Iterator::next) else { continue };
                        let (masked_text, changed) = self.groups[group].masked(raw, masks)?;
                        is_masked |= changed;
                        texts.push(masked_text);
                    }
                    (*key, Cow::Owned(format!("[{}]", texts.join(","))))
                }
            };
            push_member(&mut text, key, &value);
        }
        text.push('}');
        Ok(is_masked.then(|| text.into_bytes()))
    }
}

impl<'r> Group<'r> {
    /// The members that an element brings into its events.
    pub(super) fn made_of(&self, element: &'r str) -> Result<Vec<Made<'r>>, serde_json::Error> {
        let Some(Members(members)) = Members::of(element.as_bytes())? else {
            let name = self.prefix.to_owned();
            return Ok(vec![Made { key: None, name, value: Cow::Borrowed(element) }]);
        };
        let naming = self.by.and_then(|by| members.iter().rposition(|member| member.is_called(by)));
        let rest = members.iter().enumerate().filter(|(index, _)| Some(*index) != naming);
        Ok(rest.map(|(_, member)| Made::prefixed(self.prefix, *member)).collect())
    }

    /// An element in its own shape, masked by rules that name the members it brings into its events.
    fn masked(&self, element: &'r str, masks: &[Rule]) -> Result<(Cow<'r, str>, bool), FlattenError> {
        let mut made = self.made_of(element)?;
        if !mask(&mut made, masks)? {
            return Ok((Cow::Borrowed(element), false));
        }
        let mut values = made.into_iter();
        let Some(Members(members)) = Members::of(element.as_bytes())? else {
            return Ok((values.next().map_or(Cow::Borrowed(element), |single| single.value), true));
        };
        let naming = self.by.and_then(|by| members.iter().rposition(|member| member.is_called(by)));
        let mut text = String::from("{");
        for (index, member) in members.iter().enumerate() {
            let masked_value = if Some(index) == naming { None } else { values.next() };
            let value = masked_value.map_or(Cow::Borrowed(member.value), |made| made.value);
            push_member(&mut text, member.key, &value);
        }
        text.push('}');
        Ok((Cow::Owned(text), true))
    }
}

/// Puts elements into groups.
struct Sorter<'r> {
    groups: Vec<Group<'r>>,
    /// Index of each group by what its name says.
    known: HashMap<Cow<'r, str>, usize>,
}

impl<'r> Sorter<'r> {
    /// All elements make one group.
    fn plain(&mut self, member: Member<'r>, array: &'static str) -> Result<Part<'r>, serde_json::Error> {
        let Some(texts) = elements_of(member.value)? else { return Ok(Part::Own(member)) };
        let elements = vec![Element::Of(0); texts.len()];
        match self.groups.first_mut() {
            Some(group) => group.elements.extend(texts),
            None => {
                let count = format!("related_{array}");
                self.groups.push(Group { prefix: array, count, by: None, elements: texts });
            }
        }
        Ok(Part::Elements { key: member.key, elements })
    }

    /// Elements are grouped by what they say of themselves. Those that say nothing stay.
    fn grouped(&mut self, member: Member<'r>, by: &'static str) -> Result<Part<'r>, serde_json::Error> {
        let Some(texts) = elements_of(member.value)? else { return Ok(Part::Own(member)) };
        let mut elements = Vec::with_capacity(texts.len());
        for text in texts {
            let Some(name) = group_name(text, by)? else {
                elements.push(Element::Stays(text));
                continue;
            };
            let group = *self.known.entry(says(name)).or_insert_with(|| {
                let count = format!("related_{name}s");
                self.groups.push(Group { prefix: name, count, by: Some(by), elements: Vec::new() });
                self.groups.len() - 1
            });
            self.groups[group].elements.push(text);
            elements.push(Element::Of(group));
        }
        let is_changed =
            elements.is_empty() || elements.iter().any(|element| matches!(element, Element::Of(_)));
        Ok(if is_changed { Part::Elements { key: member.key, elements } } else { Part::Own(member) })
    }
}

/// What an element says of the group it belongs to, without quotes: a text that is not empty, or a number.
fn group_name<'r>(element: &'r str, by: &str) -> Result<Option<&'r str>, serde_json::Error> {
    let Some(Members(members)) = Members::of(element.as_bytes())? else { return Ok(None) };
    let Some(naming) = members.iter().rfind(|member| member.is_called(by)) else { return Ok(None) };
    let is_number = naming.value.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let name = if is_number { Some(naming.value) } else { unquoted(naming.value) };
    Ok(name.filter(|text| !text.is_empty()))
}

fn lifted(member: Member<'_>) -> Result<Part<'_>, serde_json::Error> {
    let members = Members::of(member.value.as_bytes())?;
    Ok(members.map_or(Part::Own(member), |inner| Part::Lifted { key: member.key, members: inner.0 }))
}

/// The members that an object brings into its events.
pub(super) fn lifted_members<'r>(key: &str, members: &[Member<'r>]) -> Vec<Made<'r>> {
    members.iter().map(|member| Made::prefixed(key, *member)).collect()
}

fn object_of(made: &[Made<'_>]) -> String {
    let mut text = String::from("{");
    made.iter().for_each(|member| push_member(&mut text, member.key.unwrap_or_default(), &member.value));
    text.push('}');
    text
}

/// Puts a member behind the others of an object that is not closed yet.
pub(super) fn push_member(text: &mut String, key: &str, value: &str) {
    if !matches!(text.as_str(), "" | "{") {
        text.push(',');
    }
    text.push('"');
    text.push_str(key);
    text.push_str("\":");
    text.push_str(value);
}
