//! The templates as they are written: one block of one shape for every service, and nothing beside them.
//!
//! Whether a block says the right thing is seen on what is created from it; here it is seen that all blocks say the
//! same of their own service. So each block is read with its service's names replaced by what they are, and then all of
//! them are one text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use collector::service::Service;
use serde_json::{Map, Value};

use crate::world::all_services;
use crate::world::artefacts::workspace;

/// The root template.
const ROOT: &str = "template.yaml";
/// What nests the roles.
const ACCESS: &str = "infra/access.yaml";
/// Longer than this, its functions aside, a template is not read in one go any more.
const MOST_LINES: usize = 500;
/// Longer than this, the block of a function is not seen at a glance; the root has one for each service.
const MOST_LINES_OF_A_BLOCK: usize = 15;
/// What may be said again of a function that works longer than the others.
const LONGER: &str = "Timeout";
/// Starting points of timers within a tick.
const LANES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What the template's names of an input begin with.
pub fn prefix(input: &str) -> &'static str {
    match input {
        "microsoft_graph_audit" => "GraphAudit",
        "microsoft_graph_security" => "GraphSecurity",
        "office365" => "Office365",
        "microsoft_defender_endpoint" => "Endpoint",
        "microsoft_defender_cloud_apps" => "CloudApps",
        other => panic!("no input {other}"),
    }
}

/// The name of something that belongs to a function: `graph-sign-ins-v2` and `Role` is `GraphSignInsV2Role`.
pub fn logical_id(function: &str, kind: &str) -> String {
    let word = |word: &str| format!("{}{}", word[..1].to_ascii_uppercase(), &word[1..]);
    format!("{}{kind}", function.split('-').map(word).collect::<String>())
}

