//! What no role may do: other functions' rows, other tables, other secrets, other logs, and everything that no function
//! ever calls.
//!
//! The calls are real ones of AWS with the names of this stack, so that a pattern that reaches too far is found.

use std::collections::BTreeSet;

use crate::world::all_services;
use crate::world::deployment::{Deployment, Function, deployment};
use crate::world::iam::{Call, Grant, Role};

use super::rights::{BY_LAMBDA, ID, partitions};

/// What the code does with rows.
const ROW_ACTIONS: [&str; 4] =
    ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:Query"];
/// What can be done with a table and its rows, and never is.
const FOREIGN_TABLE_ACTIONS: [&str; 16] = [
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:Scan",
    "dynamodb:PartiQLSelect",
    "dynamodb:PartiQLDelete",
    "dynamodb:DescribeTable",
    "dynamodb:UpdateTable",
    "dynamodb:UpdateTimeToLive",
    "dynamodb:UpdateContinuousBackups",
    "dynamodb:DeleteTable",
    "dynamodb:CreateTable",
    "dynamodb:CreateBackup",
    "dynamodb:ExportTableToPointInTime",
    "dynamodb:TagResource",
];
const FOREIGN_SECRET_ACTIONS: [&str; 6] = [
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecret",
    "secretsmanager:DeleteSecret",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy",
    "secretsmanager:RotateSecret",
];

fn created() -> impl Iterator<Item = (&'static Function, Role)> {
    deployment().functions.values().map(|function| (function, Role::of(&function.policies)))
}

#[track_caller]
fn assert_denied(function: &Function, role: &Role, calls: impl IntoIterator<Item = Call>) {
    let allowed: Vec<Call> = calls.into_iter().filter(|call| role.allows(call)).collect();
    assert!(allowed.is_empty(), "the role of {} allows {allowed:#?}", function.handler);
}

fn table(function: &Function) -> String {
    deployment().owner().table(&function.environment["STATE_TABLE"])
}

fn refs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

#[test]
fn no_function_reaches_rows_of_another_but_the_retry_service_those_of_the_feeds() {
    for (function, role) in created() {
        let (own, table) = (partitions(&function.handler), table(function));
        for partition in &own {
            for action in ROW_ACTIONS {
                assert!(role.allows(&Call::on_keys(action, &table, &[partition])), "{action} on {partition}");
            }
        }
        let foreign = all_services().map(|service| format!("{ID}#{}", service.function));
        let foreign: Vec<String> = foreign
            .chain(own.iter().flat_map(|key| [format!("{key}-more"), format!("{key}#")]))
            .chain([ID.to_owned(), format!("{ID}#"), format!("#{}-v9", function.handler), "*".to_owned()])
            .filter(|key| !own.contains(key))
            .collect();
        assert!(foreign.len() > all_services().count() - own.len());
        let mixed = own.iter().zip(&foreign).map(|(one, other)| vec![one.clone(), other.clone()]);
        let keys: Vec<Vec<String>> = foreign.iter().map(|key| vec![key.clone()]).chain(mixed).collect();
        for action in ROW_ACTIONS {
            assert_denied(
                function,
                &role,
                keys.iter().map(|keys| Call::on_keys(action, &table, &refs(keys))),
            );
        }
    }
}

#[test]
fn no_function_touches_the_table_without_naming_its_partition_or_in_another_way_than_it_does() {
    for (function, role) in created() {
        let (own, table) = (partitions(&function.handler), table(function));
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_denied(function, &role, ROW_ACTIONS.map(|action| Call::plain(action, &table)));
        assert_denied(function, &role, FOREIGN_TABLE_ACTIONS.map(|action| Call::plain(action, &table)));
        assert_denied(
            function,
            &role,
            FOREIGN_TABLE_ACTIONS.map(|action| Call::on_keys(action, &table, &own[..1])),
        );
        let (region, account) = (&deployment().region, &deployment().account);
        let elsewhere = [
            format!("{table}-more"),
            format!("{table}/index/by-time"),
            format!("{table}/stream/2026-11-20T00:00:00.000"),
            format!("arn:aws:dynamodb:{region}:{account}:table/other"),
            table.replace(account, "999999999999"),
            table.replace(region, "ap-south-2"),
        ];
        for action in ROW_ACTIONS {
            assert_denied(
                function,
                &role,
                elsewhere.iter().map(|table| Call::on_keys(action, table, &own[..1])),
            );
        }
    }
}

