//! An invocation asks for what it needs and for no more, and a changed secret is noticed.

mod support;

use std::collections::BTreeMap;

use aws_host::secrets::Secrets;
use collector::error::{ErrorType, code};
use collector::ports::Row;
use collector::report::Status;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use support::row;
use support::tenant::{Tenant, call, certificate, devo_secret};

/// The counts of requests by kind.
fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[tokio::test]
async fn an_event_that_is_not_understood_reads_nothing() {
    let tenant = Tenant::start().await;
    let error = tenant.handler().answer(call(json!({"fource": true}))).await.unwrap_err();
    assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
    assert!(error.message.contains("fource"), "{}", error.message);
    assert_eq!(tenant.take_counts(), counts(&[]));
}

#[tokio::test]
async fn a_service_that_is_switched_off_answers_without_touching_anything() {
    let tenant = Tenant::start().await;
    let mut document = tenant.document("right");
    document["inputs"]["test_input"]["enabled"] = json!(false);
    tenant.set_document(&document.to_string());
    let handler = tenant.handler();
    for reads in [counts(&[("secret", 2)]), counts(&[])] {
        let report = handler.answer(call(json!({}))).await.unwrap();
        assert_eq!((report.status, report.service), (Status::Disabled, "test-things"));
        assert_eq!(tenant.take_counts(), reads);
    }
}

#[tokio::test]
async fn a_dry_run_shows_records_and_a_warm_process_keeps_secrets_and_token() {
    let tenant = Tenant::start().await;
    let handler = tenant.handler();
    for logins in [1, 0] {
        let report = handler.answer(call(json!({"dry_run": true}))).await.unwrap();
        assert_eq!(report.status, Status::DryRun);
        assert_eq!(report.samples.unwrap()[0].tag, "my.app.red.default");
        let seen = tenant.take_counts();
        assert_eq!(seen.get("login").copied().unwrap_or_default(), logins);
        assert_eq!(seen.get("secret").copied().unwrap_or_default(), logins * 2);
    }
}

#[tokio::test]
async fn a_secret_that_was_changed_is_read_again_after_a_refused_login() {
    let tenant = Tenant::start().await;
    tenant.set_document(&tenant.document("old").to_string());
    let handler = tenant.handler();
    let dry_run = || call(json!({"dry_run": true}));
    let refused = handler.answer(dry_run()).await.unwrap_err();
    assert_eq!((refused.error_type, refused.code), (ErrorType::SetupError, code::LOGIN));
    let seen = tenant.take_counts();
    assert_eq!((seen["login"], seen["secret"]), (1, 4), "read again, but the same text is not tried twice");
    tenant.set_document(&tenant.document("right").to_string());
    let report = handler.answer(dry_run()).await.unwrap();
    assert_eq!(report.status, Status::DryRun);
    let seen = tenant.take_counts();
    assert_eq!((seen["login"], seen["secret"]), (2, 2));
}

#[tokio::test]
async fn a_secret_that_was_changed_is_read_again_in_the_very_invocation_in_which_the_api_refuses() {
    let tenant = Tenant::start().await;
    let handler = tenant.handler();
    let dry_run = || call(json!({"dry_run": true}));
    handler.answer(dry_run()).await.unwrap();
    tenant.take_counts();

    tenant.rotate("right", "newer");
    let refused = handler.answer(dry_run()).await.unwrap_err();
    assert_eq!((refused.error_type, refused.code), (ErrorType::SetupError, code::NOT_PULLABLE), "{refused}");
    let seen = tenant.take_counts();
    assert_eq!(seen["secret"], 2, "read again, but the same text is not tried twice: {seen:?}");

    tenant.set_document(&tenant.document("newer").to_string());
    let report = handler.answer(dry_run()).await.unwrap();
    assert_eq!((report.status, report.received), (Status::DryRun, 1));
    assert_eq!(tenant.take_counts()["secret"], 2);
    handler.answer(dry_run()).await.unwrap();
    assert_eq!(tenant.take_counts().get("secret"), None, "what works is kept");
}

#[tokio::test]
async fn a_document_that_was_mended_works_at_the_next_call() {
    let tenant = Tenant::start().await;
    let handler = tenant.handler();
    let broken = tenant.document("right").to_string().replace("tenant_id", "tenantid");
    for broken in [broken.as_str(), "{", "inputs: [", ""] {
        tenant.set_document(broken);
        let error = handler.answer(call(json!({"dry_run": true}))).await.unwrap_err();
        assert_eq!(error.error_type, ErrorType::InitVariablesError, "{broken}");
    }
    tenant.set_document(&tenant.document("right").to_string());
    assert!(handler.answer(call(json!({"dry_run": true}))).await.is_ok());
}

