//! From words to a tree, by recursive descent: `or` binds weaker than `and`, `and` weaker than `not`.
//!
//! Types are checked here: the event time wants a datetime literal without quotes, a text property a quoted string,
//! and each only the operators that its endpoint documents. Nesting is bounded, so that no query can overflow the
//! stack.

use serde_json::Value;

use super::lexer::{Word, words};
use super::{Field, FilterError, Node, TimeOperand};
use crate::tenant::endpoint::{Collection, Kind, Operator, Property};

const DEEPEST_NESTING: usize = 64;

/// Parses a whole filter.
pub(super) fn parse(text: &str, collection: impl Collection) -> Result<Node, FilterError> {
    let mut parser = Parser { words: words(text)?, position: 0, collection, scope: None, depth: 0 };
    let node = parser.disjunction()?;
    match parser.peek() {
        None => Ok(node),
        Some(word) => Err(FilterError(format!("{word:?} after the end of the filter"))),
    }
}

struct Parser<C> {
    words: Vec<Word>,
    position: usize,
    collection: C,
    scope: Option<Scope>,
    depth: usize,
}

/// Inside `any(variable: …)`.
#[derive(Clone)]
struct Scope {
    variable: String,
    list: &'static Property,
}

impl<C: Collection> Parser<C> {
    fn disjunction(&mut self) -> Result<Node, FilterError> {
        self.depth += 1;
        if self.depth > DEEPEST_NESTING {
            return Err(FilterError("nested too deeply".to_owned()));
        }
        let mut parts = vec![self.conjunction()?];
        while self.skip_name("or") {
            parts.push(self.conjunction()?);
        }
        self.depth -= 1;
        Ok(single_or(parts, Node::Some))
    }

