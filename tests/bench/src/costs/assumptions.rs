//! What cannot be measured on one machine, or is a choice: each figure with the reason for it.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// How an alarm stands in a template.
const ALARM: &str = "Type: AWS::CloudWatch::Alarm";

/// Figures that the costs rest on beside the measured ones.
#[derive(Debug, Clone, Serialize)]
pub struct Assumptions {
    /// Milliseconds in which Microsoft answers a request.
    pub api_latency_ms: f64,
    /// The same while it was measured.
    pub measured_latency_ms: f64,
    /// Milliseconds in which DynamoDB answers a call.
    pub state_latency_ms: f64,
    /// Milliseconds to Devo and back.
    pub devo_round_trip_ms: f64,
    /// Milliseconds to Microsoft's edge or an AWS endpoint and back.
    pub edge_round_trip_ms: f64,
    /// TLS handshakes of a tick beside that with Devo, which is measured.
    pub handshakes: f64,
    /// Processor time of such a handshake, in milliseconds.
    pub handshake_cpu_ms: f64,
    /// Logins a tick.
    pub logins: f64,
    /// Memory of a function, in MB.
    pub memory_mb: f64,
    /// Memory that comes with one whole processor, in MB.
    pub mb_a_processor: f64,
    /// A function's time limit, in milliseconds.
    pub limit_ms: f64,
    /// Minutes between two ticks.
    pub tick_minutes: f64,
    /// Share of the ticks that start a process.
    pub cold_share: f64,
    /// Milliseconds of INIT beyond the measured start.
    pub init_ms: f64,
    /// Minutes that a cycle reads again; `None`: as each service is declared.
    pub look_back_minutes: Option<f64>,
    /// Hours that the late sweep reads again once an hour; 0 switches it off.
    pub sweep_hours: f64,
    /// Its part of the requests that the limit allows.
    pub sweep_part: f64,
    /// Requests for what would fill a page, of a list that is read in parts of time.
    pub requests_a_part: f64,
    /// Hours of the day that are busy.
    pub busy_hours: f64,
    /// Share of the day's records that come in them.
    pub busy_share: f64,
    /// Days that record hashes are kept.
    pub kept_days: f64,
    /// Days that log lines are kept.
    pub log_days: f64,
    /// Stored bytes of a log line's byte.
    pub log_compression: f64,
    /// Bytes of the lines that Lambda writes itself.
    pub lambda_log_bytes: f64,
    /// Their number.
    pub lambda_log_lines: f64,
    /// Bytes that a request to Microsoft sends.
    pub request_bytes: f64,
    /// Bytes that a handshake with Microsoft or AWS sends.
    pub handshake_bytes: f64,
    /// Secrets of the deployment.
    pub secrets: f64,
    /// Custom metrics.
    pub metrics: f64,
    /// Alarms, each with one metric.
    pub alarms: f64,
    /// Dashboards.
    pub dashboards: f64,
    /// Share of the invocations that end in the queue of dead letters.
    pub failed_share: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            api_latency_ms: 200.0,
            measured_latency_ms: 200.0,
            state_latency_ms: 8.0,
            devo_round_trip_ms: 30.0,
            edge_round_trip_ms: 20.0,
            handshakes: 2.0,
            handshake_cpu_ms: 2.0,
            logins: 0.1,
            memory_mb: 512.0,
            mb_a_processor: 1769.0,
            limit_ms: 240_000.0,
            tick_minutes: 5.0,
            cold_share: 0.05,
            init_ms: 100.0,
            look_back_minutes: None,
            sweep_hours: 24.0,
            sweep_part: 0.25,
            requests_a_part: 1.6,
            busy_hours: 10.0,
            busy_share: 0.8,
            kept_days: 30.0,
            log_days: 30.0,
            log_compression: 0.2,
            lambda_log_bytes: 330.0,
            lambda_log_lines: 3.0,
            request_bytes: 2_500.0,
            handshake_bytes: 1_500.0,
            secrets: 2.0,
            metrics: 8.0,
            alarms: 12.0,
            dashboards: 1.0,
            failed_share: 0.001,
        }
    }
}

