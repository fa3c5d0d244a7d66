//! The Devo secret: PEM in every shape it arrives in, and the problems of a document.

use base64::Engine;
use collector::error::{ErrorType, code};
use devo::{Compression, DevoConfig, DevoSink, Transport, pem};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls_pki_types::PrivateKeyDer;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use x509_parser::der_parser::der::parse_der;

use crate::pki::{Domain, Leaf, client_of};

type Mangling = fn(&str) -> String;

/// What becomes of PEM text on its way.
const MANGLINGS: [(&str, Mangling); 12] = [
    ("untouched", str::to_owned),
    ("spaces for line breaks", |pem| pem.replace('\n', " ")),
    ("joined lines", |pem| pem.replace('\n', "")),
    ("joined words", |pem| pem.split_whitespace().collect()),
    ("two characters for a line break", |pem| pem.replace('\n', "\\n")),
    ("escaped twice", |pem| pem.replace('\n', "\\\\n")),
    ("windows line breaks", |pem| pem.replace('\n', "\r\n")),
    ("escaped windows line breaks", |pem| pem.replace('\n', "\\r\\n")),
    ("indented", |pem| pem.lines().map(|line| format!("\n    {line}\t")).collect()),
    ("continued lines", |pem| pem.replace('\n', "\\\n")),
    ("a byte order mark and text around", |pem| format!("\u{feff}Bag Attributes: x\n{pem}\nfriendlyName: y")),
    ("one long line", |pem| {
        let joined = pem.replace('\n', "");
        joined.replace("KEY-----", "KEY-----\n").replace("CERTIFICATE-----", "CERTIFICATE-----\n")
    }),
];

/// The structure inside PKCS#8: PKCS#1 for RSA, SEC1 for elliptic curves.
fn inner_key(pair: &KeyPair, label: &str) -> String {
    let document = pair.serialize_der();
    let (_, outer) = parse_der(&document).unwrap();
    let inner = outer.as_sequence().unwrap()[2].as_slice().unwrap();
    armoured(label, inner)
}

fn armoured(label: &str, der: &[u8]) -> String {
    let digits = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        digits.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "-----BEGIN {label}-----
{}
-----END {label}-----
",
        lines.join(
            "
"
        )
    )
}

/// One key pair in each form of PEM that it has.
fn keys() -> Vec<(&'static str, KeyPair, String)> {
    let rsa = || KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let p256 = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let p384 = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = || KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut keys = Vec::new();
    for pair in [rsa(), p256(), p384(), ed25519()] {
        let text = pair.serialize_pem();
        keys.push(("PKCS#8", pair, text));
    }
    let pair = rsa();
    let text = inner_key(&pair, "RSA PRIVATE KEY");
    keys.push(("PKCS#1", pair, text));
    for pair in [p256(), p384()] {
        let text = inner_key(&pair, "EC PRIVATE KEY");
        keys.push(("SEC1", pair, text));
    }
    keys
}

fn document(domain: &Domain, leaf: &Leaf) -> Value {
    json!({"address": "collector-us.devo.io", "port": 443, "chain": domain.authority.pem(), "cert": leaf.cert, "key": leaf.key})
}

fn problems_of(document: &Value) -> String {
    let error = DevoConfig::from_secret(&document.to_string(), "unit").unwrap_err();
    assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
    error.message
}

#[test]
fn keys_and_chains_load_in_every_form_and_every_mangling() {
    let domain = Domain::new();
    let other = crate::pki::authority("second authority");
    for (form, pair, key) in keys() {
        let cert = client_of(&domain.authority, 2090, pair).cert;
        let chain = domain.authority.pem() + &other.pem();
        for (mangling, mangle) in MANGLINGS {
            let secret = json!({"address": "collector-us.devo.io", "chain": mangle(&chain), "cert": mangle(&cert), "key": mangle(&key)});
            let config = DevoConfig::from_secret(&secret.to_string(), "unit");
            let config = config.unwrap_or_else(|error| panic!("{form}, {mangling}: {error}"));
            DevoSink::new(config).unwrap();
            assert_eq!(pem::certificates(&mangle(&chain)).unwrap(), pem::certificates(&chain).unwrap());
            assert_eq!(pem::certificates(&chain).unwrap().len(), 2);
            let loaded = pem::private_key(&mangle(&key)).unwrap();
            assert_eq!(loaded, pem::private_key(&key).unwrap());
            let kind = match loaded {
                PrivateKeyDer::Pkcs1(_) => "PKCS#1",
                PrivateKeyDer::Sec1(_) => "SEC1",
                _ => "PKCS#8",
            };
            assert_eq!(kind, form);
        }
    }
}

