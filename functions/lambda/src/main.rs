//! The one executable of all Lambda functions: plays the service that the function's Handler names.

use std::process::ExitCode;

fn main() -> ExitCode {
    aws_host::run(&[
        &graph::AUDIT,
        &graph::SECURITY,
        &office365::MANAGEMENT,
        &endpoint::DEFENDER,
        &cloud_apps::CLOUD_APPS,
    ])
}
