//! What the emulator does not create, asserted on the translated templates instead; and what a parameter changes.
//!
//! The templates are worked out under given parameters as CloudFormation would. A value that only exists once something
//! is created reads `<Logical.Attribute>`.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use crate::world::all_services;
use crate::world::deployment::deployment;
use crate::world::deployment_play::Played;
use crate::world::deployment_values::Values;

use super::template::{files_from, logical_id, prefix};

/// Types that the emulator skips although it says that the stack is complete, and why that is no loss here.
pub const UNMADE: &[(&str, &str)] = &[
    ("AWS::Scheduler::Schedule", "it has the API, and no resource of CloudFormation for it"),
    ("AWS::Scheduler::ScheduleGroup", "it has the API, and no resource of CloudFormation for it"),
    ("AWS::Lambda::EventInvokeConfig", "it has the API, and no resource of CloudFormation for it"),
    ("AWS::CloudWatch::Alarm", "it has the API, and no resource of CloudFormation for it"),
];
/// Our own namespace, and all metrics in it: AWS charges for each.
const NAMESPACE: &str = "MicrosoftSecurityCollector";
const METRICS: [&str; 8] = [
    "failures",
    "received",
    "lag_beyond_period_seconds",
    "quota_used_percent",
    "certificate_days",
    "edge_hours",
    "lost_uris",
    "mismatch",
];
const MOST_ALARMS: usize = 12;

fn root() -> Values<'static> {
    Values::of(deployment().template("template.yaml"))
}

/// The properties of all resources of a type in one template, worked out, by logical id; those whose condition does not
/// hold are left out.
fn resolved(file: &str, values: &Values<'_>, kind: &str) -> BTreeMap<String, Value> {
    let all = deployment().of_type(kind).into_iter().filter(|(found, _, _)| *found == file);
    let made =
        all.filter(|(_, _, resource)| resource["Condition"].as_str().is_none_or(|name| values.holds(name)));
    made.map(|(_, id, resource)| (id.to_owned(), values.resolve(&resource["Properties"]))).collect()
}

fn schedules(values: &Values<'_>) -> BTreeMap<String, Value> {
    resolved("template.yaml", values, "AWS::Scheduler::Schedule")
}

