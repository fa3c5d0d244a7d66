//! Tries everything that a run needs, and ships nothing.
//!
//! Each enabled service logs in and asks for one page of the last hour, the retry service of content feeds excepted, which
//! has none; no subscription is started. Each output is tried with a handshake; an existing state file is opened for
//! reading. Of the counts that are added to records each is asked for once, and each of the operator's own queries runs
//! over the last hour. Each certificate is told with the days that it has left. Every finding is told as soon as it is known, good
//! ones included.

use std::collections::BTreeSet;
use std::sync::Arc;

use collector::outlook::Certificate;
use collector::ports::{
    Clock, Page, PageRequest, Preparation, Related, RelatedRequest, Source, SourceError, SourceStats,
};
use collector::service::Authorization;
use collector::settings::{QuerySpan, Settings};
use collector::window::Window;
use devo::DevoConfig;
use jiff::{SignedDuration, Timestamp, Unit};
use microsoft::Microsoft;
use serde_json::{Map, Value};

use crate::config::{Configuration, OutputPlan, Receiver};
use crate::store::FileStore;

/// What is asked of an API: enough to see that it answers.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// Time for one service.
const TIME: SignedDuration = SignedDuration::from_secs(60);

/// HOST of a handshake that sends no line.
const HOST: &str = "check";

/// Why there is no request for a while, where the API asks for no patience.
pub const NO_TURN: &str = "the request limit has no turn until then, or what failed is tried again then";

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Good,
    /// It works now, and the operator should look.
    Warning,
    /// It does not work.
    Problem,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was tried, for example `microsoft_graph_audit.signIns` or `outputs.devo_us_1`.
    pub subject: String,
    /// How good it is.
    pub verdict: Verdict,
    /// What was found, one line.
    pub text: String,
}

/// Tries the services, the outputs and the state file of a configuration, one after the other.
pub async fn check(configuration: &Configuration, services: &[Settings], mut tell: impl FnMut(Finding)) {
    let now = Timestamp::now();
    let mut told = BTreeSet::new();
    for settings in services {
        let certificate = microsoft::certificate(&settings.connection.credential);
        // The services of an input share its certificate.
        if let Some(certificate) = certificate.filter(|its| told.insert((settings.service.input, *its))) {
            tell(judge_certificate(settings.service.input.to_owned(), &certificate, now));
        }
        let subject = format!("{}.{}", settings.service.input, settings.service.name);
        let (verdict, text) = check_service(settings, &subject, &mut tell).await;
        tell(Finding { subject, verdict, text });
    }
    for output in &configuration.outputs {
        let subject = format!("outputs.{}", output.name);
        if let Some(certificate) = output.certificate() {
            tell(judge_certificate(subject.clone(), &certificate, now));
        }
        let (verdict, text) = check_output(output).await;
        tell(Finding { subject, verdict, text });
    }
    let (verdict, text) = check_state(configuration);
    tell(Finding { subject: "state".to_owned(), verdict, text });
}

async fn check_service(
    settings: &Settings,
    subject: &str,
    tell: &mut impl FnMut(Finding),
) -> (Verdict, String) {
    let microsoft = match Microsoft::new(settings) {
        Ok(microsoft) => microsoft,
        Err(error) => return (Verdict::Problem, one_line(&error.to_string())),
    };
    for warning in microsoft.warnings() {
        tell(Finding { subject: subject.to_owned(), verdict: Verdict::Warning, text: one_line(warning) });
    }
    let clock: Arc<dyn Clock> = Arc::new(Timestamp::now);
    let now = clock.now().round(Unit::Second).unwrap_or_else(|_| clock.now());
    let deadline = now + TIME;
    let request = PageRequest {
        window: Window { from: now - WINDOW.min(settings.window_max), to: now },
        query: None,
        link: None,
        deadline,
    };
    let mut source = microsoft.source(clock);
    // A check starts no subscription.
    let preparation = Preparation { deadline, memo: Map::new(), is_dry: true };
    if let Err(refused) = source.prepare(&preparation).await {
        return judge(refused, &source.stats());
    }
    if settings.service.query.has_no_listing() {
        return (Verdict::Good, "login works; it has no first page of its own".to_owned());
    }
    let mut tell_warning = |text: &str| {
        tell(Finding { subject: subject.to_owned(), verdict: Verdict::Warning, text: one_line(text) });
    };
    if settings.service.query.is_hunting() {
        return check_queries(settings, &mut source, &request, &mut tell_warning).await;
    }
    match source.page(&request).await {
        Ok(page) => {
            remarks(&page).for_each(&mut tell_warning);
            let untried = check_counts(settings, &mut source, &request, &page, &mut tell_warning).await;
            let whose = if settings.service.query.is_snapshot() { "list" } else { "last hour" };
            let contents = contents_of(&page);
            let works = what_works(settings.service.authorization);
            (Verdict::Good, format!("{works}, {contents} in the {whose}'s first page{untried}"))
        }
        Err(refused) => judge(refused, &source.stats()),
    }
}

