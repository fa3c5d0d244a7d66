//! A judge of IAM policies: may this role make this call?
//!
//! The evaluation is that of the crate `iam-rs`; what it judges as AWS does is written down as a table of policies and
//! right answers in `cases/deployment/judge.rs`. Two things it judges otherwise: a policy variable that has no value is
//! an empty text to it, where AWS lets the statement not apply, and variables in conditions stay as they are. So a
//! policy with a variable is refused here, and so is every member of a statement and every condition that the table
//! does not prove.

use iam_rs::PrincipalId;
use iam_rs::{Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal};
use serde_json::{Value, json};

/// The condition key that holds the partition keys of a call to DynamoDB.
pub const LEADING_KEYS: &str = "dynamodb:LeadingKeys";
/// The operators whose judgement the table proves.
const PROVEN_OPERATORS: [&str; 7] = [
    "ForAllValues:StringEquals",
    "ForAllValues:StringLike",
    "Null",
    "StringEquals",
    "StringLike",
    "ArnEquals",
    "ArnLike",
];

/// The members of a statement whose judgement the table proves.
const PROVEN_MEMBERS: [&str; 5] = ["Sid", "Effect", "Action", "Resource", "Condition"];

/// One call as IAM sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// For example `dynamodb:PutItem`.
    pub action: String,
    /// ARN of what it is made on.
    pub resource: String,
    /// Partition keys of the items it touches; none for a call without any.
    pub leading_keys: Vec<String>,
}

impl Call {
    /// A call that touches no item of a table.
    pub fn plain(action: &str, resource: &str) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned(), leading_keys: Vec::new() }
    }

    /// A call that touches items of these partitions.
    pub fn on_keys(action: &str, resource: &str, keys: &[&str]) -> Self {
        let leading_keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Self { leading_keys, ..Self::plain(action, resource) }
    }
}

/// What the policies of a role say.
#[derive(Debug, Clone)]
pub struct Role {
    documents: Vec<Value>,
    evaluator: PolicyEvaluator,
}

/// The smallest part of a role that allows something: one action on one resource, for one partition where it is named.
#[derive(Debug, Clone)]
pub struct Grant {
    /// In words, for a message.
    pub words: String,
    /// The action, as it is written.
    pub action: String,
    /// The resource, as it is written.
    pub resource: String,
    role: Role,
}

impl Grant {
    /// True when this part alone allows the call.
    pub fn allows(&self, call: &Call) -> bool {
        self.role.allows(call)
    }
}

impl Role {
    /// The role of these policy documents. One that the judge cannot be trusted with fails the test.
    pub fn of(documents: &[Value]) -> Self {
        let policies = documents.iter().map(|document| {
            assert_is_judged(document);
            serde_json::from_value::<IAMPolicy>(document.clone())
                .unwrap_or_else(|error| panic!("no policy ({error}): {document}"))
        });
        let evaluator = PolicyEvaluator::with_policies(policies.collect());
        Self { documents: documents.to_vec(), evaluator }
    }

    /// True when the role allows the call and nothing in it denies it.
    pub fn allows(&self, call: &Call) -> bool {
        let mut context = Context::new();
        if !call.leading_keys.is_empty() {
            let keys = ContextValue::StringList(call.leading_keys.clone());
            context.insert(LEADING_KEYS.to_owned(), keys);
        }
        let principal =
            Principal::Aws(PrincipalId::String("arn:aws:iam::123456789012:role/judged".to_owned()));
        let resource = Arn::parse(&call.resource).unwrap_or_else(|_| panic!("no ARN in {call:?}"));
        let request = IAMRequest::new_with_context(principal, call.action.as_str(), resource, context);
        let judged = self.evaluator.evaluate(&request);
        let judged = judged.unwrap_or_else(|error| panic!("{call:?} cannot be judged: {error}"));
        judged.decision == Decision::Allow
    }

    /// Everything the role allows, part by part.
    pub fn grants(&self) -> Vec<Grant> {
        let statements = self.documents.iter().flat_map(|document| many(&document["Statement"]));
        let allowing = statements.filter(|statement| statement["Effect"] == "Allow");
        allowing.flat_map(|statement| parts(&statement)).collect()
    }
}

/// The parts of a statement that allows something.
fn parts(statement: &Value) -> Vec<Grant> {
    let mut grants = Vec::new();
    for action in many(&statement["Action"]) {
        for resource in many(&statement["Resource"]) {
            for condition in conditions(&statement["Condition"]) {
                let mut part = json!({"Effect": "Allow", "Action": action, "Resource": resource});
                let mut words = format!("{} on {}", text(&action), text(&resource));
                if !condition.is_null() {
                    words.push_str(&format!(" if {condition}"));
                    part["Condition"] = condition;
                }
                let document = json!({"Version": "2012-10-17", "Statement": [part]});
                let (action, resource) = (text(&action), text(&resource));
                grants.push(Grant { words, action, resource, role: Role::of(&[document]) });
            }
        }
    }
    grants
}

/// The condition, once for each partition that it names.
fn conditions(condition: &Value) -> Vec<Value> {
    let Some(operators) = condition.as_object() else { return vec![Value::Null] };
    for (operator, keys) in operators {
        let Some(partitions) = keys.get(LEADING_KEYS).filter(|_| operator != "Null") else { continue };
        let one = |partition: Value| {
            let mut single = condition.clone();
            single[operator][LEADING_KEYS] = partition;
            single
        };
        return many(partitions).into_iter().map(one).collect();
    }
    vec![condition.clone()]
}

/// Refuses what the judge is not proven on.
fn assert_is_judged(document: &Value) {
    let written = document.to_string();
    assert!(!written.contains("${"), "policy variables are not judged: {written}");
    assert!(!written.contains("\"Fn::") && !written.contains("{\"Ref\""), "not resolved: {written}");
    for statement in many(&document["Statement"]) {
        let unproven =
            statement.as_object().unwrap().keys().find(|key| !PROVEN_MEMBERS.contains(&key.as_str()));
        assert!(unproven.is_none(), "{unproven:?} is not judged: {statement}");
        for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
            assert!(PROVEN_OPERATORS.contains(&operator.as_str()), "{operator} is not judged: {statement}");
            let keys: Vec<&String> = keys.as_object().unwrap().keys().collect();
            assert!(keys.iter().all(|key| *key == LEADING_KEYS), "{keys:?} are not judged: {statement}");
        }
    }
}

/// One or several, as policies have it.
pub fn many(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.clone(),
        one => vec![one.clone()],
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