fn text_of(file: &str) -> String {
    fs::read_to_string(workspace().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A template as it is written, anchors followed; `!Ref X` and the like are their arguments.
fn source(file: &str) -> Value {
    serde_saphyr::from_str(&text_of(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// This template file and those that it nests, however deep.
pub fn files_from(file: &str) -> Vec<String> {
    let folder = Path::new(file).parent().unwrap();
    let nested =
        of_type(&source(file), "AWS::Serverless::Application").into_values().flat_map(|application| {
            let location = folder.join(application["Properties"]["Location"].as_str().unwrap());
            files_from(location.to_str().unwrap())
        });
    [file.to_owned()].into_iter().chain(nested).collect()
}

/// The resources of this type.
fn of_type(template: &Value, kind: &str) -> BTreeMap<String, Value> {
    let resources = template["Resources"].as_object().unwrap().iter();
    let wanted = resources.filter(|(_, resource)| resource["Type"] == kind);
    wanted.map(|(name, resource)| (name.clone(), resource.clone())).collect()
}

fn named(kind: &str) -> BTreeSet<String> {
    all_services().map(|service| logical_id(service.function, kind)).collect()
}

fn keys(map: &BTreeMap<String, Value>) -> BTreeSet<String> {
    map.keys().cloned().collect()
}

/// What a block says, without whom it says it of.
fn of_nobody(service: &Service, block: &Value) -> String {
    let own = logical_id(service.function, "");
    // The function before the input: the one may begin with the other.
    let replaced = block.to_string().replace(&own, "{Function}").replace(service.function, "{function}");
    replaced.replace(service.input, "{input}").replace(prefix(service.input), "{Input}")
}

/// The lane of a block's timer, which is taken out of it.
fn take_lane(block: &mut Value) -> String {
    let expression = &mut block["Properties"]["Events"]["Timer"]["Properties"]["ScheduleExpression"];
    let lane = expression[2].as_str().unwrap_or_else(|| panic!("no lane in {expression}")).to_owned();
    expression[2] = Value::Null;
    lane
}

/// The seconds that a service's function may work: Microsoft takes up to 200 for one of the operator's own queries.
pub fn seconds_of(service: &Service) -> u64 {
    if service.query.is_hunting() { 300 } else { 240 }
}

/// How many lines each function's block has, and how many lines there are beside them.
fn lines_of(text: &str) -> (Vec<usize>, usize) {
    let blocks = text.split("\n\n").filter(|part| part.contains("    Type: AWS::Serverless::Function\n"));
    let blocks: Vec<usize> = blocks.map(|block| block.lines().count()).collect();
    let beside = text.lines().count() - blocks.iter().sum::<usize>() - blocks.len();
    (blocks, beside)
}

#[test]
fn every_service_has_one_block_of_the_same_shape_and_there_are_no_others() {
    let template = source(ROOT);
    let mut blocks = of_type(&template, "AWS::Serverless::Function");
    assert_eq!(keys(&blocks), named("Function"));
    let mut shapes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut lanes: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for service in all_services() {
        let block = blocks.get_mut(&logical_id(service.function, "Function")).unwrap();
        let properties = &block["Properties"];
        assert_eq!(properties["Handler"], service.function);
        assert_eq!(properties["FunctionName"], format!("${{AWS::StackName}}-{}", service.function));
        assert_eq!(properties["Tags"]["service"], service.function);
        assert_eq!(properties["Tags"]["input"], service.input);
        // Only what is longer than everybody's is said.
        let longer = Some(seconds_of(service)).filter(|seconds| *seconds != 240);
        assert_eq!(block["Properties"][LONGER].as_u64(), longer, "{}", service.function);
        block["Properties"].as_object_mut().unwrap().retain(|key, _| key != LONGER);
        let lane = take_lane(block);
        assert!(LANES.contains(&lane.as_str()), "{}: lane {lane}", service.function);
        *lanes.entry((service.input, lane)).or_default() += 1;
        shapes.entry(of_nobody(service, block)).or_default().push(service.function);
    }
    assert_eq!(shapes.len(), 1, "blocks of several shapes: {shapes:#?}");
    // The services of an input share its quota.
    for ((input, lane), crowd) in lanes {
        let services = all_services().filter(|service| service.input == input).count();
        assert!(crowd <= services.div_ceil(LANES.len()), "{crowd} of {input} start together in lane {lane}");
    }
}

#[test]
fn what_all_functions_share_is_said_once() {
    let template = source(ROOT);
    let globals = &template["Globals"]["Function"];
    assert_eq!(globals["Runtime"], "provided.al2023");
    assert_eq!(globals["Timeout"], 240);
    let invoked = &globals["EventInvokeConfig"];
    assert_eq!(
        (&invoked["MaximumRetryAttempts"], &invoked["MaximumEventAgeInSeconds"]),
        (&0.into(), &60.into())
    );
    let destination = &invoked["DestinationConfig"]["OnFailure"];
    assert_eq!(
        (&destination["Type"], &destination["Destination"]),
        (&"SQS".into(), &"DeadLetters.Arn".into())
    );
    for (name, block) in of_type(&template, "AWS::Serverless::Function") {
        let own: BTreeSet<&str> =
            block["Properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let shared: BTreeSet<&str> = globals.as_object().unwrap().keys().map(String::as_str).collect();
        let said_twice: Vec<_> =
            own.intersection(&shared).filter(|key| !["Environment", "Tags", LONGER].contains(*key)).collect();
        assert!(said_twice.is_empty(), "{name} says again: {said_twice:?}");
        let code = block["Properties"].get("CodeUri").unwrap_or(&globals["CodeUri"]);
        assert_eq!(code, "target/lambda/bootstrap.zip", "{name}");
    }
    for file in files_from(ROOT) {
        let text = text_of(&file);
        let (blocks, beside) = lines_of(&text);
        assert_eq!(blocks.len(), of_type(&source(&file), "AWS::Serverless::Function").len(), "{file}");
        assert!(blocks.iter().all(|lines| *lines <= MOST_LINES_OF_A_BLOCK), "{file}: {blocks:?}");
        assert!(beside <= MOST_LINES, "{file} has {beside} lines beside its functions");
        // A new account has ten executions in all; and `sam build` gives every loop's function the first one's code.
        for forbidden in ["ReservedConcurrentExecutions", "Fn::ForEach", "AWS::LanguageExtensions"] {
            assert!(!text.contains(forbidden), "{file}: {forbidden}");
        }
    }
}

#[test]
fn every_service_has_a_role_a_log_group_and_a_timers_parameter_and_nobody_else_has() {
    let declared = files_from(ACCESS).into_iter().flat_map(|file| of_type(&source(&file), "AWS::IAM::Role"));
    let declared: Vec<String> = declared.map(|(name, _)| name).collect();
    let roles: BTreeSet<String> = declared.iter().cloned().collect();
    assert_eq!(roles.len(), declared.len(), "a role is declared twice: {declared:?}");
    let of_functions: BTreeSet<String> =
        roles.iter().filter(|role| *role != "SchedulerRole").cloned().collect();
    assert_eq!(of_functions, named("Role"));
    assert_eq!(roles.len(), of_functions.len() + 1, "and one for the timers");
    let groups = of_type(&source("infra/logs.yaml"), "AWS::Logs::LogGroup");
    assert_eq!(keys(&groups), named("Logs"));
    let shapes: BTreeSet<String> = all_services()
        .map(|service| of_nobody(service, &groups[&logical_id(service.function, "Logs")]))
        .collect();
    assert_eq!(shapes.len(), 1, "log groups of several shapes: {shapes:#?}");
    assert!(shapes.first().unwrap().contains("/aws/lambda/${Collector}-{function}"), "{shapes:?}");

    let template = source(ROOT);
    let parameters = template["Parameters"].as_object().unwrap();
    let switches: BTreeSet<String> = parameters
        .keys()
        .filter(|name| name.ends_with("Timer") || name.ends_with("Timers"))
        .cloned()
        .collect();
    let inputs = all_services().map(|service| format!("{}Timers", prefix(service.input)));
    assert_eq!(switches, named("Timer").into_iter().chain(inputs).collect());
    for name in &switches {
        let (default, allowed) = (&parameters[name]["Default"], &parameters[name]["AllowedValues"]);
        assert_eq!(
            (default, allowed),
            (&"ENABLED".into(), &serde_json::json!(["ENABLED", "DISABLED"])),
            "{name}"
        );
    }
    for service in all_services() {
        let secret = format!("{}Secret", prefix(service.input));
        assert_eq!(parameters[&secret]["Default"], "", "{secret} is the shared one unless it is given");
    }
}

#[test]
fn every_parameter_says_what_it_is_and_stands_in_the_console_under_a_heading() {
    for file in files_from(ROOT) {
        let template = source(&file);
        assert!(template["Description"].as_str().is_some_and(|text| text.len() > 20), "{file}");
        for (name, parameter) in template["Parameters"].as_object().unwrap() {
            let words = parameter["Description"].as_str().unwrap_or_default().split_whitespace().count();
            assert!(words >= 3, "{file}: {name} has no description");
            assert!(parameter["Type"].is_string(), "{file}: {name} has no type");
        }
    }
    let template = source(ROOT);
    let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let listed: Vec<&str> = groups
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    let declared: BTreeSet<&str> =
        template["Parameters"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((listed.len(), distinct), (declared.len(), declared));
    let defaults = [
        ("TickMinutes", "5"),
        ("Memory", "512"),
        ("Architecture", "x86_64"),
        ("LogRetentionDays", "30"),
        ("LogLevel", "info"),
        ("AlarmTopic", ""),
        ("StateTable", ""),
        ("SecretsKey", ""),
        ("ShowDashboard", "ENABLED"),
        ("LagLimitSeconds", "7200"),
    ];
    for (name, expected) in defaults {
        let default = &template["Parameters"][name]["Default"];
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        assert_eq!(default, expected, "{name}");
    }
    for name in ["InputSecret", "DevoSecret"] {
        assert!(template["Parameters"][name].get("Default").is_none(), "{name} has to be given");
    }
}

#[test]
fn ticks_start_at_every_allowed_rate_and_their_lanes_within_one_tick() {
    let template = source(ROOT);
    let ticks = template["Mappings"]["Ticks"].as_object().unwrap();
    let allowed: Vec<&str> = template["Parameters"]["TickMinutes"]["AllowedValues"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_str().unwrap())
        .collect();
    assert_eq!(allowed, ["1", "2", "5", "10", "15", "30"]);
    assert_eq!(ticks.keys().map(String::as_str).collect::<Vec<_>>(), allowed);
    for (tick, lanes) in ticks {
        let starts: BTreeSet<u32> =
            LANES.iter().map(|lane| start_of(tick, lanes.as_object().unwrap(), lane)).collect();
        let minutes: usize = tick.parse().unwrap();
        assert_eq!(starts.len(), minutes.min(LANES.len()), "at {tick} minutes they start at {starts:?}");
    }
}

/// The minute within the tick at which a lane starts.
fn start_of(tick: &str, lanes: &Map<String, Value>, lane: &str) -> u32 {
    assert_eq!(lanes.len(), LANES.len());
    let expression = lanes[lane].as_str().unwrap();
    let times = expression.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(" * * * ? *)"));
    let (start, step) =
        times.and_then(|times| times.split_once('/')).unwrap_or_else(|| panic!("{expression}"));
    assert_eq!(step, tick, "{expression}");
    let start: u32 = start.parse().unwrap();
    assert!(start < tick.parse().unwrap(), "{expression} leaves out a tick of each hour");
    start
}

#[test]
fn the_configuration_of_sam_names_the_root_template_and_what_it_may_make() {
    let config: Value = toml::from_str(&text_of("samconfig.toml")).unwrap();
    assert_eq!(config["version"], 0.1);
    let of = |command: &str| &config["default"][command]["parameters"];
    let template = of("build")["template_file"].as_str().unwrap();
    assert!(!source(template)["Globals"].is_null(), "{template} is not the root");
    // `sam deploy` takes what `sam build` made, unless it is told otherwise.
    assert!(of("deploy").get("template_file").is_none() && of("deploy").get("template").is_none());
    let capabilities: BTreeSet<&str> = of("deploy")["capabilities"].as_str().unwrap().split(' ').collect();
    assert_eq!(capabilities, BTreeSet::from(["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]));
    assert_eq!(of("deploy")["resolve_s3"], true);
    let stack = of("global")["stack_name"].as_str().unwrap();
    let longest = all_services().map(|service| service.function.len()).max().unwrap();
    assert!(stack.len() + 1 + longest <= 64, "{stack} makes names that are longer than Lambda allows");
}
