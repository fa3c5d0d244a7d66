//! The rules of the house that a compiler does not check: who may depend on whom, how long a file may be, and that the
//! pages of the operator say what the code says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::world::artefacts::workspace;
use crate::world::{all_services, contract};

const MOST_LINES: usize = 500;
/// Shorter parts of a warning stand in too many texts.
const LEAST_TELLING: usize = 6;

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(workspace().join("Cargo.toml"));
    // What is built is here already.
    command.other_options(["--offline".to_owned()]);
    command.exec().unwrap()
}

/// Names of the workspace's crates that a crate depends on itself, those of its tests aside.
fn house_dependencies(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let house: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|member| member.name.to_string()).collect();
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).filter(|name| house.contains(name)).collect()
}

/// Names of everything that a crate is built with, those of its tests aside.
fn built_with(metadata: &Metadata, package: &Package) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let names: BTreeMap<&PackageId, String> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![&package.id];
    let mut seen = BTreeSet::from([&package.id]);
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let is_built_in = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if is_built_in && seen.insert(&dependency.pkg) {
                found.insert(names[&dependency.pkg].clone());
                open.push(&dependency.pkg);
            }
        }
    }
    found
}

fn member<'a>(metadata: &'a Metadata, name: &str) -> &'a Package {
    let members = metadata.workspace_packages();
    members
        .into_iter()
        .find(|package| package.name == name)
        .unwrap_or_else(|| panic!("there is no crate {name}"))
}

/// The folder of a member below the workspace, for example `shared/devo`.
fn folder(metadata: &Metadata, package: &Package) -> String {
    let folder = package.manifest_path.parent().unwrap();
    folder.strip_prefix(&metadata.workspace_root).unwrap().to_string()
}

#[test]
fn dependencies_point_downwards_only() {
    let metadata = metadata();
    // What each crate of shared/ may see of the house; a crate that is not here has to be thought about.
    let shared: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("collector", &[] as &[&str]),
        ("microsoft", &["collector"]),
        ("devo", &["collector"]),
        ("aws-host", &["collector", "devo", "microsoft"]),
        ("local-host", &["collector", "devo", "microsoft"]),
        ("testing", &["collector"]),
    ]);
    for package in metadata.workspace_packages() {
        let found = house_dependencies(&metadata, package);
        let place = folder(&metadata, package);
        if place.starts_with("shared/") {
            let allowed = shared.get(package.name.as_str());
            let allowed = allowed.unwrap_or_else(|| panic!("{} is in no rule", package.name));
            let allowed: BTreeSet<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
            assert!(found.is_subset(&allowed), "{} sees {found:?}", package.name);
        }
        let is_family =
            place.starts_with("functions/") && !["functions/lambda", "functions/local"].contains(&&*place);
        if is_family {
            let all: BTreeSet<&str> = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind == DependencyKind::Normal)
                .map(|dependency| dependency.name.as_str())
                .collect();
            assert!(all.is_subset(&BTreeSet::from(["collector", "jiff"])), "{} sees {all:?}", package.name);
        }
    }
    assert!(!house_dependencies(&metadata, member(&metadata, "lambda")).contains("local-host"));
    assert!(!house_dependencies(&metadata, member(&metadata, "local")).contains("aws-host"));
    let simulator = house_dependencies(&metadata, member(&metadata, "simulator"));
    assert!(simulator.is_empty(), "the simulated parties share no code with the collector: {simulator:?}");
}

#[test]
fn every_family_is_in_both_executables_and_all_of_its_services_are_under_test() {
    let metadata = metadata();
    let is_family = |package: &&&Package| {
        let place = folder(&metadata, package);
        place.starts_with("functions/") && !["functions/lambda", "functions/local"].contains(&&*place)
    };
    let members = metadata.workspace_packages();
    let families: BTreeSet<String> =
        members.iter().filter(is_family).map(|package| package.name.to_string()).collect();
    assert!(families.contains("office365") && families.contains("graph"), "{families:?}");
    for executable in ["lambda", "local"] {
        let found = house_dependencies(&metadata, member(&metadata, executable));
        assert!(families.is_subset(&found), "{executable} lacks one of {families:?}: {found:?}");
    }
    let declared: BTreeSet<&str> = all_services().map(|service| service.function).collect();
    assert_eq!(declared.len(), all_services().count(), "a function is declared twice");
    for function in declared {
        assert_eq!(contract::promise(function).function, function);
    }
}

