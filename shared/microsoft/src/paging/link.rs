//! The links an API hands out: page links and content links, followed to the configured origin alone.
//!
//! A token travels with every request, so a link is looked at before it is followed: its scheme, host and port must be
//! those of the base URL. Nothing else of it is changed or checked; what it means is the API's own business.

use url::{Origin, Url};

use crate::complaint::excerpt;

/// Microsoft's links have hundreds of bytes; servers refuse request lines far below this.
pub(crate) const LONGEST_LINK: usize = 32 * 1024;

/// Why a link is not followed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLink(pub(crate) String);

/// Scheme, host and port that a token may be sent to.
#[derive(Debug)]
pub(crate) struct OwnOrigin(Origin);

impl OwnOrigin {
    /// The origin of the configured base URL.
    pub(crate) fn of(base: &Url) -> Self {
        Self(base.origin())
    }

    /// The URL of a link, if a token may be sent there. `what` names the link in a complaint, for example `page link`.
    pub(crate) fn follow(&self, link: &str, what: &str) -> Result<Url, BadLink> {
        if link.len() > LONGEST_LINK {
            return Err(BadLink(format!(
                "the {what} has {} bytes, up to {LONGEST_LINK} are followed",
                link.len()
            )));
        }
        let url = Url::parse(link).map_err(|_| BadLink(format!("the {what} is no absolute URL")))?;
        if url.origin() != self.0 || !url.username().is_empty() || url.password().is_some() {
            return Err(BadLink(format!(
                "foreign link: it points to {}, not to {}",
                excerpt(&url.origin().ascii_serialization()),
                self.0.ascii_serialization()
            )));
        }
        Ok(url)
    }
}

/// Percent-encodes a query value, leaving what may stand there and is easier to read as it is. A `+` is encoded: raw, it
/// would be read as a space.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'$' | b'(' | b')' | b',' | b'/' | b':' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