#[tokio::test]
async fn settings_of_one_invocation_end_with_it() {
    let tenant = Tenant::start().await;
    let handler = tenant.handler();
    let tags = async |event| {
        let report = handler.answer(call(event)).await.unwrap();
        report.samples.unwrap().into_iter().map(|sample| sample.tag).collect::<Vec<_>>()
    };
    assert_eq!(
        tags(json!({"dry_run": true, "settings": {"override_tag": "my.app.other"}})).await,
        ["my.app.other"]
    );
    assert_eq!(tags(json!({"dry_run": true})).await, ["my.app.red.default"]);
}

/// A row of the retry queue of a feed, as a feed writes it.
fn waiting(tenant: &Tenant, id: &str) -> Row {
    let (now, day) = (Timestamp::now(), SignedDuration::from_hours(24));
    let fields = json!({
        "content_id": id, "content_uri": format!("http://{}/content/{id}", tenant.address),
        "content_created": (now - day).to_string(), "content_expiration": (now + day).to_string(),
        "failed_since_in_utc": (now - day).to_string(), "attempts": 3,
        "next_attempt_in_utc": (now - day).to_string(), "reason": "it was not there",
    });
    row(&format!("retry#0#{id}"), fields)
}

#[tokio::test]
async fn a_warm_process_of_the_retry_service_works_off_the_queues_of_all_feeds_and_calls_nobody_without_need()
{
    let tenant = Tenant::start().await;
    tenant.set_document(&tenant.document_of_content().to_string());
    let handler = tenant.handler_of("test-retry");
    let dry_run = async || handler.answer(call(json!({"dry_run": true}))).await.unwrap();
    let idle = dry_run().await;
    assert_eq!((idle.status, idle.received, idle.service), (Status::DryRun, 0, "test-retry"));
    let seen = tenant.take_counts();
    assert_eq!((seen.get("login"), seen.get("content")), (None, None), "nothing waits: {seen:?}");

    for (partition, id) in [("ab123#test-mail", "aa"), ("ab123#test-files", "bb")] {
        tenant.dynamo.put_into(partition, &waiting(&tenant, id)).await;
    }
    for logins in [1, 0] {
        let report = dry_run().await;
        assert_eq!((report.status, report.received), (Status::DryRun, 2), "{report:?}");
        assert_eq!(report.samples.unwrap()[0].tag, "my.content.mail");
        let seen = tenant.take_counts();
        assert_eq!((seen.get("login").copied().unwrap_or_default(), seen["content"]), (logins, 2));
    }
}

#[tokio::test]
async fn a_tick_that_delivers_nothing_gives_its_lease_back() {
    let tenant = Tenant::start().await;
    let mut short = call(json!({}));
    short.deadline = Timestamp::now() + SignedDuration::from_secs(4);
    let error = tenant.handler().answer(short).await.unwrap_err();
    assert_eq!((error.error_type, error.code), (ErrorType::DeliveryError, code::UNREACHABLE), "{error}");
    let answer = tenant.dynamo.client.scan().table_name(support::TABLE).send().await.unwrap();
    let checkpoint = &answer.items()[0];
    assert_eq!(checkpoint["pk"].as_s().unwrap(), "ab123#test-things");
    assert!(!checkpoint.contains_key("lease_owner"));
    let lines = tenant.metrics();
    assert_eq!(lines.lines().count(), 1, "one line an invocation: {lines}");
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&line["failures"], &line["error_code"]), (&json!(1), &json!(600)));
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named_with_the_remedy() {
    let tenant = Tenant::start().await;
    let cases = [
        (json!({"__type": "ResourceNotFoundException", "Message": "none"}), "COLLECTOR_SECRET_ID"),
        (json!({"__type": "AccessDeniedException", "Message": "no"}), "secretsmanager:GetSecretValue"),
        (json!({"__type": "InvalidRequestException", "Message": "deleted"}), "deletion"),
        (json!({"__type": "DecryptionFailure", "Message": "no"}), "kms:Decrypt"),
        (json!({"SecretBinary": "AAAA"}), "as text"),
    ];
    for (given, remedy) in cases {
        tenant.set_secret("collector", given);
        let error = tenant.handler().answer(call(json!({}))).await.unwrap_err();
        assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
        assert!(error.message.contains("secret collector") && error.message.contains(remedy), "{error}");
    }
    tenant.set_secret("devo", json!({"__type": "AccessDeniedException", "Message": "no"}));
    let both = tenant.handler().answer(call(json!({}))).await.unwrap_err();
    assert!(both.message.contains("secret collector") && both.message.contains("secret devo"), "{both}");
}

