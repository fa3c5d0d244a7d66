//! No secret leaves the process, whatever goes wrong and however much it is asked to tell.
//!
//! Every world of every test is searched when it is closed. The worlds here are made to say all they can.

use jiff::SignedDuration;
use serde_json::json;
use simulator::receiver::{ConnectionFault, Identity, Occurrence, ReceiverConfig};
use simulator::tenant::{Application, Fault, FeedError, Rule, Target, TenantConfig};

use crate::world::feeds::records_of;
use crate::world::judge::assert_arrived;
use crate::world::secrecy::Confidential;
use crate::world::{World, ago, feeds, services};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chattiest_log_of_failing_and_working_invocations_holds_no_secret() {
    for filter in ["trace", "debug,hyper=trace,aws_smithy_runtime=trace,rustls=trace,reqwest=trace"] {
        let world = World::new(services().next().unwrap()).await.logging(filter);
        world.emit(1, ago(SignedDuration::from_mins(5)));
        let (receiver, devo) = world.own_receiver(ReceiverConfig::default()).await;
        receiver.script(vec![(Occurrence::Nth(1), ConnectionFault::ResetAfter { bytes: 10 })]);
        world.store_secrets(&world.document(), &devo);
        world.once(&json!({})).await.error();
        let echo = |status| Fault::Status {
            code: status,
            // An API that repeats what it was sent.
            body: Some(json!({"error": {"code": "Echo", "message": "simulated~client-secret"}}).to_string()),
            headers: Vec::new(),
        };
        world.tenant.script(vec![Rule::on_login(echo(401))]);
        world.once(&json!({"force": true})).await.error();
        world.tenant.script(vec![Rule::on_endpoint(world.endpoint(), Fault::TokenRevoked)]);
        world.once(&json!({"force": true})).await.error();
        world.tenant.script(Vec::new());
        assert_eq!(world.force().await["delivered"], 1);
        world.once(&json!({"dry_run": true})).await.answer();
        assert!(world.close().await > 8, "there was something to search");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chattiest_log_of_a_feed_and_its_retry_service_holds_no_secret() {
    let world = World::new(feeds().next().unwrap()).await.logging("trace");
    let contents = world.emit_blobs(3, 2, SignedDuration::from_mins(2));
    let unknown = Fault::Feed(FeedError::ContentUnknown);
    world.tenant.script(vec![
        Rule::on(Target::AnyBlob, unknown).content(&contents[0].id),
        Rule::on(Target::AnyBlob, Fault::TokenRevoked).fetch(1),
        Rule::on(Target::AnyListing, Fault::Reset).nth(1),
    ]);
    assert_eq!(world.tick().await["failed_uris"], 1);
    world.retry().await;
    world.tenant.script(Vec::new());
    world.retry().await;
    assert_arrived(&world, &records_of(&contents));
    assert!(world.close().await > 8, "there was something to search");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_assertion_logs_in_and_its_key_is_told_to_nobody() {
    let identity = Identity::self_signed_rsa("application").unwrap();
    let mut config = TenantConfig::default();
    let id = config.applications[0].client_id.clone();
    config.applications = vec![Application::with_certificate(&id, &identity.certificate_pem)];
    let world = World::with(services().next().unwrap(), config).await.logging("trace");
    let with_key = |certificate: &str| {
        let mut document = world.document();
        let credentials = &mut document["inputs"][world.service.input]["credentials"];
        credentials.as_object_mut().unwrap().shift_remove("client_secret");
        credentials["client_certificate"] = json!(certificate);
        // Line breaks that a console turned into spaces.
        credentials["client_private_key"] = json!(identity.private_key_pem.replace('\n', " "));
        document
    };
    world.emit(1, ago(SignedDuration::from_mins(5)));
    world.store_secrets(&world.document(), &world.devo_secret());
    world.store_secrets(&with_key(&identity.certificate_pem), &world.devo_secret());
    world.keep_secret(&identity.private_key_pem);
    assert_eq!(world.tick().await["delivered"], 1);
    world.tenant.set_applications(vec![Application::with_secret(&id, "another~secret")]);
    let error = world.once(&json!({"force": true})).await.error();
    assert!(error.message.starts_with("[101] "), "{}", error.message);
    world.close().await;
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let mut confidential = Confidential::default();
    let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END PRIVATE KEY-----\n";
    let credentials = json!({"client_secret": "hunter2", "files_access_token": "portal3"});
    let document = json!({"inputs": {"any": {"credentials": credentials}}});
    confidential.add_documents(&document, &json!({"key": key}));
    let texts =
        ["a hunter2 b", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49", "Bearer simulated.QUJD", "\"Token portal3\""];
    let found = texts.map(|text| confidential.before_secret_in(text));
    assert_eq!(found.map(Option::unwrap), ["a ", "", "Bearer ", "\"Token "]);
    assert_eq!(confidential.before_secret_in("PRIVATE KEY, hunter, simulated"), None);
}