impl Assumptions {
    /// As many alarms as the template of this repository has.
    pub fn with_deployed_alarms(self) -> Outcome<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/alarms.yaml");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let count = u32::try_from(text.matches(ALARM).count())?;
        Ok(Self { alarms: f64::from(count), ..self })
    }

    /// Ticks of a day.
    pub fn ticks_a_day(&self) -> f64 {
        24.0 * 60.0 / self.tick_minutes
    }

    /// Milliseconds that a tick can take: to its limit, or until the next one, which ends at once while this one works.
    pub fn longest_ms(&self) -> f64 {
        self.limit_ms.min(self.tick_minutes * 60_000.0)
    }

    /// Each assumption as a sentence with its reason.
    pub fn sentences(&self) -> Vec<String> {
        let processor = self.memory_mb / self.mb_a_processor;
        vec![
            format!(
                "26 functions, one tick every {} minutes; free tier, taxes and support not counted; no VPC, so no NAT \
                 gateway; AWS's own keys.",
                self.tick_minutes
            ),
            format!(
                "Microsoft answers each request within {} ms, DynamoDB within {} ms; Devo is {} ms away (there and back). \
                 The simulated parties wait that long, so the measured durations hold it.",
                self.api_latency_ms, self.state_latency_ms, self.devo_round_trip_ms
            ),
            format!(
                "Connections to Microsoft and DynamoDB do not outlive the pause between two ticks: {} TLS handshakes a tick of \
                 two round trips of {} ms and {} ms of processor time each, and {} logins (a token lives an hour, a process two).",
                self.handshakes, self.edge_round_trip_ms, self.handshake_cpu_ms, self.logins
            ),
            format!(
                "{} MB of memory give {processor:.2} of a processor (a whole one at {} MB): measured processor time is stretched \
                 by {:.1}. A processor of Lambda, x86_64 or arm64, is taken to be as fast as this machine's.",
                self.memory_mb, self.mb_a_processor, 1.0 / processor.min(1.0)
            ),
            format!(
                "{} % of the ticks start a process (it lives about two hours); INIT is billed: the measured start and {} ms for \
                 loading the artefact.",
                self.cold_share * 100.0, self.init_ms
            ),
            format!(
                "{} % of a day's records come within {} hours, evenly; the rest evenly over the other {}. Rare records come \
                 independently of one another.",
                self.busy_share * 100.0, self.busy_hours, 24.0 - self.busy_hours
            ),
            match self.look_back_minutes {
                None => "A cycle reads again what each service's look-back says (sign-ins, advanced hunting, Cloud Apps activities and \
                         files 15 minutes, other collections 1 hour; feeds list their last hour again and fetch nothing twice)."
                    .to_owned(),
                Some(minutes) => format!("A cycle reads {minutes} minutes again."),
            },
            match self.sweep_hours {
                0.0 => "No late sweep.".to_owned(),
                hours => format!(
                    "Once an hour the late sweep reads the last {hours} hours again (feeds list them), with {} % of the requests \
                     that the limit allows; where that is too few it takes longer.",
                    self.sweep_part * 100.0
                ),
            },
            format!(
                "Alerts and files of Cloud Apps are read in parts of time where they have more than a page of 100. They are taken \
                 to need {} times the requests of full pages; where records come unevenly it is more. Alerts are asked for twice.",
                self.requests_a_part
            ),
            "One collection and one feed were measured and stand for all; seven snapshots and the \
             secure scores are due once a day and answer not_due at all other ticks. No counts are added to records of \
             Defender for Endpoint; advanced hunting has one query."
                .to_owned(),
            "Requests wait for Microsoft's published limits, divided among the services that share one (audit logs: 5 in 10 s \
             among 4, so one in 10 s each); the waiting is billed like any other time."
                .to_owned(),
            format!(
                "Record hashes stay {} days, log lines {} days (stored at {} % of their size). Lambda adds {} lines of {} bytes \
                 to each invocation, CloudWatch 26 bytes to each line.",
                self.kept_days, self.log_days, self.log_compression * 100.0, self.lambda_log_lines, self.lambda_log_bytes
            ),
            format!(
                "{} secrets, read at most once an hour by each function; {} metrics, {} alarms, {} dashboard (looking at it is not \
                 counted); {} % of the invocations fail.",
                self.secrets, self.metrics, self.alarms, self.dashboards, self.failed_share * 100.0
            ),
        ]
    }
}
