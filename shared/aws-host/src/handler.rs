//! One invocation, from the event to the answer.
//!
//! The event is understood before anything is read; the two secrets are read side by side; a service that is switched
//! off answers without touching anything else. A failure that a changed secret explains (a refused login, API or
//! certificate, a document with problems) has the secrets read again, once; when their text did change, the invocation
//! is played once more. Whatever the end, the log gets one closing line and CloudWatch its metrics.

use std::io::Write;
use std::sync::PoisonError;

use aws_config::SdkConfig;
use collector::error::{Error, ErrorType, code};
use collector::event::Request;
use collector::outlook::Certificate;
use collector::report::Report;
use collector::run::Invocation;
use collector::service::Family;
use collector::settings::document::resolve;
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::dynamo::DynamoStore;
use crate::environment::Environment;
use crate::logs::{self, CurrentRequest};
use crate::metrics::{self, Measured};
use crate::secrets::{LONGEST_USE, Secrets};
use crate::session::{Session, Texts, read_document};

/// The service that this process plays, and what it needs for that.
pub struct Handler {
    families: Vec<&'static Family>,
    environment: Environment,
    secrets: Secrets,
    store: DynamoStore,
    clock: fn() -> Timestamp,
    telemetry: Telemetry,
    session: Mutex<Option<Session>>,
}

/// Where an invocation is told about.
pub struct Telemetry {
    /// The request that log lines belong to.
    pub current: CurrentRequest,
    /// Takes the lines of metrics; on Lambda the standard output.
    pub metrics: std::sync::Mutex<Box<dyn Write + Send>>,
}

/// One call by Lambda.
#[derive(Debug, Clone)]
pub struct Call {
    /// Lambda's id of the request; a retry by Lambda has the same one.
    pub request_id: String,
    /// Lambda ends the process then.
    pub deadline: Timestamp,
    /// What came with the call.
    pub event: Value,
}

/// What became of a call, and the certificates that were used.
struct Played {
    end: End,
    certificates: Vec<Certificate>,
}

/// How a call ended.
enum End {
    /// It has an answer.
    Answered(Report),
    /// It failed; the counts so far, when there are any.
    Failed(Error, Option<Report>),
}

impl Handler {
    /// A handler that has done nothing yet: no connection, no secret, no session.
    pub fn new(
        families: &[&'static Family],
        environment: Environment,
        config: &SdkConfig,
        clock: fn() -> Timestamp,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            families: families.to_vec(),
            secrets: Secrets::new(config),
            store: DynamoStore::new(config, environment.state_table.clone()),
            environment,
            clock,
            telemetry,
            session: Mutex::new(None),
        }
    }