#[test]
fn no_function_reads_another_secret_than_its_two_or_changes_any() {
    const READ: &str = "secretsmanager:GetSecretValue";
    for (function, role) in created() {
        let variable = |name: &str| function.environment[name].clone();
        let own = [variable("COLLECTOR_SECRET_ID"), variable("DEVO_SECRET_ID")];
        for secret in &own {
            assert!(role.allows(&Call::plain(READ, secret)));
            assert_denied(function, &role, FOREIGN_SECRET_ACTIONS.map(|action| Call::plain(action, secret)));
        }
        let others = deployment().secrets.values().filter(|arn| !own.contains(arn)).cloned();
        let shorter = own.iter().map(|arn| arn[..arn.len() - 7].to_owned());
        let longer = own.iter().map(|arn| format!("{arn}-AbCdEf"));
        let elsewhere = own.iter().map(|arn| arn.replace(&deployment().account, "999999999999"));
        let foreign: Vec<String> = others.chain(shorter).chain(longer).chain(elsewhere).collect();
        assert_denied(function, &role, foreign.iter().map(|arn| Call::plain(READ, arn)));
    }
    let inputs: BTreeSet<&String> = deployment()
        .functions
        .values()
        .map(|function| &function.environment["COLLECTOR_SECRET_ID"])
        .collect();
    assert!(inputs.len() > 1, "with one secret for all inputs this proves nothing: {inputs:?}");
}

#[test]
fn no_function_writes_another_log_or_any_queue_but_the_one_of_failed_invocations() {
    let stack = deployment();
    for (function, role) in created() {
        let own = stack.owner().log_stream(&function.name);
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert!(role.allows(&Call::plain(action, &own)), "{} {action}", function.name);
        }
        let actions =
            ["logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteLogStream", "logs:GetLogEvents"];
        assert_denied(function, &role, actions.map(|action| Call::plain(action, &own)));
        let names = stack.functions.values().map(|other| other.name.clone());
        let names = names.filter(|name| *name != function.name).chain([format!("{}-more", function.name)]);
        let others: Vec<String> = names.map(|name| stack.owner().log_stream(&name)).collect();
        for action in ["logs:CreateLogStream", "logs:PutLogEvents"] {
            assert_denied(function, &role, others.iter().map(|stream| Call::plain(action, stream)));
        }

        let queue = queue_of_failures(stack, &role);
        assert!(role.allows(&Call::plain("sqs:SendMessage", &queue)));
        let actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:PurgeQueue", "sqs:DeleteQueue"];
        assert_denied(function, &role, actions.map(|action| Call::plain(action, &queue)));
        assert_denied(function, &role, [Call::plain("sqs:SendMessage", &format!("{queue}-more"))]);
    }
}

/// The queue that the role may write to; it is one of this account.
fn queue_of_failures(stack: &Deployment, role: &Role) -> String {
    let grants: Vec<Grant> =
        role.grants().into_iter().filter(|grant| grant.action == "sqs:SendMessage").collect();
    assert_eq!(grants.len(), 1, "one queue: {grants:?}");
    let queue = grants[0].resource.clone();
    assert!(queue.starts_with(&format!("arn:aws:sqs:{}:{}:", stack.region, stack.account)), "{queue}");
    queue
}

#[test]
fn no_policy_has_a_wildcard_but_for_the_log_streams_whose_names_lambda_chooses() {
    for (function, role) in created() {
        let grants = role.grants();
        assert!(grants.len() > BY_LAMBDA.len(), "{}", function.handler);
        for grant in grants {
            assert!(!grant.action.contains(['*', '?']), "{}: {}", function.handler, grant.words);
            let stream = format!(":log-group:/aws/lambda/{}:log-stream:*", function.name);
            let named = match grant.resource.strip_suffix(&stream) {
                Some(beginning) => beginning,
                None => &grant.resource,
            };
            assert!(!named.contains(['*', '?']), "{}: {}", function.handler, grant.words);
        }
    }
}

#[test]
fn no_function_starts_another_takes_another_role_or_decrypts_what_is_not_its_own() {
    let stack = deployment();
    let (region, account) = (&stack.region, &stack.account);
    for (function, role) in created() {
        let named = |other: &Function| format!("arn:aws:lambda:{region}:{account}:function:{}", other.name);
        let invoked =
            stack.functions.values().map(|other| Call::plain("lambda:InvokeFunction", &named(other)));
        let others = [
            Call::plain("lambda:UpdateFunctionCode", &named(function)),
            Call::plain("kms:Decrypt", &format!("arn:aws:kms:{region}:{account}:key/0f0e0d0c")),
            Call::plain("iam:PassRole", &format!("arn:aws:iam::{account}:role/any")),
            Call::plain("sts:AssumeRole", &format!("arn:aws:iam::{account}:role/any")),
            Call::plain("s3:GetObject", "arn:aws:s3:::any/object"),
            Call::plain(
                "scheduler:UpdateSchedule",
                &format!("arn:aws:scheduler:{region}:{account}:schedule/a/b"),
            ),
        ];
        assert_denied(function, &role, invoked.chain(others));
    }
}