#[test]
fn a_mended_text_is_the_proper_one() {
    let proper = Domain::new().authority.pem();
    for (mangling, mangle) in MANGLINGS {
        assert_eq!(pem::mend(&mangle(&proper)).unwrap(), proper.replace("\r\n", "\n"), "{mangling}");
    }
}

#[test]
fn unusable_pem_is_named_without_its_content() {
    let domain = Domain::new();
    let good = document(&domain, &domain.client);
    let cut_off: String = domain.client.key.chars().take(100).collect();
    let damaged = domain.client.key.replacen("MI", "M!", 1);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nTUlJ\n-----END ENCRYPTED PRIVATE KEY-----";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nTUlJ\n-----END RSA PRIVATE KEY-----";
    let no_certificate = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----";
    let strange_key = "-----BEGIN PRIVATE KEY-----\nTUlJ\n-----END PRIVATE KEY-----";
    let stranger = crate::pki::client(&domain.authority).key;
    for (part, text, expected) in [
        ("key", "", "`key` is empty"),
        ("key", "hunter2", "`key` is not PEM"),
        ("key", &cut_off, "`key` is cut off"),
        ("key", &damaged, "`key` is damaged"),
        ("key", encrypted, "`key` is encrypted"),
        ("key", old_encrypted, "`key` is encrypted"),
        ("key", &domain.client.cert, "`key` holds no private key"),
        ("key", strange_key, "`key` is of a kind that cannot be used"),
        ("key", &stranger, "`key` does not belong to the certificate in `cert`"),
        ("cert", &domain.client.key, "`cert` holds no block"),
        ("cert", no_certificate, "`cert` holds a certificate that cannot be read"),
        ("chain", no_certificate, "`chain` holds a certificate that cannot be read, number 1"),
        ("chain", "hunter2", "`chain` is not PEM"),
    ] {
        let mut changed = good.clone();
        changed[part] = json!(text);
        let message = problems_of(&changed);
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("hunter2") && !message.contains("TUlJ"), "{message}");
        assert!(!message.contains(';'), "one problem: {message}");
    }
}

#[test]
fn a_secret_loads_with_its_defaults_and_with_numbers_as_text() {
    let domain = Domain::new();
    let plain = document(&domain, &domain.client);
    let config = DevoConfig::from_secret(&plain.to_string(), "graph-sign-ins").unwrap();
    assert_eq!((config.address.as_str(), config.port), ("collector-us.devo.io", 443));
    assert_eq!((config.compression, config.host.as_str()), (Compression::Gzip, "graph-sign-ins"));
    let mut spelled = plain.clone();
    spelled["port"] = json!("6514");
    spelled["compression"] = json!("None");
    spelled["verify_hostname"] = json!("false");
    let config = DevoConfig::from_secret(&spelled.to_string(), "h").unwrap();
    assert_eq!((config.port, config.compression), (6514, Compression::None));
    assert!(matches!(&config.transport, Transport::Tls(material) if !material.verify_hostname));
    let shown = format!("{config:?} {:?}", DevoSink::new(config.clone()).unwrap());
    let Transport::Tls(material) = &config.transport else { panic!("no tls") };
    let line = material.key.expose_secret().lines().nth(1).unwrap();
    assert!(!shown.contains(line) && !shown.contains("BEGIN"), "{shown}");
}

#[test]
fn all_problems_of_a_secret_are_in_one_error() {
    let domain = Domain::new();
    let mut broken = document(&domain, &domain.client);
    broken["port"] = json!(70_000);
    broken["compression"] = json!("brotli");
    broken["verify_hostname"] = json!("perhaps");
    broken["adress"] = json!("x");
    broken["zzz"] = json!(1);
    broken["key"] = json!("hunter2");
    broken["address"] = json!("https://collector-us.devo.io");
    let message = problems_of(&broken);
    for expected in [
        "`port` is no number from 1 to 65535",
        "`compression` is neither",
        "`verify_hostname` is neither",
        "unknown key `adress`, did you mean `address`",
        "unknown key `zzz`, known are address, port",
        "`key` is not PEM",
        "`address` is a host name alone",
    ] {
        assert!(message.contains(expected), "{expected} not in {message}");
    }
    for (text, expected) in [
        ("{", "is not JSON, line 1"),
        ("[]", "is no JSON object"),
        ("{}", "`address` is missing; `chain` is missing; `cert` is missing; `key` is missing"),
    ] {
        let message = DevoConfig::from_secret(text, "h").unwrap_err().message;
        assert!(message.ends_with(expected) || message.contains(expected), "{message}");
    }
}
