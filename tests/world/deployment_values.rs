//! What a translated template says under given parameters, as CloudFormation would work it out.
//!
//! The functions are those that the templates use; another one fails the test. What only exists once something is
//! created (a reference to a resource, its attributes, what a nested stack gives) becomes `<Logical.Attribute>`, so that
//! a test can see where a value comes from.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A template with values for its parameters.
pub struct Values<'t> {
    template: &'t Value,
    parameters: BTreeMap<String, Value>,
}

impl<'t> Values<'t> {
    /// Every parameter has its default; one without is `<Name>`.
    pub fn of(template: &'t Value) -> Self {
        let declared = template["Parameters"].as_object().into_iter().flatten();
        let parameters = declared.map(|(name, parameter)| {
            let unknown = || Value::from(format!("<{name}>"));
            (name.clone(), parameter.get("Default").cloned().unwrap_or_else(unknown))
        });
        Self { template, parameters: parameters.collect() }
    }

    /// The same with another value for this parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let known = self.parameters.insert(name.to_owned(), Value::from(value));
        assert!(known.is_some(), "no parameter {name}");
        self
    }

    /// True when this condition of the template holds.
    pub fn holds(&self, condition: &str) -> bool {
        let said = &self.template["Conditions"][condition];
        assert!(!said.is_null(), "no condition {condition}");
        self.is_true(said)
    }

    /// A value without functions; what `AWS::NoValue` stands for is left out.
    pub fn resolve(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.resolve(item)).filter(is_there).collect(),
            Value::Object(members) => match function(members) {
                Some((name, argument)) => self.call(name, argument),
                None => {
                    let resolved = members.iter().map(|(name, member)| (name.clone(), self.resolve(member)));
                    Value::Object(resolved.filter(|(_, member)| is_there(member)).collect())
                }
            },
            plain => plain.clone(),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Value {
        match name {
            "Ref" => self.reference(argument.as_str().unwrap()),
            "Fn::GetAtt" => {
                let parts: Vec<String> = match argument {
                    Value::Array(parts) => parts.iter().map(text).collect(),
                    one => vec![text(one)],
                };
                Value::from(format!("<{}>", parts.join(".")))
            }
            "Fn::If" => self.resolve(&argument[if self.holds(&text(&argument[0])) { 1 } else { 2 }]),
            "Fn::FindInMap" => {
                let step = |place: usize| text(&self.resolve(&argument[place]));
                let found = &self.template["Mappings"][step(0)][step(1)][step(2)];
                assert!(!found.is_null(), "nothing in the map: {argument}");
                found.clone()
            }
            "Fn::Join" => {
                let joined = self.resolve(&argument[1]);
                let parts: Vec<String> = joined.as_array().unwrap().iter().map(text).collect();
                Value::from(parts.join(&text(&argument[0])))
            }
            "Fn::Split" => {
                let whole = text(&self.resolve(&argument[1]));
                whole.split(text(&argument[0]).as_str()).map(Value::from).collect()
            }
            "Fn::Sub" => self.substitute(argument),
            other => panic!("{other} is not worked out here: {argument}"),
        }
    }

    fn reference(&self, name: &str) -> Value {
        if name == "AWS::NoValue" {
            return Value::Null;
        }
        self.parameters.get(name).cloned().unwrap_or_else(|| Value::from(format!("<{name}>")))
    }

    /// `${Name}` from the function's own values, else as a reference or an attribute; `${!Name}` stays.
    fn substitute(&self, argument: &Value) -> Value {
        let pattern = if argument.is_array() { text(&argument[0]) } else { text(argument) };
        let mut parts = pattern.split("${");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or_else(|| panic!("no end of a name: {pattern}"));
            match name.strip_prefix('!') {
                Some(literal) => whole.push_str(&format!("${{{literal}}}")),
                None if !argument[1][name].is_null() => {
                    whole.push_str(&text(&self.resolve(&argument[1][name])))
                }
                None => whole.push_str(&text(&self.reference(name))),
            }
            whole.push_str(rest);
        }
        Value::from(whole)
    }

    fn is_true(&self, condition: &Value) -> bool {
        let (name, argument) = condition.as_object().and_then(function).unwrap();
        let all = || argument.as_array().unwrap().iter();
        match name {
            "Condition" => self.holds(&text(argument)),
            "Fn::Equals" => text(&self.resolve(&argument[0])) == text(&self.resolve(&argument[1])),
            "Fn::Not" => !self.is_true(&argument[0]),
            "Fn::And" => all().all(|one| self.is_true(one)),
            "Fn::Or" => all().any(|one| self.is_true(one)),
            other => panic!("{other} is no condition: {argument}"),
        }
    }
}

/// The one member of an object that is a function.
fn function(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = members.iter().next().filter(|_| members.len() == 1)?;
    let is_function =
        name.starts_with("Fn::") || name == "Ref" || (name == "Condition" && argument.is_string());
    is_function.then_some((name.as_str(), argument))
}

fn is_there(value: &Value) -> bool {
    !value.is_null()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        other => panic!("no text: {other}"),
    }
}
