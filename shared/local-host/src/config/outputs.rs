//! The `outputs` of a configuration: where events go, with the certificates that it takes.
//!
//! `devo_platform` and `relay` speak TLS with the domain's client certificate; `syslog`, `in_house_relay` and
//! `sidecar` speak plain TCP to a relay in the house; `console` and `stdout` print. Each event goes to each output.

use collector::outlook::Certificate;
use devo::{Compression, DevoConfig, TlsMaterial, Transport};
use serde_json::{Map, Value};

use crate::config::files::Folders;
use crate::config::reader::{Reader, hint};

/// Port of the Devo platform.
const TLS_PORT: u16 = 443;

/// Port of syslog over plain TCP, as relays listen on it.
const PLAIN_PORT: u16 = 514;

const TYPES: &[&str] =
    &["devo_platform", "relay", "syslog", "in_house_relay", "sidecar", "console", "stdout"];

const TLS_KEYS: &[&str] =
    &["address", "url", "port", "type", "chain", "cert", "key", "compression", "verify_hostname"];

const PLAIN_KEYS: &[&str] = &["address", "url", "port", "type"];

/// Keys that tune the vendor's own senders; this collector has none of them.
const IGNORED_KEYS: &[&str] = &[
    "concurrent_connections",
    "period_sender_stats_in_seconds",
    "generate_metrics",
    "activate_final_queue",
    "threshold_for_using_gzip_in_transport_layer",
    "compression_level",
    "compression_buffer_in_bytes",
    "connecting_retries",
    "sending_retries",
];

/// One output, ready to be opened.
#[derive(Debug)]
pub struct OutputPlan {
    /// Its name in the configuration.
    pub name: String,
    /// What receives the events.
    pub receiver: Receiver,
}

impl OutputPlan {
    /// The certificate that ends first, of an output that has any.
    pub fn certificate(&self) -> Option<Certificate> {
        match &self.receiver {
            Receiver::Network(config) => config.certificate(),
            Receiver::Console => None,
        }
    }
}

/// What receives the events of an output.
#[derive(Debug)]
pub enum Receiver {
    /// Syslog lines over TCP; HOST of the lines is set when a service opens it.
    Network(DevoConfig),
    /// Standard output, one JSON object a line.
    Console,
}

/// Reads the enabled outputs, their files included.
pub(super) fn read(document: &Map<String, Value>, folders: &Folders, reader: &mut Reader) -> Vec<OutputPlan> {
    let Some(outputs) = reader.object(document, "outputs", "outputs") else {
        return Vec::new();
    };
    let mut plans = Vec::new();
    for name in outputs.keys() {
        let place = format!("outputs.{name}");
        let Some(output) = reader.object(outputs, name, &place) else {
            reader.problem(&place, "must have a type and a config");
            continue;
        };
        reader.unknown_keys(output, &place, &["type", "config", "enabled"], &[]);
        if reader.flag(output, "enabled", &place) == Some(false) {
            continue;
        }
        let receiver = read_receiver(output, &place, folders, reader);
        plans.extend(receiver.map(|receiver| OutputPlan { name: name.clone(), receiver }));
    }
    plans
}

fn read_receiver(
    output: &Map<String, Value>,
    place: &str,
    folders: &Folders,
    reader: &mut Reader,
) -> Option<Receiver> {
    let kind = reader.text(output, "type", place);
    let empty = Map::new();
    let config_place = format!("{place}.config");
    let config = reader.object(output, "config", &config_place).unwrap_or(&empty);
    match kind.as_deref() {
        Some("devo_platform" | "relay") => read_tls(config, &config_place, folders, reader),
        Some("syslog" | "in_house_relay" | "sidecar") => {
            reader.unknown_keys(config, &config_place, PLAIN_KEYS, IGNORED_KEYS);
            let (address, port) = read_address(config, &config_place, PLAIN_PORT, reader);
            let (transport, compression) = (Transport::Plain, Compression::None);
            Some(Receiver::Network(DevoConfig {
                address: address?,
                port,
                transport,
                compression,
                host: String::new(),
            }))
        }
        Some("console" | "stdout") => Some(Receiver::Console),
        Some(other) => {
            reader.problem(&format!("{place}.type"), &format!("{other} is unknown, {}", hint(other, TYPES)));
            None
        }
        None => {
            reader.problem(&format!("{place}.type"), &format!("is missing; one of {}", TYPES.join(", ")));
            None
        }
    }
}