#[tokio::test]
async fn a_secret_is_used_for_an_hour_and_no_longer() {
    let tenant = Tenant::start().await;
    let secrets = Secrets::new(&tenant.config());
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let after = |minutes| noon + SignedDuration::from_mins(minutes);
    tenant.set_document("first");
    assert_eq!(secrets.get("collector", noon).await.unwrap().expose_secret(), "first");
    tenant.set_document("second");
    assert_eq!(secrets.get("collector", after(60)).await.unwrap().expose_secret(), "first");
    assert_eq!(secrets.get("collector", after(61)).await.unwrap().expose_secret(), "second");
    tenant.set_document("third");
    assert_eq!(
        secrets.get_read_since("collector", after(61), after(62)).await.unwrap().expose_secret(),
        "second"
    );
    assert_eq!(
        secrets.get_read_since("collector", after(62), after(62)).await.unwrap().expose_secret(),
        "third"
    );
    tenant.set_secret("collector", json!({"__type": "AccessDeniedException", "Message": "no"}));
    assert!(secrets.get("collector", after(200)).await.is_err(), "an old copy does not stand in");
    assert!(!format!("{secrets:?}").contains("third"));
}

#[tokio::test]
async fn every_invocation_has_its_line_whatever_became_of_it() {
    let tenant = Tenant::start().await;
    let handler = tenant.handler();
    handler.answer(call(json!({"fource": true}))).await.unwrap_err();
    handler.answer(call(json!({"dry_run": true}))).await.unwrap();
    tenant
        .dynamo
        .put_into(
            "ab123#test-things",
            &row(
                "checkpoint",
                json!({
                    "version": 1, "writer": "another", "lease_owner": "another", "lease_expires_at": i64::MAX,
                    "persistence_version": 1, "hash_key": "0123456789abcdef0123456789abcdef",
                }),
            ),
        )
        .await;
    assert_eq!(handler.answer(call(json!({}))).await.unwrap().status, Status::Locked);
    tenant.dynamo.put_into("ab123#test-things", &row("checkpoint", json!({
        "version": 1, "writer": "another", "persistence_version": 1,
        "hash_key": "0123456789abcdef0123456789abcdef", "last_result": "up_to_date",
        "last_pull_in_utc": Timestamp::now().to_string(), "complete_to_in_utc": Timestamp::now().to_string(),
    }))).await;
    assert_eq!(handler.answer(call(json!({}))).await.unwrap().status, Status::NotDue);
    let mut switched_off = tenant.document("right");
    switched_off["inputs"]["test_input"]["enabled"] = json!(false);
    tenant.set_document(&switched_off.to_string());
    assert_eq!(tenant.handler().answer(call(json!({}))).await.unwrap().status, Status::Disabled);

    let lines = tenant.measured();
    let expected = [
        (Value::Null, json!(1), vec!["failures"]),
        (json!("dry_run"), json!(0), vec!["received", "quota_used_percent", "certificate_days"]),
        (json!("locked"), json!(0), vec!["received", "quota_used_percent", "certificate_days"]),
        (
            json!("not_due"),
            json!(0),
            vec![
                "received",
                "lag_beyond_period_seconds",
                "quota_used_percent",
                "certificate_days",
                "edge_hours",
            ],
        ),
        (json!("disabled"), json!(0), vec!["received"]),
    ];
    assert_eq!(lines.len(), expected.len());
    for ((line, names), (status, failures, declared)) in lines.iter().zip(&expected) {
        assert_eq!(
            (&line["status"], &line["failures"], names),
            (status, failures, &declared.iter().map(ToString::to_string).collect()),
            "{line}"
        );
        assert_eq!((&line["service"], &line["Collector"]), (&json!("test-things"), &json!("x")));
    }
}

#[tokio::test]
async fn the_days_of_both_certificates_are_measured_and_an_ended_one_is_below_zero() {
    let (cert, key) = certificate(40, &rcgen::PKCS_RSA_SHA256);
    let table = [
        (1_000, Some((cert.as_str(), key.as_str())), [json!(40), json!(40), json!(1_000)]),
        (29, Some((&cert, &key)), [json!(29), json!(40), json!(29)]),
        (20, None, [json!(20), Value::Null, json!(20)]),
        (-3, Some((&cert, &key)), [json!(-3), json!(40), json!(-3)]),
    ];
    for (days, login, expected) in table {
        let tenant = Tenant::start().await;
        tenant.set_secret("devo", json!({"SecretString": devo_secret(days)}));
        if let Some((cert, key)) = login {
            let mut document = tenant.document("unused");
            let credentials = &mut document["inputs"]["test_input"]["credentials"];
            credentials.as_object_mut().unwrap().shift_remove("client_secret");
            credentials["client_certificate"] = json!(cert);
            credentials["client_private_key"] = json!(key);
            tenant.set_document(&document.to_string());
        }
        let ended = tenant.handler().answer(call(json!({"dry_run": true}))).await;
        let lines = tenant.measured();
        let [(line, names)] = lines.as_slice() else { panic!("one line an invocation: {lines:?}") };
        let said = ["certificate_days", "client_certificate_days", "devo_certificate_days"];
        assert_eq!(said.map(|name| line[name].clone()), expected, "{ended:?}");
        assert!(names.iter().any(|name| name == "certificate_days"));
        assert!(!line.to_string().contains("BEGIN"), "days, and nothing of the certificate itself");
        if days < 0 {
            assert_eq!(ended.unwrap_err().code, code::CERTIFICATE);
        }
    }
}