    /// Answers one event of the Lambda runtime.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Report, Diagnostic> {
        let deadline =
            i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let call = Call {
            request_id: event.context.request_id,
            deadline: deadline.unwrap_or_else(self.clock),
            event: event.payload,
        };
        self.answer(call).await.map_err(|error| diagnostic(&error))
    }

    /// Plays one call and logs its end.
    pub async fn answer(&self, call: Call) -> Result<Report, Error> {
        self.telemetry.current.set(Some(&call.request_id));
        let played = self.play(&call).await;
        self.close(&call, &played);
        self.telemetry.current.set(None);
        match played.end {
            End::Answered(report) => Ok(report),
            End::Failed(error, _) => Err(error),
        }
    }

    /// Plays a call, and once more when the secrets have changed in the meantime.
    async fn play(&self, call: &Call) -> Played {
        let started = (self.clock)();
        let (request, texts) = match self.understand(call, started).await {
            Ok(understood) => understood,
            Err(error) => return Played::failed(error),
        };
        let first = self.play_with(call, &request, &texts).await;
        let since = match first.error().map(suspicion) {
            None | Some(Suspicion::None) => return first,
            Some(Suspicion::Stale) => started,
            Some(Suspicion::Withdrawn) => (self.clock)(),
        };
        match self.texts(since).await {
            Ok(fresh) if fresh == texts => first,
            Ok(fresh) => {
                tracing::info!("the secrets have changed, the invocation is played once more");
                self.play_with(call, &request, &fresh).await
            }
            Err(error) => {
                tracing::warn!("the secrets could not be read again: {error}");
                first
            }
        }
    }

    /// What is asked, and the secrets; nothing is read for an event that is not understood.
    async fn understand(&self, call: &Call, started: Timestamp) -> Result<(Request, Texts), Error> {
        let request = Request::parse(&call.event, started)?;
        let texts = self.texts(started - LONGEST_USE).await?;
        Ok((request, texts))
    }

    /// Both secrets side by side, read at `since` or later.
    async fn texts(&self, since: Timestamp) -> Result<Texts, Error> {
        let now = (self.clock)();
        let (collector, devo) = tokio::join!(
            self.secrets.get_read_since(&self.environment.collector_secret_id, since, now),
            self.secrets.get_read_since(&self.environment.devo_secret_id, since, now),
        );
        match (collector, devo) {
            (Ok(collector), Ok(devo)) => Ok(Texts { collector, devo }),
            (Err(first), Err(second)) if first != second => Err(Error::new(
                ErrorType::InitVariablesError,
                code::SETTINGS,
                format!("{}\n{}", first.message, second.message),
            )),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Plays a call with these secrets.
    async fn play_with(&self, call: &Call, request: &Request, texts: &Texts) -> Played {
        match self.try_play(call, request, texts).await {
            Ok(played) => played,
            Err(error) => Played::failed(error),
        }
    }

    async fn try_play(&self, call: &Call, request: &Request, texts: &Texts) -> Result<Played, Error> {
        let now = (self.clock)();
        let function = self.environment.service.function;
        let document = read_document(&texts.collector)?;
        let resolved = resolve(&document, &self.families, function, request.settings.as_ref(), now)?;
        if !resolved.settings.enabled {
            let report = Report { warnings: resolved.warnings, ..Report::new(function, request) };
            return Ok(Played { end: End::Answered(report), certificates: Vec::new() });
        }
        let invocation = Invocation {
            request_id: call.request_id.clone(),
            nonce: random_hex()?,
            fresh_hash_key: random_hex()?,
            deadline: call.deadline,
            request: request.clone(),
            identity: self.environment.identity.clone(),
            warnings: resolved.warnings,
            certificates: Vec::new(),
        };
        let mut slot = self.session.lock().await;
        // Taken out while it is used: an invocation that is cut off leaves nothing half-done behind.
        let mut session = match slot.take().filter(|kept| kept.is_of(texts)) {
            Some(kept) => kept,
            None => Session::new(texts.clone(), function)?,
        };
        let outcome = session.play(invocation, &resolved.settings, &self.store, self.clock).await;
        let certificates = session.certificates();
        *slot = Some(session);
        let end = match outcome {
            Err(error) => End::Failed(error, None),
            Ok(outcome) => {
                logs::tell(&outcome.story);
                match outcome.failure {
                    None => End::Answered(outcome.report),
                    Some(error) => End::Failed(error, Some(outcome.report)),
                }
            }
        };
        Ok(Played { end, certificates })
    }

    /// The closing line of the log, and the metrics.
    fn close(&self, call: &Call, played: &Played) {
        // Samples are records: they go to whoever asked for them and not into the log.
        let report = played.report().map(|report| Report { samples: None, ..report.clone() });
        let report_text = json!(report).to_string();
        let now = (self.clock)();
        let outlook = report.as_ref().map(|report| report.outlook).unwrap_or_default();
        let certificate_days = metrics::days_left(&played.certificates, now, |_| true);
        match played.error() {
            None => tracing::info!(
                report = %report_text,
                lag_beyond_period_seconds = outlook.lag_beyond_period_seconds,
                edge_hours = outlook.edge_hours,
                quota_used_percent = outlook.quota_used_percent,
                certificate_days,
                "invocation ended"
            ),
            Some(failure) => tracing::error!(
                report = %report_text,
                lag_beyond_period_seconds = outlook.lag_beyond_period_seconds,
                edge_hours = outlook.edge_hours,
                quota_used_percent = outlook.quota_used_percent,
                certificate_days,
                error_type = failure.error_type.as_str(),
                code = failure.code,
                "invocation failed: {failure}"
            ),
        }
        let line = metrics::line(&Measured {
            collector: &self.environment.identity.collector_name,
            service: self.environment.service.function,
            request_id: &call.request_id,
            now,
            report: played.report(),
            failure: played.error(),
            certificates: &played.certificates,
        });
        // Metrics that cannot be written must not fail what was delivered.
        let _ = writeln!(self.telemetry.metrics.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
    }
}

impl Played {
    /// It failed before any certificate was looked at.
    fn failed(error: Error) -> Self {
        Self { end: End::Failed(error, None), certificates: Vec::new() }
    }

    fn report(&self) -> Option<&Report> {
        match &self.end {
            End::Answered(report) => Some(report),
            End::Failed(_, report) => report.as_ref(),
        }
    }

    fn error(&self) -> Option<&Error> {
        match &self.end {
            End::Answered(_) => None,
            End::Failed(error, _) => Some(error),
        }
    }
}

/// The failure in Lambda's form.
pub fn diagnostic(error: &Error) -> Diagnostic {
    Diagnostic { error_type: error.error_type.as_str().to_owned(), error_message: error.to_string() }
}

/// What a failure says about the secrets that were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// Nothing.
    None,
    /// Their text is at fault: a copy from before this invocation may be out of date.
    Stale,
    /// Somebody refused what they hold: even a copy made a moment ago may be out of date.
    Withdrawn,
}

fn suspicion(error: &Error) -> Suspicion {
    match (error.error_type, error.code) {
        (ErrorType::InitVariablesError, _) => Suspicion::Stale,
        (ErrorType::SetupError, _)
        | (ErrorType::ApiError, 401)
        | (ErrorType::DeliveryError, code::CERTIFICATE) => Suspicion::Withdrawn,
        (
            ErrorType::ApiError | ErrorType::DeliveryError | ErrorType::PullError | ErrorType::StateError,
            _,
        ) => Suspicion::None,
    }
}

/// 128 random bits as 32 hexadecimal digits.
fn random_hex() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|problem| {
        Error::new(ErrorType::StateError, code::STATE, format!("the system has no random numbers: {problem}"))
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_stable_word_and_the_code_before_the_sentence() {
        let error = Error::new(ErrorType::DeliveryError, code::CERTIFICATE, "the certificate expired");
        insta::assert_json_snapshot!(diagnostic(&error));
    }

    #[test]
    fn the_secrets_are_suspected_of_what_they_can_cause_and_of_nothing_else() {
        let cases = [
            (ErrorType::InitVariablesError, code::SETTINGS, Suspicion::Stale),
            (ErrorType::SetupError, code::LOGIN, Suspicion::Withdrawn),
            (ErrorType::SetupError, code::NOT_PULLABLE, Suspicion::Withdrawn),
            (ErrorType::ApiError, 401, Suspicion::Withdrawn),
            (ErrorType::ApiError, 403, Suspicion::None),
            (ErrorType::ApiError, code::SERVER, Suspicion::None),
            (ErrorType::DeliveryError, code::CERTIFICATE, Suspicion::Withdrawn),
            (ErrorType::DeliveryError, code::UNREACHABLE, Suspicion::None),
            (ErrorType::DeliveryError, code::NOT_CLOSED, Suspicion::None),
            (ErrorType::PullError, code::BAD_ANSWER, Suspicion::None),
            (ErrorType::StateError, code::LEASE_LOST, Suspicion::None),
        ];
        for (error_type, number, expected) in cases {
            assert_eq!(suspicion(&Error::new(error_type, number, "x")), expected, "{error_type:?} {number}");
        }
    }

    #[test]
    fn random_text_has_32_digits_and_is_new_each_time() {
        let drawn: std::collections::HashSet<String> = (0..100).map(|_| random_hex().unwrap()).collect();
        assert_eq!(drawn.len(), 100);
        assert!(
            drawn.iter().all(|text| text.len() == 32 && text.chars().all(|digit| digit.is_ascii_hexdigit()))
        );
    }
}
