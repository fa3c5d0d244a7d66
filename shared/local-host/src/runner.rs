//! One service of this process: its settings, its connections, and what it keeps from one invocation to the next.
//!
//! [`prepare`] reads a configuration's services and reports all problems of all of them together, before anything
//! runs. A [`ServiceRunner`] then plays invocations: each has a new request id and a deadline a minute ahead, so that
//! the lease of a process that was killed is free again soon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use collector::error::{Error, ErrorType, code};
use collector::event::Request;
use collector::outlook::Certificate;
use collector::ports::Clock;
use collector::report::Report;
use collector::run::{Invocation, Outcome, Ports, Warm, invoke};
use collector::service::Family;
use collector::settings::Settings;
use collector::settings::document::{Resolved, check_all};
use collector::story::{Identity, Level};
use jiff::{SignedDuration, Timestamp};
use microsoft::{Microsoft, check_credentials};

use crate::config::Configuration;
use crate::outputs::Outputs;
use crate::schedule::Turn;
use crate::stop::{Purpose, Stop, Stoppable};
use crate::store::FileStore;

/// Time of one invocation. Long work is several of them: a killed process keeps its services locked no longer.
const INVOCATION: SignedDuration = SignedDuration::from_secs(60);

/// The service that retries failed content passes over a feed that is at work. With the same period and the same start it
/// would find all of them at work each time: it follows them by this.
const FEEDS_FIRST: Duration = Duration::from_secs(30);

/// How `collector::settings` begins a remark about an input that no family knows.
const UNKNOWN_INPUT: &str = "another input: ";

/// What the services of one process share.
#[derive(Debug, Clone)]
pub struct Host {
    /// The state file.
    pub state: FileStore,
    /// Tells running invocations to end.
    pub stop: Stop,
    /// Who tells the story to Devo.
    pub identity: Identity,
}

/// The enabled services of a configuration and what the operator should know about it.
#[derive(Debug)]
pub struct Services {
    /// In the order of the families.
    pub enabled: Vec<Settings>,
    /// Each remark once.
    pub warnings: Vec<String>,
}