#[test]
fn each_crate_is_built_without_what_is_not_its_business() {
    let metadata = metadata();
    let network =
        ["tokio", "reqwest", "hyper", "rustls", "aws-lc-rs", "aws-config", "lambda_runtime", "rusqlite"];
    let aws =
        ["aws-config", "aws-sdk-dynamodb", "aws-sdk-secretsmanager", "lambda_runtime", "aws-smithy-runtime"];
    let never = ["openssl-sys", "native-tls", "chrono", "serde_yaml"];
    let rules: [(&str, &[&str]); 8] = [
        ("collector", &network),
        ("graph", &network),
        ("office365", &network),
        ("endpoint", &network),
        ("cloud-apps", &network),
        ("local", &aws),
        ("lambda", &["rusqlite", "libsqlite3-sys", "clap", "simulator", "local-host"]),
        ("microsoft", &["aws-config", "rusqlite", "lambda_runtime"]),
    ];
    for (name, banned) in rules {
        let found = built_with(&metadata, member(&metadata, name));
        assert!(!found.is_empty(), "{name} is built with something");
        for other in banned.iter().chain(&never) {
            assert!(!found.contains(*other), "{name} is built with {other}");
        }
    }
}

/// All source files of the workspace, below its members' folders.
fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> = ["functions", "shared", "tests"].map(|name| workspace().join(name)).into();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().display().to_string()
}

#[test]
fn no_source_file_is_longer_than_500_lines_and_each_says_what_it_is() {
    let files = source_files();
    assert!(files.len() > 100);
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            problems.push(format!("{} has {lines} lines", shown(&file)));
        }
        if !text.starts_with("//!") {
            problems.push(format!("{} does not say what it is", shown(&file)));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_error_code_has_a_heading_of_its_own_in_the_page_of_errors() {
    let source = fs::read_to_string(workspace().join("shared/collector/src/error.rs")).unwrap();
    let codes: Vec<&str> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub const ")?.split_once(": u16 = "))
        .map(|(_, value)| value.trim_end_matches(';'))
        .collect();
    assert!(codes.len() >= 10, "{codes:?}");
    let page = fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
    for code in codes {
        let beginning = format!("## {code} ");
        let count = headings.iter().filter(|heading| heading.starts_with(&beginning)).count();
        assert_eq!(count, 1, "docs/errors.md has {count} headings `{beginning}…`");
    }
}

/// The rows of the table with this head on this page; an empty first cell stands for the one above it.
fn table(page: &str, head: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(workspace().join(page)).unwrap();
    let lines = text.lines().skip_while(|line| *line != head).skip(2);
    let mut rows: Vec<Vec<String>> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert!(!rows.is_empty(), "{page} has no table {head}");
    for index in 1..rows.len() {
        if rows[index][0].is_empty() {
            rows[index][0] = rows[index - 1][0].clone();
        }
    }
    rows
}

#[test]
fn the_page_of_endpoint_names_every_switch_with_its_member_and_permission_and_every_host() {
    let switches: Vec<[String; 4]> = endpoint::DEFENDER
        .services
        .iter()
        .flat_map(|service| service.enrichments.iter().map(move |one| (service.name, one)))
        .map(|(name, one)| {
            let code = |word: &str| format!("`{word}`");
            [name.to_owned(), code(one.switch.name), code(one.member), one.permission.to_owned()]
        })
        .collect();
    let written = table("docs/endpoint.md", "| service | switch | member | permission |");
    assert_eq!(written, switches);
    let hosts = endpoint::DEFENDER.clouds.iter();
    let hosts: Vec<[&str; 2]> =
        hosts.map(|cloud| [cloud.base_url, cloud.login_url.trim_start_matches("https://")]).collect();
    let rows = table("docs/endpoint.md", "| host | for | login |");
    let written: Vec<[&str; 2]> = rows.iter().map(|row| [row[0].as_str(), row[2].as_str()]).collect();
    assert_eq!(written, hosts);
}

#[test]
fn the_readmes_table_of_services_is_what_is_declared() {
    let rows = table("README.md", "| input | service | function | Devo tag | permission |");
    let declared: Vec<[&str; 4]> = all_services()
        .map(|service| [service.input, service.name, service.function, service.permission])
        .collect();
    let written: Vec<[&str; 4]> =
        rows.iter().map(|row| [row[0].as_str(), row[1].as_str(), row[2].as_str(), row[4].as_str()]).collect();
    assert_eq!(written, declared);
    for row in &rows {
        let promised = contract::promise(&row[2]).written_tag();
        assert!(row[3].contains(promised), "{}: {} instead of {promised}", row[2], row[3]);
    }
}

#[test]
fn the_warnings_that_the_page_of_errors_explains_are_given_by_the_code() {
    let page = fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    let quoted: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("*`")?.split_once("`.*"))
        .map(|(words, _)| words)
        .collect();
    assert!(quoted.len() >= 4, "{quoted:?}");
    let mut sources = String::new();
    for file in source_files().into_iter().filter(|path| shown(path).starts_with("shared/")) {
        // A text may go on behind the end of a line.
        let text = fs::read_to_string(file).unwrap();
        text.split("\\\n").for_each(|part| sources.push_str(part.trim_start()));
    }
    for words in quoted {
        for part in words.split('…').map(str::trim).filter(|part| part.len() > LEAST_TELLING) {
            assert!(sources.contains(part), "docs/errors.md explains `{part}`, which nobody says");
        }
    }
}
