//! What an operator got wrong is named with its remedy, before anything is pulled, written or sent.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulator::receiver::Identity;

use crate::world::parties::receiver;
use crate::world::{World, services};

/// One mistake: what it makes of the two secrets, the code, and what must be named.
struct Mistake {
    what: &'static str,
    document: Value,
    devo: Value,
    code: u16,
    named: Vec<&'static str>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_in_the_settings_is_named_and_nothing_is_pulled_or_written() {
    let world = World::new(services().next().unwrap()).await;
    world.emit(1, Timestamp::now() - SignedDuration::from_mins(5));
    for Mistake { what, document, devo, code, named } in mistakes(&world) {
        world.store_secrets(&document, &devo);
        let error = world.once(&json!({})).await.error();
        assert_eq!(error.error_type, "InitVariablesError", "{what}: {}", error.message);
        assert!(error.message.starts_with(&format!("[{code}] ")), "{what}: {}", error.message);
        for name in named {
            assert!(error.message.contains(name), "{what}: `{name}` is not in: {}", error.message);
        }
        assert!(world.tenant.requests().is_empty(), "{what}: it talked to Microsoft");
        assert!(world.table.rows().await.is_empty(), "{what}: it wrote");
        assert_eq!(world.to_devo.connections(), 0, "{what}: it talked to Devo");
    }
    // The same world works once its settings do.
    world.store_secrets(&world.document(), &world.devo_secret());
    assert_eq!(world.tick().await["delivered"], 1);
    world.close().await;
}

fn mistakes(world: &World) -> Vec<Mistake> {
    let usual = |document: Value, named: Vec<&'static str>, what: &'static str| Mistake {
        what,
        document,
        devo: world.devo_secret(),
        code: 1,
        named,
    };
    let of_devo = |member: &str, value: String, named: Vec<&'static str>, what: &'static str| {
        let mut devo = world.devo_secret();
        devo[member] = json!(value);
        Mistake { what, document: world.document(), devo, code: 1, named }
    };
    let input = world.service.input;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = world.document();
        change(&mut document["inputs"][input]);
        document
    };
    let future = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let pairs: Vec<Identity> = (0..2).map(|_| Identity::self_signed_rsa("application").unwrap()).collect();
    let certified = |certificate: &str, key: &str| {
        changed(&|input: &mut Value| {
            let credentials = input["credentials"].as_object_mut().unwrap();
            credentials.shift_remove("client_secret");
            credentials.insert("client_certificate".to_owned(), json!(certificate));
            credentials.insert("client_private_key".to_owned(), json!(key));
        })
    };
    let many = changed(&|input: &mut Value| {
        input["enviroment"] = json!("x");
        input["credentials"].as_object_mut().unwrap().shift_remove("client_id");
        input["services"][world.service.name]["request_period_in_seconds"] = json!(5);
        input["services"][world.service.name]["override_tag"] = json!("no tag");
    });
    vec![
        usual(
            many,
            vec!["enviroment", "environment", "client_id", "request_period_in_seconds", "override_tag"],
            "several problems at once",
        ),
        usual(
            changed(&|input: &mut Value| input["override_base_url"] = json!("http://graph.microsoft.com")),
            vec!["override_base_url", "https"],
            "a token over plain http",
        ),
        usual(
            changed(&|input: &mut Value| input["override_login_url"] = json!("http://192.0.2.1/")),
            vec!["override_login_url", "https"],
            "a secret over plain http",
        ),
        usual(
            certified(&pairs[0].certificate_pem, &pairs[1].private_key_pem),
            vec!["client_private_key"],
            "a key that does not match its certificate",
        ),
        usual(certified("no pem", &pairs[0].private_key_pem), vec!["client_certificate"], "no certificate"),
        usual(certified(&pairs[0].certificate_pem, "no pem"), vec!["client_private_key"], "no key"),
        of_devo("key", receiver().pem("server.key"), vec!["key", "cert"], "another client's key"),
        of_devo(
            "key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(),
            vec!["key"],
            "a broken key",
        ),
        of_devo("chain", "trust me".to_owned(), vec!["chain"], "a chain that is no PEM"),
        of_devo("cert", String::new(), vec!["cert"], "an empty certificate"),
        of_devo("compression", "zip".to_owned(), vec!["compression", "gzip"], "an unknown compression"),
        Mistake {
            code: 2,
            ..usual(
                world.document_with(&json!({"start_time_in_utc": future})),
                vec!["Invalid start_time_in_utc", "Must be in the past."],
                "a start in the future",
            )
        },
        usual(
            world.document_with(&json!({"start_time_in_utc": "soon"})),
            vec!["Invalid start_time_in_utc: soon", "Must be in parseable datetime format."],
            "a start that is no time",
        ),
        usual(json!("no document"), vec!["document"], "a document of another kind"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_off_or_absent_is_disabled_and_touches_nothing() {
    let world = World::new(services().next().unwrap()).await;
    let mut input_off = world.document();
    input_off["inputs"][world.service.input]["enabled"] = json!(false);
    let service_off = world.document_with(&json!({"enabled": false}));
    let mut service_absent = world.document();
    service_absent["inputs"][world.service.input]["services"] = json!({});
    for document in [input_off, service_off, service_absent, json!({"inputs": {}})] {
        world.store_secrets(&document, &world.devo_secret());
        let answer = world.tick().await;
        assert_eq!((&answer["status"], &answer["requests"]), (&json!("disabled"), &json!(0)), "{document}");
        assert!(world.table.rows().await.is_empty() && world.tenant.requests().is_empty());
        assert_eq!(world.to_devo.connections(), 0);
    }
    world.close().await;
}