/// Resolves the settings of all services.
///
/// # Errors
/// InitVariablesError that names every problem of the configuration and its services, each once, one a line.
pub fn resolve(configuration: &Configuration, families: &[&'static Family]) -> Result<Services, Error> {
    let mut problems = Problems::default();
    let services = resolve_into(configuration, families, &mut problems);
    problems.into_result(services)
}

/// As [`resolve`], and looks at what a run needs beside settings: outputs and credentials. Opens no connection.
///
/// # Errors
/// As for [`resolve`].
pub fn validate(configuration: &Configuration, families: &[&'static Family]) -> Result<Services, Error> {
    let mut problems = Problems::default();
    let services = resolve_into(configuration, families, &mut problems);
    let outputs =
        require_outputs(configuration).and_then(|()| Outputs::open(&configuration.outputs, "").map(drop));
    let credentials = services.enabled.iter().map(|settings| check_credentials(settings).map(drop));
    for looked_at in std::iter::once(outputs).chain(credentials) {
        match looked_at {
            Err(error) if error.error_type == ErrorType::InitVariablesError => problems.note_all(&error),
            // An expired certificate is no invalid setting; whoever uses it is told.
            Err(_) | Ok(()) => {}
        }
    }
    problems.into_result(services)
}

/// Makes the runners of all enabled services; each opens the configured outputs for itself.
///
/// # Errors
/// InitVariablesError that names every problem of settings, credentials and outputs; DeliveryError 601 when nothing
/// else is wrong than that a client certificate has expired.
pub fn prepare(
    configuration: &Configuration,
    families: &[&'static Family],
    host: &Host,
) -> Result<Vec<ServiceRunner>, Error> {
    let services = validate(configuration, families)?;
    for warning in &services.warnings {
        tracing::warn!("{warning}");
    }
    let mut problems = Problems::default();
    let mut runners = Vec::new();
    for settings in services.enabled {
        let outputs = Outputs::open(&configuration.outputs, settings.service.function);
        match outputs.and_then(|outputs| ServiceRunner::new(settings, outputs, host)) {
            Ok(runner) => runners.push(runner),
            Err(error) => problems.note_all(&error),
        }
    }
    problems.into_result(runners)
}

/// Looks whether the configuration says where events go.
///
/// # Errors
/// InitVariablesError 1 when it does not.
pub fn require_outputs(configuration: &Configuration) -> Result<(), Error> {
    // An output that is there but wrong has been named already.
    if configuration.outputs.is_empty() && configuration.problems.is_empty() {
        let message = "outputs: names no output; add one of type devo_platform, syslog or console";
        return Err(Error::new(ErrorType::InitVariablesError, code::SETTINGS, message));
    }
    Ok(())
}

fn resolve_into(
    configuration: &Configuration,
    families: &[&'static Family],
    problems: &mut Problems,
) -> Services {
    configuration.problems.iter().for_each(|problem| problems.note(problem));
    let mut enabled = Vec::new();
    let mut warnings = configuration.warnings.clone();
    for (_, resolved) in check_all(&configuration.document, families, Timestamp::now()) {
        match resolved {
            Ok(Resolved { settings, warnings: remarks }) => {
                for remark in remarks {
                    match remark.strip_prefix(UNKNOWN_INPUT) {
                        Some(unknown) => problems.note(unknown),
                        None if !warnings.contains(&remark) => warnings.push(remark),
                        None => {}
                    }
                }
                enabled.extend(settings.enabled.then_some(settings));
            }
            Err(error) => problems.note_all(&error),
        }
    }
    if enabled.is_empty() && problems.lines.is_empty() {
        problems.note("inputs: no service is enabled; add one, for example directory_audits");
    }
    Services { enabled, warnings }
}

/// Problems of several services, each once.
#[derive(Default)]
struct Problems {
    lines: Vec<String>,
    known: BTreeSet<String>,
    first: Option<Error>,
}

impl Problems {
    fn note(&mut self, line: &str) {
        if self.known.insert(line.to_owned()) {
            self.lines.push(line.to_owned());
        }
    }

    fn note_all(&mut self, error: &Error) {
        error.message.lines().for_each(|line| self.note(line));
        self.first.get_or_insert_with(|| error.clone());
    }

    /// The value, if there are no problems. One problem keeps its own type and number.
    fn into_result<T>(self, value: T) -> Result<T, Error> {
        match self.first {
            _ if self.lines.is_empty() => Ok(value),
            Some(only) if self.lines.len() == only.message.lines().count() => Err(only),
            _ => Err(Error::new(ErrorType::InitVariablesError, code::SETTINGS, self.lines.join("\n"))),
        }
    }
}

/// One service of this process.
pub struct ServiceRunner {
    settings: Settings,
    microsoft: Microsoft,
    outputs: Outputs,
    host: Host,
    purpose: Purpose,
    warm: Warm,
    /// Said with the first invocation.
    warnings: Vec<String>,
    certificates: Vec<Certificate>,
}

impl ServiceRunner {
    /// A runner of the service that `settings` belong to, sending to `outputs`. Opens no connection.
    ///
    /// # Errors
    /// InitVariablesError 1 that names a setting which cannot be used.
    pub fn new(settings: Settings, outputs: Outputs, host: &Host) -> Result<Self, Error> {
        let microsoft = Microsoft::new(&settings)?;
        let warnings = [microsoft.warnings(), &outputs.warnings()].concat();
        let for_login = microsoft::certificate(&settings.connection.credential);
        let certificates = for_login.into_iter().chain(outputs.certificates().iter().copied()).collect();
        Ok(Self {
            settings,
            microsoft,
            outputs,
            host: host.clone(),
            purpose: Purpose::Collect,
            warm: Warm::default(),
            warnings,
            certificates,
        })
    }

    /// The same runner, which changes nothing on the API's side from now on: it starts no subscription.
    pub fn only_looking(self) -> Self {
        Self { purpose: Purpose::Look, ..self }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Plays one invocation to its end, in a minute at the most; earlier once the process shall stop. `progress` is
    /// called with the counts so far.
    pub async fn invoke(&mut self, request: Request, progress: &(dyn Fn(&Report) + Send + Sync)) -> Outcome {
        let clock: Arc<dyn Clock> = Arc::new(Timestamp::now);
        let deadline = clock.now() + INVOCATION;
        let [request_id, nonce, fresh_hash_key] = random_words();
        let identity = self.host.identity.clone();
        let warnings = std::mem::take(&mut self.warnings);
        let invocation = Invocation {
            request_id,
            nonce,
            fresh_hash_key,
            deadline,
            request,
            identity,
            warnings,
            certificates: self.certificates.clone(),
        };
        let source = self.microsoft.source(Arc::clone(&clock));
        let mut source = Stoppable::new(source, self.host.stop.clone(), self.purpose);
        let ports = Ports {
            source: &mut source,
            sink: &mut self.outputs,
            state: &self.host.state,
            clock: &*clock,
            progress,
        };
        let outcome = invoke(&invocation, &self.settings, ports, &mut self.warm).await;
        log(self.settings.service.function, &outcome);
        outcome
    }
}

impl Turn for ServiceRunner {
    fn period(&self) -> Duration {
        self.settings.request_period.unsigned_abs()
    }

    fn head_start_of_others(&self) -> Duration {
        if self.settings.service.query.has_no_listing() { FEEDS_FIRST } else { Duration::ZERO }
    }

    async fn play(&mut self) -> Outcome {
        self.invoke(Request::default(), &|_| {}).await
    }
}

/// Request id, nonce and hash key: 128 random bits each, as 32 hexadecimal digits.
fn random_words() -> [String; 3] {
    std::array::from_fn(|_| {
        let mut bits = [0; 16];
        if getrandom::fill(&mut bits).is_err() {
            tracing::warn!("the system gives no random numbers; the process's own are used");
            return format!("{:032x}", fallback_bits());
        }
        format!("{:032x}", u128::from_ne_bytes(bits))
    })
}

/// The standard library seeds its hash maps once a process and varies the seed with each use.
fn fallback_bits() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let half = || u128::from(RandomState::new().hash_one(Timestamp::now().as_nanosecond()));
    (half() << 64) | half()
}

/// The process's own log of an invocation: what Devo is told of it, the failure with its number.
fn log(service: &str, outcome: &Outcome) {
    for line in &outcome.story {
        match (line.level, &outcome.failure) {
            (Level::Info, _) => tracing::info!(service, "{}", line.message),
            (Level::Warning, _) => tracing::warn!(service, "{}", line.message),
            (Level::Error, Some(failure)) => {
                let error_type = failure.error_type.as_str();
                tracing::error!(service, error_type, code = failure.code, "{}", line.message);
            }
            (Level::Error, None) => tracing::error!(service, "{}", line.message),
        }
    }
    tracing::debug!(service, report = ?outcome.report, "invocation ended");
}
