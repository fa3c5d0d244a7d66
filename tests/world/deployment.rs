//! The deployment in an emulated AWS: what `sam build`, `sam package` and CloudFormation make of the templates.
//!
//! `infra/tools emulate` packages, translates and creates, says in one line of JSON what came of it, and goes on serving
//! the emulated AWS until its standard input ends, which is when this test binary ends. It is started once, by the first
//! test that needs it, with the artefact that all tests start; when it fails, every such test fails with what it wrote.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value;

use super::artefacts::{bootstrap, workspace};
use super::recorder_calls::Account;

/// What was created, and what it was created from.
#[derive(Debug, Deserialize)]
pub struct Deployment {
    /// Where the emulated AWS listens, `http://127.0.0.1:port`.
    pub endpoint: String,
    /// Region of everything.
    pub region: String,
    /// Account of everything.
    pub account: String,
    /// Name of the root stack.
    pub stack: String,
    /// ARNs of the secrets that were given, by parameter.
    pub secrets: BTreeMap<String, String>,
    /// The functions, by logical id.
    pub functions: BTreeMap<String, Function>,
    /// What the emulator created, over all stacks.
    pub resources: Vec<Resource>,
    /// What the translated templates promise, over all stacks.
    pub promised: Vec<Resource>,
    /// The translated templates, by their files.
    pub translated: BTreeMap<String, Value>,
    /// What was uploaded.
    pub uploads: Vec<Upload>,
    /// The artefact.
    pub artefact: Artefact,
}

/// A created function.
#[derive(Debug, Deserialize)]
pub struct Function {
    /// Its deployed name.
    pub name: String,
    /// Its Handler.
    pub handler: String,
    /// Its Runtime.
    pub runtime: String,
    /// Megabytes.
    pub memory: u64,
    /// Seconds.
    pub timeout: u64,
    /// Its processors.
    pub architectures: Vec<String>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// What it runs.
    pub code_sha256: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Name or ARN of its role.
    pub role: String,
    /// All policy documents of its role.
    pub policies: Vec<Value>,
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Resource {
    /// The stack that has it.
    pub stack: String,
    /// Its name in the template.
    pub logical_id: String,
    /// For example `AWS::Lambda::Function`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An object that was uploaded.
#[derive(Debug, Deserialize)]
pub struct Upload {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
}

/// The artefact's figures.
#[derive(Debug, Deserialize)]
pub struct Artefact {
    /// Size of what is uploaded.
    pub zip_bytes: u64,
    /// Size of the executable.
    pub executable_bytes: u64,
    /// Digest of what is uploaded.
    pub sha256: String,
}

impl Deployment {
    /// The emulated AWS as a socket.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Whose resources they are.
    pub fn owner(&self) -> Account {
        Account { region: self.region.clone(), number: self.account.clone() }
    }

    /// A translated template.
    pub fn template(&self, file: &str) -> &Value {
        self.translated.get(file).unwrap_or_else(|| panic!("{file} was not translated"))
    }

    /// The resources of this type in all translated templates: file, logical id and the resource.
    pub fn of_type(&self, kind: &str) -> Vec<(&str, &str, &Value)> {
        let resources = self.translated.iter().flat_map(|(file, template)| {
            let resources = template["Resources"].as_object().into_iter().flatten();
            resources.map(move |(id, resource)| (file.as_str(), id.as_str(), resource))
        });
        resources.filter(|(_, _, resource)| resource["Type"] == kind).collect()
    }
}

/// The deployment of this working tree.
pub fn deployment() -> &'static Deployment {
    static DEPLOYED: OnceLock<Result<(Deployment, Child), String>> = OnceLock::new();
    match DEPLOYED.get_or_init(deploy) {
        Ok((deployment, _)) => deployment,
        Err(problem) => panic!("{problem}"),
    }
}

/// Runs a command of the tool to its end.
pub fn tool(command: &str) -> Output {
    let mut process = Command::new("python3");
    process.args(["infra/tools", command]).current_dir(workspace()).stdin(Stdio::null());
    process.output().unwrap()
}

fn deploy() -> Result<(Deployment, Child), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let log = folder.path().join("emulate.log");
    let mut command = Command::new("python3");
    command
        .args(["infra/tools", "emulate", "--bootstrap"])
        .arg(bootstrap())
        .current_dir(workspace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).map_err(|error| error.to_string())?);
    let mut child = command.spawn().map_err(|error| format!("python3 cannot be run: {error}"))?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
    let told = serde_json::from_str(&line);
    told.map(|deployment| (deployment, child)).map_err(|error| {
        let written = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = written.lines().rev().take(40).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("infra/tools emulate did not say what it created ({error}): {line}\n{}", last.join("\n"))
    })
}