fn read_tls(
    config: &Map<String, Value>,
    place: &str,
    folders: &Folders,
    reader: &mut Reader,
) -> Option<Receiver> {
    reader.unknown_keys(config, place, TLS_KEYS, IGNORED_KEYS);
    let (address, port) = read_address(config, place, TLS_PORT, reader);
    let transport = reader.text(config, "type", place);
    if transport.is_some_and(|transport| !matches!(transport.to_ascii_uppercase().as_str(), "SSL" | "TLS")) {
        reader.problem(&format!("{place}.type"), "must be SSL; for plain TCP use an output of type syslog");
    }
    let chain = read_pem(config, "chain", place, folders, reader);
    let certificate = read_pem(config, "cert", place, folders, reader);
    let key = read_pem(config, "key", place, folders, reader);
    let compression = match reader.text(config, "compression", place).as_deref() {
        None | Some("gzip") => Compression::Gzip,
        Some("none") => Compression::None,
        Some(_) => {
            reader.problem(&format!("{place}.compression"), "must be gzip or none");
            Compression::Gzip
        }
    };
    let verify_hostname = reader.flag(config, "verify_hostname", place).unwrap_or(true);
    let material = TlsMaterial { chain: chain?, cert: certificate?, key: key?.into(), verify_hostname };
    let transport = Transport::Tls(material);
    Some(Receiver::Network(DevoConfig {
        address: address?,
        port,
        transport,
        compression,
        host: String::new(),
    }))
}

/// The host and port of `address`, or of its other spelling `url`, which may hold a scheme and a port.
fn read_address(
    config: &Map<String, Value>,
    place: &str,
    default_port: u16,
    reader: &mut Reader,
) -> (Option<String>, u16) {
    let port = reader.port(config, "port", place);
    let given = reader.text(config, "address", place).or_else(|| reader.text(config, "url", place));
    let Some(given) = given else {
        reader.problem(
            &format!("{place}.address"),
            "is missing; for Devo it is for example collector-us.devo.io",
        );
        return (None, default_port);
    };
    let (host, port_of_address) = split_address(&given);
    if host.is_empty() || host.contains(|letter: char| letter.is_whitespace() || letter == '/') {
        reader.problem(&format!("{place}.address"), "must be a host name or an address");
        return (None, default_port);
    }
    (Some(host.to_owned()), port.or(port_of_address).unwrap_or(default_port))
}

fn split_address(given: &str) -> (&str, Option<u16>) {
    let after_scheme = given.split_once("://").map_or(given, |(_, rest)| rest).trim_end_matches('/');
    if let Some(bracketed) = after_scheme.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').unwrap_or((bracketed, ""));
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match after_scheme.split_once(':') {
        // More than one colon without brackets is an IPv6 address.
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (after_scheme, None),
    }
}

/// The PEM text of a file named in the configuration, or given there in full.
fn read_pem(
    config: &Map<String, Value>,
    key: &str,
    place: &str,
    folders: &Folders,
    reader: &mut Reader,
) -> Option<String> {
    let member = format!("{place}.{key}");
    let Some(name) = reader.text(config, key, place) else {
        reader.problem(&member, "is missing; it names a file of the folder certs");
        return None;
    };
    if name.starts_with("-----BEGIN") {
        return Some(name);
    }
    let candidates = folders.certificate_candidates(&name);
    let Some(path) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let first = candidates.first().map(|path| path.display().to_string()).unwrap_or_default();
        reader.problem(&member, &format!("names no file: neither {first} nor {name} exists"));
        return None;
    };
    match std::fs::read_to_string(path) {
        Ok(pem) if pem.contains("-----BEGIN") => Some(pem),
        Ok(_) => {
            reader.problem(&member, &format!("{} holds no PEM text", path.display()));
            None
        }
        Err(cause) => {
            reader.problem(&member, &format!("{} cannot be read: {cause}", path.display()));
            None
        }
    }
}
