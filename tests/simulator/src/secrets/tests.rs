//! The secret store over the wire.

use serde_json::{Value, json};

use super::Secrets;

async fn ask(secrets: &Secrets, target: &str, authorization: &str, secret_id: &str) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(secrets.url())
        .header("X-Amz-Target", target)
        .header("Authorization", authorization)
        .body(json!({ "SecretId": secret_id }).to_string());
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn values_are_given_by_name_or_arn_and_can_be_replaced() {
    const GET: &str = "secretsmanager.GetSecretValue";
    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=x";
    let secrets = Secrets::start().await.unwrap();
    secrets.put("team/settings", "first").unwrap();
    let (status, body) = ask(&secrets, GET, SIGNED, "team/settings").await;
    assert_eq!(
        (status, &body["SecretString"], &body["Name"]),
        (200, &json!("first"), &json!("team/settings"))
    );
    secrets.put("team/settings", "second").unwrap();
    let (_, replaced) = ask(&secrets, GET, SIGNED, body["ARN"].as_str().unwrap()).await;
    assert_eq!(replaced["SecretString"], "second");
    assert_ne!(replaced["VersionId"], body["VersionId"]);

    secrets.remove("team/settings");
    for (target, authorization, error_type) in [
        (GET, SIGNED, "ResourceNotFoundException"),
        (GET, "Bearer x", "MissingAuthenticationTokenException"),
        ("secretsmanager.ListSecrets", SIGNED, "UnknownOperationException"),
    ] {
        let (status, body) = ask(&secrets, target, authorization, "team/settings").await;
        assert_eq!((status, &body["__type"]), (400, &json!(error_type)));
    }
    let statuses: Vec<u16> = secrets.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [200, 200, 400, 400, 400]);
}
