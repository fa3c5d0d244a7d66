//! The judge of policies, on policies whose right answer is known from AWS's reference.
//!
//! It comes before everything that relies on it. The conditions are those that a table's policies need: partition
//! keys that are all, some or none of the role's own, and calls that have none.

use serde_json::{Value, json};

use crate::world::iam::{Call, Role};

const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/state";
const OWN: &str = "ab12#graph-sign-ins";

fn role(statement: &Value) -> Role {
    Role::of(&[json!({"Version": "2012-10-17", "Statement": [statement]})])
}

/// A role that may put and query items under this condition.
fn under(condition: &Value) -> Role {
    role(&json!({
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:Query"],
        "Resource": TABLE,
        "Condition": condition,
    }))
}

fn put(keys: &[&str]) -> Call {
    Call::on_keys("dynamodb:PutItem", TABLE, keys)
}

#[test]
fn conditions_on_partition_keys_are_judged_as_aws_does() {
    let like = json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#graph-sign-ins"]}});
    let like_one = json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "*#graph-sign-ins"}});
    let equals = json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": [OWN, "ab12#other"]}});
    let plain = json!({"StringLike": {"dynamodb:LeadingKeys": "*#graph-sign-ins"}});
    let is_there = json!({"Null": {"dynamodb:LeadingKeys": "false"}});
    let is_not_there = json!({"Null": {"dynamodb:LeadingKeys": true}});
    let both = json!({
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#graph-sign-ins"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    });
    let none: &[&str] = &[];
    let cases: [(&Value, &[&str], bool); 25] = [
        (&like, &[OWN], true),
        (&like, &[OWN, "zz#graph-sign-ins"], true),
        (&like, &["ab12#graph-sign-ins-v2"], false),
        (&like, &["ab12#office365-exchange"], false),
        (&like, &[OWN, "ab12#office365-exchange"], false),
        (&like, &["graph-sign-ins"], false),
        (&like, &["AB12#GRAPH-SIGN-INS"], false),
        // The trap of the set operator: without the key there is nothing that could be foreign.
        (&like, none, true),
        (&like_one, &[OWN], true),
        (&like_one, &["ab12#office365-exchange"], false),
        (&equals, &[OWN], true),
        (&equals, &[OWN, "ab12#other"], true),
        (&equals, &["*"], false),
        (&equals, &[OWN, "ab12#third"], false),
        (&plain, &[OWN], true),
        (&plain, none, false),
        (&is_there, &["whatever"], true),
        (&is_there, none, false),
        (&is_not_there, &["whatever"], false),
        (&is_not_there, none, true),
        (&both, &[OWN], true),
        (&both, &[OWN, "ab12#office365-exchange"], false),
        (&both, &["ab12#office365-exchange"], false),
        (&both, &["ab12#graph-sign-ins#"], false),
        (&both, none, false),
    ];
    for (condition, keys, allowed) in cases {
        assert_eq!(under(condition).allows(&put(keys)), allowed, "{keys:?} under {condition}");
    }
}

#[test]
fn what_no_statement_allows_is_denied_and_a_denial_stands_above_everything() {
    let group = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/stack-one";
    let stream = format!("{group}:log-stream:2026/11/20/[$LATEST]0");
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:one-AbCdEf";
    let statements = json!([
        {"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": [format!("{group}:*")]},
        {"Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"], "Resource": secret},
        {"Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "arn:aws:dynamodb:*:123456789012:table/state"},
        {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "sqs:DeleteQueue", "Resource": "*"},
    ]);
    let role = Role::of(&[json!({"Version": "2012-10-17", "Statement": statements})]);
    let queue = "arn:aws:sqs:eu-west-1:123456789012:queue";
    let cases = [
        ("logs:PutLogEvents", stream.as_str(), true),
        ("logs:putlogevents", stream.as_str(), true),
        ("logs:CreateLogStream", stream.as_str(), false),
        (
            "logs:PutLogEvents",
            "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/stack-one-more:*",
            false,
        ),
        ("logs:PutLogEvents", "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/stack:*", false),
        ("secretsmanager:GetSecretValue", secret, true),
        ("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:one", false),
        (
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:eu-west-1:999999999999:secret:one-AbCdEf",
            false,
        ),
        ("secretsmanager:PutSecretValue", secret, false),
        ("dynamodb:GetItem", TABLE, true),
        ("dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:123456789012:table/state/index/one", false),
        ("dynamodb:PutItem", TABLE, false),
        ("sqs:SendMessage", queue, true),
        ("sqs:DeleteQueue", queue, false),
    ];
    for (action, resource, allowed) in cases {
        assert_eq!(role.allows(&Call::plain(action, resource)), allowed, "{action} on {resource}");
    }
    assert!(!Role::of(&[]).allows(&Call::plain("dynamodb:GetItem", TABLE)), "no policy at all");
}

#[test]
fn a_role_is_counted_by_actions_resources_and_partitions() {
    let other = "arn:aws:dynamodb:eu-west-1:123456789012:table/other";
    let role = role(&json!({
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:Query"],
        "Resource": [TABLE, other],
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["*#one", "*#two"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    }));
    let grants = role.grants();
    assert_eq!(grants.len(), 8);
    let matching = |call: &Call| grants.iter().filter(|grant| grant.allows(call)).count();
    assert_eq!(matching(&put(&["ab12#one"])), 1);
    assert_eq!(matching(&Call::on_keys("dynamodb:Query", other, &["ab12#two"])), 1);
    assert_eq!(matching(&put(&["ab12#three"])), 0);
    assert_eq!(matching(&put(&[])), 0);
}

#[test]
fn what_the_judge_is_not_proven_on_is_refused() {
    let unproven = [
        json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::home/${aws:username}"}),
        json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Ref": "Bucket"}}),
        json!({"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "s3:GetObject", "NotResource": "arn:aws:s3:::home/*"}),
        json!({
            "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
        }),
        json!({
            "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}},
        }),
    ];
    for statement in unproven {
        let judged = std::panic::catch_unwind(|| role(&statement));
        assert!(judged.is_err(), "it was judged: {statement}");
    }
}
