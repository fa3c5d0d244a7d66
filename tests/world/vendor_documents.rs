//! The vendor's sample documents, from the page that stands beside the samples: filled in, never copied.
//!
//! The page has one document for version 1.7.1 and one for 2.0.0, each with `<…_value>` where an operator writes. They are
//! found by their titles, filled in for a world, and given to the artefact as the text that they are.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;
use regex::{Captures, Regex};

use super::{World, ago};

/// Which sample, and which of its settings that exclude one another are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// For 2.0.0.
    Version2,
    /// For 1.7.1, with a start and a reset.
    Version1WithStart,
    /// For 1.7.1, with a start in days.
    Version1WithDays,
}

impl Sample {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Version2, Self::Version1WithStart, Self::Version1WithDays];

    /// Words of the line above the document.
    fn title(self) -> &'static str {
        match self {
            Self::Version2 => "2.0.0 Configuration (inputs)",
            Self::Version1WithStart | Self::Version1WithDays => "1.7.1 Configuration (inputs)",
        }
    }

    /// Settings that do not go together with the others: an operator deletes their lines.
    fn left_out(self) -> &'static [&'static str] {
        match self {
            Self::Version2 => &[],
            Self::Version1WithStart => &["override_time_delta_in_days"],
            Self::Version1WithDays => &["start_time", "reset_persistence_auth"],
        }
    }
}

/// The vendor's page, if the machine has it beside the samples.
pub fn page(samples: &Path) -> Option<String> {
    let folder = fs::read_dir(samples.parent()?.join("seeds")).ok()?;
    let mut paths: Vec<_> = folder.filter_map(|file| Some(file.ok()?.path())).collect();
    paths.sort();
    let is_page = |path: &&std::path::PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("000_"))
    };
    fs::read_to_string(paths.iter().find(is_page)?).ok()
}

/// The sample as YAML, its placeholders filled in for this world.
pub fn filled(page: &str, sample: Sample, world: &World) -> String {
    let placeholder = Regex::new("<([a-z_0-9]+)>").unwrap();
    let mut service = String::new();
    let lines = document(page, sample.title()).map(|line| {
        let (indent, key) = (line.len() - line.trim_start().len(), line.trim().trim_end_matches(':'));
        if indent == SERVICE_INDENT {
            key.clone_into(&mut service);
        }
        let is_left_out = sample.left_out().iter().any(|name| key.starts_with(&format!("{name}:")));
        let fill = |found: &Captures<'_>| value(&found[1], &service, world);
        (!is_left_out).then(|| placeholder.replace_all(line, fill).into_owned())
    });
    lines.flatten().collect::<Vec<_>>().join("\n")
}

/// How far the name of a service is indented in the samples.
const SERVICE_INDENT: usize = 6;

/// The lines of the document below this title.
fn document<'a>(page: &'a str, title: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = page.lines().skip_while(move |line| !line.contains(title));
    let mut lines = lines.skip_while(|line| line.trim_end() != "inputs:").peekable();
    assert!(lines.peek().is_some(), "the page has no document under {title:?}");
    lines.enumerate().take_while(|(index, line)| *index == 0 || line.starts_with(' ')).map(|(_, line)| line)
}

fn value(name: &str, service: &str, world: &World) -> String {
    let (config, url) = (world.tenant.config(), world.tenant.base_url());
    let application = &config.applications[0];
    let start = ago(SignedDuration::from_hours(30));
    match name {
        "short_unique_id" => world.id.clone(),
        "tenant_id_value" => config.tenant_id.clone(),
        "client_id_value" => application.client_id.clone(),
        "client_secret_value" => application.secrets[0].value.clone(),
        "environment_value" => world.id.clone(),
        "override_top_level_domain_value" => "com".to_owned(),
        "override_base_url_value" | "override_base_url_main_value" | "override_login_url_value" => url,
        // Other hosts than those that are asked: nobody listens there.
        "override_base_url_vendor_value" | "override_base_url_vendor_with_sub_provider_value" => {
            "https://vendor.invalid/api".to_owned()
        }
        "override_scope_value" | "override_scope_value_value" => config.scope.clone(),
        "request_period_in_seconds_value" => "600".to_owned(),
        // As the vendor's page writes a time.
        "start_time_in_utc_value" | "start_time_value" => start.strftime("%Y-%m-%dT%H-%M-%SZ").to_string(),
        "additional_filter_value" => additional_filter(service).to_owned(),
        "override_tag_value" => format!("my.app.{}.test", service.to_lowercase()),
        "override_query_window_max_seconds_value" => "86400".to_owned(),
        "reset_persistence_auth_value" => "2026-11-01".to_owned(),
        "override_time_delta_in_days_value" => "2".to_owned(),
        "ms_365_environment_value" => "gcc_high_gov".to_owned(),
        "pull_sliding_window_timespan_period_value" => "60".to_owned(),
        other => panic!("the vendor's page has a placeholder <{other}>: say what is to be filled in"),
    }
}

/// A filter that the service's API takes and all made-up records pass.
fn additional_filter(service: &str) -> &'static str {
    match service {
        "directory_audits" => "category ne 'Nothing'",
        "provisioning_audits" => "durationInMilliseconds gt -1",
        "signIns" | "signIns_v2" => "appId ne 'nothing'",
        "alerts" | "alerts_v2" => "severity ne 'nothing'",
        "secure_scores" | "secure_score_control_profiles" => "vendorInformation/provider eq 'SecureScore'",
        other => panic!("the vendor's page has a service {other}: say how it is filtered"),
    }
}
