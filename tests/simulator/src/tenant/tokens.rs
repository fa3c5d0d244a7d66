//! Access tokens: random, known by the tenant alone, checked on every call.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use crate::sync::random_bytes;

/// Why a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenRefused {
    /// No `Authorization: Bearer …`.
    Missing,
    /// Not one of this tenant's, or for another audience.
    Foreign,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

#[derive(Debug)]
struct Issued {
    client_id: String,
    scope: String,
    roles: Arc<[String]>,
    expires_at: Timestamp,
    revoked: bool,
}

/// The tokens that were given.
#[derive(Default)]
pub(crate) struct TokenBook {
    issued: HashMap<String, Issued>,
}

impl TokenBook {
    /// Makes a token for the application, good for that scope alone and for what those roles allow.
    pub(crate) fn issue(
        &mut self,
        client_id: &str,
        scope: &str,
        roles: Arc<[String]>,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> std::io::Result<String> {
        let token = format!("simulated.{}", URL_SAFE_NO_PAD.encode(random_bytes::<48>()?));
        let expires_at = now.checked_add(lifetime).map_err(std::io::Error::other)?;
        let (client_id, scope) = (client_id.to_owned(), scope.to_owned());
        self.issued.insert(token.clone(), Issued { client_id, scope, roles, expires_at, revoked: false });
        Ok(token)
    }

    /// The client id behind an `Authorization` header.
    pub(crate) fn check(
        &self,
        authorization: Option<&str>,
        scope: &str,
        now: Timestamp,
    ) -> Result<String, TokenRefused> {
        let token = bearer(authorization).ok_or(TokenRefused::Missing)?;
        let issued = self.issued.get(token).filter(|issued| issued.scope == scope);
        let issued = issued.ok_or(TokenRefused::Foreign)?;
        if issued.revoked {
            return Err(TokenRefused::Revoked);
        }
        if issued.expires_at <= now {
            return Err(TokenRefused::Expired);
        }
        Ok(issued.client_id.clone())
    }

    /// The roles of the token of an `Authorization` header.
    pub(crate) fn roles(&self, authorization: Option<&str>) -> Arc<[String]> {
        let issued = bearer(authorization).and_then(|token| self.issued.get(token));
        issued.map_or_else(Arc::default, |issued| Arc::clone(&issued.roles))
    }

    /// Revokes the token of an `Authorization` header.
    pub(crate) fn revoke(&mut self, authorization: Option<&str>) {
        if let Some(issued) = bearer(authorization).and_then(|token| self.issued.get_mut(token)) {
            issued.revoked = true;
        }
    }

    /// Revokes all of them.
    pub(crate) fn revoke_all(&mut self) {
        self.issued.values_mut().for_each(|issued| issued.revoked = true);
    }
}

fn bearer(authorization: Option<&str>) -> Option<&str> {
    authorization?.strip_prefix("Bearer ")
}