/// What a first page shows to be in order.
fn what_works(authorization: Authorization) -> String {
    match authorization {
        Authorization::Login => "login and first page work".to_owned(),
        Authorization::Token(setting) => format!("first page works, {} is sent as it is", setting.name),
    }
}

/// Runs each of the operator's own queries over the last hour; all that do not work are told together.
async fn check_queries(
    settings: &Settings,
    source: &mut impl Source,
    request: &PageRequest,
    tell_warning: &mut impl FnMut(&str),
) -> (Verdict, String) {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (index, query) in settings.queries.iter().enumerate() {
        let answered = source.page(&PageRequest { query: Some(index), ..request.clone() }).await;
        match answered.map_err(|refused| judge(refused, &source.stats())) {
            Ok(page) => {
                remarks(&page).for_each(&mut *tell_warning);
                let span = if query.span == QuerySpan::Window { " in the last hour" } else { "" };
                rows.push(format!("{} of {}{span}", page.records.len(), query.name));
            }
            Err((Verdict::Problem, text)) => problems.push(format!("query {}: {text}", query.name)),
            Err((_, text)) => tell_warning(&format!("query {}: {text}", query.name)),
        }
    }
    if problems.is_empty() {
        (Verdict::Good, format!("login and queries work, rows: {}", rows.join(", ")))
    } else {
        (Verdict::Problem, problems.join("; "))
    }
}

/// Asks for each wanted count of one record: whether the application may. Gives what is to be said if there is no record.
async fn check_counts(
    settings: &Settings,
    source: &mut impl Source,
    request: &PageRequest,
    page: &Page,
    tell_warning: &mut impl FnMut(&str),
) -> &'static str {
    if settings.enrichments.is_empty() {
        return "";
    }
    let Some(id) = some_id(settings, source, request, page).await else {
        return "; its counts were not tried, because there is no record to count for";
    };
    for enrichment in settings.enrichments.iter().copied() {
        let related = RelatedRequest { enrichment, id: id.clone(), deadline: request.deadline };
        match source.related(&related).await {
            Ok(Related::Count(_)) => {}
            Ok(Related::NotPermitted(why) | Related::Refused(why)) => {
                tell_warning(&format!("{}: {why}", enrichment.switch.name));
            }
            Err(refused) => {
                let (_, why) = judge(refused, &source.stats());
                tell_warning(&format!("{}: {why}", enrichment.switch.name));
            }
        }
    }
    ""
}

/// The id of a record: one of this page or, where the last hour has none, of the longest window.
async fn some_id(
    settings: &Settings,
    source: &mut impl Source,
    request: &PageRequest,
    page: &Page,
) -> Option<String> {
    let first_id = |of: &Page| of.records.iter().find_map(|record| id_of(settings, record));
    if let Some(id) = first_id(page) {
        return Some(id);
    }
    if settings.service.query.is_snapshot() {
        return None;
    }
    let to = request.window.to;
    let longest = Window { from: to - settings.window_max.min(settings.service.window.retention), to };
    source.page(&PageRequest { window: longest, ..request.clone() }).await.ok().as_ref().and_then(first_id)
}

/// The id that a count of this record is asked for by.
fn id_of(settings: &Settings, record: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(record).ok()?;
    let id = settings.service.id.iter().try_fold(&document, |level, name| level.get(name))?;
    RelatedRequest::id_of_member(id.to_string().as_bytes())
}

fn judge_certificate(subject: String, certificate: &Certificate, now: Timestamp) -> Finding {
    let days = certificate.days_left(now);
    let (verdict, text) = match certificate.warning(now) {
        None => (
            Verdict::Good,
            format!("{} ends at {}, days left: {days}", certificate.purpose.name(), certificate.ends_at),
        ),
        Some(warning) if days < 0 => (Verdict::Problem, warning),
        Some(warning) => (Verdict::Warning, warning),
    };
    Finding { subject, verdict, text }
}

/// What the operator should know of a page that came: that a part of it is missing, too.
fn remarks(page: &Page) -> impl Iterator<Item = &str> {
    page.warnings.iter().chain(&page.missing).map(String::as_str)
}

fn contents_of(page: &Page) -> String {
    if page.blobs.is_empty() {
        format!("{} records", page.records.len())
    } else {
        format!("{} content blobs", page.blobs.len())
    }
}

