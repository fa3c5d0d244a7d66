//! Who may read Defender for Cloud Apps: four lists with a token of the login, files with a token of the portal.
//!
//! Neither token goes where the other one belongs, and none of them leaves the process otherwise than in its header. A token
//! that was replaced is read again once it is refused; one that is not good is told with what the operator can do.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use simulator::tenant::{
    Addressee, Application, AuthorizationScheme, CloudAppsConfig, CloudAppsList, Fault, Rule,
};

use crate::world::cloud_apps_lists::{RECORDS, emit, pages, settings, short_pages, world};
use crate::world::judge::{assert_answer, assert_arrived};
use crate::world::{AMPLE, World, ago, cloud_apps_lists};

const FILES: &str = "cloud-apps-files";
/// What the simulated portal made for files, unless a test replaces it.
const FILES_TOKEN: &str = "simulated~files-token";

/// The usual document with both tokens, whatever the service is.
fn with_both_tokens(world: &World) -> Value {
    let mut document = world.document_with(&settings(world.filtered_list()));
    document["inputs"][world.service.input]["credentials"]["files_access_token"] = json!(FILES_TOKEN);
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_token_goes_where_it_belongs_and_files_need_no_login() {
    join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await.logging("trace");
        world.store_secrets(&with_both_tokens(&world), &world.devo_secret());
        let emitted = emit(&world);
        assert_answer(&world.tick().await, service.function, RECORDS);
        assert_answer(&world.force().await, service.function, 0);
        world.once(&json!({"dry_run": true})).await.answer();
        assert_arrived(&world, &emitted);
        let is_files = world.filtered_list() == CloudAppsList::Files;
        let scheme = if is_files { AuthorizationScheme::Token } else { AuthorizationScheme::Bearer };
        assert!(pages(&world).iter().all(|seen| seen.scheme == scheme), "{}", service.function);
        let logins = world.tenant.request_count(Addressee::Login);
        // One for each process.
        assert_eq!(logins, if is_files { 0 } else { 3 }, "{}", service.function);
        for seen in world.tenant.requests() {
            assert!(!format!("{seen:?}").contains(FILES_TOKEN), "{}: {seen:?}", service.function);
        }
        assert!(world.close().await > 8, "there was something to search");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chattiest_log_of_files_that_are_refused_holds_no_token() {
    let world = world(FILES, short_pages()).await.logging("trace");
    emit(&world);
    // An API that repeats what it was sent.
    let words = format!("Invalid token header Token {FILES_TOKEN}");
    let echo = |code| Fault::Status {
        code,
        body: Some(json!({"detail": words, "error": {"code": FILES_TOKEN, "message": words}}).to_string()),
        headers: Vec::new(),
    };
    for code in [401, 403, 400, 404, 200] {
        world.tenant.script(vec![Rule::on_cloud_apps(CloudAppsList::Files, echo(code))]);
        let error = world.once(&json!({"force": true})).await.error();
        assert!(!error.message.contains(FILES_TOKEN), "{code}: {}", error.message);
    }
    world.tenant.script(Vec::new());
    assert_answer(&world.force().await, FILES, RECORDS);
    assert!(world.close().await > 8, "there was something to search");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_portal_that_was_replaced_is_read_again_by_the_process_that_has_the_old_one() {
    let world = world(FILES, short_pages()).await;
    let mut emitted = emit(&world);
    let (process, force) = (world.process().await, json!({"force": true}));
    assert_answer(&world.invoke(&process, &force, AMPLE).await.answer(), FILES, RECORDS);
    world.tenant.set_files_token(Some("another~files-token"));
    let mut document = with_both_tokens(&world);
    document["inputs"][world.service.input]["credentials"]["files_access_token"] =
        json!("another~files-token");
    world.store_secrets(&document, &world.devo_secret());
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
    let reads = world.secrets.requests().len();
    let answer = world.invoke(&process, &force, AMPLE).await.answer();
    assert_answer(&answer, FILES, 1);
    assert_arrived(&world, &emitted);
    let refused = pages(&world).iter().filter(|seen| seen.status == Some(401)).count();
    assert_eq!(refused, 1, "it is tried once");
    assert!(world.secrets.requests().len() > reads);
    assert_eq!(world.tenant.request_count(Addressee::Login), 0);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_of_the_portal_is_error_102_until_the_operator_has_stored_another_one() {
    let world = world(FILES, short_pages()).await;
    let mut emitted = emit(&world);
    let (process, force) = (world.process().await, json!({"force": true}));
    assert_answer(&world.invoke(&process, &force, AMPLE).await.answer(), FILES, RECORDS);
    world.tenant.set_files_token(None);
    emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
    for _ in 0..2 {
        let asked = pages(&world).len();
        let error = world.invoke(&process, &force, AMPLE).await.error();
        assert_eq!(error.error_type, "SetupError", "{}", error.message);
        assert!(error.message.starts_with("[102] Failed to fetch data from "), "{}", error.message);
        assert!(error.message.contains("Source is not pullable"), "{}", error.message);
        assert!(error.message.contains("Invalid token"), "{}", error.message);
        assert!(error.message.contains("store it in credentials.files_access_token"), "{}", error.message);
        assert!(error.message.contains("portal"), "{}", error.message);
        assert!(pages(&world).len() - asked <= 2, "nobody knocks on");
    }
    world.tenant.set_files_token(Some("third~files-token"));
    let mut document = with_both_tokens(&world);
    document["inputs"][world.service.input]["credentials"]["files_access_token"] = json!("third~files-token");
    world.store_secrets(&document, &world.devo_secret());
    assert_answer(&world.invoke(&process, &force, AMPLE).await.answer(), FILES, 1);
    assert_arrived(&world, &emitted);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_login_that_is_revoked_in_the_middle_is_renewed_and_a_replaced_secret_read_again() {
    let others = cloud_apps_lists().filter(|service| service.function != FILES);
    join_all(others.map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let mut emitted = emit(&world);
        let (process, force) = (world.process().await, json!({"force": true}));
        let revoked = Rule::on_cloud_apps(world.filtered_list(), Fault::TokenRevoked).nth(2);
        world.tenant.script(vec![revoked]);
        assert_answer(&world.invoke(&process, &force, AMPLE).await.answer(), service.function, RECORDS);
        assert_eq!(world.tenant.request_count(Addressee::Login), 2);

        let id = world.tenant.config().applications[0].client_id.clone();
        world.tenant.set_applications(vec![Application::with_secret(&id, "another~secret")]);
        world.tenant.revoke_tokens();
        let mut document = world.document_with(&settings(world.filtered_list()));
        document["inputs"][service.input]["credentials"]["client_secret"] = json!("another~secret");
        world.store_secrets(&document, &world.devo_secret());
        emitted.push(world.emit(100, ago(SignedDuration::from_secs(3))));
        assert_answer(&world.invoke(&process, &force, AMPLE).await.answer(), service.function, 1);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_missing_and_an_audience_that_is_wrong_are_error_102_with_what_to_do() {
    let others = cloud_apps_lists().filter(|service| service.function != FILES);
    join_all(others.map(|service| async move {
        let without_roles = CloudAppsConfig { roles: Vec::new(), ..short_pages() };
        let world = world(service.function, without_roles).await;
        let emitted = emit(&world);
        let refused = world.once(&json!({})).await.error();
        assert_eq!(refused.error_type, "SetupError", "{}", refused.message);
        assert!(
            refused.message.starts_with("[102] ") && refused.message.contains("403"),
            "{}",
            refused.message
        );
        assert!(refused.message.contains("Investigation.read"), "{}", refused.message);
        assert!(!refused.message.contains("files_access_token"), "{}", refused.message);

        world.tenant.change_cloud_apps(|config| config.roles = vec!["Investigation.read".to_owned()]);
        let mut document = world.document_with(&settings(world.filtered_list()));
        document["inputs"][service.input]["override_scope_value"] =
            json!("https://graph.microsoft.com/.default");
        world.store_secrets(&document, &world.devo_secret());
        let foreign = world.once(&json!({})).await.error();
        assert!(
            foreign.message.starts_with("[102] ") && foreign.message.contains("401"),
            "{}",
            foreign.message
        );
        assert!(foreign.message.contains("override_scope_value"), "{}", foreign.message);

        world.configure(&settings(world.filtered_list()));
        assert_answer(&world.tick().await, service.function, RECORDS);
        assert_arrived(&world, &emitted);
        world.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_without_their_token_fail_alone() {
    let played = join_all(cloud_apps_lists().map(|service| async move {
        let world = world(service.function, short_pages()).await;
        let mut document = world.document_with(&settings(world.filtered_list()));
        let input = &mut document["inputs"][service.input];
        input["credentials"].as_object_mut().unwrap().shift_remove("files_access_token");
        for other in cloud_apps_lists().filter(|other| other.function != service.function) {
            input["services"][other.name] = json!({});
        }
        world.store_secrets(&document, &world.devo_secret());
        let emitted = emit(&world);
        if service.function == FILES {
            let error = world.once(&json!({})).await.error();
            assert_eq!(error.error_type, "InitVariablesError", "{}", error.message);
            assert!(error.message.starts_with("[1] "), "{}", error.message);
            assert!(error.message.contains("credentials.files_access_token"), "{}", error.message);
            assert!(world.tenant.requests().is_empty(), "nothing is asked");
        } else {
            let answer = world.tick().await;
            assert_answer(&answer, service.function, RECORDS);
            // Who has a document of many services is told of all that is wrong with it.
            let warnings = answer["warnings"].as_array().unwrap();
            assert_eq!(warnings.len(), 1, "{answer}");
            let told = warnings[0].as_str().unwrap();
            assert!(told.contains("another service") && told.contains("files_access_token"), "{told}");
            assert_arrived(&world, &emitted);
        }
        world.close().await;
    }));
    assert_eq!(played.await.len(), 5);
}
