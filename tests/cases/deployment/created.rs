//! What CloudFormation creates, in an emulator whose word "complete" proves nothing: the lists are compared.
//!
//! What the emulator is known to skip stands in a table with the reason, and is asserted on the translated template in
//! `unmade.rs`. A type that it starts to create has to leave the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::world::all_services;
use crate::world::artefacts::bootstrap;
use crate::world::deployment::{Resource, deployment, tool};

use super::template::{logical_id, prefix, seconds_of};
use super::unmade::UNMADE;

/// Most that the executable may weigh.
const EXECUTABLE_LIMIT: u64 = 12_000_000;
/// Most that is uploaded of it.
const ZIP_LIMIT: u64 = 5_000_000;

#[test]
fn every_template_file_is_valid_for_sam_cfn_lint_and_checkov() {
    let run = tool("validate");
    let (told, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "infra/tools validate: {}\n{told}\n{complained}", run.status);
}

#[test]
fn what_the_templates_promise_is_created_but_for_the_types_that_the_emulator_skips() {
    let stack = deployment();
    let created: BTreeSet<&Resource> = stack.resources.iter().collect();
    let promised: BTreeSet<&Resource> = stack.promised.iter().collect();
    assert_eq!(created.len(), stack.resources.len(), "a resource is told of twice");
    assert!(promised.len() > 4 * all_services().count(), "{}", promised.len());
    let surplus: Vec<_> = created.difference(&promised).collect();
    assert!(surplus.is_empty(), "created, though no template promises it: {surplus:#?}");
    let skipped: Vec<&Resource> = promised.difference(&created).copied().collect();
    let unexpected: Vec<_> =
        skipped.iter().filter(|one| !UNMADE.iter().any(|(kind, _)| *kind == one.kind)).collect();
    assert!(unexpected.is_empty(), "promised and not created: {unexpected:#?}");
    for (kind, reason) in UNMADE {
        let made: Vec<_> = created.iter().filter(|one| one.kind == *kind).collect();
        assert!(
            made.is_empty(),
            "the emulator creates {kind} now ({reason}): take it from the table: {made:#?}"
        );
        assert!(skipped.iter().any(|one| one.kind == *kind), "no template promises {kind} any more");
    }
}

#[test]
fn a_function_is_created_for_each_service_with_its_handler_its_variables_and_its_tags() {
    let stack = deployment();
    let expected: BTreeSet<String> =
        all_services().map(|service| logical_id(service.function, "Function")).collect();
    let created: BTreeSet<String> = stack.functions.keys().cloned().collect();
    assert_eq!(created, expected);
    for service in all_services() {
        let function = &stack.functions[&logical_id(service.function, "Function")];
        assert_eq!(function.handler, service.function);
        assert_eq!(function.name, format!("{}-{}", stack.stack, service.function));
        assert!(function.name.len() <= 64, "{} is longer than Lambda allows", function.name);
        let settings = (function.runtime.as_str(), function.memory, function.timeout);
        assert_eq!(settings, ("provided.al2023", 512, seconds_of(service)), "{}", function.name);
        assert_eq!(function.architectures, ["x86_64"], "{}", function.name);
        let secret = stack.secrets.get(&format!("{}Secret", prefix(service.input)));
        let secret = secret.unwrap_or(&stack.secrets["InputSecret"]);
        let variable = |name: &str| function.environment.get(name).map(String::as_str);
        assert_eq!(variable("COLLECTOR_SECRET_ID"), Some(secret.as_str()), "{}", function.name);
        assert_eq!(variable("DEVO_SECRET_ID"), Some(stack.secrets["DevoSecret"].as_str()));
        assert_eq!(variable("COLLECTOR_NAME"), Some(stack.stack.as_str()));
        assert_eq!(variable("RUST_LOG"), Some("info"));
        assert!(variable("STATE_TABLE").is_some_and(|table| table.starts_with(&stack.stack)));
        assert_eq!(function.environment.len(), 5, "{:?}", function.environment.keys());
        let tag = |name: &str| function.tags.get(name).map(String::as_str);
        assert_eq!((tag("service"), tag("input")), (Some(service.function), Some(service.input)));
    }
    let roles: BTreeSet<&String> = stack.functions.values().map(|function| &function.role).collect();
    assert_eq!(roles.len(), stack.functions.len(), "each function has a role of its own");
}

#[test]
fn the_artefact_is_small_and_uploaded_once_for_all_functions() {
    let stack = deployment();
    let artefact = &stack.artefact;
    println!("the artefact: {} bytes, {} zipped", artefact.executable_bytes, artefact.zip_bytes);
    assert!(artefact.executable_bytes <= EXECUTABLE_LIMIT, "{} bytes", artefact.executable_bytes);
    assert!(artefact.zip_bytes <= ZIP_LIMIT, "{} bytes zipped", artefact.zip_bytes);
    let digests: BTreeSet<&String> = stack.functions.values().map(|function| &function.code_sha256).collect();
    assert_eq!(digests.len(), 1, "all functions run the same: {digests:?}");
    // Everything else that is uploaded is a template, far smaller than the artefact.
    let mut uploads: BTreeMap<bool, Vec<String>> = BTreeMap::new();
    for upload in &stack.uploads {
        let is_artefact = upload.bytes == artefact.zip_bytes;
        assert!(is_artefact || upload.bytes < artefact.zip_bytes / 4, "what is {upload:?}?");
        uploads.entry(is_artefact).or_default().push(upload.key.clone());
    }
    assert_eq!(uploads[&true].len(), 1, "the artefact was uploaded as {:?}", uploads[&true]);
    let digest: Vec<u8> = artefact
        .sha256
        .as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(digests, BTreeSet::from([&STANDARD.encode(digest)]), "they run what was uploaded");
    assert_eq!(artefact.executable_bytes, fs::metadata(bootstrap()).unwrap().len(), "and the tests start it");
}
