//! What must never leave the process, and the search for it in everything that did.

use serde_json::Value;

/// Beginning of every token that the tenant gives.
const TOKEN_MARK: &str = "simulated.";
/// Shorter parts of a key could be anything.
const TELLING_CHARACTERS: usize = 24;
/// Enough to find the place.
const SHOWN_CHARACTERS: usize = 200;

/// The secrets of one world.
#[derive(Debug, Clone, Default)]
pub struct Confidential {
    needles: Vec<String>,
}

impl Confidential {
    /// Adds a secret text.
    pub fn add(&mut self, secret: &str) {
        self.needles.push(secret.to_owned());
    }

    /// Adds a private key: every line of it is secret.
    pub fn add_key(&mut self, pem: &str) {
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        self.needles.extend(lines.filter(|line| line.len() >= TELLING_CHARACTERS).map(str::to_owned));
    }

    /// Adds whatever the two secret documents hold: credentials and keys.
    pub fn add_documents(&mut self, document: &Value, devo: &Value) {
        for input in document["inputs"].as_object().into_iter().flat_map(|inputs| inputs.values()) {
            let credentials = &input["credentials"];
            for name in ["client_secret", "files_access_token"] {
                if let Some(secret) = credentials[name].as_str() {
                    self.add(secret);
                }
            }
            if let Some(key) = credentials["client_private_key"].as_str() {
                self.add_key(key);
            }
        }
        if let Some(key) = devo["key"].as_str() {
            self.add_key(key);
        }
    }

    /// What stands before a secret in the text, if one is there.
    pub fn before_secret_in(&self, text: &str) -> Option<String> {
        let needles = self.needles.iter().map(String::as_str).chain([TOKEN_MARK]);
        let at = needles.filter_map(|needle| text.find(needle)).min()?;
        let shown = text[..at].char_indices().rev().nth(SHOWN_CHARACTERS).map_or(0, |(start, _)| start);
        Some(text[shown..at].to_owned())
    }

    /// Fails the test when the text holds a secret; `what` says which text it is.
    pub fn must_not_be_in(&self, what: &str, text: &str) {
        if let Some(before) = self.before_secret_in(text) {
            panic!("{what} holds a secret, behind: {before}");
        }
    }
}
