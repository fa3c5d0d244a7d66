//! Paths of Defender for Endpoint, taken apart: `/api/{list}`, `/api/{list}/{id}/{relation}`, and hunting.

use super::list::DefenderList;
use super::relation::DefenderRelation;
use crate::tenant::log::unescaped;

/// What a call to Defender for Endpoint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefenderCall {
    /// A page of a list.
    List(DefenderList),
    /// What belongs to a record.
    Related(DefenderRelation),
    /// `/api/advancedqueries/run`
    Hunting,
    /// Another path below a list or beside hunting: 404.
    Other,
}

impl DefenderCall {
    /// The permission that it takes.
    pub(super) fn permission(self) -> Option<&'static str> {
        match self {
            Self::List(list) => Some(list.permission()),
            Self::Related(relation) => Some(relation.permission()),
            Self::Hunting => Some("AdvancedQuery.Read.All"),
            Self::Other => None,
        }
    }
}

/// A path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefenderPath {
    pub(super) call: DefenderCall,
    /// The record that a relation belongs to, percent signs resolved.
    pub(super) id: String,
}

impl DefenderPath {
    /// Takes a path apart; `None`: it is none of the API's.
    pub(super) fn of(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (root, rest) = segments.split_first()?;
        let (name, rest) = rest.split_first()?;
        if !root.eq_ignore_ascii_case("api") {
            return None;
        }
        if name.eq_ignore_ascii_case("advancedqueries") {
            let is_run = matches!(rest, [last] if last.eq_ignore_ascii_case("run"));
            return Some(Self::plain(if is_run { DefenderCall::Hunting } else { DefenderCall::Other }));
        }
        let list = DefenderList::of_segment(name)?;
        Some(match rest {
            [] => Self::plain(DefenderCall::List(list)),
            [id, segment] => {
                let relation = DefenderRelation::of_segment(list, segment);
                Self { call: relation.map_or(DefenderCall::Other, DefenderCall::Related), id: unescaped(id) }
            }
            _ => Self::plain(DefenderCall::Other),
        })
    }

    fn plain(call: DefenderCall) -> Self {
        Self { call, id: String::new() }
    }
}
