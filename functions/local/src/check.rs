//! `collector check`: one line a finding.

use collector::service::Family;
use local_host::check::{Finding, Verdict};
use local_host::{config, log, runner};

use crate::cli::CheckArgs;
use crate::locate;
use crate::outcome::{Ending, Mark, fail};

/// Validates everything, then tries it.
pub async fn check(arguments: &CheckArgs, families: &[&'static Family]) -> Ending {
    log::start("error");
    let path = locate(&arguments.config);
    let resolved = config::load(&path).and_then(|configuration| {
        let services = runner::validate(&configuration, families)?;
        Ok((configuration, services))
    });
    let (configuration, services) = match resolved {
        Ok(resolved) => resolved,
        Err(error) => return fail(&error),
    };
    let mut ending = Ending::Good;
    let mut tell = |finding: Finding| {
        let mark = match finding.verdict {
            Verdict::Good => Mark::Good,
            Verdict::Warning => Mark::Warning,
            Verdict::Problem => {
                ending = Ending::Problems;
                Mark::Problem
            }
        };
        anstream::println!("{} {}: {}", mark.word(), finding.subject, finding.text);
    };
    let valid = format!("valid, services enabled: {}", services.enabled.len());
    tell(Finding { subject: path.display().to_string(), verdict: Verdict::Good, text: valid });
    for text in services.warnings {
        tell(Finding { subject: path.display().to_string(), verdict: Verdict::Warning, text });
    }
    local_host::check::check(&configuration, &services.enabled, tell).await;
    ending
}
