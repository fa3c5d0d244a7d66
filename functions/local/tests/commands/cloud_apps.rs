//! Defender for Cloud Apps at the command line: two kinds of tokens, the vendor's keys, and a limit of a minute.

use collector::error::code;
use local::{List, Reads, World};
use serde_json::Value;
use simulator::tenant::{Addressee, Application, AuthorizationScheme, CloudAppsList, Fault, Rule, Target};

use crate::support::{
    assert_each_arrived_once_in, collector, each_record, play, printed_records, text, wait_for_arrivals,
    world_with,
};

const INPUT: &str = "microsoft_defender_cloud_apps";
const ACTIVITIES: Reads = Reads::List(List::CloudApps(CloudAppsList::Activities));

fn is_of_the_input(reads: Reads) -> bool {
    matches!(reads, Reads::List(List::CloudApps(_)))
}

/// Makes this input, in the simulated tenant's place, the only one of the configuration. `credentials`, `settings` and
/// `services` are its YAML, a line each.
fn configure(world: &World, credentials: &[&str], settings: &[&str], services: &[&str]) {
    let tenant = world.tenant.config();
    let application = &tenant.applications[0];
    let (tenant_id, client_id) = (&tenant.tenant_id, &application.client_id);
    let secret = &application.secrets[0].value;
    let before = std::fs::read_to_string(&world.configuration).unwrap();
    let (head, _) = before.split_once("inputs:\n").unwrap();
    let mut after = format!(
        "{head}inputs:\n  {INPUT}:\n    id: 7\n    environment: demo\n    credentials:\n      tenant_id: {tenant_id}\n      \
         client_id: {client_id}\n      client_secret: {secret}\n"
    );
    let lines = |depth: usize, lines: &[&str]| -> String {
        lines.iter().map(|line| format!("{}{line}\n", " ".repeat(depth))).collect()
    };
    after += &lines(6, credentials);
    after += &lines(4, settings);
    after += "    services:\n";
    after += &lines(6, services);
    std::fs::write(&world.configuration, after).unwrap();
}

fn files_token(world: &World) -> String {
    world.tenant.config().cloud_apps.files_token.clone().unwrap().value
}

/// What a check says of each service of the input: how it begins its lines.
struct Checked {
    code: Option<i32>,
    shown: String,
}

impl Checked {
    async fn of(world: &World) -> Self {
        let output = play(world, &["check"]).await;
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        Self { code: output.status.code(), shown }
    }

    /// The only line about a service.
    fn about(&self, service: &str) -> &str {
        let place = format!(" {INPUT}.{service}: ");
        let lines: Vec<_> = self.shown.lines().filter(|line| line.contains(&place)).collect();
        assert_eq!(lines.len(), 1, "one line a finding: {}", self.shown);
        lines[0]
    }

    fn is_good(&self, service: &str) -> bool {
        self.about(service).starts_with("ok ")
    }
}