/// `stats` are those of the requests that led here.
fn judge(refused: SourceError, stats: &SourceStats) -> (Verdict, String) {
    match refused {
        SourceError::Throttled { until } => {
            let text = match stats.throttled {
                0 => format!("no request before {until:.0}: {NO_TURN}"),
                _ => format!("the API asks to come back at {until:.0}; nothing else is known to be wrong"),
            };
            (Verdict::Warning, text)
        }
        SourceError::NotReady(why) | SourceError::Retired(why) => (Verdict::Warning, one_line(&why)),
        SourceError::OutOfTime => (
            Verdict::Problem,
            format!("no answer within {} s; check the network and a proxy", TIME.as_secs()),
        ),
        other => (Verdict::Problem, one_line(&other.to_string())),
    }
}

async fn check_output(output: &OutputPlan) -> (Verdict, String) {
    let config = match &output.receiver {
        Receiver::Console => return (Verdict::Good, "prints on standard output".to_owned()),
        Receiver::Network(config) => DevoConfig { host: HOST.to_owned(), ..config.clone() },
    };
    match devo::handshake(&config).await {
        Ok(()) => (Verdict::Good, format!("{}:{} takes the connection", config.address, config.port)),
        Err(error) => (Verdict::Problem, one_line(&error.to_string())),
    }
}

fn check_state(configuration: &Configuration) -> (Verdict, String) {
    let path = &configuration.state_file;
    if !path.exists() {
        return (Verdict::Good, format!("{} is made by the first run", path.display()));
    }
    match FileStore::open_read_only(path) {
        Ok(_) => (Verdict::Good, format!("{} is readable", path.display())),
        Err(error) => (Verdict::Problem, one_line(&error.to_string())),
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use collector::outlook::Purpose;

    use super::*;

    #[test]
    fn what_is_no_failure_of_a_run_is_a_warning_and_no_problem() {
        let gone = "the endpoint was retired: enable another in its place".to_owned();
        let early = "there is nothing to read yet".to_owned();
        for refused in [SourceError::Retired(gone.clone()), SourceError::NotReady(early.clone())] {
            let text = refused.to_string();
            assert_eq!(judge(refused, &SourceStats::default()), (Verdict::Warning, text));
        }
        let until: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let why = |throttled| {
            let stats = SourceStats { throttled, ..SourceStats::default() };
            judge(SourceError::Throttled { until }, &stats)
        };
        for (throttled, words) in
            [(0, "before 2026-11-20T12:00:00Z: the request limit"), (1, "at 2026-11-20T12:00:00Z")]
        {
            let (verdict, text) = why(throttled);
            assert!(verdict == Verdict::Warning && text.contains(words), "{text}");
        }
        let page = Page { missing: Some("a part is missing".to_owned()), ..Page::default() };
        let warnings = ["it is announced to end".to_owned()];
        let page = Page { warnings: warnings.to_vec(), ..page };
        assert_eq!(remarks(&page).collect::<Vec<_>>(), ["it is announced to end", "a part is missing"]);
    }

    #[test]
    fn counts_are_tried_for_no_id_that_a_run_would_not_ask_for() {
        let settings = testing::enriched::counted_settings(1);
        let table = [
            ("\"a\"", Some("a")),
            ("17", Some("17")),
            ("\"\"", None),
            ("\".\"", None),
            ("\"..\"", None),
            ("null", None),
            ("[\"a\"]", None),
        ];
        for (id, expected) in table {
            let record = format!("{{\"id\":{id}}}");
            assert_eq!(id_of(&settings, record.as_bytes()).as_deref(), expected, "{record}");
        }
        let long = format!("{{\"id\":\"{}\"}}", "x".repeat(600));
        assert_eq!(id_of(&settings, long.as_bytes()), None);
    }

    #[test]
    fn a_certificate_is_good_then_a_warning_and_a_problem_once_it_has_ended() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let table =
            [(400, Verdict::Good), (30, Verdict::Good), (29, Verdict::Warning), (0, Verdict::Warning)];
        for (days, verdict) in table.into_iter().chain([(-1, Verdict::Problem)]) {
            let ends_at = now + SignedDuration::from_hours(24 * days + 1);
            for purpose in [Purpose::Login, Purpose::Devo] {
                let found =
                    judge_certificate("outputs.devo".to_owned(), &Certificate { purpose, ends_at }, now);
                assert_eq!((found.subject.as_str(), found.verdict), ("outputs.devo", verdict), "{days}");
                assert!(found.text.starts_with(purpose.name()), "{}", found.text);
                assert!(found.text.contains(&format!("days left: {days}")), "{}", found.text);
            }
        }
    }
}
