//! Names of made members: none of them is one that an event has already.
//!
//! The record's own members keep their names. A made one whose name is taken gets a number: `user_id_2`. Within a group a
//! name means the same in all elements, so that a column of the events of a record is one column.

use std::collections::{HashMap, HashSet};

use super::pieces::Made;
use super::raw::says;

/// The names that are taken in the events of a record, by what they say.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The last number that was given to a name.
    numbers: HashMap<String, u64>,
}

impl Names {
    /// A name that the record brings itself, as it is escaped.
    pub(super) fn keep(&mut self, key: &str) {
        self.taken.insert(says(key).into_owned());
    }

    /// A name that is free now, made of this one.
    fn give(&mut self, wanted: &str) -> String {
        let said = says(wanted).into_owned();
        if self.taken.insert(said.clone()) {
            return wanted.to_owned();
        }
        let number = self.numbers.entry(said).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{wanted}_{number}");
            if self.taken.insert(says(&numbered).into_owned()) {
                return numbered;
            }
        }
    }
}

/// The names that the members of one group have in all of its elements.
#[derive(Debug, Default)]
pub(super) struct Columns {
    columns: HashMap<String, Column>,
    elements: usize,
}

#[derive(Debug, Default)]
struct Column {
    /// The name given to the first, second, … member of this name in one element.
    given: Vec<String>,
    /// How many of them were used in the element that was named last, and which that was.
    used: usize,
    element: usize,
}

impl Columns {
    /// Gives the members of the next element their names; whether one of them changed.
    pub(super) fn name(&mut self, made: &mut [Made<'_>], names: &mut Names) -> bool {
        self.elements += 1;
        let mut is_renamed = false;
        for member in made {
            let said = says(&member.name).into_owned();
            let column = self.columns.entry(said).or_default();
            if column.element != self.elements {
                (column.element, column.used) = (self.elements, 0);
            }
            if column.used == column.given.len() {
                column.given.push(names.give(&member.name));
            }
            if let Some(given) = column.given.get(column.used).filter(|given| **given != member.name) {
                member.name.clone_from(given);
                is_renamed = true;
            }
            column.used += 1;
        }
        is_renamed
    }
}
