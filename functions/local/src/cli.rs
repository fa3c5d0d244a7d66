//! The command line: what `collector` takes, in the words of its help.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Records of each service in the demo: enough for several pages, batches and windows, few enough for seconds.
const DEFAULT_EVENTS: u32 = 2_000;

/// Collects Microsoft security logs and forwards them to Devo.
///
/// Without a command it plays the demo: a simulated tenant, a Devo receiver, and everything in between, offline.
#[derive(Debug, Parser)]
#[command(
    name = "collector",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 all is well, 1 there were problems, 2 the configuration or the usage is invalid.\n\
                  RUST_LOG filters the log on standard error, for example RUST_LOG=debug."
)]
pub struct Cli {
    /// What to do; `demo` when none is named.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Collect from a simulated tenant and show that every record arrives exactly once
    ///
    /// Starts a simulated Microsoft tenant and a Devo receiver with mutual TLS in this process, emits records (late ones,
    /// repeated ones, changed ones, many of one instant, content that cannot be had at first) while all services collect,
    /// and compares what the receiver decoded with what was emitted, record by record. Nothing leaves this machine.
    Demo(DemoArgs),
    /// Run all enabled services until stopped, each on its own period
    ///
    /// Does what the vendor's container does, with its configuration. The state is one file under
    /// `globals.persistence.config.directory_name`. SIGTERM or Ctrl-C ends it cleanly: what was read is delivered and
    /// committed first. A second Ctrl-C ends it at once.
    Run(RunArgs),
    /// Try everything that a run needs, and ship nothing
    ///
    /// Validates the whole configuration, then logs in for each enabled service and asks for one page, shakes hands with
    /// each output, and looks at the state file. For the files of Defender for Cloud Apps nobody logs in: their token is
    /// sent as it is. Each count that is switched on is asked for once, each query of advanced hunting runs over the last
    /// hour. It starts no subscription of a content feed. One line a finding.
    Check(CheckArgs),
    /// Pull one service now
    ///
    /// With `--output devo` this is an invocation of the live service: it uses the configured outputs, moves the live
    /// position, and takes the service's lease, so it waits for nobody and says `locked` when a run is at work. A window
    /// given by `--from` and `--to` is a backfill with a position of its own; records that were delivered before are not
    /// sent again.
    ///
    /// With `--output stdout` or a file the live state is neither read nor written: everything in the window is printed,
    /// one JSON object a line, `{"tag": …, "message": {…}}`. Without `--from` and `--to` that is the last day. A file is
    /// appended to. No subscription of a content feed is started.
    ///
    /// Where the request limit has no turn for a minute or two, it waits; where the API asks for patience, it ends.
    ///
    /// For a content feed the window is that of the content's availability, not of the records in it. `uri_retry` has no
    /// window: pulled with `--output devo` it tries all content again that waits in the feeds' queues, due or not.
    Pull(PullArgs),
    /// Show where each service stands; works while a run is on
    ///
    /// Shows position, lag, what the ledger says of the last 24 hours, content that waits to be tried again, backfills,
    /// queries of advanced hunting, and the last result of each enabled service. It only reads.
    Status(StatusArgs),
    /// Let a function that is deployed on AWS pull a window of the past
    ///
    /// Invokes the function, again and again, until it answers that the backfill is complete, through the command `aws`
    /// (the AWS CLI, version 1 or 2) with its credentials and region. Answers `more` are followed at once; while the
    /// function is `locked` or `throttled`, or fails for a reason that may pass, it is asked again after a wait that
    /// grows to a minute. Timer ticks go on with an open backfill too, so nothing is lost when this command ends early:
    /// the same command goes on where it was.
    ///
    /// Records that were delivered before are not sent again, so asking once too often costs requests alone. With
    /// `--resend` they are sent again, and a backfill that is asked for after it was complete begins anew. So there,
    /// once the function has noted it, this command invokes plain timer ticks instead, which go on with it until nothing
    /// is open; and where it cannot know whether an invocation ran, it ends with 1 and says how to find out. The counts
    /// of ticks are those of the live windows too.
    ///
    /// For a content feed the window is that of the content's availability. `uri_retry` has no windows.
    Backfill(BackfillArgs),
    /// Put an older configuration into today's form
    ///
    /// Reads a configuration, whole or with its `inputs` alone, as the vendor's collectors 1.x and 2.x have it, and prints it
    /// as it is written today on standard output, YAML for YAML and JSON for JSON. What was changed, and where, is told
    /// on standard error, one line each. What is printed holds the credentials of the old configuration, so mind who can
    /// read it. A configuration of today is printed as it is. Nothing needs to be migrated: `run` and the functions on
    /// AWS read older configurations, too, and say so each time.
    Migrate(MigrateArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigArg {
    /// The configuration, YAML or JSON; a bare name may lie in the folder `config`
    #[arg(long, value_name = "FILE", env = "CONFIG_FILE", hide_env_values = true)]
    pub config: Option<PathBuf>,
}

/// Arguments of `collector demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector demo\n  collector demo --events 20000 --faults\n  \
                        collector demo --dir ./collector-demo --json\n\n\
                        Exits with 0 only if everything that was emitted arrived exactly once.")]
pub struct DemoArgs {
    /// Records that each service has to collect; alerts that come with a count are fewer, and so are lists that have no
    /// times to ask by
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EVENTS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub events: u32,
    /// Let the APIs throttle, fail, cut bodies and expire links, and the receiver refuse and reset connections
    #[arg(long)]
    pub faults: bool,
    /// Put configuration, certificates, state and received events here; made when absent, must be empty [default: a
    /// new folder under the system's temporary one]
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Print the result as JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Default for DemoArgs {
    fn default() -> Self {
        Self { events: DEFAULT_EVENTS, faults: false, dir: None, json: false }
    }
}

/// Arguments of `collector run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector run --config config/config.yaml\n  \
                        CONFIG_FILE=config.yaml collector run")]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `collector check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector check --config config/config.yaml\n\n\
                        Exits with 0 when all is well, 1 when there were problems, 2 when the configuration is \
                        invalid.")]
pub struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `collector pull`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector pull microsoft_graph_audit.signIns --config config.yaml\n  \
                        collector pull microsoft_graph_audit.signIns --config config.yaml --output stdout\n  \
                        collector pull microsoft_graph_audit.directory_audits --config config.yaml \\\n      \
                        --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --output audits.jsonl\n  \
                        collector pull office365.exchange --config config.yaml --output stdout\n  \
                        collector pull office365.uri_retry --config config.yaml")]
pub struct PullArgs {
    /// The service, as the configuration names it
    #[arg(value_name = "INPUT.SERVICE")]
    pub service: String,
    #[command(flatten)]
    pub config: ConfigArg,
    /// Start of the window, RFC 3339
    #[arg(long, value_name = "TIME", requires = "to")]
    pub from: Option<String>,
    /// End of the window, RFC 3339
    #[arg(long, value_name = "TIME", requires = "from")]
    pub to: Option<String>,
    /// Where the records go: devo (the configured outputs), stdout, or a file
    #[arg(long, value_name = "devo|stdout|FILE", default_value = "devo")]
    pub output: String,
}

/// Arguments of `collector status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector status --config config/config.yaml\n  \
                        collector status --config config/config.yaml --json")]
pub struct StatusArgs {
    #[command(flatten)]
    pub config: ConfigArg,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `collector backfill`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector backfill --function collector-graph-sign-ins \\\n      \
                        --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z\n  \
                        collector backfill --function collector-office365-exchange --region eu-west-1 \\\n      \
                        --profile security --from 2026-11-18T00:00:00Z --to 2026-11-19T00:00:00Z --json\n  \
                        collector backfill --function collector-graph-directory-audits --resend \\\n      \
                        --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z\n\n\
                        Exits with 0 when the backfill is complete, 1 when it is not known to be, 2 when the times or \
                        the usage are invalid or `aws` cannot be used, 130 after Ctrl-C: an invocation at work then \
                        goes on in AWS.")]
pub struct BackfillArgs {
    /// The deployed function: its name or its ARN
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub function: String,
    /// Start of the window, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// End of the window, RFC 3339, not in the future
    #[arg(long, value_name = "TIME")]
    pub to: String,
    /// Send records again that were sent before
    #[arg(long)]
    pub resend: bool,
    /// The function's region [default: that of the command `aws`]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile of the command `aws` [default: its own]
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
    /// How long the first of several waits is
    #[arg(long, hide = true, value_name = "SECONDS", default_value_t = 5)]
    pub first_wait_seconds: u64,
}

/// Arguments of `collector migrate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector migrate config-1.7.1.yaml > config.yaml\n  \
                        collector migrate old.json 2> changes.txt > new.json\n  \
                        aws secretsmanager get-secret-value --secret-id collector \\\n      \
                        --query SecretString --output text | collector migrate - > new.json\n\n\
                        Exits with 0 when the result is complete, 2 when the configuration cannot be read or is \
                        invalid; then nothing is printed but its problems.")]
pub struct MigrateArgs {
    /// The older configuration, YAML or JSON; `-` is standard input
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
}

/// Arguments of `collector completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  collector completions bash > /etc/bash_completion.d/collector\n  \
                        collector completions zsh > \"${fpath[1]}/_collector\"")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}
