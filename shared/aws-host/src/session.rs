//! What a warm process keeps from one invocation to the next: the access to Microsoft with its token, the sink with its
//! TLS session, and the record hashes read so far.
//!
//! All of it was made from the text of two secrets and is thrown away when either text changes. Settings that an
//! invocation brings along get an access of their own, which ends with the invocation. When the certificates end is known
//! before anything is made of them: one that has ended fails each invocation, and each says so.

use std::sync::Arc;

use collector::error::{Error, ErrorType, code};
use collector::outlook::Certificate;
use collector::run::{Invocation, Outcome, Ports, Warm, invoke};
use collector::settings::Settings;
use collector::settings::document::parse_json;
use devo::{DevoConfig, DevoSink};
use jiff::Timestamp;
use microsoft::Microsoft;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::dynamo::DynamoStore;

/// The text of the two secrets.
#[derive(Debug, Clone)]
pub struct Texts {
    /// The configuration document.
    pub collector: SecretString,
    /// Devo's address and certificates.
    pub devo: SecretString,
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        self.collector.expose_secret() == other.collector.expose_secret()
            && self.devo.expose_secret() == other.devo.expose_secret()
    }
}

/// What is kept.
pub struct Session {
    texts: Texts,
    devo: DevoConfig,
    certificate_for_devo: Option<Certificate>,
    certificate_for_login: Option<Certificate>,
    microsoft: Option<Microsoft>,
    sink: Option<DevoSink>,
    warm: Warm,
}

impl Session {
    /// A session of these secrets for the service `function`; opens no connection.
    pub fn new(texts: Texts, function: &str) -> Result<Self, Error> {
        let devo = DevoConfig::from_secret(texts.devo.expose_secret(), function)?;
        Ok(Self {
            texts,
            certificate_for_devo: devo.certificate(),
            certificate_for_login: None,
            devo,
            microsoft: None,
            sink: None,
            warm: Warm::default(),
        })
    }

    /// The certificates of the two secrets, as far as an invocation has looked at them.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.certificate_for_login.into_iter().chain(self.certificate_for_devo).collect()
    }

    /// True when this was made from these texts.
    pub fn is_of(&self, texts: &Texts) -> bool {
        self.texts == *texts
    }

    /// Plays one invocation with the settings that the document and the event give.
    pub async fn play(
        &mut self,
        mut invocation: Invocation,
        settings: &Settings,
        store: &DynamoStore,
        clock: fn() -> Timestamp,
    ) -> Result<Outcome, Error> {
        if self.microsoft.is_none() {
            self.certificate_for_login = microsoft::certificate(&settings.connection.credential);
        }
        invocation.certificates = self.certificates();
        let sink = match self.sink {
            Some(ref mut kept) => kept,
            None => self.sink.insert(DevoSink::new(self.devo.clone())?),
        };
        let own_access;
        let microsoft = if invocation.request.settings.is_some() {
            own_access = Microsoft::new(settings)?;
            &own_access
        } else {
            match self.microsoft {
                Some(ref kept) => kept,
                None => self.microsoft.insert(Microsoft::new(settings)?),
            }
        };
        invocation.warnings.extend_from_slice(microsoft.warnings());
        invocation.warnings.extend(sink.warnings());
        let mut source = microsoft.source(Arc::new(clock));
        let ports = Ports { source: &mut source, sink, state: store, clock: &clock, progress: &|_| {} };
        Ok(invoke(&invocation, settings, ports, &mut self.warm).await)
    }
}

/// Reads the configuration document, JSON or YAML. The error quotes nothing of it: the text is a secret.
pub fn read_document(text: &SecretString) -> Result<Value, Error> {
    let text = text.expose_secret();
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return parse_json(text);
    }
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = error
            .location()
            .map(|location| format!(" at line {}, column {}", location.line(), location.column()))
            .unwrap_or_default();
        let message =
            format!("the configuration document is neither JSON nor YAML: it is not well-formed{place}");
        Error::new(ErrorType::InitVariablesError, code::SETTINGS, message)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_json_or_yaml() {
        let expected = json!({"inputs": {"microsoft_graph_audit": {"id": "ab123", "enabled": true}}});
        let documents = [
            r#"{"inputs": {"microsoft_graph_audit": {"id": "ab123", "enabled": true}}}"#,
            "\u{feff} \n{\"inputs\": {\"microsoft_graph_audit\": {\"id\": \"ab123\", \"enabled\": true}}}",
            "inputs:\n  microsoft_graph_audit:\n    id: ab123\n    enabled: true\n",
            "# mine\n---\ninputs: {microsoft_graph_audit: {id: ab123, enabled: true}}\n",
        ];
        for document in documents {
            assert_eq!(read_document(&document.into()).unwrap(), expected, "{document}");
        }
    }

    #[test]
    fn the_error_of_a_broken_document_shows_its_place_and_nothing_of_it() {
        let documents = [
            "{\"client_secret\": \"hunter2\" \"x\": 1}",
            "inputs:\n  client_secret: \"hunter2\n",
            "client_secret: hunter2\n  hunter2: [\n",
            "a: *hunter2\n",
        ];
        for document in documents {
            let error = read_document(&document.into()).unwrap_err();
            assert_eq!((error.error_type, error.code), (ErrorType::InitVariablesError, code::SETTINGS));
            assert!(!error.message.contains("hunter2"), "{}", error.message);
            assert!(error.message.contains("line"), "{}", error.message);
        }
    }

    #[test]
    fn texts_are_the_same_only_when_both_are() {
        let texts = |collector: &str, devo: &str| Texts { collector: collector.into(), devo: devo.into() };
        assert!(texts("a", "b") == texts("a", "b"));
        assert!(texts("a", "b") != texts("a", "c"));
        assert!(texts("a", "b") != texts("c", "b"));
        assert!(!format!("{:?}", texts("hunter2", "hunter2")).contains("hunter2"));
    }
}