const ALL: [&str; 5] = ["activities: {}", "alerts: {}", "entities: {}", "data_enrichment: {}", "files: {}"];

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_each_lists_first_page_and_tells_a_bad_token_from_a_bad_login() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 3).await;
    let token = files_token(&world);
    let base_url = format!("override_base_url: {}/cas/", world.tenant.base_url());
    let login_url = format!("override_login_url: {}", world.tenant.base_url());
    let credential = format!("files_access_token: {token}");
    configure(&world, &[&credential], &[&base_url, &login_url], &ALL);

    let good = Checked::of(&world).await;
    assert_eq!(good.code, Some(0), "{}", good.shown);
    for (service, whose) in [
        ("activities", "last hour"),
        ("alerts", "last hour"),
        ("entities", "list"),
        ("data_enrichment", "list"),
    ] {
        let told =
            format!("ok      {INPUT}.{service}: login and first page work, 3 records in the {whose}'s");
        assert!(good.about(service).starts_with(&told), "{}", good.shown);
    }
    let told =
        format!("ok      {INPUT}.files: first page works, files_access_token is sent as it is, 3 records");
    assert!(
        good.about("files").starts_with(&told) && !good.about("files").contains("login"),
        "{}",
        good.shown
    );
    assert!(!good.shown.contains(&token));

    world.tenant.set_files_token(Some("another-token"));
    let bad_token = Checked::of(&world).await;
    assert_eq!(bad_token.code, Some(1));
    assert!(
        ALL[..4].iter().all(|one| bad_token.is_good(one.split_once(':').unwrap().0)),
        "{}",
        bad_token.shown
    );
    let told = bad_token.about("files");
    assert!(told.starts_with("error ") && told.contains(&format!("[{}]", code::NOT_PULLABLE)), "{told}");
    assert!(
        told.contains("make a new API token") && told.contains("credentials.files_access_token"),
        "{told}"
    );
    assert!(!bad_token.shown.contains(&token));
    world.tenant.set_files_token(Some(&token));

    let client_id = world.tenant.config().applications[0].client_id.clone();
    world.tenant.set_applications(vec![Application::with_secret(&client_id, "another secret")]);
    let bad_login = Checked::of(&world).await;
    assert_eq!(bad_login.code, Some(1));
    assert!(bad_login.is_good("files"), "files need no login: {}", bad_login.shown);
    for one in &ALL[..4] {
        assert!(bad_login.about(one.split_once(':').unwrap().0).starts_with("error "), "{}", bad_login.shown);
    }
    let lists = world.tenant.requests().into_iter();
    for seen in lists.filter(|seen| matches!(seen.addressee, Addressee::CloudApps(_))) {
        let is_for_files = seen.addressee == Addressee::CloudApps(CloudAppsList::Files);
        let wanted = if is_for_files { AuthorizationScheme::Token } else { AuthorizationScheme::Bearer };
        assert_eq!(seen.scheme, wanted, "a token goes to its own list alone");
    }
    assert!(!world.state.exists() && world.receiver.event_count() == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_to_correct_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 1).await;
    let base_url = format!("override_base_url: {}", world.tenant.base_url());
    let login_url = format!("override_login_url: {}", world.tenant.base_url());
    let credential = format!("files_access_token: {}", files_token(&world));

    configure(&world, &[], &[&base_url, &login_url], &ALL);
    let no_token = Checked::of(&world).await;
    assert_eq!(no_token.code, Some(2));
    let told = format!("inputs.{INPUT}.credentials.files_access_token: is missing; make an API token");
    assert_eq!(no_token.shown.lines().count(), 1, "{}", no_token.shown);
    assert!(no_token.shown.contains(&told), "{}", no_token.shown);

    configure(&world, &[], &[&base_url, &login_url], &ALL[..4]);
    assert_eq!(Checked::of(&world).await.code, Some(0), "without files nobody needs the token");

    // A host of another tenant answers with the portal's page.
    world.tenant.script(vec![Rule::on(Target::AnyCloudApps, Fault::HtmlPage(404))]);
    configure(&world, &[&credential], &[&base_url, &login_url], &ALL);
    let bad_host = Checked::of(&world).await;
    world.tenant.script(vec![]);
    assert_eq!(bad_host.code, Some(1));
    for one in ALL {
        let told = bad_host.about(one.split_once(':').unwrap().0);
        assert!(told.starts_with("error ") && told.contains("override_base_url"), "{told}");
    }

    let refused = "alerts: {additional_filter: {colour: {eq: [1]}}}";
    configure(&world, &[&credential], &[&base_url, &login_url], &[refused, "files: {}"]);
    let bad_filter = Checked::of(&world).await;
    assert_eq!(bad_filter.code, Some(1));
    let told = bad_filter.about("alerts");
    assert!(
        told.starts_with("error ")
            && told.contains(&format!("[{}]", code::BAD_FILTER))
            && told.contains("colour"),
        "{told}"
    );
    assert!(told.contains("correct additional_filter"), "{told}");
    assert!(bad_filter.is_good("files"), "{}", bad_filter.shown);

    let own_time = "activities: {additional_filter: {created: {gte: 1}}}";
    configure(&world, &[&credential], &[&base_url, &login_url], &[own_time]);
    let taken = Checked::of(&world).await;
    assert_eq!(taken.code, Some(2));
    assert!(taken.shown.contains("activities.additional_filter"), "{}", taken.shown);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_the_vendors_keys_collects_all_five_lists_and_status_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 150).await;
    let urls = ["api_base_url", "token_url"].map(|name| format!("{name}: {}/", world.tenant.base_url()));
    let credential = format!("files_access_token: {}", files_token(&world));
    let yesterday =
        (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24)).strftime("%Y-%m-%dT%H:%M:%SZ");
    let start = format!("historic_date_utc: '{yesterday}'");
    let by_time = ["activities", "alerts", "files"].map(|name| format!("{name}: {{{start}}}"));
    let services: Vec<&str> =
        by_time.iter().map(String::as_str).chain(["entities: {}", "data_enrichment: {}"]).collect();
    configure(&world, &[&credential, &urls[0], &urls[1]], &["requests_per_second: 10000"], &services);

    let run = collector(&world, &["run"]).spawn().unwrap();
    wait_for_arrivals(&world, is_of_the_input).await;
    let shown = play(&world, &["status", "--json"]).await;
    let services: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(services.as_array().unwrap().len(), 5, "{services}");
    let id = run.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = run.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended.stderr));
    assert_each_arrived_once_in(&world, is_of_the_input);

    let table = text(&play(&world, &["status"]).await.stdout);
    for (service, _) in world.services.iter().filter(|(_, reads)| is_of_the_input(*reads)) {
        let line = table.lines().find(|line| line.contains(service.function));
        assert!(line.is_some_and(|line| line.contains("150")), "{}: {table}", service.function);
        let events = world.receiver.events();
        let tags =
            events.iter().filter(|event| event.host == service.function && event.tag.starts_with("casb."));
        assert_eq!(tags.count(), 150, "{}", service.function);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_to_look_at_prints_each_activity_of_its_window_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 250).await;
    let pulled =
        play(&world, &["pull", "microsoft_defender_cloud_apps.activities", "--output", "stdout"]).await;
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert_eq!(printed_records(&text(&pulled.stdout)), each_record(&world, ACTIVITIES, 1));
    assert!(!world.state.exists() && world.receiver.event_count() == 0);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pull_waits_for_a_turn_of_its_own_limit_without_blaming_the_api_and_can_be_stopped() {
    use tokio::io::{AsyncBufReadExt, BufReader};

    let folder = tempfile::tempdir().unwrap();
    let world = world_with(folder.path(), 150).await;
    let urls = ["base", "login"].map(|name| format!("override_{name}_url: {}", world.tenant.base_url()));
    let entities = "entities: {requests_limits: [{period: 100s, number_of_requests: 1}]}";
    configure(&world, &[], &[&urls[0], &urls[1]], &[entities]);
    let mut pull = collector(&world, &["pull", "cloud-apps-entities"]).spawn().unwrap();
    let mut lines = BufReader::new(pull.stderr.take().unwrap()).lines();
    let mut told = String::new();
    while !told.ends_with("waiting\n") {
        told += &(lines.next_line().await.unwrap().unwrap() + "\n");
    }
    let why = told.lines().last().unwrap();
    assert!(
        why.starts_with("no request before 20") && why.contains(": the request limit has no turn"),
        "{why}"
    );
    assert!(!why.contains("API"), "{why}");
    let id = pull.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(pull.wait().await.unwrap().code(), Some(1));
    while let Some(line) = lines.next_line().await.unwrap() {
        told += &(line + "\n");
    }
    assert!(told.ends_with("stopped; pull again to go on\n"), "{told}");
}
