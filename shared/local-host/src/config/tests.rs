//! Configurations as operators have them, whole and broken.

use devo::{Compression, Transport};
use secrecy::ExposeSecret;

use super::*;

/// A product folder in the vendor's layout.
struct Product {
    folder: tempfile::TempDir,
}

impl Product {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["config", "certs"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["chain.crt", "acme.crt", "acme.key"] {
            std::fs::write(folder.path().join("certs").join(name), format!("-----BEGIN {name}-----\n"))
                .unwrap();
        }
        Self { folder }
    }

    fn load(&self, text: &str) -> Result<Configuration, Error> {
        let path = self.folder.path().join("config/config.yaml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }
}

const VENDORS: &str = r#"
globals:
  debug: false
  id: 12345
  name: msgraph
  persistence:
    type: filesystem
    config:
      directory_name: state
outputs:
  devo_us_1:
    type: devo_platform
    config:
      address: collector-us.devo.io
      port: 443
      type: SSL
      chain: chain.crt
      cert: acme.crt
      key: acme.key
inputs:
  microsoft_graph_audit:
    id: ab123
    enabled: true
    credentials: {tenant_id: t, client_id: c, client_secret: s}
    services:
      directory_audits:
        request_period_in_seconds: "300"
        start_time_in_utc: 2026-11-01T00:00:00Z
"#;

#[test]
fn the_vendors_file_in_the_vendors_folders_works_unchanged() {
    let product = Product::new();
    let configuration = product.load(VENDORS).unwrap();
    assert_eq!(configuration.id.as_deref(), Some("12345"));
    assert_eq!(configuration.name, "msgraph");
    assert_eq!(configuration.state_file, product.folder.path().join("state").join(STATE_FILE_NAME));
    assert_eq!(configuration.problems, Vec::<String>::new());
    assert_eq!(configuration.warnings, ["globals: ignored, not needed here: debug"]);
    let services = &configuration.document["inputs"]["microsoft_graph_audit"]["services"];
    assert_eq!(services["directory_audits"]["start_time_in_utc"], "2026-11-01T00:00:00Z");
    let [OutputPlan { name, receiver: Receiver::Network(devo) }] = configuration.outputs.as_slice() else {
        panic!("{:?}", configuration.outputs);
    };
    assert_eq!((name.as_str(), devo.address.as_str(), devo.port), ("devo_us_1", "collector-us.devo.io", 443));
    let Transport::Tls(material) = &devo.transport else { panic!("{devo:?}") };
    assert_eq!(material.chain, "-----BEGIN chain.crt-----\n");
    assert_eq!(material.cert, "-----BEGIN acme.crt-----\n");
    assert_eq!(material.key.expose_secret(), "-----BEGIN acme.key-----\n");
    assert!(material.verify_hostname);
    assert_eq!(devo.compression, Compression::Gzip);
}

#[test]
fn json_reads_as_yaml_does() {
    let product = Product::new();
    let text =
        r#"{"outputs": {"a": {"type": "stdout"}}, "inputs": {"x": {"id": 1}}, "global_overrides": {}}"#;
    let configuration = product.load(text).unwrap();
    assert!(matches!(configuration.outputs[0].receiver, Receiver::Console));
    assert_eq!(configuration.document, json!({"inputs": {"x": {"id": 1}}}));
}

#[test]
fn every_spelling_of_an_output_is_known() {
    let product = Product::new();
    let tls = "{url: 'https://eu.elb.relay.logtrust.net:8443/', chain: chain.crt, cert: acme.crt, key: acme.key, \
               compression: none, verify_hostname: 'false'}";
    let cases = [
        ("devo_platform", tls, "eu.elb.relay.logtrust.net", 8443, true),
        ("relay", tls, "eu.elb.relay.logtrust.net", 8443, true),
        ("syslog", "{address: relay.house}", "relay.house", 514, false),
        ("in_house_relay", "{address: 10.0.0.7, port: '13000'}", "10.0.0.7", 13000, false),
        ("sidecar", "{address: '[::1]:601'}", "::1", 601, false),
        ("sidecar", "{address: '::1'}", "::1", 514, false),
    ];
    for (kind, config, host, expected_port, expects_tls) in cases {
        let text = format!("outputs: {{o: {{type: {kind}, config: {config}}}}}\ninputs: {{x: {{}}}}\n");
        match &product.load(&text).unwrap().outputs[0].receiver {
            Receiver::Network(devo) => {
                assert_eq!((devo.address.as_str(), devo.port), (host, expected_port), "{kind}");
                assert_eq!(devo.compression, Compression::None, "{kind}");
                let verifies = match &devo.transport {
                    Transport::Tls(material) => Some(material.verify_hostname),
                    Transport::Plain => None,
                };
                assert_eq!(verifies, expects_tls.then_some(false), "{kind}");
            }
            Receiver::Console => panic!("{kind}"),
        }
    }
    for kind in ["console", "stdout"] {
        let text = format!("outputs: {{o: {{type: {kind}}}}}\ninputs: {{x: {{}}}}\n");
        assert!(matches!(product.load(&text).unwrap().outputs[0].receiver, Receiver::Console), "{kind}");
    }
}

#[test]
fn all_problems_are_named_together_with_their_place_and_remedy() {
    let product = Product::new();
    std::fs::write(product.folder.path().join("certs/empty.crt"), "nothing").unwrap();
    let configuration = product
        .load(
            r#"
global: {}
globals:
  queue_max_size: 3
  persistence: {type: redis, config: {directory: state}}
outputs:
  one: {type: devo_plattform}
  two: {type: relay, config: {adress: a, port: 70000, type: TCP, chain: empty.crt, cert: none.crt, compression: zip}}
  three: {config: {}}
  four: {type: syslog, config: {address: "two words", verify_hostname: true}}
  five: console
  six: {type: relay, enabled: false}
inputs: []
"#,
        )
        .unwrap();
    let folder = product.folder.path().display().to_string();
    insta::assert_snapshot!(configuration.problems.join("\n").replace(&folder, "<product>"));
}

#[test]
fn a_file_that_is_no_document_is_one_problem_that_shows_none_of_its_text() {
    let product = Product::new();
    for text in
        ["client_secret: top-secret: x", "{\"client_secret\": \"top-secret\"", "- top-secret", "top-secret"]
    {
        let error = product.load(text).unwrap_err();
        assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
        let message = error.message;
        assert!(message.contains("config.yaml: is no "), "{message}");
        assert!(!message.contains("top-secret"), "{message}");
    }
    let missing = load(Path::new("absent/config.yaml")).unwrap_err();
    assert!(missing.message.contains("--config or CONFIG_FILE"), "{missing}");
}

#[test]
fn the_configuration_is_found_where_the_vendors_container_has_it() {
    let product = Product::new();
    let root = product.folder.path();
    assert_eq!(locate(root, None), root.join("config.yaml"), "nothing there: the plainest name");
    std::fs::write(root.join("config.yaml"), "").unwrap();
    assert_eq!(locate(root, None), root.join("config.yaml"));
    std::fs::write(root.join("config/config.yaml"), "").unwrap();
    std::fs::write(root.join("config/config-msgraph.yaml"), "").unwrap();
    assert_eq!(locate(root, None), root.join("config/config.yaml"));
    assert_eq!(locate(root, Some(Path::new("config-msgraph.yaml"))), root.join("config/config-msgraph.yaml"));
    assert_eq!(locate(root, Some(Path::new("config.yaml"))), root.join("config.yaml"));
    let elsewhere = root.join("elsewhere.yaml");
    assert_eq!(locate(root, Some(&elsewhere)), elsewhere);
}

#[test]
fn the_state_folder_is_beside_the_config_folder_or_beside_the_file_or_where_it_says() {
    let product = Product::new();
    let root = product.folder.path();
    let flat = root.join("flat.yaml");
    std::fs::write(&flat, VENDORS).unwrap();
    assert_eq!(load(&flat).unwrap().state_file, root.join("state").join(STATE_FILE_NAME));
    let absolute = root.join("elsewhere");
    let text = VENDORS.replace("directory_name: state", &format!("directory_name: {}", absolute.display()));
    assert_eq!(product.load(&text).unwrap().state_file, absolute.join(STATE_FILE_NAME));
}

#[test]
fn the_debug_form_of_a_configuration_shows_no_private_key() {
    let product = Product::new();
    let shown = format!("{:?}", product.load(VENDORS).unwrap().outputs);
    assert!(!shown.contains("BEGIN acme.key"), "{shown}");
}