/// The services whose timers run.
fn running(values: &Values<'_>) -> BTreeSet<&'static str> {
    let schedules = schedules(values);
    let state = |function: &str| schedules[&logical_id(function, "FunctionTimer")]["State"].clone();
    all_services().map(|service| service.function).filter(|function| state(function) == "ENABLED").collect()
}

#[test]
fn every_service_has_a_timer_that_starts_it_on_the_minute_and_never_twice() {
    let timers = schedules(&root());
    let expected: BTreeSet<String> =
        all_services().map(|service| logical_id(service.function, "FunctionTimer")).collect();
    assert_eq!(timers.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let groups = resolved("template.yaml", &root(), "AWS::Scheduler::ScheduleGroup");
    assert_eq!(groups.keys().collect::<Vec<_>>(), ["Timers"]);
    assert_eq!(groups["Timers"]["Name"], "<AWS::StackName>");
    for service in all_services() {
        let timer = &timers[&logical_id(service.function, "FunctionTimer")];
        assert_eq!(timer["State"], "ENABLED", "{}", service.function);
        assert_eq!(timer["FlexibleTimeWindow"], json!({"Mode": "OFF"}), "{}", service.function);
        assert_eq!(timer["GroupName"], "<Timers>", "{}", service.function);
        let expression = timer["ScheduleExpression"].as_str().unwrap();
        assert!(expression.ends_with("/5 * * * ? *)"), "{}: {expression}", service.function);
        let target = &timer["Target"];
        assert_eq!(target["Arn"], format!("<{}.Arn>", logical_id(service.function, "Function")));
        assert_eq!(target["RoleArn"], "<Access.Outputs.SchedulerRole>", "{}", service.function);
        let retries = json!({"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60});
        assert_eq!(target["RetryPolicy"], retries, "{}", service.function);
    }
    let hourly = schedules(&root().with("TickMinutes", "30"));
    assert!(hourly.values().all(|timer| timer["ScheduleExpression"].as_str().unwrap().contains("/30 ")));
}

#[test]
fn a_parameter_stops_the_timer_of_one_service_or_of_one_input_and_no_other() {
    let all: BTreeSet<&str> = all_services().map(|service| service.function).collect();
    assert_eq!(running(&root()), all);
    for service in all_services() {
        let without = root().with(&logical_id(service.function, "Timer"), "DISABLED");
        let expected: BTreeSet<&str> = all.iter().copied().filter(|name| *name != service.function).collect();
        assert_eq!(running(&without), expected, "{}", service.function);
        let without = root().with(&format!("{}Timers", prefix(service.input)), "DISABLED");
        let others = all_services().filter(|other| other.input != service.input);
        assert_eq!(running(&without), others.map(|other| other.function).collect(), "{}", service.input);
    }
}

#[test]
fn the_timers_role_starts_the_functions_of_this_stack_and_nothing_else() {
    let access = Values::of(deployment().template("infra/access.yaml")).with("Collector", "one");
    let role = &resolved("infra/access.yaml", &access, "AWS::IAM::Role")["SchedulerRole"];
    let policies = role["Policies"].as_array().unwrap();
    assert_eq!((policies.len(), role.get("ManagedPolicyArns")), (1, None));
    let statements = policies[0]["PolicyDocument"]["Statement"].as_array().unwrap();
    assert_eq!((statements.len(), &statements[0]["Action"]), (1, &json!("lambda:InvokeFunction")));
    let started: BTreeSet<&str> =
        statements[0]["Resource"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
    let expected: BTreeSet<String> = all_services()
        .map(|service| {
            let account = "<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>";
            format!("arn:{account}:function:one-{}", service.function)
        })
        .collect();
    assert_eq!(started, expected.iter().map(String::as_str).collect());
    let trusted = &role["AssumeRolePolicyDocument"]["Statement"][0];
    assert_eq!(trusted["Principal"], json!({"Service": "scheduler.amazonaws.com"}));
    assert_eq!(
        trusted["Condition"],
        json!({"StringEquals": {"aws:SourceAccount": "<AWS::AccountId>", "aws:SourceArn": "<TimersArn>"}})
    );
    // Whoever asks for the role is a timer of this stack's group.
    let groups = resolved("template.yaml", &root(), "AWS::Scheduler::ScheduleGroup");
    let name = groups["Timers"]["Name"].as_str().unwrap();
    let nested = resolved("template.yaml", &root(), "AWS::CloudFormation::Stack");
    let arn = "arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule-group";
    assert_eq!(nested["Access"]["Parameters"]["TimersArn"], format!("{arn}/{name}"));
}

#[test]
fn a_failed_invocation_is_not_repeated_and_its_event_is_kept() {
    let configs = resolved("template.yaml", &root(), "AWS::Lambda::EventInvokeConfig");
    let functions: BTreeSet<&str> =
        configs.values().map(|config| config["FunctionName"].as_str().unwrap()).collect();
    let expected: BTreeSet<String> =
        all_services().map(|service| format!("<{}>", logical_id(service.function, "Function"))).collect();
    assert_eq!(functions, expected.iter().map(String::as_str).collect());
    for (id, config) in configs {
        assert_eq!(
            (&config["MaximumRetryAttempts"], &config["MaximumEventAgeInSeconds"]),
            (&json!(0), &json!(60)),
            "{id}"
        );
        let destination = json!({"OnFailure": {"Destination": "<DeadLetters.Arn>"}});
        assert_eq!(
            (&config["DestinationConfig"], &config["Qualifier"]),
            (&destination, &json!("$LATEST")),
            "{id}"
        );
    }
    let queues = resolved("template.yaml", &root(), "AWS::SQS::Queue");
    assert_eq!(queues.keys().collect::<Vec<_>>(), ["DeadLetters"]);
    assert_eq!(queues["DeadLetters"]["SqsManagedSseEnabled"], true);
}

#[test]
fn an_input_without_a_secret_of_its_own_takes_the_shared_one_for_its_functions_and_their_roles() {
    for service in all_services() {
        let own = format!("{}Secret", prefix(service.input));
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:own-AbCdEf";
        for (values, expected) in [(root(), "<InputSecret>"), (root().with(&own, arn), arn)] {
            let functions = resolved("template.yaml", &values, "AWS::Lambda::Function");
            let variables = &functions[&logical_id(service.function, "Function")]["Environment"]["Variables"];
            assert_eq!(variables["COLLECTOR_SECRET_ID"], expected, "{}", service.function);
            let nested = resolved("template.yaml", &values, "AWS::CloudFormation::Stack");
            assert_eq!(nested["Access"]["Parameters"][&own], expected, "{}", service.function);
        }
        // And Access gives it to one of the files that it nests.
        let access = Values::of(deployment().template("infra/access.yaml")).with(&own, arn);
        let families = resolved("infra/access.yaml", &access, "AWS::CloudFormation::Stack");
        let given: Vec<&Value> = families.values().map(|family| &family["Parameters"][&own]).collect();
        assert_eq!(given.iter().filter(|value| **value == arn).count(), 1, "{own}: {given:?}");
    }
}

/// The alarms' properties.
fn alarms(values: &Values<'_>) -> BTreeMap<String, Value> {
    resolved("infra/alarms.yaml", values, "AWS::CloudWatch::Alarm")
}

fn of_alarms() -> Values<'static> {
    Values::of(deployment().template("infra/alarms.yaml")).with("Collector", "one")
}

/// What an alarm looks at: (namespace, metric, dimensions, statistic, period in seconds), and whether silence is filled
/// with zeros.
fn watched(alarm: &Value) -> ((&str, &str, &Value, &str, u64), bool) {
    let text = |value: &'_ Value| value.as_str().map(str::to_owned);
    let Some(metrics) = alarm["Metrics"].as_array() else {
        let names = (alarm["Namespace"].as_str().unwrap(), alarm["MetricName"].as_str().unwrap());
        let measure = (alarm["Statistic"].as_str().unwrap(), alarm["Period"].as_u64().unwrap());
        return ((names.0, names.1, &alarm["Dimensions"], measure.0, measure.1), false);
    };
    let [filled, found] = metrics.as_slice() else { panic!("one metric and its filling: {alarm}") };
    assert_eq!(text(&filled["Expression"]).unwrap(), format!("FILL({}, 0)", text(&found["Id"]).unwrap()));
    assert_eq!((&filled["ReturnData"], &found["ReturnData"]), (&json!(true), &json!(false)), "{alarm}");
    let stat = &found["MetricStat"];
    let names =
        (stat["Metric"]["Namespace"].as_str().unwrap(), stat["Metric"]["MetricName"].as_str().unwrap());
    let measure = (stat["Stat"].as_str().unwrap(), stat["Period"].as_u64().unwrap());
    ((names.0, names.1, &stat["Metric"]["Dimensions"], measure.0, measure.1), true)
}

#[test]
fn each_alarm_rings_when_it_says_and_a_silent_metric_counts_as_zero() {
    const OWN: &str = NAMESPACE;
    let (above, reaches, below) =
        ("GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold");
    // (alarm, namespace, metric, statistic, seconds, periods, comparison, threshold, missing data, zeros filled in)
    let table = [
        ("Failures", OWN, "failures", "Sum", 1_800, 2, above, 0, "notBreaching", true),
        ("Throttling", OWN, "quota_used_percent", "Maximum", 1_800, 2, reaches, 100, "notBreaching", false),
        ("Lag", OWN, "lag_beyond_period_seconds", "Maximum", 1_800, 1, above, 7_200, "notBreaching", false),
        ("NothingReceived", OWN, "received", "Sum", 86_400, 1, below, 1, "breaching", true),
        ("DeadLetters", "AWS/SQS", "NumberOfMessagesSent", "Sum", 3_600, 1, above, 0, "notBreaching", true),
        ("Certificate", OWN, "certificate_days", "Minimum", 86_400, 1, below, 30, "notBreaching", false),
        ("Edge", OWN, "edge_hours", "Minimum", 3_600, 1, below, 48, "notBreaching", false),
        ("LostUris", OWN, "lost_uris", "Sum", 3_600, 1, above, 0, "notBreaching", true),
        ("Mismatch", OWN, "mismatch", "Sum", 3_600, 1, above, 0, "notBreaching", true),
        ("TimersFail", "AWS/Scheduler", "TargetErrorCount", "Sum", 1_800, 2, above, 0, "notBreaching", true),
    ];
    let alarms = alarms(&of_alarms());
    assert!(alarms.len() <= MOST_ALARMS, "{} alarms", alarms.len());
    let known: BTreeSet<&str> = table.iter().map(|row| row.0).collect();
    assert_eq!(alarms.keys().map(String::as_str).collect::<BTreeSet<_>>(), known);
    for (id, namespace, metric, statistic, seconds, periods, comparison, threshold, missing, fills) in table {
        let alarm = &alarms[id];
        let dimension = match namespace {
            "AWS/SQS" => json!([{"Name": "QueueName", "Value": "<DeadLettersName>"}]),
            "AWS/Scheduler" => json!([{"Name": "ScheduleGroup", "Value": "one"}]),
            _ => json!([{"Name": "Collector", "Value": "one"}]),
        };
        assert_eq!(
            watched(alarm),
            ((namespace, metric, &dimension, statistic, seconds), fills),
            "what {id} looks at"
        );
        assert_eq!(
            (&alarm["EvaluationPeriods"], &alarm["ComparisonOperator"], &alarm["Threshold"]),
            (&json!(periods), &json!(comparison), &json!(threshold)),
            "when {id} rings"
        );
        assert_eq!(alarm["TreatMissingData"], missing, "{id}");
        assert!(alarm.get("DatapointsToAlarm").is_none(), "{id}");
        let says = alarm["AlarmDescription"].as_str().unwrap();
        assert!(says.len() > 100, "{id} says neither what it means nor what to do");
        assert!(alarm.get("AlarmActions").is_none(), "{id} tells nobody unless a topic is given");
    }
    let unwatched: Vec<_> =
        METRICS.iter().filter(|metric| !table.iter().any(|row| row.2 == **metric)).collect();
    assert!(unwatched.is_empty(), "watched by no alarm: {unwatched:?}");
    let nested = resolved("template.yaml", &root(), "AWS::CloudFormation::Stack");
    assert_eq!(nested["Alarms"]["Parameters"]["DeadLettersName"], "<DeadLetters.QueueName>");
}

#[test]
fn a_topic_is_told_when_an_alarm_begins_and_ends() {
    let topic = "arn:aws:sns:eu-west-1:123456789012:duty";
    for (id, alarm) in alarms(&of_alarms().with("AlarmTopic", topic)) {
        assert_eq!((&alarm["AlarmActions"], &alarm["OKActions"]), (&json!([topic]), &json!([topic])), "{id}");
    }
}

/// The dashboard's widgets.
fn widgets() -> Vec<Value> {
    let values = Values::of(deployment().template("infra/dashboard.yaml")).with("Collector", "one");
    let dashboards = resolved("infra/dashboard.yaml", &values, "AWS::CloudWatch::Dashboard");
    let body = dashboards.values().next().unwrap()["DashboardBody"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("no JSON: {error}: {body}"));
    body["widgets"].as_array().unwrap().clone()
}

#[test]
fn the_dashboard_is_readable_shows_every_metric_and_asks_the_logs_of_every_function() {
    let widgets = widgets();
    let shown: String = widgets.iter().map(|widget| widget["properties"]["metrics"].to_string()).collect();
    for metric in METRICS {
        assert!(
            shown.contains(&format!(r#"["{NAMESPACE}","{metric}","Collector","one""#)),
            "{metric}: {shown}"
        );
    }
    let queries: Vec<&str> =
        widgets.iter().filter_map(|widget| widget["properties"]["query"].as_str()).collect();
    assert!(queries.len() >= 4, "{queries:?}");
    for (query, service) in
        queries.iter().flat_map(|query| all_services().map(move |service| (query, service)))
    {
        let source = format!("SOURCE '/aws/lambda/one-{}'", service.function);
        assert!(query.contains(&source), "{source} is not in {query}");
    }
    assert!(root().holds("DashboardOn") && !root().with("ShowDashboard", "DISABLED").holds("DashboardOn"));
}

/// What alarms and dashboard look at is what the artefact writes: its metrics are of the eight and have one dimension,
/// and every member that a query asks for is in the lines.
pub fn assert_alarms_watch_what_is_measured(played: &[Played]) {
    let lines: Vec<Value> = played.iter().flat_map(Played::metric_lines).collect();
    let mut declared = BTreeSet::new();
    for line in &lines {
        let directives = line["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1, "{line}");
        assert_eq!(directives[0]["Namespace"], NAMESPACE, "{line}");
        assert_eq!(directives[0]["Dimensions"], json!([["Collector"]]), "{line}");
        assert_eq!(line["Collector"], deployment().stack, "{line}");
        let metrics = directives[0]["Metrics"].as_array().unwrap().iter();
        declared.extend(metrics.map(|metric| metric["Name"].as_str().unwrap()));
    }
    let foreign: Vec<_> = declared.iter().filter(|name| !METRICS.contains(name)).collect();
    assert!(foreign.is_empty(), "metrics beside the eight: {foreign:?}");
    let members: BTreeSet<&str> =
        lines.iter().flat_map(|line| line.as_object().unwrap().keys().map(String::as_str)).collect();
    let silent: Vec<_> = METRICS.iter().filter(|name| !members.contains(*name)).collect();
    assert!(silent.is_empty(), "never measured: {silent:?} among {members:?}");
    let asked = Regex::new(r"\b(?:sum|max|min|avg|latest|ispresent)\((\w+)\)").unwrap();
    for widget in widgets() {
        let query = widget["properties"]["query"].as_str().unwrap_or_default().to_owned();
        for name in asked.captures_iter(&query).map(|found| found[1].to_owned()) {
            assert!(members.contains(name.as_str()), "{name} is in no line of the functions: {query}");
        }
    }
}

#[test]
fn the_table_outlives_the_stack_and_can_be_restored() {
    let made = deployment().of_type("AWS::DynamoDB::Table");
    assert_eq!(made.len(), 1);
    let (file, id, table) = made[0];
    assert_eq!((file, id), ("infra/state.yaml", "Table"));
    assert_eq!(
        (&table["DeletionPolicy"], &table["UpdateReplacePolicy"]),
        (&json!("Retain"), &json!("Retain"))
    );
    let properties = &table["Properties"];
    assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(
        properties["TimeToLiveSpecification"],
        json!({"AttributeName": "expires_at", "Enabled": true})
    );
    assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true);
    assert_eq!(properties["SSESpecification"]["SSEEnabled"], true);
    assert_eq!(properties["DeletionProtectionEnabled"], true);
    let keys =
        json!([{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]);
    assert_eq!(properties["KeySchema"], keys);
    let types =
        json!([{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}]);
    assert_eq!(properties["AttributeDefinitions"], types);
}

#[test]
fn a_table_that_is_named_is_gone_on_with_and_none_is_made() {
    let state = || Values::of(deployment().template("infra/state.yaml")).with("Collector", "one");
    let outputs = |values: &Values<'_>| {
        let outputs = &deployment().template("infra/state.yaml")["Outputs"];
        let value = |name: &str| values.resolve(&outputs[name]["Value"]).as_str().unwrap().to_owned();
        (value("TableName"), value("TableArn"))
    };
    let own = state();
    assert_eq!(resolved("infra/state.yaml", &own, "AWS::DynamoDB::Table").len(), 1);
    assert_eq!(outputs(&own), ("<Table>".to_owned(), "<Table.Arn>".to_owned()));
    let earlier = state().with("StateTable", "earlier-state");
    assert!(resolved("infra/state.yaml", &earlier, "AWS::DynamoDB::Table").is_empty());
    let (name, arn) = outputs(&earlier);
    assert_eq!(name, "earlier-state");
    assert!(arn.starts_with("arn:") && arn.ends_with(":table/earlier-state"), "{arn}");
}

#[test]
fn a_customer_key_of_the_secrets_may_be_used_through_secrets_manager_alone() {
    assert!(decrypting("").is_empty(), "without a key there is nothing to decrypt");
    let key = "arn:aws:kms:eu-west-1:123456789012:key/0f0e0d0c";
    let statements = decrypting(key);
    assert_eq!(statements.len(), 1, "one statement for all: {statements:?}");
    assert_eq!((&statements[0]["Action"], &statements[0]["Resource"]), (&json!("kms:Decrypt"), &json!(key)));
    let through = &statements[0]["Condition"]["StringEquals"]["kms:ViaService"];
    assert!(through.as_str().unwrap().starts_with("secretsmanager."), "{through}");
}

/// The statements of all policies that speak of keys, when the secrets have this one.
fn decrypting(secrets_key: &str) -> Vec<Value> {
    let access = Values::of(deployment().template("infra/access.yaml")).with("SecretsKey", secrets_key);
    let managed = resolved("infra/access.yaml", &access, "AWS::IAM::ManagedPolicy").into_values();
    let nested = files_from("infra/access.yaml").into_iter().skip(1);
    let roles = resolved("infra/access.yaml", &access, "AWS::IAM::Role").into_values().chain(
        nested.flat_map(|file| {
            let family = Values::of(deployment().template(&file));
            resolved(&file, &family, "AWS::IAM::Role").into_values()
        }),
    );
    let inline = roles.flat_map(|role| role["Policies"].as_array().cloned().unwrap_or_default());
    let statements = managed
        .chain(inline)
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().cloned().unwrap_or_default());
    statements.filter(|statement| statement["Action"].to_string().contains("kms:")).collect()
}