    fn conjunction(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.negation()?];
        while self.skip_name("and") {
            parts.push(self.negation()?);
        }
        Ok(single_or(parts, Node::All))
    }

    fn negation(&mut self) -> Result<Node, FilterError> {
        let mut negations = 0_usize;
        while self.skip_name("not") {
            negations += 1;
        }
        let inner = self.primary()?;
        Ok(if negations % 2 == 1 { Node::Not(Box::new(inner)) } else { inner })
    }

    fn primary(&mut self) -> Result<Node, FilterError> {
        if self.skip(&Word::Open) {
            let inner = self.disjunction()?;
            self.expect(&Word::Close)?;
            return Ok(inner);
        }
        let first = self.name()?;
        match first.as_str() {
            "startswith" if self.skip(&Word::Open) => self.call(Operator::StartsWith),
            "contains" if self.skip(&Word::Open) => self.call(Operator::Contains),
            _ => self.predicate(first),
        }
    }

    /// `function(property, 'text')`, behind its opening parenthesis.
    fn call(&mut self, operator: Operator) -> Result<Node, FilterError> {
        let first = self.name()?;
        let path = self.path(first)?;
        let (field, property) = self.resolve(&path)?;
        self.expect(&Word::Comma)?;
        let Some(Word::Text(text)) = self.next() else {
            return Err(FilterError("a function wants a quoted string".to_owned()));
        };
        self.expect(&Word::Close)?;
        allowed(property, operator)?;
        match property.kind {
            Kind::EventTime => Ok(Node::EventTime { operator, operand: TimeOperand::Part(text) }),
            Kind::Text | Kind::TextList => Ok(Node::Test { field, operator, literal: Value::String(text) }),
            Kind::Number | Kind::Instant | Kind::Flag | Kind::ObjectList => {
                Err(FilterError(format!("{} is no text", property.path)))
            }
        }
    }

    /// `property operator literal` or `collection/any(x: …)`.
    fn predicate(&mut self, first: String) -> Result<Node, FilterError> {
        let path = self.path(first)?;
        if let Some((list, "any")) = path.rsplit_once('/') {
            return self.any(list);
        }
        let (field, property) = self.resolve(&path)?;
        let operator = self.operator()?;
        allowed(property, operator)?;
        let literal = self.next().ok_or_else(|| FilterError("a literal is missing".to_owned()))?;
        match (property.kind, literal) {
            (Kind::EventTime, Word::Instant(instant)) => {
                Ok(Node::EventTime { operator, operand: TimeOperand::Instant(instant) })
            }
            (Kind::Instant, Word::Instant(instant)) => {
                Ok(Node::Instant { path: property.path.to_owned(), operator, instant })
            }
            (kind, word) => {
                Ok(Node::Test { field, operator, literal: literal_of(kind, word, property.path)? })
            }
        }
    }

    fn any(&mut self, list_path: &str) -> Result<Node, FilterError> {
        let list = self
            .collection
            .property(list_path)
            .filter(|property| matches!(property.kind, Kind::TextList | Kind::ObjectList))
            .ok_or_else(|| FilterError(format!("{list_path} is no collection")))?;
        if self.scope.is_some() {
            return Err(FilterError("any inside any".to_owned()));
        }
        self.expect(&Word::Open)?;
        let variable = self.name()?;
        self.expect(&Word::Colon)?;
        self.scope = Some(Scope { variable, list });
        let body = self.disjunction()?;
        self.scope = None;
        self.expect(&Word::Close)?;
        Ok(Node::Any { list: list.path.to_owned(), body: Box::new(body) })
    }

    /// The property that a path names, and where its value is found.
    fn resolve(&self, path: &str) -> Result<(Field, &'static Property), FilterError> {
        let unknown =
            || FilterError(format!("'{path}' is no property that {:?} filters on", self.collection));
        if let Some(scope) = &self.scope {
            let (variable, member_path) =
                path.split_once('/').map_or((path, None), |(name, rest)| (name, Some(rest)));
            if variable == scope.variable {
                let Some(member_path) = member_path else {
                    let is_text = scope.list.kind == Kind::TextList;
                    return if is_text { Ok((Field::OfMember(None), scope.list)) } else { Err(unknown()) };
                };
                let property = self.collection.property(&format!("{}/{member_path}", scope.list.path));
                return Ok((Field::OfMember(Some(member_path.to_owned())), property.ok_or_else(unknown)?));
            }
        }
        let property = self.collection.property(path).ok_or_else(unknown)?;
        let parent_is_list =
            path.rsplit_once('/').and_then(|(parent, _)| self.collection.property(parent)).is_some();
        if matches!(property.kind, Kind::TextList | Kind::ObjectList) || parent_is_list {
            return Err(FilterError(format!("'{path}' is a collection and wants any()")));
        }
        Ok((Field::OfRecord(path.to_owned()), property))
    }

    /// The rest of a path whose first name was read.
    fn path(&mut self, first: String) -> Result<String, FilterError> {
        let mut path = first;
        while self.skip(&Word::Slash) {
            path.push('/');
            path.push_str(&self.name()?);
        }
        Ok(path)
    }

    fn operator(&mut self) -> Result<Operator, FilterError> {
        match self.name()?.as_str() {
            "eq" => Ok(Operator::Eq),
            "ne" => Ok(Operator::Ne),
            "ge" => Ok(Operator::Ge),
            "gt" => Ok(Operator::Gt),
            "le" => Ok(Operator::Le),
            "lt" => Ok(Operator::Lt),
            other => Err(FilterError(format!("'{other}' is no operator"))),
        }
    }

    fn name(&mut self) -> Result<String, FilterError> {
        match self.next() {
            Some(Word::Name(name)) => Ok(name),
            other => Err(FilterError(format!("a name is missing, found {other:?}"))),
        }
    }

    fn expect(&mut self, wanted: &Word) -> Result<(), FilterError> {
        if self.skip(wanted) {
            return Ok(());
        }
        Err(FilterError(format!("{wanted:?} is missing, found {:?}", self.peek())))
    }

    fn skip(&mut self, wanted: &Word) -> bool {
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    fn skip_name(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Name(name)) if name == wanted);
        self.position += usize::from(found);
        found
    }

    fn peek(&self) -> Option<&Word> {
        self.words.get(self.position)
    }

    fn next(&mut self) -> Option<Word> {
        let word = self.words.get(self.position).cloned();
        self.position += 1;
        word
    }
}

fn single_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

fn allowed(property: &Property, operator: Operator) -> Result<(), FilterError> {
    if property.operators.contains(&operator) {
        return Ok(());
    }
    Err(FilterError(format!("{} does not take {operator:?}", property.path)))
}

fn literal_of(kind: Kind, word: Word, path: &str) -> Result<Value, FilterError> {
    match (kind, word) {
        (Kind::EventTime | Kind::Instant, _) => {
            Err(FilterError(format!("{path} wants a datetime without quotes")))
        }
        (Kind::Text | Kind::TextList, Word::Text(text)) => Ok(Value::String(text)),
        (Kind::Number, Word::Number(number)) => Ok(Value::from(number)),
        (Kind::Flag, Word::Name(name)) if name == "true" => Ok(Value::Bool(true)),
        (Kind::Flag, Word::Name(name)) if name == "false" => Ok(Value::Bool(false)),
        (_, Word::Name(name)) if name == "null" => Ok(Value::Null),
        (_, word) => Err(FilterError(format!("{word:?} is not what {path} is compared with"))),
    }
}
