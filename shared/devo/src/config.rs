//! What is known about one Devo endpoint, and how it is read from the secret that holds it.
//!
//! The secret is a JSON object: `address`, `chain`, `cert` and `key`, optionally `port`, `compression` and
//! `verify_hostname`. All problems of it are reported in one error, by the name of the part; a value is never shown.

use std::fmt;

use collector::error::{Error, ErrorType, code};
use collector::outlook::Certificate;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::tls;

/// Port of Devo's public endpoints.
const DEFAULT_PORT: u16 = 443;
const KEYS: [&str; 7] = ["address", "port", "chain", "cert", "key", "compression", "verify_hostname"];
/// Less alike than this, a known key is no help.
const ALIKE: f64 = 0.7;
/// What is shown of an unknown key: enough to find it.
const SHOWN_CHARACTERS: usize = 40;

/// One endpoint.
#[derive(Debug, Clone)]
pub struct DevoConfig {
    /// Host name or IP address.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// How the stream is protected.
    pub transport: Transport,
    /// How the lines are packed.
    pub compression: Compression,
    /// HOST of the lines.
    pub host: String,
}

/// How the stream is protected.
#[derive(Debug, Clone)]
pub enum Transport {
    /// TLS with a client certificate.
    Tls(TlsMaterial),
    /// Plain TCP, for a relay in the own network.
    Plain,
}

/// The certificates of a TLS endpoint, as PEM text whose line breaks may have been lost.
#[derive(Clone)]
pub struct TlsMaterial {
    /// The certificates that are trusted, and no others.
    pub chain: String,
    /// The client certificate; its issuers may follow it.
    pub cert: String,
    /// Its private key: PKCS#1, PKCS#8 or SEC1.
    pub key: SecretString,
    /// Whether the server's certificate must be for `address`.
    pub verify_hostname: bool,
}

/// How the lines are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Gzip members of complete lines, back to back.
    Gzip,
    /// Lines.
    None,
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial").field("verify_hostname", &self.verify_hostname).finish_non_exhaustive()
    }
}

impl DevoConfig {
    /// Reads the document of the Devo secret, certificates included. `host` becomes HOST of the lines. The one error,
    /// InitVariablesError 1, names every problem.
    pub fn from_secret(json: &str, host: &str) -> Result<Self, Error> {
        let document: Value = serde_json::from_str(json).map_err(|error| {
            problem(&[format!("is not JSON, line {} column {}", error.line(), error.column())])
        })?;
        let Value::Object(members) = document else {
            return Err(problem(&["is no JSON object".to_owned()]));
        };
        let mut reader = Reader { members: &members, problems: Vec::new() };
        let config = reader.config(host);
        reader.check_keys();
        if reader.problems.is_empty() { Ok(config) } else { Err(problem(&reader.problems)) }
    }

    /// The certificate that ends first: the client's own or one of its issuers. Also one that has ended; `None` without TLS,
    /// and for what is no certificate.
    pub fn certificate(&self) -> Option<Certificate> {
        match &self.transport {
            Transport::Tls(material) => tls::first_to_end(material),
            Transport::Plain => None,
        }
    }
}

/// The error of a document with these problems.
pub(crate) fn problem(problems: &[String]) -> Error {
    let message = format!("the devo settings are not usable: {}", problems.join("; "));
    Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
}

struct Reader<'a> {
    members: &'a Map<String, Value>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn config(&mut self, host: &str) -> DevoConfig {
        let address = self.address();
        let port = self.port();
        let compression = self.compression();
        let material = TlsMaterial {
            chain: self.text("chain"),
            cert: self.text("cert"),
            key: SecretString::from(self.text("key")),
            verify_hostname: self.verify_hostname(),
        };
        let has_all_parts =
            ["address", "chain", "cert", "key"].iter().all(|key| self.members.contains_key(*key));
        if (has_all_parts || self.problems.is_empty())
            && let Err(problems) = tls::client(&material, &address)
        {
            self.problems.extend(problems);
        }
        DevoConfig { address, port, transport: Transport::Tls(material), compression, host: host.to_owned() }
    }

    fn text(&mut self, key: &str) -> String {
        match self.members.get(key) {
            Some(Value::String(text)) => return text.trim().to_owned(),
            None | Some(Value::Null) => self.problems.push(format!("`{key}` is missing")),
            Some(_) => self.problems.push(format!("`{key}` is no text")),
        }
        String::new()
    }

    fn address(&mut self) -> String {
        let address = self.text("address");
        if address.contains("://") || address.contains('/') {
            self.problems.push("`address` is a host name alone, without scheme and path".to_owned());
        } else if address.matches(':').count() == 1 {
            self.problems.push("`address` is a host name alone, the port goes into `port`".to_owned());
        }
        address
    }

    fn port(&mut self) -> u16 {
        let number = match self.members.get("port") {
            None | Some(Value::Null) => Some(DEFAULT_PORT),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        number.filter(|port| *port > 0).unwrap_or_else(|| {
            self.problems.push("`port` is no number from 1 to 65535".to_owned());
            DEFAULT_PORT
        })
    }

    fn compression(&mut self) -> Compression {
        let word = match self.members.get("compression") {
            None | Some(Value::Null) => return Compression::Gzip,
            Some(value) => value.as_str().map(|text| text.trim().to_ascii_lowercase()),
        };
        match word.as_deref() {
            Some("gzip") => Compression::Gzip,
            Some("none") => Compression::None,
            _ => {
                self.problems.push("`compression` is neither \"gzip\" nor \"none\"".to_owned());
                Compression::Gzip
            }
        }
    }

    fn verify_hostname(&mut self) -> bool {
        let word = match self.members.get("verify_hostname") {
            None | Some(Value::Null) => return true,
            Some(Value::Bool(value)) => return *value,
            Some(value) => value.as_str().map(|text| text.trim().to_ascii_lowercase()),
        };
        match word.as_deref() {
            Some("true") => true,
            Some("false") => false,
            _ => {
                self.problems.push("`verify_hostname` is neither true nor false".to_owned());
                true
            }
        }
    }

    fn check_keys(&mut self) {
        for key in self.members.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let shown: String = key.chars().take(SHOWN_CHARACTERS).collect();
            let likeness = |known: &&str| strsim::jaro_winkler(&key.to_lowercase(), known);
            let nearest = KEYS.iter().max_by(|left, right| likeness(left).total_cmp(&likeness(right)));
            let hint = match nearest.filter(|known| likeness(known) >= ALIKE) {
                Some(known) => format!("did you mean `{known}`"),
                None => format!("known are {}", KEYS.join(", ")),
            };
            self.problems.push(format!("unknown key `{shown}`, {hint}"));
        }
    }
}
