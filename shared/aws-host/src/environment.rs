//! The environment of the process, read once into a typed value.
//!
//! Variables are asked for through a function, so that a test passes a map. All problems are reported together, each
//! with the variable and the remedy; an empty variable counts as absent. Nothing else in this crate reads a variable,
//! the AWS SDK's own (`AWS_*`) aside.

use collector::error::{Error, ErrorType, code};
use collector::service::{Family, Service};
use collector::story::Identity;

/// Asks for a variable by its name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What the process was started with.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The service that `_HANDLER` names.
    pub service: &'static Service,
    /// The secret that holds the configuration document: a name or an ARN.
    pub collector_secret_id: String,
    /// The secret that holds Devo's address and certificates: a name or an ARN.
    pub devo_secret_id: String,
    /// Name of the DynamoDB table.
    pub state_table: String,
    /// Who tells the collector's own story.
    pub identity: Identity,
}

/// Reads all variables. The one error names every problem, one a line.
pub fn read(lookup: Lookup<'_>, families: &[&'static Family]) -> Result<Environment, Error> {
    let mut reader = Reader { lookup, problems: Vec::new() };
    reader.check_runtime();
    let service = reader.service(families);
    let collector_secret_id = reader.required(
        "COLLECTOR_SECRET_ID",
        "set it to the name or ARN of the secret that holds the configuration document",
    );
    let devo_secret_id = reader.required(
        "DEVO_SECRET_ID",
        "set it to the name or ARN of the secret that holds Devo's address and certificates",
    );
    let state_table =
        reader.required("STATE_TABLE", "set it to the name of the DynamoDB table of this collector");
    let job_id = reader.optional("COLLECTOR_JOB_ID");
    let collector_name =
        reader.optional("COLLECTOR_NAME").or_else(|| reader.optional("AWS_LAMBDA_FUNCTION_NAME"));
    match service {
        Some(service) if reader.problems.is_empty() => Ok(Environment {
            service,
            collector_secret_id,
            devo_secret_id,
            state_table,
            identity: Identity {
                collector_name: collector_name.unwrap_or_else(|| service.function.to_owned()),
                collector_version: env!("CARGO_PKG_VERSION").to_owned(),
                job_id,
            },
        }),
        _ => Err(Error::new(ErrorType::InitVariablesError, code::SETTINGS, reader.problems.join("\n"))),
    }
}

/// The log filter; needed before everything else, so it is read by itself and cannot fail.
pub fn log_filter(lookup: Lookup<'_>) -> Option<String> {
    lookup("RUST_LOG").filter(|filter| !filter.trim().is_empty())
}

/// Where the runtime API listens, `host:port`, when Lambda started the process.
pub fn runtime_api(lookup: Lookup<'_>) -> Option<String> {
    lookup("AWS_LAMBDA_RUNTIME_API").filter(|address| !address.is_empty())
}

struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str, remedy: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set: {remedy}"));
            String::new()
        })
    }

    /// The Lambda runtime ends the process without a word when one of these is missing.
    fn check_runtime(&mut self) {
        const REMEDY: &str = "Lambda sets it, this program is not started by hand";
        for name in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"] {
            self.required(name, REMEDY);
        }
        let memory = self.required("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", REMEDY);
        if !memory.is_empty() && memory.parse::<i32>().is_err() {
            self.problems.push(format!("AWS_LAMBDA_FUNCTION_MEMORY_SIZE is `{memory}`, no number: {REMEDY}"));
        }
    }

    fn service(&mut self, families: &[&'static Family]) -> Option<&'static Service> {
        let services = || families.iter().flat_map(|family| family.services.iter().copied());
        let known: Vec<&str> = services().map(|service| service.function).collect();
        let Some(handler) = self.optional("_HANDLER") else {
            self.problems.push(format!(
                "_HANDLER is not set: set the function's Handler to one of {}",
                known.join(", ")
            ));
            return None;
        };
        let found = services().find(|service| service.function == handler);
        if found.is_none() {
            self.problems.push(format!(
                "_HANDLER `{handler}` is not known: set the function's Handler to one of {}",
                known.join(", ")
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixtures::FAMILY;

    /// A complete environment, laid over with these variables; `None` takes one away.
    fn variables(changes: &[(&'static str, Option<&'static str>)]) -> BTreeMap<&'static str, &'static str> {
        let mut all = BTreeMap::from([
            ("_HANDLER", "graph-directory-audits"),
            ("COLLECTOR_SECRET_ID", "collector/config"),
            ("DEVO_SECRET_ID", "collector/devo"),
            ("STATE_TABLE", "state"),
            ("AWS_LAMBDA_FUNCTION_NAME", "stack-GraphDirectoryAuditsFunction-1"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(name),
            };
        }
        all
    }

    fn read_these(changes: &[(&'static str, Option<&'static str>)]) -> Result<Environment, Error> {
        let all = variables(changes);
        read(&|name| all.get(name).map(|value| (*value).to_owned()), &[&FAMILY])
    }

    #[test]
    fn a_complete_environment_is_read() {
        let environment = read_these(&[("COLLECTOR_JOB_ID", Some("7"))]).unwrap();
        assert_eq!(environment.service.function, "graph-directory-audits");
        assert_eq!(environment.collector_secret_id, "collector/config");
        assert_eq!(environment.devo_secret_id, "collector/devo");
        assert_eq!(environment.state_table, "state");
        assert_eq!(environment.identity.job_id.as_deref(), Some("7"));
        assert_eq!(environment.identity.collector_version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn the_collector_is_called_as_told_or_as_the_function() {
        let name = |changes: &[_]| read_these(changes).unwrap().identity.collector_name;
        assert_eq!(name(&[("COLLECTOR_NAME", Some("stack"))]), "stack");
        assert_eq!(name(&[]), "stack-GraphDirectoryAuditsFunction-1");
        assert_eq!(name(&[("COLLECTOR_NAME", Some(" "))]), "stack-GraphDirectoryAuditsFunction-1");
    }

    #[test]
    fn each_variable_that_is_missing_or_wrong_is_named_with_its_remedy() {
        let cases = [
            ("_HANDLER", None, "set the function's Handler to one of graph-directory-audits, graph-sign-ins"),
            ("_HANDLER", Some("graph-audits"), "`graph-audits` is not known"),
            ("_HANDLER", Some("graph-audits"), "one of graph-directory-audits, graph-sign-ins"),
            ("COLLECTOR_SECRET_ID", None, "configuration document"),
            ("COLLECTOR_SECRET_ID", Some(""), "configuration document"),
            ("DEVO_SECRET_ID", None, "Devo's address"),
            ("STATE_TABLE", None, "DynamoDB table"),
            ("AWS_LAMBDA_FUNCTION_NAME", None, "not started by hand"),
            ("AWS_LAMBDA_FUNCTION_VERSION", None, "not started by hand"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", None, "not started by hand"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", Some("much"), "`much`, no number"),
            ("AWS_LAMBDA_RUNTIME_API", None, "not started by hand"),
        ];
        for (name, value, remedy) in cases {
            let error = read_these(&[(name, value)]).unwrap_err();
            assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
            assert!(error.message.starts_with(name) && error.message.contains(remedy), "{}", error.message);
            assert_eq!(error.message.lines().count(), 1, "{}", error.message);
        }
    }

    #[test]
    fn all_problems_are_reported_together() {
        let error = read(&|_| None, &[&FAMILY]).unwrap_err();
        assert_eq!(error.message.lines().count(), 8, "{}", error.message);
    }

    #[test]
    fn an_absent_log_filter_is_left_to_the_default() {
        assert_eq!(log_filter(&|_| None), None);
        assert_eq!(log_filter(&|_| Some(" ".to_owned())), None);
        assert_eq!(log_filter(&|_| Some("debug".to_owned())).as_deref(), Some("debug"));
    }
}
